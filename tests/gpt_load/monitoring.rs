//! Spec §10: the paths that are ours.

use mock_provider::Play;
use serde_json::{Value, json};

use crate::support::{A, ADMIN, Answer, B, C, D, GptLoad, TOKEN, provider};

const ALL: [&str; 6] = ["/health", "/livez", "/readyz", "/stats", "/blacklist", "/reset-keys"];

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// RFC 3339, in UTC.
fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|time| time.len() == 24 && time.as_bytes()[10] == b'T' && time.ends_with('Z'))
}

#[test]
fn a_healthy_pool_is_told_in_the_contracts_words() {
    let gpt_load = GptLoad::start(&[], &[A, B]);
    let health = gpt_load.get("/health").send();
    assert_eq!((health.status.as_u16(), health.header("cache-control")), (200, Some("no-store")));
    assert_eq!(health.header("content-type"), Some("application/json"));
    let told = health.json();
    assert_eq!(names(&told), ["status", "timestamp", "healthy_keys", "total_keys", "uptime"]);
    assert_eq!(told["status"], "healthy");
    assert_eq!((&told["healthy_keys"], &told["total_keys"]), (&json!(2), &json!(2)));
    assert!(is_time(&told["timestamp"]), "{told}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(gpt_load.get(path).send().status, 200, "{path}");
    }
}

#[test]
fn a_pool_without_a_key_is_unhealthy_and_not_ready_but_alive() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    gpt_load.chat();
    let health = gpt_load.get("/health").send();
    assert_eq!((health.status.as_u16(), &health.json()["status"]), (503, &json!("unhealthy")));
    assert_eq!(gpt_load.get("/readyz").send().status, 503);
    assert_eq!(gpt_load.get("/livez").send().status, 200);
}

