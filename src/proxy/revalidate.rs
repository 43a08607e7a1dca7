//! The requests that we make ourselves: keys that are out for good are checked again by a free one, `GET` on the
//! models list, and so are those that a storm put under suspicion, sooner, so that the pool comes back without any
//! traffic (spec §7).
//!
//! A few providers show their list to everybody: there a revoked key comes back each interval, and leaves again with
//! one live request, which another key heals.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::time::Instant;

use super::attempt::{Outcome, Span, Try};
use super::body::{Outgoing, RequestBody};
use super::credentials::Place;
use super::held::accuser;
use super::provider;
use super::refused::Refused;
use super::stream::StreamLimits;
use crate::group::Group;
use crate::keys::{Accuser, BY_OPERATOR, Blacklisted, Condemned, Effect, Failure, Lease, Service};
use crate::upstream::client::Client;
use crate::upstream::connect::Connector;
use crate::upstream::{BaseUrl, Upstream, Upstreams};
use crate::verdict::Verdict;

/// Between two checks: at most three a second, never in step with anything else.
const PAUSE: Duration = Duration::from_millis(334);
/// Checks between two looks at who is due: a storm that begins meanwhile has to wait for no more than these.
const ROUND: usize = 12;
/// How often it looks, at the least.
const LOOK: Duration = Duration::from_secs(5);
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A suspect is checked again so long after it was tried, and later each time that it has been out twice as long, but so
/// that the pool is back within a minute of the provider's recovery.
const SUSPECTS: Duration = Duration::from_secs(10);
/// Each verdict for good is checked first after this. One that may have been a mistake is again each time that the key has
/// been out twice as long.
const SOON: Duration = Duration::from_secs(20);
/// Where one was found to have been refused by mistake, so may be those that were refused later, or this much before.
const EPISODE: Duration = Duration::from_secs(60);
/// Of the keys that checks have found guilty after a storm one is checked so often, for a day: if it works, so may the others.
const ONE_OF_A_STORM: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// While there is no key left, nor will be within this, none is left alone for longer: clients may be sent elsewhere until there
/// is one.
const NONE_LEFT: Duration = Duration::from_secs(45);

/// What a check found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key works: it is back.
    Restored,
    /// It is out as before, or for a reason of its own.
    Confirmed,
    /// Nothing.
    Inconclusive,
}

/// What the checks came to.
#[derive(Debug, Default)]
pub struct Checks {
    counts: [AtomicU64; 3],
    /// In seconds of the wall clock; 0 for never.
    last_run: AtomicU64,
}

