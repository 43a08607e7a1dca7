//! Spec §4, §5: WebSocket and other upgrades.

use std::sync::mpsc::channel;
use std::time::Duration;

use mock_provider::{Http, Options, Tls};

use crate::support::{A, B, GptLoad, Peer, Raw, TOKEN, Wire, eventually, patience, provider_with};

const REALTIME: &str = "/v1/realtime?model=gpt-4o-realtime-preview";

/// What a WebSocket client asks for, with these headers beside.
fn asks(more: &str) -> String {
    format!(
        "GET {REALTIME} HTTP/1.1\r\nHost: gpt-load\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// Agrees to every upgrade, and echoes.
fn echo(wire: &mut Wire) {
    let Some(_) = wire.head() else { return };
    wire.send(format!("{AGREED}\r\n"));
    loop {
        let piece = wire.read();
        if piece.is_empty() {
            return wire.finish();
        }
        wire.send(piece);
    }
}

fn line_of_the_end(gpt_load: &GptLoad) -> serde_json::Value {
    gpt_load.logged("the tunnel's line", |line| line["status"] == 101)
}

#[test]
fn a_websocket_is_a_tunnel_until_both_sides_end() {
    let peer = Peer::start(echo);
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    // What is sent before the answer goes on as well.
    client.send(asks("Authorization: Bearer anything\r\n") + "early ");
    let head = client.until("early ").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(
        head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"),
        "{head}"
    );
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    client.send("\x00\x01 frames \u{7f}");
    client.until("frames \u{7f}");
    assert_eq!(gpt_load.told("/stats")["requests"]["running"], 1);
    assert_eq!(client.finish().rest(), "");
    let line = line_of_the_end(&gpt_load);
    assert_eq!(
        (line["bytes"].as_u64(), line["key_index"].as_u64(), line["attempts"].as_u64()),
        (Some(17), Some(0), Some(1))
    );
    let sent = &peer.received()[0];
    let head = sent.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /v1/realtime?model=gpt-4o-realtime-preview http/1.1\r\n"), "{head}");
    for header in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        &format!("authorization: bearer {A}"),
    ] {
        assert_eq!(head.matches(&format!("\r\n{header}")).count(), 1, "{header}: {head}");
    }
    eventually("it is no longer running", || gpt_load.told("/stats")["requests"]["running"] == 0);
}

#[test]
fn the_leased_key_goes_where_the_token_was_and_only_an_offered_subprotocol_comes_back() {
    let key = format!("openai-insecure-api-key.{A}");
    let token = format!("openai-insecure-api-key.{TOKEN}");
    let offered = format!("Sec-WebSocket-Protocol: realtime, {token}\r\n");
    for (ask, chosen, authorization, protocols, echoed) in [
        (offered.clone(), "realtime", None, Some(format!("realtime, {key}")), Some("realtime")),
        (
            offered.clone() + "Sec-WebSocket-Protocol: openai-beta.realtime-v1\r\n",
            "openai-beta.realtime-v1",
            None,
            Some(format!("realtime, openai-beta.realtime-v1, {key}")),
            Some("openai-beta.realtime-v1"),
        ),
        // The first that is found decides, and the other goes.
        (
            format!("Authorization: Bearer {TOKEN}\r\n{offered}"),
            "realtime",
            Some(A),
            Some("realtime".to_owned()),
            Some("realtime"),
        ),
        (format!("Sec-WebSocket-Protocol: {token}\r\n"), &*key, None, Some(key.clone()), None),
        (offered.clone(), &*key, None, Some(format!("realtime, {key}")), None),
        (offered.clone(), "chat", None, Some(format!("realtime, {key}")), None),
    ] {
        let answer = format!("{AGREED}Sec-WebSocket-Protocol: {chosen}\r\n\r\n");
        let peer = Peer::start(move |wire| {
            wire.head();
            wire.send(&answer).finish();
        });
        let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
        let mut client = gpt_load.raw();
        let answer = client.send(asks(&ask)).finish_after("\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(!answer.contains(A), "{answer}");
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
        };
        assert_eq!(value(&answer, "sec-websocket-protocol").as_deref(), echoed, "{ask}");
        let sent = &peer.received()[0];
        assert_eq!(value(sent, "sec-websocket-protocol"), protocols, "{ask}");
        assert_eq!(value(sent, "authorization"), authorization.map(|key| format!("Bearer {key}")), "{ask}");
        assert!(!sent.contains(TOKEN), "AUTH_KEY went upstream: {sent}");
    }
}

#[test]
fn a_websocket_without_a_good_token_is_refused() {
    let peer = Peer::start(echo);
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
    let close = "Connection: close\r\n";
    for (ask, code) in [
        (String::new(), "missing_auth_token"),
        (
            "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.wrong\r\n".to_owned(),
            "invalid_auth_token",
        ),
        (
            format!("x-api-key: wrong\r\nSec-WebSocket-Protocol: openai-insecure-api-key.{TOKEN}\r\n"),
            "invalid_auth_token",
        ),
    ] {
        let answer = gpt_load.raw().send(asks(&(ask + close))).rest();
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(code), "{answer}");
    }
    assert_eq!(peer.received(), Vec::<String>::new());
}

