//! RFC 9110 §15.2: what an upstream says before its answer.

use crate::support::{A, B, GptLoad, Peer};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n";

/// What a client of one request is told, all of it.
fn told(gpt_load: &GptLoad, version: &str, more: &str) -> String {
    let ask = format!("GET /v1/models HTTP/{version}\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
    gpt_load.raw().send(ask).rest()
}

fn times(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn hints_come_before_the_answer_is_there() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |wire| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 102 Processing\r\n\r\n").send(HINTS);
            let _ = gone.lock().unwrap().recv();
            wire.send(OK).is_ended();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    let told = client.send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n").until("preload\r\n\r\n");
    assert!(
        told.starts_with("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>"),
        "{told}"
    );
    go.send(()).unwrap();
    let answer = client.until("\r\n\r\nok");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // The connection goes on.
    client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").until("\r\n\r\n");
}

#[test]
fn hints_that_come_with_the_answer_stand_before_it() {
    let peer = Peer::answering(format!("HTTP/1.1 100 Continue\r\n\r\n{HINTS}{HINTS}{OK}"));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for _ in 0..2 {
        let told = told(&gpt_load, "1.1", "");
        assert!(told.starts_with("HTTP/1.1 103 Early Hints\r\n") && told.ends_with("\r\n\r\nok"), "{told}");
        assert_eq!(
            (times(&told, "HTTP/1.1 103"), times(&told, "HTTP/1.1 200"), times(&told, " 100 ")),
            (2, 1, 0)
        );
    }
    let old = told(&gpt_load, "1.0", "");
    assert!(old.starts_with("HTTP/1.0 200") && times(&old, "HTTP/1.") == 1, "{old}");
    let answer = gpt_load.get("/v1/models").http2().send();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn a_hint_has_no_key_in_it_and_nothing_of_the_hop() {
    let peer = Peer::answering(format!(
        "HTTP/1.1 103 {A}\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\
         Trailer: x\r\nX-Key: {A}\r\nLink: </?key={A}>\r\nX-Good: yes\r\n\r\n{OK}"
    ));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let told = told(&gpt_load, "1.1", "");
    let (hint, answer) = told.split_once("\r\n\r\n").unwrap();
    assert!(hint.starts_with("HTTP/1.1 103 Early Hints\r\n") && hint.contains("\r\nx-good: yes"), "{hint}");
    assert!(hint.contains("x-key: ") && hint.contains("link: </?key="), "{hint}");
    for away in ["hop", "content-length", "transfer-encoding", "trailer", "connection", A] {
        assert!(!hint.contains(away), "{away}: {hint}");
    }
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn hints_of_an_attempt_that_fails_are_told_and_the_answer_is_anothers() {
    let peer = Peer::start(|wire| {
        while let Some(head) = wire.request() {
            let limited = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
            wire.send(HINTS).send(if head.contains(A) { limited } else { OK });
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    let told = told(&gpt_load, "1.1", "");
    assert_eq!((times(&told, " 103 "), times(&told, " 429 "), times(&told, " 200 ")), (2, 0, 1), "{told}");
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn who_is_told_to_send_its_body_is_told_so_once() {
    for limit in ["16MiB", "1"] {
        let peer = Peer::start(|wire| {
            wire.head();
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").send(HINTS);
            wire.exactly(4);
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").send(OK);
            wire.is_ended();
        });
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", limit)], &[A]);
        let mut client = gpt_load.raw();
        client.send(
            "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        let before = client.until(" 100 Continue\r\n\r\n");
        let told = before + &client.send("tea!").rest();
        assert_eq!(
            (times(&told, " 100 "), times(&told, " 103 "), times(&told, " 200 ")),
            (1, 1, 1),
            "{told}"
        );
        assert!(peer.received().concat().ends_with("tea!"));
    }
}

#[test]
fn an_upstream_that_informs_without_end_is_at_fault() {
    let peer = Peer::start(|wire| {
        wire.request();
        while wire.sends(&HINTS.repeat(100).into_bytes()) {}
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "1")], &[A, B]);
    let told = told(&gpt_load, "1.1", "");
    assert!(told.contains("HTTP/1.1 502") && told.contains("upstream_unreachable"), "{told}");
    assert_eq!(times(&told, " 103 "), 2 * 64);
    assert_eq!(gpt_load.healthy_keys(), 2);
}
