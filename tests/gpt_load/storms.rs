//! Spec §6, §7: outages in which a provider refuses good keys. They are known, held as suspicions and heal by themselves; and
//! no key that is really revoked hides behind them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Play, Says, Step};
use serde_json::{Value, json};

use crate::recovery::{all_valid, numbered, revalidation, texts};
use crate::support::{A, B, C, D, GptLoad, Peer, eventually, provider};

#[test]
fn a_storm_of_refusals_is_the_upstreams_and_heals_by_itself() {
    let keys: Vec<String> = (0..8).map(|key| format!("sk-test-storm-{key:016}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let plays: Vec<(&str, &str)> = keys.iter().map(|key| (*key, "valid")).collect();
    let mock = provider(&plays);
    let gpt_load = GptLoad::before(&mock, &[], &keys);
    assert_eq!(gpt_load.chat().status, 200);
    mock.phase(Some(Play::Revoked));
    eventually("every key is out", || {
        gpt_load.chat();
        gpt_load.healthy_keys() == 0
    });
    let storms = gpt_load.told("/stats")["keys"]["storms"].clone();
    assert_eq!((storms.as_array().map(Vec::len), &storms[0]["suspects"]), (Some(1), &json!(8)));
    gpt_load.said("taken for the upstream's outage");
    assert!(
        gpt_load.blacklist().iter().all(|entry| entry["permanent"] == false),
        "{:?}",
        gpt_load.blacklist()
    );
    mock.phase(None);
    eventually("a key is tried and serves", || gpt_load.chat().status == 200);
    assert_eq!(gpt_load.healthy_keys(), 8);
    assert_eq!(gpt_load.told("/stats")["keys"]["storms"], json!([]));
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
}

#[test]
fn a_few_bad_keys_are_no_storm() {
    let mock = provider(&[(A, "revoked"), (B, "out_of_quota"), (C, "valid"), (D, "valid")]);
    let fifth = "sk-test-eeeeeeeeeeee-0005";
    mock.play(fifth, Play::Valid);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C, D, fifth]);
    for _ in 0..6 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(gpt_load.told("/stats")["keys"]["storms"], json!([]));
    assert_eq!(gpt_load.blacklist()[0]["permanent"], true);
    assert_eq!(mock.key(A).asked + mock.key(B).asked, 2);
}

#[test]
fn after_a_storm_the_pool_is_back_without_any_traffic() {
    let keys = numbered(10);
    let mock = all_valid(&keys);
    // The keys would stay out for an hour by themselves, and nothing else is checked.
    let env = [("KEY_COOLDOWN", "3600"), ("KEY_REVALIDATE_INTERVAL", "0"), ("MAX_KEY_WAIT", "0")];
    let gpt_load = GptLoad::before(&mock, &env, &texts(&keys));
    mock.phase(Some(Play::Revoked));
    eventually("all are out", || {
        gpt_load.chat();
        gpt_load.healthy_keys() == 0
    });
    assert_eq!(gpt_load.told("/stats")["keys"]["storms"][0]["suspects"], 10);
    eventually("a check during the outage", || revalidation(&gpt_load)["confirmed"].as_u64() > Some(0));
    assert_eq!(gpt_load.healthy_keys(), 0);
    mock.phase(None);
    let recovered = Instant::now();
    let minute = Duration::from_secs(60);
    while gpt_load.healthy_keys() < 10 && recovered.elapsed() < minute {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gpt_load.healthy_keys(), 10, "within {:?}", recovered.elapsed());
    println!("the pool was back after {:?}", recovered.elapsed());
    assert_eq!(gpt_load.chat().status, 200);
    assert!(gpt_load.told("/stats")["keys"]["storms"].as_array().unwrap().is_empty());
}

