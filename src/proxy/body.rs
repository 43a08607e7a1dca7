//! The request's body: kept whole where it can be replayed, streamed through where it is too large for that.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::admission::Room;
use super::headers;
use crate::refusal::Refusal;
use crate::telemetry::counters::End;
use crate::timer::Timer;
use crate::wire::Incoming;

/// How much of a request may be held, how large it may be, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// `MAX_REPLAY_BODY`, in bytes.
    pub replay: u64,
    /// `MAX_REQUEST_BODY`, in bytes.
    pub total: u64,
    /// `SERVER_READ_TIMEOUT`.
    pub read_timeout: Duration,
}

/// Bytes a second below which a body that does arrive is too slow after [`BodyLimits::read_timeout`]: a trickle that
/// holds a place is cut, an honest slow uplink is not.
const SLOWEST: u64 = 1024;

/// A request's body, read.
pub(super) enum RequestBody {
    /// All of it, with its trailers: it can be sent as often as needed.
    Replay(Bytes, Option<Box<HeaderMap>>),
    /// Too large for that: it can be sent once.
    Once(Option<Outgoing>, Rc<Upload>),
}

impl RequestBody {
    /// The body for the next attempt; `None` if it was given away.
    pub(super) fn outgoing(&mut self) -> Option<Outgoing> {
        match self {
            Self::Replay(bytes, trailers) => Some(Outgoing::whole(bytes.clone(), trailers.clone())),
            Self::Once(outgoing, _) => outgoing.take(),
        }
    }

    /// Whether a further attempt can send it (again).
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, Self::Replay(..))
    }

    /// What was wrong with the client's side of a body while it streamed through.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.upload().and_then(|upload| upload.fault())
    }

    /// For how long of the time since then nothing but the upstream was waited for.
    pub(super) fn upstream_had(&self, since: Instant) -> Duration {
        self.upload().map_or_else(|| since.elapsed(), |upload| upload.upstream_had(since))
    }

    /// The client's side of a body that streams through, which may fail later.
    pub(super) fn upload(&self) -> Option<&Rc<Upload>> {
        match self {
            Self::Replay(..) => None,
            Self::Once(_, upload) => Some(upload),
        }
    }

    /// What was read of it; nothing of a body that streams through.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Replay(bytes, _) => bytes,
            Self::Once(..) => &[],
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Replay(bytes, _) if bytes.is_empty())
    }

    /// Its trailers, if it was read to its end and had any.
    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        match self {
            Self::Replay(_, trailers) => trailers.as_deref(),
            Self::Once(..) => None,
        }
    }
}

/// The client's side of a body that streams through.
pub(super) struct Upload {
    /// What is wrong with it, once something is.
    fault: Cell<Option<Fault>>,
    /// Since when it is for the upstream to take more of it, or to answer; not while it is for the client to send more.
    upstreams_turn: Cell<Option<Instant>>,
}

impl Upload {
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// For how long of the time since then nothing but the upstream was waited for.
    pub(super) fn upstream_had(&self, since: Instant) -> Duration {
        self.upstreams_turn.get().map(|at| at.max(since).elapsed()).unwrap_or_default()
    }
}

/// What is wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge { limit: u64 },
    TooSlow { timeout: Duration },
    Broken,
}

impl Fault {
    pub(super) fn refusal(self) -> Refusal {
        let refusal = |status, code, message| Refusal::new(status, code, End::BadRequest, message);
        match self {
            Self::TooLarge { limit } => refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("The request body is larger than {limit} bytes (MAX_REQUEST_BODY)."),
            ),
            Self::TooSlow { timeout } => refusal(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                format!(
                    "The request body did not arrive in time ({} s, SERVER_READ_TIMEOUT).",
                    timeout.as_secs()
                ),
            ),
            Self::Broken => Refusal::bad_request("The request body is malformed or was cut off."),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge { .. } => "the request body is too large",
            Self::TooSlow { .. } => "the request body did not arrive in time",
            Self::Broken => "the request body is malformed or was cut off",
        })
    }
}

impl std::error::Error for Fault {}

/// Reads a body as far as it can be replayed, into the room that there is for bodies.
///
/// # Errors
/// If it is larger than `MAX_REQUEST_BODY`, too slow, or breaks off, or if there is no room for it.
pub(super) async fn read(
    mut incoming: Incoming,
    limits: BodyLimits,
    room: &mut Room,
) -> Result<RequestBody, Refusal> {
    if let Some(whole) = incoming.take_whole(limits.replay.min(limits.total)) {
        room.take(whole.len())?;
        return Ok(RequestBody::Replay(whole, None));
    }
    if incoming.is_end_stream() {
        return Ok(RequestBody::Replay(Bytes::new(), None));
    }
    let declared = incoming.size_hint().exact();
    if declared.is_some_and(|length| length > limits.total) {
        return Err(Fault::TooLarge { limit: limits.total }.refusal());
    }
    let mut reader = Reader::new(incoming, limits);
    if declared.is_some_and(|length| length > limits.replay) {
        return Ok(once(Bytes::new(), reader));
    }
    let mut whole = BytesMut::new();
    while let Some(length) = poll_fn(|cx| reader.poll_more(&mut whole, cx)).await.map_err(Fault::refusal)? {
        room.take(length)?;
        if whole.len() as u64 > limits.replay {
            return Ok(once(whole.freeze(), reader));
        }
    }
    Ok(RequestBody::Replay(whole.freeze(), reader.trailers))
}

