//! The keys of one reading of the file, in every respect in which they stand: as such, and for models. And the reload
//! that puts the next reading in its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwap;

use super::bitmap::Bitmap;
use super::clock::Due;
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
    any_models: AtomicBool,
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
    fn copy(&self) -> Self {
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

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Keys that joined.
    pub added: usize,
    /// Keys that left.
    pub removed: usize,
}

/// Whether the keys that stay keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// A reload.
    Keep,
    /// A reset.
    Clear,
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

    fn store_models(&self, models: HashMap<Box<str>, Arc<Roster>>) {
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
    /// Replaces the keys. Keys that stay keep their standing if `states` says so; leases on keys that leave run on
    /// and are settled in vain.
    pub fn replace(&self, keys: KeyTable, states: States) -> Replaced {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        if states == States::Keep && keys.iter().eq(old.keys().iter()) {
            return Replaced { added: 0, removed: 0 };
        }
        let stays: Vec<Option<u32>> = keys.iter().map(|key| old.keys().find(key)).collect();
        let kept = stays.iter().flatten().count();
        let done = Replaced { added: stays.len() - kept, removed: old.base.rotation.len() - kept };
        let cursor = u32::try_from(old.base.rotation.cursor()).unwrap_or_default();
        let start = keys.find(old.keys().get(cursor)).map_or(0, |index| index as usize);
        let resets = old.resets + u64::from(states == States::Clear);
        let tally = |at: &Option<u32>| at.and_then(|at| old.tally(at)).map(Tally::copy).unwrap_or_default();
        let tallies = stays.iter().map(tally).collect();
        let stays: Vec<Option<u32>> =
            stays.into_iter().map(|at| at.filter(|_| states == States::Keep)).collect();
        let (base, copied) = moved(&old.base, &stays, start, |_| false);
        let new = Generation { tallies, ..Generation::new(keys, base, old.number + 1, resets) };
        let mut copied_of = HashMap::new();
        if states == States::Keep {
            carry_models(&old, &new, &stays, start, &mut copied_of);
        }
        let new = Arc::new(new);
        self.generation.store(Arc::clone(&new));
        self.number.store(new.number, Ordering::Release);
        // What was settled on the old generation while it was being copied.
        catch_up(&old.base, &new.base, None, &stays, &copied);
        if states == States::Keep {
            let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            carry_models(&old, &new, &stays, start, &mut copied_of);
        }
        for (name, roster) in new.models.load().iter() {
            if let Some(old) = old.models.load().get(name) {
                let copied = copied_of.get(name).map_or(&[][..], Vec::as_slice);
                catch_up(old, roster, Some(&new.base), &stays, copied);
            }
            roster.catch_up(&new.base);
        }
        let is_known = |at: &u32| (*at as usize) < old.base.rotation.len();
        let renumbered = |at| new.keys().find(old.keys().get(Some(at).filter(is_known)?));
        let on: Vec<usize> = self.storms.list().into_iter().map(|(upstream, ..)| upstream).collect();
        self.storms.begin_anew(|at| renumbered(at).filter(|_| states == States::Keep));
        self.doubts.clear();
        for (index, story) in new.base.stories().iter() {
            self.resume_storm(*index, story, |upstream| on.contains(&upstream));
        }
        self.served.renumber(renumbered);
        self.announce(Due::Replaced);
        self.carry_offers(&old, &new, &stays);
        // Whoever waited on the old rosters looks again.
        old.each(|roster, _| roster.line.wake_all());
        done
    }

    /// Offers again what was on offer, and keeps to what is known of how many requests keys can take at a time. Which of
    /// those are under way is not known any more.
    fn carry_offers(&self, old: &Generation, new: &Generation, stays: &[Option<u32>]) {
        new.each(|roster, base| {
            let (of_old, models) = (&old.base, old.models.load());
            let before = roster.model.as_deref().map_or(Some(of_old), |model| Some(&**models.get(model)?));
            let Some(before) = before else { return };
            for (index, at) in (0_u32..).zip(stays).filter_map(|(index, at)| Some((index, (*at)?))) {
                let (is_on_offer, most) = (before.rotation.ration(at).offers_probe(), before.crowds.most(at));
                if is_on_offer {
                    roster.offer_again(index, base);
                }
                if let Some(most) = most {
                    roster.crowds.begin(index, most, self.now());
                    self.keep_to_ration(new, roster, index, |ration| ration.set(most));
                    roster.show(index, base);
                }
                if base.is_none() && (is_on_offer || most.is_some()) {
                    new.spread(index);
                }
            }
        });
    }

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

/// Where keys stood when they were moved, by their new places, in order; but for those that were as good as new.
type Copied = Vec<(u32, Standing)>;

/// Brings over the models that the new generation does not have.
fn carry_models(
    old: &Generation,
    new: &Generation,
    stays: &[Option<u32>],
    start: usize,
    copied_of: &mut HashMap<Box<str>, Copied>,
) {
    let mut models = HashMap::clone(&new.models.load());
    let carried = models.len();
    for (name, roster) in old.models.load().iter() {
        let absent = |index: usize| {
            u32::try_from(index).is_ok_and(|index| !new.base.rotation.standing(index).is_available())
        };
        models.entry(name.clone()).or_insert_with(|| {
            let (roster, copied) = moved(roster, stays, start, absent);
            copied_of.insert(name.clone(), copied);
            Arc::new(roster)
        });
    }
    if models.len() > carried {
        new.store_models(models);
    }
}

/// A roster for the keys of a new reading; `stays` tells where each was before, if it keeps its standing.
fn moved(
    old: &Roster,
    stays: &[Option<u32>],
    start: usize,
    absent: impl Fn(usize) -> bool,
) -> (Roster, Copied) {
    let standing = |at: &Option<u32>| at.map_or(Standing::FRESH, |at| old.rotation.standing(at));
    let standings: Vec<Standing> = stays.iter().map(standing).collect();
    let is_fresh = |(_, standing): &(u32, Standing)| *standing == Standing::FRESH;
    let copied = (0..).zip(standings.iter().copied()).filter(|copy| !is_fresh(copy)).collect();
    let roster = Roster::new(old.id, old.model.clone(), &standings, start, absent);
    roster.used.store(old.used.load(Ordering::Relaxed), Ordering::Relaxed);
    roster.price.learn(old.price.tokens());
    {
        let (told, mut tell) = (old.stories(), roster.stories());
        for (index, at) in (0_u32..).zip(stays) {
            // What has happened since its standing was read is caught up with.
            let is_out = standings.get(index as usize).is_some_and(|standing| !standing.is_available());
            if let Some(story) = at.filter(|_| is_out).and_then(|at| told.get(&at)) {
                tell.insert(index, Arc::clone(story));
            }
        }
    }
    (roster, copied)
}

/// Brings over what happened to the old roster while the new one was made.
fn catch_up(
    old: &Roster,
    new: &Roster,
    base: Option<&Roster>,
    stays: &[Option<u32>],
    copied: &[(u32, Standing)],
) {
    let mut copied = copied.iter().peekable();
    for (index, at) in (0_u32..).zip(stays).filter_map(|(index, at)| Some((index, (*at)?))) {
        let copied = copied.next_if(|(copy, _)| *copy == index).map_or(Standing::FRESH, |(_, copy)| *copy);
        let late = old.rotation.standing(at);
        if late == copied {
            continue;
        }
        let story = old.story(at).filter(|_| !late.is_available());
        // Held until the standing is changed: whoever changed it on the new roster meanwhile has the last word.
        let mut stories = new.stories();
        let (before, _) = new.change(index, base, |now| if now == copied { late } else { now });
        if before == copied {
            match story {
                Some(story) => stories.insert(index, story),
                None => stories.remove(&index),
            };
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::time::SystemTime;

    use super::super::roster::Cause;
    use super::super::state::{Millis, Place};
    use super::*;

    fn stand(roster: &Roster, index: u32, place: Place, effect: Effect) {
        roster.change(index, None, |standing| Standing { place, ..standing });
        let cause = Cause::default();
        let story =
            Story { effect, since: SystemTime::now(), tried: Millis(0), checked: false, asked: 0, cause };
        match place {
            Place::Available => roster.stories().remove(&index),
            _ => roster.stories().insert(index, Arc::new(story)),
        };
    }

    fn stands(roster: &Roster, index: u32) -> (Place, Option<Effect>) {
        (roster.rotation.standing(index).place, roster.story(index).map(|story| story.effect))
    }

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

    #[test]
    fn what_is_learnt_in_the_course_of_a_reload_is_kept_unless_more_was_learnt_since() {
        let old = Roster::new(0, None, &[Standing::FRESH; 5], 0, |_| false);
        let limited = (Place::Cooldown(Millis(50_000)), Some(Effect::Limited { wait: None }));
        let set_aside =
            |roster: &Roster, index| stand(roster, index, limited.0, Effect::Limited { wait: None });
        for index in [0, 1, 2] {
            set_aside(&old, index);
        }
        // The first leaves, and a new one comes before them.
        let stays = [None, Some(1), Some(2), Some(3), Some(4)];
        let (new, copied) = moved(&old, &stays, 0, |_| false);
        stand(&old, 1, Place::Available, Effect::Success);
        stand(&old, 2, Place::Permanent, Effect::Invalid);
        set_aside(&old, 3);
        set_aside(&old, 4);
        stand(&new, 4, Place::Permanent, Effect::Invalid);
        catch_up(&old, &new, None, &stays, &copied);
        let revoked = (Place::Permanent, Some(Effect::Invalid));
        let fresh = (Place::Available, None);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|index| stands(&new, index)),
            [fresh, fresh, revoked, limited, revoked]
        );
        assert_eq!(new.rotation.serving(), 2);
    }
}
