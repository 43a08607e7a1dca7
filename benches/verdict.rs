//! What judging costs: `cargo bench --bench verdict`. An error body of 1 KiB in less than 20 µs, 64 KiB of hostile text
//! bounded, a healthy answer next to nothing.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use gpt_load::verdict::{self, Answer, First, FirstEvent, InBody};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn main() {
    divan::main();
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    fields.iter().map(field).collect()
}

fn judge(bencher: Bencher<'_, '_>, status: StatusCode, body: &[u8]) {
    let headers = headers(&[("content-type", "application/json"), ("retry-after", "20")]);
    bencher
        .bench(|| verdict::judge(black_box(&Answer { status, headers: &headers, body, model: None }), NOW));
}

/// An error of 1 KiB that a code decides.
#[divan::bench]
fn known_by_its_code(bencher: Bencher<'_, '_>) {
    let text = "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM). Please try again in 20s. ";
    let body = format!(
        r#"{{"error":{{"message":"{}","type":"tokens","param":null,"code":"rate_limit_exceeded"}}}}"#,
        text.repeat(9)
    );
    judge(bencher, StatusCode::TOO_MANY_REQUESTS, body.as_bytes());
}

/// An error of 1 KiB that no row knows: all of them are read.
#[divan::bench]
fn known_by_its_status(bencher: Bencher<'_, '_>) {
    let text = "Something went wrong while we were looking at what you had asked us for, and nobody knows why that is. ";
    let body =
        format!(r#"{{"error":{{"message":"{}","type":"odd","param":null,"code":"E17"}}}}"#, text.repeat(9));
    judge(bencher, StatusCode::TOO_MANY_REQUESTS, body.as_bytes());
}

/// The same with the statuses of which most rows are, and in characters.
#[divan::bench(args = [(400, "en"), (401, "en"), (403, "en"), (404, "en"), (403, "zh"), (403, "zh-Hant")])]
fn known_by_nothing(bencher: Bencher<'_, '_>, (status, language): (u16, &str)) {
    let text = match language {
        "en" => {
            "Something was odd while we were looking at what you had asked us for, and nobody knows why that is. "
        }
        "zh" => "我们在看您所问的事情时遇到了一些奇怪的情况，目前没有人知道这是为什么。",
        _ => "我們在看您所問的事情時遇到了一些奇怪的情況，目前沒有人知道這是為什麼。",
    };
    let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, text.repeat(960 / text.len()));
    judge(bencher, StatusCode::from_u16(status).unwrap(), body.as_bytes());
}

/// 64 KiB made to be slow.
#[divan::bench(args = ["nested", "quotes", "codes", "messages", "dates", "members", "units", "braces"])]
fn hostile(bencher: Bencher<'_, '_>, kind: &str) {
    let (begin, piece, end) = match kind {
        "nested" => ("", "[", ""),
        "quotes" => ("", "'a \"b `", ""),
        "codes" => ("{\"x\":", "\"code\":\"", ""),
        "messages" => ("{", "\"message\":\"a\",", ""),
        "dates" => ("{\"error\":\"resets ", "2026-10-07 ", "\"}"),
        "members" => ("{\"error\":{\"a\":[", "{\"code\":1},", "0]}}"),
        "units" => ("{\"error\":\"try again in ", "1s wait ", "\"}"),
        _ => ("{\"error\":\"error code: ", "{'", "\"}"),
    };
    let body = format!("{begin}{}{end}", piece.repeat(64 * 1024 / piece.len()));
    judge(bencher, StatusCode::TOO_MANY_REQUESTS, body.as_bytes());
}

/// What every answer pays for the look ahead.
#[divan::bench(args = ["absent", "left", "spent"])]
fn ahead(bencher: Bencher<'_, '_>, kind: &str) {
    let mut headers = headers(&[
        ("date", "Tue, 24 Nov 2026 05:00:00 GMT"),
        ("content-type", "application/json"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-processing-ms", "120"),
        ("openai-version", "2020-10-01"),
        ("x-request-id", "req_1"),
        ("strict-transport-security", "max-age=31536000"),
        ("cf-cache-status", "DYNAMIC"),
        ("x-content-type-options", "nosniff"),
        ("server", "cloudflare"),
        ("cf-ray", "8f"),
        ("alt-svc", "h3"),
    ]);
    if kind != "absent" {
        let left = if kind == "spent" { "0" } else { "59" };
        headers.insert("x-ratelimit-limit-requests", HeaderValue::from_static("60"));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static(left));
        headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from_static("149984"));
        headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("1s"));
        headers.insert("x-ratelimit-reset-tokens", HeaderValue::from_static("6m0s"));
    }
    bencher
        .bench(|| verdict::ahead(black_box(&headers), 0, || NOW + Duration::from_secs(1), Duration::default));
}

/// What a healthy stream pays for its first event.
#[divan::bench]
fn first_event(bencher: Bencher<'_, '_>) {
    let event = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\
                 \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    bencher.bench(|| FirstEvent::default().feed(black_box(event.as_bytes())) == First::Healthy);
}

/// What a healthy body of 4 KiB pays for the look whether it is an error.
#[divan::bench]
fn healthy_body(bencher: Bencher<'_, '_>) {
    let body = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "all is well ".repeat(340));
    bencher.bench(|| InBody::of(black_box(body.as_bytes())) == InBody::Error);
}
