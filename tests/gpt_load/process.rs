//! Spec §12, §2, §3: the process, from what keeps it from starting to how it ends.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::support::{A, ADMIN, GptLoad, Launch, TOKEN, chat_with, eventually, provider};

const CHAT: &str = "/v1/chat/completions";

fn slow_stream(tokens: u32) -> serde_json::Value {
    chat_with(json!({"stream": true, "max_tokens": tokens, "mock": {"pace": "50ms"}}))
}

#[test]
fn every_wrong_value_is_told_at_once_before_anything_starts() {
    let env = [
        ("PORT", "70000"),
        ("MAX_RETRIES", "many"),
        ("LOG_LEVEL", "loud"),
        ("AUTH_KEY", TOKEN),
        ("BLACKLIST_TRESHOLD", "2"),
    ];
    let ended = Launch::new(&env, &[A]).keys_file(None).run();
    assert_eq!(ended.status, Some(2));
    for word in [
        "KEYS_FILE: keys.txt: no such file",
        "PORT",
        "70000",
        "MAX_RETRIES",
        "many",
        "LOG_LEVEL",
        "loud",
        "BLACKLIST_TRESHOLD",
        "BLACKLIST_THRESHOLD",
    ] {
        assert!(ended.output.contains(word), "{word}: {}", ended.output);
    }
    assert!(!ended.output.contains("address"), "{}", ended.output);
}

#[test]
fn a_taken_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ended = Launch::new(&[("PORT", &port)], &[A]).run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.output.contains(&port) && ended.output.contains("taken"), "{}", ended.output);
}

#[test]
fn a_missing_or_empty_keys_file_is_told() {
    for (keys, words) in [
        (None, "no such file"),
        (Some(&b""[..]), "holds no usable key"),
        (Some(b"# none\n \n"), "holds no usable key"),
    ] {
        let ended = Launch::new(&[], &[]).keys_file(keys).run();
        assert_eq!(ended.status, Some(2));
        assert!(
            ended.output.contains("KEYS_FILE: keys.txt") && ended.output.contains(words),
            "{}",
            ended.output
        );
    }
}

#[test]
fn a_missing_certificate_is_told() {
    let ended = Launch::new(&[("TLS_CERT_FILE", "cert.pem"), ("TLS_KEY_FILE", "key.pem")], &[A]).run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.output.contains("TLS_CERT_FILE") && ended.output.contains("cert.pem"), "{}", ended.output);
}

#[test]
fn an_upstream_that_cant_be_reached_at_start_is_a_warning() {
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", "http://127.0.0.1:1")], &[A]);
    let warning = gpt_load.said("can't reach an upstream");
    assert_eq!((&warning["level"], &warning["upstream"]), (&json!("warn"), &json!("http://127.0.0.1:1")));
}

#[test]
fn it_starts_with_a_dot_env_file_and_the_environment_stands_above_it() {
    let launch = Launch::new(&[("LOG_LEVEL", "warn"), ("AUTH_KEY", TOKEN)], &[A]);
    let text = format!("PORT=1\nADMIN_KEY={ADMIN}\nLOG_LEVEL=debug\n");
    std::fs::write(launch.folder().join(".env"), text).unwrap();
    let ended = launch.arguments(&["check"]).run();
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    let line = |name: &str| {
        ended.output.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned()
    };
    assert!(line("LOG_LEVEL").contains("warn"), "{}", ended.output);
    assert!(line("ADMIN_KEY").contains(".env"), "{}", ended.output);
    assert!(!ended.output.contains(ADMIN), "{}", ended.output);
}

#[test]
fn check_prints_what_holds_and_every_problem() {
    let good = Launch::new(&[("AUTH_KEY", TOKEN), ("MAX_RETRIES", "7")], &[A, A]).arguments(&["check"]).run();
    assert_eq!(good.status, Some(0));
    for word in ["MAX_RETRIES", "7", "1 key", "1 duplicate", "No problems."] {
        assert!(good.output.contains(word), "{word}: {}", good.output);
    }
    let bad = Launch::new(&[("PORT", "x"), ("MAX_RETRIES", "y")], &[]).arguments(&["check"]).run();
    assert_eq!(bad.status, Some(2));
    assert!(bad.output.contains("3 problems"), "{}", bad.output);
    let no_certificate = [("TLS_CERT_FILE", "keys.txt"), ("TLS_KEY_FILE", "keys.txt")];
    let bad = Launch::new(&no_certificate, &[A]).arguments(&["check"]);
    std::fs::write(bad.folder().join("keys.txt"), A).unwrap();
    let bad = bad.run();
    assert_eq!(bad.status, Some(2));
    assert!(bad.output.contains("TLS_CERT_FILE: keys.txt: has no certificate"), "{}", bad.output);
    for (variable, path) in
        [("STATE_FILE", "."), ("STATE_FILE", "/dev/null"), ("LOG_FILE_PATH", "other.txt/app.log")]
    {
        let nowhere = [(variable, path), ("LOG_ENABLE_FILE", "true")];
        let bad = Launch::new(&nowhere, &[A]).arguments(&["check"]);
        std::fs::write(bad.folder().join("other.txt"), "").unwrap();
        let bad = bad.run();
        assert_eq!(bad.status, Some(2));
        assert!(bad.output.contains(&format!("{variable}: {path}: ")), "{}", bad.output);
    }
}

