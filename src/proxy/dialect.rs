//! The client's dialect, told by the path, and the event with which a stream ends that broke: one at which the
//! official SDKs raise instead of returning half an answer.

use bytes::Bytes;
use memchr::memmem;
use serde_json::json;

/// The types of the last event of a Responses stream.
pub(super) const LAST: [&[u8]; 3] =
    [b"\"response.completed\"", b"\"response.incomplete\"", b"\"response.failed\""];

/// The API that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's chat completions, and whatever is not known.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's.
    Gemini,
}

impl Dialect {
    /// The dialect of a request's path.
    pub(super) fn of_path(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        // Google's Vertex has Anthropic's models behind a path of its own.
        let is_vertex = || path.ends_with(":streamRawPredict") && path.contains("/anthropic/");
        if path.ends_with("/messages") || is_vertex() {
            Self::Anthropic
        } else if path.ends_with("/responses") || path.contains("/responses/") {
            Self::Responses
        } else if path.ends_with(":streamGenerateContent") {
            Self::Gemini
        } else {
            Self::Chat
        }
    }

    /// An error event that says this. Where an event was cut in its middle a blank line has to come before it.
    pub(super) fn error_event(self, message: &str) -> Bytes {
        const CODE: &str = "upstream_error";
        let error = json!({"message": message, "type": "gpt_load_error", "param": null, "code": CODE});
        let (name, data) = match self {
            // OpenAI's SDKs raise at a member `error` that is true in whatever event.
            Self::Chat => ("", json!({ "error": error })),
            // The API's own form is flat, and openai-python hands that out as an event like any other: it raises at
            // `error` alone. openai-node raises at the name `error` and shows the member of that name.
            Self::Responses => (
                "event: error\n",
                json!({
                    "type": "error", "code": CODE, "message": message, "param": null, "sequence_number": 0,
                    "error": error,
                }),
            ),
            Self::Anthropic => (
                "event: error\n",
                json!({"type": "error", "error": {"type": "api_error", "message": message}}),
            ),
            Self::Gemini => {
                ("", json!({"error": {"code": 502, "message": message, "status": "UNAVAILABLE"}}))
            }
        };
        // Google's SDKs look for this end of an event alone; the others take any.
        let end = if self == Self::Gemini { "\r\n\r\n" } else { "\n\n" };
        format!("{name}data: {data}{end}").into()
    }

    /// Whether a stream that ends so has said that it is over. Gemini's never says so.
    #[cold]
    pub(super) fn is_over(self, tail: &[u8]) -> bool {
        let text = tail.trim_ascii_end();
        // Relays say so in every dialect.
        let done = text.strip_suffix(b"[DONE]").and_then(|text| text.trim_ascii_end().strip_suffix(b"data:"));
        let event = text.strip_suffix(b"}").map(<[u8]>::trim_ascii_end);
        match self {
            _ if done.is_some_and(|before| before.ends_with(b"\n") || before.ends_with(b"\r")) => true,
            Self::Anthropic => event.is_some_and(|event| event.ends_with(b"\"message_stop\"")),
            Self::Responses => event.is_some_and(|event| LAST.iter().any(|kind| is_of_type(event, kind))),
            Self::Chat | Self::Gemini => false,
        }
    }
}

fn is_of_type(event: &[u8], kind: &[u8]) -> bool {
    event.strip_suffix(kind).is_some_and(|before| before.trim_ascii_end().ends_with(b"\"type\":"))
}

/// Whether a piece with this end may have the last event of a Responses stream in it. A piece of the answer's text,
/// which is what nearly all events are, ends in a string or a list.
pub(super) fn may_be_last(tail: &[u8]) -> bool {
    !matches!(tail, [.., b'"' | b']', b'}', b'\n', b'\n'])
}

