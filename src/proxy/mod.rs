//! The life of one request: admit → credentials → body → attempts → answer.

pub mod admission;
mod answer;
mod asked;
mod attempt;
mod beginning;
mod body;
mod course;
pub mod credentials;
mod dialect;
mod ending;
mod evidence;
mod form;
mod headers;
mod held;
mod kind;
mod mask;
pub(crate) mod provider;
mod purpose;
mod refused;
pub mod revalidate;
mod so_far;
mod stream;
mod trace;
mod upgrade;
mod watch;
mod witness;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;

use self::admission::Admission;
use self::answer::Payload;
use self::attempt::{NoAnswer, Outcome, Span, Try};
use self::beginning::Beginning;
use self::body::Outgoing;
use self::credentials::Tokens;
use self::ending::Ending;
use self::kind::Kind;
use self::refused::Refused;
use self::so_far::{A_MOMENT, SoFar};
use crate::group::Group;
use crate::keys::{Lease, Left, Need, Remains, Seat, Success};
use crate::rare::rare;
use crate::refusal::Refusal;
use crate::telemetry::RequestLog;
use crate::telemetry::counters::{Counters, End, Stripe};
use crate::telemetry::failures::Failures;
use crate::telemetry::models::Models;
use crate::upstream::Upstream;
use crate::upstream::client::Client;
use crate::upstream::connect::Connector;
use crate::verdict::{self, Ahead, Wait};
use crate::wire::{Incoming, Running};

pub use self::answer::Body;
pub use self::attempt::Peer;
pub use self::body::BodyLimits;
pub use self::stream::Broken;
pub use self::upgrade::Tunnel;

/// The first pause before a retry elsewhere; each further one doubles it (spec §8).
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// A limit's reset was counted when the request came in, while a slow answer was still being made: so it is nearer than
/// it is said by as long as the answer took, less what the next request may be faster on its way than this one was, and at
/// most by one in so many parts. Measured in `docs/goodput.md`: without it a pool at its limits serves 3 % less.
const LATE: u32 = 20;
const NETWORK: Duration = Duration::from_millis(10);

/// What every worker's proxy has in common.
#[derive(Clone)]
pub struct Common {
    /// The keys, upstreams and their policy.
    pub group: Arc<Group>,
    /// `AUTH_KEY`.
    pub tokens: Tokens,
    /// `MAX_CONCURRENT_REQUESTS`.
    pub admission: Arc<Admission>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Attempts that failed.
    pub failures: Arc<Failures>,
    /// What each model did.
    pub models: Arc<Models>,
    /// `USAGE`: whether answers are looked through for tokens.
    pub usage: bool,
    /// `RESPONSE_TRACE`: whether answers tell whose time they took, and whose fault they are.
    pub response_trace: bool,
    /// How large and how slow a request may be.
    pub body_limits: BodyLimits,
    /// How long an upstream may take.
    pub times: Times,
    /// Where requests are logged, if they are (`LOG_ENABLE_REQUEST`).
    pub request_log: Option<RequestLog>,
}

/// How long an upstream may take (spec §9).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// `RESPONSE_TIMEOUT`: connect and TLS, and for a streaming request also the wait for the answer's head.
    pub response: Duration,
    /// `REQUEST_TIMEOUT`: a request that is not streaming, from its first attempt to its last byte.
    pub request: Duration,
    /// `SERVER_WRITE_TIMEOUT`: the longest silence within an answer.
    pub silence: Duration,
    /// `IDLE_CONN_TIMEOUT`: how long an unused upstream connection is kept.
    pub idle: Duration,
}

impl Times {
    /// An upstream that was waited for less long than this is not at fault when the time of the whole request is over.
    fn fair(self) -> Duration {
        self.response.min(self.request / 2).min(self.silence)
    }
}

/// One worker's proxy.
pub struct Proxy {
    common: Common,
    worker: usize,
    client: Rc<Client<Outgoing>>,
}

/// What follows an attempt that brought no success.
enum Follow {
    /// The client gets this answer.
    Pass,
    /// Another key may cure it.
    NextKey,
    /// Another upstream may cure it.
    NextUpstream,
}

impl Proxy {
    /// The proxy of one worker, with no upstream connection yet.
    pub fn new(common: Common, worker: usize, connector: Connector) -> Self {
        let upstreams = common.group.upstreams.all().len();
        let client = Rc::new(Client::new(connector, upstreams, common.times.idle));
        tokio::task::spawn_local(Rc::clone(&client).sweep());
        Self { common, worker, client }
    }

