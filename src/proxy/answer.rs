//! What a client is answered with: an upstream's body, or a few bytes of our own, and what is done when it ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::ending::Ending;
use super::stream::{Broken, Left, Stream};
use super::upgrade::{Tunnel, Upgraded};

/// How long the end of an answer may take of which all has come.
const END: Duration = Duration::from_secs(1);

/// An answer's body. The request ends with it: with its last byte, or when it is dropped before that. Boxed: it goes
/// through many hands, and as a part of a large future.
pub struct Body(Box<Content>);

struct Content {
    payload: Payload,
    ending: Option<Ending>,
    /// Whether all of it was taken. It is counted then; what else there is to do at a request's end is done once it has been
    /// sent, too.
    is_over: bool,
}

/// What an answer's body is made of.
#[allow(clippy::large_enum_variant, reason = "it is boxed in a `Body`, and nearly always a stream")]
pub(super) enum Payload {
    /// Bytes that are all there.
    Whole(Bytes),
    /// The upstream's body.
    Stream(Stream),
    /// No body: the connection goes on as another protocol.
    Tunnel(Upgraded),
}

impl Body {
    pub(super) fn new(payload: Payload, ending: Ending) -> Self {
        let mut body = Self(Box::new(Content { payload, ending: Some(ending), is_over: false }));
        if body.is_end() && !matches!(body.0.payload, Payload::Tunnel(_)) {
            body.finish();
        }
        body
    }

    /// The answer ends with its head: what there would be to say of ours is not waited for.
    pub fn head_only(&mut self) {
        if !self.is_end() {
            self.hear_the_end();
            self.finish();
        }
    }

    /// Whether it is a stream of events that is called otherwise: what is done to bodies of that name is not done to it.
    pub fn is_misnamed(&self) -> bool {
        matches!(&self.0.payload, Payload::Stream(stream) if stream.is_misnamed)
    }

    /// When it has to have ended, if it has to.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.0.payload {
            Payload::Stream(stream) => stream.limits.deadline,
            Payload::Whole(_) | Payload::Tunnel(_) => None,
        }
    }

    /// What the connection goes on as after a 101: the request ends with that.
    pub fn take_tunnel(&mut self) -> Option<Tunnel> {
        match std::mem::replace(&mut self.0.payload, Payload::Whole(Bytes::new())) {
            Payload::Tunnel(upstream) => Some(Tunnel::new(upstream, Box::new(self.0.ending.take()?))),
            payload => {
                self.0.payload = payload;
                None
            }
        }
    }

    /// The answer has ended as it should.
    fn finish(&mut self) {
        self.0.is_over = true;
        if let Some(ending) = &mut self.0.ending {
            ending.count();
        }
    }

    /// Lets the end come, for a moment: without it the upstream would be told that the rest is not wanted.
    #[cold]
    fn hear_the_end(&mut self) {
        if let Payload::Stream(mut stream) =
            std::mem::replace(&mut self.0.payload, Payload::Whole(Bytes::new()))
        {
            spawn_local(timeout(END, async move { stream.incoming.frame().await.is_some() }));
        }
    }

    fn left(&self) -> Left {
        match &self.0.payload {
            Payload::Whole(bytes) if !bytes.is_empty() => Left::Something,
            Payload::Stream(stream) => stream.left(),
            Payload::Whole(_) | Payload::Tunnel(_) => Left::Nothing,
        }
    }

    fn is_end(&self) -> bool {
        self.left() == Left::Nothing
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let frame = match &mut this.0.payload {
            Payload::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Payload::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Payload::Stream(stream) => stream.poll_frame(cx),
            Payload::Tunnel(_) => Poll::Ready(None),
        };
        match &frame {
            Poll::Pending => {}
            Poll::Ready(None) if matches!(this.0.payload, Payload::Tunnel(_)) => {}
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Ok(frame))) => {
                let content = &mut *this.0;
                if let (Some(ending), Some(data)) = (&mut content.ending, frame.data_ref()) {
                    ending.sent(data);
                    if matches!(&content.payload, Payload::Stream(stream) if stream.told_error) {
                        ending.told_error();
                    }
                }
                // Nobody asks again after the last frame of a body whose end is known.
                match this.left() {
                    Left::Something => {}
                    Left::Nothing => this.finish(),
                    Left::Untold => {
                        this.hear_the_end();
                        this.finish();
                    }
                }
            }
            Poll::Ready(Some(Err(why))) => {
                if let Some(mut ending) = this.0.ending.take() {
                    // Half a request is nobody's fault but its client's.
                    let is_clients = why.is_clients()
                        || matches!(&this.0.payload, Payload::Stream(stream) if stream.has_lost_upload());
                    if is_clients { ending.abandoned() } else { ending.broken(why) }
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.payload {
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Tunnel(_) => SizeHint::with_exact(0),
            Payload::Stream(stream) => {
                let (hint, first) =
                    (stream.incoming.size_hint(), (stream.first.len() + stream.held()) as u64);
                hint.exact().map_or_else(SizeHint::default, |length| SizeHint::with_exact(first + length))
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(ending) = &mut self.0.ending
            && !self.0.is_over
        {
            ending.abandoned();
        }
    }
}
