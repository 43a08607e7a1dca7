//! Spec §6, §7: keys that come back and requests that wait for them; limits that are known ahead; what a client is
//! advised to do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Play, Rate};
use serde_json::{Value, json};

use crate::support::{A, Ask, B, GptLoad, Peer, chat_with, eventually, provider};

const CHAT: &str = "/v1/chat/completions";

fn limited(milliseconds: u64) -> Play {
    let body = json!({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}});
    Play::answer(429, &[("retry-after-ms", &milliseconds.to_string())], body)
}

/// Limited once, for so long.
fn once(milliseconds: u64) -> Play {
    Play::first(1, limited(milliseconds), Play::Valid)
}

fn waiting(gpt_load: &GptLoad) -> u64 {
    gpt_load.told("/stats")["keys"]["waiting"].as_u64().unwrap()
}

fn asking(gpt_load: &GptLoad, fields: Value) -> Ask {
    gpt_load.post(CHAT).json(&chat_with(fields))
}

fn refused_with_429(mock: &Mock, keys: &[&str]) -> u64 {
    keys.iter().map(|key| mock.key(key).statuses.get(&429).copied().unwrap_or(0)).sum()
}

#[test]
fn a_request_waits_for_the_first_key_to_come_back() {
    let mock = provider(&[]);
    mock.play(A, once(1_000));
    mock.play(B, once(1_500));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 200);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(950) && waited < Duration::from_millis(1_450), "{waited:?}");
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (2, 1));
}

/// It has as many requests at a time as it may.
fn crowded() -> Play {
    Play::answer(
        429,
        &[],
        json!({"error": {"code": "1302", "message": "您当前使用该API的并发数过高，请降低并发"}}),
    )
}

#[test]
fn a_key_with_too_many_requests_at_a_time_is_back_in_a_moment() {
    let mock = provider(&[]);
    mock.play(A, Play::first(2, crowded(), Play::Valid));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 200);
    let waited = began.elapsed();
    // A second and two, less up to a fifth of each.
    assert!(waited >= Duration::from_millis(2_350) && waited < Duration::from_millis(3_900), "{waited:?}");
    assert_eq!(mock.key(A).asked, 3);
}