#[test]
fn a_pool_too_small_for_a_storm_that_lost_every_key_gets_all_back_with_the_first_that_works() {
    let keys = numbered(4);
    let mock = all_valid(&keys);
    let env = [("KEY_REVALIDATE_INTERVAL", "0"), ("MAX_KEY_WAIT", "0")];
    let gpt_load = GptLoad::before(&mock, &env, &texts(&keys));
    mock.phase(Some(Play::Revoked));
    gpt_load.chat();
    assert_eq!(gpt_load.blacklist().iter().filter(|key| key["permanent"] == true).count(), 4);
    // One of them is really revoked: it is found out again, and its clients don't notice.
    mock.play(&keys[2], Play::Revoked);
    mock.phase(None);
    eventually("one a second is tried", || gpt_load.chat().status == 200);
    for _ in 0..8 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(out(&gpt_load), BTreeSet::from([2]));
}

#[test]
fn a_second_storm_is_known_as_the_first_was() {
    let keys = numbered(8);
    let mock = all_valid(&keys);
    let gpt_load = GptLoad::before(&mock, &[], &texts(&keys));
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
        mock.phase(Some(Play::Revoked));
        eventually("every key is out", || {
            gpt_load.chat();
            gpt_load.healthy_keys() == 0
        });
        assert_eq!(gpt_load.told("/stats")["keys"]["storms"][0]["suspects"], 8);
        assert!(gpt_load.blacklist().iter().all(|entry| entry["permanent"] == false));
        mock.phase(None);
        eventually("a key is tried and serves", || gpt_load.chat().status == 200);
        assert_eq!(gpt_load.healthy_keys(), 8);
    }
}

/// A list of models tells nothing of credit, and some are shown to everybody.
#[test]
fn a_storm_is_not_over_because_a_list_of_models_is_shown() {
    let refusals = [
        (429, json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})),
        (401, json!({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})),
    ];
    for (status, refusal) in refusals {
        let is_out = Arc::new(AtomicBool::new(true));
        let peer = Peer::start({
            let is_out = Arc::clone(&is_out);
            let answer = move |status: u16, body: &Value| {
                let body = body.to_string();
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                )
            };
            move |wire| {
                while let Some(head) = wire.request() {
                    let is_refused = is_out.load(Relaxed) && head.starts_with("POST");
                    let good = json!({"object": "list", "data": [], "choices": []});
                    let answer = if is_refused { answer(status, &refusal) } else { answer(200, &good) };
                    wire.send(answer.as_bytes());
                }
            }
        });
        let keys = numbered(8);
        let env = [("KEY_COOLDOWN", "600"), ("MAX_KEY_WAIT", "0")];
        let gpt_load = GptLoad::before_peer(&peer, &env, &texts(&keys));
        // Whether there is credit no list tells: then none is asked for.
        let enough = if status == 401 { 3 } else { 0 };
        eventually("all are out, and have passed checks and been refused again", || {
            gpt_load.chat();
            gpt_load.healthy_keys() == 0 && revalidation(&gpt_load)["restored"].as_u64() >= Some(enough)
        });
        let stats = gpt_load.told("/stats");
        assert_eq!(stats["keys"]["storms"][0]["suspects"], 8, "{status}: {stats}");
        assert!(gpt_load.blacklist().iter().all(|entry| entry["permanent"] == false), "{status}");
        let reason = if status == 401 { "key_invalid" } else { "key_exhausted" };
        assert_eq!(gpt_load.blacklist()[0]["reason"], reason);
        is_out.store(false, Relaxed);
        eventually("one serves", || gpt_load.chat().status == 200);
        assert_eq!(out(&gpt_load), BTreeSet::new(), "{status}");
    }
}

#[test]
fn an_upstream_that_refuses_all_keys_while_another_serves_them_costs_no_client_anything() {
    for (count, outages) in [(3, 1), (6, 2), (30, 1)] {
        let keys = numbered(count);
        let (broken, well) = (all_valid(&keys), all_valid(&keys));
        let both = format!("{},{}", broken.url(), well.url());
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both)], &texts(&keys));
        for (number, outage) in [Play::Revoked, Play::OutOfQuota].into_iter().take(outages).enumerate() {
            if number > 0 {
                broken.phase(None);
                eventually("it is asked again, and its storm is over", || {
                    assert_eq!(gpt_load.chat().status, 200);
                    gpt_load.told("/stats")["keys"]["storms"] == json!([])
                });
            }
            broken.phase(Some(outage));
            for _ in 0..80 {
                assert_eq!(gpt_load.chat().status, 200, "{count}");
            }
            assert_eq!(out(&gpt_load), BTreeSet::new(), "{count}");
            let stats = gpt_load.told("/stats");
            assert_eq!(stats["upstreams"][0]["ejections"], number + 1, "{count}: {stats}");
            assert_eq!(stats["keys"]["storms"][0]["upstream"], broken.url(), "{count}");
        }
    }
}

