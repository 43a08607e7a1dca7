//! Free sentences, heard by the meaning of their words: what is spoken of, and what is said of it nearby.

use std::cmp::Reverse;
use std::sync::LazyLock;

use super::rules::{KEY, LOOSE, Meaning, NOT, Things, VOCABULARY};
use super::words::{self, Words};

/// How many bytes may stand between a subject and what is said of it.
const REACH: usize = 72;
/// How far a negation reaches to a word that means something only with it, and to one that means nothing with it.
const TURNS: usize = 28;
const UNSAYS: usize = 10;
/// The same where characters are words: they stand right before.
const TURNS_NEXT: usize = 6;
/// A message has a kibibyte: one that has more of these is no sentence.
const MARKS_MAX: usize = 256;
/// A negation that follows stands right behind.
const NEXT: usize = 4;
/// Where the scripts begin that put no spaces between words.
const SPACELESS: char = '\u{2e80}';

/// The words of a message that mean something, in their order.
#[derive(Debug)]
pub(super) struct Heard {
    marks: Vec<Mark>,
    all: Things,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    from: usize,
    to: usize,
    sentence: usize,
    /// What it means: by itself at first, at last with the negations around it.
    plain: Things,
    negated: Things,
}

/// The vocabulary by the first bytes of its words, the longest first: a text is looked through once, however many words
/// there are.
static INDEX: LazyLock<Vec<Vec<Word>>> = LazyLock::new(|| {
    let mut index = vec![Vec::new(); PLACES];
    let words = VOCABULARY
        .iter()
        .flat_map(|meaning| meaning.words.split('|').map(move |word| Word::new(word, meaning)));
    for word in words {
        if let Some(words) = index.get_mut(place(word.head)) {
            words.push(word);
        }
    }
    for words in &mut index {
        words.sort_by_key(|word: &Word| Reverse(word.length));
    }
    index
});

const PLACES: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Word {
    spelling: &'static str,
    /// Without the space that ends it.
    length: usize,
    meaning: &'static Meaning,
    /// Its first bytes, and which of eight they are.
    head: u64,
    mask: u64,
}

impl Word {
    fn new(spelling: &'static str, meaning: &'static Meaning) -> Self {
        let unused = 64 - 8 * u32::try_from(spelling.len().min(8)).unwrap_or(8);
        let mask = u64::MAX.checked_shl(unused).unwrap_or(0);
        Self { spelling, length: spelling.trim_end().len(), meaning, head: head(spelling), mask }
    }

    /// Whether a text with that head begins with it.
    fn begins(&self, text: &str, head: u64) -> bool {
        head & self.mask == self.head && text.starts_with(self.spelling)
    }
}

/// The first eight bytes of a text, which nearly always tell it from another.
fn head(text: &str) -> u64 {
    let mut head = [0; 8];
    match text.as_bytes().first_chunk() {
        Some(bytes) => head = *bytes,
        None => head.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte),
    }
    u64::from_be_bytes(head)
}

