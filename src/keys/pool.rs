//! The keys in use and who may lease them: the rosters of one reading of the keys file, and the reload that replaces
//! them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::census::{BY_OPERATOR, Losses};
use super::file::KeyTable;
use super::lease::Lease;
use super::quoted::Marks;
use super::ration::{Entry, Ration};
use super::roster::{Cause, Roster, Story};
use super::rotation::Turn;
use super::secret::preview;
use super::served::Served;
use super::state::{CooldownPolicy, Effect, Millis, Place, Standing};
use super::storm::Storms;

/// Models whose keys can stand apart from the keys as such. Beyond that the one that mattered least recently is
/// forgotten.
const MODELS_MAX: usize = 64;
/// The same in standings (12 bytes each): a pool of a million keys keeps four models.
const STANDINGS_MAX: usize = 1 << 22;
/// A ration that nothing else changes doubles so often, in milliseconds: the smallest is over within ten seconds
/// (spec §6).
const RATION_STEP: u64 = 1_400;

/// What a lease is asked for. A resource that belongs to one key or an estimate of tokens will be further fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need<'a> {
    /// Keys that this request has tried already.
    pub not: &'a [u32],
    /// The model that it asks for.
    pub model: Option<&'a str>,
}

/// How keys are set aside and brought back.
#[derive(Clone, Copy, Debug)]
pub struct PoolPolicy {
    /// How failures become cooldowns.
    pub cooldown: CooldownPolicy,
    /// `KEY_REVALIDATE_INTERVAL`: how often a long cooldown is put to the test. `None`: never.
    pub probe_interval: Option<Duration>,
}

/// All keys of a group.
pub struct KeyPool {
    pub(super) generation: ArcSwap<Generation>,
    pub(super) policy: PoolPolicy,
    began: Instant,
    /// Tells [`clock::run`](super::clock::run) what will be due.
    due: mpsc::UnboundedSender<Due>,
    pub(super) served: Served,
    pub(super) storms: Storms,
    pub(super) losses: Losses,
    /// Standings that changed since the journal last looked. Never locked on the way of a request that succeeds.
    changed: Mutex<Vec<Changed>>,
    journaled: bool,
    last_resort: AtomicU64,
    rosters: AtomicU32,
    /// One reload at a time. Never taken on a request's way.
    replacing: Mutex<()>,
}

/// The keys of one reading of the file.
pub(super) struct Generation {
    pub(super) number: u64,
    /// How many resets came before: a lease from before a reset has nothing to say after it.
    pub(super) resets: u64,
    pub(super) keys: KeyTable,
    pub(super) marks: Marks,
    pub(super) base: Roster,
    /// The models for which some keys stand apart.
    pub(super) models: ArcSwap<HashMap<Box<str>, Arc<Roster>>>,
}

/// Word to the clock.
#[derive(Debug)]
pub enum Due {
    /// Something will happen to a key.
    Later(Event),
    /// The generation was replaced: read all cooldowns anew.
    Replaced,
}

/// Something that happens to a key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub(super) at: Millis,
    generation: u64,
    pub(super) roster: u32,
    index: u32,
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Its cooldown ends.
    Return,
    /// Its cooldown, a long one, is put to the test.
    Probe,
    /// Its ration grows.
    MoreShare,
}

/// A standing that changed: the key's text is looked up when the journal is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Changed {
    /// The key's place in the file.
    pub index: u32,
    /// The model, where it is about one.
    pub model: Option<Box<str>>,
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

/// A key out of rotation, for people (spec §10).
#[derive(Clone, Debug)]
pub struct Blacklisted {
    /// Its place in the file, from 0, duplicates not counted.
    pub index: u32,
    /// What may be shown of it.
    pub preview: String,
    /// The model for which it is out; `None`: for all.
    pub model: Option<Box<str>>,
    /// What it is out for.
    pub effect: Effect,
    /// For good, or until `recovers_at`.
    pub permanent: bool,
    /// Since when.
    pub blacklist_at: SystemTime,
    /// Until when.
    pub recovers_at: Option<SystemTime>,
    /// Failures in a row.
    pub fail_count: u32,
    /// Cooldowns in a row.
    pub cooldowns: u32,
    /// Why.
    pub cause: Cause,
}

