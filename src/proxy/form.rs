//! A field of a multipart form (RFC 7578), wherever in it: a file of any length may come before it.

use memchr::memmem::{self, Finder};

/// More parts than any form of a provider's has: a client may send millions.
const PARTS_MAX: usize = 128;
/// A part's head tells names and a type.
const HEAD_MAX: usize = 4096;

/// The content of the first field of this name, in a form of this content type.
pub(super) fn field<'a>(kind: &[u8], form: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let delimiter = format!("\r\n--{}", parameter(str::from_utf8(kind).ok()?, "boundary")?);
    let finder = Finder::new(&delimiter);
    let behind_next = |rest: &'a [u8]| rest.get(finder.find(rest)? + delimiter.len()..);
    // The first delimiter is most often the form's first line.
    let first = delimiter.as_bytes().get(2..).and_then(|line| form.strip_prefix(line));
    let mut part = first.or_else(|| behind_next(form))?;
    for _ in 0..PARTS_MAX {
        let head = part.get(..HEAD_MAX).unwrap_or(part);
        if let Some(length) = memmem::find(head, b"\r\n\r\n")
            && is_named(head.get(..length)?, name)
        {
            let content = part.get(length + 4..)?;
            return content.get(..finder.find(content)?);
        }
        part = behind_next(part)?;
    }
    None
}

fn is_named(head: &[u8], name: &str) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.any(|line| {
        let field =
            line.split_once(':').filter(|(field, _)| field.eq_ignore_ascii_case("content-disposition"));
        field.is_some_and(|(_, value)| parameter(value, "name") == Some(name))
    })
}

/// A parameter of a header's value. A file's name with a semicolon may look like another, but comes behind the field's.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').find_map(|parameter| {
        let (is, value) = parameter.split_once('=')?;
        is.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(head: &str, content: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    fn model(parts: &[String]) -> Option<String> {
        let form = parts.concat() + "--B--\r\n";
        let found = field(b"multipart/form-data; boundary=\"B\"; charset=utf-8", form.as_bytes(), "model");
        found.map(|name| String::from_utf8_lossy(name).into_owned())
    }

    #[test]
    fn a_field_is_found_wherever_it_is() {
        let file =
            |content: &str| part("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", content);
        let named = part("name=\"model\"", "whisper-1");
        let found = Some("whisper-1".to_owned());
        let noise = "--B\r\n\r\n--C \r\n-\r\n--".repeat(100_000);
        assert_eq!(model(&[named.clone(), file("x")]), found);
        assert_eq!(model(&[file(&noise.replace("\n--B", "\n--A")), named.clone()]), found);
        assert_eq!(model(&["preamble\r\n".into(), named.clone()]), found);
        assert_eq!(model(&[part("NAME=model", "whisper-1")]), found);
        assert_eq!(model(&[part("name=\"models\"", "no"), named.clone()]), found);
        assert_eq!(model(&[part("name=\"file\"; filename=\"model\"", "no"), named.clone()]), found);
        assert_eq!(model(&[part("name=\"file\"; filename=\"a; name=model\"", "no"), named.clone()]), found);
        assert_eq!(
            model(&[part("name=\"file\"\r\nContent-Type: audio/mpeg; name=\"model\"", "no"), named]),
            found
        );
    }

    #[test]
    fn a_form_of_very_many_parts_is_not_read_to_its_end() {
        let many = |count| [part("name=\"x\"", "").repeat(count), part("name=\"model\"", "m")];
        assert_eq!(model(&many(PARTS_MAX - 1)).as_deref(), Some("m"));
        assert_eq!(model(&many(PARTS_MAX)), None);
    }

    #[test]
    fn what_is_no_form_has_no_field() {
        for (kind, form) in [
            (
                "multipart/form-data",
                "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B--",
            ),
            ("multipart/form-data; boundary=B", "--B--"),
            ("multipart/form-data; boundary=B", ""),
            (
                "multipart/form-data; boundary=B",
                "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm",
            ),
            ("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"model\""),
        ] {
            assert_eq!(field(kind.as_bytes(), form.as_bytes(), "model"), None, "{form}");
        }
    }
}
