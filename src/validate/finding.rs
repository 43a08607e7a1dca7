//! What was found out about a key, and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::verdict::{Judgement, Verdict};

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It works.
    Valid,
    /// It works, but not right now.
    Limited,
    /// It is a key, without credit or quota.
    OutOfQuota,
    /// It is no key, or no longer one.
    Invalid,
    /// The upstream, or the question, was at fault: nothing was found out.
    Unknown,
}

impl State {
    pub(super) const ALL: [Self; 5] =
        [Self::Valid, Self::Limited, Self::OutOfQuota, Self::Invalid, Self::Unknown];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Limited => "limited",
            Self::OutOfQuota => "out of quota",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }

    /// Whether requests with it would fail for long.
    pub(super) fn is_bad(self) -> bool {
        matches!(self, Self::OutOfQuota | Self::Invalid)
    }
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) state: State,
    /// The rule that says so, or what kept us from finding out.
    pub(super) rule: Box<str>,
    /// The upstream's status, if it answered.
    pub(super) status: Option<u16>,
    /// What it said: one line, redacted.
    pub(super) message: Box<str>,
    /// How long the key has to be left alone.
    pub(super) wait_s: Option<f64>,
}

impl Finding {
    pub(super) fn of(judgement: &Judgement, status: u16) -> Self {
        let state = match judgement.verdict {
            Verdict::Success => State::Valid,
            Verdict::KeyLimited => State::Limited,
            Verdict::KeyExhausted => State::OutOfQuota,
            Verdict::KeyInvalid => State::Invalid,
            Verdict::RequestFault | Verdict::UpstreamFault => State::Unknown,
        };
        Self {
            state,
            rule: judgement.rule.into(),
            status: Some(status),
            message: judgement.message.as_str().into(),
            wait_s: judgement
                .wait
                .as_ref()
                .map(|wait| wait.duration)
                .map(|wait: Duration| wait.as_secs_f64()),
        }
    }

    /// Nothing was found out, for a reason of our own words.
    pub(super) fn unknown(rule: &str, status: Option<u16>, message: impl Into<Box<str>>) -> Self {
        Self { state: State::Unknown, rule: rule.into(), status, message: message.into(), wait_s: None }
    }

    /// Why, in one line.
    pub(super) fn why(&self) -> String {
        let wait = self.wait_s.map(|wait| format!(", for {wait:.0} s")).unwrap_or_default();
        let status = self.status.map(|status| format!(", {status}")).unwrap_or_default();
        let said = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        format!("{} ({}{status}{wait}){said}", self.state.name(), self.rule)
    }
}
