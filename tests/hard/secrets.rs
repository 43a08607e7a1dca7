//! No key of the pool leaves except to its own upstream, whatever an upstream quotes. (The harness looks for keys and tokens
//! in every answer that it reads and everything that a gpt-load ever wrote, in all tests.)

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;

use crate::outcome;
use crate::support::{A, Answer, B, C, GptLoad, Launch, Peer, TOKEN, chat_with, eventually};

/// An answer with these headers and this body.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// An answer's body as whoever asked for it reads it.
fn read(answer: &Answer) -> String {
    let mut plain = answer.body.to_vec();
    if answer.header("content-encoding") == Some("gzip") {
        plain.clear();
        flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut plain).unwrap();
    }
    plain.retain(|byte| *byte != 0);
    String::from_utf8_lossy(&plain).into_owned()
}

/// Places in which a key is not seen by who only looks at an answer's first bytes.
fn out_of_sight(error: &str, event: &str) -> Vec<(&'static str, Vec<u8>)> {
    const JSON: &str = "Content-Type: application/json\r\n";
    vec![
        (
            "in UTF-16",
            answer(
                "400 Bad Request",
                "Content-Type: application/json; charset=utf-16\r\n",
                &error.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
            ),
        ),
        (
            "in a 200, compressed",
            answer("200 OK", &format!("{JSON}Content-Encoding: gzip\r\n"), &gzipped(error)),
        ),
        ("in a 201", answer("201 Created", JSON, error.as_bytes())),
        (
            "in a long 200",
            answer(
                "200 OK",
                JSON,
                format!("{{\"error\":{{\"message\":\"{}{A}\"}}}}", "y".repeat(17_000)).as_bytes(),
            ),
        ),
        (
            "in a stream's later event, compressed",
            answer(
                "200 OK",
                "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n",
                &gzipped(&format!("data: {{\"choices\":[]}}\n\n{event}")),
            ),
        ),
    ]
}

