//! The pool of a group's keys: who gets which key next, who waits for one, and when there is one again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::blacklist::Changed;
use super::census::Losses;
use super::clock::Due;
use super::doubts::Doubts;
use super::file::KeyTable;
use super::foretold::Foretold;
use super::generation::{Generation, Texts};
use super::lease::Lease;
use super::outlook::returns_at;
use super::ration::Entry;
use super::roster::Roster;
use super::rotation::Turn;
use super::served::{REMEMBERED, Served};
use super::state::{CooldownPolicy, Millis, Standing};
use super::storm::Storms;

/// So long after a key was tried last, in milliseconds, it may be a dead pool's last resort.
const OF_A_SECOND: u64 = 900;

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
    /// The present one's number: a lease of the same need not look for it.
    pub(super) number: AtomicU64,
    pub(super) policy: PoolPolicy,
    began: Instant,
    /// Tells [`clock::run`](super::clock::run) what will be due.
    pub(super) due: mpsc::UnboundedSender<Due>,
    pub(super) served: Served,
    pub(super) storms: Storms,
    pub(super) doubts: Doubts,
    pub(super) foretold: Foretold,
    pub(super) losses: Losses,
    /// Standings that changed since the journal last looked. Never locked on the way of a request that succeeds.
    pub(super) changed: Mutex<Vec<Changed>>,
    pub(super) journaled: bool,
    last_resort: AtomicU64,
    /// How many rosters there have been.
    pub(super) rosters: AtomicU32,
    /// One reload at a time. Never taken on a request's way.
    pub(super) replacing: Mutex<()>,
    /// One new roster of a model at a time: taken by requests that fail, and by a reload for those made meanwhile.
    pub(super) making: Mutex<()>,
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
            number: AtomicU64::new(0),
            policy,
            began: Instant::now(),
            due,
            served: Served::default(),
            storms: Storms::default(),
            doubts: Doubts::default(),
            foretold: Foretold::default(),
            losses: Losses::default(),
            changed: Mutex::default(),
            journaled,
            last_resort: AtomicU64::new(0),
            rosters: AtomicU32::new(1),
            replacing: Mutex::new(()),
            making: Mutex::new(()),
        };
        (pool, heard)
    }

    /// What a client says as it may be shown: a key in it is hidden.
    pub fn hidden<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let generation = self.generation.load();
        let Texts { keys, marks } = &*generation.texts;
        match marks.redact_plain(keys, text.as_bytes()) {
            Some(hidden) => String::from_utf8_lossy(&hidden).into_owned().into(),
            None => text.into(),
        }
    }

    /// Leases the key whose turn it is among those that are available and that this request has not tried, while there
    /// is one. Lock-free; its cost does not depend on how many keys there are or how many are out. `None` too if others
    /// wait for a key already: then this request has to stand behind them.
    pub fn lease(&self, need: Need<'_>) -> Option<Lease<'_>> {
        self.take(need, &[], |roster, base| {
            roster.line.waiting() == 0 && base.is_none_or(|base| base.line.waiting() == 0)
        })
    }

    /// The same, but none of `never`, whatever else there is; and not behind those who wait.
    pub fn lease_other(&self, need: Need<'_>, never: &[u32]) -> Option<Lease<'_>> {
        self.take(need, never, |_, _| true)
    }

    pub(super) fn take(
        &self,
        need: Need<'_>,
        never: &[u32],
        may: impl Fn(&Roster, Option<&Roster>) -> bool,
    ) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let (roster, base) = generation.of(model.as_ref());
        if !may(roster, base) {
            return None;
        }
        let fresh = roster.take(need.not, base);
        let (turn, of_base) = match fresh {
            None if need.not.len() > never.len() => roster.take(never, base)?,
            fresh => fresh?,
        };
        Some(self.turned(generation, model, turn, of_base))
    }

    pub(super) fn turned(
        &self,
        generation: Guard<Arc<Generation>>,
        model: Option<Arc<Roster>>,
        turn: Turn,
        of_base: Entry,
    ) -> Lease<'_> {
        let lease = Lease::new(self, generation, model, turn, of_base);
        if lease.is_probe() {
            lease.withdraw_from_models();
        }
        lease
    }

    /// Leases, out of turn, a key that has served before, the latest that had its turn. For a request that has one attempt
    /// left, or needs a witness: in a pool of which many are no good, no attempt must be spent on a key that nothing is
    /// known of.
    pub fn lease_proven(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let has_served = |generation: &Generation, index: u32| {
            let served = generation.served_by(index);
            served > 0 && !self.doubts.has(index, served)
        };
        self.take_back(need, &[], has_served)
    }

    /// The same, but one that served the last request that it was asked for: where others lack what it takes.
    pub fn lease_rich(&self, need: Need<'_>) -> Option<Lease<'_>> {
        self.take_back(need, &[], |generation, index| {
            let has_failed = |roster: &Roster| roster.rotation.standing(index).failures > 0;
            let of_model = generation.model(need.model);
            generation.served_by(index) > 0
                && !has_failed(&generation.base)
                && !of_model.as_deref().is_some_and(has_failed)
        })
    }

    /// Leases, out of turn, a key that is not put to the test with it.
    pub fn lease_in_rotation(&self, need: Need<'_>) -> Option<Lease<'_>> {
        self.take_back(need, &[], |_, _| true)
    }

    /// As a proven key, but one of those that have served this model of late: where not every key may use it. Failing that one
    /// that is denied it though it has.
    pub fn lease_likely(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let now = self.began.elapsed();
        let served = need.model.into_iter().flat_map(|model| self.served.by(model, now, REMEMBERED));
        let likely: Vec<u32> = served.collect();
        let free = self.take_back(need, &likely, |_, index| likely.contains(&index));
        free.or_else(|| self.lease_denied_of_late(need))
    }

    fn take_back(
        &self,
        need: Need<'_>,
        likely: &[u32],
        suits: impl Fn(&Generation, u32) -> bool,
    ) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let (roster, base) = generation.of(model.as_ref());
        if roster.line.waiting() > 0 {
            return None;
        }
        let suits = |index| !need.not.contains(&index) && suits(&generation, index);
        let (turn, of_base) = roster.take_back(base, likely, suits)?;
        Some(self.turned(generation, model, turn, of_base))
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
        let operators: HashSet<u32> = {
            let stories = generation.base.stories();
            stories.iter().filter(|(_, story)| story.is_operators()).map(|(index, _)| *index).collect()
        };
        let untried = |index: &u32| !need.not.contains(index) && !operators.contains(index);
        let closest = (0_u32..)
            .take(generation.base.rotation.len())
            .filter(untried)
            .filter_map(|index| {
                let of_model =
                    model.as_deref().map_or(Some(Millis(0)), |roster| returns_at(roster, index))?;
                Some((returns_at(&generation.base, index)?.max(of_model), index))
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
        if let Some(story) = story.filter(|story| story.tried.0 + OF_A_SECOND > now.0) {
            // The next is counted from there.
            let began = (story.tried.0 + 1 + OF_A_SECOND).saturating_sub(1000).max(1);
            let _ = self.last_resort.compare_exchange(now.0 + 1, began, Ordering::Relaxed, Ordering::Relaxed);
            return None;
        }
        Some(self.probe(generation, model, index))
    }

    /// A lease on a certain key, whether it is out or not.
    #[cfg(all(test, not(feature = "loom")))]
    pub(super) fn probe_key(&self, index: u32) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        ((index as usize) < generation.base.rotation.len()).then(|| self.probe(generation, None, index))
    }

    pub(super) fn probe(
        &self,
        generation: Guard<Arc<Generation>>,
        model: Option<Arc<Roster>>,
        index: u32,
    ) -> Lease<'_> {
        let entry = |roster: &Roster| {
            if roster.rotation.standing(index).is_available() {
                roster.rotation.ration(index).exceed()
            } else {
                Entry::Asked
            }
        };
        let of_base = model.as_ref().map_or(Entry::Free, |_| entry(&generation.base));
        let entry = entry(generation.of(model.as_ref()).0);
        let turn = Turn { index, ends_lap: false, entry };
        Lease::new(self, generation, model, turn, of_base)
    }

    /// How many keys there are.
    pub fn total(&self) -> usize {
        self.generation.load().base.rotation.len()
    }

    /// How many keys are not set aside, as operators see it: one that is only put to the test is.
    pub fn healthy(&self) -> usize {
        let base = &self.generation.load().base;
        let out = base.stories().len();
        base.rotation.len().saturating_sub(out)
    }

    /// How many of them are in rotation.
    pub fn available(&self) -> usize {
        self.generation.load().base.rotation.serving()
    }

    /// Whose turn is next.
    pub fn current_index(&self) -> usize {
        self.generation.load().base.rotation.cursor()
    }

    /// Requests that wait for a key.
    pub fn waiting(&self) -> usize {
        let mut waiting = 0;
        self.generation.load().each(|roster, _| waiting += roster.line.waiting());
        waiting
    }

    /// Storms that are on, and upstreams at limits of their own: the upstream's index, since when, and how many keys it has put
    /// under suspicion, or refused.
    pub fn storms(&self) -> Vec<(usize, SystemTime, usize)> {
        [self.storms.list(), self.storms.at_limit()].concat()
    }

    /// Whether some key has served this model of late.
    pub fn has_served(&self, model: &str) -> bool {
        self.served.by(model, self.began.elapsed(), REMEMBERED).next().is_some()
    }

    /// A key's text, for the places that send it or make a hash of it.
    pub fn expose(&self, index: u32) -> Option<String> {
        let generation = self.generation.load();
        ((index as usize) < generation.base.rotation.len()).then(|| generation.keys().get(index).to_owned())
    }

    /// A key's place in the file.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.generation.load().keys().find(key)
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
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
