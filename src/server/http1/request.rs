//! A request's head, and how its body is framed.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::{Method, Request, StatusCode, Uri, Version};

use super::answer::Framed;
use crate::refusal::Refusal;
use crate::server::head::{HEAD_MAX, HEADERS_MAX};
use crate::telemetry::counters::End;
use crate::wire::{Asks, Fields, Next, Remaining, first_line, items, number, spare, why};

/// A request's head.
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// What it says of the answer.
    pub(super) framed: Framed,
    /// The body that it announces.
    pub(super) rest: Remaining,
    /// Whether the client waits to be told that its body is wanted.
    pub(super) asks: bool,
    /// Its bytes.
    pub(super) length: usize,
}

impl Head {
    /// The head that a text begins with; `None` if it is not whole.
    ///
    /// # Errors
    /// What the client is told if it is none, or if its body's end can't be told.
    pub(super) fn parse(text: &Bytes) -> Result<Option<Self>, Refusal> {
        let first_line = first_line(text);
        let mut parsed = httparse::Request::new(&mut []);
        let line = text.get(..first_line.unwrap_or(text.len())).unwrap_or_default();
        parsed.parse(line).map_err(|error| unreadable(error, text))?;
        let Some(first_line) = first_line else { return Ok(None) };
        if first_line > HEAD_MAX {
            return Err(too_large());
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(malformed("its first line is none"));
        };
        let is_old = minor == 0;
        let mut request = Request::new(());
        *request.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
        *request.method_mut() =
            Method::from_bytes(method.as_bytes()).map_err(|_| malformed("its method is none"))?;
        // http::Uri would drop it, and what was asked for would be something else.
        if target.contains('#') {
            return Err(malformed("its target has a fragment"));
        }
        *request.uri_mut() = Uri::from_maybe_shared(text.slice_ref(target.as_bytes()))
            .map_err(|_| malformed("its target is no URI"))?;
        let (mut asks_of_connection, mut asks, mut takes_trailers) = (Asks::default(), false, false);
        let (mut declared, mut is_chunked, mut codings) = (None, None, 0);
        let map = request.headers_mut();
        *map = spare::take();
        let mut fields = Fields::new(text, first_line, HEADERS_MAX);
        let length = loop {
            let (name, value) = match fields.next().map_err(|error| unreadable(error, text))? {
                Next::Field(name, value) => (name, value),
                Next::End(length) => break length,
                Next::Missing => {
                    spare::give(std::mem::take(map));
                    return Ok(None);
                }
            };
            match name {
                // All that it says has been heard, and it goes no further.
                CONNECTION if !asks_of_connection.hear(&value) => continue,
                // RFC 9112 §6.3: lengths that differ are no length.
                CONTENT_LENGTH => match (number(value.as_bytes()), declared) {
                    (Some(length), Some(before)) if length == before => continue,
                    // It frames the body, and is said no further: whoever sends that on says how long it is by himself.
                    (length @ Some(_), None) => {
                        declared = length;
                        continue;
                    }
                    _ => return Err(malformed("its Content-Length is none")),
                },
                // RFC 9112 §6.3: the last one tells the end. What may be wrong with others is said by `head::refusal`.
                TRANSFER_ENCODING => {
                    codings += items(&value).count();
                    let last = items(&value).last().unwrap_or_default();
                    is_chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
                }
                EXPECT => {
                    asks |= !is_old && items(&value).any(|item| item.eq_ignore_ascii_case(b"100-continue"));
                }
                TE => takes_trailers |= items(&value).any(|item| item.eq_ignore_ascii_case(b"trailers")),
                _ => {}
            }
            map.append(name, value);
        };
        if length > HEAD_MAX {
            return Err(too_large());
        }
        let mut lasts = asks_of_connection.lasts(is_old);
        let rest = match (is_chunked, declared) {
            (Some(_), _) if is_old => return Err(malformed("HTTP/1.0 has no Transfer-Encoding")),
            (Some(false), _) => return Err(malformed("its Transfer-Encoding does not end with chunked")),
            (Some(true), declared) => {
                // RFC 9112 §6.1: whoever is between may have read it otherwise.
                lasts &= declared.is_none() && codings == 1;
                Remaining::chunks()
            }
            (None, Some(length)) if length > 0 => Remaining::Bytes(length),
            (None, _) => Remaining::Nothing,
        };
        let framed = Framed { is_old, is_head: request.method() == Method::HEAD, takes_trailers, lasts };
        Ok(Some(Self { request, framed, rest, asks, length }))
    }
}

