//! Whose turn it is: exact round robin over the keys that are available, lock-free, without a clock.
//!
//! One cursor jumps to one past the key that it found by a compare-and-swap, so two leases never take the same
//! turn and nobody behind a run of blacklisted keys gets an extra one.

#![expect(clippy::indexing_slicing, reason = "indices come from `take` or are below `len`")]

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::bitmap::Bitmap;
use super::ration::{Entry, Ration};
use super::state::{Millis, Standing};

/// How many keys are looked at for one to take out of turn.
const LOOK_BACK: usize = 1024;

/// A key's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whose turn it is.
    pub(super) index: u32,
    /// Whether it is the last of a lap over the keys.
    pub(super) ends_lap: bool,
    /// How the key was entered.
    pub(super) entry: Entry,
}

/// The keys' standings and the order in which they are leased.
///
/// A model's rotation stands on that of the keys as such (`base` in what follows): its keys are available where both
/// say so.
pub(super) struct Rotation {
    /// Whom the next lease may take.
    available: Bitmap,
    /// Who is in rotation, but has as many requests as its ration allows.
    busy: Bitmap,
    standings: Box<[AtomicU64]>,
    rations: Box<[Ration]>,
    /// When what was told of each key's ration is past, in hundredths of a second; 0: nobody knows.
    whole: Box<[AtomicU32]>,
    cursor: AtomicUsize,
    busy_cursor: AtomicUsize,
}

/// Where a key is to be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Available,
    Busy,
    Out,
}

impl Rotation {
    /// A rotation over `standings`, beginning at `start` (which goes round). Keys for which `absent` holds are out for
    /// reasons of the base's.
    pub(super) fn new(standings: &[Standing], start: usize, absent: impl Fn(usize) -> bool) -> Self {
        let available =
            Bitmap::new(standings.len(), |index| !standings[index].is_available() || absent(index));
        let words = standings.iter().map(|standing| AtomicU64::new(standing.pack())).collect();
        Self {
            available,
            busy: Bitmap::new(standings.len(), |_| true),
            standings: words,
            rations: standings.iter().map(|_| Ration::default()).collect(),
            whole: standings.iter().map(|_| AtomicU32::new(0)).collect(),
            cursor: AtomicUsize::new(start.checked_rem(standings.len()).unwrap_or(0)),
            busy_cursor: AtomicUsize::new(0),
        }
    }

    /// The key whose turn is next.
    pub(super) fn cursor(&self) -> usize {
        self.cursor.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.standings.len()
    }

    /// How many keys the next lease could take.
    pub(super) fn available(&self) -> usize {
        self.available.count()
    }

    /// How many are in rotation, busy ones too.
    pub(super) fn serving(&self) -> usize {
        self.available() + self.busy()
    }

    /// How many more are in rotation, but busy.
    pub(super) fn busy(&self) -> usize {
        self.busy.count()
    }

    pub(super) fn standing(&self, index: u32) -> Standing {
        Standing::unpack(self.standings[index as usize].load(Ordering::Acquire))
    }

    pub(super) fn ration(&self, index: u32) -> &Ration {
        &self.rations[index as usize]
    }

    /// What is told of a key's ration is past then.
    pub(super) fn note_whole(&self, index: u32, at: Option<Millis>) {
        // A hint: a request more or less at a time.
        let hundredths = at.map_or(0, |at| u32::try_from(at.0 / 10 + 1).unwrap_or(u32::MAX));
        self.whole[index as usize].store(hundredths, Ordering::Relaxed);
    }

    /// Whether a limit that is whole `then` is so later than what was noted last.
    pub(super) fn is_later(&self, index: u32, then: Millis) -> bool {
        let hundredths = self.whole[index as usize].load(Ordering::Relaxed);
        hundredths > 0 && u64::from(hundredths) <= then.0 / 10
    }

    /// Whether the limit is whole again of which few requests were left to a key.
    pub(super) fn is_whole(&self, index: u32, now: Millis) -> bool {
        let hundredths = self.whole[index as usize].load(Ordering::Relaxed);
        hundredths > 0 && u64::from(hundredths) <= now.0 / 10
    }

