//! Every request ends once: when its answer's last byte has gone, or when somebody gives up. What has to happen then
//! rides here, and happens when it is dropped.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use tokio::time::Instant;

use super::Proxy;
use super::admission::{Permit, Room};
use super::answer::{Body, Payload};
use super::attempt::{NoAnswer, Try};
use super::kind::Kind;
use super::refused::Refused;
use super::stream::Broken;
use super::trace::{self, Trace};
use crate::keys::{Lease, Seat};
use crate::refusal::Refusal;
use crate::telemetry::RequestLine;
use crate::telemetry::counters::{End, Ended};
use crate::telemetry::failures::FailedAttempt;
use crate::telemetry::models::{Done, Operation};
use crate::telemetry::usage;
use crate::upstream::{Upstream, hide_secrets};

/// The status that stands in the log for a client that went away before it was answered.
const CLIENT_GONE: u16 = 499;

impl Proxy {
    /// Refuses a request for its head: it is counted and logged like those that are looked at further.
    #[cold]
    pub fn refuse(self: &Rc<Self>, parts: &Parts, refusal: &Refusal) -> Response<Body> {
        let mut ending = Ending::begin(self, parts);
        ending.explained(refusal.message());
        let mut response = refusal.answer();
        ending.answered(&mut response, refusal.end);
        response.map(|bytes| Body::new(Payload::Whole(bytes), ending))
    }

    /// Counts and logs a request whose head can't be read, so that nothing more is known of it.
    #[cold]
    pub fn unreadable(&self, refusal: &Refusal) {
        tracing::warn!(error = refusal.message(), "refused what is no request");
        self.stripe().begin();
        self.stripe().end_unread(End::BadRequest);
    }

    /// Logs a request that was none for the proxy: one for our own paths, or a preflight.
    #[cold]
    pub fn log_own(&self, began: Instant, parts: &Parts, status: StatusCode, bytes: usize) {
        let Some(log) = &self.common.request_log else { return };
        let duration = began.elapsed();
        log.write(&RequestLine {
            id: &self.common.group.keys.hidden(&trace::request_id(&parts.headers)),
            end: if status.is_success() { End::Success.name() } else { "monitoring_failed" },
            method: parts.method.as_str(),
            path: &self.shown(parts.uri.path_and_query().map(PathAndQuery::as_str)),
            status: status.as_u16(),
            key: None,
            upstream: None,
            attempts: 0,
            to_first_byte: Some(duration),
            duration,
            bytes: bytes as u64,
            error: None,
        });
    }

    /// A path as it may be shown: without secrets in its query, and without keys.
    fn shown<'a>(&self, path: Option<&'a str>) -> Cow<'a, str> {
        match hide_secrets(path.unwrap_or_default()) {
            Cow::Borrowed(path) => self.common.group.keys.hidden(path),
            Cow::Owned(path) => self.common.group.keys.hidden(&path).into_owned().into(),
        }
    }
}

/// A request's end: its place among the running, its count and its line in the log.
pub(super) struct Ending {
    proxy: Rc<Proxy>,
    permit: Option<(Permit, Room)>,
    /// Its place among those that its key has at a time.
    pub(super) seat: Option<Box<Seat>>,
    began: Instant,
    id: Box<str>,
    method: Method,
    /// For the log. A copy: the request's own is a part of what was read with it, and would keep all of that.
    path: Option<Box<str>>,
    status: u16,
    end: End,
    attempts: u32,
    key: Option<(u32, String)>,
    upstream: Option<usize>,
    to_first_byte: Option<Duration>,
    bytes: u64,
    /// When all of the request was there.
    received_at: Option<Instant>,
    received: u64,
    /// When the present attempt began.
    tried_at: Option<Instant>,
    /// How long upstreams were waited for.
    upstreams_took: Duration,
    overhead: Option<Duration>,
    /// The last attempt's status; none if it got no answer.
    last_status: Option<u16>,
    /// Whether what it got was no HTTP.
    garbled: bool,
    /// Why it did not end well, for the log.
    error: Option<Box<str>>,
    operation: Option<Operation>,
    streaming: bool,
    /// The place of its model among those that are counted.
    model: Option<usize>,
    first_piece: Option<Duration>,
    usage: Option<Box<usage::Reader>>,
    /// Whether an error came later in its stream (spec §6): passed on, and counted.
    told_error: bool,
    /// How long it took, once it is counted.
    took: Option<Duration>,
}

