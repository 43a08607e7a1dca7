//! What a key (or the whole provider) plays. Plays are told in Rust, as text or as JSON; [`GRAMMAR`] describes the latter.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::bucket::Rate;

/// How plays are written, for `--help` and for whoever reads this.
pub const GRAMMAR: &str = "\
Plays, as text:
  valid                                    answers
  revoked                                  401 invalid_api_key (Gemini 400 API_KEY_INVALID)
  out_of_quota                             429 insufficient_quota (Anthropic 400, credit too low)
  rate_limited requests=5 tokens=900 per=10s
                                           real token buckets, real headers; either bucket may be left out
  model_denied gpt-4o,o3                   404 model_not_found for these models, others work
  slow 2s                                  that long before the answer's head
  flapping 3 [PLAY]                        every third request plays PLAY (default: fails 500)
  resetting before_head|after_head|mid_body   TCP RST
  dying 3                                  the answer is cut after 3 events, without an end
  first_event_error [FAULT]                200, and an error as the stream's first event
  envelope [FAULT]                         200, and an error as the JSON body
  fails 503                                that status, in the provider's words
  stall                                    never answers
  garbage                                  bytes that are no HTTP
  wrong_length                             a content-length that is never reached
  endless_head                             headers without end
  drip                                     an answer of one byte a second
FAULT is revoked, out_of_quota, rate_limited or a status (default 500).
`PLAY x2 then PLAY` plays the first for two requests and the second from then on; `cycle PLAY x2 then PLAY x1` begins
anew at the end.
As JSON a play is such a text, or one of
  {\"answer\": {\"status\": 418, \"headers\": [[\"a\", \"b\"]], \"body\": \"…\" or JSON, \"encoding\": \"gzip\"|\"deflate\",
              \"chunks\": [\"…\"], \"pace\": \"10ms\", \"trailers\": [[\"a\", \"b\"]], \"before_body\": true}}
  {\"raw\": [{\"write\": \"HTTP/1.1 200 OK\\r\\n\"}, {\"wait\": \"1s\"}, {\"drip\": \"…\", \"every\": \"1s\"}, {\"repeat\": \"x: y\\r\\n\", \"every\": \"0ms\"},
           \"close\"|\"reset\"|\"hang\"]}
  {\"sequence\": [{\"play\": PLAY, \"requests\": 2}, {\"play\": PLAY}]}    {\"cycle\": […]}";

/// What is played.
#[derive(Clone, Debug, PartialEq)]
pub enum Play {
    /// Answers.
    Valid,
    /// The key is no more.
    Revoked,
    /// No credit.
    OutOfQuota,
    /// Token buckets for requests and for tokens.
    RateLimited {
        /// How many requests, if they are limited.
        requests: Option<Rate>,
        /// How many answered tokens, if they are limited.
        tokens: Option<Rate>,
    },
    /// These models are not for this key.
    ModelDenied(Vec<String>),
    /// So long before the answer's head.
    Slow(Duration),
    /// TCP RST.
    Resetting(ResetAt),
    /// The answer is cut after so many events (or pieces), without an end.
    Dying(usize),
    /// 200, and an error as the stream's first event (a plain answer is an [`Play::Envelope`]).
    FirstEventError(Says),
    /// 200, and an error as the JSON body.
    Envelope(Says),
    /// A status in the provider's words.
    Fails(u16),
    /// Never answers.
    Stall,
    /// A scripted answer.
    Answer(Box<Scripted>),
    /// Bytes on the socket, past all HTTP.
    Raw(Vec<Step>),
    /// One after the other, each for so many requests; the last stays.
    Sequence(Vec<(u64, Play)>),
    /// As a sequence, begun anew at the end.
    Cycle(Vec<(u64, Play)>),
}

/// Where an answer is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetAt {
    /// Before anything of it.
    BeforeHead,
    /// After its head.
    AfterHead,
    /// Half through its body.
    MidBody,
}

/// What an error inside a 200 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The key is no more.
    Revoked,
    /// No credit.
    OutOfQuota,
    /// Too many requests.
    RateLimited,
    /// A status.
    Status(u16),
}

/// An answer told in full.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Scripted {
    /// 200 if 0.
    pub status: u16,
    /// Its headers, as they go out.
    pub headers: Vec<(String, String)>,
    /// Its body: a text as it is, anything else as JSON.
    pub body: Value,
    /// Instead of `body`: pieces, sent `pace` apart without a content-length.
    pub chunks: Vec<String>,
    /// Between pieces.
    #[serde(deserialize_with = "span")]
    pub pace: Duration,
    /// `gzip` or `deflate`, for `body`.
    pub encoding: Option<String>,
    /// After the body, for a client that says `TE: trailers`.
    pub trailers: Vec<(String, String)>,
    /// Answers without reading the request's body first.
    pub before_body: bool,
}