#[test]
fn an_upstream_at_a_limit_of_its_own_while_another_serves_costs_no_client_anything_and_no_key() {
    let limit = |headers, error| Play::answer(429, headers, json!({"error": {"message": error}}));
    for (count, limit) in [
        (3, limit(&[], "Rate limit exceeded")),
        (4, limit(&[("retry-after", "5")], "Rate limit exceeded")),
        (6, limit(&[], "Too many concurrent requests")),
        (30, Play::Envelope(Says::RateLimited)),
    ] {
        let keys = numbered(count);
        let (limited, well) = (all_valid(&keys), all_valid(&keys));
        let both = format!("{},{}", limited.url(), well.url());
        let env = [("OPENAI_BASE_URL", &*both), ("MAX_KEY_WAIT", "0")];
        let gpt_load = GptLoad::start(&env, &texts(&keys));
        limited.phase(Some(limit));
        for _ in 0..60 {
            assert_eq!(gpt_load.chat().status, 200, "{count}");
        }
        assert_eq!(out(&gpt_load), BTreeSet::new(), "{count}");
        let stats = gpt_load.told("/stats");
        assert_eq!(stats["upstreams"][0]["ejections"], 1, "{count}: {stats}");
        assert_eq!(stats["keys"]["storms"][0]["upstream"], limited.url(), "{count}");
        gpt_load.said("taken for a limit of its own");
        assert!(limited.requests() < 20, "{count}: {}", limited.requests());
    }
}

#[test]
fn an_upstream_at_a_limit_of_its_own_for_a_model_costs_no_client_anything_and_no_key() {
    let answer =
        |head: &str, body: &str| format!("HTTP/1.1 {head}content-length: {}\r\n\r\n{body}", body.len());
    let served = answer("200 OK\r\n", "{\"candidates\":[]}");
    let refused = answer("429 x\r\nretry-after: 30\r\n", "{\"error\":{\"message\":\"Rate limit exceeded\"}}");
    let well = Peer::answering(served.clone());
    let limited = Peer::start(move |wire| {
        while let Some(head) = wire.request() {
            wire.send(if head.contains("/full:") { &refused } else { &served });
        }
    });
    let keys = numbered(6);
    let both = format!("{},{}", limited.url(), well.url());
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &both), ("MAX_KEY_WAIT", "0")], &texts(&keys));
    for number in 0..120 {
        let model = if number % 3 > 0 { "full" } else { "another" };
        let path = format!("/v1beta/models/{model}:generateContent");
        assert_eq!(gpt_load.post(&path).json(&json!({})).send().status, 200, "{number} {model}");
    }
    assert_eq!(out(&gpt_load), BTreeSet::new());
    assert_eq!(gpt_load.said("taken for a limit of its own")["model"], "full");
}

/// The turn of the upstream that has limited the request is next again by then.
#[test]
fn a_request_that_one_upstream_refused_for_a_limit_is_asked_of_another() {
    let keys = numbered(4);
    let (limited, well) = (all_valid(&keys), all_valid(&keys));
    let both = format!("{},{}", limited.url(), well.url());
    let env = [("OPENAI_BASE_URL", &*both), ("MAX_RETRIES", "1")];
    let gpt_load = GptLoad::start(&env, &texts(&keys));
    let refusal = b"HTTP/1.1 429 x\r\ncontent-length: 0\r\nretry-after: 60\r\n\r\n".to_vec();
    limited.phase(Some(Play::Raw(vec![Step::Wait(Duration::from_secs(1)), Step::Write(refusal)])));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| gpt_load.chat());
        eventually("it is asked", || limited.requests() == 1);
        assert_eq!(gpt_load.chat().status, 200);
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert_eq!((limited.requests(), well.requests()), (1, 2));
    assert_eq!(out(&gpt_load), BTreeSet::from([0]), "that says nothing of the upstream yet");
}

