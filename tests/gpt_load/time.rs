//! Spec §9: what has no time limit, and whose fault it is when there was too little time.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{A, B, GptLoad, Peer, Raw, chat, chat_with};

const CHAT: &str = "/v1/chat/completions";
const UPLOAD: &str = "POST /v1/files HTTP/1.1\r\nHost: x\r\n";
/// Of an answer, as much as tells nothing yet.
const BEGUN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"";
const DOWNLOAD: &str = "GET /v1/files/f/content HTTP/1.1\r\nHost: x\r\n\r\n";

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn faults(gpt_load: &GptLoad, upstream: usize) -> u64 {
    gpt_load.told("/stats")["upstreams"][upstream]["faults"].as_u64().unwrap()
}

/// Sends an upload, slowly, until it is answered.
fn trickle(client: &mut Raw, framing: &str, piece: &str) -> String {
    client.send(format!("{UPLOAD}{framing}\r\n\r\n"));
    client.patient_for(Duration::from_millis(50));
    let began = Instant::now();
    loop {
        client.send(piece);
        let answer = client.rest_in_time();
        if !answer.is_empty() {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

/// Its body says that it streams, but was not read.
#[test]
fn a_stream_has_no_total_limit_however_large_its_request_was() {
    let peer = Peer::start(|wire| {
        for kind in ["text/event-stream", "text/plain"] {
            wire.request();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ));
            for _ in 0..6 {
                wire.send("11\r\ndata: {\"a\":\"b\"}\n\n\r\n");
                pause(300);
            }
            wire.send("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
        }
    });
    let env = [("REQUEST_TIMEOUT", "1"), ("MAX_REPLAY_BODY", "1KiB"), ("WORKERS", "1")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    for http2 in [false, true] {
        let ask = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true, "user": "x".repeat(10_000)})));
        let answer = if http2 { ask.http2() } else { ask }.send();
        assert!(!answer.broken && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    }
    assert_eq!(faults(&gpt_load, 0), 0);
}

#[test]
fn an_upload_that_takes_too_long_is_not_its_upstreams_fault() {
    let peer = Peer::start(|wire| {
        wire.is_ended();
    });
    let env = [("REQUEST_TIMEOUT", "1"), ("RESPONSE_TIMEOUT", "1"), ("MAX_REPLAY_BODY", "1KiB")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let piece = "x".repeat(2_000);
    let chunk = format!("7d0\r\n{piece}\r\n");
    for (framing, piece) in [
        ("Content-Length: 1000000", &piece),
        ("Transfer-Encoding: chunked", &chunk),
        // One that streams has less time for its answer's head.
        ("Accept: text/event-stream\r\nContent-Length: 1000000", &piece),
    ] {
        let answer = trickle(&mut gpt_load.raw(), framing, piece);
        assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("upstream_timeout"), "{answer}");
        assert_eq!(faults(&gpt_load, 0), 0, "{framing}");
    }
    // Its last byte comes shortly before the end.
    let mut client = gpt_load.raw();
    client.send(format!("{UPLOAD}Content-Length: 20000\r\n\r\n")).send("x".repeat(10_000));
    pause(700);
    assert!(client.send("x".repeat(10_000)).until("upstream_timeout").starts_with("HTTP/1.1 504"));
    assert_eq!(faults(&gpt_load, 0), 0);
}

#[test]
fn an_upstream_that_has_begun_its_answer_and_waits_for_the_rest_of_an_upload_is_not_at_fault() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send(BEGUN);
        wire.is_ended();
    });
    for limit in ["REQUEST_TIMEOUT", "SERVER_WRITE_TIMEOUT"] {
        let gpt_load = GptLoad::before_peer(&peer, &[(limit, "1"), ("MAX_REPLAY_BODY", "1KiB")], &[A]);
        let mut client = gpt_load.raw();
        client.send(format!("{UPLOAD}Content-Length: 20000\r\n\r\n")).send("x".repeat(10_000));
        assert!(client.rest().starts_with("HTTP/1.1 200"));
        assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["broken_answer"], 1);
        assert_eq!(faults(&gpt_load, 0), 0, "{limit}");
    }
}

