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
        let end = self.hider.may_begin(&text);
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

    use base64::Engine as _;

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
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{OTHER}:"));
        let text = format!("{KEY} sk-te{KEY}{KEY} {OTHER},{escaped},{encoded} and sk-test-sk-te");
        let stars = |key: &str| "*".repeat(key.len());
        let mut want =
            text.replace(KEY, &stars(KEY)).replace(OTHER, &stars(OTHER)).replace(&escaped, &stars(&escaped));
        // What is of `user:` and the colon at its end alone stays.
        want = want.replace(
            &encoded,
            &format!("{}{}{}", encoded.get(..6).unwrap(), "*".repeat(26), encoded.get(32..).unwrap()),
        );
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
    fn an_escaped_key_is_hidden_in_pieces_as_it_is_whole() {
        let percent = |text: &str| text.replace('%', "%25").replace('/', "%2F").replace('+', "%2b");
        let json = |text: &str| text.replace('\\', "\\\\").replace('/', "\\/").replace('+', "\\u002B");
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        for escaped in [
            percent(&percent(OTHER)),
            json(&json(OTHER)),
            json(&percent(OTHER)),
            OTHER.replace('/', "&#x2F;").replace('+', "&#43;"),
            base64(OTHER),
            base64(&format!("a:{OTHER}")),
            base64(&format!("some {KEY} here")),
            json(&base64(&format!("?>?>{OTHER}?>"))),
            format!("{OTHER}{KEY}"),
            format!("{}{}", KEY.get(2..).unwrap(), OTHER.get(3..).unwrap()),
        ] {
            let text = format!("{{\"a\\n\":\"xyz{escaped}&{escaped}\\nzyx\"}}");
            let in_pieces = |size: usize| {
                let mut mask = mask();
                let pieces =
                    text.as_bytes().chunks(size).map(|piece| mask.pass(Bytes::copy_from_slice(piece)));
                let passed = pieces.collect::<Vec<_>>().concat();
                String::from_utf8([passed, mask.rest().to_vec()].concat()).unwrap()
            };
            let stars = |text: &str| text.matches('*').count();
            let whole = in_pieces(text.len());
            assert!(whole.matches("****************").count() >= 2, "{whole}");
            for size in 1..text.len() {
                // Of a character of base64 at the beginning only some bits may be the key's.
                let told = in_pieces(size);
                assert!(stars(&told).abs_diff(stars(&whole)) <= 4, "{whole} in pieces of {size}: {told}");
            }
        }
    }

    #[test]
    fn only_what_may_be_the_beginning_of_a_key_is_held() {
        for (text, held) in [
            ("{\"delta\":\"zzzzzzzzzzzzzzzzzzzzzzzz\"}", ""),
            ("{\"delta\":\"", ""),
            // What may be base64 of something with a key behind it.
            ("{\"delta\":\"zzzzzzzzzzzzzzzzzzzzzzzz", "zzz"),
            ("{\"delta\":\"sk-zzzzzzzzzzzzzzzzzzzz", "zzz"),
            ("{\"delta\":\"xsk-te", "sk-te"),
            ("{\"delta\":\"sk\\/oth", "sk\\/oth"),
            ("the middle: test-00", "test-00"),
            ("an escape: \\u00", "\\u00"),
        ] {
            let mut mask = mask();
            let passed = mask.pass(Bytes::from(text));
            assert_eq!(text.strip_suffix(held).unwrap().as_bytes(), &passed, "{text}");
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