/// A key that is out until it is found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condemned {
    /// Its place in the file.
    pub index: u32,
    /// It is only suspected: most of the pool was told the same.
    pub suspected: bool,
    /// How long ago it was last tried.
    pub tried_ago: Duration,
    /// The upstream that told so.
    pub upstream: Option<usize>,
}

impl Generation {
    fn new(keys: KeyTable, base: Roster, number: u64, resets: u64) -> Self {
        Self { number, resets, marks: Marks::of(&keys), keys, base, models: ArcSwap::default() }
    }

    /// The roster for a model, if keys stand apart for it.
    pub(super) fn model(&self, model: Option<&str>) -> Option<Arc<Roster>> {
        let models = self.models.load();
        if models.is_empty() {
            return None;
        }
        models.get(model?).map(Arc::clone)
    }

    /// Every roster: first the keys as such, then the models'.
    fn each(&self, mut visit: impl FnMut(&Roster, Option<&Roster>)) {
        visit(&self.base, None);
        for roster in self.models.load().values() {
            visit(roster, Some(&self.base));
        }
    }

    fn roster(&self, id: u32, visit: impl FnOnce(&Roster, Option<&Roster>)) {
        if id == 0 {
            return visit(&self.base, None);
        }
        if let Some(roster) = self.models.load().values().find(|roster| roster.id == id) {
            visit(roster, Some(&self.base));
        }
    }

    /// What the keys as such say of a key has changed: the models' rosters stand on it.
    pub(super) fn spread(&self, index: u32) {
        for roster in self.models.load().values() {
            roster.show(index, Some(&self.base));
        }
    }
}

impl KeyPool {
    /// A pool in which every key is available and `start` has the first turn, and what its clock has to hear.
    /// `journaled`: somebody will [take the changes](Self::take_changes).
    pub fn new(
        keys: KeyTable,
        policy: PoolPolicy,
        start: usize,
        journaled: bool,
    ) -> (Self, mpsc::UnboundedReceiver<Due>) {
        let (due, heard) = mpsc::unbounded_channel();
        let standings = vec![Standing::FRESH; keys.len() as usize];
        let base = Roster::new(0, None, &standings, start, |_| false);
        let pool = Self {
            generation: ArcSwap::from_pointee(Generation::new(keys, base, 0, 0)),
            policy,
            began: Instant::now(),
            due,
            served: Served::default(),
            storms: Storms::default(),
            losses: Losses::default(),
            changed: Mutex::default(),
            journaled,
            last_resort: AtomicU64::new(0),
            rosters: AtomicU32::new(1),
            replacing: Mutex::new(()),
        };
        (pool, heard)
    }

    /// Leases the key whose turn it is among those that are available and that this request has not tried, while there
    /// is one. Lock-free; its cost does not depend on how many keys there are or how many are out. `None` too if others
    /// wait for a key already: then this request has to stand behind them.
    pub fn lease(&self, need: Need<'_>) -> Option<Lease<'_>> {
        self.take(need, |roster| roster.waiting() == 0)
    }

    fn take(&self, need: Need<'_>, may: impl Fn(&Roster) -> bool) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let (roster, base) = match &model {
            None => (&generation.base, None),
            Some(roster) => (&**roster, Some(&generation.base)),
        };
        if !may(roster) {
            return None;
        }
        let fresh = roster.take(need.not, base);
        let (turn, of_base) = match fresh {
            None if !need.not.is_empty() => roster.take(&[], base)?,
            fresh => fresh?,
        };
        Some(Lease::new(self, generation, model, turn, of_base))
    }

