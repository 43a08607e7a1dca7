//! One form for all the forms in which providers, relays and what stands before them say what is wrong: OpenAI's,
//! Anthropic's, Google's, Azure's, Cloudflare's, FastAPI's and one-api's envelopes, arrays and strings, text and HTML.

use serde_json::Value;

/// What is kept of an answer's words.
const LONGEST_TEXT: usize = 4096;
/// What people are shown of them.
const LONGEST_LINE: usize = 300;
/// How many codes, and how deep they are looked for.
const CODES_MAX: usize = 32;
const DEPTH_MAX: usize = 6;

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Codes, types, reasons, status words and quota names, in lower case.
    pub(super) codes: Vec<String>,
    /// Its messages, as they are written.
    message: String,
    /// Codes and messages, in lower case: what words are looked for in.
    pub(super) text: String,
    /// Times that stand in fields of their own: name in lower case, value.
    pub(super) times: Vec<(String, String)>,
    /// Whether it is a page for browsers.
    pub(super) is_html: bool,
    /// Whether it says nothing at all.
    pub(super) is_empty: bool,
}

impl Envelope {
    /// Reads a decoded body.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut envelope = Self::default();
        let body = body.trim_ascii();
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => envelope.visit(&value, DEPTH_MAX),
            Err(_) => envelope.read_text(&String::from_utf8_lossy(body)),
        }
        envelope.is_empty = body.is_empty();
        envelope.text = envelope.codes.join(" ");
        envelope.text.push(' ');
        envelope.text.push_str(&without_quotations(&envelope.message).to_lowercase());
        envelope
    }

    /// What it says in one line for people.
    pub(super) fn line(&self) -> String {
        let source = if self.message.is_empty() { self.codes.join(" ") } else { self.message.clone() };
        let words: Vec<&str> = source
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ").chars().take(LONGEST_LINE).collect()
    }

    /// Text that is no JSON: a sentence, a page, or JSON that was cut off.
    fn read_text(&mut self, text: &str) {
        let beginning: String = text.chars().take(512).collect::<String>().to_ascii_lowercase();
        self.is_html = beginning.starts_with('<') || beginning.contains("<html");
        if text.starts_with(['{', '[']) {
            for name in ["code", "type", "reason", "status", "quotaId"] {
                self.codes
                    .extend(quoted_values(text, name).map(|value| value.to_lowercase()).take(CODES_MAX / 4));
            }
            for message in quoted_values(text, "message") {
                self.say(message);
            }
        }
        if self.message.is_empty() {
            self.say(text);
        }
    }

    fn visit(&mut self, value: &Value, depth: usize) {
        if depth == 0 {
            return;
        }
        match value {
            Value::String(text) => self.say(text),
            Value::Array(items) => items.iter().take(16).for_each(|item| self.visit(item, depth - 1)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.visit_field(&name.to_ascii_lowercase(), value, depth);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn visit_field(&mut self, name: &str, value: &Value, depth: usize) {
        match (name, value) {
            (
                "code" | "type" | "reason" | "status" | "error_type" | "error_code" | "errorcode" | "quotaid"
                | "quota_id" | "limit_source",
                Value::String(_) | Value::Number(_),
            ) => {
                if self.codes.len() < CODES_MAX {
                    let code = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    self.codes.push(code.chars().take(128).collect::<String>().to_lowercase());
                }
            }
            (
                "message" | "msg" | "detail" | "title" | "error" | "error_msg" | "error_message",
                Value::String(text),
            ) => {
                // Relays put the whole answer into their own message.
                match text.trim_start().starts_with('{').then(|| serde_json::from_str::<Value>(text)) {
                    Some(Ok(inner)) => self.visit(&inner, depth.min(4) - 1),
                    _ => self.say(text),
                }
            }
            (_, Value::String(_) | Value::Number(_)) if is_time(name) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if self.times.len() < 8 && text.len() <= 64 {
                    self.times.push((name.to_owned(), text));
                }
            }
            (
                "error" | "errors" | "details" | "detail" | "message" | "metadata" | "availability"
                | "violations" | "response" | "data" | "headers",
                Value::Object(_) | Value::Array(_),
            ) => self.visit(value, depth - 1),
            ("raw", Value::String(text)) => self.say(text),
            _ => {}
        }
    }

    fn say(&mut self, text: &str) {
        let room = LONGEST_TEXT.saturating_sub(self.message.len());
        if !self.message.is_empty() && room > 0 {
            self.message.push(' ');
        }
        self.message.extend(text.chars().take(room / 4));
    }
}

/// A message without what it quotes: that is the client's own text, and may say anything.
fn without_quotations(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut rest = message;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        // An apostrophe within a word quotes nothing.
        let opens = matches!(c, '\'' | '"' | '`') && !before.is_alphanumeric();
        if let Some((_, after)) = opens.then(|| rest.split_once(c)).flatten() {
            rest = after;
            before = ' ';
            continue;
        }
        kept.push(c);
        before = c;
    }
    kept
}

/// Field names that hold a time to wait or a time of return.
fn is_time(name: &str) -> bool {
    name.contains("retry") && (name.contains("after") || name.contains("delay"))
        || name.contains("reset") && (name.contains("at") || name.contains("time") || name.contains("after"))
        || name == "x-ratelimit-reset"
}

/// The string values of a field in JSON that may be cut off.
fn quoted_values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(name).filter_map(move |(at, _)| {
        let before = text.get(..at)?;
        let rest = text.get(at + name.len()..)?.strip_prefix('"').filter(|_| before.ends_with('"'))?;
        let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        Some(value.split('"').next().unwrap_or(value))
    })
}