impl Checks {
    fn note(&self, found: Found) {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.last_run.store(seconds, Ordering::Relaxed);
        if let Some(count) = self.counts.get(found as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn checked(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many found this.
    pub fn count(&self, found: Found) -> u64 {
        self.counts.get(found as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// When the last one ended.
    pub fn last_run(&self) -> Option<SystemTime> {
        let seconds = self.last_run.load(Ordering::Relaxed);
        (seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

/// How long a key is left in peace after it was tried.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// A key that is out for good: `KEY_REVALIDATE_INTERVAL`. `None`: for ever.
    condemned: Option<Duration>,
    suspected: Duration,
}

impl Intervals {
    /// By `KEY_REVALIDATE_INTERVAL`.
    pub fn of(interval: Option<Duration>) -> Self {
        Self { condemned: interval, suspected: interval.map_or(SUSPECTS, |interval| interval.min(SUSPECTS)) }
    }

    /// For a key that is out, as operators see it; `None`: nobody checks it.
    pub fn of_blacklisted(self, key: &Blacklisted) -> Option<Duration> {
        if key.model.is_some() || &*key.cause.rule == BY_OPERATOR {
            return None;
        }
        match key.effect {
            Effect::Invalid => self.condemned,
            Effect::Suspected if !key.cause.of_credit => Some(self.suspected),
            _ => None,
        }
    }

    fn of_key(self, key: &Condemned, misgivings: &Misgivings) -> Option<Duration> {
        if key.suspected {
            // Where it has passed and was refused again, everybody may see the list.
            let least =
                self.suspected.saturating_mul(1 << key.passes.min(16)).min(self.condemned.unwrap_or(DAY));
            return Some((key.out_for / 2).clamp(least, NONE_LEFT.max(least)));
        }
        let in_doubt = key.served_since_check
            || key.passes == 0 && misgivings.since.is_some_and(|since| since.elapsed() >= key.out_for);
        let sooner = if misgivings.none_left {
            (key.out_for / 2).clamp(SOON, NONE_LEFT)
        } else {
            let doubted = if in_doubt { SOON.max(key.out_for / 2) } else { Duration::MAX };
            let is_telling = !key.checked && (key.passes == 0 || key.is_discerning);
            let times = key.passes.saturating_add(key.asked).min(16);
            let first = if is_telling { SOON.saturating_mul(1 << times) } else { Duration::MAX };
            doubted.min(first)
        };
        self.condemned.map(|interval| interval.min(sooner))
    }
}

/// What makes it doubtful that keys are out by their own fault.
#[derive(Default)]
struct Misgivings {
    /// There is no key left.
    none_left: bool,
    /// Since when verdicts are to be doubted, as one was found to be wrong.
    since: Option<Instant>,
}

/// Checks keys again, for as long as it runs.
pub struct Revalidation {
    group: Arc<Group>,
    client: Rc<Client<Outgoing>>,
    checks: Arc<Checks>,
    intervals: Intervals,
    patience: Duration,
}

impl Revalidation {
    /// Checks the group's keys. `response` is `RESPONSE_TIMEOUT`.
    pub fn new(
        group: Arc<Group>,
        connector: &Connector,
        checks: Arc<Checks>,
        intervals: Intervals,
        response: Duration,
    ) -> Self {
        let client = Rc::new(Client::new(connector.clone(), group.upstreams.all().len(), LOOK));
        Self { group, client, checks, intervals, patience: response.min(PATIENCE) }
    }

    /// Never returns.
    ///
    /// # Cancel safety
    /// Dropping it ends the check that runs; nobody is blamed.
    pub async fn run(&self) {
        tokio::task::spawn_local(Rc::clone(&self.client).sweep());
        let mut misgivings = Misgivings::default();
        loop {
            let keys = &self.group.keys;
            misgivings.none_left = keys.earliest_return(None).is_none_or(|wait| wait > NONE_LEFT);
            let (due, next) = due(keys.condemned(), self.intervals, &misgivings);
            for key in &due {
                // It may be back by now, or the file have been read anew.
                let Some(lease) = keys.lease_condemned(key) else { continue };
                let found = self.check(key, lease).await;
                self.checks.note(found);
                if found == Found::Restored {
                    let since = || Instant::now().checked_sub(key.out_for + EPISODE);
                    misgivings.since = misgivings.since.or_else(since);
                }
                tokio::time::sleep(jittered(PAUSE)).await;
            }
            if due.is_empty() {
                tokio::time::sleep(jittered(next.clamp(PAUSE, LOOK / 2))).await;
            }
        }
    }

    async fn check(&self, key: &Condemned, lease: Lease<'_>) -> Found {
        let upstreams = &self.group.upstreams;
        // Whoever condemned it has to say so again; another upstream may not know the key at all.
        let accuser = key.upstream.and_then(|index| upstreams.all().get(index));
        let Some(upstream) = accuser.or_else(|| upstreams.pick(&[])) else { return Found::Inconclusive };
        let Ok(mut request) = models_list(&upstream.url) else { return Found::Inconclusive };
        let began = Instant::now();
        let by = began + self.patience;
        let span = Span { began, connect: self.patience, head_by: by };
        match request.send(&self.client, upstream, &lease, None, span).await {
            Outcome::Switched(..) => Found::Inconclusive,
            Outcome::Answer(response) if response.status().is_redirection() => Found::Inconclusive,
            Outcome::Answer(response) => {
                let limits = StreamLimits { silence: self.patience, deadline: Some(by) };
                match Refused::read(response, &lease, None, limits, true).await {
                    Ok(answer) if answer.judgement.verdict == Verdict::Success => restore(lease, upstream),
                    Ok(answer) => refused(lease, key, upstream, upstreams, &answer),
                    Err(_late) => Found::Inconclusive,
                }
            }
            Outcome::Failed(failure) => {
                tracing::debug!(key_index = key.index, error = failure.error, "no answer to a revalidation");
                Found::Inconclusive
            }
        }
    }
}

/// Settles the lease of a key that works.
fn restore(lease: Lease<'_>, upstream: &Upstream) -> Found {
    let (key_index, key_preview) = (lease.index(), lease.preview());
    let Some(ended_storm) = lease.pass_check(upstream.index) else { return Found::Inconclusive };
    tracing::info!(key_index, key_preview, upstream = %upstream.url, "key restored: it passed a revalidation");
    if ended_storm {
        tracing::info!(upstream = %upstream.url, "suspects of an outage are back: a key passed its check");
    }
    Found::Restored
}

/// Settles the lease of a key that was refused again.
fn refused(
    lease: Lease<'_>,
    key: &Condemned,
    upstream: &Upstream,
    upstreams: &Upstreams,
    answer: &Refused,
) -> Found {
    let judgement = &answer.judgement;
    let wait = judgement.wait.as_ref().map(|wait| wait.duration);
    let effect = match judgement.verdict {
        // Known already: told anew, it would count as one of many that fall at once.
        Verdict::KeyInvalid if !key.suspected => {
            lease.confirm(upstream.index);
            return Found::Confirmed;
        }
        Verdict::KeyInvalid => Effect::Invalid,
        Verdict::KeyExhausted => Effect::Exhausted { wait },
        // A limit may be that of the list, and tells nothing of the key.
        _ => return Found::Inconclusive,
    };
    let cause = answer.cause(upstream);
    let by = Accuser { by_check: true, ..accuser(&lease, upstream, upstreams, Service::Free) };
    lease.fail(Failure { by, cause, ..effect.into() });
    Found::Confirmed
}

/// The next keys to check, and, if there are none, how long until one is due. Suspects first; among them the upstreams
/// in turn, since one good key ends an upstream's storm; and whoever was tried longest ago before others.
fn due(
    mut condemned: Vec<Condemned>,
    intervals: Intervals,
    misgivings: &Misgivings,
) -> (Vec<Condemned>, Duration) {
    let mut next = LOOK;
    let of_storms = one_of_each_storm(&condemned);
    condemned.retain(|key| {
        if of_storms.contains(&key.index) {
            return true;
        }
        let Some(interval) = intervals.of_key(key, misgivings) else { return false };
        let left = interval.saturating_sub(key.tried_ago);
        next = next.min(left);
        left.is_zero()
    });
    let mut of_upstreams: HashMap<_, Vec<Condemned>> = HashMap::new();
    for key in condemned {
        of_upstreams.entry((!key.suspected, key.upstream)).or_default().push(key);
    }
    let order = |key: &Condemned| (Reverse(key.tried_ago), key.index);
    let mut ranked = Vec::new();
    for ((trusted, _), mut keys) in of_upstreams {
        // They may be all of a million, and the clock waits for this.
        if keys.len() > ROUND {
            keys.select_nth_unstable_by_key(ROUND, order);
            keys.truncate(ROUND);
        }
        keys.sort_unstable_by_key(order);
        ranked.extend(keys.into_iter().enumerate().map(|(rank, key)| ((trusted, rank, order(&key)), key)));
    }
    ranked.sort_unstable_by_key(|(place, _)| *place);
    (ranked.into_iter().take(ROUND).map(|(_, key)| key).collect(), next)
}

/// Whose turn it is of each upstream's storm, if it is anybody's.
fn one_of_each_storm(condemned: &[Condemned]) -> Vec<u32> {
    let mut of_upstream: HashMap<_, Vec<&Condemned>> = HashMap::new();
    for key in condemned.iter().filter(|key| key.of_storm && key.out_for < DAY) {
        of_upstream.entry(key.upstream).or_default().push(key);
    }
    let is_time = |keys: &&Vec<&Condemned>| keys.iter().all(|key| key.tried_ago >= ONE_OF_A_STORM);
    let oldest = |keys: &Vec<&Condemned>| keys.iter().max_by_key(|key| key.tried_ago).map(|key| key.index);
    of_upstream.values().filter(is_time).filter_map(oldest).collect()
}

/// Up to half as long again.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + 0.5 * fastrand::f64())
}

/// The request for an upstream's models list.
fn models_list(url: &BaseUrl) -> http::Result<Try> {
    let place = Place::of_host(url.host());
    let (mut parts, ()) = Request::get(provider::models_list(url)).body(())?.into_parts();
    provider::describe(&mut parts.headers, place);
    Ok(Try::new(parts, Some(place), RequestBody::Replay(Bytes::new(), None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32, suspected: bool, upstream: usize, tried: u64) -> Condemned {
        let tried_ago = Duration::from_secs(tried);
        Condemned {
            index,
            generation: 0,
            suspected,
            served_since_check: false,
            passes: 0,
            of_storm: false,
            checked: true,
            asked: 0,
            out_for: tried_ago,
            upstream: Some(upstream),
            is_discerning: false,
            tried_ago,
        }
    }

    #[test]
    fn suspects_come_first_then_who_was_tried_longest_ago_and_upstreams_take_turns() {
        let condemned = vec![
            key(0, false, 0, 4000),
            key(1, false, 0, 5000),
            key(2, true, 0, 30),
            key(3, true, 0, 40),
            key(4, true, 1, 20),
            key(5, true, 1, 9),
            key(6, false, 0, 3599),
        ];
        let indices = |interval| {
            let (due, _) = due(condemned.clone(), Intervals::of(interval), &Misgivings::default());
            due.into_iter().map(|key| key.index).collect::<Vec<_>>()
        };
        assert_eq!(indices(Some(Duration::from_secs(3600))), [3, 4, 2, 1, 0]);
        assert_eq!(indices(None), [3, 4, 2], "suspects alone");
    }

    #[test]
    fn nobody_is_due_before_the_interval_is_over_and_a_round_is_short() {
        let hour = Intervals::of(Some(Duration::from_secs(3600)));
        let (none, next) =
            due(vec![key(0, false, 0, 3597), key(1, false, 0, 10)], hour, &Misgivings::default());
        assert!(none.is_empty());
        assert_eq!(next, Duration::from_secs(3));
        let many = (0..1000).map(|index| key(index, false, 0, 4000)).collect();
        assert_eq!(due(many, hour, &Misgivings::default()).0.len(), ROUND);
        // Who was tried longest ago stands last.
        let many = (0..1000).map(|index| key(index, false, 0, 4000 + u64::from(index))).collect();
        let first: Vec<_> = due(many, hour, &Misgivings::default()).0.iter().map(|key| key.index).collect();
        assert_eq!(first, (1000 - 12..1000).rev().collect::<Vec<u32>>());
    }

    #[test]
    fn one_of_those_that_were_found_guilty_after_a_storm_is_checked_each_half_minute() {
        let of_storm =
            |index, upstream, tried| Condemned { of_storm: true, ..key(index, false, upstream, tried) };
        let due = |keys: &[Condemned]| {
            let (due, _) = due(keys.to_vec(), Intervals::of(None), &Misgivings::default());
            due.into_iter().map(|key| key.index).collect::<Vec<_>>()
        };
        let others = [of_storm(2, 1, 35), of_storm(3, 1, 31), key(4, false, 0, 3000)];
        assert_eq!(due(&[&[of_storm(0, 0, 40), of_storm(1, 0, 29)], &others[..]].concat()), [2]);
        assert_eq!(due(&[&[of_storm(0, 0, 40), of_storm(1, 0, 30)], &others[..]].concat()), [0, 2]);
        let old = Condemned { out_for: DAY, ..of_storm(0, 0, 40) };
        assert_eq!(due(&[old]), [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_may_be_out_by_mistake_are_checked_soon_and_so_is_every_key_where_none_is_left() {
        let seconds = Duration::from_secs;
        let hour = Intervals::of(Some(seconds(3600)));
        let fresh = key(0, false, 0, 0);
        let served = Condemned { served_since_check: true, passes: 1, ..fresh };
        let wait = |key: Condemned, out_for, misgivings: &Misgivings| {
            let wait = hour.of_key(&Condemned { out_for: seconds(out_for), ..key }, misgivings);
            wait.map_or(0, |wait| wait.as_secs())
        };
        let none = &Misgivings::default();
        assert_eq!(wait(fresh, 30, none), 3600);
        let unchecked = Condemned { checked: false, ..fresh };
        assert_eq!(
            [unchecked, Condemned { passes: 1, ..unchecked }].map(|key| wait(key, 30, none)),
            [20, 3600]
        );
        assert_eq!(
            [1, 3, 255].map(|asked| wait(Condemned { asked, ..unchecked }, 30, none)),
            [40, 160, 3600],
            "what told nothing is no check, nor is it to be made for ever"
        );
        let discerning = Condemned { is_discerning: true, ..unchecked };
        assert_eq!(
            [1, 2, 5, 255].map(|passes| wait(Condemned { passes, ..discerning }, 30, none)),
            [40, 80, 640, 3600],
            "it has passed where others were refused, and was refused again before it served"
        );
        let suspect = Condemned { suspected: true, ..fresh };
        assert_eq!([5, 60, 900].map(|out_for| wait(suspect, out_for, none)), [10, 30, 45]);
        let passed = |passes| wait(Condemned { passes, ..suspect }, 900, none);
        assert_eq!([1, 4, 20].map(passed), [45, 160, 3600], "everybody may see that list");
        assert_eq!([10, 200, 9000].map(|out_for| wait(served, out_for, none)), [20, 100, 3600]);
        let none_left = &Misgivings { none_left: true, ..Misgivings::default() };
        assert_eq!([10, 60, 9000].map(|out_for| wait(fresh, out_for, none_left)), [20, 30, 45]);
        let mistakes = &Misgivings { since: Some(Instant::now()), ..Misgivings::default() };
        tokio::time::advance(seconds(100)).await;
        assert_eq!([50, 101].map(|out_for| wait(fresh, out_for, mistakes)), [25, 3600]);
        let came_back = Condemned { passes: 1, ..fresh };
        assert_eq!(wait(came_back, 50, mistakes), 3600, "a list that everybody may see proves nothing twice");
        let short = Intervals::of(Some(seconds(5)));
        assert_eq!(short.of_key(&served, none_left), Some(seconds(5)));
        assert_eq!(Intervals::of(None).of_key(&served, none_left), None, "never is never");
    }
}