    /// Waits until `by` for the first key that meets the need, first come first served: by when the request began, so
    /// that one that has to try again does not stand behind all who came after it.
    ///
    /// # Cancel safety
    /// Dropping it gives the place up; whoever is next is woken in its stead.
    pub async fn lease_by(&self, need: Need<'_>, began: Instant, by: Instant) -> Option<Lease<'_>> {
        loop {
            let generation = self.generation.load_full();
            let model = generation.model(need.model);
            let roster = model.as_deref().unwrap_or(&generation.base);
            let place = roster.wait(began);
            // A reload brings new rosters, and a model may get one of its own: then it is there that one waits.
            let is_in_use = || {
                let today = self.generation.load();
                let of_model = today.model(need.model);
                today.number == generation.number
                    && of_model.as_ref().map(Arc::as_ptr) == model.as_ref().map(Arc::as_ptr)
            };
            while is_in_use() {
                let is_turn = timeout_at(by, place.turn()).await.is_ok();
                if let Some(lease) = self.take(need, |_| true) {
                    return Some(lease);
                }
                if !is_turn {
                    return None;
                }
            }
        }
    }

    /// Leases a key that is in rotation, but has as many requests as its ration allows: better than none.
    pub fn lease_busy(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let turn = model.as_deref().unwrap_or(&generation.base).rotation.take_busy(need.not)?;
        let of_base = match &model {
            None => Entry::Free,
            Some(_) => generation.base.rotation.ration(turn.index).exceed(),
        };
        Some(Lease::new(self, generation, model, turn, of_base))
    }

    /// Leases the key that is closest to recovery, failing that the one that was tried longest ago, at most once a
    /// second: so that a pool never stays dead by mistake.
    pub fn last_resort(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let now = self.now();
        let last = self.last_resort.load(Ordering::Relaxed);
        // One more than the time, since 0 is "never".
        if last != 0 && now.0 + 1 < last + 1000 {
            return None;
        }
        self.last_resort.compare_exchange(last, now.0 + 1, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let until = |roster: &Roster, index| match roster.rotation.standing(index).place {
            Place::Available => Some(Millis(0)),
            Place::Cooldown(until) => Some(until),
            Place::Permanent => None,
        };
        let untried = |index: &u32| !need.not.contains(index);
        let closest = (0_u32..)
            .take(generation.base.rotation.len())
            .filter(untried)
            .filter_map(|index| {
                let of_model = model.as_deref().map_or(Some(Millis(0)), |roster| until(roster, index))?;
                Some((until(&generation.base, index)?.max(of_model), index))
            })
            .min();
        let index = closest.map(|(_, index)| index).or_else(|| {
            let stories = generation.base.stories();
            let oldest = stories.iter().filter(|(index, _)| untried(index));
            oldest.min_by_key(|(_, story)| story.tried).map(|(index, _)| *index)
        })?;
        // The request that set it aside a moment ago was this second's try. (Less than a second: its answer took a while.)
        let story =
            model.as_ref().and_then(|roster| roster.story(index)).or_else(|| generation.base.story(index));
        if story.is_some_and(|story| story.tried.0 + 900 > now.0) {
            return None;
        }
        Some(self.probe(generation, model, index))
    }

    /// A lease on a certain key, whether it is out or not, to find out whether it works: for a revalidation. The key
    /// counts as tried, whatever comes of it.
    pub fn probe_key(&self, index: u32) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        if index as usize >= generation.base.rotation.len() {
            return None;
        }
        if let Some(story) = generation.base.stories().get_mut(&index) {
            *story = Arc::new(Story { tried: self.now(), ..(**story).clone() });
        }
        Some(self.probe(generation, None, index))
    }

    fn probe(&self, generation: Guard<Arc<Generation>>, model: Option<Arc<Roster>>, index: u32) -> Lease<'_> {
        let entry = |roster: &Roster| {
            if roster.rotation.standing(index).is_available() {
                roster.rotation.ration(index).exceed()
            } else {
                Entry::Probe
            }
        };
        let of_base = model.as_ref().map_or(Entry::Free, |_| entry(&generation.base));
        let entry = entry(model.as_deref().unwrap_or(&generation.base));
        let turn = Turn { index, ends_lap: false, entry };
        Lease::new(self, generation, model, turn, of_base)
    }

    /// How many keys there are.
    pub fn total(&self) -> usize {
        self.generation.load().base.rotation.len()
    }

