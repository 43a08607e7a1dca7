//! What keys can take whose provider does not say what remains: learnt from when they were refused (spec §6, "ahead of the
//! limit"). A key that served as many before its last refusal as before the one before that has a limit of so many in that
//! time, be it a window or a bucket that fills up: it rests once it has served them. Until that is known it is asked for one at a time
//! beyond what it served before; and now and then it is again, since limits change.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state::Millis;

/// Of so many keys limits are learnt, in each respect.
const KEYS_MAX: usize = 4096;
/// So many requests a limit is trusted for at first: the refusal that then confirms it is 3 % of them.
const TRUST: u32 = 32;
/// And so many at most.
const TRUST_MAX: u32 = 4096;
/// What was taken for a limit may be chance, where requests cost different amounts of tokens, or be of no use, where its key
/// does not come to fill it though requests wait: so often it may turn out so before none is believed.
const USELESS: u8 = 2;
/// In milliseconds: of a longer time a refusal at its end is a small part, and a mistake would last.
const LONGEST: u64 = 120_000;
/// Of fewer requests the number tells nothing, and only the time is to be relied on.
const FEW: u32 = 4;

/// What is learnt of the keys of a roster.
#[derive(Default)]
pub(super) struct Learnt(Mutex<HashMap<u32, Window, foldhash::fast::FixedState>>);

/// What a key may take, after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// So many more: that much is known. The limit is whole again then.
    Surely(u32, Millis),
    /// No more than so many at a time.
    AtMost(u32),
    /// Nothing until then.
    Nothing(Millis),
}

/// The time in which a key has been serving since its limit was whole.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// In the future while the key is out.
    began: Millis,
    served: u32,
    /// Whether the one before it ended with a refusal.
    was_refused: bool,
    /// How many were served in the last two that did, the latest first, and how long they were, in milliseconds; 0 where
    /// nobody has told.
    limits: [u32; 2],
    lengths: [u64; 2],
    /// How many were served since the last refusal, and how many may be before the limit is tried again.
    since: u32,
    trust: u32,
    useless: u8,
    /// Whether it has served more than was counted.
    is_lost: bool,
}

impl Window {
    /// That follows a key's first refusal, until `began`; it has served so many in all.
    fn first(began: Millis, served: u32) -> Self {
        Self {
            began,
            served: 0,
            was_refused: true,
            limits: [served, 0],
            lengths: [0; 2],
            since: 0,
            trust: TRUST,
            useless: 0,
            is_lost: false,
        }
    }

    /// How many it can take for all that is known; 0: nothing is.
    fn limit(&self) -> u32 {
        let [last, before] = self.limits;
        if before == 0 { last } else { last.min(before) }
    }

    fn length(&self) -> u64 {
        self.lengths.into_iter().min().unwrap_or(0)
    }

    fn is_sure(&self) -> bool {
        let [last, before] = self.lengths;
        let [served, served_before] = self.limits;
        let tolerance = last.min(before) / if served < FEW { 50 } else { 4 };
        served > 0
            && served == served_before
            && last.abs_diff(before) <= tolerance
            && (1..=LONGEST).contains(&self.length())
            && self.useless < USELESS
    }

    fn refused(&mut self, until: Millis, is_told: bool) {
        let was_sure = self.is_sure();
        let was_tried = was_sure && self.since >= self.trust;
        if self.is_lost {
            (self.limits, self.lengths, self.trust, self.since) = ([0; 2], [0; 2], TRUST, 0);
            return self.begin(until, false);
        }
        let length = if is_told { until.0.saturating_sub(self.began.0) } else { 0 };
        self.limits = [self.served, self.limits[0]];
        self.lengths = [length, self.lengths[0]];
        match self.is_sure() {
            true if was_tried => (self.trust, self.useless) = ((self.trust * 2).min(TRUST_MAX), 0),
            false if was_sure => (self.trust, self.useless) = (TRUST, self.useless + 1),
            _ => self.trust = TRUST,
        }
        self.begin(until, true);
        self.since = 0;
    }

