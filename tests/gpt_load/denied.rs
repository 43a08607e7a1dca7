//! Spec §6, "denied models": a key that may not use a model is passed over for it, and blamed for nothing else.

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
