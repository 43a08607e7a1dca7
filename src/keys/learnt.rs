//! What keys can take whose provider does not say what remains: learnt from when they were refused (spec §6, "ahead of the
//! limit"). A key that served as many before its last refusal as before the one before that has a limit of so many in that
//! time, be it a window or a bucket that fills up: it rests once it has served them. How long that is, is measured from refusal to
//! refusal, over all rests between them, since most providers tell it in whole seconds. Until a limit is known its key is asked for
//! one at a time beyond what it served before; and now and then it is again, since limits change.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state::Millis;

/// Of so many keys limits are learnt, in each respect.
const KEYS_MAX: usize = 4096;
/// In milliseconds: what neither a refusal nor a rest has shown to matter for so long is forgotten, since each success
/// pays for it.
const FORGOTTEN: u64 = 300_000;
/// So many requests a limit is trusted for at first: the refusal that then confirms it is 3 % of them.
const TRUST: u32 = 32;
/// And so many at most.
const TRUST_MAX: u32 = 4096;
/// What was taken for a limit may be chance, where requests cost different amounts of tokens, or be of no use, where its key
/// does not come to fill it though requests wait. From so much doubt on none is believed; each refusal takes one away.
const DOUBTFUL: u8 = 96;
const MISTAKE: u8 = 64;
/// A refusal straight at a key's return: it is more often the time that was rounded than a mistake.
const TOO_SOON: u8 = 16;
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
    /// In the future while the key rests.
    began: Millis,
    /// It ended with a refusal, and its key is out until then: what is answered meanwhile belongs to it.
    end: Option<Millis>,
    served: u32,
    /// How many were served in the last two that ended so, the latest first.
    limits: [u32; 2],
    /// How long one is taken to be, in milliseconds, and was before the last of them; 0 where nobody has told.
    lengths: [u64; 2],
    /// How many there were since the last refusal, with this one: all before it ended with a rest.
    windows: u64,
    /// How many were served since the last refusal, and how many may be before the limit is tried again.
    since: u32,
    trust: u32,
    doubt: u8,
    /// Whether it has served more than was counted.
    is_lost: bool,
    /// When it last was refused or rested.
    mattered: Millis,
}

impl Window {
    /// Of a key's first refusal, which is out until `end`; it has served so many in all.
    fn first(now: Millis, end: Millis, served: u32) -> Self {
        Self {
            began: end,
            end: Some(end),
            served,
            limits: [0; 2],
            lengths: [0; 2],
            windows: 1,
            since: 0,
            trust: TRUST,
            doubt: 0,
            is_lost: false,
            mattered: now,
        }
    }

    /// How many it can take for all that is known; 0: nothing is.
    fn limit(&self) -> u32 {
        let [last, before] = self.limits;
        if before == 0 { last } else { last.min(before) }
    }

    fn length(&self) -> u64 {
        self.lengths[0]
    }

    fn whole(&self) -> Millis {
        Millis(self.began.0.saturating_add(self.length()))
    }

    fn is_sure(&self) -> bool {
        let ([length, before], [last, last_but_one]) = (self.lengths, self.limits);
        let limit = self.limit();
        let tolerance = before / if limit < FEW { 100 } else { 8 };
        limit > 0
            // A bucket fills with one more or less.
            && last.abs_diff(last_but_one) <= u32::from(limit > 1)
            && length.abs_diff(before) <= tolerance
            && (1..=LONGEST).contains(&length)
            && self.doubt < DOUBTFUL
    }

    fn refused(&mut self, now: Millis, until: Millis, is_told: bool) {
        self.settle(now);
        self.mattered = now;
        if let Some(end) = self.end {
            // Of the same time as another refusal.
            self.end = Some(end.max(until));
        } else if now < self.began {
            self.began = self.began.max(until);
        } else if self.is_lost {
            (self.limits, self.lengths, self.trust, self.since) = ([0; 2], [0; 2], TRUST, 0);
            self.begin(until, 1);
        } else {
            self.end = Some(until);
            if !is_told {
                self.began = until;
            }
        }
    }

    fn begin(&mut self, at: Millis, windows: u64) {
        (self.began, self.end, self.windows, self.served, self.is_lost) = (at, None, windows, 0, false);
    }

