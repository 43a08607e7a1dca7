//! HTTP/1.1 with a client: requests come in, one after the other, and answers go out.

mod answer;
mod request;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use self::answer::Framed;
use self::request::Head;
use super::front::Body;
use super::head::HEAD_MAX;
use super::service::Service;
use crate::proxy::Tunnel;
use crate::refusal::Refusal;
use crate::timer::Timer;
use crate::wire::{Activity, ClientSocket, Fault, Inbound, Running, Sending};

/// How much of a body that nobody wants is read so that its connection can be kept.
const UNWANTED_MAX: usize = 64 * 1024;
/// How long a client that is hung up on may be silent, and how long it may go on from its answer's end, before it is: closed
/// at once, with something of its unread, the connection is reset, and the answer lost with it.
const SILENCE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(30);

/// How often a client is looked at of whose body nothing is read just now.
const LOOK: Duration = Duration::from_millis(250);

/// A client's connection.
pub(super) struct Http1 {
    inbound: Rc<Inbound>,
    socket: ClientSocket,
    activity: Rc<Activity>,
    sending: Sending<Body>,
    /// Whether the client has sent more requests ahead than are read: no further one is answered.
    overran: bool,
    looking: Timer,
    look_at: Instant,
}

/// How a connection's last request ended.
pub(super) enum End {
    /// Before its connection did: that was closed by the client, or was silent for too long.
    Over,
    /// With an answer, while the client may still be sending: until then at the latest.
    Early(Running, Instant),
    /// With the connection.
    Gone,
    /// It goes on as another protocol, with what has come of that already.
    Switched(Tunnel, Bytes, Running),
}

/// Why there is no further request.
enum NoHead {
    /// The client has ended the connection, or it failed.
    Ended,
    /// What came can't be read.
    Unreadable(Refusal),
}

impl Http1 {
    pub(super) fn new(socket: ClientSocket, activity: Rc<Activity>) -> Self {
        let inbound = Inbound::new(socket.clone());
        Self {
            inbound,
            socket,
            activity,
            sending: Sending::default(),
            overran: false,
            looking: Timer::default(),
            look_at: Instant::now(),
        }
    }

