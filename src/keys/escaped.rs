//! Texts read as those who escaped them meant: JSON's backslashes, percents, HTML's entities, and base64. What is found there
//! is told by where it stands in the text as it is.

use std::borrow::Cow;
use std::ops::Range;

/// A text, unescaped so many times.
pub(super) struct Reading<'a> {
    text: Cow<'a, [u8]>,
    /// Where each of its bytes began, and where the last one ended; as it is, if it is empty.
    places: Vec<usize>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { text: text.into(), places: Vec::new() }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where this was in the text as it is.
    pub(super) fn place(&self, at: Range<usize>) -> Range<usize> {
        self.start(at.start)..self.start(at.end)
    }

    fn start(&self, at: usize) -> usize {
        self.places.get(at).copied().unwrap_or(at)
    }

    /// Takes one layer of escapes away. Returns whether there was one.
    pub(super) fn unescape(&mut self) -> bool {
        if memchr::memchr3(b'%', b'\\', b'&', &self.text).is_none() {
            return false;
        }
        let (mut text, mut places) =
            (Vec::with_capacity(self.text.len()), Vec::with_capacity(self.text.len() + 1));
        let mut at = 0;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let (byte, length) = escape(rest).unwrap_or((rest.first().copied().unwrap_or_default(), 1));
            text.push(byte);
            places.push(self.start(at));
            at += length;
        }
        places.push(self.start(at));
        let unescaped = text.len() < self.text.len();
        (self.text, self.places) = (text.into(), places);
        unescaped
    }
}

/// The escape that a text begins with: the byte that it stands for, and its length.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'%', high, low, ..] => Some((hex(&[*high, *low])?, 3)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some((hex(&[*high, *low])?, 6)),
        [b'\\', b'x', high, low, ..] => Some((hex(&[*high, *low])?, 4)),
        [b'\\', b'n' | b'r' | b't', ..] => Some((b' ', 2)),
        [b'\\', mark @ (b'\\' | b'/' | b'"' | b'\''), ..] => Some((*mark, 2)),
        [b'&', entity @ ..] => {
            let end = entity.iter().take(8).position(|byte| *byte == b';')?;
            let byte = match entity.get(..end)? {
                b"amp" => b'&',
                b"lt" => b'<',
                b"gt" => b'>',
                b"quot" => b'"',
                b"apos" => b'\'',
                [b'#', b'x' | b'X', digits @ ..] => hex(digits)?,
                [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
                _ => return None,
            };
            Some((byte, end + 2))
        }
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Everything that may be base64 of at least so many bytes, decoded: a run of its characters (of either alphabet) can begin in
/// the middle of what was encoded, so there are four ways to read it. With each comes where its bytes stand.
pub(super) fn base64(
    text: &[u8],
    least: usize,
    mut read: impl FnMut(&[u8], &dyn Fn(Range<usize>) -> Range<usize>),
) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let run = rest.iter().take_while(|byte| sextet(**byte).is_some()).count();
        if run * 3 / 4 >= least {
            for phase in 0..4 {
                let digits = rest.get(phase..run).unwrap_or_default();
                let decoded = decoded(digits);
                let begins = at + phase;
                // Six bits a character: also the half ones at both ends tell something.
                read(&decoded, &|bytes| begins + bytes.start * 8 / 6..begins + (bytes.end * 8).div_ceil(6));
            }
        }
        at += run + 1;
    }
}

/// What may be the beginning of base64 at a text's end, decoded in as many ways as above. With each comes where the three
/// bytes begin that stand together with a byte.
pub(super) fn base64_at_end(text: &[u8], mut read: impl FnMut(&[u8], &dyn Fn(usize) -> usize)) {
    let run = text.iter().rev().take_while(|byte| sextet(**byte).is_some()).count();
    for begins in (text.len() - run..text.len()).take(4) {
        read(&decoded(text.get(begins..).unwrap_or_default()), &|byte| begins + byte / 3 * 4);
    }
}

fn decoded(digits: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for sextet in digits.iter().filter_map(|digit| sextet(*digit)) {
        (bits, held) = (bits << 6 | u32::from(sextet), held + 6);
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held & 0xff) as u8);
        }
    }
    decoded
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn every_escape_is_read_and_what_is_none_stays() {
        let mut reading = Reading::of(br"a%2Fb\/c\u002Bd\x3de\\f\n&amp;&#43;&#x2F;%zz&no;&\q\u2603%");
        assert!(reading.unescape());
        let want = br"a/b/c+d=e\f &+/%zz&no;&\q\u2603%";
        assert_eq!(reading.text(), want);
        let at = want.iter().position(|byte| *byte == b'+').unwrap();
        assert_eq!(reading.place(at..at + 1), 8..14);
        assert!(!reading.unescape());
        assert!(!Reading::of(b"nothing to do").unescape());
    }

    #[test]
    fn base64_is_read_in_four_ways() {
        let mut found = Vec::new();
        // "secret-secret", behind one more character.
        base64(b"=xc2VjcmV0LXNlY3JldA==", 8, |decoded, place| {
            if let Some(at) = memchr::memmem::find(decoded, b"secret-secret") {
                found.push(place(at..at + 13));
            }
        });
        assert_eq!(found, vec![Range { start: 2, end: 20 }]);
    }
}
