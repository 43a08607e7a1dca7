//! Spec §6: what answers of real providers mean. A case is a line of `tests/corpus/answers.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use gpt_load::verdict::{
    Answer, First, FirstEvent, InBody, Judgement, Scope, Verdict, decoded, judge, judge_in_stream,
};
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[path = "fuzz/checks/first_event.rs"]
mod fuzz_first_event;
#[path = "fuzz/checks/verdict.rs"]
mod fuzz_verdict;
#[path = "fuzz/checks/wait.rs"]
mod fuzz_wait;

use fuzz_first_event::first as first_event;

/// The time at which a case is judged, unless it names another.
const NOW: &str = "2026-09-24T12:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    provider: String,
    source: String,
    #[serde(default)]
    transport: Transport,
    now: Option<String>,
    status: u16,
    headers: serde_json::Map<String, Value>,
    /// What was asked for.
    model: Option<String>,
    body: Value,
    verdict: String,
    scope: String,
    #[serde(default)]
    denied_model: bool,
    /// Seconds; `null` where the answer names none.
    wait: Option<f64>,
    /// Whether another key has to be told so too, where that matters.
    weak: Option<bool>,
    /// Whether the key may serve other requests, where that matters.
    asks_too_much: Option<bool>,
    /// Why it is not what one would think.
    #[serde(default, rename = "note")]
    _note: String,
}

/// How the answer came.
#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Transport {
    /// With its status.
    #[default]
    Http,
    /// As the first event of a stream.
    Sse,
    /// As a whole body with status 200.
    #[serde(rename = "json_200")]
    Json200,
    /// As a message after an upgrade.
    Ws,
}

impl Case {
    fn text(&self) -> String {
        self.body.as_str().map_or_else(|| self.body.to_string(), str::to_owned)
    }

    /// What it is judged to be as an answer with this body, encoded so.
    fn judged_as(&self, body: &[u8], coding: Option<&'static str>) -> Judgement {
        let mut headers = headers(&self.headers);
        headers.extend(coding.map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))));
        let status = StatusCode::from_u16(self.status).unwrap();
        judge(
            &Answer { status, headers: &headers, body, model: self.model.as_deref() },
            moment(self.now.as_deref().unwrap_or(NOW)),
        )
    }

    /// How it is judged otherwise than it should be.
    fn wrong(&self, judgement: Option<&Judgement>) -> Option<String> {
        let (verdict, scope, denied, wait, rule) =
            judgement.map_or((Verdict::Success, Scope::Request, false, None, "none"), |judgement| {
                let wait = judgement.wait.map(|wait| wait.duration.as_secs_f64());
                (judgement.verdict, judgement.scope, judgement.denied_model, wait, judgement.rule)
            });
        let is_wait = match (wait, self.wait) {
            (Some(told), Some(hoped)) => (told - hoped).abs() < 0.001,
            (told, hoped) => told == hoped,
        };
        let told = (verdict.name(), scope.name(), denied);
        let hoped = (&*self.verdict, &*self.scope, self.denied_model);
        (told != hoped || !is_wait)
            .then(|| format!("{}: {told:?} {wait:?} by {rule}, not {hoped:?} {:?}", self.name, self.wait))
    }

    fn judged(&self) -> Option<Judgement> {
        let body = self.text();
        let headers = headers(&self.headers);
        let (model, now) = (self.model.as_deref(), moment(self.now.as_deref().unwrap_or(NOW)));
        match self.transport {
            Transport::Http => Some(self.judged_as(body.as_bytes(), None)),
            Transport::Sse => match first_event(body.as_bytes(), body.len().max(1)) {
                First::Error(data) => Some(judge_in_stream(&headers, &data, model, now)),
                First::Healthy | First::Undecided => None,
            },
            Transport::Json200 => {
                let plain = decoded(&headers, body.as_bytes());
                (InBody::of(&plain) != InBody::Answer)
                    .then(|| judge_in_stream(&headers, body.as_bytes(), model, now))
            }
            Transport::Ws => Some(judge_in_stream(&headers, body.as_bytes(), model, now)),
        }
    }
}

fn moment(text: &str) -> SystemTime {
    let since_1970 = text.parse::<Timestamp>().unwrap().as_second();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970.try_into().unwrap())
}