#[test]
fn the_last_attempt_of_a_request_whose_keys_had_no_room_waits_until_some_have() {
    let began = Arc::new(OnceLock::new());
    let peer = Peer::start(move |wire| {
        while wire.request().is_some() {
            let is_crowded = began.get_or_init(Instant::now).elapsed() < Duration::from_millis(500);
            let (status, body) =
                if is_crowded { ("429 No", "Too many concurrent requests") } else { ("200 OK", "{}") };
            wire.send(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[("MAX_RETRIES", "1")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
}

#[test]
fn a_stream_counts_among_the_requests_that_its_key_has_at_a_time_until_it_ends() {
    let (running, refused) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&refused);
    let peer = Peer::start(move |wire| {
        while wire.request().is_some() {
            if running.fetch_add(1, Ordering::SeqCst) > 0 {
                count.fetch_add(1, Ordering::SeqCst);
                let body = "Too many concurrent requests";
                wire.send(format!("HTTP/1.1 429 No\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
            } else {
                wire.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 36\r\n\r\n");
                wire.send("data: {\"choices\":[]}\n\n");
                thread::sleep(Duration::from_millis(400));
                running.fetch_sub(1, Ordering::SeqCst);
                wire.send("data: [DONE]\n\n");
                continue;
            }
            running.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A]);
    let streams = |count: u64| {
        thread::scope(|scope| {
            let ask = |late| {
                thread::sleep(Duration::from_millis(late));
                asking(&gpt_load, json!({"stream": true})).send().status
            };
            let asked: Vec<_> = (0..count).map(|place| scope.spawn(move || ask(place * 100))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
        })
    };
    streams(4);
    let learnt = refused.load(Ordering::SeqCst);
    assert_eq!(streams(8), [200; 8]);
    // With how many more it is tried meanwhile.
    assert!(refused.load(Ordering::SeqCst) <= learnt + 3, "{refused:?}, {learnt} of them before");
}

#[test]
fn a_request_waits_no_longer_than_it_may_in_all() {
    let mock = provider(&[]);
    mock.play(A, limited(1_500));
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "2")], &[A]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().refused(), (429, "rate_limit_exceeded".to_owned()));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(1_450) && waited < Duration::from_millis(2_900), "{waited:?}");
    assert_eq!(mock.key(A).asked, 2);
}

#[test]
fn a_request_whose_key_fails_waits_for_the_next_half_as_long_again() {
    let mock = provider(&[]);
    mock.play(A, Play::first(3, limited(700), Play::Valid));
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "2")], &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(mock.key(A).asked, 4);
}

#[test]
fn a_request_has_all_of_its_time_from_its_first_attempt_on_however_long_it_waited() {
    let mock = provider(&[]);
    let slow = Play::Slow(Duration::from_millis(1_500));
    mock.play(A, Play::first(1, limited(1_500), slow));
    let gpt_load = GptLoad::before(&mock, &[("REQUEST_TIMEOUT", "2"), ("MAX_RETRIES", "0")], &[A]);
    assert_eq!(gpt_load.chat().status, 429);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 200);
    assert!(began.elapsed() > Duration::from_millis(2_500), "it did wait: {:?}", began.elapsed());
}

#[test]
fn without_patience_the_answer_is_there_at_once() {
    let mock = provider(&[]);
    for key in [A, B] {
        mock.play(key, limited(2_000));
    }
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "0")], &[A, B]);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().refused(), (429, "rate_limit_exceeded".to_owned()));
    let mut answer = gpt_load.chat();
    if answer.status == 429 {
        // The one request a second that may try a key all the same.
        answer = gpt_load.chat();
    }
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(answer.refused(), (503, "no_available_keys".to_owned()));
    assert!(matches!(answer.header("retry-after"), Some("1" | "2")), "{:?}", answer.headers);
    assert_eq!(answer.header("x-should-retry"), Some("true"));
}

