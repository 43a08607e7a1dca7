//! Providers that fail in every way: what the client sees, after how long, and that no key is ever blamed.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use mock_provider::{Options, Play, Tls};
use serde_json::json;

use crate::outcome;
use crate::support::{
    A, B, C, GptLoad, Launch, Peer, Wire, black_hole, chat_with, eventually, provider, provider_with,
};

/// `RESPONSE_TIMEOUT` and `REQUEST_TIMEOUT` of all of these, in seconds.
const RESPONSE: u64 = 1;
const REQUEST: u64 = 2;

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// An answer of ours with this status.
    Status(u16),
    /// A 200 that breaks off.
    BrokenAnswer,
}
use Gets::{BrokenAnswer, Status};

fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Asks twice, plainly and for a stream, and holds what comes against what should, and when.
fn fault(name: &str, url: &str, plain: (Gets, u64), stream: (Gets, u64)) {
    let (response, request) = (RESPONSE.to_string(), REQUEST.to_string());
    let env = [
        ("OPENAI_BASE_URL", url),
        ("RESPONSE_TIMEOUT", &response),
        ("REQUEST_TIMEOUT", &request),
        ("SERVER_WRITE_TIMEOUT", "1"),
        ("MAX_RETRIES", "1"),
    ];
    let gpt_load = GptLoad::start(&env, &[A]);
    let mut came = Vec::new();
    for (streaming, (gets, within)) in [(false, plain), (true, stream)] {
        let began = Instant::now();
        let answer =
            gpt_load.post("/v1/chat/completions").json(&chat_with(json!({"stream": streaming}))).send();
        let took = began.elapsed();
        let got = if answer.broken { BrokenAnswer } else { Status(answer.status.as_u16()) };
        assert_eq!(got, gets, "{name}, stream: {streaming}: {}", answer.text());
        // A tenth more than is configured, and what a busy machine needs to say so.
        let limit = Duration::from_secs(within).mul_f64(1.1) + Duration::from_millis(700);
        assert!(took < limit, "{name}, stream: {streaming}: {took:?}");
        if let Status(status) = got {
            let code = if status == 504 { "upstream_timeout" } else { "upstream_unreachable" };
            assert_eq!(answer.code(), code, "{name}");
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{name}");
        }
        let end = if answer.broken { "broken_answer" } else { "upstream_fault" };
        gpt_load.logged(end, |line| line["message"] == end);
        came.push(format!("{got:?} after {took:.1?}"));
    }
    assert_eq!(gpt_load.healthy_keys(), 1, "{name}: a key was blamed");
    assert!(gpt_load.blacklist().is_empty(), "{name}");
    let failures = &gpt_load.told("/stats")["requests"]["failures"];
    assert_eq!(
        failures["upstream_fault"].as_u64().unwrap_or(0) + failures["broken_answer"].as_u64().unwrap_or(0),
        2,
        "{name}: {failures}"
    );
    outcome(&format!("fault: {name}"), format!("{}; as a stream {}; no key blamed", came[0], came[1]));
}

