//! Cross-origin requests, as the Fetch standard has them (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//! Preflights are answered here and never forwarded; what an upstream says of other origins is replaced.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// Seconds that a browser may remember a preflight's answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What SDKs read in browsers, for requests with credentials, where `*` means nothing.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, x-ratelimit-limit-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, \
     x-ratelimit-reset-requests, x-ratelimit-reset-tokens, openai-processing-ms",
);

/// A list that may be everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed<T> {
    /// `*`
    Any,
    /// These alone.
    These(Vec<T>),
}

/// What pages of other origins may do.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Allowed<HeaderValue>,
    /// `None`: any, by repeating what is asked for.
    methods: Option<HeaderValue>,
    /// `None`: any, by repeating what is asked for; `*` itself would not cover `Authorization`.
    headers: Option<HeaderValue>,
    credentials: bool,
}

impl Cors {
    /// Allows these origins (`ALLOWED_ORIGINS`), methods, request headers, and credentials if told so.
    pub fn new(
        origins: Allowed<HeaderValue>,
        methods: &Allowed<Method>,
        headers: &Allowed<HeaderName>,
        credentials: bool,
    ) -> Self {
        Self {
            origins,
            methods: joined(methods, Method::as_str),
            headers: joined(headers, HeaderName::as_str),
            credentials,
        }
    }

    /// The answer to a preflight, if the request is one. For an origin that is not allowed it allows nothing.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<()>> {
        if method != Method::OPTIONS {
            return None;
        }
        let (origin, wanted) = (headers.get(ORIGIN)?, headers.get(ACCESS_CONTROL_REQUEST_METHOD)?);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        answer.insert(VARY, HeaderValue::from_static(vary));
        if self.allows(origin) {
            self.allow(origin, answer);
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.as_ref().unwrap_or(wanted).clone());
            if let Some(allowed) = self.headers.as_ref().or(headers.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Some(response)
    }

    /// Replaces what an answer says of other origins. A request without `Origin` is no cross-origin request.
    pub fn apply(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let theirs: Vec<HeaderName> =
            answer.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
        for name in theirs {
            answer.remove(name);
        }
        let Some(origin) = origin else { return };
        vary_by_origin(answer);
        if self.allows(origin) {
            self.allow(origin, answer);
            let exposed = if self.credentials { EXPOSED } else { HeaderValue::from_static("*") };
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Allowed::Any => true,
            Allowed::These(origins) => origins.contains(origin),
        }
    }

    fn allow(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

fn joined<T>(allowed: &Allowed<T>, name: impl Fn(&T) -> &str) -> Option<HeaderValue> {
    match allowed {
        Allowed::Any => None,
        // Names of methods and headers can travel in a header.
        Allowed::These(names) => {
            HeaderValue::try_from(names.iter().map(name).collect::<Vec<_>>().join(", ")).ok()
        }
    }
}

/// The answer depends on the origin (RFC 9110 §12.5.5), unless it says so already.
fn vary_by_origin(answer: &mut HeaderMap) {
    let says_so = answer.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"origin")
        })
    });
    if !says_so {
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &'static str) -> HeaderValue {
        HeaderValue::from_static(value)
    }

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), header(value))).collect()
    }

    fn any() -> Cors {
        Cors::new(Allowed::Any, &Allowed::These(vec![Method::GET, Method::POST]), &Allowed::Any, false)
    }

    fn strict() -> Cors {
        let origins = Allowed::These(vec![header("https://app.example")]);
        let headers = Allowed::These(vec![http::header::AUTHORIZATION, http::header::CONTENT_TYPE]);
        Cors::new(origins, &Allowed::Any, &headers, true)
    }

    fn preflight(origin: &'static str) -> HeaderMap {
        map(&[
            ("origin", origin),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,x-stainless-os"),
        ])
    }

    #[test]
    fn a_preflight_is_told_what_is_allowed() {
        let answer = any().preflight(&Method::OPTIONS, &preflight("https://a.example")).unwrap();
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(headers["access-control-allow-methods"], "GET, POST");
        assert_eq!(headers["access-control-allow-headers"], "authorization,x-stainless-os");
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert!(headers["vary"].to_str().unwrap().starts_with("Origin"));

        let answer = strict().preflight(&Method::OPTIONS, &preflight("https://app.example")).unwrap();
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-methods"], "PATCH");
        assert_eq!(headers["access-control-allow-headers"], "authorization, content-type");
        assert_eq!(headers["access-control-allow-credentials"], "true");
    }

    #[test]
    fn an_origin_that_is_not_allowed_learns_nothing() {
        for origin in ["https://evil.example", "https://app.example.evil", "null", "HTTPS://APP.EXAMPLE"] {
            let answer = strict().preflight(&Method::OPTIONS, &preflight(origin)).unwrap();
            assert_eq!(answer.status(), 204);
            assert_eq!(answer.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["vary"]);
            let mut headers = HeaderMap::new();
            strict().apply(Some(&header(origin)), &mut headers);
            assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["vary"]);
        }
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        let without_method = map(&[("origin", "https://a.example")]);
        assert!(any().preflight(&Method::OPTIONS, &without_method).is_none());
        assert!(any().preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
        assert!(any().preflight(&Method::GET, &preflight("https://a.example")).is_none());
    }

    #[test]
    fn the_upstreams_own_headers_are_replaced() {
        let upstreams = || {
            map(&[
                ("access-control-allow-origin", "https://provider.example"),
                ("access-control-allow-credentials", "true"),
                ("access-control-anything", "x"),
                ("vary", "Accept-Encoding, origin"),
            ])
        };
        let mut headers = upstreams();
        any().apply(Some(&header("https://a.example")), &mut headers);
        assert_eq!(headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(headers["access-control-expose-headers"], "*");
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert!(!headers.contains_key("access-control-anything"));
        assert_eq!(headers.get_all("vary").iter().count(), 1);

        let mut headers = upstreams();
        any().apply(None, &mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["vary"]);
    }

    #[test]
    fn with_credentials_the_exposed_headers_are_named() {
        let mut headers = HeaderMap::new();
        strict().apply(Some(&header("https://app.example")), &mut headers);
        assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("retry-after"));
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["vary"], "Origin");
    }
}
