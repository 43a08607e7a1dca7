//! Reads what an answer says of tokens while it passes: looks for `"usage` in each piece, and collects the object behind
//! it, which is small. Nothing is held back, and nothing else is kept.
//!
//! OpenAI's `usage` (chat, responses, embeddings), Anthropic's (input in the first event, output in the last) and
//! Gemini's `usageMetadata` (in each piece, growing) are told by their fields. The last that tells a
//! number counts: an answer's own `usage` stands behind what the model wrote, which may have one too.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr2, memchr3};

/// Begins `"usage"` and `"usageMetadata"`.
const WORD: &[u8] = b"\"usage";
/// A larger object is no usage.
const LONGEST: usize = 4096;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORD));

/// Tokens of one request, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the request, with those that came from the provider's cache.
    pub input: u64,
    /// Of the answer, with its reasoning.
    pub output: u64,
    /// Of the input: read from the provider's cache.
    pub cached: u64,
}

/// Looks through an answer's pieces.
#[derive(Debug, Default)]
pub struct Reader {
    usage: Usage,
    /// How much of the word ended the last piece.
    begun: usize,
    /// Whether a backslash ended it.
    escaped: bool,
    /// Whether the word was found, and the object behind it has not ended.
    within: bool,
    /// The object so far, where it comes in pieces.
    held: Vec<u8>,
    /// Its braces that are open.
    depth: usize,
}

impl Reader {
    /// Looks at the next piece.
    pub fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            piece = if self.within { self.collect(piece) } else { self.find(piece) };
        }
    }

    /// What was found.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Looks for the word; gives back what is behind it.
    fn find<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let mut from = 0;
        let begun = std::mem::take(&mut self.begun);
        if begun > 0 {
            // The word may have been torn. Nothing within it begins it anew.
            let missing = WORD.get(begun..).unwrap_or_default();
            from = missing.iter().zip(piece).take_while(|(word, byte)| word == byte).count();
            if from == missing.len() {
                return self.enter(piece.get(from..));
            }
            if from == piece.len() {
                self.begun = begun + from;
                return &[];
            }
        }
        // A quote behind a backslash stands in a string and begins no name.
        let escaped = |at: usize| if at == 0 { self.escaped } else { piece.get(at - 1) == Some(&b'\\') };
        while let Some(at) = piece.get(from..).and_then(|rest| FINDER.find(rest)) {
            let at = from + at;
            if !escaped(at) {
                return self.enter(piece.get(at + WORD.len()..));
            }
            from = at + 1;
        }
        let end = piece.len().saturating_sub(WORD.len() - 1).max(from);
        let quote = piece.get(end..).and_then(|end| memchr::memrchr(b'"', end)).map(|at| end + at);
        let torn = quote.filter(|at| !escaped(*at)).and_then(|at| piece.get(at..));
        self.begun = torn.filter(|torn| WORD.starts_with(torn)).map_or(0, <[u8]>::len);
        self.escaped = piece.last() == Some(&b'\\');
        &[]
    }

    /// The word was found; gives back what is behind it.
    fn enter<'a>(&mut self, rest: Option<&'a [u8]>) -> &'a [u8] {
        self.within = true;
        self.escaped = false;
        rest.unwrap_or_default()
    }

    /// Collects the object behind the word; gives back what is behind the object.
    fn collect<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let mut from = 0;
        while let Some(rest) = piece.get(from..) {
            // `"usage":null`, or `"usage":5`: no object comes. Usage has no braces in strings.
            let found =
                if self.depth == 0 { memchr3(b'{', b',', b'\n', rest) } else { memchr2(b'{', b'}', rest) };
            let Some(at) = found.map(|at| from + at) else { break };
            from = at + 1;
            self.depth = match piece.get(at) {
                Some(b'{') => self.depth + 1,
                _ => self.depth.saturating_sub(1),
            };
            if self.depth == 0 || self.held.len() + at >= LONGEST {
                return self.end(piece, from);
            }
        }
        if self.held.len() + piece.len() > LONGEST {
            return self.end(piece, piece.len());
        }
        self.held.extend_from_slice(piece);
        &[]
    }

    /// The object has ended there, or is none; gives back what is behind it.
    fn end<'a>(&mut self, piece: &'a [u8], at: usize) -> &'a [u8] {
        let (last, rest) = piece.split_at_checked(at).unwrap_or((piece, &[]));
        if self.held.is_empty() {
            self.take(last);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(last);
            self.take(&held);
        }
        (self.within, self.depth) = (false, 0);
        rest
    }

    fn take(&mut self, text: &[u8]) {
        // Before it comes the end of the word.
        let Some(object) = memchr::memchr(b'{', text).and_then(|at| text.get(at..)) else { return };
        let found = Fields::read(object).usage();
        let keep = |kept: &mut u64, found: u64| {
            if found > 0 {
                *kept = found;
            }
        };
        keep(&mut self.usage.input, found.input);
        keep(&mut self.usage.output, found.output);
        keep(&mut self.usage.cached, found.cached);
    }
}

