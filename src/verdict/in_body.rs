//! Errors inside a 200: bodies that are an error's envelope.
//!
//! Healthy answers pass here too, so that a search for a few words comes before anything is parsed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{self, FirstObject, Object};

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

/// Every healthy answer is looked through for them, for all at once with vector instructions if the processor has some.
static SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| Searcher::new(MARKS));

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
    match &*SEARCHER {
        Some(searcher) => searcher.find(text).is_some(),
        None => MARKS.iter().any(|mark| memmem::find(text, mark).is_some()),
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
        serde_json::from_slice::<Detail<'_>>(object).is_ok_and(|Detail { detail }| is_said(Some(detail)))
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

/// A member, unparsed.
type Raw<'a> = Option<&'a RawValue>;

/// The members that tell an error from an answer.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    errors: Raw<'a>,
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    status: Raw<'a>,
    #[serde(borrow)]
    object: Raw<'a>,
    #[serde(borrow)]
    success: Raw<'a>,
    #[serde(borrow)]
    base_resp: Raw<'a>,
    #[serde(borrow)]
    header: Raw<'a>,
    #[serde(borrow)]
    code: Raw<'a>,
    #[serde(borrow)]
    error_code: Raw<'a>,
    #[serde(borrow)]
    errcode: Raw<'a>,
    #[serde(borrow, rename = "ErrorCode")]
    error_code_in_one: Raw<'a>,
    #[serde(borrow, rename = "errorCode")]
    error_code_in_camel: Raw<'a>,
    #[serde(borrow, rename = "Response")]
    response: Raw<'a>,
    #[serde(borrow)]
    message: Raw<'a>,
    #[serde(borrow)]
    msg: Raw<'a>,
    #[serde(borrow)]
    error_msg: Raw<'a>,
    #[serde(borrow)]
    error_message: Raw<'a>,
    #[serde(borrow)]
    errmsg: Raw<'a>,
    #[serde(borrow, rename = "ErrorMessage")]
    error_msg_in_one: Raw<'a>,
    #[serde(borrow, rename = "errorMessage")]
    error_msg_in_camel: Raw<'a>,
    // What was asked for.
    #[serde(borrow)]
    choices: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    output: Raw<'a>,
    #[serde(borrow)]
    result: Raw<'a>,
    #[serde(borrow)]
    content: Raw<'a>,
    #[serde(borrow)]
    candidates: Raw<'a>,
    #[serde(borrow)]
    results: Raw<'a>,
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    embeddings: Raw<'a>,
    #[serde(borrow)]
    predictions: Raw<'a>,
    #[serde(borrow)]
    images: Raw<'a>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    finish_reason: Raw<'a>,
}

