//! Other protocols on the same connection, WebSocket above all (RFC 9110 §7.8, RFC 6455): which upgrades are passed
//! on, and the tunnel that a connection becomes once its upstream has agreed.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version, response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{Instant, interval};

use super::credentials::{is_subprotocol_key, subprotocols};
use super::ending::Ending;
use super::headers::{self, all_items};
use crate::keys::Lease;
use crate::wire::Socket;

/// What a tunnel holds in each direction at most.
const BUFFER: usize = 16 * 1024;
/// How long a side may be silent whose other side has ended.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// Another protocol that a client asks for.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    /// The WebSocket subprotocols that it offers, without the one that is its token.
    offered: Vec<Box<str>>,
}

impl Upgrade {
    /// The upgrade that a request without a body asks for, if it is one that is passed on: to one protocol that is not
    /// HTTP. Anything else is left to be an ordinary request, as RFC 9110 allows.
    pub(super) fn asked(parts: &Parts) -> Option<Self> {
        let headers = &parts.headers;
        let is_chunked = headers.contains_key(TRANSFER_ENCODING);
        if parts.version != Version::HTTP_11 || parts.method != Method::GET || is_chunked {
            return None;
        }
        let mut protocols = all_items(headers, UPGRADE);
        let (Some(protocol), None) = (protocols.next(), protocols.next()) else { return None };
        let name = protocol.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(&*name, "h2c" | "h2" | "http" | "tls")
            || !all_items(headers, CONNECTION).any(|item| item.eq_ignore_ascii_case("upgrade"))
        {
            return None;
        }
        let offered = subprotocols(headers).filter(|name| !is_subprotocol_key(name));
        Some(Self {
            protocol: HeaderValue::from_str(protocol).ok()?,
            offered: offered.map(Box::from).collect(),
        })
    }

    /// Writes the wish into a request for the upstream.
    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// Whether a 101 goes on in this protocol.
    pub(super) fn is_accepted(&self, headers: &HeaderMap) -> bool {
        let protocol = self.protocol.as_bytes();
        headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(protocol))
    }

    /// Cleans a 101's headers. Of subprotocols only one passes that the client offered and that is no key.
    pub(super) fn of_answer(&self, answer: &mut response::Parts, lease: &Lease<'_>) {
        headers::redact_keys(answer, |value| lease.redact(value));
        let headers = &mut answer.headers;
        headers::of_answer(headers);
        headers::of_no_body(headers);
        let chosen = headers.remove(SEC_WEBSOCKET_PROTOCOL);
        let chosen = chosen.filter(|chosen| self.offered.iter().any(|name| chosen == &**name));
        if let Some(chosen) = chosen {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        self.announce(headers);
    }
}

/// A connection to an upstream that goes on in another protocol, and what came of that with the answer.
pub(super) type Upgraded = (Socket, Bytes);

/// Two connections that have become one: what comes from either goes to the other. A request until its end, like any.
pub struct Tunnel {
    upstream: Upgraded,
    ending: Box<Ending>,
}

/// Which side of a tunnel failed.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Upstream,
}

impl Tunnel {
    pub(super) fn new(upstream: Upgraded, mut ending: Box<Ending>) -> Self {
        // Dropped before its end, it was cut.
        ending.abandoned();
        Self { upstream, ending }
    }

    /// Copies until both sides have ended, one of them fails, or both are silent for too long (`SERVER_WRITE_TIMEOUT`).
    /// `early` is what the client sent before it was answered. Each side waits for the other to take what it sent.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite, early: Bytes) {
        let Self { upstream: (upstream, first), mut ending } = self;
        let silence = Cell::new(ending.silence());
        let moved = Cell::new(Instant::now());
        let (from_client, to_client) = split(client);
        let (from_upstream, to_upstream) = split(upstream);
        let up = copy(early, (from_client, Side::Client), (to_upstream, Side::Upstream), |_| {
            moved.set(Instant::now());
        });
        ending.tunnelled(first.len());
        let down = copy(first, (from_upstream, Side::Upstream), (to_client, Side::Client), |bytes| {
            moved.set(Instant::now());
            ending.tunnelled(bytes);
        });
        // A side that has ended has little left to hear.
        let closing = || silence.set(silence.get().min(HALF_CLOSED));
        let up = async { up.await.inspect(|()| closing()) };
        let down = async { down.await.inspect(|()| closing()) };
        let ended = tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.map(drop),
            () = silent(&moved, &silence) => Ok(()),
        };
        match ended {
            Ok(()) => ending.finished(),
            Err(Side::Client) => ending.abandoned(),
            Err(Side::Upstream) => ending.broken_off("the upstream's connection broke"),
        }
    }
}

/// Copies one direction to its end, and passes the end on. Fails with the side that failed.
async fn copy(
    early: Bytes,
    (mut from, reading): (impl AsyncRead + Unpin, Side),
    (mut to, writing): (impl AsyncWrite + Unpin, Side),
    mut copied: impl FnMut(usize),
) -> Result<(), Side> {
    to.write_all(&early).await.map_err(|_| writing)?;
    to.flush().await.map_err(|_| writing)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(length) => length,
            // TLS without its farewell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(_) => return Err(reading),
        };
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
            return to.shutdown().await.map_err(|_| writing);
        };
        to.write_all(piece).await.map_err(|_| writing)?;
        to.flush().await.map_err(|_| writing)?;
        copied(length);
    }
}

/// Returns once nothing has moved for so long.
async fn silent(moved: &Cell<Instant>, limit: &Cell<Duration>) {
    let mut ticks = interval(Duration::from_secs(1));
    while moved.get().elapsed() < limit.get() {
        ticks.tick().await;
    }
}
