//! Spec §6: what an answer begins with, where its head does not tell all of that.

use std::time::Duration;

use mock_provider::{Play, Step};
use serde_json::json;

use crate::inside::{CHAT, EVENTS, LIMIT, gzip, pieces};
use crate::support::{A, B, GptLoad, asked, chat_with, provider};

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