    /// Once a key is back that was refused, and all answers are counted that belong to that: what it teaches.
    fn settle(&mut self, now: Millis) {
        let Some(end) = self.end.filter(|end| *end <= now) else { return };
        let took = end.0.saturating_sub(self.began.0);
        let rests = self.windows - 1;
        let was_sure = self.is_sure();
        if was_sure && self.served == 0 {
            // It was back too soon: the time before this was longer.
            self.measure(self.length() + took / rests.max(1), rests.max(1));
            self.doubt = self.doubt.saturating_add(TOO_SOON);
            return self.begin(end, self.windows);
        }
        self.doubt = self.doubt.saturating_sub(1);
        let limit = self.limit();
        // A bucket that filled up while it was taken to be smaller, or a limit that was raised: it comes sooner than was thought.
        let has_surplus = was_sure && rests > 0 && self.served > limit + 1;
        let mut seen = took;
        if was_sure && took > 0 && self.served + 1 >= limit {
            let (last, limit) = (if has_surplus { self.served } else { limit }, u64::from(limit));
            seen = (rests * self.length() + took) * limit / (rests * limit + u64::from(last));
        }
        self.measure(seen, self.windows);
        self.limits = [if has_surplus { limit } else { self.served }, self.limits[0]];
        let was_tried = self.since >= self.trust;
        self.trust = match self.is_sure() {
            true if was_sure && was_tried && !has_surplus => {
                self.doubt = 0;
                (self.trust * 2).min(TRUST_MAX)
            }
            false if was_sure => {
                self.doubt = self.doubt.saturating_add(MISTAKE);
                TRUST
            }
            _ => TRUST,
        };
        self.since = 0;
        self.begin(end, 1);
    }

    /// Each of the last windows, so many, seems to have been so long. Whole seconds make each time wrong by up to one, so
    /// that what was seen before counts as one more.
    fn measure(&mut self, seen: u64, windows: u64) {
        let before = self.length();
        let is_near = seen.abs_diff(before) <= before / 3;
        let length = if is_near { (before + windows * seen) / (windows + 1) } else { seen };
        self.lengths = [length, if is_near && windows > 1 { length } else { before }];
    }

    /// The present one may have ended by itself.
    fn pass(&mut self, now: Millis, waiting: bool) {
        let Some(passed) = (now.0 - self.began.0).checked_div(self.length()).filter(|passed| *passed > 0)
        else {
            return;
        };
        if self.served > self.limit() {
            // It can take more than it was thought to.
            self.doubt = self.doubt.saturating_add(if self.is_sure() { MISTAKE } else { 0 });
            self.limits = [self.served.saturating_mul(2), 0];
        } else if self.is_sure() && waiting && passed == 1 && self.served < self.limit() {
            self.doubt = self.doubt.saturating_add(MISTAKE);
            self.limits = [self.limits[0], 0];
        }
        self.begin(Millis(self.began.0 + passed * self.length()), 1);
    }