fn peer(serve: impl Fn(&mut Wire) + Send + Sync + 'static) -> Peer {
    Peer::start(move |wire| {
        if wire.request().is_some() {
            serve(wire);
        }
    })
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n";
const BEGUN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";

#[test]
fn refused_connections() {
    fault("connection refused", &format!("http://{}", nowhere()), (Status(502), 0), (Status(502), 0));
}

#[test]
fn a_black_hole() {
    let (address, _hole) = black_hole();
    fault("black hole", &format!("http://{address}"), (Status(504), REQUEST), (Status(504), 2 * RESPONSE));
}

#[test]
fn resets() {
    let before = peer(Wire::reset);
    fault("reset before the head", &before.url(), (Status(502), 0), (Status(502), 0));
    let after = peer(|wire| {
        wire.send(HEAD);
        // Seen before the reset, which would overtake it.
        std::thread::sleep(Duration::from_millis(100));
        wire.reset();
    });
    fault("reset after the head", &after.url(), (Status(502), 0), (Status(502), 0));
    let within = peer(|wire| {
        wire.send(HEAD).send(BEGUN);
        std::thread::sleep(Duration::from_millis(100));
        wire.reset();
    });
    fault("reset mid-body", &within.url(), (BrokenAnswer, 0), (BrokenAnswer, 0));
}

#[test]
fn stalls() {
    let before = peer(|wire| {
        wire.is_ended();
    });
    fault("stall before the head", &before.url(), (Status(504), REQUEST), (Status(504), 2 * RESPONSE));
    let within = peer(|wire| {
        wire.send(HEAD).send(BEGUN).is_ended();
    });
    fault("stall mid-body", &within.url(), (BrokenAnswer, REQUEST), (BrokenAnswer, 1));
}

#[test]
fn answers_that_are_none() {
    let garbage = peer(|wire| wire.send("\x16\x03\x01 what is this \0\r\n\r\n").finish());
    fault("garbage", &garbage.url(), (Status(502), 0), (Status(502), 0));
    let nothing = peer(Wire::finish);
    fault("closed without a word", &nothing.url(), (Status(502), 0), (Status(502), 0));
    let half = peer(|wire| wire.send("HTTP/1.1 200 OK\r\nContent-").finish());
    fault("half a head", &half.url(), (Status(502), 0), (Status(502), 0));
    let short = peer(|wire| wire.send(HEAD).send(BEGUN).finish());
    fault("wrong length", &short.url(), (BrokenAnswer, 0), (BrokenAnswer, 0));
    let endless = peer(|wire| {
        wire.send("HTTP/1.1 200 OK\r\n");
        while wire.sends(b"X-Header: and another one\r\n") {}
    });
    fault("endless heads", &endless.url(), (Status(502), 0), (Status(502), 0));
    let drip = peer(|wire| {
        for byte in HEAD.bytes() {
            if !wire.sends(&[byte]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    fault("a byte at a time", &drip.url(), (Status(504), REQUEST), (Status(504), 2 * RESPONSE));
}

#[test]
fn certificates_that_are_not_to_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let mock = provider_with(Options { tls: Some(Tls::at(&certificate)), ..Options::default() }, &[A]);
    let port = mock.address().port();
    // 127.0.0.1 and localhost are in it, and nobody we know signed it.
    fault("unknown authority", &format!("https://127.0.0.1:{port}"), (Status(502), 0), (Status(502), 0));
    let mut expired = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_before = rcgen::date_time_ymd(2019, 1, 1);
    for (name, host, params) in [
        ("TLS expired", "localhost", expired),
        (
            "TLS wrong name",
            "localhost",
            rcgen::CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap(),
        ),
    ] {
        let (address, pem) = tls_server(&params);
        std::fs::write(&certificate, pem).unwrap();
        let gpt_load = GptLoad::start(
            &[
                ("OPENAI_BASE_URL", &format!("https://{host}:{}", address.port())),
                ("UPSTREAM_CA_FILE", certificate.to_str().unwrap()),
                ("MAX_RETRIES", "0"),
                ("LOG_LEVEL", "debug"),
            ],
            &[A],
        );
        let began = Instant::now();
        assert_eq!(gpt_load.chat().refused(), (502, "upstream_unreachable".to_owned()), "{name}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        let line = gpt_load.said("no answer");
        let error = line["error"].as_str().unwrap().to_ascii_lowercase();
        assert!(
            error.contains("tls") && (error.contains("expired") || error.contains("not valid for name")),
            "{error}"
        );
        assert_eq!(gpt_load.healthy_keys(), 1);
        outcome(&format!("fault: {name}"), format!("Status(502) after {took:.1?}; no key blamed"));
    }
}

/// Shakes hands with this certificate, for as long as the tests last.
fn tls_server(params: &rcgen::CertificateParams) -> (SocketAddr, String) {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    (address, certificate.pem())
}

#[test]
fn a_name_that_does_not_resolve() {
    fault("DNS failing", "http://nowhere.invalid", (Status(502), 1), (Status(502), 1));
}

#[test]
fn a_name_that_moves_is_followed() {
    // A hosts file of its own takes a mount namespace, which not every machine gives.
    let apart = std::process::Command::new("unshare").args(["-rm", "true"]).output();
    if !apart.is_ok_and(|apart| apart.status.success()) {
        return outcome(
            "fault: DNS changing",
            "not tried: no mount namespace is to be had here (unshare -rm)",
        );
    }
    let mock = provider(&[(A, "valid")]);
    let url = format!("http://moving.example:{}", mock.address().port());
    let launch = Launch::new(&[("OPENAI_BASE_URL", &url), ("MAX_RETRIES", "0")], &[A])
        .after(r#"exec unshare -rm /bin/sh -c 'mount --bind hosts /etc/hosts && exec "$0" "$@"' "$0" "$@""#);
    let hosts = launch.folder().join("hosts");
    std::fs::write(&hosts, "127.0.0.2 moving.example\n").unwrap();
    let gpt_load = launch.start();
    assert_eq!(gpt_load.chat().refused(), (502, "upstream_unreachable".to_owned()), "nobody is there");
    std::fs::write(&hosts, "127.0.0.1 moving.example\n").unwrap();
    assert_eq!(gpt_load.chat().status, 200, "where it is now");
    assert_eq!(gpt_load.healthy_keys(), 1);
    outcome("fault: DNS changing", "502 from the old address, 200 from the new one at the next connection");
}

#[test]
fn half_of_the_upstreams_dead() {
    let mock = provider(&[(A, "valid")]);
    let urls = format!("{},http://{}", mock.url(), nowhere());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &[A]);
    for _ in 0..30 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    gpt_load.said("upstream ejected");
    assert_eq!(gpt_load.healthy_keys(), 1);
    outcome("fault: half of the upstreams dead", "30 of 30 requests answered 200; the dead one was ejected");
}

#[test]
fn all_dead_then_back() {
    let dead = nowhere();
    let urls = format!("http://{dead},http://{}", nowhere());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls), ("MAX_RETRIES", "1")], &[A]);
    for _ in 0..12 {
        assert_eq!(gpt_load.chat().refused(), (502, "upstream_unreachable".to_owned()));
    }
    let _back = mock_provider::Mock::start(Options {
        port: dead.port(),
        keys: vec![(A.to_owned(), Play::Valid)],
        ..Options::default()
    });
    let began = Instant::now();
    eventually("it is used again", || gpt_load.chat().status == 200);
    assert_eq!(gpt_load.healthy_keys(), 1);
    outcome(
        "fault: all dead, then one back",
        format!("502 while dead; 200 again {:.1?} after it came back", began.elapsed()),
    );
}

/// As the official SDKs ask (openai-python's `_should_retry`): twice more on 408, 409, 429 and 5xx, unless the answer
/// advises otherwise. They would sleep in between; the load that they make is the same.
fn asks_like_an_sdk(gpt_load: &GptLoad) {
    for _ in 0..3 {
        let answer = gpt_load.chat();
        let status = answer.status.as_u16();
        let by_status = matches!(status, 408 | 409 | 429 | 500..);
        if !answer.header("x-should-retry").map_or(by_status, |advice| advice == "true") {
            return;
        }
    }
}

#[test]
#[ignore = "long: make test-hard"]
fn an_outage_is_not_multiplied_by_retries_ours_or_the_sdks() {
    const REQUESTS: u64 = 1000;
    for (name, play) in [
        ("500", "fails 500".parse().unwrap()),
        ("529", "fails 529".parse().unwrap()),
        ("resets", "resetting before_head".parse().unwrap()),
        // What asks for a retry by itself.
        ("503 with Retry-After", Play::answer(503, &[("retry-after", "1")], json!({"error": {}}))),
    ] {
        let mock = provider(&[(A, "valid"), (B, "valid"), (C, "valid")]);
        let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
        assert_eq!(gpt_load.chat().status, 200);
        let before = mock.requests();
        mock.phase(Some(play));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..REQUESTS / 4).for_each(|_| asks_like_an_sdk(&gpt_load)));
            }
        });
        let load = mock.requests() - before;
        assert!(load * 10 <= REQUESTS * 11, "{name}: {load} for {REQUESTS}");
        mock.phase(None);
        assert_eq!((gpt_load.chat().status.as_u16(), gpt_load.healthy_keys()), (200, 3), "{name}");
        outcome(
            &format!("outage: {name}, {REQUESTS} requests by SDKs that retry"),
            format!("{load} at the provider; no key blamed, 200 at once when it is back"),
        );
    }
}