impl Probe<'_> {
    fn told(&self) -> InBody {
        match () {
            () if self.is_error() => InBody::Error,
            () if self.has_status() || self.has_errors() => InBody::Complaint,
            () => InBody::Answer,
        }
    }

    fn is_error(&self) -> bool {
        let is = |value: Raw<'_>, texts: &[&str]| value.is_some_and(|v| texts.contains(&v.get()));
        // A fine-tuning job or a batch that failed is an answer. New API names no object where it has none.
        let is_of_job = self.object.is_some_and(|object| match object.get() {
            "\"error\"" | "\"response\"" | "\"text_completion\"" | "\"\"" => false,
            "\"list\"" => self.has_answer(),
            object => !object.starts_with("\"chat."),
        });
        if is_of_job {
            return false;
        }
        is_true(self.error)
            || is(self.object, &["\"error\""])
            || is(self.kind, &["\"error\"", "\"response.failed\"", "\"response.error\""])
            || is(self.success, &["false"])
            || self.has_code()
            || self.response.is_some_and(|response| is_tencents_error(response.get()))
            || self.base_resp.is_some_and(|resp| names_a_status(resp.get()))
            || self.header.is_some_and(|header| names_a_code(header.get())) && !self.has_answer()
            || self.choices.is_some_and(|choices| is_broken_off(choices.get()))
    }

    /// A code that is not "all well", a message, and nothing that was asked for.
    fn has_code(&self) -> bool {
        let fine = ["0", "200", "\"0\"", "\"200\"", "\"\"", "\"success\"", "\"Success\"", "\"ok\"", "\"OK\""];
        let codes = [self.error_code, self.errcode, self.error_code_in_one, self.error_code_in_camel];
        let code = codes.into_iter().fold(self.code, Option::or);
        code.is_some_and(|code| is_true(Some(code)) && !fine.contains(&code.get()))
            && self.messages().any(is_true)
            && !self.has_answer()
    }

    /// GraphQL's list of what is wrong, and nothing that was asked for.
    fn has_errors(&self) -> bool {
        let has_objects = |errors: &str| errors.strip_prefix('[')?.trim_start().strip_prefix('{').map(drop);
        self.errors.is_some_and(|errors| has_objects(errors.get()).is_some()) && !self.has_answer()
    }

    /// "error" or an error's status as its status, a message in words, and nothing that was asked for.
    fn has_status(&self) -> bool {
        self.status.is_some_and(|status| {
            ["\"error\"", "\"Error\""].contains(&status.get()) || is_failure(status.get())
        }) && self.messages().any(is_said)
            && !self.has_answer()
    }

    fn messages(&self) -> impl Iterator<Item = Raw<'_>> {
        let plain = [self.message, self.msg, self.error_msg, self.error_message, self.errmsg];
        plain.into_iter().chain([self.error_msg_in_one, self.error_msg_in_camel])
    }

    fn has_answer(&self) -> bool {
        let native = [self.choices, self.data, self.output, self.result, self.content, self.candidates];
        let text = self.text.filter(|text| text.get() != "\"[DONE]\"");
        let others = [self.results, text, self.embeddings, self.predictions, self.images];
        native.into_iter().chain(others).any(is_true)
    }
}

/// As the SDKs have it: there, and not empty. An object in which nothing says anything is empty too: some relays send one
/// with every answer.
fn is_true(value: Raw<'_>) -> bool {
    let Some(text) = value.map(RawValue::get) else { return false };
    if text.starts_with('{') {
        serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(text)
            .is_ok_and(|fields| fields.into_values().any(|value| !is_empty(value.get())))
    } else {
        !is_empty(text)
    }
}

fn is_empty(value: &str) -> bool {
    let is_open = |open, close| value.strip_prefix(open).is_some_and(|rest| rest.trim_start() == close);
    ["null", "false", "\"\"", "0"].contains(&value) || is_open('{', "}") || is_open('[', "]")
}

/// 4xx or 5xx, as a number or as a text.
fn is_failure(status: &str) -> bool {
    status.trim_matches('"').parse().is_ok_and(|status: u16| (400..600).contains(&status))
}

/// A text with something in it.
fn is_said(value: Raw<'_>) -> bool {
    value.is_some_and(|value| value.get().starts_with('"') && value.get().len() > 2)
}

fn names_a_status(base_resp: &str) -> bool {
    #[derive(Deserialize)]
    struct BaseResp {
        status_code: i64,
    }
    serde_json::from_str::<BaseResp>(base_resp).is_ok_and(|resp| resp.status_code != 0)
}

/// iFlytek's header: beside what was asked for, which is left out of an error.
fn names_a_code(header: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        code: i64,
        #[serde(rename = "message")]
        _message: String,
    }
    serde_json::from_str::<Header>(header).is_ok_and(|header| header.code != 0)
}

fn is_tencents_error(response: &str) -> bool {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow, rename = "Error")]
        error: Raw<'a>,
    }
    serde_json::from_str::<Response<'_>>(response).is_ok_and(|response| is_true(response.error))
}

fn is_broken_off(choices: &str) -> bool {
    serde_json::from_str::<Vec<Choice<'_>>>(choices).is_ok_and(|choices| {
        choices.first().is_some_and(|choice| {
            let reasons = ["\"error\"", "\"insufficient_system_resource\""];
            is_true(choice.error)
                || choice.finish_reason.is_some_and(|reason| reasons.contains(&reason.get()))
        })
    })
}
