//! One form for all the forms in which providers, relays and what stands before them say what is wrong: OpenAI's,
//! Anthropic's, Google's, Azure's, Cloudflare's, FastAPI's and one-api's envelopes, arrays and strings, text and HTML.
//!
//! Codes and messages are kept apart: a code is the provider's own word, a message may repeat what the client wrote.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::json;
use super::words::{self, Words};
use times::{is_retry, is_time};

mod times;

/// What is kept of an answer's messages.
const LONGEST_TEXT: usize = 1024;
/// What people are shown of them.
const LONGEST_LINE: usize = 300;
/// How many codes, how long, and how deep they are looked for.
const CODES_MAX: usize = 32;
const LONGEST_CODE: usize = 128;
const DEPTH_MAX: usize = 7;
/// A model's name that is shorter may be a word of the message.
const SHORTEST_NAME: usize = 8;
/// How many answers are looked for in messages.
const UNWRAPPED_MAX: u8 = 3;
/// Within how many characters a page begins.
const PAGE_WITHIN: usize = 512;

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Codes, types, reasons, status words and quota names, in lower case.
    pub(super) codes: Vec<String>,
    /// Their letters and digits alone.
    pub(super) joined: Vec<String>,
    /// The same as they are written.
    code: String,
    /// Its messages in lower case, without what they quote: what words are looked for in.
    pub(super) words: Words,
    /// Times that stand in fields of their own: name in lower case, value.
    pub(super) times: Vec<(String, String)>,
    /// Marks of its form.
    pub(super) forms: Vec<Form>,
    /// The status that it names itself.
    pub(super) status: Option<u16>,
    /// Its messages, as they are written.
    pub(super) message: String,
    /// Whether they name the model that was asked for.
    pub(super) names_asked: bool,
    /// How many of them were answers themselves.
    unwrapped: u8,
    /// Whether one was brought in with words of somebody who passes it on.
    pub(super) is_passed_on: bool,
}

/// Marks by which forms are told apart where the same code means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It says nothing at all.
    Nothing,
    /// A page for browsers.
    Page,
    /// An array around the error: Google behind an OpenAI route.
    Array,
    /// An `error` object.
    ErrorObject,
    /// An `error` object with a `request_id` beside it, and not Anthropic's: Alibaba's.
    RequestIdBeside,
    /// Code and message at the top.
    Flat,
    /// `success: false`: Cloudflare's.
    Unsuccessful,
    /// `base_resp`: MiniMax's.
    BaseResp,
    /// `extensions` with a code: GraphQL's.
    Extensions,
    /// An error within a chunk of an answer: the provider behind a router failed.
    Chunk,
}

impl Envelope {
    /// Reads a decoded body, which says what it says without the name of the model that was asked for.
    pub(super) fn read(headers: &HeaderMap, body: &[u8], model: Option<&str>) -> Self {
        let mut envelope = Self::default();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let text = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
        let text = text.trim_start_matches('\u{feff}').trim();
        // Some answer with an event, whatever the status.
        let text = event_data(text).map_or(text, str::trim);
        match json::first(text) {
            Some(value) => envelope.read_json(&value),
            // Alibaba's gateway says it in a header alone.
            None if text.is_empty() => envelope.read_text(header("x-ca-error-message").unwrap_or_default()),
            None => envelope.read_text(text),
        }
        // AWS names the error's type in a header.
        if let Some(kind) = header("x-amzn-errortype") {
            envelope.code(kind.split(':').next().unwrap_or(kind));
        }
        let message = &envelope.message;
        let named = model.filter(|model| model.len() >= SHORTEST_NAME && message.contains(model));
        envelope.names_asked = named.is_some();
        envelope.words = match named {
            Some(model) => Words::of(&message.replace(model, " ")),
            None => Words::of(message),
        };
        envelope
    }

    /// Whether its messages have one of these words, quoted or not.
    pub(super) fn names(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    }

    /// What it says in one line for people.
    pub(super) fn line(&self) -> String {
        one_line(if self.message.is_empty() { &self.code } else { &self.message }, LONGEST_LINE)
    }

    /// Its codes in one line for people.
    pub(super) fn code_line(&self) -> String {
        one_line(&self.code, LONGEST_CODE)
    }

