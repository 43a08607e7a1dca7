//! The life of one request: admit → credentials → body → attempts → answer.

pub mod admission;
mod answer;
mod attempt;
mod body;
pub mod credentials;
pub mod dialect;
mod ending;
mod headers;
mod refused;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use self::admission::Admission;
use self::answer::{Payload, StreamLimits};
use self::attempt::{Failure, Outcome, Try};
use self::body::Outgoing;
use self::credentials::Tokens;
use self::ending::Ending;
use self::refused::Refused;
use crate::group::Group;
use crate::keys::{Cause, Effect, Lease, Need};
use crate::refusal::{Refusal, Retry};
use crate::telemetry::RequestLog;
use crate::telemetry::counters::{Counters, End, Stripe};
use crate::upstream::Upstream;
use crate::upstream::client::Client;
use crate::upstream::connect::Connector;
use crate::verdict::{Judgement, Scope, Verdict};

pub use self::answer::{Body, Broken};
pub use self::body::BodyLimits;

/// The first pause before a retry elsewhere; each further one doubles it (spec §8).
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

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

    /// Answers a client's request.
    pub async fn handle(self: &Rc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let mut ending = Ending::begin(self, parts.method.clone(), parts.uri.path_and_query().cloned());
        let (response, end) = match self.proxy(parts, incoming, &mut ending).await {
            Ok(answer) => answer,
            Err(refusal) => (refusal.answer().map(Payload::Whole), refusal.end),
        };
        ending.answered(response.status(), end);
        response.map(|payload| Body::new(payload, ending))
    }

    async fn proxy(&self, parts: Parts, incoming: Incoming, ending: &mut Ending) -> Answered {
        ending.hold(self.common.admission.enter()?);
        let place = self.common.tokens.check(&parts)?;
        let body = body::read(incoming, self.common.body_limits).await.map_err(body::Fault::refusal)?;
        let request = Try::new(parts, place, body);
        request
            .check_target(&self.common.group.upstreams)
            .map_err(|error| Refusal::bad_request(error.to_string()))?;
        self.attempts(request, ending).await
    }

    /// Up to 1 + `MAX_RETRIES` attempts, each with a key and an upstream of its own as far as there are any.
    async fn attempts(&self, mut request: Try, ending: &mut Ending) -> Answered {
        let deadline = Instant::now() + self.common.times.request;
        let limits = StreamLimits {
            silence: self.common.times.silence,
            deadline: (!request.streaming).then_some(deadline),
        };
        let (mut tried, mut failed_upstream) = (Vec::new(), None);
        let (mut refused, mut failure) = (None, None);
        for attempt in 0..=self.common.group.max_retries {
            let Some((lease, upstream)) = self.lease(&tried, failed_upstream) else { break };
            tried.push(lease.index());
            ending.attempt(&lease, upstream);
            let head_by = limits.deadline.unwrap_or_else(|| Instant::now() + self.common.times.response);
            let follow = match request
                .send(&self.client, upstream, &lease, self.common.times.response, head_by)
                .await
            {
                Outcome::Answer(response, connection) if response.status().as_u16() < 400 => {
                    let answer = answer::pass_on(response, &self.client, connection, lease.expose(), limits);
                    lease.succeed();
                    self.answered(upstream);
                    return Ok(answer);
                }
                Outcome::Answer(response, connection) => {
                    let answer =
                        Box::pin(Refused::read(response, &self.client, connection, &lease, limits)).await;
                    let follow = self.settle(lease, upstream, &answer.judgement);
                    refused = Some(answer);
                    follow
                }
                Outcome::Failed(failed) => {
                    let follow = self.failed(&request, &lease, upstream, &failed)?;
                    failure = Some(failed);
                    follow
                }
            };
            let may_go_on = match follow {
                Follow::Pass => false,
                Follow::NextKey => true,
                Follow::NextUpstream => {
                    failed_upstream = Some(upstream.index);
                    attempt < self.common.group.max_retries
                        && Box::pin(self.back_off(attempt, limits.deadline)).await
                }
            };
            if !may_go_on || !request.body.is_replayable() {
                break;
            }
        }
        self.out_of_attempts(refused, failure, request.streaming)
    }

    /// A key that this request has not tried, while there is one, and an upstream other than the one that failed.
    fn lease(&self, tried: &[u32], failed_upstream: Option<usize>) -> Option<(Lease<'_>, &Upstream)> {
        let group = &self.common.group;
        let lease = group.keys.lease(Need { not: tried }).or_else(|| group.keys.lease(Need::default()))?;
        if lease.ends_lap() {
            group.upstreams.end_lap(group.keys.available());
        }
        Some((lease, group.upstreams.pick(failed_upstream)?))
    }

    fn answered(&self, upstream: &Upstream) {
        if self.common.group.upstreams.succeed(upstream) {
            tracing::info!(upstream = %upstream.url, "the upstream is back");
        }
    }

    /// Settles the lease of a refused attempt, and says what follows.
    fn settle(&self, lease: Lease<'_>, upstream: &Upstream, judgement: &Judgement) -> Follow {
        let wait = judgement.wait.as_ref().map(|wait| wait.duration);
        let effect = match judgement.verdict {
            Verdict::UpstreamFault => {
                tracing::debug!(upstream = %upstream.url, rule = judgement.rule, error = judgement.message, "upstream fault");
                self.upstream_failed(upstream);
                return Follow::NextUpstream;
            }
            Verdict::Success | Verdict::RequestFault => {
                self.answered(upstream);
                return Follow::Pass;
            }
            // The key is good, but not for this model: another may be. It must not be out for the others.
            _ if judgement.scope == Scope::KeyAndModel => {
                self.answered(upstream);
                return Follow::NextKey;
            }
            Verdict::KeyInvalid => Effect::Invalid,
            Verdict::KeyExhausted => Effect::Exhausted { wait },
            Verdict::KeyLimited => Effect::Limited { wait },
        };
        self.answered(upstream);
        let (key_index, key_preview) = (lease.index(), lease.preview());
        let cause = Cause { rule: judgement.rule, error: judgement.message.as_str().into() };
        if lease.fail(effect, cause) {
            tracing::warn!(
                key_index,
                key_preview,
                verdict = effect.name(),
                rule = judgement.rule,
                wait_s = wait.map(|wait| wait.as_secs_f64()),
                error = judgement.message,
                "key blacklisted"
            );
        }
        Follow::NextKey
    }

    /// What follows an attempt without an answer.
    ///
    /// # Errors
    /// If it was the client's own body that failed, or nothing may be tried again.
    fn failed(
        &self,
        request: &Try,
        lease: &Lease<'_>,
        upstream: &Upstream,
        failure: &Failure,
    ) -> Result<Follow, Refusal> {
        if let Some(fault) = request.body.fault() {
            return Err(fault.refusal());
        }
        tracing::debug!(upstream = %upstream.url, key_index = lease.index(), error = failure.error, "no answer");
        self.upstream_failed(upstream);
        Ok(if failure.maybe_done && !request.harmless { Follow::Pass } else { Follow::NextUpstream })
    }

    /// Counts an upstream's fault.
    fn upstream_failed(&self, upstream: &Upstream) {
        if let Some(ejected) = self.common.group.upstreams.fail(upstream) {
            tracing::warn!(upstream = %upstream.url, for_s = ejected.as_secs(), "upstream ejected");
        }
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

    /// The answer when nothing more is tried: the last that an upstream gave, if any gave one.
    fn out_of_attempts(
        &self,
        refused: Option<Box<Refused>>,
        failure: Option<Failure>,
        streaming: bool,
    ) -> Answered {
        let wait = self.common.group.keys.earliest_return();
        match (refused, failure) {
            // The whole time that a request may take is over: an earlier attempt's answer does not tell that.
            (_, Some(failure)) if failure.timed_out && !streaming => Err(self.timed_out(streaming)),
            (Some(refused), _) => refused.answer(wait),
            (None, Some(failure)) if failure.timed_out => Err(self.timed_out(streaming)),
            (None, Some(_)) => Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                End::UpstreamFault,
                "The upstream could not be reached, or broke the connection before it answered.",
            )
            .retry(Retry::Never)),
            (None, None) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_available_keys",
                End::NoKeys,
                "No key is available: all are blacklisted or in cooldown. /blacklist says why.",
            )
            .retry(Retry::until_a_key(wait))),
        }
    }

    fn timed_out(&self, streaming: bool) -> Refusal {
        let (variable, limit) = if streaming {
            ("RESPONSE_TIMEOUT", self.common.times.response)
        } else {
            ("REQUEST_TIMEOUT", self.common.times.request)
        };
        let message = format!(
            "The upstream did not answer within {} s. If its answers need longer, raise {variable}.",
            limit.as_secs()
        );
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", End::UpstreamFault, message)
            .retry(Retry::Never)
    }

    fn stripe(&self) -> &Stripe {
        self.common.counters.stripe(self.worker)
    }
}

/// An answer with how the request ends if all goes well from here, or our refusal.
type Answered = Result<(Response<Payload>, End), Refusal>;
