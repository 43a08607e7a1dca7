//! Compressing answers for clients that accept it (spec §11), without holding anything back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::Level;
use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncWrite;

/// A shorter answer gains nothing.
const SHORTEST: u64 = 1024;
/// Compressed bytes that leave together at most.
const CHUNK: usize = 16 * 1024;

/// Whether the client takes gzip (RFC 9110 §12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.as_bytes().split(|byte| *byte == b',') {
            let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let refused = parts.any(is_zero_weight);
            if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                // What is named counts more than what `*` covers.
                return !refused;
            }
            any |= coding == b"*" && !refused;
        }
    }
    any
}

/// `q=0`, `q=0.000`.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some((name, weight)) = parameter.split_at_checked(2) else { return false };
    name.eq_ignore_ascii_case(b"q=")
        && !weight.is_empty()
        && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether an answer is worth compressing, and may be.
pub fn should_compress(status: StatusCode, headers: &HeaderMap, size: &SizeHint, method: &Method) -> bool {
    let has_body = method != Method::HEAD
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    has_body
        && size.upper().is_none_or(|length| length >= SHORTEST)
        && !headers.contains_key(CONTENT_ENCODING)
        && headers.get(CONTENT_TYPE).is_some_and(is_compressible)
        // RFC 9111 §5.2.2.6.
        && !headers.get_all(CACHE_CONTROL).iter().any(|value| contains(value, b"no-transform"))
}

fn is_compressible(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else { return false };
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.split_once('/') {
        // Its events must leave one by one.
        Some(("text", "event-stream")) => false,
        Some(("text", _) | ("image", "svg+xml")) => true,
        Some(("application", kind)) => {
            matches!(
                kind,
                "json" | "javascript" | "xml" | "x-ndjson" | "ndjson" | "jsonl" | "jsonlines" | "yaml"
            ) || kind.ends_with("+json")
                || kind.ends_with("+xml")
        }
        _ => false,
    }
}

fn contains(value: &HeaderValue, token: &[u8]) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Changes an answer's head to say that its body is compressed.
pub fn announce(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    if !headers.get_all(VARY).iter().any(|value| contains(value, b"accept-encoding") || contains(value, b"*"))
    {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    // Another representation than the one the tag was made for, byte by byte (RFC 9110 §8.8.1).
    if let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, weak);
    }
}

/// A body, compressed. What has come is flushed before it waits for more, so a paced answer keeps its pace.
pub struct Gzip<B> {
    inner: B,
    encoder: GzipEncoder<Vec<u8>>,
    stage: Stage,
    /// Whether the encoder holds what has not been flushed.
    holds: bool,
    /// What of the inner body's frame has not been taken in.
    input: Bytes,
}

enum Stage {
    Body,
    /// The compressed stream is ended; then these trailers come.
    Ending(Option<HeaderMap>),
    Ended,
}

impl<B> Gzip<B> {
    /// Compresses a body fast rather than small: it is on a request's way.
    pub fn new(inner: B) -> Self {
        let encoder = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
        Self { inner, encoder, stage: Stage::Body, holds: false, input: Bytes::new() }
    }

