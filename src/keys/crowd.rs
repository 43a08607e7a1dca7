//! How many requests at a time a key can take whose provider refuses more: learnt from how many it had when it was refused. Such
//! a limit is over as soon as one of them ends, so that nothing is to be waited for but that: the key is kept to so many,
//! and stays in rotation. Where it is not known that it has others it is left alone for a moment, and then begins with one.
//! A stream is under way until its last byte: where such limits have been met, requests are counted until then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::generation::Generation;
use super::here::{Here, Today};
use super::lease::Lease;
use super::ration::Entry;
use super::roster::Roster;
use super::state::Millis;

/// Of so many keys limits are learnt, in each respect.
const KEYS_MAX: usize = 4096;
/// In milliseconds: what neither a refusal nor a key that had as many as it may has shown to matter for so long is forgotten.
const FORGOTTEN: u64 = 300_000;
/// For so long, in milliseconds, a limit is trusted at first, and at most; then the key is tried with more. Each refusal of as little
/// more as can be doubles that.
const TRUST: u64 = 4_000;
const TRUST_MAX: u64 = 600_000;
/// A key that has had more for so long, in milliseconds, can take it.
const TAKEN: u64 = 1_000;

/// What is learnt of the keys of a roster.
#[derive(Default)]
pub(super) struct Crowds {
    /// Whether anything is: most rosters learn nothing of the kind.
    any: AtomicBool,
    /// Until then, in milliseconds, requests hold their seats: a key was refused one more of them not long ago.
    seats_matter: AtomicU64,
    keys: Mutex<HashMap<u32, Crowd, foldhash::fast::FixedState>>,
}

#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// So many it may have, and so many it has had: it is tried with more while these differ.
    most: u32,
    known: u32,
    /// With so many more it is tried: twice as many each time that it can take them.
    step: u32,
    since: Millis,
    trust: u64,
    /// When it first had as many as it is tried with.
    had: Option<Millis>,
    /// When it last was refused more, or had as many as it may.
    mattered: Millis,
}

impl Crowd {
    fn is_tried(&self) -> bool {
        self.most > self.known
    }

    /// As little more as it is tried with: of a limit that was confirmed, by one.
    fn least_step(&self) -> u32 {
        if self.trust > TRUST { 1 } else { 1 + self.known / 8 }
    }

    /// It was refused one more than these.
    fn refuse(&mut self, now: Millis, others: u32) {
        self.mattered = now;
        if self.is_tried() {
            // All are refused that are too many, one after the other, but it is one test.
            let is_least = self.step <= self.least_step();
            self.trust = if is_least { (self.trust * 2).min(TRUST_MAX) } else { TRUST };
        } else if others < self.known {
            // It can take less than it was known to.
            (self.known, self.trust) = (others, TRUST);
        } else {
            return;
        }
        (self.most, self.since, self.had) = (self.known, now, None);
        self.step = self.least_step();
    }

    /// It has as many as it may.
    fn fill(&mut self, now: Millis) {
        self.mattered = now;
        if self.is_tried() {
            let had = *self.had.get_or_insert(now);
            if now.0 < had.0.saturating_add(TAKEN) {
                return;
            }
            (self.known, self.step, self.trust) = (self.most, self.step.saturating_mul(2), TRUST);
        } else if now.0 < self.since.0.saturating_add(self.trust) {
            return;
        }
        (self.most, self.since, self.had) = (self.known.saturating_add(self.step), now, None);
    }
}

