//! Spec §4, §9: uploads that stream through, and clients that leave them.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::{A, GptLoad, Peer, eventually, patience};

const STREAMED: [(&str, &str); 2] = [("MAX_REPLAY_BODY", "1KiB"), ("SERVER_READ_TIMEOUT", "60")];

fn upload(framing: &str) -> String {
    format!("POST /v1/files HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")
}

#[test]
fn a_client_that_leaves_an_upload_of_which_nothing_is_taken_is_noticed_soon() {
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |wire| {
        if wire.head().is_some() {
            let _ = gone.lock().unwrap().recv();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &STREAMED, &[A]);
    let requests = || gpt_load.told("/stats")["requests"].clone();
    for framing in ["Content-Length: 90000000", "Transfer-Encoding: chunked\r\n\r\n5000000"] {
        let mut client = gpt_load.raw();
        client.send(upload(framing)).fill();
        eventually("it runs", || requests()["running"] == 1);
        client.reset();
        let left = Instant::now();
        eventually("it is noticed", || requests()["running"] == 0);
        assert!(left.elapsed() < Duration::from_secs(2), "{framing}: after {:?}", left.elapsed());
        go.send(()).unwrap();
    }
    assert_eq!(requests()["failures"]["client_gone"], 2);
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 0);
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn a_client_that_stays_with_an_upload_that_stalls_gets_its_answer() {
    let peer = Peer::start(|wire| {
        wire.head();
        // For longer than it takes to look at a client a few times.
        std::thread::sleep(Duration::from_millis(900));
        wire.exactly(3_000_000);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &STREAMED, &[A]);
    let mut client = gpt_load.raw();
    client.patient_for(patience());
    client.send(upload("Content-Length: 3000000")).send(vec![b'x'; 3_000_000]);
    assert!(client.until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
}
