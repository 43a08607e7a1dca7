//! Spec §4, §6, §8, §9: attempts, what follows each, and how a request ends that found no success.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Play, ResetAt, Says};
use serde_json::{Value, json};

use crate::support::{
    A, Ask, B, C, D, GptLoad, Peer, Wire, asked, black_hole, chat, chat_with, direct, eventually, provider,
};

const CHAT: &str = "/v1/chat/completions";

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn keys_take_turns_exactly() {
    let mock = provider(&[(A, "valid"), (B, "valid"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B, C]);
    for _ in 0..10 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(asked(&mock, &[A, B, C]), [3, 4, 3]);
    let order: Vec<_> = mock.seen().into_iter().take(4).filter_map(|seen| seen.key).collect();
    assert_eq!(order, [B, C, A, B]);
}

#[test]
fn a_revoked_key_is_blacklisted_for_good_and_the_client_never_knows() {
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for _ in 0..5 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(asked(&mock, &[A, B]), [1, 5]);
    let blacklist = gpt_load.blacklist();
    assert_eq!(blacklist.len(), 1);
    let entry = &blacklist[0];
    assert_eq!((entry["index"].as_u64(), entry["permanent"].as_bool()), (Some(0), Some(true)));
    assert_eq!(entry["preview"], "sk-test-...0001");
    assert_eq!(entry["recovers_at"], Value::Null);
    assert!(entry["last_error"].as_str().unwrap().contains("Incorrect API key"), "{entry}");
    assert_eq!(gpt_load.healthy_keys(), 1);
    gpt_load.said("key blacklisted");
}

#[test]
fn the_last_attempt_is_for_a_key_that_has_served() {
    // Six dead keys in a row that nobody has tried yet, among more good ones: dead, and no storm.
    let key = |number| format!("sk-test-proven-{number:016}");
    let keys: Vec<_> = (0..14).map(key).collect();
    let mock = provider(&[]);
    for (number, key) in keys.iter().enumerate() {
        mock.play(key, if (1..7).contains(&number) { Play::Revoked } else { Play::Valid });
    }
    let gpt_load = GptLoad::before(&mock, &[], &keys.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..4 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(asked(&mock, &[&keys[0], &keys[7]]), [3, 1], "the first one helped out twice, out of turn");
    assert_eq!(gpt_load.blacklist().len(), 6);
}

#[test]
fn a_limited_key_is_set_aside_for_as_long_as_it_was_told() {
    let mock = provider(&[(B, "valid")]);
    let limited =
        Play::answer(429, &[("retry-after-ms", "1500")], json!({"error": {"code": "rate_limit_exceeded"}}));
    mock.play(A, Play::first(1, limited, Play::Valid));
    let gpt_load = GptLoad::before(&mock, &[("BLACKLIST_THRESHOLD", "5")], &[A, B]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(asked(&mock, &[A, B]), [1, 1]);
    let entry = &gpt_load.blacklist()[0];
    assert_eq!((entry["index"].as_u64(), entry["permanent"].as_bool()), (Some(0), Some(false)));
    assert!(entry["recovers_at"].is_string(), "{entry}");
    assert_eq!(entry["model"], "gpt-4o", "OpenAI keeps its limits per model");
    assert_eq!(gpt_load.healthy_keys(), 2, "it serves the other models");
    eventually("the key comes back", || gpt_load.blacklist().is_empty());
    assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
    gpt_load.chat();
    gpt_load.chat();
    assert_eq!(asked(&mock, &[A]), [2]);
}

#[test]
fn a_limit_without_a_hint_counts_toward_the_threshold() {
    let mock = provider(&[(B, "valid")]);
    mock.play(A, Play::answer(429, &[], json!({"error": {"code": "rate_limit_exceeded"}})));
    let gpt_load = GptLoad::before(&mock, &[("BLACKLIST_THRESHOLD", "2")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    for _ in 0..4 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(gpt_load.blacklist().len(), 1);
    assert_eq!(asked(&mock, &[A]), [2]);
}

#[test]
fn what_the_client_did_wrong_is_its_answer_at_once_and_nobodys_blame() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for status in [400, 404, 405, 413, 415, 422] {
        mock.reset();
        let body = json!({"error": {"message": "No.", "type": "invalid_request_error", "param": "messages", "code": null}});
        for key in [A, B] {
            mock.play(key, Play::answer(status, &[("x-request-id", "req_7")], body.clone()));
        }
        let answer = gpt_load.chat();
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body.to_string()));
        assert_eq!(answer.header("x-request-id"), Some("req_7"));
        assert_eq!(mock.requests(), 1, "{status}");
    }
    assert_eq!(gpt_load.healthy_keys(), 2);
}

#[test]
fn a_fault_of_the_upstream_is_tried_elsewhere_and_blames_no_key() {
    let (bad, good) =
        (provider(&[(A, "fails 503"), (B, "fails 503")]), provider(&[(A, "valid"), (B, "valid")]));
    let both = format!("{},{}", bad.url(), good.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], &[A, B]);
    for _ in 0..6 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert!(bad.requests() > 0);
    assert_eq!(good.requests(), 6);
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
}

#[test]
fn an_upstream_that_saw_no_key_is_asked_once_more_and_believed_when_it_says_so_again() {
    let body =
        json!({"error": {"message": "You didn't provide an API key.", "type": "invalid_request_error"}});
    let unseen = || Play::answer(401, &[], body.clone());
    let mock = provider(&[]);
    for (of_b, status, requests) in [(Play::Valid, 200, 2), (unseen(), 401, 2), (Play::Fails(503), 503, 3)] {
        mock.reset();
        for (key, play) in [(A, unseen()), (B, of_b), (C, Play::Fails(503))] {
            mock.play(key, play);
        }
        let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "2")], &[A, B, C]);
        let answer = gpt_load.chat();
        assert_eq!((answer.status.as_u16(), mock.requests()), (status, requests));
        if status == 401 {
            assert_eq!((answer.json(), answer.header("x-should-retry")), (body.clone(), Some("false")));
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    }
    // Every upstream is asked before it is believed.
    let others: Vec<Mock> =
        ["fails 503", "valid"].map(|play| provider(&[(A, play), (B, play), (C, play)])).into();
    mock.play(B, unseen());
    mock.play(C, unseen());
    let all = format!("{},{},{}", mock.url(), others[0].url(), others[1].url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &all)], &[A, B, C]);
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
    }
}

