//! What an answer is, as far as its head tells.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use memchr::memmem;

/// What an answer's head says of its body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    /// A stream of events.
    pub(super) is_events: bool,
    pub(super) json: Json,
    pub(super) is_encoded: bool,
}

/// Whether an answer says that it is JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Json {
    #[default]
    No,
    /// It is called otherwise, or nothing, as errors often are.
    Maybe,
    /// It is called a page where a model was asked for something.
    Page,
    Yes,
}

impl Kind {
    /// Of an answer to a request that asked a model for something, or not.
    pub(super) fn of(headers: &HeaderMap, infers: bool) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
        let is = |name: &[u8]| kind.get(..name.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        let is_events = is(b"text/event-stream");
        Self {
            is_events,
            json: match () {
                () if is_events => Json::No,
                () if is(b"application/json") => Json::Yes,
                () if kind.is_empty() || is(b"text/plain") || memmem::find(kind, b"json").is_some() => {
                    Json::Maybe
                }
                () if is(b"audio/") || is(b"image/") || is(b"video/") => Json::No,
                () if infers && is(b"text/html") => Json::Page,
                () if infers => Json::Maybe,
                () => Json::No,
            },
            is_encoded: headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity"),
        }
    }

    /// Whether an error in it can be read as it passes.
    pub(super) fn is_readable(self) -> bool {
        !self.is_encoded && (self.is_events || self.json != Json::No)
    }

    /// Whether the tokens used can be read in it as it passes.
    pub(super) fn tells_usage(self) -> bool {
        !self.is_encoded && (self.is_events || self.json == Json::Yes)
    }
}
