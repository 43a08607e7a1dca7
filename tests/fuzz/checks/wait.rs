//! Whatever is said of a wait, it is more than nothing and no longer than a day: lines of header values, then a message.

use std::time::{Duration, SystemTime};

use gpt_load::verdict::{self, Answer};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const NAMES: [&str; 7] = [
    "date",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "ratelimit",
    "anthropic-ratelimit-tokens-reset",
];

pub(super) fn check(input: &[u8]) {
    let mut lines = input.splitn(NAMES.len() + 1, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in NAMES {
        if let Ok(value) = HeaderValue::from_bytes(lines.next().unwrap_or_default()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_496_400);
    let day = Duration::from_secs(24 * 60 * 60);
    let body = lines.next().unwrap_or_default();
    let answer = Answer { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body, model: None };
    let waits = [
        verdict::judge(&answer, now).wait,
        verdict::ahead(&headers, 0, || now, Duration::default).and_then(|ahead| ahead.spent),
    ];
    for wait in waits.into_iter().flatten() {
        assert!(!wait.duration.is_zero() && wait.duration <= day, "{wait:?}");
    }
}
