//! What an answer says, and about whom (spec §6). Bytes in, judgement out: knows neither keys nor sockets.
//!
//! An answer is brought into one form ([`envelope`]), the table ([`rules`]) is read top to bottom until a row holds, and
//! what the provider says of the time to wait is read wherever it may stand ([`wait`]).

mod at_a_time;
mod dates;
mod decode;
mod envelope;
mod first_event;
mod heard;
mod in_body;
mod json;
mod limits;
mod means;
mod rules;
mod script;
mod spoken;
mod wait;
mod words;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use self::envelope::Envelope;

pub use self::decode::decoded;
pub use self::first_event::{First, FirstEvent};
pub use self::in_body::InBody;
pub(crate) use self::in_body::{LONGEST_ENVELOPE, behind_mark};
pub use self::limits::{Ahead, ahead, too_few_tokens};
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
    /// Whether it is the key that is set aside.
    const fn blames_the_key(self) -> bool {
        matches!(self, Self::KeyInvalid | Self::KeyExhausted | Self::KeyLimited)
    }

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

/// What a verdict is about, and what is set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The key: its account, project or organisation.
    Key,
    /// The key, for the model that was asked for.
    KeyAndModel,
    /// The request.
    Request,
    /// The upstream, or our way to it.
    Upstream,
}

impl Scope {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::KeyAndModel => "key_and_model",
            Self::Request => "request",
            Self::Upstream => "upstream",
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
    /// The model that the request named: the client's own word, wherever it stands in a message.
    pub model: Option<&'a str>,
}

/// A verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "marks, each by itself")]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that gave it.
    pub rule: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// What it is about.
    pub scope: Scope,
    /// How long the provider says to wait.
    pub wait: Option<Wait>,
    /// "This key may not use that model": another key may, or nobody may. The scope is [`Scope::KeyAndModel`], the
    /// verdict what follows if nothing is known of other keys.
    pub denied_model: bool,
    /// It rests on a bare 401 or 403, or is told in words that may be about something else, or by somebody who may have a key of
    /// his own.
    pub weak: bool,
    /// The request asks for more than the key has left, or for what it may not do, or is not in its plan: the key may well
    /// serve others.
    pub asks_too_much: bool,
    /// Our way to the upstream is barred for every key (it saw none, or does not serve where we are): what it said twice
    /// it will say again.
    pub barred: bool,
    /// It is a limit of requests at a time, which is over as soon as some of the key's own have ended.
    pub at_a_time: bool,
    /// What the upstream said: one line, at most 300 characters. It may quote a key.
    pub message: String,
    /// The codes and types with which it said so: one line, at most 128 characters. They may quote a key.
    pub code: String,
}

/// Judges an answer by its status, headers and body. `now` is the time for dates that the answer names.
pub fn judge(answer: &Answer<'_>, now: SystemTime) -> Judgement {
    if answer.status.as_u16() < 400 {
        return Judgement {
            verdict: Verdict::Success,
            rule: "status.success",
            source: "RFC 9110 §15",
            scope: Scope::Request,
            wait: None,
            denied_model: false,
            weak: false,
            asks_too_much: false,
            barred: false,
            at_a_time: false,
            message: String::new(),
            code: String::new(),
        };
    }
    let body = decoded(answer.headers, answer.body);
    let envelope = Envelope::read(answer.headers, &body, answer.model);
    judged(answer.status.as_u16(), answer.headers, &envelope, now)
}

/// Judges an error that came within an answer with status 200: an event's data, or a body that is an error's
/// envelope, decoded. As if it had been a status: the one that it names, or the one that its type stands for.
pub fn judge_in_stream(headers: &HeaderMap, error: &[u8], model: Option<&str>, now: SystemTime) -> Judgement {
    let envelope = Envelope::read(headers, error, model);
    let has = |types: &[&str]| envelope.codes.iter().any(|code| types.contains(&code.as_str()));
    let begins =
        |types: &[&str]| envelope.codes.iter().any(|code| types.iter().any(|kind| code.starts_with(kind)));
    let status = envelope.status.unwrap_or(match () {
        () if has(&["invalid_request_error", "badrequesterror", "invalid_argument"]) => 400,
        // Alibaba's and Tencent's: `InvalidParameterValue.Model`.
        () if begins(&["invalidparameter", "missingparameter", "unsupportedoperation"]) => 400,
        () if has(&["authentication_error", "unauthenticated"]) => 401,
        () if has(&["permission_error", "permission_denied"]) => 403,
        () if has(&["not_found_error", "not_found"]) => 404,
        () if has(&["rate_limit_error", "resource_exhausted"]) => 429,
        () => rules::IN_STREAM,
    });
    judged(status, headers, &envelope, now)
}

/// Judges the whole answer to a question of our own, which wants JSON: an error within a 200 by what it says, and what is no
/// JSON as a page of somebody who stands before the API.
pub fn judge_whole(answer: &Answer<'_>, now: SystemTime) -> Judgement {
    if !answer.status.is_success() {
        return judge(answer, now);
    }
    let body = decoded(answer.headers, answer.body);
    if !matches!(behind_mark(&body).trim_ascii_start().first(), Some(b'{' | b'[')) {
        return judge(&Answer { status: StatusCode::BAD_GATEWAY, ..*answer }, now);
    }
    if InBody::of(&body).is_no_answer(true) {
        return judge_in_stream(answer.headers, &body, answer.model, now);
    }
    judge(answer, now)
}

fn judged(status: u16, headers: &HeaderMap, envelope: &Envelope, now: SystemTime) -> Judgement {
    let mut row = rules::row_for(status, headers, envelope);
    // For good is what nobody says the end of.
    if row.verdict == Verdict::KeyInvalid
        && (rules::is_temporary(envelope) || wait::ends_soon(status, headers, envelope, now))
    {
        row = &rules::FOR_NOW;
    }
    let wait = match row.verdict {
        Verdict::KeyLimited | Verdict::KeyExhausted => wait::of(headers, envelope, row, now),
        _ => None,
    };
    let (scope, denied_model) = rules::about(row, envelope);
    let asks_too_much = row.verdict == Verdict::KeyExhausted
        && wait.is_none()
        && (row.of_use || means::are_too_small(&envelope.words));
    let is_long = wait.is_some_and(|wait| wait.duration >= LONG);
    let verdict =
        if row.verdict == Verdict::KeyLimited && is_long { Verdict::KeyExhausted } else { row.verdict };
    Judgement {
        verdict,
        rule: row.id,
        source: row.source,
        scope,
        wait,
        denied_model,
        weak: rules::is_weak(row, status, envelope),
        asks_too_much,
        barred: row.barred,
        at_a_time: verdict == Verdict::KeyLimited && at_a_time::is_meant(envelope),
        message: envelope.line(),
        code: envelope.code_line(),
    }
}
