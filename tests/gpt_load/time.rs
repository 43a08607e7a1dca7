//! Spec §9: what has no time limit.

use serde_json::json;

use crate::support::{A, GptLoad, Peer, chat_with};

const CHAT: &str = "/v1/chat/completions";

fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}

fn faults(gpt_load: &GptLoad, upstream: usize) -> u64 {
    gpt_load.told("/stats")["upstreams"][upstream]["faults"].as_u64().unwrap()
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
