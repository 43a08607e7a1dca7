//! Takes keys out of an error's body that is too long, or too slow, to be read whole (spec §5).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::headers;
use crate::keys::Hider;

/// Overwrites keys in a body as it passes, whatever pieces it comes in. The length stays, as the head has told it.
pub(super) struct Mask {
    hider: Hider,
    /// The end of what came, as far as it may be the beginning of a key.
    held: Bytes,
}

impl Mask {
    pub(super) fn new(hider: Hider) -> Self {
        Self { hider, held: Bytes::new() }
    }

    /// What may go on once this piece has come.
    pub(super) fn pass(&mut self, piece: Bytes) -> Bytes {
        let mut text = if self.held.is_empty() {
            piece
        } else {
            [std::mem::take(&mut self.held), piece].concat().into()
        };
        let quoted = self.hider.quoted(&text);
        // No key has a blank inside, nor has an escaped one.
        let run =
            text.iter().rev().take(self.hider.reach()).take_while(|byte| byte.is_ascii_graphic()).count();
        let end = text.len() - run;
        // What is to be hidden is held whole: half of it would not be found again.
        let end = quoted.iter().find(|at| (at.start..at.end).contains(&end)).map_or(end, |at| at.start);
        self.held = text.split_off(end);
        overwritten(text, quoted)
    }

    /// How much is held back.
    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// What was held back: nothing more comes that could make it a key.
    pub(super) fn rest(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let quoted = self.hider.quoted(&held);
        overwritten(held, quoted)
    }

    /// The trailers that follow.
    pub(super) fn trailers(&self, trailers: &mut HeaderMap) {
        hide_in_trailers(&self.hider, trailers);
    }
}

/// Overwrites keys in trailers.
pub(super) fn hide_in_trailers(hider: &Hider, trailers: &mut HeaderMap) {
    headers::redact_values(trailers, |value| {
        let quoted = hider.quoted(value);
        (!quoted.is_empty()).then(|| overwritten(Bytes::copy_from_slice(value), quoted).into())
    });
}

/// The text with these places of it overwritten, as far as it goes.
pub(super) fn overwritten(text: Bytes, places: Vec<Range<usize>>) -> Bytes {
    if places.first().is_none_or(|first| first.end > text.len()) {
        return text;
    }
    let mut hidden = BytesMut::from(text);
    for place in places {
        if let Some(place) = hidden.get_mut(place) {
            place.fill(b'*');
        }
    }
    hidden.freeze()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::{CooldownPolicy, KeyPool, Need, PoolPolicy, file};

    const KEY: &str = "sk-test-sk-test-0001";
    const OTHER: &str = "sk/other+other/0002";

    fn mask() -> Mask {
        let keys = file::parse(format!("{KEY}\n{OTHER}").into_bytes()).unwrap().keys;
        let cooldown =
            CooldownPolicy { first: Duration::from_secs(1), longest: Duration::from_secs(2), threshold: 1 };
        let policy = PoolPolicy { cooldown, probe_interval: None };
        let (pool, _due) = KeyPool::new(keys, policy, 0, false);
        let need = Need { not: &[], model: None };
        Mask::new(pool.lease(need).unwrap().hider())
    }

    #[test]
    fn any_key_is_found_whatever_pieces_it_comes_in() {
        let escaped = OTHER.replace('/', "\\/").replace('+', "%2B");
        let text = format!("{KEY} sk-te{KEY}{KEY} {OTHER},{escaped} and sk-test-sk-te");
        let stars = |key: &str| "*".repeat(key.len());
        let want =
            text.replace(KEY, &stars(KEY)).replace(OTHER, &stars(OTHER)).replace(&escaped, &stars(&escaped));
        for size in 1..=text.len() {
            let mut mask = mask();
            let mut passed = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                passed.extend_from_slice(&mask.pass(Bytes::copy_from_slice(piece)));
            }
            assert_eq!(mask.holds(), "sk-test-sk-te".len(), "in pieces of {size}");
            passed.extend_from_slice(&mask.rest());
            assert_eq!(String::from_utf8(passed).unwrap(), want, "in pieces of {size}");
        }
    }

    #[test]
    fn no_more_is_held_than_a_key_can_be_long() {
        let mut mask = mask();
        let passed = mask.pass(vec![b'x'; 100_000].into());
        assert_eq!(passed.len() + mask.holds(), 100_000);
        assert!(mask.holds() <= 9 * KEY.len());
    }
}
