//! Spec §7: what outlives a restart and a `kill -9`, and how keys that are out for good come back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Options, Play};
use serde_json::{Value, json};

use crate::support::{A, B, C, D, GptLoad, Launch, Peer, chat, chat_with, eventually, patience, provider};

/// What a `kill -9` may cost.
const LAST: Duration = Duration::from_secs(1);

pub fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("sk-test-numbered-{n:08}-key")).collect()
}

pub fn texts(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

pub fn all_valid(keys: &[String]) -> Mock {
    let keys = keys.iter().map(|key| (key.clone(), Play::Valid)).collect();
    Mock::start(Options { keys, ..Options::default() })
}

fn index(entry: &Value) -> usize {
    usize::try_from(entry["index"].as_u64().unwrap()).unwrap()
}

fn out(gpt_load: &GptLoad) -> BTreeSet<usize> {
    gpt_load.blacklist().iter().map(index).collect()
}

pub fn revalidation(gpt_load: &GptLoad) -> Value {
    gpt_load.told("/stats")["revalidation"].clone()
}

#[test]
fn kill_9_in_a_loop_forgets_at_most_the_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let keys = numbered(40);
    let mock = all_valid(&keys);
    let env =
        [("STATE_FILE", state.to_str().unwrap()), ("KEY_REVALIDATE_INTERVAL", "0"), ("MAX_RETRIES", "30")];
    let mut known = BTreeSet::new();
    for round in 0..6 {
        let mut gpt_load = GptLoad::before(&mock, &env, &texts(&keys));
        let restored = out(&gpt_load);
        assert!(restored.is_superset(&known), "round {round}: {known:?} became {restored:?}");
        let asked: Vec<u64> = known.iter().map(|index| mock.key(&keys[*index]).asked).collect();
        for key in &keys[round * 4..round * 4 + 4] {
            let play = if round % 2 == 0 { "revoked" } else { "out_of_quota" };
            mock.play(key, play.parse().unwrap());
        }
        for _ in 0..keys.len() {
            assert_eq!(gpt_load.chat().status, 200);
        }
        let again: Vec<u64> = known.iter().map(|index| mock.key(&keys[*index]).asked).collect();
        assert_eq!(again, asked, "a key that was out is not asked after the restart");
        known = out(&gpt_load);
        assert_eq!(known.len(), round * 4 + 4);
        let since = Instant::now();
        // The last second is not idle.
        mock.play(&keys[36 + round % 4], "fails 500 x1 then valid".parse().unwrap());
        while since.elapsed() < LAST {
            gpt_load.chat();
        }
        gpt_load.signal("KILL");
        gpt_load.ended();
    }
    let text = fs::read_to_string(&state).unwrap();
    assert!(keys.iter().all(|key| !text.contains(key.as_str())) && !text.contains("sk-test"), "{text}");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_restart_keeps_the_reason_and_a_reset_forgets_it_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let env = [("STATE_FILE", state.to_str().unwrap())];
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let mut gpt_load = GptLoad::before(&mock, &env, &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    let before = gpt_load.blacklist();
    assert_eq!(before.len(), 1);
    gpt_load.signal("TERM");
    assert_eq!(gpt_load.ended(), Some(0), "the last changes are written while it drains");
    let mut gpt_load = GptLoad::before(&mock, &env, &[B, A]);
    let after = &gpt_load.blacklist()[0];
    for field in ["reason", "permanent", "preview", "rule", "status", "upstream", "fail_count"] {
        assert_eq!(after[field], before[0][field], "{field}");
    }
    assert_eq!(after["index"], 1);
    assert_eq!(gpt_load.get("/reset-keys").send().status, 200);
    gpt_load.signal("KILL");
    gpt_load.ended();
    assert!(GptLoad::before(&mock, &env, &[A, B]).blacklist().is_empty());
}

#[test]
fn a_key_that_is_taken_out_of_the_file_and_put_back_keeps_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let env = [("STATE_FILE", state.to_str().unwrap())];
    let mock = provider(&[(A, "revoked"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &env, &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    for (text, total, blacklisted) in [(B.to_owned(), 1, 0), (format!("{B}\n{A}"), 2, 1)] {
        fs::write(gpt_load.keys_file(), text).unwrap();
        gpt_load.signal("HUP");
        eventually("the reload", || gpt_load.told("/stats")["keys"]["total"] == total);
        eventually("the state", || gpt_load.blacklist().len() == blacklisted);
    }
    assert_eq!(gpt_load.blacklist()[0]["index"], 1);
}

#[test]
fn a_state_file_that_cannot_be_had_is_told_and_a_damaged_one_is_not_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/state");
    let mock = provider(&[(A, "valid")]);
    let url = mock.url();
    let ended =
        Launch::new(&[("OPENAI_BASE_URL", &url), ("STATE_FILE", missing.to_str().unwrap())], &[A]).run();
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.output.contains("STATE_FILE") && ended.output.contains(missing.to_str().unwrap()),
        "{}",
        ended.output
    );
    let state = folder.path().join("state");
    fs::write(&state, "no journal\n").unwrap();
    let gpt_load = GptLoad::before(&mock, &[("STATE_FILE", state.to_str().unwrap())], &[A]);
    gpt_load.said("STATE_FILE is damaged");
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(fs::read_to_string(folder.path().join("state.damaged")).unwrap(), "no journal\n");
}

#[test]
fn a_revoked_key_that_becomes_valid_comes_back_and_one_that_is_not_stays() {
    let mock = provider(&[(A, "revoked"), (B, "revoked"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B, C]);
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(out(&gpt_load), BTreeSet::from([0, 1]));
    eventually("both are checked", || mock.key(A).models_listed > 0 && mock.key(B).models_listed > 0);
    eventually("it is counted", || revalidation(&gpt_load)["confirmed"].as_u64() >= Some(2));
    assert_eq!(out(&gpt_load), BTreeSet::from([0, 1]));
    mock.play(A, Play::Valid);
    eventually("the key is back", || out(&gpt_load) == BTreeSet::from([1]));
    gpt_load.said("key restored");
    let told = revalidation(&gpt_load);
    assert_eq!(told["restored"], 1);
    assert!(told["last_run"].is_string());
    // The two that work serve; the checks cost them nothing.
    let before = mock.key(A).asked;
    eventually("it serves", || gpt_load.chat().status == 200 && mock.key(A).asked > before);
    assert_eq!(out(&gpt_load), BTreeSet::from([1]));
    assert!(told["checked"].as_u64().unwrap() >= 3);
}

#[test]
fn nothing_is_learnt_from_an_upstream_that_fails_or_has_no_list() {
    for play in ["fails 503", "fails 404", "resetting"] {
        let mock = provider(&[(A, "revoked"), (B, "valid")]);
        let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B]);
        assert_eq!(gpt_load.chat().status, 200);
        mock.play(A, play.parse().unwrap());
        eventually("a check", || revalidation(&gpt_load)["inconclusive"].as_u64() > Some(0));
        let entry = &gpt_load.blacklist()[0];
        assert_eq!((entry["index"].as_u64(), entry["permanent"].as_bool()), (Some(0), Some(true)), "{play}");
    }
}

