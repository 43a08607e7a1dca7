//! Spec §6: errors inside a 200, limits per model.

use std::time::{Duration, Instant};

use mock_provider::{Play, Scripted, Step};
use serde_json::{Value, json};

use crate::support::{A, Answer, Ask, B, C, D, GptLoad, asked, chat_with, provider};

pub const CHAT: &str = "/v1/chat/completions";
pub const ANTHROPIC: &str = "/v1/messages";
pub const RESPONSES: &str = "/v1/responses";
pub const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
pub const GEMINI_STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

/// A request in any dialect: with the credential where its provider wants it.
pub fn asking(gpt_load: &GptLoad, path: &str, fields: Value) -> Ask {
    let place = if path.contains("/models/") { "x-goog-api-key" } else { "authorization" };
    gpt_load.post(path).header(place, "Bearer whatever").json(&chat_with(fields))
}

pub fn ask(gpt_load: &GptLoad, path: &str, fields: Value) -> Answer {
    asking(gpt_load, path, fields).send()
}

/// The head of an event stream, and then these steps.
pub fn events(steps: &[Step]) -> Play {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    Play::Raw([&[Step::Write(head.to_vec())], steps].concat())
}

#[test]
fn an_error_inside_a_200_is_healed_before_the_client_sees_any_of_it() {
    let mock = provider(&[(B, "valid")]);
    let says = [
        ("revoked", Some(true)),
        ("out_of_quota", Some(false)),
        ("rate_limited", Some(false)),
        ("500", None),
    ];
    for (plain, stream) in
        [(CHAT, CHAT), (RESPONSES, RESPONSES), (ANTHROPIC, ANTHROPIC), (GEMINI, GEMINI_STREAM)]
    {
        for (play, path) in [("envelope", plain), ("first_event_error", stream)] {
            for (says, is_permanent) in says {
                mock.reset();
                mock.play(A, format!("{play} {says}").parse().unwrap());
                let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
                let answer = ask(&gpt_load, path, json!({"stream": play != "envelope", "max_tokens": 3}));
                let case = format!("{path} {play} {says}: {}", answer.text());
                assert_eq!((answer.status.as_u16(), answer.broken), (200, false), "{case}");
                assert!(answer.text().contains("Hello") && !answer.text().contains("error\":{"), "{case}");
                assert_eq!(asked(&mock, &[A, B]), [1, 1], "{case}");
                let blamed = gpt_load.blacklist().first().map(|entry| entry["permanent"] == true);
                assert_eq!(blamed, is_permanent, "{case}");
            }
        }
    }
}

#[test]
fn an_error_inside_an_encoded_200_is_healed_too() {
    let envelope =
        json!({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}});
    let as_event = format!("data: {envelope}\n\n");
    for (kind, body) in [("application/json", envelope), ("text/event-stream", Value::String(as_event))] {
        for encoding in ["gzip", "deflate"] {
            let mock = provider(&[(B, "valid")]);
            let headers = vec![("content-type".into(), kind.into())];
            let scripted = Scripted {
                headers,
                body: body.clone(),
                encoding: Some(encoding.into()),
                ..Scripted::default()
            };
            mock.play(A, Play::Answer(Box::new(scripted)));
            let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
            let ask = gpt_load.post(CHAT).header("accept-encoding", "gzip, deflate");
            let answer = ask.json(&chat_with(json!({"max_tokens": 3}))).send();
            assert!(answer.text().contains("Hello"), "{kind} {encoding}: {}", answer.text());
            assert_eq!(asked(&mock, &[A, B]), [1, 1], "{kind} {encoding}");
            assert_eq!(gpt_load.blacklist().len(), 1, "{kind} {encoding}");
        }
    }
}

#[test]
fn an_error_inside_a_200_is_healed_however_it_comes() {
    let error = "{\"error\":{\"message\":\"Rate limit exceeded: free-models-per-min.\",\"code\":429}}";
    for (kind, pieces) in [
        // OpenRouter's signs of life.
        ("application/json", &["\n         \n", "\n         \n", error][..]),
        ("application/json", &["{\"", &error[2..]]),
        ("application/json", &["{\n  ", &error[1..9], &error[9..]]),
        ("text/plain; charset=utf-8", &[error]),
        ("application/problem+json", &[error]),
    ] {
        let mock = provider(&[(B, "valid")]);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
        let pauses = pieces.iter().flat_map(|piece| {
            [Step::Write(piece.as_bytes().to_vec()), Step::Wait(Duration::from_millis(50))]
        });
        mock.play(
            A,
            Play::Raw([Step::Write(head.into())].into_iter().chain(pauses).chain([Step::Close]).collect()),
        );
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let answer = gpt_load.chat();
        assert!(answer.text().contains("Hello"), "{kind} {pieces:?}: {}", answer.text());
        assert_eq!(asked(&mock, &[A, B]), [1, 1], "{kind} {pieces:?}");
        assert_eq!(gpt_load.blacklist().len(), 1, "{kind} {pieces:?}");
    }
}

