//! Spec §4, §8: upstreams that speak HTTP/2, frame by frame.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Http2Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::{A, GptLoad, Raw, eventually, patience};

/// SETTINGS that grant no window for a request's body.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
/// The head of a 200, by HPACK's static table.
const OK: &[u8] = &[0x88];
const GET: &str = "GET /v1/files/f/content HTTP/1.1\r\nHost: x\r\n\r\n";
/// What an upload begins with that is larger than is held.
const UPLOAD: &str = "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n";

/// A peer that tells of every frame, and answers nothing, unless `answers` does.
fn watched(
    settings: &'static [u8],
    answers: impl Fn(&mut crate::support::http2::Frames, &Frame) + Send + Sync + 'static,
) -> (Http2Peer, Receiver<Frame>) {
    let (tell, frames) = channel();
    let tell: Mutex<Sender<Frame>> = Mutex::new(tell);
    let peer = Http2Peer::start(settings, move |wire| {
        while let Some(frame) = wire.next() {
            answers(wire, &frame);
            let _ = tell.lock().unwrap().send(frame);
        }
    });
    (peer, frames)
}

/// The next frame of this kind.
fn next(frames: &Receiver<Frame>, kind: u8) -> Frame {
    loop {
        let frame =
            frames.recv_timeout(patience()).unwrap_or_else(|_| panic!("no frame of kind {kind} came"));
        if frame.kind == kind {
            return frame;
        }
    }
}

fn running(gpt_load: &GptLoad) -> u64 {
    gpt_load.told("/stats")["requests"]["running"].as_u64().unwrap()
}

fn failures(gpt_load: &GptLoad, kind: &str) -> u64 {
    gpt_load.told("/stats")["requests"]["failures"][kind].as_u64().unwrap()
}

#[test]
fn an_answer_whose_end_is_told_after_its_last_byte_is_a_success() {
    for later in [Some(Duration::ZERO), Some(Duration::from_millis(200)), None] {
        let (peer, frames) = watched(&[], move |wire, frame| {
            if frame.ends_stream() {
                wire.answer(frame.stream, 2);
                wire.send(DATA, 0, frame.stream, b"ok");
                if let Some(later) = later {
                    std::thread::sleep(later);
                    wire.send(DATA, END_STREAM, frame.stream, &[]);
                }
            }
        });
        let gpt_load = peer.gpt_load(&[], &[A]);
        for http2 in [false, true] {
            let ask = gpt_load.post("/v1/embeddings").body("{}");
            let began = Instant::now();
            let answer = if http2 { ask.http2() } else { ask }.send();
            assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.broken), (200, "ok", false));
            assert!(began.elapsed() < Duration::from_secs(1), "its end is waited for: {:?}", began.elapsed());
            let line = gpt_load.logged("its line", |line| line["status"] == 200);
            assert_eq!(line["message"], "request", "http2 {http2}, {later:?}");
        }
        eventually("they are counted", || gpt_load.told("/stats")["requests"]["success_count"] == 2);
        assert_eq!((failures(&gpt_load, "client_gone"), failures(&gpt_load, "broken_answer")), (0, 0));
        if later.is_none() {
            // The end that never comes is waited for no longer than a second.
            next(&frames, RST_STREAM);
        }
    }
}

#[test]
fn an_answer_without_a_body_whose_end_is_told_by_itself_is_a_success() {
    // By HPACK's static table; `content-length` is not kept.
    let [ok, created, no_content, not_modified] =
        [&[0x88][..], &[0x08, 3, b'2', b'0', b'1'], &[0x89], &[0x8b]];
    for (method, status, length) in [
        ("HEAD", ok, Some(b'5')),
        ("POST", created, Some(b'0')),
        ("DELETE", no_content, None),
        ("GET", not_modified, None),
        ("GET", not_modified, Some(b'5')),
    ] {
        let head = [status, &length.map_or(vec![], |length| vec![0x0f, 0x0d, 1, length])].concat();
        let (peer, frames) = watched(&[], move |wire, frame| {
            if frame.ends_stream() {
                wire.send(HEADERS, END_HEADERS, frame.stream, &head);
                std::thread::sleep(Duration::from_millis(100));
                wire.send(DATA, END_STREAM, frame.stream, &[]);
            }
        });
        let gpt_load = peer.gpt_load(&[], &[A]);
        for http2 in [false, true] {
            let ask = gpt_load.ask(method, "/v1/files");
            let answer = if http2 { ask.http2() } else { ask }.send();
            assert_eq!((answer.broken, answer.text()), (false, String::new()), "{method} {length:?} {http2}");
        }
        let counted = || gpt_load.told("/stats")["requests"].clone();
        eventually("they are counted", || counted()["running"] == 0);
        assert_eq!(counted()["success_count"], 2, "{method} {length:?}: {}", counted());
        std::thread::sleep(Duration::from_millis(200));
        let is_reset = frames.try_iter().any(|frame| frame.kind == RST_STREAM);
        assert_eq!(is_reset, length == Some(b'5') && method == "GET", "{method}: only what h2 can't read");
    }
}