#[test]
fn an_upstream_that_keeps_failing_is_ejected_and_a_single_one_never_is() {
    let good = provider(&[(A, "valid")]);
    let both = format!("{},{}", nowhere(), good.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], &[A]);
    for _ in 0..20 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    let upstreams = gpt_load.told("/stats")["upstreams"].clone();
    assert_eq!(
        (upstreams[0]["healthy"].as_bool(), upstreams[1]["healthy"].as_bool()),
        (Some(false), Some(true))
    );
    gpt_load.said("upstream ejected");
    let single = GptLoad::start(&[("OPENAI_BASE_URL", &nowhere()), ("MAX_RETRIES", "0")], &[A]);
    for _ in 0..7 {
        assert_eq!(single.chat().refused(), (502, "upstream_unreachable".to_owned()));
    }
    assert_eq!(single.told("/stats")["upstreams"][0]["healthy"], true);
    assert_eq!(single.healthy_keys(), 1);
}

#[test]
fn a_request_never_tries_a_key_twice_while_there_is_another() {
    let mock = provider(&[]);
    mock.unknown(Play::Fails(500));
    let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "3")], &[A, B, C, D]);
    let answer = gpt_load.chat();
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(asked(&mock, &[A, B, C, D]), [1, 1, 1, 1]);
}

