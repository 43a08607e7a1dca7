//! `gpt-load judge`, through the binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn judge(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpt-load"))
        .arg("judge")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_dump_on_standard_input_is_judged() {
    let dump = "HTTP/2 429 \r\nretry-after: 20\r\n\r\n{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}";
    let output = judge(&[], dump);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "verdict  key_limited",
        "rule     openai.rate",
        "scope    key_and_model",
        "wait     20s (retry-after)",
        "message  slow",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn an_answer_in_a_file_is_judged_whatever_its_bytes_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer");
    std::fs::write(&file, b"HTTP/1.1 429 No\r\n\r\n{\"error\":{\"message\":\"\xff \xe8\xaf\xb7\xe5\x9c\xa85\xe7\xa7\x92\xe5\x90\x8e\xe9\x87\x8d\xe8\xaf\x95\"").unwrap();
    let output = judge(&["--json", file.to_str().unwrap()], "");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["verdict"], &value["wait"]["seconds"]),
        (&"key_limited".into(), &5.0.into()),
        "{value}"
    );
    assert_eq!(value["wait"]["from"], "message");
}

#[test]
fn status_headers_and_body_may_come_apart_and_a_machine_may_ask() {
    let output = judge(
        &["--status", "429", "--header", "retry-after: 600", "--json"],
        r#"{"error":{"code":"insufficient_quota"}}"#,
    );
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (member, want) in [
        ("/verdict", serde_json::json!("key_exhausted")),
        ("/wait/seconds", serde_json::json!(600.0)),
        ("/wait/from", serde_json::json!("retry-after")),
        ("/denied_model", serde_json::json!(false)),
    ] {
        assert_eq!(value.pointer(member), Some(&want), "{member}");
    }
}

#[test]
fn a_key_that_words_alone_call_bad_is_said_to_be_doubted() {
    for (body, is_doubted) in [
        (r#"{"error":{"message":"API key expired"}}"#, true),
        (r#"{"error":{"code":"invalid_api_key","message":"API key expired"}}"#, false),
    ] {
        let text = String::from_utf8(judge(&["--status", "400"], body).stdout).unwrap();
        assert!(text.contains("verdict  key_invalid"), "{text}");
        assert_eq!(text.contains("weak: it may be about something else"), is_doubted, "{text}");
    }
}

#[test]
fn what_cannot_be_judged_is_told_with_exit_status_2() {
    for (arguments, input, want) in [
        (&[][..], "no answer", "status line"),
        (&["no/such/file"], "", "no/such/file: "),
        (&["--status", "77"], "", "`77` is no HTTP status"),
        (&["--status", "429", "--header", "nonsense"], "", "`nonsense` is no header"),
        (&["--header", "a: b"], "", "--status"),
    ] {
        let output = judge(arguments, input);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(want), "{arguments:?}: {error}");
    }
}

#[test]
fn a_page_with_a_good_status_is_no_answer_where_it_says_that_it_is_one() {
    let page = "<!doctype html><title>Scheduled maintenance</title>";
    for (kind, verdict) in [("text/html", "upstream_fault"), ("text/plain", "success")] {
        let output = judge(&[], &format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n{page}"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("verdict  {verdict}")), "{kind}:\n{text}");
    }
}