/// All in a row at the head of the file, and more than half of the pool: each request that begins there meets them all.
#[test]
fn what_is_revoked_in_a_small_pool_is_left_alone_though_it_looks_like_an_outage() {
    let keys = numbered(5);
    let mock = all_valid(&keys);
    for key in &keys[..3] {
        mock.play(key, Play::Revoked);
    }
    let gpt_load = GptLoad::before(&mock, &[("KEY_COOLDOWN", "1")], &texts(&keys));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(gpt_load.chat().status, 200);
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked: u64 = keys[..3].iter().map(|key| mock.key(key).asked).sum();
    assert!(asked <= 3 * 8, "{asked}");
    assert!(
        gpt_load.blacklist().iter().all(|entry| entry["permanent"] == false),
        "no check has confirmed it"
    );
    let log = gpt_load.output();
    assert_eq!(log.matches("taken for the upstream's outage").count(), 1);
}

/// What a provider refuses while it serves others comes back too, without a check that tells anything.
#[test]
fn an_outage_of_most_keys_while_others_are_served_loses_none() {
    let keys = numbered(10);
    let mock = all_valid(&keys);
    let gpt_load = GptLoad::before(
        &mock,
        &[("KEY_COOLDOWN", "1"), ("KEY_REVALIDATE_INTERVAL", "0"), ("MAX_RETRIES", "9")],
        &texts(&keys),
    );
    let serves_for = |time| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(time) {
            assert_eq!(gpt_load.chat().status, 200);
        }
    };
    serves_for(1);
    let all = |play: &Play| keys[..8].iter().for_each(|key| mock.play(key, play.clone()));
    all(&Play::Revoked);
    serves_for(5);
    let out = gpt_load.blacklist();
    assert!(out.len() > 5 && out.iter().all(|entry| entry["permanent"] == false), "{out:?}");
    all(&Play::Valid);
    eventually("all are back", || gpt_load.chat().status == 200 && gpt_load.healthy_keys() == 10);
    gpt_load.said("suspects of an outage are back");
}

/// One is ejected while the other serves; then it is the other one's turn to fail.
#[test]
fn an_outage_that_moves_from_one_upstream_to_another_costs_no_client_anything() {
    let bare = || Play::answer(401, &[], json!({"error": "no"}));
    for (before, after) in
        [(Play::Fails(500), Play::Revoked), (Play::Revoked, bare()), (bare(), Play::Fails(500))]
    {
        let keys = numbered(20);
        let upstreams = [(); 2].map(|()| all_valid(&keys));
        let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
        upstreams[0].phase(Some(before.clone()));
        eventually("it is ejected", || {
            assert_eq!(gpt_load.chat().status, 200);
            gpt_load.told("/stats")["upstreams"][0]["ejections"] == 1
        });
        // One that has just failed is left alone.
        std::thread::sleep(Duration::from_millis(1_100));
        upstreams[0].phase(None);
        upstreams[1].phase(Some(after.clone()));
        for _ in 0..40 {
            assert_eq!(gpt_load.chat().status, 200, "{before:?}, {after:?}");
        }
        assert_eq!(out(&gpt_load), BTreeSet::new(), "{before:?}, {after:?}");
    }
}

