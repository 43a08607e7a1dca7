//! Whatever an upstream answers, there is a judgement: two bytes of status, one of the coding, then the body.

use std::time::SystemTime;

use gpt_load::verdict::{self, Answer, Verdict};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode};

pub(super) fn check(input: &[u8]) {
    let [high, low, coding, body @ ..] = input else { return };
    let status = 400 + u16::from_be_bytes([*high, *low]) % 200;
    let mut headers = HeaderMap::new();
    if let Some(coding) = ["gzip", "br", "deflate", "zstd"].get(usize::from(*coding)) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let status = StatusCode::from_u16(status).unwrap();
    let judgement =
        verdict::judge(&Answer { status, headers: &headers, body, model: None }, SystemTime::UNIX_EPOCH);
    assert_ne!(judgement.verdict, Verdict::Success);
    assert!(judgement.message.chars().count() <= 300 && !judgement.message.contains(char::is_control));
}
