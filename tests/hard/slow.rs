//! Clients that take their time, and idle ones by the thousand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::outcome;
use crate::support::http2::{END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame};
use crate::support::{A, GptLoad, Peer, Raw, TOKEN, eventually, patience};

fn livez(gpt_load: &GptLoad) -> Duration {
    let began = Instant::now();
    assert_eq!(gpt_load.get("/livez").send().status, 200);
    began.elapsed()
}

#[test]
fn slow_heads_are_told_so_in_time_and_hold_nobody_up() {
    let gpt_load = GptLoad::start(&[("SERVER_READ_TIMEOUT", "2")], &[A]);
    let began = Instant::now();
    let mut clients: Vec<Raw> = (0..300).map(|_| gpt_load.raw()).collect();
    let mut slowest = Duration::ZERO;
    for byte in "GET /v1/models HTTP/1.1\r\n".bytes().take(8) {
        for client in &mut clients {
            client.send([byte]);
        }
        slowest = slowest.max(livez(&gpt_load));
        std::thread::sleep(Duration::from_millis(100));
    }
    for client in &mut clients {
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    outcome("300 slow heads (slowloris)", format!("408 after 2 s; honest clients within {slowest:.0?}"));
}

#[test]
fn a_slow_body_is_told_so_in_time_and_costs_no_key() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[("SERVER_READ_TIMEOUT", "1")], &[A]);
    // One that stops, and one that trickles.
    for trickle in [false, true] {
        let began = Instant::now();
        let mut client = gpt_load.raw();
        client.send("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{");
        let mut writer = client.writer();
        let trickling = std::thread::spawn(move || {
            use std::io::Write as _;
            for _ in 0..if trickle { 60 } else { 0 } {
                std::thread::sleep(Duration::from_millis(100));
                if writer.write_all(b" ").is_err() {
                    break;
                }
            }
        });
        let answer = client.until("request_timeout");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(client);
        trickling.join().unwrap();
    }
    assert_eq!((peer.received().len(), gpt_load.healthy_keys()), (0, 1));
    outcome("slow bodies, and bodies that trickle", "408 after SERVER_READ_TIMEOUT; no key was asked");
}

