//! The words of a message: as the provider's own as can be, and quick to look for many of them.

use memchr::memmem;
use serde_json::Value;

use super::{json, script};

/// A message that is looked through for many words.
///
/// A bitmap of its bytes by three says at once of nearly every word that it is not there: hundreds of words cost less
/// than the look for a few.
#[derive(Debug)]
pub(super) struct Words {
    text: String,
    triples: [u64; TRIPLES / 64],
}

const TRIPLES: usize = 8192;

impl Default for Words {
    fn default() -> Self {
        Self { text: String::new(), triples: [0; TRIPLES / 64] }
    }
}

impl Words {
    /// The words of a message: in lower case, without what it quotes, spaces as one.
    pub(super) fn of(message: &str) -> Self {
        let mut words = Self { text: spaced(without_quotations(message)), ..Self::default() };
        for triple in triples(&words.text) {
            if let Some(bits) = words.triples.get_mut(triple / 64) {
                *bits |= 1 << (triple % 64);
            }
        }
        words
    }

    /// The text, in lower case.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a word begins, if it is there.
    pub(super) fn find(&self, word: &str) -> Option<usize> {
        if triples(word).all(|triple| self.has_triple(triple)) { self.look_for(word) } else { None }
    }

    fn has_triple(&self, triple: usize) -> bool {
        self.triples.get(triple / 64).is_some_and(|bits| bits >> (triple % 64) & 1 != 0)
    }

    /// Whether one of the words may be there of which these are the middles.
    pub(super) fn may_have(&self, middles: &[u16]) -> bool {
        middles.iter().any(|middle| self.has_triple(usize::from(*middle)))
    }

    /// Rarely needed: kept out of the way of the look into the bitmap.
    #[inline(never)]
    fn look_for(&self, word: &str) -> Option<usize> {
        places(&self.text, word).next()
    }
}

/// What words go on with, or begin with, that are others: a keyboard is no key, an accountant no account.
const GOES_ON: [(&str, &[&str]); 3] = [
    ("key", &["board", "word", "note", "stone", "pad", "frame", "stroke", "hole", "path", "chain"]),
    ("token", &["iz", "is"]),
    ("account", &["ant", "ing", "ab"]),
];
const BEGINS_BEFORE: [(&str, &[&str]); 2] = [
    ("key", &["mon", "tur", "hot", "don", "joc", "hoc", "whis"]),
    ("our ", &["y", "h", "f", "t", "c", "l", "b", "v", "p"]),
];

/// Where a word begins, wherever it is there by itself.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + use<'a> {
    let is_other = move |at: &usize| {
        let (before, behind) = text.split_at_checked(*at).unwrap_or_default();
        let behind = behind.get(word.len()..).unwrap_or_default();
        GOES_ON
            .iter()
            .any(|(end, rests)| word.ends_with(end) && rests.iter().any(|rest| behind.starts_with(rest)))
            || BEGINS_BEFORE.iter().any(|(start, beginnings)| {
                word.starts_with(start) && beginnings.iter().any(|beginning| before.ends_with(beginning))
            })
    };
    memmem::find_iter(text.as_bytes(), word.as_bytes()).filter(move |at| !is_other(at))
}

/// The same of a few words' text, in which most words are not.
fn has(text: &str, word: &str) -> bool {
    text.contains(word) && places(text, word).next().is_some()
}

impl Words {
    /// Where a word begins, wherever it is there.
    pub(super) fn places<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + use<'a> {
        let text = self.find(word).map(|_| &*self.text);
        text.into_iter().flat_map(move |text| places(text, word))
    }

    /// What follows a word where it is there first.
    pub(super) fn after(&self, word: &str) -> Option<&str> {
        self.text.get(self.find(word)? + word.len()..)
    }
}

/// How many bytes may stand between a subject and what is said of it.
const REACH: usize = 48;

impl Words {
    /// Whether one of the first words is followed by one of the second, soon and within the sentence: "the account …
    /// suspended", whatever stands between.
    pub(super) fn follows(&self, first: &[&str], second: &[&str]) -> bool {
        if second.len() < first.len() && !self.has_any(second) {
            return false;
        }
        self.ends(first).any(|at| {
            let rest = self.text.get(at..).unwrap_or_default();
            let rest = beginning(rest, REACH);
            let stops = [". ", "; ", "! ", "。", "；", "，请"];
            // "sk-... has expired" is one sentence.
            let ends = |stop: &str| {
                rest.match_indices(stop)
                    .find(|(at, _)| !rest.get(..*at).is_some_and(|before| before.ends_with('.')))
                    .map(|(at, _)| at)
            };
            let end = stops.iter().filter_map(|stop| ends(stop)).min().unwrap_or(rest.len());
            let rest = rest.get(..end).unwrap_or_default();
            second.iter().any(|word| has(rest, word))
        })
    }