#[test]
fn a_refused_handshake_is_judged_and_retried_like_any_answer() {
    let refusal = r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let refusal = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{refusal}",
        refusal.len()
    );
    let peer = Peer::start(move |wire| {
        let head = wire.head().unwrap_or_default();
        if head.contains(A) {
            wire.send(&refusal).is_ended();
        } else {
            wire.send(format!("{AGREED}\r\nhello")).finish();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    let answer = gpt_load.raw().send(asks("")).finish_after("hello");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(gpt_load.blacklist()[0]["index"], 0);
    assert_eq!(line_of_the_end(&gpt_load)["attempts"], 2);
}

#[test]
fn a_switch_that_nobody_asked_for_is_an_upstreams_fault() {
    for (ask, answer) in [
        (
            "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
            format!("{AGREED}\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            asks("Connection: close\r\n"),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".to_owned(),
        ),
        (asks("Connection: close\r\n"), "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned()),
    ] {
        let peer = Peer::answering(answer);
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "0")], &[A]);
        let answer = gpt_load.raw().send(ask).rest();
        assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("upstream_unreachable"), "{answer}");
        assert_eq!(gpt_load.healthy_keys(), 1);
    }
}

#[test]
fn what_is_no_upgrade_for_us_stays_an_ordinary_request() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let h2c = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let no_token = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n";
    let old = "GET /v1/models HTTP/1.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    // RFC 9110 §7.8 would allow it; the proxies that took it were smuggled through (Pingora's CVE-2026-2833).
    let body = asks("Content-Length: 30\r\n") + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let several =
        "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: h2c, websocket\r\n\r\n";
    for ask in [h2c, no_token, old, several, &body.replace("keep-alive, ", "close, ")] {
        let answer = gpt_load.raw().send(ask).rest();
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
        assert!(answer.contains(" 200 OK") && answer.ends_with("ok"), "{ask}: {answer}");
    }
    for sent in peer.received() {
        assert!(!sent.to_ascii_lowercase().contains("upgrade"), "{sent}");
    }
}

#[test]
fn a_tunnel_counts_as_running_and_a_drain_lets_it_finish() {
    let peer = Peer::start(echo);
    let env = [("MAX_CONCURRENT_REQUESTS", "1"), ("SERVER_GRACEFUL_SHUTDOWN_TIMEOUT", "30")];
    let mut gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let mut client = gpt_load.raw();
    client.send(asks("")).until("\r\n\r\n");
    assert_eq!(gpt_load.get("/v1/models").send().refused().1, "too_many_concurrent_requests");
    gpt_load.signal("TERM");
    gpt_load.said("draining");
    client.send("still here").until("still here");
    assert!(gpt_load.is_running());
    assert_eq!(client.finish().rest(), "");
    assert_eq!(gpt_load.ended(), Some(0));
    assert_eq!(line_of_the_end(&gpt_load)["bytes"], 10);
}

