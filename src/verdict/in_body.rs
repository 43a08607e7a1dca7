//! Errors inside a 200: bodies that are an error's envelope.
//!
//! Healthy answers pass here too, so that a search for a few words comes before anything is parsed.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::probe::{Probe, is_error_told};
use super::json::{self, FirstObject, Object};

mod probe;
mod told;

/// Whole bodies that are longer are no errors.
pub(crate) const LONGEST_ENVELOPE: usize = 16 * 1024;

/// What has none of these words is no error, and is not parsed.
const MARKS: [&[u8]; 16] = [
    b"rror\"",
    b"rrors\"",
    b"rrorCode\"",
    b"fail",
    b"\"success\"",
    // MiniMax's `base_resp` has a `status_code`; Tencent writes `Error`, others `ErrorCode`.
    b"code\"",
    b"\"msg\"",
    b"insufficient_system_resource",
    // Not `"status":` alone: nearly every answer of the Responses API has that.
    b"\"status\":4",
    b"\"status\":5",
    b"\"status\": 4",
    b"\"status\": 5",
    b"\"status\":\"4",
    b"\"status\":\"5",
    b"\"status\": \"4",
    b"\"status\": \"5",
];

/// What some errors have that have none of those: few, and short.
const RARE_MARKS: [&[u8]; 15] = [
    b"rrno\"",
    b"rr_no\"",
    b"\"err\"",
    b"\"ret\"",
    b"\"fault\"",
    b"\"FAIL",
    b"\"ERROR\"",
    // `isSuccess`, `statusCode`.
    b"uccess\"",
    b"Code\"",
    b"result\":f",
    b"result\": f",
    b"\"ok\":f",
    b"\"ok\": f",
    b"\"status\":f",
    b"\"status\": f",
];
const RARE_WITHIN: usize = 1024;

/// What begins so is looked through for `MARKS` alone: the answers that nearly all ask for.
const ANSWERS: [&[u8]; 8] = [
    b"{\"id\":",
    b"{\"choices\":",
    b"{\"object\":",
    b"{\"candidates\":",
    b"{\"model\":",
    b"{\"created\":",
    b"{\"type\":\"message",
    b"{\"type\":\"response",
];

/// Every healthy answer is looked through for them, for all at once with vector instructions if the processor has some.
static SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| Searcher::new(MARKS));
static RARE_SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| Searcher::new(RARE_MARKS));

/// Less than this behind its first member does not tell whether it is one.
const TELLING: usize = 32;
/// A first member that is longer is no error's.
const FIRST_MEMBER: usize = 4096;
/// So near to an envelope's beginning stands what marks it.
const BEGINNING: usize = 512;

/// What pages for browsers begin with.
const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// What the whole body of an answer with status 200 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBody {
    /// What was asked for, as far as can be told.
    Answer,
    /// An error's envelope. The state of a job may hold its error without being one: whoever asks for that has to know.
    Error,
    /// Only words on what is wrong: no answer of a model, but it may be one to those who asked for something else, the
    /// state of a job or the end of a file.
    Complaint,
    /// A page for browsers: no answer of a model, but maybe one that a model wrote.
    Page,
}

impl InBody {
    /// Looks at a body, decoded.
    pub fn of(body: &[u8]) -> Self {
        Self::if_marked(body).unwrap_or(Self::Answer)
    }

    /// The same; `None` for an answer without any of the words that errors have.
    pub(crate) fn if_marked(body: &[u8]) -> Option<Self> {
        if body.len() > LONGEST_ENVELOPE {
            return Some(Self::Answer);
        }
        let text = behind_mark(body).trim_ascii_start();
        match text.first() {
            Some(b'{') if is_lone_detail(text) => return Some(Self::Complaint),
            Some(b'<') if is_page(text) => return Some(Self::Page),
            _ => {}
        }
        is_marked(text).then(|| Self::of_marked(text))
    }

    fn of_marked(text: &[u8]) -> Self {
        let of_object = || Self::of_well_formed(first_object(text)?.as_bytes());
        Self::of_well_formed(text).or_else(of_object).unwrap_or(Self::Answer)
    }

    /// Whether it is an error as it stands, with nothing behind it.
    pub(super) fn is_whole_error(text: &[u8]) -> bool {
        is_marked(text) && Self::of_well_formed(text) == Some(Self::Error)
    }

    fn of_well_formed(text: &[u8]) -> Option<Self> {
        if text.starts_with(b"[") {
            let items = serde_json::from_slice::<Vec<Probe<'_>>>(text).ok()?;
            return Some(items.first().map_or(Self::Answer, Probe::told));
        }
        serde_json::from_slice::<Probe<'_>>(text).ok().map(|probe| probe.told())
    }

