//! Spec §4: the corners of HTTP, byte by byte.

use std::time::{Duration, Instant};

use crate::support::{A, GptLoad, Peer, TOKEN, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The request that came, in lower case.
fn sent(peer: &Peer) -> String {
    peer.received().concat().to_ascii_lowercase()
}

#[test]
fn answers_without_a_body_end_with_their_head_and_keep_both_connections() {
    let peer = Peer::start(|wire| {
        while let Some(head) = wire.request() {
            wire.send(match head.split(' ').nth(1).unwrap() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Of: head\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\nX-Of: 204\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"e\"\r\n\r\n",
                _ => OK,
            });
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1")], &[A]);
    let mut client = gpt_load.raw();
    let mut ask = |line: &str| {
        client.send(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")).until("\r\n\r\n").to_ascii_lowercase()
    };
    let head = ask("HEAD /head");
    assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let head = ask("GET /204");
    assert!(
        head.starts_with("http/1.1 204") && !head.contains("content-length") && !head.contains("chunked"),
        "{head}"
    );
    let head = ask("GET /304");
    assert!(
        head.starts_with("http/1.1 304") && head.contains("etag: \"e\"") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: 77\r\n"), "of what it stands for: {head}");
    assert!(
        client
            .send("GET /rest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .rest()
            .ends_with("\r\n\r\nok")
    );
    assert_eq!(peer.received().len(), 1, "the upstream's connection was kept all along");
}

#[test]
fn an_answer_without_a_body_whose_length_is_none_is_refused() {
    for length in ["-3", "zz", "3, 4", "3\r\nContent-Length: 4", ""] {
        for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "200 OK")] {
            let peer = Peer::answering(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n"));
            let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "0")], &[A]);
            let answer = gpt_load.ask(method, "/v1/models").send();
            assert_eq!(answer.status, 502, "{method} {status} {length}");
        }
    }
}

#[test]
fn interim_answers_of_an_upstream_come_before_the_answer_and_are_not_it() {
    let peer = Peer::answering(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{OK}"
    ));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let answer = gpt_load.get("/v1/models").send();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn clients_of_http_1_0_are_answered_in_their_own_way() {
    let peer =
        Peer::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let answer = gpt_load.raw().send("GET /v1/models HTTP/1.0\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\nab"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
    let answer = gpt_load.raw().send("POST /v1/embeddings HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}").rest();
    assert!(answer.ends_with("\r\n\r\nab"), "{answer}");
    assert!(sent(&peer).contains("get /v1/models http/1.1\r\n"));
}

#[test]
fn upstreams_of_http_1_0_and_bodies_that_end_with_the_connection_are_understood() {
    for answer in [
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    ] {
        let peer = Peer::start(move |wire| {
            wire.request();
            wire.send(answer).finish();
        });
        let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
        let answer = gpt_load.get("/v1/models").send();
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str(), answer.broken),
            (200, "until the end", false)
        );
    }
}

#[test]
fn an_absolute_target_names_a_path_and_never_a_place() {
    let (peer, elsewhere) = (Peer::answering(OK), Peer::answering(OK));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for target in
        [format!("{}/v1/models?a=b", elsewhere.url()), "http://user@127.0.0.1:1/v1/models?a=b".to_owned()]
    {
        let answer = gpt_load
            .raw()
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .rest();
        assert!(answer.ends_with("ok"), "{answer}");
    }
    let sent = sent(&peer);
    assert_eq!(sent.matches("get /v1/models?a=b http/1.1\r\n").count(), 2, "{sent}");
    assert_eq!(sent.matches(&format!("host: {}\r\n", peer.address())).count(), 2, "{sent}");
    assert_eq!(elsewhere.received(), Vec::<String>::new());
}

#[test]
fn chunked_uploads_arrive_whole_held_or_streamed() {
    let pieces = ["6;ext=\"a;b\"\r\nhello \r\n", "005\r\nworld\r\n0\r\n\r\n"];
    for (limit, framed) in [("16MiB", "content-length: 11\r\n"), ("4", "transfer-encoding: chunked\r\n")] {
        let peer = Peer::answering(OK);
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", limit)], &[A]);
        let mut client = gpt_load.raw();
        client.send(format!("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}", pieces[0]));
        // What comes whole at once has a known length after all.
        std::thread::sleep(Duration::from_millis(200));
        let answer = client.send(pieces[1]).rest();
        assert!(answer.ends_with("ok"), "{answer}");
        let sent = sent(&peer);
        assert!(sent.contains(framed) && !sent.contains("ext="), "{sent}");
        let (_, body) = sent.split_once("\r\n\r\n").unwrap();
        let body = body.replace("6\r\n", "").replace("5\r\n", "").replace("\r\n", "");
        assert_eq!(body.trim_end_matches('0'), "hello world", "{sent}");
    }
}

#[test]
fn trailers_of_a_request_arrive_but_for_credentials() {
    for limit in ["16MiB", "1"] {
        let peer = Peer::start(|wire| {
            wire.head();
            wire.until("x-sum: 7\r\n\r\n");
            wire.send(OK);
            wire.is_ended();
        });
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", limit)], &[A]);
        let answer = gpt_load
            .raw()
            .send(
                "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTrailer: X-Sum, Authorization\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\n{}\r\n0\r\nAuthorization: Bearer mine\r\nCookie: a=b\r\nX-Sum: 7\r\n\r\n",
            )
            .rest();
        assert!(answer.ends_with("ok"), "{answer}");
        let sent = sent(&peer);
        assert!(sent.contains("\r\ntrailer: x-sum\r\n"), "{sent}");
        assert!(sent.ends_with("2\r\n{}\r\n0\r\nx-sum: 7\r\n\r\n"), "{sent}");
        assert!(!sent.contains("mine") && !sent.contains("cookie"), "{sent}");
    }
}

#[test]
fn an_answer_that_comes_before_the_body_is_whole_reaches_the_client_at_once() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.read();
        wire.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
            .finish();
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let began = Instant::now();
    let mut client = gpt_load.raw();
    client
        .send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        .send(vec![b'x'; 100_000]);
    let answer = client.until("large");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn an_upload_may_go_on_after_its_answer_has_begun() {
    const SIZE: usize = 3_000_000;
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
        let body = wire.exactly(SIZE);
        let count = body.len().to_string();
        wire.send(format!("{:x}\r\n{count}\r\n0\r\n\r\n", count.len()));
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    let mut client = gpt_load.raw();
    client
        .send(format!("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"))
        .send(vec![b'x'; 1_000_000]);
    client.until("hi");
    client.send(vec![b'x'; SIZE - 1_000_000]).until(&SIZE.to_string());
}

#[test]
fn a_client_that_closes_its_side_is_gone_and_its_upstream_request_ends_at_once() {
    let (saw, seen) = std::sync::mpsc::channel();
    let peer = Peer::start(move |wire| {
        if wire.request().is_some() {
            saw.send(false).unwrap();
            wire.is_ended();
            saw.send(true).unwrap();
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!seen.recv_timeout(crate::support::patience()).unwrap());
    client.finish();
    assert!(seen.recv_timeout(crate::support::patience()).unwrap(), "the upstream's side ended");
    gpt_load.said("client_gone");
    assert_eq!(gpt_load.healthy_keys(), 1);
    eventually("nothing runs", || gpt_load.told("/stats")["requests"]["running"] == 0);
}

#[test]
fn a_body_is_only_asked_for_if_it_is_wanted() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", TOKEN), ("MAX_REQUEST_BODY", "1KiB")], &[A]);
    for (headers, status) in [
        ("Content-Length: 4\r\n".to_owned(), "401"),
        (format!("Authorization: Bearer {TOKEN}\r\nContent-Length: 4000\r\n"), "413"),
    ] {
        let answer = gpt_load
            .raw()
            .send(format!("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n{headers}\r\n"))
            .rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(peer.received(), Vec::<String>::new());
}

#[test]
fn who_sends_on_after_a_refusal_hears_it_all_the_same() {
    let gpt_load = GptLoad::start(&[("AUTH_KEY", TOKEN)], &[A]);
    for body in [
        format!("Content-Length: {}\r\n\r\n{}", 5_000_000, "x".repeat(1_000_000)),
        format!("Transfer-Encoding: chunked\r\n\r\nfffff\r\n{}", "x".repeat(500_000)),
    ] {
        let mut client = gpt_load.raw();
        client.send(format!("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n{body}"));
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.contains("missing_auth_token"), "{answer}");
    }
    // A body that has come whole does not cost its client the connection.
    let mut client = gpt_load.raw();
    for _ in 0..2 {
        let chunked = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        let answer = client.send(chunked).until("missing_auth_token");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn an_old_client_can_tell_an_answer_that_was_cut_from_one_that_ended() {
    let peer = Peer::start(|wire| {
        let cut = wire.request().is_some_and(|head| head.starts_with("GET /cut"));
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        if !cut {
            wire.send("0\r\n\r\n");
        }
        wire.finish();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for (path, cut) in [("/whole", false), ("/cut", true)] {
        let mut client = gpt_load.raw();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n")).until("half");
        assert_eq!(client.is_reset(), cut, "{path}");
    }
}

#[test]
fn an_old_client_may_keep_its_connection() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    for _ in 0..2 {
        let answer =
            client.send("GET /v1/models HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").until("\r\n\r\nok");
        assert!(
            answer.starts_with("HTTP/1.0 200") && answer.contains("connection: keep-alive\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn targets_that_are_none_are_refused() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for (target, status) in [("/v1/models#part".to_owned(), 400), (format!("/{}", "x".repeat(66_000)), 431)] {
        let answer = gpt_load.raw().send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(peer.received(), Vec::<String>::new());
}

#[test]
fn a_head_in_pieces_is_a_head() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    for end in ["\r\n", "\n"] {
        let mut client = gpt_load.raw();
        let head = format!("POST /v1/embeddings HTTP/1.1{end}Host: x{end}Content-Length: 2{end}{end}{{}}");
        for byte in head.bytes() {
            client.send([byte]);
        }
        assert!(client.until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
    }
    assert!(sent(&peer).matches("content-length: 2\r\n").count() == 2);
}

#[test]
fn the_rest_of_a_body_behind_its_answer_is_no_head() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send(OK);
        wire.is_ended();
    });
    let settings = [("MAX_REPLAY_BODY", "1KiB"), ("SERVER_READ_TIMEOUT", "1")];
    let gpt_load = GptLoad::before_peer(&peer, &settings, &[A]);
    let mut client = gpt_load.raw();
    client
        .send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n")
        .send(vec![b'x'; 5000])
        .until("\r\n\r\nok");
    // In pieces, for longer than a head may take.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(400));
        client.send(vec![b'x'; 3000]);
    }
    std::thread::sleep(Duration::from_millis(1500));
    let answer = client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_clients_broken_upload_is_not_its_upstreams_fault() {
    let peer = Peer::start(|wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
        wire.is_ended();
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_REPLAY_BODY", "1KiB")], &[A]);
    for _ in 0..6 {
        let mut client = gpt_load.raw();
        client
            .send("POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n")
            .send(vec![b'x'; 0x800])
            .until("hi");
        client.send("\r\nno chunk\r\n").rest();
    }
    eventually("they are counted", || gpt_load.told("/stats")["requests"]["failures"]["client_gone"] == 6);
    let stats = gpt_load.told("/stats");
    assert_eq!(stats["requests"]["failures"]["broken_answer"], 0, "{stats}");
    assert_eq!(stats["upstreams"][0]["faults"], 0, "{stats}");
}

#[test]
fn the_last_answer_of_a_connection_arrives_whole_whatever_its_client_sends_on() {
    const SIZE: usize = 3_000_000;
    let peer =
        Peer::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{}", "x".repeat(SIZE)));
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").until("\r\n\r\n");
    client.send("\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut length = 0;
    while length < SIZE - 64 * 1024 {
        std::thread::sleep(Duration::from_millis(5));
        length += client.until("x").len();
    }
    assert!(client.rest().len() + length + 64 * 1024 >= SIZE, "{length}");
}

#[test]
fn trailers_of_an_answer_arrive_but_for_what_has_no_place_there() {
    let peer = Peer::answering(
        "HTTP/1.1 200 OK\r\nTrailer: content-length, transfer-encoding, authorization, te, connection, keep-alive, x-ok\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\
         Authorization: a\r\nTE: a\r\nConnection: a\r\nKeep-Alive: a\r\nX-Ok: yes\r\n\r\n",
    );
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let asks = |more: &str| {
        let ask = format!("GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        gpt_load.raw().send(ask).rest()
    };
    let answer = asks("TE: trailers\r\n");
    assert!(answer.ends_with("\r\n2\r\nok\r\n0\r\nx-ok: yes\r\n\r\n"), "{answer}");
    let answer = asks("");
    assert!(answer.ends_with("\r\n2\r\nok\r\n0\r\n\r\n"), "they were not asked for: {answer}");
}

#[test]
fn what_begins_like_http_2_may_be_a_slow_post() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let mut client = gpt_load.raw();
    client.send("P");
    std::thread::sleep(Duration::from_millis(1500));
    let rest = "OST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    assert!(client.send(rest).until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_refused_head_is_counted_as_what_it_was() {
    let peer = Peer::answering(OK);
    let gpt_load = GptLoad::before_peer(&peer, &[("AUTH_KEY", "token-of-clients")], &[A]);
    let answer =
        gpt_load.raw().send("HEAD /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.ends_with("\r\n\r\n"), "{answer}");
    gpt_load.said("unauthorized");
}

#[test]
fn a_refused_head_ends_with_its_head_on_http_2_too() {
    let peer = Peer::start(|wire| {
        wire.request();
    });
    let env = [("AUTH_KEY", "token-of-clients"), ("MAX_RETRIES", "0")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let ask = |name, value: &str| gpt_load.ask("HEAD", "/v1/models").header(name, value).http2().send();
    for (answer, status) in [
        (ask("x", "y"), 401),
        (ask("x", &"y".repeat(70_000)), 431),
        (ask("authorization", "Bearer token-of-clients"), 502),
    ] {
        assert_eq!((answer.status.as_u16(), answer.broken, answer.text()), (status, false, String::new()));
    }
}

#[test]
fn an_answer_that_is_none_is_an_attempt_on_a_kept_connection_too() {
    let peer = Peer::start(|wire| {
        if wire.request().is_some() {
            wire.send(OK);
        }
        if wire.request().is_some() {
            wire.send("this is no HTTP\r\n\r\n");
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "0"), ("WORKERS", "1")], &[A]);
    assert_eq!([(); 2].map(|()| gpt_load.get("/v1/models").send().status), [200, 502]);
    let connections = peer.received();
    assert_eq!(connections.iter().map(|asked| asked.matches("GET ").count()).sum::<usize>(), 2);
}
