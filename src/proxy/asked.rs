//! What a request's body asks for, as far as it concerns us: a stream, and which model. One pass over the JSON's top
//! level; what lies deeper is stepped over.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::upstream::percent_decode;

/// A longer name is no model's.
const LONGEST_MODEL: usize = 256;
/// How far into a form the model's field is looked for.
const FORM_HEAD: usize = 64 * 1024;

/// What a body asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `"stream": true` at the top level.
    pub(super) stream: bool,
    /// Where the model's name stands.
    pub(super) model: Option<Range<usize>>,
}

impl Asked {
    /// Reads a body that is JSON or a form; anything else asks for nothing.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
        if kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart")) {
            return Self { stream: false, model: model_in_form(body) };
        }
        let mut asked = Self::default();
        // What does not end as an object is not JSON, and asks for nothing.
        if top_level(body, &mut asked).is_some() { asked } else { Self::default() }
    }
}

/// The model in a path: Gemini's `/models/NAME:verb` and `/tunedModels/NAME:verb`, Azure's `/deployments/NAME/`.
pub(super) fn model_in_path(path: &str) -> Option<Range<usize>> {
    let (mut model, mut deployment) = (None, None);
    for slash in memchr::memchr_iter(b'/', path.as_bytes()) {
        let rest = path.get(slash + 1..)?;
        let of_google = ["models/", "tunedModels/"].iter().find(|before| rest.starts_with(**before));
        if let Some(before) = of_google {
            model = Some(slash + 1 + before.len());
        } else if deployment.is_none() && rest.starts_with("deployments/") {
            deployment = Some(slash + "/deployments/".len());
        }
    }
    let (at, end) = model.map(|at| (at, b':')).or(deployment.map(|at| (at, b'/')))?;
    let length = memchr::memchr(end, path.get(at..)?.as_bytes())?;
    (1..=LONGEST_MODEL).contains(&length).then_some(at..at + length)
}

/// The model in a query, as OpenAI's Realtime API has it.
pub(super) fn model_in_query(query: &str) -> Option<Box<str>> {
    let name = query.split('&').find_map(|parameter| parameter.strip_prefix("model="))?;
    let name = String::from_utf8(percent_decode(name).into_owned()).ok()?;
    ((1..=LONGEST_MODEL).contains(&name.len()) && !name.contains(char::is_control)).then(|| name.into())
}

fn model_in_form(body: &[u8]) -> Option<Range<usize>> {
    let head = body.get(..FORM_HEAD).unwrap_or(body);
    let field = memchr::memmem::find(head, b"name=\"model\"")?;
    let at = field + memchr::memmem::find(head.get(field..)?, b"\r\n\r\n")? + 4;
    let length = memchr::memchr(b'\r', head.get(at..)?)?;
    (1..=LONGEST_MODEL).contains(&length).then_some(at..at + length)
}

/// Reads a JSON object's fields. The last one of a name counts, as with every JSON parser. `None`: it is none.
fn top_level(json: &[u8], asked: &mut Asked) -> Option<()> {
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

fn model(json: &[u8], at: usize) -> Option<Range<usize>> {
    let text = string(json, at)?;
    let name = json.get(text.clone())?;
    ((1..=LONGEST_MODEL).contains(&name.len()) && !name.contains(&b'\\')).then_some(text)
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
        (asked.stream, asked.model.map(|range| body[range].to_owned()))
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
            (r#"{"tools":{"model":"x"},"model" : "gpt-5\u0020"}"#, false, None),
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
    fn a_form_names_its_model_in_a_field() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";
        assert_eq!(asked("multipart/form-data; boundary=b", form), (false, Some("whisper-1".into())));
        assert_eq!(asked("multipart/form-data; boundary=b", "--b--"), (false, None));
    }

    #[test]
    fn a_path_may_name_it_too() {
        for (path, want) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some("gemini-2.5-pro")),
            ("/openai/deployments/my-gpt/chat/completions", Some("my-gpt")),
            ("/v1/models/gpt-5", None),
            ("/v1/models", None),
            ("/openai/deployments//x", None),
            ("/v1beta/tunedModels/mine-1:streamGenerateContent", Some("mine-1")),
            ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict", Some("claude-x")),
        ] {
            assert_eq!(model_in_path(path).map(|range| &path[range]), want, "{path}");
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
            model in "[a-z0-9./-]{1,20}", stream in any::<bool>(), text in "\\PC{0,40}", spaces in " {0,3}",
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
