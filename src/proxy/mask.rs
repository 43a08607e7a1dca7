//! Takes the leased key out of an error's body that is too long, or too slow, to be read whole (spec §5).

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// Overwrites a key in a body as it passes, whatever pieces it comes in. The length stays, as the head has told it.
pub(super) struct Mask {
    finder: Finder<'static>,
    /// The end of what came, as far as it may be the beginning of the key.
    held: Bytes,
}

impl Mask {
    pub(super) fn new(key: &str) -> Self {
        Self { finder: Finder::new(key).into_owned(), held: Bytes::new() }
    }

    /// What may go on once this piece has come.
    pub(super) fn pass(&mut self, piece: Bytes) -> Bytes {
        let mut text = if self.held.is_empty() {
            piece
        } else {
            [std::mem::take(&mut self.held), piece].concat().into()
        };
        let found: Vec<usize> = self.finder.find_iter(&text).collect();
        let key = self.finder.needle();
        if !found.is_empty() {
            let mut masked = BytesMut::from(text);
            for at in found {
                if let Some(quoted) = masked.get_mut(at..at + key.len()) {
                    overwrite(quoted);
                }
            }
            text = masked.freeze();
        }
        let longest = text.len().min(key.len().saturating_sub(1));
        let begun = (1..=longest).rev().find(|length| key.get(..*length).is_some_and(|k| text.ends_with(k)));
        self.held = text.split_off(text.len() - begun.unwrap_or_default());
        text
    }

    /// How much is held back.
    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// What was held back: nothing more comes that could make it the key.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }
}

/// Leaves of a key what its preview shows (spec §1), in the same place.
fn overwrite(key: &mut [u8]) {
    let hidden = if key.len() > 12 { 8..key.len() - 4 } else { 0..key.len() };
    if let Some(hidden) = key.get_mut(hidden) {
        hidden.fill(b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-test-sk-test-0001";

    #[test]
    fn a_key_is_found_whatever_pieces_it_comes_in() {
        let text = format!("{KEY} sk-test-{KEY}{KEY} and sk-test-sk-te");
        let want = text.replace(KEY, "sk-test-********0001");
        for size in 1..=text.len() {
            let mut mask = Mask::new(KEY);
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
    fn of_a_short_key_nothing_is_left() {
        assert_eq!(&Mask::new("123456789012").pass("a 123456789012 b".into())[..], b"a ************ b");
    }
}