fn once(first: Bytes, reader: Reader) -> RequestBody {
    reader.incoming.stream();
    let turn = Cell::new(Some(reader.began));
    let upload = Rc::new(Upload { fault: Cell::default(), upstreams_turn: turn });
    let rest = Box::new(Rest { reader, upload: Rc::clone(&upload) });
    RequestBody::Once(
        Some(Outgoing {
            first: Some(first).filter(|first| !first.is_empty()),
            trailers: None,
            rest: Some(rest),
        }),
        upload,
    )
}

/// The client's body, counted and timed.
struct Reader {
    incoming: Incoming,
    limits: BodyLimits,
    began: Instant,
    progress: Instant,
    received: u64,
    trailers: Option<Box<HeaderMap>>,
    timer: Timer,
}

impl Reader {
    fn new(incoming: Incoming, limits: BodyLimits) -> Self {
        let now = Instant::now();
        Self {
            incoming,
            limits,
            began: now,
            progress: now,
            received: 0,
            trailers: None,
            timer: Timer::default(),
        }
    }

    /// The next of it, at the end of `whole`: how much.
    fn poll_more(
        &mut self,
        whole: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Fault>> {
        match self.incoming.poll_into(whole, cx) {
            Some(Poll::Ready(Ok(length))) => Poll::Ready(self.received(length).map(|()| Some(length))),
            Some(Poll::Ready(Err(_))) => Poll::Ready(Err(Fault::Broken)),
            Some(Poll::Pending) => self.poll_timeout(cx).map(|()| Err(self.too_slow())),
            None => {
                let data = ready!(self.poll_data(cx))?;
                // Copied together: small slices would each pin the whole buffer they were read into.
                whole.extend_from_slice(data.as_deref().unwrap_or_default());
                Poll::Ready(Ok(data.map(|data| data.len())))
            }
        }
    }

    /// So much has come.
    fn received(&mut self, length: usize) -> Result<(), Fault> {
        self.received += length as u64;
        self.progress = Instant::now();
        if self.received > self.limits.total {
            return Err(Fault::TooLarge { limit: self.limits.total });
        }
        Ok(())
    }

    fn too_slow(&self) -> Fault {
        Fault::TooSlow { timeout: self.limits.read_timeout }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Fault::Broken)),
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => {
                    return self.poll_timeout(cx).map(|()| Err(self.too_slow()));
                }
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    let trailers = frame.into_trailers().ok().map(|trailers| headers::of_trailers(&trailers));
                    self.trailers = trailers.filter(|trailers| !trailers.is_empty()).map(Box::new);
                    continue;
                }
            };
            return Poll::Ready(self.received(data.len()).map(|()| Some(data)));
        }
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.limits.read_timeout;
        let earned = Duration::from_secs(self.received / SLOWEST);
        let deadline = (self.progress + timeout).min(self.began + timeout + earned);
        self.timer.poll(deadline, cx)
    }
}

/// A request's body on its way upstream.
pub(super) struct Outgoing {
    first: Option<Bytes>,
    trailers: Option<Box<HeaderMap>>,
    /// Boxed: it is rare, and every request to an upstream moves this type.
    rest: Option<Box<Rest>>,
}

struct Rest {
    reader: Reader,
    upload: Rc<Upload>,
}

impl Outgoing {
    fn whole(bytes: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self { first: Some(bytes).filter(|bytes| !bytes.is_empty()), trailers, rest: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(rest) = &mut this.rest {
            let data = rest.reader.poll_data(cx);
            rest.upload.upstreams_turn.set(data.is_ready().then(Instant::now));
            let data = ready!(data).inspect_err(|fault| rest.upload.fault.set(Some(*fault)));
            if let Some(data) = data.transpose() {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            this.trailers = rest.reader.trailers.take();
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none()
            && self.trailers.is_none()
            && self
                .rest
                .as_ref()
                .is_none_or(|rest| rest.reader.trailers.is_none() && rest.reader.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        match &self.rest {
            // A body of known length has no trailers on HTTP/1.1.
            None if self.trailers.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(first),
            Some(rest) => match rest.reader.incoming.size_hint().exact() {
                Some(length) => SizeHint::with_exact(first + length),
                None => SizeHint::default(),
            },
        }
    }
}
