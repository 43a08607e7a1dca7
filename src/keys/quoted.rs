//! Keys that somebody quotes: finds any key of the pool in a text that leaves, however many there are, as it is written or
//! escaped.
//!
//! An automaton over a million keys would take gigabytes. A key is found by its length and its hash instead: wherever a run of
//! visible characters is long enough for a key, each place in it that begins as some key does is looked up in the table of keys,
//! once for each length that keys have (one provider's have one or two).

use std::cmp::Reverse;
use std::ops::Range;

use memchr::memmem;

use super::escaped::{Reading, base64, base64_at_end};
use super::file::KeyTable;
use super::secret::preview;

/// How many bytes of a key's beginning are looked at first.
const BEGINNING: usize = 4;
/// A shorter key could be any word: only the leased one is looked for then.
const SHORTEST: usize = 8;
/// A part of the leased key that is longer than any preview tells it as well as all of it does.
const PART: usize = 16;
/// Any part has one of these in it that begins at a multiple of its length.
const BLOCK: usize = 8;
/// Escapes within escapes: JSON within JSON within a URL.
const DEPTH: usize = 3;
/// The longest escape of one character, `\\u002b` with its backslash escaped twice.
const ESCAPE: usize = 9;

/// What the keys of a table have in common.
pub(crate) struct Marks {
    /// The lengths that keys have, longest first.
    lengths: Box<[usize]>,
    /// No text that is shorter has a whole key in it.
    shortest: usize,
    /// Which beginnings they have: a bit for each hash of one.
    beginnings: Box<[u64; 1024]>,
    /// The first bytes that they have.
    firsts: Box<[u8]>,
}

/// A piece of a text that has to be hidden.
struct Quoted {
    at: Range<usize>,
    /// What may be shown in its place.
    shown: String,
}

impl Marks {
    pub(crate) fn of(keys: &KeyTable) -> Self {
        let (mut lengths, mut firsts) = (Vec::<usize>::new(), Vec::new());
        let mut beginnings = Box::new([0; 1024]);
        for key in keys.iter() {
            if let Err(at) = lengths.binary_search_by(|length| key.len().cmp(length)) {
                lengths.insert(at, key.len());
            }
            if let Some(first) = key.as_bytes().first()
                && !firsts.contains(first)
            {
                firsts.push(*first);
            }
            if let Some((word, bit)) = place(key.as_bytes())
                && let Some(word) = beginnings.get_mut(word)
            {
                *word |= bit;
            }
        }
        let shortest = SHORTEST.max(lengths.last().copied().unwrap_or_default());
        Self { lengths: lengths.into(), shortest, beginnings, firsts: firsts.into() }
    }

    /// `text` with every key in it replaced by its preview, and with every long part of the leased one hidden, escaped or not;
    /// `None` if there are none.
    pub(crate) fn redact(&self, keys: &KeyTable, leased: &str, text: &[u8]) -> Option<Vec<u8>> {
        replaced(text, self.quoted(keys, leased, text))
    }

    /// `text` with every key that stands in it as it is replaced by its preview; `None` if there are none. For headers of answers
    /// that are passed on as they came: it costs next to nothing.
    #[inline]
    pub(super) fn redact_plain(&self, keys: &KeyTable, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() < self.shortest {
            return None;
        }
        let mut quoted = Vec::new();
        self.find_whole(keys, text, |at, key| quoted.push(Quoted { at, shown: preview(key) }));
        replaced(text, quoted)
    }

    /// Where [`redact`](Self::redact) would replace something, in order and apart.
    pub(super) fn places(&self, keys: &KeyTable, leased: &str, text: &[u8]) -> Vec<Range<usize>> {
        self.quoted(keys, leased, text).into_iter().map(|quoted| quoted.at).collect()
    }

    /// From where on the end of a text may be the beginning of what has to be hidden.
    pub(super) fn may_begin(&self, leased: &str, text: &[u8]) -> usize {
        // No key has a blank inside, nor has an escaped one.
        let reach = self.lengths.first().map_or(0, |longest| longest * ESCAPE);
        let run = text.iter().rev().take(reach).take_while(|byte| byte.is_ascii_graphic()).count();
        let (before, run) = text.split_at_checked(text.len() - run).unwrap_or_default();
        // An escape may not be over yet.
        let settled = run.len().saturating_sub(ESCAPE);
        let escape = run.iter().skip(settled).position(|byte| matches!(byte, b'\\' | b'%' | b'&'));
        let run = escape.and_then(|at| run.get(..settled + at)).unwrap_or(run);
        let mut begins = run.len();
        let mut reading = Reading::of(run);
        for depth in 0..=DEPTH {
            if depth > 0 && !reading.unescape() {
                break;
            }
            let text = reading.text();
            let mut found = self.may_begin_plain(leased, text);
            base64_at_end(text, |decoded, place| {
                found = found.min(place(self.may_begin_plain(leased, decoded)));
            });
            begins = begins.min(reading.place(found..found).start);
        }
        before.len() + begins
    }

