//! Spec §6, "evidence across keys": what a refusal proves for which there is no rule, and against whom.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Play};
use serde_json::{Value, json};

use crate::recovery::{all_valid, numbered, texts};
use crate::support::{A, B, C, GptLoad, asked, chat_with, eventually, provider};

/// An answer that no rule knows.
fn bare(status: u16) -> Play {
    Play::answer(status, &[], json!({"message": "Nope."}))
}

fn urls(upstreams: &[Mock]) -> String {
    upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",")
}

/// The keys that are given up for good.
fn dead(gpt_load: &GptLoad) -> BTreeSet<u64> {
    let out = gpt_load.blacklist();
    let dead = out.iter().filter(|entry| entry["permanent"] == true);
    dead.map(|entry| entry["index"].as_u64().unwrap()).collect()
}

fn chats(gpt_load: &GptLoad, count: usize, status: u16) {
    for _ in 0..count {
        assert_eq!(gpt_load.chat().status, status);
    }
}

#[test]
fn a_bare_401_on_two_keys_is_about_neither() {
    let mock = provider(&[]);
    for status in [401, 403] {
        for key in [A, B, C] {
            mock.play(key, bare(status));
        }
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
        assert_eq!(gpt_load.chat().status, status);
        assert_eq!(mock.requests(), 2, "{status}");
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new(), "{status}");
    }
}

#[test]
fn a_bare_401_is_believed_once_another_key_does_better_or_says_something_else() {
    let mock = provider(&[]);
    for (other, status) in [(Play::Valid, 200), (bare(400), 400), (Play::Fails(503), 503), (bare(403), 503)] {
        mock.play(A, bare(401));
        mock.play(B, other);
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[("MAX_RETRIES", "1")], &[A, B]);
        assert_eq!(gpt_load.chat().status, status);
        assert_eq!(asked(&mock, &[A, B]), [1, 1]);
        let entry = &gpt_load.blacklist()[0];
        assert_eq!((&entry["index"], &entry["permanent"]), (&json!(0), &json!(true)), "{status}");
    }
}

#[test]
fn a_bare_401_that_another_upstream_does_not_say_is_the_upstreams() {
    let keys: Vec<String> = (0..20).map(|key| format!("sk-test-weak-{key:016}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let plays: Vec<(&str, &str)> = keys.iter().map(|key| (*key, "valid")).collect();
    let (broken, healthy) = (provider(&plays), provider(&plays));
    broken.phase(Some(bare(401)));
    let both = format!("{},{}", broken.url(), healthy.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], &keys);
    for _ in 0..20 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!((broken.requests(), healthy.requests()), (5, 20), "it is ejected");
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
}

#[test]
fn a_bare_401_of_the_only_key_is_believed() {
    let mock = provider(&[]);
    mock.play(A, bare(401));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    assert_eq!(gpt_load.chat().refused(), (503, "keys_rejected".to_owned()));
    assert_eq!(mock.requests(), 1);
    assert_eq!(gpt_load.blacklist()[0]["permanent"], true);
}

#[test]
fn upstreams_that_refuse_all_keys_without_a_reason_cost_no_key_and_no_client_in_the_smallest_pools() {
    for (count, broken, upstreams) in [(1, 1, 2), (3, 1, 2), (1, 2, 3), (2, 2, 3), (6, 2, 3)] {
        let keys = numbered(count);
        let upstreams: Vec<Mock> = (0..upstreams).map(|_| all_valid(&keys)).collect();
        for upstream in &upstreams[..broken] {
            upstream.phase(Some(bare(401)));
        }
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls(&upstreams))], &texts(&keys));
        for _ in 0..30 {
            assert_eq!(gpt_load.chat().status, 200, "{count} {broken}");
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new(), "{count} {broken}");
        let stats = gpt_load.told("/stats");
        for (index, _) in upstreams.iter().enumerate() {
            assert_eq!(stats["upstreams"][index]["ejections"], u64::from(index < broken), "{stats}");
        }
    }
}

#[test]
fn a_key_that_every_upstream_refuses_without_a_reason_is_found_out_and_no_client_notices() {
    // With as many keys as that some would always meet the same upstream.
    for (count, of) in [(2, 3), (12, 3), (3, 2), (2, 2)] {
        let keys = numbered(count);
        let upstreams: Vec<Mock> = (0..of).map(|_| all_valid(&keys)).collect();
        for upstream in &upstreams {
            upstream.play(&keys[1], bare(401));
        }
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls(&upstreams))], &texts(&keys));
        eventually("it is found out", || {
            assert_eq!(gpt_load.chat().status, 200, "{count} {of}");
            dead(&gpt_load) == BTreeSet::from([1])
        });
        let stats = gpt_load.told("/stats");
        assert!((0..of).all(|index| stats["upstreams"][index]["ejections"] == 0), "{stats}");
    }
}

#[test]
fn the_only_key_is_asked_at_every_upstream_before_it_is_given_up() {
    let upstreams = [(); 3].map(|()| provider(&[]));
    for upstream in &upstreams {
        upstream.play(A, bare(401));
    }
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls(&upstreams))], &[A]);
    assert_eq!(gpt_load.chat().refused(), (503, "keys_rejected".to_owned()));
    assert_eq!(upstreams.each_ref().map(Mock::requests), [1, 1, 1]);
    assert_eq!(dead(&gpt_load), BTreeSet::from([0]));
}

