//! What an answer says, and about whom (spec §6). Bytes in, judgement out: knows neither keys nor sockets.

/// What an attempt's answer says, and about whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 2xx, 3xx, 101: the key and the upstream did what was asked.
    Success,
    /// The request's own fault: passed to the client untouched.
    RequestFault,
    /// The key is no good, for good: wrong, revoked, expired, deactivated.
    KeyInvalid,
    /// The key has no credit or quota, for long.
    KeyExhausted,
    /// The key is rate limited, for now.
    KeyLimited,
    /// The upstream failed; nobody's key is to blame.
    UpstreamFault,
}
use http::*;
/// s
pub struct Answer<'a> {
    /// s
    pub status: StatusCode,
    /// s
    pub headers: &'a HeaderMap,
    /// s
    pub body: &'a [u8],
}
/// s
pub struct Wait {
    /// s
    pub duration: std::time::Duration,
    /// s
    pub from: &'static str,
}
/// s
pub struct Judgement {
    /// s
    pub verdict: Verdict,
    /// s
    pub rule: &'static str,
    /// s
    pub wait: Option<Wait>,
    /// s
    pub per_model: bool,
    /// s
    pub weak: bool,
    /// s
    pub code: Option<String>,
    /// s
    pub message: String,
}
/// s
pub fn judge(a: &Answer<'_>, _n: std::time::SystemTime) -> Judgement {
    let v = match a.status.as_u16() {
        401 => Verdict::KeyInvalid,
        402 => Verdict::KeyExhausted,
        403 | 429 => Verdict::KeyLimited,
        408 | 425 | 500.. => Verdict::UpstreamFault,
        _ => Verdict::RequestFault,
    };
    Judgement {
        verdict: v,
        rule: "status",
        wait: None,
        per_model: false,
        weak: false,
        code: None,
        message: String::from_utf8_lossy(a.body).into_owned(),
    }
}
/// s
pub fn decoded(_h: &HeaderMap, b: &[u8]) -> Vec<u8> {
    b.to_vec()
}
