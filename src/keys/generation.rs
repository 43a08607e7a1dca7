//! The keys of one reading of the file, in every respect in which they stand: as such, and for models.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwap;

use super::bitmap::Bitmap;
use super::file::KeyTable;
use super::pool::KeyPool;
use super::quoted::Marks;
use super::ration::Entry;
use super::roster::{Roster, Story};
use super::served::MODELS;
use super::state::{Effect, Standing};
use super::storm::Service;

/// What the rosters of models may take in all, in bytes. Beyond that the model that mattered least recently is forgotten.
const MODELS_MEMORY: usize = 88 << 20;
/// However few keys there are: what happens to one as such is told to each model's roster.
const MODELS_MAX: usize = 256;
/// A roster with its name and place, and what it has of each key: a standing, a ration, when it is past, two bits.
const ROSTER_BYTES: usize = 1 << 10;
const KEY_BYTES: usize = 21;
/// What of a count of requests tells whether there was one since.
const MARK_BITS: u32 = 24;
const MARK: u32 = (1 << MARK_BITS) - 1;
/// What of what a key served counts requests.
const COUNT: u64 = u64::MAX >> MODELS;

/// The keys of one reading of the file.
pub(super) struct Generation {
    pub(super) number: u64,
    /// How many resets came before: a lease from before a reset has nothing to say after it.
    pub(super) resets: u64,
    pub(super) texts: Arc<Texts>,
    pub(super) tallies: Box<[Tally]>,
    /// The keys of which there may be doubts, a hint.
    pub(super) doubted: Bitmap,
    pub(super) base: Roster,
    /// The models for which some keys stand apart.
    pub(super) models: ArcSwap<HashMap<Box<str>, Arc<Roster>>>,
    /// Whether there are any: what every lease asks first.
    pub(super) any_models: AtomicBool,
}

/// The keys themselves, and what finds them in a text. Apart from how they stand: what hides them in an answer that goes on for
/// long keeps no more than this of a reading that was replaced meanwhile.
pub(super) struct Texts {
    pub(super) keys: KeyTable,
    pub(super) marks: Marks,
}

/// What a key did since it is in the file and the process runs. Each key has its own, so workers seldom meet here.
#[derive(Default)]
pub(super) struct Tally {
    /// How many requests it served, in the low bits, and above these a mark for each model that it did.
    served: AtomicU64,
    /// Requests that failed for its sake.
    pub(super) failed: AtomicU32,
    /// What it had served when it last passed a check, in the low bits, and above these how many it had passed since it last
    /// served; 0: none ever.
    passed: AtomicU32,
}

impl Tally {
    pub(super) fn copy(&self) -> Self {
        let copy = |count: &AtomicU32| AtomicU32::new(count.load(Ordering::Relaxed));
        let served = AtomicU64::new(self.served.load(Ordering::Relaxed));
        Self { served, failed: copy(&self.failed), passed: copy(&self.passed) }
    }

    /// It served a request, of a model with that [mark](super::served::mark), if it is not 0. Whether that mark is new to it.
    #[inline]
    pub(super) fn count_served(&self, mark: u64) -> bool {
        self.served.fetch_add(1, Ordering::Relaxed) & mark != mark
    }

    /// It served a model of that [mark](super::served::mark).
    pub(super) fn mark_served(&self, mark: u64) {
        self.served.fetch_or(mark, Ordering::Relaxed);
    }

    /// Whether it has served such a model: another one may have the same mark.
    pub(super) fn has_served(&self, mark: u64) -> bool {
        self.served.load(Ordering::Relaxed) & mark != 0
    }

    /// How many requests it served.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed) & COUNT
    }

    /// It passed a check.
    pub(super) fn note_passed_check(&self) {
        let (passes, served_since) = self.passes_and_served_since();
        let passes = if served_since { 1 } else { passes.saturating_add(1) };
        self.passed.store(u32::from(passes) << MARK_BITS | self.mark(), Ordering::Relaxed);
    }

    /// How many checks it passed in a row without serving in between, and whether it has served since the last.
    pub(super) fn passes_and_served_since(&self) -> (u8, bool) {
        let word = self.passed.load(Ordering::Relaxed);
        let [passes, ..] = word.to_be_bytes();
        (passes, self.mark() != if passes == 0 { 0 } else { word & MARK })
    }

    /// Tells whether it has served since.
    #[expect(clippy::cast_possible_truncation, reason = "low bits tell that")]
    fn mark(&self) -> u32 {
        self.served.load(Ordering::Relaxed) as u32 & MARK
    }
}

impl Generation {
    pub(super) fn new(keys: KeyTable, base: Roster, number: u64, resets: u64) -> Self {
        let tallies = (0..base.rotation.len()).map(|_| Tally::default()).collect();
        Self {
            number,
            resets,
            texts: Arc::new(Texts { marks: Marks::of(&keys), keys }),
            tallies,
            doubted: Bitmap::new(base.rotation.len(), |_| true),
            base,
            models: ArcSwap::default(),
            any_models: AtomicBool::new(false),
        }
    }

    pub(super) fn keys(&self) -> &KeyTable {
        &self.texts.keys
    }

    /// What a key did. Every index of this generation's has one.
    pub(super) fn tally(&self, index: u32) -> Option<&Tally> {
        self.tallies.get(index as usize)
    }

    /// How many requests a key has served.
    pub(super) fn served_by(&self, index: u32) -> u64 {
        self.tally(index).map_or(0, Tally::served)
    }

