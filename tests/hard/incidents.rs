//! What went wrong elsewhere, 2020 to 2026, each once more against gpt-load. (Smuggling, floods and slow clients have files
//! of their own.)

use std::time::{Duration, Instant};

use mock_provider::Play;
use serde_json::json;

use crate::outcome;
use crate::support::{A, ADMIN, B, GptLoad, Launch, Peer, Raw, TOKEN, chat, provider};

#[test]
fn a_token_is_compared_and_never_looked_up_litellm_cve_2026_42208() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
    for token in [
        "' OR '1'='1",
        "\" OR \"\"=\"",
        "*",
        "%",
        ".*",
        "null",
        "undefined",
        "{}",
        "$(id)",
        "../../etc/passwd",
        "\u{fffd}",
        &TOKEN.to_uppercase(),
    ] {
        let answer = gpt_load.raw().send(format!("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n")).rest();
        assert!(answer.starts_with("HTTP/1.1 401"), "{token}: {answer}");
    }
    assert_eq!(peer.received(), Vec::<String>::new());
    outcome("token that is SQL, a pattern, a path (LiteLLM, CVE-2026-42208)", "401");
}

#[test]
fn host_neither_routes_nor_authorises_litellm_cve_2026_49468() {
    let gpt_load = GptLoad::start(&[("AUTH_KEY", TOKEN), ("ADMIN_KEY", ADMIN)], &[A]);
    for host in
        ["localhost:4000/#@x", "localhost", "127.0.0.1", "x/stats", "/stats", "x?/stats#", "[::1]", "a b", ""]
    {
        for page in ["/stats", "/blacklist", "/reset-keys"] {
            let answer = gpt_load
                .raw()
                .send(format!("GET {page} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
                .rest();
            assert!(answer.starts_with("HTTP/1.1 40"), "{host} {page}: {answer}");
        }
    }
    outcome("Host that routes or authorises (LiteLLM, CVE-2026-49468)", "refused");
}

#[test]
fn two_authorizations_never_let_the_second_in() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
    let ask = |headers: &str| {
        gpt_load
            .raw()
            .send(format!("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
            .rest()
    };
    assert!(
        ask(&format!("Authorization: Bearer wrong\r\nAuthorization: Bearer {TOKEN}\r\n"))
            .starts_with("HTTP/1.1 40")
    );
    let passed = ask(&format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong\r\n"));
    if passed.starts_with("HTTP/1.1 200") {
        let sent = peer.received().concat().to_ascii_lowercase();
        assert_eq!(sent.matches("authorization:").count(), 1, "{sent}");
        assert!(!sent.contains("wrong") && !sent.contains(TOKEN), "{sent}");
    }
    outcome("two Authorization headers", "the first decides, one goes upstream");
}

#[test]
fn a_key_in_the_query_shows_in_no_error_gpt_load_429() {
    // Gemini's keys travel in the query: an error that quotes the URL quotes the key.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nowhere}");
    let mut gpt_load =
        Launch::new(&[("OPENAI_BASE_URL", &url), ("LOG_LEVEL", "debug"), ("MAX_RETRIES", "1")], &[A, B])
            .start();
    let answer =
        gpt_load.post("/v1beta/models/gemini-2.5-flash:generateContent?key=anything").json(&json!({})).send();
    assert_eq!(answer.refused(), (502, "upstream_unreachable".to_owned()));
    gpt_load.signal("TERM");
    gpt_load.ended();
    let said = gpt_load.output();
    assert!(!said.contains(A) && !said.contains(B) && !said.contains("key=anything"), "{said}");
    outcome("key in a transport error (gpt-load #429)", "in no answer and no log line");
}

#[test]
fn control_characters_never_reach_the_log_tracing_subscriber_rustsec_2025_0055() {
    let refusal = r#"{"error":{"message":"Bad key \u001b[31m\r\nGET \u009b2J x","code":"invalid_api_key"}}"#;
    let peer = Peer::answering(format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{refusal}",
        refusal.len()
    ));
    let gpt_load = GptLoad::before_peer(&peer, &[("LOG_LEVEL", "debug"), ("MAX_KEY_WAIT", "0")], &[A]);
    let model = "{\"model\":\"\x1b[31m\\u001b]0;\\u0007\u{202e}\"}";
    for bytes in [
        format!(
            "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{model}",
            model.len()
        ),
        "GET /v1/\x1b[31mred HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /v1/%1b%5b31m%0d%0aGET HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        gpt_load.raw().send(bytes).rest();
    }
    gpt_load.said("key blacklisted");
    gpt_load
        .logged("the second request", |line| line["path"].as_str().is_some_and(|path| path.contains("%1b")));
    let said = gpt_load.output();
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    outcome(
        "escape sequences from clients and upstreams (tracing-subscriber, RUSTSEC-2025-0055)",
        "escaped in the log",
    );
}

#[test]
fn an_origin_is_echoed_only_if_it_is_allowed_and_a_star_takes_no_credentials() {
    let ended = Launch::new(&[("ALLOW_CREDENTIALS", "true"), ("ALLOWED_ORIGINS", "*")], &[A]).run();
    assert_eq!(ended.status, Some(2));
    let mock = provider(&[(A, "valid")]);
    let env = [("ALLOW_CREDENTIALS", "true"), ("ALLOWED_ORIGINS", "https://good.example")];
    let gpt_load = GptLoad::before(&mock, &env, &[A]);
    for origin in [
        "https://evil.example",
        "https://good.example.evil.example",
        "null",
        "https://good.example:8443",
        "http://good.example",
    ] {
        let answer = gpt_load.get("/v1/models").header("origin", origin).send();
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    outcome(
        "CORS that echoes any origin with credentials (gpt-load's own past)",
        "refused at start; only listed origins",
    );
}

#[test]
fn an_upstream_splits_no_answer() {
    let hidden = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    let mut refused = 0;
    let answers = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 8\r\n\r\n{hidden}"),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\n{hidden}"),
        format!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}"),
        format!("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n{hidden}"
        ),
    ];
    let count = answers.len();
    for answer in answers {
        let peer = Peer::answering(answer.clone());
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "0")], &[A]);
        let mut client = Raw::connect(gpt_load.address());
        // Two requests on one connection: neither may get what the upstream hid behind the first answer.
        let got = client.send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rest();
        assert!(!got.contains("smuggled"), "{answer:?}: {got:?}");
        assert!(!got.contains("\r\nSet-Cookie: b=c"), "{answer:?}: {got:?}");
        assert_eq!(got.matches("HTTP/1.1 ").count(), 2, "{answer:?}: {got:?}");
        refused += usize::from(got.contains(" 502 "));
        assert_eq!(gpt_load.healthy_keys(), 1);
    }
    outcome("answers that hide another answer", format!("{count} ways, {refused} of them 502, none split"));
}