fn unreadable(error: httparse::Error, text: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_many_headers",
            End::BadRequest,
            format!("The request has more than {HEADERS_MAX} headers."),
        ),
        httparse::Error::Version if names_a_version(text) => Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version_not_supported",
            End::BadRequest,
            "gpt-load speaks HTTP/1.0, HTTP/1.1 and HTTP/2.",
        ),
        error => malformed(why(error)),
    }
}

/// Whether the first line is one of another version, and not of a target with a space in it.
fn names_a_version(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let version = words.nth(2).and_then(|word| word.strip_prefix(b"HTTP/")).unwrap_or_default();
    words.next().is_none() && version.first().is_some_and(u8::is_ascii_digit)
}

fn malformed(why: &str) -> Refusal {
    Refusal::bad_request(format!("The request can't be read: {why}."))
}

/// The refusal of a head beyond [`HEAD_MAX`].
pub(super) fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head_too_large",
        End::BadRequest,
        format!("The request's head is larger than {HEAD_MAX} bytes."),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<Head>, u16> {
        Head::parse(&Bytes::from(text.to_owned())).map_err(|refusal| refusal.answer().status().as_u16())
    }

    fn head(lines: &str) -> Head {
        parse(&format!("POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap().unwrap()
    }

    fn refused(lines: &str) -> u16 {
        parse(&format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).err().unwrap()
    }

    #[test]
    fn a_head_is_what_it_says() {
        let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\n\r\nbody";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(text.get(head.length..), Some("body"));
        assert_eq!(
            (head.request.method(), head.request.uri().to_string().as_str()),
            (&Method::POST, "/v1/x?a=b")
        );
        let ones = head.request.headers().get_all("x-one");
        assert_eq!(ones.iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(matches!(head.rest, Remaining::Nothing) && head.framed.lasts && !head.asks);
    }

    #[test]
    fn a_bodys_end_is_told_in_one_way_or_not_at_all() {
        assert!(matches!(head("content-length: 7\r\n").rest, Remaining::Bytes(7)));
        let twice = head("content-length: 7\r\ncontent-length: 7\r\n");
        assert!(matches!(twice.rest, Remaining::Bytes(7)));
        for lengths in [
            "content-length: 7\r\ntransfer-encoding: Chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 7\r\n",
        ] {
            let both = head(lengths);
            assert!(matches!(both.rest, Remaining::Chunks(_)) && !both.framed.lasts, "{lengths}");
        }
        assert_eq!(refused("transfer-encoding: gzip\r\n"), 400);
        assert_eq!(refused("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"), 400);
        assert_eq!(parse("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").err(), Some(400));
        for length in
            ["7, 7", "+7", "-7", "", "7x", "0x7", "7 7", "18446744073709551615", "99999999999999999999"]
        {
            assert_eq!(refused(&format!("content-length: {length}\r\n")), 400, "{length}");
        }
        assert_eq!(refused("content-length: 7\r\ncontent-length: 8\r\n"), 400);
    }

    #[test]
    fn whether_the_connection_goes_on_and_what_the_client_waits_for() {
        assert!(!head("connection: x, Close\r\nconnection: keep-alive\r\n").framed.lasts);
        assert!(head("expect: 100-Continue\r\ncontent-length: 1\r\n").asks);
        assert!(
            head("expect: 100-continue\r\nexpect: x\r\n").asks && head("expect: x, 100-continue\r\n").asks
        );
        assert!(head("te: gzip, Trailers\r\n").framed.takes_trailers);
        let old = |lines: &str| parse(&format!("GET / HTTP/1.0\r\n{lines}\r\n")).unwrap().unwrap();
        assert!(!old("expect: 100-continue\r\n").framed.lasts && !old("expect: 100-continue\r\n").asks);
        assert!(old("connection: Keep-Alive\r\n").framed.lasts);
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        for (text, status) in [
            ("GET /a#b HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\n\r\n", 505),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET /a b HTTP/1.1\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("G@T / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na b: c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na : c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na: b\r\n c: d\r\n\r\n", 400),
        ] {
            assert_eq!(parse(text).err(), Some(status), "{text}");
        }
        assert_eq!(refused(&"x: y\r\n".repeat(HEADERS_MAX)), 431);
        assert_eq!(refused(&format!("x: {}\r\n", "y".repeat(HEAD_MAX))), 431);
        assert!(parse("GET / HTTP/1.1\r\nx: y\r\n").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_panics_and_what_is_read_is_not_longer_than_what_came(
            text in "(GET|POST|x|) ?(/[a-z%#?]{0,9}|\\*|h:1)? ?(HTTP/1\\.[012])?\r?\n([A-Za-z-]{0,12}:? ?[ -~]{0,20}\r?\n){0,6}\r?\n?",
        ) {
            if let Ok(Some(head)) = parse(&text) {
                prop_assert!(head.length <= text.len());
            }
        }
    }
}
