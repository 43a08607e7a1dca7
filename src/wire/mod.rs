//! HTTP/1.1 as it is spoken on both sides: sockets, and messages on their way in and out. Nothing here has a task of its
//! own: whoever waits for a message drives its connection, so that a request lives in one task from end to end, and what
//! arrives together is passed on together (`docs/performance.md` has the figures). A connection that waits holds no
//! buffer: what comes is read into one that a worker's connections share.

mod chunked;
mod fields;
mod frames;
mod head;
mod incoming;
mod receiving;
mod sending;
mod socket;
pub(crate) mod spare;
mod timed;

use std::io;

pub(crate) use self::fields::{Fields, Next};
pub(crate) use self::head::{Asks, first_line, items, number, why};
pub(crate) use self::incoming::Inbound;
pub use self::incoming::Incoming;
pub(crate) use self::receiving::{Receiving, Remaining};
pub(crate) use self::sending::{Length, Sending, write_headers, write_length, write_status};
pub(crate) use self::socket::Socket;
pub(crate) use self::timed::{Activity, ClientSocket, Timed};
pub use self::timed::{ClientTimes, Running};

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It ended before its message did.
    #[error("connection closed before message completed")]
    Incomplete,
    /// The socket failed.
    #[error("connection error")]
    Io(#[from] io::Error),
    /// There was no answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// What came is not HTTP.
    #[error("invalid HTTP: {0}")]
    Invalid(&'static str),
    /// The body of the message that was sent failed.
    #[error("the body failed: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}
