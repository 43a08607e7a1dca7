//! A message's body on its way in, whatever it is read from.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::Fault;
use super::chunked::Chunked;

/// How much is read at once, and so ahead of a slow reader.
const READ: usize = 32 * 1024;
/// How much is read at once to where it is kept.
const READ_STRAIGHT: usize = 128 * 1024;
/// The room for pieces grows by so much, so that one that is a little larger than the last has room too.
const STEP: usize = 256;
/// A buffer that grew larger than this for a piece is not kept for the next.
const KEPT: usize = 2048;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What comes on a socket.
pub(crate) struct Receiving<S> {
    pub(crate) socket: S,
    /// What came and is not understood yet: the beginning of a head, or what came with one.
    pub(crate) came: Bytes,
    rest: Remaining,
    trailers: Option<Box<HeaderMap>>,
    /// The next piece of the body, and the room for it.
    piece: BytesMut,
}

/// What is still to come of a body.
pub(crate) enum Remaining {
    Nothing,
    Bytes(u64),
    Chunks(Box<Chunked>),
    UntilEnd,
    /// More, which is not read any more: half a body must not look like a whole one.
    Lost,
}

impl Remaining {
    pub(crate) fn chunks() -> Self {
        Self::Chunks(Box::default())
    }
}

impl<S: AsyncRead + Unpin> Receiving<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, came: Bytes::new(), rest: Remaining::Nothing, trailers: None, piece: BytesMut::new() }
    }

    /// A body begins, of which so much is to come.
    pub(crate) fn expect(&mut self, rest: Remaining) {
        self.rest = rest;
    }

    /// Drops what came. What was still to come of a body is lost.
    pub(crate) fn forget(&mut self) {
        if !self.is_over() {
            self.rest = Remaining::Lost;
        }
        self.came = Bytes::new();
        self.piece.clear();
    }

    /// Whether nothing of the body is still to come or to be taken.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.rest, Remaining::Nothing) && self.piece.is_empty() && self.trailers.is_none()
    }

    /// Whether the body goes on until the connection ends.
    pub(crate) fn is_until_end(&self) -> bool {
        matches!(self.rest, Remaining::UntilEnd)
    }

    /// How much is to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.rest {
            Remaining::Nothing if self.is_over() => SizeHint::with_exact(0),
            Remaining::Bytes(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    /// The next of the body: all that has come of it.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            if let Some(data) = self.take_piece()? {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            if matches!(self.rest, Remaining::Nothing) {
                return Poll::Ready(None);
            }
            match ready!(self.poll_read(cx)) {
                Ok(()) => {}
                Err(Fault::Incomplete) if matches!(self.rest, Remaining::UntilEnd) => {
                    self.rest = Remaining::Nothing;
                }
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
    }

    /// Reads what has come of a body of known length to the end of `whole`, without a copy; `None`: it is none, or was read
    /// otherwise already.
    pub(crate) fn poll_into(
        &mut self,
        whole: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<usize, Fault>>> {
        let Remaining::Bytes(left) = &mut self.rest else { return None };
        if !self.came.is_empty() {
            return None;
        }
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(READ_STRAIGHT);
        whole.reserve(most);
        let mut room = whole.limit(most);
        let Poll::Ready(read) = pin!(self.socket.read_buf(&mut room)).poll(cx) else {
            return Some(Poll::Pending);
        };
        Some(Poll::Ready(match read {
            Ok(0) => Err(Fault::Incomplete),
            Ok(length) => {
                *left -= length as u64;
                if *left == 0 {
                    self.rest = Remaining::Nothing;
                }
                Ok(length)
            }
            Err(error) => Err(error.into()),
        }))
    }

    /// Reads what has come: data into the piece, all else to the end of what came before.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let mut came = buffer.filled();
            if came.is_empty() {
                return Poll::Ready(Err(Fault::Incomplete));
            }
            if let Remaining::Chunks(chunks) = &mut self.rest
                && self.came.is_empty()
            {
                // Without a copy of its own: what frames the data is not worth keeping.
                self.piece.reserve(came.len().next_multiple_of(STEP));
                if chunks.read(&mut came, &mut self.piece)? {
                    self.trailers = chunks.trailers()?;
                    self.rest = Remaining::Nothing;
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
        match &mut self.rest {
            Remaining::Nothing => {}
            Remaining::Bytes(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.came.len());
                *left -= length as u64;
                if *left == 0 {
                    self.rest = Remaining::Nothing;
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
                    self.rest = Remaining::Nothing;
                }
            }
            Remaining::Lost => return Err(Fault::Incomplete),
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
}