#[test]
fn what_an_upstream_refused_unseen_is_asked_again_whatever_it_does() {
    const REFUSED: u32 = 7;
    const INTERNAL: u32 = 2;
    for (kind, last, reason, status) in [
        (RST_STREAM, None, REFUSED, 200),
        (RST_STREAM, None, INTERNAL, 502),
        (GOAWAY, Some(0), 0, 200),
        (GOAWAY, Some(1 << 30), 0, 502),
    ] {
        // On a new connection, and on one that has answered already.
        for refused in [0, 1] {
            let asked = AtomicUsize::new(0);
            let (peer, _frames) = watched(&[], move |wire, frame| {
                if !frame.ends_stream() {
                    return;
                }
                if asked.fetch_add(1, Ordering::Relaxed) != refused {
                    wire.answer(frame.stream, 2);
                    wire.send(DATA, END_STREAM, frame.stream, b"ok");
                    return;
                }
                let last = last.map_or(vec![], |last: u32| last.to_be_bytes().to_vec());
                let stream = if kind == GOAWAY { 0 } else { frame.stream };
                wire.send(kind, 0, stream, &[last, reason.to_be_bytes().to_vec()].concat());
                if kind == GOAWAY {
                    wire.close();
                }
            });
            let gpt_load = peer.gpt_load(&[("MAX_RETRIES", "1")], &[A]);
            for _ in 0..refused {
                assert_eq!(gpt_load.post("/v1/files").body("{}").send().status, 200);
            }
            let answer = gpt_load.post("/v1/files").body("{}").send();
            assert_eq!(answer.status, status, "{kind} {last:?} {reason} {refused}");
        }
    }
}

#[test]
fn an_upstream_that_grants_no_window_is_waited_for_until_the_request_timeout() {
    let (peer, frames) = watched(NO_WINDOW, |_, _| {});
    let env = [("REQUEST_TIMEOUT", "1"), ("MAX_RETRIES", "0"), ("MAX_REPLAY_BODY", "1KiB")];
    let gpt_load = peer.gpt_load(&env, &[A]);
    let began = Instant::now();
    let answer = gpt_load.post("/v1/embeddings").body("{}").send();
    assert_eq!(answer.refused(), (504, "upstream_timeout".to_owned()));
    // A body that streams through too.
    let mut client = gpt_load.raw();
    client.send(UPLOAD);
    client.fill();
    let answer = client.until("upstream_timeout");
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for _ in 0..2 {
        let stream = next(&frames, HEADERS).stream;
        let reset = next(&frames, RST_STREAM);
        assert_eq!((reset.stream, &*reset.payload), (stream, &8_u32.to_be_bytes()[..]), "CANCEL");
    }
    assert_eq!((gpt_load.healthy_keys(), running(&gpt_load)), (1, 0));
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 2);
}

