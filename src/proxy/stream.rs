//! The upstream's body on its way to the client: frames as they come, errors looked after, and an honest end (spec §6).

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Response, Version};
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::attempt::Try;
use super::body::{Outgoing, Upload};
use super::course::Course;
use super::dialect::Dialect;
use super::headers;
use super::kind::Kind;
use super::mask::{Mask, hide_in_trailers};
use super::watch::{Count, Watch, is_event_over};
use crate::keys::{Hider, Lease};
use crate::timer::Timer;
use crate::upstream::client::{Answer, Fault};
use crate::wire;

/// How often a connection is let write before it is cut, so that the client's last word goes out.
const FLUSH_TURNS: u8 = 2;

/// The upstream's body.
#[allow(clippy::struct_excessive_bools, reason = "answers to as many questions")]
pub(super) struct Stream {
    /// What was read of it already.
    pub(super) first: Bytes,
    pub(super) incoming: Answer<Outgoing>,
    pub(super) limits: StreamLimits,
    /// What came after that, if it was read already.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// Takes keys out, where the upstream may have quoted one.
    pub(super) mask: Option<Box<Mask>>,
    /// When the present silence began, if we are waiting.
    silent_since: Option<Instant>,
    /// For how long nothing but the upstream was waited for before that, if it matters.
    waited: Duration,
    timer: Timer,
    /// The request's body, if it streams through.
    upload: Option<Rc<Upload>>,
    /// Looks for errors in it, until one has come.
    watch: Option<Watch>,
    /// Whether it is known to have none.
    pub(super) is_plain: bool,
    /// Whether it is a stream of events that is called otherwise.
    pub(super) is_misnamed: bool,
    /// Hides keys in what follows one, and in trailers.
    hider: Option<Hider>,
    /// Whether what looks like an error is one to be counted.
    count: Option<Box<Count>>,
    /// Whether one has come: passed on, and counted (spec §6).
    pub(super) told_error: bool,
    cut: Option<Box<Cut>>,
    /// What it says of its own course, if there is a way to tell its client that it broke off.
    course: Option<Box<Course>>,
}

/// A stream that broke off: the client was told, if there was a way, and is cut off once it has what came before.
struct Cut {
    /// `None`: all of it had come.
    cause: Option<Broken>,
    /// Turns that are left to the connection to write what the client is told.
    turns: u8,
}

/// What an event stream lacks of the end of an event.
#[cold]
fn ending_of_event(tail: &[u8]) -> &'static [u8] {
    match tail {
        tail if is_event_over(tail) => b"",
        [.., b'\n'] => b"\n",
        // Behind a carriage return a line feed is the same end of a line.
        _ => b"\n\n",
    }
}

/// How long an answer's body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    /// `SERVER_WRITE_TIMEOUT`: the longest silence.
    pub(super) silence: Duration,
    /// The end of `REQUEST_TIMEOUT`, for requests that are not streaming.
    pub(super) deadline: Option<Instant>,
}

impl StreamLimits {
    /// When a silence that begins now has lasted too long.
    pub(super) fn end(self) -> Instant {
        self.end_since(Instant::now())
    }

    /// When one that began then has.
    fn end_since(self, began: Instant) -> Instant {
        let silence = began + self.silence;
        self.deadline.map_or(silence, |deadline| deadline.min(silence))
    }
}

/// What is to come of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// More of it, or nobody knows.
    Something,
    /// All of a known length has come, though its end has not been told yet: HTTP/2 may tell that by itself.
    Untold,
    Nothing,
}

/// Why an answer's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The upstream's connection broke.
    #[error("the upstream broke the answer off: {0}")]
    Upstream(#[from] Fault),
    /// The upstream fell silent, or the time of the whole request was over.
    #[error("the upstream did not finish the answer in time")]
    TimedOut {
        /// For how long nothing but the upstream was waited for.
        waited: Duration,
    },
    /// The upstream ended it properly, but in its middle.
    #[error("the upstream ended the answer in its middle")]
    Unfinished,
}

impl Broken {
    /// Whether it was the client's own body that failed.
    pub(super) fn is_clients(&self) -> bool {
        matches!(self, Self::Upstream(Fault::Http1(wire::Fault::Body(_))))
    }
}

