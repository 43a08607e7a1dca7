//! Keys that somebody quotes: finds any key of the pool in a text that leaves, however many there are.
//!
//! An automaton over a million keys would take gigabytes. A key is found by its length and its hash instead: wherever a run of
//! visible characters is long enough for a key, each place in it that begins as some key does is looked up in the table of keys,
//! once for each length that keys have (one provider's have one or two).

use super::file::KeyTable;
use super::secret::{preview, redact};

/// How many bytes of a key's beginning are looked at first.
const BEGINNING: usize = 4;
/// A shorter key could be any word: only the leased one is looked for then.
const SHORTEST: usize = 8;
/// A part of the leased key that is longer than any preview tells it as well as all of it does.
const PART: usize = 16;

/// What the keys of a table have in common.
pub(super) struct Marks {
    /// The lengths that keys have, longest first.
    lengths: Box<[usize]>,
    /// Which beginnings they have: a bit for each hash of one.
    beginnings: Box<[u64; 1024]>,
}

impl Marks {
    pub(super) fn of(keys: &KeyTable) -> Self {
        let mut lengths: Vec<usize> = Vec::new();
        let mut beginnings = Box::new([0; 1024]);
        for key in keys.iter() {
            if let Err(at) = lengths.binary_search_by(|length| key.len().cmp(length)) {
                lengths.insert(at, key.len());
            }
            if let Some((word, bit)) = place(key.as_bytes())
                && let Some(word) = beginnings.get_mut(word)
            {
                *word |= bit;
            }
        }
        Self { lengths: lengths.into(), beginnings }
    }

    /// `text` with every key in it replaced by its preview, and with every long part of the leased one hidden; `None` if there
    /// are none.
    pub(super) fn redact(&self, keys: &KeyTable, leased: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut redacted = self.redact_whole(keys, text);
        // The leased key may be too short to be looked for otherwise, or be in the file no longer.
        for hide in [redact, redact_parts] {
            redacted = hide(redacted.as_deref().unwrap_or(text), leased).or(redacted);
        }
        redacted
    }

    fn redact_whole(&self, keys: &KeyTable, text: &[u8]) -> Option<Vec<u8>> {
        let mut redacted: Option<Vec<u8>> = None;
        // Up to where the text was copied, and the end of the run that we are in.
        let (mut copied, mut run_end, mut at) = (0, 0, 0);
        let shortest = SHORTEST.max(*self.lengths.last()?);
        while at < text.len() {
            let rest = text.get(at..)?;
            if at >= run_end {
                let run = rest.iter().take_while(|byte| is_of_a_key(**byte)).count();
                run_end = at + run;
                if run < shortest {
                    at = run_end + 1;
                    continue;
                }
            }
            let Some(key) = self.begins_with_key(keys, rest, run_end - at) else {
                at += 1;
                continue;
            };
            let redacted = redacted.get_or_insert_default();
            redacted.extend_from_slice(text.get(copied..at)?);
            redacted.extend_from_slice(preview(key).as_bytes());
            at += key.len();
            copied = at;
        }
        redacted.as_mut()?.extend_from_slice(text.get(copied..)?);
        redacted
    }

    fn begins_with_key<'a>(&self, keys: &'a KeyTable, text: &[u8], run: usize) -> Option<&'a str> {
        let (word, bit) = place(text)?;
        if self.beginnings.get(word)? & bit == 0 {
            return None;
        }
        let fitting = self.lengths.iter().filter(|length| (SHORTEST..=run).contains(*length));
        fitting.filter_map(|length| std::str::from_utf8(text.get(..*length)?).ok()).find_map(|key| {
            let index = keys.find(key)?;
            Some(keys.get(index))
        })
    }
}

