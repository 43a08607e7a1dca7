//! What the heads of requests and answers have in common.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// A header of a parsed head, as a part of the text that it stands in; `None`: it is none.
pub(crate) fn field(text: &Bytes, header: &httparse::Header<'_>) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
    let value = HeaderValue::from_maybe_shared(text.slice_ref(header.value)).ok()?;
    Some((name, value))
}

/// The items of a value that is a list.
pub(crate) fn items(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// What `Connection` asks for, in all of its lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asks {
    close: bool,
    keep_alive: bool,
}

impl Asks {
    /// Hears one line.
    pub(crate) fn hear(&mut self, value: &HeaderValue) {
        for item in items(value) {
            self.close |= item.eq_ignore_ascii_case(b"close");
            self.keep_alive |= item.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection goes on after the message (RFC 9112 §9.3). `is_old`: of HTTP/1.0.
    pub(crate) fn lasts(self, is_old: bool) -> bool {
        !self.close && (!is_old || self.keep_alive)
    }
}

/// A length: digits alone. The largest numbers stand for other things in hyper.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    });
    number.filter(|number| !digits.is_empty() && *number < u64::MAX - 2)
}

/// Why a head can't be read.
pub(crate) fn why(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header's name is none",
        httparse::Error::HeaderValue => "a header's value is none",
        httparse::Error::NewLine => "a line does not end",
        httparse::Error::Status => "its status is none",
        httparse::Error::Token => "it has a character that can't be there",
        httparse::Error::TooManyHeaders => "it has too many headers",
        httparse::Error::Version => "it is not HTTP/1",
    }
}
