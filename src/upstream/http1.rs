//! HTTP/1.1 with an upstream: requests go out, and answers come in.

mod head;

use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use http::header::TRAILER;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use self::head::{Framing, Head};
use crate::timer::Timer;
use crate::wire::{Fault, Length, Receiving, Remaining, Sending, Socket, write_headers, write_length};

/// How large an answer's head may be.
const HEAD_MAX: usize = 32 * 1024;
const TOO_LARGE: Fault = Fault::Invalid("its head is too large");

/// So many answers that only inform are heard before one that does not come: more are a flood.
const INFORMED_MAX: u8 = 64;

/// What hears of answers that only inform.
pub(super) type Inform<'a> = &'a mut dyn FnMut(Response<()>);

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
    receiving: Receiving<Socket>,
    sending: Sending<B>,
    /// Whether the answer has a body, as far as the request tells.
    has_no_body: bool,
    /// Whether both sides go on after this answer.
    lasts: bool,
    /// How many answers have come that only inform.
    informed: u8,
    timer: Timer,
    /// Since when it has been of no use, by the clock of [`sweep`](super::client::Client::sweep).
    pub(super) since: u32,
}

impl<B: Sendable> Http1<B> {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            receiving: Receiving::new(socket),
            sending: Sending::default(),
            has_no_body: false,
            lasts: true,
            informed: 0,
            timer: Timer::default(),
            since: 0,
        }
    }

    /// Begins to send a request: not a byte of it before the first [`poll_head`](Self::poll_head).
    pub(super) fn begin(&mut self, host: &HeaderValue, request: &Parts, body: B) {
        self.has_no_body = request.method == Method::HEAD;
        self.informed = 0;
        let exact = body.size_hint().exact();
        let length = exact.map_or(Length::Chunked, Length::Known);
        let trailer = exact.is_none().then(|| request.headers.get_all(TRAILER)).into_iter().flatten();
        let front = self.sending.begin(length, trailer, Some(body).filter(|_| exact != Some(0)));
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\nhost: "] {
            front.extend_from_slice(part.as_bytes());
        }
        front.extend_from_slice(host.as_bytes());
        front.extend_from_slice(b"\r\n");
        write_headers(front, &request.headers);
        match exact {
            None => front.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Some(length)
                if length > 0 || matches!(request.method, Method::POST | Method::PUT | Method::PATCH) =>
            {
                write_length(front, length);
            }
            Some(_) => {}
        }
        front.extend_from_slice(b"\r\n");
    }

    /// Whether any of the request was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.sending.has_sent()
    }

    /// Whether it failed for want of any answer at all to a request that went out.
    pub(super) fn is_silent(&self, fault: &Fault) -> bool {
        let has_all = self.sending.is_whole();
        matches!(fault, Fault::TimedOut) && has_all && self.informed == 0 && self.receiving.came.is_empty()
    }

    /// Whether all is said on both sides, and both go on.
    pub(super) fn is_done(&self) -> bool {
        self.has_said_all() && self.lasts && self.receiving.came.is_empty() && self.sending.is_whole()
    }

    /// Whether it can take a request now: it is done with the last, and the other side has not closed it.
    pub(super) fn is_free(&mut self) -> bool {
        self.is_done() && self.receiving.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends what there is to send, and gives the head of the answer once it is there: of the last one, if others come
    /// before it that only inform. It may take until `by`.
    pub(super) fn poll_head(
        &mut self,
        by: Instant,
        inform: Inform<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Fault>> {
        self.send_more(cx)?;
        loop {
            if !self.receiving.came.is_empty() {
                match Head::parse(&self.receiving.came)? {
                    Some(head) if head.length > HEAD_MAX => return Poll::Ready(Err(TOO_LARGE)),
                    Some(head) => {
                        self.receiving.came.advance(head.length);
                        let status = head.response.status();
                        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                            self.informed(head.response, inform)?;
                            continue;
                        }
                        self.expect(&head)?;
                        return Poll::Ready(Ok(head.response));
                    }
                    None if self.receiving.came.len() >= HEAD_MAX => {
                        return Poll::Ready(Err(TOO_LARGE));
                    }
                    None => {}
                }
            }
            let Poll::Ready(read) = self.receiving.poll_read(cx) else {
                return self.timer.poll(by, cx).map(|()| Err(Fault::TimedOut));
            };
            match read {
                Ok(()) => {}
                // Why it could not be sent says more than that there is no answer.
                Err(fault) => return Poll::Ready(Err(self.sending.take_fault(|_| true).unwrap_or(fault))),
            }
        }
    }

    #[cold]
    fn informed(&mut self, head: Response<()>, inform: Inform<'_>) -> Result<(), Fault> {
        if self.informed == INFORMED_MAX {
            return Err(Fault::Invalid("it informs without end"));
        }
        self.informed += 1;
        inform(head);
        Ok(())
    }

    /// Sends what there is to send. That the other side takes no more does not matter if it answers all the same; a body
    /// that fails leaves it waiting for the rest.
    fn send_more(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let _ = self.sending.poll(&mut self.receiving.socket, cx);
        self.sending.take_fault(|fault| matches!(fault, Fault::Body(_))).map_or(Ok(()), Err)
    }

    /// Prepares for the body that a head announces (RFC 9112 §6.3).
    fn expect(&mut self, head: &Head) -> Result<(), Fault> {
        let status = head.response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // What comes is another protocol's, and so is the connection.
            self.lasts = false;
            self.receiving.expect(Remaining::UntilEnd);
            return Ok(());
        }
        self.lasts = head.lasts;
        let has_none =
            self.has_no_body || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.receiving.expect(match head.framing {
            // What has no body may tell its length all the same, and the client believes it.
            Framing::Invalid(why) => return Err(Fault::Invalid(why)),
            _ if has_none => Remaining::Nothing,
            Framing::Length(0) => Remaining::Nothing,
            Framing::Length(length) => Remaining::Bytes(length),
            Framing::Chunked => Remaining::chunks(),
            Framing::UntilEnd => {
                self.lasts = false;
                Remaining::UntilEnd
            }
        });
        Ok(())
    }

    /// The next of the answer's body: all that has come of it.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.send_more(cx)?;
        self.receiving.poll_frame(cx)
    }

    /// Whether nothing of the answer is still to come or to be taken.
    pub(super) fn has_said_all(&self) -> bool {
        self.receiving.is_over()
    }

    /// Whether the answer goes on until the connection ends.
    pub(super) fn is_until_end(&self) -> bool {
        self.receiving.is_until_end()
    }

    /// How much is to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.receiving.size_hint()
    }

    /// Whether all of the request has been sent, or can't be.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sending.is_done()
    }

    /// Sends the rest of a request whose answer came before its end.
    pub(super) async fn send_rest(mut self: Box<Self>) {
        std::future::poll_fn(|cx| self.sending.poll(&mut self.receiving.socket, cx)).await;
    }

    /// What it goes on as after a 101, and what came of that already.
    pub(super) fn into_socket(self) -> (Socket, Bytes) {
        (self.receiving.socket, self.receiving.came)
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
        assert!(poll_fn(|cx| Poll::Ready(http1.poll_head(by(), &mut drop, cx))).await.is_pending());
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
        let status = poll_fn(|cx| http1.poll_head(by(), &mut drop, cx)).await?.status().as_u16();
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
        poll_fn(|cx| http1.poll_head(by(), &mut drop, cx)).await.unwrap();
        far.write_all(b"3\r\none\r\n3\r\ntwo\r\n").await.unwrap();
        let piece = poll_fn(|cx| http1.poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), "onetwo");
        drop(far);
        let end = poll_fn(|cx| http1.poll_frame(cx)).await.unwrap();
        assert!(matches!(end, Err(Fault::Incomplete)), "{end:?}");
    }
}
