//! Any text is read as the keys that are on its lines, one by one, each once and in order.

use gpt_load::keys::file::{self, Unusable};

pub fn check(input: &[u8]) {
    let keys = match file::parse(input.to_vec()) {
        Err(Unusable::Utf16) => {
            return assert!(input.starts_with(&[0xff, 0xfe]) || input.starts_with(&[0xfe, 0xff]));
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 600, "{told}");
            return assert!(on_lines(input).is_empty());
        }
        Ok(read) => {
            assert!(read.skipped.first.len() <= read.skipped.total);
            read.keys
        }
    };
    let mut want: Vec<&str> = Vec::new();
    for key in on_lines(input) {
        if !want.contains(&key) {
            want.push(key);
        }
    }
    assert_eq!(keys.iter().collect::<Vec<_>>(), want);
    for (index, key) in (0..).zip(want) {
        assert_eq!(keys.find(key), Some(index));
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert_eq!(keys.find("a key that is in no file"), None);
}

fn on_lines(text: &[u8]) -> Vec<&str> {
    text.split(|byte| *byte == b'\n').filter_map(file::key_on).collect()
}
