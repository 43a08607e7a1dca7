//! Spec §11: one line a request, for people or for machines, and never a secret.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{A, B, GptLoad, Peer, TOKEN, chat_with, eventually, provider};

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
fn a_failed_requests_line_says_why_and_a_good_ones_does_not() {
    let mock = provider(&[(A, "fails 503"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("KEY_COOLDOWN", "1")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    let line = gpt_load.logged("the one that was healed", |line| is_request(line) && line["status"] == 200);
    assert!(line["attempts"] == 2 && line.get("error").is_none(), "{line}");

    let alone = GptLoad::before(&mock, &[("MAX_RETRIES", "0")], &[A]);
    alone.chat();
    let line = alone.logged("what the upstream said", |line| is_request(line) && line["status"] == 503);
    assert!(line["error"].as_str().is_some_and(|error| error.contains("had an error")), "{line}");
    alone.raw().send("GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n").rest();
    let line = alone.logged("the one without a host", |line| is_request(line) && line["status"] == 400);
    assert!(line["error"].as_str().is_some_and(|error| error.contains("Host header")), "{line}");

    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for format in ["json", "text"] {
        let env = [("OPENAI_BASE_URL", &*url), ("MAX_RETRIES", "0"), ("LOG_FORMAT", format)];
        let alone = GptLoad::start(&env, &[A]);
        assert_eq!(alone.chat().refused(), (502, "upstream_unreachable".to_owned()));
        let line = alone.line("the request", |line| line.contains("upstream_fault").then(|| line.to_owned()));
        assert!(line.contains("efused (os error"), "{line}");
        let quoted = if format == "json" { r#","error":""# } else { r#" end=upstream_fault error=""# };
        assert!(line.contains(quoted), "{line}");
    }
}

#[test]
fn a_key_that_an_upstream_quotes_is_not_in_the_line_that_says_why() {
    let said = format!(r#"{{"error":{{"message":"{B} and\n\u001b[31m{A} are odd"}}}}"#);
    let peer = Peer::answering(format!(
        "HTTP/1.1 422 X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    ));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    gpt_load.chat();
    let line = gpt_load.logged("the request", is_request);
    assert_eq!(line["error"], "sk-test-...0002 and [31msk-test-...0001 are odd");
}

#[test]
fn an_answer_that_breaks_off_says_why_in_its_line() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                  15\r\ndata: {\"choices\":[]}\n\r\n2\r\n\n\n\r\n5\r\nda";
    let peer = Peer::start(move |wire| {
        wire.request();
        wire.send(broken).finish();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    gpt_load.chat();
    let line = gpt_load.logged("the request", is_request);
    assert_eq!(line["message"], "broken_answer");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("broke the answer off")), "{line}");
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
