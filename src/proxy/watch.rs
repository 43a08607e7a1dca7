//! Errors that come later in an answer, when part of it is with the client already: no key of the pool leaves in one
//! (spec §5), and those in a stream are counted (§6).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::dialect::Dialect;
use super::kind::Kind;
use crate::keys::Hider;
use crate::verdict::{First, FirstEvent};

/// How much of what went out is remembered: more than stands from the beginning of an event to the word that tells an error.
const TAIL: usize = 32;
/// How far behind a seam a word is looked for that it may have cut.
const BEYOND: usize = 64;
/// No name or type of an error is longer.
const LONGEST_NAME: usize = 64;
/// The beginning of a line by which an error is known.
const LINE: usize = 64;

/// Whatever is an error, in English, has this in a name or a type.
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("rror"));
/// The Responses API's types have this.
static FAILED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("failed"));

/// Looks for errors in an answer that passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    dialect: Dialect,
    is_events: bool,
    /// The end of what went out.
    tail: [u8; TAIL],
}

impl Watch {
    /// `None`: it can't be read.
    pub(super) fn over(kind: Kind, dialect: Dialect) -> Option<Self> {
        kind.is_readable().then_some(Self { dialect, is_events: kind.is_events, tail: [b'\n'; TAIL] })
    }

    /// Whether anything in the next piece looks like an error. Nearly all pieces are known by one search for a word.
    pub(super) fn finds_error(&mut self, piece: &[u8], hider: Option<&Hider>) -> bool {
        let found = ERROR.find(piece).is_some() && looks_like_error(piece, &ERROR)
            || self.dialect == Dialect::Responses && looks_like_error(piece, &FAILED)
            || !(self.tail.ends_with(b"\n") && piece.ends_with(b"\n")) && self.finds_any_in_cut(piece, hider);
        if !found {
            append(&mut self.tail, piece);
        }
        found
    }

    /// What is cut may have a key in it before it says what it is.
    #[cold]
    fn finds_any_in_cut(&self, piece: &[u8], hider: Option<&Hider>) -> bool {
        let seam = [&self.tail, piece.get(..BEYOND).unwrap_or(piece)].concat();
        if !self.tail.ends_with(b"\n") && has_error(&seam) {
            return true;
        }
        let text = if piece.len() < TAIL { &seam } else { piece };
        hider.is_some_and(|hider| hider.is_own_in(text))
    }

    /// What tells whether it is an event, from where the present one began; `None` where none are counted.
    #[cold]
    pub(super) fn count(&self) -> Option<Box<Count>> {
        match () {
            () if self.is_events => Some(Box::new(Count::Events(self.present_event()))),
            () if self.dialect == Dialect::Gemini => {
                let line = self.tail.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
                Some(Box::new(Count::Elements(line.to_vec())))
            }
            () => None,
        }
    }

    fn present_event(&self) -> FirstEvent {
        let behind = |at| self.tail.split_at_checked(at).unwrap_or_default();
        let begins = (0..=TAIL).rev().map(behind).find(|(before, _)| is_event_over(before));
        if let Some((_, event)) = begins {
            return FirstEvent::later(event, false);
        }
        match self.tail.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(end) => FirstEvent::later(behind(end + 1).1, true),
            None => FirstEvent::later(&[b"data:", self.tail.as_slice()].concat(), true),
        }
    }
}

/// Looks for an event that is an error, or an element of Gemini's array.
#[derive(Debug)]
pub(super) enum Count {
    Events(FirstEvent),
    /// The beginning of the present line.
    Elements(Vec<u8>),
}

impl Count {
    /// Whether it ends with this piece.
    #[cold]
    pub(super) fn has_error(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Events(events) => {
                matches!(events.feed(piece), First::Error(_))
                    || piece.trim_ascii_end().ends_with(b"}") && events.is_error_so_far()
            }
            Self::Elements(line) => piece.split(|byte| *byte == b'\n').enumerate().any(|(at, part)| {
                if at > 0 {
                    line.clear();
                }
                let room = LINE.saturating_sub(line.len());
                line.extend_from_slice(part.get(..room).unwrap_or(part));
                begins_element(line)
            }),
        }
    }
}

fn begins_element(line: &[u8]) -> bool {
    let text: Vec<u8> = line.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let brackets = text.iter().take_while(|byte| b"[,{".contains(byte)).count();
    text.get(brackets..).is_some_and(|name| name.starts_with(b"\"error\":{"))
}

/// Keeps the end of what has come, once this piece has.
#[inline]
pub(super) fn append<const N: usize>(tail: &mut [u8; N], piece: &[u8]) {
    match piece.last_chunk() {
        Some(last) => *tail = *last,
        None => append_short(tail, piece),
    }
}

#[cold]
fn append_short(tail: &mut [u8], piece: &[u8]) {
    tail.rotate_left(piece.len());
    for (kept, byte) in tail.iter_mut().rev().zip(piece.iter().rev()) {
        *kept = *byte;
    }
}

/// Whether a text ends with a blank line, however its lines end: an event stream's event is over there.
pub(super) fn is_event_over(text: &[u8]) -> bool {
    let ([line @ .., b'\r', b'\n'] | [line @ .., b'\r' | b'\n']) = text else { return false };
    matches!(line, [.., b'\r' | b'\n'])
}

/// Whether anything in a text looks like an error.
#[cold]
pub(super) fn has_error(text: &[u8]) -> bool {
    looks_like_error(text, &ERROR) || looks_like_error(text, &FAILED)
}

