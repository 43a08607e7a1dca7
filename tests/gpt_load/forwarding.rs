//! Spec §4, §5, §8: what goes upstream, and what comes back.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use mock_provider::{Http, Mock, Options, Play, Tls, sha256};
use serde_json::json;

use crate::support::{A, GptLoad, Peer, TOKEN, chat, chat_with, direct, provider, provider_with};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn answers_pass_byte_for_byte_whole_and_in_streams() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let stream = json!({"stream": true, "max_tokens": 50, "stream_options": {"include_usage": true}});
    for (path, body) in [
        (CHAT, chat()),
        (CHAT, chat_with(stream)),
        (CHAT, chat_with(json!({"max_tokens": 3000, "mock": {"size": 100}}))),
        ("/v1/responses", json!({"model": "gpt-4o", "stream": true, "input": "Hi"})),
        ("/v1/embeddings", json!({"model": "text-embedding-3-small", "input": ["a", "b"]})),
        (
            "/v1/audio/speech",
            json!({"model": "tts-1", "input": "Hi", "voice": "alloy", "mock": {"size": 300_000}}),
        ),
    ] {
        let want = direct(&mock, "POST", path).bearer(A).json(&body).send();
        assert_eq!(want.status, 200, "{path}");
        for http2 in [false, true] {
            let ask = gpt_load.post(path).json(&body);
            let got = if http2 { ask.http2() } else { ask }.send();
            assert_eq!(got.status, 200, "{path}");
            assert!(!got.broken, "{path}");
            assert_eq!(got.body, want.body, "{path}");
            assert_eq!(got.header("content-type"), want.header("content-type"), "{path}");
            assert_eq!(got.header("content-length"), want.header("content-length"), "{path}");
        }
    }
}

#[test]
fn frames_of_a_stream_are_not_held_back() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let body = chat_with(json!({"stream": true, "max_tokens": 3, "mock": {"pace": "300ms"}}));
    let mut stream = gpt_load.post(CHAT).json(&body).open();
    let mut pieces = 0;
    while let Some(piece) = stream.next() {
        pieces += 1;
        let text = String::from_utf8(piece.unwrap().to_vec()).unwrap();
        assert_eq!(text.matches("data: ").count(), 1, "one event a piece: {text}");
    }
    assert_eq!(pieces, 6);
}

#[test]
fn any_method_and_body_goes_through_untouched() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let body: Vec<u8> = (0..=255u8).cycle().take(200_000).collect();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = gpt_load.ask(method, "/v1/echo").body(body.clone()).send();
        assert_eq!((answer.status.as_u16(), answer.header("x-mock-method")), (200, Some(method)));
        assert!(answer.body == body, "{method}");
    }
    let head = gpt_load.ask("HEAD", "/v1/models").send();
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(head.header("content-length").is_some_and(|length| length != "0"), "{:?}", head.headers);
}

#[test]
fn a_file_upload_arrives_whole() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_REPLAY_BODY", "1MiB")], &[A]);
    let file: Vec<u8> = (0..=250u8).cycle().take(5_000_000).collect();
    let mut form =
        b"--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n".to_vec();
    form.extend_from_slice(&file);
    form.extend_from_slice(b"\r\n--XX--\r\n");
    let answer = gpt_load
        .post("/v1/files")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(form)
        .send();
    assert_eq!(answer.json()["bytes"], 5_000_000);
    assert_eq!(answer.json()["sha256"], sha256(&file));
}

#[test]
fn what_is_between_the_client_and_us_does_not_go_upstream() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for http2 in [false, true] {
        mock.reset();
        let mut ask = gpt_load.post(CHAT).json(&chat());
        for name in [
            "cookie",
            "proxy-authorization",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-real-ip",
            "via",
            "cf-connecting-ip",
            "origin",
            "referer",
            "openai-organization",
            "openai-project",
        ] {
            ask = ask.header(name, "secret of the client");
        }
        for (name, value) in [
            ("x-custom", "one"),
            ("x-custom", "two"),
            ("user-agent", "OpenAI/Python 3"),
            ("x-stainless-lang", "python"),
        ] {
            ask = ask.header(name, value);
        }
        if !http2 {
            ask = ask.header("connection", "x-hop").header("x-hop", "secret of the client");
        }
        assert_eq!(if http2 { ask.http2() } else { ask }.send().status, 200);
        let seen = &mock.seen()[0];
        let mut names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let want = [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-custom",
            "x-custom",
            "x-stainless-lang",
        ];
        assert_eq!(names, want);
        assert_eq!(seen.host, mock.address().to_string());
        let custom =
            seen.headers.iter().filter(|(name, _)| name == "x-custom").map(|(_, value)| value.as_str());
        assert_eq!(custom.collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(seen.body, Some(chat().to_string()));
    }
}

