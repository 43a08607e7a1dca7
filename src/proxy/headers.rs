//! Which headers go on, in both directions.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, SEC_WEBSOCKET_PROTOCOL, TE,
    TRAILER, TRANSFER_ENCODING,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::ext::ReasonPhrase;

use super::credentials;
use crate::wire::items;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How long the official SDKs wait for an answer, in seconds.
const READ_TIMEOUT: &str = "x-stainless-read-timeout";
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    http::header::PROXY_AUTHENTICATE,
    TRANSFER_ENCODING,
    http::header::UPGRADE,
];

/// What a look at a request's headers finds, in one pass: most of them are asked for by no more than this.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "answers to as many questions")]
pub(super) struct Found {
    /// Those that don't go upstream.
    stay: Vec<HeaderName>,
    takes_trailers: bool,
    offers_subprotocols: bool,
    /// Whether trailers are announced.
    pub(super) announces: bool,
    /// Whether another protocol is asked for.
    pub(super) upgrades: bool,
    /// Whether an encoded answer is taken.
    pub(super) takes_encoded: bool,
    /// Whether an event stream is.
    pub(super) wants_events: bool,
    /// How long an official SDK waits for an answer.
    pub(super) client_waits: Option<Duration>,
}

impl Found {
    pub(super) fn in_request(client: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in client {
            let text = name.as_str();
            match text {
                // RFC 9110 §10.1.4: the one member of TE that an intermediary may pass on, once it handles trailers.
                "te" => found.takes_trailers |= lists(value, "trailers"),
                "trailer" => found.announces = true,
                "upgrade" => found.upgrades = true,
                "sec-websocket-protocol" => found.offers_subprotocols = true,
                "accept-encoding" => found.takes_encoded = true,
                "accept" => found.wants_events |= accepts_events(value),
                READ_TIMEOUT => {
                    let seconds = value.to_str().ok().and_then(|seconds| seconds.parse().ok());
                    let waits = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    // A client that waits for ever says 0.
                    found.client_waits = found.client_waits.or(waits.filter(|waits| !waits.is_zero()));
                }
                "connection" => found.stay.extend(named_in(value)),
                _ => {}
            }
            if stays_here(text) {
                found.stay.push(name.clone());
            }
        }
        found
    }

    /// Makes the client's headers what the request takes upstream: all but those between it and us.
    ///
    /// Credentials are put in afterwards, so that a `Connection: authorization` can't take ours away.
    pub(super) fn take_away(self, headers: &mut HeaderMap) {
        for name in self.stay {
            headers.remove(name);
        }
        if self.takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if self.offers_subprotocols {
            offer_subprotocols(headers);
        }
    }
}

