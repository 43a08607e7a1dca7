//! Which paths are ours: however they are written, the proxy must not get them (spec §10).

use http::Method;

use super::dashboard::Asset;
use crate::refusal::Refusal;

/// One of our own paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/health`
    Health,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
    /// `/stats`
    Stats,
    /// `/blacklist`
    Blacklist,
    /// `/reset-keys`
    ResetKeys,
    /// `/metrics`
    Metrics,
    /// `/dashboard` and its files
    Dashboard(Asset),
    /// `/admin/…`
    Admin,
    /// Ours, and nothing is there.
    Nowhere,
}

impl Page {
    /// The page at a path, if the path is ours. However one of our paths is written: the proxy must not get it.
    pub fn at(path: &str) -> Option<Self> {
        Self::plain(path).or_else(|| {
            let otherwise = written_otherwise(path)?;
            Self::plain(&otherwise).map(|_| Self::Nowhere)
        })
    }

    fn plain(path: &str) -> Option<Self> {
        Some(match path {
            "/health" => Self::Health,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/stats" => Self::Stats,
            "/blacklist" => Self::Blacklist,
            "/reset-keys" => Self::ResetKeys,
            "/metrics" => Self::Metrics,
            "/admin" => Self::Nowhere,
            _ if path.starts_with("/admin/") => Self::Admin,
            "/dashboard" => Self::Dashboard(Asset::Page),
            _ if path.starts_with("/dashboard/") => Asset::at(path).map_or(Self::Nowhere, Self::Dashboard),
            _ => return None,
        })
    }

    /// Open to everybody, since whoever restarts containers has no token.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Livez | Self::Readyz | Self::Dashboard(_) | Self::Nowhere)
    }

    pub(super) fn allows(self, method: &Method) -> Result<(), Refusal> {
        let (allowed, allow): (&[Method], _) = match self {
            // Each of their paths has its own.
            Self::Admin | Self::Nowhere => return Ok(()),
            Self::ResetKeys => (&[Method::GET, Method::HEAD, Method::POST], "GET, HEAD, POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        };
        if allowed.contains(method) { Ok(()) } else { Err(Refusal::method_not_allowed(allow)) }
    }
}

/// A path in its plain form, where it is written in another: percent-encoded, with doubled slashes, backslashes or dot
/// segments. `None`: it is plain.
fn written_otherwise(path: &str) -> Option<String> {
    let mut before = 0;
    let is_odd = |byte: u8| {
        let is_segment_odd = before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        is_segment_odd || matches!(byte, b'%' | b'\\')
    };
    if !path.bytes().any(is_odd) {
        return None;
    }
    let decoded = percent_decoded(path.as_bytes());
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let plain = segments.iter().fold(Vec::new(), |path, segment| [&path, &b"/"[..], segment].concat());
    Some(String::from_utf8_lossy(&plain).into_owned())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
        decoded.push(byte.unwrap_or(*first));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_paths_are_ours_however_they_are_written() {
        for (path, want) in [
            ("/stats", Some(Page::Stats)),
            ("/admin/api/keys", Some(Page::Admin)),
            ("/admin", Some(Page::Nowhere)),
            ("/dashboard/app.js", Some(Page::Dashboard(Asset::Script))),
            ("/dashboard/", Some(Page::Nowhere)),
            ("/%61dmin/api/keys", Some(Page::Nowhere)),
            ("/admin%2Fapi/keys", Some(Page::Nowhere)),
            ("//admin/api/keys", Some(Page::Nowhere)),
            ("/./admin/api", Some(Page::Nowhere)),
            ("/v1/../admin/api", Some(Page::Nowhere)),
            ("/v1/%2e%2e/admin/api", Some(Page::Nowhere)),
            ("/\\admin\\api", Some(Page::Nowhere)),
            ("/%73tats", Some(Page::Nowhere)),
            ("/v1/organization/admin_api_keys", None),
            ("/v1/admin/x", None),
            ("/administration", None),
            ("/v1/chat/completions", None),
            ("/v1/files/a%2Fb", None),
            ("/%", None),
            ("/", None),
        ] {
            assert_eq!(Page::at(path), want, "{path}");
        }
    }
}
