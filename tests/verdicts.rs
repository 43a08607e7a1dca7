//! Spec §6: what answers of real providers mean. A case is a line of `tests/corpus/answers.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, SystemTime};

use gpt_load::verdict::{Answer, Verdict, judge};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    status: u16,
    headers: serde_json::Map<String, Value>,
    body: Value,
    verdict: String,
}

fn headers(fields: &serde_json::Map<String, Value>) -> HeaderMap {
    let field = |(name, value): (&String, &Value)| {
        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
        (name.parse::<HeaderName>().unwrap(), value)
    };
    fields.iter().map(field).collect()
}

#[test]
fn the_corpus_is_judged_as_it_should_be() {
    let text = include_str!("corpus/answers.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        assert!(!case.source.is_empty(), "{} has no source", case.name);
        let body = case.body.as_str().map_or_else(|| case.body.to_string(), str::to_owned);
        let headers = headers(&case.headers);
        let status = StatusCode::from_u16(case.status).unwrap();
        let judgement =
            judge(&Answer { status, headers: &headers, body: body.as_bytes() }, SystemTime::now());
        if judgement.verdict.name() != case.verdict {
            wrong.push(format!(
                "{}: {} by {}, not {}",
                case.name,
                judgement.verdict.name(),
                judgement.rule,
                case.verdict
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn verdict(status: u16, body: &str) -> (Verdict, &'static str, bool) {
    let status = StatusCode::from_u16(status).unwrap();
    let answer = Answer { status, headers: &HeaderMap::new(), body: body.as_bytes() };
    let judgement = judge(&answer, SystemTime::now());
    (judgement.verdict, judgement.rule, judgement.weak)
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

proptest! {
    #[test]
    fn there_is_always_a_judgement(
        status in 100_u16..1000,
        body in prop::collection::vec(any::<u8>(), 0..2000),
        coding in prop::sample::select(vec!["gzip", "br", "deflate", "zstd", "identity", "gzip, br"]),
        retry in "\\PC{0,20}",
    ) {
        let mut headers = HeaderMap::from_iter([(http::header::CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        if let Ok(retry) = HeaderValue::from_str(&retry) {
            headers.insert(http::header::RETRY_AFTER, retry);
        }
        let status = StatusCode::from_u16(status).unwrap();
        let judgement = judge(&Answer { status, headers: &headers, body: &body }, SystemTime::now());
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
