//! Whether an event stream that ends with its connection was over: HTTP can't tell that end from one in its middle
//! (RFC 9112 §8), so that only its own words can.

use memchr::{memchr, memmem};

use super::dialect::{Dialect, LAST};

/// The longest words that are looked for are shorter.
const TAIL: usize = 64;
/// In the last events of a stream, whatever dialect its relay took it from. What a model says of them has its quotes and line
/// breaks escaped.
const ENDS: [&[u8]; 6] = [
    b"\ndata: [DONE]",
    b"\ndata:[DONE]",
    b"\rdata: [DONE]",
    b"\"message_stop\"",
    b"\"response.cancelled\"",
    b"\"response.done\"",
];
/// Why a model has ended; in all events before, nothing is said of it.
const REASONS: [&[u8]; 3] = [b"\"finish_reason\"", b"\"finishReason\"", b"\"stop_reason\""];

/// What such a stream has said so far.
pub(super) struct Course {
    /// What its answers begin with.
    begins: &'static [u8],
    has_begun: bool,
    is_over: bool,
    /// The end of what has come.
    tail: Vec<u8>,
}

impl Course {
    /// `None`: it is not known how what is asked for by this path ends.
    #[cold]
    pub(super) fn of_path(path: &str) -> Option<Box<Self>> {
        let begins: &[u8] = match Dialect::of_path(path) {
            Dialect::Chat if path.trim_end_matches('/').ends_with("/completions") => b"\"choices\"",
            Dialect::Chat => return None,
            Dialect::Responses => b"\"response.",
            Dialect::Anthropic => b"\"message_start\"",
            Dialect::Gemini => b"\"candidates\"",
        };
        Some(Box::new(Self { begins, has_begun: false, is_over: false, tail: b"\n".to_vec() }))
    }

    /// Takes in the next piece.
    #[cold]
    pub(super) fn follow(&mut self, piece: &[u8]) {
        let text = [&*self.tail, piece].concat();
        self.has_begun |= has(&text, self.begins);
        self.is_over |= ENDS.iter().chain(&LAST).any(|end| has(&text, end)) || tells_reason(&text);
        self.tail = text.get(text.len().saturating_sub(TAIL)..).unwrap_or_default().to_vec();
    }

    /// Whether its end, had it come now, would be one in its middle.
    #[cold]
    pub(super) fn lacks_end(&self) -> bool {
        let is_cut = !matches!(self.tail.last(), None | Some(b'\n' | b'\r' | b'}' | b']'));
        !self.is_over && (self.has_begun || is_cut)
    }
}

fn has(text: &[u8], word: &[u8]) -> bool {
    memmem::find(text, word).is_some()
}

/// A word or a number. Some tell nothing with `""`, or `"null"`.
fn tells_reason(text: &[u8]) -> bool {
    let is_behind = |at: usize| {
        let value = text.get(at..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let Some(word) = value.strip_prefix(b"\"") else { return value.first().map(u8::is_ascii_digit) };
        Some(!matches!(word.get(..memchr(b'"', word)?)?, b"" | b"null"))
    };
    REASONS.iter().any(|name| {
        memmem::find_iter(text, name).filter_map(|at| is_behind(at + name.len())).any(|tells| tells)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "/v1/chat/completions";
    const DELTA: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"finish_reason\"},\"finish_reason\":null}]}\n\n";

    #[test]
    fn a_stream_is_over_if_it_has_said_so_however_it_is_cut() {
        let begun = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
        for (path, text, lacks_end) in [
            (CHAT, String::new(), false),
            (CHAT, DELTA.to_owned(), true),
            (CHAT, format!("{DELTA}data: [DONE]"), false),
            (CHAT, "data: [DONE]\n".to_owned(), false),
            (
                CHAT,
                format!(
                    "{DELTA}data: {{\"choices\":[{{\"delta\":{{\"content\":\"\\ndata: [DONE]\"}}}}]}}\n\n"
                ),
                true,
            ),
            (CHAT, format!("{DELTA}data: {{\"choices\":[{{\"finish_reason\": \"stop\"}}]}}\n\n"), false),
            (CHAT, format!("{DELTA}data: {{\"choices\":[{{\"finish_reason\":\"null\"}}]}}\n\n"), true),
            (
                CHAT,
                format!("{DELTA}data: {{\"choices\":[{{\"finish_reason\":\"\",\"x\":\"y\"}}]}}\n\n"),
                true,
            ),
            (CHAT, format!("{DELTA}data: {{\"choices\":[{{\"finish_reason\":1}}]}}\n\n"), false),
            (CHAT, "data: {\"id\":\"chatc".to_owned(), true),
            (CHAT, "data: {\"ok\":1}\n\n".to_owned(), false),
            ("/v1/messages", begun.to_owned(), true),
            ("/v1/messages", format!("{begun}data: {{\"type\":\"message_stop\"}}\n\n"), false),
            ("/v1/responses", "data: {\"type\":\"response.created\"}\n\n".to_owned(), true),
            ("/v1/responses", "data: {\"type\":\"response.incomplete\"}\n\n".to_owned(), false),
            ("/v1beta/models/g:streamGenerateContent", "data: {\"candidates\":[]}\r\n\r\n".to_owned(), true),
            (
                "/v1beta/models/g:streamGenerateContent",
                "data: {\"candidates\":[{\"finishReason\": \"MAX_TOKENS\"}]}\r\n\r\n".to_owned(),
                false,
            ),
        ] {
            for size in 1..=text.len().max(1) {
                let mut course = Course::of_path(path).unwrap();
                for piece in text.as_bytes().chunks(size) {
                    course.follow(piece);
                }
                assert_eq!(course.lacks_end(), lacks_end, "{path} {text:?} by {size}");
            }
        }
        for path in ["/v1/audio/speech", "/v2/chat", "/v1/images/generations"] {
            assert!(Course::of_path(path).is_none(), "{path}");
        }
    }
}