/// An upstream that takes keys in this place alone, and in the first moment takes `A` in none; it has its list at this path, if any.
fn takes_keys_in(place: &'static str, list: Option<&'static str>) -> Peer {
    let began = Instant::now();
    let answer = |status: &str, body: &Value| {
        let body = body.to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    Peer::start(move |wire| {
        while let Some(head) = wire.request() {
            let key = [A, B].into_iter().find(|key| head.contains(&place.replace("KEY", key)));
            let is_refused = key.is_none_or(|key| key == A && began.elapsed() < Duration::from_secs(1));
            wire.send(match () {
                () if head.starts_with("GET") && !list.is_some_and(|list| head.starts_with(list)) => {
                    answer("404 Not Found", &json!({"error": {"message": "No such path"}}))
                }
                () if is_refused => answer(
                    "401 Unauthorized",
                    &json!({"error": {"message": "Invalid API key", "code": "invalid_api_key"}}),
                ),
                () => answer("200 OK", &json!({"object": "list", "data": [{"id": "m"}]})),
            });
        }
    })
}

/// A key is checked as clients send it: in the same place, and where that provider has its list.
#[test]
fn a_key_is_checked_in_the_place_where_its_upstream_took_those_of_clients() {
    for (name, place, list) in [
        ("authorization", "authorization: Bearer KEY", "GET /v1/models "),
        ("x-api-key", "x-api-key: KEY", "GET /v1/models "),
        ("api-key", "api-key: KEY", "GET /v1/models "),
        ("x-goog-api-key", "x-goog-api-key: KEY", "GET /v1beta/models "),
    ] {
        let peer = takes_keys_in(place, Some(list));
        let gpt_load = GptLoad::before_peer(&peer, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B]);
        let token = if name == "authorization" { "Bearer mine" } else { "mine" };
        assert_eq!(
            gpt_load.post("/v1/chat/completions").header(name, token).json(&chat()).send().status,
            200
        );
        assert_eq!(out(&gpt_load), BTreeSet::from([0]), "{name}");
        eventually("it is back", || out(&gpt_load).is_empty());
        let asked = peer.received().concat();
        assert_eq!(asked.contains("anthropic-version"), name == "x-api-key", "{asked}");
    }
}