#[test]
fn answers_of_one_client_never_reach_another_litellm_cve_2026_35030_pingora_cve_2026_2836() {
    // No cache: the same request twice is two requests, and what the upstream says of caching passes.
    let peer = Peer::answering(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nVary: X-Who\r\nContent-Length: 2\r\n\r\nok",
    );
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for _ in 0..3 {
        let answer = gpt_load.get("/v1/models").send();
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "X-Who"));
    }
    assert_eq!(peer.received().concat().matches("GET /v1/models").count(), 3);
    outcome("cache keys that collide (LiteLLM, CVE-2026-35030; Pingora, CVE-2026-2836)", "there is no cache");
}

#[test]
fn redirects_take_no_key_elsewhere() {
    let elsewhere = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let peer = Peer::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/?key={A}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    ));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let answer = gpt_load.get("/v1/models").send();
    assert_eq!(answer.status, 307);
    assert!(!answer.header("location").unwrap().contains(A));
    assert_eq!(elsewhere.received(), Vec::<String>::new());
    outcome("redirect of a request with a key", "passed on without the key, never followed");
}

#[test]
fn heads_and_headers_beyond_measure_are_refused_and_cost_little() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let before = gpt_load.rss();
    let many = "X-Header: y\r\n".repeat(200);
    let long = format!("X-Long: {}\r\n", "y".repeat(200_000));
    for headers in [&many, &long] {
        let answer =
            gpt_load.raw().send(format!("GET /v1/models HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).rest();
        assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    }
    let target =
        gpt_load.raw().send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000))).rest();
    assert!(target.starts_with("HTTP/1.1 4") || target.is_empty(), "{target}");
    // A head without end.
    let mut endless = gpt_load.raw();
    endless.send("GET / HTTP/1.1\r\n");
    for _ in 0..100 {
        endless.send(&many);
    }
    let answer = endless.rest();
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    assert_eq!(peer.received(), Vec::<String>::new());
    let grown = gpt_load.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown}");
    outcome(
        "heads too large, too many headers, without end",
        format!("431; {} KiB more memory", grown >> 10),
    );
}

