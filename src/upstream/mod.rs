//! Where requests go: the upstreams of a group, and whose turn it is among them (spec §8).

pub mod client;
pub mod connect;
mod health;
mod http1;
mod http2;
pub mod outbound;
mod url;

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::url::percent_decode;
pub use self::url::{BaseUrl, JoinError, Scheme, hide_secrets, query_key, replace_key};
use health::{Health, RetryBudget, millis};

/// One base URL to which requests are forwarded.
pub struct Upstream {
    /// Its place in `OPENAI_BASE_URL`, from 0.
    pub index: usize,
    /// Where it is.
    pub url: BaseUrl,
    /// Whose it is: OpenTelemetry's `gen_ai.provider.name`.
    pub provider: &'static str,
    health: Health,
    attempts: AtomicU64,
    faults: AtomicU64,
    /// When it last failed, in milliseconds since the beginning, and, in the lowest bit, whether it took long to; 0: never.
    failed_at: AtomicU64,
    ejections: AtomicU64,
    sent_again: AtomicU64,
    /// In which places of a request it has taken keys, a bit each.
    places: AtomicU8,
}

impl Upstream {
    /// It served a request whose key stood in this place.
    #[inline]
    pub fn note_place(&self, place: u8) {
        if self.places() & place == 0 {
            self.places.fetch_or(place, Ordering::Relaxed);
        }
    }

    /// In which places it has taken keys, a bit each.
    pub fn places(&self) -> u8 {
        self.places.load(Ordering::Relaxed)
    }

    /// A request goes out again to it in the same attempt.
    #[cold]
    pub fn note_sent_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }
}

/// What people may know of an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Attempts sent there.
    pub attempts: u64,
    /// How many of them failed by its fault.
    pub faults: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// Requests that went out twice in one attempt: they crossed the end of a kept connection.
    pub sent_again: u64,
    /// Faults in a row.
    pub consecutive_faults: u64,
    /// How long it stays ejected, if it is.
    pub ejected_for: Option<Duration>,
}

/// All upstreams of a group.
pub struct Upstreams {
    list: Box<[Upstream]>,
    cursor: AtomicUsize,
    budget: RetryBudget,
    /// Of all of them together, and when the first of these came, in milliseconds since `began`.
    faults_in_a_row: AtomicU64,
    row_began: AtomicU64,
    began: Instant,
}

/// Faults in a row, wherever, that make an outage: more than a restart on the other side takes, or bad luck.
const FAULTS_OF_AN_OUTAGE: u64 = 20;
/// How long they have to go on before our own retries are no more than the fewest. Faults are answered fast: of many requests
/// that went out together the unlucky ones come back first.
const SHORTEST_OUTAGE: Duration = Duration::from_secs(1);

/// An ejected one that has failed is left alone for so long by requests that fail at the others, and altogether if it took
/// longer to fail: then it would cost them more than they have to win.
const REST: Duration = Duration::from_secs(1);

