//! What a request's body asks for, as far as it concerns us: a stream, and which model. One pass over the JSON's top
//! level; what lies deeper is stepped over.

use std::borrow::Cow;
use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::form;
use crate::upstream::percent_decode;

/// A longer name is no model's: ARNs and Google's names of resources, the longest that there are, have a few hundred bytes. It
/// bounds what is kept for each model that is told apart.
const LONGEST_MODEL: usize = 1024;
/// An ASCII character, written as `\u0061`, in bytes.
const LONGEST_ESCAPE: usize = 6;

/// What a body asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// `"stream": true` at the top level.
    pub(super) stream: bool,
    /// The model's name, as it is meant.
    pub(super) model: Option<Cow<'a, str>>,
}

impl<'a> Asked<'a> {
    /// Reads a body that is JSON or a form; anything else asks for nothing.
    pub(super) fn read(headers: &HeaderMap, body: &'a [u8]) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
        if kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart")) {
            let model = form::field(kind, body, "model").and_then(unescaped);
            return Self { stream: false, model: model.map(Cow::from) };
        }
        let mut asked = Self::default();
        // What does not end as an object is not JSON, and asks for nothing.
        if top_level(body, &mut asked).is_some() { asked } else { Self::default() }
    }
}

/// The model in a path: Gemini's `/models/NAME:verb` and `/tunedModels/NAME:verb`, Azure's `/deployments/NAME/`, AWS's
/// `/model/NAME/verb`, Cloudflare's `/ai/run/NAME`.
pub(super) fn model_in_path(path: &str) -> Option<Box<str>> {
    let (mut google, mut other) = (None, None);
    for slash in memchr::memchr_iter(b'/', path.as_bytes()) {
        let rest = path.get(slash + 1..)?;
        let behind = |names: &[&str]| {
            names.iter().find(|name| rest.starts_with(**name)).map(|name| slash + 1 + name.len())
        };
        google = behind(&["models/", "tunedModels/"]).or(google);
        other = other.or_else(|| behind(&["deployments/", "model/"]));
        if let Some(at) = behind(&["ai/run/"]) {
            return percent_decoded(path.get(at..)?);
        }
    }
    let (at, end) = google.map(|at| (at, b':')).or(other.map(|at| (at, b'/')))?;
    let length = memchr::memchr(end, path.get(at..)?.as_bytes())?;
    percent_decoded(path.get(at..at + length)?)
}

/// The model in a query, as OpenAI's Realtime API has it.
pub(super) fn model_in_query(query: &str) -> Option<Box<str>> {
    percent_decoded(query.split('&').find_map(|parameter| parameter.strip_prefix("model="))?)
}

fn percent_decoded(text: &str) -> Option<Box<str>> {
    match percent_decode(text) {
        Cow::Borrowed(_) => (1..=LONGEST_MODEL).contains(&text.len()).then(|| text.into()),
        Cow::Owned(decoded) => unescaped(&decoded).map(Box::from),
    }
}

/// What may be a name when no escapes are left: it is told on pages and in logs.
#[cold]
fn unescaped(name: &[u8]) -> Option<&str> {
    let name = str::from_utf8(name).ok()?;
    ((1..=LONGEST_MODEL).contains(&name.len()) && !name.contains(char::is_control)).then_some(name)
}

