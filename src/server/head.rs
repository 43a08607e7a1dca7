//! What is wrong with a request before anything else is looked at (spec §4.1): what can be read, and yet is too large, or
//! could be read in two ways.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode, Version};

use crate::refusal::Refusal;
use crate::telemetry::counters::End;
use crate::wire::items;

/// More headers than this are an attack (spec §4).
pub(super) const HEADERS_MAX: usize = 100;
/// A larger head too, in bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;

/// Why a request is refused for its head alone, if it is. Boxed: it is rare, and every request's future holds this.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Box<Refusal>> {
    let http1 = request.version() <= Version::HTTP_11;
    nowhere(request)
        // HTTP/1.1 has measured it while it came.
        .or_else(|| if http1 { ambiguous(request.version(), request.headers()) } else { too_large(request) })
        .map(Box::new)
}

/// h2 measures otherwise.
fn too_large<B>(request: &Request<B>) -> Option<Refusal> {
    let (headers, uri) = (request.headers(), request.uri());
    let (code, message) = if headers.len() > HEADERS_MAX {
        ("too_many_headers", format!("The request has more than {HEADERS_MAX} headers."))
    } else {
        // As they stand in HTTP/1.1: a colon, a space and a line's end each.
        let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target + fields.sum::<usize>() <= HEAD_MAX {
            return None;
        }
        ("head_too_large", format!("The request's head is larger than {HEAD_MAX} bytes."))
    };
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Some(Refusal::new(status, code, End::BadRequest, message))
}

/// `CONNECT`, and `GET example.com:443`: targets that are a place and no path.
fn nowhere<B>(request: &Request<B>) -> Option<Refusal> {
    if request.method() == Method::CONNECT {
        let message = "gpt-load is no forward proxy: set it as your SDK's base_url.";
        return Some(not_implemented(message));
    }
    let uri = request.uri();
    (uri.scheme().is_none() && uri.authority().is_some())
        .then(|| Refusal::bad_request("The request's target has to be a path that begins with a slash."))
}

fn ambiguous(version: Version, headers: &HeaderMap) -> Option<Refusal> {
    // RFC 9112 §3.2: one Host that is a host, or 400.
    let mut hosts = headers.get_all(HOST).iter();
    let right = match hosts.next() {
        None => version < Version::HTTP_11,
        Some(host) => {
            is_plain(host.as_bytes())
                || (!host.as_bytes().contains(&b'@') && Authority::try_from(host.as_bytes()).is_ok())
        }
    };
    if !right || hosts.next().is_some() {
        return Some(Refusal::bad_request("The request needs one Host header, with a host's name in it."));
    }
    // RFC 9112 §6.1: the body behind another coding would go on as something else than it is.
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter().flat_map(items);
    let first = codings.next()?;
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match codings.next() {
        None => None,
        Some(second) if is_chunked(first) && is_chunked(second) => {
            Some(Refusal::bad_request("A body is chunked only once."))
        }
        Some(_) => Some(not_implemented("The only Transfer-Encoding that gpt-load knows is chunked.")),
    }
}

/// A name or an address as most are: there is nothing to take apart.
fn is_plain(host: &[u8]) -> bool {
    let name =
        host.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')).count();
    match host.get(name..).unwrap_or_default() {
        [] => true,
        [b':', port @ ..] => name > 0 && matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn not_implemented(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", End::BadRequest, message)
}
