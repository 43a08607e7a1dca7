//! Reads what an answer says of tokens while it passes: looks for `"usage` in each piece, and collects the object behind
//! it, which is small. Nothing is held back, and nothing else is kept.
//!
//! OpenAI's `usage` (chat, responses, embeddings), Anthropic's (input in the first event, output in the last) and
//! Gemini's `usageMetadata` (in each piece, growing) are told by their fields; the largest of each counts.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;

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
    /// The end of the last piece, as far as it may be the word's beginning; or the object so far.
    held: Vec<u8>,
    within: bool,
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
        if !self.held.is_empty() {
            // The word may have been torn: its beginning is at the end of the last piece.
            let before = self.held.len();
            self.held.extend_from_slice(piece.get(..WORD.len()).unwrap_or(piece));
            let found = FINDER.find(&self.held).filter(|at| is_name(&self.held, *at));
            self.held.truncate(before);
            if let Some(at) = found {
                self.held.clear();
                self.within = true;
                return piece.get(at + WORD.len() - before..).unwrap_or_default();
            }
        }
        let mut from = 0;
        while let Some(at) = piece.get(from..).and_then(|rest| FINDER.find(rest)) {
            let at = from + at;
            if is_name(piece, at) {
                self.held.clear();
                self.within = true;
                return piece.get(at + WORD.len()..).unwrap_or_default();
            }
            from = at + 1;
        }
        // As much as the word and the byte before it need, less the one that would complete it.
        let keep = WORD.len();
        if piece.len() >= keep {
            self.held.clear();
            self.held.extend_from_slice(piece.get(piece.len() - keep..).unwrap_or_default());
        } else {
            self.held.extend_from_slice(piece);
            let surplus = self.held.len().saturating_sub(keep);
            self.held.drain(..surplus);
        }
        &[]
    }

    /// Collects the object behind the word; gives back what is behind the object.
    fn collect<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        for (at, byte) in piece.iter().enumerate() {
            self.held.push(*byte);
            let done = match byte {
                b'}' => balanced(&self.held),
                // `"usage":null`, or `"usage":5`: no object comes.
                b',' | b'\n' => !self.held.contains(&b'{'),
                _ => false,
            };
            if done || self.held.len() > LONGEST {
                self.take();
                return piece.get(at + 1..).unwrap_or_default();
            }
        }
        &[]
    }

    fn take(&mut self) {
        let object = self.held.iter().position(|byte| *byte == b'{').and_then(|at| self.held.get(at..));
        if let Some(found) = object.and_then(|object| serde_json::from_slice::<Fields>(object).ok()) {
            let found = found.usage();
            self.usage.input = self.usage.input.max(found.input);
            self.usage.output = self.usage.output.max(found.output);
            self.usage.cached = self.usage.cached.max(found.cached);
        }
        self.held.clear();
        self.within = false;
    }
}

/// Whether the quote there begins a name, and does not stand in a string.
fn is_name(text: &[u8], at: usize) -> bool {
    at == 0 || text.get(at - 1) != Some(&b'\\')
}

/// Whether every brace is closed. Usage has no braces in strings.
fn balanced(text: &[u8]) -> bool {
    let count = |brace| memchr::memchr_iter(brace, text).count();
    count(b'{') == count(b'}')
}

/// Every provider's names for it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

impl Fields {
    fn usage(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref().or(self.input_tokens_details.as_ref());
        let cached = self.cache_read_input_tokens.or(self.cached_content_token_count);
        let cached = cached.or(self.prompt_cache_hit_tokens).or(details.and_then(|d| d.cached_tokens));
        // Anthropic counts what it read from its cache, or wrote to it, beside the input.
        let beside =
            self.cache_read_input_tokens.unwrap_or(0) + self.cache_creation_input_tokens.unwrap_or(0);
        let input = self.prompt_tokens.or(self.input_tokens).or(self.prompt_token_count);
        let output = self.completion_tokens.or(self.output_tokens).or(self.candidates_token_count);
        Usage {
            input: input.map_or(0, |input| input + beside),
            output: output.unwrap_or(0) + self.thoughts_token_count.unwrap_or(0),
            cached: cached.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CASES: [(&str, Usage); 9] = [
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
        (r#"{"usage":{"prompt_tokens":3,"total_tokens":3}}"#, Usage { input: 3, output: 0, cached: 0 }),
        (r#"{"text":"say \"usage\": {\"prompt_tokens\": 9}"}"#, Usage { input: 0, output: 0, cached: 0 }),
        (r#"{"usage":5,"x":{"prompt_tokens":9}}"#, Usage { input: 0, output: 0, cached: 0 }),
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
                prop_assert!(reader.held.len() <= LONGEST + 1);
            }
        }
    }
}