    fn may_begin_plain(&self, leased: &str, text: &[u8]) -> usize {
        let run = text.iter().rev().take_while(|byte| byte.is_ascii_graphic()).count();
        let longest = self.lengths.first().copied().unwrap_or_default();
        let from = text.len() - run.min(longest);
        let begins = |at: &usize| {
            let rest = text.get(*at..).unwrap_or_default();
            let is_marked =
                |(word, bit): (usize, u64)| self.beginnings.get(word).is_some_and(|word| word & bit > 0);
            let begins_key = match place(rest) {
                Some(place) => is_marked(place),
                None => rest.first().is_some_and(|first| self.firsts.contains(first)),
            };
            begins_key || rest.len() < PART && memmem::find(leased.as_bytes(), rest).is_some()
        };
        (from..text.len()).find(begins).unwrap_or(text.len())
    }

    /// What has to be hidden, in order, no two pieces of it overlapping.
    fn quoted(&self, keys: &KeyTable, leased: &str, text: &[u8]) -> Vec<Quoted> {
        let mut quoted = Vec::new();
        self.find(keys, leased, text, |at, key| {
            quoted.push(Quoted { at, shown: key.map_or_else(hidden, preview) });
        });
        self.find_in_base64(keys, leased, text, |at| quoted.push(Quoted { at, shown: hidden() }));
        let mut reading = Reading::of(text);
        for _ in 0..DEPTH {
            if !reading.unescape() {
                break;
            }
            let mut hide = |at| quoted.push(Quoted { at: reading.place(at), shown: hidden() });
            self.find(keys, leased, reading.text(), |at, _| hide(at));
            self.find_in_base64(keys, leased, reading.text(), hide);
        }
        quoted.sort_by_key(|Quoted { at, .. }| (at.start, Reverse(at.end)));
        quoted.dedup_by(|next, quoted| {
            let overlaps = next.at.start < quoted.at.end;
            if overlaps && next.at.end > quoted.at.end {
                *quoted = Quoted { at: quoted.at.start..next.at.end, shown: hidden() };
            }
            overlaps
        });
        quoted
    }

    /// Finds keys, and parts of the leased one.
    fn find<'a>(
        &self,
        keys: &'a KeyTable,
        leased: &'a str,
        text: &[u8],
        mut found: impl FnMut(Range<usize>, Option<&'a str>),
    ) {
        self.find_whole(keys, text, |at, key| found(at, Some(key)));
        if leased.len() < SHORTEST && !leased.is_empty() {
            // Too short to be looked for otherwise.
            memmem::find_iter(text, leased).for_each(|at| found(at..at + leased.len(), Some(leased)));
        }
        find_parts(leased.as_bytes(), text, |at| found(at, None));
    }

    fn find_whole<'a>(&self, keys: &'a KeyTable, text: &[u8], mut found: impl FnMut(Range<usize>, &'a str)) {
        let (mut run_end, mut at) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| rest.len() >= self.shortest) {
            if at >= run_end {
                let run = rest.iter().take_while(|byte| byte.is_ascii_graphic()).count();
                run_end = at + run;
                if run < self.shortest {
                    at = run_end + 1;
                    continue;
                }
            }
            let key = self.begins_with_key(keys, rest, run_end - at);
            if let Some(key) = key {
                found(at..at + key.len(), key);
            }
            at += key.map_or(1, str::len);
        }
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

    fn find_in_base64(
        &self,
        keys: &KeyTable,
        leased: &str,
        text: &[u8],
        mut found: impl FnMut(Range<usize>),
    ) {
        base64(text, self.shortest.min(PART), |decoded, place| {
            self.find(keys, leased, decoded, |at, _| found(place(at)));
        });
    }
}

fn hidden() -> String {
    "****".to_owned()
}

fn replaced(text: &[u8], quoted: Vec<Quoted>) -> Option<Vec<u8>> {
    let mut replaced = (!quoted.is_empty()).then(|| Vec::with_capacity(text.len()))?;
    let mut copied = 0;
    for Quoted { at, shown } in quoted {
        replaced.extend_from_slice(text.get(copied..at.start)?);
        replaced.extend_from_slice(shown.as_bytes());
        copied = at.end;
    }
    replaced.extend_from_slice(text.get(copied..)?);
    Some(replaced)
}

/// Where the mark of a text's beginning stands.
fn place(text: &[u8]) -> Option<(usize, u64)> {
    let beginning = u32::from_le_bytes(*text.first_chunk::<BEGINNING>()?);
    // Fibonacci hashing: the upper 16 bits of the product.
    let hash = beginning.wrapping_mul(0x9E37_79B9) >> 16;
    Some(((hash >> 6) as usize, 1 << (hash & 63)))
}