#[test]
fn those_who_wait_are_served_first_come_first_served() {
    // One request at a time, and word of it.
    let mock = provider(&[(A, "rate_limited requests=1 per=700ms")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    let begun: Vec<_> = (0..6)
        .map(|number| {
            let begun = asking(&gpt_load, json!({"user": number.to_string()})).begin();
            eventually("it waits, or was served", || waiting(&gpt_load) + mock.requests() >= number + 2);
            begun
        })
        .collect();
    for begun in begun {
        assert_eq!(begun.open().status, 200);
    }
    let order: Vec<_> =
        mock.seen().iter().skip(1).map(|seen| seen.json()["user"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn a_request_that_has_an_answer_does_not_wait_longer_than_it_may() {
    let mock = provider(&[]);
    mock.play(A, limited(20_000));
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "1")], &[A]);
    let began = Instant::now();
    let answer = gpt_load.chat();
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(answer.refused(), (429, "rate_limit_exceeded".to_owned()));
    assert!(matches!(answer.header("retry-after"), Some("19" | "20")), "{:?}", answer.headers);
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(mock.requests(), 1);
}

#[test]
fn a_client_that_will_not_wait_so_long_is_told_at_once() {
    let mock = provider(&[]);
    mock.play(A, limited(4_000));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let began = Instant::now();
    let answer = asking(&gpt_load, json!({})).header("x-stainless-read-timeout", "2").send();
    assert_eq!(answer.status, 429);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_waits_for_ever_is_served() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for forever in ["0", "0.0", "10000000000000000000", "1e300"] {
        let answer = asking(&gpt_load, json!({})).header("x-stainless-read-timeout", forever).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn a_model_that_was_limited_once_is_waited_for_as_any_other() {
    let mock = provider(&[]);
    mock.play(A, once(200));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    eventually("the key is back", || gpt_load.blacklist().is_empty());
    mock.play(A, Play::first(1, Play::answer(429, &[("retry-after-ms", "1500")], Value::Null), Play::Valid));
    let began = Instant::now();
    assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    assert!(began.elapsed() >= Duration::from_millis(1_450), "{:?}", began.elapsed());
}

#[test]
fn a_key_that_comes_back_for_those_who_wait_is_not_kept_by_one_who_left() {
    let mock = provider(&[]);
    mock.play(A, once(1_500));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let impatient = asking(&gpt_load, json!({"user": "left"})).begin();
    eventually("it waits", || waiting(&gpt_load) == 1);
    let patient = asking(&gpt_load, json!({"user": "stayed"})).begin();
    eventually("both wait", || waiting(&gpt_load) == 2);
    drop(impatient);
    assert_eq!(patient.open().status, 200);
    let last = mock.seen().pop().unwrap();
    assert_eq!((last.number, last.json()["user"].as_str()), (1, Some("stayed")));
}

#[test]
fn the_key_closest_to_recovery_is_tried_once_a_second_when_none_is_left() {
    let mock = provider(&[]);
    mock.play(A, limited(600_000));
    mock.play(B, limited(900_000));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert_eq!(gpt_load.chat().status, 429);
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (1, 1));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        assert!(matches!(gpt_load.chat().status.as_u16(), 429 | 503));
    }
    // At 1 and 2 seconds: the request that set it aside was the first second's.
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (3, 1));
    mock.play(A, Play::Valid);
    eventually("a try succeeds", || gpt_load.chat().status == 200);
    assert_eq!(gpt_load.chat().status, 200, "and the key is back");
    assert_eq!(gpt_load.blacklist().len(), 1);
}

#[test]
fn limits_that_are_told_ahead_are_not_run_into() {
    let rate = |capacity, milliseconds| Some(Rate { capacity, per: Duration::from_millis(milliseconds) });
    for (dialect, path) in [("openai", CHAT), ("anthropic", "/v1/messages")] {
        let mock = provider(&[]);
        for (key, capacity) in [(A, 4), (B, 7)] {
            mock.play(key, Play::RateLimited { requests: rate(capacity, 1_000), tokens: None });
        }
        let gpt_load = Arc::new(GptLoad::before(&mock, &[], &[A, B]));
        // Nothing is known of a key before its first answer.
        for _ in [A, B] {
            assert_eq!(gpt_load.post(path).json(&chat_with(json!({}))).send().status, 200);
        }
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let gpt_load = Arc::clone(&gpt_load);
                thread::spawn(move || {
                    for _ in 0..10 {
                        let answer = gpt_load.post(path).json(&chat_with(json!({}))).send();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        // None, but for answers that overtake each other where the machine is busy.
        let refused = refused_with_429(&mock, &[A, B]);
        assert!(refused <= 3, "{dialect}: {refused} of 32");
    }
}

/// Whatever the answer is: here one that says that the request is no good.
#[test]
fn a_limit_that_an_error_tells_ahead_is_not_run_into() {
    let mock = provider(&[(B, "valid")]);
    let spent = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "60s")];
    let error = json!({"error": {"message": "Invalid value: 'x'.", "type": "invalid_request_error"}});
    mock.play(A, Play::answer(400, &spent, error));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert_eq!(gpt_load.chat().status, 400);
    let entry = &gpt_load.blacklist()[0];
    assert_eq!((&entry["index"], &entry["rule"]), (&json!(0), &json!("ahead.nothing_left")));
    for _ in 0..4 {
        assert_eq!(gpt_load.chat().status, 200);
    }
}

/// A limit counts from when the request came, but a long one comes late.
#[test]
fn a_reset_is_nearer_by_what_a_short_request_took_and_not_by_a_long_ones_upload() {
    let spent = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-ratelimit-remaining-requests: 0\r\n\
                 x-ratelimit-reset-requests: 600s\r\ncontent-length: 2\r\n\r\n{}";
    let peer = Peer::start(move |wire| {
        loop {
            thread::sleep(Duration::from_millis(1500));
            if wire.request().is_none() {
                return;
            }
            wire.send(spent.as_bytes());
        }
    });
    let gpt_load = GptLoad::before_peer(&peer, &[], &[A, B]);
    for (padding, nearer) in [(0, 1.4..4.0), (1 << 20, 0.0..0.1)] {
        let fields = json!({"model": "gpt-4o", "user": "x".repeat(padding)});
        assert_eq!(asking(&gpt_load, fields).send().status, 200);
        let wait = gpt_load.blacklist().last().unwrap()["wait_s"].as_f64().unwrap();
        assert!(nearer.contains(&(600.0 - wait)), "{padding}: {wait}");
    }
}

#[test]
fn tokens_that_are_told_ahead_are_not_run_into_again_and_again() {
    let rate = |capacity| Some(Rate { capacity, per: Duration::from_secs(1) });
    let mock = provider(&[]);
    for key in [A, B] {
        mock.play(key, Play::RateLimited { requests: rate(1_000), tokens: rate(100) });
    }
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    // Three fit into a full bucket and leave a rest that no other fits into.
    for _ in 0..30 {
        assert_eq!(asking(&gpt_load, json!({"max_tokens": 30})).send().status, 200);
    }
    let refused = refused_with_429(&mock, &[A, B]);
    assert!(refused <= 4, "{refused}");
}

#[test]
fn a_key_that_comes_back_takes_one_request_at_first() {
    let mock = provider(&[(B, "valid")]);
    mock.play(A, once(500));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    eventually("the key is back", || gpt_load.blacklist().is_empty());
    mock.reset();
    mock.play(A, Play::Valid);
    let slow = json!({"mock": {"delay": "1s"}});
    let begun: Vec<_> = (0..6).map(|_| asking(&gpt_load, slow.clone()).begin()).collect();
    eventually("all are asked", || mock.requests() == 6);
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (1, 5));
    for begun in begun {
        assert_eq!(begun.open().status, 200);
    }
    // That went well: it is trusted with more.
    mock.reset();
    let begun: Vec<_> = (0..6).map(|_| asking(&gpt_load, slow.clone()).begin()).collect();
    eventually("all are asked", || mock.requests() == 6);
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (2, 4));
    drop(begun);
}