#[test]
fn an_upstream_that_has_all_of_an_upload_or_takes_none_of_it_is_at_fault_if_it_does_not_answer() {
    let peer = Peer::start(|wire| {
        // Some take the body, some do not.
        if wire.head().is_some_and(|head| head.contains("20000")) {
            wire.is_ended();
        }
        pause(1_500);
    });
    let env = [("REQUEST_TIMEOUT", "1"), ("MAX_REPLAY_BODY", "1KiB")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let mut client = gpt_load.raw();
    client.send(format!("{UPLOAD}Content-Length: 20000\r\n\r\n")).send("x".repeat(20_000));
    assert!(client.until("upstream_timeout").starts_with("HTTP/1.1 504"));
    assert_eq!(faults(&gpt_load, 0), 1);
    let mut client = gpt_load.raw();
    client.send(format!("{UPLOAD}Content-Length: 50000000\r\n\r\n"));
    client.fill();
    assert!(client.until("upstream_timeout").starts_with("HTTP/1.1 504"));
    assert_eq!(faults(&gpt_load, 0), 2);
}

#[test]
fn a_client_that_takes_its_answer_too_slowly_is_cut_and_its_upstream_is_not_at_fault() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
        wire.sends(&vec![b'x'; 20_000_000]);
        pause(200);
        wire.sends(&vec![b'x'; 10_000_000]);
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("REQUEST_TIMEOUT", "1")], &[A]);
    let mut client = gpt_load.raw();
    client.send(DOWNLOAD);
    pause(1_500);
    assert!(client.rest().len() < 30_000_000, "it is cut");
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["broken_answer"], 1);
    assert_eq!(faults(&gpt_load, 0), 0);
}

#[test]
fn an_upstream_that_is_cut_in_its_answer_is_at_fault_if_nothing_else_was_waited_for() {
    // How long its head takes, what it sends again and again, and after how long.
    for (head, step, every) in [(0, "", 50), (0, "x", 50), (700, "x", 100), (0, "\n", 300)] {
        let peer = Peer::start(move |wire| {
            wire.request();
            pause(head);
            wire.send(BEGUN);
            while wire.sends(step.as_bytes()) && !step.is_empty() {
                pause(every);
            }
            wire.is_ended();
        });
        let gpt_load = GptLoad::before_peer(&peer, &[("REQUEST_TIMEOUT", "1")], &[A]);
        assert!(gpt_load.post(CHAT).json(&chat()).send().broken);
        assert_eq!(faults(&gpt_load, 0), 1, "{head} {step:?}");
    }
}

#[test]
fn an_upstream_that_is_silent_for_too_long_in_an_answer_is_at_fault() {
    let peer = Peer::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxx");
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("SERVER_WRITE_TIMEOUT", "1")], &[A]);
    assert!(gpt_load.get("/v1/files/f/content").send().broken);
    assert_eq!(faults(&gpt_load, 0), 1);
}

#[test]
fn an_upstream_that_had_only_the_last_moments_of_a_request_for_its_body_is_not_at_fault() {
    let failing = Peer::start(|wire| {
        if wire.request().is_some() {
            pause(1_500);
            wire.reset();
        }
    });
    let silent = Peer::start(|wire| {
        wire.request();
        wire.send(BEGUN);
        wire.is_ended();
    });
    let urls = [failing.url(), silent.url()].join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls), ("REQUEST_TIMEOUT", "2")], &[A, B]);
    assert!(gpt_load.post(CHAT).json(&chat()).send().broken);
    assert_eq!((faults(&gpt_load, 0), faults(&gpt_load, 1)), (1, 0));
}

#[test]
fn a_stream_whose_upstream_falls_silent_before_its_first_event_is_told_which_setting_ended_it() {
    let peer = Peer::start(|wire| {
        if wire.request().is_some() {
            wire.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            wire.is_ended();
        }
    });
    let env = [
        ("SERVER_WRITE_TIMEOUT", "2"),
        ("REQUEST_TIMEOUT", "1"),
        ("MAX_RETRIES", "0"),
        ("MAX_REPLAY_BODY", "1KiB"),
    ];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    for length in [10, 10_000] {
        let ask = chat_with(json!({"stream": true, "user": "x".repeat(length)}));
        let answer = gpt_load.post(CHAT).json(&ask).send();
        assert_eq!(answer.status, 504);
        assert!(
            answer.text().contains("within 2 s") && answer.text().contains("raise SERVER_WRITE_TIMEOUT"),
            "{}",
            answer.text()
        );
    }
}
