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
