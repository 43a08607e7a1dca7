use proptest::prelude::*;

use super::*;

fn keys(text: impl Into<Vec<u8>>) -> KeyFile {
    parse(text.into()).unwrap()
}

fn listed(file: &KeyFile) -> Vec<&str> {
    file.keys.iter().collect()
}

#[test]
fn keys_are_the_lines_that_are_neither_blank_nor_comments() {
    for (text, want) in [
        ("sk-1\nsk-2\n", &["sk-1", "sk-2"][..]),
        ("sk-1", &["sk-1"]),
        ("\r\nsk-1\r\n\r\nsk-2\r\n", &["sk-1", "sk-2"]),
        ("\u{feff}sk-1\nsk-2", &["sk-1", "sk-2"]),
        ("\u{feff}# comment\nsk-1", &["sk-1"]),
        ("sk-1\n\u{feff}sk-2", &["sk-1", "sk-2"]),
        ("# sk-0\n  # with spaces before it\nsk-1", &["sk-1"]),
        (" \tsk-1\u{b}\u{a0}\n\u{3000}sk-2\u{3000}\r\n", &["sk-1", "sk-2"]),
        ("sk#1\nsk-2#", &["sk#1", "sk-2#"]),
        ("b\na\nc\na\nb", &["b", "a", "c"]),
    ] {
        assert_eq!(listed(&keys(text)), want, "{text:?}");
    }
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let file = keys("a\nb\na \n\r\nb\nc\na");
    assert_eq!((listed(&file), file.duplicates), (vec!["a", "b", "c"], 3));
}

#[test]
fn a_line_that_cannot_travel_in_a_header_is_skipped_with_its_number() {
    let long = "k".repeat(LONGEST_KEY + 1);
    let text = format!("ok\nsk 1\n# x\nsk\t2\n\0\nключ\nsk-1\r#\n“sk-1”\n{long}\nfine\n");
    let mut text = text.into_bytes();
    text.extend(b"\xff\xfe\nlast");
    let file = keys(text);
    assert_eq!(listed(&file), ["ok", "fine", "last"]);
    assert_eq!(file.skipped.first, [2, 4, 5, 6, 7, 8, 9, 11]);
    assert_eq!(file.skipped.total, 8);
}

#[test]
fn skipped_lines_are_told_in_bounded_words() {
    for (first, total, want) in [
        (vec![7], 1, "line 7"),
        (vec![3, 7], 2, "lines 3 and 7"),
        (vec![1, 2, 3], 3, "lines 1, 2 and 3"),
        (vec![1, 2, 3], 483, "lines 1, 2, 3 and 480 more"),
    ] {
        assert_eq!(SkippedLines { first, total }.to_string(), want);
    }
    let file = keys(format!("key\n{}", "a b\n".repeat(1000)));
    assert_eq!((file.skipped.first.len(), file.skipped.total), (LISTED_LINES, 1000));
}

#[test]
fn a_text_without_a_usable_key_is_an_error_that_says_why() {
    for (text, want) in [
        (&b""[..], "holds no usable key: write one key a line"),
        (b"\n# only\n\r\n", "holds no usable key: write one key a line"),
        (b"\xef\xbb\xbf", "holds no usable key: write one key a line"),
        (
            b"\nmy secret\n",
            "holds no usable key: write one key a line (line 2 can't travel in an HTTP header: \
             spaces or special characters inside)",
        ),
        (b"\xff\xfes\0k\0", "is UTF-16 text: save it as UTF-8"),
    ] {
        assert_eq!(parse(text.to_vec()).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("keys.txt");
    assert_eq!(
        read(&missing).unwrap_err().to_string(),
        format!(
            "KEYS_FILE: {}: no such file: create it with one key a line, or copy keys.txt.example",
            missing.display()
        )
    );
    assert!(read(directory.path()).unwrap_err().to_string().contains("is a directory"));
    std::fs::write(&missing, "# nothing\n").unwrap();
    let empty = read(&missing).unwrap_err().to_string();
    assert!(empty.starts_with(&format!("KEYS_FILE: {}: holds no usable key", missing.display())));
    std::fs::write(&missing, "sk-1\n").unwrap();
    assert_eq!(listed(&read(&missing).unwrap()), ["sk-1"]);
}

#[test]
fn debug_shows_how_many_keys_and_none_of_them() {
    assert!(!format!("{:?}", keys("sk-secret\nsk-other")).contains("sk-"));
    assert_eq!(format!("{:?}", keys("a\nb").keys), "KeyTable(2 keys)");
}

#[test]
fn a_key_is_found_by_its_text() {
    let lines: Vec<_> = (0..5000).map(|n| format!("sk-{n}")).collect();
    let file = keys(lines.join("\n"));
    assert_eq!(file.keys.len(), 5000);
    assert_eq!(file.keys.find("sk-4321"), Some(4321));
    for absent in ["sk-5000", "sk-43210", "sk-432\n", "", "sk-4321 "] {
        assert_eq!(file.keys.find(absent), None);
    }
}

/// The same rules, as slowly and plainly as they can be written.
fn plainly(text: &str) -> (Vec<String>, usize, usize) {
    let (mut found, mut duplicates, mut skipped) = (Vec::<String>::new(), 0, 0);
    for line in text.split('\n').map(|line| line.trim_matches(is_blank)) {
        if line.is_empty() || line.starts_with('#') {
        } else if line.len() > LONGEST_KEY || !line.chars().all(|c| c.is_ascii_graphic()) {
            skipped += 1;
        } else if found.iter().any(|key| key == line) {
            duplicates += 1;
        } else {
            found.push(line.to_owned());
        }
    }
    (found, duplicates, skipped)
}

proptest! {
    #[test]
    fn any_text_gives_what_the_rules_say(text in "(sk|[a-c]|#| |\t|\r|\n|\r\n|\u{feff}|\u{a0}|é|\0){0,60}") {
        let (want, duplicates, skipped) = plainly(&text);
        match parse(text.into_bytes()) {
            Ok(file) => {
                prop_assert_eq!(listed(&file), want);
                prop_assert_eq!((file.duplicates, file.skipped.total), (duplicates, skipped));
            }
            Err(reason) => {
                prop_assert!(want.is_empty());
                let no_key = matches!(reason, Unusable::NoKey { skipped: lines } if lines.total == skipped);
                prop_assert!(no_key);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(text: Vec<u8>) {
        if let Ok(file) = parse(text) {
            for (number, key) in (0..).zip(file.keys.iter()) {
                prop_assert!(!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(file.keys.find(key), Some(number));
                prop_assert_eq!(file.keys.get(number), key);
            }
        }
    }
}