fn headers(fields: &serde_json::Map<String, Value>) -> HeaderMap {
    let field = |(name, value): (&String, &Value)| {
        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
        (name.parse::<HeaderName>().unwrap(), value)
    };
    fields.iter().map(field).collect()
}

fn corpus() -> Vec<Case> {
    serde_json::from_str(include_str!("corpus/answers.json")).unwrap()
}

#[test]
fn the_corpus_is_judged_as_it_should_be() {
    let cases = corpus();
    let (mut names, mut wrong) = (HashSet::new(), Vec::new());
    for case in &cases {
        assert!(names.insert(&case.name), "{} is there twice", case.name);
        assert!(!case.source.is_empty() && !case.provider.is_empty(), "{} has no source", case.name);
        let judgement = case.judged();
        wrong.extend(case.wrong(judgement.as_ref()));
        let doubts = judgement.map(|judgement| (judgement.weak, judgement.asks_too_much)).unwrap_or_default();
        let hoped = (case.weak.unwrap_or(doubts.0), case.asks_too_much.unwrap_or(doubts.1));
        wrong.extend((doubts != hoped).then(|| format!("{}: {doubts:?}, not {hoped:?}", case.name)));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The end of a body may come by itself, or cut.
#[test]
fn an_error_in_a_200_is_waited_for_until_all_of_it_is_there() {
    let mut missed = Vec::new();
    let is_error = |case: &&Case| matches!(case.transport, Transport::Json200) && case.verdict != "success";
    for case in corpus().iter().filter(is_error) {
        let text = case.text();
        let is_html = case.headers.get("content-type").is_some_and(|kind| kind.to_string().contains("html"));
        for missing in [0, 1, 2] {
            let so_far = text.as_bytes().get(..text.len() - missing).unwrap();
            if !InBody::may_begin(so_far, is_html) {
                missed.push(format!("{} less {missing}: {text}", case.name));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coded = GzEncoder::new(Vec::new(), Compression::fast());
    coded.write_all(body).unwrap();
    coded.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut coded = DeflateEncoder::new(Vec::new(), Compression::fast());
    coded.write_all(body).unwrap();
    coded.finish().unwrap()
}

/// RFC 7932: a window of 22 bits, one block as it is, an empty last one.
fn brotli(body: &[u8]) -> Vec<u8> {
    let [low, high] = u16::try_from(body.len() - 1).unwrap().to_le_bytes();
    let head = [0b1011 | low << 7, low >> 1 | high << 7, 0x80 | high >> 1];
    [&head[..], body, &[3]].concat()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
}

/// What happens to an answer on its way, the coding that its header names then, and the cases that it makes others of.
type Way = (&'static str, fn(&str) -> Vec<u8>, Option<&'static str>, &'static [&'static str]);

const WAYS: [Way; 14] = [
    ("gzip", |body| gzip(body.as_bytes()), Some("gzip"), &[]),
    ("deflate", |body| deflate(body.as_bytes()), Some("deflate"), &[]),
    ("brotli", |body| brotli(body.as_bytes()), Some("br"), &[]),
    ("zstd", |body| zstd(body.as_bytes()), Some("zstd"), &[]),
    ("two codings", |body| gzip(&brotli(body.as_bytes())), Some("br, gzip"), &[]),
    ("decoded by a relay that left the header", |body| body.into(), Some("gzip"), &[]),
    (
        "gzip, cut off at its end",
        |body| gzip(body.as_bytes()).split_last_chunk::<8>().unwrap().0.into(),
        Some("gzip"),
        &[],
    ),
    ("cut off", |body| body.get(..body.len() - 1).unwrap().into(), None, &[]),
    (
        "cut off sooner",
        |body| body.get(..body.len() - 2).unwrap().into(),
        None,
        // The number at their ends may go on.
        &[
            "varied-rate-body-retryAfter",
            "varied-rate-body-ms",
            "varied-rate-json-list",
            "varied-wait-epoch-ms",
            "antigravity-24h",
        ],
    ),
    ("a byte order mark", |body| format!("\u{feff}{body}").into(), None, &[]),
    ("something behind it", |body| format!("{body}\r\n0\r\n").into(), None, &[]),
    (
        "a byte that is no text",
        |body| {
            let (before, after) = body.split_once("\"message\":\"").unwrap_or((body, ""));
            let message: &[u8] = if after.is_empty() { b"" } else { b"\"message\":\"\xff" };
            [before.as_bytes(), message, after.as_bytes()].concat()
        },
        None,
        // Its message is an answer or begins with a code, which it does no longer.
        &[
            "gemini-429-nested-json-message",
            "gemini-400-expired-in-a-message",
            "gemini-403-suspended-in-a-message",
            "blind-gemini-relay-403-1",
            "cloudcode-403-not-used",
            "gemini-nested-message-limit-zero",
            "gemini-nested-per-day",
            "gemini-wrapped-403",
            "glm-1308-anthropic",
            "glm-1313-anthropic",
            "qoder-10605",
            "seen-copilot-400-double",
        ],
    ),
    ("in a list", |body| format!("[{body}]").into(), None, &[]),
    (
        "in a relay's message",
        |body| {
            json!({"error": {"message": format!("bad response: {body}"), "type": "one_api_error"}})
                .to_string()
                .into()
        },
        None,
        &[],
    ),
];

#[test]
fn an_answer_means_the_same_however_it_comes() {
    let mut wrong = Vec::new();
    for case in corpus().iter().filter(|case| matches!(case.transport, Transport::Http)) {
        let text = case.text();
        if !text.starts_with(['{', '[']) || text.len() < 3 {
            continue;
        }
        for (way, bend, coding, others) in WAYS {
            if !others.contains(&&*case.name) {
                let judgement = case.judged_as(&bend(&text), coding);
                wrong.extend(case.wrong(Some(&judgement)).map(|wrong| format!("{way}: {wrong}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How else a body may be written.
type Writing = (&'static str, fn(&str) -> String);

const WRITINGS: [Writing; 4] = [
    ("in many lines", |body| {
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(body).unwrap()).unwrap()
    }),
    ("something behind it", |body| format!("{body}<!-- a relay -->")),
    ("a line break in a message", |body| body.replace("essage\":\"", "essage\":\"\n")),
    ("all its members twice", |body| {
        let members = body.trim().strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        format!("{{{members},{members}}}")
    }),
];

#[test]
fn what_a_200_is_does_not_depend_on_how_it_is_written() {
    let mut wrong = Vec::new();
    for mut case in corpus().into_iter().filter(|case| matches!(case.transport, Transport::Json200)) {
        let text = case.text();
        if serde_json::from_str::<serde_json::Map<String, Value>>(&text)
            .is_ok_and(|fields| !fields.is_empty())
        {
            for (way, bend) in WRITINGS {
                case.body = Value::String(bend(&text));
                wrong.extend(case.wrong(case.judged().as_ref()).map(|wrong| format!("{way}: {wrong}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn verdict(status: u16, body: &str) -> (Verdict, &'static str, bool) {
    let status = StatusCode::from_u16(status).unwrap();
    let answer = Answer { status, headers: &HeaderMap::new(), body: body.as_bytes(), model: None };
    let judgement = judge(&answer, SystemTime::now());
    (judgement.verdict, judgement.rule, judgement.weak)
}

/// No provider's sentences: the same causes said otherwise, and requests' own faults that sound like them.
#[test]
fn a_cause_is_known_in_whatever_words_it_is_told() {
    #[derive(serde::Deserialize)]
    struct Wording {
        status: u16,
        says: String,
        verdict: String,
    }
    let wordings: Vec<Wording> = serde_json::from_str(include_str!("corpus/wordings.json")).unwrap();
    assert!(wordings.len() >= 150);
    let wrong = wordings.iter().filter_map(|Wording { status, says, verdict: hoped }| {
        let (told, rule, _) = verdict(*status, &json!({"error": {"message": says}}).to_string());
        (told.name() != hoped).then(|| format!("{status} {says:?}: {} by {rule}, not {hoped}", told.name()))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The next key may be told the same, so that the first is not given up for it.
#[test]
fn words_alone_end_no_key_for_certain_where_they_may_be_about_something_else() {
    let told = |says: &str| json!({"error": {"message": says}}).to_string();
    for (status, body, want) in [
        (400, told("Invalid API key"), (Verdict::KeyInvalid, true)),
        (401, told("Invalid API key"), (Verdict::KeyInvalid, false)),
        (410, told("This API key was deleted"), (Verdict::KeyInvalid, true)),
        (401, told("Your API key may have been revoked"), (Verdict::KeyInvalid, true)),
        (401, told("API key 可能已失效"), (Verdict::KeyInvalid, true)),
        (401, told("The API key is expired or has no access to this region"), (Verdict::KeyInvalid, true)),
        (401, told("The API key is invalid or expired"), (Verdict::KeyInvalid, false)),
        (403, told("Your account may be suspended"), (Verdict::KeyLimited, true)),
        (403, told("Your account has been suspended. You may write to us."), (Verdict::KeyInvalid, false)),
        (403, told("账号可能被封禁"), (Verdict::KeyLimited, true)),
        (
            400,
            r#"{"error":{"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#.into(),
            (Verdict::KeyInvalid, false),
        ),
    ] {
        let (told, rule, weak) = verdict(status, &body);
        assert_eq!((told, weak), want, "{status} {body}: {rule}");
    }
}

/// Whichever status they come with, and however they join two ends of one key.
#[test]
fn a_providers_own_words_and_two_ends_of_one_key_end_it_for_certain() {
    let told = |says: &str| json!({"error": {"message": says}}).to_string();
    let azure = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key";
    for (status, body, want) in [
        (400, told("This organization has been disabled."), false),
        (400, told("API key not valid. Please pass a valid API key."), false),
        (
            400,
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}"#
                .into(),
            false,
        ),
        (401, told("The access token is invalid or has expired"), false),
        (401, told("Access key is invalid or disabled"), false),
        (401, told("Access token invalid or no longer valid"), false),
        (401, told(azure), false),
        (400, told("Incorrect API key provided"), true),
        (401, told("Invalid API key, or you have no access to it"), true),
        (401, told("无权访问或令牌无效"), true),
    ] {
        assert_eq!(verdict(status, &body).2, want, "{status} {body}: {}", verdict(status, &body).1);
    }
}

/// Its owner, a relay, tools, pools and ways to send keys are named beside many a dead key.
#[test]
fn whatever_else_is_named_a_key_that_is_dead_is_so_for_certain() {
    for says in [
        "Your key was rejected by our gateway: it has been revoked",
        "Our systems disabled your API key after a leak",
        "Key revoked by our security team. Contact our account team.",
        "This key does not belong to any of our accounts",
        "API key expired. Please provide a new API key.",
        "Your API key was deleted; create a new one in the console",
        "Your API key has been revoked. Create one in the console; new keys take effect at once.",
        "The token was good until 2025-12-31 and is now expired",
        "Key disabled because it leaked; generate another key",
        "The access token has been revoked. If you use a tool or connector, update it too.",
        "This key was deleted. No key was found in the pool for it.",
        "API key was not recognised or not sent",
        "The key in your request has been revoked",
        "The account connected to this key is disabled",
        "This API key isn't one of ours",
    ] {
        let body = json!({"error": {"message": says}}).to_string();
        let (told, rule, weak) = verdict(401, &body);
        assert_eq!((told, weak), (Verdict::KeyInvalid, false), "{says}: {rule}");
    }
}

#[test]
fn a_model_is_denied_only_where_one_is_named() {
    let is_denied = |says: &str, model| {
        let body = json!({"error": {"message": says}}).to_string();
        let status = StatusCode::FORBIDDEN;
        let answer = Answer { status, headers: &HeaderMap::new(), body: body.as_bytes(), model };
        let judgement = judge(&answer, SystemTime::now());
        assert_eq!(judgement.verdict, Verdict::KeyExhausted, "{says}: {}", judgement.rule);
        judgement.denied_model
    };
    let frames: [fn(&str) -> String; 5] = [
        |what| format!("You do not have access to {what}."),
        |what| format!("Your account does not have access to {what}. Please upgrade your plan."),
        |what| format!("Upgrade your plan for {what}."),
        |what| format!("Request access to {what} on its page."),
        |what| format!("您无权访问 {what}"),
    ];
    for frame in frames {
        for what in
            ["this API", "organization org-1", "/v1/chat/completions", "us-east-1", "team-7", "more calls"]
        {
            assert!(!is_denied(&frame(what), None), "{what}");
        }
        for what in ["gpt-5", "Foo-70B", "meta/llama-9", "the model"] {
            assert!(is_denied(&frame(what), None), "{what}");
        }
        assert!(is_denied(&frame("acme-writer"), Some("acme-writer")));
        assert!(!is_denied(&frame("acme-writer"), Some("other-writer")));
    }
}

#[test]
fn a_code_is_known_however_its_words_are_joined() {
    for (status, code, hoped) in [
        (403, "INSUFFICIENT_BALANCE", Verdict::KeyExhausted),
        (403, "InsufficientBalanceError", Verdict::KeyExhausted),
        (403, "balance-not-enough", Verdict::KeyExhausted),
        (429, "MONTHLY_QUOTA_EXCEEDED", Verdict::KeyExhausted),
        (429, "DailyLimitError", Verdict::KeyExhausted),
        (403, "API_KEY_DISABLED", Verdict::KeyInvalid),
        (401, "TokenExpired", Verdict::KeyInvalid),
        (403, "account.suspended", Verdict::KeyInvalid),
        (403, "TOO_MANY_REQUESTS", Verdict::KeyLimited),
        (403, "RequestThrottled", Verdict::KeyLimited),
        (429, "SERVER_OVERLOADED", Verdict::UpstreamFault),
        (401, "MISSING_API_KEY", Verdict::UpstreamFault),
        (404, "ModelNotFoundError", Verdict::RequestFault),
        (400, "INVALID_API_KEY_FIELD", Verdict::RequestFault),
        (400, "AccountDisabled", Verdict::RequestFault),
        (500, "API_KEY_DISABLED", Verdict::UpstreamFault),
    ] {
        let body = json!({"code": code, "message": "so it is"}).to_string();
        let (told, rule, _) = verdict(status, &body);
        assert_eq!(told, hoped, "{status} {code}: {rule}");
    }
}

#[test]
fn what_is_said_of_a_request_by_its_own_words_blames_no_key() {
    for body in [
        r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"error":{"code":"invalid_api_key","message":"insufficient_quota"}}}]}"#,
        r#"{"detail":[{"msg":"value is not valid"}],"body":{"message":"my api key is invalid","code":"invalid_api_key"}}"#,
        r#"{"error":{"message":"Document 'report (1004)' is malformed (1004)"}}"#,
    ] {
        assert_eq!(verdict(422, body).0, Verdict::RequestFault, "{body}");
        assert_eq!(verdict(400, body).0, Verdict::RequestFault, "{body}");
    }
}

#[test]
fn what_no_row_knows_is_judged_by_its_status() {
    for (status, want, weak) in [
        (401, Verdict::KeyInvalid, true),
        (402, Verdict::KeyExhausted, false),
        (403, Verdict::KeyLimited, true),
        (408, Verdict::UpstreamFault, false),
        (425, Verdict::UpstreamFault, false),
        (429, Verdict::KeyLimited, false),
        (500, Verdict::UpstreamFault, false),
        (503, Verdict::UpstreamFault, false),
        (529, Verdict::UpstreamFault, false),
        (599, Verdict::UpstreamFault, false),
        (400, Verdict::RequestFault, false),
        (404, Verdict::RequestFault, false),
        (405, Verdict::RequestFault, false),
        (409, Verdict::RequestFault, false),
        (413, Verdict::RequestFault, false),
        (418, Verdict::RequestFault, false),
        (422, Verdict::RequestFault, false),
    ] {
        let (verdict, rule, is_weak) = verdict(status, r#"{"error":{"message":"so it is"}}"#);
        assert_eq!((verdict, is_weak), (want, weak), "{status}");
        assert!(rule.starts_with("status."), "{status}: {rule}");
    }
    for status in [200, 204, 302, 304] {
        assert_eq!(verdict(status, "invalid_api_key").0, Verdict::Success);
    }
}

#[test]
fn a_prompt_that_is_quoted_back_blames_no_key() {
    for body in [
        r#"{"error":{"message":"Invalid value for messages[0]: 'my invalid_api_key has insufficient_quota'"}}"#,
        r#"{"error":{"message":"can't parse \"incorrect api key\""}}"#,
        r#"{"error":{"message":"bad input","param":"invalid_api_key"},"input":"credit balance is too low"}"#,
    ] {
        assert_eq!(verdict(400, body).0, Verdict::RequestFault, "{body}");
    }
}

#[test]
fn the_name_of_the_model_that_was_asked_for_blames_no_key() {
    let name = "acme/api-key-expired-account-suspended-7b";
    for (status, says) in [
        (400, "acme/api-key-expired-account-suspended-7b can't be had here"),
        (403, "No endpoint serves acme/api-key-expired-account-suspended-7b in this region of the cluster"),
        (429, "acme/api-key-expired-account-suspended-7b has insufficient credit: too many requests"),
    ] {
        let body = json!({"error": {"message": says}}).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: &HeaderMap::new(), body: body.as_bytes(), model: Some(name) };
        let judgement = judge(&answer, SystemTime::now());
        assert_ne!(judgement.verdict, Verdict::KeyInvalid, "{says}: {}", judgement.rule);
        let without = judge(&Answer { model: None, ..answer }, SystemTime::now());
        assert!(status == 429 || without.verdict == Verdict::KeyInvalid, "{says}: {}", without.rule);
    }
}

proptest! {
    #[test]
    fn there_is_always_a_judgement(
        status in 100_u16..1000,
        body in prop::collection::vec(any::<u8>(), 0..2000),
        coding in prop::sample::select(vec!["gzip", "br", "deflate", "zstd", "identity", "gzip, br"]),
        retry in "\\PC{0,20}",
    ) {
        let mut headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        if let Ok(retry) = HeaderValue::from_str(&retry) {
            headers.insert(RETRY_AFTER, retry);
        }
        let status = StatusCode::from_u16(status).unwrap();
        let judgement = judge(&Answer { status, headers: &headers, body: &body, model: None }, SystemTime::now());
        prop_assert_eq!(status.as_u16() < 400, judgement.verdict == Verdict::Success);
        prop_assert!(judgement.message.chars().count() <= 300 && !judgement.message.contains(char::is_control));
        prop_assert!(judgement.wait.is_none_or(|wait| wait.duration <= Duration::from_secs(86_400)));
    }

    #[test]
    fn json_of_any_shape_is_judged(text in r#"[\[\]{}",:a-z0-9 ]{0,300}"#, status in 400_u16..600) {
        verdict(status, &text);
        verdict(status, &format!(r#"{{"error":{{"message":{text}"#));
    }
}

#[test]
fn a_streams_first_event_is_the_same_however_it_is_cut() {
    let healthy = |body: &[u8]| (body.to_vec(), false);
    let error = |body: &[u8]| (body.to_vec(), true);
    for (stream, is_error) in [
        healthy(b"data: {\"id\":\"a\",\"choices\":[]}\n\ndata: {\"error\":{\"code\":500}}\n\n"),
        healthy(b": OPENROUTER PROCESSING\n\ndata: {\"error\":null}\n\n"),
        healthy(b"data: {\"error\":\"\"}\r\n\r\n"),
        healthy(b"data: {\"error\":{}}\r\r"),
        healthy(b"data: {\"error\":{\"code\":null,\"message\":null}}\n\n"),
        healthy(b"data: {\"error\":{\"message\":\"\",\"type\":\"\",\"param\":\"\",\"code\":null}}\n\n"),
        healthy(b"data: {\"error\":{\"message\":\"\",\"code\":0,\"details\":[]}}\n\n"),
        error(b"data: {\"error\":{\"message\":\"\",\"code\":500}}\n\n"),
        healthy(b"data: [DONE]\n\n"),
        healthy(b"data: {\"text\":\"[DONE]\"}\n\n"),
        healthy(b"error: none\ndata: {\"choices\":[]}\n\n"),
        healthy(b"data: {\"a\":\"error\"}\n\n"),
        healthy(b"event: message_start\ndata: {\"type\":\"message_start\"}\n\n"),
        healthy(b"[{\n \"candidates\": []\n}\n]"),
        healthy(b"{\"model\":\"llama\",\"response\":\"error\"}\n"),
        healthy(b"event: thread.created\ndata: {}\n\n"),
        healthy(b"event: ping\ndata: {\"type\": \"ping\"}\n\nevent: message_start\ndata: {\"type\":\"message_start\"}\n\n"),
        healthy(b"data: {\"type\":\"pings\"}\n\ndata: {\"error\":\"no\"}\n\n"),
        error(b"event: ping\ndata: {\"type\": \"ping\"}\n\nevent: error\ndata: {\"type\":\"error\"}\n\n"),
        error(b"event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n: x\r\n\r\ndata: {\"error\":\"no\"}\r\n\r\n"),
        error(b"data: {\"type\": \"ping\", \"cost\": \"0\"}\n\ndata: {\"type\":\"error\",\"error\":{}}\n\n"),
        error(b"event: ping\ndata: {\"error\":\"no\"}\n\n"),
        error(b"data: {\"error\":{\"code\":500}}\n\n"),
        error(b"\xef\xbb\xbfdata:{\"error\":\"no\"}\r\n\r\ndata: {}\r\n\r\n"),
        error(b"\r\n: a\r\n\r\n:\r\rdata: {\"type\":\"error\",\"code\":\"x\"}\r\r"),
        error(b"event: error\r\ndata: it broke\r\n\r\n"),
        error(b"error: {\"code\":500,\"message\":\"it broke\"}\n\n"),
        error(b"data:{\"text\":\"[DONE]\",\"error_code\":\"X.1\",\"error_msg\":\"no\"}\n\n"),
        error(
            b"id: 1\nevent:error\n:HTTP_STATUS/400\ndata:{\"code\":\"InvalidApiKey\",\"message\":\"no\"}\n\n",
        ),
        error(b"data: {\"error\":\ndata: {\"message\":\"in two lines\"}}\n\n"),
        error(
            b"data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n",
        ),
        error(b"data: {\"choices\":[{\"finish_reason\":\"error\"}],\"error\":{\"code\":429}}\n\n"),
        error(b"[{\n  \"error\": {\"code\": 429}\n}\n]"),
        error(b"{\n  \"error\": {\"code\": 429}\n}"),
        error(b"{\"error\":\"model runner has stopped\"}\n"),
        error(b"data: {\"error\":{\"code\":500}}"),
        error(b"data: {\"detail\":\"Rate limit\"}\n\n"),
        error(b"data: {\"status\":\"error\",\"message\":\"Too many requests\"}\n\n"),
        error(b"{\"detail\":\"Rate limit\"}"),
        error(b"{\"object\":\"error\",\"message\":\"no\",\"code\":40303}"),
        error(b"{\"success\": false, \"message\": \"no\"}\n"),
        error(b"{\"id\":\"1\",\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}"),
        error(b"{\"request_id\":\"{\",\"code\":\"InvalidApiKey\",\"message\":\"no\"}"),
        error(b"[\n{\"errors\":[{\"message\":\"no\"}]}"),
        healthy(b"[0.1, {\"error\":\"no\"}]"),
        healthy(b"{\"id\":\"1\"}{\"error\":\"no\"}"),
        error(b"{\"error\":\"no\"}\n{\"done\":true}\n"),
        error(b"\x0c\r\x0c\n[ {\n \"error\": {\"code\":-7}\n}\n]"),
    ] {
        for piece in 1..=stream.len() {
            let first = first_event(&stream, piece);
            let text = String::from_utf8_lossy(&stream);
            match first {
                First::Error(_) => assert!(is_error, "{text} in pieces of {piece}"),
                First::Healthy => assert!(!is_error, "{text} in pieces of {piece}"),
                First::Undecided => panic!("{text} in pieces of {piece} is undecided"),
            }
        }
    }
}

#[test]
fn a_healthy_stream_is_known_by_its_first_event_and_no_later() {
    let mut first = FirstEvent::default();
    assert_eq!(first.feed(b": keep-alive\n\n"), First::Undecided);
    assert_eq!(first.feed(b"data: {\"error\":null"), First::Undecided);
    assert_eq!(first.feed(b"}\n"), First::Undecided);
    assert_eq!(first.feed(b"\n"), First::Healthy);
    assert_eq!(FirstEvent::default().finish(), First::Undecided);
    let complaint = b"data: {\"status\":\"error\",\"message\":\"so it is\"}\n\n";
    assert_eq!(FirstEvent::default().feed(complaint), First::Healthy, "it may be a job's state");
    assert_eq!(first_event(b": keep-alive\n\n: keep-alive\n\n", 7), First::Undecided);
    assert_eq!(first_event(b"event: ping\ndata: {}\n\n\n\nevent: ping\n\n", 7), First::Undecided);
    for piece in [3, 11] {
        assert_eq!(
            first_event("\u{feff}\u{feff}data:".as_bytes(), piece),
            First::Undecided,
            "the second is no mark"
        );
    }
}

#[test]
fn what_is_held_of_a_stream_is_bounded() {
    for piece in [
        &b"data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"[..],
        b"aaaaaaaaaaaaaa",
        b"                ",
        b"{",
    ] {
        let mut first = FirstEvent::default();
        let fed = (0..70_000).find(|_| first.feed(piece) != First::Undecided);
        assert!(fed.is_some_and(|fed| fed <= 64 * 1024), "{fed:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_and_no_cuts_upset_the_scanner(
        stream in r#"(data:|event:|error|\{"error":|[\[\]{}":,a\r\n \x{feff}]){0,40}"#,
        piece in 1_usize..20,
    ) {
        prop_assert_eq!(first_event(stream.as_bytes(), piece), first_event(stream.as_bytes(), stream.len().max(1)));
        InBody::of(stream.as_bytes());
        judge_in_stream(&HeaderMap::new(), stream.as_bytes(), None, SystemTime::now());
    }
}

#[test]
fn what_fuzzing_found_holds() {
    for (target, check) in [
        ("first_event", fuzz_first_event::check as fn(&[u8])),
        ("verdict", fuzz_verdict::check),
        ("wait", fuzz_wait::check),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let inputs: Vec<Vec<u8>> =
            fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(!inputs.is_empty(), "{target}");
        for input in inputs {
            check(&input);
        }
    }
}

#[test]
fn a_cause_is_read_wherever_it_stands() {
    for (status, body, hoped) in [
        (
            403,
            "<?xml version=\"1.0\"?><e:Error xmlns:e=\"x\"><e:Code>Key.Inactive</e:Code><e:Message>The access key is disabled</e:Message></e:Error>",
            Verdict::KeyInvalid,
        ),
        (
            403,
            "<?xml version=\"1.0\"?><!DOCTYPE html><html><title>api key disabled</title></html>",
            Verdict::UpstreamFault,
        ),
        (403, "<message>", Verdict::UpstreamFault),
        (400, r#"{"err":{"msg":"The API key is not recognised"}}"#, Verdict::KeyInvalid),
        (400, r#"{"status_code":2,"status_message":"Insufficient balance"}"#, Verdict::KeyExhausted),
        (403, r#"{"error":{"status":"DENIED","reason":"API key was deleted"}}"#, Verdict::KeyInvalid),
        (
            403,
            r#"{"errors":[{"detail":"<!DOCTYPE html><title>Just a moment...</title>"}]}"#,
            Verdict::UpstreamFault,
        ),
    ] {
        let (told, rule, _) = verdict(status, body);
        assert_eq!(told, hoped, "{status} {body}: {rule}");
    }
}

/// The client's own text stands in what is wrong with the request: without quotation marks, too.
#[test]
fn what_blames_a_key_blames_none_where_a_request_repeats_it() {
    #[derive(serde::Deserialize)]
    struct Wording {
        says: String,
    }
    let wordings: Vec<Wording> = serde_json::from_str(include_str!("corpus/wordings.json")).unwrap();
    let frames: [fn(&str) -> String; 6] = [
        |says| format!("Invalid value for messages[0].content: '{says}'"),
        |says| format!("messages.3.content.0.text: {says} is not allowed here"),
        |says| format!("Could not parse the JSON of your request: {says}"),
        |says| format!("Unable to download the image: the server of it answered \"{says}\""),
        |says| format!("Invalid model: {says}"),
        |says| format!("参数 content 无效：{says}"),
    ];
    let mut wrong = Vec::new();
    for Wording { says } in &wordings {
        for frame in frames {
            let says = frame(says);
            for status in [400, 404, 413, 422] {
                let (told, rule, _) = verdict(status, &json!({"error": {"message": says}}).to_string());
                if told != Verdict::RequestFault {
                    wrong.push(format!("{status} {says}: {} by {rule}", told.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
