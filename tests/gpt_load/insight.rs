//! What operators and clients can see of a request's way: ids, `RESPONSE_TRACE`, slow requests, `ALERT_WEBHOOK`, and the
//! command line's own words.

use mock_provider::{Mock, Options, Play};

use crate::support::{A, B, C, GptLoad, Launch, TOKEN, chat, eventually, provider};

#[test]
fn a_request_has_one_id_in_the_log_at_the_provider_and_in_the_answer() {
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ask = gpt_load.post("/v1/chat/completions").json(&chat()).header("traceparent", trace);
    let answer = ask.header("x-request-id", "mine-1").send();
    assert_eq!(answer.status, 200);
    let line = gpt_load.logged("the request", |line| line["request_id"] == "mine-1");
    assert_eq!(line["attempts"], 2);
    assert_eq!(gpt_load.told("/admin/api/failures")["failures"][0]["request_id"], "mine-1");
    for exchange in mock.seen() {
        let has = |name: &str, value: &str| exchange.headers.iter().any(|(n, v)| n == name && v == value);
        assert!(has("traceparent", trace) && has("x-request-id", "mine-1"), "{exchange:?}");
    }
    let own = Mock::start(Options { unknown: Play::Valid, ..Options::default() });
    let gpt_load = GptLoad::before(&own, &[("AUTH_KEY", TOKEN)], &[C]);
    let refused = gpt_load.post("/v1/chat/completions").header("x-request-id", "a b").send();
    let id = refused.header("x-request-id").unwrap().to_owned();
    assert!(id.len() == 16 && refused.status == 401, "{id}");
    gpt_load.logged("the refused request", |line| line["request_id"] == *id);
}

#[test]
fn a_traced_answer_tells_whose_time_and_whose_fault_it_was() {
    let mock = provider(&[(A, "slow 50ms")]);
    let gpt_load = GptLoad::before(&mock, &[("RESPONSE_TRACE", "true"), ("MAX_RETRIES", "0")], &[A]);
    let host = mock.address().to_string();
    let answer = gpt_load.chat();
    let timing = answer.header("server-timing").unwrap();
    let theirs = timing.split("upstream;dur=").nth(1).unwrap().split(',').next().unwrap();
    assert!(theirs.parse::<f64>().unwrap() >= 50.0, "{timing}");
    assert!(timing.contains("attempts;desc=\"1\""), "{timing}");
    let status = answer.header("proxy-status").unwrap();
    assert_eq!(status, format!("gpt-load; next-hop=\"{host}\"; received-status=200"));
    for (play, want) in [
        ("fails 503", "; received-status=503".to_owned()),
        ("resetting before_head", "; error=destination_unavailable".to_owned()),
        ("garbage", "; error=http_protocol_error".to_owned()),
        ("revoked", "; received-status=401; error=proxy_internal_response".to_owned()),
    ] {
        mock.play(A, play.parse().unwrap());
        let answer = gpt_load.chat();
        let status = answer.header("proxy-status").unwrap();
        assert_eq!(status, format!("gpt-load; next-hop=\"{host}\"{want}"), "{play}");
    }
    let silent = GptLoad::before(&mock, &[], &[A]);
    assert!(silent.chat().header("proxy-status").is_none());
}

#[test]
fn a_slow_request_is_marked() {
    let mock = provider(&[(A, "slow 1200ms")]);
    let gpt_load = GptLoad::before(&mock, &[("LOG_SLOW_REQUEST", "1")], &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(gpt_load.said("slow request")["level"], "warn");
}

#[test]
fn somebody_is_called_when_no_key_is_left_and_when_all_is_well() {
    let hook = Mock::start(Options { unknown: Play::Valid, ..Options::default() });
    let mock = provider(&[(A, "revoked")]);
    let url = format!("{}/services/secret-path-of-the-hook/echo", hook.url());
    let gpt_load = GptLoad::before(&mock, &[("ALERT_WEBHOOK", &url)], &[A]);
    gpt_load.chat();
    eventually("the call", || hook.requests() >= 1);
    let call = hook.seen().remove(0);
    assert_eq!(
        (call.method.as_str(), call.target.as_str()),
        ("POST", "/services/secret-path-of-the-hook/echo")
    );
    assert!(!gpt_load.output().contains("secret-path-of-the-hook"));
    gpt_load.logged("the call", |line| line["event"] == "pool_empty");
}

#[test]
fn the_command_line_completes_itself_and_writes_its_own_manual() {
    for (arguments, want) in [
        (&["completions", "bash"][..], "complete -F _gpt__load"),
        (&["completions", "zsh"], "#compdef gpt-load"),
        (&["man"], ".TH gpt-load"),
        (&["--version"], concat!("gpt-load ", env!("CARGO_PKG_VERSION"))),
        (&["validate-keys", "--help"], "--remove-invalid"),
    ] {
        let ended = Launch::new(&[], &[]).arguments(arguments).run();
        assert_eq!(ended.status, Some(0), "{arguments:?}");
        assert!(ended.output.contains(want), "{arguments:?}: {}", ended.output);
    }
    let wrong = Launch::new(&[("LOG_FILE_MAX_FILES", "many"), ("ALERT_WEBHOOK", "x"), ("USAGE", "2")], &[A]);
    let ended = wrong.arguments(&["check"]).run();
    assert_eq!(ended.status, Some(2));
    for name in ["LOG_FILE_MAX_FILES", "ALERT_WEBHOOK", "USAGE"] {
        assert!(ended.output.contains(name), "{}", ended.output);
    }
}
