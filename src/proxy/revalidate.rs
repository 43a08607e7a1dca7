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
use crate::upstream::{Upstream, Upstreams};
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
        self.condemned.map(|interval| interval.min(misgivings.about(key)))
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

impl Misgivings {
    /// How long a key is left in peace after it was tried since it may be out by mistake; without end where nothing speaks for
    /// that.
    fn about(&self, key: &Condemned) -> Duration {
        if self.none_left {
            return (key.out_for / 2).clamp(SOON, NONE_LEFT);
        }
        let in_doubt = key.served_since_check
            || key.passes == 0 && self.since.is_some_and(|since| since.elapsed() >= key.out_for);
        let doubted = if in_doubt { SOON.max(key.out_for / 2) } else { Duration::MAX };
        let is_telling = !key.checked && (key.passes == 0 || key.is_discerning);
        let times = key.passes.saturating_add(key.asked).min(16);
        let first = if is_telling { SOON.saturating_mul(1 << times) } else { Duration::MAX };
        doubted.min(first)
    }
}

/// Why a check of a key is due.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// It is its turn of those that were found guilty after a storm.
    OfStorm,
    Suspected,
    /// It may be out by mistake.
    Doubted,
    /// Its interval is over.
    Routine,
}

impl Kind {
    fn of(key: &Condemned, intervals: Intervals, misgivings: &Misgivings) -> Self {
        let interval = intervals.condemned.unwrap_or_default();
        if key.suspected {
            Self::Suspected
        } else if misgivings.about(key) <= interval.max(SOON) {
            Self::Doubted
        } else {
            Self::Routine
        }
    }

    /// How urgent that is among its kind. Mostly whoever was tried longest ago comes first; but of thousands that may be out
    /// by mistake whoever has gone untried for most of its time out, and the later verdict where it is all of it: so a new
    /// one does not stand behind all of those that were dead before a restart, nor does any wait for ever.
    fn urgency(self, key: &Condemned) -> u128 {
        match self {
            // In millionths.
            Self::Doubted => {
                (key.tried_ago + SOON).as_nanos() / key.out_for.max(key.tried_ago).as_millis().max(1)
            }
            _ => key.tried_ago.as_nanos(),
        }
    }
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
        let Ok(mut request) = models_list(upstream) else { return Found::Inconclusive };
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
        // There is no such list: a client's request has to tell. Suspects are tried anyway, all of them together as often as one.
        Verdict::RequestFault if !key.suspected => {
            lease.offer();
            return Found::Inconclusive;
        }
        // A limit may be that of the list, and tells nothing of the key.
        _ => return Found::Inconclusive,
    };
    let cause = answer.cause(upstream);
    let by = Accuser { by_check: true, ..accuser(&lease, upstream, upstreams, Service::Free) };
    lease.fail(Failure { by, cause, ..effect.into() });
    Found::Confirmed
}

/// The next keys to check, and, if there are none, how long until one is due. Suspects first, after the few that stand for
/// a whole storm. Then those that may be out by mistake and all others take turns: whichever are too many for our pace, they
/// hold up only themselves.
fn due(
    condemned: Vec<Condemned>,
    intervals: Intervals,
    misgivings: &Misgivings,
) -> (Vec<Condemned>, Duration) {
    let mut next = LOOK;
    let of_storms = one_of_each_storm(&condemned);
    let mut queues: HashMap<_, Vec<_>> = HashMap::new();
    for key in condemned {
        let kind = if of_storms.contains(&key.index) {
            Kind::OfStorm
        } else {
            let Some(interval) = intervals.of_key(&key, misgivings) else { continue };
            let left = interval.saturating_sub(key.tried_ago);
            next = next.min(left);
            if !left.is_zero() {
                continue;
            }
            Kind::of(&key, intervals, misgivings)
        };
        queues.entry((kind, key.upstream)).or_default().push((kind.urgency(&key), key));
    }
    let mut take = |kind| in_turn(queues.extract_if(|(of, _), _| *of == kind).map(|(_, keys)| keys));
    let mut due = take(Kind::OfStorm);
    due.extend(take(Kind::Suspected));
    let [doubted, routine] = [Kind::Doubted, Kind::Routine].map(|kind| take(kind).into_iter().enumerate());
    let mut others: Vec<_> = doubted.chain(routine).collect();
    others.sort_by_key(|(turn, _)| *turn);
    due.extend(others.into_iter().map(|(_, key)| key));
    due.truncate(ROUND);
    (due, next)
}

/// The first of those that are due for the same reason: the upstreams in turn, since one good key ends an upstream's storm.
fn in_turn(of_upstreams: impl Iterator<Item = Vec<(u128, Condemned)>>) -> Vec<Condemned> {
    let order = |(urgency, key): &(u128, Condemned)| (Reverse(*urgency), key.index);
    let mut ranked = Vec::new();
    for mut keys in of_upstreams {
        // They may be all of a million, and the clock waits for this.
        if keys.len() > ROUND {
            keys.select_nth_unstable_by_key(ROUND, order);
            keys.truncate(ROUND);
        }
        keys.sort_unstable_by_key(order);
        ranked.extend(keys.into_iter().enumerate().map(|(rank, key)| ((rank, order(&key)), key.1)));
    }
    ranked.sort_unstable_by_key(|(place, _)| *place);
    ranked.into_iter().take(ROUND).map(|(_, key)| key).collect()
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
fn models_list(upstream: &Upstream) -> http::Result<Try> {
    let place = Place::of_upstream(upstream);
    let (mut parts, ()) = Request::get(provider::models_list(&upstream.url, place)).body(())?.into_parts();
    provider::describe(&mut parts.headers, place);
    Ok(Try::new(parts, Some(place), RequestBody::Replay(Bytes::new(), None)))
}

#[cfg(test)]
mod tests;
