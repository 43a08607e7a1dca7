//! Spec §4, §9: how much and how long a client may take, and what becomes of requests that are none.

use std::time::{Duration, Instant};

use mock_provider::{Play, Step};
use serde_json::json;

use crate::support::{A, GptLoad, Raw, chat, chat_with, eventually, provider};

const CHAT: &str = "/v1/chat/completions";

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let large = "x".repeat(70 * 1024);
    let many = |mut ask: crate::support::Ask, count| {
        for number in 0..count {
            ask = ask.header(&format!("x-{number}"), "y");
        }
        ask
    };
    for path in ["/v1/models", "/health"] {
        assert_eq!(gpt_load.get(path).header("x-large", &large).send().status, 431, "{path}");
        assert_eq!(gpt_load.get(path).http2().header("x-large", &large).send().status, 431, "{path}");
    }
    assert_eq!(many(gpt_load.get("/v1/models"), 101).send().status, 431);
    assert_eq!(many(gpt_load.get("/v1/models").http2(), 101).send().status, 431);
    assert_eq!(mock.requests(), 0);
    assert_eq!(gpt_load.get("/v1/models").header("x-large", &large[..60 * 1024]).send().status, 200);
    assert_eq!(many(gpt_load.get("/v1/models"), 90).send().status, 200);
}

#[test]
fn what_is_no_request_is_counted_and_told_in_the_log() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let many: String = (0..120).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    for (head, want) in [
        ("GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "400"),
        ("\u{1}\u{2} garbage\r\n\r\n", "400"),
        ("GET / HTTP/7.0\r\n\r\n", "505"),
        (&*many, "431"),
    ] {
        let counted = || gpt_load.told("/stats")["requests"]["failures"]["bad_request"].as_u64().unwrap();
        let before = counted();
        assert_eq!(status(&gpt_load.raw().send(head).rest()), want, "{head:.40}");
        eventually("it is counted", || counted() == before + 1);
    }
    // Nobody waited for it: among the times that requests took it has none.
    assert!(gpt_load.get("/metrics").send().text().contains("\ngpt_load_request_duration_seconds_count 0\n"));
    let line = gpt_load.said("refused what is no request");
    assert_eq!((&line["level"], line["error"].is_string()), (&"warn".into(), true), "{line}");
    // Who says nothing, or leaves half way, has asked for nothing.
    gpt_load.raw().send("GET / HT").finish().rest();
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["bad_request"], 4);
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_REQUEST_BODY", "100K")], &[A]);
    let too_large = (413, "request_too_large".to_owned());
    let body = "x".repeat(100 * 1024 + 1);
    assert_eq!(gpt_load.post("/v1/echo").body(body.clone()).send().refused(), too_large);
    assert_eq!(gpt_load.post("/v1/echo").http2().body(body.clone()).send().refused(), too_large);
    let mut raw = gpt_load.raw();
    raw.send("POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    raw.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(status(&raw.rest()), "413");
    assert_eq!(mock.requests(), 0);
    assert_eq!(gpt_load.post("/v1/echo").body(body[..100 * 1024].to_owned()).send().status, 200);
}

#[test]
fn a_body_that_grows_too_large_while_it_streams_is_refused() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_REQUEST_BODY", "100K"), ("MAX_REPLAY_BODY", "10K")], &[A]);
    let body = "x".repeat(200 * 1024);
    let mut raw = gpt_load.raw();
    raw.send("POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    raw.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(status(&raw.rest()), "413");
    eventually("the provider sees that the request is broken off", || mock.key(A).hung_up == 1);
    assert_eq!(gpt_load.healthy_keys(), 1);
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 0);
}

#[test]
fn a_request_that_does_not_arrive_in_time_is_told_so() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("SERVER_READ_TIMEOUT", "1")], &[A]);
    let began = Instant::now();
    let (mut head, mut body) = (gpt_load.raw(), gpt_load.raw());
    head.send("GET /v1/mod");
    body.send("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(status(&head.rest()), "408");
    let answer = body.rest();
    assert_eq!(status(&answer), "408");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(mock.requests(), 0);
}

#[test]
fn a_connection_without_requests_is_closed() {
    let gpt_load = GptLoad::start(&[("SERVER_IDLE_TIMEOUT", "1"), ("SERVER_READ_TIMEOUT", "1")], &[A]);
    let began = Instant::now();
    let (mut new, mut used) = (gpt_load.raw(), gpt_load.raw());
    used.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").until("alive");
    assert_eq!((new.rest(), used.rest()), (String::new(), String::new()));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("SERVER_WRITE_TIMEOUT", "1")], &[A]);
    let body = chat_with(json!({"stream": true, "max_tokens": 300, "mock": {"size": 50_000}})).to_string();
    let mut raw = gpt_load.raw();
    let length = body.len();
    raw.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"));
    eventually("the provider sees it", || mock.key(A).hung_up == 1);
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn no_more_requests_run_at_once_than_allowed() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_CONCURRENT_REQUESTS", "2")], &[A]);
    let slow = chat_with(json!({"stream": true, "max_tokens": 1000, "mock": {"pace": "1s"}}));
    let streams = [0, 1].map(|_| gpt_load.post(CHAT).json(&slow).open());
    let refused = gpt_load.chat();
    assert_eq!(refused.refused(), (429, "too_many_concurrent_requests".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/health", "/livez", "/readyz", "/stats", "/blacklist"] {
        assert_eq!(gpt_load.get(path).send().status, 200, "{path}");
    }
    assert_eq!(gpt_load.told("/stats")["requests"]["running"], 2);
    assert_eq!(mock.requests(), 2);
    drop(streams);
    eventually("there is room again", || gpt_load.chat().status == 200);
}