    /// How many of them are in rotation.
    pub fn available(&self) -> usize {
        let generation = self.generation.load();
        generation.base.rotation.available() + generation.base.rotation.busy()
    }

    /// Whose turn is next.
    pub fn current_index(&self) -> usize {
        self.generation.load().base.rotation.cursor()
    }

    /// Requests that wait for a key.
    pub fn waiting(&self) -> usize {
        let mut waiting = 0;
        self.generation.load().each(|roster, _| waiting += roster.waiting());
        waiting
    }

    /// Storms that are on: the upstream's index, since when, and how many keys it has put under suspicion.
    pub fn storms(&self) -> Vec<(usize, SystemTime, usize)> {
        self.storms.list()
    }

    /// Whether a key may come back within `wait` for this model: by the clock, or because others give it back.
    pub fn may_return_within(&self, model: Option<&str>, wait: Duration) -> bool {
        self.earliest_return(model).is_some_and(|due| due <= wait)
    }

    /// Whether keys were set aside since they may not use this model.
    pub fn is_denied(&self, model: &str) -> bool {
        let Some(roster) = self.generation.load().model(Some(model)) else { return false };
        roster.stories().values().any(|story| story.effect == Effect::Denied)
    }

    /// Whether some key has served this model of late.
    pub fn has_served(&self, model: &str) -> bool {
        self.served.knows(model, self.began.elapsed())
    }

    /// How long until a key is available for a model: zero if one is, `None` if no cooldown is running.
    pub fn earliest_return(&self, model: Option<&str>) -> Option<Duration> {
        let generation = self.generation.load();
        let wait = |roster: &Roster| {
            if roster.rotation.available() + roster.rotation.busy() > 0 {
                return Some(Duration::ZERO);
            }
            Some(Duration::from_millis(roster.earliest()?.0.saturating_sub(self.now().0)))
        };
        match generation.model(model) {
            None => wait(&generation.base),
            // A key has to come back in both respects; whichever is further away tells more.
            Some(roster) => wait(&generation.base)?.max(wait(&roster)?).into(),
        }
    }

    /// Replaces the keys. Keys that stay keep their standing if `states` says so; leases on keys that leave run on
    /// and are settled in vain.
    pub fn replace(&self, keys: KeyTable, states: States) -> Replaced {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        let stays: Vec<Option<u32>> = keys.iter().map(|key| old.keys.find(key)).collect();
        let kept = stays.iter().flatten().count();
        let done = Replaced { added: stays.len() - kept, removed: old.base.rotation.len() - kept };
        let cursor = u32::try_from(old.base.rotation.cursor()).unwrap_or_default();
        let start = keys.find(old.keys.get(cursor)).map_or(0, |index| index as usize);
        let resets = old.resets + u64::from(states == States::Clear);
        let stays: Vec<Option<u32>> =
            stays.into_iter().map(|at| at.filter(|_| states == States::Keep)).collect();
        let base = moved(&old.base, &stays, start, |_| false);
        let new = Generation::new(keys, base, old.number + 1, resets);
        let mut models = HashMap::new();
        if states == States::Keep {
            for (name, roster) in old.models.load().iter() {
                let absent = |index: usize| {
                    u32::try_from(index).is_ok_and(|index| !new.base.rotation.standing(index).is_available())
                };
                models.insert(name.clone(), Arc::new(moved(roster, &stays, start, absent)));
            }
        }
        new.models.store(Arc::new(models));
        let new = Arc::new(new);
        self.generation.store(Arc::clone(&new));
        // What was settled on the old generation while it was being copied.
        catch_up(&old.base, &new.base, None, &stays);
        for (name, roster) in new.models.load().iter() {
            if let Some(old) = old.models.load().get(name) {
                catch_up(old, roster, Some(&new.base), &stays);
            }
        }
        self.storms.clear();
        for (index, story) in new.base.stories().iter() {
            self.resume_storm(*index, story);
        }
        self.announce(Due::Replaced);
        // Whoever waited on the old rosters looks again.
        old.each(|roster, _| roster.wake_all());
        done
    }