/// More than half of a pool that is revoked looks like an outage; a check tells, a minute after the last refusal.
#[test]
#[ignore = "long: make test-hard"]
fn the_guilty_among_the_suspects_of_a_storm_are_found_out_by_a_check_and_no_client_notices() {
    const MINUTES: Duration = Duration::from_secs(180);
    let keys: Vec<String> = (0..10).map(|key| format!("sk-test-guilty-{key:016}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mock = provider(&keys.iter().map(|key| (*key, "valid")).collect::<Vec<_>>());
    let gpt_load = GptLoad::before(&mock, &[], &keys);
    for _ in &keys {
        assert_eq!(gpt_load.chat().status, 200);
    }
    for key in &keys[..6] {
        mock.play(key, Play::Revoked);
    }
    let began = Instant::now();
    let guilty = || gpt_load.blacklist().iter().filter(|entry| entry["permanent"] == true).count();
    while guilty() < 6 {
        assert!(began.elapsed() < MINUTES, "{:?}", gpt_load.blacklist());
        assert_eq!(gpt_load.chat().status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked: u64 = keys[..6].iter().map(|key| mock.key(key).asked).sum();
    assert!(asked <= 6 * 12 + 6, "{asked}");
    gpt_load.said("taken for the upstream's outage");
    outcome(
        "more than half of a pool is revoked",
        format!(
            "suspects at first, found out within three minutes; {asked} requests for six keys, none lost"
        ),
    );
}

#[test]
fn a_kept_connection_that_closes_in_the_moment_of_reuse_burns_no_attempt() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    for closes in [Wire::finish as fn(&mut Wire), Wire::reset] {
        // Each connection serves one request, and closes at the sight of the second.
        let peer = Peer::start(move |wire| {
            if wire.request().is_some() {
                wire.send(OK);
                if wire.request().is_some() {
                    closes(wire);
                }
            }
        });
        let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1"), ("MAX_RETRIES", "0")], &[A]);
        for _ in 0..10 {
            let answer = gpt_load.chat();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let requests = gpt_load.told("/stats");
        assert_eq!(requests["requests"]["attempts"], 10, "{requests}");
        assert_eq!(requests["upstreams"][0]["faults"], 0, "{requests}");
        assert!(gpt_load.log().iter().all(|line| line["attempts"].is_null() || line["attempts"] == 1));
    }
    outcome(
        "fault: kept connection closed at reuse",
        "sent again on a fresh one; 10 requests, 10 attempts, MAX_RETRIES=0",
    );
}

#[test]
fn a_kept_connection_that_closes_never_makes_a_dubious_request_run_twice() {
    let peer = Peer::start(|wire| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
            if wire.request().is_some() {
                wire.finish();
            }
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1")], &[A]);
    assert_eq!(gpt_load.get("/v1/models").send().status, 200);
    let answer = gpt_load.post("/v1/batches").json(&json!({})).send();
    assert_eq!(answer.refused(), (502, "upstream_unreachable".to_owned()));
    assert_eq!(peer.received().concat().matches("POST /v1/batches").count(), 1);
    outcome("fault: the same with a request that must not run twice", "502, sent once");
}