    fn read_json(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                self.forms.push(Form::Array);
                items.iter().take(4).for_each(|item| self.read_answer(item));
            }
            value => self.read_answer(value),
        }
    }

    /// A provider's answer: as it is, or within an array, FastAPI's `detail` or a relay's message.
    fn read_answer(&mut self, value: &Value) {
        if let Value::Object(fields) = value {
            self.mark(fields);
            if let Some(Value::Object(detail)) = fields.get("detail") {
                self.mark(detail);
            }
        }
        let said = self.message.len();
        self.visit(value, DEPTH_MAX);
        // JSend puts there what is wrong, and nothing beside it.
        let status = value.get("status").and_then(Value::as_str);
        if self.message.len() == said && matches!(status, Some("error" | "fail")) {
            value.get("data").into_iter().for_each(|data| self.visit(data, DEPTH_MAX));
        }
        // Some put it where others put the answer.
        for name in [
            "meta", "data", "result", "messages", "text", "content", "response", "payload", "details",
            "hint", "info", "cause", "summary", "problems", "msgs",
        ] {
            if self.message.len() == said
                && let Some(value) = value.get(name).or_else(|| value.get("error")?.get(name))
            {
                self.visit(value.get("text").unwrap_or(value), DEPTH_MAX);
            }
        }
    }

    /// Notes the marks of a JSON object's form.
    fn mark(&mut self, fields: &Map<String, Value>) {
        let has = |name: &str| fields.contains_key(name);
        let is = |name: &str, text: &str| fields.get(name).and_then(Value::as_str) == Some(text);
        if fields.get("error").is_some_and(Value::is_object) {
            self.forms.push(Form::ErrorObject);
            if has("request_id") && !has("type") {
                self.forms.push(Form::RequestIdBeside);
            }
        } else if ["code", "message", "error_code", "errno"].into_iter().any(has) {
            self.forms.push(Form::Flat);
        }
        if fields.get("success") == Some(&Value::Bool(false)) {
            self.forms.push(Form::Unsuccessful);
        }
        if has("base_resp") {
            self.forms.push(Form::BaseResp);
        }
        if has("choices") || is("type", "response.error") {
            self.forms.push(Form::Chunk);
        }
    }

    /// Text that is no JSON: a sentence, a page, events of a stream, or JSON that was cut off.
    fn read_text(&mut self, text: &str) {
        if text.is_empty() {
            self.forms.push(Form::Nothing);
            return;
        }
        let is_page = is_page(text);
        if text.starts_with('<') && !is_page && self.read_xml(text) {
            return;
        }
        if is_page || text.starts_with('<') {
            self.forms.push(Form::Page);
        }
        if text.starts_with(['{', '[']) {
            for name in ["code", "type", "reason", "status", "quotaId", "error_type"] {
                quoted_values(text, name).take(CODES_MAX / 4).for_each(|code| self.code(&code));
            }
            quoted_values(text, "message").take(4).for_each(|message| self.say(&message));
        }
        if self.message.is_empty() {
            self.say_or_unwrap(text);
        }
    }

    /// XML: AWS's, Alibaba's and WSO2's errors. Whether it says anything.
    fn read_xml(&mut self, text: &str) -> bool {
        let mut rest = text;
        while let Some((name, after)) = rest.split_once('<').and_then(|(_, tag)| tag.split_once('>')) {
            rest = after;
            let name = name.split_whitespace().next().unwrap_or_default();
            let value = after.split('<').next().unwrap_or_default().trim();
            match name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                _ if value.is_empty() => {}
                "code" | "errorcode" | "faultcode" | "type" | "reason" => self.code(value),
                "message" | "errormessage" | "faultstring" | "description" | "detail" => self.say(value),
                _ => {}
            }
        }
        !self.message.is_empty()
    }

    fn visit(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::String(text) => self.say_or_unwrap(text),
            Value::Array(items) => items.iter().take(8).for_each(|item| self.visit(item, depth)),
            Value::Object(fields) => {
                // What remains of a limit stands beside its reset: that of a limit that is not spent doesn't count.
                let left = ["X-RateLimit-Remaining", "x-ratelimit-remaining"];
                let unspent = left.iter().filter_map(|name| fields.get(*name)).any(|left| !is_zero(left));
                for (name, value) in fields.iter().take(64) {
                    let name = name.to_ascii_lowercase();
                    if !(unspent && name == "x-ratelimit-reset") {
                        self.visit_field(&name, value, depth);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn visit_field(&mut self, name: &str, value: &Value, depth: usize) {
        match (name, value) {
            (
                "code" | "type" | "reason" | "status" | "error_type" | "error_code" | "errorcode" | "errcode"
                | "err_code" | "quotaid" | "limit_source" | "status_code" | "statuscode" | "http_status"
                | "finish_reason" | "__type" | "errortype" | "err_type" | "errno" | "err_no" | "ret"
                | "retcode" | "ret_code" | "resultcode" | "returncode" | "http_code" | "infocode",
                Value::String(_) | Value::Number(_),
            ) => {
                let code = as_text(value);
                self.code(&code);
                // A reason may be told in a sentence.
                if name == "reason" && code.contains(' ') {
                    self.say(&code);
                }
            }
            (
                "message" | "msg" | "detail" | "title" | "error" | "errors" | "error_msg" | "error_message"
                | "errmsg" | "err_msg" | "errormessage" | "status_msg" | "error_description" | "raw"
                | "description" | "faultstring" | "err" | "errormsg" | "error_text" | "status_message"
                | "statusmessage" | "msgdetail" | "detailmessage" | "detail_message" | "displaymessage"
                | "errordescription" | "localizedmessage",
                Value::String(text),
            ) => self.say_or_unwrap(text),
            (_, Value::String(_) | Value::Number(_)) if is_time(name) => {
                self.note_time(name, as_text(value));
            }
            (
                "error" | "errors" | "error_chain" | "details" | "detail" | "message" | "metadata"
                | "availability" | "violations" | "response" | "headers" | "choices" | "base_resp" | "header"
                | "raw" | "status" | "fault" | "responsemetadata" | "err" | "errorinfo" | "error_info"
                | "errordetail" | "error_detail" | "errordetails" | "error_details" | "exception" | "problem",
                Value::Object(_) | Value::Array(_),
            ) => self.visit(value, depth),
            ("extensions", Value::Object(_)) => {
                self.forms.push(Form::Extensions);
                self.visit(value, depth);
            }
            // The answer of whom a relay asked, as text.
            (
                "response" | "response_body" | "responsebody" | "upstream_error" | "upstream_response",
                Value::String(text),
            ) if text.starts_with('{') => self.say_or_unwrap(text),
            ("quota_limit", Value::String(name)) if name.contains("Per") => self.code(name),
            // Google's name for a limit, which says more than how often it may be asked only where it is none.
            ("quota_limit_value", value) if is_zero(value) => self.code("quota_limit_value=0"),
            // It may be the request's body as well.
            ("body", Value::Object(fields)) if fields.get("error").is_some_and(Value::is_object) => {
                fields.get("error").into_iter().for_each(|error| self.visit(error, depth));
            }
            // What else may be in them is not the provider's word on what is wrong.
            ("data" | "extra" | "result" | "params" | "meta" | "parameters", Value::Object(fields)) => {
                self.note_times(fields, is_time);
            }
            // How much of a limit is left may stand beside its reset.
            ("limit", Value::Object(fields)) => {
                let is_left =
                    |(name, value): (&String, &Value)| name.contains("remaining") && !is_zero(value);
                self.note_times(fields, if fields.iter().any(is_left) { is_retry } else { is_time });
            }
            (_, Value::Object(_)) if is_time(name) => self.note_times_in(name, value),
            (_, Value::Object(fields)) => self.note_times(fields, is_retry),
            _ => {}
        }
    }

    fn note_times(&mut self, fields: &Map<String, Value>, is_meant: fn(&str) -> bool) {
        for (name, value) in fields.iter().take(64) {
            let name = name.to_ascii_lowercase();
            if is_meant(&name) {
                self.note_times_in(&name, value);
            }
        }
    }

    fn note_times_in(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(_) | Value::Number(_) => self.note_time(name, as_text(value)),
            Value::Object(fields) => {
                if let Some(length) = times::length(fields) {
                    self.note_time(name, length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Array(_) => {}
        }
    }

    fn note_time(&mut self, name: &str, text: String) {
        if self.times.len() < 8 && text.len() <= 64 {
            self.times.push((name.to_owned(), text));
        }
    }

    fn code(&mut self, code: &str) {
        if self.codes.len() >= CODES_MAX || code.is_empty() {
            return;
        }
        // AWS: "com.amazon.coral.service#ThrottlingException".
        let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
        let code: String = code.chars().take(LONGEST_CODE).collect();
        if self.code.len() < LONGEST_CODE {
            self.code.push_str(&code);
            self.code.push(' ');
        }
        let code = code.to_lowercase();
        if self.status.is_none() {
            self.status = code.parse().ok().filter(|status| (400..600).contains(status));
        }
        self.joined.push(code.chars().filter(char::is_ascii_alphanumeric).collect());
        self.codes.push(code);
    }

    /// A message; relays put a whole answer into theirs, and a message in one word is a code.
    fn say_or_unwrap(&mut self, text: &str) {
        if self.unwrapped < UNWRAPPED_MAX
            && let Some((before, inner)) = words::wrapped(text)
        {
            self.unwrapped += 1;
            if !before.is_empty() {
                let before = before.split(", message: ").next().unwrap_or_default();
                self.is_passed_on |= !before.trim().is_empty();
                // Java quotes the answer.
                self.say(before.trim_end_matches('"'));
            }
            // Whose codes they are is told by the form of the answer within.
            self.forms.clear();
            return self.read_json(&inner);
        }
        if is_page(text) {
            self.forms.push(Form::Page);
        }
        if text.is_ascii() && !text.contains(char::is_whitespace) {
            self.code(text);
        }
        // "insufficient balance (1008)": MiniMax's codes, which mean something else elsewhere, on its Anthropic route.
        if let Some((_, code)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("))
            && code.len() == 4
            && code.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.code(&format!("({code})"));
        }
        // "[1113][Insufficient balance …]": Zhipu's codes on its Anthropic route.
        if let Some((code, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            && code.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.code(code);
        }
        self.say(text);
    }

    fn say(&mut self, text: &str) {
        if !self.message.is_empty() {
            self.message.push('\n');
        }
        let room = LONGEST_TEXT.saturating_sub(self.message.len());
        self.message.push_str(words::beginning(text, room));
    }
}

/// A page for browsers, or a text with one.
fn is_page(text: &str) -> bool {
    let beginning = text.as_bytes().get(..4 * PAGE_WITHIN).unwrap_or(text.as_bytes());
    let begins = |at: usize, mark: &str| {
        let end = at + mark.len();
        text.get(at..end).is_some_and(|there| there.eq_ignore_ascii_case(mark))
            && text.get(..end).is_some_and(|until| until.chars().count() <= PAGE_WITHIN)
    };
    memchr::memchr_iter(b'<', beginning).any(|at| begins(at, "<html") || begins(at, "<!doctype html"))
}

/// What follows the first `data:` of an event stream: nothing stands before it, or the event's name.
fn event_data(text: &str) -> Option<&str> {
    text.strip_prefix("data:").or_else(|| {
        let (name, data) = text.strip_prefix("event:")?.split_once("data:")?;
        (name.len() < 58 && name.ends_with('\n')).then_some(data)
    })
}

/// A text's words in one line, up to so many characters.
fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::with_capacity(text.len().min(longest));
    let mut room = longest;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() && room > 0 {
            line.push(' ');
            room -= 1;
        }
        let kept = word.char_indices().nth(room).and_then(|(end, _)| word.get(..end)).unwrap_or(word);
        line.push_str(kept);
        room -= kept.chars().count();
        if room == 0 {
            break;
        }
    }
    line
}

/// A text or a number, as it is written.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_zero(value: &Value) -> bool {
    value.as_str().map_or_else(|| value.as_f64() == Some(0.0), |text| text.trim() == "0")
}

/// The string values of a field in JSON that may be cut off.
fn quoted_values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    text.match_indices(name).filter_map(move |(at, _)| {
        let before = text.get(..at)?;
        let rest = text.get(at + name.len()..)?.strip_prefix('"').filter(|_| before.ends_with('"'))?;
        let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        let mut escaped = false;
        let end = value.bytes().take(4 * LONGEST_TEXT).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let value = value.get(..end.unwrap_or(value.len())).unwrap_or(value);
        Some(serde_json::from_str(&format!("\"{value}\"")).unwrap_or_else(|_| value.to_owned()))
    })
}

#[cfg(test)]
mod tests;