/// What ended in time is told as it came, though another attempt did not.
#[test]
fn an_answer_counts_more_than_an_earlier_upstream_that_could_not_be_reached_in_time() {
    let silent = Peer::start(|_| std::thread::sleep(Duration::from_secs(2)));
    let mock = provider(&[]);
    let error = json!({"error": {"message": "Invalid value: 'x'.", "type": "invalid_request_error"}});
    mock.play(A, Play::answer(400, &[], error));
    let upstreams = format!("{},{}", silent.url().replace("http:", "https:"), mock.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &upstreams), ("RESPONSE_TIMEOUT", "1")], &[A]);
    let answer = gpt_load.chat();
    assert_eq!((answer.status.as_u16(), mock.requests()), (400, 1), "{}", answer.text());
}

/// A connection that was in use a moment ago was not closed for having rested: that is an attempt, and a fault. But where it
/// was closed right behind the answer, it is neither.
#[test]
fn what_an_upstream_drops_after_it_has_read_it_is_counted() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let serve = move |wire: &mut Wire, works| {
        if wire.request().is_some() {
            wire.send(answer.as_bytes());
            drop(wire.request());
            std::thread::sleep(works);
        }
    };
    for (works, attempts, faults) in [(Duration::from_millis(50), 5, 2), (Duration::ZERO, 3, 0)] {
        let peer = Peer::start(move |wire| serve(wire, works));
        let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1")], &[A]);
        for _ in 0..3 {
            assert_eq!(gpt_load.chat().status, 200);
        }
        let told = &gpt_load.told("/stats")["upstreams"][0];
        assert_eq!((&told["attempts"], &told["faults"]), (&json!(attempts), &json!(faults)), "{told}");
    }
}

#[test]
fn attempts_end_with_max_retries() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "1")], &[A, B, C, D]);
    let answer = gpt_load.chat();
    assert_eq!(answer.refused(), (503, "keys_rejected".to_owned()));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Incorrect API key provided"), "{message}");
    assert_eq!(answer.header("x-should-retry"), Some("true"), "others are left");
    assert_eq!(asked(&mock, &[A, B, C, D]), [1, 1, 0, 0]);
}

#[test]
fn with_no_key_left_a_client_is_told_so() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = gpt_load.chat();
    assert_eq!(answer.refused(), (503, "keys_rejected".to_owned()));
    let message = answer.json()["error"]["message"].to_string();
    let quoted =
        "The upstream rejected the keys of this pool (401 Unauthorized): Incorrect API key provided: ";
    assert!(message.contains(quoted) && !message.contains(A) && !message.contains(B), "{message}");
    assert_eq!(gpt_load.healthy_keys(), 0);
    // One request a second may try a key all the same, so that a pool is never dead by mistake.
    let mut codes = BTreeSet::new();
    eventually("no key is available", || {
        let answer = gpt_load.chat();
        assert_eq!(answer.status, 503);
        codes.insert(answer.code());
        codes.contains("no_available_keys")
    });
    codes.remove("keys_rejected");
    assert_eq!(codes, BTreeSet::from(["no_available_keys".to_owned()]));
}

