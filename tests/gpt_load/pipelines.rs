//! Spec §4: what a client sends behind a request before that is answered.

use std::time::{Duration, Instant};

use crate::support::{A, GptLoad, Peer, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let peer = Peer::start(|wire| {
        while let Some(head) = wire.request() {
            let path = head.split(' ').nth(1).unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let ask = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let post = "POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    let answer = gpt_load
        .raw()
        .send(ask("/one", "") + post + &ask("/three", "") + &ask("/four", "Connection: close\r\n"))
        .rest();
    let order: Vec<_> =
        answer.split("\r\n\r\n").skip(1).map(|body| body.split("HTTP").next().unwrap()).collect();
    assert_eq!(order, ["/one", "/two", "/three", "/four"]);
}

#[test]
fn half_a_head_behind_another_request_is_not_waited_for_any_longer() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[("SERVER_READ_TIMEOUT", "1")], &[A]);
    let began = Instant::now();
    let answer = gpt_load
        .raw()
        .send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models HTTP/1.1\r\nHost")
        .rest();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("okHTTP/1.1 408"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_leaves_is_noticed_whatever_it_sent_behind_its_request() {
    let peer = Peer::start(|wire| {
        wire.request();
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let running = || gpt_load.told("/stats")["requests"]["running"].as_u64();
    for behind in ["\n", "GET /another HTTP/1.1\r\nHost: x\r\n\r\nGET /half HT"] {
        let mut client = gpt_load.raw();
        client.send(format!(
            "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}{behind}"
        ));
        eventually("it runs", || running() == Some(1));
        drop(client);
        eventually("it ends", || running() == Some(0));
    }
}

#[test]
fn who_leaves_behind_more_requests_than_are_read_ahead_is_noticed() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let running = || gpt_load.told("/stats")["requests"]["running"].clone();
    let ask = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    for is_reset in [true, false] {
        let mut client = gpt_load.raw();
        client.send(ask.repeat(100_000 / ask.len()));
        eventually("it runs", || running() == 1);
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        eventually("it is noticed", || running() == 0);
    }
}

#[test]
fn more_requests_ahead_than_are_read_are_thrown_away_and_their_clients_end_is_seen() {
    let peer = Peer::start(|wire| {
        let asked = wire.head().unwrap_or_default();
        if asked.starts_with("GET /v1/answered") {
            std::thread::sleep(Duration::from_millis(300));
            wire.send(OK);
        }
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let running = || gpt_load.told("/stats")["requests"]["running"].clone();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    for length in [100_000, 185_000, 400_000] {
        let mut client = gpt_load.raw();
        client.send(ask("/v1/models").repeat(length / 40));
        eventually("it runs", || running() == 1);
        drop(client);
        eventually("it is noticed", || running() == 0);
    }
    // Who stays has its answer, and is told that no other comes.
    let answer = gpt_load.raw().send(ask("/v1/answered").repeat(10_000)).rest().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.matches("http/1.1").count() == 1 && answer.contains("connection: close"), "{answer}");
}
