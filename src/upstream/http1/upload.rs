//! A request on its way: its head, and its body as it comes.

use std::io::{IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, MAX_FORWARDS, SET_COOKIE, TRAILER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use tokio::io::AsyncWrite as _;

use super::{Fault, Sendable};
use crate::upstream::connect::Socket;

/// A head that was longer leaves no buffer of that size behind.
const KEPT: usize = 2048;

/// What is still to be sent of a request.
pub(super) struct Upload<B> {
    /// The head, or a chunk's size.
    front: Vec<u8>,
    /// How much of that was sent.
    at: usize,
    data: Bytes,
    /// What ends a chunk, or the body.
    tail: &'static [u8],
    body: Option<B>,
    length: Length,
    /// The trailers that the head announces.
    announced: Vec<HeaderName>,
    has_sent: bool,
    /// Whether something waits in TLS.
    unflushed: bool,
    fault: Option<Fault>,
}

/// How a body's length is told.
#[derive(Clone, Copy)]
enum Length {
    /// By the head: so much is to come.
    Known(u64),
    Chunked,
}

impl<B> Default for Upload<B> {
    fn default() -> Self {
        Self {
            front: Vec::new(),
            at: 0,
            data: Bytes::new(),
            tail: &[],
            body: None,
            length: Length::Known(0),
            announced: Vec::new(),
            has_sent: false,
            unflushed: false,
            fault: None,
        }
    }
}

impl<B: Sendable> Upload<B> {
    /// Takes a request. What was sent before has ended.
    pub(super) fn begin(&mut self, host: &HeaderValue, request: &Parts, body: B) {
        self.front.clear();
        self.at = 0;
        self.has_sent = false;
        self.announced.clear();
        let front = &mut self.front;
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\nhost: "] {
            front.extend_from_slice(part.as_bytes());
        }
        front.extend_from_slice(host.as_bytes());
        front.extend_from_slice(b"\r\n");
        write_headers(front, &request.headers);
        let exact = body.size_hint().exact();
        if let Some(length) = exact {
            self.length = Length::Known(length);
            if length > 0 || matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
                // Writing to memory can't fail, here and below.
                let _ = write!(front, "content-length: {length}\r\n");
            }
        } else {
            self.length = Length::Chunked;
            front.extend_from_slice(b"transfer-encoding: chunked\r\n");
            for line in request.headers.get_all(TRAILER).iter().filter_map(|line| line.to_str().ok()) {
                let names = line.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok());
                self.announced.extend(names.filter(may_be_trailer));
            }
        }
        front.extend_from_slice(b"\r\n");
        self.body = Some(body).filter(|_| exact != Some(0));
    }

    pub(super) fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Whether all was sent, or can't be.
    pub(super) fn is_done(&self) -> bool {
        !self.has_more() && self.body.is_none() && !self.unflushed
    }

    /// Whether all was sent.
    pub(super) fn is_whole(&self) -> bool {
        self.is_done() && self.fault.is_none()
    }

    /// Why it could not be sent, if it could not and it is such a fault.
    pub(super) fn take_fault(&mut self, such: impl Fn(&mut Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(such)
    }

    /// Sends as much as it can. Ready once there is nothing more to send.
    pub(super) fn poll(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_done() {
            return Poll::Ready(());
        }
        match self.try_poll(socket, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(sent) => {
                if let Err(fault) = sent {
                    *self = Self { has_sent: self.has_sent, fault: Some(fault), ..Self::default() };
                }
                Poll::Ready(())
            }
        }
    }

    fn try_poll(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            // What is there of the body goes together with the head.
            let waits = self.data.is_empty() && self.tail.is_empty() && self.poll_body(cx)?.is_pending();
            while self.has_more() {
                let parts = [self.front.get(self.at..).unwrap_or_default(), &self.data, self.tail];
                let parts = parts.map(IoSlice::new);
                let sent = std::task::ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &parts))?;
                if sent == 0 {
                    return Poll::Ready(Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()));
                }
                self.advance(sent);
            }
            if waits || self.body.is_none() {
                if self.unflushed {
                    std::task::ready!(Pin::new(&mut *socket).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return if waits { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
        }
    }

    fn has_more(&self) -> bool {
        self.at < self.front.len() || !self.data.is_empty() || !self.tail.is_empty()
    }

    fn advance(&mut self, mut sent: usize) {
        self.has_sent = true;
        self.unflushed = true;
        let of_front = sent.min(self.front.len() - self.at);
        self.at += of_front;
        sent -= of_front;
        let of_data = sent.min(self.data.len());
        self.data.advance(of_data);
        self.tail = self.tail.get(sent - of_data..).unwrap_or_default();
        if self.at == self.front.len() {
            self.front.clear();
            self.front.shrink_to(KEPT);
            self.at = 0;
        }
        if self.data.is_empty() {
            // Not a slice of nothing that keeps all of it.
            self.data = Bytes::new();
        }
    }

    /// Takes the next piece of the body, if there is a body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while let Some(body) = &mut self.body {
            let frame = match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Err(Fault::Body(error.into()))),
                None => None,
            };
            match (self.length, frame.map(Frame::into_data)) {
                (_, Some(Ok(data))) if data.is_empty() => continue,
                (Length::Known(left), Some(Ok(data))) => {
                    let rest = left.checked_sub(data.len() as u64);
                    let rest = rest.ok_or_else(|| Fault::Body("it is longer than it said".into()))?;
                    self.length = Length::Known(rest);
                    self.data = data;
                    if rest == 0 {
                        self.body = None;
                    }
                }
                (Length::Chunked, Some(Ok(data))) => {
                    let _ = write!(self.front, "{:x}\r\n", data.len());
                    self.data = data;
                    self.tail = b"\r\n";
                }
                // Behind a known length there is no place for trailers.
                (Length::Known(_), Some(Err(_trailers))) => continue,
                (Length::Known(0), None) => self.body = None,
                (Length::Known(_), None) => {
                    return Poll::Ready(Err(Fault::Body("it is shorter than it said".into())));
                }
                (Length::Chunked, end) => {
                    self.front.extend_from_slice(b"0\r\n");
                    if let Some(Ok(mut trailers)) = end.and_then(Result::err).map(Frame::into_trailers) {
                        let unannounced = |name: &&HeaderName| !self.announced.contains(name);
                        for name in trailers.keys().filter(unannounced).cloned().collect::<Vec<_>>() {
                            trailers.remove(name);
                        }
                        write_headers(&mut self.front, &trailers);
                    }
                    self.front.extend_from_slice(b"\r\n");
                    self.body = None;
                }
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Ok(()))
    }
}

fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.reserve(name.as_str().len() + value.len() + 4);
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110 §6.5.1: what frames a message, says what it is or where it goes has no place at its end. Credentials and what
/// is hop-by-hop are taken out before.
fn may_be_trailer(name: &HeaderName) -> bool {
    let misplaced =
        [CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, MAX_FORWARDS, SET_COOKIE, TRAILER];
    !misplaced.contains(name)
}
