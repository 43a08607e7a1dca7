//! Whatever a stream begins with and however it is cut, the scanner says the same: one byte of the piece's length, then
//! the stream.

use std::time::SystemTime;

use gpt_load::verdict::{First, FirstEvent, InBody, judge_in_stream};
use http::HeaderMap;

/// What a stream that comes in pieces of so many bytes begins with.
pub(super) fn first(stream: &[u8], piece: usize) -> First {
    let mut first = FirstEvent::of_answer(true);
    for piece in stream.chunks(piece) {
        let seen = first.feed(piece);
        if seen != First::Undecided {
            return seen;
        }
    }
    first.finish()
}

pub(super) fn check(input: &[u8]) {
    let [piece, stream @ ..] = input else { return };
    let whole = first(stream, stream.len().max(1));
    assert_eq!(first(stream, usize::from(*piece).max(1)), whole);
    InBody::of(stream);
    judge_in_stream(&HeaderMap::new(), stream, None, SystemTime::UNIX_EPOCH);
}