#[test]
fn a_long_cooldown_is_put_to_the_test_by_a_live_request() {
    let mock = provider(&[(A, "out_of_quota x1 then valid"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(gpt_load.blacklist().len(), 1);
    eventually("the key is tried and back", || {
        assert_eq!(gpt_load.chat().status, 200);
        gpt_load.blacklist().is_empty()
    });
    // While it still fails, that costs the client nothing.
    mock.play(A, Play::OutOfQuota);
    eventually("the key is out again", || {
        assert_eq!(gpt_load.chat().status, 200);
        gpt_load.blacklist().len() == 1
    });
    let before = mock.key(A).asked;
    eventually("it is tried again", || {
        assert_eq!(gpt_load.chat().status, 200);
        mock.key(A).asked > before
    });
    assert_eq!(gpt_load.blacklist().len(), 1);
}

#[test]
fn a_test_whose_request_is_at_fault_itself_is_left_to_the_next_and_one_that_an_upstream_fails_is_not() {
    for (fault, status, asked_then) in [(400, 400, 3), (500, 200, 2)] {
        let mock = provider(&[(B, "valid")]);
        mock.play(A, format!("out_of_quota x1 then fails {fault} x1 then valid").parse().unwrap());
        let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "4")], &[A, B]);
        eventually("the key is tried", || {
            let answer = gpt_load.chat().status;
            let is_tried = mock.key(A).asked == 2;
            assert_eq!(answer, if is_tried { status } else { 200 });
            is_tried
        });
        (0..4).for_each(|_| assert_eq!(gpt_load.chat().status, 200));
        assert_eq!(mock.key(A).asked.min(3), asked_then, "{fault}");
        assert_eq!(gpt_load.blacklist().is_empty(), asked_then == 3);
    }
}

