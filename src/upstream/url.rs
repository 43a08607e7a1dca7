//! Joining a base URL and a request, byte for byte (spec §8), and the one query parameter that is a credential:
//! `key` (spec §5). Leaves connecting and choosing to the rest of `upstream`.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::PathAndQuery;

/// Longer base URLs are typing errors, and would leave too little of the 64 KiB that a request target may have.
const LONGEST: usize = 2048;
/// RFC 1035 §2.3.4, written with dots.
const LONGEST_NAME: usize = 253;

/// A base URL to which requests are forwarded. If there is one, it is valid: `http` or `https`, a host, no
/// `user:password`, no fragment. Its path and query are kept as they were written, less slashes at the path's end.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    authority: HeaderValue,
    /// Empty, or `/…` without a slash at its end.
    path: Box<str>,
    /// The path's last segment with its slash (`/v1`), where that is a version.
    version: Option<Box<str>>,
    /// Without its `?`; empty means none.
    query: Box<str>,
    /// As it may be shown.
    shown: Box<str>,
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it is written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Why a request's target can't be put behind a base URL. The client's fault: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// `*` and the like.
    #[error("the request's target has to be a path that begins with a slash")]
    NotAPath,
    /// A `..` segment, plain or encoded, under a base URL that has a path.
    #[error("the request's path has a \"..\" segment, which could leave the path of the upstream's base URL")]
    LeavesBasePath,
    /// What no request line can carry, or more than it can.
    #[error("the request's target is too long or has a character that no URL may have")]
    Unsendable,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with the URL. Never quotes the URL, which may
    /// hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("it has white space, a control character or a backslash in it".to_owned());
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            _ => return Err("it has to begin with https:// or http://".to_owned()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (written_authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if written_authority.contains('@') {
            return Err(
                "it has a user or password in it, which is not supported: keys go into the keys file, \
                        and nothing else is sent as a credential"
                    .to_owned(),
            );
        }
        let (host, port, authority) = read_authority(scheme, written_authority)?;
        let (path, query) = read_target(target)?;
        let version = path
            .rfind('/')
            .and_then(|slash| path.get(slash..))
            .filter(|last| is_version(last.trim_start_matches('/')))
            .map(Box::from);
        // The authority was made of a string, so it is one.
        let mut shown = [scheme.as_str(), "://", authority.to_str().unwrap_or_default(), path].concat();
        if !query.is_empty() {
            shown.push('?');
            shown.push_str(&redact_query(query));
        }
        let (path, query, shown) = (path.into(), query.into(), shown.into());
        Ok(Self { scheme, host, port, authority, path, version, query, shown })
    }

    /// What is spoken.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name (in its ASCII form) or address (IPv6 without brackets), to resolve and to verify.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; the scheme's own where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `Host` carries: host (IPv6 in brackets) and port, less the scheme's own port.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// The path, empty or without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The URL for logs and people: the values of query parameters that look like secrets are hidden.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it has neither a path nor a query, so that every target stays what it is.
    pub fn is_bare(&self) -> bool {
        self.path.is_empty() && self.query.is_empty()
    }

    /// Whether the path names a version of the API, at its end or before: `/v1`, `/v1beta/openai`, `/api/paas/v4`.
    pub fn names_version(&self) -> bool {
        self.path.split('/').any(is_version)
    }

    /// Whether the query has a parameter of this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.query.split('&').any(|parameter| parameter.split('=').next() == Some(name))
    }

    /// The request's target behind this base URL, every byte as it was sent: base path + path, base query + query.
    /// A version segment that ends the base path and begins the request's path is there once.
    ///
    /// # Errors
    /// [`JoinError`]: upstreams resolve `..` segments, and nobody is let out of the base path that way; that is
    /// looked for as `%2e`, behind `%2f` and backslashes, and before `;` too. A base URL without a path has nothing
    /// to leave, and passes them on.
    pub fn join(&self, path_and_query: &str) -> Result<PathAndQuery, JoinError> {
        let (path, query) = split_query(path_and_query);
        self.assemble(path, query)
    }

    /// [`join`](Self::join) with the query's credentials replaced as [`replace_key`] does.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_with_key(&self, path_and_query: &str, key: Option<&str>) -> Result<PathAndQuery, JoinError> {
        let (path, query) = split_query(path_and_query);
        let replaced = replace_key(query.unwrap_or_default(), key);
        let gone = replaced.is_empty() && query.is_none_or(|query| !query.is_empty());
        self.assemble(path, (!gone).then_some(&*replaced))
    }

    fn assemble(&self, path: &str, query: Option<&str>) -> Result<PathAndQuery, JoinError> {
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(JoinError::NotAPath);
        }
        if !self.path.is_empty() && climbs(path) {
            return Err(JoinError::LeavesBasePath);
        }
        let rest = self
            .version
            .as_deref()
            .and_then(|version| path.strip_prefix(version))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .unwrap_or(path);
        let query_length = query.map_or(0, str::len);
        let mut target =
            String::with_capacity(self.path.len() + rest.len() + self.query.len() + query_length + 2);
        target.push_str(&self.path);
        target.push_str(rest);
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&self.query);
        }
        match query {
            Some("") if !self.query.is_empty() => {}
            Some(query) => {
                target.push(if self.query.is_empty() { '?' } else { '&' });
                target.push_str(query);
            }
            None => {}
        }
        // http would cut a target off at its fragment; a request with one is not forwarded as something else.
        if target.contains('#') {
            return Err(JoinError::Unsendable);
        }
        PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| JoinError::Unsendable)
    }
}