    /// The roster for a model, if keys stand apart for it.
    #[inline]
    pub(super) fn model(&self, model: Option<&str>) -> Option<Arc<Roster>> {
        let model = model?;
        if !self.any_models.load(Ordering::Acquire) {
            return None;
        }
        self.one_of_models(model)
    }

    fn one_of_models(&self, model: &str) -> Option<Arc<Roster>> {
        self.models.load().get(model).map(Arc::clone)
    }

    pub(super) fn store_models(&self, models: HashMap<Box<str>, Arc<Roster>>) {
        let any = !models.is_empty();
        self.models.store(Arc::new(models));
        // SeqCst, as are standings: who changes one and sees no models is seen by who then brings the new roster up to date.
        self.any_models.store(any, Ordering::SeqCst);
    }

    /// The keys that are set aside for good, or for long since the provider does not say until when; but for an operator's.
    /// Those of which such a service tells something.
    pub(super) fn given_up(&self, service: Service) -> Vec<u32> {
        let stories = self.base.stories();
        let is_given_up = |story: &Story| match story.effect {
            _ if story.is_operators() => false,
            Effect::Invalid => true,
            Effect::Exhausted { .. } => service == Service::Paid && story.cause.wait.is_none(),
            _ => false,
        };
        stories.iter().filter(|(_, story)| is_given_up(story)).map(|(index, _)| *index).collect()
    }

    /// The roster that tells who may be leased: a model's, with the keys as such on which it stands, or these alone.
    #[inline]
    pub(super) fn of<'a>(&'a self, model: Option<&'a Arc<Roster>>) -> (&'a Roster, Option<&'a Roster>) {
        match model {
            None => (&self.base, None),
            Some(roster) => (roster, Some(&self.base)),
        }
    }

    /// A request has ended that came to its key so: in a model's roster, if there is one, and on the keys as such.
    #[cold]
    pub(super) fn give_back(&self, model: Option<&Roster>, index: u32, entry: Entry, of_base: Entry) {
        let entry_of_base = if model.is_some() { of_base } else { entry };
        if let Some(roster) = model {
            roster.give_back(index, entry, Some(&self.base));
        }
        if entry_of_base != Entry::Free {
            self.base.give_back(index, entry_of_base, None);
            self.spread(index);
        }
    }

    /// Every roster: first the keys as such, then the models'.
    pub(super) fn each(&self, mut visit: impl FnMut(&Roster, Option<&Roster>)) {
        visit(&self.base, None);
        if !self.any_models.load(Ordering::SeqCst) {
            return;
        }
        for roster in self.models.load().values() {
            visit(roster, Some(&self.base));
        }
    }

    pub(super) fn roster(&self, id: u32, visit: impl FnOnce(&Roster, Option<&Roster>)) {
        if id == 0 {
            return visit(&self.base, None);
        }
        if let Some(roster) = self.models.load().values().find(|roster| roster.id == id) {
            visit(roster, Some(&self.base));
        }
    }

    /// What the keys as such say of a key has changed: the models' rosters stand on it.
    pub(super) fn spread(&self, index: u32) {
        if !self.any_models.load(Ordering::SeqCst) {
            return;
        }
        for roster in self.models.load().values() {
            roster.show(index, Some(&self.base));
        }
    }
}

impl KeyPool {
    /// The roster for a model, made if there is none.
    pub(super) fn roster_for(&self, generation: &Generation, model: &str) -> Arc<Roster> {
        let now = self.now().0;
        if let Some(roster) = generation.model(Some(model)) {
            roster.used.store(now, Ordering::Relaxed);
            return roster;
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roster) = generation.model(Some(model)) {
            return roster;
        }
        let len = generation.base.rotation.len();
        let id = self.rosters.fetch_add(1, Ordering::Relaxed);
        let absent = |index: usize| {
            u32::try_from(index).is_ok_and(|index| !generation.base.rotation.standing(index).is_available())
        };
        let cursor = generation.base.rotation.cursor();
        let fresh = vec![Standing::FRESH; len];
        let roster = Arc::new(Roster::new(id, Some(model.into()), &fresh, cursor, absent));
        roster.used.store(now, Ordering::Relaxed);
        let mut models = HashMap::clone(&generation.models.load());
        let mut forgotten = Vec::new();
        while !models.is_empty() && models.len() >= models_max(len) {
            let oldest = models.iter().min_by_key(|(_, roster)| roster.used.load(Ordering::Relaxed));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
            forgotten.extend(models.remove(&name));
        }
        models.insert(model.into(), Arc::clone(&roster));
        generation.store_models(models);
        for roster in forgotten {
            roster.line.wake_all();
        }
        // What changed while the roster was made.
        roster.catch_up(&generation.base);
        roster
    }
}

/// For how many models keys can stand apart from the keys as such, in a pool of so many.
pub(super) fn models_max(keys: usize) -> usize {
    let roster = keys.saturating_mul(KEY_BYTES).saturating_add(ROSTER_BYTES);
    (MODELS_MEMORY / roster).clamp(1, MODELS_MAX)
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_has_served_is_counted_and_marked() {
        let tally = Tally::default();
        for bit in [63, 63, 48] {
            let is_new = !tally.has_served(1 << bit);
            assert_eq!(tally.count_served(1 << bit), is_new);
            tally.mark_served(1 << bit);
        }
        assert!(!tally.count_served(0));
        let copy = tally.copy();
        assert_eq!((copy.served(), copy.mark()), (4, 4));
        assert_eq!([63, 48, 50].map(|bit| copy.has_served(1 << bit)), [true, true, false]);
    }
}
