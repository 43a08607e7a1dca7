//! The keys in use and who may lease them: rotation, stories and the generation that a reload replaces.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::file::KeyTable;
use super::rotation::{Need, Rotation};
use super::secret::preview;
use super::state::{CooldownPolicy, Effect, Millis, Place, Standing};

/// All keys of a group.
pub struct KeyPool {
    generation: ArcSwap<Generation>,
    policy: CooldownPolicy,
    began: Instant,
    /// Tells [`clock::run`](super::clock::run) what will be due. At most one word a key is under way: a key is
    /// announced when it leaves the rotation, and only the clock brings it back.
    due: mpsc::UnboundedSender<Due>,
    /// When the first cooldown ends, in [`Millis`]; `u64::MAX` if none does.
    earliest: AtomicU64,
    /// One reload at a time. Never taken on a request's way.
    replacing: Mutex<()>,
}

/// The keys of one reading of the file.
struct Generation {
    number: u64,
    /// How many resets came before: a lease from before a reset has nothing to say after it.
    resets: u64,
    keys: KeyTable,
    rotation: Rotation,
    stories: Box<[ArcSwapOption<Story>]>,
}

/// Why a key is out.
struct Story {
    effect: Effect,
    since: SystemTime,
    cause: Cause,
}

/// Why a lease failed.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The rule that judged it.
    pub rule: &'static str,
    /// What the upstream said: one line, redacted.
    pub error: Box<str>,
}

/// Word to the clock.
#[derive(Debug)]
pub enum Due {
    /// A key's cooldown ends.
    Cooldown(Ending),
    /// The generation was replaced: read all cooldowns anew.
    Replaced,
}

/// The end of a key's cooldown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    at: Millis,
    generation: u64,
    index: u32,
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
pub struct Blacklisted {
    /// Its place in the file, from 0, duplicates not counted.
    pub index: u32,
    /// What may be shown of it.
    pub preview: String,
    /// The verdict's name.
    pub reason: &'static str,
    /// For good, or until `recovers_at`.
    pub permanent: bool,
    /// Since when.
    pub blacklist_at: SystemTime,
    /// Until when.
    pub recovers_at: Option<SystemTime>,
    /// Failures in a row.
    pub fail_count: u32,
    /// The rule that judged it.
    pub rule: &'static str,
    /// What the upstream said.
    pub last_error: Box<str>,
}

impl KeyPool {
    /// A pool in which every key is available and `start` has the first turn, and what its clock has to hear.
    pub fn new(keys: KeyTable, policy: CooldownPolicy, start: usize) -> (Self, mpsc::UnboundedReceiver<Due>) {
        let (due, heard) = mpsc::unbounded_channel();
        let standings = vec![Standing::FRESH; keys.len() as usize];
        let generation = Generation::new(keys, &standings, start, 0, 0);
        let pool = Self {
            generation: ArcSwap::from_pointee(generation),
            policy,
            began: Instant::now(),
            due,
            earliest: AtomicU64::new(u64::MAX),
            replacing: Mutex::new(()),
        };
        (pool, heard)
    }

    /// Leases the key whose turn it is among those that are available and meet the need. Lock-free; its cost does
    /// not depend on how many keys there are or how many are out.
    pub fn lease(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let turn = generation.rotation.take(need)?;
        Some(Lease { pool: self, generation, index: turn.index, ends_lap: turn.ends_lap })
    }

    /// How many keys there are.
    pub fn total(&self) -> usize {
        self.generation.load().rotation.len()
    }

    /// How many of them are available.
    pub fn available(&self) -> usize {
        self.generation.load().rotation.available()
    }

    /// Whose turn is next.
    pub fn current_index(&self) -> usize {
        self.generation.load().rotation.cursor()
    }

    /// How long until a key is available: zero if one is, `None` if no cooldown is running.
    pub fn earliest_return(&self) -> Option<Duration> {
        if self.available() > 0 {
            return Some(Duration::ZERO);
        }
        match self.earliest.load(Ordering::Relaxed) {
            u64::MAX => None,
            at => Some(Duration::from_millis(at.saturating_sub(self.now().0))),
        }
    }

    /// Replaces the keys. Keys that stay keep their standing if `states` says so; leases on keys that leave run on
    /// and are settled in vain.
    pub fn replace(&self, keys: KeyTable, states: States) -> Replaced {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        let stays: Vec<Option<u32>> = keys.iter().map(|key| old.keys.find(key)).collect();
        let keep = |at: &Option<u32>| at.filter(|_| states == States::Keep);
        let standings: Vec<Standing> =
            stays.iter().map(|at| keep(at).map_or(Standing::FRESH, |at| old.rotation.standing(at))).collect();
        let cursor = u32::try_from(old.rotation.cursor()).unwrap_or_default();
        let start = keys.find(old.keys.get(cursor)).map_or(0, |index| index as usize);
        let resets = old.resets + u64::from(states == States::Clear);
        let new = Generation::new(keys, &standings, start, old.number + 1, resets);
        let staying = || (0_u32..).zip(&stays).filter_map(|(index, at)| Some((index, keep(at)?)));
        for (index, at) in staying() {
            if let (Some(story), Some(told)) = (new.stories.get(index as usize), old.stories.get(at as usize))
            {
                story.store(told.load_full());
            }
        }
        let new = Arc::new(new);
        self.generation.store(Arc::clone(&new));
        // What was settled on the old generation while it was being copied.
        for ((index, at), copied) in
            staying().filter_map(|(index, at)| Some(((index, at), standings.get(index as usize)?)))
        {
            let late = old.rotation.standing(at);
            if late != *copied {
                new.rotation.change(index, |now| if now == *copied { late } else { now });
            }
        }
        self.announce(Due::Replaced);
        let kept = stays.iter().flatten().count();
        Replaced { added: stays.len() - kept, removed: old.rotation.len() - kept }
    }

