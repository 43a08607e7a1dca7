//! An answer's body: frames at a pace, with the ending that the play wants.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::answers::Script;
use crate::seen::Watch;
use crate::wire::{Takeover, Wire};

/// Between the last frame and a cut, so that what was given is on the wire.
const BEFORE_CUT: Duration = Duration::from_millis(10);

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Well,
    Cut,
    Reset,
}

/// The connection or stream is broken off on purpose.
#[derive(Debug)]
pub(crate) struct Severed;

impl std::fmt::Display for Severed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("severed on purpose")
    }
}

impl std::error::Error for Severed {}

/// The body of an answer.
pub(crate) struct Body {
    frames: Arc<[Bytes]>,
    next: usize,
    /// No frame from this one on is given.
    stop: usize,
    ends: Ends,
    /// What the head promises; more than is given if the answer is cut.
    length: Option<u64>,
    pace: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
    wire: Arc<Wire>,
    watch: Arc<Watch>,
}

impl Body {
    pub(crate) fn new(script: &Script, pace: Duration, wire: Arc<Wire>, watch: Arc<Watch>) -> Self {
        let frames = Arc::clone(&script.frames);
        let length = script.whole.then(|| frames.iter().map(|frame| frame.len() as u64).sum());
        let stop = frames.len();
        if length == Some(0) {
            watch.done();
        }
        Self {
            frames,
            next: 0,
            stop,
            ends: Ends::Well,
            length,
            pace,
            sleep: None,
            trailers: None,
            wire,
            watch,
        }
    }

    /// The body ends after `frames` frames; one that has only one is halved if it is to end in the middle.
    pub(crate) fn ending(mut self, frames: usize, ends: Ends) -> Self {
        if let [whole] = &*self.frames
            && frames > 0
        {
            let half = whole.len() / 2;
            self.frames = Arc::new([whole.slice(..half), whole.slice(half..)]);
            self.stop = 1;
        } else {
            self.stop = frames.min(self.frames.len());
        }
        self.ends = ends;
        self
    }

    pub(crate) fn trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = (!trailers.is_empty()).then_some(trailers);
        self
    }

    /// How many frames there are in all.
    pub(crate) fn frames(&self) -> usize {
        self.frames.len()
    }

    fn poll_pause(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.sleep.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(pause.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Severed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        if self.next < self.stop {
            if self.next > 0 && !self.pace.is_zero() {
                let pace = self.pace;
                ready!(self.poll_pause(pace, cx));
            }
            let frame = self.frames[self.next].clone();
            self.next += 1;
            if self.next == self.stop && self.ends == Ends::Well && self.trailers.is_none() {
                self.watch.done();
            }
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.ends == Ends::Well {
            self.watch.done();
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        ready!(self.poll_pause(BEFORE_CUT, cx));
        self.watch.done();
        match self.ends {
            Ends::Reset => self.wire.take(Takeover::Reset),
            _ if self.wire.http2 => return Poll::Ready(Some(Err(Severed))),
            _ => self.wire.take(Takeover::Cut),
        }
        // The connection is on its way out of hyper's hands.
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.stop && self.ends == Ends::Well && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) if self.next == 0 => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