#[test]
fn white_space_before_an_answer_is_held_for_five_seconds_at_most_and_text_not_at_all() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (kind, begins, held) in [
        ("application/json", "\n   \n", true),
        ("application/json", "{\"a\":1}\n", false),
        ("text/plain", "Hi", false),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{begins}");
        mock.play(A, Play::Raw(vec![Step::Write(head.into()), Step::Hang]));
        let began = Instant::now();
        let mut stream = gpt_load.post(CHAT).json(&chat_with(json!({}))).open();
        assert_eq!(stream.next().unwrap().unwrap(), begins);
        let took = began.elapsed();
        let most = Duration::from_secs(if held { 8 } else { 3 });
        assert!(took < most && held == (took > Duration::from_millis(4500)), "{kind} {begins:?}: {took:?}");
    }
}

#[test]
fn a_refusal_whose_body_stands_still_is_not_waited_for_where_another_key_is_next() {
    let mock = provider(&[(D, "valid")]);
    let head = "HTTP/1.1 429 X\r\ncontent-type: application/json\r\ncontent-length: 500\r\nretry-after: 7\r\n\r\n{\"err";
    for key in [A, B] {
        mock.play(key, Play::Raw(vec![Step::Write(head.into()), Step::Hang]));
    }
    // What comes, if late, is what it is judged by.
    let slow =
        json!({"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}})
            .to_string();
    let head = format!("HTTP/1.1 429 X\r\ncontent-length: {}\r\nretry-after: 7\r\n\r\n", slow.len());
    let (first, second) = slow.split_at(30);
    let pause = || Step::Wait(Duration::from_millis(600));
    mock.play(
        C,
        Play::Raw(vec![
            Step::Write(head.into()),
            pause(),
            Step::Write(first.into()),
            pause(),
            Step::Write(second.into()),
            Step::Close,
        ]),
    );
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C, D]);
    let began = Instant::now();
    assert!(gpt_load.chat().text().contains("Hello"));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1200) && took < Duration::from_millis(4800), "{took:?}");
    let rules: Vec<Value> = gpt_load.blacklist().iter().map(|entry| entry["code"].clone()).collect();
    assert_eq!(rules.len(), 3, "{rules:?}");
    assert!(rules.contains(&json!("insufficient_quota")), "{:?}", gpt_load.blacklist());
}

#[test]
fn an_answer_that_is_no_error_is_not_taken_for_one() {
    let mock = provider(&[]);
    let body = json!({"id": "x", "error": null, "code": "print('error')", "choices": [{"message": {"content": "error"}}]});
    mock.play(A, Play::answer(200, &[], body.clone()));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    assert_eq!(gpt_load.chat().json(), body);
    // The state of a job has the job's error in it.
    let body = json!({"id": "batch_1", "error": {"message": "The file is empty.", "code": "empty_file"}});
    mock.play(A, Play::answer(200, &[], body.clone()));
    assert_eq!(gpt_load.post("/v1/batches").json(&json!({})).send().json(), body);
    assert_eq!(mock.requests(), 2);
}

#[test]
fn comments_before_an_error_are_held_with_it() {
    let mock = provider(&[(B, "valid")]);
    let error = b"data: {\"error\":{\"message\":\"Provider returned error\",\"code\":502}}\n\n";
    mock.play(
        A,
        events(&[
            Step::Write(b": OPENROUTER PROCESSING\n\n".to_vec()),
            Step::Wait(Duration::from_millis(300)),
            Step::Write(error.to_vec()),
            Step::Close,
        ]),
    );
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
    assert!(
        answer.text().starts_with("data: {\"id\"") && answer.text().ends_with("[DONE]\n\n"),
        "{}",
        answer.text()
    );
    assert_eq!(asked(&mock, &[A, B]), [1, 1]);
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
}

#[test]
fn comments_are_held_for_five_seconds_at_most() {
    let mock = provider(&[]);
    let held = ": OPENROUTER PROCESSING\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    mock.play(A, events(&[Step::Write(held.into()), Step::Hang]));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let began = Instant::now();
    let mut stream = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).open();
    assert_eq!(stream.next().unwrap().unwrap(), held);
    let held = began.elapsed();
    assert!(held > Duration::from_millis(4500) && held < Duration::from_secs(8), "{held:?}");
}

#[test]
fn a_ping_before_an_error_is_no_answer() {
    let mock = provider(&[(B, "valid")]);
    let error = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    mock.play(
        A,
        events(&[
            Step::Write(b"event: ping\ndata: {\"type\": \"ping\"}\n\n".to_vec()),
            Step::Wait(Duration::from_millis(100)),
            Step::Write(error.to_vec()),
            Step::Close,
        ]),
    );
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = ask(&gpt_load, ANTHROPIC, json!({"stream": true, "max_tokens": 3}));
    assert!(answer.text().starts_with("event: message_start"), "{}", answer.text());
    assert_eq!(asked(&mock, &[A, B]), [1, 1]);
    assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], 1);
}