#[test]
fn a_key_that_an_upstream_quotes_is_hidden_be_it_the_leased_one_or_another() {
    const JSON: &str = "Content-Type: application/json\r\n";
    let quotes = format!("Incorrect API key provided: {A}, or was it {B}? Not {C}\\n{A}");
    let error = |code: &str| format!(r#"{{"error":{{"message":"{quotes}","code":"{code}"}}}}"#);
    let event = format!("data: {{\"error\":{{\"message\":\"{quotes}\",\"code\":\"invalid_api_key\"}}}}\n\n");
    let long = format!("{}{}", error("x"), " ".repeat(100_000));
    let far = format!("{}{}", "{\"a\":\"b\"},".repeat(8_000), error("x"));
    let mut cases = vec![
        ("in a request's fault", answer("400 Bad Request", JSON, error("x").as_bytes())),
        ("in an upstream's fault", answer("500 Internal Server Error", JSON, error("x").as_bytes())),
        ("in a refusal of the key", answer("401 Unauthorized", JSON, error("invalid_api_key").as_bytes())),
        ("in a limit", answer("429 Too Many Requests", JSON, error("rate_limit_exceeded").as_bytes())),
        ("in plain text", answer("403 Forbidden", "Content-Type: text/plain\r\n", quotes.as_bytes())),
        (
            "compressed",
            answer("400 Bad Request", &format!("{JSON}Content-Encoding: gzip\r\n"), &gzipped(&error("x"))),
        ),
        (
            "in a header",
            answer(
                "404 Not Found",
                &format!("X-Debug: key={B}; {A}\r\nWWW-Authenticate: Bearer {C}\r\n"),
                b"{}",
            ),
        ),
        (
            "in a redirect",
            answer(
                "307 Temporary Redirect",
                &format!("Location: https://x.example/?key={C}&k={A}\r\n"),
                format!("<a href=\"/?key={A}\">Temporary Redirect</a>.\n").as_bytes(),
            ),
        ),
        ("before a long rest", answer("400 Bad Request", JSON, long.as_bytes())),
        ("after 64 KiB", answer("400 Bad Request", JSON, far.as_bytes())),
        ("after 64 KiB, refused for the key", answer("401 Unauthorized", JSON, far.as_bytes())),
        (
            "after 64 KiB, compressed",
            answer("400 Bad Request", &format!("{JSON}Content-Encoding: gzip\r\n"), &gzipped(&far)),
        ),
        (
            "in what claims to be compressed",
            answer("400 Bad Request", &format!("{JSON}Content-Encoding: br\r\n"), error("x").as_bytes()),
        ),
        ("in the reason", answer(&format!("418 {B} {A}"), JSON, b"{}")),
        ("in a good answer's reason", answer(&format!("200 {B}"), JSON, b"{}")),
        (
            "in trailers",
            format!(
                "HTTP/1.1 400 Bad Request\r\nTrailer: X-Key\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{far}\r\n0\r\nX-Key: {B}\r\n\r\n",
                far.len()
            )
            .into_bytes(),
        ),
        ("in a good answer's header", answer("200 OK", &format!("X-Debug: {B}\r\nSet-Cookie: k={A}\r\n"), b"{}")),
        ("in a 200", answer("200 OK", JSON, error("invalid_api_key").as_bytes())),
        (
            "in a stream's first event",
            answer("200 OK", "Content-Type: text/event-stream\r\n", event.as_bytes()),
        ),
    ];
    cases.extend(out_of_sight(&error("rate_limit_exceeded"), &event));
    for (name, bytes) in &cases {
        let peer = Peer::answering(bytes.clone());
        let gpt_load = GptLoad::before_peer(
            &peer,
            &[("LOG_LEVEL", "debug"), ("MAX_RETRIES", "1"), ("MAX_KEY_WAIT", "0")],
            &[A, B, C],
        );
        for stream in [false, true] {
            // `send` fails the test if a whole key is in the answer.
            let answer =
                gpt_load.post("/v1/chat/completions").json(&chat_with(json!({"stream": stream}))).send();
            let said = format!("{:?}{}", answer.headers, read(&answer));
            for key in [A, B, C] {
                assert!(!said.contains(&key[..key.len() - 2]), "{name}: {said}");
            }
            assert!(!answer.broken, "{name}");
        }
        // The reason too, which no client library shows.
        let raw =
            gpt_load.raw().send("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rest();
        assert!(![A, B, C].iter().any(|key| raw.contains(&key[..key.len() - 2])), "{name}: {raw}");
        gpt_load.get("/blacklist").send();
        gpt_load.get("/stats").send();
        assert!(!gpt_load.output().contains(&A[..A.len() - 2]), "{name}");
    }
    outcome(
        "secrets: keys that an upstream quotes",
        format!("hidden in {} places, any key of the pool", cases.len()),
    );
}

#[test]
fn an_error_later_in_an_answer_tells_no_key_in_whatever_pieces_it_comes() {
    const EVENTS: &str = "text/event-stream";
    let cases = [
        (
            "/v1/chat/completions",
            EVENTS,
            format!("data: {{\"error\":{{\"message\":\"provided: {A}, {B}\"}}}}\n\n"),
        ),
        ("/v1/messages", EVENTS, format!("event: error\ndata: {{\"message\":\"bad key {B}\"}}\n\n")),
        (
            "/v1/responses",
            EVENTS,
            format!(
                "data: {{\"type\":\"response.failed\",\"response\":{{\"error\":{{\"message\":\"No: {A}\"}}}}}}\n\n"
            ),
        ),
        (
            "/v1beta/models/g:streamGenerateContent",
            "application/json",
            format!(",{{\"error\":{{\"code\":400,\"message\":\"not valid: {A}\"}}}}]"),
        ),
        (
            "/v1/batches",
            "application/json",
            format!("\"errors\":{{\"data\":[{{\"message\":\"bad {A}\"}}]}}}}"),
        ),
    ];
    let mut tried = 0_u64;
    for (path, kind, error) in cases {
        let before = if kind == EVENTS {
            "data: {\"choices\":[]}\n\n"
        } else {
            "[{\"candidates\":[{\"text\":\"a\"}]}\n"
        };
        let cuts = error.len();
        let (told, at) = (error.clone(), AtomicUsize::new(0));
        let peer = Peer::start(move |wire| {
            while wire.request().is_some() {
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
                ));
                let (first, second) = told.split_at(at.fetch_add(1, Ordering::Relaxed) % cuts);
                for piece in [before, first, second].iter().filter(|piece| !piece.is_empty()) {
                    wire.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
                    std::thread::sleep(Duration::from_millis(4));
                }
                wire.send("0\r\n\r\n");
            }
        });
        let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
        let stars = "*".repeat(A.len());
        let want = format!("{before}{}", error.replace(A, &stars).replace(B, &stars));
        for cut in 0..cuts {
            let answer = gpt_load.post(path).json(&chat_with(json!({"stream": true}))).send();
            assert_eq!((answer.text(), answer.broken), (want.clone(), false), "{path} cut at {cut}");
        }
        let counted = &gpt_load.told("/stats")["requests"]["failures"]["broken_answer"];
        let is_told = path != "/v1/batches";
        assert_eq!(counted.as_u64().unwrap_or_default(), if is_told { cuts as u64 } else { 0 }, "{path}");
        tried += cuts as u64;
    }
    outcome("secrets: keys in an error later in an answer, cut anywhere", format!("hidden, {tried} cuts"));
}

