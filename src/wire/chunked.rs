//! A chunked body (RFC 9112 §7.1), as it comes: its data, and its trailers at the end.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Fault;

/// Bytes of chunk extensions that are stepped over, in all of a body.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// Bytes of trailers, and how many they may be.
const TRAILERS_MAX: usize = 16 * 1024;
const TRAILERS_COUNT: usize = 64;

/// How far a body has been read.
#[derive(Default)]
pub(crate) struct Chunked {
    at: At,
    /// What is left of the chunk.
    left: u64,
    /// Digits of its size.
    digits: u32,
    extensions: usize,
    trailers: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Blanks behind it.
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// A line's beginning among the trailers.
    Line,
    Trailer,
    TrailerEnd,
    LastEnd,
    End,
}

impl Chunked {
    /// Takes in what has come, and adds its data to `data`. Returns whether the body has ended; what is behind its end is
    /// left in `text`.
    pub(super) fn read(&mut self, text: &mut &[u8], data: &mut BytesMut) -> Result<bool, Fault> {
        while self.at != At::End {
            if self.at == At::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(text.len());
                let (chunk, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
                data.extend_from_slice(chunk);
                *text = rest;
                self.left -= length as u64;
                if self.left > 0 {
                    return Ok(false);
                }
                self.at = At::DataReturn;
            }
            let Some((byte, rest)) = text.split_first() else { return Ok(false) };
            *text = rest;
            self.at = self.step(*byte)?;
        }
        Ok(true)
    }

    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        Ok(match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = self.left.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
                self.left = size.ok_or(Fault::Invalid("a chunk's size is too large"))?;
                self.digits += 1;
                At::Size
            }
            (At::Size, _) if self.digits == 0 => return Err(Fault::Invalid("a chunk has no size")),
            (At::Size | At::Blank, b' ' | b'\t') => At::Blank,
            (At::Size | At::Blank, b';') => At::Extension,
            (At::Size | At::Blank | At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\n') => return Err(Fault::Invalid("a chunk's extension does not end")),
            (At::Extension, _) => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS_MAX {
                    return Err(Fault::Invalid("its chunks' extensions are too long"));
                }
                At::Extension
            }
            (At::SizeEnd, b'\n') => {
                self.digits = 0;
                if self.left == 0 { At::Line } else { At::Data }
            }
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size,
            (At::Line, b'\r') => At::LastEnd,
            (At::LastEnd, b'\n') => At::End,
            (At::Line | At::Trailer, b'\n') => return Err(Fault::Invalid("a trailer does not end")),
            (At::Line | At::Trailer | At::TrailerEnd, _) => {
                if self.trailers.len() >= TRAILERS_MAX {
                    return Err(Fault::Invalid("its trailers are too long"));
                }
                self.trailers.push(byte);
                match (self.at, byte) {
                    (At::TrailerEnd, b'\n') => At::Line,
                    (At::TrailerEnd, _) => return Err(Fault::Invalid("a trailer does not end")),
                    (_, b'\r') => At::TrailerEnd,
                    _ => At::Trailer,
                }
            }
            _ => return Err(Fault::Invalid("a chunk does not end where it should")),
        })
    }

    /// The trailers of a body that has ended.
    pub(super) fn trailers(&self) -> Result<Option<Box<HeaderMap>>, Fault> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        let text = [&self.trailers, &b"\r\n"[..]].concat();
        let mut lines = [httparse::EMPTY_HEADER; TRAILERS_COUNT];
        let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&text, &mut lines) else {
            return Err(Fault::Invalid("a trailer is none"));
        };
        let mut trailers = Box::new(HeaderMap::with_capacity(lines.len()));
        for line in lines {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line.value)) else {
                return Err(Fault::Invalid("a trailer is none"));
            };
            trailers.append(name, value);
        }
        Ok(Some(trailers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, whether it ended, and what was left, however the text is cut.
    fn read(text: &str, size: usize) -> Result<(String, Option<Box<HeaderMap>>, String), Fault> {
        let (mut chunked, mut data, mut left) = (Chunked::default(), BytesMut::new(), Vec::new());
        let mut ended = false;
        for mut piece in text.as_bytes().chunks(size) {
            ended = chunked.read(&mut piece, &mut data)?;
            left.extend_from_slice(piece);
        }
        let trailers = if ended { chunked.trailers()? } else { return Err(Fault::Incomplete) };
        Ok((String::from_utf8(data.to_vec()).unwrap(), trailers, String::from_utf8(left).unwrap()))
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let text =
            "5\r\nhello\r\n6 ;a=\"b\"\r\n world\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nx-two: 2\r\n\r\nHTTP";
        for size in 1..=text.len() {
            let (data, trailers, left) = read(text, size).unwrap();
            assert_eq!((&*data, &*left), ("hello world0123456789", "HTTP"), "by {size}");
            assert_eq!(trailers.unwrap().get("x-sum").unwrap(), "1");
        }
        assert_eq!(read("0\r\n\r\n", 3).unwrap(), (String::new(), None, String::new()));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for text in [
            "\r\n",
            "g\r\n",
            "+5\r\nhello\r\n",
            "-1\r\n",
            "0x5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\rhello\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;\n\r\nhello\r\n",
            "1 0\r\nx",
            "ffffffffffffffff0\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx y: z\r\n\r\n",
            "0\r\n\n",
        ] {
            assert!(matches!(read(text, 1), Err(Fault::Invalid(_))), "{text:?}");
        }
        let long = format!("1;{}\r\nx", "a".repeat(EXTENSIONS_MAX + 1));
        assert!(matches!(read(&long, 4096), Err(Fault::Invalid(_))));
        let long = format!("0\r\nx: {}\r\n\r\n", "a".repeat(TRAILERS_MAX));
        assert!(matches!(read(&long, 4096), Err(Fault::Invalid(_))));
    }
}