/// So many clients that ask for a large answer and do not read it; how much memory that takes.
fn slow_readers(count: usize) -> u64 {
    const SIZE: usize = 10 << 20;
    let peer = Peer::start(|wire| {
        let piece = vec![b'x'; 64 << 10];
        while wire.request().is_some() {
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {SIZE}\r\n\r\n"
            ));
            for _ in 0..SIZE / piece.len() {
                if !wire.sends(&piece) {
                    return;
                }
            }
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_CONCURRENT_REQUESTS", "10000")], &[A]);
    let before = gpt_load.rss();
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = gpt_load.raw();
        client.send("GET /v1/files/f/content HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        clients.push(client);
    }
    eventually("all of them are being answered", || gpt_load.told("/stats")["requests"]["running"] == count);
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_secs(3) {
        most = most.max(gpt_load.rss().saturating_sub(before));
        std::thread::sleep(Duration::from_millis(100));
    }
    let other = livez(&gpt_load);
    assert!(other < patience() / 5, "another client waited {other:?}");
    // And a reader that is merely late gets everything.
    let late = clients.pop().unwrap().rest();
    assert_eq!(late.split_once("\r\n\r\n").unwrap().1.len(), SIZE);
    outcome(
        &format!("{count} slow readers of 10 MiB answers"),
        format!("{} MiB more memory, nothing lost", most >> 20),
    );
    most
}

#[test]
fn slow_readers_hold_little_memory() {
    let held = slow_readers(100);
    assert!(held < 20 << 20, "{held}");
}

#[test]
#[ignore = "long: make test-hard"]
fn two_thousand_slow_readers_of_ten_megabytes_stay_under_200_megabytes() {
    gpt_load::server::raise_descriptors();
    let held = slow_readers(2_000);
    assert!(held < 200 << 20, "{held}");
}

#[test]
fn a_reader_that_stops_is_cut_after_the_write_timeout() {
    let peer = Peer::start(|wire| {
        wire.request();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
        while wire.sends(&vec![b'x'; 64 << 10]) {}
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("SERVER_WRITE_TIMEOUT", "1")], &[A]);
    let mut client = gpt_load.raw();
    client.send("GET /v1/files/f/content HTTP/1.1\r\nHost: x\r\n\r\n");
    gpt_load.said("client_gone");
    eventually("its place is free", || gpt_load.told("/stats")["requests"]["running"] == 0);
    assert_eq!(gpt_load.healthy_keys(), 1);
    outcome("a reader that stops", "cut after SERVER_WRITE_TIMEOUT, nobody blamed");
}

#[test]
fn streams_whose_client_grants_no_window_are_cut_and_their_places_free() {
    let peer = Peer::start(|wire| {
        wire.request();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
        while wire.sends(&vec![b'x'; 64 << 10]) {}
    });
    // GET / of http://x in HPACK's static table, and `accept: text/event-stream`.
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    let get_events = [&get[..], &[0x0f, 4, 17], b"text/event-stream"].concat();
    for (limit, ask) in [("SERVER_WRITE_TIMEOUT", &get_events[..]), ("REQUEST_TIMEOUT", &get)] {
        let env = [("MAX_CONCURRENT_REQUESTS", "9"), (limit, "1")];
        let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
        let mut client = gpt_load.raw();
        client.send(PREFACE).send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        let began = Instant::now();
        let streams = [1, 3, 5, 7, 9, 11, 13, 15, 17];
        for stream in streams {
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, ask));
        }
        eventually("all places are held", || gpt_load.told("/stats")["requests"]["running"] == 9);
        assert_eq!(gpt_load.get("/v1/models").send().status, 429);
        let mut cut =
            streams.map(|_| client.frames_until(|frame| frame.kind == RST_STREAM).last().unwrap().stream);
        cut.sort_unstable();
        assert_eq!(cut, streams, "{limit}");
        let took = began.elapsed();
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{limit}: {took:?}");
        eventually("their places are free", || gpt_load.told("/stats")["requests"]["running"] == 0);
        assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["client_gone"], 9);
        assert_eq!(gpt_load.healthy_keys(), 1);
    }
    outcome(
        "HTTP/2 streams that are granted no window",
        "reset after SERVER_WRITE_TIMEOUT or REQUEST_TIMEOUT",
    );
}

/// So many clients send this and stop; how much of its size is held then at most, in percent.
fn held_of(clients: usize, sent: &str) -> u64 {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let before = gpt_load.rss();
    let _held: Vec<Raw> = (0..clients)
        .map(|_| {
            let mut client = gpt_load.raw();
            client.send(sent);
            client
        })
        .collect();
    let percent = || gpt_load.rss().saturating_sub(before) * 100 / (sent.len() * clients) as u64;
    eventually("it has arrived", || percent() > 20);
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_secs(1) {
        most = most.max(percent());
        std::thread::sleep(Duration::from_millis(50));
    }
    most
}

#[test]
fn a_clients_bytes_are_held_less_than_four_times() {
    let head = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n";
    let chunks = format!("40\r\n{}\r\n", "x".repeat(64)).repeat((1 << 20) / 64);
    let headers = format!("X-Header: {}\r\n", "x".repeat(600)).repeat(90);
    for (name, clients, sent) in [
        ("chunked bodies of 1 MiB", 40, format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")),
        ("bodies of 1 MiB", 40, format!("{head}Content-Length: 16000000\r\n\r\n{}", "x".repeat(1 << 20))),
        ("heads of 54 KiB", 400, format!("{head}{headers}")),
    ] {
        let percent = held_of(clients, &sent);
        assert!(percent < 400, "{name}: {percent} %");
        outcome(
            &format!("{clients} {name} that are never finished"),
            format!("{percent} % of their size is held"),
        );
    }
}

/// The time within which 99 of 100 requests are answered.
fn p99(gpt_load: &GptLoad) -> Duration {
    let mut times: Vec<Duration> = (0..400)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(gpt_load.get("/v1/models").send().status, 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
#[ignore = "long: make test-hard"]
fn five_thousand_slow_clients_leave_the_p99_of_others_within_twice() {
    gpt_load::server::raise_descriptors();
    let count = (gpt_load::server::descriptors() - 400).min(5_000);
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    p99(&gpt_load);
    let alone = p99(&gpt_load);
    let mut slow: Vec<Raw> = (0..count).map(|_| gpt_load.raw()).collect();
    for client in &mut slow {
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    }
    let over = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A byte each in five seconds.
            for client in (0..count).cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                slow[client].send("x");
                std::thread::sleep(Duration::from_secs(5) / u32::try_from(count).unwrap());
            }
        });
        // The best of three: whatever else this machine does is not theirs.
        let best = (0..3).map(|_| p99(&gpt_load)).min().unwrap();
        over.store(true, Ordering::Relaxed);
        best
    });
    assert!(beside < alone * 2 + Duration::from_millis(5), "p99 alone {alone:?}, beside them {beside:?}");
    outcome(
        &format!("{count} slow clients"),
        format!("p99 of others {beside:.1?}; without them {alone:.1?}"),
    );
}

