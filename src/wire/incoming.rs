//! A request's body on its way in from its client.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{ClientSocket, Fault, Receiving, Remaining};

/// What a client waits for that asked whether its body is wanted.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request's body.
pub struct Incoming(Kind);

enum Kind {
    /// It came with the head.
    Whole(Bytes),
    Http1(Rc<Inbound>),
    Http2(hyper::body::Incoming),
}

/// What comes from a client on HTTP/1.1, shared between its connection and the body of the request that is running.
pub(crate) struct Inbound {
    receiving: RefCell<Receiving<ClientSocket>>,
    asks: Cell<Asks>,
    /// Whether the body streams through: it is not read while the other side takes nothing of it.
    streams: Cell<bool>,
    /// Who waits for the body's end.
    waiting: Cell<Option<Waker>>,
}

/// Whether a client waits to be told that its body is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asks {
    #[default]
    No,
    Yes,
    /// It is being told.
    Told,
}

impl Inbound {
    pub(crate) fn new(socket: ClientSocket) -> Rc<Self> {
        Rc::new(Self {
            receiving: RefCell::new(Receiving::new(socket)),
            asks: Cell::default(),
            streams: Cell::default(),
            waiting: Cell::default(),
        })
    }

    pub(crate) fn receiving(&self) -> RefMut<'_, Receiving<ClientSocket>> {
        self.receiving.borrow_mut()
    }

    /// The body that a head announces. `asks`: the client waits to be told that it is wanted.
    pub(crate) fn begin(self: &Rc<Self>, rest: Remaining, asks: bool) -> Incoming {
        let mut receiving = self.receiving();
        let rest = match rest {
            Remaining::Nothing => return Incoming(Kind::Whole(Bytes::new())),
            Remaining::Bytes(length) => match usize::try_from(length) {
                Ok(length) if length <= receiving.came.len() => {
                    return Incoming(Kind::Whole(receiving.came.split_to(length)));
                }
                _ => Remaining::Bytes(length),
            },
            rest => rest,
        };
        receiving.expect(rest);
        self.streams.set(false);
        // Who sends it unasked has not waited.
        self.asks.set(if asks && receiving.came.is_empty() { Asks::Yes } else { Asks::No });
        Incoming(Kind::Http1(Rc::clone(self)))
    }

    /// Whether some of the body is still to come or to be taken.
    pub(crate) fn has_rest(&self) -> bool {
        !self.receiving.borrow().is_over()
    }

    /// Whether it streams through.
    pub(crate) fn streams(&self) -> bool {
        self.streams.get()
    }

    /// Whether that is going to be taken.
    pub(crate) fn is_wanted(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1
    }

    /// The client is answered now, and no longer told to send its body. Returns whether it waited for that in vain.
    pub(crate) fn tell_no_more(&self) -> bool {
        self.asks.take() == Asks::Yes
    }

    /// Whether who reads the body sees to what the client is told.
    pub(crate) fn is_telling(&self) -> bool {
        self.asks.get() == Asks::Told
    }

    /// Ready once the body has come to its end, or nobody wants it any more. It may be read in another task.
    pub(crate) fn poll_over(self: &Rc<Self>, cx: &Context<'_>) -> Poll<()> {
        if !self.has_rest() || !self.is_wanted() {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn poll_tell(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.asks.get() == Asks::No {
            return Poll::Ready(Ok(()));
        }
        let socket = self.receiving().socket.clone();
        if self.asks.replace(Asks::Told) == Asks::Yes {
            socket.tell(CONTINUE);
        }
        ready!(socket.poll_tell(cx))?;
        self.asks.set(Asks::No);
        Poll::Ready(Ok(()))
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        ready!(self.poll_tell(cx))?;
        let frame = ready!(self.receiving().poll_frame(cx));
        if !self.has_rest() {
            self.ended();
        }
        Poll::Ready(frame)
    }

    fn ended(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl Incoming {
    /// All of it, if it came with the head and is no longer than that.
    pub(crate) fn take_whole(&mut self, longest: u64) -> Option<Bytes> {
        match &mut self.0 {
            Kind::Whole(bytes) if bytes.len() as u64 <= longest => Some(std::mem::take(bytes)),
            _ => None,
        }
    }
}

impl Incoming {
    /// Its rest streams through.
    pub(crate) fn stream(&self) {
        if let Kind::Http1(inbound) = &self.0 {
            inbound.streams.set(true);
        }
    }

    /// Reads what has come of it to the end of `whole`, if it can be read without a copy.
    pub(crate) fn poll_into(
        &mut self,
        whole: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<usize, Fault>>> {
        let Kind::Http1(inbound) = &self.0 else { return None };
        match inbound.poll_tell(cx) {
            Poll::Pending => return Some(Poll::Pending),
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error.into()))),
            Poll::Ready(Ok(())) => {}
        }
        let read = inbound.receiving().poll_into(whole, cx);
        if !inbound.has_rest() {
            inbound.ended();
        }
        read
    }
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(Kind::Http2(body))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Kind::Http1(inbound) = &self.0 {
            inbound.ended();
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Http1(inbound) => inbound.poll_frame(cx),
            Kind::Http2(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| Fault::Body(error.into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Http1(inbound) => !inbound.has_rest(),
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Http1(inbound) => inbound.receiving.borrow().size_hint(),
            Kind::Http2(body) => body.size_hint(),
        }
    }
}