/// While the last keys are left: one that is given up for what one upstream says would leave none.
#[test]
fn the_last_key_is_given_up_only_if_every_upstream_says_so() {
    let quota = Play::OutOfQuota;
    for (count, refusal) in [(1, Play::Revoked), (2, Play::Revoked), (1, quota.clone()), (4, quota)] {
        let keys = numbered(count);
        let upstreams = [(); 2].map(|()| all_valid(&keys));
        upstreams[0].phase(Some(refusal.clone()));
        let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
        for _ in 0..30 {
            assert_eq!(gpt_load.chat().status, 200, "{count} {refusal:?}");
        }
        assert_eq!(out(&gpt_load), BTreeSet::new(), "{count} {refusal:?}");
    }
    let upstreams = [(); 2].map(|()| provider(&[(A, "revoked")]));
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &[A]);
    assert_eq!(gpt_load.chat().refused(), (503, "keys_rejected".to_owned()));
    assert_eq!(gpt_load.blacklist()[0]["permanent"], true, "both have said so");
}

/// A storm at each of them: none knows better.
#[test]
fn keys_that_are_dead_at_every_upstream_are_found_out_though_they_are_most_of_the_pool() {
    let keys = numbered(10);
    let upstreams = [(); 2].map(|()| all_valid(&keys));
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
    for _ in 0..20 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    for upstream in &upstreams {
        keys[..6].iter().for_each(|key| upstream.play(key, Play::OutOfQuota));
    }
    let refused =
        || upstreams.iter().flat_map(|at| keys[..6].iter().map(|key| at.key(key).asked)).sum::<u64>();
    let before = refused();
    let failed = (0..200).filter(|_| gpt_load.chat().status != 200).count();
    assert!(failed <= 3 && refused() - before <= 60, "{failed} {}", refused() - before);
    assert!(out(&gpt_load).len() >= 5, "{:?}", out(&gpt_load));
}

#[test]
fn bare_refusals_of_two_upstreams_in_three_cost_no_client_anything() {
    let keys = numbered(12);
    let upstreams = [(); 3].map(|()| all_valid(&keys));
    for broken in &upstreams[..2] {
        broken.phase(Some(Play::answer(401, &[], json!({"error": "no"}))));
    }
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
    for _ in 0..40 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    let stats = gpt_load.told("/stats");
    let ejections = [0, 1, 2].map(|index: usize| stats["upstreams"][index]["ejections"].as_u64().unwrap());
    assert_eq!(ejections, [1, 1, 0]);
}

/// Two upstreams have said the same of two keys, and there is no attempt left for the third.
#[test]
fn what_two_upstreams_said_of_two_keys_is_about_neither_though_a_third_is_left() {
    let keys = numbered(12);
    let upstreams = [(); 3].map(|()| all_valid(&keys));
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    for upstream in &upstreams {
        upstream.phase(Some(Play::answer(401, &[], json!({"error": "no"}))));
    }
    for retries in ["1", "3"] {
        let env = [("OPENAI_BASE_URL", &*urls), ("MAX_RETRIES", retries)];
        let gpt_load = GptLoad::start(&env, &texts(&keys));
        let answer = gpt_load.chat();
        assert_eq!((answer.status.as_u16(), answer.json()), (401, json!({"error": "no"})), "{retries}");
        assert_eq!(out(&gpt_load), BTreeSet::new(), "{retries}");
    }
}

/// One upstream names a revoked key, the next one refuses without a reason what a third serves: that is the second's fault alone.
#[test]
fn who_refuses_a_revoked_key_is_not_blamed_for_what_another_said() {
    let keys = numbered(3);
    let upstreams = [(); 3].map(|()| all_valid(&keys));
    upstreams[1].phase(Some(Play::answer(401, &[], json!({"error": "no"}))));
    for upstream in &upstreams {
        upstream.play(&keys[0], Play::Revoked);
    }
    let urls = upstreams.iter().map(Mock::url).collect::<Vec<_>>().join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
    assert_eq!(gpt_load.chat().status, 200);
    let stats = gpt_load.told("/stats");
    let faults = [0, 1, 2].map(|index: usize| stats["upstreams"][index]["faults"].as_u64().unwrap());
    assert_eq!(faults, [0, 1, 0], "{stats}");
    assert!(gpt_load.blacklist().iter().any(|entry| entry["index"] == 0 && entry["permanent"] == true));
}

fn out(gpt_load: &GptLoad) -> BTreeSet<u64> {
    gpt_load.blacklist().iter().map(|entry| entry["index"].as_u64().unwrap()).collect()
}