    /// Whether it is no answer to somebody who asked a model for something. A page is none if it is called one.
    pub fn is_no_answer(self, is_called_page: bool) -> bool {
        match self {
            Self::Answer => false,
            Self::Error | Self::Complaint => true,
            // A maintenance page, or a portal's: nothing that a model said.
            Self::Page => is_called_page,
        }
    }

    /// Whether what has come of a body may be the beginning of one that is no answer. White space is none's beginning yet:
    /// OpenRouter sends that as a sign of life. Nor is a first member: a request's id, or as much of it as has come.
    pub fn may_begin(so_far: &[u8], is_called_page: bool) -> bool {
        let text = behind_mark(so_far).trim_ascii_start();
        match text.first() {
            None => return true,
            Some(b'{' | b'[') => {}
            Some(_) => return is_called_page && begins_page(text),
        }
        let (first, is_over) = first_member(text);
        let behind = text.len() - first;
        let is_undecided = !is_over && behind < TELLING && first < FIRST_MEMBER;
        let begins = text.get(..first + BEGINNING).unwrap_or(text);
        let has_mark = || begins_with_detail(text) || is_marked(begins);
        // What is a stream of objects is known by the first.
        let may_be_one = || match FirstObject::default().read(text) {
            Object::Cut => true,
            Object::Whole(object) => Self::of(object) != Self::Answer,
            Object::None => false,
        };
        is_undecided || has_mark() && may_be_one()
    }
}

fn is_marked(text: &[u8]) -> bool {
    let is_answer = || ANSWERS.iter().any(|answer| text.starts_with(answer));
    has_one(SEARCHER.as_ref(), &MARKS, text)
        || text.len() <= RARE_WITHIN && !is_answer() && has_one(RARE_SEARCHER.as_ref(), &RARE_MARKS, text)
}

fn has_one(searcher: Option<&Searcher>, marks: &[&[u8]], text: &[u8]) -> bool {
    match searcher {
        Some(searcher) => searcher.find(text).is_some(),
        None => marks.iter().any(|mark| memmem::find(text, mark).is_some()),
    }
}

/// A byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A text behind its byte order mark; nothing, if no more than a part of the mark has come.
pub(crate) fn behind_mark(text: &[u8]) -> &[u8] {
    match text {
        [b'\xef', ..] if BOM.starts_with(text) => &[],
        [b'\xef', ..] => text.strip_prefix(BOM).unwrap_or(text),
        _ => text,
    }
}

/// The first object of what is no JSON, or names something twice, read as the judge reads it: line breaks in its strings
/// and what stands behind it hide no error.
#[cold]
fn first_object(text: &[u8]) -> Option<String> {
    let Object::Whole(object) = FirstObject::default().read(text) else { return None };
    Some(json::first(&String::from_utf8_lossy(object))?.to_string())
}

/// FastAPI's `{"detail": "…"}`, and nothing else.
fn is_lone_detail(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Detail<'a> {
        #[serde(borrow)]
        detail: &'a RawValue,
    }
    let is_lone = |object: &[u8]| {
        serde_json::from_slice::<Detail<'_>>(object).is_ok_and(|Detail { detail }| is_error_told(detail))
    };
    begins_with_detail(body)
        && (is_lone(body) || first_object(body).is_some_and(|object| is_lone(object.as_bytes())))
}

fn begins_with_detail(text: &[u8]) -> bool {
    text.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"detail\""))
}

#[cold]
fn is_page(text: &[u8]) -> bool {
    PAGES.iter().any(|page| text.get(..page.len()).is_some_and(|text| text.eq_ignore_ascii_case(page)))
}

/// The same, as far as it has come.
#[cold]
fn begins_page(text: &[u8]) -> bool {
    let is_alike = |page: &&[u8]| text.iter().zip(page.iter()).all(|(a, b)| a.eq_ignore_ascii_case(b));
    PAGES.iter().any(is_alike)
}

/// Where an object's first member ends, or that of an array's first object, and whether no other follows.
fn first_member(text: &[u8]) -> (usize, bool) {
    let (mut depth, mut is_text, mut is_escaped, mut has_begun) = (0_usize, false, false, false);
    let mut outermost = 0;
    let text = text.get(..FIRST_MEMBER).unwrap_or(text);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => (is_text, has_begun) = (!is_text, true),
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= outermost.max(1) => return (at, true),
            b'}' | b']' => depth -= 1,
            b',' if depth <= outermost => return (at, false),
            _ => {}
        }
        if !has_begun {
            outermost = depth;
        }
    }
    (text.len(), false)
}
