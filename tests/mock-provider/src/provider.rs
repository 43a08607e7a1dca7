//! One provider: its keys, what they play, its phases, and what it has seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use crate::answers::{self, Script};
use crate::ask::{Ask, Shape};
use crate::bucket::{Bucket, Buckets};
use crate::dialect::{Dialect, Wanted};
use crate::play::Play;
use crate::seen::{Asked, Seen, lock};

/// So many different answers are kept built.
const KEPT_ANSWERS: usize = 256;
/// So many unknown keys are counted one by one.
const UNKNOWN_KEYS: usize = 100_000;

/// What one answer's bytes depend on.
type Sought = (Dialect, Wanted, Shape);

/// A provider's state.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) defaults: Ask,
    pub(crate) models: Vec<String>,
    pub(crate) seen: Seen,
    unknown: RwLock<Play>,
    keys: RwLock<HashMap<String, Arc<Key>>>,
    /// What all keys play, until told otherwise.
    phase: RwLock<Option<Arc<Play>>>,
    /// What all keys play from one request of the provider's to another.
    phases: RwLock<Vec<(u64, u64, Arc<Play>)>>,
    built: Mutex<HashMap<Sought, Script>>,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) asked: Arc<Mutex<Asked>>,
    part: Mutex<Part>,
}

#[derive(Debug)]
struct Part {
    play: Arc<Play>,
    played: u64,
    buckets: Option<(Play, Buckets)>,
}

impl Key {
    fn new(play: Play) -> Self {
        Self { asked: Arc::default(), part: Mutex::new(Part::new(Arc::new(play))) }
    }

    /// What the key plays now; `advance` if the request counts as one of the play's.
    fn plays(&self, advance: bool) -> Play {
        let mut part = lock(&self.part);
        let played = part.played;
        part.played += u64::from(advance);
        part.play.at(played).clone()
    }

    /// Takes a request's cost from the key's buckets, and says where they then stand.
    pub(crate) fn take(&self, play: &Play, tokens: usize, dialect: Dialect) -> Limited {
        let Play::RateLimited { requests, tokens: token_rate } = play else { return Limited::default() };
        let now = Instant::now();
        let mut part = lock(&self.part);
        if part.buckets.as_ref().is_none_or(|(of, _)| of != play) {
            let bucket = |rate| Bucket::full(rate, now);
            let buckets = Buckets { requests: requests.map(bucket), tokens: token_rate.map(bucket) };
            part.buckets = Some((play.clone(), buckets));
        }
        let Some((_, buckets)) = &mut part.buckets else { return Limited::default() };
        let refused = buckets.take(u32::try_from(tokens).unwrap_or(u32::MAX), now).err();
        Limited { refused, headers: buckets.headers(dialect) }
    }
}

impl Part {
    fn new(play: Arc<Play>) -> Self {
        Self { play, played: 0, buckets: None }
    }
}

/// Where a key's buckets stand.
#[derive(Default)]
pub(crate) struct Limited {
    pub(crate) refused: Option<(std::time::Duration, bool)>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Provider {
    pub(crate) fn new(defaults: Ask, models: Vec<String>, remember: usize, unknown: Play) -> Self {
        Self {
            defaults,
            models,
            seen: Seen::new(remember),
            unknown: RwLock::new(unknown),
            keys: RwLock::default(),
            phase: RwLock::default(),
            phases: RwLock::default(),
            built: Mutex::default(),
        }
    }

    /// The key, known or not.
    pub(crate) fn key(&self, key: &str) -> Arc<Key> {
        if let Some(found) = read(&self.keys).get(key) {
            return Arc::clone(found);
        }
        let unknown = read(&self.unknown).clone();
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= UNKNOWN_KEYS {
            return Arc::new(Key::new(unknown));
        }
        Arc::clone(keys.entry(key.to_owned()).or_insert_with(|| Arc::new(Key::new(unknown))))
    }

    /// Says what a key plays from now on.
    pub(crate) fn play(&self, key: &str, play: Play) {
        let found = {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keys.entry(key.to_owned()).or_insert_with(|| Arc::new(Key::new(Play::Valid))))
        };
        *lock(&found.part) = Part::new(Arc::new(play));
    }

    /// Says what keys play that nothing was said about.
    pub(crate) fn unknown(&self, play: Play) {
        *self.unknown.write().unwrap_or_else(PoisonError::into_inner) = play;
    }

    /// Says what all keys play, or ends that.
    pub(crate) fn phase(&self, play: Option<Play>) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = play.map(Arc::new);
        if read(&self.phase).is_none() {
            self.phases.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Says what all keys play from the provider's request `from` (counted from 0) until `until`.
    pub(crate) fn phase_between(&self, from: u64, until: u64, play: Play) {
        self.phases.write().unwrap_or_else(PoisonError::into_inner).push((from, until, Arc::new(play)));
    }

    /// What request `number` gets, its own wish aside.
    pub(crate) fn plays(&self, key: &Key, number: u64, advance: bool) -> Play {
        let (mut phase, mut since) = (read(&self.phase).clone(), 0);
        if phase.is_none()
            && let Some((from, _, play)) =
                read(&self.phases).iter().find(|(from, until, _)| (*from..*until).contains(&number))
        {
            (phase, since) = (Some(Arc::clone(play)), *from);
        }
        match phase {
            Some(play) => play.at(number.saturating_sub(since)).clone(),
            None => key.plays(advance),
        }
    }

    /// Forgets what was seen and begins all plays anew; ends all phases.
    pub(crate) fn reset(&self) {
        self.phase(None);
        self.seen.clear();
        for key in read(&self.keys).values() {
            let mut part = lock(&key.part);
            *part = Part::new(Arc::clone(&part.play));
            *lock(&key.asked) = Asked::default();
        }
    }

    /// What all keys were asked.
    pub(crate) fn asked(&self) -> BTreeMap<String, Asked> {
        read(&self.keys).iter().map(|(key, found)| (key.clone(), lock(&found.asked).clone())).collect()
    }

    /// The answer of a valid key, built once for each shape.
    pub(crate) fn script(&self, dialect: Dialect, wanted: Wanted, shape: &Shape) -> Script {
        let sought = (dialect, wanted, shape.clone());
        if let Some(script) = lock(&self.built).get(&sought) {
            return script.clone();
        }
        let script = answers::answer(dialect, wanted, shape, &self.models);
        let mut built = lock(&self.built);
        if built.len() >= KEPT_ANSWERS {
            built.clear();
        }
        built.insert(sought, script.clone());
        script
    }
}

fn read<T>(shared: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}