/// Whether a text has a member that is named an error and says something, an event of that name or a thing of that type.
/// What its end cuts off is taken for one: who is mistaken looks for keys where none are.
#[cold]
fn looks_like_error(text: &[u8], word: &Finder<'_>) -> bool {
    word.find_iter(text).any(|at| {
        let (before, after) = text.split_at_checked(at).unwrap_or_default();
        let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        let begins = before.len() - before.iter().rev().take(LONGEST_NAME).take_while(in_name).count();
        let before = before.get(..begins).unwrap_or_default();
        let after =
            after.get(after.iter().take(LONGEST_NAME).take_while(in_name).count()..).unwrap_or_default();
        match before.trim_ascii_end() {
            // Text that quotes JSON has a backslash there.
            [.., b'\\', b'"'] => false,
            [before @ .., b'"'] => match after {
                [] => true,
                [b'"', after @ ..] => match after.trim_ascii_start() {
                    [] => true,
                    [b':', value @ ..] => says_something(value.trim_ascii_start()),
                    _ => is_of_type(before),
                },
                _ => false,
            },
            before => before.ends_with(b"event:") && matches!(after, [] | [b'\n' | b'\r', ..]),
        }
    })
}

fn says_something(value: &[u8]) -> bool {
    match value {
        [b'"', b'"', ..] | [b'{', b'}', ..] | [b'[', b']', ..] => false,
        [first, ..] => b"\"{[t-123456789".contains(first),
        [] => true,
    }
}

/// Whether a value behind this is the type of a thing.
fn is_of_type(before: &[u8]) -> bool {
    let name = before.trim_ascii_end().strip_suffix(b":").map(<[u8]>::trim_ascii_end).unwrap_or_default();
    [&b"\"type\""[..], b"\"status\"", b"\"object\"", b"\"event\""].iter().any(|kind| name.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECTS: [Dialect; 4] = [Dialect::Chat, Dialect::Responses, Dialect::Anthropic, Dialect::Gemini];

    fn watch(dialect: Dialect, is_events: bool) -> Watch {
        Watch { dialect, is_events, tail: [b'\n'; TAIL] }
    }

    /// Whether an error is found, before `secret` is out, and counted, in these pieces.
    fn seen(mut watch: Watch, pieces: [&str; 2]) -> (bool, bool) {
        let mut count = None;
        let (mut found, mut counted) = (false, false);
        for piece in pieces.map(str::as_bytes) {
            if !found && watch.finds_error(piece, None) {
                (found, count) = (true, watch.count());
            }
            counted |= count.as_mut().is_some_and(|count| count.has_error(piece));
            assert!(found || memchr::memmem::find(piece, b"secret").is_none(), "{pieces:?}");
        }
        (found, counted)
    }

    #[test]
    fn an_error_is_found_and_counted_wherever_it_is_cut() {
        for dialect in DIALECTS {
            let event = dialect.error_event("it broke secretly");
            let own = std::str::from_utf8(&event).unwrap();
            let failed =
                "data: {\"type\": \"response.failed\",\"response\":{\"error\":{\"message\":\"secret\"}}}\n\n";
            let flat = "data: {\"type\":\"error\",\"message\":\"secret\"}\n\n";
            let named = "event: error\ndata: {\"m\":\"secret\"}\n\n";
            let others = [own, flat, named, failed];
            // Only one API has such a type.
            for text in others.get(..if dialect == Dialect::Responses { 4 } else { 3 }).unwrap() {
                let text = format!("data: {{}}\n\n{text}");
                for cut in 0..text.len() {
                    let (first, second) = text.split_at(cut);
                    assert_eq!(seen(watch(dialect, true), [first, second]), (true, true), "{first}|{second}");
                }
            }
        }
        for array in [
            ",{\"error\":{\"message\":\"secret\"}}]",
            "\n,\n{\n  \"error\": {\n    \"message\": \"secret\"\n  }\n}\n]",
        ] {
            let text = format!("[{{\"candidates\":[]}}\n{array}");
            for cut in 0..text.len() {
                let (first, second) = text.split_at(cut);
                assert_eq!(
                    seen(watch(Dialect::Gemini, false), [first, second]),
                    (true, true),
                    "{first}|{second}"
                );
                assert_eq!(
                    seen(watch(Dialect::Chat, false), [first, second]),
                    (true, false),
                    "{first}|{second}"
                );
            }
        }
        let failed = "data: {\"type\":\"response.failed\",\"message\":\"secret\"}\n\n";
        assert_eq!(seen(watch(Dialect::Responses, true), ["", failed]), (true, true));
    }

    #[test]
    fn what_only_speaks_of_errors_is_none() {
        for text in [
            "data: {\"choices\":[{\"delta\":{\"content\":\"data: {\\\"error\\\":{}\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"error\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\" an error\"}}]}\n\n",
            "data: {\"error\":null,\"choices\":[]}\n\n",
            "data: {\"error\": null, \"error_msg\": \"\", \"error_code\": 0, \"errors\": [], \"failed\": 0}\n\n",
            "data: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"error\":null}}\n\n",
            ": no error\n\nevent: no errors here\n",
        ] {
            for dialect in DIALECTS {
                assert_eq!(seen(watch(dialect, true), [text, text]), (false, false), "{text}");
            }
        }
    }

    #[test]
    fn the_end_of_what_went_out_is_remembered() {
        let mut watch = watch(Dialect::Chat, true);
        let long = "x".repeat(TAIL + 6);
        for (piece, end) in [("ab", "\nab"), ("", "ab"), (&long, "xxx"), ("cd", "xxcd")] {
            append(&mut watch.tail, piece.as_bytes());
            assert!(watch.tail.ends_with(end.as_bytes()), "{piece:?}: {:?}", watch.tail);
        }
    }
}