impl Crowds {
    /// How many requests at a time a key may have.
    pub(super) fn most(&self, index: u32) -> Option<u32> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.keys().get(&index).map(|crowd| crowd.most)
    }

    /// A key was refused one more, whatever it is known to have.
    fn met(&self, now: Millis) {
        self.seats_matter.store(now.0.saturating_add(FORGOTTEN), Ordering::Relaxed);
    }

    fn has_seats(&self, now: Millis) -> bool {
        self.any.load(Ordering::Relaxed) || now.0 < self.seats_matter.load(Ordering::Relaxed)
    }

    /// Goes on with what was learnt of a key elsewhere; a test with more begins anew. Returns how many it may have.
    pub(super) fn go_on(&self, index: u32, before: &Self, at: u32, now: Millis) -> Option<u32> {
        if !before.any.load(Ordering::Relaxed) {
            return None;
        }
        let crowd = before.keys().get(&at).copied()?;
        let mut keys = self.keys();
        let crowd = Crowd { most: crowd.known, since: now, had: None, ..crowd };
        let most = keys.entry(index).or_insert(crowd).most;
        self.any.store(true, Ordering::Relaxed);
        drop(keys);
        self.met(now);
        Some(most)
    }

    /// A key was refused one more than these. Returns how many it may have from now on; `None` if that can't be kept in mind.
    fn refused(&self, index: u32, now: Millis, others: u32) -> Option<u32> {
        let mut keys = self.keys();
        let has_room = keys.len() < KEYS_MAX;
        // Keys of the same tier have the same limit: what one has found out goes for the others.
        let known = keys.get(&index).map_or(others, |crowd| crowd.known);
        let of_others = keys.values().filter(|crowd| crowd.known == known).map(|crowd| crowd.trust).max();
        let trust = of_others.filter(|trust| *trust > TRUST).map(|trust| trust / 2);
        // What came before its requests were counted may have been refused with them: it may be able to take far more.
        let first = Crowd {
            most: others,
            known: others,
            step: if trust.is_some() { 1 } else { others },
            since: now,
            trust: trust.unwrap_or(TAKEN),
            had: None,
            mattered: now,
        };
        let most = match keys.get_mut(&index) {
            None if !has_room => return None,
            None => keys.entry(index).or_insert(first).most,
            Some(crowd) => {
                crowd.refuse(now, others);
                if crowd.known == known && crowd.trust >= TRUST {
                    crowd.trust = crowd.trust.max(trust.unwrap_or_default());
                    crowd.step = crowd.least_step();
                }
                crowd.most
            }
        };
        self.any.store(true, Ordering::Relaxed);
        Some(most)
    }

    /// A key is heard of that has so many under way. Once it has had as many as it may for as long as its limit is trusted it is
    /// tried with more.
    pub(super) fn note(&self, index: u32, now: Millis, under_way: u32) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut keys = self.keys();
        let Some(crowd) = keys.get_mut(&index) else { return };
        if crowd.mattered.0.saturating_add(FORGOTTEN) < now.0 {
            keys.remove(&index);
            self.any.store(!keys.is_empty(), Ordering::Relaxed);
        } else if under_way >= crowd.most {
            crowd.fill(now);
        }
    }

    fn forget(&self, index: u32) {
        if self.any.load(Ordering::Relaxed) {
            let mut keys = self.keys();
            keys.remove(&index);
            self.any.store(!keys.is_empty(), Ordering::Relaxed);
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<u32, Crowd, foldhash::fast::FixedState>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    /// So many requests, but no more than the key may have at a time.
    pub(super) fn at_most(&self, index: u32, requests: u32) -> u32 {
        self.crowds.most(index).map_or(requests, |most| most.min(requests))
    }
}

impl Lease<'_> {
    /// The key was refused one more request at a time: it is kept to those that it has beside this one, if it has any. Returns
    /// whether it has.
    #[cold]
    pub(super) fn keep_to_fewer(&self, here: &Here<'_>, about: &Roster) -> bool {
        let index = here.index;
        about.crowds.met(self.pool.now());
        if !about.rotation.standing(index).is_available() || self.is_probe() {
            return false;
        }
        let (_, under_way) = about.rotation.ration(index).turns();
        let is_counted = matches!(self.entry_of(here, about), Entry::Counted(_));
        let others = under_way.saturating_sub(is_counted.into());
        // What came while there was no ration is counted by nobody.
        if let Today::Other(_) = here.generation {
            // It is none of those that are counted since.
            return about.crowds.most(index).is_some();
        }
        if others == 0 || !is_counted {
            about.crowds.forget(index);
            return false;
        }
        let Some(most) = about.crowds.refused(index, self.pool.now(), others) else { return false };
        self.pool.keep_to_ration(&here.generation, about, index, |ration| ration.set(most));
        about.show(index, (about.id != 0).then_some(&here.generation.base));
        here.generation.spread(index);
        tracing::debug!(key_index = index, at_a_time = most, "key kept to fewer requests at a time");
        true
    }

    /// What it has to give back is given back when the answer has ended, and not when it has begun, if that matters.
    pub(super) fn seat(&mut self) -> Option<Box<Seat>> {
        let now = self.pool.now();
        let (roster, base) = self.generation.of(self.model.as_ref());
        let matters = [Some(roster), base].into_iter().flatten().any(|roster| roster.crowds.has_seats(now));
        if !matters || self.is_probe() {
            return None;
        }
        let seat = Seat {
            generation: Arc::downgrade(&self.generation),
            model: self.model.as_ref().map(Arc::downgrade),
            index: self.index,
            entry: self.entry,
            of_base: self.of_base,
        };
        (self.entry, self.of_base) = (Entry::Free, Entry::Free);
        Some(Box::new(seat))
    }
}