#[test]
fn a_request_that_was_refused_without_a_reason_waits_for_another_key() {
    let limited = [("retry-after-ms", "1000")];
    let limited = Play::answer(429, &limited, json!({"error": {"code": "rate_limit_exceeded"}}));
    let mock = provider(&[]);
    mock.play(A, bare(401));
    mock.play(B, Play::first(1, limited.clone(), Play::Valid));
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 200);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!((asked(&mock, &[A, B]), dead(&gpt_load)), ([1, 2].into(), BTreeSet::from([0])));
    // The same where a key may not use the model.
    mock.play(B, Play::Valid);
    mock.play(A, Play::ModelDenied(vec!["gpt-4o".into()]));
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    mock.play(B, Play::first(1, limited, Play::Valid));
    assert_eq!(gpt_load.chat().status, 200);
}

#[test]
fn keys_that_die_side_by_side_without_a_reason_are_found_out() {
    let keys = numbered(20);
    for have_served in [false, true] {
        let mock = all_valid(&keys);
        let start = if have_served { "0" } else { "6" };
        let gpt_load = GptLoad::before(&mock, &[("START_INDEX", start)], &texts(&keys));
        if have_served {
            chats(&gpt_load, keys.len(), 200);
        }
        for key in &keys[..6] {
            mock.play(key, bare(401));
        }
        if !have_served {
            chats(&gpt_load, keys.len() - 6, 200);
        }
        // Where two that have served die at once, they may be taken for each other's witness once.
        let failed = (0..2 * keys.len()).filter(|_| gpt_load.chat().status != 200).count();
        assert!(failed <= if have_served { 3 } else { 0 }, "{have_served}: {failed}");
        assert_eq!(dead(&gpt_load), (0..6).collect(), "{have_served}");
    }
}

/// A request that is refused whatever the key, again and again: it finds no key guilty.
#[test]
fn a_request_that_every_key_is_refused_costs_no_key() {
    let keys = numbered(6);
    let upstreams = [(); 2].map(|()| all_valid(&keys));
    let all = urls(&upstreams);
    for urls in [&*upstreams[0].url(), &*all] {
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", urls)], &texts(&keys));
        for _ in 0..3 {
            for (play, status) in [(None, 200), (Some(bare(403)), 403)] {
                for upstream in &upstreams {
                    upstream.phase(play.clone());
                }
                chats(&gpt_load, keys.len(), status);
            }
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    }
}

#[test]
fn what_keys_may_not_do_where_no_model_is_named_takes_them_from_nobody() {
    let mock = provider(&[]);
    let lacks = json!({"error": {"message": "You have insufficient permissions for this operation. Missing scopes: api.model.read.",
        "type": "invalid_request_error", "code": "missing_scope"}});
    let may_not = || Play::answer(403, &[], lacks.clone());
    for key in [A, B, C] {
        mock.play(key, may_not());
    }
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
    let list = || gpt_load.get("/v1/models").send();
    let answer = list();
    assert_eq!(answer.refused(), (503, "keys_rejected".to_owned()));
    assert!(answer.text().contains("api.model.read"), "{}", answer.text());
    assert_eq!((gpt_load.blacklist(), mock.requests()), (Vec::new(), 3));
    mock.play(B, Play::Valid);
    assert_eq!(list().status, 200);
    // A model that was named is what it is about.
    assert_eq!(gpt_load.chat().status, 200);
    assert!(
        gpt_load.blacklist().iter().all(|entry| entry["model"] == "gpt-4o"),
        "{:?}",
        gpt_load.blacklist()
    );
}

#[test]
fn no_key_is_asked_once_the_time_of_the_request_is_over() {
    let limited =
        Play::answer(429, &[("retry-after-ms", "300")], json!({"error": {"code": "rate_limit_exceeded"}}));
    // The only other key takes one request for a while when it is back, and has it; on a slow machine it may have more.
    let is_so = (0..3).any(|_| {
        let mock = provider(&[(A, "valid")]);
        mock.play(B, Play::first(1, limited.clone(), Play::Stall));
        let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1"), ("REQUEST_TIMEOUT", "1")], &[A, B]);
        chats(&gpt_load, 1, 200);
        eventually("it is back", || gpt_load.blacklist().is_empty());
        let stream = chat_with(json!({"stream": true}));
        let _first = gpt_load.post("/v1/chat/completions").json(&stream).begin();
        eventually("it has a request", || mock.key(B).asked == 2);
        mock.play(A, bare(401));
        let status = gpt_load.chat().status;
        std::thread::sleep(Duration::from_millis(200));
        status == 503 && mock.key(B).asked == 2
    });
    assert!(is_so);
}

#[test]
fn two_dead_keys_in_a_row_are_no_sign_that_what_no_model_is_asked_for_is_forbidden() {
    let mock = provider(&[(A, "valid"), (B, "valid"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    mock.play(A, "revoked".parse().unwrap());
    mock.play(C, "revoked".parse().unwrap());
    let upload = || gpt_load.post("/v1/files").body("a file").send();
    assert_eq!(upload().status, 200);
    assert_eq!(asked(&mock, &[A, B, C]), [2, 2, 2]);
    assert_eq!(gpt_load.blacklist().len(), 2, "one that is served has shown that it was about the keys");
    mock.play(B, "revoked".parse().unwrap());
    assert_eq!(upload().status, 503);
}