#[test]
fn an_answer_keeps_its_headers_less_those_of_the_hop() {
    let headers = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-request-id", "req_1"),
        ("openai-processing-ms", "17"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let mock = provider(&[(A, "valid")]);
    mock.play(A, Play::answer(201, &headers, json!({"a": 1})));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.post(CHAT).json(&chat()).send();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (201, r#"{"a":1}"#));
    for name in ["connection", "x-hop", "keep-alive"] {
        assert_eq!(answer.header(name), None);
    }
    assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(answer.header("x-request-id"), Some("req_1"));
    assert_eq!(answer.header("openai-processing-ms"), Some("17"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn a_base_url_and_a_request_are_joined_byte_for_byte() {
    let mock = provider(&[(A, "valid")]);
    for (base, asked, target) in [
        ("", "/v1/models", "/v1/models"),
        ("/", "/v1/models", "/v1/models"),
        ("/v1", "/v1/models", "/v1/models"),
        ("/v1/", "/v1/models", "/v1/models"),
        ("/v1", "/models", "/v1/models"),
        ("/proxy/v1", "/v1/models", "/proxy/v1/models"),
        ("/v1beta", "/v1/models", "/v1beta/v1/models"),
        ("/v1", "/v1models", "/v1/v1models"),
        ("", "/v1/a%2Fb//c;d?x=%20+&y=a%26b&&", "/v1/a%2Fb//c;d?x=%20+&y=a%26b&&"),
        ("?api-version=1", "/v1/models", "/v1/models?api-version=1"),
        ("/x?api-version=1", "/v1/models?a=b", "/x/v1/models?api-version=1&a=b"),
    ] {
        mock.reset();
        let url = format!("{}{base}", mock.url());
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &url)], &[A]);
        gpt_load.get(asked).send();
        assert_eq!(mock.seen()[0].target, target, "{base} and {asked}");
    }
}

#[test]
fn a_redirect_is_passed_on_and_not_followed() {
    let mock = provider(&[]);
    let elsewhere = provider(&[(A, "valid")]);
    let location = format!("{}/v1/models", elsewhere.url());
    mock.play(A, Play::answer(307, &[("location", &location)], json!({})));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.get("/v1/models").send();
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, Some(location.as_str())));
    assert_eq!((mock.requests(), elsewhere.requests()), (1, 0));
}