#[test]
fn bytes_that_are_no_text_harm_nobody() {
    let mock = provider(&[]);
    mock.unknown(Play::Valid);
    let gpt_load = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN)], &[A]);
    let auth = format!("Host: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n");
    let garbage = b"\xff\xfe\xc3\x28\xed\xa0\x80";
    let with = |before: &str, after: &str| [before.as_bytes(), garbage, after.as_bytes()].concat();
    for bytes in [
        with("GET /v1/", &format!(" HTTP/1.1\r\n{auth}\r\n")),
        with("GET /v1/models?key=", &format!(" HTTP/1.1\r\n{auth}\r\n")),
        with("", &format!(" / HTTP/1.1\r\n{auth}\r\n")),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}X-"), ": y\r\n\r\n"),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}X-Y: "), "\r\n\r\n"),
        with("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ", "\r\n\r\n"),
        with("GET /v1/models HTTP/1.1\r\nConnection: close\r\nHost: ", "\r\n\r\n"),
        with(
            &format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{auth}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{\"model\":\""
            ),
            "\"} ",
        ),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}Accept-Encoding: "), "\r\n\r\n"),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}Origin: "), "\r\n\r\n"),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}x-stainless-read-timeout: "), "\r\n\r\n"),
        with(&format!("GET /v1/models HTTP/1.1\r\n{auth}Sec-WebSocket-Protocol: "), "\r\n\r\n"),
    ] {
        let answer = gpt_load.raw().send(&bytes).rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer}");
        assert!(!answer.starts_with("HTTP/1.1 5"), "{}: {answer}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(gpt_load.post("/v1/chat/completions").bearer(TOKEN).json(&chat()).send().status, 200);
    outcome("invalid UTF-8 in every place", "4xx, or passed on as it is");
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let gpt_load = GptLoad::start(&[], &[A]);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", gpt_load.pid())).unwrap().count();
    let come_and_go = || {
        for round in 0..3_000 {
            let mut client = Raw::connect(gpt_load.address());
            match round % 4 {
                0 => {}
                1 => drop(client.send("GET /li")),
                2 => drop(client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")),
                _ => drop(client.send([0x16, 3, 1, 0, 200, 1])),
            }
            client.reset();
        }
    };
    // As many as there may be at once leave their mark on the allocator, and a worker on a busy machine may begin late; only
    // what grows from there on is lost.
    come_and_go();
    let mut before = descriptors();
    crate::support::eventually("the descriptors are few, and stay as many", || {
        std::thread::sleep(Duration::from_millis(300));
        before == std::mem::replace(&mut before, descriptors()) && before < 100
    });
    let memory = gpt_load.rss();
    come_and_go();
    crate::support::eventually("all descriptors come back", || descriptors() <= before + 4);
    let grown = gpt_load.rss().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown}");
    let began = Instant::now();
    assert_eq!(gpt_load.get("/livez").send().status, 200);
    assert!(began.elapsed() < Duration::from_secs(1));
    outcome(
        "6,000 connections that come and go",
        format!("no descriptor lost, {} KiB more memory", grown >> 10),
    );
}
