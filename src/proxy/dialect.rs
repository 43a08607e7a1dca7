//! How a client is told that its event stream broke off: in the dialect of the API that it asked, so that the official
//! SDKs raise instead of returning half an answer.

use bytes::Bytes;
use serde_json::json;

/// Whose events a client reads, told by the path (spec §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's `:streamGenerateContent`.
    Gemini,
    /// OpenAI's chat completions, and everybody else's.
    Chat,
    /// OpenAI's responses.
    Responses,
}

impl Dialect {
    /// By the path that was asked for.
    pub(super) fn of_path(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        if path.ends_with("/messages") {
            Self::Anthropic
        } else if path.ends_with(":streamGenerateContent") {
            Self::Gemini
        } else if path.ends_with("/responses") {
            Self::Responses
        } else {
            Self::Chat
        }
    }

    /// An event that ends a stream with an error.
    pub(super) fn error_event(self, message: &str) -> Bytes {
        let (name, data) = match self {
            Self::Anthropic => (
                Some("error"),
                json!({ "type": "error", "error": { "type": "api_error", "message": message } }),
            ),
            Self::Gemini => {
                (None, json!({ "error": { "code": 502, "message": message, "status": "UNAVAILABLE" } }))
            }
            Self::Chat => (None, json!({ "error": error(message) })),
            // The API's own form is flat, and the SDKs take it for an ordinary event: they raise on an `error` in it.
            Self::Responses => (
                Some("error"),
                json!({
                    "type": "error",
                    "code": CODE,
                    "message": message,
                    "param": null,
                    "error": error(message),
                }),
            ),
        };
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        Bytes::from(format!("{name}data: {data}\n\n"))
    }
}

const CODE: &str = "upstream_broke_off";

fn error(message: &str) -> serde_json::Value {
    json!({ "message": message, "type": "gpt_load_error", "param": null, "code": CODE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_tells_the_dialect() {
        for (path, want) in [
            ("/v1/messages", Dialect::Anthropic),
            ("/v1/threads/t/messages/", Dialect::Anthropic),
            ("/v1/responses", Dialect::Responses),
            ("/v1beta/models/gemini:streamGenerateContent", Dialect::Gemini),
            ("/v1/chat/completions", Dialect::Chat),
            ("/", Dialect::Chat),
        ] {
            assert_eq!(Dialect::of_path(path), want, "{path}");
        }
    }

    #[test]
    fn an_error_event_is_one_event_with_an_error_in_it() {
        for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Chat, Dialect::Responses] {
            let event = dialect.error_event("it broke\noff \"here\"");
            let text = std::str::from_utf8(&event).unwrap();
            let (fields, rest) = text.split_once("\n\n").unwrap();
            assert_eq!(rest, "");
            let data = fields.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["error"]["message"], "it broke\noff \"here\"");
        }
    }
}