/// Where the words stand in the index that begin with the first three bytes of this.
fn place(head: u64) -> usize {
    usize::try_from((head >> 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53).unwrap_or(0)
}

/// Words that stand before any key, and leave it the one that was sent. The last ones are whose key it is.
const BESIDE_KEYS: &str = "a admin an and any app application as attached auth authentication authorization by current das der el \
    expected following for from given header il in is its jwt la le live master my new o oauth of or our \
    passed personal presented private production provided project request sandbox sent service specified su \
    submitted supplied test that the these this those to trial tu un used user virtual was which with x \
    your \
    ai aliyun anthropic ark azure baidu bedrock bigmodel cerebras claude cohere dashscope deepseek doubao fireworks \
    gemini glm google grok groq hf huggingface hunyuan kimi llm minimax mistral moonshot novita nvidia openai \
    openrouter perplexity qianfan qwen relay replicate sambanova siliconflow sk stepfun tencent vertex volcengine \
    xai zai zhipu";

impl Heard {
    #[cold]
    pub(super) fn of(message: &Words, is_of_keys: bool) -> Self {
        let tidy = Tidy::of(message.text());
        let mut marks = tidy.marks();
        // The longest word counts, with all that it means.
        let mut longest = 0..0;
        marks.retain(|mark| {
            let is_within = mark.to <= longest.end && (mark.from, mark.to) != (longest.start, longest.end);
            if mark.to > longest.end {
                longest = mark.from..mark.to;
            }
            !is_within
        });
        if !is_of_keys {
            let known: Vec<usize> = marks.iter().map(|mark| mark.to).collect();
            for mark in marks.iter_mut().filter(|mark| mark.plain & LOOSE != 0) {
                if tidy.is_of_something_else(mark.from, &known) {
                    (mark.plain, mark.negated) = (mark.plain & !KEY, mark.negated & !KEY);
                }
            }
        }
        let negations: Vec<Mark> = marks.iter().filter(|mark| mark.plain & NOT != 0).copied().collect();
        for mark in &mut marks {
            let is_negated = negations.iter().any(|not| not.negates(mark, &tidy.text));
            mark.plain = if is_negated { mark.negated } else { mark.plain };
        }
        marks.retain(|mark| mark.plain != 0);
        let all = marks.iter().fold(0, |all, mark| all | mark.plain);
        Self { marks, all }
    }

    /// Whether any of these things is spoken of.
    pub(super) fn speaks_of(&self, things: Things) -> bool {
        self.all & things != 0
    }

    /// Whether the first of these things that is spoken of is one of those.
    pub(super) fn begins_with(&self, those: Things, things: Things) -> bool {
        self.marks.iter().find(|mark| mark.plain & things != 0).is_some_and(|mark| mark.plain & those != 0)
    }

    /// Whether something is said of a subject: near it, in the same sentence.
    pub(super) fn tells(&self, subjects: Things, said: Things) -> bool {
        if self.all & subjects == 0 || self.all & said == 0 {
            return false;
        }
        let is_both = |first: &Mark, next: &Mark| {
            first.plain & subjects != 0 && next.plain & said != 0
                || first.plain & said != 0 && next.plain & subjects != 0
        };
        self.marks.iter().enumerate().filter(|(_, first)| first.plain & (subjects | said) != 0).any(
            |(at, first)| {
                let rest = self.marks.iter().skip(at);
                rest.take_while(|next| {
                    next.sentence == first.sentence && next.from.saturating_sub(first.to) <= REACH
                })
                .any(|next| is_both(first, next))
            },
        )
    }
}

impl Mark {
    /// Whether this negation is one of that word.
    fn negates(&self, word: &Self, text: &str) -> bool {
        if self.sentence != word.sentence || self.from > word.to + NEXT {
            return false;
        }
        let is_spaceless =
            text.get(self.from..).is_some_and(|rest| rest.starts_with(|letter| letter >= SPACELESS));
        let reach = match (is_spaceless, word.plain) {
            (true, 0) => TURNS_NEXT,
            (true, _) => 0,
            (false, 0) => TURNS,
            (false, _) => UNSAYS,
        };
        let is_before = self.to <= word.from && word.from - self.to <= reach;
        // "existiert nicht".
        let is_behind = word.plain == 0 && self.from > word.to && self.from - word.to <= NEXT;
        is_before || is_behind
    }
}

/// A message's letters, and a space for all else and between scripts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tidy {
    text: String,
    /// Where its words begin, and where its sentences end.
    begins: Vec<usize>,
    ends: Vec<usize>,
}

impl Tidy {
    fn of(message: &str) -> Self {
        if message.is_ascii() { Self::of_ascii(message) } else { Self::of_any(message) }
    }

    fn of_any(message: &str) -> Self {
        let mut text = String::with_capacity(message.len() + 16);
        let (mut begins, mut ends) = (Vec::with_capacity(message.len() / 3), Vec::new());
        let mut letters = message.chars().peekable();
        let (mut before, mut is_behind_letter) = (' ', false);
        while let Some(letter) = letters.next() {
            // Most of a text in characters is these, one behind the other.
            if matches!(letter, '\u{4e00}'..='\u{9fff}') && is_behind_letter && before >= SPACELESS {
                begins.push(text.len());
                text.push(letter);
                continue;
            }
            let is_end = match letter {
                '。' | '；' | '！' | ';' | '!' | '?' | '？' => true,
                '.' => before != '.' && letters.peek().is_none_or(|next| *next == ' '),
                _ => false,
            };
            if is_end {
                ends.push(text.len());
            }
            let is_letter = words::is_letter(letter);
            let is_apart = is_behind_letter && (before < SPACELESS) != (letter < SPACELESS);
            let is_kept = is_letter || letter == '\'';
            if (!is_kept || is_apart) && !text.ends_with(' ') {
                text.push(' ');
            }
            if is_letter && (letter >= SPACELESS || is_apart || !is_behind_letter) {
                begins.push(text.len());
            }
            if is_kept {
                text.push(letter);
            }
            (before, is_behind_letter) = (letter, is_letter);
        }
        Self { text, begins, ends }
    }

    /// The same where there is but one script.
    fn of_ascii(message: &str) -> Self {
        let mut rest = message.as_bytes();
        let mut text = Vec::with_capacity(rest.len());
        let (mut begins, mut ends) = (Vec::with_capacity(rest.len() / 4), Vec::new());
        let mut before = b' ';
        while !rest.is_empty() {
            let letters = rest.iter().position(|byte| !byte.is_ascii_alphanumeric());
            let (word, behind) = rest.split_at_checked(letters.unwrap_or(rest.len())).unwrap_or_default();
            if let Some(last) = word.last() {
                begins.push(text.len());
                text.extend_from_slice(word);
                before = *last;
            }
            let Some((mark, after)) = behind.split_first() else { break };
            let is_end = match mark {
                b';' | b'!' | b'?' => true,
                b'.' => before != b'.' && after.first().is_none_or(|next| *next == b' '),
                _ => false,
            };
            if is_end {
                ends.push(text.len());
            }
            match mark {
                b'\'' => text.push(b'\''),
                _ if text.last() == Some(&b' ') => {}
                _ => text.push(b' '),
            }
            (rest, before) = (after, *mark);
        }
        Self { text: String::from_utf8(text).unwrap_or_default(), begins, ends }
    }

