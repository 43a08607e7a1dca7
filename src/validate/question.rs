//! What an upstream is asked to find out whether a key works: for its list of models, which is free, or for one token
//! of a model. Each provider in its own words.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::proxy::credentials::Place;
use crate::proxy::provider;
use crate::upstream::BaseUrl;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    model: Option<String>,
    /// What the limit of one token is called: newer models refuse the old name.
    pub(super) newer_limit: bool,
}

impl Question {
    pub(super) fn new(model: Option<String>) -> Self {
        Self { model, newer_limit: false }
    }

    /// Whether a model is asked for.
    pub(super) fn asks_for_a_model(&self) -> bool {
        self.model.is_some()
    }

    /// The question to one upstream about one key.
    ///
    /// # Errors
    /// If the URL and the question can't be joined.
    pub(super) fn about(&self, key: &str, url: &BaseUrl) -> Result<Request<Full<Bytes>>, String> {
        let place = Place::of_host(url.host());
        let (path, body) = match &self.model {
            None => (provider::models_list(url, place), None),
            Some(model) => {
                let (path, body) = self.completion(url, place, model);
                (provider::behind(url, &path), Some(body))
            }
        };
        let target = url.join(&path).map_err(|error| error.to_string())?;
        let bytes = body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut request = Request::new(Full::new(bytes));
        if body.is_some() {
            *request.method_mut() = Method::POST;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let headers = request.headers_mut();
        provider::describe(headers, place);
        place.put(key, headers).map_err(|error| error.to_string())?;
        *request.uri_mut() = Uri::from(target);
        Ok(request)
    }

    fn completion(&self, url: &BaseUrl, place: Place, model: &str) -> (String, Value) {
        let messages = json!([{ "role": "user", "content": "1" }]);
        match place {
            Place::XApiKey => {
                ("/v1/messages".to_owned(), json!({ "model": model, "max_tokens": 1, "messages": messages }))
            }
            Place::XGoogApiKey => (
                format!("/v1beta/models/{model}:generateContent"),
                json!({
                    "contents": [{ "role": "user", "parts": [{ "text": "1" }] }],
                    "generationConfig": { "maxOutputTokens": 1 },
                }),
            ),
            Place::Bearer | Place::ApiKey | Place::Query | Place::Subprotocol => {
                let limit = if self.newer_limit { "max_completion_tokens" } else { "max_tokens" };
                // Azure's newer paths have a version and name no deployment.
                let path = if place == Place::ApiKey && !url.names_version() {
                    format!("/openai/deployments/{model}/chat/completions")
                } else {
                    "/v1/chat/completions".to_owned()
                };
                (path, json!({ "model": model, "messages": messages, limit: 1 }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_asked_in_its_own_words() {
        for (base, model, want) in [
            ("https://api.openai.com", None, "GET /v1/models"),
            ("https://api.anthropic.com", None, "GET /v1/models?limit=1"),
            ("https://api.openai.com", Some("m"), "POST /v1/chat/completions"),
            ("https://api.anthropic.com/v1", Some("m"), "POST /v1/messages"),
            ("https://generativelanguage.googleapis.com", Some("m"), "POST /v1beta/models/m:generateContent"),
            ("https://relay.example/api/paas/v4", Some("m"), "POST /api/paas/v4/chat/completions"),
            (
                "https://me.openai.azure.com/openai",
                Some("m"),
                "POST /openai/deployments/m/chat/completions?api-version=2024-10-21",
            ),
            ("https://me.openai.azure.com/openai/v1", Some("m"), "POST /openai/v1/chat/completions"),
        ] {
            let question = Question::new(model.map(str::to_owned));
            let request = question.about("sk-1", &BaseUrl::parse(base).unwrap()).unwrap();
            assert_eq!(format!("{} {}", request.method(), request.uri()), want, "{base}");
        }
    }
}