    /// Whether one of these is there: of two lists the shorter one is looked for first.
    fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.find(word).is_some())
    }

    /// Where these words end, the first eight of each.
    fn ends<'a>(&'a self, words: &'a [&'a str]) -> impl Iterator<Item = usize> + use<'a> {
        let there = words.iter().filter(|word| self.find(word).is_some());
        there.flat_map(|word| places(&self.text, word).take(8).map(|at| at + word.len()))
    }
}

/// How many bytes may stand between an owner and what belongs to it.
const BELONGS: usize = 24;

impl Words {
    /// Whether one of the second words is of one of the first: "the gateway's own key", "渠道密钥".
    pub(super) fn belong(&self, owners: &[&str], things: &[&str]) -> bool {
        if things.len() < owners.len() && !self.has_any(things) {
            return false;
        }
        self.ends(owners).any(|at| {
            let rest = self.text.get(at..).unwrap_or_default();
            let rest = beginning(rest, BELONGS);
            let rest = rest.split(['.', ',', ':', ';', '：', '，', '。']).next().unwrap_or_default();
            let two_words = rest.match_indices(' ').nth(2).map_or(rest.len(), |(at, _)| at);
            let rest = rest.get(..two_words).unwrap_or_default();
            things.iter().any(|thing| has(rest, thing))
        })
    }
}

impl Words {
    /// Whether one of the second words stands right behind one of the first.
    pub(super) fn adjoin(&self, first: &[&str], second: &[&str]) -> bool {
        let there = first.iter().filter(|word| self.find(word).is_some());
        there.flat_map(|word| self.text.match_indices(word)).any(|(at, word)| {
            let rest = self.text.get(at + word.len()..).unwrap_or_default();
            second.iter().any(|word| rest.starts_with(word))
        })
    }
}

/// A text's words in lower case, each with a space behind it.
fn spaced(mut text: String) -> String {
    if !is_spaced(text.as_bytes()) {
        let plainly = script::plainly(&text);
        let mut plain = String::with_capacity(text.len() + 1);
        for letter in text.chars().chain([' ']) {
            if matches!(letter, '\u{3001}'..='\u{9fff}') {
                // These have no cases.
                plain.push(plainly(letter));
            } else if !letter.is_whitespace() {
                plain.extend(letter.to_lowercase().map(&plainly));
            } else if !matches!(plain.as_bytes(), [] | [.., b' ']) {
                plain.push(' ');
            }
        }
        return plain;
    }
    text.make_ascii_lowercase();
    if !text.ends_with(' ') {
        text.push(' ');
    }
    text
}

/// Whether a text has single spaces between its words and no letter that is written otherwise. Most do.
#[expect(clippy::needless_bitwise_bool, reason = "without an early end this is told of many bytes at once")]
fn is_spaced(text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return false };
    let is_odd = |byte: u8, next: u8| !matches!(next, b' '..=b'~') | ((byte == b' ') & (next == b' '));
    first.is_ascii_graphic()
        && !text.iter().zip(rest).fold(false, |odd, (byte, next)| odd | is_odd(*byte, *next))
}

/// Where three neighbouring bytes stand in the bitmap, for all of a text's.
fn triples(text: &str) -> impl Iterator<Item = usize> {
    text.as_bytes().windows(3).map(|bytes| {
        let byte = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
        ((byte(0) * 37 + byte(1)) * 37 + byte(2)) % TRIPLES
    })
}

/// Where the three bytes in a word's middle do, which tell it from others better than its beginning.
pub(super) fn middle(word: &str) -> Option<u16> {
    let middle = word.len().saturating_sub(3) / 2;
    triples(word).nth(middle).and_then(|triple| u16::try_from(triple).ok())
}

/// Whether it is a letter or a number of any script. Of China's characters that is known without a table.
pub(super) fn is_letter(letter: char) -> bool {
    matches!(letter, 'a'..='z' | '\u{4e00}'..='\u{9fff}') || letter.is_alphanumeric()
}