    fn serve(&mut self, now: Millis, waiting: bool) -> Option<Allowed> {
        self.settle(now);
        if self.end.is_some() {
            self.served = self.served.saturating_add(1);
            return None;
        }
        if now < self.began {
            return None;
        }
        self.pass(now, waiting);
        self.served += 1;
        self.since = self.since.saturating_add(1);
        let (limit, whole) = (self.limit(), self.whole());
        match limit.saturating_sub(self.served) {
            _ if limit == 0 => None,
            0 if self.is_sure() && self.since < self.trust => {
                self.begin(whole, self.windows + 1);
                self.mattered = now;
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
            Some(window) => window.refused(now, until, is_told),
            None if has_room => {
                keys.insert(index, Window::first(now, until, u32::try_from(served).unwrap_or(0)));
            }
            None => {}
        }
    }

    /// Before a refusal: the key serves without being counted by now.
    pub(super) fn lose_count(&self, index: u32, now: Millis) {
        if let Some(window) = self.keys().get_mut(&index) {
            window.settle(now);
            window.is_lost |= window.end.is_none() && now >= window.began;
        }
    }

    /// A key has served a request; `waiting`: others wait for a key. `None`: nothing is known of its limit.
    pub(super) fn served(&self, index: u32, now: Millis, waiting: bool) -> Option<Allowed> {
        let mut keys = self.keys();
        let window = keys.get_mut(&index)?;
        if window.mattered.0.saturating_add(FORGOTTEN) < now.0 {
            keys.remove(&index);
            return None;
        }
        window.serve(now, waiting)
    }

    /// How many a key surely takes in its present window, and when that ends.
    pub(super) fn surely(&self, index: u32, now: Millis) -> Option<(u32, Millis)> {
        let mut keys = self.keys();
        let window = keys.get_mut(&index)?;
        window.settle(now);
        (window.end.is_none() && window.is_sure()).then(|| (window.limit(), window.whole()))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<u32, Window, foldhash::fast::FixedState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const KEY: u32 = 3;

    fn limit(learnt: &Learnt, now: u64) -> Option<u32> {
        learnt.surely(KEY, Millis(now)).map(|(limit, _)| limit)
    }

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
        assert_eq!(limit(&learnt, 10_000), Some(10));
        let (served, _) = asked(&learnt, 30, 1_000, 1, 10_000, 60_000);
        assert!(served > 30 * 40, "{served}");
        let (_, refused) = asked(&learnt, 5, 1_000, 1, 60_000, 80_000);
        assert!(refused < 8, "{refused}");
        assert_eq!(limit(&learnt, 80_000), Some(5));
    }

    #[test]
    fn a_limit_that_answers_come_too_late_to_fill_is_not_kept_to() {
        let learnt = Learnt::default();
        asked(&learnt, 1, 1_000, 1, 0, 5_000);
        assert_eq!(limit(&learnt, 5_000), Some(1));
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
        assert_eq!(limit(&learnt, 30_000), Some(10));
        assert_eq!(learnt.served(KEY, Millis(30_000), false), Some(Allowed::Surely(9, Millis(40_000))));
    }

    /// A window from `begins` to `ends` in which a key serves so many and is then refused.
    fn refused_after(learnt: &Learnt, served: u64, begins: u64, ends: u64) {
        for at in 0..served {
            learnt.served(KEY, Millis(begins + at), false);
        }
        learnt.refused(KEY, Millis(begins + served), Millis(ends), true, served);
    }

    #[test]
    fn answers_that_come_behind_a_refusal_that_confirms_a_limit_make_it_no_mistake() {
        let learnt = Learnt::default();
        for window in 0..10 {
            let begins = window * 10_000;
            refused_after(&learnt, 8, begins, begins + 10_000);
            if window > 2 {
                assert_eq!(limit(&learnt, begins + 9), None, "not before they are all there");
            }
            for at in 20..22 {
                assert_eq!(learnt.served(KEY, Millis(begins + at), false), None);
            }
        }
        assert_eq!(limit(&learnt, 100_000), Some(10));
        assert_eq!(learnt.keys()[&KEY].doubt, 0);
    }

    #[test]
    fn a_refusal_straight_at_the_return_makes_the_time_longer_and_leaves_the_limit() {
        let learnt = Learnt::default();
        for begins in [0, 5_600, 11_200] {
            refused_after(&learnt, 15, begins, begins + 5_600);
        }
        assert_eq!(learnt.surely(KEY, Millis(16_800)), Some((15, Millis(22_400))));
        for at in 0..15 {
            learnt.served(KEY, Millis(16_800 + at), true);
        }
        refused_after(&learnt, 0, 22_400, 23_200);
        assert_eq!(learnt.surely(KEY, Millis(23_200)), Some((15, Millis(23_200 + 6_000))));
    }

    #[test]
    fn a_limit_is_believed_again_after_mistakes() {
        let learnt = Learnt::default();
        let mut now = 0;
        let mut window = |served: u32| {
            refused_after(&learnt, served.into(), now, now + 10_000);
            now += 10_000;
            limit(&learnt, now)
        };
        window(20);
        for served in [10, 30] {
            window(served);
            assert_eq!(window(served), Some(served));
            assert_eq!(window(5), None, "a mistake");
        }
        let until_believed = (0..100).position(|_| window(10) == Some(10));
        assert!(until_believed.is_some_and(|windows| windows > 20), "{until_believed:?}");
    }

    #[test]
    fn what_neither_a_refusal_nor_a_rest_shows_to_matter_is_forgotten() {
        let learnt = Learnt::default();
        learnt.refused(KEY, Millis(0), Millis(1_000), true, 9);
        assert!(learnt.served(KEY, Millis(FORGOTTEN), false).is_some());
        assert_eq!(learnt.served(KEY, Millis(FORGOTTEN + 1), false), None);
        assert!(learnt.keys().is_empty());
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
            assert_eq!(limit(&learnt, begins + 60_000), None);
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
