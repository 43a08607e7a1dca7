//! Errors inside a 200 (spec §6): an answer is looked at before the client sees any of it. An event stream is held until
//! its first event, a short JSON body until it is whole; everything else goes on at once.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::attempt::Try;
use super::headers;
use super::kind::{Json, Kind};
use super::stream::{Broken, Stream};
use super::watch::has_error;
use crate::keys::Lease;
use crate::rare::rare;
use crate::upstream::connect::chain;
use crate::verdict::{First, FirstEvent, InBody, LONGEST_ENVELOPE, behind_mark, decoded};

/// How long comments and pings before the first event are held, and a JSON body that comes in pieces.
const HELD: Duration = Duration::from_secs(5);
/// How much of them.
const HELD_MAX: usize = 64 * 1024;
/// A longer encoded one is not decoded: that costs more than it finds.
const ENCODED_MAX: u64 = 1024;
/// How often it is decoded as it comes, whatever has come.
const LOOKS: u32 = 32;

/// What an answer with a good status begins with.
pub(super) enum Beginning {
    /// What was asked for, as far as can be told.
    Healthy,
    /// An error, to be judged.
    Error(Vec<u8>),
    /// Nothing: it broke off before its first event.
    Broken {
        /// It took too long.
        timed_out: bool,
        /// For the log.
        error: String,
    },
}

/// Looks at the beginning of an answer; what was read of it stays in the stream, and `kind` is what it turns out to be.
///
/// # Cancel safety
/// Dropping it loses what was read: only together with the stream.
pub(super) async fn look(
    parts: &mut Parts,
    kind: &mut Kind,
    stream: &mut Stream,
    request: &Try,
    lease: &Lease<'_>,
) -> Beginning {
    if parts.status.is_redirection() {
        return rare(redirected(parts, *kind, stream, lease)).await;
    }
    let is_answer = parts.status == StatusCode::OK
        || matches!(parts.status, StatusCode::CREATED | StatusCode::ACCEPTED) && request.infers();
    if !is_answer {
        return Beginning::Healthy;
    }
    if stream.is_end() {
        return without_body(parts, *kind, request);
    }
    if kind.is_encoded {
        return rare(encoded(parts, *kind, stream, request, lease)).await;
    }
    if kind.is_events {
        return rare(first_event(stream, request)).await;
    }
    let may_be_envelope = request.harmless
        && kind.json != Json::No
        && stream.incoming.size_hint().upper().is_none_or(|length| length <= LONGEST_ENVELOPE as u64);
    if !may_be_envelope {
        return Beginning::Healthy;
    }
    // Nearly always it came with the head, in one piece, and there is nothing to wait for.
    let came = poll_fn(|cx| match Pin::new(&mut stream.incoming).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    });
    let mut by = None;
    let came = if let Some(frame) = came.await {
        Ok(frame)
    } else if !request.wants_no_error() {
        return Beginning::Healthy;
    } else {
        let end = *by.insert(stream.silence_ends().min(Instant::now() + HELD));
        rare(timeout_at(end, stream.incoming.frame())).await
    };
    match came {
        Ok(Some(Ok(frame))) => stream.hold(frame),
        Ok(None) => return without_body(parts, *kind, request),
        Err(_) => return Beginning::Healthy,
        Ok(Some(Err(error))) => return Beginning::Broken { timed_out: false, error: chain(&error) },
    }
    if request.may_stream() && begins_events(&stream.first) {
        return rare(first_event_of_misnamed(stream, kind, request)).await;
    }
    if !stream.incoming.is_end_stream() {
        if !request.wants_no_error() || !InBody::may_begin(&stream.first, kind.json == Json::Page) {
            return Beginning::Healthy;
        }
        let by = by.unwrap_or_else(|| stream.silence_ends().min(Instant::now() + HELD));
        return rare(envelope(parts, stream, kind, by, request, lease)).await;
    }
    of_whole(parts, stream, *kind, request, lease)
}

/// Whether it is a stream of events, whatever it is called: no JSON begins so.
fn begins_events(text: &[u8]) -> bool {
    if matches!(text, [b'{' | b'[', ..]) {
        return false;
    }
    let text = behind_mark(text).trim_ascii_start();
    [&b":"[..], b"data:", b"event:", b"id:", b"retry:"].iter().any(|begins| text.starts_with(begins))
}

async fn first_event_of_misnamed(stream: &mut Stream, kind: &mut Kind, request: &Try) -> Beginning {
    (kind.is_events, stream.is_misnamed) = (true, true);
    stream.limits.deadline = None;
    first_event(stream, request).await
}