/// Where the mark of a text's beginning stands.
fn place(text: &[u8]) -> Option<(usize, u64)> {
    let beginning = u32::from_le_bytes(*text.first_chunk::<BEGINNING>()?);
    // Fibonacci hashing: the upper 16 bits of the product.
    let hash = beginning.wrapping_mul(0x9E37_79B9) >> 16;
    Some(((hash >> 6) as usize, 1 << (hash & 63)))
}

/// What a key can be made of: visible, and not what ends a string in JSON.
fn is_of_a_key(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

/// Hides every part of the key that is too long to be told.
fn redact_parts(text: &[u8], key: &str) -> Option<Vec<u8>> {
    let mut hidden: Vec<(usize, usize)> = Vec::new();
    for part in key.as_bytes().windows(PART) {
        for at in memchr::memmem::find_iter(text, part) {
            hidden.push((at, at + PART));
        }
    }
    hidden.sort_unstable();
    let mut redacted = Vec::with_capacity(text.len());
    let mut copied = 0;
    for (from, to) in hidden {
        if from >= copied {
            redacted.extend_from_slice(text.get(copied..from)?);
            redacted.extend_from_slice(b"****");
        }
        copied = copied.max(to);
    }
    redacted.extend_from_slice(text.get(copied..)?);
    (copied > 0).then_some(redacted)
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use crate::keys::file;

    const KEYS: [&str; 4] = [
        "sk-proj-AAAAAAAAAAAAAAAAAAAAAAAAAAAA1111",
        "sk-proj-BBBBBBBBBBBBBBBBBBBBBBBBBBBB2222",
        "AIzaCCCCCCCCCCCCCCCCCCCC3333",
        "short-key",
    ];

    fn redacted(text: &str) -> Option<String> {
        let keys = file::parse(KEYS.join("\n").into_bytes()).unwrap().keys;
        let redacted = Marks::of(&keys).redact(&keys, KEYS[0], text.as_bytes());
        redacted.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn any_key_is_found_wherever_it_stands() {
        for key in &KEYS[..3] {
            for (before, after) in [
                ("", ""),
                ("key: ", "."),
                ("\"", "\""),
                ("https://x/?key=", "&a=b"),
                ("\\n", "\\n"),
                ("xxx", "yyy"),
                ("(", ")"),
            ] {
                let told = redacted(&format!("{before}{key}{after}")).unwrap();
                assert_eq!(told, format!("{before}{}{after}", preview(key)));
            }
        }
        let all = KEYS.join(" and ");
        let told = redacted(&all).unwrap();
        assert_eq!(told, "sk-proj-...1111 and sk-proj-...2222 and AIzaCCCC...3333 and ****");
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        for text in [
            "",
            "You exceeded your current quota, please check your plan.",
            "sk-proj-AAAAAAA",
            "sk-proj-...1111",
            "sk-proj-BBBBBBBBBBBBBBBBBBBBBBBBBBBB2223",
            "shor-tkey",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(redacted(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_part_of_the_leased_key_is_hidden() {
        assert_eq!(redacted("Bad key sk-proj-AAAAAAAAAAAAAAAA... given").unwrap(), "Bad key ****... given");
        assert_eq!(redacted("ends with AAAAAAAAAAAAAAAA1111").unwrap(), "ends with ****");
    }

    #[test]
    fn a_million_keys_are_searched_for_in_no_time() {
        let keys: Vec<String> = (0..100_000).map(|n| format!("sk-proj-{n:040}")).collect();
        let keys = file::parse(keys.join("\n").into_bytes()).unwrap().keys;
        let marks = Marks::of(&keys);
        let text =
            format!("{}sk-proj-{:040}", "no key at all, but words as in any text ".repeat(1_000), 99_999);
        let began = std::time::Instant::now();
        let told = marks.redact(&keys, "sk-proj-x", text.as_bytes()).unwrap();
        assert!(told.ends_with(b"sk-proj-...9999"));
        assert!(began.elapsed() < std::time::Duration::from_millis(500), "{:?}", began.elapsed());
    }
}
