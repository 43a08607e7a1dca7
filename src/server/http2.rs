//! HTTP/2 with a client: hyper speaks it. What it does not see to is that a stream whose client takes nothing of its answer
//! comes to an end (spec §9): the connection may be well, and its socket never wait.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::drain::LATE_COMERS;
use super::front::{Body, has_no_body};
use super::head::HEAD_MAX;
use super::service::Service;
use crate::proxy::Broken;
use crate::timer::Timer;
use crate::wire::{Activity, ClientTimes, Incoming, Socket, Timed};

/// What waits on one stream to be taken by its client.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests at once on one connection.
const STREAMS: u32 = 250;
/// What a client may send ahead on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve<F: Future + 'static>(
    socket: Timed<Socket>,
    times: ClientTimes,
    service: Service<F>,
    activity: &Rc<Activity>,
) {
    let did = Rc::new(Cell::new(Did::Nothing));
    let streams = Streams { did: Rc::clone(&did), longest: times.write };
    let answers = service_fn(|request: Request<hyper::body::Incoming>| {
        let is_head = request.method() == Method::HEAD;
        let answering = service.answer(request.map(Incoming::from), activity.begin());
        let did = Rc::clone(&did);
        async move {
            let mut response = answering.await;
            if has_no_body(response.status(), is_head) {
                response.body_mut().head_only();
            }
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, did)))
        }
    });
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(times.idle)
        .serve_connection(TokioIo::new(socket), answers);
    let mut connection = pin!(connection);
    service
        .gate
        .pass(
            &mut connection,
            |connection, cx| connection.as_mut().poll(cx),
            |connection| connection.as_mut().graceful_shutdown(),
            // One that asks for nothing need not answer that it heard us either.
            |_| activity.has_rested(LATE_COMERS),
        )
        .await;
}

/// What the stream that runs just now has done.
#[derive(Clone, Copy)]
enum Did {
    Nothing,
    /// Its answer was asked for more, and has none yet.
    Wait,
    /// Its answer began or went on. It has to end by then.
    Move(Option<Instant>),
}

/// An answer's body that tells what it does: hyper asks it for more only when the client has taken what came before.
struct Watched {
    body: Body,
    deadline: Option<Instant>,
    did: Rc<Cell<Did>>,
}

impl Watched {
    fn new(body: Body, did: Rc<Cell<Did>>) -> Self {
        let deadline = body.deadline();
        did.set(Did::Move(deadline));
        Self { body, deadline, did }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.did.set(if frame.is_pending() { Did::Wait } else { Did::Move(self.deadline) });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the streams of a connection, each in a task of its own. One whose answer has begun and makes no progress for that
/// long is dropped: that resets it.
#[derive(Clone)]
struct Streams {
    did: Rc<Cell<Did>>,
    longest: Duration,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { did, longest } = self.clone();
        spawn_local(async move {
            let mut stream = pin!(stream);
            let (mut timer, mut end) = (Timer::default(), None);
            poll_fn(|cx| {
                did.set(Did::Nothing);
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match did.get() {
                    Did::Nothing => {}
                    Did::Wait => end = None,
                    Did::Move(deadline) => {
                        let silence = Instant::now() + longest;
                        end = Some(deadline.map_or(silence, |deadline| deadline.min(silence)));
                    }
                }
                end.map_or(Poll::Pending, |end| timer.poll(end, cx))
            })
            .await;
        });
    }
}
