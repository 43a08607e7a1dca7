//! Header maps that are used again: each message has one, and its memory is larger than what the allocator has at hand.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that are kept by a worker.
const KEPT: usize = 32;
/// Larger ones are not.
const LARGEST: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for so many headers.
pub(crate) fn take(headers: usize) -> HeaderMap {
    let mut map = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    map.reserve(headers);
    map
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