#[test]
fn an_escaped_key_is_hidden_too() {
    const KEYS: [&str; 2] = ["sk/aaaaaaaa+aaaaaaaa=0001", "sk/bbbbbbbb+bbbbbbbb=0002"];
    let percent = |text: &str| text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let json = |text: &str| text.replace('/', "\\/").replace('+', "\\u002B");
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let all = KEYS.join(" ");
    let quoted = [percent(&all), json(&all), base64(&format!("{}:{}", KEYS[0], KEYS[1])), base64(KEYS[1])];
    // What is left of a key is too short to be of use.
    let rests: Vec<String> = quoted.iter().map(|text| text[8..text.len() - 12].to_owned()).collect();
    let body = format!(r#"{{"error":{{"message":"Not {}","code":"x"}}}}"#, quoted.join(" or "));
    let long = format!("{body}{}{body}", "x ".repeat(50_000));
    for (name, answer) in [
        ("body", answer("400 Bad Request", "", body.as_bytes())),
        ("refusal", answer("401 Unauthorized", "", body.as_bytes())),
        ("long body", answer("400 Bad Request", "", long.as_bytes())),
        ("redirect", answer("307 Temporary Redirect", &format!("Location: /?{}\r\n", quoted.join("&")), b"")),
    ] {
        let peer = Peer::answering(answer);
        let env = [("LOG_LEVEL", "debug"), ("MAX_RETRIES", "1"), ("MAX_KEY_WAIT", "0")];
        let gpt_load = GptLoad::before_peer(&peer, &env, &KEYS);
        let answer = gpt_load.chat();
        let told = gpt_load.get("/blacklist").send().text();
        let said = format!("{:?}{}{told}{}", answer.headers, answer.text(), gpt_load.output());
        for rest in &rests {
            assert!(!said.contains(rest.as_str()), "{name}: {rest} in {said}");
        }
        assert!(said.contains("**"), "{name}: {said}");
    }
    outcome("secrets: keys percent-encoded, JSON-escaped, in base64", "hidden, any key of the pool");
}

#[test]
fn a_long_part_of_the_leased_key_is_hidden_too() {
    let part = &A[..A.len() - 2];
    let body = format!(r#"{{"error":{{"message":"Key {part}... is no key","code":"x"}}}}"#);
    let peer =
        Peer::answering(answer("400 Bad Request", "Content-Type: application/json\r\n", body.as_bytes()));
    let gpt_load = GptLoad::before_peer(&peer, &[("LOG_LEVEL", "debug")], &[A]);
    assert_eq!(gpt_load.chat().text(), body.replace(part, "****"));
    outcome("secrets: the leased key quoted in part", "hidden");
}

#[test]
fn what_quotes_no_key_passes_untouched() {
    let body = format!(
        r#"{{"error":{{"message":"sk-... or {} or {TOKEN}","code":"x"}}}}"#,
        "sk-test-dddddddddddd-9999"
    );
    let peer = Peer::answering(answer("400 Bad Request", "X-A: b\r\n", body.as_bytes()));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    assert_eq!(gpt_load.chat().text(), body);
    outcome("secrets: error texts without a key", "pass byte for byte");
}

#[test]
fn check_and_problems_of_the_configuration_tell_no_secret() {
    for env in [
        vec![
            ("AUTH_KEY", TOKEN),
            ("ADMIN_KEY", "another-token-of-an-admin"),
            ("OPENAI_BASE_URL", "https://user:pass-of-a-user@api.example"),
        ],
        vec![
            ("AUTH_KEY", TOKEN),
            ("OPENAI_BASE_URL", "https://user:pass-of-a-user@api.example:x"),
            ("HTTPS_PROXY", "ftp://u:pass-of-a-user@p:1"),
        ],
    ] {
        let ended = Launch::new(&env, &[A]).arguments(&["check"]).run();
        assert!(!ended.output.contains("pass-of-a-user"), "{}", ended.output);
    }
    outcome("secrets: gpt-load check", "redacted");
}

/// How often something stands in a process's memory.
fn in_memory_of(pid: u32, text: &[u8]) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw-p "));
    let ranges = writable.filter_map(|line| line.split(' ').next()?.split_once('-'));
    let count = |(from, to)| {
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What is no memory any more can't be read.
        memory.read_exact_at(&mut bytes, from).map_or(0, |()| memchr::memmem::find_iter(&bytes, text).count())
    };
    ranges.map(count).sum()
}

#[test]
fn a_key_that_was_removed_is_in_memory_no_longer() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    assert!(in_memory_of(gpt_load.pid(), B.as_bytes()) > 0);
    std::fs::write(gpt_load.keys_file(), format!("{A}\n{C}\n")).unwrap();
    gpt_load.signal("HUP");
    eventually("the old keys are overwritten", || in_memory_of(gpt_load.pid(), B.as_bytes()) == 0);
    assert!(in_memory_of(gpt_load.pid(), A.as_bytes()) > 0);
    outcome("secrets: memory of keys that were removed", "overwritten");
}