/// Reads a JSON object's fields. The last one of a name counts, as with every JSON parser. `None`: it is none.
fn top_level<'a>(json: &'a [u8], asked: &mut Asked<'a>) -> Option<()> {
    let mut at = skip_space(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(json, at + 1);
    if json.get(at) == Some(&b'}') {
        return Some(());
    }
    loop {
        let name = string(json, at)?;
        at = skip_space(json, name.end + 1);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(json, at + 1);
        let end = skip_value(json, at)?;
        match json.get(name)? {
            b"stream" => asked.stream = json.get(at..end)? == b"true",
            b"model" => asked.model = model(json, at),
            _ => {}
        }
        at = skip_space(json, end);
        match json.get(at)? {
            b',' => at = skip_space(json, at + 1),
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

fn model(json: &[u8], at: usize) -> Option<Cow<'_, str>> {
    let text = string(json, at)?;
    let name = json.get(text.clone())?;
    if name.contains(&b'\\') {
        return of_escaped_json(json.get(at..=text.end)?);
    }
    let name = (1..=LONGEST_MODEL).contains(&name.len()).then_some(name)?;
    str::from_utf8(name).ok().map(Cow::from)
}

/// The name in a JSON string with escapes: PHP writes every slash as `\/`, others all that is not ASCII as `\u…`.
#[cold]
fn of_escaped_json(json: &[u8]) -> Option<Cow<'static, str>> {
    let json = (json.len() <= LONGEST_MODEL * LONGEST_ESCAPE + 2).then_some(json)?;
    let name: String = serde_json::from_slice(json).ok()?;
    unescaped(name.as_bytes())?;
    Some(name.into())
}

fn skip_space(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// What stands between the quotes of the string that begins at `at`.
fn string(json: &[u8], at: usize) -> Option<Range<usize>> {
    if json.get(at) != Some(&b'"') {
        return None;
    }
    let mut end = at + 1;
    loop {
        end += memchr::memchr2(b'"', b'\\', json.get(end..)?)?;
        if json.get(end) == Some(&b'"') {
            return Some(at + 1..end);
        }
        end += 2;
    }
}

/// The end of the value that begins at `at`.
fn skip_value(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => Some(string(json, at)?.end + 1),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, at);
            loop {
                match json.get(at)? {
                    b'"' => at = string(json, at)?.end,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth == 1 => return Some(at + 1),
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = json.get(at..)?;
            let length =
                rest.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t'))?;
            (length > 0).then_some(at + length)
        }
    }
}

#[cfg(test)]
#[allow(clippy::string_slice, reason = "a test")]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn asked(kind: &'static str, body: &str) -> (bool, Option<String>) {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let asked = Asked::read(&headers, body.as_bytes());
        (asked.stream, asked.model.map(Cow::into_owned))
    }

    #[test]
    fn stream_and_model_are_asked_for_at_the_top_level_only() {
        for (json, stream, model) in [
            (r#"{"stream":true}"#, true, None),
            (
                r#" {"model":"m", "messages":[{"a":"\"stream\":true", "model":"x"}], "stream" : true } "#,
                true,
                Some("m"),
            ),
            (r#"{"tools":{"model":"x"},"model" : "gpt-5"}"#, false, Some("gpt-5")),
            (r#"{"a":[[{}],"]"],"model":"gpt-5"}"#, false, Some("gpt-5")),
            (r#"{"model":"a","model":"b"}"#, false, Some("b")),
            (r#"{"model":5,"n":1}"#, false, None),
            (r#"{"stream":false}"#, false, None),
            (r#"{"stream":"true"}"#, false, None),
            (r#"{"stream":1}"#, false, None),
            (r#"{"options":{"stream":true}}"#, false, None),
            (r#"{"stream":true,"stream":false}"#, false, None),
            (r#"{"stream":true"#, false, None),
            (r#"[{"stream":true}]"#, false, None),
            (r#"{"model":"m","x"#, false, None),
            ("{}", false, None),
            ("", false, None),
            ("\"stream\"", false, None),
        ] {
            assert_eq!(asked("application/json", json), (stream, model.map(str::to_owned)), "{json}");
        }
    }

    #[test]
    fn a_name_means_the_same_however_it_is_escaped() {
        let long = "m".repeat(LONGEST_MODEL);
        let escaped = r"\u006d".repeat(LONGEST_MODEL);
        for (json, model) in [
            (r"openai\/gpt-oss-120b", Some("openai/gpt-oss-120b")),
            (r"\u006dodel-\u6a21\u578b", Some("model-模型")),
            (r"m\ud83d\ude00", Some("m😀")),
            (r#"m\"q\\x"#, Some(r#"m"q\x"#)),
            (r"m\ud83d", None),
            (r"m\ude00\ud83d", None),
            (r"m\u12", None),
            (r"m\x41", None),
            (r"m\n\u0000", None),
            (&long, Some(&long)),
            (&escaped, Some(&long)),
            (&format!("{long}m"), None),
            (&format!("{escaped}m"), None),
        ] {
            let body = format!(r#"{{"model":"{json}","n":1}}"#);
            assert_eq!(asked("application/json", &body), (false, model.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn a_form_names_its_model_in_a_field() {
        for (name, want) in [("whisper-1", Some("whisper-1")), (r"a\/b", Some(r"a\/b")), ("a\tb", None)] {
            let form =
                format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{name}\r\n--b--\r\n");
            assert_eq!(asked("multipart/form-data; boundary=b", &form), (false, want.map(str::to_owned)));
        }
    }

    #[test]
    fn a_path_may_name_it_too() {
        for (path, want) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some("gemini-2.5-pro")),
            ("/openai/deployments/my-gpt/chat/completions", Some("my-gpt")),
            ("/v1/models/gpt-5", None),
            ("/v1/models", None),
            ("/openai/deployments//x", None),
            ("/model/anthropic.claude-v2:1/invoke", Some("anthropic.claude-v2:1")),
            ("/client/v4/accounts/1/ai/run/@cf/meta/llama-3-8b", Some("@cf/meta/llama-3-8b")),
            ("/model/anthropic.claude-v2%3A1/invoke", Some("anthropic.claude-v2:1")),
            ("/accounts/1/ai/run/%40cf/meta/llama-3-8b", Some("@cf/meta/llama-3-8b")),
            ("/model/a%0Ab/invoke", None),
            ("/accounts/1/ai/run/", None),
            ("/v1beta/tunedModels/mine-1:streamGenerateContent", Some("mine-1")),
            ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict", Some("claude-x")),
        ] {
            assert_eq!(model_in_path(path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn or_a_query() {
        for (query, want) in [
            ("model=gpt-realtime", Some("gpt-realtime")),
            ("a=b&model=org%2Fname&model=x", Some("org/name")),
            ("supermodel=x", None),
            ("model=", None),
            ("model=%ff", None),
            ("model=a%0ab", None),
        ] {
            assert_eq!(model_in_query(query).as_deref(), want, "{query}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_parser(
            model in "\\PC{1,20}", stream in any::<bool>(), text in "\\PC{0,40}", spaces in " {0,3}",
        ) {
            let body = format!(
                "{spaces}{{\"messages\":{},\"stream\":{spaces}{stream}{spaces},\"model\":{}}}",
                serde_json::json!([{"content": text, "model": "no"}]), serde_json::json!(model),
            );
            prop_assert_eq!(asked("application/json", &body), (stream, Some(model)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            Asked::read(&HeaderMap::new(), &body);
        }
    }
}
