//! Who waits for a key, and in what order: first come, first served, whatever model they wait for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::busy::silence;
use super::generation::Generation;
use super::lease::Lease;
use super::outlook::comes_back_by;
use super::pool::{KeyPool, Need};
use super::roster::Roster;

/// How long at most the ends of cooldowns may be late, where the machine stood still, for requests that wait for them.
const CLOCK_LATE: Duration = Duration::from_millis(50);

/// A place in line: when the request began, and a number.
type At = (Instant, u64);

/// Those who wait for a key of one roster: how many, and each in its place.
#[derive(Default)]
pub(super) struct Line {
    waiting: AtomicUsize,
    queue: Mutex<BTreeMap<At, Arc<Notify>>>,
    places: AtomicU64,
}

/// A request's place in line. It keeps it until it is dropped.
struct Waiting<'a> {
    generation: &'a Generation,
    line: &'a Line,
    at: At,
    turn: Arc<Notify>,
}

impl Line {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Wakes everybody: the roster is out of use.
    pub(super) fn wake_all(&self) {
        self.queue().values().for_each(|waiting| waiting.notify_one());
    }

    fn queue(&self) -> MutexGuard<'_, BTreeMap<At, Arc<Notify>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    /// Wakes who has waited longest here, if there is a key to be had.
    pub(super) fn wake_first(&self) {
        if let Some((_, first)) = self.first_in_line() {
            first.notify_one();
        }
    }

    fn first_in_line(&self) -> Option<(At, Arc<Notify>)> {
        if self.line.waiting() == 0 || self.rotation.available() == 0 {
            return None;
        }
        self.line.queue().first_key_value().map(|(at, turn)| (*at, Arc::clone(turn)))
    }
}

impl Generation {
    /// Wakes who has waited longest of all that may find a key.
    fn wake_first(&self) {
        if let Some((_, first)) = self.first_in_line() {
            first.notify_one();
        }
    }

    fn first_in_line(&self) -> Option<(At, Arc<Notify>)> {
        let mut first: Option<(At, Arc<Notify>)> = None;
        self.each(|roster, _| {
            if let Some(here) = roster.first_in_line()
                && first.as_ref().is_none_or(|first| here.0 < first.0)
            {
                first = Some(here);
            }
        });
        first
    }
}

impl<'a> Waiting<'a> {
    /// Takes a place, before those who began later.
    fn new(generation: &'a Generation, roster: &'a Roster, began: Instant) -> Self {
        let line = &roster.line;
        let turn = Arc::new(Notify::new());
        let at = (began, line.places.fetch_add(1, Ordering::Relaxed));
        line.queue().insert(at, Arc::clone(&turn));
        line.waiting.fetch_add(1, Ordering::SeqCst);
        // A key that came back before that woke nobody.
        roster.wake_first();
        Self { generation, line, at, turn }
    }

    /// Whether somebody who waits longer, for another model, may find a key: then it is that one's turn.
    fn gives_way(&self) -> bool {
        let first = self.generation.first_in_line().filter(|(at, _)| *at < self.at);
        first.is_some_and(|(_, first)| {
            first.notify_one();
            true
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.queue().remove(&self.at);
        self.line.waiting.fetch_sub(1, Ordering::SeqCst);
        // Whoever is next may have been waiting for this one to take its turn.
        self.generation.wake_first();
    }
}

impl KeyPool {
    /// Waits until `by` for the first key that meets the need, first come first served: by when the request began, so
    /// that one that has to try again does not stand behind all who came after it. Where no key is due, it does not wait for
    /// answers that may take minutes: the ration of a key whose requests take long is raised.
    ///
    /// # Cancel safety
    /// Dropping it gives the place up; whoever is next is woken in its stead.
    pub async fn lease_by(&self, need: Need<'_>, began: Instant, by: Instant) -> Option<Lease<'_>> {
        let silence = silence(by.saturating_duration_since(Instant::now()));
        let mut until = by;
        loop {
            let generation = self.generation.load_full();
            let model = generation.model(need.model);
            let roster = generation.of(model.as_ref()).0;
            let place = Waiting::new(&generation, roster, began);
            // A reload brings new rosters, and a model may get one of its own: then it is there that one waits.
            let is_in_use = || {
                let today = self.generation.load();
                let of_model = today.model(need.model);
                today.number == generation.number
                    && of_model.as_ref().map(Arc::as_ptr) == model.as_ref().map(Arc::as_ptr)
            };
            let look = || (Instant::now() + silence, self.find_busy(need));
            let (mut look_again, mut busy) = look();
            while is_in_use() {
                let is_turn = timeout_at(until.min(look_again), place.turn.notified()).await.is_ok();
                if !is_turn && look_again < until {
                    if let Some(busy) = busy {
                        self.ease_stuck(need, busy, by.saturating_duration_since(Instant::now()));
                    }
                    (look_again, busy) = look();
                    generation.wake_first();
                    continue;
                }
                if is_turn && place.gives_way() {
                    continue;
                }
                if let Some(lease) = self.take(need, &[], |_, _| true) {
                    return Some(lease);
                }
                if is_turn {
                    // It was taken by somebody who did not wait.
                    generation.wake_first();
                } else {
                    if until > by || !comes_back_by(&generation, model.as_deref(), self.now()) {
                        return None;
                    }
                    until = by + CLOCK_LATE;
                }
            }
        }
    }
}
