//! `/dashboard`: the page for people, in the binary. It holds no data, so it is open: what it shows it asks of the API,
//! which asks for the token.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response};

/// Nothing but our own files; no script or style within the page, no frame around it, no form.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// The page itself.
    Page,
    /// What it does.
    Script,
    /// What it says, in each language.
    Words,
    /// What it draws.
    Charts,
    /// How it looks.
    Style,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

impl Asset {
    /// The file at a path.
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/dashboard" => Self::Page,
            "/dashboard/app.js" => Self::Script,
            "/dashboard/words.js" => Self::Words,
            "/dashboard/charts.js" => Self::Charts,
            "/dashboard/style.css" => Self::Style,
            _ => return None,
        })
    }

    pub(super) fn answer(self) -> Response<Bytes> {
        let (kind, text) = match self {
            Self::Page => ("text/html; charset=utf-8", include_str!("dashboard/index.html")),
            Self::Script => (SCRIPT, include_str!("dashboard/app.js")),
            Self::Words => (SCRIPT, include_str!("dashboard/words.js")),
            Self::Charts => (SCRIPT, include_str!("dashboard/charts.js")),
            Self::Style => ("text/css; charset=utf-8", include_str!("dashboard/style.css")),
        };
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // A newer binary brings a newer page.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}
