//! What hides keys where a lease has ended and its answer goes on.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::generation::Texts;

/// How many bytes of a key's beginning a preview shows.
const SHOWN: usize = 8;

/// Hides keys in what an upstream goes on to say after the lease has ended.
pub struct Hider {
    texts: Arc<Texts>,
    index: u32,
}

impl Hider {
    pub(super) fn new(texts: Arc<Texts>, index: u32) -> Self {
        Self { texts, index }
    }

    /// Where [`Lease::redact`](super::Lease::redact) would replace something, in order and apart.
    pub fn quoted(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Texts { keys, marks } = &*self.texts;
        marks.places(keys, keys.get(self.index), text)
    }

    /// Whether a text quotes the lease's own key, or ends within it: more of it than a preview shows.
    pub fn is_own_in(&self, text: &[u8]) -> bool {
        let key = self.texts.keys.get(self.index).as_bytes();
        // A shorter one is a word that stands for a key where a server asks for none, and may be said.
        if key.len() < 3 * SHOWN {
            return false;
        }
        let Some((_, rest)) = key.split_at_checked(SHOWN) else { return false };
        let ends_within = |length: usize| {
            let (begins, part) = (key.get(..SHOWN + length), rest.get(..length));
            begins.is_some_and(|begins| text.ends_with(begins))
                || length >= SHOWN && part.is_some_and(|part| text.ends_with(part))
        };
        memmem::find(text, rest).is_some() || (1..rest.len()).any(ends_within)
    }

    /// From where on the end of a text may be the beginning of that.
    pub fn may_begin(&self, text: &[u8]) -> usize {
        let Texts { keys, marks } = &*self.texts;
        marks.may_begin(keys.get(self.index), text)
    }
}
