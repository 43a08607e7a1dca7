//! Recognises that an upstream, not the keys, is at fault: more than half of a pool of at least five keys is told "for
//! good" or "for long" by one upstream within ten seconds (spec §6). Until the upstream has served a request again,
//! such verdicts against its keys are held as suspicions.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::state::Millis;

/// Smaller pools tell nothing.
const SMALLEST_POOL: usize = 5;
/// Within so many milliseconds.
const WINDOW: u64 = 10_000;
/// Verdicts that are remembered: as many as half of the largest pool that can be told so fast.
const REMEMBERED: usize = 1 << 16;

/// The storms over all upstreams of a pool.
#[derive(Default)]
pub(super) struct Storms {
    /// How many are on: all that a success has to look at.
    on: AtomicUsize,
    by_upstream: Mutex<Vec<Upstream>>,
}

#[derive(Default)]
struct Upstream {
    told: VecDeque<(Millis, u32)>,
    /// Since when the storm is on.
    since: Option<SystemTime>,
    /// Keys under suspicion.
    suspects: HashSet<u32>,
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
    /// A key is told, for good or for long, by an upstream.
    pub(super) fn told(&self, upstream: usize, index: u32, pool: usize, now: Millis) -> Finding {
        let mut list = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() <= upstream {
            list.resize_with(upstream + 1, Upstream::default);
        }
        let Some(here) = list.get_mut(upstream) else { return Finding::Believed };
        if here.since.is_some() {
            here.suspects.insert(index);
            return Finding::Suspected;
        }
        // Told again after a storm has ended: that is the confirmation.
        if here.suspects.remove(&index) {
            return Finding::Believed;
        }
        while here.told.front().is_some_and(|(at, _)| at.0 + WINDOW < now.0) || here.told.len() >= REMEMBERED
        {
            here.told.pop_front();
        }
        here.told.push_back((now, index));
        if pool < SMALLEST_POOL || here.told.len() * 2 <= pool {
            return Finding::Believed;
        }
        let suspects: HashSet<u32> = here.told.iter().map(|(_, index)| *index).collect();
        if suspects.len() * 2 <= pool {
            return Finding::Believed;
        }
        here.told.clear();
        here.since = Some(SystemTime::now());
        here.suspects = suspects;
        self.on.fetch_add(1, Ordering::SeqCst);
        Finding::Begins(here.suspects.iter().copied().filter(|suspect| *suspect != index).collect())
    }

    /// A key is under suspicion since before a restart or a reload.
    pub(super) fn resume(&self, upstream: usize, index: u32, since: SystemTime) {
        let mut list = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() <= upstream {
            list.resize_with(upstream + 1, Upstream::default);
        }
        let Some(here) = list.get_mut(upstream) else { return };
        if here.since.is_none() {
            self.on.fetch_add(1, Ordering::SeqCst);
        }
        here.since = Some(here.since.map_or(since, |earlier| earlier.min(since)));
        here.suspects.insert(index);
    }

    /// Whether any storm is on.
    pub(super) fn any(&self) -> bool {
        self.on.load(Ordering::Relaxed) > 0
    }

    /// An upstream served a request: its storm, if one was on, is over. Gives back the suspects; each will be believed
    /// guilty if it is told so again.
    pub(super) fn served(&self, upstream: usize) -> Vec<u32> {
        let mut list = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(here) = list.get_mut(upstream).filter(|here| here.since.is_some()) else {
            return Vec::new();
        };
        here.since = None;
        self.on.fetch_sub(1, Ordering::SeqCst);
        here.suspects.iter().copied().collect()
    }

    /// The upstreams whose storm is on, since when, and how many keys are under suspicion.
    pub(super) fn list(&self) -> Vec<(usize, SystemTime, usize)> {
        let list = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let on = |(index, here): (usize, &Upstream)| Some((index, here.since?, here.suspects.len()));
        list.iter().enumerate().filter_map(on).collect()
    }

    /// All is forgotten: the keys were replaced.
    pub(super) fn clear(&self) {
        self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.on.store(0, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_of_the_pool_within_ten_seconds_is_a_storm() {
        let storms = Storms::default();
        for index in 0..5 {
            assert_eq!(storms.told(0, index, 10, Millis(1000)), Finding::Believed);
        }
        let Finding::Begins(mut others) = storms.told(0, 5, 10, Millis(9000)) else { panic!("no storm") };
        others.sort_unstable();
        assert_eq!(others, [0, 1, 2, 3, 4]);
        assert!(storms.any());
        assert_eq!(storms.told(0, 6, 10, Millis(60_000)), Finding::Suspected);
        assert_eq!(storms.list().len(), 1);
        assert_eq!(storms.served(0).len(), 7);
        assert!(!storms.any() && storms.served(0).is_empty());
        assert_eq!(storms.told(0, 6, 10, Millis(60_001)), Finding::Believed, "confirmed");
    }

    #[test]
    fn slow_losses_small_pools_and_different_upstreams_are_none() {
        let storms = Storms::default();
        for index in 0..10 {
            assert_eq!(storms.told(0, index, 10, Millis(u64::from(index) * 3000)), Finding::Believed);
            assert_eq!(storms.told(1, index % 4, 4, Millis(0)), Finding::Believed);
        }
    }
}