    /// Whether the word before says what it is a key of: "sort key", "thought signature". One that means something by itself
    /// says no such thing: "wrong key".
    fn is_of_something_else(&self, at: usize, known: &[usize]) -> bool {
        let before = self.text.get(..at).unwrap_or_default().trim_end();
        let is_apart = before.is_empty() || self.ends.iter().any(|end| (before.len()..=at).contains(end));
        let word = before.rsplit(' ').next().unwrap_or_default();
        let within = before.len() - word.len() + 1..=before.len();
        self.text.is_ascii()
            && !is_apart
            && !known.iter().any(|end| within.contains(end))
            && !BESIDE_KEYS.split(' ').any(|known| known == word)
    }

    /// The words that mean something.
    fn marks(&self) -> Vec<Mark> {
        let index = INDEX.as_slice();
        let mut marks = Vec::with_capacity(MARKS_MAX / 4);
        for from in self.begins.iter().copied() {
            let rest = self.text.get(from..).unwrap_or_default();
            let head = head(rest);
            let words = index.get(place(head)).map_or(&[][..], Vec::as_slice);
            for word in words.iter().filter(|word| word.begins(rest, head)) {
                if marks.len() == MARKS_MAX {
                    return marks;
                }
                marks.push(Mark {
                    from,
                    to: from + word.length,
                    sentence: self.ends.partition_point(|end| *end <= from),
                    plain: word.meaning.plain,
                    negated: word.meaning.negated,
                });
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rules::{ACCOUNT, DEAD, DOWN, MONEY, PROVIDER, SPENT, WRONG};
    use super::*;

    fn tells(message: &str, subject: Things, said: Things) -> bool {
        Heard::of(&Words::of(message), true).tells(subject, said)
    }

    #[test]
    fn what_is_said_of_a_subject_stands_near_it_on_either_side_in_one_sentence() {
        for (message, want) in [
            ("This key was long ago revoked.", true),
            ("Revoked: that key.", true),
            ("This key is fine. It was the session that got revoked.", false),
            (
                "key, of which nobody in the whole wide world knows why on earth it would today be revoked",
                false,
            ),
            ("A keyboard was revoked", false),
            ("密钥已被撤销", true),
            ("此key已被撤销", true),
        ] {
            assert_eq!(tells(message, KEY, DEAD), want, "{message}");
        }
    }

    #[test]
    fn a_negation_turns_what_follows_or_stands_right_before_it() {
        for (message, subject, said, want) in [
            ("We could not match your key", KEY, WRONG, true),
            ("We did match your key", KEY, WRONG, false),
            ("Your key was not revoked", KEY, DEAD, false),
            ("Der Schlüssel existiert nicht", KEY, WRONG, true),
            ("Nothing is left in your wallet", MONEY, SPENT, true),
            ("Much is left in your wallet", MONEY, SPENT, false),
            ("The server cannot be reached", PROVIDER, DOWN, true),
            ("The account has reached the server", ACCOUNT, DEAD | WRONG, false),
        ] {
            assert_eq!(tells(message, subject, said), want, "{message}");
        }
    }

    #[test]
    fn the_longest_word_hides_those_within_it() {
        assert!(tells("The token is invalid", KEY, WRONG));
        assert!(!tells("The stop token is invalid", KEY, WRONG));
        assert!(!tells("The page_token is invalid", KEY, WRONG));
    }

    #[test]
    fn a_key_of_something_else_is_none_where_the_request_is_spoken_of() {
        for (message, of_keys, of_requests) in [
            ("Invalid sort key", true, false),
            ("The thought signature is corrupt", true, false),
            ("Invalid key", true, true),
            ("The token is invalid", true, true),
            ("Look it up. Token invalid", true, true),
            ("The API key is invalid", true, true),
        ] {
            let tells = |is_of_keys| Heard::of(&Words::of(message), is_of_keys).tells(KEY, WRONG);
            assert_eq!((tells(true), tells(false)), (of_keys, of_requests), "{message}");
        }
    }

    #[test]
    fn a_hostile_message_has_so_many_marks_and_no_more() {
        let heard = Heard::of(&Words::of(&"key bad not ".repeat(6000)), true);
        assert!(heard.marks.len() <= MARKS_MAX);
    }

    proptest! {
        #[test]
        fn a_message_in_one_script_is_tidied_like_any(message in "[ -~]{0,40}|[a.;' ]{0,20}") {
            prop_assert_eq!(Tidy::of_ascii(&message), Tidy::of_any(&message));
        }
    }

    #[test]
    fn every_word_can_be_heard() {
        for word in VOCABULARY.iter().flat_map(|meaning| meaning.words.split('|')) {
            let tidy = Tidy::of(word);
            assert_eq!(tidy.text.trim_end(), word.trim_end(), "as it is never written");
            assert!(word.len() > 2 && word.starts_with(char::is_alphanumeric), "{word}");
            assert_eq!(word.to_lowercase(), word);
            assert!(tidy.marks().iter().any(|mark| mark.to >= word.trim_end().len()), "{word}");
        }
    }
}
