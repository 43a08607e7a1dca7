//! Who may use the proxy, and where the leased key goes (spec §5).

use std::borrow::Cow;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::headers::all_items;
use crate::keys::Secret;
use crate::refusal::Refusal;
use crate::telemetry::counters::End;
use crate::upstream::{Upstream, query_key};

/// What stands before a key that is offered as a subprotocol.
const SUBPROTOCOL_KEY: &str = "openai-insecure-api-key.";

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");
pub(super) const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Where a credential is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, Anthropic's.
    XApiKey,
    /// `api-key`, Azure's.
    ApiKey,
    /// `x-goog-api-key`, Google's.
    XGoogApiKey,
    /// The query's `key`, Google's.
    Query,
    /// Offered as a WebSocket subprotocol, as browsers do with OpenAI's Realtime API: they can't set headers.
    Subprotocol,
}

impl Place {
    /// Where the provider at `host` wants its key, for a client that sent none.
    pub fn of_host(host: &str) -> Self {
        let ends_with = |end: &str| {
            let at = host.len().checked_sub(end.len());
            at.and_then(|at| host.as_bytes().get(at..))
                .is_some_and(|host| host.eq_ignore_ascii_case(end.as_bytes()))
        };
        if host.eq_ignore_ascii_case("api.anthropic.com") {
            Self::XApiKey
        } else if host.eq_ignore_ascii_case("generativelanguage.googleapis.com") {
            Self::XGoogApiKey
        } else if ends_with(".openai.azure.com") || ends_with(".cognitiveservices.azure.com") {
            Self::ApiKey
        } else {
            Self::Bearer
        }
    }

    /// Where an upstream wants it that we ask ourselves: where its host is known to, or else where it took those of clients.
    pub fn of_upstream(upstream: &Upstream) -> Self {
        let of_host = Self::of_host(upstream.url.host());
        // A host that is known takes clients' keys elsewhere too: in its dialect of OpenAI's API, which is not that of its list.
        if of_host != Self::Bearer {
            return of_host;
        }
        let took = |place: &Self| upstream.places() & place.bit() != 0;
        let places = [Self::Bearer, Self::XApiKey, Self::ApiKey, Self::XGoogApiKey, Self::Query];
        places.into_iter().find(took).unwrap_or(of_host)
    }

    /// What an upstream notes it by.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Puts a key into the headers; the query's is put there by the URL.
    ///
    /// # Errors
    /// If the key can't travel in a header. The keys file lets no such key in.
    pub fn put(self, key: &str, headers: &mut HeaderMap) -> Result<(), http::header::InvalidHeaderValue> {
        let (name, mut value) = match self {
            Self::Bearer => (AUTHORIZATION, HeaderValue::try_from(["Bearer ", key].concat())?),
            Self::XApiKey => (X_API_KEY, HeaderValue::try_from(key)?),
            Self::ApiKey => (API_KEY, HeaderValue::try_from(key)?),
            Self::XGoogApiKey => (X_GOOG_API_KEY, HeaderValue::try_from(key)?),
            Self::Query => return Ok(()),
            Self::Subprotocol if key.bytes().all(is_token) => {
                let offered = subprotocols(headers).collect::<Vec<_>>().join(", ");
                let separator = if offered.is_empty() { "" } else { ", " };
                let value = format!("{offered}{separator}{SUBPROTOCOL_KEY}{key}");
                (SEC_WEBSOCKET_PROTOCOL, HeaderValue::try_from(value)?)
            }
            // RFC 6455 §4.1: only a token can be a subprotocol.
            Self::Subprotocol => return Self::Bearer.put(key, headers),
        };
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// Takes away every key that [`Place::put`] may have put there.
pub(super) fn take_away(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, X_API_KEY, API_KEY, X_GOOG_API_KEY] {
        headers.remove(name);
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        super::headers::offer_subprotocols(headers);
    }
}

/// The tokens that open a door; none at all leaves it open.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Secret>);

impl Tokens {
    /// These tokens.
    pub fn new(tokens: Vec<Secret>) -> Self {
        Self(tokens)
    }

    /// Whether no token is asked for.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the client's token and tells where it was.
    ///
    /// # Errors
    /// 401 `missing_auth_token` or `invalid_auth_token`.
    pub fn check(&self, parts: &Parts) -> Result<Option<Place>, Refusal> {
        let found = find(&parts.headers, parts.uri.query());
        if self.is_open() {
            return Ok(found.map(|(place, _)| place));
        }
        let Some((place, token)) = found else {
            return Err(unauthorized(
                "missing_auth_token",
                "This gpt-load asks for a token: send it as your SDK's API key (Authorization: Bearer, x-api-key, api-key, \
                 x-goog-api-key, ?key=, or the subprotocol openai-insecure-api-key.TOKEN of a WebSocket).",
            ));
        };
        // All of them, so that the time does not tell which one came close.
        let matches = self.0.iter().fold(false, |matches, secret| secret.matches(&token) | matches);
        if matches {
            return Ok(Some(place));
        }
        Err(unauthorized("invalid_auth_token", "The token is not one that this gpt-load knows."))
    }
}

fn unauthorized(code: &'static str, message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, code, End::Unauthorized, message)
}

/// The client's token: the first one found decides.
fn find<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<(Place, Cow<'a, [u8]>)> {
    let header =
        |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes).filter(|token| !token.is_empty());
    if let Some(token) = header(AUTHORIZATION).and_then(bearer) {
        return Some((Place::Bearer, token.into()));
    }
    for (name, place) in
        [(X_API_KEY, Place::XApiKey), (API_KEY, Place::ApiKey), (X_GOOG_API_KEY, Place::XGoogApiKey)]
    {
        if let Some(token) = header(name) {
            return Some((place, token.into()));
        }
    }
    if let Some(token) = query.and_then(query_key).filter(|token| !token.is_empty()) {
        return Some((Place::Query, token));
    }
    let token = subprotocols(headers).find_map(|name| name.strip_prefix(SUBPROTOCOL_KEY))?;
    (!token.is_empty()).then(|| (Place::Subprotocol, token.as_bytes().into()))
}