/// One step of a raw answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes this.
    Write(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Writes this byte by byte.
    Drip(Vec<u8>, Duration),
    /// Writes this again and again.
    Repeat(Vec<u8>, Duration),
    /// Ends the connection in good form.
    Close,
    /// TCP RST.
    Reset,
    /// Keeps the connection and is silent.
    Hang,
}

impl Play {
    /// Every `n`-th request plays `fault`.
    pub fn flapping(n: u64, fault: Self) -> Self {
        Self::Cycle(vec![(n.saturating_sub(1), Self::Valid), (1, fault)])
    }

    /// `first` for `requests` requests, then `rest`.
    #[must_use]
    pub fn first(requests: u64, first: Self, rest: Self) -> Self {
        Self::Sequence(vec![(requests, first), (u64::MAX, rest)])
    }

    /// A scripted answer of JSON.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: Value) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Answer(Box::new(Scripted { status, headers, body, ..Scripted::default() }))
    }

    /// The play for the `n`-th request (from 0) under this one.
    pub(crate) fn at(&self, n: u64) -> &Self {
        let (plays, mut left) = match self {
            Self::Sequence(plays) => (plays, n),
            Self::Cycle(plays) => {
                let lap = plays.iter().map(|(requests, _)| requests).sum::<u64>().max(1);
                (plays, n % lap)
            }
            play => return play,
        };
        for (requests, play) in plays {
            if left < *requests {
                return play.at(left);
            }
            left -= requests;
        }
        plays.last().map_or(&Self::Valid, |(_, play)| play.at(left))
    }

    /// Whether the answer may be given before the request's body was read.
    pub(crate) fn before_body(&self) -> bool {
        matches!(self, Self::Answer(scripted) if scripted.before_body)
    }

    fn simple(words: &[&str]) -> Result<Self, String> {
        let (&name, rest) = words.split_first().ok_or("no play")?;
        let first = rest.first().copied();
        let number = |what: &str| -> Result<u64, String> {
            let text = first.ok_or_else(|| format!("{name}: {what} is missing"))?;
            text.parse().map_err(|_| format!("{name}: {text} is no number"))
        };
        Ok(match name {
            "valid" => Self::Valid,
            "revoked" => Self::Revoked,
            "out_of_quota" => Self::OutOfQuota,
            "rate_limited" => rate_limited(rest)?,
            "model_denied" => {
                Self::ModelDenied(first.unwrap_or_default().split(',').map(str::to_owned).collect())
            }
            "slow" => Self::Slow(duration(first.ok_or("slow: how long is missing")?)?),
            "flapping" => {
                let fault = rest.get(1..).filter(|fault| !fault.is_empty());
                Self::flapping(number("how often")?, fault.map_or(Ok(Self::Fails(500)), Self::simple)?)
            }
            "resetting" => Self::Resetting(match first {
                None | Some("before_head") => ResetAt::BeforeHead,
                Some("after_head") => ResetAt::AfterHead,
                Some("mid_body") => ResetAt::MidBody,
                Some(other) => return Err(format!("resetting: {other} is not before_head, after_head or mid_body")),
            }),
            "dying" => Self::Dying(usize::try_from(number("after how many events")?).unwrap_or(usize::MAX)),
            "first_event_error" => Self::FirstEventError(says(first)?),
            "envelope" => Self::Envelope(says(first)?),
            "fails" => Self::Fails(u16::try_from(number("which status")?).map_err(|error| error.to_string())?),
            "stall" => Self::Stall,
            "garbage" => Self::Raw(vec![Step::Write(b"\x00\xff this is no HTTP\r\n\r\n".to_vec()), Step::Close]),
            "wrong_length" => Self::Raw(vec![
                Step::Write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"id\"".to_vec()),
                Step::Wait(Duration::from_millis(20)),
                Step::Close,
            ]),
            "endless_head" => Self::Raw(vec![
                Step::Write(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Repeat(b"x-more: and more and more and more\r\n".repeat(100), Duration::ZERO),
            ]),
            "drip" => Self::Raw(vec![
                Step::Drip(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
                    Duration::from_secs(1),
                ),
                Step::Hang,
            ]),
            other => return Err(format!("{other} is no play")),
        })
    }
}

