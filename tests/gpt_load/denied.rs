//! Spec §6, "denied models": a key that may not use a model is passed over for it, and blamed for nothing else.

use std::fs;

use mock_provider::{Mock, Play};
use serde_json::{Value, json};

use crate::recovery::{all_valid, numbered, texts};
use crate::support::{A, B, C, GptLoad, asked, eventually, provider};

#[test]
fn a_key_that_may_not_use_a_model_is_passed_over_for_it_once_another_has_served_it() {
    let mock = provider(&[(A, "model_denied gpt-4o"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B]);
    for _ in 0..5 {
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    assert_eq!(asked(&mock, &[A, B]), [1, 5]);
    let entry = &gpt_load.blacklist()[0];
    assert_eq!(
        (&entry["index"], &entry["model"], &entry["permanent"]),
        (&json!(0), &json!("gpt-4o"), &json!(false))
    );
    for _ in 0..2 {
        assert_eq!(gpt_load.chat_for("gpt-4o-mini").status, 200);
    }
    assert_eq!(asked(&mock, &[A, B]), [2, 6]);
}

#[test]
fn the_one_key_that_may_use_a_model_is_found_at_once() {
    let keys: Vec<String> = (0..40).map(|key| format!("sk-test-model-{key:016}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let plays: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (*key, if *key == keys[7] { "valid" } else { "model_denied gpt-4o" }))
        .collect();
    let mock = provider(&plays);
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "7")], &keys);
    assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    for _ in 0..20 {
        assert_eq!(gpt_load.chat_for("gpt-4o-mini").status, 200);
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    assert!(mock.requests() <= 1 + 3 * 20, "{}", mock.requests());
}

#[test]
fn where_the_key_that_served_a_model_last_is_limited_another_that_may_use_it_serves() {
    let keys: Vec<String> = (0..40).map(|key| format!("sk-test-model-{key:016}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mock = provider(&keys.iter().map(|key| (*key, "valid")).collect::<Vec<_>>());
    let gpt_load = GptLoad::before(&mock, &[], &keys);
    for model in [["gpt-5"; 3].as_slice(), &["gpt-4o-mini-tts"; 50]].concat() {
        assert_eq!(gpt_load.chat_for(model).status, 200);
    }
    let limited = json!({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}});
    mock.play(keys[0], Play::answer(429, &[("retry-after", "60")], limited));
    for key in &keys[3..] {
        mock.play(key, Play::ModelDenied(vec!["gpt-5".into()]));
    }
    for _ in 0..12 {
        assert_eq!(gpt_load.chat_for("gpt-5").status, 200);
        assert_eq!(gpt_load.chat_for("gpt-4o-mini-tts").status, 200);
    }
}

/// Ten keys of which the first alone may use gpt-5, and all others are denied it.
fn one_of_ten(env: &[(&str, &str)]) -> (Mock, GptLoad, Vec<String>) {
    let keys = numbered(10);
    let mock = all_valid(&keys);
    for key in &keys[1..] {
        mock.play(key, Play::ModelDenied(vec!["gpt-5".into()]));
    }
    let gpt_load = GptLoad::before(&mock, env, &texts(&keys));
    for _ in &keys {
        assert_eq!(gpt_load.chat_for("gpt-5").status, 200);
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    eventually("the others are denied it", || {
        assert_eq!(gpt_load.chat_for("gpt-5").status, 200);
        gpt_load.blacklist().len() == 9
    });
    (mock, gpt_load, keys)
}

fn answered(gpt_load: &GptLoad, model: &str, times: usize) -> Vec<u16> {
    (0..times).map(|_| gpt_load.chat_for(model).status.as_u16()).collect()
}

#[test]
fn a_wrong_refusal_of_the_only_key_that_may_use_a_model_costs_one_request() {
    let (mock, gpt_load, keys) = one_of_ten(&[]);
    for wrong in 1..4 {
        let denied = Play::ModelDenied(vec!["gpt-5".into()]);
        mock.play(&keys[0], Play::Sequence(vec![(wrong, denied), (1, Play::Valid)]));
        mock.reset();
        let mut wanted = vec![404; usize::try_from(wrong).unwrap()];
        wanted.resize(20, 200);
        assert_eq!(answered(&gpt_load, "gpt-5", 20), wanted);
        assert_eq!(mock.requests(), 20, "no other key is asked");
        assert!(gpt_load.blacklist().iter().all(|entry| entry["index"] != 0));
        assert_eq!(gpt_load.told("/stats")["keys"]["out_for_models"], 9);
    }
}

#[test]
fn a_wrong_refusal_is_healed_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let env = [("STATE_FILE", state.to_str().unwrap())];
    let (mock, mut gpt_load, keys) = one_of_ten(&env);
    mock.play(&keys[0], Play::ModelDenied(vec!["gpt-5".into()]));
    assert_eq!(answered(&gpt_load, "gpt-5", 2), [404, 404]);
    mock.play(&keys[0], Play::Valid);
    eventually("it is written down", || fs::read_to_string(&state).unwrap().matches("denied").count() >= 10);
    gpt_load.signal("KILL");
    gpt_load.ended();
    let gpt_load = GptLoad::before(&mock, &env, &texts(&keys));
    assert_eq!(gpt_load.blacklist().len(), 10);
    assert_eq!(answered(&gpt_load, "gpt-5", 20), [200; 20]);
    assert_eq!(gpt_load.blacklist().len(), 9);
}

/// Three keys that have served gpt-5, and are denied it everywhere since.
fn denied_to_all(upstreams: &[Mock], keys: &[String]) -> GptLoad {
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(keys));
    assert_eq!(answered(&gpt_load, "gpt-5", 6), [200; 6]);
    let denied = Some(Play::ModelDenied(vec!["gpt-5".into()]));
    for upstream in upstreams {
        upstream.phase(denied.clone());
    }
    eventually("all are denied it, and have been tried again", || {
        let twice = |entry: &Value| entry["fail_count"].as_u64() >= Some(2);
        assert_eq!(gpt_load.chat_for("gpt-5").status, 404);
        gpt_load.blacklist().len() == 3 && gpt_load.blacklist().iter().all(twice)
    });
    gpt_load
}

#[test]
fn where_a_model_is_denied_to_all_at_every_upstream_the_first_that_serves_it_again_is_found() {
    let keys = numbered(3);
    let upstreams = [(); 2].map(|()| all_valid(&keys));
    let gpt_load = denied_to_all(&upstreams, &keys);
    upstreams[1].phase(None);
    assert_eq!(answered(&gpt_load, "gpt-5", 12), [200; 12]);
}

#[test]
fn where_a_model_is_denied_to_all_the_first_key_that_serves_it_again_is_found() {
    for able in 0..3 {
        let keys = numbered(3);
        let upstream = [all_valid(&keys)];
        let gpt_load = denied_to_all(&upstream, &keys);
        for (number, key) in keys.iter().enumerate() {
            let denied = Play::ModelDenied(vec!["gpt-5".into()]);
            upstream[0].play(key, if number == able { Play::Valid } else { denied });
        }
        upstream[0].phase(None);
        assert_eq!(answered(&gpt_load, "gpt-5", 6), [200; 6]);
        let others: Vec<Value> = gpt_load.blacklist().iter().map(|entry| entry["index"].clone()).collect();
        assert!(others.len() == 2 && !others.contains(&json!(able)), "{others:?}");
    }
}

#[test]
fn a_model_that_one_upstream_does_not_have_is_denied_to_no_key() {
    let keys = [A, B, C];
    let other = provider(&keys.map(|key| (key, "valid")));
    let without = provider(&keys.map(|key| (key, "model_denied gpt-4o")));
    let both = format!("{},{}", other.url(), without.url());
    for keys in [&keys[..], &keys[..1]] {
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], keys);
        for _ in 0..12 {
            assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    }
    assert!(without.requests() > 0);
}

#[test]
fn a_model_that_one_upstream_of_three_has_is_denied_to_no_key() {
    for count in [1, 2, 6, 20] {
        let keys = numbered(count);
        let upstreams = [(); 3].map(|()| all_valid(&keys));
        for without in &upstreams[1..] {
            without.phase(Some(Play::ModelDenied(vec!["gpt-4o".into()])));
        }
        let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
        for _ in 0..2 * count + 12 {
            assert_eq!(gpt_load.chat_for("gpt-4o").status, 200, "{count}");
        }
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new(), "{count}");
        let stats = gpt_load.told("/stats");
        assert!([0, 1, 2].iter().all(|index| stats["upstreams"][index]["faults"] == 0), "{stats}");
    }
}

