//! Whether an event stream was over when it ended. Where it ends with its connection HTTP can't tell that end from one in its
//! middle (RFC 9112 §8), so that only its own words can. Elsewhere HTTP can, but relays end properly what broke off behind
//! them: such a stream is believed unless its last event says that more is to come.

use memchr::{memchr, memmem};

use super::dialect::{self, Dialect, LAST};
use super::watch::{append, is_event_over};

/// How much of a stream's end is kept. A chat's event says in its last 80 bytes whether it is the last.
const TAIL: usize = 96;
/// The longest words that are looked for are shorter.
const SEAM: usize = 64;
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
/// What pieces of an answer have, in OpenAI's dialect, and how those of Anthropic's are called.
const TEXTS: [&[u8]; 4] = [b"\"content\"", b"\"reasoning_content\"", b"\"text\"", b"\"arguments\""];
const PIECES: [&[u8]; 4] =
    [b"\"content_block_delta\"", b"\"text_delta\"", b"\"thinking_delta\"", b"\"input_json_delta\""];
/// Why a model has ended; in all events before, nothing is said of it.
const REASONS: [&[u8]; 3] = [b"\"finish_reason\"", b"\"finishReason\"", b"\"stop_reason\""];

/// What an event stream has said so far.
pub(super) struct Course {
    /// In whose words its client is told that it broke off.
    pub(super) dialect: Dialect,
    /// The last bytes that went out.
    pub(super) tail: [u8; TAIL],
    /// Whether a last event has begun that can't be known by its end.
    has_last: bool,
    /// Whether an error was told in it, and in a form that its client knows.
    error: Option<bool>,
    told_by: ToldBy,
}

/// By what it is known that it is over.
enum ToldBy {
    /// Its end, whatever it said.
    End,
    /// That, unless its last event says that more is to come.
    Last,
    /// Its own words alone.
    Words(Words),
}

impl Course {
    /// Of an answer to this path; by a model, or not; that ends with its connection, or properly.
    #[cold]
    pub(super) fn begin(path: &str, infers: bool, ends_with_connection: bool) -> Self {
        let dialect = Dialect::of_path(path);
        let told_by = match Words::of_path(path).filter(|_| infers) {
            Some(words) if ends_with_connection => ToldBy::Words(words),
            Some(_) => ToldBy::Last,
            None => ToldBy::End,
        };
        Self { dialect, tail: [b'\n'; TAIL], has_last: false, error: None, told_by }
    }

    /// Takes in the next piece.
    #[inline]
    pub(super) fn follow(&mut self, piece: &[u8]) {
        append(&mut self.tail, piece);
        if self.dialect == Dialect::Responses && dialect::may_be_last(&self.tail) {
            self.has_last |= dialect::has_last(piece);
        }
        if let ToldBy::Words(words) = &mut self.told_by {
            words.follow(piece);
        }
    }

    /// The error ends in this piece. Anthropic's SDKs know it by the event's name alone, and relays may not give it one.
    #[cold]
    pub(super) fn note_error(&mut self, piece: &[u8]) {
        let text = [&self.tail, piece].concat();
        let is_named = || [&b"event: error"[..], b"event:error"].iter().any(|name| has(&text, name));
        self.error = Some(self.dialect != Dialect::Anthropic || is_named());
    }

    /// Whether its end, had it come now, would be one in its middle, though nothing broke.
    #[cold]
    pub(super) fn lacks_end(&self) -> bool {
        if let Some(is_known) = self.error {
            return !is_known && !self.dialect.is_over(&self.tail);
        }
        match &self.told_by {
            ToldBy::End => false,
            ToldBy::Last => !self.is_over(&self.tail) && goes_on(self.dialect, &self.tail),
            ToldBy::Words(words) => words.lack_end(),
        }
    }

    /// Whether it had said that it is over when it broke, with this behind what went out.
    #[cold]
    pub(super) fn is_over(&self, tail: &[u8]) -> bool {
        self.dialect.is_over(tail) || self.has_last && is_event_over(tail)
    }
}

/// What tells the course of a stream.
struct Words {
    /// What its answers begin with.
    begins: &'static [u8],
    has_begun: bool,
    is_over: bool,
    /// The end of what has come.
    seam: Vec<u8>,
}

impl Words {
    /// `None`: it is not known how what is asked for by this path ends.
    #[cold]
    fn of_path(path: &str) -> Option<Self> {
        let begins: &[u8] = match Dialect::of_path(path) {
            Dialect::Chat if path.trim_end_matches('/').ends_with("/completions") => b"\"choices\"",
            Dialect::Chat => return None,
            Dialect::Responses => b"\"response.",
            Dialect::Anthropic => b"\"message_start\"",
            Dialect::Gemini => b"\"candidates\"",
        };
        Some(Self { begins, has_begun: false, is_over: false, seam: b"\n".to_vec() })
    }

    #[cold]
    fn follow(&mut self, piece: &[u8]) {
        let text = [&*self.seam, piece].concat();
        self.has_begun |= has(&text, self.begins);
        self.is_over |= ENDS.iter().chain(&LAST).any(|end| has(&text, end)) || tells_reason(&text);
        self.seam = text.get(text.len().saturating_sub(SEAM)..).unwrap_or_default().to_vec();
    }