impl FromStr for Play {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (cycle, text) = text.strip_prefix("cycle ").map_or((false, text), |rest| (true, rest));
        let mut plays = Vec::new();
        for part in text.split(" then ") {
            let mut words: Vec<&str> = part.split_whitespace().collect();
            let times = words.last().and_then(|word| word.strip_prefix('x')?.parse().ok());
            if times.is_some() {
                words.pop();
            }
            plays.push((times.unwrap_or(if cycle { 1 } else { u64::MAX }), Self::simple(&words)?));
        }
        Ok(match (cycle, plays.len()) {
            (true, _) => Self::Cycle(plays),
            (false, 1) if plays[0].0 == u64::MAX => plays.remove(0).1,
            (false, _) => Self::Sequence(plays),
        })
    }
}

impl TryFrom<&Value> for Play {
    type Error = String;

    fn try_from(value: &Value) -> Result<Self, String> {
        if let Some(text) = value.as_str() {
            return text.parse();
        }
        let (name, value) = value
            .as_object()
            .and_then(|object| object.iter().next())
            .ok_or("a play is a text or an object")?;
        match name.as_str() {
            "answer" => {
                serde_json::from_value(value.clone()).map(Self::Answer).map_err(|error| error.to_string())
            }
            "raw" => {
                let steps = value.as_array().ok_or("raw: a list of steps")?;
                steps.iter().map(Step::try_from).collect::<Result<_, _>>().map(Self::Raw)
            }
            "sequence" => parts(value, u64::MAX).map(Self::Sequence),
            "cycle" => parts(value, 1).map(Self::Cycle),
            other => Err(format!("{other} is no play")),
        }
    }
}

fn parts(value: &Value, otherwise: u64) -> Result<Vec<(u64, Play)>, String> {
    let parts = value.as_array().ok_or("a list of {play, requests}")?;
    parts
        .iter()
        .map(|part| Ok((part["requests"].as_u64().unwrap_or(otherwise), Play::try_from(&part["play"])?)))
        .collect()
}

impl TryFrom<&Value> for Step {
    type Error = String;

    fn try_from(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some("close") => return Ok(Self::Close),
            Some("reset") => return Ok(Self::Reset),
            Some("hang") => return Ok(Self::Hang),
            _ => {}
        }
        let bytes = |name: &str| value[name].as_str().map(|text| text.as_bytes().to_vec());
        let every = duration(value["every"].as_str().unwrap_or("1s"))?;
        if let Some(text) = bytes("write") {
            Ok(Self::Write(text))
        } else if let Some(text) = bytes("drip") {
            Ok(Self::Drip(text, every))
        } else if let Some(text) = bytes("repeat") {
            Ok(Self::Repeat(text, every))
        } else {
            Ok(Self::Wait(duration(
                value["wait"].as_str().ok_or("a step is write, drip, repeat, wait, close, reset or hang")?,
            )?))
        }
    }
}

