//! Spec §6: streams that break, are ended in their middle, or tell an error later.

use std::time::Duration;

use mock_provider::{Play, Step};
use serde_json::{Value, json};

use crate::heart::{ANTHROPIC, CHAT, GEMINI_STREAM, RESPONSES, ask, asking, events};
use crate::support::{A, B, GptLoad, provider};

#[test]
fn an_error_later_in_a_stream_is_passed_on_and_counted() {
    let mock = provider(&[]);
    mock.play(
        A,
        events(&[
            Step::Write(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n".to_vec()),
            Step::Wait(Duration::from_millis(50)),
            Step::Write(b"data: {\"error\":{\"message\":\"Insufficient credits\"}}\n\n".to_vec()),
            Step::Close,
        ]),
    );
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
    assert!(answer.status == 200 && answer.text().ends_with("credits\"}}\n\n"), "{}", answer.text());
    let requests = gpt_load.told("/stats")["requests"].clone();
    assert_eq!(
        (requests["success_count"].as_u64(), requests["failures"]["broken_answer"].as_u64()),
        (Some(0), Some(1))
    );
    assert!(gpt_load.blacklist().is_empty());
}

#[test]
fn an_error_that_a_relay_tells_in_anothers_dialect_is_told_again_in_the_clients() {
    let mock = provider(&[]);
    let error = "data: {\"type\":\"error\",\"error\":{\"message\":\"Insufficient credits\"}}\n\n";
    for (name, is_known) in [("", false), ("event: error\n", true)] {
        mock.reset();
        let delta = "event: content_block_delta\ndata: {\"delta\":{\"text\":\"Hel\"}}\n\n";
        let steps = [
            Step::Write(delta.into()),
            Step::Wait(Duration::from_millis(50)),
            Step::Write(format!("{name}{error}").into()),
            Step::Close,
        ];
        mock.play(A, events(&steps));
        let gpt_load = GptLoad::before(&mock, &[], &[A]);
        let answer = ask(&gpt_load, ANTHROPIC, json!({"stream": true}));
        let told = format!("{delta}{name}{error}");
        assert!(answer.text().starts_with(&told), "{}", answer.text());
        assert_eq!(answer.text()[told.len()..].contains("event: error\n"), !is_known, "{}", answer.text());
        let requests = gpt_load.told("/stats")["requests"].clone();
        assert_eq!(requests["failures"]["broken_answer"], 1, "{requests}");
    }
}

#[test]
fn an_error_later_in_a_stream_that_breaks_behind_it_is_passed_on_whole() {
    let mock = provider(&[]);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (first, error) = ("data: {\"choices\":[]}\n\n", "data: {\"error\":{\"message\":\"No credits\"}}");
    let chunk = |text: &str| Step::Write(format!("{:x}\r\n{text}\r\n", text.len()).into());
    let pause = || Step::Wait(Duration::from_millis(50));
    mock.play(
        A,
        Play::Raw(vec![Step::Write(head.into()), chunk(first), pause(), chunk(error), pause(), Step::Close]),
    );
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
    let told = format!("{first}{error}\n\ndata: {{\"error\":{{");
    assert!(answer.broken && answer.text().starts_with(&told), "{}", answer.text());
}

#[test]
fn a_stream_that_its_upstream_ends_properly_in_its_middle_is_no_whole_one() {
    let chat = |reason: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"Hi\"}},\"finish_reason\":{reason}}}]}}\n\n")
    };
    let anthropic = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"Hi\"}}\n\n";
    let response = "data: {\"type\":\"response.output_text.delta\",\"content_index\":0,\"delta\":\"Hi\"}\n\n";
    let mock = provider(&[(B, "valid")]);
    for (path, events, is_whole) in [
        (CHAT, [chat("null"), chat("null")], false),
        (CHAT, [chat("null"), chat("\"stop\"")], true),
        (CHAT, [chat("null"), "data: {\"choices\":[],\"usage\":{}}\n\n".to_owned()], true),
        (CHAT, [chat("null"), "data: {\"choi".to_owned()], false),
        ("/v1/echo", [chat("null"), chat("null")], true),
        (ANTHROPIC, [anthropic.to_owned(), anthropic.to_owned()], false),
        (RESPONSES, [response.to_owned(), response.to_owned()], false),
    ] {
        let chunk = |text: &str| Step::Write(format!("{:x}\r\n{text}\r\n", text.len()).into());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let ends = || Step::Write(b"0\r\n\r\n".to_vec());
        let begins = || Step::Write(head.into());
        for pause in [true, false] {
            mock.reset();
            let [first, last] = &events;
            let steps = if pause {
                vec![begins(), chunk(first), Step::Wait(Duration::from_millis(50)), chunk(last), ends()]
            } else {
                vec![begins(), chunk(first), chunk(last), ends()]
            };
            mock.play(A, Play::Raw(steps));
            let gpt_load = GptLoad::before(&mock, &[], &[A]);
            let answer = ask(&gpt_load, path, json!({"stream": true}));
            let case = format!("{path} {pause} {}", answer.text());
            assert_eq!((answer.status.as_u16(), answer.broken), (200, !is_whole), "{case}");
            assert!(answer.text().starts_with(&events.concat()), "{case}");
            assert_eq!(
                answer.text().contains("the upstream ended the answer in its middle"),
                !is_whole,
                "{case}"
            );
        }
        // Before its first event is whole another key is asked.
        mock.reset();
        mock.play(A, Play::Raw(vec![begins(), chunk("data: {\"choi"), ends()]));
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let answer = ask(&gpt_load, CHAT, json!({"stream": true, "max_tokens": 3}));
        assert!(answer.text().contains("Hello"), "{}", answer.text());
    }
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_in_the_clients_dialect_and_a_cut() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for play in ["dying 3", "resetting mid_body"] {
        mock.play(A, play.parse().unwrap());
        for (path, name) in
            [(CHAT, None), (RESPONSES, Some("error")), (ANTHROPIC, Some("error")), (GEMINI_STREAM, None)]
        {
            for http2 in [false, true] {
                let ask = asking(&gpt_load, path, json!({"stream": true, "mock": {"pace": "1ms"}}));
                let answer = if http2 { ask.http2().send() } else { ask.send() };
                assert!(answer.status == 200 && answer.broken, "{path} {play}: {}", answer.text());
                let text = answer.text().replace("\r\n", "\n");
                let (before, last) = text.trim_end().rsplit_once("\n\n").unwrap();
                assert!(before.contains("data: "), "{text}");
                let event_name = last.lines().find_map(|line| line.strip_prefix("event: "));
                assert_eq!(event_name, name, "{last}");
                let data = last.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                let data: Value = serde_json::from_str(data).unwrap();
                assert!(data["error"]["message"].is_string(), "{data}");
            }
        }
    }
    // Broken in the middle of an event: what came of it is ended first, and is no part of the error.
    mock.play(
        A,
        events(&[
            Step::Write(b"data: {\"id\":1}\n\ndata: {\"id\":".to_vec()),
            Step::Wait(Duration::from_millis(20)),
            Step::Reset,
        ]),
    );
    let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
    assert!(
        answer.broken && answer.text().starts_with("data: {\"id\":1}\n\ndata: {\"id\":\n\ndata: {\"error\":"),
        "{}",
        answer.text()
    );
    assert_eq!(gpt_load.blacklist(), Vec::<Value>::new());
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["broken_answer"], 17);
}