    /// The keys that are out, in file order; those that are out for a model behind those that are out for all.
    pub fn blacklisted(&self) -> Vec<Blacklisted> {
        let generation = self.generation.load_full();
        let mut list = Vec::new();
        generation.each(|roster, _| {
            let mut out: Vec<(u32, Arc<Story>)> =
                roster.stories().iter().map(|(index, story)| (*index, Arc::clone(story))).collect();
            out.sort_unstable_by_key(|(index, _)| *index);
            list.extend(
                out.iter().filter_map(|(index, story)| self.entry(&generation, roster, *index, story)),
            );
        });
        list
    }

    /// Why a key is out: for all, or for a model. `None`: it is not.
    pub fn blacklisted_key(&self, changed: &Changed) -> Option<Blacklisted> {
        let generation = self.generation.load_full();
        let model = generation.model(changed.model.as_deref());
        let roster = match &changed.model {
            None => &generation.base,
            Some(_) => model.as_deref()?,
        };
        let story = roster.story(changed.index)?;
        self.entry(&generation, roster, changed.index, &story)
    }

    fn entry(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        story: &Story,
    ) -> Option<Blacklisted> {
        let standing = roster.rotation.standing(index);
        let recovers_at = match standing.place {
            // Its story is about to go.
            Place::Available => return None,
            Place::Cooldown(until) => {
                Some(SystemTime::now() + Duration::from_millis(until.0.saturating_sub(self.now().0)))
            }
            Place::Permanent => None,
        };
        Some(Blacklisted {
            index,
            preview: preview(generation.keys.get(index)),
            model: roster.model.clone(),
            effect: story.effect,
            permanent: recovers_at.is_none(),
            blacklist_at: story.since,
            recovers_at,
            fail_count: standing.failures,
            cooldowns: standing.cooldowns,
            cause: story.cause.clone(),
        })
    }

    /// A key's text, for the places that send it or make a hash of it.
    pub fn expose(&self, index: u32) -> Option<String> {
        let generation = self.generation.load();
        ((index as usize) < generation.base.rotation.len()).then(|| generation.keys.get(index).to_owned())
    }