    /// Answers requests for as long as there are any.
    ///
    /// # Cancel safety
    /// Dropping it drops the request that is running. Between two requests nothing is lost.
    pub(super) async fn serve<F: Future>(&mut self, service: &Service<F>) -> End {
        let mut seen = 0;
        loop {
            let Head { request, framed, rest, asks, .. } =
                match poll_fn(|cx| self.poll_head(&mut seen, cx)).await {
                    Ok(head) => head,
                    Err(NoHead::Ended) => return End::Over,
                    Err(NoHead::Unreadable(refusal)) => {
                        let answer = service.answers.front.unreadable(&refusal, self.activity.begin());
                        return match self.send(answer, Framed::default()).await {
                            Some(_) => End::Early(self.activity.begin(), Instant::now() + LINGER),
                            None => End::Gone,
                        };
                    }
                };
            seen = 0;
            let body = self.inbound.begin(rest, asks);
            let mut answering = service.answer(request.map(|()| body), self.activity.begin());
            let answered = poll_fn(|cx| match Pin::new(&mut answering).poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if self.poll_told(cx).is_err() => Poll::Ready(None),
                Poll::Pending => self.poll_gone(cx).map(|()| None),
            });
            let Some(mut response) = answered.await else { return End::Gone };
            if service.gate.is_draining() && !response.status().is_informational() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let tunnel = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
                .then(|| response.body_mut().take_tunnel())
                .flatten()
                .map(|tunnel| (tunnel, self.activity.begin()));
            // What comes of a body behind its answer is no head.
            let uploading = self.inbound.has_rest().then(|| self.activity.begin());
            let Some(lasts) = self.send(response, framed).await else { return End::Gone };
            if let Some((tunnel, running)) = tunnel.filter(|_| !self.overran) {
                return End::Switched(tunnel, std::mem::take(&mut self.inbound.receiving().came), running);
            }
            if lasts && !self.inbound.has_rest() {
                continue;
            }
            let by = Instant::now() + LINGER;
            // It may go on to an upstream that has answered before its end.
            let _ = timeout_at(by, poll_fn(|cx| self.inbound.poll_over(cx))).await;
            drop(uploading);
            if !lasts || self.inbound.has_rest() {
                return End::Early(self.activity.begin(), by);
            }
        }
    }

    /// The next request's head. `seen`: how much of what came was looked at already.
    fn poll_head(&mut self, seen: &mut usize, cx: &mut Context<'_>) -> Poll<Result<Head, NoHead>> {
        let mut receiving = self.inbound.receiving();
        loop {
            let came = &receiving.came;
            if came.len() > *seen {
                self.activity.arrived();
                // Who sends a head in pieces does not have it parsed with each of them.
                if *seen == 0 || has_blank_line(came.get(seen.saturating_sub(3)..).unwrap_or_default()) {
                    match Head::parse(came) {
                        Ok(Some(head)) => {
                            receiving.came.advance(head.length);
                            return Poll::Ready(Ok(head));
                        }
                        Ok(None) => {}
                        Err(refusal) => return Poll::Ready(Err(NoHead::Unreadable(refusal))),
                    }
                }
                *seen = came.len();
                if *seen > HEAD_MAX {
                    return Poll::Ready(Err(NoHead::Unreadable(request::too_large())));
                }
            }
            if ready!(receiving.poll_read(cx)).is_err() {
                return Poll::Ready(Err(NoHead::Ended));
            }
        }
    }

    /// Sends what the client is told ahead of its answer, as far as it takes it now.
    fn poll_told(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.activity.has_untold() || self.inbound.is_telling() {
            return Ok(());
        }
        match self.socket.poll_tell(cx) {
            Poll::Ready(told) => told,
            Poll::Pending => Ok(()),
        }
    }

    /// Ready once the client has gone away: nobody waits for the answer any more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Who reads the body finds out by itself, until its end.
        if self.inbound.poll_over(cx).is_pending() {
            return if self.inbound.streams() { self.poll_hung_up(cx) } else { Poll::Pending };
        }
        let mut receiving = self.inbound.receiving();
        if !receiving.is_over() {
            return Poll::Pending;
        }
        loop {
            // Further requests may come meanwhile; they are read ahead as far as one may be long. Left unread, what goes
            // beyond that would keep the client's end from being seen.
            let is_beyond = self.overran || receiving.came.len() >= HEAD_MAX;
            if ready!(receiving.poll_read(cx)).is_err() {
                return Poll::Ready(());
            }
            if is_beyond {
                self.overran = true;
                receiving.forget();
            }
        }
    }

    /// Ready once the client has hung up with something behind it that nobody reads: a body that streams through to an
    /// upstream that takes no more. What is unread keeps the end from being seen.
    #[cold]
    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.socket.has_hung_up() {
            ready!(self.looking.poll(self.look_at, cx));
            self.look_at = Instant::now() + LOOK;
        }
        Poll::Ready(())
    }

    /// Sends an answer. Returns whether the connection goes on after it; `None`: there is none any more.
    async fn send(&mut self, response: Response<Body>, framed: Framed) -> Option<bool> {
        let was_never_asked = self.inbound.tell_no_more();
        let lasts = framed.lasts && !was_never_asked && !self.overran && self.has_taken_all();
        let (lasts, until_end) = answer::begin(&mut self.sending, response, framed, lasts);
        if self.activity.has_untold() {
            self.sending.send_first(self.activity.take_untold());
        }
        let sent = poll_fn(|cx| {
            if self.sending.poll(&mut self.socket, cx).is_ready() {
                return Poll::Ready(true);
            }
            self.poll_gone(cx).map(|()| false)
        });
        if !sent.await {
            return None;
        }
        match self.sending.take_fault(|_| true) {
            None => Some(lasts && !self.overran),
            Some(fault) => {
                if until_end && matches!(fault, Fault::Body(_)) {
                    // The end of the connection would be taken for that of the answer.
                    self.socket.close_by_reset();
                }
                None
            }
        }
    }

    /// Reads away what has come of a body that nobody wants. Returns whether the rest of it is known to come to an end.
    fn has_taken_all(&self) -> bool {
        if !self.inbound.has_rest() || self.inbound.is_wanted() {
            return true;
        }
        let mut receiving = self.inbound.receiving();
        let mut taken = 0;
        while taken < UNWANTED_MAX {
            match receiving.poll_frame(&mut Context::from_waker(std::task::Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => taken += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        false
    }

    /// Ends the connection.
    pub(super) async fn close(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Ends the connection between two requests. A client that has sent a part of a head is told that the rest is not
    /// waited for.
    pub(super) async fn leave(&mut self) {
        if self.activity.is_in_head() {
            // Whether the client takes it does not matter any more.
            let _ = self.socket.refuse_head().await;
        } else {
            self.close().await;
        }
    }

    /// Ends the connection with a client that may still be sending, so that it hears the answer.
    pub(super) async fn close_and_listen(&mut self, by: Instant) {
        let heard = async {
            self.close().await;
            let mut goes_on = true;
            while goes_on {
                let read = poll_fn(|cx| {
                    let mut receiving = self.inbound.receiving();
                    receiving.forget();
                    receiving.poll_read(cx)
                });
                goes_on = matches!(timeout(SILENCE, read).await, Ok(Ok(())));
            }
        };
        let _ = timeout_at(by, heard).await;
    }

    /// The socket, for what comes after HTTP.
    pub(super) fn socket(&self) -> ClientSocket {
        self.socket.clone()
    }
}

fn has_blank_line(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).any(|at| {
        let rest = text.get(at + 1..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;

    use super::*;
    use crate::wire::{ClientTimes, Socket, Timed};

    /// How long a client is listened to that has its answer and sends so much every second; how much of it is held then.
    async fn listened(piece: usize) -> (Duration, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let [read, write, idle] = [10, 300, 120].map(Duration::from_secs);
        let activity = Activity::new(false);
        let timed = Timed::new(Socket::Plain(near), Rc::clone(&activity), ClientTimes { read, write, idle });
        let mut http1 = Http1::new(ClientSocket::new(timed), Rc::clone(&activity));
        let _running = activity.begin();
        let began = Instant::now();
        let sends_on = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                far.write_all(&vec![b'x'; piece]).await.unwrap();
            }
        };
        tokio::select! {
            () = sends_on => unreachable!(),
            () = http1.close_and_listen(began + LINGER) => {}
        }
        let held = http1.inbound.receiving().came.len();
        (began.elapsed(), held)
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn who_sends_on_is_listened_to_for_half_a_minute_and_none_of_it_is_kept() {
        for piece in [1, 200_000] {
            let (time, held) = listened(piece).await;
            assert_eq!(time, LINGER, "{piece}");
            assert!(held <= 32 * 1024, "{held} of {piece} a second");
        }
        assert_eq!(listened(0).await.0, SILENCE);
    }
}
