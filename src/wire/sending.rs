//! A message on its way out: its head, and its body as it comes.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body::Frame;
use hyper::ext::ReasonPhrase;
use tokio::io::AsyncWrite;

use super::Fault;

/// A head that was longer leaves no buffer of that size behind.
const KEPT: usize = 1024;
/// How a chunk ends, and a body with it if it is the last.
const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK_END: &[u8] = b"\r\n0\r\n\r\n";

/// What is still to be sent of a message.
pub(crate) struct Sending<B> {
    /// The head, or a chunk's size.
    front: Vec<u8>,
    /// How much of that was sent.
    at: usize,
    data: Bytes,
    /// What ends a chunk, or the body.
    tail: &'static [u8],
    /// Until all of it was sent, not only taken.
    body: Option<B>,
    /// Whether all of it was taken.
    has_ended: bool,
    length: Length,
    /// The trailers that the head announces.
    announced: Vec<HeaderName>,
    has_sent: bool,
    /// Whether something waits in TLS.
    unflushed: bool,
    fault: Option<Fault>,
}

/// How a body's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// By the head: so much is to come.
    Known(u64),
    Chunked,
    /// By the connection's end.
    UntilEnd,
}

impl<B> Default for Sending<B> {
    fn default() -> Self {
        Self {
            front: Vec::new(),
            at: 0,
            data: Bytes::new(),
            tail: &[],
            body: None,
            has_ended: true,
            length: Length::Known(0),
            announced: Vec::new(),
            has_sent: false,
            unflushed: false,
            fault: None,
        }
    }
}

impl<B> Sending<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    /// Takes a message, and gives the place for its head. What was sent before has ended. `trailer`: the lines that
    /// announce the trailers that may come.
    pub(crate) fn begin<'a>(
        &mut self,
        length: Length,
        trailer: impl IntoIterator<Item = &'a http::HeaderValue>,
        body: Option<B>,
    ) -> &mut Vec<u8> {
        self.front.clear();
        self.at = 0;
        self.has_sent = false;
        self.length = length;
        self.announced.clear();
        if length == Length::Chunked {
            for line in trailer.into_iter().filter_map(|line| line.to_str().ok()) {
                let names = line.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok());
                self.announced.extend(names.filter(may_be_trailer));
            }
        }
        self.has_ended = body.is_none() || length == Length::Known(0);
        self.body = body;
        &mut self.front
    }

    /// Sends this first, of a message that was begun.
    #[cold]
    pub(crate) fn send_first(&mut self, text: Vec<u8>) {
        self.front.splice(..0, text);
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Whether all was sent, or can't be.
    pub(crate) fn is_done(&self) -> bool {
        self.has_ended && !self.has_more() && !self.unflushed
    }

    /// Whether all was sent.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_done() && self.fault.is_none()
    }

    /// Why it could not be sent, if it could not and it is such a fault.
    pub(crate) fn take_fault(&mut self, such: impl Fn(&mut Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(such)
    }

    /// Sends as much as it can. Ready once there is nothing more to send.
    pub(crate) fn poll<S: AsyncWrite + Unpin>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_done()
            && let Err(fault) = ready!(self.try_poll(socket, cx))
        {
            *self = Self { has_sent: self.has_sent, fault: Some(fault), ..Self::default() };
        }
        self.body = None;
        Poll::Ready(())
    }

    fn try_poll<S: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            // What is there of the body goes together with the head.
            let waits = self.data.is_empty() && self.tail.is_empty() && self.poll_body(cx)?.is_pending();
            while self.has_more() {
                let parts = [self.front.get(self.at..).unwrap_or_default(), &self.data, self.tail];
                let parts = parts.map(IoSlice::new);
                let sent = ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &parts))?;
                if sent == 0 {
                    return Poll::Ready(Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()));
                }
                self.advance(sent);
            }
            if waits || self.has_ended {
                if self.unflushed {
                    ready!(Pin::new(&mut *socket).poll_flush(cx))?;
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

    /// Takes the next piece of the body, if there is more of it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while let Some(body) = self.body.as_mut().filter(|_| !self.has_ended) {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
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
                    self.has_ended = rest == 0;
                }
                (Length::Chunked, Some(Ok(data))) => {
                    // What has ended says so in the same write.
                    self.has_ended = body.is_end_stream();
                    self.tail = if self.has_ended { LAST_CHUNK_END } else { CHUNK_END };
                    write_chunk_size(&mut self.front, data.len());
                    self.data = data;
                }
                (Length::UntilEnd, Some(Ok(data))) => self.data = data,
                // Only chunks have a place for trailers.
                (Length::Known(_) | Length::UntilEnd, Some(Err(_trailers))) => continue,
                (Length::Known(0) | Length::UntilEnd, None) => self.has_ended = true,
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
                    self.has_ended = true;
                }
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes the line that begins a chunk. `std`'s own way to write in base 16 costs much more, for each event of a stream.
fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().filter_map(|place| b"0123456789abcdef".get((size >> (4 * place)) & 0xf)));
    out.extend_from_slice(b"\r\n");
}

/// Writes the line that tells a body's length.
pub(crate) fn write_length(out: &mut Vec<u8>, length: u64) {
    for part in ["content-length: ", itoa::Buffer::new().format(length), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes an answer's first line. Who speaks HTTP/1.0 (`is_old`) is answered in it.
pub(crate) fn write_status(out: &mut Vec<u8>, parts: &Parts, is_old: bool) {
    let reason = parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    if parts.status == StatusCode::OK && reason.is_none() && !is_old {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let reason = reason.or_else(|| Some(parts.status.canonical_reason()?.as_bytes())).unwrap_or_default();
    let version: &[u8] = if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    for part in [version, parts.status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes headers as lines.
pub(crate) fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.reserve(name.as_str().len() + value.len() + 4);
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110 §6.5.1: what frames a message, says what it is or where it goes, and what is between two neighbours, has no
/// place at its end.
fn may_be_trailer(name: &HeaderName) -> bool {
    let misplaced = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    !misplaced.contains(name) && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunks_size_is_told_in_base_16() {
        for size in [0, 1, 9, 10, 15, 16, 0xa9, 0x100, 0x00ab_cdef, usize::MAX] {
            let mut line = Vec::new();
            write_chunk_size(&mut line, size);
            assert_eq!(String::from_utf8(line).unwrap(), format!("{size:x}\r\n"));
        }
    }
}
