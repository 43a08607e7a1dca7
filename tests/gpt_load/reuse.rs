//! Spec §6, §8, §9: connections that were kept, and are closed or silent when they are used again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2Peer};
use crate::support::{A, Ask, B, GptLoad, Peer, chat_with};

const CHAT: &str = "/v1/chat/completions";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
/// What is unused for so long has rested.
const REST: Duration = Duration::from_millis(2_200);

#[test]
fn what_ends_long_after_a_request_was_sent_is_an_attempt_however_its_connection_had_rested() {
    let cases =
        [(Duration::ZERO, 200, 2), (Duration::from_millis(1_300), 502, 1)].map(|(works, status, seen)| {
            let peer = Peer::start(move |wire| {
                if wire.request().is_some() {
                    wire.send(OK);
                    drop(wire.request());
                    sleep(works);
                    wire.reset();
                }
            });
            let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1"), ("MAX_RETRIES", "0")], &[A]);
            assert_eq!(gpt_load.chat().status, 200);
            (peer, gpt_load, status, seen)
        });
    sleep(REST);
    for (peer, gpt_load, status, seen) in cases {
        assert_eq!(gpt_load.chat().status, status);
        assert_eq!(peer.received().len(), seen, "connections that were asked");
        assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], u64::from(status != 200));
    }
}

#[test]
fn a_request_goes_out_a_second_time_in_one_attempt_at_most_once() {
    for (retries, seen) in [("0", 2), ("3", 5)] {
        // Each connection serves one request, and ends at the sight of the second; from then on all end at the first.
        let ends = Arc::new(AtomicBool::new(false));
        let all_are_there = Arc::new(Barrier::new(8));
        let peer = Peer::start({
            let (ends, all_are_there) = (Arc::clone(&ends), Arc::clone(&all_are_there));
            move |wire| {
                while wire.request().is_some() {
                    if ends.load(Ordering::SeqCst) {
                        return wire.reset();
                    }
                    all_are_there.wait();
                    wire.send(OK);
                }
            }
        });
        let env = [("WORKERS", "1"), ("MAX_RETRIES", retries)];
        let gpt_load = GptLoad::before_peer(&peer, &env, &[A, B]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(gpt_load.chat().status, 200));
            }
        });
        let asked = || peer.received().concat().matches("POST ").count();
        let before = asked();
        sleep(REST);
        ends.store(true, Ordering::SeqCst);
        assert_eq!(gpt_load.chat().status, 502);
        assert_eq!(asked() - before, seen);
        let stats = gpt_load.told("/stats");
        assert_eq!(stats["upstreams"][0]["sent_again"], 1, "{stats}");
    }
}

/// The connection of a request, as its upstream sees it.
fn asked(listener: &TcpListener) -> TcpStream {
    loop {
        let mut stream = listener.accept().unwrap().0;
        // gpt-load looks at its upstreams once, and says nothing.
        if stream.read(&mut [0; 4096]).unwrap() > 0 {
            return stream;
        }
    }
}

/// Connections that fill a listener's queue: no other is made while they are held.
fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    std::iter::from_fn(connect).collect()
}

#[test]
fn the_second_sending_of_a_request_has_what_is_left_of_its_time() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let (tell, is_full) = channel();
    let served = std::thread::spawn(move || {
        let mut stream = asked(&listener);
        stream.write_all(OK.as_bytes()).unwrap();
        let held = fill(address);
        tell.send(()).unwrap();
        let _ = stream.read(&mut [0; 4096]);
        sleep(Duration::from_millis(700));
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        (listener, held)
    });
    let url = format!("http://{address}");
    let env = [("OPENAI_BASE_URL", &*url), ("WORKERS", "1"), ("MAX_RETRIES", "0"), ("REQUEST_TIMEOUT", "2")];
    let gpt_load = GptLoad::start(&env, &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    is_full.recv().unwrap();
    sleep(REST);
    let began = Instant::now();
    let ask = std::thread::scope(|scope| {
        let answer = scope.spawn(|| gpt_load.chat());
        let held = served.join().unwrap();
        let answer = answer.join().unwrap();
        drop(held);
        answer
    });
    assert_eq!(ask.refused(), (504, "upstream_timeout".to_owned()));
    let took = began.elapsed();
    assert!((1_900..2_600).contains(&took.as_millis()), "{took:?}");
}

fn stream(gpt_load: &GptLoad) -> Ask {
    gpt_load.post(CHAT).json(&chat_with(json!({"stream": true})))
}

