//! Which provider a path belongs to, what it asks for, and where that provider wants its credential.

use http::Method;
use http::request::Parts;

/// A provider's way to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI, and all who copy it.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
    /// Gemini's own API.
    Gemini,
    /// Azure's deployments of OpenAI.
    Azure,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Chat,
    Responses,
    Completions,
    Embeddings,
    Moderations,
    Speech,
    Transcription,
    Upload,
    Files,
    Models,
    Model,
    CountTokens,
    Echo,
    Unknown,
}

impl Wanted {
    /// Whether the answer is inferred by a model: only that is refused for want of quota, rate or a model.
    pub(crate) fn infers(self) -> bool {
        !matches!(self, Self::Upload | Self::Files | Self::Models | Self::Model | Self::Unknown)
    }
}

/// A credential as it came.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) place: &'static str,
    pub(crate) key: String,
}

impl Dialect {
    /// Tells a request's dialect by the shape of its path; whatever a base URL has put before it is skipped.
    pub(crate) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        if path.contains("/v1beta/openai/") {
            Self::OpenAi
        } else if path.contains("/openai/deployments/") || path.contains("/openai/v1/") {
            Self::Azure
        } else if path.contains("/v1beta/")
            || path.contains(":generateContent")
            || path.contains(":streamGenerateContent")
        {
            Self::Gemini
        } else if path.contains("/v1/messages") || parts.headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// The places in which this provider accepts a key.
    fn places(self, path: &str) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &["authorization"],
            Self::Anthropic => &["x-api-key", "authorization"],
            Self::Gemini => &["x-goog-api-key", "key"],
            Self::Azure if path.contains("/openai/v1/") => &["api-key", "authorization"],
            Self::Azure => &["api-key"],
        }
    }

    /// The key of a request, where this provider looks for it.
    pub(crate) fn credential(self, parts: &Parts) -> Option<Credential> {
        let places = self.places(parts.uri.path());
        places.iter().find_map(|place| Some(Credential { place, key: in_place(parts, place)? }))
    }
}

/// Any credential of a request, wherever it is.
pub(crate) fn any_credential(parts: &Parts) -> Option<Credential> {
    let places = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "key"];
    places.iter().find_map(|place| Some(Credential { place, key: in_place(parts, place)? }))
}

fn in_place(parts: &Parts, place: &str) -> Option<String> {
    if place == "key" {
        let query = parts.uri.query()?;
        return form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "key")
            .map(|(_, value)| value.into_owned());
    }
    let value = parts.headers.get(place)?.to_str().ok()?;
    if place != "authorization" {
        return Some(value.to_owned());
    }
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}

/// What a path and method ask for.
pub(crate) fn wanted(method: &Method, path: &str) -> Wanted {
    let post = method == Method::POST;
    let get = method == Method::GET || method == Method::HEAD;
    if path.ends_with("/echo") {
        return Wanted::Echo;
    }
    let by_end = [
        ("/chat/completions", Wanted::Chat),
        ("/messages", Wanted::Chat),
        (":generateContent", Wanted::Chat),
        (":streamGenerateContent", Wanted::Chat),
        ("/responses", Wanted::Responses),
        ("/completions", Wanted::Completions),
        ("/embeddings", Wanted::Embeddings),
        (":embedContent", Wanted::Embeddings),
        (":batchEmbedContents", Wanted::Embeddings),
        ("/moderations", Wanted::Moderations),
        ("/audio/speech", Wanted::Speech),
        ("/audio/transcriptions", Wanted::Transcription),
        ("/audio/translations", Wanted::Transcription),
        ("/files", Wanted::Upload),
        ("/messages/count_tokens", Wanted::CountTokens),
        (":countTokens", Wanted::CountTokens),
    ];
    if post {
        return by_end.iter().find(|(end, _)| path.ends_with(end)).map_or(Wanted::Unknown, |found| found.1);
    }
    if get && path.ends_with("/models") {
        Wanted::Models
    } else if get && path.contains("/models/") {
        Wanted::Model
    } else if get && path.ends_with("/files") {
        Wanted::Files
    } else {
        Wanted::Unknown
    }
}
