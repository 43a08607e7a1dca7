//! Spec §6, "per model": wherever a request names its model, a limit of that model's sets the key aside for it alone.

use std::collections::HashSet;

use serde_json::json;

use crate::support::{A, Ask, GptLoad, Peer};

/// A request for a model.
type Asking = fn(&GptLoad, &str) -> Ask;

/// Refuses whatever has `limited` in it for the model's limit, and answers the rest.
fn limits_one_model() -> Peer {
    let error =
        r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    let refused = format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: {}\r\n\r\n{error}",
        error.len()
    );
    Peer::start(move |wire| {
        while let Some(head) = wire.head() {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let body = wire.exactly(length.unwrap_or(0));
            let said = head.clone() + &String::from_utf8_lossy(&body);
            if said.contains("limited") {
                wire.send(&refused);
            } else if head.contains("Upgrade: websocket") || head.contains("upgrade: websocket") {
                wire.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                );
                return wire.finish();
            } else {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
            }
        }
    })
}

/// A form of a file and a model.
fn form(gpt_load: &GptLoad, [file, model]: &[&str; 2]) -> Ask {
    let file =
        format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n{file}\r\n");
    let model = format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--\r\n");
    gpt_load
        .post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(file + &model)
}

/// Asks for one model that is refused, again, and for another: the key is out for the one alone.
fn stands_apart(gpt_load: &GptLoad, model: &str, ask: impl Fn(&str) -> u16) {
    assert_eq!(ask("limited"), 429, "{model}");
    let out = gpt_load.blacklist();
    assert_eq!((out.len(), &out[0]["model"]), (1, &json!(model)), "{out:?}");
    assert_eq!(ask("limited"), 503, "{model}: no key is left for it");
    assert!(matches!(ask("other"), 200 | 101), "{model}: the key serves others");
    assert_eq!(gpt_load.healthy_keys(), 1);
}

fn each_stands_apart(places: &[(&str, Asking)]) {
    for (model, ask) in places {
        let peer = limits_one_model();
        let gpt_load = GptLoad::before_peer(&peer, &[("MAX_KEY_WAIT", "0"), ("MAX_RETRIES", "0")], &[A]);
        stands_apart(&gpt_load, model, |name| ask(&gpt_load, name).send().status.as_u16());
    }
}

#[test]
fn a_model_in_the_body_the_path_the_query_or_a_form_has_a_cooldown_of_its_own() {
    each_stands_apart(&[
        ("limited", |g, m| g.post("/v1/chat/completions").json(&json!({"model": m}))),
        ("limited", |g, m| {
            g.post(&format!("/openai/deployments/{m}/chat/completions?api-version=2024-10-21"))
                .json(&json!({}))
        }),
        ("limited", |g, m| g.post(&format!("/v1beta/models/{m}:generateContent")).json(&json!({}))),
        ("mine-limited", |g, m| {
            g.post(&format!("/v1beta/tunedModels/mine-{m}:generateContent")).json(&json!({}))
        }),
        ("limited", |g, m| form(g, &["", m])),
        ("a/limited", |g, m| g.get(&format!("/v1/realtime?model=a%2F{m}"))),
    ]);
}

#[test]
fn a_models_name_is_read_as_it_is_meant_however_it_is_escaped() {
    each_stands_apart(&[
        ("openai/limited", |g, m| {
            g.post("/v1/chat/completions").body(format!(r#"{{"model":"openai\/{m}","messages":[]}}"#))
        }),
        ("模型-limited", |g, m| {
            g.post("/v1/chat/completions").body(format!(r#"{{"model":"\u6a21\u578b-{m}","messages":[]}}"#))
        }),
        ("v2:limited", |g, m| g.post(&format!("/model/v2%3A{m}/invoke")).json(&json!({}))),
    ]);
}

#[test]
fn a_form_names_its_model_behind_its_file_too() {
    each_stands_apart(&[("limited", |g, m| form(g, &[&"a file ".repeat(50_000), m]))]);
}

#[test]
fn a_key_is_no_models_name_however_it_is_escaped() {
    let peer = limits_one_model();
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let (in_json, in_path) = (A.replace('-', r"\u002d"), A.replace('-', "%2d"));
    for ask in [
        gpt_load.post("/v1/chat/completions").body(format!(r#"{{"model":"{in_json}","messages":[]}}"#)),
        gpt_load.post(&format!("/openai/deployments/{in_path}/chat/completions")).json(&json!({})),
        gpt_load.post("/v1/chat/completions").json(&json!({"model": "a-models"})),
    ] {
        assert_eq!(ask.send().status, 200);
    }
    let metrics = gpt_load.get("/metrics").send().text();
    let named = metrics.split("gen_ai_request_model=\"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(named.collect::<HashSet<_>>(), HashSet::from(["a-models"]));
}

#[test]
fn a_websocket_names_its_model_in_the_query() {
    let peer = limits_one_model();
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_KEY_WAIT", "0"), ("MAX_RETRIES", "0")], &[A]);
    stands_apart(&gpt_load, "limited", |name| {
        let asked = format!(
            "GET /v1/realtime?model={name} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let answer = gpt_load.raw().send(asked).until("\r\n\r\n");
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    });
}
