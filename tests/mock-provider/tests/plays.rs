//! What each play looks like to a client, byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "tests"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Options, Play, sha256, text};
use serde_json::{Value, json};

struct Answer {
    head: String,
    body: Vec<u8>,
    error: Option<ErrorKind>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Sends a request on a connection of its own and reads until the end, however it comes.
fn send(mock: &Mock, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(mock.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nhost: mock\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let (mut got, mut error) = (Vec::new(), None);
    if let Err(failed) = stream.read_to_end(&mut got) {
        error = Some(failed.kind());
    }
    let end = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(got.len());
    let body = got.get(end + 4..).unwrap_or_default().to_vec();
    Answer { head: String::from_utf8_lossy(&got[..end]).into_owned(), body, error }
}

fn chat(mock: &Mock, key: &str, body: &Value) -> Answer {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/json"
    );
    send(mock, &head, &body.to_string())
}

fn mock(plays: &[(&str, &str)]) -> Mock {
    let keys = plays.iter().map(|(key, play)| ((*key).to_owned(), play.parse().unwrap())).collect();
    Mock::start(Options { keys, ..Options::default() })
}

#[test]
fn a_valid_key_is_answered_with_the_tokens_that_were_asked_for() {
    let mock = mock(&[("sk-a", "valid")]);
    let answer = chat(&mock, "sk-a", &json!({"model": "m", "max_tokens": 20, "mock": {"size": 12}}));
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], json!(text(20, 12)));
    assert_eq!(answer.json()["usage"]["completion_tokens"], 20);
    let body =
        json!({"model": "m", "stream": true, "max_tokens": 3, "stream_options": {"include_usage": true}});
    let stream = chat(&mock, "sk-a", &body).text();
    assert_eq!(stream.matches("data: ").count(), 7, "{stream}");
    assert!(stream.contains("data: [DONE]"), "{stream}");
    assert!(stream.contains(r#""usage":{"prompt_tokens":9"#), "{stream}");
    assert_eq!((mock.key("sk-a").asked, mock.key("sk-a").statuses[&200]), (2, 2));
    let seen = mock.seen();
    assert_eq!(seen[0].target, "/v1/chat/completions");
    assert_eq!(seen[0].json()["max_tokens"], 20);
    assert_eq!(seen[0].body_sha256, sha256(seen[0].body.as_deref().unwrap().as_bytes()));
    assert!(seen[0].finished && !seen[0].hung_up);
}

#[test]
fn each_provider_refuses_in_its_own_words() {
    let mock = mock(&[("old", "revoked"), ("poor", "out_of_quota"), ("narrow", "model_denied m")]);
    let body = r#"{"model": "m"}"#;
    let json = "content-type: application/json";
    for (request, status, want) in [
        ("/v1/chat/completions HTTP/1.1\r\nauthorization: Bearer old", 401, "invalid_api_key"),
        ("/v1/chat/completions HTTP/1.1\r\nauthorization: Bearer poor", 429, "insufficient_quota"),
        ("/v1/chat/completions HTTP/1.1\r\nauthorization: Bearer narrow", 404, "model_not_found"),
        ("/v1/chat/completions HTTP/1.1\r\nx-api-key: old", 401, "You didn't provide an API key"),
        ("/v1/messages HTTP/1.1\r\nx-api-key: old", 401, "invalid x-api-key"),
        ("/v1/messages HTTP/1.1\r\nx-api-key: poor", 400, "Your credit balance is too low"),
        ("/v1beta/models/m:generateContent?key=old HTTP/1.1\r\na: b", 400, "API_KEY_INVALID"),
        ("/v1beta/models/m:generateContent HTTP/1.1\r\nx-goog-api-key: narrow", 404, "models/m is not found"),
        (
            "/v1beta/models/m:generateContent HTTP/1.1\r\nauthorization: Bearer old",
            403,
            "unregistered callers",
        ),
        (
            "/openai/deployments/m/chat/completions?api-version=1 HTTP/1.1\r\napi-key: old",
            401,
            "invalid subscription key",
        ),
        ("/base/v1/embeddings HTTP/1.1\r\nauthorization: Bearer nobody", 401, "invalid_api_key"),
    ] {
        let answer = send(&mock, &format!("POST {request}\r\n{json}"), body);
        assert_eq!(answer.status(), status, "{request}");
        assert!(answer.text().contains(want), "{request}: {}", answer.text());
    }
}

#[test]
fn a_rate_limited_key_tells_its_limits_and_is_served_again_in_time() {
    let mock = mock(&[("sk-a", "rate_limited requests=2 per=1s"), ("an", "rate_limited tokens=5")]);
    let body = json!({"model": "m", "max_tokens": 5});
    let first = chat(&mock, "sk-a", &body);
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(chat(&mock, "sk-a", &body).status(), 200);
    let began = Instant::now();
    let refused = chat(&mock, "sk-a", &body);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let wait = Duration::from_millis(refused.header("retry-after-ms").unwrap().parse().unwrap());
    // The list of models is free.
    assert_eq!(send(&mock, "GET /v1/models HTTP/1.1\r\nauthorization: Bearer sk-a", "").status(), 200);
    std::thread::sleep((wait + Duration::from_millis(20)).saturating_sub(began.elapsed()));
    assert_eq!(chat(&mock, "sk-a", &body).status(), 200);
    let message = || {
        send(
            &mock,
            "POST /v1/messages HTTP/1.1\r\nx-api-key: an\r\ncontent-type: application/json",
            &body.to_string(),
        )
    };
    assert_eq!(message().header("anthropic-ratelimit-tokens-remaining"), Some("0"));
    let refused = message();
    assert_eq!((refused.status(), refused.header("retry-after-ms")), (429, None));
    assert!(refused.header("retry-after").is_some(), "{}", refused.head);
}

#[test]
fn broken_answers_break_where_they_should() {
    let mock = mock(&[
        ("before", "resetting before_head"),
        ("after", "resetting after_head"),
        ("middle", "resetting mid_body"),
        ("dying", "dying 3"),
        ("first", "first_event_error rate_limited"),
        ("envelope", "envelope"),
        ("garbage", "garbage"),
        ("length", "wrong_length"),
    ]);
    let ask = |key, stream| chat(&mock, key, &json!({"model": "m", "stream": stream, "max_tokens": 9}));
    let before = ask("before", true);
    assert_eq!((before.head.as_str(), before.error), ("", Some(ErrorKind::ConnectionReset)));
    let after = ask("after", true);
    assert_eq!((after.status(), after.body.len(), after.error), (200, 0, Some(ErrorKind::ConnectionReset)));
    let middle = ask("middle", false);
    assert_eq!((middle.status(), middle.error), (200, Some(ErrorKind::ConnectionReset)));
    let promised: usize = middle.header("content-length").unwrap().parse().unwrap();
    assert_eq!(middle.body.len(), promised / 2);
    let dying = ask("dying", true);
    assert_eq!(dying.error, None);
    assert_eq!(dying.text().matches("data: ").count(), 3);
    assert!(!dying.text().ends_with("0\r\n\r\n"));
    let first = ask("first", true);
    assert_eq!(first.status(), 200);
    assert!(first.text().contains("rate_limit_exceeded"), "{}", first.text());
    assert!(ask("envelope", false).json()["error"].is_object());
    assert_eq!(ask("garbage", false).status(), 0);
    assert_eq!(ask("length", false).body.len(), 5);
}

#[test]
fn plays_follow_one_another_and_phases_stand_above_them() {
    let mock = mock(&[("sk-a", "revoked x2 then valid"), ("sk-b", "flapping 3")]);
    let ask = |key| chat(&mock, key, &json!({"model": "m"})).status();
    assert_eq!([ask("sk-a"), ask("sk-a"), ask("sk-a"), ask("sk-a")], [401, 401, 200, 200]);
    assert_eq!([ask("sk-b"), ask("sk-b"), ask("sk-b"), ask("sk-b")], [200, 200, 500, 200]);
    mock.phase(Some(Play::Fails(503)));
    assert_eq!([ask("sk-a"), ask("sk-b")], [503, 503]);
    mock.phase(None);
    assert_eq!(ask("sk-a"), 200);
    mock.phase_between(12, 13, Play::Fails(502));
    assert_eq!([ask("sk-a"), ask("sk-a"), ask("sk-a")], [200, 502, 200]);
}

#[test]
fn a_client_that_hangs_up_is_noticed() {
    let mock = mock(&[("sk-a", "valid")]);
    let mut stream = TcpStream::connect(mock.address()).unwrap();
    write!(
        stream,
        "GET /v1/models?mock=delay%3D60s HTTP/1.1\r\nhost: m\r\nauthorization: Bearer sk-a\r\n\r\n"
    )
    .unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while mock.requests() == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    drop(stream);
    while mock.key("sk-a").hung_up == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(mock.seen()[0].hung_up);
}

#[test]
fn it_is_steered_over_http_too() {
    let mock = mock(&[("sk-a", "valid")]);
    let post = |path: &str, body: &Value| {
        send(&mock, &format!("POST /_mock/{path} HTTP/1.1"), &body.to_string()).status()
    };
    let ask = |key| chat(&mock, key, &json!({"model": "m"}));
    let answer =
        json!({"answer": {"status": 418, "headers": [["x-a", "b"]], "body": "tea", "encoding": "gzip"}});
    assert_eq!(post("play", &json!({"key": "sk-a", "play": answer})), 200);
    let teapot = ask("sk-a");
    assert_eq!(
        (teapot.status(), teapot.header("x-a"), &teapot.body[..2]),
        (418, Some("b"), &b"\x1f\x8b"[..])
    );
    assert_eq!(post("play", &json!({"unknown": "valid"})), 200);
    assert_eq!(ask("sk-z").status(), 200);
    assert_eq!(post("phase", &json!({"play": "revoked"})), 200);
    assert_eq!(ask("sk-z").status(), 401);
    let seen = send(&mock, "GET /_mock/seen HTTP/1.1", "").json();
    assert_eq!((seen["requests"].as_u64(), seen["keys"]["sk-z"]["asked"].as_u64()), (Some(3), Some(2)));
    assert_eq!(seen["exchanges"][0]["status"], 418);
    assert_eq!(post("reset", &Value::Null), 200);
    assert_eq!(ask("sk-a").status(), 418);
    assert_eq!(mock.requests(), 1);
    assert_eq!(post("play", &json!({"key": "sk-a", "play": "dead"})), 400);
}
