//! What a request says about the answer it wants.

use std::time::Duration;

use http::request::Parts;
use serde::Deserialize;
use serde_json::Value;

use crate::play::{Play, duration};

/// The wishes of a request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) shape: Shape,
    /// Between tokens.
    pub(crate) pace: Duration,
    /// Before the head.
    pub(crate) delay: Duration,
    /// Encodes a plain answer.
    pub(crate) encoding: Option<String>,
    /// Overrides what the key plays.
    pub(crate) play: Option<Play>,
}

/// What an answer's bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// `stream_options.include_usage`.
    pub(crate) usage: bool,
    /// How many tokens are answered.
    pub(crate) tokens: usize,
    /// The least bytes of each token.
    pub(crate) size: usize,
    /// Embeddings: how many, how long, as base64.
    pub(crate) inputs: usize,
    pub(crate) dimensions: usize,
    pub(crate) base64: bool,
}

/// The fields of all dialects' bodies that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    model: Option<String>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    max_output_tokens: Option<usize>,
    #[serde(rename = "generationConfig")]
    generation: Option<Generation>,
    mock: Option<serde_json::Map<String, Value>>,
    input: Option<Input>,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Generation {
    #[serde(rename = "maxOutputTokens")]
    tokens: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Many(Vec<serde::de::IgnoredAny>),
    One(serde::de::IgnoredAny),
}

impl Ask {
    /// Reads the wishes of a request with a JSON body (or none).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(parts: &Parts, body: &[u8], defaults: &Self) -> Result<Self, String> {
        let json = parts
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        let fields: Fields = if json && !body.is_empty() {
            serde_json::from_slice(body)
                .map_err(|error| format!("We could not parse the JSON body of your request: {error}"))?
        } else {
            Fields::default()
        };
        let path = parts.uri.path();
        let generation = fields.generation.and_then(|generation| generation.tokens);
        let tokens =
            fields.max_tokens.or(fields.max_completion_tokens).or(fields.max_output_tokens).or(generation);
        let asked = &defaults.shape;
        let shape = Shape {
            model: fields.model.or_else(|| in_path(path)).unwrap_or_else(|| asked.model.clone()),
            stream: fields.stream.unwrap_or(false) || path.ends_with(":streamGenerateContent"),
            usage: fields.stream_options.is_some_and(|options| options.include_usage),
            tokens: tokens.unwrap_or(asked.tokens),
            size: asked.size,
            inputs: match fields.input {
                Some(Input::Many(inputs)) => inputs.len(),
                _ => 1,
            },
            dimensions: fields.dimensions.unwrap_or(asked.dimensions),
            base64: fields.encoding_format.is_some_and(|format| format == "base64"),
        };
        let mut ask = Self { shape, ..defaults.clone() };
        if let Some(query) = parts.uri.query() {
            for (name, value) in form_urlencoded::parse(query.as_bytes()) {
                if name == "mock" {
                    ask.knobs(&value)?;
                }
            }
        }
        for value in parts.headers.get_all("x-mock") {
            ask.knobs(value.to_str().map_err(|error| error.to_string())?)?;
        }
        for (name, value) in fields.mock.iter().flatten() {
            if name == "play" {
                ask.play = Some(Play::try_from(value)?);
            } else {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                ask.knob(name, &text)?;
            }
        }
        Ok(ask)
    }

    fn knobs(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("x-mock: {part}"))?;
            self.knob(name.trim(), value.trim())?;
        }
        Ok(())
    }

    fn knob(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| format!("mock: {name}: {value} is no number"));
        match name {
            "tokens" => self.shape.tokens = number()?,
            "size" => self.shape.size = number()?,
            "pace" => self.pace = duration(value)?,
            "delay" => self.delay = duration(value)?,
            "encoding" => self.encoding = Some(value.to_owned()),
            "play" => self.play = Some(value.parse()?),
            other => return Err(format!("mock: {other} is no knob")),
        }
        Ok(())
    }
}

/// Gemini and Azure name the model in the path.
fn in_path(path: &str) -> Option<String> {
    let rest = path.split_once("/models/").or_else(|| path.split_once("/deployments/"))?.1;
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}