/// Whether it begins there: its type stands before the whole answer, which is too long to be kept.
#[cold]
pub(super) fn has_last(piece: &[u8]) -> bool {
    memmem::find_iter(piece, b"\"response.").any(|at| {
        let (before, kind) = piece.split_at_checked(at).unwrap_or_default();
        before.trim_ascii_end().ends_with(b"\"type\":") && LAST.iter().any(|last| kind.starts_with(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{First, FirstEvent};

    #[test]
    fn the_path_tells_the_dialect() {
        for (path, want) in [
            ("/v1/chat/completions", Dialect::Chat),
            ("/v1/completions", Dialect::Chat),
            ("/v1/responses", Dialect::Responses),
            ("/v1/responses/resp_1", Dialect::Responses),
            ("/openai/responses/", Dialect::Responses),
            ("/v1/messages", Dialect::Anthropic),
            ("/anthropic/v1/messages/", Dialect::Anthropic),
            ("/v1/messages/count_tokens", Dialect::Chat),
            ("/v1beta/models/gemini:streamGenerateContent", Dialect::Gemini),
            ("/v1beta/models/gemini:generateContent", Dialect::Chat),
            ("/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", Dialect::Anthropic),
            ("/v1/projects/p/locations/l/publishers/mistralai/models/m:streamRawPredict", Dialect::Chat),
        ] {
            assert_eq!(Dialect::of_path(path), want, "{path}");
        }
    }

    #[test]
    fn every_dialects_error_is_one_event_that_is_an_error() {
        for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Anthropic, Dialect::Gemini] {
            let event = dialect.error_event("it broke:\n\"here\"");
            let First::Error(data) = FirstEvent::default().feed(&event) else { panic!("{dialect:?}") };
            let data: serde_json::Value = serde_json::from_slice(&data).unwrap();
            assert_eq!(data.pointer("/error/message").unwrap(), "it broke:\n\"here\"", "{dialect:?}");
        }
    }

    #[test]
    fn a_stream_has_said_that_it_is_over_only_in_its_last_event() {
        let long = "x".repeat(40);
        for (dialect, text, want) in [
            (Dialect::Chat, "\n\ndata: [DONE]\n\n", true),
            (Dialect::Chat, "\r\n\r\ndata:[DONE]", true),
            (Dialect::Anthropic, "\ndata: [DONE]\n", true),
            (Dialect::Chat, "{\"content\":\"data: [DONE]", false),
            (Dialect::Chat, "\ndata: {\"content\":\"[DONE]\"}\n\n", false),
            (Dialect::Gemini, "\ndata: {\"finishReason\":\"STOP\"}\r\n\r\n", false),
            (Dialect::Anthropic, "data: {\"type\":\"message_stop\"}\n\n", true),
            (Dialect::Anthropic, "data: {\"type\": \"message_stop\"    }\r\n\r\n", true),
            (Dialect::Anthropic, "{\"partial_json\":\"message_stop\"}}\n\n", false),
            (Dialect::Anthropic, "{\"text\":\"message_stop\"}}\n\n", false),
            (Dialect::Chat, "data: {\"type\":\"message_stop\"}\n\n", false),
            (Dialect::Responses, "\"type\":\"response.completed\"}\n\n", true),
            (Dialect::Responses, "\"delta\":\"response.completed\"}\n\n", false),
        ] {
            let text = format!("{long}{text}");
            assert_eq!(
                dialect.is_over(text.as_bytes().last_chunk::<32>().unwrap()),
                want,
                "{dialect:?}: {text}"
            );
        }
        for (piece, may_be, has) in [
            (
                "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"error\":null}}\n\n",
                true,
                true,
            ),
            ("data: {\"type\": \"response.incomplete\", \"response\":{\"id\":\"r\",\"outp", true, true),
            (
                "data: {\"type\":\"response.output_item.done\",\"text\":\"\\\"type\\\":\\\"response.completed\\\"\"}}\n\n",
                true,
                false,
            ),
            (
                "data: {\"type\":\"response.output_text.delta\",\"delta\":\"response.completed\"}\n\n",
                false,
                false,
            ),
            (
                "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\",\"logprobs\":[]}\n\n",
                false,
                false,
            ),
        ] {
            let found = (may_be_last(piece.as_bytes()), has_last(piece.as_bytes()));
            assert_eq!(found, (may_be, has), "{piece}");
        }
    }

    #[test]
    fn a_responses_error_is_flat_too() {
        let event = Dialect::Responses.error_event("no");
        let text = std::str::from_utf8(&event).unwrap();
        let data = text.strip_prefix("event: error\ndata: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data.get("type").unwrap(), "error");
        assert_eq!(data.get("message").unwrap(), "no");
    }
}
