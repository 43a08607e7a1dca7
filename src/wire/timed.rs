//! A client's socket with the time rules of spec §9: how long a head may take, how long a connection may be idle, how
//! long a client may refuse to take its answer. A connection has one timer for the first two, which is rearmed only when
//! it fires.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::response::Parts;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

use super::Socket;
use super::frames::Frames;
use super::sending::{write_headers, write_status};
use crate::timer::Timer;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct ClientTimes {
    /// `SERVER_READ_TIMEOUT`: a request's head.
    pub read: Duration,
    /// `SERVER_WRITE_TIMEOUT`: an answer that makes no progress.
    pub write: Duration,
    /// `SERVER_IDLE_TIMEOUT`: silence between requests.
    pub idle: Duration,
}

/// How much may wait to be told ahead of an answer before more of that is dropped.
const UNTOLD_MAX: usize = 16 * 1024;
/// Sent when a head does not arrive in time.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a connection is doing, shared between its socket and its requests.
pub(crate) struct Activity {
    phase: Cell<Phase>,
    /// Requests whose answers have not ended.
    running: Cell<u32>,
    /// When the last of them did, or the connection began.
    rests_since: Cell<Instant>,
    http2: bool,
    /// What the client is told ahead of its answer, and was not yet.
    untold: RefCell<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// No request, and no byte of one, since then.
    Idle(Instant),
    /// A request's head is arriving since then.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// A request that is being answered, until its answer's body is dropped.
pub struct Running(Rc<Activity>);

impl Activity {
    /// A connection from which nothing has come yet.
    pub(crate) fn new(http2: bool) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            phase: Cell::new(Phase::Idle(now)),
            running: Cell::new(0),
            rests_since: Cell::new(now),
            http2,
            untold: RefCell::default(),
        })
    }

    /// A request's head has arrived.
    pub(crate) fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        self.phase.set(Phase::Busy);
        Running(Rc::clone(self))
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.get() > 0
    }

    /// Whether a part of a request's head has come, and the rest not yet.
    pub(crate) fn is_in_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head(_))
    }

    /// Whether no request has been answered for that long.
    pub(crate) fn has_rested(&self, time: Duration) -> bool {
        !self.is_busy() && self.rests_since.get().elapsed() >= time
    }

    /// Whether there is something to tell the client ahead of its answer.
    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.borrow().is_empty()
    }

    /// Takes what is left of that, for what goes out next.
    #[cold]
    pub(crate) fn take_untold(&self) -> Vec<u8> {
        self.untold.take()
    }

    /// Something has come that belongs to a request's head.
    pub(crate) fn arrived(&self) {
        if let Phase::Idle(_) = self.phase.get() {
            let now = Instant::now();
            // What arrives on an idle HTTP/2 connection need not be a head.
            self.phase.set(if self.http2 { Phase::Idle(now) } else { Phase::Head(now) });
        }
    }
}

impl Running {
    /// Tells the client of a head that comes before its answer (RFC 9110 §15.2), unless much waits already that it does not
    /// take. On HTTP/2 hyper has no place for it.
    #[cold]
    pub(crate) fn tell(&self, head: &Parts) {
        let mut untold = self.0.untold.borrow_mut();
        if !self.0.http2 && untold.len() < UNTOLD_MAX {
            write_status(&mut untold, head, false);
            write_headers(&mut untold, &head.headers);
            untold.extend_from_slice(b"\r\n");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0 {
            let now = Instant::now();
            self.0.phase.set(Phase::Idle(now));
            self.0.rests_since.set(now);
        }
    }
}

/// A socket under those rules.
pub(crate) struct Timed<S> {
    socket: S,
    activity: Rc<Activity>,
    times: ClientTimes,
    reading: Timer,
    writing: Timer,
    stalled: Option<Instant>,
    /// On HTTP/2.
    frames: Option<Box<Frames>>,
}

impl<S> Timed<S> {
    pub(crate) fn new(socket: S, activity: Rc<Activity>, times: ClientTimes) -> Self {
        let frames = activity.http2.then(|| Box::new(Frames::new()));
        let (reading, writing) = (Timer::default(), Timer::default());
        Self { socket, activity, times, reading, writing, stalled: None, frames }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Timed<S> {
    fn poll_read_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.activity.phase.get() {
            Phase::Busy => Poll::Pending,
            // An end of input: it is closed as if the client had.
            Phase::Idle(since) => self.reading.poll(since + self.times.idle, cx).map(Ok),
            Phase::Head(since) => {
                ready!(self.reading.poll(since + self.times.read, cx));
                // Whether the client takes it does not matter any more.
                let _ = Pin::new(&mut self.socket).poll_write(cx, HEAD_TIMEOUT);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the request's head did not arrive in time",
                )))
            }
        }
    }

    /// Arms the timer of an idle connection where an answer has gone. The read that waits since before it ended was
    /// promised no timer, and hyper, which speaks HTTP/2 here, may not read again until something arrives.
    fn await_silence(&mut self, cx: &mut Context<'_>) {
        if self.activity.http2
            && let Phase::Idle(since) = self.activity.phase.get()
            && self.reading.poll(since + self.times.idle, cx).is_ready()
        {
            cx.waker().wake_by_ref();
        }
    }

    #[inline]
    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let (Some(frames), Poll::Ready(Ok(length))) = (&mut self.frames, &written) {
            frames.sent(*length);
        }
        self.watch(written, cx)
    }

    /// Keeps an eye on a write: fails it once nothing has moved for too long.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        ready!(self.writing.poll(since + self.times.write, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buf) {
            Poll::Pending => this.poll_read_timeout(cx),
            read @ Poll::Ready(_) => {
                if buf.filled().len() > before {
                    this.activity.arrived();
                    if let Some(frames) = &mut this.frames {
                        frames.came(buf.filled().get(before..).unwrap_or_default())?;
                    }
                }
                read
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(cx);
        this.await_silence(cx);
        this.watch(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.socket).poll_shutdown(cx);
        this.watch(shut, cx)
    }
}