/// The harness looks for keys in every answer.
#[test]
fn a_redirects_page_does_not_tell_the_key_that_was_asked_with() {
    let page = format!("<a href=\"/v1beta/models?key={A}\">Moved Permanently</a>.\n\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(page.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for (coding, body) in [("identity", page.as_bytes()), ("gzip", &gzip)] {
        let head = format!(
            "HTTP/1.1 301 X\r\nlocation: /v1beta/models?key={A}\r\ncontent-type: text/html\r\n\
             content-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let peer = Peer::answering([head.as_bytes(), body].concat());
        let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
        for ask in [
            gpt_load.get(&format!("/v1beta/models/?key={TOKEN}")),
            gpt_load
                .post(&format!("/v1beta/models/gemini-2.5-flash:generateContent?key={TOKEN}"))
                .json(&json!({})),
        ] {
            let answer = ask.send();
            assert_eq!(answer.status, 301);
            let text = answer.text();
            assert!(text.starts_with("<a href=") && text.ends_with("</a>.\n\n"), "{text}");
        }
    }
}

#[test]
fn the_leased_key_goes_where_the_clients_token_came() {
    let mock = provider(&[(A, "valid")]);
    let auth = format!("other-token-of-a-client, {TOKEN}");
    let gpt_load = GptLoad::before(&mock, &[("AUTH_KEY", &auth)], &[A]);
    let bearer = format!("Bearer {TOKEN}");
    let query = format!("/v1beta/models/gemini-2.5-flash:generateContent?key={TOKEN}&alt=json");
    for (path, headers, place) in [
        (CHAT, &[("authorization", bearer.as_str())][..], "authorization"),
        ("/v1/messages", &[("x-api-key", TOKEN)], "x-api-key"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=1", &[("api-key", TOKEN)], "api-key"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", &[("x-goog-api-key", TOKEN)], "x-goog-api-key"),
        (query.as_str(), &[], "key"),
        // The first that is found decides, and the others go.
        (
            CHAT,
            &[
                ("authorization", bearer.as_str()),
                ("x-api-key", "other-token-of-a-client"),
                ("api-key", TOKEN),
            ],
            "authorization",
        ),
    ] {
        mock.reset();
        let mut ask = gpt_load.post(path).json(&chat());
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = ask.send();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = &mock.seen()[0];
        assert_eq!((seen.place, seen.key.as_deref()), (Some(place), Some(A)), "{path}");
        let credentials = seen.headers.iter().filter(|(name, _)| {
            ["authorization", "x-api-key", "api-key", "x-goog-api-key"].contains(&name.as_str())
        });
        assert_eq!(credentials.count(), usize::from(place != "key"), "{path}");
        assert!(!format!("{seen:?}").contains("token-of-a-client"), "AUTH_KEY went upstream: {seen:?}");
        assert_eq!(seen.target, path.replace(TOKEN, A), "{path}");
    }
}

#[test]
fn without_auth_key_any_token_or_none_will_do() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    assert_eq!(gpt_load.get("/v1/models").send().status, 200);
    assert_eq!(gpt_load.get("/v1/models").bearer("whatever-the-sdk-sends").send().status, 200);
    for seen in mock.seen() {
        assert_eq!((seen.place, seen.key.as_deref()), (Some("authorization"), Some(A)));
        assert!(!format!("{seen:?}").contains("whatever"));
    }
}

#[test]
fn a_missing_or_wrong_token_never_costs_a_key() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN)], &[A]);
    let unauthorized = |code: &str| (401, code.to_owned());
    assert_eq!(gpt_load.chat().refused(), unauthorized("missing_auth_token"));
    assert_eq!(
        gpt_load.get("/v1/models").bearer("wrong").send().refused(),
        unauthorized("invalid_auth_token")
    );
    let first_decides = gpt_load.get("/v1/models").bearer("wrong").header("x-api-key", TOKEN).send();
    assert_eq!(first_decides.refused(), unauthorized("invalid_auth_token"));
    assert_eq!(first_decides.json()["error"]["type"], "gpt_load_error");
    let nearly = &TOKEN[..TOKEN.len() - 1];
    assert_eq!(
        gpt_load.get("/v1/models").bearer(nearly).send().refused(),
        unauthorized("invalid_auth_token")
    );
    assert_eq!(mock.requests(), 0);
}

#[test]
fn an_encoded_answer_passes_as_it_is() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let body = chat_with(json!({"max_tokens": 500, "mock": {"encoding": "gzip"}}));
    let ask = |ask: crate::support::Ask| ask.header("accept-encoding", "gzip").json(&body).send();
    let want = ask(direct(&mock, "POST", CHAT).bearer(A));
    let got = ask(gpt_load.post(CHAT));
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert_eq!(got.body, want.body);
    assert_eq!(mock.seen()[1].header("accept-encoding"), Some("gzip"));
}

/// An encoded stream that ends in its middle could not be told from a whole one.
#[test]
fn a_stream_is_asked_for_as_it_is() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (body, accepts, want) in [
        (json!({"stream": true}), Some("gzip, deflate"), Some("identity")),
        (json!({"stream": true}), None, None),
        (json!({}), Some("gzip, deflate"), Some("gzip, deflate")),
    ] {
        mock.reset();
        let ask = gpt_load.post(CHAT).json(&chat_with(body));
        let ask = if let Some(accepts) = accepts { ask.header("accept-encoding", accepts) } else { ask };
        assert_eq!(ask.send().status, 200);
        assert_eq!(mock.seen()[0].header("accept-encoding"), want);
    }
}

#[test]
fn an_expected_continue_is_answered_before_the_body() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut raw = gpt_load.raw();
    raw.send("POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    raw.until("HTTP/1.1 100 Continue\r\n\r\n");
    let answer = raw.send("tea!").rest();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("tea!"), "{answer}");
}

