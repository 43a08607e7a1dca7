//! Which keys are available: one bit a key, with summary levels above, so that the next available key after a
//! position is a handful of word loads whatever share of the pool is out (64-way: three levels hold 262,144
//! keys, four 16.7 million).
//!
//! Setting goes leaf to root. Clearing goes leaf to root as well and *looks again* below after each summary bit
//! it took away, because somebody may have set a leaf bit in between. So a set leaf bit always ends up visible
//! from the root; a summary bit over an empty word may be left standing, which costs a search one wasted load.

#![expect(clippy::indexing_slicing, reason = "positions are below `len`, checked where they enter")]

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bits in a word, and so children of a summary bit.
const FAN: usize = 64;

/// A set of positions below a fixed length.
pub(super) struct Bitmap {
    /// `levels[0]` has a bit a position; a bit of `levels[n + 1]` stands for a word of `levels[n]`.
    levels: Vec<Box<[AtomicU64]>>,
    len: usize,
    count: AtomicUsize,
}

impl Bitmap {
    /// All of `0..len` but those for which `absent` holds.
    pub(super) fn new(len: usize, mut absent: impl FnMut(usize) -> bool) -> Self {
        let mut words: Vec<u64> = Vec::with_capacity(len.div_ceil(FAN));
        let mut count = 0;
        for position in 0..len {
            if position % FAN == 0 {
                words.push(0);
            }
            if !absent(position) {
                words[position / FAN] |= bit(position);
                count += 1;
            }
        }
        if words.is_empty() {
            words.push(0);
        }
        let mut levels = Vec::new();
        while words.len() > 1 {
            let mut summary = vec![0; words.len().div_ceil(FAN)];
            for (index, word) in words.iter().enumerate() {
                if *word != 0 {
                    summary[index / FAN] |= bit(index);
                }
            }
            levels.push(words.drain(..).map(AtomicU64::new).collect());
            words = summary;
        }
        levels.push(words.into_iter().map(AtomicU64::new).collect());
        Self { levels, len, count: AtomicUsize::new(count) }
    }

    /// How many positions are set.
    pub(super) fn count(&self) -> usize {
        // SeqCst, as is the number of those who wait: who begins to wait sees the position that was put in, or is seen.
        let count = self.count.load(Ordering::SeqCst);
        // Below none, for a moment: one was taken out that is not counted in yet.
        if count > self.len { 0 } else { count }
    }

    /// Whether `position` is set.
    pub(super) fn contains(&self, position: usize) -> bool {
        self.levels[0][position / FAN].load(Ordering::SeqCst) & bit(position) != 0
    }

    /// The first set position at or after `from`, without going round.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        if from >= self.len {
            return None;
        }
        let (mut level, mut position) = (0, from);
        loop {
            let words = &self.levels[level];
            let index = position / FAN;
            // Acquire: what was written before the bit was set (the key's standing) is seen with it.
            let word = words.get(index)?.load(Ordering::Acquire) & (u64::MAX << (position % FAN));
            if word != 0 {
                let found = index * FAN + word.trailing_zeros() as usize;
                if level == 0 {
                    return Some(found);
                }
                level -= 1;
                position = found * FAN;
            } else {
                // Nothing left in this word: go on after it, one level up, where empty stretches are skipped.
                level += 1;
                if level == self.levels.len() {
                    return None;
                }
                position = index + 1;
            }
        }
    }

    /// [`next`](Self::next) by the leaves alone: slow, but blind to nothing. Needed only while a clear races a set
    /// and has yet to look again.
    pub(super) fn scan(&self, from: usize) -> Option<usize> {
        let leaves = &self.levels[0];
        let mut mask = u64::MAX << (from % FAN);
        for (index, leaf) in leaves.iter().enumerate().skip(from / FAN) {
            let word = leaf.load(Ordering::Acquire) & mask;
            if word != 0 {
                return Some(index * FAN + word.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Puts `position` in. Returns whether it was out.
    pub(super) fn set(&self, position: usize) -> bool {
        // SeqCst throughout set and clear: the look again below needs one order over several words.
        let before = self.levels[0][position / FAN].fetch_or(bit(position), Ordering::SeqCst);
        let was_out = before & bit(position) == 0;
        if was_out {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        self.raise(1, position / FAN);
        was_out
    }

    /// Takes `position` out.
    pub(super) fn clear(&self, position: usize) {
        let mut index = position / FAN;
        let before = self.levels[0][index].fetch_and(!bit(position), Ordering::SeqCst);
        if before & bit(position) != 0 {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        let mut left = before & !bit(position);
        for level in 1..self.levels.len() {
            if left != 0 {
                return;
            }
            let before = self.levels[level][index / FAN].fetch_and(!bit(index), Ordering::SeqCst);
            if self.levels[level - 1][index].load(Ordering::SeqCst) != 0 {
                self.raise(level, index);
                return;
            }
            left = before & !bit(index);
            index /= FAN;
        }
    }

    /// Sets the summary bits above word `index` of the level below `level`, up to the root.
    fn raise(&self, level: usize, mut index: usize) {
        for words in &self.levels[level..] {
            words[index / FAN].fetch_or(bit(index), Ordering::SeqCst);
            index /= FAN;
        }
    }
}

fn bit(position: usize) -> u64 {
    1 << (position % FAN)
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_set(
            len in 1_usize..20_000,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..400),
            sparse in any::<bool>(),
        ) {
            let bitmap = Bitmap::new(len, |_| sparse);
            let mut model: BTreeSet<usize> = if sparse { BTreeSet::new() } else { (0..len).collect() };
            for (put, at) in steps {
                let at = at.index(len);
                if put {
                    bitmap.set(at);
                    model.insert(at);
                } else {
                    bitmap.clear(at);
                    model.remove(&at);
                }
                prop_assert_eq!(bitmap.count(), model.len());
                for from in [0, at, at + 1, len - 1] {
                    let want = model.range(from..).next().copied();
                    prop_assert_eq!(bitmap.next(from), want);
                    prop_assert_eq!(bitmap.scan(from), want);
                }
            }
        }
    }

    #[test]
    fn a_single_far_position_is_found_in_a_million() {
        let bitmap = Bitmap::new(1_000_000, |position| position != 999_999);
        assert_eq!(bitmap.levels.len(), 4);
        assert_eq!(bitmap.next(0), Some(999_999));
        assert_eq!(bitmap.count(), 1);
        bitmap.clear(999_999);
        assert_eq!(bitmap.next(0), None);
    }

    #[test]
    fn an_empty_bitmap_has_nothing() {
        let bitmap = Bitmap::new(0, |_| false);
        assert_eq!(bitmap.next(0), None);
        assert_eq!(bitmap.count(), 0);
    }
}
