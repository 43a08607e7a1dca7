//! Spec §6: what an answer begins with, where its head does not tell all of that.

use std::time::{Duration, Instant};

use mock_provider::{Play, Step};
use serde_json::json;

use crate::inside::{CHAT, EVENT, EVENTS, LIMIT, gzip, pieces, whole};
use crate::support::{A, B, GptLoad, asked, chat_with, provider};

/// What event streams are called that are called otherwise.
const CALLED: [&str; 3] =
    ["200 OK\r\ncontent-type: application/json", "200 OK\r\ncontent-type: text/plain", "200 OK"];

#[test]
fn events_are_known_whatever_they_are_called_and_begin_with() {
    let mock = provider(&[(B, "valid")]);
    for head in CALLED {
        for begins in
            ["", ": ping\n\n", ":\n", "id: 1\n", "retry: 100\n\n", "\u{feff}\n\ndata:\n\n", "\r\n\r\n"]
        {
            let error = format!("data: {LIMIT}\n\n");
            for parts in [&[&*format!("{begins}{error}")][..], &[begins, &error]] {
                let parts: Vec<_> =
                    parts.iter().map(|part| part.as_bytes()).filter(|part| !part.is_empty()).collect();
                mock.reset();
                mock.play(A, whole(head, &parts));
                let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
                let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send();
                assert!(!answer.text().contains("Rate limit"), "{head} {begins:?}: {}", answer.text());
                assert_eq!(
                    (asked(&mock, &[A, B]), gpt_load.blacklist().len()),
                    (vec![1, 1], 1),
                    "{begins:?}"
                );
            }
        }
    }
}

#[test]
fn events_that_are_called_otherwise_leave_one_by_one_and_uncompressed() {
    let mock = provider(&[]);
    let event = format!(": ping\n\n{EVENT}\n\n");
    for head in CALLED {
        let gpt_load = GptLoad::before(&mock, &[], &[A]);
        let ask = || {
            let ask = gpt_load.post(CHAT).header("accept-encoding", "gzip");
            ask.json(&chat_with(json!({"stream": true})))
        };
        for end in [Step::Hang, Step::Reset] {
            let is_broken = matches!(end, Step::Reset);
            let steps = pieces(head, &[event.as_bytes()]).into_iter().chain([end]);
            mock.play(A, Play::Raw(steps.collect()));
            let began = Instant::now();
            let mut stream = ask().open();
            assert_eq!(stream.headers.get("content-encoding"), None, "{head}");
            assert_eq!(stream.next().unwrap().unwrap(), event.as_bytes(), "{head}");
            assert!(began.elapsed() < Duration::from_secs(3), "{head}: {:?}", began.elapsed());
            if is_broken {
                let told = stream.next().unwrap().unwrap();
                assert!(told.starts_with(b"data: {\"error\":"), "{head}: {told:?}");
            }
        }
    }
}

#[test]
fn an_error_is_waited_for_in_an_encoded_stream_as_in_a_plain_one() {
    let mock = provider(&[(B, "valid")]);
    let head = format!("{EVENTS}\r\ncontent-encoding: gzip");
    let [error, end] = gzip(&format!("data: {LIMIT}\n\n"), "");
    let late = |silence| {
        let pieces = pieces(&head, &[&error, &end]).into_iter();
        let mut steps: Vec<_> = pieces.chain([Step::Write(b"0\r\n\r\n".to_vec())]).collect();
        steps.insert(1, Step::Wait(Duration::from_millis(silence)));
        Play::Raw(steps)
    };
    // As long as a stream may be silent, and no longer.
    for (longest, silence, blamed) in [("30", 5_500, 1), ("1", 20_000, 0)] {
        mock.reset();
        mock.play(A, late(silence));
        let gpt_load = GptLoad::before(&mock, &[("SERVER_WRITE_TIMEOUT", longest)], &[A, B]);
        let ask = gpt_load.post(CHAT).header("accept-encoding", "gzip");
        let answer = ask.json(&chat_with(json!({"stream": true, "max_tokens": 3}))).send();
        assert!(!answer.broken && answer.text().contains("[DONE]"), "{silence}: {answer:?}");
        assert_eq!((asked(&mock, &[A, B]), gpt_load.blacklist().len()), (vec![1, 1], blamed), "{silence}");
    }
}

#[test]
fn an_event_stream_in_zstd_leaves_with_its_first_event() {
    let mock = provider(&[]);
    let event = format!("{EVENT}\n\n");
    // A frame with a window of 2 MiB and its first block, flushed: `(length << 3)` in three bytes, and the event as it is.
    let head = u32::try_from(event.len() << 3).unwrap().to_le_bytes();
    let flushed = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58], &head[..3], event.as_bytes()].concat();
    let steps = pieces(&format!("{EVENTS}\r\ncontent-encoding: zstd"), &[&flushed]);
    mock.play(A, Play::Raw(steps.into_iter().chain([Step::Hang]).collect()));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let began = Instant::now();
    let ask = gpt_load.post(CHAT).header("accept-encoding", "zstd");
    let mut stream = ask.json(&chat_with(json!({"stream": true}))).open();
    assert_eq!(stream.next().unwrap().unwrap(), flushed);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// Who asked a model for something has no answer then; a text may be empty, and what asks no model may be done.
#[test]
fn an_answer_without_a_body_is_none_where_a_model_was_asked() {
    let mock = provider(&[(B, "valid")]);
    let json = "200 OK\r\ncontent-type: application/json";
    for (head, path, attempts) in [
        (json, CHAT, 2),
        ("200 OK", CHAT, 2),
        ("200 OK\r\ncontent-type: text/plain", "/v1/audio/transcriptions", 1),
        (json, "/v1/files", 1),
        ("204 No Content", CHAT, 1),
    ] {
        for (framing, end) in [
            ("", ""),
            ("\r\ncontent-length: 0", ""),
            ("\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
            ("\r\ntransfer-encoding: chunked", "0\r\nx-took: 1\r\n\r\n"),
            ("\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        ] {
            if head.starts_with("204") && !framing.is_empty() || framing.is_empty() && attempts == 2 {
                continue;
            }
            mock.reset();
            let head = format!("HTTP/1.1 {head}{framing}\r\n\r\n{end}");
            mock.play(A, Play::Raw(vec![Step::Write(head.into()), Step::Close]));
            let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
            let answer = gpt_load.post(path).json(&chat_with(json!({}))).send();
            assert!(answer.status.is_success(), "{path} {framing}");
            assert_eq!(asked(&mock, &[A, B]).iter().sum::<u64>(), attempts, "{path} {framing}");
            assert_eq!(gpt_load.blacklist().len(), 0);
        }
    }
}