/// Every provider's names for it.
#[derive(Default)]
struct Fields {
    input: Option<u64>,
    output: Option<u64>,
    thoughts: Option<u64>,
    /// Beside the input: what Gemini's tools brought to it.
    tools: Option<u64>,
    /// Beside the input, which Anthropic counts without what it read from its cache, or wrote to it.
    cache_read: Option<u64>,
    cache_written: Option<u64>,
    /// Among the input.
    cached: Option<u64>,
    /// Whether the input has OpenAI's name.
    is_prompt: bool,
}

impl Fields {
    /// The numbers in an object, and in the objects within it that tell of the input.
    fn read(mut text: &[u8]) -> Self {
        let (mut fields, mut depth, mut within) = (Self::default(), 0_usize, &b""[..]);
        while let Some((byte, rest)) = text.split_first() {
            text = rest;
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                b'"' => {
                    let Some(end) = memchr::memchr(b'"', rest) else { break };
                    let (name, behind) = rest.split_at_checked(end).unwrap_or_default();
                    let behind = behind.get(1..).unwrap_or_default().trim_ascii_start();
                    text = behind;
                    let Some(value) = behind.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else {
                        continue;
                    };
                    text = value;
                    if value.first() == Some(&b'{') && depth == 1 {
                        within = name;
                    } else if let Some(number) = number(value) {
                        fields.set(if depth == 1 { b"" } else { within }, name, number);
                    }
                }
                _ => {}
            }
        }
        fields
    }

    fn set(&mut self, within: &[u8], name: &[u8], number: u64) {
        self.is_prompt |= within.is_empty() && name == b"prompt_tokens";
        let field = match (within, name) {
            (b"", b"prompt_tokens" | b"input_tokens" | b"promptTokenCount") => &mut self.input,
            (b"", b"completion_tokens" | b"output_tokens" | b"candidatesTokenCount") => &mut self.output,
            (b"", b"thoughtsTokenCount") => &mut self.thoughts,
            (b"", b"toolUsePromptTokenCount") => &mut self.tools,
            (b"", b"cache_read_input_tokens") => &mut self.cache_read,
            (b"", b"cache_creation_input_tokens") => &mut self.cache_written,
            (b"", b"cachedContentTokenCount" | b"prompt_cache_hit_tokens" | b"cached_tokens")
            | (b"prompt_tokens_details" | b"input_tokens_details", b"cached_tokens") => &mut self.cached,
            _ => return,
        };
        *field = Some(number);
    }

    fn usage(&self) -> Usage {
        let beside = self.cache_read.unwrap_or(0).saturating_add(self.cache_written.unwrap_or(0));
        // Relays that speak OpenAI's words put Anthropic's beside them, and count them in.
        let beside = if self.is_prompt { 0 } else { beside.saturating_add(self.tools.unwrap_or(0)) };
        Usage {
            input: self.input.map_or(0, |input| input.saturating_add(beside)),
            output: self.output.unwrap_or(0).saturating_add(self.thoughts.unwrap_or(0)),
            cached: self.cache_read.or(self.cached).unwrap_or(0),
        }
    }
}

