//! Spec §11: what browsers and slow lines need.

use std::io::Read as _;

use flate2::read::GzDecoder;
use mock_provider::Play;
use serde_json::json;

use crate::support::{A, Answer, GptLoad, Launch, TOKEN, chat_with, direct, provider};

const CHAT: &str = "/v1/chat/completions";
const APP: &str = "https://app.example";

fn preflight(gpt_load: &GptLoad, origin: &str) -> Answer {
    gpt_load
        .ask("OPTIONS", CHAT)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-stainless-lang")
        .send()
}

#[test]
fn a_preflight_is_answered_here_and_without_a_token() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("AUTH_KEY", TOKEN)], &[A]);
    let answer = preflight(&gpt_load, APP);
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,x-stainless-lang"));
    assert!(answer.header("vary").unwrap().contains("Origin"));
    assert_eq!(mock.requests(), 0);
    // Without the headers of a preflight, OPTIONS is a request as any other.
    gpt_load.ask("OPTIONS", "/v1/echo").bearer(TOKEN).send();
    assert_eq!(mock.requests(), 1);
}

#[test]
fn an_origin_is_echoed_only_if_it_is_allowed() {
    let mock = provider(&[]);
    let theirs =
        [("access-control-allow-origin", "*"), ("access-control-allow-private", "x"), ("vary", "accept")];
    mock.play(A, Play::answer(200, &theirs, json!({})));
    let env = [("ALLOWED_ORIGINS", "https://app.example, https://b.example"), ("ALLOW_CREDENTIALS", "yes")];
    let gpt_load = GptLoad::before(&mock, &env, &[A]);
    let ask = |origin: &str| gpt_load.post(CHAT).header("origin", origin).send();
    let allowed = ask(APP);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(APP));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(allowed.header("access-control-allow-private"), None);
    let vary: Vec<_> = allowed.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept", "Origin"]);
    for answer in [ask("https://evil.example"), preflight(&gpt_load, "https://evil.example")] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(
            answer.headers.get_all("vary").iter().any(|value| value.to_str().unwrap().contains("Origin"))
        );
    }
    let none = gpt_load.post(CHAT).send();
    assert_eq!(none.header("access-control-allow-origin"), None);
}

#[test]
fn errors_are_readable_by_pages_too() {
    let gpt_load = GptLoad::start(&[("AUTH_KEY", TOKEN)], &[A]);
    let answer = gpt_load.post(CHAT).header("origin", APP).send();
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (401, Some(APP)));
}

#[test]
fn everybody_with_credentials_is_refused_at_start() {
    let ended = Launch::new(&[("ALLOW_CREDENTIALS", "true")], &[A]).run();
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.output.contains("ALLOW_CREDENTIALS") && ended.output.contains("ALLOWED_ORIGINS"),
        "{}",
        ended.output
    );
}

#[test]
fn with_cors_off_everything_is_the_upstreams() {
    let mock = provider(&[]);
    mock.play(A, Play::answer(200, &[("access-control-allow-origin", "https://theirs.example")], json!({})));
    let gpt_load = GptLoad::before(&mock, &[("ENABLE_CORS", "off")], &[A]);
    let answer = preflight(&gpt_load, APP);
    assert_eq!((answer.status.as_u16(), mock.requests()), (200, 1));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://theirs.example"));
}

#[test]
fn a_large_answer_is_compressed_for_who_accepts_it() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let large = chat_with(json!({"max_tokens": 2000}));
    let want = direct(&mock, "POST", CHAT).bearer(A).json(&large).send();
    for http2 in [false, true] {
        let ask = gpt_load.post(CHAT).json(&large).header("accept-encoding", "br, gzip;q=0.8");
        let answer = if http2 { ask.http2() } else { ask }.send();
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert!(answer.body.len() < want.body.len() / 2);
        let mut plain = Vec::new();
        GzDecoder::new(&answer.body[..]).read_to_end(&mut plain).unwrap();
        assert!(plain == want.body, "what was compressed is not what came");
    }
}

#[test]
fn what_is_not_to_be_compressed_is_not() {
    let mock = provider(&[(A, "valid")]);
    let (on, off) =
        (GptLoad::before(&mock, &[], &[A]), GptLoad::before(&mock, &[("ENABLE_GZIP", "no")], &[A]));
    let large = json!({"max_tokens": 2000});
    let sound = json!({"model": "tts-1", "input": "Hi", "voice": "alloy", "mock": {"size": 20_000}});
    for (why, gpt_load, path, body, accepts) in [
        ("short", &on, CHAT, chat_with(json!({"max_tokens": 1})), "gzip"),
        ("an event stream", &on, CHAT, chat_with(json!({"max_tokens": 2000, "stream": true})), "gzip"),
        ("sound", &on, "/v1/audio/speech", sound, "gzip"),
        ("not accepted", &on, CHAT, chat_with(large.clone()), "br"),
        ("refused", &on, CHAT, chat_with(large.clone()), "gzip;q=0"),
        ("switched off", &off, CHAT, chat_with(large), "gzip"),
    ] {
        let want = direct(&mock, "POST", path).bearer(A).json(&body).send();
        let answer = gpt_load.post(path).json(&body).header("accept-encoding", accepts).send();
        assert_eq!(answer.header("content-encoding"), None, "{why}");
        assert!(answer.body == want.body, "{why}");
    }
}