    /// Takes the next turn of a key that is none of `not`. `None`: no other key is available.
    pub(super) fn take(&self, not: &[u32], base: Option<&Self>) -> Option<Turn> {
        // Relaxed: the cursor orders turns among themselves and publishes nothing else.
        let mut cursor = self.cursor.load(Ordering::Relaxed);
        loop {
            let found = self.find(cursor, not)?;
            let next = if found + 1 == self.len() { 0 } else { found + 1 };
            match self.cursor.compare_exchange_weak(cursor, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    // The length fits u32: `KeyTable` sees to it.
                    let index = u32::try_from(found).ok()?;
                    if let Some(entry) = self.enter(index, base) {
                        return Some(Turn { index, ends_lap: found < cursor || next == 0, entry });
                    }
                    cursor = next;
                }
                Err(moved) => cursor = moved,
            }
        }
    }

    /// Looks back from the turn that is next, over those who had theirs last, for a key that is available and suits, and
    /// takes it out of turn; but first at those that are `likely` to suit.
    pub(super) fn take_back(
        &self,
        base: Option<&Self>,
        likely: impl Iterator<Item = u32>,
        suits: impl Fn(u32) -> bool,
    ) -> Option<Turn> {
        // A key that is put to the test is available, too.
        let is_in = |index| {
            self.standing(index).is_available() && base.is_none_or(|base| base.standing(index).is_available())
        };
        let cursor = self.cursor();
        let behind = (0..cursor).rev().chain((cursor..self.len()).rev()).take(LOOK_BACK);
        likely
            .filter(|index| (*index as usize) < self.len())
            .chain(behind.filter_map(|index| u32::try_from(index).ok()))
            .filter(|index| self.available.contains(*index as usize) && is_in(*index) && suits(*index))
            .find_map(|index| Some(Turn { index, ends_lap: false, entry: self.enter(index, base)? }))
    }

    /// Enters a key that was found available. `None`: others have filled its ration since.
    #[inline]
    fn enter(&self, index: u32, base: Option<&Self>) -> Option<Entry> {
        let entry = self.ration(index).enter();
        if entry != Some(Entry::Free) {
            self.show(index, base);
        }
        entry
    }

    /// Takes a turn of a key that is in rotation and busy: more than its ration, for want of any other.
    pub(super) fn take_busy(&self, not: &[u32]) -> Option<Turn> {
        let mut cursor = self.cursor();
        loop {
            let found = Self::search(cursor, not, |from| self.busy.next(from))?;
            let next = if found + 1 == self.len() { 0 } else { found + 1 };
            match self.cursor.compare_exchange_weak(cursor, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let index = u32::try_from(found).ok()?;
                    let entry = self.ration(index).exceed();
                    return Some(Turn { index, ends_lap: found < cursor, entry });
                }
                Err(moved) => cursor = moved,
            }
        }
    }

    /// A key that is in rotation and busy; those who ask are told one after the other.
    pub(super) fn next_busy(&self, not: &[u32]) -> Option<u32> {
        let from = self.busy_cursor.load(Ordering::Relaxed);
        let found = Self::search(from, not, |from| self.busy.next(from))?;
        self.busy_cursor.store(found + 1, Ordering::Relaxed);
        u32::try_from(found).ok()
    }

    /// Whether a key is in rotation and busy.
    pub(super) fn is_busy(&self, index: u32) -> bool {
        (index as usize) < self.len() && self.busy.contains(index as usize)
    }

    /// The first available key from `cursor` on, going round once, that is none of `not`.
    fn find(&self, cursor: usize, not: &[u32]) -> Option<usize> {
        let found = Self::search(cursor, not, |from| self.available.next(from));
        if found.is_none() && self.available.count() > not.len() {
            // A summary bit is between clear and look-again: believe the leaves.
            return Self::search(cursor, not, |from| self.available.scan(from));
        }
        found
    }

    fn search(cursor: usize, not: &[u32], next: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        let (mut from, mut went_round) = (cursor, false);
        loop {
            match next(from) {
                Some(found) if went_round && found >= cursor => return None,
                Some(found) if not.iter().all(|tried| *tried as usize != found) => return Some(found),
                Some(found) => from = found + 1,
                None if went_round => return None,
                None => (from, went_round) = (0, true),
            }
        }
    }

    /// Changes a key's standing; `change` may run several times. Returns the standing before and after.
    pub(super) fn change(
        &self,
        index: u32,
        base: Option<&Self>,
        change: impl Fn(Standing) -> Standing,
    ) -> (Standing, Standing) {
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
                        self.show(index, base);
                    }
                    return (before, after);
                }
                Err(moved) => before = moved,
            }
        }
        (Standing::unpack(before), Standing::unpack(before))
    }

    /// Makes the bitmaps say what the key's words say. Whoever writes a bit last looks at the words again afterwards,
    /// so a cooldown that ends while it is being set cannot leave the key out for ever. Returns whether the key became
    /// available.
    pub(super) fn show(&self, index: u32, base: Option<&Self>) -> bool {
        let at = index as usize;
        let mut shown = self.right(index, base);
        loop {
            if shown == Shown::Busy {
                self.busy.set(at);
            } else if self.busy.contains(at) {
                self.busy.clear(at);
            }
            let appeared = if shown == Shown::Available {
                self.available.set(at)
            } else {
                self.available.clear(at);
                false
            };
            let now = self.right(index, base);
            if now == shown {
                return appeared;
            }
            shown = now;
        }
    }

    /// Shows every key where it belongs that is not.
    pub(super) fn catch_up(&self, base: &Self) {
        for index in (0_u32..).take(self.len()) {
            let available = self.right(index, Some(base)) == Shown::Available;
            if available != self.available.contains(index as usize) {
                self.show(index, Some(base));
            }
        }
    }

    /// Where the key ought to be shown.
    fn right(&self, index: u32, base: Option<&Self>) -> Shown {
        let own = self.own(index);
        match base.map_or(Shown::Available, |base| base.own(index)) {
            Shown::Out => Shown::Out,
            Shown::Busy if own == Shown::Available => Shown::Busy,
            _ => own,
        }
    }

    fn own(&self, index: u32) -> Shown {
        let standing = Standing::unpack(self.standings[index as usize].load(Ordering::SeqCst));
        let ration = self.ration(index);
        match (standing.is_available(), ration.has_room()) {
            (true, true) => Shown::Available,
            (true, false) => Shown::Busy,
            (false, _) if ration.offers_probe() => Shown::Available,
            (false, _) => Shown::Out,
        }
    }
}

#[cfg(test)]
mod tests;
