//! Whose turn it is: exact round robin over the keys that are available, lock-free, without a clock.
//!
//! One cursor jumps to one past the key that it found by a compare-and-swap, so two leases never take the same
//! turn and nobody behind a run of blacklisted keys gets an extra one.

#![expect(clippy::indexing_slicing, reason = "indices come from `take` or are below `len`")]

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::bitmap::Bitmap;
use super::state::Standing;

/// What a lease is asked for. Today: not these keys. A model, a resource that belongs to one key or an estimate
/// of tokens will be further fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need<'a> {
    /// Keys that this request has tried already.
    pub not: &'a [u32],
}

/// A key's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whose turn it is.
    pub(super) index: u32,
    /// Whether it is the last of a lap over the keys.
    pub(super) ends_lap: bool,
}

/// The keys' standings and the order in which they are leased.
pub(super) struct Rotation {
    available: Bitmap,
    standings: Box<[AtomicU64]>,
    cursor: AtomicUsize,
}

impl Rotation {
    /// A rotation over `standings`, beginning at `start` (which goes round).
    pub(super) fn new(standings: &[Standing], start: usize) -> Self {
        let available = Bitmap::new(standings.len(), |index| !standings[index].is_available());
        let words = standings.iter().map(|standing| AtomicU64::new(standing.pack())).collect();
        Self {
            available,
            standings: words,
            cursor: AtomicUsize::new(start.checked_rem(standings.len()).unwrap_or(0)),
        }
    }

    /// The key whose turn is next.
    pub(super) fn cursor(&self) -> usize {
        self.cursor.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.standings.len()
    }

    /// How many keys are available.
    pub(super) fn available(&self) -> usize {
        self.available.count()
    }

    pub(super) fn standing(&self, index: u32) -> Standing {
        Standing::unpack(self.standings[index as usize].load(Ordering::Acquire))
    }

    /// Takes the next turn that meets the need. `None`: no available key does.
    pub(super) fn take(&self, need: Need<'_>) -> Option<Turn> {
        // Relaxed: the cursor orders turns among themselves and publishes nothing else.
        let mut cursor = self.cursor.load(Ordering::Relaxed);
        loop {
            let found = self.find(cursor, need)?;
            let next = if found + 1 == self.len() { 0 } else { found + 1 };
            match self.cursor.compare_exchange_weak(cursor, next, Ordering::Relaxed, Ordering::Relaxed) {
                // The length fits u32: `KeyTable` sees to it.
                Ok(_) => {
                    return Some(Turn {
                        index: u32::try_from(found).ok()?,
                        ends_lap: found < cursor || next == 0,
                    });
                }
                Err(moved) => cursor = moved,
            }
        }
    }

    /// The first available key from `cursor` on, going round once, that meets the need.
    fn find(&self, cursor: usize, need: Need<'_>) -> Option<usize> {
        let found = Self::search(cursor, need, |from| self.available.next(from));
        if found.is_none() && self.available.count() > need.not.len() {
            // A summary bit is between clear and look-again: believe the leaves.
            return Self::search(cursor, need, |from| self.available.scan(from));
        }
        found
    }

    fn search(cursor: usize, need: Need<'_>, next: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        let meets = |index: &usize| !need.not.iter().any(|tried| *tried as usize == *index);
        let walk = |from: usize| std::iter::successors(next(from), |found| next(found + 1));
        walk(cursor).find(meets).or_else(|| walk(0).take_while(|index| *index < cursor).find(meets))
    }

    /// Changes a key's standing; `change` may run several times. Returns the standing before and after.
    pub(super) fn change(&self, index: u32, change: impl Fn(Standing) -> Standing) -> (Standing, Standing) {
        let word = &self.standings[index as usize];
        let mut before = word.load(Ordering::SeqCst);
        loop {
            let after = change(Standing::unpack(before)).pack();
            if after == before {
                break;
            }
            match word.compare_exchange_weak(before, after, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    let (before, after) = (Standing::unpack(before), Standing::unpack(after));
                    if before.is_available() != after.is_available() {
                        self.show(index);
                    }
                    return (before, after);
                }
                Err(moved) => before = moved,
            }
        }
        (Standing::unpack(before), Standing::unpack(before))
    }

    /// Makes the key's bit say what its word says. Whoever writes the bit last looks at the word again afterwards,
    /// so a cooldown that ends while it is being set cannot leave the key out for ever.
    fn show(&self, index: u32) {
        let word = &self.standings[index as usize];
        let mut available = Standing::unpack(word.load(Ordering::SeqCst)).is_available();
        loop {
            if available {
                self.available.set(index as usize);
            } else {
                self.available.clear(index as usize);
            }
            let now = Standing::unpack(word.load(Ordering::SeqCst)).is_available();
            if now == available {
                return;
            }
            available = now;
        }
    }
}

#[cfg(test)]
mod tests;
