//! Spec §11: one line a request, for people or for machines, and never a secret.

use std::fs;

use serde_json::{Value, json};

use crate::support::{A, B, GptLoad, TOKEN, chat_with, eventually, provider};

const CHAT: &str = "/v1/chat/completions";

fn is_request(line: &Value) -> bool {
    line["request_id"].is_string()
}

fn requests(gpt_load: &GptLoad) -> Vec<Value> {
    gpt_load.log().into_iter().filter(is_request).collect()
}

#[test]
fn a_request_is_one_line_with_the_contracts_fields() {
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = gpt_load.chat();
    let line = gpt_load.logged("the request", is_request);
    let names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let want = [
        "timestamp",
        "level",
        "message",
        "request_id",
        "method",
        "path",
        "status",
        "key_index",
        "key_preview",
        "upstream",
        "attempts",
        "ttfb_ms",
        "duration_ms",
        "bytes",
    ];
    assert_eq!(names, want);
    assert_eq!(
        (&line["level"], &line["method"], &line["path"]),
        (&json!("info"), &json!("POST"), &json!(CHAT))
    );
    assert_eq!((&line["status"], &line["attempts"], &line["key_index"]), (&json!(200), &json!(2), &json!(1)));
    assert_eq!((&line["key_preview"], &line["upstream"]), (&json!("sk-test-...0002"), &json!(mock.url())));
    assert_eq!(line["bytes"], answer.body.len());
    assert!(line["ttfb_ms"].as_f64() <= line["duration_ms"].as_f64(), "{line}");
    assert_eq!(requests(&gpt_load).len(), 1);
}

#[test]
fn the_level_tells_how_bad_it_was() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "0"), ("AUTH_KEY", TOKEN)], &[A]);
    for (play, status, level) in
        [("valid", 200, "info"), ("fails 422", 422, "warn"), ("fails 503", 503, "error")]
    {
        mock.play(A, play.parse().unwrap());
        gpt_load.get("/v1/models").bearer(TOKEN).send();
        let line = gpt_load.logged(play, |line| is_request(line) && line["status"] == status);
        assert_eq!(line["level"], level, "{line}");
    }
    gpt_load.get("/v1/models").send();
    let line = gpt_load.logged("the refused one", |line| is_request(line) && line["status"] == 401);
    assert_eq!(
        (&line["level"], &line["key_index"], &line["attempts"]),
        (&json!("warn"), &Value::Null, &json!(0))
    );
}

#[test]
fn a_stream_is_logged_when_it_ends_and_a_client_that_left_is_no_error() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let slow = chat_with(json!({"stream": true, "max_tokens": 1000, "mock": {"pace": "20ms"}}));
    let mut stream = gpt_load.post(CHAT).json(&slow).open();
    assert!(stream.next().unwrap().is_ok());
    assert_eq!(requests(&gpt_load), Vec::<Value>::new());
    drop(stream);
    let line = gpt_load.logged("the request", is_request);
    assert_eq!((&line["message"], &line["level"]), (&json!("client_gone"), &json!("info")));
}

#[test]
fn keys_in_a_query_are_hidden() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN)], &[A]);
    let path = format!("/v1beta/models/gemini-2.5-flash:generateContent?key={TOKEN}&alt=json");
    gpt_load.post(&path).json(&json!({})).send();
    gpt_load.get("/v1/models?a=b&k%65y=a-wrong-token-0000").send();
    let line = gpt_load.logged("the request", |line| line["status"] == 200 && is_request(line));
    assert_eq!(line["path"], "/v1beta/models/gemini-2.5-flash:generateContent?key=****&alt=json");
    gpt_load.logged("the wrong one", |line| line["status"] == 401);
    assert!(!gpt_load.output().contains("a-wrong-token"), "{}", gpt_load.output());
}

#[test]
fn monitoring_is_logged_only_when_it_fails_and_as_any_request_is() {
    let gpt_load = GptLoad::start(&[("AUTH_KEY", TOKEN)], &[A]);
    gpt_load.get("/health").send();
    gpt_load.get("/stats?key=not-the-right-token").send();
    let line = gpt_load.logged("the refused one", |line| line["path"] == "/stats?key=****");
    assert_eq!((&line["level"], &line["status"]), (&json!("warn"), &json!(401)));
    assert!(is_request(&line) && line["method"] == "GET" && line["duration_ms"].is_number(), "{line}");
    assert!(!gpt_load.output().contains("/health"), "{}", gpt_load.output());
}

#[test]
fn a_pool_without_a_key_is_an_error_in_monitorings_line() {
    let mock = provider(&[(A, "revoked")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    gpt_load.chat();
    assert_eq!(gpt_load.get("/health").send().status, 503);
    let line = gpt_load.logged("the failed one", |line| line["path"] == "/health");
    assert_eq!((&line["level"], &line["status"]), (&json!("error"), &json!(503)));
}

#[test]
fn preflights_and_requests_refused_for_their_head_have_their_line_too() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    gpt_load.raw().send("GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n").rest();
    let asked = gpt_load.ask("OPTIONS", "/v1/files").header("origin", "https://a.example");
    asked.header("access-control-request-method", "POST").send();
    let line = gpt_load.logged("the refused one", |line| line["status"] == 400);
    assert_eq!((&line["path"], &line["level"]), (&json!("/v1/models"), &json!("warn")));
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["bad_request"], 1);
    let line = gpt_load.logged("the preflight", |line| line["method"] == "OPTIONS");
    assert_eq!((&line["status"], &line["level"]), (&json!(204), &json!("info")));
}

#[test]
fn log_level_and_log_enable_request_say_what_is_logged() {
    let mock = provider(&[(A, "valid")]);
    let quiet = GptLoad::before(&mock, &[("LOG_ENABLE_REQUEST", "false")], &[A]);
    let debug = GptLoad::before(&mock, &[("LOG_LEVEL", "debug"), ("MAX_RETRIES", "0")], &[A]);
    quiet.chat();
    mock.play(A, "fails 503".parse().unwrap());
    quiet.chat();
    quiet.signal("HUP");
    quiet.said("keys file reloaded");
    assert_eq!(requests(&quiet), Vec::<Value>::new());
    debug.chat();
    debug.logged("a line for developers", |line| line["level"] == "debug");
}

#[test]
fn the_log_file_is_written_too_and_reopened_on_a_hangup() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("LOG_ENABLE_FILE", "true")], &[A]);
    let file = gpt_load.folder().join("logs/app.log");
    let lines = |path: &std::path::Path| {
        fs::read_to_string(path).map_or(0, |text| text.matches("request_id").count())
    };
    gpt_load.chat();
    eventually("the line is in the file", || lines(&file) == 1);
    assert!(!fs::read_to_string(&file).unwrap().contains(A));
    let moved = gpt_load.folder().join("logs/app.log.1");
    fs::rename(&file, &moved).unwrap();
    gpt_load.signal("HUP");
    gpt_load.said("keys file reloaded");
    gpt_load.chat();
    eventually("the line is in the new file", || lines(&file) == 1);
    assert_eq!(lines(&moved), 1);
}

#[test]
fn what_would_break_a_line_does_not() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let target = r#"/v1/%0a%22{"b":'c'}d?x='"#;
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = gpt_load.raw().send(request).rest();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(gpt_load.logged("the request", is_request)["path"], target);
    assert_eq!(mock.seen()[0].target, target);
}
