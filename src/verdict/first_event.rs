//! Errors inside a 200 that is a stream: its first event, and those behind it.

use memchr::{memchr2, memmem};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::in_body::{InBody, LONGEST_ENVELOPE, behind_mark};
use super::json::{FirstObject, Object};

/// A first event that is longer is no error.
const LONGEST: usize = 64 * 1024;
/// A longer event is no ping.
const LONGEST_PING: usize = 64;

/// What the beginning of a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing but comments, pings, blank lines and part of an event by now.
    Undecided,
    /// An event that is no error: all that was held may go on.
    Healthy,
    /// An error, to be judged by [`judge_in_stream`](super::judge_in_stream).
    Error(Vec<u8>),
}

/// Reads the beginning of a stream as it comes, up to the end of its first event; or, from a later one on, up to an error.
#[derive(Clone, Debug, Default)]
pub struct FirstEvent {
    /// What came since the last complete line.
    line: Vec<u8>,
    /// How much of `line` was looked through for an end.
    searched: usize,
    /// Whether a line feed belongs to the carriage return before it.
    skip_line_feed: bool,
    kind: Kind,
    event: Event,
    object: FirstObject,
    /// Whether a model was asked for something.
    infers: bool,
    is_later: bool,
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Nothing came that would tell. A byte order mark may.
    #[default]
    Unknown,
    /// Only blank lines came.
    Blank,
    /// Events.
    Events,
    /// JSON: Gemini's array, or a JSON text a line.
    Json,
}

#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "answers to as many questions")]
struct Event {
    /// Whether its beginning is not known.
    is_cut: bool,
    is_error: bool,
    is_ping: bool,
    data: Vec<u8>,
    has_data: bool,
}

impl FirstEvent {
    /// Of the answer to a request that asked a model for something, or not: then words on what is wrong are no event of it.
    pub fn of_answer(infers: bool) -> Self {
        Self { infers, ..Self::default() }
    }

    /// Reads on. After anything but [`First::Undecided`] there is nothing more to ask.
    pub fn feed(&mut self, mut chunk: &[u8]) -> First {
        if matches!(self.kind, Kind::Unknown | Kind::Blank) {
            self.line.extend_from_slice(chunk);
            if !self.begin() {
                return First::Undecided;
            }
            chunk = &[];
        }
        self.line.extend_from_slice(chunk);
        let first = if self.kind == Kind::Json { self.read_json() } else { self.read_lines() };
        if first == First::Undecided && self.held() > LONGEST {
            (self.line, self.searched, self.event) = (Vec::new(), 0, Event::default());
            return First::Healthy;
        }
        first
    }

    /// Looks for an error behind the first event. `line` is the present line as far as it came; `is_cut`: there was more of
    /// the event before that.
    pub(crate) fn later(line: &[u8], is_cut: bool) -> Self {
        let event = Event { is_cut, ..Event::default() };
        Self { line: line.to_vec(), kind: Kind::Events, event, is_later: true, ..Self::default() }
    }

    /// Whether what came of the present event would be an error if it ended here.
    pub(crate) fn is_error_so_far(&self) -> bool {
        !self.event.is_cut && self.held() > 0 && matches!(self.clone().finish(), First::Error(_))
    }

    /// The stream has ended: whatever it held is all there is. Still undecided: it held nothing.
    pub fn finish(mut self) -> First {
        if self.kind == Kind::Json {
            return First::Healthy;
        }
        let rest = std::mem::take(&mut self.line);
        self.event.read(if self.kind == Kind::Unknown { behind_mark(&rest) } else { &rest });
        self.event.end(self.infers)
    }

    /// Looks at the first byte that says what this is. `false`: it has not come yet.
    fn begin(&mut self) -> bool {
        let text = if self.kind == Kind::Unknown { behind_mark(&self.line) } else { &self.line };
        let Some(first) = text.iter().find(|byte| !byte.is_ascii_whitespace()) else {
            // Blank lines, as DeepSeek sends them while it queues, are not worth keeping.
            let kept = text.iter().rev().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
            // Before the end of a line a byte order mark stays where it is: a second one is no mark.
            if kept < text.len() {
                self.kind = Kind::Blank;
                self.line.drain(..self.line.len().saturating_sub(kept));
            }
            if self.line.len() <= LONGEST {
                return false;
            }
            self.kind = Kind::Events;
            return true;
        };
        self.kind = if matches!(first, b'{' | b'[') { Kind::Json } else { Kind::Events };
        // JSON knows fewer kinds of white space: what stands before it goes, as blank lines that came by themselves do.
        self.line = if self.kind == Kind::Json { text.trim_ascii_start() } else { text }.to_vec();
        true
    }

    fn held(&self) -> usize {
        self.line.len() + self.event.data.len()
    }