    fn lack_end(&self) -> bool {
        let is_cut = !matches!(self.seam.last(), None | Some(b'\n' | b'\r' | b'}' | b']'));
        !self.is_over && (self.has_begun || is_cut)
    }
}

/// Whether a stream that ends so says itself that more is to come: in the middle of an event, or with a piece of an answer's
/// text that is not its last. What has none may come behind the end: counts, what a filter found. Gemini's events are too long for
/// that, and so are those of long pieces.
fn goes_on(dialect: Dialect, tail: &[u8]) -> bool {
    let event = tail.trim_ascii_end();
    let line = event.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let is_cut = event.len() == tail.len() && !matches!(event.last(), None | Some(b'}' | b']'));
    // Its beginning may be out of sight.
    let is_of_data = || line.len() == event.len() || line.starts_with(b"data:") && line.contains(&b'{');
    match dialect {
        _ if is_cut => is_of_data() && !has(tail, b"[DONE]"),
        Dialect::Chat => memmem::rfind(line, b"\"finish_reason\"").is_some_and(|at| {
            let (piece, reason) = line.split_at_checked(at).unwrap_or_default();
            let is_null = value(reason).is_some_and(|value| value.starts_with(b"null"));
            is_null && TEXTS.iter().any(|name| has_text(piece, name))
        }),
        Dialect::Anthropic => line.ends_with(b"\"}}") && PIECES.iter().any(|kind| has(line, kind)),
        Dialect::Responses => has(line, b",\"delta\":\"") || has(line, b", \"delta\": \""),
        Dialect::Gemini => false,
    }
}

/// What is behind the name with which this begins.
fn value(text: &[u8]) -> Option<&[u8]> {
    let end = memmem::find(text, b"\":")?;
    Some(text.get(end + 2..)?.trim_ascii_start())
}

/// Whether it has a member of this name that is a text, and not an empty one.
fn has_text(event: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(event, name).any(|at| {
        let value = value(event.get(at..).unwrap_or_default());
        value.is_some_and(|value| matches!(value, [b'"', first, ..] if *first != b'"'))
    })
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
    fn a_stream_that_ends_properly_goes_on_only_if_its_last_event_says_so() {
        use Dialect::{Anthropic, Chat, Gemini, Responses};

        for (dialect, text, want) in [
            (Chat, DELTA, true),
            (
                Chat,
                "data: {\"choices\":[{\"text\":\"Hi\",\"finish_reason\": null}],\"usage\":null,\"obfuscation\":\"x\"}\r\n\r\n",
                true,
            ),
            (Chat, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n", false),
            (
                Chat,
                "data: {\"choices\":[{\"finish_reason\":null}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\n",
                false,
            ),
            (Chat, "data: {\"choices\":[{\"finish_reason\":null}]}\n\ndata: [DONE]\n\n", false),
            (Chat, "data: {\"choices\":[{\"finish_reason\":null}]}\n\ndata: [DONE]", false),
            (
                Chat,
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":null\"}}]}\n\n",
                false,
            ),
            (Chat, "\n\ndata: {\"choices\":[{\"delta\":{\"cont", true),
            (Chat, "\n\ndata: {\"choices\":[]}", false),
            (Chat, "\n\ndata: ok", false),
            (Chat, "\n\nevent: end", false),
            (Chat, "", false),
            (
                Anthropic,
                "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
                true,
            ),
            (Anthropic, "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n", false),
            (
                Anthropic,
                "\ndata: {\"delta\":{},\"usage\":{\"output_tokens\":5,\"service_tier\":\"standard\"}}\n\n",
                false,
            ),
            (Anthropic, "data: {\"type\":\"message_stop\"}\n\n", false),
            (
                Anthropic,
                "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
                false,
            ),
            (Anthropic, "data: {\"type\":\"error\",\"error\":{\"message\":\"No\"}}\n\n", false),
            (
                Chat,
                "data: {\"choices\":[{\"finish_reason\":null}],\"usage\":{\"total_tokens\":9}}\n\n",
                false,
            ),
            (Responses, "data: {\"content_index\":0,\"delta\":\"Hi\",\"logprobs\":[]}\n\n", true),
            (Responses, "data: {\"text\":\"\\\"delta\\\":\\\"\",\"sequence_number\":9}\n\n", false),
            (Gemini, "data: {\"candidates\":[{\"index\":0}]}\r\n\r\n", false),
        ] {
            assert_eq!(goes_on(dialect, text.as_bytes()), want, "{dialect:?} {text}");
        }
    }

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
                let mut course = Course::begin(path, true, true);
                for piece in text.as_bytes().chunks(size) {
                    course.follow(piece);
                }
                assert_eq!(course.lacks_end(), lacks_end, "{path} {text:?} by {size}");
            }
        }
        for path in ["/v1/audio/speech", "/v2/chat", "/v1/images/generations"] {
            assert!(Words::of_path(path).is_none(), "{path}");
        }
    }
}
