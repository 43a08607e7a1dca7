//! Which models the pool has served of late, and with which keys, so that "this key may not use that model" can be told from
//! a model that does not exist, and be followed by a key that may. A fixed table of hashes: of the models that share a
//! set, the one that was served longest ago is forgotten, which costs a client the provider's own 404.
//!
//! All of it is a hint, so nothing orders its words among themselves: of two workers that write at once one may be
//! forgotten until its next success, and a key be taken to have served what took the place of its model.

use std::array;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SETS: usize = 256;
/// Models in a set.
const WAYS: usize = 4;
/// Keys that are remembered for a model.
const KEYS: usize = 4;
/// The low bits of a word hold a minute.
const MINUTE: u64 = (1 << 24) - 1;
/// For how many minutes a model counts as served.
pub(super) const REMEMBERED: u64 = 24 * 60;
/// Bits with which [marks](mark) are made.
pub(super) const MODELS: u32 = 24;

/// The sets, by the low bits of a model's hash.
pub(super) struct Served([[Model; WAYS]; SETS]);

/// A model that was served.
#[derive(Default)]
struct Model {
    /// The high bits of its hash, and the last minute in which all places below were written; 0: no model.
    hash: AtomicU64,
    /// Keys that served it, each above the last minute in which it is known to have; 0: none.
    keys: [AtomicU64; KEYS],
}

impl Default for Served {
    fn default() -> Self {
        Self(array::from_fn(|_| array::from_fn(|_| Model::default())))
    }
}

impl Served {
    /// This key served this model, so long after the beginning. The model's [mark].
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    pub(super) fn note(&self, model: &str, key: u32, now: Duration) -> u64 {
        let (set, hash) = self.set(model);
        let minute = minute(now);
        for known in set {
            let word = known.hash.load(Ordering::Relaxed);
            if word & !MINUTE == hash {
                // Little is written, and only once a minute: the line stays shared between workers.
                let is_full = word == hash | minute;
                if !is_full && known.keys[key as usize % KEYS].load(Ordering::Relaxed) != served(key, minute)
                {
                    known.note(word, key, minute);
                }
                return mark_of(hash);
            }
        }
        replace_oldest(set, hash, key, minute);
        mark_of(hash)
    }

    /// The keys that served this model within so many minutes, the latest first.
    pub(super) fn by(&self, model: &str, now: Duration, minutes: u64) -> impl Iterator<Item = u32> + use<> {
        let (set, hash) = self.set(model);
        let known = set.iter().find(|known| known.hash.load(Ordering::Relaxed) & !MINUTE == hash);
        let mut keys = known.map_or([0; KEYS], Model::words);
        keys.sort_unstable_by_key(|word| Reverse(word & MINUTE));
        let now = minute(now);
        let of_late = move |word: &u64| *word != 0 && now.saturating_sub(word & MINUTE) <= minutes;
        keys.into_iter().filter(of_late).filter_map(|word| u32::try_from(key_of(word)).ok())
    }

    /// The last minute in which this key is known to have served this model, from 1; 0: none is.
    pub(super) fn last(&self, model: &str, key: u32) -> u64 {
        let (set, hash) = self.set(model);
        let known = set.iter().filter(|known| known.hash.load(Ordering::Relaxed) & !MINUTE == hash);
        let own = known.flat_map(Model::words).filter(|word| *word != 0 && key_of(*word) == u64::from(key));
        own.map(|word| word & MINUTE).max().unwrap_or(0)
    }

