//! The client's dialect, told by the path, and the event with which a stream ends that broke: one at which the
//! official SDKs raise instead of returning half an answer.

use bytes::Bytes;
use serde_json::json;

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
        if path.ends_with("/messages") {
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
    fn a_responses_error_is_flat_too() {
        let event = Dialect::Responses.error_event("no");
        let text = std::str::from_utf8(&event).unwrap();
        let data = text.strip_prefix("event: error\ndata: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data.get("type").unwrap(), "error");
        assert_eq!(data.get("message").unwrap(), "no");
    }
}
