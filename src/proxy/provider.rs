//! What we ask providers ourselves, each in its own words: for its list of models, which is free, or for what else its
//! API has behind a base URL.

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::credentials::Place;
use crate::upstream::BaseUrl;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("gpt-load/", env!("CARGO_PKG_VERSION")));
/// Anthropic's API asks for its version.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// Azure's too, where the base URL names none.
const AZURE_VERSION: &str = "2024-10-21";
/// How the paths of APIs begin; a base URL with a version in it has that already.
const ROOTS: [&str; 3] = ["/v1beta/", "/v1/", "/openai/"];

/// Where the list of models is, behind the base URL, for a key in this place. One entry is enough, where that can be said.
pub(crate) fn models_list(url: &BaseUrl, place: Place) -> String {
    let of_host = Place::of_host(url.host());
    let path = match place {
        Place::XApiKey if of_host == place => "/v1/models?limit=1",
        // Google's dialect of OpenAI has its list beside its other paths, and refuses what it does not know.
        Place::XGoogApiKey if of_host == place && !url.path().ends_with("/openai") => {
            "/v1beta/models?pageSize=1"
        }
        Place::XGoogApiKey | Place::Query => "/v1beta/models",
        Place::ApiKey if of_host == place => "/openai/models",
        _ => "/v1/models",
    };
    behind(url, path)
}

/// What is asked for behind a base URL, given where the provider has it: without what the base URL says already.
pub(crate) fn behind(url: &BaseUrl, path: &str) -> String {
    if url.names_version() {
        return without_root(path, &ROOTS).to_owned();
    }
    if Place::of_host(url.host()) != Place::ApiKey {
        return path.to_owned();
    }
    let path = if url.path().ends_with("/openai") { without_root(path, &["/openai/"]) } else { path };
    if url.has_parameter("api-version") {
        path.to_owned()
    } else {
        format!("{path}?api-version={AZURE_VERSION}")
    }
}

fn without_root<'a>(path: &'a str, roots: &[&str]) -> &'a str {
    // Up to the slash that the rest begins with.
    let root = roots.iter().find(|root| path.starts_with(**root)).map_or(0, |root| root.len() - 1);
    path.get(root..).unwrap_or(path)
}

/// The headers of every question.
pub(crate) fn describe(headers: &mut HeaderMap, place: Place) {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, AGENT);
    if place == Place::XApiKey {
        let (name, version) = ANTHROPIC_VERSION;
        headers.insert(name, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_asked_where_it_has_its_list() {
        for (url, want) in [
            ("https://api.openai.com", "/v1/models"),
            ("https://api.openai.com/v1", "/v1/models"),
            ("https://api.groq.com/openai", "/openai/v1/models"),
            ("https://open.bigmodel.cn/api/paas/v4", "/api/paas/v4/models"),
            (
                "https://gateway.ai.cloudflare.com/v1/account/gateway/openai",
                "/v1/account/gateway/openai/models",
            ),
            ("https://api.anthropic.com", "/v1/models?limit=1"),
            ("https://api.anthropic.com/v1", "/v1/models?limit=1"),
            ("https://generativelanguage.googleapis.com", "/v1beta/models?pageSize=1"),
            ("https://generativelanguage.googleapis.com/v1beta", "/v1beta/models?pageSize=1"),
            ("https://generativelanguage.googleapis.com/v1beta/openai", "/v1beta/openai/models"),
            ("https://me.openai.azure.com", "/openai/models?api-version=2024-10-21"),
            ("https://me.openai.azure.com/openai", "/openai/models?api-version=2024-10-21"),
            ("https://me.openai.azure.com/?api-version=2025-01-01", "/openai/models?api-version=2025-01-01"),
            ("https://me.openai.azure.com/openai/v1", "/openai/v1/models"),
        ] {
            let url = BaseUrl::parse(url).unwrap();
            let path = models_list(&url, Place::of_host(url.host()));
            assert_eq!(url.join(&path).unwrap().as_str(), want, "{url}");
        }
    }
}