/// As much of a text's beginning as is whole within so many bytes.
pub(super) fn beginning(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A message without what it quotes: that is the client's own text, and may say anything.
fn without_quotations(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut rest = message;
    let is_plain =
        !["“", "‘", "「"].iter().any(|mark| memmem::find(message.as_bytes(), mark.as_bytes()).is_some());
    let quoted = |text: &str| {
        if is_plain {
            memchr::memchr3(b'\'', b'"', b'`', text.as_bytes())
        } else {
            text.find(['\'', '"', '`', '“', '‘', '「'])
        }
    };
    while let Some(at) = quoted(rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        kept.push_str(before);
        let Some(opening) = from.chars().next() else { break };
        rest = from.get(opening.len_utf8()..).unwrap_or_default();
        let closing = match opening {
            // An apostrophe within a word quotes nothing.
            '\'' | '"' | '`' if kept.ends_with(char::is_alphanumeric) => {
                kept.push(opening);
                continue;
            }
            '“' => '”',
            '‘' => '’',
            '「' => '」',
            same => same,
        };
        // A quotation that does not end was cut off.
        let Some((_, after)) = rest.split_once(closing) else { return kept };
        kept.push(' ');
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// "429 {…}", "API Error: 529 {…}", "402 Payment Required: {…}": an SDK's error as text.
fn tells_status(text: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
        .any(|word| matches!(word.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9']))
}

/// Whether it is an answer that names its own status.
fn names_status(value: &Value) -> bool {
    let is_status = |name: &str| {
        value.get(name).and_then(Value::as_u64).is_some_and(|status| (400..600).contains(&status))
    };
    value.get("message").is_some_and(Value::is_string)
        && ["http_status", "status", "status_code", "code"].iter().any(|name| is_status(name))
}

/// How much a relay says before the answer that it passes on.
const LONGEST_LEAD: usize = 640;

/// The answer that a relay or an SDK put into its own message, as JSON or as Python writes it, and what stands before it.
pub(super) fn wrapped(text: &str) -> Option<(&str, Value)> {
    let beginning = text.as_bytes().get(..=LONGEST_LEAD).unwrap_or(text.as_bytes());
    // "[openai] Error code: 429 - {…}": a name stands in brackets, too.
    let opens = |at: &usize| {
        let after = beginning.get(at + 1..).unwrap_or_default().trim_ascii_start();
        beginning.get(*at) == Some(&b'{') || after.first() == Some(&b'{')
    };
    let at = memchr::memchr2_iter(b'{', b'[', beginning).find(opens)?;
    let (before, inner) = text.split_at_checked(at)?;
    let known = [
        "error code",
        "status code",
        "upstream",
        "exception",
        "provider",
        "bad response",
        "invalid response",
        "上游",
        "错误详情",
    ];
    // new-api says within its own sentence what the answer says again.
    let said = before.split(", message: ").next().unwrap_or_default().trim().to_lowercase();
    // Portkey: the response is the provider's.
    let is_of_request = ["invalid", "parsing", "tool"].iter().any(|word| said.contains(word))
        && !said.starts_with("invalid response");
    let is_known = || known.iter().any(|word| said.contains(word)) || tells_status(&said);
    let value = json::first(inner).filter(|value| value.is_object() || value.is_array())?;
    (said.is_empty() || !is_of_request && (is_known() || names_status(&value))).then_some((before, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_quoted_is_not_said() {
        for (message, want) in [
            ("The model `x` does not exist", "the model does not exist "),
            ("You didn't pay: 'a b' and \"c\"", "you didn't pay: and "),
            ("无效 “引用” 令牌", "无效 令牌 "),
            ("cut 'off in the middle", "cut "),
        ] {
            assert_eq!(Words::of(message).text(), want);
        }
    }

    proptest! {
        #[test]
        fn a_text_that_is_spaced_is_like_any(text in "[ab \t\n\x0b\x1c]{0,12}") {
            let words: String = text.split_whitespace().flat_map(|word| [word, " "]).collect();
            prop_assert_eq!(spaced(text), words);
        }

        #[test]
        fn a_word_that_is_there_may_be_there_by_its_middle(before in "[ab 错]{0,9}", word in "[ab错]{1,5}", behind in "[ab 错]{0,9}") {
            let words = Words::of(&format!("{before}{word}{behind}"));
            prop_assert_eq!(middle(&word).is_some(), word.len() >= 3);
            prop_assert!(middle(&word).is_none_or(|middle| words.may_have(&[middle])));
            prop_assert!(!words.may_have(&[]));
        }

        #[test]
        fn words_are_found_as_in_any_text(text in "[ab ]{0,20}", word in "[ab]{1,5}") {
            let words = Words::of(&text);
            prop_assert_eq!(words.find(&word), words.text().find(&word));
            let places: Vec<usize> = words.text().match_indices("ab").map(|(at, _)| at).collect();
            prop_assert_eq!(words.places("ab").collect::<Vec<_>>(), places);
        }
    }

    #[test]
    fn words_are_found_where_they_are_and_nowhere_else() {
        let words = Words::of("Your credit balance is too low");
        assert_eq!(words.find("credit balance"), Some(5));
        assert_eq!(words.find("too low "), Some(23));
        for absent in ["credits", "low balance", "余额"] {
            assert_eq!(words.find(absent), None);
        }
    }

    #[test]
    fn a_subject_and_what_is_said_of_it_stand_near_each_other_in_one_sentence() {
        let (account, closed) = (&["account", "账号"][..], &["suspended", "封禁"][..]);
        for (message, want) in [
            ("Your account of org-1 has been suspended.", true),
            ("Your account is fine. The model was suspended", false),
            ("suspended account", false),
            ("account, of which nobody knows today why on earth it ought to be suspended", false),
            ("您的账号已被封禁", true),
            ("该模型已被封禁，请换账号", false),
        ] {
            assert_eq!(Words::of(message).follows(account, closed), want, "{message}");
        }
    }

    #[test]
    fn a_word_is_not_found_in_others_that_begin_or_end_like_it() {
        for (message, word, want) in [
            ("your keyboard", "your key", None),
            ("your keyboards and your keys", "your key", Some(19)),
            ("the monkey is invalid", "key is invalid", None),
            ("my apikey is invalid", "key is invalid", Some(6)),
            ("a tokenizer", "token", None),
            ("tokens", "token", Some(0)),
            ("your accounts and our accounts", "our accounts", Some(18)),
            ("an hour accounts for it", "our accounts", None),
            ("accounting of AccountDisabled", "account", Some(14)),
        ] {
            assert_eq!(Words::of(message).find(word), want, "{message}");
        }
        let words = Words::of("an unknown api keyword of your keyboard that was deleted");
        assert!(!words.follows(&["your key"], &["deleted"]) && !words.follows(&["unknown"], &["api key"]));
        assert!(!words.belong(&["unknown"], &["api key"]));
    }

    #[test]
    fn what_belongs_to_somebody_stands_right_behind_or_a_word_later() {
        let (owners, things) = (&["upstream", "gateway's", "渠道"][..], &["key", "密钥"][..]);
        for (message, want) in [
            ("The upstream key is invalid", true),
            ("The gateway's own key was revoked", true),
            ("渠道密钥无效", true),
            ("Upstream: your key is invalid", false),
            ("The upstream did not like the key", false),
            ("key of the upstream", false),
            ("渠道繁忙，请更换密钥", false),
        ] {
            assert_eq!(Words::of(message).belong(owners, things), want, "{message}");
        }
    }

    #[test]
    fn a_relays_message_is_unwrapped() {
        for text in [
            r#"{"error":{"code":"x"}}"#,
            r#"bad response status code 429, body: {"error":{"code":"x"}} and so on"#,
            "Error code: 401 - {'error': {'code': 'x', 'param': None}}",
            r#"429 {"error":{"code":"x"}}"#,
            "[openai] Error code: 429 - {'error': {'code': 'x'}}",
            r#"APIStatusError: 529 {"error":{"code":"x"}}"#,
            r#"402 Payment Required: "{"error":{"code":"x"}}""#,
            r#"bad response status code 400, message: Invalid tool, body: {"error":{"code":"x"}}"#,
        ] {
            let (_, value) = wrapped(text).expect(text);
            assert_eq!(value.pointer("/error/code").and_then(Value::as_str), Some("x"), "{text}");
        }
        for text in [
            r#"Invalid value: {"error":{"code":"x"}}"#,
            r#"I have 4290 of {"error":{"code":"x"}}"#,
            "{not json",
            "no brace",
        ] {
            assert_eq!(wrapped(text), None, "{text}");
        }
    }
}