impl Upstreams {
    /// All of them healthy.
    pub fn new(urls: Vec<BaseUrl>) -> Self {
        let upstream = |(index, url)| Upstream {
            index,
            provider: provider_of(&url),
            url,
            health: Health::default(),
            attempts: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            sent_again: AtomicU64::new(0),
            places: AtomicU8::new(0),
        };
        Self {
            list: urls.into_iter().enumerate().map(upstream).collect(),
            cursor: AtomicUsize::new(0),
            budget: RetryBudget::default(),
            faults_in_a_row: AtomicU64::new(0),
            row_began: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Upstream] {
        &self.list
    }

    /// The next one in turn that is not ejected; for a request that `failed` at some (twice: it is named twice), one of the
    /// others, or at least not the last, if there is one. An ejected one has a request's third attempt rather than one at
    /// which two have failed: it may be well again. If all are ejected, the one due back first. `None` only if there are none
    /// at all.
    pub fn pick(&self, failed: &[usize]) -> Option<&Upstream> {
        let upstream = match self.list.as_ref() {
            [only] => only,
            _ => self.turn(failed).or_else(|| self.any_else(failed))?,
        };
        upstream.attempts.fetch_add(1, Ordering::Relaxed);
        Some(upstream)
    }

    /// Any of them but these, be it ejected, if it may be tried all the same; else the next one in turn.
    pub fn pick_any_but(&self, these: &[usize]) -> Option<&Upstream> {
        let suits = |upstream: &&Upstream| !these.contains(&upstream.index) && self.may_be_asked(upstream);
        let Some(upstream) = fastrand::choice(self.list.iter().filter(suits).collect::<Vec<_>>()) else {
            return self.pick(&[]);
        };
        upstream.attempts.fetch_add(1, Ordering::Relaxed);
        Some(upstream)
    }

    #[cold]
    fn any_else(&self, failed: &[usize]) -> Option<&Upstream> {
        if failed.is_empty() {
            return self.list.iter().min_by_key(|upstream| upstream.health.until());
        }
        self.list.iter().min_by_key(|upstream| {
            let times = failed.iter().filter(|failed| **failed == upstream.index).count();
            let ejected = match upstream {
                well if well.health.until().is_zero() => 0,
                rested if self.is_rested(rested) => 2,
                _ => 4,
            };
            // Of several that are ejected any may be the one that is well.
            (times + ejected, times, failed.last() == Some(&upstream.index), fastrand::u32(..))
        })
    }

    fn may_be_asked(&self, upstream: &Upstream) -> bool {
        upstream.health.until().is_zero() || self.is_rested(upstream)
    }

    /// Whether an ejected one may be tried all the same.
    fn is_rested(&self, upstream: &Upstream) -> bool {
        let failed = upstream.failed_at.load(Ordering::Relaxed);
        failed & 1 == 0 && Duration::from_millis(failed >> 1) + REST <= self.now()
    }

    fn turn(&self, not: &[usize]) -> Option<&Upstream> {
        let len = self.list.len();
        let mut cursor = self.cursor.load(Ordering::Relaxed);
        loop {
            let order = (0..len).map(|step| (cursor + step) % len);
            let admits = |index: &usize| {
                !not.contains(index)
                    && self.list.get(*index).is_some_and(|upstream| upstream.health.admits(|| self.now()))
            };
            let found = order.into_iter().find(admits)?;
            match self.cursor.compare_exchange(
                cursor,
                (found + 1) % len,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return self.list.get(found),
                // Somebody took this turn; a probe that was admitted must go all the same.
                Err(_) if self.list.get(found).is_some_and(|upstream| !upstream.health.until().is_zero()) => {
                    return self.list.get(found);
                }
                Err(moved) => cursor = moved,
            }
        }
    }

    /// Keeps keys and upstreams from going in lockstep. Called when a lap over `keys` available keys ends: without
    /// it, every key would meet the same upstream on each lap wherever that count and the count of the upstreams that are
    /// not ejected have a common divisor. Skips as many turns as make them coprime, so that each key meets every upstream.
    pub fn end_lap(&self, keys: usize) {
        if self.list.len() < 2 {
            return;
        }
        let taking = self.list.iter().filter(|upstream| upstream.health.until().is_zero()).count();
        let skip = (0..taking).find(|skip| gcd(keys + skip, taking) == 1).unwrap_or(0);
        if skip > 0 {
            self.skip(skip);
        }
    }

    /// The same where a key is found to meet one upstream again and again, for whatever reason: by chance.
    #[cold]
    pub fn leave_step(&self) {
        self.skip(fastrand::usize(..self.list.len().max(1)));
    }

    /// Passes over so many turns of those that are not ejected.
    fn skip(&self, turns: usize) {
        let len = self.list.len();
        let takes = |index: &usize| self.list.get(*index).is_some_and(|it| it.health.until().is_zero());
        let behind_next = |cursor: usize| {
            let next = (0..len).map(|step| (cursor + step) % len).find(takes);
            next.map_or(cursor, |index| (index + 1) % len)
        };
        let skipped = |cursor: usize| Some((0..turns).fold(cursor, |cursor, _| behind_next(cursor)));
        // It always succeeds: the closure always gives a value.
        let _ = self.cursor.fetch_update(Ordering::Relaxed, Ordering::Relaxed, skipped);
    }

    /// An upstream's answer began as it should. Returns whether that ended an ejection.
    pub fn succeed(&self, upstream: &Upstream) -> bool {
        // The load keeps the line shared between workers while all is well.
        if self.faults_in_a_row.load(Ordering::Relaxed) != 0 {
            self.faults_in_a_row.store(0, Ordering::Relaxed);
        }
        upstream.health.succeed()
    }

    /// Whether there is one beside these that is not ejected.
    pub fn has_others_than(&self, these: &[usize]) -> bool {
        let is_other = |other: &&Upstream| !these.contains(&other.index);
        self.list.iter().filter(is_other).any(|other| other.health.until().is_zero())
    }

    /// Whether one is left that was not asked: one that is not ejected, or may be tried all the same.
    pub fn has_unasked(&self, asked: &[usize]) -> bool {
        self.list.iter().any(|other| !asked.contains(&other.index) && self.may_be_asked(other))
    }

    /// An upstream's answer ended as it should.
    pub fn end_well(&self, upstream: &Upstream) {
        upstream.health.end_well();
    }

    /// An upstream failed after so long. Returns for how long that ejected it; a single one never is.
    pub fn fail(&self, upstream: &Upstream, after: Duration) -> Option<Duration> {
        self.note_fault(upstream, after);
        self.ejects(upstream, Health::fail)
    }

    /// An upstream's answer broke off. Returns the same: that it begins well again and again does not keep it in.
    pub fn break_off(&self, upstream: &Upstream) -> Option<Duration> {
        self.note_fault(upstream, Duration::ZERO);
        self.ejects(upstream, Health::break_off)
    }

    fn note_fault(&self, upstream: &Upstream, after: Duration) {
        upstream.faults.fetch_add(1, Ordering::Relaxed);
        let failed_at = millis(self.now()) << 1 | u64::from(after > REST);
        upstream.failed_at.store(failed_at, Ordering::Relaxed);
        if self.faults_in_a_row.load(Ordering::Relaxed) == 0 {
            self.row_began.store(millis(self.now()), Ordering::Relaxed);
        }
        self.faults_in_a_row.fetch_add(1, Ordering::Relaxed);
    }

    fn ejects(
        &self,
        upstream: &Upstream,
        fault: fn(&Health, Duration) -> Option<Duration>,
    ) -> Option<Duration> {
        if self.list.len() < 2 {
            return None;
        }
        let ejected = fault(&upstream.health, self.now());
        upstream.ejections.fetch_add(u64::from(ejected.is_some()), Ordering::Relaxed);
        ejected
    }

    /// Whether the retry budget has one more retry for an upstream's fault, after so many requests in all.
    pub fn may_retry(&self, requests: u64) -> bool {
        let row_began = || Duration::from_millis(self.row_began.load(Ordering::Relaxed));
        let is_outage = self.are_out() && self.now() >= row_began() + SHORTEST_OUTAGE;
        self.budget.withdraw(requests, is_outage, self.now())
    }

    /// Whether nothing but faults has come from any of them of late: more retries by clients, who have been given all of
    /// ours, would only add to the load of an outage.
    pub fn are_out(&self) -> bool {
        self.faults_in_a_row.load(Ordering::Relaxed) >= FAULTS_OF_AN_OUTAGE
    }

    /// How an upstream fares.
    pub fn report(&self, upstream: &Upstream) -> Report {
        let ejected_for = upstream.health.until().saturating_sub(self.now());
        Report {
            attempts: upstream.attempts.load(Ordering::Relaxed),
            faults: upstream.faults.load(Ordering::Relaxed),
            ejections: upstream.ejections.load(Ordering::Relaxed),
            sent_again: upstream.sent_again.load(Ordering::Relaxed),
            consecutive_faults: upstream.health.faults(),
            ejected_for: (!ejected_for.is_zero()).then_some(ejected_for),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The well-known names of `gen_ai.provider.name`, by what an upstream's host ends with.
const PROVIDERS: [(&str, &str); 14] = [
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("inference.ai.azure.com", "azure.ai.inference"),
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("deepseek.com", "deepseek"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
];

fn provider_of(url: &BaseUrl) -> &'static str {
    let host = url.host().to_ascii_lowercase();
    let is_of =
        |end: &str| host.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    // What speaks OpenAI's dialect on a host of its own is told by the upstream's address, not here.
    PROVIDERS.iter().find(|(end, _)| is_of(end)).map_or("_OTHER", |(_, name)| name)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn upstreams(count: usize) -> Upstreams {
        Upstreams::new((0..count).map(|n| BaseUrl::parse(&format!("http://host-{n}")).unwrap()).collect())
    }

    fn picked(upstreams: &Upstreams) -> usize {
        upstreams.pick(&[]).unwrap().index
    }

    fn eject(upstreams: &Upstreams, index: usize) {
        for _ in 0..5 {
            upstreams.fail(&upstreams.list[index], Duration::ZERO);
        }
    }

    #[test]
    fn they_take_turns() {
        let three = upstreams(3);
        assert_eq!([0; 6].map(|_| picked(&three)), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn those_that_are_ejected_are_passed_over_evenly() {
        let four = upstreams(4);
        eject(&four, 1);
        assert_eq!([0; 6].map(|_| picked(&four)), [0, 2, 3, 0, 2, 3]);
    }

    #[test]
    fn a_retry_goes_elsewhere_if_there_is_an_elsewhere() {
        let two = upstreams(2);
        for failed in [0, 1, 1, 0] {
            assert_ne!(two.pick(&[failed]).unwrap().index, failed);
        }
        eject(&two, 1);
        assert_eq!(two.pick(&[0]).unwrap().index, 0);
        assert_eq!(upstreams(1).pick(&[0]).unwrap().index, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_failed_at_some_is_sent_to_the_others_and_then_to_any_but_the_last() {
        let three = upstreams(3);
        for (failed, next) in
            [(&[0, 1][..], &[2][..]), (&[2, 0], &[1]), (&[0, 1, 2], &[0, 1]), (&[1, 2, 0], &[1, 2])]
        {
            for _ in 0..3 {
                assert!(next.contains(&three.pick(failed).unwrap().index), "{failed:?}");
            }
        }
        eject(&three, 1);
        let picks = |wanted: &[(&[usize], usize)]| {
            for (failed, next) in wanted {
                assert_eq!(three.pick(failed).unwrap().index, *next, "{failed:?}");
            }
        };
        picks(&[(&[2, 0], 2), (&[0, 2, 0, 2], 0)]);
        assert!(!three.has_unasked(&[0, 2]) && three.has_unasked(&[0]));
        tokio::time::advance(REST).await;
        picks(&[(&[2, 0], 2), (&[0, 0, 2], 2), (&[0, 2, 0, 2], 1)]);
        assert!(three.has_unasked(&[0, 2]));
        three.fail(&three.list[1], REST * 2);
        tokio::time::advance(REST * 5).await;
        picks(&[(&[0, 2, 0, 2], 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn any_may_be_put_to_the_test_but_one_that_has_just_failed() {
        let three = upstreams(3);
        eject(&three, 1);
        let met_but = |these: &[usize]| (0..200).map(|_| three.pick_any_but(these).unwrap().index).collect();
        let met = || -> HashSet<_> { met_but(&[]) };
        assert_eq!(met(), HashSet::from([0, 2]));
        tokio::time::advance(REST).await;
        assert_eq!(met(), HashSet::from([0, 1, 2]), "ejected, but rested");
        three.fail(&three.list[1], REST * 2);
        tokio::time::advance(REST).await;
        assert_eq!(met(), HashSet::from([0, 2]), "it would cost too much");
        assert_eq!(met_but(&[2]), HashSet::from([0]));
        assert_eq!(met_but(&[0, 2]), HashSet::from([0, 2]), "there is none, so that it is somebody's turn");
        let attempts = three.all().iter().map(|upstream| three.report(upstream).attempts).sum::<u64>();
        assert_eq!(attempts, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_ejected_the_one_due_back_first_serves() {
        let two = upstreams(2);
        eject(&two, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        eject(&two, 0);
        assert_eq!(picked(&two), 1);
        assert_eq!(picked(&two), 1);
        assert!(two.fail(&two.list[1], Duration::ZERO).is_none());
        assert_eq!(picked(&two), 1, "though it has just failed: a retry goes to the other");
        assert_eq!(two.pick(&[1]).unwrap().index, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_gets_ten_retries_a_second_until_an_answer_comes() {
        let retries = |two: &Upstreams| (0..1000).filter(|_| two.may_retry(1_000_000)).count();
        let out = async |lasts: Duration| {
            let two = upstreams(2);
            for fault in 0..FAULTS_OF_AN_OUTAGE {
                assert!(!two.are_out(), "after {fault}");
                two.fail(two.pick(&[]).unwrap(), Duration::ZERO);
            }
            tokio::time::advance(lasts).await;
            two
        };
        let unlucky = out(SHORTEST_OUTAGE / 2).await;
        assert_eq!(retries(&unlucky), 1000, "those that went well may have been slower");
        let two = out(SHORTEST_OUTAGE).await;
        assert_eq!(retries(&two), 20);
        two.succeed(&two.all()[0]);
        assert!(!two.are_out() && retries(&two) == 1000);
    }

    #[test]
    fn a_single_upstream_is_never_ejected() {
        let one = upstreams(1);
        eject(&one, 0);
        assert!(one.report(&one.all()[0]).ejected_for.is_none());
        assert_eq!(picked(&one), 0);
    }

    #[test]
    fn every_key_meets_every_upstream() {
        for (upstream_count, ejected) in (2..=6).flat_map(|count| (0..count - 1).map(move |out| (count, out)))
        {
            for keys in 1..=24 {
                let upstreams = upstreams(upstream_count);
                (0..ejected).for_each(|index| eject(&upstreams, index));
                let mut met = vec![HashSet::new(); keys];
                let mut counts = vec![0_u32; upstream_count];
                for _ in ejected..upstream_count {
                    for met in &mut met {
                        let upstream = picked(&upstreams);
                        met.insert(upstream);
                        counts[upstream] += 1;
                    }
                    upstreams.end_lap(keys);
                }
                assert!(
                    met.iter().all(|met| met.len() == upstream_count - ejected),
                    "{keys} keys, {upstream_count} upstreams, {ejected} ejected"
                );
                let counts = &counts[ejected..];
                assert_eq!(counts.iter().max(), counts.iter().min(), "and none has more than its share");
            }
        }
    }
}
