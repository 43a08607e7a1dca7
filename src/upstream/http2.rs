//! HTTP/2 with an upstream: hyper's, as a connection that requests share.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioTimer;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::BaseUrl;
use super::client::SendError;
use super::http1::Sendable;
use crate::wire;

/// How large an answer's head may be.
const HEAD_MAX: u32 = 16 * 1024;
/// What an upstream may send ahead of a slow client.
const STREAM_WINDOW: u32 = 256 * 1024;
/// And on all streams of a connection: more than they may together, or else slow clients would hold up all others.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// How many streams a connection has at most: what upstreams should allow at least (RFC 9113 §6.5.2), and most do.
const STREAMS_MAX: usize = 100;

/// A connection that many requests share: each that is on it has an `Rc` of it until its answer's body is dropped.
pub(super) struct Http2<B> {
    sender: RefCell<http2::SendRequest<B>>,
    /// How many streams the upstream allows, as far as it has said so.
    streams_max: Rc<Cell<usize>>,
    /// Whether it has refused a request, or is silent.
    is_spent: Cell<bool>,
    /// How much has come of answers, whosever they are.
    answered: Cell<u32>,
    /// The same, when it was last looked at.
    had_answered: Cell<u32>,
    /// When it was last in use.
    since: Cell<u32>,
}

impl<B: Sendable> Http2<B> {
    /// Begins to speak it on a new connection. `now`, here and below: the clock of [`sweep`](super::client::Client::sweep).
    pub(super) async fn begin(
        io: impl Read + Write + Unpin + 'static,
        now: u32,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_header_list_size(HEAD_MAX)
            .handshake(io)
            .await?;
        let streams_max = Rc::new(Cell::new(STREAMS_MAX));
        let allowed = Rc::clone(&streams_max);
        spawn_local(async move {
            let mut connection = pin!(connection);
            poll_fn(|cx| {
                let over = connection.as_mut().poll(cx);
                allowed.set(connection.current_max_send_streams());
                over.map(drop)
            })
            .await;
        });
        Ok(Self {
            sender: RefCell::new(sender),
            streams_max,
            is_spent: Cell::new(false),
            answered: Cell::new(0),
            had_answered: Cell::new(0),
            since: Cell::new(now),
        })
    }

    /// Sends a request, and waits for its answer until `by`.
    pub(super) async fn send(
        &self,
        url: &BaseUrl,
        request: &Parts,
        body: B,
        by: Instant,
    ) -> Result<Response<Incoming>, SendError> {
        let request = on_http2(url, request, body);
        let request = request.map_err(|error| SendError { fault: error.into(), sent: false })?;
        let answered = self.answered.get();
        let timed_out = |_| {
            // Nobody on it has heard anything meanwhile: its address may be no more. They may wait on.
            if self.answered.get() == answered {
                self.is_spent.set(true);
            }
            SendError { fault: wire::Fault::TimedOut.into(), sent: true }
        };
        let answer = self.sender.borrow_mut().try_send_request(request);
        let answer = timeout_at(by, answer).await.map_err(timed_out)?;
        self.has_answered();
        answer.map_err(|mut failed| {
            let unsent = failed.take_message().is_some();
            let error = failed.into_error();
            let sent = !unsent && !is_refusal(&error);
            if !sent {
                self.is_spent.set(true);
            }
            SendError { sent, fault: error.into() }
        })
    }

    /// Something has come of an answer.
    pub(super) fn has_answered(&self) {
        self.answered.set(self.answered.get().wrapping_add(1));
    }

    /// Whether it can take one more request.
    pub(super) fn has_room(self: &Rc<Self>) -> bool {
        // Who allows none does so for a while: one waits for that.
        self.streams() < self.streams_max.get().clamp(1, STREAMS_MAX) && self.takes_more()
    }

    /// Whether it takes requests, be it later.
    pub(super) fn takes_more(&self) -> bool {
        !self.is_spent.get() && !self.sender.borrow().is_closed()
    }

    /// Whether it is to be kept: if it takes requests, and has one or had one a `lifetime` ago at most.
    pub(super) fn is_of_use(self: &Rc<Self>, now: u32, lifetime: u32) -> bool {
        let answered = self.answered.get();
        if self.had_answered.replace(answered) != answered || self.streams() > 0 {
            self.since.set(now);
        }
        now.wrapping_sub(self.since.get()) <= lifetime && self.takes_more()
    }

    /// How many requests are on it. One `Rc` is the client's, who keeps it.
    fn streams(self: &Rc<Self>) -> usize {
        Rc::strong_count(self) - 1
    }
}

/// Whether an HTTP/2 upstream says that it did nothing about a request (RFC 9113 §8.7).
#[cold]
fn is_refusal(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    // Of a GOAWAY only the streams hear that come behind the last one that it names.
    error.is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// The request as HTTP/2 has it: with its target in full instead of in `Host`.
fn on_http2<B>(url: &BaseUrl, request: &Parts, body: B) -> Result<Request<B>, http::Error> {
    let mut uri = Uri::builder().scheme(url.scheme().as_str()).authority(url.authority().as_bytes());
    if let Some(target) = request.uri.path_and_query() {
        uri = uri.path_and_query(target.clone());
    }
    let mut on_http2 = Request::new(body);
    *on_http2.method_mut() = request.method.clone();
    *on_http2.headers_mut() = request.headers.clone();
    *on_http2.version_mut() = Version::HTTP_2;
    *on_http2.uri_mut() = uri.build()?;
    Ok(on_http2)
}

/// Runs hyper's HTTP/2 tasks on the worker's own runtime.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}