    /// The keys have other numbers, or are gone.
    pub(super) fn renumber(&self, new: impl Fn(u32) -> Option<u32>) {
        for place in self.0.iter().flatten().flat_map(|model| &model.keys) {
            let word = place.load(Ordering::Relaxed);
            if word != 0 {
                let key = u32::try_from(key_of(word)).ok().and_then(&new);
                let moved = key.map_or(0, |key| served(key, word & MINUTE));
                let _ = place.compare_exchange(word, moved, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn set(&self, model: &str) -> (&[Model; WAYS], u64) {
        let hash = hash(model);
        let place = usize::try_from(hash & MINUTE).unwrap_or_default() % SETS;
        (&self.0[place], hash & !MINUTE)
    }
}

impl Model {
    fn words(&self) -> [u64; KEYS] {
        array::from_fn(|at| self.keys.get(at).map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// Puts a key where it is already, else where none was noted for longest; where it is looked for first, if that is open.
    #[cold]
    fn note(&self, known_as: u64, key: u32, minute: u64) {
        let words = || self.words().into_iter().enumerate();
        let is_own = |(_, word): &(usize, u64)| *word != 0 && key_of(*word) == u64::from(key);
        // The latest: if a race put it into two places, the other is to be taken by somebody else.
        let own = words().filter(is_own).max_by_key(|(_, word)| word & MINUTE);
        let oldest = || words().min_by_key(|(at, word)| (word & MINUTE, *at != key as usize % KEYS));
        let chosen = own.or_else(oldest).filter(|(_, word)| word & MINUTE < minute);
        let Some((at, _)) = chosen else { return };
        if let Some(place) = self.keys.get(at) {
            place.store(served(key, minute), Ordering::Relaxed);
        }
        if self.words().iter().all(|word| word & MINUTE == minute) {
            // Not if another model is here by now.
            let full = known_as & !MINUTE | minute;
            let _ = self.hash.compare_exchange(known_as, full, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn last_served(&self) -> u64 {
        self.words().iter().map(|word| word & MINUTE).max().unwrap_or(0)
    }
}

/// Lets a model take the place of the one that was served longest ago, or of none.
#[cold]
fn replace_oldest(set: &[Model; WAYS], hash: u64, key: u32, minute: u64) {
    let Some(oldest) = set.iter().min_by_key(|known| known.last_served()) else { return };
    let before = oldest.hash.load(Ordering::Relaxed);
    if oldest.hash.compare_exchange(before, hash, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        oldest.keys.iter().for_each(|place| place.store(0, Ordering::Relaxed));
        oldest.note(hash, key, minute);
    }
}

/// FNV-1a: short, and good enough for a table that may forget.
#[inline]
fn hash(model: &str) -> u64 {
    model
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// What tells, by one of the high bits, that a key has served this model or one of the few that share its bit.
pub(super) fn mark(model: &str) -> u64 {
    mark_of(hash(model))
}

#[inline]
fn mark_of(hash: u64) -> u64 {
    // By bits of which names that differ in their last letter have different ones.
    1 << (u64::from(u64::BITS - MODELS) + (hash >> 40) % u64::from(MODELS))
}

fn served(key: u32, minute: u64) -> u64 {
    u64::from(key) << MINUTE.count_ones() | minute
}

fn key_of(word: u64) -> u64 {
    word >> MINUTE.count_ones()
}

/// Minutes since the beginning, from 1: 0 is "never".
fn minute(now: Duration) -> u64 {
    (now.as_secs() / 60 + 1) & MINUTE
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn by(served: &Served, model: &str, now: Duration) -> Vec<u32> {
        served.by(model, now, REMEMBERED).collect()
    }

    /// The same, in no order.
    fn any_of(served: &Served, model: &str, now: Duration) -> Vec<u32> {
        let mut keys = by(served, model, now);
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_model_is_known_for_a_day() {
        let served = Served::default();
        assert!(by(&served, "gpt-5", at(0)).is_empty());
        served.note("gpt-5", 7, at(60));
        assert_eq!(by(&served, "gpt-5", at(60 * 24)), [7]);
        assert_eq!([7, 8].map(|key| served.last("gpt-5", key)), [61, 0]);
        assert!(by(&served, "gpt-5-mini", at(60)).is_empty());
        assert!(by(&served, "gpt-5", at(60 * 26)).is_empty());
    }

    #[test]
    fn models_whose_names_are_alike_have_different_marks() {
        for [one, other] in [["gpt-4", "gpt-5"], ["o1", "o3"], ["gpt-4o", "gpt-5"], ["gpt-4o", "gpt-4o-mini"]]
        {
            assert_ne!(mark(one), mark(other), "{one}");
        }
        assert_eq!(Served::default().note("gpt-5", 7, at(1)), mark("gpt-5"));
    }

    #[test]
    fn several_keys_are_remembered_and_the_latest_come_first() {
        let served = Served::default();
        for key in [4, 8, 12, 4, 8] {
            served.note("gpt-5", key, at(1));
        }
        assert_eq!(any_of(&served, "gpt-5", at(1)), [4, 8, 12]);
        for key in [u32::MAX, 5, 6] {
            served.note("gpt-5", key, at(1));
        }
        assert_eq!(any_of(&served, "gpt-5", at(1)), [4, 8, 12, u32::MAX], "as many as there is room for");
        served.note("gpt-5", 8, at(2));
        served.note("gpt-5", 9, at(3));
        assert_eq!(by(&served, "gpt-5", at(3))[..2], [9, 8]);
        assert_eq!(by(&served, "gpt-5", at(3)).len(), KEYS);
    }

    #[test]
    fn a_key_that_serves_stays_and_what_served_longest_ago_goes() {
        let served = Served::default();
        for minute in 0..10 {
            for key in [3, 40 + u32::try_from(minute).unwrap()] {
                served.note("gpt-5", key, at(minute));
            }
        }
        assert_eq!(any_of(&served, "gpt-5", at(10)), [3, 47, 48, 49]);
    }

    #[test]
    fn keys_that_get_other_numbers_are_known_by_these() {
        let served = Served::default();
        for key in [4, 5, 6] {
            served.note("gpt-5", key, at(u64::from(key)));
        }
        served.renumber(|key| (key != 5).then_some(key + 100));
        assert_eq!(by(&served, "gpt-5", at(7)), [106, 104]);
    }

    #[test]
    fn models_that_share_a_set_do_not_forget_each_other() {
        let served = Served::default();
        let set = |model: &str| std::ptr::from_ref(served.set(model).0);
        assert_eq!(set("gpt-5"), set("gpt-4o-mini-tts"));
        let alike = (0..).map(|n| format!("model-{n}")).filter(|model| set(model) == set("gpt-5"));
        let models: Vec<String> = alike.take(WAYS + 1).collect();
        for (minute, model) in (0..).zip(&models) {
            served.note(model, 1, at(minute));
            // The second is in use all the time.
            served.note(&models[1], 2, at(minute));
        }
        let known: Vec<bool> = models.iter().map(|model| !by(&served, model, at(9)).is_empty()).collect();
        assert_eq!(known, [false, true, true, true, true]);
    }

    /// What is lost when workers write at once is there with the next success.
    #[test]
    fn a_race_leaves_nothing_that_keeps_a_model_or_a_key_from_being_noted() {
        let served = Served::default();
        let models: Vec<String> = (0..2000).map(|n| format!("model-{n}")).collect();
        for minute in 0..20 {
            std::thread::scope(|scope| {
                for key in [0, 4, 8, 9] {
                    let (served, models) = (&served, &models);
                    scope.spawn(move || {
                        for model in models {
                            served.note(model, key, at(minute));
                            served.note("gpt-5", key, at(minute));
                        }
                    });
                }
            });
            for key in [0, 4, 8, 9] {
                served.note("gpt-5", key, at(minute));
            }
            assert_eq!(any_of(&served, "gpt-5", at(minute)), [0, 4, 8, 9]);
        }
    }
}