#[test]
fn the_statistics_count_what_happened() {
    let mock = provider(&[(A, "valid"), (B, "revoked")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
    for _ in 0..4 {
        gpt_load.chat();
    }
    mock.play(A, Play::Fails(400));
    gpt_load.chat();
    let stats = gpt_load.told("/stats");
    let (keys, requests) = (&stats["keys"], &stats["requests"]);
    assert_eq!((&keys["total"], &keys["healthy"], &keys["blacklisted"]), (&json!(3), &json!(1), &json!(2)));
    assert!(keys["current_index"].is_u64(), "{stats}");
    assert_eq!(
        (&requests["success_count"], &requests["failure_count"], &requests["total_count"]),
        (&json!(4), &json!(1), &json!(5)),
    );
    assert_eq!(stats["upstreams"][0]["url"], mock.url());
    for section in ["memory", "system"] {
        assert!(stats[section].is_object(), "{section}");
    }
    assert!(is_time(&stats["timestamp"]), "{stats}");
    // Our own paths are no requests.
    assert_eq!(gpt_load.told("/stats")["requests"], stats["requests"]);
}

#[test]
fn the_blacklist_tells_who_why_and_until_when() {
    let mock = provider(&[(A, "revoked"), (B, "rate_limited requests=1 per=1m")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    gpt_load.chat();
    gpt_load.chat();
    let told = gpt_load.told("/blacklist");
    assert_eq!(names(&told), ["blacklisted_keys", "count", "timestamp"]);
    assert_eq!(told["count"], 2);
    let entries = told["blacklisted_keys"].as_array().unwrap();
    for entry in entries {
        let want = [
            "index",
            "preview",
            "reason",
            "permanent",
            "blacklist_at",
            "recovers_at",
            "fail_count",
            "model",
            "rule",
            "last_error",
        ];
        assert!(names(entry).starts_with(&want), "{entry}");
        assert!(is_time(&entry["blacklist_at"]), "{entry}");
    }
    let (revoked, limited) = (&entries[0], &entries[1]);
    assert_eq!((&revoked["index"], &revoked["preview"]), (&json!(0), &json!("sk-test-...0001")));
    assert_eq!((&revoked["permanent"], &revoked["recovers_at"]), (&json!(true), &Value::Null));
    assert_eq!((&limited["index"], &limited["permanent"]), (&json!(1), &json!(false)));
    assert!(is_time(&limited["recovers_at"]), "{limited}");
}

#[test]
fn a_key_that_is_out_tells_which_rule_judged_what_answer() {
    let mock = provider(&[(A, "revoked"), (C, "valid"), (D, "rate_limited requests=1 per=1m")]);
    let limited = json!({"error": {
        "message": format!("Rate limit reached for {B}.\nPlease try again in 20s."),
        "type": "tokens",
        "code": "rate_limit_exceeded",
    }});
    mock.play(B, Play::answer(429, &[("retry-after-ms", "90500"), ("retry-after", "90")], limited));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C, D]);
    for _ in 0..2 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    let blacklist = gpt_load.blacklist();
    let told = |number: usize, field: &str| blacklist[number][field].clone();
    let fields =
        ["index", "reason", "rule", "status", "code", "wait_s", "wait_from", "model", "provider", "upstream"];
    let provider = json!("_OTHER");
    for (number, want) in [
        [
            json!(0),
            json!("key_invalid"),
            json!("openai.key"),
            json!(401),
            json!("invalid_request_error invalid_api_key"),
            Value::Null,
            Value::Null,
            Value::Null,
            provider.clone(),
            json!(mock.url()),
        ],
        [
            json!(1),
            json!("key_limited"),
            json!("openai.rate"),
            json!(429),
            json!("tokens rate_limit_exceeded"),
            json!(90.5),
            json!("retry-after-ms"),
            json!("gpt-4o"),
            provider.clone(),
            json!(mock.url()),
        ],
        [
            json!(3),
            json!("key_limited"),
            json!("ahead.nothing_left"),
            Value::Null,
            Value::Null,
            told(2, "wait_s"),
            json!("reset header"),
            json!("gpt-4o"),
            provider,
            json!(mock.url()),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(fields.map(|field| told(number, field)), want, "{}", blacklist[number]);
    }
    let message = "Rate limit reached for sk-test-...0002. Please try again in 20s.";
    assert_eq!(told(1, "last_error"), message);
    let line =
        gpt_load.logged("B's story", |line| line["message"] == "key blacklisted" && line["key_index"] == 1);
    assert_eq!(
        (&line["rule"], &line["status"], &line["code"], &line["wait_s"], &line["wait_from"], &line["error"]),
        (
            &json!("openai.rate"),
            &json!(429),
            &json!("tokens rate_limit_exceeded"),
            &json!(90.5),
            &json!("retry-after-ms"),
            &json!(message)
        )
    );
    assert_eq!([&line["provider"], &line["upstream"]], [&json!("_OTHER"), &json!(mock.url())]);
    let line = gpt_load.logged("D's rest", |line| line["message"] == "key rests");
    assert_eq!(
        ["key_index", "rule", "wait_from", "model"].map(|field| line[field].clone()),
        [json!(3), json!("ahead.nothing_left"), json!("reset header"), json!("gpt-4o")]
    );
}

#[test]
fn a_reset_reads_the_file_and_clears_every_state() {
    let mock = provider(&[(B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for method in ["GET", "POST"] {
        for _ in 0..2 {
            gpt_load.chat();
        }
        assert_eq!(gpt_load.healthy_keys(), 1, "{method}");
        let reset = gpt_load.ask(method, "/reset-keys").send();
        assert_eq!(reset.status, 200);
        assert_eq!(names(&reset.json()), ["message", "total_keys", "healthy_keys", "timestamp"]);
        assert_eq!((reset.json()["total_keys"].as_u64(), gpt_load.healthy_keys()), (Some(2), 2));
    }
    std::fs::write(gpt_load.keys_file(), format!("{A}\n{B}\n{C}\n")).unwrap();
    assert_eq!(gpt_load.post("/reset-keys").send().json()["total_keys"], 3);
}

#[test]
fn a_reset_with_an_unusable_file_changes_nothing() {
    let mock = provider(&[(B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    gpt_load.chat();
    std::fs::write(gpt_load.keys_file(), "# nothing\n").unwrap();
    let reset = gpt_load.post("/reset-keys").send();
    assert_eq!(reset.status, 500);
    assert!(reset.json()["error"]["message"].as_str().unwrap().contains("KEYS_FILE"), "{}", reset.text());
    let health = gpt_load.told("/health");
    assert_eq!((health["total_keys"].as_u64(), health["healthy_keys"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn another_sites_page_may_not_reset() {
    let gpt_load = GptLoad::start(&[], &[A]);
    let status = |name: &str, value: &str| gpt_load.post("/reset-keys").header(name, value).send().status;
    for (name, value, want) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
    ] {
        assert_eq!(status(name, value).as_u16(), want, "{name}: {value}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones_and_nothing_falls_through() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for path in ALL {
        let allow = if path == "/reset-keys" { "GET, HEAD, POST" } else { "GET, HEAD" };
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = gpt_load.ask(method, path).send();
            assert_eq!(
                (answer.status.as_u16(), answer.header("allow")),
                (405, Some(allow)),
                "{method} {path}"
            );
            assert_eq!(answer.code(), "method_not_allowed");
        }
    }
    assert_eq!(mock.requests(), 0);
}

#[test]
fn head_works_wherever_get_does() {
    let gpt_load = GptLoad::start(&[], &[A]);
    for path in ["/health", "/livez", "/readyz", "/stats", "/blacklist", "/reset-keys"] {
        let (head, get) = (gpt_load.ask("HEAD", path).send(), gpt_load.get(path).send());
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{path}");
    }
}

#[test]
fn auth_key_guards_the_paths_that_tell_of_keys_and_admin_key_takes_them_over() {
    let mock = provider(&[(A, "valid")]);
    let unauthorized = |answer: &Answer| answer.status == 401;
    let shared = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN)], &[A]);
    let split = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN), ("ADMIN_KEY", ADMIN)], &[A]);
    for path in ["/health", "/livez", "/readyz"] {
        assert_eq!(
            (shared.get(path).send().status.as_u16(), split.get(path).send().status.as_u16()),
            (200, 200)
        );
    }
    for path in ["/stats", "/blacklist", "/reset-keys"] {
        assert!(unauthorized(&shared.get(path).send()), "{path}");
        assert_eq!(shared.get(path).bearer(TOKEN).send().status, 200, "{path}");
        assert!(unauthorized(&split.get(path).send()), "{path}");
        assert!(unauthorized(&split.get(path).bearer(TOKEN).send()), "{path}");
        assert_eq!(split.get(path).bearer(ADMIN).send().status, 200, "{path}");
        assert_eq!(split.get(path).header("x-api-key", ADMIN).send().status, 200, "{path}");
    }
    assert_eq!(split.get("/v1/models").bearer(TOKEN).send().status, 200);
    assert_eq!(
        split.get("/v1/models").bearer(ADMIN).send().refused(),
        (401, "invalid_auth_token".to_owned())
    );
}

#[test]
fn admin_key_alone_leaves_the_proxy_open() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("ADMIN_KEY", ADMIN)], &[A]);
    assert_eq!(gpt_load.get("/v1/models").send().status, 200);
    assert_eq!(gpt_load.get("/stats").send().refused(), (401, "missing_auth_token".to_owned()));
    assert_eq!(gpt_load.get("/stats").bearer(ADMIN).send().status, 200);
}

#[test]
fn what_only_looks_like_one_of_our_paths_is_proxied() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for path in ["/health/", "/healthz", "/v1/health", "/Stats", "/stats/echo"] {
        mock.reset();
        gpt_load.get(path).send();
        assert_eq!(mock.requests(), 1, "{path}");
    }
    // A query changes nothing.
    mock.reset();
    assert_eq!(gpt_load.get("/health?verbose=1").send().status, 200);
    assert_eq!(mock.requests(), 0);
}
