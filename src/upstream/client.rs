//! The upstream connections of one worker: HTTP/1.1 connections are kept and reused last-in-first-out, HTTP/2 ones
//! are shared by as many requests as they take. Not a general pooled client: no lock, no task and no boxing per request,
//! and an attempt learns whether its connection was reused and whether anything was sent.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{ConnectError, Connector, Versions};
use super::http1::{Http1, Inform, Sendable};
use super::http2::Http2;
use super::{BaseUrl, Upstream};
use crate::rare::rare;
use crate::wire::{self, Socket};

/// How long the rest of a request may take whose answer has come already.
const REST: Duration = Duration::from_secs(30);
/// Idle connections that are kept for one upstream.
const IDLE_MAX: usize = 1024;
/// How often closed and outdated idle connections are dropped, and so the precision of `IDLE_CONN_TIMEOUT`.
const SWEEP: Duration = Duration::from_secs(1);

/// For so long who opens a connection that others may have a place on is waited for: it may hang.
const TURN: Duration = Duration::from_secs(1);

/// One worker's upstream connections.
pub struct Client<B> {
    connector: Connector,
    /// By the upstream's index.
    kept: RefCell<Vec<Kept<B>>>,
    /// The same: held by who opens an HTTP/2 connection that others may have a place on.
    opening: Box<[Mutex<()>]>,
    idle_timeout: Duration,
    /// How often [`Client::sweep`] has run: a clock that costs nothing to read.
    sweeps: Cell<u32>,
}

struct Kept<B> {
    /// Those that have rested longest first.
    http1: Vec<Box<Http1<B>>>,
    /// The oldest first, which is taken while it has room: so that the youngest rest when there is less to do.
    http2: Vec<Rc<Http2<B>>>,
    /// Whether its last connection was one of HTTP/2.
    speaks_http2: bool,
}

/// A connection that is ready for a request.
pub struct Connection<B> {
    sender: Sender<B>,
    upstream: usize,
    /// Whether it served a request before.
    pub reused: bool,
    /// Whether it was of no use for a while after that: then it may have been closed by the peer in the same moment.
    pub rested: bool,
}

enum Sender<B> {
    /// Boxed once a connection, so that every request moves a pointer.
    Http1(Box<Http1<B>>),
    Http2(Rc<Http2<B>>),
}

/// Why a request got no answer.
#[derive(Debug)]
pub struct SendError {
    /// The reason.
    pub fault: Fault,
    /// Whether the upstream can have done anything about it.
    pub sent: bool,
}

/// What went wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// On HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] wire::Fault),
    /// On HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
    /// The request's target can't be written for it.
    #[error("the request has no target: {0}")]
    Target(#[from] http::Error),
}

impl<B: Sendable> Client<B> {
    /// A client without connections. `idle_timeout` is `IDLE_CONN_TIMEOUT`.
    pub fn new(connector: Connector, upstreams: usize, idle_timeout: Duration) -> Self {
        let none = |_| Kept { http1: Vec::new(), http2: Vec::new(), speaks_http2: false };
        Self {
            connector,
            kept: RefCell::new((0..upstreams).map(none).collect()),
            opening: (0..upstreams).map(|_| Mutex::default()).collect(),
            idle_timeout,
            sweeps: Cell::new(0),
        }
    }

    /// A kept connection to the upstream, else a new one, within `limit`.
    ///
    /// # Errors
    /// If there is none and none can be made in time.
    pub async fn connection(
        &self,
        upstream: &Upstream,
        limit: Duration,
    ) -> Result<Connection<B>, ConnectError> {
        match self.kept_connection(upstream.index) {
            Some(connection) => Ok(connection),
            None => rare(self.one_more_connection(upstream, limit)).await,
        }
    }

    /// A new one. Of HTTP/2 one is opened at a time, unless it takes long: those who wait meanwhile may have a place on it.
    async fn one_more_connection(
        &self,
        upstream: &Upstream,
        limit: Duration,
    ) -> Result<Connection<B>, ConnectError> {
        let speaks_http2 = self.kept.borrow().get(upstream.index).is_some_and(|kept| kept.speaks_http2);
        let Some(opening) = self.opening.get(upstream.index).filter(|_| speaks_http2) else {
            return self.fresh_connection(upstream, limit).await;
        };
        let now = Instant::now();
        let by = now + limit;
        let _turn = timeout_at(by.min(now + TURN), opening.lock()).await;
        match self.kept_connection(upstream.index) {
            Some(connection) => Ok(connection),
            None => self.fresh_connection(upstream, by.saturating_duration_since(Instant::now())).await,
        }
    }