/// Whether an `Accept` takes an event stream.
fn accepts_events(accept: &HeaderValue) -> bool {
    items(accept).any(|item| {
        let media_type = item.split(|byte| *byte == b';').next().unwrap_or_default();
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// Offers the WebSocket subprotocols that are no credentials.
pub(super) fn offer_subprotocols(headers: &mut HeaderMap) {
    let offered =
        join(credentials::subprotocols(headers).filter(|name| !credentials::is_subprotocol_key(name)));
    set_or_remove(headers, SEC_WEBSOCKET_PROTOCOL, &offered);
}

/// Passes on what proxies before us say of the client, with the address that we see appended (`TRUST_FORWARDED`).
pub(super) fn forward(headers: &mut HeaderMap, client: &HeaderMap, peer: IpAddr) {
    for (name, value) in client.iter().filter(|(name, _)| name.as_str().starts_with("x-forwarded-")) {
        headers.append(name, value.clone());
    }
    let peer = peer.to_canonical();
    let chain = join(all_items(client, X_FORWARDED_FOR).chain([peer.to_string().as_str()]));
    set_or_remove(headers, X_FORWARDED_FOR, &chain);
    if client.contains_key(FORWARDED) {
        // RFC 7239 §4, §6: an IPv6 address is bracketed and quoted.
        let node = if peer.is_ipv6() { format!("for=\"[{peer}]\"") } else { format!("for={peer}") };
        let lines = client.get_all(FORWARDED).iter().filter_map(|line| line.to_str().ok());
        let chain = join(lines.chain([node.as_str()]));
        set_or_remove(headers, FORWARDED, &chain);
    }
}

/// What trailers take upstream. Credentials and what frames a message have no place in them (RFC 9110 §6.5.1).
pub(super) fn of_trailers(client: &HeaderMap) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(client.len());
    for (name, value) in client.iter().filter(|(name, _)| !stays_here(name.as_str())) {
        trailers.append(name, value.clone());
    }
    trailers
}

/// Announces the trailers that come, if they are known, or else those that the client announced: without it none are sent
/// on HTTP/1.1.
pub(super) fn announce_trailers(headers: &mut HeaderMap, client: &HeaderMap, known: Option<&HeaderMap>) {
    let names = match known {
        Some(trailers) => join(trailers.keys().map(HeaderName::as_str)),
        None => join(all_items(client, TRAILER).filter(|name| !stays_here(&name.to_ascii_lowercase()))),
    };
    set_or_remove(headers, TRAILER, &names);
}

/// The items of a header that is a list, in all of its lines.
pub(super) fn all_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn join<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn set_or_remove(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => headers.insert(name, value),
        _ => headers.remove(name),
    };
}

/// Hop-by-hop (RFC 9110 §7.6.1), credentials, and what is between the client and us alone (spec §5). `Host` and
/// `Content-Length` are written anew.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
            | "host"
            | "content-length"
            | "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "cookie"
            | "forwarded"
            | "x-real-ip"
            | "via"
            | "origin"
            | "referer"
            | "openai-organization"
            | "openai-project"
            | "x-goog-user-project"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("cf-")
}

