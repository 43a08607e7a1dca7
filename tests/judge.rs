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
    let dump = "HTTP/2 429 \r\nretry-after: 20\r\n\r\n{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}";
    let output = judge(&[], dump);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "verdict  key_limited",
        "rule     openai.rate",
        "scope    key_and_model",
        "wait     20s (retry-after)",
        "message  slow down",
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

/// Bodies of at most 60 kB that want gigabytes, or megabytes. They begin with what decides, if they can be read at all.
#[cfg(target_os = "linux")]
mod bombs {
    use super::*;

    const TEXT: &[u8] = br#"{"error":{"code":"insufficient_quota"}}"#;

    /// With 32 MB of spaces behind it, in a window of 16 MiB.
    const BROTLI: &[u8] = &[
        0xcf, 0xff, 0xff, 0x7f, 0x00, 0x04, 0xea, 0x64, 0xa9, 0xda, 0x95, 0xf8, 0xad, 0x98, 0x62, 0x53, 0x14,
        0x93, 0x0c, 0x6c, 0xc0, 0x09, 0x40, 0x18, 0x58, 0x40, 0xbc, 0x98, 0x0f, 0x1b, 0x63, 0x57, 0xbe, 0x38,
        0x6e, 0xe4, 0xd1, 0x85, 0x0e, 0x39, 0x10, 0xd5, 0xb3, 0x99, 0xf5, 0x7a, 0x83, 0x8f, 0x26, 0x2e, 0x79,
        0xff, 0x1f, 0xfc, 0x1b, 0xfc, 0xff, 0xff, 0x07, 0x40, 0x02, 0x20, 0x0e, 0x0b, 0x40, 0xf7, 0xfe, 0x3f,
        0x4c, 0x00, 0x00, 0x48, 0x00, 0x84, 0x11, 0x01, 0x04,
    ];

    /// The same in a window of 1 GiB, which only an extension of the coding has.
    const LARGE_BROTLI: &[u8] = &[
        0x11, 0x1e, 0xff, 0xff, 0xff, 0x01, 0x10, 0xa8, 0x93, 0xa5, 0x6a, 0x57, 0xe2, 0xb7, 0x62, 0x8a, 0x4d,
        0x51, 0x4c, 0x32, 0xb0, 0x01, 0x27, 0x00, 0x61, 0x60, 0x01, 0xf1, 0x62, 0x3e, 0x6c, 0x8c, 0x5d, 0xf9,
        0xe2, 0xb8, 0x91, 0x47, 0x17, 0x3a, 0xe4, 0x40, 0x54, 0xcf, 0x66, 0xd6, 0xeb, 0x0d, 0x3e, 0x9a, 0xb8,
        0xe4, 0xfd, 0x7f, 0xf0, 0x6f, 0xf0, 0xff, 0xff, 0x1f, 0x00, 0x09, 0x80, 0x38, 0x2c, 0x00, 0x74, 0xef,
        0xff, 0xc3, 0x04, 0x00, 0x80, 0x04, 0x40, 0x18, 0x11, 0x00, 0x01,
    ];

    fn gzip() -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(TEXT).unwrap();
        encoder.write_all(&vec![b' '; 32 << 20]).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame with a window of 96 MiB, `TEXT` in a block of its own, and the block of this kind and size.
    fn zstd(kind: u32, length: usize, content: &[u8], times: usize) -> Vec<u8> {
        let block = |kind: u32, length: usize, content: &[u8]| {
            let head = u32::try_from(length << 3).unwrap() | kind << 1;
            [&head.to_le_bytes()[..3], content].concat()
        };
        let begins = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0b1000_0100][..], &block(0, TEXT.len(), TEXT)].concat();
        [begins, block(kind, length, content).repeat(times)].concat()
    }

    /// 128 KiB of spaces, 800 times.
    fn zstd_of_blocks() -> Vec<u8> {
        zstd(1, 0x2_0000, b" ", 800)
    }

    /// 30,000 copies of 65,539 bytes each in one block, where 128 KiB are all that a block may be.
    fn zstd_of_copies() -> Vec<u8> {
        let copies: u16 = 30_000;
        let [high, low] = (copies | 0x8000).to_be_bytes();
        // One literal; no literals before a copy, the last offset but one, the longest length and 16 bits that add to it.
        let head = [0b1000, b' ', high, low, 0b0101_0100, 0, 0, 52];
        let block = [&head[..], &[0].repeat(60_000), &[1]].concat();
        zstd(2, block.len(), &block, 1)
    }

    /// What it says, within so many KiB.
    fn judged(coding: &str, body: &[u8], memory: usize) -> Option<String> {
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -c 0; ulimit -v \"$0\"; exec \"$@\"", &memory.to_string()])
            .args([env!("CARGO_BIN_EXE_gpt-load"), "judge", "--status", "429"])
            .args(["--header", &format!("content-encoding: {coding}")])
            // There is no memory to tell where it was that there was none.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It may end before it has read anything.
        let _ = child.stdin.take().unwrap().write_all(body);
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn a_bomb_stays_small() {
        let enough = (16..1024).map(|step| step * 2048).find(|memory| judged("br", b"", *memory).is_some());
        let memory = enough.unwrap() + 6 * 1024;
        let bombs = [
            ("gzip", "gzip", gzip(), "key_exhausted"),
            ("brotli", "br", BROTLI.into(), "key_exhausted"),
            ("a large window", "br", LARGE_BROTLI.into(), "key_limited"),
            ("many blocks", "zstd", zstd_of_blocks(), "key_exhausted"),
            ("a block of copies", "zstd", zstd_of_copies(), "key_exhausted"),
        ];
        let wrong = bombs.into_iter().filter_map(|(name, coding, body, verdict)| {
            assert!(body.len() < 65_000);
            let Some(told) = judged(coding, &body, memory) else {
                return Some(format!("{name}: more than {memory} KiB"));
            };
            (!told.contains(&format!("verdict  {verdict}"))).then(|| format!("{name}: {told}"))
        });
        let wrong: Vec<_> = wrong.collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn a_limit_of_requests_at_a_time_is_told_as_one_and_no_wait_is_made_up_for_it() {
    let body = r#"{"error":{"message":"Too many concurrent requests"}}"#;
    let told = |arguments: &[&str]| String::from_utf8(judge(arguments, body).stdout).unwrap();
    let text = told(&["--status", "429"]);
    assert!(text.contains("a limit of requests at a time") && text.contains("wait     none told"), "{text}");
    assert!(told(&["--status", "429", "--json"]).contains(r#""at_a_time": true"#));
}