    /// A new connection to the upstream, within `limit`.
    ///
    /// # Errors
    /// If none can be made in time.
    pub async fn fresh_connection(
        &self,
        upstream: &Upstream,
        limit: Duration,
    ) -> Result<Connection<B>, ConnectError> {
        self.open(upstream, Versions::Any, limit).await
    }

    /// A new HTTP/1.1 connection, which can go on as another protocol: HTTP/2 has no upgrades.
    ///
    /// # Errors
    /// If none can be made in time.
    pub async fn upgradable_connection(
        &self,
        upstream: &Upstream,
        limit: Duration,
    ) -> Result<Connection<B>, ConnectError> {
        self.open(upstream, Versions::Http1, limit).await
    }

    async fn open(
        &self,
        upstream: &Upstream,
        versions: Versions,
        limit: Duration,
    ) -> Result<Connection<B>, ConnectError> {
        let connect = async {
            let socket = self.connector.clone().connect(&upstream.url, versions, limit).await?;
            if matches!(versions, Versions::Any)
                && let Some(kept) = self.kept.borrow_mut().get_mut(upstream.index)
            {
                kept.speaks_http2 = socket.speaks_http2();
            }
            let sender = if socket.speaks_http2() {
                let http2 = Rc::new(Http2::begin(TokioIo::new(socket), self.sweeps.get()).await?);
                self.share(&http2, upstream.index);
                Sender::Http2(http2)
            } else {
                Sender::Http1(Box::new(Http1::new(socket)))
            };
            Ok(Connection { sender, upstream: upstream.index, reused: false, rested: false })
        };
        timeout_at(Instant::now() + limit, connect).await.unwrap_or(Err(ConnectError::TimedOut(limit)))
    }

    /// A kept one that is free, or has room.
    fn kept_connection(&self, upstream: usize) -> Option<Connection<B>> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(upstream)?;
        if let Some(http2) = kept.http2.iter().find(|http2| http2.has_room()) {
            let sender = Sender::Http2(Rc::clone(http2));
            return Some(Connection { sender, upstream, reused: true, rested: false });
        }
        while let Some(mut http1) = kept.http1.pop() {
            if http1.is_free() {
                // For a second at least.
                let rested = self.sweeps.get().wrapping_sub(http1.since) > 1;
                return Some(Connection { sender: Sender::Http1(http1), upstream, reused: true, rested });
            }
        }
        None
    }

    /// Lets other requests have a place on a new connection, unless many were opened at once before the first of them showed
    /// that it takes many requests: then one is enough.
    fn share(&self, http2: &Rc<Http2<B>>, upstream: usize) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(upstream) {
            kept.http2.retain(|http2| http2.takes_more());
            if !kept.http2.iter().any(Http2::has_room) {
                kept.http2.push(Rc::clone(http2));
            }
        }
    }

    /// Takes back a connection whose answer has ended.
    fn keep(&self, mut connection: Box<Http1<B>>, upstream: usize) {
        if !connection.has_sent_all() {
            // Its client still sends, and may look for the answer only after that.
            spawn_local(timeout(REST, connection.send_rest()));
            return;
        }
        // Whether it was closed meanwhile shows when it is taken.
        if connection.is_done()
            && let Some(kept) = self.kept.borrow_mut().get_mut(upstream)
            && kept.http1.len() < IDLE_MAX
        {
            connection.since = self.sweeps.get();
            kept.http1.push(connection);
        }
    }

    /// Drops what has rested no shorter than a connection that is silent: an address that is no more, or that a router has
    /// forgotten, is silent on all of them, and each would cost an attempt. If it is only slow, that costs a few handshakes.
    #[cold]
    fn distrust(&self, silent: &Http1<B>, upstream: usize) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(upstream) {
            let now = self.sweeps.get();
            let age = now.wrapping_sub(silent.since);
            kept.http1.retain(|http1| now.wrapping_sub(http1.since) < age);
        }
    }

    /// Drops closed and outdated idle connections, for as long as the client lives.
    pub async fn sweep(self: Rc<Self>) {
        let lifetime = u32::try_from(self.idle_timeout.as_secs() / SWEEP.as_secs()).unwrap_or(u32::MAX);
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = self.sweeps.get().wrapping_add(1);
            self.sweeps.set(now);
            for kept in self.kept.borrow_mut().iter_mut() {
                kept.http1.retain_mut(|http1| now.wrapping_sub(http1.since) <= lifetime && http1.is_free());
                kept.http2.retain(|http2| http2.is_of_use(now, lifetime));
            }
        }
    }
}

impl SendError {
    /// Whether there was no answer in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self.fault, Fault::Http1(wire::Fault::TimedOut))
    }

    /// Whether there was one that is not HTTP.
    pub fn is_garbled(&self) -> bool {
        matches!(self.fault, Fault::Http1(wire::Fault::Invalid(_)))
    }
}

