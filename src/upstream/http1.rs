//! HTTP/1.1 with an upstream. A connection has no task of its own: whoever waits for its answer drives it, so that a
//! request lives in one task from end to end, and what arrives together is passed on together (`docs/performance.md` has
//! the figures). A connection that waits holds no buffer: what comes is read into one that the worker's connections share.

mod chunked;
mod head;
mod upload;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::Instant;

use self::chunked::Chunked;
use self::head::{Framing, Head};
use self::upload::Upload;
use super::connect::Socket;
use crate::timer::Timer;

/// How large an answer's head may be.
const HEAD_MAX: usize = 16 * 1024;
/// How much is read at once, and so ahead of a slow client.
const READ: usize = 32 * 1024;
/// The room for pieces grows by so much, so that one that is a little larger than the last has room too.
const STEP: usize = 256;
/// A buffer that grew larger than this for a piece is not kept for the next.
const KEPT: usize = 2048;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It ended before the answer did.
    #[error("connection closed before message completed")]
    Incomplete,
    /// The socket failed.
    #[error("connection error")]
    Io(#[from] io::Error),
    /// There was no answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is not HTTP.
    #[error("invalid answer: {0}")]
    Invalid(&'static str),
    /// The request's body failed.
    #[error("the request's body failed: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// A body that can be sent.
pub trait Sendable:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

impl<B> Sendable for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

/// A connection.
pub(super) struct Http1<B> {
    socket: Socket,
    /// What came and is not understood yet: the beginning of a head, or what came with one.
    came: Bytes,
    upload: Upload<B>,
    answer: Remaining,
    trailers: Option<Box<HeaderMap>>,
    /// The next piece of the answer's body, and the room for it.
    piece: BytesMut,
    /// Whether both sides go on after this answer.
    lasts: bool,
    timer: Timer,
}

/// What is still to come of an answer's body.
enum Remaining {
    Nothing,
    Bytes(u64),
    Chunks(Box<Chunked>),
    UntilEnd,
}

impl<B: Sendable> Http1<B> {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            came: Bytes::new(),
            upload: Upload::default(),
            answer: Remaining::Nothing,
            trailers: None,
            piece: BytesMut::new(),
            lasts: true,
            timer: Timer::default(),
        }
    }

    /// Begins to send a request: not a byte of it before the first [`poll_head`](Self::poll_head).
    pub(super) fn begin(&mut self, host: &HeaderValue, request: &Parts, body: B) {
        self.upload.begin(host, request, body);
        // It tells how the answer's body is framed, and is replaced by that.
        self.answer =
            if request.method == http::Method::HEAD { Remaining::Nothing } else { Remaining::UntilEnd };
    }

    /// Whether any of the request was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.upload.has_sent()
    }

    /// Whether it can take a request now: all is said, and the other side has not closed it.
    pub(super) fn is_free(&mut self) -> bool {
        self.has_said_all()
            && self.lasts
            && self.came.is_empty()
            && self.upload.is_whole()
            && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends what there is to send, and gives the head of the answer once it is there: of the last one, if others come
    /// before it that are only informational. It may take until `by`.
    pub(super) fn poll_head(
        &mut self,
        by: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Fault>> {
        self.send_more(cx)?;
        loop {
            if !self.came.is_empty() {
                match Head::parse(&self.came)? {
                    Some(head) => {
                        self.came.advance(head.length);
                        let status = head.response.status();
                        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                            continue;
                        }
                        self.expect(&head)?;
                        return Poll::Ready(Ok(head.response));
                    }
                    None if self.came.len() >= HEAD_MAX => {
                        return Poll::Ready(Err(Fault::Invalid("its head is too large")));
                    }
                    None => {}
                }
            }
            let Poll::Ready(read) = self.poll_read(cx) else {
                return self.timer.poll(by, cx).map(|()| Err(Fault::TimedOut));
            };
            match read {
                Ok(()) => {}
                // Why it could not be sent says more than that there is no answer.
                Err(fault) => return Poll::Ready(Err(self.upload.take_fault(|_| true).unwrap_or(fault))),
            }
        }
    }

    /// Sends what there is to send. That the other side takes no more does not matter if it answers all the same; a body
    /// that fails leaves it waiting for the rest.
    fn send_more(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let _ = self.upload.poll(&mut self.socket, cx);
        self.upload.take_fault(|fault| matches!(fault, Fault::Body(_))).map_or(Ok(()), Err)
    }

    /// Prepares for the body that a head announces (RFC 9112 §6.3).
    fn expect(&mut self, head: &Head) -> Result<(), Fault> {
        let status = head.response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // What comes is another protocol's, and so is the connection.
            (self.lasts, self.answer) = (false, Remaining::UntilEnd);
            return Ok(());
        }
        self.lasts = head.lasts;
        let has_none = matches!(self.answer, Remaining::Nothing)
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.answer = match head.framing {
            _ if has_none => Remaining::Nothing,
            Framing::Length(0) => Remaining::Nothing,
            Framing::Length(length) => Remaining::Bytes(length),
            Framing::Chunked => Remaining::Chunks(Box::default()),
            Framing::UntilEnd => {
                self.lasts = false;
                Remaining::UntilEnd
            }
            Framing::Invalid(why) => return Err(Fault::Invalid(why)),
        };
        Ok(())
    }

    /// The next of the answer's body: all that has come of it.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.send_more(cx)?;
        loop {
            if let Some(data) = self.take_piece()? {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            if matches!(self.answer, Remaining::Nothing) {
                return Poll::Ready(None);
            }
            match ready!(self.poll_read(cx)) {
                Ok(()) => {}
                Err(Fault::Incomplete) if matches!(self.answer, Remaining::UntilEnd) => {
                    self.answer = Remaining::Nothing;
                }
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
    }

    /// Reads what has come: data into the piece, all else to the end of what came before.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let mut came = buffer.filled();
            if came.is_empty() {
                return Poll::Ready(Err(Fault::Incomplete));
            }
            if let Remaining::Chunks(chunks) = &mut self.answer
                && self.came.is_empty()
            {
                // Without a copy of its own: what frames the data is not worth keeping.
                self.piece.reserve(came.len().next_multiple_of(STEP));
                if chunks.read(&mut came, &mut self.piece)? {
                    self.trailers = chunks.trailers()?;
                    self.answer = Remaining::Nothing;
                }
            }
            if self.came.is_empty() {
                self.came = Bytes::copy_from_slice(came);
            } else {
                self.came = [&self.came, came].concat().into();
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes the data out of what has come.
    fn take_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.answer {
            Remaining::Nothing => {}
            Remaining::Bytes(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.came.len());
                *left -= length as u64;
                if *left == 0 {
                    self.answer = Remaining::Nothing;
                }
                return Ok(Some(self.came.split_to(length)).filter(|data| !data.is_empty()));
            }
            Remaining::Chunks(chunks) => {
                let mut came = &self.came[..];
                self.piece.reserve(came.len().next_multiple_of(STEP));
                let ended = chunks.read(&mut came, &mut self.piece)?;
                let taken = self.came.len() - came.len();
                self.came.advance(taken);
                if ended {
                    self.trailers = chunks.trailers()?;
                    self.answer = Remaining::Nothing;
                }
            }
            Remaining::UntilEnd => {
                return Ok(Some(std::mem::take(&mut self.came)).filter(|data| !data.is_empty()));
            }
        }
        if self.piece.is_empty() {
            return Ok(None);
        }
        let data = self.piece.split().freeze();
        if data.len() > KEPT {
            self.piece = BytesMut::new();
        }
        Ok(Some(data))
    }

    /// Whether nothing of the answer is still to come or to be taken.
    pub(super) fn has_said_all(&self) -> bool {
        matches!(self.answer, Remaining::Nothing) && self.piece.is_empty() && self.trailers.is_none()
    }

    /// How much is to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.answer {
            Remaining::Nothing if self.has_said_all() => SizeHint::with_exact(0),
            Remaining::Bytes(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    /// Whether all of the request has been sent, or can't be.
    pub(super) fn has_sent_all(&self) -> bool {
        self.upload.is_done()
    }

    /// Sends the rest of a request whose answer came before its end.
    pub(super) async fn send_rest(mut self: Box<Self>) {
        std::future::poll_fn(|cx| self.upload.poll(&mut self.socket, cx)).await;
    }

    /// What it goes on as after a 101, and what came of that already.
    pub(super) fn into_socket(self) -> (Socket, Bytes) {
        (self.socket, self.came)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use http::Request;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection that has asked for `/`, and its other side, which has read that.
    async fn asked(body: &'static [u8]) -> (Http1<Full<Bytes>>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut http1 = Http1::new(Socket::Plain(near));
        let (head, body) =
            Request::post("/?a=b").header("x", "y").body(Full::from(body)).unwrap().into_parts();
        let length = http_body::Body::size_hint(&body).exact().unwrap();
        let want = format!("POST /?a=b HTTP/1.1\r\nhost: h\r\nx: y\r\ncontent-length: {length}\r\n\r\n");
        http1.begin(&HeaderValue::from_static("h"), &head, body);
        assert!(poll_fn(|cx| Poll::Ready(http1.poll_head(by(), cx))).await.is_pending());
        let mut sent = vec![0; want.len() + usize::try_from(length).unwrap()];
        far.read_exact(&mut sent).await.unwrap();
        assert!(sent.starts_with(want.as_bytes()), "{}", String::from_utf8_lossy(&sent));
        (http1, far)
    }

    fn by() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// What comes in answer: the status, and the body as far as it is well.
    async fn answer(http1: &mut Http1<Full<Bytes>>) -> Result<(u16, Vec<u8>), Fault> {
        let status = poll_fn(|cx| http1.poll_head(by(), cx)).await?.status().as_u16();
        let mut body = Vec::new();
        while let Some(frame) = poll_fn(|cx| http1.poll_frame(cx)).await {
            body.extend_from_slice(frame?.data_ref().unwrap());
        }
        Ok((status, body))
    }

    #[tokio::test]
    async fn an_answer_is_the_one_behind_those_that_only_inform() {
        let (mut http1, mut far) = asked(b"hello").await;
        far.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\n")
            .await
            .unwrap();
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert_eq!(answer(&mut http1).await.unwrap(), (200, b"ok".to_vec()));
        assert!(http1.is_free());
        drop(far);
        while http1.is_free() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_comes_unasked_ends_a_connection() {
        let (mut http1, mut far) = asked(b"").await;
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(answer(&mut http1).await.unwrap(), (200, b"ok".to_vec()));
        assert!(!http1.is_free());
    }

    #[tokio::test]
    async fn chunks_that_come_together_are_one_piece_and_half_a_body_is_none() {
        let (mut http1, mut far) = asked(b"").await;
        far.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        poll_fn(|cx| http1.poll_head(by(), cx)).await.unwrap();
        far.write_all(b"3\r\none\r\n3\r\ntwo\r\n").await.unwrap();
        let piece = poll_fn(|cx| http1.poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), "onetwo");
        drop(far);
        let end = poll_fn(|cx| http1.poll_frame(cx)).await.unwrap();
        assert!(matches!(end, Err(Fault::Incomplete)), "{end:?}");
    }
}
