//! `gpt-load validate-keys` (spec §12).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mock_provider::{Mock, Options, Play};
use serde_json::Value;

use crate::support::{A, B, C, D, Launch, eventually, provider};

/// A run with these arguments in front of a provider.
fn launch<'a>(arguments: &'a [&'a str], keys: &str, url: &'a str) -> Launch<'a> {
    Launch::new(&[("OPENAI_BASE_URL", url)], &[]).keys_file(Some(keys.as_bytes())).arguments(arguments)
}

fn summary(output: &str) -> Value {
    let line = output.lines().find(|line| line.starts_with("{\"summary\"")).expect("the result as JSON");
    serde_json::from_str(line).unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    fs::read_to_string(path).unwrap()
}

fn keys_in(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn each_key_is_judged_and_the_lists_say_why() {
    let mock = provider(&[(A, "valid"), (B, "revoked"), (C, "out_of_quota"), (D, "fails 503")]);
    let url = mock.url();
    let keys = format!("# mine\n{A}\n{B}\n{A}\n{C}\n{D}\n");
    let ended = launch(&["validate-keys", "--model", "gpt-4o", "--json"], &keys, &url).run();
    assert_eq!(ended.status, Some(1), "{}", ended.output);
    let result = summary(&ended.output);
    let states: Vec<_> = result["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["valid", "invalid", "out_of_quota", "unknown"]);
    assert_eq!((&result["keys"][1]["line"], &result["keys"][1]["index"]), (&3.into(), &1.into()));
    assert!(result["keys"][1]["message"].as_str().unwrap().contains("Incorrect API key"));
    assert_eq!((&result["summary"]["duplicates"], &result["summary"]["unknown"]), (&1.into(), &1.into()));
    let folder = ended.folder.path();
    assert_eq!(keys_in(&read(folder, "valid_keys.txt")), [A]);
    assert_eq!(keys_in(&read(folder, "invalid_keys.txt")), [B, C]);
    assert_eq!(keys_in(&read(folder, "duplicate_keys.txt")), [A]);
    assert_eq!(keys_in(&read(folder, "unknown_keys.txt")), [D]);
    assert!(read(folder, "duplicate_keys.txt").contains("# line 4, first on line 2"));
    assert!(read(folder, "invalid_keys.txt").contains("# line 5: out of quota"));
    assert!(read(folder, "validation_summary.txt").contains("4 of 4 keys tested"));
    assert!(!folder.join(".validate-keys.resume").exists());
}

#[test]
fn the_list_of_models_is_asked_for_where_no_model_is_named() {
    let mock = provider(&[(A, "valid"), (B, "valid")]);
    let url = mock.url();
    let ended = launch(&["validate-keys"], &format!("{A}\n{B}\n"), &url).run();
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    for exchange in mock.seen() {
        assert_eq!((exchange.method.as_str(), exchange.target.as_str()), ("GET", "/v1/models"));
    }
    assert!(ended.output.contains("2 of 2 keys tested"), "{}", ended.output);
}

#[test]
fn a_limited_key_is_no_bad_key() {
    let mock = provider(&[(A, "rate_limited requests=1 per=60s")]);
    let url = mock.url();
    let arguments = ["validate-keys", "--model", "gpt-4o", "--json"];
    let first = launch(&arguments, &format!("{A}\n"), &url).run();
    let second = launch(&arguments, &format!("{A}\n"), &url).run();
    assert_eq!((first.status, second.status), (Some(0), Some(0)), "{}", second.output);
    let key = &summary(&second.output)["keys"][0];
    assert_eq!(key["state"], "limited");
    assert!(key["wait_s"].as_f64().unwrap() > 0.0);
    assert_eq!(keys_in(&read(second.folder.path(), "valid_keys.txt")), [A]);
}

#[test]
fn an_upstream_that_is_down_makes_no_key_invalid() {
    for play in ["fails 500", "fails 503", "resetting before_head", "garbage"] {
        let mock = provider(&[(A, play), (B, play)]);
        let url = mock.url();
        let arguments = ["validate-keys", "--remove-invalid", "--json"];
        let ended = launch(&arguments, &format!("{A}\n{B}\n"), &url).run();
        assert_eq!(ended.status, Some(2), "{play}: {}", ended.output);
        assert_eq!(summary(&ended.output)["summary"]["unknown"], 2, "{play}");
        assert!(keys_in(&read(ended.folder.path(), "invalid_keys.txt")).is_empty());
        assert_eq!(fs::read_to_string(ended.folder.path().join("keys.txt")).unwrap(), format!("{A}\n{B}\n"));
    }
}

#[test]
fn invalid_keys_are_taken_out_and_nothing_else_is_touched() {
    let mock = provider(&[(A, "valid"), (B, "revoked"), (C, "out_of_quota")]);
    let url = mock.url();
    let keys = format!("\u{feff}# head\r\n\r\n  {C} \r\n{B}\r\n# between\n{A}\n{B}\nnot a key\n# end");
    let arguments = ["validate-keys", "--remove-invalid", "--model", "gpt-4o"];
    let ended = launch(&arguments, &keys, &url).run();
    assert_eq!(ended.status, Some(1), "{}", ended.output);
    let folder = ended.folder.path();
    let left = fs::read_to_string(folder.join("keys.txt")).unwrap();
    assert_eq!(left, format!("\u{feff}# head\r\n\r\n  {C} \r\n# between\n{A}\nnot a key\n# end"));
    let backups: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bak"))
        .collect();
    assert_eq!(backups.len(), 1);
    assert_eq!(fs::read_to_string(&backups[0]).unwrap(), keys);
}

#[test]
fn a_keys_file_is_never_emptied() {
    let mock = provider(&[(A, "revoked")]);
    let url = mock.url();
    let ended = launch(&["validate-keys", "--remove-invalid"], &format!("{A}\n"), &url).run();
    assert_eq!(ended.status, Some(1));
    assert!(ended.output.contains("stays as it was"), "{}", ended.output);
    assert_eq!(fs::read_to_string(ended.folder.path().join("keys.txt")).unwrap(), format!("{A}\n"));
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    let mock = Mock::start(Options { unknown: Play::Valid, ..Options::default() });
    let keys: Vec<String> = (0..40).map(|number| format!("sk-test-{number:020}")).collect();
    let slow: Play = "slow 60s".parse().unwrap();
    for key in &keys[20..] {
        mock.play(key, slow.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.txt"), keys.join("\n")).unwrap();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_gpt-load"))
            .args(["validate-keys", "--concurrency", "5"])
            .env_clear()
            .env("OPENAI_BASE_URL", mock.url())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // The list of models is free, but a slow provider is slow with it too.
    let first = start();
    eventually("the slow keys are asked about", || mock.requests() >= 25);
    let kill = format!("kill -INT {}", first.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&first.stdout).contains("Interrupted"));
    assert!(!folder.path().join("valid_keys.txt").exists());
    read(folder.path(), ".validate-keys.resume");
    for key in &keys[20..] {
        mock.play(key, Play::Valid);
    }
    let second = start().wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stderr).contains("20 of 40 keys are known"));
    assert_eq!(keys_in(&read(folder.path(), "valid_keys.txt")).len(), 40);
    for key in &keys[..20] {
        assert_eq!(mock.seen_from(key).len(), 1, "it was not asked about again");
    }
}