/// A client's socket, from which its connection and the body of the request that is running read.
#[derive(Clone)]
pub(crate) struct ClientSocket(Rc<RefCell<Timed<Socket>>>);

impl ClientSocket {
    pub(crate) fn new(socket: Timed<Socket>) -> Self {
        Self(Rc::new(RefCell::new(socket)))
    }

    /// Says that the rest of a head is not waited for.
    pub(crate) async fn refuse_head(&mut self) -> io::Result<()> {
        self.write_all(HEAD_TIMEOUT).await?;
        self.shutdown().await
    }

    /// Has this told ahead of the answer.
    pub(crate) fn tell(&self, text: &[u8]) {
        self.timed().activity.untold.borrow_mut().extend_from_slice(text);
    }

    /// Sends what the client is told ahead of its answer.
    #[cold]
    pub(crate) fn poll_tell(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut timed = self.timed();
        let activity = Rc::clone(&timed.activity);
        let mut untold = activity.untold.borrow_mut();
        while !untold.is_empty() {
            let told = ready!(Pin::new(&mut *timed).poll_write(cx, &untold))?;
            if told == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            untold.drain(..told);
        }
        // What TLS holds back goes with what is written next, or with what is read.
        let _ = Pin::new(&mut *timed).poll_flush(cx)?;
        Poll::Ready(Ok(()))
    }

    /// Whether the client has ended its side, though something that it sent before may be unread.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.0.borrow().socket.has_hung_up()
    }

    /// Closes it, whoever still holds it.
    pub(crate) fn close(&self) {
        self.timed().socket = Socket::Closed;
    }

    /// Makes its close a reset.
    pub(crate) fn close_by_reset(&self) {
        self.0.borrow().socket.close_by_reset();
    }

    fn timed(&self) -> RefMut<'_, Timed<Socket>> {
        self.0.borrow_mut()
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.timed()).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.timed()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.timed()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.timed()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.timed()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const TIMES: ClientTimes = ClientTimes {
        read: Duration::from_secs(10),
        write: Duration::from_secs(30),
        idle: Duration::from_secs(60),
    };

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn silence_ends_a_connection_and_a_slow_head_is_told_so() {
        let (client, server) = duplex(1024);
        let (mut client, mut server) = (client, Timed::new(server, Activity::new(false), TIMES));
        let began = Instant::now();
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), 60);

        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 8);
        let began = Instant::now();
        assert_eq!(server.read(&mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 10);
        let mut told = [0; 12];
        client.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 408");
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_request_under_way_has_no_idle_limit_and_idleness_begins_at_its_end() {
        let (_client, server) = duplex(1024);
        let activity = Activity::new(false);
        let mut server = Timed::new(server, Rc::clone(&activity), TIMES);
        let running = activity.begin();
        let read = tokio::time::timeout(Duration::from_secs(3600), server.read(&mut [0; 64])).await;
        assert!(read.is_err());
        drop(running);
        let began = Instant::now();
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn an_answer_that_nobody_takes_fails_after_its_time_and_progress_starts_it_anew() {
        let (mut client, server) = duplex(16);
        let mut server = Timed::new(server, Activity::new(false), TIMES);
        server.write_all(&[0; 16]).await.unwrap();
        let taken = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.read_exact(&mut [0; 16]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        let written = async {
            let error = server.write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        };
        tokio::select! { () = taken => unreachable!(), () = written => {} }
        assert_eq!(began.elapsed().as_secs(), 50);
    }

    #[tokio::test(flavor = "local")]
    async fn of_what_is_told_ahead_of_an_answer_little_is_held() {
        let head = http::Response::builder().status(103).header("link", "x".repeat(15_000)).body(());
        let (head, ()) = head.unwrap().into_parts();
        for (http2, held) in [(false, 15_000..2 * UNTOLD_MAX), (true, 0..1)] {
            let activity = Activity::new(http2);
            let running = activity.begin();
            for _ in 0..60 {
                running.tell(&head);
            }
            assert!(held.contains(&activity.take_untold().len()), "http2: {http2}");
            assert!(!activity.has_untold());
        }
    }
}