/// What a whole JSON body is.
fn of_whole(parts: &Parts, stream: &mut Stream, kind: Kind, request: &Try, lease: &Lease<'_>) -> Beginning {
    let Some(found) = InBody::if_marked(&stream.first) else {
        if stream.first.is_empty() {
            return without_body(parts, kind, request);
        }
        stream.is_plain = true;
        return Beginning::Healthy;
    };
    if !found.is_no_answer(kind.json == Json::Page) {
        return Beginning::Healthy;
    }
    if request.wants_no_error() {
        return Beginning::Error(stream.first.to_vec());
    }
    stream.hides(lease);
    Beginning::Healthy
}

/// An answer without a body, which may be all that was asked for.
#[cold]
fn without_body(parts: &Parts, kind: Kind, request: &Try) -> Beginning {
    if kind.is_events {
        return without_event(request);
    }
    let is_nameless = || !parts.headers.contains_key(CONTENT_TYPE);
    let error = match () {
        () if !request.infers() => return Beginning::Healthy,
        // AWS' firewall wants to know whether a browser asks, and has the good status 202 for that.
        () if parts.headers.contains_key("x-amzn-waf-action") => {
            "a firewall asks for a browser instead of an answer"
        }
        // A text may be empty: nothing was said.
        () if parts.status == StatusCode::OK && (kind.json == Json::Yes || is_nameless()) => {
            "the answer is empty"
        }
        () => return Beginning::Healthy,
    };
    Beginning::Broken { timed_out: false, error: error.to_owned() }
}

/// The page that comes with a redirect repeats where it leads: the query may have carried the key.
async fn redirected(parts: &mut Parts, kind: Kind, stream: &mut Stream, lease: &Lease<'_>) -> Beginning {
    if !kind.is_encoded {
        stream.hides(lease);
        return Beginning::Healthy;
    }
    let by = stream.limits.end().min(Instant::now() + HELD);
    while !stream.incoming.is_end_stream() {
        match timeout_at(by, stream.incoming.frame()).await {
            Ok(Some(Ok(frame))) if stream.first.len() < HELD_MAX => stream.hold(frame),
            Ok(None) => break,
            Ok(_) | Err(_) => {
                let error = "the page of a redirect can't be looked through".to_owned();
                return Beginning::Broken { timed_out: false, error };
            }
        }
    }
    stream.hide_in_encoded(parts, lease);
    Beginning::Healthy
}

/// An event stream that has ended without an event: whoever asked a model for something has no answer, and nothing was
/// sent yet. Others, who follow what goes on elsewhere, may come when all is over.
fn without_event(request: &Try) -> Beginning {
    if request.infers() {
        let error = "the event stream ended without an event".to_owned();
        Beginning::Broken { timed_out: false, error }
    } else {
        Beginning::Healthy
    }
}

fn without_event_in_time() -> Beginning {
    Beginning::Broken { timed_out: true, error: "no event in time".to_owned() }
}

/// An encoded answer is only looked into where it is short and comes whole: an error's envelope does, or a stream that is
/// nothing but an error. What has come of it tells, as in a plain one, whether it may be one.
async fn encoded(
    parts: &mut Parts,
    kind: Kind,
    stream: &mut Stream,
    request: &Try,
    lease: &Lease<'_>,
) -> Beginning {
    let is_short = stream.incoming.size_hint().upper().is_none_or(|length| length <= ENCODED_MAX);
    if !is_short || !(kind.is_events || request.wants_no_error() && kind.json != Json::No) {
        return Beginning::Healthy;
    }
    let held = |stream: &Stream| stream.limits.end().min(Instant::now() + HELD);
    // Before its first byte a stream may be silent as long as any.
    let mut is_silent = kind.is_events;
    let mut by = if is_silent { stream.limits.end() } else { held(stream) };
    let (mut looks, mut looked_at) = (0, 0);
    while stream.first.len() as u64 <= ENCODED_MAX && !stream.incoming.is_end_stream() {
        match timeout_at(by, stream.incoming.frame()).await {
            Ok(Some(Ok(frame))) => stream.hold(frame),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Beginning::Broken { timed_out: false, error: chain(&error) },
            Err(_elapsed) if is_silent => return without_event_in_time(),
            Err(_elapsed) => return Beginning::Healthy,
        }
        if is_silent && !stream.first.is_empty() {
            (is_silent, by) = (false, held(stream));
        }
        let came = stream.first.len();
        if !stream.incoming.is_end_stream() && is_due(looks, looked_at, came) {
            (looks, looked_at) = (looks + 1, came);
            if !may_be_error(&decoded(&parts.headers, &stream.first), kind, request) {
                return Beginning::Healthy;
            }
        }
    }
    if !stream.incoming.is_end_stream() {
        return Beginning::Healthy;
    }
    if stream.first.is_empty() {
        return without_body(parts, kind, request);
    }
    let plain = decoded(&parts.headers, &stream.first).into_owned();
    let error = if kind.is_events {
        let mut scanner = FirstEvent::of_answer(request.infers());
        match scanner.feed(&plain) {
            First::Undecided => scanner.finish(),
            first => first,
        }
    } else if InBody::of(&plain).is_no_answer(kind.json == Json::Page) {
        First::Error(plain.clone())
    } else {
        First::Healthy
    };
    if let First::Error(error) = error {
        return Beginning::Error(error);
    }
    // A later event, or a job's error.
    if has_error(&plain) {
        stream.hide_in_encoded(parts, lease);
    }
    Beginning::Healthy
}

