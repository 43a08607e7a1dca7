//! Spec §3: what is read from the keys file, and when it is read again.

use std::fs;
use std::os::unix::fs::symlink;

use mock_provider::Play;

use crate::support::{A, B, C, D, GptLoad, Launch, chat_with, eventually, provider};

fn total(gpt_load: &GptLoad) -> u64 {
    gpt_load.told("/health")["total_keys"].as_u64().unwrap()
}

#[test]
fn comments_blanks_a_bom_crlf_white_space_and_duplicates_are_tolerated() {
    let mock = provider(&[(A, "valid"), (B, "valid"), (C, "valid")]);
    let text = format!("\u{feff}{A}\r\n\r\n# {D}\r\n  {B}\t\r\n{A}\r\nsk-with space-0000\r\n{C}");
    let url = mock.url();
    let gpt_load = Launch::new(&[("OPENAI_BASE_URL", &url)], &[]).keys_file(Some(text.as_bytes())).start();
    assert_eq!(total(&gpt_load), 3);
    for _ in 0..6 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!([A, B, C].map(|key| mock.key(key).asked), [2, 2, 2]);
    let duplicates = gpt_load.logged("the duplicates", |line| line["duplicates"] == 1);
    assert_eq!(duplicates["level"], "warn");
    let skipped = gpt_load.said("can't travel in an HTTP header");
    assert_eq!((&skipped["level"], &skipped["lines"]), (&"warn".into(), &"line 6".into()));
    assert!(!gpt_load.output().contains("with space"), "the text of a line is never told");
}

#[test]
fn start_index_says_who_is_first() {
    let mock = provider(&[]);
    mock.unknown(Play::Valid);
    for (start, first) in [("0", A), ("2", C), ("3", A), ("4", B)] {
        mock.reset();
        let gpt_load = GptLoad::before(&mock, &[("START_INDEX", start)], &[A, B, C]);
        gpt_load.chat();
        assert_eq!(mock.seen()[0].key.as_deref(), Some(first), "START_INDEX {start}");
    }
}

#[test]
fn an_edit_a_rename_and_a_swapped_link_are_noticed() {
    let mock = provider(&[]);
    mock.unknown(Play::Valid);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let (path, folder) = (gpt_load.keys_file(), gpt_load.folder());
    fs::write(&path, format!("{A}\n{B}\n")).unwrap();
    eventually("the edit is read", || total(&gpt_load) == 2);
    fs::write(folder.join("new"), format!("{A}\n{B}\n{C}\n")).unwrap();
    fs::rename(folder.join("new"), &path).unwrap();
    eventually("the renamed file is read", || total(&gpt_load) == 3);
    // As Kubernetes does it: the file is a link, and where it leads changes.
    fs::write(folder.join("mounted"), format!("{D}\n")).unwrap();
    symlink("mounted", folder.join("link")).unwrap();
    fs::rename(folder.join("link"), &path).unwrap();
    eventually("the linked file is read", || total(&gpt_load) == 1);
    gpt_load.chat();
    assert_eq!(mock.seen()[0].key.as_deref(), Some(D));
}

#[test]
fn a_hangup_reads_the_file_at_once() {
    let gpt_load = GptLoad::start(&[], &[A]);
    gpt_load.signal("HUP");
    gpt_load.said("keys file reloaded");
    fs::write(gpt_load.keys_file(), format!("{A}\n{B}\n")).unwrap();
    gpt_load.signal("HUP");
    eventually("the file is read", || total(&gpt_load) == 2);
}

#[test]
fn keys_that_stay_keep_their_state() {
    let mock = provider(&[(B, "valid"), (C, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    gpt_load.chat();
    assert_eq!(gpt_load.healthy_keys(), 1);
    fs::write(gpt_load.keys_file(), format!("{C}\n{B}\n{A}\n")).unwrap();
    eventually("the file is read", || total(&gpt_load) == 3);
    let blacklist = gpt_load.blacklist();
    assert_eq!(blacklist.len(), 1);
    assert_eq!((&blacklist[0]["index"], &blacklist[0]["permanent"]), (&2.into(), &true.into()));
    for _ in 0..4 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    assert_eq!((mock.key(A).asked, mock.key(C).asked), (1, 2));
}

#[test]
fn a_removed_key_gets_no_new_lease_while_its_request_finishes() {
    let mock = provider(&[(A, "valid"), (B, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    let slow = chat_with(serde_json::json!({"stream": true, "max_tokens": 40, "mock": {"pace": "50ms"}}));
    let stream = gpt_load.post("/v1/chat/completions").json(&slow).open();
    assert_eq!(mock.seen()[0].key.as_deref(), Some(A));
    fs::write(gpt_load.keys_file(), format!("{B}\n")).unwrap();
    gpt_load.signal("HUP");
    eventually("the file is read", || total(&gpt_load) == 1);
    for _ in 0..3 {
        assert_eq!(gpt_load.chat().status, 200);
    }
    let (rest, whole) = stream.rest();
    assert!(whole && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!((mock.key(A).asked, mock.key(B).asked), (1, 3));
}

#[test]
fn a_file_without_a_usable_key_keeps_the_old_keys() {
    let mock = provider(&[(A, "valid")]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (text, reason) in [("# nothing\n", "holds no usable key"), ("\u{0}\u{1}\n", "holds no usable key")] {
        fs::write(gpt_load.keys_file(), text).unwrap();
        gpt_load.signal("HUP");
        let error = gpt_load.logged(reason, |line| {
            line["level"] == "error" && line["error"].as_str().is_some_and(|error| error.contains(reason))
        });
        assert!(error["error"].as_str().unwrap().starts_with("KEYS_FILE: keys.txt"), "{error}");
        assert_eq!((total(&gpt_load), gpt_load.chat().status.as_u16()), (1, 200));
    }
    fs::remove_file(gpt_load.keys_file()).unwrap();
    gpt_load.signal("HUP");
    gpt_load.logged("the missing file", |line| {
        line["level"] == "error" && line["error"].as_str().is_some_and(|error| error.contains("no such file"))
    });
    assert_eq!(total(&gpt_load), 1);
    // And once it is good again, it counts.
    fs::write(gpt_load.keys_file(), format!("{A}\n{B}\n")).unwrap();
    eventually("the good file is read", || total(&gpt_load) == 2);
}