#[test]
fn a_tunnel_is_cut_at_the_end_of_the_grace() {
    let peer = Peer::start(echo);
    let mut gpt_load = GptLoad::before_peer(&peer, &[("SERVER_GRACEFUL_SHUTDOWN_TIMEOUT", "1")], &[A]);
    let mut client = gpt_load.raw();
    client.send(asks("")).until("\r\n\r\n");
    gpt_load.signal("TERM");
    assert_eq!(client.rest(), "");
    assert_eq!(gpt_load.ended(), Some(1));
    assert_eq!(line_of_the_end(&gpt_load)["status"], 101);
}

#[test]
fn a_tunnel_holds_no_more_than_its_buffers_and_loses_nothing() {
    const SIZE: usize = 64 << 20;
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send(format!("{AGREED}\r\n"));
        wire.send(vec![b'x'; SIZE]).finish();
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send(asks("")).until("\r\n\r\n");
    // The upstream has far more to say than the client takes.
    std::thread::sleep(Duration::from_millis(500));
    let held = gpt_load.rss();
    assert!(held < 60 << 20, "{held}");
    assert_eq!(client.finish().rest().matches('x').count(), SIZE);
}

#[test]
fn both_sides_silence_or_a_side_that_resets_ends_it() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send(format!("{AGREED}\r\n"));
        if wire.read() == b"reset" {
            wire.reset();
        } else {
            wire.is_ended();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("SERVER_WRITE_TIMEOUT", "1")], &[A]);
    let mut silent = gpt_load.raw();
    silent.send(asks("")).until("\r\n\r\n");
    assert_eq!(silent.rest(), "");
    let ending = |end: &str| gpt_load.logged(end, |line| line["status"] == 101 && line["message"] == end);
    ending("request");
    let mut reset = gpt_load.raw();
    reset.send(asks("")).until("\r\n\r\n");
    assert_eq!(reset.send("reset").rest(), "");
    ending("broken_answer");
    let mut gone: Raw = gpt_load.raw();
    gone.send(asks("")).until("\r\n\r\n");
    gone.reset();
    ending("client_gone");
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn a_client_that_leaves_before_its_switch_is_told_is_gone() {
    let (asked, was_asked) = channel();
    let (told, was_told) = channel();
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |wire| {
        if wire.head().is_some() {
            asked.send(()).unwrap();
            gone.lock().unwrap().recv().unwrap();
            wire.send(format!("{AGREED}\r\n"));
            told.send(()).unwrap();
            wire.is_ended();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send(asks(""));
    was_asked.recv_timeout(patience()).unwrap();
    // It hears of both at once.
    gpt_load.signal("STOP");
    client.reset();
    go.send(()).unwrap();
    was_told.recv_timeout(patience()).unwrap();
    gpt_load.signal("CONT");
    // Whichever it hears of first.
    let line = gpt_load.logged("the request's line", |line| line["status"] == 101 || line["status"] == 499);
    assert_eq!(line["message"], "client_gone");
    eventually("nothing runs", || gpt_load.told("/stats")["requests"]["running"] == 0);
}

#[test]
fn upgrades_speak_http_1_under_tls() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let tls = Tls { certificate: certificate.clone(), http: Http::Both, names: vec![] };
    let mock = provider_with(Options { tls: Some(tls), ..Options::default() }, &[A]);
    let gpt_load = GptLoad::before(&mock, &[("SSL_CERT_FILE", certificate.to_str().unwrap())], &[A]);
    // The mock provider knows no upgrades: it answers as to any request.
    let answer =
        gpt_load.raw().send(asks("").replace(REALTIME, "/v1/models").replace("keep-alive", "close")).rest();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = &mock.seen()[0];
    assert_eq!((seen.version.as_str(), seen.header("upgrade")), ("HTTP/1.1", Some("websocket")));
}
