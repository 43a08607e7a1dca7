//! Requests that one server takes for one and another for two. What goes upstream can be read in one way only.

use crate::outcome;
use crate::parsers::{Request, agreed};
use crate::support::{A, GptLoad, Peer, Raw, TOKEN};

const AUTH: &str = "Host: x\r\nAuthorization: Bearer token-of-a-client-5555\r\n";
/// What would be smuggled: it has no token, so that on its own it would be refused.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// What came of some bytes: the statuses of the answers, and what went upstream.
pub fn through(gpt_load: &GptLoad, peer: &Peer, bytes: &[u8]) -> (Vec<u16>, Vec<Request>) {
    let before = peer.received_bytes();
    let mut client = Raw::connect(gpt_load.address());
    client.patient_for(std::time::Duration::from_millis(500));
    let answers = client.send(bytes).rest_in_time();
    let statuses =
        answers.match_indices("HTTP/1.").filter_map(|(at, _)| answers[at..].get(9..12)?.parse().ok());
    let mut requests = Vec::new();
    for (index, all) in peer.received_bytes().iter().enumerate() {
        let new = &all[before.get(index).map_or(0, Vec::len)..];
        requests.extend(agreed(new).unwrap_or_else(|why| {
            panic!("{why}\nupstream: {new:?}\nclient: {:?}", String::from_utf8_lossy(bytes))
        }));
    }
    (statuses.collect(), requests)
}