/// Takes the hop-by-hop headers out of an answer. `Trailer` stays: hyper needs it to send trailers on.
pub(super) fn of_answer(headers: &mut HeaderMap) {
    // Most answers have none: a look at each name costs less than a search for each of those.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112 §6.3: it overrides a length, which must not be forwarded then.
        headers.remove(CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An encoded body was exchanged for its plain text, of this length.
#[cold]
pub(super) fn of_plain_text(headers: &mut HeaderMap, length: usize) {
    headers.remove(CONTENT_ENCODING);
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if let Some((kind, charset)) = kind.and_then(|kind| kind.split_once(';'))
        && charset.to_ascii_lowercase().contains("utf-16")
        && let Ok(kind) = HeaderValue::from_str(kind)
    {
        headers.insert(CONTENT_TYPE, kind);
    }
}

/// Takes what tells of a body out of an answer that never has one.
pub(super) fn of_no_body(headers: &mut HeaderMap) {
    for framing in [CONTENT_LENGTH, TRAILER] {
        headers.remove(framing);
    }
}

/// The headers that `Connection` names, in all of its lines, beyond the usual `close` and `keep-alive`.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.get_all(CONNECTION).into_iter().flat_map(named_in).collect()
}

/// Those that one of its lines names.
fn named_in(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    items(connection)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        // Naming these would change what the message is, not how it travels.
        .filter(|name| {
            !matches!(name.as_str(), "content-length" | "content-type" | "content-encoding" | "date")
        })
}

fn lists(value: &HeaderValue, token: &str) -> bool {
    items(value).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// Takes keys out of an answer's head, should the upstream have quoted one there.
pub(super) fn redact_keys(answer: &mut Parts, redact: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if answer.extensions.get::<ReasonPhrase>().is_some_and(|reason| redact(reason.as_bytes()).is_some()) {
        answer.extensions.remove::<ReasonPhrase>();
    }
    redact_values(&mut answer.headers, redact);
}

/// The same for headers or trailers alone.
pub(super) fn redact_values(headers: &mut HeaderMap, redact: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let tells = |name: &&HeaderName| redact(name.as_str().as_bytes()).is_some();
    for name in headers.keys().filter(tells).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    for value in headers.values_mut() {
        if let Some(redacted) = redact(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&redacted).unwrap_or_else(|_| HeaderValue::from_static("****"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn of_request(mut headers: HeaderMap) -> HeaderMap {
        Found::in_request(&headers).take_away(&mut headers);
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_is_between_the_client_and_us_stays_here() {
        let headers = of_request(map(&[
            ("host", "localhost:3000"),
            ("authorization", "Bearer t"),
            ("x-api-key", "t"),
            ("api-key", "t"),
            ("x-goog-api-key", "t"),
            ("cookie", "a=b"),
            ("proxy-authorization", "Basic x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-anything", "x"),
            ("x-real-ip", "1.2.3.4"),
            ("via", "1.1 x"),
            ("cf-connecting-ip", "1.2.3.4"),
            ("origin", "https://a.example"),
            ("referer", "https://a.example/"),
            ("openai-organization", "org-1"),
            ("openai-project", "proj_1"),
            ("x-goog-user-project", "project-1"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("user-agent", "openai-python"),
            ("accept", "*/*"),
            ("anthropic-version", "2023-06-01"),
            ("x-forwardedness", "stays"),
        ]));
        let mut names = names(&headers);
        names.sort_unstable();
        assert_eq!(names, ["accept", "anthropic-version", "user-agent", "x-forwardedness"]);
    }

    #[test]
    fn every_connection_line_is_heeded_and_repeated_headers_survive() {
        let mut client = map(&[("x-one", "1"), ("x-two", "2"), ("x-keep", "3"), ("content-type", "a/b")]);
        client.append(CONNECTION, HeaderValue::from_static("keep-alive, X-One"));
        client.append(CONNECTION, HeaderValue::from_static("x-two, content-type"));
        client.append("x-keep", HeaderValue::from_static("4"));
        let headers = of_request(client);
        let mut names = names(&headers);
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-keep"]);
        assert_eq!(headers.get_all("x-keep").iter().collect::<Vec<_>>(), ["3", "4"]);
    }

    #[test]
    fn a_trusted_chain_goes_on_with_one_more_link() {
        let chain = |client: &[(&str, &str)], peer: &str| {
            let (client, mut headers) = (map(client), HeaderMap::new());
            forward(&mut headers, &client, peer.parse().unwrap());
            let value =
                |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
            [value("x-forwarded-for"), value("forwarded"), value("x-forwarded-proto")]
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(chain(&[], "::ffff:10.0.0.1"), [some("10.0.0.1"), None, None]);
        assert_eq!(
            chain(&[("x-forwarded-for", "1.2.3.4,5.6.7.8"), ("x-forwarded-proto", "https")], "::1"),
            [some("1.2.3.4, 5.6.7.8, ::1"), None, some("https")]
        );
        assert_eq!(
            chain(&[("forwarded", "for=1.2.3.4;proto=https")], "2001:db8::1"),
            [some("2001:db8::1"), some("for=1.2.3.4;proto=https, for=\"[2001:db8::1]\""), None]
        );
    }

    #[test]
    fn te_passes_on_trailers_alone() {
        assert_eq!(of_request(map(&[("te", "gzip, Trailers")]))["te"], "trailers");
        assert!(of_request(map(&[("te", "gzip")])).is_empty());
    }

    #[test]
    fn an_answer_loses_its_hop_by_hop_headers_and_keeps_repeated_ones() {
        let mut headers = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("content-type", "text/plain"),
        ]);
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        of_answer(&mut headers);
        assert_eq!(names(&headers), ["content-type", "set-cookie"]);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn a_quoted_key_is_redacted() {
        let mut headers = map(&[("location", "https://a.example/?key=sk-1234567890abcdef&x"), ("x", "y")]);
        redact_values(&mut headers, |value| {
            let at = memchr::memmem::find(value, b"sk-1234567890abcdef")?;
            Some([value.get(..at)?, b"sk-12345...cdef", value.get(at + 19..)?].concat())
        });
        assert_eq!(headers["location"], "https://a.example/?key=sk-12345...cdef&x");
        assert_eq!(headers["x"], "y");
    }
}