impl Ending {
    /// A request begins. Until anything else is known, it ends because its client went away.
    pub(super) fn begin(proxy: &Rc<Proxy>, parts: &Parts) -> Self {
        proxy.stripe().begin();
        let target = parts.uri.path_and_query();
        Self {
            proxy: Rc::clone(proxy),
            permit: None,
            seat: None,
            began: Instant::now(),
            id: trace::request_id(&parts.headers),
            method: parts.method.clone(),
            path: target.filter(|_| proxy.common.request_log.is_some()).map(|target| target.as_str().into()),
            status: CLIENT_GONE,
            end: End::ClientGone,
            attempts: 0,
            key: None,
            upstream: None,
            to_first_byte: None,
            bytes: 0,
            received_at: None,
            received: 0,
            tried_at: None,
            upstreams_took: Duration::ZERO,
            overhead: None,
            last_status: None,
            garbled: false,
            error: None,
            operation: None,
            streaming: false,
            model: None,
            first_piece: None,
            usage: None,
            told_error: false,
            took: None,
        }
    }

    /// Its place among the running requests, and the room that its body takes, given back at the end.
    pub(super) fn hold(&mut self, permit: Permit, room: Room) {
        self.permit = Some((permit, room));
    }

    /// When all of the request was there.
    pub(super) fn received_at(&self) -> Instant {
        self.received_at.unwrap_or(self.began)
    }

    /// The request is there.
    pub(super) fn received(&mut self, request: &Try) {
        self.received_at = Some(Instant::now());
        self.received = request.body.bytes().len() as u64;
        self.operation = Operation::at(request.path());
        self.streaming = request.streaming;
    }

    /// An attempt begins.
    pub(super) fn attempt(&mut self, lease: &Lease<'_>, upstream: &Upstream, now: Instant) {
        self.attempts += 1;
        self.upstream = Some(upstream.index);
        self.error = None;
        self.tried_at = Some(now);
        self.proxy.stripe().lease();
        if self.proxy.common.request_log.is_some() {
            self.key = Some((lease.index(), lease.preview()));
        }
    }

    /// The attempt has its answer's head, and what is to come is of this kind. Returns how long it took.
    pub(super) fn succeeded(&mut self, request: &Try, upstream: &Upstream, kind: Kind) -> Duration {
        let took = self.tried();
        self.proxy.stripe().succeed(upstream.index);
        if let (Some(operation), Some(model)) = (self.operation, request.model()) {
            self.model = Some(self.proxy.common.models.place(operation, upstream.provider, model));
            self.usage = (self.proxy.common.usage && kind.tells_usage()).then(Box::default);
        }
        took
    }

    /// The attempt was refused.
    #[cold]
    pub(super) fn refused(
        &mut self,
        request: &Try,
        lease: &Lease<'_>,
        upstream: &Upstream,
        refused: &Refused,
    ) {
        self.tried();
        self.last_status = Some(refused.status().as_u16());
        self.garbled = false;
        let judgement = &refused.judgement;
        self.explained(&judgement.message);
        self.failed(
            request,
            lease,
            upstream,
            FailedAttempt {
                verdict: judgement.verdict.name(),
                rule: judgement.rule,
                status: Some(refused.status().as_u16()),
                error: judgement.message.clone(),
                ..self.failed_attempt()
            },
        );
    }

    /// The attempt got no answer.
    #[cold]
    pub(super) fn unanswered(
        &mut self,
        request: &Try,
        lease: &Lease<'_>,
        upstream: &Upstream,
        why: &NoAnswer,
    ) {
        self.tried();
        self.last_status = None;
        self.garbled = why.garbled;
        self.explained(&why.error);
        self.failed(
            request,
            lease,
            upstream,
            FailedAttempt {
                verdict: "upstream_fault",
                rule: if why.timed_out { "no_answer.timeout" } else { "no_answer" },
                error: why.error.clone(),
                ..self.failed_attempt()
            },
        );
    }

    fn failed_attempt(&self) -> FailedAttempt {
        FailedAttempt {
            number: 0,
            at: SystemTime::now(),
            request_id: self.id.clone(),
            attempt: self.attempts,
            key_index: 0,
            key_preview: String::new(),
            upstream: 0,
            model: None,
            verdict: "",
            rule: "",
            status: None,
            error: String::new(),
        }
    }

    fn failed(&self, request: &Try, lease: &Lease<'_>, upstream: &Upstream, failed: FailedAttempt) {
        self.proxy.common.failures.note(FailedAttempt {
            key_index: lease.index(),
            key_preview: lease.preview(),
            upstream: upstream.index,
            model: request.model().map(Box::from),
            ..failed
        });
    }

    /// Why it does not end well, if nothing said so before.
    pub(super) fn explained(&mut self, why: &str) {
        if self.error.is_none() && !why.is_empty() && self.proxy.common.request_log.is_some() {
            self.error = Some(why.into());
        }
    }

    fn tried(&mut self) -> Duration {
        let took = self.tried_at.take().map(|at| at.elapsed()).unwrap_or_default();
        self.upstreams_took += took;
        took
    }