/// Where there is no list to be asked for, a client's request tells.
#[test]
fn a_key_that_no_check_can_tell_of_is_put_to_the_test_by_a_request() {
    let peer = takes_keys_in("authorization: Bearer KEY", None);
    let gpt_load = GptLoad::before_peer(&peer, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B]);
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(out(&gpt_load), BTreeSet::from([0]));
    eventually("it is back", || {
        assert_eq!(gpt_load.chat().status, 200);
        out(&gpt_load).is_empty()
    });
}

/// A storm's suspects are tried anyway, less and less: a list that is not there is no reason to try them more.
#[test]
fn suspects_that_no_check_can_tell_of_are_not_put_to_the_test_by_it() {
    let (dead, good) = ([A, B, C], [D, "sk-eeeeeeeeeeee"]);
    let mock = provider(&good.map(|key| (key, "valid")));
    for key in dead {
        mock.play(key, Play::Revoked);
    }
    let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B, C, D, good[1]]);
    assert_eq!(gpt_load.chat().status, 200);
    gpt_load.said("most of the pool was refused at once");
    for key in dead {
        mock.play(key, Play::Fails(404));
    }
    let told = || revalidation(&gpt_load)["inconclusive"].as_u64();
    let before = told();
    eventually("each is checked", || told() > before.map(|before| before + 2));
    (0..6).for_each(|_| assert_eq!(gpt_load.chat().status, 200, "a suspect had it"));
    assert_eq!(out(&gpt_load), BTreeSet::from([0, 1, 2]));
}

/// Nor from a list that may not be asked for more, is somebody's page, or holds an error.
#[test]
fn a_key_that_is_no_more_is_not_back_because_its_list_is_limited_or_no_list() {
    let error = json!({"error": {"message": "Internal failure", "type": "server_error"}});
    for (status, body) in [
        (429, json!({"error": {"message": "Too many requests"}})),
        (403, json!({"message": "Forbidden"})),
        (200, json!("<html>We are down for maintenance</html>")),
        (200, error),
        (200, json!({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}})),
    ] {
        let mock = provider(&[(A, "revoked"), (B, "valid")]);
        let gpt_load = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[A, B]);
        assert_eq!(gpt_load.chat().status, 200);
        mock.play(A, Play::answer(status, &[], body.clone()));
        eventually("a check", || revalidation(&gpt_load)["inconclusive"].as_u64() > Some(0));
        let entry = &gpt_load.blacklist()[0];
        assert_eq!((&entry["index"], &entry["permanent"]), (&json!(0), &json!(true)), "{status} {body}");
    }
}

/// Those that were set aside together are put to the test together: who can't be tried again passes over all of them.
#[test]
fn who_has_one_attempt_gets_a_good_key_though_several_are_put_to_the_test_side_by_side() {
    let keys = numbered(6);
    let mock = all_valid(&keys);
    for key in &keys[1..4] {
        mock.play(key, Play::OutOfQuota);
    }
    let gpt_load =
        GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "2"), ("MAX_RETRIES", "0")], &texts(&keys));
    let statuses: Vec<_> = (0..6).map(|_| gpt_load.chat().status).collect();
    assert_eq!(statuses, [200, 429, 429, 429, 200, 200]);
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..12 {
        assert_eq!(gpt_load.chat().status, 200);
    }
}

/// A list costs nothing, so it tells nothing of credit.
#[test]
fn keys_without_credit_do_not_come_back_because_a_list_was_asked_for() {
    let keys = numbered(4);
    let mock = provider(&[]);
    for key in &keys {
        mock.play(key, Play::answer(402, &[], json!({"error": {"message": "Insufficient Balance"}})));
    }
    let gpt_load = GptLoad::before(&mock, &[("MAX_KEY_WAIT", "0")], &texts(&keys));
    eventually("all are out", || {
        gpt_load.chat();
        out(&gpt_load).len() == 4
    });
    for key in &keys {
        mock.play(key, Play::Valid);
    }
    eventually("one shows its list", || gpt_load.get("/v1/models").send().status == 200);
    assert_eq!(out(&gpt_load).len(), 4);
    eventually("one is asked for an answer, and all are", || {
        gpt_load.chat();
        out(&gpt_load).is_empty()
    });
}

/// Spec §6: "a failure costs the client nothing: it is retried".
#[test]
fn a_key_is_put_to_the_test_by_requests_that_can_be_tried_again() {
    let mock = provider(&[(A, "out_of_quota"), (B, "valid")]);
    let env = [("KEY_REVALIDATE_INTERVAL", "1"), ("MAX_RETRIES", "0")];
    let never = GptLoad::before(&mock, &env, &[A, B]);
    let statuses = [never.chat().status, never.chat().status];
    assert_eq!(statuses, [429, 200]);
    let tested = GptLoad::before(&mock, &env[..1], &[A, B]);
    let asked = mock.key(A).asked;
    eventually("the other puts it to the test twice", || {
        for gpt_load in [&never, &tested] {
            assert_eq!(gpt_load.chat().status, 200);
        }
        mock.key(A).asked >= asked + 3
    });
}