    /// The keys that are out, in file order.
    pub fn blacklisted(&self) -> Vec<Blacklisted> {
        let generation = self.generation.load_full();
        let (now, wall) = (self.now(), SystemTime::now());
        let entry = |(index, key): (u32, &str)| {
            let standing = generation.rotation.standing(index);
            let recovers_at = match standing.place {
                Place::Available => return None,
                Place::Cooldown(until) => Some(wall + Duration::from_millis(until.0.saturating_sub(now.0))),
                Place::Permanent => None,
            };
            // The standing is written a moment before the story: a reader in between skips the key.
            let story = generation.stories.get(index as usize)?.load_full()?;
            Some(Blacklisted {
                index,
                preview: preview(key),
                reason: story.effect.name(),
                permanent: recovers_at.is_none(),
                blacklist_at: story.since,
                recovers_at,
                fail_count: standing.failures,
                rule: story.cause.rule,
                last_error: story.cause.error.clone(),
            })
        };
        (0_u32..).zip(generation.keys.iter()).filter_map(entry).collect()
    }

    /// Ends the cooldowns that are due among `endings` of the present generation; gives back those that were
    /// prolonged.
    pub(super) fn end_cooldowns(&self, endings: impl IntoIterator<Item = Ending>) -> Vec<Ending> {
        let generation = self.generation.load();
        let now = self.now();
        let mut prolonged = Vec::new();
        for ending in endings.into_iter().filter(|ending| ending.generation == generation.number) {
            let (_, after) = generation.rotation.change(ending.index, |standing| standing.at(now));
            if let Place::Cooldown(at) = after.place {
                prolonged.push(Ending { at, ..ending });
            }
        }
        prolonged
    }

    /// Every cooldown that is running.
    pub(super) fn cooldowns(&self) -> Vec<Ending> {
        let generation = self.generation.load();
        let ending = |index| match generation.rotation.standing(index).place {
            Place::Cooldown(at) => Some(Ending { at, generation: generation.number, index }),
            Place::Available | Place::Permanent => None,
        };
        (0_u32..).take(generation.rotation.len()).filter_map(ending).collect()
    }

    /// Publishes when the first cooldown ends.
    pub(super) fn publish_earliest(&self, first: Option<Ending>) {
        self.earliest.store(first.map_or(u64::MAX, |ending| ending.at.0), Ordering::Relaxed);
    }

    /// When that is on the runtime's clock.
    pub(super) fn instant(&self, ending: Ending) -> Instant {
        self.began + Duration::from_millis(ending.at.0)
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn announce(&self, due: Due) {
        // Without a clock (in tests and benches) nobody listens, and nothing is lost but the end of cooldowns.
        drop(self.due.send(due));
    }
}

impl Generation {
    fn new(keys: KeyTable, standings: &[Standing], start: usize, number: u64, resets: u64) -> Self {
        let stories = standings.iter().map(|_| ArcSwapOption::empty()).collect();
        Self { number, resets, keys, rotation: Rotation::new(standings, start), stories }
    }
}

/// The right to use one key for one attempt. It ends in a verdict; dropped without one (the client went away, or
/// the failure was not the key's) it blames nobody.
pub struct Lease<'pool> {
    pool: &'pool KeyPool,
    generation: Guard<Arc<Generation>>,
    index: u32,
    ends_lap: bool,
}

impl Lease<'_> {
    /// The key's place in the file.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The key itself, for the one place that sends it and the one that redacts it.
    pub fn expose(&self) -> &str {
        self.generation.keys.get(self.index)
    }

    /// What may be shown of it.
    pub fn preview(&self) -> String {
        preview(self.expose())
    }

    /// Whether this turn was the last of a lap over the keys.
    pub fn ends_lap(&self) -> bool {
        self.ends_lap
    }

    /// The key did its work.
    pub fn succeed(self) {
        self.change(Effect::Success);
    }

    /// The key failed. Returns whether it left the rotation with this.
    pub fn fail(self, effect: Effect, cause: Cause) -> bool {
        let Some((generation, index, before, after)) = self.change(effect) else { return false };
        if after.is_available() {
            return false;
        }
        if let Some(told) = generation.stories.get(index as usize) {
            let since = match told.load_full() {
                Some(story) if !before.is_available() => story.since,
                _ => SystemTime::now(),
            };
            told.store(Some(Arc::new(Story { effect, since, cause })));
        }
        if let (true, Place::Cooldown(at)) = (before.is_available(), after.place) {
            self.pool.earliest.fetch_min(at.0, Ordering::Relaxed);
            self.pool.announce(Due::Cooldown(Ending { at, generation: generation.number, index }));
        }
        before.is_available()
    }

    /// Applies an effect where the key stands today: a reload may have moved it, or taken it away.
    fn change(&self, effect: Effect) -> Option<(Guard<Arc<Generation>>, u32, Standing, Standing)> {
        let generation = self.pool.generation.load();
        let index = if generation.number == self.generation.number {
            self.index
        } else if generation.resets == self.generation.resets {
            generation.keys.find(self.expose())?
        } else {
            return None;
        };
        let (now, jitter) = match effect {
            Effect::Success => (Millis(0), 0.0),
            _ => (self.pool.now(), fastrand::f64()),
        };
        let (before, after) = generation
            .rotation
            .change(index, |standing| standing.after(effect, &self.pool.policy, now, jitter));
        Some((generation, index, before, after))
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
