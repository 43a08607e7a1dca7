//! What an answer says, and about whom (spec §6). Bytes in, judgement out: knows neither keys nor sockets.
//!
//! An answer is brought into one form ([`envelope`]), the table ([`rules`]) is read top to bottom until a row holds, and
//! what the provider says of the time to wait is read wherever it may stand ([`wait`]).

mod decode;
mod envelope;
mod rules;
mod wait;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use self::envelope::Envelope;

pub use self::decode::decoded;
pub use self::wait::Wait;

/// A limit that lasts so long is a quota, whatever it calls itself.
const LONG: Duration = Duration::from_secs(60 * 60);

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

impl Verdict {
    /// The spec's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequestFault => "request_fault",
            Self::KeyInvalid => "key_invalid",
            Self::KeyExhausted => "key_exhausted",
            Self::KeyLimited => "key_limited",
            Self::UpstreamFault => "upstream_fault",
        }
    }
}

/// An upstream's answer, as far as it has to be known.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body as it was received: the first 64 KiB, maybe encoded, maybe cut off.
    pub body: &'a [u8],
}

/// A verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that gave it.
    pub rule: &'static str,
    /// How long the provider says to wait.
    pub wait: Option<Wait>,
    /// It is about the key's right to one model, not about the key.
    pub per_model: bool,
    /// It rests on a bare 401 or 403: no row knew the answer.
    pub weak: bool,
    /// What the upstream said: one line, at most 300 characters. It may quote a key.
    pub message: String,
}

/// Judges an answer. `now` is the time for dates that the answer names.
pub fn judge(answer: &Answer<'_>, now: SystemTime) -> Judgement {
    if answer.status.as_u16() < 400 {
        return Judgement {
            verdict: Verdict::Success,
            rule: "status.success",
            wait: None,
            per_model: false,
            weak: false,
            message: String::new(),
        };
    }
    let body = decoded(answer.headers, answer.body);
    let envelope = Envelope::read(&body);
    let row = rules::row_for(answer.status.as_u16(), &envelope);
    let (verdict, wait) = match row.verdict {
        Verdict::KeyLimited | Verdict::KeyExhausted => {
            let wait = wait::of(answer.headers, &envelope, now);
            let is_long = wait.as_ref().is_some_and(|wait| wait.duration >= LONG);
            (if is_long { Verdict::KeyExhausted } else { row.verdict }, wait)
        }
        verdict => (verdict, None),
    };
    let weak = matches!(row.id, "status.401" | "status.403");
    Judgement { verdict, rule: row.id, wait, per_model: row.per_model, weak, message: envelope.line() }
}