/// The WebSocket subprotocols that are offered.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    all_items(headers, SEC_WEBSOCKET_PROTOCOL)
}

/// Whether a subprotocol is a credential in disguise.
pub(super) fn is_subprotocol_key(name: &str) -> bool {
    name.starts_with(SUBPROTOCOL_KEY)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §11.1: the scheme is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.trim_ascii_start();
    (scheme.eq_ignore_ascii_case(b"bearer") && token.len() < value.len() - 6 && !token.is_empty())
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::upstream::{BaseUrl, Upstreams};

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_first_place_that_holds_a_token_decides() {
        for (uri, headers, want) in [
            ("/", &[("authorization", "Bearer t")][..], Some(Place::Bearer)),
            ("/", &[("authorization", "bEARER   t")], Some(Place::Bearer)),
            ("/", &[("authorization", "Basic dDp0"), ("x-api-key", "t")], Some(Place::XApiKey)),
            ("/", &[("api-key", "t"), ("x-goog-api-key", "u")], Some(Place::ApiKey)),
            ("/?key=t", &[("x-goog-api-key", "u")], Some(Place::XGoogApiKey)),
            ("/?a=b&k%65y=t", &[], Some(Place::Query)),
            ("/?monkey=t", &[], None),
            ("/?key=", &[("authorization", "Bearer "), ("x-api-key", "")], None),
            (
                "/",
                &[("sec-websocket-protocol", "realtime, openai-insecure-api-key.t")],
                Some(Place::Subprotocol),
            ),
            ("/?key=u", &[("sec-websocket-protocol", "openai-insecure-api-key.t")], Some(Place::Query)),
            ("/", &[("sec-websocket-protocol", "realtime, openai-insecure-api-key.")], None),
            ("/", &[("authorization", "Bearert")], None),
        ] {
            let place = Tokens::default().check(&parts(uri, headers)).unwrap();
            assert_eq!(place, want, "{uri} {headers:?}");
        }
    }

    #[test]
    fn any_of_several_tokens_opens_and_the_first_found_decides() {
        let tokens = Tokens::new(vec![Secret::new("one"), Secret::new("two & a half")]);
        let code = |uri: &str, headers: &[(&str, &str)]| match tokens.check(&parts(uri, headers)) {
            Ok(place) => format!("{place:?}"),
            Err(refusal) => String::from_utf8(refusal.answer().into_body().to_vec()).unwrap(),
        };
        assert_eq!(code("/", &[("authorization", "Bearer one")]), "Some(Bearer)");
        assert_eq!(code("/?key=two%20%26%20a%20half", &[]), "Some(Query)");
        assert!(
            code("/", &[("authorization", "Bearer three"), ("x-api-key", "one")])
                .contains("invalid_auth_token")
        );
        assert!(code("/", &[("authorization", "Bearer on")]).contains("invalid_auth_token"));
        assert!(code("/", &[]).contains("missing_auth_token"));
    }

    #[test]
    fn known_hosts_get_the_key_where_they_want_it() {
        for (host, place) in [
            ("api.openai.com", Place::Bearer),
            ("API.Anthropic.com", Place::XApiKey),
            ("my.openai.azure.com", Place::ApiKey),
            ("my.cognitiveservices.azure.com", Place::ApiKey),
            ("openai.azure.com.evil.example", Place::Bearer),
            ("generativelanguage.googleapis.com", Place::XGoogApiKey),
        ] {
            assert_eq!(Place::of_host(host), place, "{host}");
        }
    }

    #[test]
    fn a_host_that_is_known_is_asked_in_its_own_place_wherever_it_took_those_of_clients() {
        for (url, took, want) in [
            ("https://api.anthropic.com", &[Place::Bearer][..], Place::XApiKey),
            ("https://generativelanguage.googleapis.com/v1beta/openai", &[Place::Bearer], Place::XGoogApiKey),
            ("https://me.openai.azure.com", &[Place::Bearer], Place::ApiKey),
            ("https://relay.example", &[], Place::Bearer),
            ("https://relay.example", &[Place::Subprotocol], Place::Bearer),
            ("https://relay.example", &[Place::Query, Place::XApiKey], Place::XApiKey),
            ("https://relay.example", &[Place::XApiKey, Place::Bearer], Place::Bearer),
        ] {
            let upstreams = Upstreams::new(vec![BaseUrl::parse(url).unwrap()]);
            let upstream = upstreams.all().first().unwrap();
            for place in took {
                upstream.note_place(place.bit());
            }
            assert_eq!(Place::of_upstream(upstream), want, "{url} {took:?}");
        }
    }
}