    fn begin(&mut self, at: Millis, was_refused: bool) {
        (self.began, self.was_refused, self.served, self.is_lost) = (at, was_refused, 0, false);
    }

    /// The present one may have ended by itself.
    fn pass(&mut self, now: Millis, waiting: bool) {
        let Some(passed) = (now.0 - self.began.0).checked_div(self.length()).filter(|passed| *passed > 0)
        else {
            return;
        };
        if self.served > self.limit() {
            // It can take more than it was thought to.
            self.useless += u8::from(self.is_sure() && self.useless < USELESS);
            self.limits = [self.served.saturating_mul(2), 0];
        } else if self.is_sure() && waiting && passed == 1 && self.served < self.limit() {
            self.useless += 1;
            self.limits = [self.limits[0], 0];
        }
        self.begin(Millis(self.began.0 + passed * self.length()), false);
    }

    fn serve(&mut self, now: Millis, waiting: bool) -> Option<Allowed> {
        if now < self.began {
            // It began before the refusal.
            self.limits[0] += u32::from(self.was_refused);
            return None;
        }
        self.pass(now, waiting);
        self.served += 1;
        self.since = self.since.saturating_add(1);
        let limit = self.limit();
        let whole = Millis(self.began.0 + self.length());
        match limit.saturating_sub(self.served) {
            _ if limit == 0 => None,
            0 if self.is_sure() && self.since < self.trust => {
                self.begin(whole, false);
                Some(Allowed::Nothing(whole))
            }
            0 => Some(Allowed::AtMost(1 + self.served - limit)),
            left if self.is_sure() => Some(Allowed::Surely(left, whole)),
            left => Some(Allowed::AtMost(left)),
        }
    }
}

impl Learnt {
    /// A key was refused, and is out until its limit is whole again, as it was told, or as we suppose; it had served so many in
    /// all.
    pub(super) fn refused(&self, index: u32, now: Millis, until: Millis, is_told: bool, served: u64) {
        let mut keys = self.keys();
        let has_room = keys.len() < KEYS_MAX;
        match keys.get_mut(&index) {
            // Of the same time as another refusal.
            Some(window) if now < window.began => window.began = window.began.max(until),
            Some(window) => window.refused(until, is_told),
            None if has_room => {
                keys.insert(index, Window::first(until, u32::try_from(served).unwrap_or(0)));
            }
            None => {}
        }
    }

    /// Before a refusal: the key serves without being counted by now.
    pub(super) fn lose_count(&self, index: u32, now: Millis) {
        if let Some(window) = self.keys().get_mut(&index).filter(|window| now >= window.began) {
            window.is_lost = true;
        }
    }

    /// A key has served a request; `waiting`: others wait for a key. `None`: nothing is known of its limit.
    pub(super) fn served(&self, index: u32, now: Millis, waiting: bool) -> Option<Allowed> {
        self.keys().get_mut(&index)?.serve(now, waiting)
    }