#[test]
fn trailers_of_an_answer_arrive() {
    let mock = provider(&[]);
    let answer = json!({"answer": {"chunks": ["a", "b"], "headers": [["trailer", "x-sum"]], "trailers": [["x-sum", "ab"]]}});
    mock.play(A, Play::try_from(&answer).unwrap());
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.post(CHAT).header("te", "trailers").json(&chat()).send();
    assert_eq!(
        (answer.text().as_str(), answer.trailers.get("x-sum").unwrap().to_str().unwrap()),
        ("ab", "ab")
    );
}

#[test]
fn tls_upstreams_are_spoken_to_in_the_version_that_they_choose() {
    let folder = tempfile::tempdir().unwrap();
    for (http, version) in [(Http::Both, "HTTP/2.0"), (Http::One, "HTTP/1.1"), (Http::Two, "HTTP/2.0")] {
        let certificate = folder.path().join("certificate.pem");
        let tls = Tls { certificate: certificate.clone(), http, names: vec![] };
        let mock = provider_with(Options { tls: Some(tls), ..Options::default() }, &[A]);
        let gpt_load = GptLoad::before(
            &mock,
            &[("SSL_CERT_FILE", certificate.to_str().unwrap()), ("WORKERS", "1")],
            &[A],
        );
        for _ in 0..3 {
            let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send();
            assert_eq!(answer.status, 200, "{http:?}");
            assert!(answer.text().ends_with("data: [DONE]\n\n"));
        }
        assert!(mock.seen().iter().all(|seen| seen.version == version), "{:?}", mock.seen());
        let used: std::collections::HashSet<u64> = mock.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(used.len(), 1, "the connection is kept for the next request");
    }
}

#[test]
fn an_untrusted_certificate_is_an_unreachable_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::at(folder.path().join("certificate.pem"));
    let mock: Mock = provider_with(Options { tls: Some(tls), ..Options::default() }, &[A]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "0")], &[A]);
    assert_eq!(gpt_load.chat().refused(), (502, "upstream_unreachable".to_owned()));
    assert_eq!((mock.requests(), gpt_load.healthy_keys()), (0, 1));
}

#[test]
fn connections_to_an_upstream_are_kept_and_used_again() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("WORKERS", "1"), ("IDLE_CONN_TIMEOUT", "1")], &[A]);
    for _ in 0..10 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    let used: std::collections::HashSet<u64> = mock.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(used.len(), 1);
    crate::support::eventually("idle connections are closed", || mock.open_connections() == 0);
}

#[test]
fn keys_in_an_answers_trailers_and_names_are_hidden_too() {
    for key in ["sk-in-small-letters-1234567890", "sk-small-key"] {
        let peer = Peer::answering(format!(
            "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\nX-{key}: a\r\nX-Good: yes\r\n\r\n\
             2\r\nok\r\n0\r\nX-Sum: it was {key}\r\n\r\n"
        ));
        let gpt_load = GptLoad::before_peer(&peer, &[], &[key]);
        let ask = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTE: trailers\r\n\r\n";
        let answer = gpt_load.raw().send(ask).rest();
        assert!(!answer.contains(key) && answer.contains("x-good: yes"), "{answer}");
        assert!(answer.contains("\r\nx-sum: it was *"), "{answer}");
    }
}

#[test]
fn an_error_that_breaks_off_is_passed_on_as_far_as_it_came() {
    let text = format!("{{\"error\": {{\"message\": \"No such thing: {}", "x".repeat(200));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let mut gzip = gzip.finish().unwrap();
    gzip.truncate(gzip.len() - 30);
    for (coding, body) in [("identity", text.clone().into_bytes()), ("gzip", gzip)] {
        let head =
            format!("HTTP/1.1 400 Bad Request\r\nContent-Encoding: {coding}\r\nContent-Length: 1000\r\n\r\n");
        let answer = [head.as_bytes(), &body].concat();
        let peer = Peer::start(move |wire| {
            while wire.request().is_some() {
                wire.send(&answer).finish();
            }
        });
        let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
        for http2 in [false, true] {
            let ask = gpt_load.post("/v1/embeddings").body("{}");
            let answer = if http2 { ask.http2() } else { ask }.send();
            assert_eq!((answer.status.as_u16(), answer.broken), (400, false), "{coding} {http2}");
            let told = answer.text();
            assert!(told.len() > 200 && text.starts_with(&told), "{coding} {http2}: {told}");
        }
    }
}