#[test]
fn the_only_key_that_may_use_a_model_serves_it_at_the_only_upstream_that_has_it() {
    let upstreams = [(); 3].map(|()| provider(&[]));
    for (number, upstream) in upstreams.iter().enumerate() {
        for key in [A, B, C] {
            let denied = Play::ModelDenied(vec!["gpt-4o".into()]);
            upstream.play(key, if number == 0 && key == A { Play::Valid } else { denied });
        }
    }
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &[A, B, C]);
    for _ in 0..30 {
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    assert!(gpt_load.blacklist().iter().all(|entry| entry["index"] != 0 && entry["model"] == "gpt-4o"));
    // A key that all have denied it to is passed over.
    let upstreams = &upstreams[..2];
    upstreams[1].play(A, Play::Valid);
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &[A, B, C]);
    eventually("the others are denied it", || {
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
        gpt_load.blacklist().len() == 2
    });
    assert!(gpt_load.blacklist().iter().all(|entry| entry["index"] != 0));
}

#[test]
fn a_model_that_no_key_ever_served_is_the_requests_fault_at_once() {
    let mock = provider(&[(A, "model_denied gpt-9"), (B, "model_denied gpt-9")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for requests in 1..4 {
        assert_eq!(gpt_load.chat_for("gpt-9").refused(), (404, "model_not_found".to_owned()));
        assert_eq!(mock.requests(), requests);
    }
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
}

#[test]
fn where_every_key_is_denied_a_model_the_provider_says_so_itself() {
    let mock = provider(&[(A, "valid"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    for key in [A, B] {
        mock.play(key, Play::ModelDenied(vec!["gpt-4o".into()]));
    }
    mock.reset();
    for requests in [2, 3, 4] {
        assert_eq!(gpt_load.chat_for("gpt-4o").refused(), (404, "model_not_found".to_owned()));
        assert_eq!(mock.requests(), requests);
    }
    assert_eq!(gpt_load.chat_for("gpt-4o-mini").status, 200);
    assert_eq!(gpt_load.healthy_keys(), 2);
}

#[test]
fn a_model_that_one_key_may_not_use_is_not_told_to_be_unknown_while_the_others_are_limited() {
    let mock = provider(&[(A, "model_denied gpt-4o"), (B, "valid"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B, C]);
    for _ in [A, B, C] {
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    let limited = json!({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}});
    for key in [B, C] {
        mock.play(key, Play::answer(429, &[("retry-after", "30")], limited.clone()));
    }
    assert_eq!(gpt_load.chat_for("gpt-4o").status, 429);
    mock.reset();
    for _ in 0..10 {
        assert_eq!(gpt_load.chat_for("gpt-4o").refused(), (503, "no_available_keys".to_owned()));
    }
    assert_eq!(mock.requests(), 0);
}

#[test]
fn a_model_that_is_called_like_a_complaint_costs_no_key() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for says in ["is not a valid model ID", "is nothing that we know"] {
        for model in ["my api key expired", "acme/account-suspended-lora", "insufficient-credit-scorer"] {
            let refused = json!({"error": {"message": format!("{model} {says}"), "code": 400}});
            for key in [A, B] {
                mock.play(key, Play::answer(400, &[], refused.clone()));
            }
            assert_eq!(gpt_load.chat_for(model).status, 400);
        }
    }
    assert_eq!((mock.requests(), gpt_load.blacklist()), (6, Vec::<Value>::new()));
}