    /// Answers a client's request. `running`: the same, as its connection has it.
    pub async fn handle(self: &Rc<Self>, request: Request<Incoming>, running: &Running) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let mut ending = Ending::begin(self, &parts);
        let (mut response, end) = match self.proxy(parts, incoming, running, &mut ending).await {
            Ok(answer) => answer,
            Err(refusal) => {
                ending.explained(refusal.message());
                (refusal.answer().map(Payload::Whole), refusal.end)
            }
        };
        ending.answered(&mut response, end);
        response.map(|payload| Body::new(payload, ending))
    }

    async fn proxy(
        &self,
        parts: Parts,
        incoming: Incoming,
        running: &Running,
        ending: &mut Ending,
    ) -> Answered {
        let admission = &self.common.admission;
        admission.check()?;
        let place = self.common.tokens.check(&parts)?;
        // A body that is still on its way holds no place: who stalls hundreds of them would shut out everybody else.
        let mut room = admission.room();
        let body = body::read(incoming, self.common.body_limits, &mut room).await?;
        ending.hold(admission.enter()?, room);
        let mut request = Try::new(parts, place, body);
        // A model's name is told on pages and as a label.
        request.name_only_models(|name| matches!(self.common.group.keys.hidden(name), Cow::Borrowed(_)));
        request
            .check_target(&self.common.group.upstreams)
            .map_err(|error| Refusal::bad_request(error.to_string()))?;
        ending.received(&request);
        self.attempts(&mut request, Some(running), ending).await
    }

    /// Up to 1 + `MAX_RETRIES` attempts, each with a key and an upstream of its own as far as there are any.
    async fn attempts(&self, request: &mut Try, running: Option<&Running>, ending: &mut Ending) -> Answered {
        let mut so_far = SoFar::new(request, self.common.times, ending.received_at());
        for attempt in 0..=self.common.group.max_retries {
            let is_last = attempt == self.common.group.max_retries;
            let Some((lease, upstream)) = self.lease(request, &so_far, is_last).await else { break };
            so_far.tried.push(lease.index());
            let began = so_far.begin_attempt();
            ending.attempt(&lease, upstream, began);
            let limits = so_far.limits;
            let head_by = limits.deadline.unwrap_or_else(|| began + self.common.times.response);
            let connect = self.common.times.response.min(head_by.saturating_duration_since(began));
            let span = Span { began, connect, head_by };
            let follow = match request.send(&self.client, upstream, &lease, running, span).await {
                Outcome::Answer(response) if response.status().as_u16() < 400 => {
                    let (mut parts, mut stream) = stream::begin(response, &lease, limits);
                    let mut kind = Kind::of(&parts.headers, request.infers());
                    if kind.is_events && request.may_stream() {
                        so_far.is_stream();
                        stream.limits = so_far.limits;
                    }
                    match beginning::look(&mut parts, &mut kind, &mut stream, request, &lease).await {
                        Beginning::Healthy => {
                            let took = ending.succeeded(request, upstream, kind);
                            stream.goes_with(request.body.upload(), began, took);
                            if kind.is_events || !stream.is_plain {
                                stream.is_watched(kind, request, &lease);
                            }
                            ending.seat = self.succeed(lease, upstream, request, &parts.headers, &mut so_far);
                            return Ok((Response::from_parts(parts, Payload::Stream(stream)), End::Success));
                        }
                        Beginning::Error(error) => {
                            let answer = Refused::within(parts, stream, &error, &lease, request.model());
                            ending.refused(request, &lease, upstream, &answer);
                            self.refused(lease, upstream, answer, request, &mut so_far)
                        }
                        Beginning::Broken { timed_out, error } => {
                            let failed = NoAnswer {
                                timed_out,
                                maybe_done: true,
                                garbled: false,
                                fell_silent: timed_out,
                                error,
                            };
                            self.failed(request, lease, upstream, failed, ending, &mut so_far)?
                        }
                    }
                }
                Outcome::Answer(response) => {
                    let is_last = is_last || self.common.group.keys.available() <= 1;
                    match rare(Refused::read(response, &lease, request.model(), limits, is_last)).await {
                        Ok(answer) => {
                            ending.refused(request, &lease, upstream, &answer);
                            self.refused(lease, upstream, answer, request, &mut so_far)
                        }
                        Err(failed) => self.failed(request, lease, upstream, failed, ending, &mut so_far)?,
                    }
                }
                Outcome::Switched(parts, upgraded) => {
                    ending.succeeded(request, upstream, Kind::default());
                    ending.seat = self.succeed(lease, upstream, request, &parts.headers, &mut so_far);
                    return Ok((Response::from_parts(parts, Payload::Tunnel(upgraded)), End::Success));
                }
                Outcome::Failed(failed) => {
                    self.failed(request, lease, upstream, failed, ending, &mut so_far)?
                }
            };
            let may_go_on = match follow {
                Follow::Pass => false,
                Follow::NextKey => true,
                Follow::NextUpstream => {
                    so_far.failed_upstreams.push(upstream.index);
                    attempt < self.common.group.max_retries
                        && request.body.is_replayable()
                        && rare(self.back_off(attempt, so_far.ends_by())).await
                }
            };
            if !may_go_on || !request.body.is_replayable() {
                break;
            }
        }
        self.conclude(&mut so_far);
        so_far.answer(request, &self.common)
    }

    /// A key that this request has not tried, while there is one, and an upstream other than those that failed. Waits
    /// for a key, if one is due in time. Where several keys have failed, the last attempt is for one that has served, and
    /// where it is not clear what a refusal was about, the next one is to tell.
    async fn lease(
        &self,
        request: &Try,
        so_far: &SoFar<'_>,
        is_last: bool,
    ) -> Option<(Lease<'_>, &Upstream)> {
        let group = &self.common.group;
        let may_have_others =
            || group.keys.others_may_return_within(&so_far.tried, request.model(), A_MOMENT);
        if is_last && (so_far.is_crowded_out() || so_far.meets_limits() && may_have_others()) {
            rare(so_far.let_some_return(group.max_key_wait)).await;
        }
        if so_far.is_over() {
            return None;
        }
        let need = Need { not: &so_far.tried, model: request.model() };
        let may_fail = || !is_last && request.body.is_replayable();
        let lease = match &so_far.refused {
            Some(_) if !so_far.weak.is_empty() => rare(self.lease_to_learn(need, so_far)).await?,
            Some(refused) if !refused.unfit.is_empty() => {
                rare(self.lease_another(need, so_far, &refused.unfit, is_last)).await?
            }
            _ => {
                let keys_fail = so_far.tried.len() > 1 && so_far.failed_upstreams.is_empty();
                let proven = if is_last && keys_fail { group.keys.lease_proven(need) } else { None };
                match proven.or_else(|| group.keys.lease(need)) {
                    Some(probe) if probe.is_probe() && !may_fail() => self.lease_surer(need, probe),
                    Some(lease) => lease,
                    None => rare(self.lease_when_none_is_free(need, so_far, may_fail())).await?,
                }
            }
        };
        // It may have been waited for.
        if so_far.is_over() {
            return None;
        }
        if let Some(keys) = lease.ends_lap_over() {
            group.upstreams.end_lap(keys);
        }
        let upstream = if !so_far.doubted.is_empty() {
            self.upstream_to_learn(&lease, so_far)
        } else if lease.is_probe() {
            self.upstream_to_test(&lease, so_far)
        } else if lease.is_doubted() {
            // Retries take turns too: the key might never come to another upstream.
            group.upstreams.pick(&[&*lease.refused_by(request.model()), &*so_far.failed_upstreams].concat())
        } else {
            group.upstreams.pick(&so_far.failed_upstreams)
        };
        Some((lease, upstream?))
    }

    async fn lease_when_none_is_free(
        &self,
        need: Need<'_>,
        so_far: &SoFar<'_>,
        may_fail: bool,
    ) -> Option<Lease<'_>> {
        let Group { keys, max_key_wait, .. } = &*self.common.group;
        // What an upstream failed to do is asked of the same key again.
        if so_far.refused.is_none()
            && let Some(lease) = keys.lease_denied(Need { not: &[], ..need })
        {
            return Some(lease);
        }
        if may_fail
            && so_far.tried.is_empty()
            && let Some(lease) = keys.lease_foretold(need)
        {
            return Some(lease);
        }
        let now = Instant::now();
        let (by, patience) = so_far.patience(*max_key_wait);
        if !patience.is_zero() && keys.may_return_within(need.model, patience) {
            let lease = keys.lease_by(need, so_far.began, by).await;
            so_far.waited.set(so_far.waited.get() + now.elapsed());
            if lease.is_some() {
                return lease;
            }
        } else if let Some(lease) = keys.lease_busy(need).filter(|_| !so_far.is_crowded_out()) {
            // For who can't wait, a key that has much to do is better than none.
            return Some(lease);
        }
        if so_far.refused.is_some() || keys.may_return_within(need.model, *max_key_wait) {
            return None;
        }
        let lease = keys.last_resort(need)?;
        tracing::info!(key_index = lease.index(), "no key is available: trying the one closest to recovery");
        Some(lease)
    }

    /// Settles the lease of an attempt that succeeded. Returns what of it is to be held until the answer has ended.
    fn succeed(
        &self,
        lease: Lease<'_>,
        upstream: &Upstream,
        request: &Try,
        headers: &HeaderMap,
        so_far: &mut SoFar<'_>,
    ) -> Option<Box<Seat>> {
        let remains = remains(headers, &lease, request, so_far.tried_at);
        let Success { ended_storm, seat } =
            lease.succeed(request.model(), upstream.index, request.service(), remains);
        if ended_storm {
            tracing::info!(upstream = %upstream.url, "suspects of an outage are back: a key was served");
        }
        if let Some(place) = request.proves_place() {
            upstream.note_place(place.bit());
        }
        self.upstream_answered(upstream);
        if !so_far.weak.is_empty() {
            self.settle(so_far, upstream);
        }
        seat
    }

    fn upstream_answered(&self, upstream: &Upstream) {
        if self.common.group.upstreams.succeed(upstream) {
            tracing::info!(upstream = %upstream.url, "the upstream is back");
        }
    }

    /// What follows an attempt without an answer.
    ///
    /// # Errors
    /// If it was the client's own body that failed, or nothing may be tried again.
    #[cold]
    fn failed(
        &self,
        request: &Try,
        lease: Lease<'_>,
        upstream: &Upstream,
        failure: NoAnswer,
        ending: &mut Ending,
        so_far: &mut SoFar<'_>,
    ) -> Result<Follow, Refusal> {
        ending.unanswered(request, &lease, upstream, &failure);
        if let Some(fault) = request.body.fault() {
            return Err(fault.refusal());
        }
        tracing::debug!(upstream = %upstream.url, key_index = lease.index(), error = failure.error, "no answer");
        lease.spend();
        let took = so_far.tried_at.elapsed();
        // What other attempts, or its client's upload, left it of the request's time may have been too little.
        let had = request.body.upstream_had(so_far.tried_at);
        let was_cut_short = failure.timed_out && had < self.common.times.fair();
        if !was_cut_short {
            self.upstream_failed(upstream, took);
        }
        let is_final = failure.maybe_done && !request.harmless;
        so_far.failure = Some(failure);
        if is_final {
            // Sent again, it might run twice: what was refused before must not ask for that.
            so_far.refused = None;
            return Ok(Follow::Pass);
        }
        Ok(Follow::NextUpstream)
    }

    /// Counts an upstream's fault, which was known after so long.
    #[cold]
    fn upstream_failed(&self, upstream: &Upstream, after: Duration) {
        tell_ejection(upstream, self.common.group.upstreams.fail(upstream, after));
    }

    /// Counts an answer of an upstream's that broke off.
    #[cold]
    fn upstream_broke_off(&self, upstream: &Upstream) {
        tell_ejection(upstream, self.common.group.upstreams.break_off(upstream));
    }

    /// Waits before a retry elsewhere. Returns whether there is budget and time for it.
    async fn back_off(&self, attempt: u32, deadline: Option<Instant>) -> bool {
        let pause = FIRST_BACKOFF.saturating_mul(1 << attempt.min(6)).mul_f64(0.5 + 0.5 * fastrand::f64());
        let until = Instant::now() + pause;
        if deadline.is_some_and(|deadline| deadline <= until)
            || !self.common.group.upstreams.may_retry(self.common.counters.requests())
        {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }

    fn stripe(&self) -> &Stripe {
        self.common.counters.stripe(self.worker)
    }
}