    /// How many a key surely takes that comes back now.
    pub(super) fn at_return(&self, index: u32) -> Option<u32> {
        self.keys().get(&index).filter(|window| window.is_sure()).map(Window::limit)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<u32, Window, foldhash::fast::FixedState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const KEY: u32 = 3;

    /// A key that takes `limit` requests in each `length` milliseconds, asked without a pause from `from` to `to`, each answered in
    /// `takes`. How many it served and refused.
    fn asked(learnt: &Learnt, limit: u32, length: u64, takes: u64, from: u64, to: u64) -> (u32, u32) {
        let (mut served, mut refused) = (0, 0);
        let (mut now, mut left, mut whole) = (from, limit, from + length);
        while now < to {
            now += takes;
            if now >= whole {
                (left, whole) = (limit, whole + (now - whole) / length * length + length);
            }
            if left == 0 {
                refused += 1;
                learnt.refused(KEY, Millis(now), Millis(whole), true, u64::from(served));
                now = whole;
                continue;
            }
            left -= 1;
            served += 1;
            if let Some(Allowed::Nothing(until)) = learnt.served(KEY, Millis(now), true) {
                now = until.0;
            }
        }
        (served, refused)
    }

    #[test]
    fn a_limit_is_known_once_it_was_met_twice_alike_and_is_tried_more_and_more_rarely() {
        for (limit, length) in [(15, 6_000), (1, 500), (60, 60_000)] {
            let learnt = Learnt::default();
            let (_, refused) = asked(&learnt, limit, length, 1, 0, 4 * length);
            assert!(refused <= 4, "{limit}: {refused}");
            let (served, refused) = asked(&learnt, limit, length, 1, 4 * length, 604 * length);
            assert!(served >= limit * 595, "{limit}: {served}");
            assert!(refused * 50 <= served, "{limit}: {refused} of {served}");
        }
    }

    #[test]
    fn a_limit_that_has_changed_is_learnt_anew() {
        let learnt = Learnt::default();
        asked(&learnt, 10, 1_000, 1, 0, 10_000);
        assert_eq!(learnt.at_return(KEY), Some(10));
        let (served, _) = asked(&learnt, 30, 1_000, 1, 10_000, 60_000);
        assert!(served > 30 * 40, "{served}");
        let (_, refused) = asked(&learnt, 5, 1_000, 1, 60_000, 80_000);
        assert!(refused < 8, "{refused}");
        assert_eq!(learnt.at_return(KEY), Some(5));
    }

    #[test]
    fn a_limit_that_answers_come_too_late_to_fill_is_not_kept_to() {
        let learnt = Learnt::default();
        asked(&learnt, 1, 1_000, 1, 0, 5_000);
        assert_eq!(learnt.at_return(KEY), Some(1));
        // Three at a time, of five seconds each.
        let mut rests = 0;
        for now in (10_000..40_000).step_by(1_700) {
            let allowed = learnt.served(KEY, Millis(now), true);
            rests += u32::from(matches!(allowed, Some(Allowed::Nothing(_))));
        }
        assert!(rests <= 3, "{rests}");
    }

    #[test]
    fn what_comes_back_behind_a_refusal_is_part_of_what_went_before_it() {
        let learnt = Learnt::default();
        for begins in [0, 10_000, 20_000] {
            for at in 0..8 {
                learnt.served(KEY, Millis(begins + at), false);
            }
            learnt.refused(KEY, Millis(begins + 9), Millis(begins + 10_000), true, 8);
            learnt.refused(KEY, Millis(begins + 10), Millis(begins + 10_000), true, 8);
            for at in 11..13 {
                assert_eq!(learnt.served(KEY, Millis(begins + at), false), None);
            }
        }
        assert_eq!(learnt.at_return(KEY), Some(10));
        assert_eq!(learnt.served(KEY, Millis(30_000), false), Some(Allowed::Surely(9, Millis(40_000))));
    }

    #[test]
    fn nothing_is_learnt_from_what_was_not_counted_to_its_end() {
        let learnt = Learnt::default();
        for begins in (0..600_000).step_by(60_000) {
            // One is counted, then the ration is over.
            learnt.served(KEY, Millis(begins + 1), false);
            learnt.lose_count(KEY, Millis(begins + 50_000));
            learnt.refused(KEY, Millis(begins + 50_000), Millis(begins + 60_000), true, 100);
            // Of the same refusal.
            learnt.lose_count(KEY, Millis(begins + 50_001));
            assert_eq!(learnt.at_return(KEY), None);
        }
    }

    #[test]
    fn the_memory_for_it_is_bounded() {
        let learnt = Learnt::default();
        for index in 0..10_000 {
            learnt.refused(index, Millis(0), Millis(1_000), true, 1);
        }
        assert_eq!(learnt.keys().len(), KEYS_MAX);
    }
}
