//! Where a request can't be made to go: off the base path, to another upstream, to the pages of the admin.

use crate::outcome;
use crate::smuggling::through;
use crate::support::{A, ADMIN, GptLoad, Peer, Raw, TOKEN};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

#[test]
fn no_path_climbs_out_of_the_base_path() {
    let peer = Peer::answering(OK);
    let url = format!("{}/tenant/v1", peer.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &url)], &[A]);
    let climbing = [
        "/../admin",
        "/v1/../../admin",
        "/..",
        "/v1/..",
        "/v1/%2e%2e/%2e%2e/admin",
        "/%2E%2e/admin",
        "/.%2e/admin",
        "/%2e./admin",
        "/v1/..%2fadmin",
        "/v1/..%2F..%2Fadmin",
        "/v1\\..\\..\\admin",
        "/v1/..\\admin",
        "/v1/..%5cadmin",
        "/..;/admin",
        "/..;a=b/admin",
        "/v1/%2e%2e;/admin",
        "/%2e%2e%2fadmin",
        "/v1/..?a=b",
        "/a/b/../../../c",
    ];
    for target in climbing {
        let (answers, upstream) = through(&gpt_load, &peer, get(target, "").as_bytes());
        // 404: read in one way it is a path of ours, so that it is no provider's however it is read.
        assert!(matches!(answers[..], [400 | 404]) && upstream.is_empty(), "{target}: {answers:?}");
    }
    for target in [
        "/v1/...",
        "/v1/a..b",
        "/v1/..a",
        "/v1/%252e%252e/x",
        "/v1//x",
        "/v1/.",
        "/v1/%00",
        "/v1/?a=../..",
        "//v1/x",
        "/v1/@evil.example",
    ] {
        let (answers, upstream) = through(&gpt_load, &peer, get(target, "").as_bytes());
        assert_eq!(answers, [200], "{target}");
        let want = if target.starts_with("/v1/") || target == "/v1" {
            format!("/tenant{target}")
        } else {
            format!("/tenant/v1{target}")
        };
        assert_eq!(upstream[0].target, want, "byte for byte");
    }
    outcome("reach: .. in every encoding", format!("{} refused, none reached the upstream", climbing.len()));
}

#[test]
fn nothing_that_a_client_names_chooses_the_upstream() {
    let (peer, elsewhere) = (Peer::answering(OK), Peer::answering(OK));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let other = elsewhere.address();
    for bytes in [
        format!("GET http://{other}/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        format!("GET http://{other}/v1/models HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n"),
        format!("GET http://x@{other}/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        format!("GET //{other}/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        format!("GET /@{other}/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nHost: localhost:4000/#@{other}\r\nConnection: close\r\n\r\n"),
        get(
            "/v1/models",
            &format!(
                "X-Forwarded-Host: {other}\r\nForwarded: host={other}\r\nX-Original-URL: http://{other}/\r\nX-Rewrite-URL: /\r\n"
            ),
        ),
        // LiteLLM's CVE-2024-6587: the body named the place that the key went to.
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{{\"api_base\":\"http://{other}\"}}",
            22 + other.to_string().len()
        ),
    ] {
        let (answers, upstream) = through(&gpt_load, &peer, bytes.as_bytes());
        assert!(
            answers == [200] && upstream.len() == 1 || answers == [400] && upstream.is_empty(),
            "{bytes}: {answers:?}"
        );
        for request in &upstream {
            assert_eq!(request.values("host"), [peer.address().to_string()], "{bytes}");
        }
    }
    for bytes in [
        "GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    ] {
        let (_, upstream) = through(&gpt_load, &peer, bytes.as_bytes());
        assert!(
            upstream.iter().all(|request| request.values("host") == [peer.address().to_string()]),
            "{bytes}"
        );
    }
    assert_eq!(elsewhere.received(), Vec::<String>::new());
    outcome("reach: Host, absolute target, api_base (LiteLLM, CVE-2024-6587)", "never chose an upstream");
}

#[test]
fn pages_of_the_admin_open_for_its_token_alone_however_they_are_spelt() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN), ("ADMIN_KEY", ADMIN)], &[A]);
    let spellings = |page: &str| {
        let first = page.as_bytes()[1];
        vec![
            page.to_owned(),
            format!("/{page}"),
            format!("{page}/"),
            format!("{page}//"),
            format!("/.{page}"),
            format!("/x/..{page}"),
            format!("/%{first:02x}{}", &page[2..]),
            format!("{page}%2f"),
            format!("{page}%00"),
            format!("{page};x=y"),
            format!("{page}?a=b"),
            format!("{page}#a"),
            page.to_uppercase(),
            format!("/%2e{page}"),
            format!("/%2f{}", &page[1..]),
            format!("http://localhost{page}"),
            format!("http://x/..{page}"),
            format!("\\{}", &page[1..]),
            format!("{page}%20"),
            format!("/v1/..;{page}"),
            format!("{page}.json"),
        ]
    };
    let mut tried = 0;
    for page in ["/stats", "/blacklist", "/reset-keys", "/metrics"] {
        for target in spellings(page) {
            for headers in [
                String::new(),
                format!("Authorization: Bearer {TOKEN}\r\n"),
                format!("x-api-key: {TOKEN}\r\n"),
                "Authorization: Bearer ' OR '1'='1\r\n".to_owned(),
                "X-Original-URL: /stats\r\nX-Rewrite-URL: /stats\r\n".to_owned(),
                format!(
                    "X-HTTP-Method-Override: GET\r\nAuthorization: Bearer {}\r\n",
                    &ADMIN[..ADMIN.len() - 1]
                ),
            ] {
                let answer = Raw::connect(gpt_load.address()).send(get(&target, &headers)).rest();
                for word in ["blacklisted", "healthy_keys", "total_keys", "uptime", "gpt_load_"] {
                    // The envelope of our errors has one of these words in it.
                    let answer = answer.replace("gpt_load_error", "");
                    assert!(!answer.contains(word), "{target} {headers}: {answer}");
                }
                tried += 1;
            }
        }
    }
    assert_eq!(gpt_load.get("/stats").bearer(ADMIN).send().status, 200);
    outcome("reach: admin pages by other spellings", format!("{tried} tries, none opened"));
}

