//! Which upstreams are set aside for a while, and how many retries an outage may cost (spec §8). Takes `now` as an
//! argument and does no I/O.

#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU64, Ordering};

/// Upstream faults in a row that eject, and answers in a row that broke off.
const FAULTS_TO_EJECT: u64 = 5;
/// The first ejection; each further one in a row doubles it.
const FIRST_EJECTION: Duration = Duration::from_secs(10);
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// How long a probe may stay unanswered before another request probes.
const PROBE: Duration = Duration::from_secs(10);

/// One upstream's health.
#[derive(Default)]
pub(super) struct Health(AtomicU64);

/// Packed in a word: 42 bits of `until` in milliseconds (0 = not ejected), 10 of faults and 8 of ejections in a
/// row, one for "a probe is under way", 3 of answers in a row that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct State {
    until: u64,
    faults: u64,
    ejections: u64,
    probing: bool,
    broken: u64,
}

/// A head says nothing of what becomes of the body: heads leave these as they are.
const BROKEN: u64 = 7 << 61;

impl State {
    fn pack(self) -> u64 {
        self.until.min((1 << 42) - 1)
            | self.faults.min((1 << 10) - 1) << 42
            | self.ejections.min((1 << 8) - 1) << 52
            | u64::from(self.probing) << 60
            | self.broken.min(7) << 61
    }

    fn unpack(word: u64) -> Self {
        Self {
            until: word & ((1 << 42) - 1),
            faults: (word >> 42) & ((1 << 10) - 1),
            ejections: (word >> 52) & ((1 << 8) - 1),
            probing: word >> 60 & 1 == 1,
            broken: word >> 61,
        }
    }

    fn faulted(self, now: Duration) -> Self {
        let state = Self { faults: self.faults + 1, ..self };
        // While ejected, only the probe's failure says something new.
        let ejects = if self.until == 0 { state.faults >= FAULTS_TO_EJECT } else { self.probing };
        if ejects { state.ejected(now) } else { state }
    }

    fn broke_off(self, now: Duration) -> Self {
        let state = Self { faults: self.faults + 1, broken: self.broken + 1, ..self };
        // While ejected, it is from before that: the probe's head would have ended it.
        let ejects = self.until == 0 && state.faults.max(state.broken) >= FAULTS_TO_EJECT;
        if ejects { state.ejected(now) } else { state }
    }

    fn ejected(self, now: Duration) -> Self {
        let doubled = FIRST_EJECTION.saturating_mul(1 << self.ejections.min(16));
        let until = millis(now + doubled.min(LONGEST_EJECTION)).max(1);
        Self { until, ejections: self.ejections + 1, probing: false, ..self }
    }

    /// While its answers break off, each ejection is longer than the last, however well they begin.
    fn begun(self) -> Self {
        let ejections = if self.broken == 0 { 0 } else { self.ejections };
        Self { ejections, broken: self.broken, ..Self::default() }
    }

    /// Its answers break off no more.
    fn whole(self) -> Self {
        Self { broken: 0, ejections: if self.until == 0 { 0 } else { self.ejections }, ..self }
    }
}