    /// A key's place in the file.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.generation.load().keys.find(key)
    }

    /// Sets a key aside as somebody tells: the journal, or an operator.
    pub fn set_aside(&self, told: &Blacklisted) {
        let until = told.recovers_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        if until.is_some_and(|wait| wait.is_zero()) {
            return;
        }
        let place = until.map_or(Place::Permanent, |wait| {
            Place::Cooldown(Millis(self.now().0 + u64::try_from(wait.as_millis()).unwrap_or(0).max(1)))
        });
        let standing = Standing { place, failures: told.fail_count, cooldowns: told.cooldowns };
        let generation = self.generation.load_full();
        if told.index as usize >= generation.base.rotation.len() {
            return;
        }
        let story = Story {
            effect: told.effect,
            since: told.blacklist_at,
            tried: self.now(),
            cause: told.cause.clone(),
        };
        if told.model.is_none() {
            self.resume_storm(told.index, &story);
        }
        let set = |roster: &Roster, base: Option<&Roster>| {
            roster.stories().insert(told.index, Arc::new(story));
            roster.change(told.index, base, |_| standing);
            self.schedule(&generation, roster, told.index, standing);
        };
        match told.model.as_deref() {
            None => {
                set(&generation.base, None);
                generation.spread(told.index);
            }
            Some(model) => set(&self.roster_for(&generation, model), Some(&generation.base)),
        }
        self.note_change(told.index, told.model.as_deref());
    }

    fn resume_storm(&self, index: u32, story: &Story) {
        if let (Effect::Suspected, Some(upstream)) = (story.effect, story.cause.upstream) {
            self.storms.resume(upstream, index, story.since);
        }
    }

    /// Puts a key back into rotation, in every respect.
    pub fn restore(&self, index: u32) {
        let generation = self.generation.load_full();
        if index as usize >= generation.base.rotation.len() {
            return;
        }
        generation.each(|roster, base| {
            let told = roster.stories().remove(&index).is_some();
            roster.change(index, base, |_| Standing::FRESH);
            if told {
                self.note_change(index, roster.model.as_deref());
            }
        });
        generation.spread(index);
    }

    /// The keys that are out for good, or under suspicion of it.
    pub fn condemned(&self) -> Vec<Condemned> {
        let (generation, now) = (self.generation.load_full(), self.now());
        let stories = generation.base.stories();
        let stories = stories.iter().filter(|(_, story)| &*story.cause.rule != BY_OPERATOR);
        let condemned = stories.filter_map(|(index, story)| {
            let suspected = match story.effect {
                Effect::Suspected => true,
                Effect::Invalid => false,
                _ => return None,
            };
            let tried_ago = Duration::from_millis(now.0.saturating_sub(story.tried.0));
            Some(Condemned { index: *index, suspected, tried_ago, upstream: story.cause.upstream })
        });
        condemned.collect()
    }

    /// Whether there is a change that nobody has taken.
    pub fn has_changes(&self) -> bool {
        !self.changed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What changed since this was last asked.
    pub fn take_changes(&self) -> Vec<Changed> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_change(&self, index: u32, model: Option<&str>) {
        if self.journaled {
            let changed = Changed { index, model: model.map(Box::from) };
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).push(changed);
        }
    }

    /// The roster for a model, made if there is none.
    pub(super) fn roster_for(&self, generation: &Generation, model: &str) -> Arc<Roster> {
        let now = self.now().0;
        if let Some(roster) = generation.model(Some(model)) {
            roster.used.store(now, Ordering::Relaxed);
            return roster;
        }
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
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
        while !models.is_empty()
            && (models.len() >= MODELS_MAX || (models.len() + 1).saturating_mul(len) > STANDINGS_MAX)
        {
            let oldest = models.iter().min_by_key(|(_, roster)| roster.used.load(Ordering::Relaxed));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
            if let Some(forgotten) = models.remove(&name) {
                forgotten.wake_all();
            }
        }
        models.insert(model.into(), Arc::clone(&roster));
        generation.models.store(Arc::new(models));
        // What changed while the roster was made.
        roster.rotation.catch_up(&generation.base.rotation);
        roster
    }

    /// Tells the clock what a standing brings.
    pub(super) fn schedule(&self, generation: &Generation, roster: &Roster, index: u32, standing: Standing) {
        let Place::Cooldown(at) = standing.place else { return };
        roster.at_the_latest(at);
        let event = Event { at, generation: generation.number, roster: roster.id, index, what: What::Return };
        self.announce(Due::Later(event));
        if let Some(test) = self.next_probe(at) {
            self.announce(Due::Later(Event { at: test, what: What::Probe, ..event }));
        }
    }

    /// When a cooldown until `end` is next put to the test, if it is that long.
    fn next_probe(&self, end: Millis) -> Option<Millis> {
        let interval = u64::try_from(self.policy.probe_interval?.as_millis()).ok()?;
        Some(Millis(self.now().0 + interval)).filter(|at| *at < end)
    }

    /// Keeps a key to a ration for a while; `ration` sets it.
    pub(super) fn keep_to_ration(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        ration: impl FnOnce(&Ration) -> bool,
    ) {
        if ration(roster.rotation.ration(index)) {
            let at = Millis(self.now().0 + RATION_STEP);
            let (generation, roster) = (generation.number, roster.id);
            self.announce(Due::Later(Event { at, generation, roster, index, what: What::MoreShare }));
        }
    }

    /// Lets happen what is due among events of the present generation; gives back what has to happen (again) later.
    pub(super) fn happen(&self, event: Event) -> Option<Event> {
        let generation = self.generation.load_full();
        if event.generation != generation.number {
            return None;
        }
        let mut again = None;
        generation.roster(event.roster, |roster, base| {
            match event.what {
                What::Return => again = self.end_cooldown(&generation, roster, base, event),
                What::Probe => {
                    if let Place::Cooldown(end) = roster.rotation.standing(event.index).place {
                        roster.rotation.ration(event.index).offer_probe();
                        roster.show(event.index, base);
                        again = self.next_probe(end).map(|at| Event { at, ..event });
                    }
                }
                What::MoreShare => {
                    let grows = roster.rotation.ration(event.index).ease(roster.largest_ration());
                    again = grows.then(|| Event { at: Millis(self.now().0 + RATION_STEP), ..event });
                    roster.show(event.index, base);
                }
            }
            if base.is_none() {
                generation.spread(event.index);
            }
        });
        again
    }

    fn end_cooldown(
        &self,
        generation: &Generation,
        roster: &Roster,
        base: Option<&Roster>,
        event: Event,
    ) -> Option<Event> {
        let now = self.now();
        match roster.rotation.standing(event.index).place {
            Place::Cooldown(at) if at > now => return Some(Event { at, ..event }),
            Place::Cooldown(_) => {}
            Place::Available | Place::Permanent => return None,
        }
        roster.rotation.ration(event.index).withdraw_probe();
        // Not all at once: what waited for it would run it into its limit again.
        self.keep_to_ration(generation, roster, event.index, |ration| ration.set(1));
        let (_, after) = roster.change(event.index, base, |standing| standing.at(now));
        if after.is_available() {
            roster.stories().remove(&event.index);
        }
        None
    }

    /// Every cooldown that is running.
    pub(super) fn cooldowns(&self) -> Vec<Event> {
        let generation = self.generation.load();
        let mut events = Vec::new();
        generation.each(|roster, _| {
            for index in (0_u32..).take(roster.rotation.len()) {
                if let Place::Cooldown(at) = roster.rotation.standing(index).place {
                    let event = Event {
                        at,
                        generation: generation.number,
                        roster: roster.id,
                        index,
                        what: What::Return,
                    };
                    events.push(event);
                    events.extend(self.next_probe(at).map(|at| Event { at, what: What::Probe, ..event }));
                }
            }
        });
        events
    }

    /// Publishes when the first cooldown of a roster ends.
    pub(super) fn publish_earliest(&self, roster: u32, at: Option<Millis>) {
        self.generation.load().roster(roster, |roster, _| roster.publish_earliest(at));
    }

    /// A moment on the runtime's clock.
    pub(super) fn instant(&self, at: Millis) -> Instant {
        self.began + Duration::from_millis(at.0)
    }

    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn since_began(&self) -> Duration {
        self.began.elapsed()
    }

    fn announce(&self, due: Due) {
        // Without a clock (in tests and benches) nobody listens, and nothing is lost but the end of cooldowns.
        drop(self.due.send(due));
    }
}