    /// What is compressed.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    fn take_output(&mut self) -> Option<Bytes> {
        let output = std::mem::take(self.encoder.get_mut());
        (!output.is_empty()).then(|| Bytes::from(output))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Gzip<B> {
    /// Takes in more of the body. Returns whether there is something to send on.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>> {
        while self.encoder.get_ref().len() < CHUNK {
            if !self.input.is_empty() {
                // Into memory: it neither waits nor fails.
                let taken = Pin::new(&mut self.encoder).poll_write(cx, &self.input);
                let taken = if let Poll::Ready(Ok(taken)) = taken { taken } else { self.input.len() };
                drop(self.input.split_to(taken));
                self.holds = true;
                continue;
            }
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.input = data,
                    Err(frame) => {
                        self.stage = Stage::Ending(frame.into_trailers().ok());
                        return Poll::Ready(Ok(()));
                    }
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => {
                    self.stage = Stage::Ending(None);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if self.holds => {
                    let _ = Pin::new(&mut self.encoder).poll_flush(cx);
                    self.holds = false;
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Gzip<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Ending(trailers) => {
                    let trailers = trailers.take();
                    let _ = Pin::new(&mut this.encoder).poll_shutdown(cx);
                    if let Some(output) = this.take_output() {
                        this.stage = Stage::Ending(trailers);
                        return Poll::Ready(Some(Ok(Frame::data(output))));
                    }
                    this.stage = Stage::Ended;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Stage::Body => {
                    if let Err(error) = ready!(this.poll_body(cx)) {
                        // An error must stay one: a stream that ends well would pass for the whole answer.
                        this.stage = Stage::Ended;
                        return Poll::Ready(Some(Err(error)));
                    }
                    if let Some(output) = this.take_output() {
                        return Poll::Ready(Some(Ok(Frame::data(output))));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Read as _;
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// Gives its steps one by one; `None` means "not yet".
    struct Script(VecDeque<Option<Result<Frame<Bytes>, &'static str>>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(Some(step)) => Poll::Ready(Some(step)),
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a step of the script")]
    fn data(bytes: impl Into<Bytes>) -> Option<Result<Frame<Bytes>, &'static str>> {
        Some(Ok(Frame::data(bytes.into())))
    }

    fn next(body: &mut Gzip<Script>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn whole(mut body: Gzip<Script>) -> Vec<u8> {
        let mut compressed = Vec::new();
        loop {
            match next(&mut body) {
                Poll::Pending => {}
                Poll::Ready(None) => return compressed,
                Poll::Ready(Some(frame)) => {
                    compressed.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
            }
        }
    }

    fn decompressed(compressed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        // Without its trailer a stream is cut off: what has come must be readable all the same.
        let _ = flate2::read::GzDecoder::new(compressed).read_to_end(&mut text);
        text
    }

    proptest! {
        #[test]
        fn whatever_the_frames_the_text_survives(
            frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5_000), any::<bool>()), 0..20)
        ) {
            let text: Vec<u8> = frames.iter().flat_map(|(frame, _)| frame.clone()).collect();
            let steps = frames.into_iter().flat_map(|(frame, waits)| [data(frame)].into_iter().chain(waits.then_some(None)));
            let compressed = whole(Gzip::new(Script(steps.collect())));
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&*compressed).read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, text);
        }
    }

    #[test]
    fn what_has_come_leaves_before_it_waits_for_more() {
        let mut body = Gzip::new(Script([data("first"), None, data("second"), None].into()));
        let mut compressed = Vec::new();
        for want in ["first", "firstsecond"] {
            let Poll::Ready(Some(Ok(frame))) = next(&mut body) else { panic!("held back") };
            compressed.extend_from_slice(&frame.into_data().unwrap());
            assert_eq!(decompressed(&compressed), want.as_bytes());
        }
    }

    #[test]
    fn an_error_stays_an_error() {
        let mut body = Gzip::new(Script([data("half"), None, Some(Err("broken"))].into()));
        assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(next(&mut body), Poll::Ready(Some(Err("broken")))));
    }

    #[test]
    fn trailers_survive() {
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
        let steps = [data("text"), Some(Ok(Frame::trailers(trailers.clone())))];
        let mut body = Gzip::new(Script(steps.into()));
        let mut last = None;
        while let Poll::Ready(Some(frame)) = next(&mut body) {
            last = Some(frame.unwrap());
        }
        assert_eq!(last.unwrap().into_trailers().unwrap(), trailers);
    }

    #[test]
    fn clients_say_what_they_take() {
        for (accept, want) in [
            ("gzip", true),
            ("deflate, X-GZIP;q=0.5", true),
            ("br, *", true),
            ("gzip;q=0", false),
            ("*;q=0.1, gzip; q=0.0", false),
            ("identity", false),
            ("gzipped", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            assert_eq!(accepts_gzip(&headers), want, "{accept}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn only_what_gains_is_compressed() {
        let known = SizeHint::with_exact;
        let answer = |content_type: &'static str| {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
        };
        let judged = |headers: &HeaderMap, size: SizeHint| {
            should_compress(StatusCode::OK, headers, &size, &Method::GET)
        };
        for (content_type, want) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/x-ndjson", true),
            ("text/plain", true),
            ("text/event-stream; charset=utf-8", false),
            ("audio/mpeg", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(judged(&answer(content_type), SizeHint::default()), want, "{content_type}");
        }
        let json = answer("application/json");
        assert!(judged(&json, known(1024)) && !judged(&json, known(1023)));
        for (name, value) in [(CONTENT_ENCODING, "br"), (CACHE_CONTROL, "private, no-transform")] {
            let mut headers = json.clone();
            headers.insert(name, HeaderValue::from_static(value));
            assert!(!judged(&headers, known(9999)), "{value}");
        }
        for status in [204, 206, 304] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(!should_compress(status, &json, &known(9999), &Method::GET));
        }
        assert!(!should_compress(StatusCode::OK, &json, &known(9999), &Method::HEAD));
    }

    #[test]
    fn the_head_says_so() {
        let mut headers = HeaderMap::from_iter([
            (CONTENT_LENGTH, HeaderValue::from_static("5000")),
            (ETAG, HeaderValue::from_static("\"x\"")),
            (VARY, HeaderValue::from_static("Origin")),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        ]);
        announce(&mut headers);
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        assert_eq!(headers[ETAG], "W/\"x\"");
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Origin", "Accept-Encoding"]);
    }
}
