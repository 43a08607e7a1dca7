//! What an answer tells of its way: the request's id, and with `RESPONSE_TRACE` whose time it took (`Server-Timing`) and
//! whose fault it was (`Proxy-Status`, RFC 9209).

use std::time::Duration;

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::counters::End;
use crate::upstream::Upstream;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// A longer id of a client's is not taken over.
const LONGEST_ID: usize = 128;

/// The request's id: the client's own if it sent one that can stand in a log as it is, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> Box<str> {
    let sent = headers.get(REQUEST_ID).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if (1..=LONGEST_ID).contains(&sent.len()) && sent.iter().all(is_plain) {
        return String::from_utf8_lossy(sent).into();
    }
    let halves = fastrand::u64(..).to_be_bytes().map(|byte| [byte >> 4, byte & 15]);
    let mut id = [0; 16];
    for (place, half) in id.iter_mut().zip(halves.as_flattened()) {
        *place = if *half < 10 { b'0' + half } else { b'a' + half - 10 };
    }
    str::from_utf8(&id).unwrap_or_default().into()
}

/// Names the request in its answer, unless the provider did: its id is the one that its support asks for.
pub(super) fn name(id: &str, headers: &mut HeaderMap) {
    if let Entry::Vacant(place) = headers.entry(REQUEST_ID)
        && let Ok(id) = HeaderValue::from_str(id)
    {
        place.insert(id);
    }
}

/// How an answer came about.
pub(super) struct Trace<'a> {
    pub(super) end: End,
    /// The answer's status.
    pub(super) status: u16,
    pub(super) attempts: u32,
    /// The last attempt's.
    pub(super) upstream: Option<&'a Upstream>,
    /// What that upstream answered.
    pub(super) received: Option<u16>,
    /// What it answered was no HTTP.
    pub(super) garbled: bool,
    pub(super) upstreams_took: Duration,
    pub(super) overhead: Option<Duration>,
}

impl Trace<'_> {
    /// Puts it into the answer's head, behind what the upstream put there.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        for (name, text) in [(SERVER_TIMING, self.timing()), (PROXY_STATUS, self.status())] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(name, value);
            }
        }
    }

    fn timing(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let ours = self.overhead.map_or(0.0, millis);
        let theirs = millis(self.upstreams_took);
        format!("gpt-load;dur={ours:.3}, upstream;dur={theirs:.3}, attempts;desc=\"{}\"", self.attempts)
    }

    fn status(&self) -> String {
        let mut text = "gpt-load".to_owned();
        if let Some(hop) = self.upstream.and_then(|upstream| upstream.url.authority().to_str().ok()) {
            // A host's name needs no escapes.
            text = format!("{text}; next-hop=\"{hop}\"");
        }
        if let Some(received) = self.received {
            text = format!("{text}; received-status={received}");
        }
        if self.received != Some(self.status) {
            text = format!("{text}; error={}", self.error());
        }
        text
    }

    /// RFC 9209 §2.3.
    fn error(&self) -> &'static str {
        match (self.end, self.status) {
            (End::BadRequest | End::RequestFault, _) => "http_request_error",
            (End::Unauthorized | End::TooManyConcurrent, _) => "http_request_denied",
            (End::UpstreamFault | End::BrokenAnswer, 504) => "http_response_timeout",
            (End::UpstreamFault | End::BrokenAnswer, _) if self.garbled => "http_protocol_error",
            (End::UpstreamFault | End::BrokenAnswer, _) => "destination_unavailable",
            (End::Internal, _) => "proxy_internal_error",
            (End::NoKeys | End::KeysRejected | End::KeysLimited | End::ClientGone | End::Success, _) => {
                "proxy_internal_response"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_is_not_taken_over() {
        for (sent, taken) in [
            ("req_123-abc.d:e", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            (&"a".repeat(200), false),
        ] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(sent).unwrap())]);
            assert_eq!(&*request_id(&headers) == sent, taken, "{sent}");
        }
        assert_eq!(request_id(&HeaderMap::new()).len(), 16);
    }
}