#[test]
fn a_limit_of_every_key_reaches_the_client_with_the_time_until_there_is_one() {
    let mock = provider(&[]);
    for (key, wait) in [(A, "40000"), (B, "20000")] {
        mock.play(
            key,
            Play::answer(429, &[("retry-after-ms", wait)], json!({"error": {"code": "rate_limit_exceeded"}})),
        );
    }
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = gpt_load.chat();
    assert_eq!(answer.refused(), (429, "rate_limit_exceeded".to_owned()));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((18..=20).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-should-retry"), Some("true"));
}

#[test]
fn exhausted_credit_is_told_by_each_providers_words() {
    let mock = provider(&[(A, "out_of_quota"), (B, "valid")]);
    for (path, header) in [
        (CHAT, "authorization"),
        ("/v1/messages", "x-api-key"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", "x-goog-api-key"),
    ] {
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let answer = gpt_load.post(path).header(header, "Bearer whatever").json(&chat()).send();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(asked(&mock, &[A, B]), [1, 1], "{path}");
        assert_eq!(gpt_load.blacklist()[0]["permanent"], false, "{path}");
    }
}

#[test]
fn an_invalid_gemini_key_is_no_bad_request() {
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let path = "/v1beta/models/gemini-2.5-flash:generateContent?key=whatever";
    assert_eq!(gpt_load.post(path).json(&json!({"contents": []})).send().status, 200);
    assert_eq!(gpt_load.blacklist()[0]["permanent"], true);
}

/// What was told before must not make the client send it again.
#[test]
fn what_may_have_been_done_is_told_so_whatever_was_refused_before_and_is_not_asked_for_again() {
    let reset = || Play::Resetting(ResetAt::BeforeHead);
    let limited = Play::answer(429, &[("retry-after", "1")], json!({"error": {"message": "slow down"}}));
    let timed_out = |status| Play::answer(status, &[], json!({"error": {"message": "gateway timeout"}}));
    let within = |error: Value| {
        let event = format!("event: error\ndata: {}\n\n", json!({ "error": error }));
        Play::answer(200, &[("content-type", "text/event-stream")], event.into())
    };
    for (first, then, status, attempts) in [
        (limited, reset(), 502, 2),
        (Play::Revoked, reset(), 502, 2),
        (Play::Fails(503), reset(), 502, 2),
        (timed_out(504), Play::Valid, 504, 1),
        (timed_out(520), Play::Valid, 520, 1),
        (timed_out(524), Play::Valid, 524, 1),
        (within(json!({"type": "server_error", "code": 504})), Play::Valid, 200, 1),
        (within(json!({"type": "server_error", "code": 500})), Play::Valid, 200, 1),
        (within(json!({"type": "server_error"})), Play::Valid, 200, 1),
        (within(json!({"code": "rate_limit_exceeded"})), reset(), 502, 2),
    ] {
        let mock = provider(&[]);
        let plays = Play::Sequence(vec![(1, first), (1, then), (1, Play::Valid)]);
        mock.phase(Some(plays));
        let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
        let answer = gpt_load.post("/v1/files").json(&json!({"purpose": "batch"})).send();
        assert_eq!((answer.status.as_u16(), mock.requests()), (status, attempts));
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{status}");
    }
}

#[test]
fn a_reset_is_run_again_only_where_that_is_harmless() {
    let mock = provider(&[(B, "valid")]);
    for (method, path, status, requests) in [
        ("POST", CHAT, 200, 2),
        ("POST", "/v1/embeddings", 200, 2),
        ("GET", "/v1/models", 200, 2),
        ("POST", "/v1/files", 502, 1),
        ("POST", "/v1/batches", 502, 1),
        ("POST", "/v1/fine_tuning/jobs", 502, 1),
        ("POST", "/v1/threads/thread_1/runs", 502, 1),
    ] {
        mock.play(A, Play::Resetting(ResetAt::BeforeHead));
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let answer = gpt_load.ask(method, path).json(&chat()).send();
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(mock.requests(), requests, "{path}");
        assert_eq!(gpt_load.healthy_keys(), 2, "{path}");
    }
}

#[test]
fn answers_that_are_no_http_are_the_upstreams_fault() {
    let mock = provider(&[(B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for play in ["garbage", "endless_head", "resetting before_head"] {
        mock.play(A, play.parse().unwrap());
        for _ in 0..2 {
            assert_eq!(gpt_load.chat().status, 200, "{play}");
        }
    }
    assert_eq!(gpt_load.healthy_keys(), 2);
}

#[test]
fn a_request_that_takes_too_long_is_told_which_variable_to_raise() {
    let mock = provider(&[(A, "stall"), (B, "stall")]);
    let env = [("REQUEST_TIMEOUT", "1"), ("RESPONSE_TIMEOUT", "2"), ("MAX_RETRIES", "0")];
    let gpt_load = GptLoad::before(&mock, &env, &[A, B]);
    for (stream, variable) in [(false, "REQUEST_TIMEOUT"), (true, "RESPONSE_TIMEOUT")] {
        let began = Instant::now();
        let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": stream}))).send();
        assert_eq!(answer.refused(), (504, "upstream_timeout".to_owned()));
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(variable), "{message}");
        assert!(began.elapsed() >= Duration::from_millis(if stream { 2000 } else { 1000 }));
    }
    assert_eq!(gpt_load.healthy_keys(), 2);
    eventually("the upstream requests are given up", || mock.key(A).hung_up + mock.key(B).hung_up == 2);
}

#[test]
fn a_stream_has_no_total_limit() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("REQUEST_TIMEOUT", "1"), ("RESPONSE_TIMEOUT", "1")], &[A]);
    let body = chat_with(json!({"stream": true, "max_tokens": 8, "mock": {"pace": "200ms"}}));
    let answer = gpt_load.post(CHAT).json(&body).send();
    assert!(!answer.broken && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
}

#[test]
fn a_stream_that_falls_silent_is_ended() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("SERVER_WRITE_TIMEOUT", "1")], &[A]);
    let body = chat_with(json!({"stream": true, "max_tokens": 8, "mock": {"pace": "1m"}}));
    let answer = gpt_load.post(CHAT).json(&body).send();
    assert!(answer.broken, "{}", answer.text());
    eventually("the upstream request is given up", || mock.key(A).hung_up == 1);
    assert_eq!(gpt_load.healthy_keys(), 1);
}

