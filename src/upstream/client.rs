//! The upstream connections of one worker: HTTP/1.1 connections are kept and reused last-in-first-out, HTTP/2 ones
//! are shared. hyper's own `client::conn`, not a general pooled client: no lock, no task and no boxing per request,
//! and an attempt learns whether its connection was reused and whether anything was sent (`docs/design.md` has the
//! figures).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::Upstream;
use super::connect::{ConnectError, Connector, Socket, Versions};

/// How large an answer's head may be, and how much is read ahead of a slow client, on HTTP/1.1: three of these are held for each,
/// beside the 64 KiB that wait to be written.
const READ_BUFFER: usize = 16 * 1024;
/// What an HTTP/2 upstream may send ahead of a slow client: on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Idle connections that are kept for one upstream.
const IDLE_MAX: usize = 1024;
/// How often closed and outdated idle connections are dropped, and so the precision of `IDLE_CONN_TIMEOUT`.
const SWEEP: Duration = Duration::from_secs(1);

/// One worker's upstream connections.
pub struct Client<B> {
    connector: Connector,
    /// By the upstream's index.
    kept: RefCell<Vec<Kept<B>>>,
    idle_timeout: Duration,
    /// How often [`Client::sweep`] has run: a clock that costs nothing to read.
    sweeps: Cell<u32>,
}

struct Kept<B> {
    http1: Vec<Idle<B>>,
    http2: Option<http2::SendRequest<B>>,
}

struct Idle<B> {
    sender: http1::SendRequest<B>,
    since: u32,
}

/// A connection that is ready for a request.
pub struct Connection<B> {
    sender: Sender<B>,
    upstream: usize,
    /// Whether it served a request before: then it may have been closed by the peer in the same moment.
    pub reused: bool,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

/// Why a request got no answer.
#[derive(Debug)]
pub struct SendError {
    /// hyper's reason.
    pub error: hyper::Error,
    /// Whether any of it can have reached the upstream.
    pub sent: bool,
}

impl<B> Client<B>
where
    B: http_body::Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client without connections. `idle_timeout` is `IDLE_CONN_TIMEOUT`.
    pub fn new(connector: Connector, upstreams: usize, idle_timeout: Duration) -> Self {
        let kept = (0..upstreams).map(|_| Kept { http1: Vec::new(), http2: None }).collect();
        Self { connector, kept: RefCell::new(kept), idle_timeout, sweeps: Cell::new(0) }
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
        while let Some(mut sender) = self.kept_sender(upstream.index) {
            let ready = match &mut sender {
                // Its last answer has only just ended: its task needs a moment to notice.
                Sender::Http1(http1) => http1.is_ready() || http1.ready().await.is_ok(),
                Sender::Http2(http2) => http2.ready().await.is_ok(),
            };
            if ready {
                return Ok(Connection { sender, upstream: upstream.index, reused: true });
            }
        }
        // Boxed, as all that is rare: it would make the future large that every request moves.
        Box::pin(self.fresh_connection(upstream, limit)).await
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
        let connect = async {
            let sender = match self.connector.clone().connect(&upstream.url, Versions::Any).await? {
                Socket::Plain(io) => Sender::Http1(begin_http1(io).await?),
                Socket::Tls(stream) => match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => {
                        let sender = begin_http2(TokioIo::new(stream)).await?;
                        self.keep_http2(upstream.index, sender.clone());
                        Sender::Http2(sender)
                    }
                    _ => Sender::Http1(begin_http1(TokioIo::new(stream)).await?),
                },
            };
            Ok(Connection { sender, upstream: upstream.index, reused: false })
        };
        timeout_at(Instant::now() + limit, connect).await.unwrap_or(Err(ConnectError::TimedOut(limit)))
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
        let connect = async {
            let sender = match self.connector.clone().connect(&upstream.url, Versions::Http1).await? {
                Socket::Plain(io) => begin_http1(io).await?,
                Socket::Tls(stream) => begin_http1(TokioIo::new(stream)).await?,
            };
            Ok(Connection { sender: Sender::Http1(sender), upstream: upstream.index, reused: false })
        };
        timeout_at(Instant::now() + limit, connect).await.unwrap_or(Err(ConnectError::TimedOut(limit)))
    }

    fn kept_sender(&self, upstream: usize) -> Option<Sender<B>> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(upstream)?;
        if let Some(http2) = &kept.http2 {
            if !http2.is_closed() {
                return Some(Sender::Http2(http2.clone()));
            }
            kept.http2 = None;
        }
        while let Some(idle) = kept.http1.pop() {
            if !idle.sender.is_closed() {
                return Some(Sender::Http1(idle.sender));
            }
        }
        None
    }

    fn keep_http2(&self, upstream: usize, sender: http2::SendRequest<B>) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(upstream) {
            kept.http2 = Some(sender);
        }
    }

    /// Takes back a connection whose answer has ended.
    pub fn keep(&self, connection: Connection<B>) {
        // An HTTP/2 connection is kept from its beginning.
        let Sender::Http1(sender) = connection.sender else { return };
        if sender.is_closed() {
            return;
        }
        if let Some(kept) = self.kept.borrow_mut().get_mut(connection.upstream)
            && kept.http1.len() < IDLE_MAX
        {
            kept.http1.push(Idle { sender, since: self.sweeps.get() });
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
                kept.http1
                    .retain(|idle| !idle.sender.is_closed() && now.wrapping_sub(idle.since) <= lifetime);
                kept.http2 = kept.http2.take().filter(|sender| !sender.is_closed());
            }
        }
    }
}

impl<B> Connection<B>
where
    B: http_body::Body + 'static,
{
    /// Whether requests on it name their target in full instead of in `Host`.
    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// # Errors
    /// If the connection breaks before that.
    ///
    /// # Cancel safety
    /// Dropping it ends the request: HTTP/1.1 by closing the connection, HTTP/2 by resetting the stream.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, SendError> {
        let unsent = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        unsent.map_err(|mut failed| {
            let sent = failed.take_message().is_none();
            SendError { error: failed.into_error(), sent }
        })
    }
}

async fn begin_http1<B>(
    io: impl Read + Write + Unpin + Send + 'static,
) -> Result<http1::SendRequest<B>, hyper::Error>
where
    B: http_body::Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::Builder::new().max_buf_size(READ_BUFFER).handshake(io).await?;
    spawn_local(async move {
        // Whoever waits for an answer learns of a failure; nobody else has to.
        drop(connection.with_upgrades().await);
    });
    Ok(sender)
}

async fn begin_http2<B>(
    io: impl Read + Write + Unpin + 'static,
) -> Result<http2::SendRequest<B>, hyper::Error>
where
    B: http_body::Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
        .handshake(io)
        .await?;
    spawn_local(async move {
        drop(connection.await);
    });
    Ok(sender)
}

/// Runs hyper's HTTP/2 tasks on the worker's own runtime.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

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
