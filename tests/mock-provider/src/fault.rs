//! What a provider says when it refuses, in its own words and shape.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dialect::Dialect;

/// A refusal, before it is put into a provider's words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    MissingKey,
    InvalidKey(String),
    OutOfQuota,
    /// Until when, and whether it is tokens (else requests) that ran out.
    RateLimited {
        wait: Duration,
        tokens: bool,
    },
    ModelDenied(String),
    BadRequest(String),
    NotFound(String),
    /// The provider's own fault, or any status without words that tell more.
    Status(u16),
}

impl Fault {
    /// Status and body.
    pub(crate) fn told(&self, dialect: Dialect) -> (u16, Value) {
        match dialect {
            Dialect::OpenAi => self.openai(),
            Dialect::Azure => self.azure(),
            Dialect::Anthropic => self.anthropic(),
            Dialect::Gemini => self.gemini(),
        }
    }

    fn openai(&self) -> (u16, Value) {
        let (status, kind, code, message) = match self {
            Self::MissingKey => (
                401,
                "invalid_request_error",
                None,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).".to_owned(),
            ),
            Self::InvalidKey(key) => (
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
                format!(
                    "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys.",
                    masked(key)
                ),
            ),
            Self::OutOfQuota => (
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.".to_owned(),
            ),
            Self::RateLimited { wait, tokens } => (
                429,
                if *tokens { "tokens" } else { "requests" },
                Some("rate_limit_exceeded"),
                format!(
                    "Rate limit reached for mock-model in organization org-mock on {}. Please try again in {}.",
                    if *tokens { "tokens per min (TPM)" } else { "requests per min (RPM)" },
                    crate::bucket::go_duration(*wait)
                ),
            ),
            Self::ModelDenied(model) => (
                404,
                "invalid_request_error",
                Some("model_not_found"),
                format!("The model `{model}` does not exist or you do not have access to it."),
            ),
            Self::BadRequest(message) => (400, "invalid_request_error", None, message.clone()),
            Self::NotFound(what) => (404, "invalid_request_error", None, format!("Invalid URL ({what})")),
            Self::Status(status @ 500..) => {
                (*status, "server_error", None, "The server had an error while processing your request.".to_owned())
            }
            Self::Status(status) => (*status, "error", None, format!("Refused with {status}.")),
        };
        (status, json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
    }

    fn azure(&self) -> (u16, Value) {
        match self {
            Self::MissingKey | Self::InvalidKey(_) => (
                401,
                json!({"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}}),
            ),
            Self::RateLimited { wait, .. } => (
                429,
                json!({"error": {"code": "429", "message": format!("Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after {} seconds.", wait.as_secs_f64().ceil())}}),
            ),
            Self::ModelDenied(_) => (
                404,
                json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
            ),
            other => other.openai(),
        }
    }

    fn anthropic(&self) -> (u16, Value) {
        let (status, kind, message) = match self {
            Self::MissingKey => (401, "authentication_error", "x-api-key header is required".to_owned()),
            Self::InvalidKey(_) => (401, "authentication_error", "invalid x-api-key".to_owned()),
            Self::OutOfQuota => (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.".to_owned(),
            ),
            Self::RateLimited { tokens, .. } => (
                429,
                "rate_limit_error",
                format!(
                    "This request would exceed the rate limit for your organization of {} per minute.",
                    if *tokens { "output tokens" } else { "requests" }
                ),
            ),
            Self::ModelDenied(model) => (404, "not_found_error", format!("model: {model}")),
            Self::BadRequest(message) => (400, "invalid_request_error", message.clone()),
            Self::NotFound(_) => (404, "not_found_error", "Not Found".to_owned()),
            Self::Status(529) => (529, "overloaded_error", "Overloaded".to_owned()),
            Self::Status(status @ 500..) => (*status, "api_error", "Internal server error".to_owned()),
            Self::Status(status) => (*status, "error", format!("Refused with {status}.")),
        };
        (
            status,
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_mock"}),
        )
    }

    fn gemini(&self) -> (u16, Value) {
        let (status, word, message, details) = match self {
            Self::MissingKey => (
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.".to_owned(),
                json!([]),
            ),
            Self::InvalidKey(_) => (
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.".to_owned(),
                json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}}]),
            ),
            Self::OutOfQuota => (
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan and billing details.".to_owned(),
                json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}]}]),
            ),
            Self::RateLimited { wait, .. } => (
                429,
                "RESOURCE_EXHAUSTED",
                format!("You exceeded your current quota. Please retry in {}s.", wait.as_secs_f64()),
                json!([
                    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{}s", wait.as_secs_f64())}
                ]),
            ),
            Self::ModelDenied(model) => (
                404,
                "NOT_FOUND",
                format!("models/{model} is not found for API version v1beta, or is not supported for generateContent."),
                json!([]),
            ),
            Self::BadRequest(message) => (400, "INVALID_ARGUMENT", message.clone(), json!([])),
            Self::NotFound(_) => (404, "NOT_FOUND", "Requested entity was not found.".to_owned(), json!([])),
            Self::Status(503) => (503, "UNAVAILABLE", "The model is overloaded. Please try again later.".to_owned(), json!([])),
            Self::Status(status) => (*status, "INTERNAL", format!("Refused with {status}."), json!([])),
        };
        let mut body = json!({"error": {"code": status, "message": message, "status": word}});
        if details.as_array().is_some_and(|details| !details.is_empty()) {
            body["error"]["details"] = details;
        }
        (status, body)
    }
}

/// OpenAI quotes a wrong key with its middle starred.
fn masked(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    if letters.len() < 12 {
        return "*".repeat(letters.len());
    }
    let (head, tail): (String, String) =
        (letters[..8].iter().collect(), letters[letters.len() - 4..].iter().collect());
    format!("{head}{}{tail}", "*".repeat(letters.len() - 12))
}
