//! Refusals that sound like a key's end, and are about another's key, about the way in which it was sent, or about what the
//! request asks for (spec §6).

use mock_provider::{Mock, Play};
use serde_json::{Value, json};

use crate::recovery::{all_valid, numbered, texts};
use crate::support::{A, B, C, GptLoad, asked, provider};

fn error(message: &str, kind: &str, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// What one client is told, again and again, while others are served.
fn costs_no_key(status: u16, body: &Value) {
    costs_no_key_and_is_told_as(status, status, body);
}

/// The same of what the keys may not do: the client's own token was right.
fn costs_no_key_for_what_it_may_not(status: u16, body: &Value) {
    costs_no_key_and_is_told_as(if matches!(status, 401 | 403) { 503 } else { status }, status, body);
}

fn costs_no_key_and_is_told_as(told: u16, status: u16, body: &Value) {
    let keys = numbered(6);
    let mock = all_valid(&keys);
    let gpt_load = GptLoad::before(&mock, &[], &texts(&keys));
    for _ in 0..3 {
        for _ in &keys {
            assert_eq!(gpt_load.chat().status, 200, "{body}");
        }
        mock.phase(Some(Play::answer(status, &[], body.clone())));
        for _ in &keys {
            assert_eq!(gpt_load.chat().status, told, "{body}");
        }
        mock.phase(None);
    }
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new(), "{body}");
}

#[test]
fn a_relays_own_key_is_none_of_ours() {
    let incorrect = "Incorrect API key provided: sk-upst***9876. You can find your API key at https://platform.openai.com/account/api-keys.";
    let relayed = format!(
        "litellm.AuthenticationError: AuthenticationError: OpenAIException - {}. Received Model Group=bad",
        incorrect.replace(": sk-upst***9876", "")
    );
    let spent = "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please check your plan and billing details.";
    for (status, body) in [
        (401, error(incorrect, "invalid_request_error", json!("invalid_api_key"))),
        (401, error(&relayed, "None", json!("401"))),
        (
            401,
            error(
                "openai error: Incorrect API key provided",
                "invalid_request_error",
                json!("invalid_api_key"),
            ),
        ),
        (401, error("Incorrect API key provided", "upstream_error", json!("channel:invalid_key"))),
        (429, error(spent, "insufficient_quota", json!("429"))),
        (429, error("上游渠道额度不足，请稍后重试", "upstream_error", Value::Null)),
    ] {
        costs_no_key(status, &body);
    }
}

#[test]
fn what_a_relay_passes_on_to_two_keys_is_about_neither_however_long_it_tells_them_to_wait() {
    let mock = provider(&[]);
    let spent = error("DeepseekException - Insufficient Balance", "None", json!("402"));
    for (key, wait) in [(A, "600"), (B, "700")] {
        mock.play(key, Play::answer(402, &[("retry-after", wait)], spent.clone()));
    }
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert_eq!(gpt_load.chat().status, 402);
    assert_eq!((gpt_load.blacklist(), asked(&mock, &[A, B])), (Vec::new(), vec![1, 1]));
}

#[test]
fn one_clients_wrong_way_to_send_a_key_costs_no_key() {
    for message in ["Invalid bearer token", "OAuth authentication is currently not supported."] {
        let error = json!({"type": "authentication_error", "message": message});
        costs_no_key(401, &json!({"type": "error", "error": error}));
    }
    costs_no_key(401, &json!({"detail": "Invalid authentication scheme."}));
}

#[test]
fn what_one_request_asks_too_much_for_costs_no_key() {
    for (status, body) in [
        (402, too_dear(6789)),
        (
            403,
            error(
                "预扣费额度失败, 用户剩余额度: ¥0.12, 需要预扣费额度: ¥0.30",
                "new_api_error",
                json!("insufficient_user_quota"),
            ),
        ),
        (402, error("Feature 'web_search' requires a paid plan", "payment_required", Value::Null)),
        (403, error("This feature requires a paid plan", "forbidden", Value::Null)),
    ] {
        costs_no_key_for_what_it_may_not(status, &body);
    }
}

fn too_dear(affordable: u32) -> Value {
    let message = format!(
        "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford {affordable}."
    );
    json!({"error": {"message": message, "code": 402}})
}

#[test]
fn a_richer_key_pays_for_what_is_too_dear_for_others_and_one_that_has_next_to_nothing_is_set_aside() {
    let mock = provider(&[(C, "valid")]);
    for (affordable, out) in [(6789, 0), (12, 2)] {
        for key in [A, B] {
            mock.play(key, Play::answer(402, &[], too_dear(affordable)));
        }
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
        assert_eq!(gpt_load.chat().status, 200);
        assert_eq!(asked(&mock, &[A, B, C]), [1, 1, 1]);
        let blacklist = gpt_load.blacklist();
        assert_eq!(blacklist.len(), out, "{blacklist:?}");
        assert!(blacklist.iter().all(|entry| entry["reason"] == "key_exhausted"), "{blacklist:?}");
    }
}