/// A roster for the keys of a new reading; `stays` tells where each was before, if it keeps its standing.
fn moved(old: &Roster, stays: &[Option<u32>], start: usize, absent: impl Fn(usize) -> bool) -> Roster {
    let standing = |at: &Option<u32>| at.map_or(Standing::FRESH, |at| old.rotation.standing(at));
    let standings: Vec<Standing> = stays.iter().map(standing).collect();
    let roster = Roster::new(old.id, old.model.clone(), &standings, start, absent);
    roster.used.store(old.used.load(Ordering::Relaxed), Ordering::Relaxed);
    roster.price.learn(old.price.tokens());
    {
        let (told, mut tell) = (old.stories(), roster.stories());
        for (index, at) in (0_u32..).zip(stays) {
            if let Some(story) = at.and_then(|at| told.get(&at)) {
                tell.insert(index, Arc::clone(story));
            }
        }
    }
    roster
}

/// Brings over what happened to the old roster while the new one was made.
fn catch_up(old: &Roster, new: &Roster, base: Option<&Roster>, stays: &[Option<u32>]) {
    for (index, at) in (0_u32..).zip(stays).filter_map(|(index, at)| Some((index, (*at)?))) {
        let (late, copied) = (old.rotation.standing(at), new.rotation.standing(index));
        if late != copied && copied == Standing::FRESH {
            if let Some(story) = old.story(at) {
                new.stories().insert(index, story);
            }
            new.change(index, base, |now| if now == copied { late } else { now });
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