#[test]
fn a_connection_that_is_not_made_in_time_does_not_hide_what_another_upstream_said() {
    let (address, _hole) = black_hole();
    let mock = provider(&[(A, "fails 503"), (B, "fails 503")]);
    let hole = format!("http://{address}");
    for (urls, status) in [(format!("{},{hole}", mock.url()), 503), (hole, 504)] {
        let env = [("OPENAI_BASE_URL", &*urls), ("RESPONSE_TIMEOUT", "1"), ("MAX_RETRIES", "1")];
        let gpt_load = GptLoad::before(&mock, &env, &[A, B]);
        for _ in 0..2 {
            let answer = gpt_load.chat();
            assert_eq!(answer.status.as_u16(), status, "{urls}: {}", answer.text());
            assert!(status == 503 || answer.text().contains("raise RESPONSE_TIMEOUT"), "{}", answer.text());
        }
    }
}

#[test]
fn a_body_too_large_to_replay_streams_through_once() {
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_REPLAY_BODY", "64KiB")], &[A, B]);
    let body = chat_with(json!({"padding": "x".repeat(200_000)}));
    assert_eq!(gpt_load.post(CHAT).json(&body).send().refused(), (503, "keys_rejected".to_owned()));
    assert_eq!(asked(&mock, &[A, B]), [1, 0]);
    assert_eq!(gpt_load.post(CHAT).json(&body).send().status, 200);
    assert_eq!(mock.seen()[1].body_length, body.to_string().len() as u64);
    mock.play(B, Play::Fails(503));
    assert_eq!(gpt_load.post(CHAT).json(&body).send().status, 503);
    assert_eq!(asked(&mock, &[B]), [2]);
}

#[test]
fn a_client_that_goes_away_ends_the_upstream_request_and_blames_nobody() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let slow = chat_with(json!({"stream": true, "max_tokens": 1000, "mock": {"pace": "50ms"}}));
    for http2 in [false, true] {
        mock.reset();
        let ask = |body: &Value| {
            let ask = gpt_load.post(CHAT).json(body);
            if http2 { ask.http2() } else { ask }
        };
        let mut stream = ask(&slow).open();
        assert!(stream.next().unwrap().is_ok());
        drop(stream);
        eventually("the provider sees that the stream is left", || mock.key(A).hung_up == 1);
        let begun = ask(&chat_with(json!({"mock": {"delay": "10m"}}))).begin();
        eventually("the provider is asked", || mock.key(A).asked == 2);
        drop(begun);
        eventually("the provider sees that the request is left", || mock.key(A).hung_up == 2);
    }
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 0);
}