fn rate_limited(arguments: &[&str]) -> Result<Play, String> {
    let (mut requests, mut tokens, mut per) = (None, None, Duration::from_mins(1));
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or_else(|| format!("rate_limited: {argument}"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("rate_limited: {value} is no number"));
        match name {
            "requests" => requests = Some(number()?),
            "tokens" => tokens = Some(number()?),
            "per" => per = duration(value)?,
            other => return Err(format!("rate_limited: {other} is not requests, tokens or per")),
        }
    }
    let rate = |capacity| Rate { capacity, per };
    Ok(Play::RateLimited { requests: requests.map(rate), tokens: tokens.map(rate) })
}

fn says(word: Option<&str>) -> Result<Says, String> {
    Ok(match word {
        None => Says::Status(500),
        Some("revoked") => Says::Revoked,
        Some("out_of_quota") => Says::OutOfQuota,
        Some("rate_limited") => Says::RateLimited,
        Some(status) => Says::Status(status.parse().map_err(|_| format!("{status} is no fault"))?),
    })
}

/// Reads `250ms`, `2s`, `1m`, or bare seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| format!("{text} is no duration"))?;
    let factor = match &text[digits..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "us" => 0.000_001,
        _ => return Err(format!("{text} is no duration: ms, s or m")),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

fn span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plays_are_read_from_text() {
        let per = Duration::from_secs(10);
        for (text, want) in [
            ("valid", Play::Valid),
            ("model_denied a,b", Play::ModelDenied(vec!["a".into(), "b".into()])),
            ("slow 250ms", Play::Slow(Duration::from_millis(250))),
            (
                "rate_limited requests=3 per=10s",
                Play::RateLimited { requests: Some(Rate { capacity: 3, per }), tokens: None },
            ),
            ("flapping 3", Play::Cycle(vec![(2, Play::Valid), (1, Play::Fails(500))])),
            ("flapping 2 revoked", Play::Cycle(vec![(1, Play::Valid), (1, Play::Revoked)])),
            ("envelope revoked", Play::Envelope(Says::Revoked)),
            ("revoked x2 then valid", Play::first(2, Play::Revoked, Play::Valid)),
            ("cycle fails 503 x2 then valid", Play::Cycle(vec![(2, Play::Fails(503)), (1, Play::Valid)])),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for text in ["", "dead", "slow", "slow soon", "fails", "flapping 2 dead", "rate_limited x=1"] {
            assert!(text.parse::<Play>().is_err(), "{text}");
        }
    }

    #[test]
    fn plays_are_read_from_json() {
        let raw = json!({"raw": [{"write": "HTTP"}, {"wait": "1s"}, "reset"]});
        let steps = vec![Step::Write(b"HTTP".to_vec()), Step::Wait(Duration::from_secs(1)), Step::Reset];
        assert_eq!(Play::try_from(&raw), Ok(Play::Raw(steps)));
        let answer = json!({"answer": {"status": 418, "headers": [["a", "b"]], "body": {"tea": true}}});
        assert_eq!(Play::try_from(&answer), Ok(Play::answer(418, &[("a", "b")], json!({"tea": true}))));
        let sequence = json!({"sequence": [{"play": "revoked", "requests": 2}, {"play": "valid"}]});
        assert_eq!(Play::try_from(&sequence), Ok(Play::first(2, Play::Revoked, Play::Valid)));
        assert!(Play::try_from(&json!({"answer": {"stauts": 418}})).is_err());
    }

    #[test]
    fn a_sequence_keeps_its_last_play_and_a_cycle_begins_anew() {
        let sequence: Play = "revoked x2 then valid".parse().unwrap();
        let cycle: Play = "cycle revoked x2 then valid x1".parse().unwrap();
        let played = |play: &Play| (0..7).map(|n| *play.at(n) == Play::Revoked).collect::<Vec<_>>();
        assert_eq!(played(&sequence), [true, true, false, false, false, false, false]);
        assert_eq!(played(&cycle), [true, true, false, true, true, false, true]);
    }
}