#[test]
fn a_line_of_the_proxy_protocol_is_a_bad_request() {
    // It is not spoken: a client could write one itself, and so choose the address that upstreams are told.
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[("TRUST_FORWARDED", "true")], &[A]);
    let request = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\x01\xbb";
    for line in [
        &b"PROXY TCP4 1.2.3.4 5.6.7.8 56324 443\r\n"[..],
        b"PROXY TCP6 ::1 ::1 56324 443\r\n",
        b"PROXY UNKNOWN\r\n",
        b"proxy tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        second,
    ] {
        let answer = gpt_load.raw().send([line, request].concat()).rest();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", String::from_utf8_lossy(line));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert_eq!(peer.received(), Vec::<String>::new());
    outcome("PROXY protocol, versions 1 and 2", "400, nothing goes upstream");
}

#[test]
fn a_websocket_over_http_2_is_refused_and_its_connection_goes_on_rfc_8441() {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let literal = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let connect = [
        literal(":method", "CONNECT"),
        literal(":protocol", "websocket"),
        literal(":scheme", "http"),
        literal(":path", "/v1/realtime?model=m"),
        literal(":authority", "x"),
        literal("sec-websocket-version", "13"),
    ]
    .concat();
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(frame(4, 0, 0, &[]));
    // GET /livez on the next stream shows that the connection lives.
    let get = [&[0x82, 0x86][..], &literal(":path", "/livez"), &literal(":authority", "x")].concat();
    client.send(frame(1, 4, 1, &connect)).send(frame(1, 5, 3, &get));
    let got = client.frames_until(|frame| frame.kind == 0 && frame.stream == 3);
    // ENABLE_CONNECT_PROTOCOL (RFC 8441 §3) would have invited it.
    let invited = got
        .iter()
        .any(|frame| frame.kind == 4 && frame.payload.chunks(6).any(|setting| setting.starts_with(&[0, 8])));
    assert!(!invited, "{got:?}");
    let refused = got.iter().find(|frame| frame.stream == 1).expect("an answer to the CONNECT");
    // RST_STREAM, or an answer that is no 2xx (index 8 of the static table is `:status: 200`).
    assert!(refused.kind == 3 || (refused.kind == 1 && refused.payload.first() != Some(&0x88)), "{got:?}");
    assert_eq!(peer.received(), Vec::<String>::new());
    let how = if refused.kind == 3 { "RST_STREAM" } else { "an error's status" };
    outcome("WebSocket over HTTP/2 (RFC 8441)", format!("{how}; other streams go on"));
}