impl<B: Sendable> Connection<B> {
    /// Sends a request, whose URI is the path and query behind `url`, and waits for the answer's head until `by`. The
    /// connection goes back to `client` once the answer has ended. `inform` hears of the heads that come before it on
    /// HTTP/1.1; on HTTP/2 hyper drops them.
    ///
    /// # Errors
    /// If the connection breaks before that.
    ///
    /// # Cancel safety
    /// Dropping it ends the request: HTTP/1.1 by closing the connection, HTTP/2 by resetting the stream.
    pub async fn send(
        self,
        client: &Rc<Client<B>>,
        url: &BaseUrl,
        request: &Parts,
        body: B,
        by: Instant,
        inform: Inform<'_>,
    ) -> Result<Response<Answer<B>>, SendError> {
        match self.sender {
            Sender::Http1(mut http1) => {
                http1.begin(url.authority(), request, body);
                match poll_fn(|cx| http1.poll_head(by, inform, cx)).await {
                    Ok(response) => Ok(response.map(|()| Answer::of_http1(http1, client, self.upstream))),
                    Err(fault) => {
                        if self.reused && http1.is_silent(&fault) {
                            client.distrust(&http1, self.upstream);
                        }
                        Err(SendError { fault: fault.into(), sent: http1.has_sent() })
                    }
                }
            }
            Sender::Http2(http2) => {
                let incoming = http2.send(url, request, body, by).await?;
                Ok(incoming.map(|incoming| Answer(Carrier::Http2 { incoming, place: http2 })))
            }
        }
    }
}

/// An answer's body. On HTTP/1.1 it drives the connection that it comes on, and gives it back when it has ended.
pub struct Answer<B>(Carrier<B>);

enum Carrier<B> {
    Http1 {
        /// Until it is given back.
        connection: Option<Box<Http1<B>>>,
        client: Rc<Client<B>>,
        upstream: usize,
        /// Whether its head tells how long it is. If not, it is not told to the client either, however soon it has come.
        sized: bool,
    },
    Http2 {
        incoming: Incoming,
        /// Its place on the connection.
        place: Rc<Http2<B>>,
    },
}

impl<B: Sendable> Answer<B> {
    fn of_http1(connection: Box<Http1<B>>, client: &Rc<Client<B>>, upstream: usize) -> Self {
        let sized = connection.size_hint().exact().is_some();
        let mut connection = Some(connection);
        if let Some(said_all) = connection.take_if(|connection| connection.has_said_all()) {
            client.keep(said_all, upstream);
        }
        Self(Carrier::Http1 { connection, client: Rc::clone(client), upstream, sized })
    }

    /// Whether trailers may come behind it.
    pub(crate) fn may_have_trailers(&self) -> bool {
        match &self.0 {
            // Only what comes in chunks has them there.
            Carrier::Http1 { sized, .. } => !sized,
            Carrier::Http2 { .. } => true,
        }
    }

    /// Whether nothing but the end of its connection tells its own, which has not come yet.
    pub(crate) fn ends_with_connection(&self) -> bool {
        match &self.0 {
            Carrier::Http1 { connection, .. } => {
                connection.as_ref().is_some_and(|connection| connection.is_until_end())
            }
            Carrier::Http2 { .. } => false,
        }
    }

    /// What the connection goes on as after a 101, and what came of that already. HTTP/2 has no such answers.
    pub(crate) fn into_socket(self) -> Option<(Socket, Bytes)> {
        match self.0 {
            Carrier::Http1 { connection, .. } => connection.map(|connection| connection.into_socket()),
            Carrier::Http2 { .. } => None,
        }
    }
}

impl<B: Sendable> http_body::Body for Answer<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.get_mut().0 {
            Carrier::Http2 { incoming, place } => {
                let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
                place.has_answered();
                Poll::Ready(frame.map(|frame| frame.map_err(Fault::Http2)))
            }
            Carrier::Http1 { connection, client, upstream, .. } => {
                let Some(http1) = connection else { return Poll::Ready(None) };
                let frame = std::task::ready!(http1.poll_frame(cx));
                let failed = matches!(frame, Some(Err(_)));
                if (failed || http1.has_said_all())
                    && let Some(http1) = connection.take()
                    && !failed
                {
                    client.keep(http1, *upstream);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Fault::Http1)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Carrier::Http1 { connection, .. } => {
                connection.as_ref().is_none_or(|connection| connection.has_said_all())
            }
            Carrier::Http2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Carrier::Http1 { sized: false, .. } => SizeHint::default(),
            Carrier::Http1 { connection: Some(connection), .. } => connection.size_hint(),
            Carrier::Http1 { connection: None, .. } => SizeHint::with_exact(0),
            Carrier::Http2 { incoming, .. } => incoming.size_hint(),
        }
    }
}