/// A way to smuggle, and whether the first request is refused.
#[allow(clippy::too_many_lines, reason = "a table")]
fn attacks() -> Vec<(&'static str, String, bool)> {
    let post =
        |headers: &str, body: &str| format!("POST /v1/embeddings HTTP/1.1\r\n{AUTH}{headers}\r\n{body}");
    let get = |headers: &str| format!("GET /v1/models HTTP/1.1\r\n{AUTH}{headers}\r\n{HIDDEN}");
    let ended = format!("0\r\n\r\n{HIDDEN}");
    let length = ended.len();
    vec![
        (
            "CL.TE (hyper before 1.11)",
            post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &ended),
            false,
        ),
        (
            "TE.CL",
            post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &ended),
            false,
        ),
        (
            "TE.TE (hyper, RUSTSEC-2021-0020)",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &ended),
            true,
        ),
        ("TE twice chunked", post("Transfer-Encoding: chunked, chunked\r\n", &ended), true),
        ("TE unknown", post("Transfer-Encoding: xchunked\r\n", &ended), true),
        ("TE chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", &ended), true),
        ("TE vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", &ended), true),
        ("TE quoted", post("Transfer-Encoding: \"chunked\"\r\n", &ended), true),
        ("TE space before colon", post("Transfer-Encoding : chunked\r\n", &ended), true),
        ("TE tab before colon", post("Transfer-Encoding\t: chunked\r\n", &ended), true),
        ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", &ended), true),
        ("TE after a fold", post("X: y\r\n Transfer-Encoding: chunked\r\n", &ended), true),
        ("TE after a bare LF", post("X: y\nTransfer-Encoding: chunked\r\n", &ended), false),
        ("TE after a bare CR", post("X: y\rTransfer-Encoding: chunked\r\n", &ended), true),
        ("TE after a NUL", post("X: y\0Transfer-Encoding: chunked\r\n", &ended), true),
        ("TE with a NUL", post("Transfer-Encoding: chunked\0\r\n", &ended), true),
        ("TE in Latin-1", post("Transfer-Encoding: chunk\u{e9}d\r\n", &ended), true),
        ("CL.CL", post("Content-Length: 0\r\nContent-Length: 37\r\n", HIDDEN), true),
        ("CL list", post("Content-Length: 0, 37\r\n", HIDDEN), true),
        (
            "CL same twice",
            post("Content-Length: 2\r\nContent-Length: 2\r\n", &format!("{{}}{HIDDEN}")),
            false,
        ),
        ("CL plus sign (hyper, RUSTSEC-2021-0078)", post("Content-Length: +37\r\n", HIDDEN), true),
        ("CL minus sign", post("Content-Length: -1\r\n", HIDDEN), true),
        ("CL hexadecimal", post("Content-Length: 0x25\r\n", HIDDEN), true),
        ("CL with a space inside", post("Content-Length: 3 7\r\n", HIDDEN), true),
        ("CL overflow", post("Content-Length: 18446744073709551653\r\n", HIDDEN), true),
        ("CL empty", post("Content-Length: \r\n", HIDDEN), true),
        ("CL space before colon", post("Content-Length : 37\r\n", HIDDEN), true),
        ("CL of a GET (hyper, RUSTSEC-2020-0008)", get("Content-Length: 0\r\n"), false),
        ("CL.0", post(&format!("Content-Length: {}\r\n", HIDDEN.len()), HIDDEN), false),
        ("GET with a body", get(&format!("Content-Length: {}\r\n", HIDDEN.len())), false),
        (
            "chunk size overflow (hyper, RUSTSEC-2021-0079)",
            post("Transfer-Encoding: chunked\r\n", &format!("fffffffffffffffff1\r\nab\r\n{ended}")),
            true,
        ),
        (
            "chunk size wraps around",
            post("Transfer-Encoding: chunked\r\n", &format!("10000000000000002\r\nab\r\n{ended}")),
            true,
        ),
        ("chunk size signed", post("Transfer-Encoding: chunked\r\n", &format!("+2\r\nab\r\n{ended}")), true),
        (
            "chunk size with 0x",
            post("Transfer-Encoding: chunked\r\n", &format!("0x2\r\nab\r\n{ended}")),
            true,
        ),
        ("chunk size, bare LF", post("Transfer-Encoding: chunked\r\n", &format!("2\nab\r\n{ended}")), true),
        (
            "chunk extension",
            post("Transfer-Encoding: chunked\r\n", &format!("2;a=\"b\"\r\nab\r\n{ended}")),
            false,
        ),
        (
            "chunk extension, bare LF",
            post("Transfer-Encoding: chunked\r\n", &format!("2;a\nb\r\nab\r\n{ended}")),
            true,
        ),
        (
            "chunk longer than its size",
            post("Transfer-Encoding: chunked\r\n", &format!("1\r\nab\r\n{ended}")),
            true,
        ),
        ("chunk without its end", post("Transfer-Encoding: chunked\r\n", &format!("2\r\nabXX{ended}")), true),
        (
            "trailer that frames",
            post("Transfer-Encoding: chunked\r\n", &format!("0\r\nContent-Length: 37\r\n\r\n{HIDDEN}")),
            false,
        ),
        (
            "HTTP/1.0 with TE (Pingora, CVE-2026-2835)",
            format!("POST /v1/embeddings HTTP/1.0\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n{ended}"),
            true,
        ),
        (
            "upgrade taken too early (Pingora, CVE-2026-2833)",
            get("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
            false,
        ),
        (
            "h2c upgrade",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            false,
        ),
        (
            "body left unread (Pingora, CVE-2025-4366)",
            format!(
                "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            ),
            true,
        ),
        ("obs-fold", get("X: a\r\n b\r\n"), true),
        ("first line folded", format!("GET /v1/models HTTP/1.1\r\n {AUTH}\r\n{HIDDEN}"), true),
        ("bare LF everywhere", get("X: y\r\n").replace("\r\n", "\n"), false),
        ("request line with a tab", format!("GET\t/v1/models HTTP/1.1\r\n{AUTH}\r\n{HIDDEN}"), true),
        ("request line with two spaces", format!("GET  /v1/models HTTP/1.1\r\n{AUTH}\r\n{HIDDEN}"), true),
        ("request line with three words", format!("GET /v1/models /smuggled HTTP/1.1\r\n{AUTH}\r\n"), true),
        ("target with a CR", format!("GET /v1/mo\rdels HTTP/1.1\r\n{AUTH}\r\n{HIDDEN}"), true),
        ("HTTP/0.9", format!("GET /v1/models\r\n\r\n{HIDDEN}"), true),
        ("HTTP/1.2", format!("GET /v1/models HTTP/1.2\r\n{AUTH}\r\n{HIDDEN}"), true),
        ("HTTP/2.0 in words", format!("GET /v1/models HTTP/2.0\r\n{AUTH}\r\n{HIDDEN}"), true),
        ("CONNECT", format!("CONNECT 127.0.0.1:80 HTTP/1.1\r\n{AUTH}\r\n{HIDDEN}"), true),
        (
            "connection drops the length",
            post(
                "Connection: content-length, transfer-encoding, host, authorization\r\nContent-Length: 2\r\n",
                "{}",
            ),
            false,
        ),
    ]
}

#[test]
fn nothing_is_smuggled() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN)], &[A]);
    let mut wrong = Vec::new();
    for (name, bytes, refused) in attacks() {
        let (answers, upstream) = through(&gpt_load, &peer, bytes.as_bytes());
        for request in &upstream {
            assert!(!request.target.contains("smuggled"), "{name}: {request:?}");
            assert_eq!(request.values("authorization"), [format!("Bearer {A}")], "{name}");
            assert_eq!(request.values("host"), [peer.address().to_string()], "{name}");
        }
        let passed = answers.iter().filter(|status| **status == 200).count();
        assert_eq!(passed, upstream.len(), "{name}: each answer belongs to one request: {answers:?}");
        let first_refused = answers.first().is_none_or(|status| *status >= 400);
        if first_refused != refused {
            wrong.push((name, answers.clone(), upstream.len()));
        }
        outcome(
            &format!("smuggling: {name}"),
            if first_refused { "refused" } else { "one reading upstream" },
        );
    }
    assert_eq!(wrong, [], "refused or passed on, other than expected");
}