/// For logs and people: the URL with the values of query parameters that look like secrets hidden.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({self})")
    }
}

/// The client's token where it came in the query (spec §5): the first parameter named `key`, decoded. A `+` stays
/// one: no token has a space in it.
pub fn query_key(query: &str) -> Option<Cow<'_, [u8]>> {
    let parameter = query.split('&').find(|parameter| is_key(parameter))?;
    Some(percent_decode(parameter.split_once('=').map_or("", |(_, value)| value)))
}

/// A client's query as it may go upstream: the leased key, percent-encoded, in the place of the first parameter
/// named `key` (at the end if there is none), and no other parameter of that name, however it is encoded. With
/// `None` all of them go. Everything else stays as it was, byte for byte.
pub fn replace_key(query: &str, key: Option<&str>) -> String {
    let mut leased = key;
    let mut replaced = String::with_capacity(query.len() + key.map_or(0, |key| key.len() + 8));
    let mut separate = false;
    for parameter in query.split('&') {
        let ours = is_key(parameter);
        if ours && leased.is_none() {
            continue;
        }
        if separate {
            replaced.push('&');
        }
        separate = true;
        match leased.take_if(|_| ours) {
            Some(key) => push_key(&mut replaced, key),
            None => replaced.push_str(parameter),
        }
    }
    if let Some(key) = leased {
        if !replaced.is_empty() {
            replaced.push('&');
        }
        push_key(&mut replaced, key);
    }
    replaced
}

/// Each `%xx` as the byte that it stands for; a `%` that begins no such thing is itself.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn push_key(query: &mut String, key: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    query.push_str("key=");
    for &byte in key.as_bytes() {
        // RFC 3986 §2.3: what never needs encoding.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            query.push(char::from(byte));
        } else {
            query.push('%');
            for digit in [byte >> 4, byte & 15] {
                query.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
            }
        }
    }
}

fn is_key(parameter: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    *percent_decode(name) == *b"key"
}

fn split_query(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

fn read_authority(scheme: Scheme, written: &str) -> Result<(Box<str>, u16, HeaderValue), String> {
    if written.is_empty() || written.starts_with(':') {
        return Err("it has no host".to_owned());
    }
    let parsed = url::Url::parse(&format!("{}://{written}/", scheme.as_str()))
        .map_err(|error| format!("its host or port can't be read ({error})"))?;
    let host = match parsed.host() {
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => address.to_string(),
        None => return Err("it has no host".to_owned()),
    };
    if host.len() > LONGEST_NAME {
        return Err(format!("its host is longer than {LONGEST_NAME} characters, which no name can be"));
    }
    let port = parsed.port_or_known_default().filter(|port| *port != 0).ok_or("its port can't be 0")?;
    let bracketed = parsed.host_str().unwrap_or_default();
    // `Url::port` is `None` for the scheme's own port, which `Host` leaves out (RFC 9110 §7.2).
    let authority = match parsed.port() {
        Some(port) => HeaderValue::try_from(format!("{bracketed}:{port}")),
        None => HeaderValue::try_from(bracketed),
    }
    .map_err(|_| "its host can't be sent in a header")?;
    Ok((host.into(), port, authority))
}

fn read_target(target: &str) -> Result<(&str, &str), String> {
    if target.contains('#') {
        return Err("it has a fragment (#…), which is never sent".to_owned());
    }
    if !target.is_ascii() {
        return Err("its path or query has characters that have to be percent-encoded".to_owned());
    }
    let (path, query) = split_query(target);
    let query = query.unwrap_or_default();
    let path = path.trim_end_matches('/');
    if climbs(path) {
        return Err("its path has a \"..\" segment".to_owned());
    }
    if query_key(query).is_some() {
        return Err("its query has a key in it: keys go into the keys file".to_owned());
    }
    let sample = format!("{path}/?{query}");
    PathAndQuery::try_from(sample).map_err(|_| "its path or query has a character that no URL may have")?;
    Ok((path, query))
}

/// `v1`, `v1beta`, `v1.1`, `v1p1beta1`, …
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|number| {
        number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    })
}

/// Whether an upstream could read a `..` segment in this path, however it decodes it.
fn climbs(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    percent_decode(path)
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| segment.split(|byte| *byte == b';').next() == Some(b".."))
}

/// A request's path and query as it may be shown: the values of query parameters that look like secrets are hidden.
pub fn hide_secrets(path_and_query: &str) -> Cow<'_, str> {
    match split_query(path_and_query) {
        (path, Some(query)) if may_have_secret(query) => format!("{path}?{}", redact_query(query)).into(),
        _ => path_and_query.into(),
    }
}

/// What names of secrets have in them.
const SECRETS: [&str; 6] = ["key", "token", "secret", "sig", "password", "code"];

/// Whether a query has such a name in it, or one that could be read as such. Nearly none has.
fn may_have_secret(query: &str) -> bool {
    let query = query.as_bytes();
    query.contains(&b'%')
        || SECRETS.iter().any(|secret| {
            query.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret.as_bytes()))
        })
}

fn redact_query(query: &str) -> String {
    let redacted = query.split('&').map(|parameter| {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        let decoded = String::from_utf8_lossy(&percent_decode(name)).to_ascii_lowercase();
        if SECRETS.iter().any(|word| decoded.contains(word)) {
            format!("{name}=****")
        } else {
            parameter.to_owned()
        }
    });
    redacted.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