#[test]
fn the_rate_is_kept() {
    let mock = Mock::start(Options { unknown: Play::Valid, ..Options::default() });
    let url = mock.url();
    let keys: String = (0..21).map(|number| format!("sk-test-{number:020}\n")).collect();
    let began = Instant::now();
    let ended = launch(&["validate-keys", "--rate", "20"], &keys, &url).run();
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn ten_thousand_keys_take_less_than_half_a_minute() {
    let mock = Mock::start(Options { unknown: Play::Valid, remember: 0, ..Options::default() });
    let url = mock.url();
    let keys: String = (0..10_000).map(|number| format!("sk-test-{number:020}\n")).collect();
    let began = Instant::now();
    let ended = launch(&["validate-keys"], &keys, &url).run();
    assert_eq!(ended.status, Some(0));
    assert!(ended.output.contains("10000 valid"), "{}", ended.output);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_missing_keys_file_or_a_wrong_option_is_said_and_exits_with_2() {
    let mock = provider(&[]);
    let url = mock.url();
    let ended = launch(&["validate-keys"], "", &url).keys_file(None).run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.output.contains("no such file"), "{}", ended.output);
    let ended = launch(&["validate-keys", "--concurrency", "0"], A, &url).run();
    assert_eq!(ended.status, Some(2));
}
