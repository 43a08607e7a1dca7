//! How many requests a key may have at a time while little is known of what it can take: after its return from a
//! cooldown, while its provider says that few requests remain, and as a probe of a key that is out. Most keys have no
//! ration, and cost a lease one load.

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU32, Ordering};

const COUNT_BITS: u32 = 12;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;
const PROBE: u32 = 1 << 31;

/// More than this at a time is as good as no ration.
pub(super) const LARGEST: u32 = 32;

/// One key's ration, in a word: requests under way, how many there may be (0: any number), and whether a probe is
/// offered. All zeros is no ration.
#[derive(Default)]
pub(super) struct Ration(AtomicU32);

/// How a lease came to its key, and so what it has to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There was no ration.
    Free,
    /// It is counted.
    Counted,
    /// It is the probe of a key that is out.
    Probe,
}

fn allowance(word: u32) -> u32 {
    word >> COUNT_BITS & COUNT_MAX
}

fn under_way(word: u32) -> u32 {
    word & COUNT_MAX
}

impl Ration {
    /// Whether a further request would keep to it.
    pub(super) fn has_room(&self) -> bool {
        let word = self.0.load(Ordering::SeqCst);
        allowance(word) == 0 || under_way(word) < allowance(word)
    }

    /// Whether a probe is offered.
    pub(super) fn offers_probe(&self) -> bool {
        self.0.load(Ordering::SeqCst) & PROBE != 0
    }

    /// A request begins, if there is room for it.
    pub(super) fn enter(&self) -> Option<Entry> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (after, entry) = if word & PROBE != 0 {
                (word & !PROBE, Entry::Probe)
            } else if allowance(word) == 0 {
                return Some(Entry::Free);
            } else if under_way(word) < allowance(word) {
                (word + 1, Entry::Counted)
            } else {
                return None;
            };
            match self.0.compare_exchange_weak(word, after, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => return Some(entry),
                Err(moved) => word = moved,
            }
        }
    }

    /// A request begins although there is no room for it.
    pub(super) fn exceed(&self) -> Entry {
        self.update(|word| if under_way(word) < COUNT_MAX { word + 1 } else { word });
        Entry::Counted
    }

    /// A counted request ends.
    pub(super) fn leave(&self) {
        self.update(|word| word - u32::from(under_way(word) > 0));
    }

    /// So many at a time from now on; 0 for any number. Returns whether there was no ration before.
    pub(super) fn set(&self, requests: u32) -> bool {
        let before =
            self.update(|word| word & !(COUNT_MAX << COUNT_BITS) | requests.min(COUNT_MAX) << COUNT_BITS);
        allowance(before) == 0
    }

    /// A request came back well: twice as many at a time, until that is as good as any number.
    pub(super) fn double(&self) {
        self.update(|word| {
            let doubled = allowance(word) * 2;
            word & !(COUNT_MAX << COUNT_BITS) | (if doubled > LARGEST { 0 } else { doubled }) << COUNT_BITS
        });
    }

    /// Offers a probe.
    pub(super) fn offer_probe(&self) {
        self.update(|word| word | PROBE);
    }

    /// Takes a probe back that nobody took.
    pub(super) fn withdraw_probe(&self) {
        self.update(|word| word & !PROBE);
    }

    fn update(&self, change: impl Fn(u32) -> u32) -> u32 {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(word, change(word), Ordering::SeqCst, Ordering::Acquire) {
                Ok(before) => return before,
                Err(moved) => word = moved,
            }
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_ration_lets_so_many_in_and_grows_with_each_that_comes_back() {
        let ration = Ration::default();
        assert_eq!(ration.enter(), Some(Entry::Free));
        assert!(ration.set(1));
        assert_eq!((ration.enter(), ration.enter()), (Some(Entry::Counted), None));
        assert!(!ration.has_room());
        ration.double();
        ration.leave();
        assert_eq!([(); 3].map(|()| ration.enter().is_some()), [true, true, false]);
        for _ in 0..5 {
            ration.double();
        }
        assert_eq!(ration.enter(), Some(Entry::Free));
    }

    #[test]
    fn a_probe_is_taken_once() {
        let ration = Ration::default();
        ration.offer_probe();
        assert_eq!((ration.enter(), ration.offers_probe()), (Some(Entry::Probe), false));
    }
}