impl Stream {
    pub(super) fn new(incoming: Answer<Outgoing>, limits: StreamLimits) -> Self {
        Self {
            first: Bytes::new(),
            incoming,
            limits,
            trailers: None,
            mask: None,
            silent_since: None,
            waited: Duration::ZERO,
            timer: Timer::default(),
            upload: None,
            watch: None,
            is_plain: false,
            is_misnamed: false,
            hider: None,
            count: None,
            told_error: false,
            cut: None,
            course: None,
        }
    }

    /// Errors in it are looked after, and an event stream's client is told in its own dialect if it breaks off.
    pub(super) fn is_watched(&mut self, kind: Kind, request: &Try, lease: &Lease<'_>) {
        let dialect = Dialect::of_path(request.path());
        self.watch = Watch::over(kind, dialect).filter(|_| self.mask.is_none());
        if self.watch.is_some() && self.hider.is_none() {
            self.hider = Some(lease.hider());
        }
        // After the last byte of a known length there is no place for another word.
        if kind.is_events && kind.is_readable() && self.incoming.size_hint().exact().is_none() {
            self.course = Some(Box::new(self.begin_course(request)));
        }
    }

    /// What is to be known of the course of an event stream that answers this.
    pub(super) fn begin_course(&self, request: &Try) -> Course {
        Course::begin(request.path(), request.infers(), self.incoming.ends_with_connection())
    }

    /// The request's body streams through still. On HTTP/2 it ends the answer too if it fails. The attempt `began` then, and
    /// has taken so long.
    pub(super) fn goes_with(&mut self, upload: Option<&Rc<Upload>>, began: Instant, took: Duration) {
        self.upload = upload.cloned();
        let took = self.silent_since.map_or(took, |since| since.saturating_duration_since(began));
        self.waited = upload.map_or(took, |upload| took.min(upload.upstream_had(began)));
    }