/// A request's place among those that its key has at a time, held until its answer has ended. It keeps no replaced keys.
pub struct Seat {
    generation: Weak<Generation>,
    model: Option<Weak<Roster>>,
    index: u32,
    entry: Entry,
    of_base: Entry,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(generation) = self.generation.upgrade() else { return };
        match self.model.as_ref().map(Weak::upgrade) {
            // Its model is forgotten.
            Some(None) => generation.give_back(None, self.index, self.of_base, Entry::Free),
            model => generation.give_back(model.flatten().as_deref(), self.index, self.entry, self.of_base),
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const KEY: u32 = 3;

    /// Refusals of a key that takes `most` at a time, and always has as many as it may, in so many milliseconds.
    fn refused(crowds: &Crowds, most: u32, from: u64, to: u64) -> u32 {
        let mut refused = 0;
        for now in (from..to).step_by(500) {
            if crowds.most(KEY).is_some_and(|may| may > most) {
                refused += 1;
                crowds.refused(KEY, Millis(now), most);
            }
            crowds.note(KEY, Millis(now), u32::MAX);
        }
        refused
    }

    #[test]
    fn a_limit_is_tried_more_and_more_rarely() {
        let crowds = Crowds::default();
        assert_eq!(crowds.refused(KEY, Millis(0), 3), Some(3));
        assert_eq!(refused(&crowds, 3, 0, 60_000), 4);
        assert!(refused(&crowds, 3, 60_000, 3_600_000) < 12);
        assert_eq!(refused(&crowds, 3, 3_600_000, 7_200_000), 6, "once in ten minutes at least");
    }

    #[test]
    fn a_limit_that_was_raised_or_lowered_is_soon_known() {
        let crowds = Crowds::default();
        crowds.refused(KEY, Millis(0), 3);
        refused(&crowds, 3, 0, 100_000);
        refused(&crowds, 40, 100_000, 300_000);
        assert!(crowds.most(KEY).is_some_and(|most| (40..=46).contains(&most)), "{:?}", crowds.most(KEY));
        // Those that are under way are all refused, one after the other.
        for others in (2..40).rev() {
            crowds.refused(KEY, Millis(300_000), others);
        }
        assert_eq!(crowds.most(KEY), Some(2));
        assert!(refused(&crowds, 2, 300_000, 310_000) > 0, "it is not trusted as the old one was");
    }

    #[test]
    fn requests_beyond_a_limit_do_not_raise_it() {
        let crowds = Crowds::default();
        crowds.refused(KEY, Millis(0), 3);
        assert_eq!(crowds.refused(KEY, Millis(1), 9), Some(3));
    }

    #[test]
    fn a_limit_that_a_key_does_not_reach_is_never_raised_and_is_forgotten() {
        let crowds = Crowds::default();
        crowds.refused(KEY, Millis(0), 3);
        crowds.note(KEY, Millis(FORGOTTEN), 0);
        assert_eq!(crowds.most(KEY), Some(3));
        crowds.note(KEY, Millis(FORGOTTEN + 1), 0);
        assert_eq!(crowds.most(KEY), None);
    }

    #[test]
    fn the_memory_for_it_is_bounded() {
        let crowds = Crowds::default();
        let kept = (0..10_000).filter(|index| crowds.refused(*index, Millis(0), 1).is_some()).count();
        assert_eq!((kept, crowds.keys().len()), (KEYS_MAX, KEYS_MAX));
    }
}
