//! Recognises that upstreams, not the keys, are at fault: more than half of a pool of at least five keys is told "for
//! good" or "for long" within ten seconds (spec §6). Until an upstream that told so has served a request again, its verdicts
//! are held as suspicions; and after that, those against the same keys until a free check confirms them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::state::Millis;

/// Smaller pools tell nothing.
const SMALLEST_POOL: usize = 5;
/// Within so many milliseconds.
const WINDOW: u64 = 10_000;
/// Verdicts that are remembered: as many as half of the largest pool that can be told so fast.
const REMEMBERED: usize = 1 << 16;

/// As many live requests as a suspect may fail after its storm, where checks find out nothing or are in error.
const BELIEVED_AFTER: u8 = 3;

/// The storms over all upstreams of a pool.
#[derive(Default)]
pub(super) struct Storms {
    /// How many are on: all that a success has to look at.
    on: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who was told of late, and by which upstream.
    told: VecDeque<(Millis, u32, usize)>,
    by_upstream: Vec<Upstream>,
}

#[derive(Default)]
struct Upstream {
    /// Since when the storm is on.
    since: Option<SystemTime>,
    /// Keys that are or were under suspicion, and how many live requests each has failed since its storm was over.
    suspects: HashMap<u32, u8>,
}

/// What a hard verdict turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It stands.
    Believed,
    /// It is a suspicion.
    Suspected,
    /// It is a suspicion, and so are those against these keys, which were believed until now.
    Begins(Vec<u32>),
}

impl Storms {
    /// A key is told, for good or for long, by an upstream: in answer to a free check of ours, or to a client's request.
    pub(super) fn told(
        &self,
        upstream: usize,
        index: u32,
        by_check: bool,
        pool: usize,
        now: Millis,
    ) -> Finding {
        let mut state = self.state();
        let here = state.upstream(upstream);
        if here.since.is_some() {
            here.suspects.entry(index).or_default();
            return Finding::Suspected;
        }
        if let Some(failed) = here.suspects.get_mut(&index) {
            *failed += 1;
            if !by_check && *failed < BELIEVED_AFTER {
                return Finding::Suspected;
            }
            here.suspects.remove(&index);
            return Finding::Believed;
        }
        let State { told, .. } = &mut *state;
        while told.front().is_some_and(|(at, ..)| at.0 + WINDOW < now.0) || told.len() >= REMEMBERED {
            told.pop_front();
        }
        told.push_back((now, index, upstream));
        if pool < SMALLEST_POOL || told.len() * 2 <= pool {
            return Finding::Believed;
        }
        let mut others: HashSet<u32> = told.iter().map(|(_, index, _)| *index).collect();
        if others.len() * 2 <= pool {
            return Finding::Believed;
        }
        others.remove(&index);
        for (_, index, upstream) in std::mem::take(told) {
            self.suspect(&mut state, upstream, index, SystemTime::now());
        }
        Finding::Begins(others.into_iter().collect())
    }

    /// A key is under suspicion since before a restart or a reload.
    pub(super) fn resume(&self, upstream: usize, index: u32, since: SystemTime) {
        self.suspect(&mut self.state(), upstream, index, since);
    }

    fn suspect(&self, state: &mut State, upstream: usize, index: u32, since: SystemTime) {
        let here = state.upstream(upstream);
        if here.since.is_none() {
            self.on.fetch_add(1, Ordering::SeqCst);
        }
        here.since = Some(here.since.map_or(since, |earlier| earlier.min(since)));
        here.suspects.insert(index, 0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any storm is on.
    pub(super) fn any(&self) -> bool {
        self.on.load(Ordering::Relaxed) > 0
    }

    /// An upstream served a request: its storm, if one was on, is over. Gives back the suspects.
    pub(super) fn served(&self, upstream: usize) -> Vec<u32> {
        let mut state = self.state();
        let here = state.upstream(upstream);
        if here.since.take().is_none() {
            return Vec::new();
        }
        self.on.fetch_sub(1, Ordering::SeqCst);
        here.suspects.keys().copied().collect()
    }

    /// The upstreams whose storm is on, since when, and how many keys are under suspicion.
    pub(super) fn list(&self) -> Vec<(usize, SystemTime, usize)> {
        let on = |(index, here): (usize, &Upstream)| Some((index, here.since?, here.suspects.len()));
        self.state().by_upstream.iter().enumerate().filter_map(on).collect()
    }

    /// All is forgotten: the keys were replaced.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
        self.on.store(0, Ordering::SeqCst);
    }
}

impl State {
    #[expect(clippy::indexing_slicing, reason = "there is one by then")]
    fn upstream(&mut self, upstream: usize) -> &mut Upstream {
        if self.by_upstream.len() <= upstream {
            self.by_upstream.resize_with(upstream + 1, Upstream::default);
        }
        &mut self.by_upstream[upstream]
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const POOL: usize = 10;

    fn told(storms: &Storms, upstream: usize, index: u32, at: u64) -> Finding {
        storms.told(upstream, index, false, POOL, Millis(at))
    }

    #[test]
    fn more_than_half_of_the_pool_within_ten_seconds_is_a_storm() {
        let storms = Storms::default();
        for index in 0..5 {
            assert_eq!(told(&storms, 0, index, 1000), Finding::Believed);
        }
        let Finding::Begins(mut others) = told(&storms, 0, 5, 9000) else { panic!("no storm") };
        others.sort_unstable();
        assert_eq!(others, [0, 1, 2, 3, 4]);
        assert!(storms.any());
        assert_eq!(told(&storms, 0, 6, 60_000), Finding::Suspected);
        assert_eq!(storms.list().len(), 1);
        assert_eq!(storms.served(0).len(), 7);
        assert!(!storms.any() && storms.served(0).is_empty());
    }

    #[test]
    fn a_suspect_is_believed_guilty_after_a_check_or_three_live_requests_more() {
        let storms = Storms::default();
        (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
        assert_eq!(storms.told(0, 1, true, POOL, Millis(1)), Finding::Suspected, "the storm is on");
        storms.served(0);
        assert_eq!(storms.told(0, 1, true, POOL, Millis(1)), Finding::Believed);
        let live = [(); 3].map(|()| told(&storms, 0, 2, 1));
        assert_eq!(live, [Finding::Suspected, Finding::Suspected, Finding::Believed]);
    }

    #[test]
    fn upstreams_that_fail_together_have_each_their_storm() {
        let storms = Storms::default();
        let told: Vec<Finding> = (0..6).map(|index| told(&storms, index as usize % 2, index, 0)).collect();
        assert!(matches!(told.last(), Some(Finding::Begins(others)) if others.len() == 5), "{told:?}");
        assert_eq!(storms.list().len(), 2);
        assert_eq!(storms.served(1).len(), 3);
        assert!(storms.any(), "the other one's");
    }

    #[test]
    fn slow_losses_and_small_pools_are_none() {
        let storms = Storms::default();
        for index in 0..10 {
            assert_eq!(told(&storms, 0, index, u64::from(index) * 3000), Finding::Believed);
        }
        let storms = Storms::default();
        for index in 0..4 {
            assert_eq!(storms.told(1, index, false, 4, Millis(0)), Finding::Believed);
        }
    }
}