impl Health {
    /// Whether a request may go there now. An ejection that is over admits one request, its probe.
    pub(super) fn admits(&self, now: impl FnOnce() -> Duration) -> bool {
        let word = self.0.load(Ordering::Acquire);
        let state = State::unpack(word);
        if state.until == 0 {
            return true;
        }
        let now = now();
        if state.until > millis(now) {
            return false;
        }
        let probe = State { until: millis(now + PROBE), probing: true, ..state };
        self.0.compare_exchange(word, probe.pack(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// An answer began as it should. Returns whether this ended an ejection.
    pub(super) fn succeed(&self) -> bool {
        // The load keeps the line shared between workers while all is well.
        self.0.load(Ordering::Relaxed) & !BROKEN != 0 && self.change(State::begun).until != 0
    }

    /// An answer ended as it should.
    pub(super) fn end_well(&self) {
        if self.0.load(Ordering::Relaxed) & BROKEN != 0 {
            self.change(State::whole);
        }
    }

    /// It failed. Returns for how long this ejected it.
    pub(super) fn fail(&self, now: Duration) -> Option<Duration> {
        self.ejects(now, State::faulted)
    }

    /// An answer of it broke off. The same.
    pub(super) fn break_off(&self, now: Duration) -> Option<Duration> {
        self.ejects(now, State::broke_off)
    }

    fn ejects(&self, now: Duration, fault: fn(State, Duration) -> State) -> Option<Duration> {
        let before = self.change(|state| fault(state, now));
        let after = fault(before, now);
        (after.ejections != before.ejections).then(|| Duration::from_millis(after.until).saturating_sub(now))
    }

    /// Returns what it was before.
    fn change(&self, change: impl Fn(State) -> State) -> State {
        let change = |word| Some(change(State::unpack(word)).pack());
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        State::unpack(before.unwrap_or_else(|word| word))
    }

    /// When the ejection ends; zero if there is none.
    pub(super) fn until(&self) -> Duration {
        Duration::from_millis(State::unpack(self.0.load(Ordering::Acquire)).until)
    }

    /// Faults in a row.
    pub(super) fn faults(&self) -> u64 {
        let state = State::unpack(self.0.load(Ordering::Relaxed));
        state.faults.max(state.broken)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Retries for upstream faults: at most a fifth of the requests, at least ten a second, and no more than these in an outage,
/// so that it is not multiplied. Counted over windows of [`RetryBudget::WINDOW`]; what one leaves of its requests' fifth is the next one's
/// too, so that faults that come together at a window's beginning find as much as any others.
#[derive(Default)]
pub(super) struct RetryBudget {
    began: AtomicU64,
    requests_then: AtomicU64,
    left_over: AtomicU64,
    spent: AtomicU64,
}

impl RetryBudget {
    const WINDOW: Duration = Duration::from_secs(10);
    const AT_LEAST_A_SECOND: u64 = 10;

    /// Takes one retry out of the budget, if there is one. `requests` is how many the process has had in all.
    pub(super) fn withdraw(&self, requests: u64, is_outage: bool, now: Duration) -> bool {
        let mut began = self.began.load(Ordering::Acquire);
        let elapsed = millis(now).saturating_sub(began);
        if elapsed >= millis(Self::WINDOW)
            && self.began.compare_exchange(began, millis(now), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            let before = requests.saturating_sub(self.requests_then.swap(requests, Ordering::Relaxed));
            // As many as one window of it had: the last may lie further back.
            let share = before.saturating_mul(millis(Self::WINDOW)) / elapsed / 5;
            let spent = self.spent.swap(0, Ordering::AcqRel);
            self.left_over.store(share.saturating_sub(spent), Ordering::Release);
            began = millis(now);
        }
        let seconds = (millis(now).saturating_sub(began) / 1000 + 1).min(Self::WINDOW.as_secs());
        let share = requests.saturating_sub(self.requests_then.load(Ordering::Relaxed)) / 5;
        let share = share + self.left_over.load(Ordering::Acquire);
        let share = if is_outage { 0 } else { share };
        let budget = share.max(seconds * Self::AT_LEAST_A_SECOND);
        self.spent
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |spent| (spent < budget).then_some(spent + 1))
            .is_ok()
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_faults_in_a_row_eject_for_ten_seconds_and_one_request_probes_after_that() {
        let health = Health::default();
        for _ in 0..4 {
            assert_eq!(health.fail(at(1)), None);
            assert!(health.admits(|| at(1)));
        }
        assert_eq!(health.fail(at(1)), Some(at(10)));
        assert!(!health.admits(|| at(10)));
        assert!(health.admits(|| at(11)));
        assert!(!health.admits(|| at(11)), "one probe at a time");
        assert!(health.succeed());
        assert!(health.admits(|| at(11)) && health.admits(|| at(11)));
        assert_eq!(health.faults(), 0);
    }

    #[test]
    fn a_failed_probe_doubles_the_ejection_up_to_five_minutes() {
        let health = Health::default();
        let mut now = 0;
        for _ in 0..4 {
            health.fail(at(now));
        }
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(health.fail(at(now)), Some(at(seconds)));
            assert_eq!(health.fail(at(now)), None, "a straggler's failure is the same ejection");
            now += seconds;
            assert!(health.admits(|| at(now)));
        }
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let health = Health::default();
        for _ in 0..20 {
            for _ in 0..4 {
                assert_eq!(health.fail(at(1)), None);
            }
            assert!(!health.succeed());
        }
    }

    #[test]
    fn five_answers_in_a_row_that_break_off_eject_however_well_they_begin() {
        let health = Health::default();
        let breaks = |now| {
            health.succeed();
            health.break_off(at(now))
        };
        for _ in 0..4 {
            assert_eq!(breaks(0), None);
        }
        health.end_well();
        for _ in 0..4 {
            assert_eq!(breaks(0), None, "one was whole in between");
        }
        assert_eq!(breaks(0), Some(at(10)));
        assert_eq!(health.break_off(at(1)), None, "a straggler of the same ejection");
        assert!(!health.admits(|| at(9)) && health.admits(|| at(10)));
        assert!(health.succeed());
        assert_eq!(health.break_off(at(11)), Some(at(20)), "the one that came to see");
        assert!(health.admits(|| at(31)) && health.succeed());
        health.end_well();
        assert_eq!(health.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn faults_that_heads_come_between_are_no_row_whatever_bodies_do_not_end() {
        let health = Health::default();
        for _ in 0..20 {
            assert_eq!(health.fail(at(0)), None);
            health.succeed();
        }
        for _ in 0..4 {
            assert_eq!(health.break_off(at(0)), None);
            health.succeed();
            assert_eq!(health.fail(at(0)), None, "of the one kind or of the other");
            health.succeed();
        }
    }

    #[test]
    fn a_probe_that_never_ends_lets_another_go() {
        let health = Health::default();
        for _ in 0..5 {
            health.fail(at(0));
        }
        assert!(health.admits(|| at(10)));
        assert!(!health.admits(|| at(19)));
        assert!(health.admits(|| at(20)));
    }

    #[test]
    fn retries_are_ten_a_second_or_a_fifth_of_the_requests() {
        let budget = RetryBudget::default();
        let spend = |requests, now| (0..10_000).take_while(|_| budget.withdraw(requests, false, now)).count();
        assert_eq!(spend(0, at(0)), 10);
        assert_eq!(spend(30, at(1)), 10);
        assert_eq!(spend(1_000, at(2)), 180);
        assert_eq!(spend(1_000, at(12)), 10, "a new window");
        assert_eq!(spend(2_000, at(13)), 190);
    }

    #[test]
    fn what_a_window_leaves_is_the_next_ones_and_no_others() {
        let budget = RetryBudget::default();
        let spend = |requests, now| (0..10_000).take_while(|_| budget.withdraw(requests, false, now)).count();
        assert_eq!(spend(1_000, at(10)), 200, "faults that come at a window's beginning");
        assert_eq!(spend(1_000, at(20)), 10, "it was spent");
        assert_eq!(
            spend(41_000, at(220)),
            390,
            "ten seconds' worth less what was spent, however long it was"
        );
    }
}

/// What workers share here. (A drain shares nothing: each worker has a gate of its own, on one thread, and hears of it through a
/// channel of tokio's, which has loom tests of its own.)
#[cfg(all(test, feature = "loom"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod races {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    /// Does the same on two threads at once.
    fn both<S: Send + Sync + 'static, T: Send + 'static>(
        shared: &Arc<S>,
        act: impl Fn(&S) -> T + Copy + Send + 'static,
    ) -> [T; 2] {
        let other = {
            let shared = Arc::clone(shared);
            thread::spawn(move || act(&shared))
        };
        let mine = act(shared);
        [mine, other.join().unwrap()]
    }

    #[test]
    fn loom_the_last_retry_of_a_window_goes_to_one() {
        loom::model(|| {
            let budget = Arc::new(RetryBudget::default());
            budget.spent.store(9, Ordering::Relaxed);
            let got = both(&budget, |budget| budget.withdraw(0, false, Duration::ZERO));
            assert_eq!(got.iter().filter(|got| **got).count(), 1);
        });
    }

    #[test]
    fn loom_a_window_that_two_begin_has_no_more_than_its_budget_and_one() {
        loom::model(|| {
            let budget = Arc::new(RetryBudget::default());
            // The window before is spent to its end.
            budget.spent.store(100, Ordering::Relaxed);
            let got = both(&budget, |budget| budget.withdraw(0, false, NOW));
            let more = (0..20).take_while(|_| budget.withdraw(0, false, NOW)).count();
            // Who comes while another begins the window may find what the old one has, or be forgotten by the new one.
            let all = got.iter().filter(|got| **got).count() + more;
            assert!((10..=11).contains(&all), "{all}");
        });
    }

    #[test]
    fn loom_faults_on_two_threads_eject_once() {
        loom::model(|| {
            let health = Arc::new(Health::default());
            for _ in 0..4 {
                health.fail(NOW);
            }
            let ejected = both(&health, |health| health.fail(NOW));
            assert_eq!(ejected.iter().flatten().count(), 1, "{ejected:?}");
            assert!(!health.admits(|| NOW));
        });
    }

    #[test]
    fn loom_answers_that_break_off_on_two_threads_eject_once_though_others_begin() {
        loom::model(|| {
            let health = Arc::new(Health::default());
            for _ in 0..4 {
                health.break_off(NOW);
                health.succeed();
            }
            let ejected = both(&health, |health| {
                let began = health.succeed();
                (began, health.break_off(NOW))
            });
            // Who begins well behind the ejection ends it, and ejects again when it breaks off.
            let ended = ejected.iter().filter(|(ended, _)| *ended).count();
            let ejections = ejected.iter().filter(|(_, ejection)| ejection.is_some()).count();
            assert_eq!(ejections, 1 + ended, "{ejected:?}");
            assert!(!health.admits(|| NOW));
        });
    }

    #[test]
    fn loom_an_answer_that_ends_well_beside_one_that_breaks_off_forgets_the_row() {
        loom::model(|| {
            let health = Arc::new(Health::default());
            for _ in 0..3 {
                health.break_off(NOW);
            }
            let breaking = {
                let health = Arc::clone(&health);
                thread::spawn(move || health.break_off(NOW))
            };
            health.end_well();
            assert_eq!(breaking.join().unwrap(), None);
            assert!(State::unpack(health.0.load(Ordering::Relaxed)).broken <= 1);
        });
    }

    #[test]
    fn loom_an_ejection_that_is_over_admits_one_probe() {
        loom::model(|| {
            let health = Arc::new(Health::default());
            for _ in 0..5 {
                health.fail(Duration::ZERO);
            }
            let admitted = both(&health, |health| health.admits(|| NOW));
            assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 1);
        });
    }

    #[test]
    fn loom_a_success_beside_a_fault_leaves_one_fault_or_none() {
        loom::model(|| {
            let health = Arc::new(Health::default());
            health.fail(NOW);
            let failing = {
                let health = Arc::clone(&health);
                thread::spawn(move || health.fail(NOW))
            };
            assert!(!health.succeed());
            assert_eq!(failing.join().unwrap(), None);
            assert!(health.faults() <= 1);
            assert!(health.admits(|| NOW));
        });
    }
}