#[cold]
fn tell_ejection(upstream: &Upstream, ejected: Option<Duration>) {
    if let Some(ejected) = ejected {
        tracing::warn!(upstream = %upstream.url, for_s = ejected.as_secs(), "upstream ejected");
    }
}

/// What the headers of an answer, to an attempt that began at `tried_at`, say of what is left to its key.
#[inline]
fn remains<'a>(headers: &HeaderMap, lease: &Lease<'_>, request: &'a Try, tried_at: Instant) -> Remains<'a> {
    let since_sent = || {
        let sent_at = request.sent_at(tried_at);
        sent_at.map(|at| at.elapsed().saturating_sub(NETWORK)).unwrap_or_default()
    };
    let ahead = verdict::ahead(headers, lease.price(), SystemTime::now, since_sent);
    let left = match ahead {
        Some(Ahead { spent: Some(Wait { duration, from }), .. }) => {
            let nearer = since_sent().min(duration / LATE);
            Left::Nothing { wait: duration.saturating_sub(nearer), from }
        }
        Some(Ahead { remaining_requests: Some(requests), .. }) => Left::Requests(requests),
        _ => Left::Unknown,
    };
    let per_model = ahead.is_some_and(|ahead| ahead.per_model);
    let whole_in = ahead.and_then(|ahead| ahead.whole_in);
    let took = whole_in.map_or(Duration::ZERO, |_| since_sent());
    Remains { left, model: request.model().filter(|_| per_model), whole_in, took }
}

/// An answer with how the request ends if all goes well from here, or our refusal.
type Answered = Result<(Response<Payload>, End), Refusal>;
