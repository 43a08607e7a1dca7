//! JSON as it comes: with something behind it, with line breaks in its strings, as Python writes it, or cut off.

use serde_json::Value;

/// The JSON that a text begins with, as much of it as there is.
pub(super) fn first(text: &str) -> Option<Value> {
    let begins = |text: &str| serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok();
    let is_python = text.starts_with("{'") || text.starts_with("[{'");
    let python = || begins(&of_python(text));
    let mended = || mended(text).iter().find_map(|text| begins(text));
    serde_json::from_str(text).ok().or_else(|| {
        let found = if is_python { python() } else { begins(text).or_else(mended) };
        found.filter(says_something)
    })
}

/// What Python prints of a dictionary, as JSON. It quotes with `"` what has a `'` in it.
fn of_python(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', Some(_)) => match letters.next() {
                Some('\'') => json.push('\''),
                Some('x') => json.push_str("\\u00"),
                escaped => json.extend([Some('\\'), escaped].into_iter().flatten()),
            },
            ('\'' | '"', None) => {
                quote = Some(letter);
                json.push('"');
            }
            (letter, Some(open)) if letter == open => {
                quote = None;
                json.push('"');
            }
            ('"', Some(_)) => json.push_str("\\\""),
            ('N' | 'T' | 'F', None) => {
                let (word, rest) = match letter {
                    'N' => ("null", 3),
                    'T' => ("true", 3),
                    _ => ("false", 4),
                };
                json.push_str(word);
                letters.by_ref().take(rest).for_each(drop);
            }
            (letter, _) => json.push(letter),
        }
    }
    json
}

/// Whether it has members: a bracket or a number at the beginning of a sentence has none.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => items.first().is_some_and(|item| item.is_object() && says_something(item)),
        _ => false,
    }
}

/// A text that is no JSON, or not yet: with what is open closed, and the same without its last part.
fn mended(text: &str) -> [String; 2] {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut open = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    // How far it is whole, and how much was open there.
    let mut whole = (0, 0);
    for c in text.chars() {
        mended.push(if c.is_control() { ' ' } else { c });
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' => {
                open.push(if c == '{' { '}' } else { ']' });
                whole = (mended.len(), open.len());
            }
            '}' | ']' => {
                open.pop();
                whole = (mended.len(), open.len());
            }
            ',' => whole = (mended.len() - 1, open.len()),
            _ => {}
        }
    }
    let closers = |depth: usize| open.iter().take(depth).rev();
    let mut shorter: String = mended.get(..whole.0).unwrap_or_default().to_owned();
    shorter.extend(closers(whole.1));
    if escaped {
        mended.pop();
    }
    if in_string {
        mended.push('"');
    } else if mended.ends_with(|c: char| c.is_ascii_digit()) {
        // Of a number that was cut off nothing is known.
        mended.push(',');
    }
    mended.extend(closers(open.len()));
    [mended, shorter]
}

/// Looks for the end of the first object of a text, or of an array, that comes bit by bit.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstObject {
    /// How much was looked through.
    read: usize,
    begins: Option<usize>,
    depth: usize,
    is_text: bool,
    is_escaped: bool,
}

/// What there is of it.
pub(super) enum Object<'a> {
    /// Its end has not come.
    Cut,
    Whole(&'a [u8]),
    /// Something else stands there.
    None,
}

impl FirstObject {
    /// `text` is all that has come.
    #[cold]
    pub(super) fn read<'a>(&mut self, text: &'a [u8]) -> Object<'a> {
        let from = std::mem::replace(&mut self.read, text.len());
        for (at, byte) in text.iter().enumerate().skip(from) {
            let Some(begins) = self.begins else {
                match byte {
                    b'{' => (self.begins, self.depth) = (Some(at), 1),
                    b'[' => {}
                    byte if byte.is_ascii_whitespace() => {}
                    _ => return Object::None,
                }
                continue;
            };
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_text,
                b'"' => self.is_text = !self.is_text,
                _ if self.is_text => {}
                b'{' => self.depth += 1,
                b'}' if self.depth == 1 => return Object::Whole(text.get(begins..=at).unwrap_or_default()),
                b'}' => self.depth -= 1,
                _ => {}
            }
        }
        Object::Cut
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_not_made_up() {
        let whole = json!({"error": {"code": "x", "message": "a b", "n": [1, {"m": 25}]}});
        for (text, want) in [
            (r#"{"error":{"code":"x","message":"a b","n":[1,{"m":25}]}}"#, whole.clone()),
            (r#"{"error":{"code":"x","message":"a b","n":[1,{"m":25}]}} 0"#, whole.clone()),
            (r#"{"error":{"code":"x","message":"a b","n":[1,{"m":25}]"#, whole.clone()),
            ("{\"error\":{\"code\":\"x\",\"message\":\"a\nb\",\"n\":[1,{\"m\":25}]}}", whole),
            (
                r#"{"error":{"code":"x","message":"a b","n":[1,{"m":2"#,
                json!({"error": {"code": "x", "message": "a b", "n": [1, {}]}}),
            ),
            (
                r#"{"error":{"code":"x","message":"a b","n":[1"#,
                json!({"error": {"code": "x", "message": "a b", "n": []}}),
            ),
            (r#"{"error":{"code":"x","message":"a \"b"#, json!({"error": {"code": "x", "message": "a \"b"}})),
            (r#"{"error":{"code":"x","message":"a\"#, json!({"error": {"code": "x", "message": "a"}})),
            (r#"{"error":{"code":"x","message":"\u4f"#, json!({"error": {"code": "x"}})),
            (r#"{"error":{"code":"x","mess"#, json!({"error": {"code": "x"}})),
            (r#"{"error":{"code":"x","message":"#, json!({"error": {"code": "x"}})),
            (r#"{"error":{"code":"x","retry":tr"#, json!({"error": {"code": "x"}})),
            ("{'error': {'code': None, 'ok': True}}", json!({"error": {"code": null, "ok": true}})),
            (
                r#"{'error': {'message': "You've no 'None'", 'says': 'a "b" \'c\' \xe9'}}"#,
                json!({"error": {"message": "You've no 'None'", "says": "a \"b\" 'c' é"}}),
            ),
            ("[{'error': {'code': 429}}]", json!([{"error": {"code": 429}}])),
            (r#""no""#, json!("no")),
        ] {
            assert_eq!(first(text), Some(want), "{text}");
        }
        for text in [
            "",
            "no",
            "404 page not found",
            "{",
            r#"{"err"#,
            "}",
            "[[[",
            "null and void",
            "[WARN] no",
            "[1113][No]",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