    fn read_lines(&mut self) -> First {
        let mut from = 0;
        loop {
            let rest = self.line.get(from..).unwrap_or_default();
            if self.skip_line_feed && !rest.is_empty() {
                self.skip_line_feed = false;
                if rest.first() == Some(&b'\n') {
                    from += 1;
                    continue;
                }
            }
            let searched = if from == 0 { self.searched } else { 0 };
            let found = rest.get(searched..).and_then(|unseen| memchr2(b'\n', b'\r', unseen));
            let Some(end) = found.map(|at| at + searched) else {
                self.line.drain(..from);
                self.searched = self.line.len();
                return First::Undecided;
            };
            let line = rest.get(..end).unwrap_or_default();
            self.skip_line_feed = rest.get(end) == Some(&b'\r');
            if line.is_empty() {
                let first = std::mem::take(&mut self.event).end(self.infers);
                if matches!(first, First::Error(_)) || first == First::Healthy && !self.is_later {
                    return first;
                }
            } else {
                self.event.read(line);
                if self.event.data.len() > LONGEST {
                    if !self.is_later {
                        return First::Healthy;
                    }
                    self.event.data.clear();
                }
            }
            from += end + 1;
        }
    }

    /// JSON where events should be: its first object tells.
    fn read_json(&mut self) -> First {
        let text = self.line.get(..LONGEST_ENVELOPE).unwrap_or(&self.line);
        match self.object.read(text) {
            Object::Whole(object) => verdict_of(object, self.infers),
            Object::Cut if text.len() < LONGEST_ENVELOPE => First::Undecided,
            Object::Cut | Object::None => First::Healthy,
        }
    }
}

impl Event {
    fn read(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => {
                self.is_error = matches!(value, b"error" | b"response.failed");
                self.is_ping = value == b"ping";
            }
            b"data" => self.take(value),
            // llama.cpp's own field.
            b"error" if value.starts_with(b"{") => {
                self.is_error = true;
                self.take(value);
            }
            _ => {}
        }
    }

    fn take(&mut self, data: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(data);
    }

    fn end(self, infers: bool) -> First {
        match (self.is_error, self.has_data) {
            (true, _) => First::Error(self.data),
            // A sign of life as well.
            (false, true) if self.data.trim_ascii().is_empty() => First::Undecided,
            (false, true) if self.is_cut => end_of(&self.data),
            (false, true) if begins_with_mark(&self.data) => First::Error(self.data),
            (false, true) => match verdict_of(&self.data, infers) {
                // Anthropic's sign of life, which may come before an error: no answer yet.
                First::Healthy if self.is_ping || is_ping(&self.data) => First::Undecided,
                first => first,
            },
            (false, false) => First::Undecided,
        }
    }
}

/// `[ERROR] …`: no JSON begins so, and where `[DONE]` ends a stream no answer does.
fn begins_with_mark(data: &[u8]) -> bool {
    const MARK: &[u8] = b"[error]";
    data.first() == Some(&b'[') && data.get(..MARK.len()).is_some_and(|mark| mark.eq_ignore_ascii_case(MARK))
}

/// `{"type": "ping"}`, for those who leave out the event's name.
fn is_ping(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a RawValue,
    }
    data.len() <= LONGEST_PING
        && data.starts_with(b"{")
        && serde_json::from_slice::<Typed<'_>>(data).is_ok_and(|typed| typed.kind.get() == "\"ping\"")
}

/// What an event is of which only the end is known: with a brace before it, a member of what is the outermost object makes
/// that an object again, and none of another does.
fn end_of(data: &[u8]) -> First {
    let members = [&b"\"error\""[..], b"\"type\""].into_iter().flat_map(|name| memmem::find_iter(data, name));
    members
        .filter_map(|at| data.get(at..).filter(|members| members.len() < LONGEST_ENVELOPE))
        .map(|members| [b"{", members].concat())
        .find(|object| InBody::is_whole_error(object))
        .map_or(First::Healthy, First::Error)
}

fn verdict_of(data: &[u8], infers: bool) -> First {
    match InBody::of(data) {
        InBody::Error => First::Error(data.to_vec()),
        InBody::Complaint if infers => First::Error(data.to_vec()),
        _ => First::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_event_without_its_beginning_only_the_outermost_object_tells() {
        for (end, is_error) in [
            (r#"data:ng"}],"error":{"message":"no"}}"#, true),
            (r#"data:ng"}],"meta":{"n":1,"error":{"message":"no"}},"choices":[]}"#, false),
        ] {
            let mut scanner = FirstEvent::later(format!("{end}\n\n").as_bytes(), true);
            assert_eq!(matches!(scanner.feed(b""), First::Error(_)), is_error, "{end}");
        }
    }
}