#[test]
fn nobody_is_advised_to_wait_longer_than_a_minute() {
    let mock = provider(&[]);
    mock.play(A, limited(3_000_000));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.chat();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(answer.header("retry-after-ms"), None);
    assert_eq!(answer.header("x-should-retry"), Some("false"), "its retry would come too early");
    let answer = gpt_load.chat();
    assert_eq!(answer.refused(), (503, "no_available_keys".to_owned()));
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), (Some("60"), Some("false")));
}

#[test]
fn a_key_whose_first_request_takes_long_serves_the_others_all_the_same() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "2")], &[A]);
    mock.play(A, once(300));
    assert_eq!(gpt_load.chat().status, 200);
    mock.play(A, once(300));
    let slow = json!({"mock": {"delay": "4s"}});
    let first = asking(&gpt_load, slow.clone()).begin();
    eventually("the key is back and busy", || mock.requests() == 4);
    let began = Instant::now();
    let others: Vec<_> = (0..20).map(|_| asking(&gpt_load, slow.clone()).begin()).collect();
    eventually("all are asked", || mock.requests() == 24);
    let waited = began.elapsed();
    // Twice as many each 250 ms: 2, 4, 8, 16, all.
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
    for begun in others.into_iter().chain([first]) {
        assert_eq!(begun.open().status, 200);
    }
}

/// Keys that are refused one after the other are near their limits: the last attempt leaves them a moment.
#[test]
fn the_last_attempt_of_a_request_that_meets_limits_waits_a_moment() {
    let keys =
        ["sk-aaaaaaaaaaaa", "sk-bbbbbbbbbbbb", "sk-cccccccccccc", "sk-dddddddddddd", "sk-eeeeeeeeeeee"];
    for (wait, want) in [("5", 200), ("0", 429)] {
        let mock = provider(&[]);
        for key in &keys {
            mock.play(key, limited(300_000));
        }
        let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", wait)], &keys);
        let began = Instant::now();
        let asked = asking(&gpt_load, json!({})).begin();
        eventually("three were refused", || mock.requests() >= 3);
        // Who waits finds the others whole again.
        if want == 200 {
            for key in &keys {
                mock.play(key, Play::Valid);
            }
        }
        assert_eq!(asked.open().status, want, "{wait}");
        assert_eq!(mock.requests(), 4);
        assert_eq!(began.elapsed() >= Duration::from_secs(1), want == 200, "{wait}");
    }
}

/// But not where no other key is there, nor comes back by then.
#[test]
fn a_request_that_has_met_the_limits_of_all_keys_ends_at_once() {
    let keys = ["sk-aaaaaaaaaaaa", "sk-bbbbbbbbbbbb", "sk-cccccccccccc"];
    let mock = provider(&[]);
    for key in keys {
        mock.play(key, limited(300_000));
    }
    let gpt_load = GptLoad::before(&mock, &[], &keys);
    let began = Instant::now();
    assert_eq!(gpt_load.chat().status, 429);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(mock.requests(), 3);
}

/// By the time that a slow answer tells what was left, the limit is whole again.
#[test]
fn what_a_slow_answer_says_was_left_holds_nobody_up() {
    let mock = provider(&[]);
    let told = [("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "200ms")];
    mock.play(A, Play::answer(200, &told, json!({"choices": []})));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let slow = json!({"mock": {"delay": "600ms"}});
    assert_eq!(asking(&gpt_load, slow.clone()).send().status, 200);
    let answers: Vec<_> = (0..8).map(|_| asking(&gpt_load, slow.clone()).begin()).collect();
    let began = Instant::now();
    eventually("all are asked", || mock.requests() == 9);
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    drop(answers);
}