#[test]
fn a_stream_that_ends_with_its_connection_is_broken_where_it_has_not_said_that_it_is_over() {
    let mock = provider(&[(B, "valid")]);
    let ended = |parts: &[&str]| {
        let steps = parts
            .iter()
            .flat_map(|part| [Step::Write((*part).into()), Step::Wait(Duration::from_millis(30))]);
        events(&steps.chain([Step::Close]).collect::<Vec<_>>())
    };
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let delta = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n";
    let stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let mut broken = 0;
    for (path, parts, is_whole) in [
        (CHAT, &[delta, delta][..], false),
        (CHAT, &[delta, "data: {\"cho"], false),
        (CHAT, &[delta, "data: [DONE]\n\n"], true),
        (CHAT, &[delta, stop, "data: {\"usage\":{}}\n\n"], true),
        (CHAT, &["data: one\n\n", "data: two\n\n"], true),
        ("/v1/audio/speech", &["data: {\"type\":\"speech.audio.delta\"}\n\n"], true),
        (ANTHROPIC, &["event: message_start\ndata: {\"type\":\"message_start\"}\n\n"], false),
        (RESPONSES, &["data: {\"type\":\"response.created\"}\n\n"], false),
        (GEMINI_STREAM, &["data: {\"candidates\":[{\"content\":{}}]}\r\n\r\n"], false),
        (GEMINI_STREAM, &["data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n"], true),
    ] {
        mock.play(A, ended(parts));
        let answer = ask(&gpt_load, path, json!({"stream": true}));
        let (text, sent) = (answer.text(), parts.concat());
        assert_eq!((answer.broken, text == sent), (!is_whole, is_whole), "{path} {parts:?}: {text}");
        assert!(
            is_whole || text.starts_with(&sent) && text.contains("\"error\":{"),
            "{path} {parts:?}: {text}"
        );
        broken += u64::from(!is_whole);
    }
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["broken_answer"], broken);
    assert!(gpt_load.blacklist().is_empty());

    // Before its first event is whole nothing has been sent yet.
    mock.play(A, ended(&["data: {\"choi"]));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let answer = ask(&gpt_load, CHAT, json!({"stream": true}));
    assert!(!answer.broken && answer.text().starts_with("data: {\"id\""), "{}", answer.text());
}