#[test]
fn an_event_stream_that_ends_without_an_event_is_no_answer_to_who_asked_a_model() {
    let mock = provider(&[(B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[("BLACKLIST_THRESHOLD", "9")], &[A, B]);
    for said in ["", ": OPENROUTER PROCESSING\n\nevent: ping\ndata: {}\n\n"] {
        mock.reset();
        mock.play(A, Play::answer(200, &[("content-type", "text/event-stream")], said.into()));
        // The keys take turns: one of the two begins with the one that says nothing.
        for _ in 0..2 {
            let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
            assert!(answer.status == 200 && answer.text().ends_with("[DONE]\n\n"), "{}", answer.text());
        }
        assert!(mock.key(A).asked > 0, "{said:?}");
    }
    let alone = GptLoad::before(&mock, &[("MAX_RETRIES", "1")], &[A]);
    assert_eq!(
        ask(&alone, CHAT, json!({"stream": true})).refused(),
        (502, "upstream_unreachable".to_owned())
    );
    // Who follows what goes on elsewhere may come when all is over.
    let followed = alone.get("/v1/responses/resp_1?stream=true&starting_after=9").send();
    assert_eq!((followed.status.as_u16(), followed.broken), (200, false));
    let unknown = alone.post("/v1/threads/thread_1/runs").json(&json!({"stream": true})).send();
    assert_eq!(unknown.status, 200);
}

#[test]
fn words_on_what_is_wrong_are_no_answer_of_a_model_and_may_be_one_to_others() {
    let mock = provider(&[(B, "valid")]);
    for said in [
        json!({"detail": "Invalid API key"}),
        json!({"status": "error", "message": "Incorrect API key provided"}),
    ] {
        let gpt_load = GptLoad::before(&mock, &[("START_INDEX", "1")], &[A, B]);
        mock.play(A, Play::answer(200, &[], said.clone()));
        for (method, path) in [("DELETE", "/v1/files/file-1"), ("GET", "/v1/jobs/job-1")] {
            gpt_load.chat();
            let told = gpt_load.ask(method, path).send();
            assert_eq!((told.status.as_u16(), told.json()), (200, said.clone()), "{method}");
        }
        assert!(gpt_load.blacklist().is_empty(), "{said}");
        gpt_load.chat();
        assert!(gpt_load.chat().text().contains("Hello"), "{said}");
        assert_eq!(gpt_load.blacklist().len(), 1, "{said}");
    }
}

#[test]
fn a_healthy_stream_is_not_delayed_beyond_its_first_event() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for path in [CHAT, RESPONSES, ANTHROPIC, GEMINI_STREAM] {
        let mut stream = asking(&gpt_load, path, json!({"stream": true, "mock": {"pace": "10m"}})).open();
        // The second event is ten minutes away.
        assert!(stream.next().unwrap().is_ok_and(|first| !first.is_empty()), "{path}");
    }
}

#[test]
fn no_sequence_of_request_faults_moves_a_key_or_costs_a_second_try() {
    let corpus: Vec<Value> = serde_json::from_str(include_str!("../corpus/answers.json")).unwrap();
    let is_plain = |case: &&Value| {
        case["verdict"] == "request_fault"
            && case["status"].as_u64() >= Some(400)
            && case["transport"].is_null()
    };
    let faults: Vec<&Value> = corpus.iter().filter(is_plain).collect();
    assert!(faults.len() > 80, "{}", faults.len());
    let mock = provider(&[(A, "valid"), (B, "valid"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B, C]);
    let mut random = fastrand::Rng::with_seed(6);
    for requests in 1..=300 {
        let (model, play, status) = if random.u8(..4) == 0 {
            ("gpt-4o", json!("valid"), &json!(200))
        } else {
            let case = faults[random.usize(..faults.len())];
            let headers: Vec<_> = case["headers"].as_object().into_iter().flatten().collect();
            let answer = json!({"status": case["status"], "headers": headers, "body": case["body"]});
            ("never-served", json!({ "answer": answer }), &case["status"])
        };
        let answer = ask(&gpt_load, CHAT, json!({"model": model, "mock": {"play": play}}));
        assert_eq!(json!(answer.status.as_u16()), *status, "{play}");
        assert_eq!(mock.requests(), requests, "{play}");
    }
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    assert_eq!(asked(&mock, &[A, B, C]), [100, 100, 100], "everyone's turn came as often");
}

#[test]
fn a_limit_of_one_model_leaves_the_key_in_for_the_others() {
    let mock = provider(&[(B, "valid")]);
    let limited = json!({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}});
    mock.play(A, Play::first(1, Play::answer(429, &[("retry-after", "60")], limited), Play::Valid));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    for _ in 0..4 {
        assert_eq!(gpt_load.chat_for("gpt-4o").status, 200);
    }
    assert_eq!(asked(&mock, &[A, B]), [1, 4]);
    for _ in 0..4 {
        assert_eq!(gpt_load.chat_for("gpt-4o-mini").status, 200);
    }
    assert_eq!(asked(&mock, &[A, B]), [3, 6]);
    let blacklist = gpt_load.blacklist();
    assert_eq!(blacklist.len(), 1);
    assert_eq!((&blacklist[0]["index"], &blacklist[0]["model"]), (&json!(0), &json!("gpt-4o")));
    assert_eq!(gpt_load.healthy_keys(), 2);
}
