//! Header maps that are used again: each message has one, and its memory is larger than what the allocator has at hand.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that are kept by a worker.
const KEPT: usize = 32;
/// Headers that there is room for in a new one.
const USUAL: usize = 24;
/// Larger ones are not.
const LARGEST: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for what a message usually has.
pub(crate) fn take() -> HeaderMap {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| HeaderMap::with_capacity(USUAL))
}

/// Takes back a map.
pub(crate) fn give(mut map: HeaderMap) {
    map.clear();
    if (1..=LARGEST).contains(&map.capacity()) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(map);
            }
        });
    }
}