/// Finds every part of the key that is too long to be told.
fn find_parts(key: &[u8], text: &[u8], mut found: impl FnMut(Range<usize>)) {
    if key.len() < PART || text.len() < PART {
        return;
    }
    let mut blocks: Vec<(&[u8], usize)> = key.windows(BLOCK).zip(0..).collect();
    blocks.sort_unstable();
    let mut searched = 0;
    for (block, at) in text.chunks_exact(BLOCK).zip((0..).step_by(BLOCK)) {
        let first = blocks.partition_point(|(other, _)| *other < block);
        let same = blocks.iter().skip(first).take_while(|(other, _)| *other == block);
        let longest = same.map(|(_, of_key)| common(key, *of_key, text, at)).max_by_key(Range::len);
        if let Some(part) = longest.filter(|part| part.len() >= PART && part.end > searched) {
            searched = part.end;
            found(part);
        }
    }
}

/// What of the text around `at` is what the key has around `of_key`.
fn common(key: &[u8], of_key: usize, text: &[u8], at: usize) -> Range<usize> {
    let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
    let (key_before, key_after) = key.split_at_checked(of_key).unwrap_or_default();
    let (text_before, text_after) = text.split_at_checked(at).unwrap_or_default();
    let before = key_before.iter().rev().zip(text_before.iter().rev()).take_while(same).count();
    let after = key_after.iter().zip(text_after).take_while(same).count();
    at - before..at + after
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
mod tests {
    use proptest::prelude::*;

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
    fn an_escaped_key_is_hidden_however_it_was_escaped() {
        const KEY: &str = "sk/live+key=with&marks/0001";
        let keys = file::parse(format!("{}\n{KEY}", KEYS[0]).into_bytes()).unwrap().keys;
        let marks = Marks::of(&keys);
        let percent = |text: &str| {
            text.replace('%', "%25")
                .replace('/', "%2F")
                .replace('+', "%2b")
                .replace('=', "%3D")
                .replace('&', "%26")
        };
        let json = |text: &str| text.replace('\\', "\\\\").replace('/', "\\/").replace('+', "\\u002B");
        let html = |text: &str| text.replace('&', "&amp;").replace('=', "&#x3D;").replace('+', "&#43;");
        let base64 = |text: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(text)
        };
        for escaped in [
            percent(KEY),
            percent(&percent(KEY)),
            json(KEY),
            json(&json(KEY)),
            json(&percent(KEY)),
            html(KEY),
            base64(KEY),
            base64(&format!("{KEY}:")),
            base64(&format!("user:{KEY}")),
            base64(&format!("a={KEY}&b")),
            json(&base64(&format!("{KEY}?>"))),
            base64(KEYS[0]).trim_end_matches('=').replace('+', "-").replace('/', "_"),
        ] {
            let text = format!("{{\"message\":\"Not {escaped}, no\"}}");
            // The leased one, or another.
            for leased in &[KEY, KEYS[0]] {
                let told = String::from_utf8(marks.redact(&keys, leased, text.as_bytes()).unwrap()).unwrap();
                let (begins, ends) = ("{\"message\":\"Not ", ", no\"}");
                assert!(told.starts_with(begins) && told.ends_with(ends) && told.contains("****"), "{told}");
                assert!(told.len() < begins.len() + ends.len() + 24, "{escaped}: {told}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_with_a_whole_key_in_it(pieces in prop::collection::vec((0_usize..12, 0_usize..40), 0..12)) {
            let keys = file::parse(KEYS.join("\n").into_bytes()).unwrap().keys;
            let marks = Marks::of(&keys);
            let around = ["x", "\"", "\\", "%", "&#", " ", "\\/", "=="];
            let text: String = pieces
                .iter()
                .map(|(choice, cut)| match KEYS.get(*choice) {
                    Some(key) => key.get(key.len().saturating_sub(*cut)..).filter(|_| cut % 3 == 0).unwrap_or(key),
                    None => around.get(choice - KEYS.len()).copied().unwrap_or_default(),
                })
                .collect();
            let told = marks.redact(&keys, KEYS[0], text.as_bytes());
            let left = told.as_deref().unwrap_or(text.as_bytes());
            for key in KEYS {
                prop_assert!(memmem::find(left, key.as_bytes()).is_none(), "{}", text);
            }
            let places = marks.places(&keys, KEYS[0], text.as_bytes());
            prop_assert_eq!(places.is_empty(), told.is_none());
            prop_assert!(places.iter().all(|at| !at.is_empty() && at.end <= text.len()));
            prop_assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    #[test]
    fn what_overlaps_is_hidden_as_one() {
        let keys = file::parse(b"sk-aaaaaaaaaaaaaaaaaaaaaaaa-sk\nsk-bbbbbbbbbbbbbbbbbbbbbbbb".to_vec())
            .unwrap()
            .keys;
        let marks = Marks::of(&keys);
        let hidden = |leased: &str, text: &str| {
            String::from_utf8(marks.redact(&keys, leased, text.as_bytes()).unwrap()).unwrap()
        };
        let text = "x sk-aaaaaaaaaaaaaaaaaaaaaaaa-sk-bbbbbbbbbbbbbbbbbbbbbbbb y";
        assert_eq!(hidden(keys.get(0), text), "x sk-aaaaa...a-sk-bbbbbbbbbbbbbbbbbbbbbbbb y");
        assert_eq!(hidden(keys.get(1), text), "x **** y");
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
