//! What a request came to, as bytes between lines of text: taken down by a worker, in one copy and without a word being
//! formatted, and read again by the log's thread.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a note begins with. No byte of UTF-8 is this one, so that none of a line's is.
const MARK: u8 = 0xff;
/// The length of a text that is not there.
const NONE: u16 = u16::MAX;
/// A time that is not there.
const NEVER: u64 = u64::MAX;
/// A longer path is cut in the log, and every other text that comes from elsewhere.
const LONGEST: usize = 1024;

/// What a request came to.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// Tells this request from others: the client's own `x-request-id`, or ours. It needs no escapes.
    pub id: &'a str,
    /// How it ended, by name.
    pub end: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// Path and query; what may be secret in the query is hidden already.
    pub path: &'a str,
    /// The answer's status; 499 if the client left before there was one.
    pub status: u16,
    /// The key of the last attempt: its index and preview.
    pub key: Option<(u32, &'a str)>,
    /// The upstream of the last attempt.
    pub upstream: Option<&'a str>,
    /// How many attempts there were.
    pub attempts: u32,
    /// From the request's head to the answer's.
    pub to_first_byte: Option<Duration>,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Why it did not end well, without keys.
    pub error: Option<&'a str>,
}

/// A part of what was gathered.
#[derive(Debug)]
pub(super) enum Note<'a> {
    /// Lines as they are to be written.
    Line(&'a [u8]),
    /// What a line is to be made of, and its time.
    Request(RequestLine<'a>, SystemTime),
}

/// Takes a request down at the end of a text.
pub(super) fn take_down(line: &RequestLine<'_>, at: SystemTime, text: &mut Vec<u8>) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let numbers = [
        u64::try_from(since.as_millis()).unwrap_or_default(),
        nanos(line.duration),
        line.to_first_byte.map_or(NEVER, nanos),
        line.bytes,
        u64::from(line.attempts),
        u64::from(line.status),
        line.key.map_or(NEVER, |(index, _)| index.into()),
    ];
    let texts = [
        Some(line.id),
        Some(line.end),
        Some(line.method),
        Some(line.path),
        line.key.map(|(_, preview)| preview),
        line.upstream,
        line.error,
    ]
    .map(|text| text.map(cut));
    let lengths = texts.map(|part| part.map_or(NONE, |part| u16::try_from(part.len()).unwrap_or_default()));
    text.push(MARK);
    text.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
    text.extend_from_slice(lengths.map(u16::to_le_bytes).as_flattened());
    for part in texts.into_iter().flatten() {
        text.extend_from_slice(part.as_bytes());
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER - 1)
}

fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// The parts of what was gathered, in their order.
pub(super) fn parts(gathered: &[u8]) -> impl Iterator<Item = Note<'_>> {
    let mut rest = gathered;
    std::iter::from_fn(move || match rest.split_first() {
        None => None,
        Some((&MARK, behind)) => {
            let (line, at, behind) = read(behind)?;
            rest = behind;
            Some(Note::Request(line, at))
        }
        Some(_) => {
            let end = memchr::memchr(MARK, rest).unwrap_or(rest.len());
            let (line, behind) = rest.split_at_checked(end)?;
            rest = behind;
            Some(Note::Line(line))
        }
    })
}

/// Reads a note behind its mark, and gives what comes after it.
fn read(text: &[u8]) -> Option<(RequestLine<'_>, SystemTime, &[u8])> {
    let mut rest = text;
    let mut numbers = [0; 7];
    for number in &mut numbers {
        let (bytes, behind) = rest.split_first_chunk()?;
        (*number, rest) = (u64::from_le_bytes(*bytes), behind);
    }
    let mut lengths = [NONE; 7];
    for length in &mut lengths {
        let (bytes, behind) = rest.split_first_chunk()?;
        (*length, rest) = (u16::from_le_bytes(*bytes), behind);
    }
    let length = lengths.iter().filter(|length| **length != NONE).map(|length| usize::from(*length)).sum();
    let (bytes, rest) = rest.split_at_checked(length)?;
    let mut behind = std::str::from_utf8(bytes).ok()?;
    let mut texts = [None; 7];
    for (place, length) in texts.iter_mut().zip(lengths) {
        if length != NONE {
            let (text, after) = behind.split_at_checked(length.into())?;
            (*place, behind) = (Some(text), after);
        }
    }
    let [millis, duration, to_first_byte, bytes, attempts, status, key] = numbers;
    let [id, end, method, path, preview, upstream, error] = texts;
    let line = RequestLine {
        id: id?,
        end: end?,
        method: method?,
        path: path?,
        status: u16::try_from(status).ok()?,
        key: u32::try_from(key).ok().zip(preview),
        upstream,
        attempts: u32::try_from(attempts).ok()?,
        to_first_byte: (to_first_byte != NEVER).then(|| Duration::from_nanos(to_first_byte)),
        duration: Duration::from_nanos(duration),
        bytes,
        error,
    };
    Some((line, UNIX_EPOCH + Duration::from_millis(millis), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_taken_down_is_read_again(
            words in proptest::collection::vec("\\PC{0,40}", 5),
            long in "[a-zü]{1000,1100}",
            numbers in proptest::collection::vec(0..u64::MAX / 2, 3),
            (key, is_there, status) in (0..u32::MAX, any::<bool>(), 100..600_u16),
        ) {
            let line = RequestLine {
                id: &words[0],
                end: &words[1],
                method: &words[2],
                path: &long,
                status,
                key: is_there.then_some((key, words[3].as_str())),
                upstream: (!is_there).then_some(words[4].as_str()),
                attempts: key,
                to_first_byte: is_there.then(|| Duration::from_nanos(numbers[0])),
                duration: Duration::from_nanos(numbers[1]),
                bytes: numbers[2],
                error: is_there.then_some(words[4].as_str()),
            };
            let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
            let mut text = b"before\n".to_vec();
            take_down(&line, at, &mut text);
            take_down(&line, at, &mut text);
            text.extend_from_slice(b"after\n");
            let found: Vec<_> = parts(&text).collect();
            let [Note::Line(b"before\n"), Note::Request(first, _), Note::Request(second, then), Note::Line(b"after\n")] =
                &found[..]
            else {
                return Err(TestCaseError::fail(format!("{found:?}")));
            };
            prop_assert_eq!(*then, at);
            let want = RequestLine { path: cut(&long), ..line };
            for found in [first, second] {
                prop_assert_eq!(format!("{found:?}"), format!("{want:?}"));
            }
        }
    }
}