#[test]
fn with_no_interval_nothing_is_checked() {
    let mock = provider(&[(A, "revoked"), (B, "valid"), (C, "revoked"), (D, "valid")]);
    let never = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "0")], &[A, B]);
    let checked = GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1")], &[C, D]);
    for gpt_load in [&never, &checked] {
        assert_eq!(gpt_load.chat().status, 200);
    }
    eventually("the other is checked twice", || mock.key(C).models_listed >= 2);
    assert_eq!(mock.key(A).models_listed, 0);
}

#[test]
fn checks_are_paced() {
    // Less than half of the pool, lest it be a storm.
    let keys = numbered(50);
    let mock = all_valid(&keys);
    let gpt_load =
        GptLoad::before(&mock, &[("KEY_REVALIDATE_INTERVAL", "1"), ("MAX_RETRIES", "30")], &texts(&keys));
    for key in &keys[..20] {
        mock.play(key, Play::Revoked);
    }
    for _ in 0..keys.len() {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!(out(&gpt_load).len(), 20);
    let listed = || keys.iter().map(|key| mock.key(key).models_listed).sum::<u64>();
    let (mut last, mut times) = (listed(), Vec::new());
    let until = Instant::now() + patience();
    while times.len() < 13 {
        let now = listed();
        times.extend((last..now).map(|_| Instant::now()));
        last = now;
        assert!(Instant::now() < until, "too slow: {}", times.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    // With some allowance for a test that is slow to look.
    let span = |times: &[Instant]| times[times.len() - 1] - times[0];
    assert!(span(&times) > Duration::from_millis(3500), "{:?}", span(&times));
    for five in times.windows(5) {
        assert!(span(five) > Duration::from_millis(900), "{:?}", span(five));
    }
    assert_eq!(out(&gpt_load).len(), 20, "checks that confirm are no storm");
    assert!(gpt_load.told("/stats")["keys"]["storms"].as_array().unwrap().is_empty());
}

#[test]
fn an_upstream_that_breaks_off_whatever_it_begins_is_ejected() {
    let (breaking, well) = (provider(&[(A, "dying 1")]), provider(&[(A, "valid")]));
    let urls = [breaking.url(), well.url()].join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &[A]);
    let broken = (0..20).filter(|_| {
        let body = chat_with(json!({"stream": true, "max_tokens": 8}));
        gpt_load.post("/v1/chat/completions").json(&body).send().broken
    });
    assert_eq!(broken.count(), 5);
    assert_eq!((breaking.requests(), well.requests()), (5, 15));
    gpt_load.said("upstream ejected");
}

#[test]
fn an_upstream_that_had_only_the_last_moments_of_a_request_is_not_at_fault() {
    let failing = Peer::start(|wire| {
        if wire.request().is_some() {
            std::thread::sleep(Duration::from_millis(1500));
            wire.reset();
        }
    });
    let slow = provider(&[(A, "stall")]);
    let faults =
        |gpt_load: &GptLoad, index: usize| gpt_load.told("/stats")["upstreams"][index]["faults"].clone();
    let urls = [failing.url(), slow.url()].join(",");
    let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls), ("REQUEST_TIMEOUT", "2")], &[A]);
    assert_eq!(gpt_load.chat().refused(), (504, "upstream_timeout".to_owned()));
    assert_eq!((slow.requests(), faults(&gpt_load, 0), faults(&gpt_load, 1)), (1, json!(1), json!(0)));
    let gpt_load = GptLoad::before(&slow, &[("REQUEST_TIMEOUT", "1")], &[A]);
    assert_eq!(gpt_load.chat().status, 504);
    assert_eq!(faults(&gpt_load, 0), 1, "it had all of it");
}

#[test]
fn an_upstream_that_always_says_that_nothing_is_left_takes_out_no_pool() {
    let left = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "60s")];
    for one_of_two in [false, true] {
        let keys = numbered(4);
        let [liar, other] = [(); 2].map(|()| all_valid(&keys));
        liar.phase(Some(Play::answer(200, &left, json!({"choices": []}))));
        let urls = if one_of_two { format!("{},{}", liar.url(), other.url()) } else { liar.url() };
        let gpt_load = GptLoad::start(&[("OPENAI_BASE_URL", &urls)], &texts(&keys));
        eventually("all are out", || gpt_load.chat().status == 503);
        eventually("they serve", || (0..12).all(|_| gpt_load.chat().status == 200));
        assert!(gpt_load.blacklist().is_empty());
        gpt_load.said("is believed no more");
    }
}
