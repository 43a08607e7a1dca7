//! HTTP/2 floods. Each runs for a while beside an honest client, and must cost little memory and nobody's patience.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::outcome;
use crate::support::http2::{
    CONTINUATION, DATA, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::{A, GptLoad, Peer};

/// How long each flood goes on, if it is let.
const FLOOD: Duration = Duration::from_secs(2);

/// GET / of http://x, in HPACK's static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];
/// The same as POST.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'x'];

/// Floods gpt-load with what `next` makes of ever new odd stream numbers, and looks how an honest client fares meanwhile.
fn flood(name: &str, next: impl FnMut(u32) -> Vec<u8>) {
    flood_and(false, name, next);
}

/// The same, of a client that reads what it is answered. That nothing stops it but gpt-load.
fn flood_that_is_cut(name: &str, next: impl FnMut(u32) -> Vec<u8>) {
    let cut = flood_and(true, &format!("{name}, answers read"), next);
    assert!(cut > 0, "{name}: borne");
}

/// Returns how many connections were cut.
fn flood_and(reads: bool, name: &str, mut next: impl FnMut(u32) -> Vec<u8>) -> u64 {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(
        &peer,
        &[("MAX_CONCURRENT_REQUESTS", "1000"), ("LOG_ENABLE_REQUEST", "false")],
        &[A],
    );
    gpt_load.get("/v1/models").send();
    let before = gpt_load.rss();
    let began = Instant::now();
    let (mut sent, mut cut, mut slowest, mut most) = (0_u64, 0, Duration::ZERO, 0);
    let mut look = || {
        let asked = Instant::now();
        assert_eq!(gpt_load.get("/v1/models").send().status, 200);
        slowest = slowest.max(asked.elapsed());
        most = most.max(gpt_load.rss().saturating_sub(before));
    };
    while began.elapsed() < FLOOD {
        let mut stream = TcpStream::connect(gpt_load.address()).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        if reads {
            let mut answers = stream.try_clone().unwrap();
            std::thread::spawn(
                move || while answers.read(&mut [0; 16 << 10]).is_ok_and(|length| length > 0) {},
            );
        } else {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        let mut number = 1;
        'connection: while began.elapsed() < FLOOD && number < 1 << 30 {
            let mut batch = Vec::new();
            for _ in 0..200 {
                batch.extend(next(number));
                number += 2;
            }
            sent += 200;
            if stream.write_all(&batch).is_err() {
                cut += 1;
                break 'connection;
            }
            if number % 16_000 < 400 {
                look();
            }
        }
        if !reads {
            let _ = stream.read(&mut [0; 1024]);
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    look();
    assert!(most < 32 << 20, "{name}: {} MiB more", most >> 20);
    assert!(slowest < Duration::from_secs(2), "{name}: an honest client waited {slowest:?}");
    outcome(
        &format!("flood: {name}"),
        format!(
            "{sent} times in 2 s, {cut} connections cut, {} KiB more memory, honest clients within {slowest:.0?}",
            most >> 10
        ),
    );
    cut
}

#[test]
fn rapid_reset_cve_2023_44487_h2_rustsec_2023_0034_2024_0003() {
    flood("rapid reset (CVE-2023-44487; h2, RUSTSEC-2023-0034, -2024-0003)", |stream| {
        [frame(HEADERS, 5, stream, GET), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
}

#[test]
fn resets_that_the_server_is_made_to_send_cve_2025_8671() {
    flood("MadeYouReset (CVE-2025-8671)", |stream| {
        [frame(HEADERS, 4, stream, POST), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
}

#[test]
fn headers_that_go_on_for_ever_rustsec_2024_0332() {
    let header = [&[0x40, 4][..], b"x-yz", &[100], &[b'a'; 100]].concat();
    flood("CONTINUATION (RUSTSEC-2024-0332)", |stream| {
        if stream == 1 { frame(HEADERS, 1, 1, GET) } else { frame(CONTINUATION, 0, 1, &header.repeat(20)) }
    });
}

#[test]
fn settings_whose_answers_nobody_reads() {
    flood("SETTINGS", |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
}

#[test]
fn pings_whose_answers_nobody_reads() {
    flood("PING", |_| frame(PING, 0, 0, b"ping ing"));
}

#[test]
fn frames_that_ask_for_nothing_and_whose_answers_are_read() {
    flood_that_is_cut("SETTINGS", |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
    flood_that_is_cut("PING", |_| frame(PING, 0, 0, b"ping ing"));
    flood_that_is_cut("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    flood_that_is_cut("frames of no known kind", |_| frame(99, 0, 0, b"extended"));
}

#[test]
fn empty_data_without_end_rustsec_2026_0258() {
    flood("empty DATA (RUSTSEC-2026-0258)", |stream| {
        if stream == 1 { frame(HEADERS, 4, 1, POST) } else { frame(DATA, 0, 1, &[]) }
    });
}

#[test]
fn data_a_byte_at_a_time_h2_0_4_18() {
    flood("DATA, a byte each (h2 before 0.4.18)", |stream| {
        if stream == 1 { frame(HEADERS, 4, 1, POST) } else { frame(DATA, 0, 1, b"x") }
    });
}

#[test]
fn headers_compressed_a_thousandfold_h2_0_4_17() {
    // One long header in the dynamic table, and then 4,000 references to it, a byte each.
    let bomb = [GET, &[0x40, 1, b'x', 0x7f, 0x81, 0x1f], &[b'a'; 4096][..], &[0xbe; 4000][..]].concat();
    flood("HPACK bomb (h2 before 0.4.17)", |stream| frame(HEADERS, 5, stream, &bomb));
}

#[test]
fn streams_without_end_and_streams_beyond_the_limit() {
    flood("more streams than allowed", |stream| frame(HEADERS, 4, stream, POST));
}