#[test]
fn what_is_no_request_is_refused_and_harms_no_other() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let slow = chat_with(json!({"stream": true, "max_tokens": 20, "mock": {"pace": "50ms"}}));
    let other = gpt_load.post(CHAT).json(&slow).open();
    for (request, want) in [
        ("\r\n\r\n\r\nnonsense\r\n\r\n", "400"),
        ("GET /v1/models\r\n\r\n", "400"),
        ("GET /v1/models HTTP/1.1\r\nhost x\r\n\r\n", "400"),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\nbad name: y\r\n\r\n", "400"),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n", "400"),
        ("GET /v1/mo dels HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n", "400"),
        ("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", "400"),
        ("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "400"),
        ("POST /v1/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nab", "400"),
        ("POST /v1/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
        ("GET /v1/models HTTP/1.1\r\n\r\n", "400"),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", "400"),
        ("GET /v1/models HTTP/1.1\r\nhost: x/y\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: me@x\r\n\r\n", "400"),
        ("GET api.openai.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        (
            "POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "400",
        ),
        (
            "CONNECT api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\nconnection: close\r\n\r\n",
            "501",
        ),
    ] {
        let mut raw = gpt_load.raw();
        let answer = raw.send(request).finish().rest();
        assert!(answer.is_empty() || status(&answer) == want, "{request:?}: {answer}");
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense, not frames",
    ] {
        let mut raw = gpt_load.raw();
        raw.send(bytes).finish().rest();
    }
    assert_eq!(mock.requests(), 1);
    let (rest, whole) = other.rest();
    assert!(whole && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(gpt_load.chat().status, 200);
}

#[test]
fn a_request_of_two_lengths_is_never_forwarded_as_two() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut raw = gpt_load.raw();
    raw.send("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n");
    raw.send("0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n");
    raw.finish().rest();
    let smuggled = mock.seen().into_iter().filter(|seen| {
        seen.header("content-length").is_some() && seen.header("transfer-encoding").is_some()
            || seen.body.as_deref().is_some_and(|body| body.contains("smuggled"))
    });
    assert_eq!(smuggled.count(), 0);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut raw: Raw = gpt_load.raw();
    let post = |body: &str, more: &str| {
        format!("POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len())
    };
    raw.send(post("first", "") + &post("second", "") + &post("third", "connection: close\r\n"));
    let answers = raw.rest();
    let at = |word: &str| answers.find(word).unwrap_or_else(|| panic!("{word}: {answers}"));
    assert!(at("first") < at("second") && at("second") < at("third"));
}

#[test]
fn many_clients_at_once_are_all_served_whole() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_CONCURRENT_REQUESTS", "1000")], &[A]);
    let stream = chat_with(json!({"stream": true, "max_tokens": 20, "mock": {"pace": "5ms"}}));
    let plain = chat();
    let begun: Vec<_> = (0..200)
        .map(|number| {
            let ask = gpt_load.post(CHAT).json(if number % 2 == 0 { &stream } else { &plain });
            if number % 3 == 0 { ask.http2() } else { ask }.begin()
        })
        .collect();
    for request in begun {
        let stream = request.open();
        assert_eq!(stream.status, 200);
        assert!(stream.rest().1);
    }
    assert_eq!(mock.requests(), 200);
}

#[test]
fn stalled_bodies_hold_no_place() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_CONCURRENT_REQUESTS", "2")], &[A]);
    let stalled: Vec<_> = (0..5)
        .map(|_| {
            let mut raw = gpt_load.raw();
            raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"a\":");
            raw
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    drop(stalled);
}

#[test]
fn an_error_whose_body_does_not_come_is_told_when_the_time_is_over() {
    let mock = provider(&[]);
    let head = b"HTTP/1.1 500 X\r\ncontent-length: 1000\r\n\r\n".to_vec();
    mock.play(A, Play::Raw(vec![Step::Write(head), Step::Hang]));
    let gpt_load = GptLoad::before(&mock, &[("REQUEST_TIMEOUT", "2"), ("MAX_RETRIES", "0")], &[A]);
    let answer = gpt_load.chat();
    assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "upstream_timeout"), "{}", answer.text());
}

#[test]
fn an_answer_in_http_1_0_is_passed_on_in_our_own_version() {
    let mock = provider(&[]);
    let text = b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nhalf of it".to_vec();
    mock.play(A, Play::Raw(vec![Step::Write(text), Step::Reset]));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.raw().send("GET /v1/x HTTP/1.1\r\nhost: x\r\n\r\n").until_or_end("\r\n0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "cut, not ended: {answer}");
}
