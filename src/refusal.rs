//! The answers in which gpt-load speaks for itself: OpenAI's error envelope, so that SDKs show the message.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::telemetry::counters::End;

/// The longest that we tell a client to wait: beyond it SDKs give up or sleep (spec §6).
const LONGEST_ADVICE: Duration = Duration::from_secs(60);

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An answer of our own that is not what the client hoped for.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// What it counts as.
    pub end: End,
    retry: Option<Retry>,
    allow: Option<&'static str>,
}

/// What we tell the client's own retries (spec §6): official SDKs retry twice more by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Waiting so long helps.
    After(Duration),
    /// Waiting helps, but for longer than a client would.
    Later,
    /// It would only multiply the load.
    Never,
}

impl Retry {
    /// Advice from the time until the pool has a key again.
    pub fn until_a_key(wait: Option<Duration>) -> Self {
        match wait {
            Some(wait) if wait <= LONGEST_ADVICE => Self::After(wait),
            // Nobody knows when, or not soon.
            Some(_) | None => Self::Later,
        }
    }

    /// Writes the advice into an answer's head, over what was there.
    pub fn advise(self, headers: &mut HeaderMap) {
        headers.remove(RETRY_AFTER_MS);
        let Self::After(wait) = self else {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            if self == Self::Later {
                headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_ADVICE.as_secs()));
            }
            return;
        };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
        let wait = wait.clamp(Duration::from_millis(1), LONGEST_ADVICE);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
    }
}

impl Refusal {
    /// A refusal with a status, a code for programs and a message for people.
    #[cold]
    pub fn new(status: StatusCode, code: &'static str, end: End, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), end, retry: None, allow: None }
    }

    /// With advice for the client's own retries.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry: Some(retry), ..self }
    }

    /// 400: the request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", End::BadRequest, message)
    }

    /// 405, with what is allowed.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("This path takes {allow} only.");
        let refusal =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", End::BadRequest, message);
        Self { allow: Some(allow), ..refusal }
    }

    /// 500: our own fault.
    pub fn internal() -> Self {
        let message = "gpt-load failed on this request; its log says more.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", End::Internal, message)
    }

    /// What it says to people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer: head and whole body.
    #[cold]
    pub fn answer(&self) -> Response<Bytes> {
        let error = json!({ "error": {
            "message": self.message,
            "type": "gpt_load_error",
            "param": null,
            "code": self.code,
        }});
        let body = Bytes::from(error.to_string());
        let mut response = Response::new(body.clone());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry) = self.retry {
            retry.advise(headers);
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_openais_envelope() {
        let answer = Refusal::bad_request("no \"quotes\" break it").answer();
        assert_eq!(answer.status(), 400);
        let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            body,
            json!({"error": {"message": "no \"quotes\" break it", "type": "gpt_load_error", "param": null, "code": "bad_request"}})
        );
    }

    #[test]
    fn advice_is_rounded_up_and_at_most_a_minute() {
        for (wait, seconds, millis) in
            [(0, "1", "1"), (1, "1", "1"), (1_001, "2", "1001"), (60_000, "60", "60000")]
        {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER_MS, HeaderValue::from_static("7"));
            Retry::until_a_key(Some(Duration::from_millis(wait))).advise(&mut headers);
            assert_eq!(headers[RETRY_AFTER], seconds);
            assert_eq!(headers[RETRY_AFTER_MS], millis);
            assert_eq!(headers[SHOULD_RETRY], "true");
        }
        for wait in [None, Some(Duration::from_secs(61))] {
            let mut headers = HeaderMap::new();
            Retry::until_a_key(wait).advise(&mut headers);
            assert_eq!(headers[RETRY_AFTER], "60");
            assert_eq!(headers[SHOULD_RETRY], "false");
        }
    }
}
