//! What the heads of requests and answers have in common.

use http::HeaderValue;

/// Where the first line of a head ends, if it has come; blank lines before it don't count (RFC 9112 §2.2).
pub(crate) fn first_line(text: &[u8]) -> Option<usize> {
    let begin = text.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    Some(begin + memchr::memchr(b'\n', text.get(begin..)?)? + 1)
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
    /// Hears one line. Returns whether it says anything else.
    pub(crate) fn hear(&mut self, value: &HeaderValue) -> bool {
        let mut names_more = false;
        for item in items(value) {
            if item.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if item.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                names_more = true;
            }
        }
        names_more
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