/// The whole number that a text begins with. Some write it as a float, `12.0`.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits).filter(|_| digits > 0)?;
    let rest = match rest.split_first() {
        Some((b'.', fraction)) => {
            let zeros = fraction.iter().take_while(|byte| **byte == b'0').count();
            fraction.get(zeros..).unwrap_or_default()
        }
        _ => rest,
    };
    if matches!(rest.first(), Some(b'.' | b'e' | b'E' | b'0'..=b'9')) {
        return None;
    }
    number
        .iter()
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CASES: [(&str, Usage); 16] = [
        (
            r#"{"id":"x","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            Usage { input: 9, output: 12, cached: 4 },
        ),
        (
            "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}}\n\ndata: [DONE]\n\n",
            Usage { input: 7, output: 3, cached: 0 },
        ),
        (
            "data: {\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":90,\"output_tokens\":1}}}\n\ndata: {\"usage\":{\"output_tokens\":15}}\n\n",
            Usage { input: 100, output: 15, cached: 90 },
        ),
        (
            r#"data: {"response":{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":6,"output_tokens_details":{"reasoning_tokens":0}}}}"#,
            Usage { input: 5, output: 6, cached: 2 },
        ),
        (
            r#"{"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":6,"promptTokensDetails":[{"modality":"TEXT"}]}}"#,
            Usage { input: 4, output: 11, cached: 0 },
        ),
        (
            r#"{"usageMetadata":{"promptTokenCount":4,"toolUsePromptTokenCount":30,"candidatesTokenCount":5}}"#,
            Usage { input: 34, output: 5, cached: 0 },
        ),
        (
            r#"{"usage":{"prompt_tokens":12.0,"completion_tokens":3.00}}"#,
            Usage { input: 12, output: 3, cached: 0 },
        ),
        (
            r#"{"usage":{"prompt_tokens":12.5,"completion_tokens":3}}"#,
            Usage { input: 0, output: 3, cached: 0 },
        ),
        (
            r#"{"usage":{"prompt_tokens":1.0e9,"completion_tokens":3}}"#,
            Usage { input: 0, output: 3, cached: 0 },
        ),
        (r#"{"usage":{"prompt_tokens":3,"total_tokens":3}}"#, Usage { input: 3, output: 0, cached: 0 }),
        (r#"{"text":"say \"usage\": {\"prompt_tokens\": 9}"}"#, Usage { input: 0, output: 0, cached: 0 }),
        (r#"{"usage":5,"x":{"prompt_tokens":9}}"#, Usage { input: 0, output: 0, cached: 0 }),
        (
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":5,"cache_read_input_tokens":90}}"#,
            Usage { input: 100, output: 5, cached: 90 },
        ),
        (
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":5,"cached_tokens":80}}"#,
            Usage { input: 100, output: 5, cached: 80 },
        ),
        (
            r#"{"content":[{"input":{"usage":{"input_tokens":7000,"output_tokens":9000}}}],"usage":{"input_tokens":12,"output_tokens":34}}"#,
            Usage { input: 12, output: 34, cached: 0 },
        ),
        ("", Usage { input: 0, output: 0, cached: 0 }),
    ];

    #[test]
    fn every_providers_words_are_read_however_they_are_torn() {
        for (text, want) in CASES {
            for size in 1..=text.len().max(1) {
                let mut reader = Reader::default();
                text.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
                assert_eq!(reader.usage(), want, "{text} by {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_in_bounded_memory(pieces in prop::collection::vec("(\"usage\":\\{)?[a-z\\{\\}\",]{0,200}", 0..60)) {
            let mut reader = Reader::default();
            for piece in pieces {
                reader.read(piece.as_bytes());
                prop_assert!(reader.held.len() <= LONGEST);
            }
        }
    }
}