/// Whether to decode anew all that has come: after every piece, but not for as long as it comes byte by byte.
fn is_due(looks: u32, looked_at: usize, came: usize) -> bool {
    looks < LOOKS || came >= looked_at * 2
}

fn may_be_error(so_far: &[u8], kind: Kind, request: &Try) -> bool {
    if kind.is_events {
        FirstEvent::of_answer(request.infers()).feed(so_far) != First::Healthy
    } else {
        InBody::may_begin(so_far, kind.json == Json::Page)
    }
}

async fn envelope(
    parts: &Parts,
    stream: &mut Stream,
    kind: &mut Kind,
    by: Instant,
    request: &Try,
    lease: &Lease<'_>,
) -> Beginning {
    while stream.first.len() <= LONGEST_ENVELOPE && !stream.incoming.is_end_stream() {
        match timeout_at(by, stream.incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                stream.hold(frame);
                if request.may_stream() && begins_events(&stream.first) {
                    return first_event_of_misnamed(stream, kind, request).await;
                }
                if !InBody::may_begin(&stream.first, kind.json == Json::Page) {
                    return Beginning::Healthy;
                }
            }
            Ok(Some(Err(error))) => return Beginning::Broken { timed_out: false, error: chain(&error) },
            Ok(None) => break,
            Err(_elapsed) => return Beginning::Healthy,
        }
    }
    of_whole(parts, stream, *kind, request, lease)
}

async fn first_event(stream: &mut Stream, request: &Try) -> Beginning {
    let mut scanner = FirstEvent::of_answer(request.infers());
    let mut first = if stream.first.is_empty() { First::Undecided } else { scanner.feed(&stream.first) };
    // Before the first byte it may be silent as long as any stream.
    let mut by = stream.limits.end();
    let mut is_silent = true;
    while first == First::Undecided && stream.first.len() <= HELD_MAX {
        if is_silent && !stream.first.is_empty() {
            is_silent = false;
            by = stream.limits.end().min(Instant::now() + HELD);
        }
        match timeout_at(by, stream.incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    first = scanner.feed(data);
                }
                stream.hold(frame);
            }
            Ok(Some(Err(error))) => return Beginning::Broken { timed_out: false, error: chain(&error) },
            Ok(None) => {
                first = scanner.finish();
                if first == First::Undecided {
                    return without_event(request);
                }
                let mut course = stream.begin_course(request);
                course.follow(&stream.first);
                if first == First::Healthy && course.lacks_end() {
                    return Beginning::Broken { timed_out: false, error: Broken::Unfinished.to_string() };
                }
                break;
            }
            Err(_elapsed) if is_silent => return without_event_in_time(),
            Err(_elapsed) => break,
        }
    }
    match first {
        First::Error(error) => Beginning::Error(error),
        First::Healthy | First::Undecided => Beginning::Healthy,
    }
}

impl Stream {
    /// Takes keys out of an encoded body that has come whole, which is decoded if there are any.
    #[cold]
    pub(super) fn hide_in_encoded(&mut self, parts: &mut Parts, lease: &Lease<'_>) {
        if let Cow::Owned(plain) = decoded(&parts.headers, &self.first)
            && let Some(hidden) = lease.redact(&plain)
        {
            headers::of_plain_text(&mut parts.headers, hidden.len());
            self.first = hidden.into();
        }
    }

    /// Keeps a frame for later.
    fn hold(&mut self, frame: http_body::Frame<Bytes>) {
        self.has_heard();
        match frame.into_data() {
            Ok(data) if self.first.is_empty() => self.first = data,
            Ok(data) => {
                // Only the first piece is copied: what is ours alone grows where it is.
                let mut held: BytesMut = std::mem::take(&mut self.first).into();
                held.extend_from_slice(&data);
                self.first = held.freeze();
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_answer_is_decoded_after_every_piece_but_not_after_every_byte() {
        let looks = |pieces: usize, length: usize| {
            let (mut looks, mut looked_at) = (0, 0);
            for came in (1..=pieces).map(|piece| piece * length) {
                if is_due(looks, looked_at, came) {
                    (looks, looked_at) = (looks + 1, came);
                }
            }
            looks
        };
        assert_eq!(looks(30, 34), 30);
        assert_eq!(looks(1024, 1), LOOKS + 5);
    }
}
