//! An answer's head, and how its body is framed.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::wire::{Asks, Fault, Fields, Next, first_line, number, spare, why};

/// More headers are an attack.
const HEADERS_MAX: usize = 256;

/// An answer's head.
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection goes on after it.
    pub(super) lasts: bool,
    /// Its bytes.
    pub(super) length: usize,
}

/// How a body's end is told (RFC 9112 §6.3), unless the status or the method says that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
    /// It can't be told.
    Invalid(&'static str),
}

impl Head {
    /// The head that a text begins with; `None` if it is not whole.
    pub(super) fn parse(text: &Bytes) -> Result<Option<Self>, Fault> {
        let invalid = |error| Fault::Invalid(why(error));
        let first_line = first_line(text);
        let mut parsed = httparse::Response::new(&mut []);
        parsed.parse(text.get(..first_line.unwrap_or(text.len())).unwrap_or_default()).map_err(invalid)?;
        let Some(first_line) = first_line else { return Ok(None) };
        let mut response = Response::new(());
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        *response.status_mut() = status.ok_or(Fault::Invalid("its status is none"))?;
        if parsed.version == Some(0) {
            *response.version_mut() = Version::HTTP_10;
        }
        if let Some(reason) = parsed.reason
            && Some(reason) != response.status().canonical_reason()
            && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
        {
            response.extensions_mut().insert(reason);
        }
        let mut asks = Asks::default();
        // Nearly always one header tells how long the body is, and there is nothing to weigh.
        let (mut length_told, mut is_plain) = (None, true);
        let map = response.headers_mut();
        *map = spare::take();
        let mut fields = Fields::new(text, first_line, HEADERS_MAX);
        let length = loop {
            let (name, value) = match fields.next().map_err(invalid)? {
                Next::Field(name, value) => (name, value),
                Next::End(length) => break length,
                Next::Missing => {
                    spare::give(std::mem::take(map));
                    return Ok(None);
                }
            };
            match name {
                CONNECTION if !asks.hear(&value) => continue,
                CONTENT_LENGTH if length_told.is_none() => {
                    length_told = number(value.as_bytes());
                    is_plain &= length_told.is_some();
                }
                CONTENT_LENGTH | TRANSFER_ENCODING => is_plain = false,
                _ => {}
            }
            map.append(name, value);
        };
        let is_old = parsed.version == Some(0);
        let framing = match length_told {
            _ if !is_plain => framing(response.headers(), is_old),
            Some(length) => Framing::Length(length),
            None => Framing::UntilEnd,
        };
        Ok(Some(Self { response, framing, lasts: asks.lasts(is_old), length }))
    }
}

fn framing(headers: &HeaderMap, is_old: bool) -> Framing {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if is_old {
            return Framing::Invalid("HTTP/1.0 has no Transfer-Encoding");
        }
        // Nobody asked for another (`TE`), and the client would take it for the answer itself.
        let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        return if is_chunked && codings.next().is_none() {
            Framing::Chunked
        } else {
            Framing::Invalid("its Transfer-Encoding is not chunked alone")
        };
    }
    let lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let mut lengths = lengths.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(number);
    let first = lengths.next().flatten();
    match first {
        Some(length) if lengths.all(|length| length == first) => Framing::Length(length),
        _ => Framing::Invalid("its Content-Length is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(lines: &str) -> Framing {
        let text = Bytes::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        Head::parse(&text).unwrap().unwrap().framing
    }

    #[test]
    fn a_bodys_end_is_told_in_one_way_or_not_at_all() {
        for (lines, want) in [
            ("content-length: 7\r\n", Framing::Length(7)),
            ("content-length: 7\r\ncontent-length: 7\r\n", Framing::Length(7)),
            ("content-length: 7, 7\r\n", Framing::Length(7)),
            ("transfer-encoding: Chunked\r\ncontent-length: 7\r\n", Framing::Chunked),
            ("x: y\r\n", Framing::UntilEnd),
        ] {
            assert_eq!(framing_of(lines), want, "{lines}");
        }
        for coding in ["gzip, chunked", "chunked, gzip", "x", "chunked\r\ntransfer-encoding: chunked"] {
            let framing = framing_of(&format!("transfer-encoding: {coding}\r\n"));
            assert!(matches!(framing, Framing::Invalid(_)), "{coding}");
        }
        for lines in ["7, 8", "+7", "-7", "", "7x", "18446744073709551615", "99999999999999999999"] {
            let framing = framing_of(&format!("content-length: {lines}\r\n"));
            assert!(matches!(framing, Framing::Invalid(_)), "{lines}");
        }
    }

    #[test]
    fn whether_a_connection_goes_on_is_heard_in_all_lines() {
        for (head, want) in [
            ("HTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nconnection: x, Close\r\n", false),
            ("HTTP/1.0 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n", true),
        ] {
            let text = Bytes::from(format!("{head}\r\n"));
            assert_eq!(Head::parse(&text).unwrap().unwrap().lasts, want, "{head}");
        }
    }

    #[test]
    fn what_is_no_head_is_not_taken_for_one() {
        for text in ["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "SSH-2.0-x\r\n\r\n"] {
            assert!(Head::parse(&Bytes::from_static(text.as_bytes())).is_err(), "{text}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1));
        assert!(Head::parse(&many.into()).is_err());
        assert!(Head::parse(&Bytes::from_static(b"HTTP/1.1 200 OK\r\nx: y\r\n")).unwrap().is_none());
    }
}