#[test]
fn an_upload_that_takes_too_long_is_not_the_fault_of_an_upstream_that_takes_what_comes() {
    let (peer, frames) = watched(&[], |_, _| {});
    let gpt_load = peer.gpt_load(&[("REQUEST_TIMEOUT", "1"), ("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let mut client = gpt_load.raw();
    client.send(UPLOAD).send([b'x'; 10_000]);
    next(&frames, DATA);
    assert!(client.until("upstream_timeout").starts_with("HTTP/1.1 504"));
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 0);
}

#[test]
fn a_client_that_leaves_an_upstream_without_a_window_is_noticed() {
    let (peer, frames) = watched(NO_WINDOW, |_, _| {});
    let gpt_load = peer.gpt_load(&[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let whole = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    for (ask, streams) in [(whole, false), (UPLOAD, true), (UPLOAD, true)] {
        let mut client = gpt_load.raw();
        client.send(ask);
        let stream = next(&frames, HEADERS).stream;
        if streams {
            client.fill();
        }
        let gone = failures(&gpt_load, "client_gone");
        client.reset();
        let reset = next(&frames, RST_STREAM);
        assert_eq!((reset.stream, &*reset.payload), (stream, &8_u32.to_be_bytes()[..]), "CANCEL");
        eventually("it is counted", || failures(&gpt_load, "client_gone") == gone + 1);
        assert_eq!(running(&gpt_load), 0);
    }
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 0);
}

#[test]
fn uploads_that_an_upstream_grants_no_window_hold_little_memory() {
    let (peer, frames) = watched(NO_WINDOW, |_, _| {});
    let gpt_load = peer.gpt_load(&[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let before = gpt_load.rss();
    let clients: Vec<Raw> = (0..20)
        .map(|_| {
            let mut client = gpt_load.raw();
            client.send(UPLOAD);
            next(&frames, HEADERS);
            client
        })
        .collect();
    let sent: usize = clients.iter().map(Raw::fill).sum();
    let held = gpt_load.rss().saturating_sub(before);
    assert!(held < 20 * (256 << 10), "{held} bytes are held of {sent}");
    clients.into_iter().for_each(Raw::reset);
    eventually("all of them are gone", || failures(&gpt_load, "client_gone") == 20);
}

#[test]
fn a_client_that_leaves_in_the_midst_of_an_upload_ends_its_stream_and_gives_its_key_back() {
    let (peer, frames) = watched(&[], |_, _| {});
    let gpt_load = peer.gpt_load(&[("MAX_REPLAY_BODY", "1KiB"), ("MAX_CONCURRENT_REQUESTS", "1")], &[A]);
    for _ in 0..3 {
        let mut client = gpt_load.raw();
        client.send(UPLOAD).send([b'x'; 10_000]);
        let stream = next(&frames, HEADERS).stream;
        assert_eq!(next(&frames, DATA).stream, stream);
        client.reset();
        assert_eq!(next(&frames, RST_STREAM).stream, stream);
        eventually("nothing runs", || running(&gpt_load) == 0);
    }
    assert_eq!(
        (gpt_load.told("/stats")["upstreams"][0]["faults"].as_u64(), gpt_load.healthy_keys()),
        (Some(0), 1)
    );
}

#[test]
fn a_client_that_leaves_an_answer_and_its_upload_ends_both() {
    let (peer, frames) = watched(&[], |wire, frame| match frame.kind {
        HEADERS => {
            wire.answer(frame.stream, 200);
            wire.send(DATA, 0, frame.stream, b"hi");
        }
        DATA => {
            let length = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
            wire.send(WINDOW_UPDATE, 0, 0, &length);
            wire.send(WINDOW_UPDATE, 0, frame.stream, &length);
        }
        _ => {}
    });
    let gpt_load = peer.gpt_load(&[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let mut client = gpt_load.raw();
    client.send(UPLOAD).send(vec![b'x'; 100_000]).until("hi");
    let stream = next(&frames, HEADERS).stream;
    client.reset();
    assert_eq!(next(&frames, RST_STREAM).stream, stream);
    eventually("it is counted", || failures(&gpt_load, "client_gone") == 1);
}

/// What a peer may send: on all of a connection, on a stream at first, and on those that it fills as far as it may.
struct Windows {
    all: u32,
    first: u32,
    streams: BTreeMap<u32, u32>,
}

impl Windows {
    fn hear(&mut self, frame: &Frame) {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match (frame.kind, frame.stream) {
            (SETTINGS, _) => {
                let window = frame.payload.chunks(6).find(|setting| setting[..2] == [0, 4]);
                self.first = window.map_or(self.first, |setting| number(&setting[2..]));
            }
            (WINDOW_UPDATE, 0) => self.all += number(&frame.payload),
            (WINDOW_UPDATE, stream) => {
                if let Some(window) = self.streams.get_mut(&stream) {
                    *window += number(&frame.payload);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn slow_readers_hold_nobody_up_who_shares_their_connection() {
    const SLOW: usize = 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&sent);
    let peer = Http2Peer::start(&[], move |wire| {
        let mut windows = Windows { all: 65_535, first: 65_535, streams: BTreeMap::new() };
        let mut asked = 0;
        while let Some(frame) = wire.next() {
            windows.hear(&frame);
            if frame.ends_stream() {
                asked += 1;
                wire.send(HEADERS, END_HEADERS, frame.stream, OK);
                if (2..2 + SLOW).contains(&asked) {
                    windows.streams.insert(frame.stream, windows.first);
                } else if windows.all >= 2 {
                    windows.all -= 2;
                    wire.send(DATA, END_STREAM, frame.stream, b"ok");
                }
            }
            for (stream, window) in &mut windows.streams {
                while *window > 0 && windows.all > 0 {
                    let length = (*window).min(windows.all).min(16 << 10);
                    wire.send(DATA, 0, *stream, &vec![b'x'; length as usize]);
                    (*window, windows.all) = (*window - length, windows.all - length);
                    told.fetch_add(length as usize, Ordering::Relaxed);
                }
            }
        }
    });
    let gpt_load = peer.gpt_load(&[], &[A]);
    let content = || gpt_load.ask("GET", "/v1/files/f/content").send().text();
    assert_eq!(content(), "ok");
    let mut slow: Vec<Raw> = (0..SLOW).map(|_| gpt_load.raw()).collect();
    for client in &mut slow {
        client.send(GET);
    }
    let mut before = 0;
    eventually("they have what they take", || {
        std::thread::sleep(Duration::from_millis(500));
        std::mem::replace(&mut before, sent.load(Ordering::Relaxed)) == sent.load(Ordering::Relaxed)
            && before > 0
    });
    assert_eq!(content(), "ok");
}

#[test]
fn requests_beyond_what_an_upstream_allows_on_a_connection_get_another() {
    for (settings, allowed, more) in [(&[0, 3, 0, 0, 0, 100], 100, 30), (&[0, 3, 0, 0, 0, 10], 10, 5)] {
        let asked: Arc<Mutex<Vec<usize>>> = Arc::default();
        let answers = Arc::new(AtomicBool::new(true));
        let (all, is_well) = (Arc::clone(&asked), Arc::clone(&answers));
        let peer = Http2Peer::start(settings, move |wire| {
            let number = {
                let mut all = all.lock().unwrap();
                all.push(0);
                all.len() - 1
            };
            while let Some(frame) = wire.next() {
                if frame.ends_stream() {
                    all.lock().unwrap()[number] += 1;
                    if is_well.load(Ordering::Relaxed) {
                        wire.answer(frame.stream, 2);
                        wire.send(DATA, END_STREAM, frame.stream, b"ok");
                    }
                }
            }
        });
        let gpt_load = peer.gpt_load(&[("MAX_CONCURRENT_REQUESTS", "200")], &[A]);
        let content = || gpt_load.ask("GET", "/v1/files/f/content").send().text();
        assert_eq!([content(), content()], ["ok", "ok"]);
        answers.store(false, Ordering::Relaxed);
        let mut clients: Vec<Raw> = (0..allowed + more).map(|_| gpt_load.raw()).collect();
        for client in &mut clients {
            client.send(GET);
        }
        eventually("all are asked", || asked.lock().unwrap().iter().sum::<usize>() == 2 + allowed + more);
        assert_eq!(*asked.lock().unwrap(), [2 + allowed, more], "the second has room for all others");
        clients.into_iter().for_each(Raw::reset);
        eventually("all have left", || running(&gpt_load) == 0);
        answers.store(true, Ordering::Relaxed);
        assert_eq!([content(), content()], ["ok", "ok"]);
        assert_eq!(*asked.lock().unwrap(), [4 + allowed, more], "there is room on the first again");
    }
}

#[test]
fn a_connection_that_rests_is_closed_and_one_in_use_is_not() {
    let (tell, ended) = channel();
    let tell = Mutex::new(tell);
    let peer = Http2Peer::start(&[], move |wire| {
        let mut asked = 0;
        while let Some(frame) = wire.next() {
            if frame.ends_stream() {
                asked += 1;
                wire.send(HEADERS, END_HEADERS, frame.stream, OK);
                wire.send(DATA, if asked == 1 { END_STREAM } else { 0 }, frame.stream, b"ok");
            }
        }
        tell.lock().unwrap().send(asked).unwrap();
    });
    let gpt_load = peer.gpt_load(&[("IDLE_CONN_TIMEOUT", "1")], &[A]);
    assert_eq!(gpt_load.ask("GET", "/v1/files/f/content").send().text(), "ok");
    let stream = gpt_load.ask("GET", "/v1/files/f/content").open();
    assert!(ended.recv_timeout(Duration::from_secs(4)).is_err(), "it is in use");
    drop(stream);
    assert_eq!(ended.recv_timeout(patience()), Ok(2));
}

#[test]
fn a_key_is_hidden_in_trailers_that_come_behind_a_known_length() {
    let literal = |name: &str, value: &str| {
        let [name, value] =
            [name, value].map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat());
        [vec![0], name, value].concat()
    };
    let kind = literal("content-type", "application/json");
    let (peer, _frames) = watched(&[], move |wire, frame| {
        if frame.ends_stream() {
            let length = [0x0f, 0x0d, 2, b'1', b'9'];
            wire.send(HEADERS, END_HEADERS, frame.stream, &[OK, &length, &kind].concat());
            for piece in ["{\"id", "\": \"1\", \"n\": 2}"] {
                wire.send(DATA, 0, frame.stream, piece.as_bytes());
                std::thread::sleep(Duration::from_millis(50));
            }
            wire.send(HEADERS, END_HEADERS | END_STREAM, frame.stream, &literal("x-quoted", A));
        }
    });
    let gpt_load = peer.gpt_load(&[], &[A]);
    let answer = gpt_load.post("/v1/embeddings").body("{}").http2().send();
    assert_eq!(answer.text(), "{\"id\": \"1\", \"n\": 2}");
    assert_eq!(answer.trailers["x-quoted"], "*".repeat(A.len()));
}