#[test]
fn an_answer_that_breaks_off_never_ends_well() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (play, stream) in [
        ("dying 3", true),
        ("resetting mid_body", true),
        ("resetting mid_body", false),
        ("resetting after_head", true),
        ("wrong_length", false),
    ] {
        mock.play(A, play.parse().unwrap());
        let body = chat_with(json!({"stream": stream, "max_tokens": 20}));
        for http2 in [false, true] {
            let ask = gpt_load.post(CHAT).json(&body);
            let answer = if http2 { ask.http2() } else { ask }.send();
            // Where nothing had been sent yet, the attempt failed, and so does its repetition.
            assert!(answer.broken || answer.status == 502, "{play}, stream {stream}: {}", answer.text());
        }
    }
    assert_eq!(gpt_load.healthy_keys(), 1);
    assert!(gpt_load.told("/stats")["upstreams"][0]["faults"].as_u64() > Some(0));
}

#[test]
fn a_key_that_an_error_quotes_is_redacted() {
    let mock = provider(&[]);
    let message = format!("The key {A} may not do this.");
    mock.play(A, Play::answer(400, &[("x-quoted", A)], json!({"error": {"message": message}})));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.chat();
    assert_eq!(answer.json()["error"]["message"], "The key sk-test-...0001 may not do this.");
    assert_eq!(answer.header("x-quoted"), Some("sk-test-...0001"));
}

#[test]
fn a_key_is_redacted_in_errors_too_long_to_be_read_whole_and_in_headers_of_good_answers() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (before, behind) in [(0, 70_000), (70_000, 10), (65_530, 70_000)] {
        let text = |key: &str| format!("{}{key}{}", "x".repeat(before), "y".repeat(behind));
        mock.play(A, Play::answer(400, &[], text(A).into()));
        let answer = gpt_load.chat();
        assert_eq!((answer.status.as_u16(), answer.broken), (400, false));
        assert!(answer.text() == text(&"*".repeat(A.len())), "{before} {behind}");
    }
    mock.play(A, Play::answer(200, &[("x-quoted", A)], json!({})));
    assert_eq!(gpt_load.chat().header("x-quoted"), Some("sk-test-...0001"));
}

#[test]
fn an_error_that_comes_first_in_a_stream_is_judged_like_a_status() {
    let mock = provider(&[(B, "valid")]);
    for (path, header, value) in [
        (CHAT, "authorization", "Bearer whatever"),
        ("/v1/responses", "authorization", "Bearer whatever"),
        ("/v1/messages", "x-api-key", "whatever"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "x-goog-api-key", "whatever"),
    ] {
        mock.play(A, Play::FirstEventError(Says::Status(503)));
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let ask = |ask: Ask| ask.header(header, value).json(&chat_with(json!({"stream": true}))).send();
        let answer = ask(gpt_load.post(path));
        assert_eq!(asked(&mock, &[A, B]), [1, 1], "{path}");
        let want = ask(direct(&mock, "POST", path).header("x-mock", "play=valid"));
        assert_eq!((answer.status, answer.text()), (want.status, want.text()), "{path}");
    }
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_in_the_clients_words() {
    let mock = provider(&[(A, "dying 4")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (path, words) in [
        (CHAT, "data: {\"error\":{"),
        ("/v1/responses", "event: error\ndata: {\"type\":\"error\""),
        ("/v1/messages", "event: error\ndata: {\"type\":\"error\",\"error\":{"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "data: {\"error\":{"),
    ] {
        let place = match path {
            "/v1/messages" => "x-api-key",
            CHAT | "/v1/responses" => "authorization",
            _ => "x-goog-api-key",
        };
        let ask = gpt_load.post(path).header(place, "Bearer whatever");
        let answer = ask.json(&chat_with(json!({"stream": true, "max_tokens": 50}))).send();
        assert!(answer.broken, "{path}");
        let text = answer.text().replace("\r\n", "\n");
        let last = text.trim_end().rsplit("\n\n").next().unwrap().to_owned();
        assert!(last.starts_with(words), "{path}: {last}");
    }
}