    /// Its answer's head goes out; `end` is how it ends if all goes well from here.
    pub(super) fn answered<B>(&mut self, response: &mut Response<B>, end: End) {
        self.status = response.status().as_u16();
        self.end = end;
        let now = Instant::now();
        self.to_first_byte = Some(now - self.began);
        self.overhead = self.received_at.map(|at| (now - at).saturating_sub(self.upstreams_took));
        trace::name(&self.id, response.headers_mut());
        if self.proxy.common.response_trace {
            let upstreams = &self.proxy.common.group.upstreams;
            let trace = Trace {
                end,
                status: self.status,
                attempts: self.attempts,
                upstream: self.upstream.and_then(|index| upstreams.all().get(index)),
                received: if end == End::Success { Some(self.status) } else { self.last_status },
                garbled: self.garbled,
                upstreams_took: self.upstreams_took,
                overhead: self.overhead,
            };
            trace.tell(response.headers_mut());
        }
    }

    /// A piece of the answer's body goes out.
    pub(super) fn sent(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if self.streaming && self.first_piece.is_none() {
            self.first_piece = Some(self.began.elapsed());
        }
        if let Some(usage) = &mut self.usage {
            usage.read(piece);
        }
    }

    /// An error came later in its stream.
    pub(super) fn told_error(&mut self) {
        self.told_error = true;
        self.end = End::BrokenAnswer;
        self.explained("an error came among its events");
    }

    /// So many bytes went out through a tunnel.
    pub(super) fn tunnelled(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// It ended as it should.
    pub(super) fn finished(&mut self) {
        self.end = End::Success;
    }

    /// The longest silence within its answer (`SERVER_WRITE_TIMEOUT`).
    pub(super) fn silence(&self) -> Duration {
        self.proxy.common.times.silence
    }

    /// The answer has no end. That is no fault of an upstream that was hardly waited for before the time was over.
    #[cold]
    pub(super) fn broken(&mut self, why: &Broken) {
        match why {
            Broken::TimedOut { waited } if *waited < self.proxy.common.times.fair() => {
                self.end = End::BrokenAnswer;
                self.explained(&why.to_string());
            }
            why => self.broken_off(&why.to_string()),
        }
    }

    /// The upstream broke the answer off.
    #[cold]
    pub(super) fn broken_off(&mut self, why: &str) {
        self.end = End::BrokenAnswer;
        self.explained(why);
        if let Some(upstream) =
            self.upstream.and_then(|index| self.proxy.common.group.upstreams.all().get(index))
        {
            self.proxy.upstream_broke_off(upstream);
        }
    }

    /// The client went away before the end of its answer.
    pub(super) fn abandoned(&mut self) {
        // SDKs hang up on an error.
        if !self.told_error {
            self.end = End::ClientGone;
        }
    }
}

impl Ending {
    /// Counts it, once, and gives up its place; returns how long it took. Whoever has all of an answer finds it counted, and
    /// the place free: so this comes before the last of it is sent. The line in the log comes after.
    pub(super) fn count(&mut self) -> Duration {
        if let Some(took) = self.took {
            return took;
        }
        let duration = *self.took.insert(self.began.elapsed());
        self.permit = None;
        self.proxy.stripe().end(&Ended {
            end: self.end,
            attempts: self.attempts,
            duration,
            first_byte: self.to_first_byte,
            overhead: self.overhead,
            operation: self.operation,
            received: self.received,
            sent: self.bytes,
        });
        let upstreams = &self.proxy.common.group.upstreams;
        if self.end == End::Success
            && let Some(upstream) = self.upstream.and_then(|index| upstreams.all().get(index))
        {
            upstreams.end_well(upstream);
        }
        if let Some(place) = self.model {
            let (models, worker) = (&self.proxy.common.models, self.proxy.worker);
            let usage = self.usage.as_ref().map(|usage| usage.usage()).unwrap_or_default();
            if self.end == End::Success {
                models.count(place, worker, &Done { duration, first_token: self.first_piece, usage });
            } else {
                models.spend(place, worker, usage);
            }
        }
        duration
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() && self.took.is_none() {
            self.end = End::Internal;
            self.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        }
        let duration = self.count();
        let Some(log) = &self.proxy.common.request_log else { return };
        let upstreams = &self.proxy.common.group.upstreams;
        let upstream = self.upstream.and_then(|index| upstreams.all().get(index));
        let error = self.error.as_deref().filter(|_| self.end != End::Success);
        let error = error.map(|error| self.proxy.common.group.keys.hidden(error));
        log.write(&RequestLine {
            id: &self.proxy.common.group.keys.hidden(&self.id),
            end: self.end.name(),
            method: self.method.as_str(),
            path: &self.proxy.shown(self.path.as_deref()),
            status: self.status,
            key: self.key.as_ref().map(|(index, preview)| (*index, preview.as_str())),
            upstream: upstream.map(|upstream| upstream.url.shown()),
            attempts: self.attempts,
            to_first_byte: self.to_first_byte,
            duration,
            bytes: self.bytes,
            error: error.as_deref(),
        });
    }
}