#[test]
fn what_is_too_dear_for_one_key_goes_to_all_that_are_left() {
    let mock = provider(&[(A, "revoked"), (C, "valid")]);
    mock.play(B, Play::answer(402, &[], too_dear(6789)));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(asked(&mock, &[A, B, C]), [1, 1, 1]);
}

#[test]
fn what_is_too_dear_at_one_upstream_goes_to_another_be_it_with_the_same_key() {
    let dear = || Play::answer(402, &[], too_dear(6789));
    for keys in [&[A][..], &[A, B]] {
        let (poor, rich) = (provider(&[]), provider(&[(A, "valid"), (B, "valid")]));
        for key in keys {
            poor.play(key, dear());
        }
        let both = format!("{},{}", poor.url(), rich.url());
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], keys);
        for _ in 0..6 {
            assert_eq!(gpt_load.chat().status, 200);
        }
        // Where none is left it is passed on.
        for key in keys {
            rich.play(key, dear());
        }
        assert_eq!(gpt_load.chat().status, 402);
    }
}

#[test]
fn who_asks_for_too_much_again_and_again_takes_the_keys_from_nobody_who_asks_for_less() {
    for keys in [&[A][..], &[A, B, C]] {
        let all_valid: Vec<_> = keys.iter().map(|key| (*key, "valid")).collect();
        let mock = provider(&all_valid);
        let gpt_load = GptLoad::before(&mock, &[], keys);
        for _ in 0..3 {
            mock.phase(Some(Play::answer(402, &[], too_dear(6789))));
            for _ in 0..20 {
                assert_eq!(gpt_load.chat().status, 402);
            }
            mock.phase(None);
            for _ in keys {
                assert_eq!(gpt_load.chat().status, 200);
            }
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    }
}

#[test]
fn what_is_too_dear_for_one_key_waits_for_another_that_is_due_in_time_and_for_no_other() {
    let no_upload = error("Your plan does not include file uploads", "forbidden", Value::Null);
    for (status, told, body) in [(402, 402, too_dear(6789)), (403, 503, no_upload)] {
        for (wait, want) in [("1", 200), ("60", told)] {
            let mock = provider(&[]);
            mock.play(A, Play::answer(status, &[], body.clone()));
            let limited = Play::answer(429, &[("retry-after", wait)], error("slow", "requests", Value::Null));
            mock.play(B, Play::first(1, limited, Play::Valid));
            let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B]);
            assert_eq!(gpt_load.chat().status, want, "{body}");
            assert_eq!(asked(&mock, &[A, B]), [1, if want == 200 { 2 } else { 1 }], "{body}");
        }
    }
}

/// Asks for the first key, of which the provider shows a part, and says whether it is out for that.
fn is_out_for(mock: &Mock, shown: &str) -> bool {
    let says = format!("Incorrect API key provided: {shown}.");
    let body = error(&says, "invalid_request_error", json!("invalid_api_key"));
    mock.play(A, Play::answer(401, &[], body.clone()));
    mock.play(B, Play::answer(401, &[], body));
    let gpt_load = GptLoad::before(mock, &[], &[A, B]);
    gpt_load.chat();
    gpt_load.blacklist().iter().any(|entry| entry["permanent"] == true)
}

#[test]
fn a_key_that_is_shown_in_part_is_ours_if_it_may_be() {
    let mock = provider(&[]);
    let (head, tail) = (&A[..7], &A[A.len() - 4..]);
    assert!(is_out_for(&mock, &format!("{head}****{tail}")));
    assert!(is_out_for(&mock, "************"));
    assert!(!is_out_for(&mock, "sk-upst****9876"));
}

#[test]
fn what_a_key_may_not_do_takes_it_from_nobody_who_asks_for_something_else() {
    let scopes = "You have insufficient permissions for this operation. Missing scopes: api.responses.write.";
    let long = "Extra usage is required for long context requests.";
    for (status, body) in [
        (401, error(scopes, "invalid_request_error", Value::Null)),
        (429, error(long, "rate_limit_error", Value::Null)),
    ] {
        costs_no_key_for_what_it_may_not(status, &body);
    }
}

#[test]
fn keys_that_serve_are_not_ended_where_no_model_is_asked_for() {
    let keys = numbered(6);
    let mock = all_valid(&keys);
    let gpt_load = GptLoad::before(&mock, &[], &texts(&keys));
    for _ in &keys {
        assert_eq!(gpt_load.chat().status, 200);
    }
    mock.phase(Some(Play::answer(401, &[], error("invalid x-api-key", "authentication_error", Value::Null))));
    for _ in &keys {
        assert_eq!(gpt_load.get("/v1/organizations/users").send().status, 401);
    }
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    assert_ne!(gpt_load.chat().status, 200);
    assert!(!gpt_load.blacklist().is_empty(), "that is about keys");
}
