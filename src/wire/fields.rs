//! The header lines of a head (RFC 9112 §5), one after the other. By the same rules as `httparse`, which reads first
//! lines, and where a head can't be read tells why: but each line is gone through once, and names that came before are
//! not made again.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// Names that a worker remembers, and how long they may be.
const NAMES: usize = 256;
const LONGEST: usize = 64;

/// A name, and how it was written.
type Written = (Box<[u8]>, HeaderName);

thread_local! {
    /// Names by a few of their letters. Whoever makes up names only makes others be forgotten.
    static KNOWN: RefCell<Vec<Option<Written>>> = RefCell::new(vec![None; NAMES]);
}

/// What comes next in a head.
pub(crate) enum Next {
    Field(HeaderName, HeaderValue),
    /// Its end, at this place.
    End(usize),
    /// What has not come yet.
    Missing,
}

/// The header lines of a text, from a place on.
pub(crate) struct Fields<'a> {
    text: &'a Bytes,
    at: usize,
    left: usize,
}

impl<'a> Fields<'a> {
    /// Those from `at` on; more than `most` are an error.
    pub(crate) fn new(text: &'a Bytes, at: usize, most: usize) -> Self {
        Self { text, at, left: most }
    }

    /// The next of them.
    ///
    /// # Errors
    /// If the line is none.
    pub(crate) fn next(&mut self) -> Result<Next, httparse::Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else { return missing(rest) };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let begins_at = self.at;
        self.at += end + 1;
        if line.is_empty() {
            return Ok(Next::End(self.at));
        }
        let colon = memchr::memchr(b':', line).ok_or(httparse::Error::HeaderName)?;
        let (name, value) = line.split_at(colon);
        let name = self::name(name).ok_or(httparse::Error::HeaderName)?;
        let begin = value.iter().skip(1).position(|byte| !is_blank(*byte)).map_or(value.len(), |at| at + 1);
        let end = value.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |at| at + 1);
        let value = begins_at + colon + begin..begins_at + colon + end.max(begin);
        let value = HeaderValue::from_maybe_shared(self.text.slice(value));
        let value = value.map_err(|_| httparse::Error::HeaderValue)?;
        self.left = self.left.checked_sub(1).ok_or(httparse::Error::TooManyHeaders)?;
        Ok(Next::Field(name, value))
    }
}

/// A line that has not come to its end may be wrong already.
#[cold]
fn missing(rest: &[u8]) -> Result<Next, httparse::Error> {
    httparse::parse_headers(rest, &mut [httparse::EMPTY_HEADER]).map(|_| Next::Missing)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A header's name as it is written in a head.
fn name(text: &[u8]) -> Option<HeaderName> {
    let ([first, ..], [.., last]) = (text, text) else { return None };
    if text.len() > LONGEST {
        return HeaderName::from_bytes(text).ok();
    }
    let middle = text.get(text.len() / 2)?;
    let place =
        [first, middle, last].into_iter().fold(text.len(), |sum, letter| sum * 7 + usize::from(*letter));
    KNOWN.with_borrow_mut(|known| {
        let known = known.get_mut(place % NAMES)?;
        if let Some((written, name)) = known
            && **written == *text
        {
            return Some(name.clone());
        }
        let name = HeaderName::from_bytes(text).ok()?;
        *known = Some((text.into(), name.clone()));
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 4;

    /// Where a head ends, and its names and values; `None` if it is not whole.
    type Read = Result<Option<(usize, Vec<(String, Vec<u8>)>)>, httparse::Error>;

    fn ours(text: &[u8]) -> Read {
        let text = Bytes::copy_from_slice(text);
        let (mut fields, mut found) = (Fields::new(&text, 0, MOST), Vec::new());
        loop {
            match fields.next()? {
                Next::Field(name, value) => found.push((name.to_string(), value.as_bytes().to_vec())),
                Next::End(at) => return Ok(Some((at, found))),
                Next::Missing => return Ok(None),
            }
        }
    }

    fn httparses(text: &[u8]) -> Read {
        let mut lines = [httparse::EMPTY_HEADER; MOST];
        Ok(match httparse::parse_headers(text, &mut lines)? {
            httparse::Status::Complete((at, lines)) => {
                let lines = lines.iter().map(|line| (line.name.to_ascii_lowercase(), line.value.to_vec()));
                Some((at, lines.collect()))
            }
            httparse::Status::Partial => None,
        })
    }

    #[test]
    fn a_name_is_known_again_however_it_is_written() {
        for text in ["X-Stainless-Lang", "x-stainless-lang", "Content-Type", "CONTENT-TYPE"] {
            for _ in 0..2 {
                assert_eq!(name(text.as_bytes()).unwrap().as_str(), text.to_ascii_lowercase());
            }
        }
        // As many letters, and the same at the places that are looked at.
        assert_eq!(name(b"x-abcd-one").unwrap(), "x-abcd-one");
        assert_eq!(name(b"x-wxyd-zue").unwrap(), "x-wxyd-zue");
        assert_eq!(name(b"x-abcd-one").unwrap(), "x-abcd-one");
        for text in [&b""[..], b"a b", b"a:", b"\xff", &[b'['; 9], &[b' '; 99]] {
            assert_eq!(name(text), None);
        }
        assert_eq!(name(&[b'A'; 99]).unwrap().as_str(), "a".repeat(99));
    }

    proptest! {
        #[test]
        fn heads_are_read_as_httparse_reads_them(text in "([A-Za-z-]{1,4}:[ \t]{0,2}[ -~\t]{0,6}[ \t]{0,2}\r?\n){0,5}(\r?\n)?.{0,3}") {
            prop_assert_eq!(ours(text.as_bytes()), httparses(text.as_bytes()));
        }

        #[test]
        fn whatever_comes_is_a_head_for_both_or_for_none(text in proptest::collection::vec(
            prop_oneof![Just(b'a'), Just(b':'), Just(b' '), Just(b'\t'), Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..24,
        )) {
            let (ours, httparses) = (ours(&text), httparses(&text));
            prop_assert_eq!(ours.as_ref().ok(), httparses.as_ref().ok(), "{:?} {:?}", ours, httparses);
        }
    }
}
