//! Every output of a run with every fault that quotes secrets, searched for each of them: logs at debug in both formats and in
//! the file, answers and errors, monitoring pages, the admin API, the state file, `check`, `validate-keys`.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outcome;
use crate::support::{A, ADMIN, B, C, D, GptLoad, Launch, Peer, TOKEN, chat, chat_with};

const PASSWORD: &str = "password-of-a-proxy-7777";
/// On a line of the keys file that is no key, and so in no pool.
const BROKEN: &str = "sk-test-eeeeeeeeeeee-0005 with-a-space";

/// What may stand nowhere: the secrets, and of keys what no preview shows.
fn secrets() -> Vec<&'static str> {
    let middles = [A, B, C, D].map(|key| &key[8..key.len() - 4]);
    [&[A, B, C, D, TOKEN, ADMIN, PASSWORD, BROKEN, &BROKEN[..25]][..], &middles].concat()
}

fn nothing_secret_in(place: &str, text: &str) {
    assert!(!text.is_empty(), "{place} says nothing");
    for secret in secrets() {
        assert!(!text.contains(secret), "{secret} in {place}:\n{text}");
    }
}

/// Fails in a different way each time, and quotes all that it knows.
fn telltale() -> Peer {
    let asked = AtomicUsize::new(0);
    Peer::start(move |wire| {
        while let Some(head) = wire.request() {
            let key = head.split("Bearer ").nth(1).map_or("", |rest| rest.split("\r\n").next().unwrap());
            let quotes = format!("{key} {A},{B};{C} {D} token={key}");
            let json = |code: &str| format!(r#"{{"error":{{"message":"No: {quotes}","code":"{code}"}}}}"#);
            let answer = |status: &str, headers: &str, body: &str| {
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
            };
            let hints = format!("X-Key: {quotes}\r\nWWW-Authenticate: Bearer {quotes}\r\n");
            let turn = asked.fetch_add(1, Ordering::Relaxed) % 12;
            match turn {
                0 => wire.send(answer("401 Unauthorized", &hints, &json("x"))),
                1 => wire.send(answer(
                    "429 Too Many Requests",
                    "Retry-After: 1\r\n",
                    &json("rate_limit_exceeded"),
                )),
                2 => wire.send(answer(&format!("500 {quotes}"), &hints, &quotes)),
                3 => wire.send(answer("400 Bad Request", &hints, &json("x"))),
                4 => wire.send(answer(
                    "200 OK",
                    "Content-Type: application/json\r\n",
                    &json("insufficient_quota"),
                )),
                5 => wire.send(answer(
                    "307 Temporary Redirect",
                    &format!("Location: https://x.example/?key={key}\r\n"),
                    "",
                )),
                6 => wire.send(format!("{quotes}\r\n\r\n")),
                7 => wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {quotes}\r\n\r\n")),
                8 => wire.send(answer(
                    "200 OK",
                    "Content-Type: text/event-stream\r\n",
                    &format!("event: error\ndata: {}\n\n", json("x")),
                )),
                9 => wire.send(format!(
                    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9999\r\n{hints}\r\n{quotes}"
                )),
                10 => {
                    wire.send(answer("403 Forbidden", &hints, &format!("{}{quotes}", "no ".repeat(30_000))))
                }
                _ => wire.send(answer("404 Not Found", "", &json("model_not_found"))),
            };
            // What has no end of its own ends here.
            if matches!(turn, 6 | 7 | 9) {
                return;
            }
        }
    })
}

/// What clients and operators ask for, good and bad; everything that they are told.
fn everything_asked(gpt_load: &GptLoad) -> String {
    let mut told = String::new();
    let mut ask = |method: &str, path: &str, token: &str, body: Option<bool>| {
        let mut ask = gpt_load.ask(method, path).bearer(token);
        if let Some(stream) = body {
            ask = ask.json(&if stream { chat_with(serde_json::json!({"stream": true})) } else { chat() });
        }
        let answer = ask.send();
        writeln!(told, "{:?} {:?} {:?}\n{}", answer.status, answer.headers, answer.trailers, answer.text())
            .unwrap();
    };
    for round in 0..24 {
        ask("POST", "/v1/chat/completions", TOKEN, Some(round % 2 == 0));
        ask("GET", &format!("/v1/models?key={TOKEN}&api_key={TOKEN}"), TOKEN, None);
    }
    for token in [ADMIN, TOKEN, A] {
        for page in ["health", "stats", "blacklist", "metrics", "dashboard", "readyz", "admin/api/overview"] {
            ask("GET", &format!("/{page}"), token, None);
        }
        for page in ["keys", "keys/0", "keys/1", "failures", "series", "openapi.json", "keys/99"] {
            ask("GET", &format!("/admin/api/{page}"), token, None);
        }
        for act in ["keys/0/blacklist", "keys/0/restore", "keys/restore", "reload"] {
            ask("POST", &format!("/admin/api/{act}"), token, None);
        }
        ask("GET", &format!("/stats?key={token}"), "", None);
    }
    ask("GET", &format!("/v1/..%2f{A}"), TOKEN, None);
    ask("POST", &format!("/v1beta/models/{B}:generateContent"), TOKEN, Some(false));
    ask("GET", &format!("/stats/{A}?a={B}"), ADMIN, None);
    ask("POST", "/reset-keys", ADMIN, None);
    for raw in [
        format!("GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nHost: a b\r\n\r\n"),
        format!("GET /v1/{A} HTTP/9.9\r\nX-Api-Key: {TOKEN}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nx-api-key : {TOKEN}\r\n\r\n"),
    ] {
        told += &gpt_load.raw().send(raw).finish().rest();
    }
    told
}

#[test]
fn no_output_of_a_run_has_a_secret_in_it() {
    let peer = telltale();
    let url = peer.url();
    let keys = format!("{A}\n{B}\n{C}\n{D}\n{BROKEN}\n");
    let proxy = format!("http://user:{PASSWORD}@127.0.0.1:9");
    let mut bytes = 0;
    for format in ["text", "json"] {
        let env = [
            ("OPENAI_BASE_URL", url.as_str()),
            ("AUTH_KEY", TOKEN),
            ("ADMIN_KEY", ADMIN),
            ("LOG_LEVEL", "debug"),
            ("LOG_ENABLE_FILE", "true"),
            ("LOG_FILE_PATH", "app.log"),
            ("STATE_FILE", "state"),
            ("MAX_KEY_WAIT", "0"),
            ("HTTPS_PROXY", &proxy),
            ("RESPONSE_TRACE", "true"),
            ("LOG_FORMAT", format),
        ];
        let mut gpt_load = Launch::new(&env, &[]).keys_file(Some(keys.as_bytes())).start();
        let told = everything_asked(&gpt_load);
        gpt_load.signal("HUP");
        gpt_load.line("the reload", |line| line.contains("keys file reloaded").then_some(()));
        gpt_load.signal("TERM");
        gpt_load.ended();
        nothing_secret_in("answers", &told);
        nothing_secret_in("the log", &gpt_load.output());
        let files = fs::read_dir(gpt_load.folder()).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| *file != gpt_load.keys_file()) {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            bytes += text.len();
            nothing_secret_in(&file.display().to_string(), &text);
        }
        bytes += told.len() + gpt_load.output().len();
        for command in [&["check"][..], &["validate-keys"], &["validate-keys", "--json"], &["healthcheck"]] {
            let ended = Launch::new(&env, &[]).keys_file(Some(keys.as_bytes())).arguments(command).run();
            nothing_secret_in(command[0], &ended.output);
            bytes += ended.output.len();
        }
    }
    outcome(
        "secrets: every output of a run, searched for every key and token",
        format!("{} KiB, none", bytes >> 10),
    );
}
