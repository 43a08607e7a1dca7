//! An answer's head on its way to the client, and how its body is framed.

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderName, Response, StatusCode};
use http_body::Body as _;

use crate::server::front::{Body, has_no_body};
use crate::wire::{Asks, Length, Sending, number, spare, write_length, write_status};

/// What a request says of its answer.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four answers to four questions")]
pub(super) struct Framed {
    /// Of HTTP/1.0.
    pub(super) is_old: bool,
    /// Only the head is asked for.
    pub(super) is_head: bool,
    pub(super) takes_trailers: bool,
    /// Whether the connection is to go on after it.
    pub(super) lasts: bool,
}

/// Begins to send an answer. Returns whether the connection goes on after it, and whether its end is the answer's.
pub(super) fn begin(
    sending: &mut Sending<Body>,
    response: Response<Body>,
    framed: Framed,
    lasts: bool,
) -> (bool, bool) {
    let (parts, mut body) = response.into_parts();
    let headers = &parts.headers;
    let is_switch = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let has_no_body = has_no_body(parts.status, framed.is_head);
    // RFC 9110 §8.6: of the answers without a body, those that stand for one may tell its length.
    let may_tell_length = parts.status == StatusCode::NOT_MODIFIED
        || framed.is_head && !parts.status.is_informational() && parts.status != StatusCode::NO_CONTENT;
    let declared = || headers.get(CONTENT_LENGTH).and_then(|length| number(length.as_bytes()));
    let length = if has_no_body {
        Length::Known(0)
    } else {
        match body.size_hint().exact().or_else(declared) {
            Some(length) => Length::Known(length),
            None if framed.is_old => Length::UntilEnd,
            None => Length::Chunked,
        }
    };
    let trailer = framed.takes_trailers.then(|| headers.get_all(TRAILER)).into_iter().flatten();
    if length == Length::Known(0) {
        body.head_only();
    }
    let out = sending.begin(length, trailer, Some(body).filter(|_| !has_no_body));
    write_status(out, &parts, framed.is_old);
    let (mut has_date, mut asks) = (false, Asks::default());
    for (name, value) in headers {
        match *name {
            TRANSFER_ENCODING => continue,
            CONNECTION if !is_switch => {
                asks.hear(value);
                continue;
            }
            CONTENT_LENGTH if !has_no_body || !may_tell_length => continue,
            DATE => has_date = true,
            _ => {}
        }
        write_header(out, name, value.as_bytes());
    }
    let lasts = lasts && length != Length::UntilEnd && asks.lasts(false);
    match length {
        Length::Known(length) if !has_no_body => write_length(out, length),
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::Known(_) | Length::UntilEnd => {}
    }
    if !is_switch && lasts == framed.is_old {
        out.extend_from_slice(if lasts { b"connection: keep-alive\r\n" } else { b"connection: close\r\n" });
    }
    if !has_date {
        write_header(out, &DATE, &now());
    }
    out.extend_from_slice(b"\r\n");
    spare::give(parts.headers);
    (lasts, length == Length::UntilEnd)
}

fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.reserve(name.as_str().len() + value.len() + 4);
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A date as HTTP writes it.
type Written = [u8; 29];

/// The time, written once a second.
fn now() -> Written {
    thread_local! {
        static LAST: Cell<(u64, Written)> = const { Cell::new((u64::MAX, [b' '; 29])) };
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (second, mut written) = LAST.get();
    if second != seconds {
        let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
        let _ = write!(&mut written[..], "{date}");
        LAST.set((seconds, written));
    }
    written
}