    pub(super) fn has_lost_upload(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.fault().is_some())
    }

    #[inline]
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.cut.is_some() {
            return self.poll_cut(cx);
        }
        let mut frame = ready!(self.poll_upstream(cx));
        if let (Some(watch), Some(Ok(piece))) = (&mut self.watch, &mut frame)
            && let Some(data) = piece.data_mut()
            && watch.finds_error(data, self.hider.as_ref())
        {
            let data = std::mem::take(data);
            self.hide_from(data);
            frame = ready!(self.poll_upstream(cx));
        }
        if let Some(Ok(piece)) = &mut frame {
            if let Some(data) = piece.data_ref() {
                if self.count.as_mut().is_some_and(|count| count.has_error(data)) {
                    (self.told_error, self.count) = (true, None);
                    if let Some(course) = &mut self.course {
                        course.note_error(data);
                    }
                }
            } else if let (Some(hider), Some(trailers)) = (&self.hider, piece.trailers_mut()) {
                hide_in_trailers(hider, trailers);
            }
        }
        match frame {
            Some(Err(cause)) => self.break_off(cx, cause),
            None if self.lacks_end() => self.break_off(cx, Broken::Unfinished),
            frame => {
                if let Some(course) = &mut self.course
                    && let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref())
                {
                    course.follow(data);
                }
                Poll::Ready(frame)
            }
        }
    }

    /// Whether its end has come in its middle. A client that was told an error knows of it.
    fn lacks_end(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.lacks_end())
    }

    /// Lets the connection write what the client is told, and cuts it off.
    #[cold]
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(cut) = self.cut.take_if(|cut| cut.turns == 0) {
            return Poll::Ready(cut.cause.map(Err));
        }
        if let Some(cut) = &mut self.cut {
            cut.turns -= 1;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends an answer that broke off: an event stream in its dialect. What had said that it is over lacks nothing.
    #[cold]
    fn break_off(
        &mut self,
        cx: &mut Context<'_>,
        cause: Broken,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(course) = self.course.take() else {
            self.cut = Some(Box::new(Cut { cause: Some(cause), turns: FLUSH_TURNS }));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let held = self.mask.as_mut().map_or_else(Bytes::new, |mask| mask.rest());
        let tail = [course.tail.as_slice(), &held].concat();
        let mut told = BytesMut::from(&*held);
        // The event that it broke off in ends here.
        told.extend_from_slice(ending_of_event(&tail));
        let cut = if course.is_over(&tail) {
            Cut { cause: None, turns: 0 }
        } else {
            told.extend_from_slice(&course.dialect.error_event(&cause.to_string()));
            Cut { cause: Some(cause), turns: FLUSH_TURNS }
        };
        self.cut = Some(Box::new(cut));
        let told = Some(told).filter(|told| !told.is_empty());
        Poll::Ready(told.map(|told| Ok(Frame::data(told.freeze()))))
    }

    /// Takes keys out of all of it.
    #[cold]
    pub(super) fn hides(&mut self, lease: &Lease<'_>) {
        self.hider = Some(lease.hider());
        let first = std::mem::take(&mut self.first);
        self.hide_from(first);
    }

    /// What looks like an error has come with this piece: from here on keys are taken out.
    #[cold]
    fn hide_from(&mut self, piece: Bytes) {
        self.count = self.watch.take().and_then(|watch| watch.count());
        if let Some(hider) = self.hider.take() {
            let mut mask = Box::new(Mask::new(hider));
            self.first = mask.pass(piece);
            if let Some(trailers) = &mut self.trailers {
                mask.trailers(trailers);
            }
            self.mask = Some(mask);
        }
    }

    #[inline]
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.first.is_empty() && self.trailers.is_none() && self.mask.is_none() {
            return self.poll_incoming(cx);
        }
        self.poll_held(cx)
    }

    /// What was read already, or is read through the mask.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if !self.first.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
            }
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            let frame = ready!(self.poll_incoming(cx));
            let Some(mask) = &mut self.mask else { return Poll::Ready(frame) };
            match frame.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.first = mask.pass(data),
                Some(Err(frame)) => {
                    self.first = mask.rest();
                    self.trailers = frame.into_trailers().ok().map(Box::new);
                    if let Some(trailers) = &mut self.trailers {
                        mask.trailers(trailers);
                    }
                }
                None if mask.holds() > 0 => self.first = mask.rest(),
                None => return Poll::Ready(None),
            }
        }
    }

    #[inline]
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let end = self.silence_ends();
            ready!(self.timer.poll(end, cx));
            return Poll::Ready(Some(Err(self.timed_out())));
        };
        self.has_heard();
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Upstream)))
    }

    #[cold]
    fn timed_out(&self) -> Broken {
        let present = self.silent_since.map(|since| self.upstream_had(since)).unwrap_or_default();
        Broken::TimedOut { waited: self.waited + present }
    }

    fn upstream_had(&self, since: Instant) -> Duration {
        self.upload.as_ref().map_or_else(|| since.elapsed(), |upload| upload.upstream_had(since))
    }

    /// The present silence is over. How long those before it were matters only where all of them have an end.
    #[inline]
    pub(super) fn has_heard(&mut self) {
        if let Some(since) = self.silent_since.take()
            && self.limits.deadline.is_some()
        {
            self.waited += self.upstream_had(since);
        }
    }

    /// When the present silence has lasted too long. If there was none, it begins now.
    pub(super) fn silence_ends(&mut self) -> Instant {
        self.limits.end_since(*self.silent_since.get_or_insert_with(Instant::now))
    }

    pub(super) fn held(&self) -> usize {
        self.mask.as_ref().map_or(0, |mask| mask.holds())
    }

    pub(super) fn left(&self) -> Left {
        let holds =
            !self.first.is_empty() || self.trailers.is_some() || self.cut.is_some() || self.held() > 0;
        match () {
            () if holds => Left::Something,
            () if self.incoming.is_end_stream() && self.lacks_end() => Left::Something,
            () if self.incoming.is_end_stream() => Left::Nothing,
            () if self.incoming.size_hint().exact() == Some(0) => Left::Untold,
            () => Left::Something,
        }
    }

    pub(super) fn is_end(&self) -> bool {
        self.left() == Left::Nothing
    }
}

/// A good answer's head, cleaned, and its body.
pub(super) fn begin(
    response: Response<Answer<Outgoing>>,
    lease: &Lease<'_>,
    limits: StreamLimits,
) -> (Parts, Stream) {
    let (mut parts, incoming) = response.into_parts();
    // Ours, not the upstream's: a body that ends with HTTP/1.0's connection can't be told from one that was cut.
    parts.version = Version::HTTP_11;
    headers::of_answer(&mut parts.headers);
    if parts.status.is_redirection() {
        // `Location` repeats the query that was asked for, and the query may have carried the key.
        headers::redact_keys(&mut parts, |value| lease.redact(value));
    } else {
        headers::redact_keys(&mut parts, |value| lease.redact_plain(value));
    }
    let mut stream = Stream::new(incoming, limits);
    if stream.incoming.may_have_trailers() {
        stream.hider = Some(lease.hider());
    }
    (parts, stream)
}
