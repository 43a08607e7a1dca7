//! What was said of keys and is not believed yet. An upstream that refuses a key while another serves may be at fault itself:
//! only a key that every upstream has refused since it last served is no good. And of two keys that were refused alike
//! neither was at fault, but neither is a witness in the next such case, until it has served.
//!
//! A table that may forget: what is lost is noted again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lease::Lease;
use super::state::Millis;

/// Doubts that are remembered.
const REMEMBERED: usize = 1 << 16;
/// For how many milliseconds a model that was denied is.
const HOUR: u64 = 60 * 60 * 1000;

/// A key, or a key and a model.
type Subject = (u32, Option<Box<str>>);

/// All doubts of a pool. Never looked at on the way of a request that succeeds.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashMap<Subject, Doubt>>);

struct Doubt {
    since: Millis,
    /// Tells whether it has served since.
    served: u64,
    /// The upstreams that refused it.
    by: Vec<usize>,
}

impl Doubts {
    /// An upstream refused it, which has `served` so far. Whether all of those that may know it have by now.
    fn refused(
        &self,
        subject: &Subject,
        served: u64,
        now: Millis,
        upstream: usize,
        upstreams: &[usize],
    ) -> bool {
        let mut doubts = self.lock();
        let doubt = note(&mut doubts, subject.clone(), served, now);
        if !doubt.by.contains(&upstream) {
            doubt.by.push(upstream);
        }
        let by_all = upstreams.iter().all(|upstream| doubt.by.contains(upstream));
        if by_all {
            doubts.remove(subject);
        }
        by_all
    }

    /// Whether there are any of a key that has served so much.
    pub(super) fn has(&self, index: u32, served: u64) -> bool {
        self.lock().get(&(index, None)).is_some_and(|doubt| doubt.served == served)
    }

    /// The upstreams that have refused it since it last served, if there is any doubt of it.
    fn refused_by(&self, (subject, served): &(Subject, u64)) -> Option<Vec<usize>> {
        let doubts = self.lock();
        doubts.get(subject).filter(|doubt| doubt.served == *served).map(|doubt| doubt.by.clone())
    }

    /// All are forgotten: the keys were replaced.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The doubt about it, which begins now unless there is one that still counts.
fn note(doubts: &mut HashMap<Subject, Doubt>, subject: Subject, served: u64, now: Millis) -> &mut Doubt {
    let is_over = |doubt: &Doubt| {
        doubt.served != served || subject.1.is_some() && doubt.since.0.saturating_add(HOUR) < now.0
    };
    if doubts.get(&subject).is_some_and(is_over) {
        doubts.remove(&subject);
    }
    if doubts.len() >= REMEMBERED && !doubts.contains_key(&subject) {
        // Any: keys take turns, so that the oldest is the one that comes next.
        let any = doubts.keys().next().cloned();
        any.and_then(|any| doubts.remove(&any));
    }
    doubts.entry(subject).or_insert_with(|| Doubt { since: now, served, by: Vec::new() })
}

impl Lease<'_> {
    /// An upstream refused the key, or this model to it, and may be at fault itself. Whether all of these have since the
    /// key last served.
    #[cold]
    pub fn is_refused_by_all(&self, upstream: usize, upstreams: &[usize], model: Option<&str>) -> bool {
        self.generation.doubted.set(self.index() as usize);
        self.subject(model).is_some_and(|(subject, served)| {
            self.pool.doubts.refused(&subject, served, self.pool.now(), upstream, upstreams)
        })
    }

    /// Whether the key has served since the process runs.
    #[cold]
    pub fn has_served(&self) -> bool {
        self.here().is_some_and(|here| here.generation.served_by(here.index) > 0)
    }

    /// Whether an upstream may have refused the key since it last served.
    pub fn is_doubted(&self) -> bool {
        self.generation.doubted.contains(self.index() as usize)
    }

    /// The upstreams that have, or have refused this model to it: another one may know better.
    #[cold]
    pub fn refused_by(&self, model: Option<&str>) -> Vec<usize> {
        let matters = [None, model].into_iter().filter_map(|model| self.subject(model));
        let by: Vec<Vec<usize>> = matters.filter_map(|matter| self.pool.doubts.refused_by(&matter)).collect();
        if by.is_empty() {
            self.generation.doubted.clear(self.index() as usize);
        }
        by.concat()
    }

    /// The key was refused like another one, and neither is believed to be at fault.
    #[cold]
    pub fn doubt(&self) {
        if let Some((subject, served)) = self.subject(None) {
            note(&mut self.pool.doubts.lock(), subject, served, self.pool.now());
        }
    }

    /// What is doubted, with what tells whether it has served since.
    fn subject(&self, model: Option<&str>) -> Option<(Subject, u64)> {
        let here = self.here()?;
        let served = match model {
            None => here.generation.served_by(here.index),
            Some(model) => self.pool.served.last(model, here.index),
        };
        Some(((here.index, model.map(Box::from)), served))
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const KEY: Subject = (7, None);

    fn denied() -> Subject {
        (7, Some("gpt-5".into()))
    }

    #[test]
    fn a_key_is_refused_by_all_once_each_has_refused_it_since_it_served() {
        let doubts = Doubts::default();
        let refused = |by, served| doubts.refused(&KEY, served, Millis(0), by, &[0, 1, 2]);
        assert_eq!([0, 1, 0, 1].map(|by| refused(by, 5)), [false; 4]);
        assert!(doubts.has(7, 5) && !doubts.has(7, 6) && !doubts.has(8, 5));
        assert_eq!((doubts.refused_by(&(KEY, 5)), doubts.refused_by(&(KEY, 6))), (Some(vec![0, 1]), None));
        assert!(!refused(2, 6), "it has served");
        assert!(!doubts.refused(&denied(), 6, Millis(0), 0, &[0, 1, 2]), "a model is another matter");
        assert_eq!([0, 1].map(|by| refused(by, 6)), [false, true]);
        assert!(!refused(2, 6), "it begins anew");
        doubts.clear();
        assert!(!doubts.has(7, 6));
        assert!(doubts.refused(&KEY, 0, Millis(0), 0, &[0]), "the only one");
    }

    #[test]
    fn who_is_down_is_not_asked_and_who_has_refused_it_and_is_down_by_now_is_no_other() {
        let doubts = Doubts::default();
        let refused = |by, able: &[usize]| doubts.refused(&KEY, 5, Millis(0), by, able);
        assert!(!refused(0, &[0, 2]));
        assert!(!refused(1, &[1, 2]), "the third serves it, for all that is known");
        assert!(refused(2, &[1, 2]));
    }

    #[test]
    fn a_denied_model_is_remembered_for_an_hour_and_a_refused_key_until_it_serves() {
        for (subject, by_all) in [(denied(), false), (KEY, true)] {
            let doubts = Doubts::default();
            let refused = |by, at| doubts.refused(&subject, 1, Millis(at), by, &[0, 1]);
            assert!(!refused(0, 10));
            assert_eq!(refused(1, 11 + HOUR), by_all);
        }
        assert!(!Doubts::default().refused(&denied(), 1, Millis(10), 0, &[0, 1]));
    }

    #[test]
    fn of_too_many_some_are_forgotten() {
        let doubts = Doubts::default();
        for index in 0..u32::try_from(REMEMBERED).unwrap() + 2 {
            doubts.refused(&(index, None), 1, Millis(index.into()), 0, &[0, 1]);
        }
        assert_eq!(doubts.lock().len(), REMEMBERED);
        assert!(doubts.has(u32::try_from(REMEMBERED).unwrap() + 1, 1), "the latest is known");
    }
}