#[test]
fn healthcheck_tells_whether_the_server_lives() {
    let gpt_load = GptLoad::start(&[], &[A]);
    let port = gpt_load.address().port().to_string();
    let alive = Launch::new(&[("PORT", &port)], &[A]).arguments(&["healthcheck"]).run();
    assert_eq!((alive.status, alive.output.as_str()), (Some(0), ""));
    drop(gpt_load);
    let dead = Launch::new(&[("PORT", &port)], &[A]).arguments(&["healthcheck"]).run();
    assert_eq!(dead.status, Some(1));
    assert!(!dead.output.is_empty());
}

#[test]
fn a_wrong_command_line_is_told() {
    let ended = Launch::new(&[], &[A]).arguments(&["serve"]).run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.output.contains("serve"), "{}", ended.output);
}

#[test]
fn an_idle_process_ends_at_once_and_well() {
    for signal in ["TERM", "INT"] {
        let mut gpt_load = GptLoad::start(&[], &[A]);
        gpt_load.get("/health").send();
        gpt_load.signal(signal);
        assert_eq!(gpt_load.ended(), Some(0), "{signal}");
    }
}

#[test]
fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let mock = provider(&[(A, "valid")]);
    for http2 in [false, true] {
        let mut gpt_load = GptLoad::before(&mock, &[], &[A]);
        let ask = gpt_load.post(CHAT).json(&slow_stream(20));
        let mut stream = if http2 { ask.http2() } else { ask }.open();
        assert!(stream.next().unwrap().is_ok());
        gpt_load.signal("TERM");
        gpt_load.said("draining");
        eventually("no connection is taken", || std::net::TcpStream::connect(gpt_load.address()).is_err());
        assert!(gpt_load.is_running());
        let (rest, whole) = stream.rest();
        assert!(whole && rest.ends_with("data: [DONE]\n\n"), "http2 {http2}: {rest}");
        assert_eq!(gpt_load.ended(), Some(0), "http2 {http2}");
    }
}

#[test]
fn a_kept_connection_is_closed_by_a_drain() {
    let mock = provider(&[(A, "valid")]);
    let mut gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut raw = gpt_load.raw();
    raw.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").until("alive");
    let mut busy = gpt_load.raw();
    busy.send("GET /v1/models?mock=delay%3D500ms HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request runs", || mock.requests() == 1);
    gpt_load.signal("TERM");
    assert_eq!(raw.rest(), "");
    let answer = busy.rest();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(gpt_load.ended(), Some(0));
}

#[test]
fn a_request_that_follows_a_stream_into_a_drain_is_answered() {
    let mock = provider(&[(A, "valid")]);
    let mut gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut raw = gpt_load.raw();
    let body =
        json!({"model": "gpt-4o", "messages": [], "stream": true, "mock": {"tokens": 8, "pace": "150ms"}})
            .to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    raw.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).until("data:");
    // Its head is out, and says nothing of an end.
    gpt_load.signal("TERM");
    raw.until("0\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let answer = raw.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(gpt_load.ended(), Some(0));
}

#[test]
fn half_a_head_does_not_hold_a_drain() {
    let mut gpt_load = GptLoad::start(&[], &[A]);
    let mut fresh = gpt_load.raw();
    let mut kept = gpt_load.raw();
    kept.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").until("alive");
    for client in [&mut fresh, &mut kept] {
        client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthoriz");
    }
    // An answer to somebody who came later: the halves have arrived.
    gpt_load.get("/livez").send();
    gpt_load.signal("TERM");
    for client in [&mut fresh, &mut kept] {
        let told = client.rest();
        assert!(told.starts_with("HTTP/1.1 408"), "{told:?}");
    }
    assert_eq!(gpt_load.ended(), Some(0));
}

#[test]
fn a_request_that_was_on_its_way_when_the_drain_began_is_answered() {
    let mut gpt_load = GptLoad::start(&[], &[A]);
    let mut clients: Vec<_> = (0..4).map(|_| gpt_load.raw()).collect();
    for client in &mut clients[1..] {
        client.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").until("alive");
    }
    gpt_load.signal("TERM");
    gpt_load.said("draining");
    for client in &mut clients {
        client.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    }
    for client in &mut clients {
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer:?}");
    }
    assert_eq!(gpt_load.ended(), Some(0));
}

#[test]
fn a_second_signal_cuts_what_runs() {
    let mock = provider(&[(A, "valid")]);
    let mut gpt_load = GptLoad::before(&mock, &[], &[A]);
    let stream = gpt_load.post(CHAT).json(&slow_stream(100_000)).open();
    gpt_load.signal("TERM");
    gpt_load.said("draining");
    gpt_load.signal("INT");
    assert_eq!(gpt_load.ended(), Some(1));
    assert!(!stream.rest().1, "a cut answer never ends well");
    eventually("the provider sees it", || mock.key(A).hung_up == 1);
}

#[test]
fn what_outlasts_the_grace_is_cut() {
    let mock = provider(&[(A, "valid")]);
    let mut gpt_load = GptLoad::before(&mock, &[("SERVER_GRACEFUL_SHUTDOWN_TIMEOUT", "1")], &[A]);
    let mut stream = gpt_load.post(CHAT).json(&slow_stream(100_000)).open();
    gpt_load.signal("TERM");
    gpt_load.said("draining");
    assert!(stream.comes_within(Duration::from_millis(500)));
    assert_eq!(gpt_load.ended(), Some(1));
}