#[test]
#[ignore = "long: make test-hard"]
fn twenty_thousand_idle_connections_or_as_many_as_descriptors_allow() {
    gpt_load::server::raise_descriptors();
    // What this process and its threads need for themselves.
    let count = gpt_load::server::descriptors().min(20_400) - 400;
    let gpt_load = GptLoad::start(&[("SERVER_IDLE_TIMEOUT", "600")], &[A]);
    let before = gpt_load.rss();
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(std::net::TcpStream::connect(gpt_load.address()).unwrap());
    }
    // Accepted, all of them: the last one is answered.
    let mut last = Raw::connect(gpt_load.address());
    last.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").until("200 OK");
    let each = gpt_load.rss().saturating_sub(before) / count as u64;
    let answered = livez(&gpt_load);
    assert!(answered < patience() / 10, "{answered:?}");
    assert!(each < 16 << 10, "{each} bytes each");
    outcome(
        &format!("{count} idle connections"),
        format!("{each} bytes each; another client within {answered:.0?}"),
    );
}

/// How long a client is held that goes on with its upload, a little every second, beside an answer that came early.
fn held_beside_an_answer(gpt_load: &GptLoad, ask: &str, answer: &str) -> Duration {
    let mut client = gpt_load.raw();
    client.send(ask).send([b'x'; 5000]).until(answer);
    let began = Instant::now();
    let mut writer = client.writer();
    writer.set_nonblocking(true).unwrap();
    while began.elapsed() < Duration::from_secs(90) {
        let sent = std::io::Write::write(&mut writer, &[b'x'; 2048]);
        if sent.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    began.elapsed()
}

#[test]
#[ignore = "long: make test-hard"]
fn who_uploads_on_beside_an_answer_is_held_for_half_a_minute() {
    let peer = Peer::start(|wire| {
        let head = wire.head().unwrap_or_default();
        let status = if head.starts_with("POST /v1/large") { "413 Payload Too Large" } else { "200 OK" };
        wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\nenough!"));
        std::thread::sleep(Duration::from_secs(90));
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN), ("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let ask = |path: &str, token: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 90000000\r\n\r\n"
        )
    };
    let cases = [
        ("a refusal of ours", ask("/v1/files", "wrong"), "invalid_auth_token"),
        ("an upstream's refusal", ask("/v1/large", TOKEN), "enough!"),
        ("an upstream's answer", ask("/v1/files", TOKEN), "enough!"),
    ];
    let times = std::thread::scope(|scope| {
        let held = cases.map(|(what, ask, answer)| {
            let gpt_load = &gpt_load;
            scope.spawn(move || (what, held_beside_an_answer(gpt_load, &ask, answer)))
        });
        held.map(|held| held.join().unwrap())
    });
    for (what, time) in &times {
        assert!(*time < Duration::from_secs(33), "{what}: {time:?}");
    }
    let longest = times.iter().map(|(_, time)| *time).max().unwrap();
    outcome("uploads that go on beside an early answer", format!("cut after {longest:.0?}"));
}