#[test]
fn connections_that_rested_beside_one_that_is_silent_are_not_tried_one_after_the_other() {
    let (all, dead) = (Barrier::new(3), Arc::new(AtomicBool::new(false)));
    let is_dead = Arc::clone(&dead);
    let peer = Peer::start(move |wire| {
        let is_old = !is_dead.load(Ordering::Relaxed);
        let mut is_first = true;
        while wire.request().is_some() {
            if is_old && !is_first {
                wire.is_ended();
                return;
            }
            if std::mem::take(&mut is_first) && is_old {
                all.wait();
            }
            wire.send(OK);
        }
    });
    let env = [("WORKERS", "1"), ("MAX_RETRIES", "1"), ("RESPONSE_TIMEOUT", "1")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A, B]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(stream(&gpt_load).send().status, 200));
        }
    });
    dead.store(true, Ordering::Relaxed);
    for attempts in [5, 6] {
        assert_eq!(stream(&gpt_load).send().status, 200);
        assert_eq!(gpt_load.told("/stats")["upstreams"][0]["attempts"], attempts);
    }
    assert_eq!(peer.received().len(), 4, "the new one is kept");
}

#[test]
fn a_connection_that_has_served_beside_one_that_is_silent_is_used_again() {
    let both = Barrier::new(2);
    let peer = Peer::start(move |wire| {
        let mut is_first = true;
        while let Some(head) = wire.request() {
            if head.contains("?slow") {
                wire.is_ended();
                return;
            }
            if std::mem::take(&mut is_first) {
                both.wait();
            }
            wire.send(OK);
        }
    });
    let env = [("WORKERS", "1"), ("MAX_RETRIES", "0"), ("REQUEST_TIMEOUT", "2")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let ask = |query: &str| gpt_load.post(&format!("{CHAT}{query}")).body("{}").send().status;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(ask(""), 200));
        }
    });
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| ask("?slow"));
        sleep(Duration::from_millis(1_200));
        assert_eq!(ask(""), 200);
        assert_eq!(slow.join().unwrap(), 504);
    });
    assert_eq!(ask(""), 200);
    assert_eq!(peer.received().len(), 2, "no third connection was needed");
}

/// A peer of HTTP/2 that answers a request if that is said, by the number of its connection and its own on that, from 0; and
/// how many connections it has had.
fn answering(
    answers: impl Fn(usize, usize) -> bool + Send + Sync + 'static,
) -> (Http2Peer, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let peer = Http2Peer::start(&[], move |wire| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        let mut asked = 0;
        while let Some(frame) = wire.next() {
            if frame.ends_stream() {
                if answers(number, asked) {
                    wire.answer(frame.stream, 2);
                    wire.send(DATA, END_STREAM, frame.stream, b"{}");
                }
                asked += 1;
            }
        }
    });
    (peer, connections)
}

#[test]
fn a_connection_of_http2_that_is_silent_is_not_asked_again() {
    let (peer, connections) = answering(|connection, request| connection > 0 || request == 0);
    let gpt_load = peer.gpt_load(&[("MAX_RETRIES", "1"), ("RESPONSE_TIMEOUT", "1")], &[A, B]);
    for attempts in [1, 3, 4] {
        assert_eq!(stream(&gpt_load).send().status, 200);
        assert_eq!(gpt_load.told("/stats")["upstreams"][0]["attempts"], attempts);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[test]
fn a_connection_of_http2_on_which_others_are_answered_is_asked_again() {
    let (peer, connections) = answering(|_, request| request != 1);
    let gpt_load = peer.gpt_load(&[("MAX_RETRIES", "0"), ("REQUEST_TIMEOUT", "1")], &[A]);
    let ask = || gpt_load.chat().status;
    assert_eq!(ask(), 200);
    std::thread::scope(|scope| {
        let slow = scope.spawn(ask);
        sleep(Duration::from_millis(300));
        assert_eq!(ask(), 200);
        assert_eq!(slow.join().unwrap(), 504);
    });
    assert_eq!(ask(), 200);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connection_of_http2_on_which_a_stream_goes_on_is_asked_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let peer = Http2Peer::start(&[], move |wire| {
        counted.fetch_add(1, Ordering::Relaxed);
        let mut streams = Vec::new();
        while let Some(frame) = wire.next() {
            if frame.ends_stream() {
                streams.push(frame.stream);
                match streams.len() {
                    // The head of a 200, by HPACK's static table.
                    1 => wire.send(HEADERS, END_HEADERS, frame.stream, &[0x88]),
                    2 => sleep(Duration::from_millis(300)),
                    _ => {
                        wire.answer(frame.stream, 2);
                        wire.send(DATA, END_STREAM, frame.stream, b"{}");
                    }
                }
                wire.send(DATA, 0, streams[0], b"on");
            }
        }
    });
    let gpt_load = peer.gpt_load(&[("MAX_RETRIES", "0"), ("REQUEST_TIMEOUT", "1")], &[A]);
    let ask = gpt_load.get("/v1/files/f/content").header("accept", "text/event-stream");
    let mut running = ask.open();
    assert_eq!(running.next().unwrap().unwrap(), "on");
    assert_eq!([gpt_load.chat().status, gpt_load.chat().status], [504, 200]);
    assert_eq!(running.next().unwrap().unwrap(), "on");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}
