//! Bodies that are not JSON: hashed as they come, and of a form the file is looked at.

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use crate::answers::{hex, sha256};

/// A body longer than this is hashed, not kept.
const KEPT: usize = 64 * 1024 * 1024;

/// A request's body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) length: u64,
    pub(crate) sha256: String,
    /// The bytes, unless they are too many.
    pub(crate) bytes: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
}

/// Reads a body to its end.
///
/// # Errors
/// If the client broke it off.
pub(crate) async fn receive(mut body: Incoming, hash: bool) -> Result<Received, hyper::Error> {
    let mut context = Context::new(&SHA256);
    let (mut length, mut kept, mut trailers) = (0u64, Vec::<Bytes>::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                if hash {
                    context.update(&data);
                }
                if length <= KEPT as u64 {
                    kept.push(data);
                } else {
                    kept.clear();
                }
            }
            Err(frame) => trailers = frame.trailers_ref().map(crate::seen::pairs).unwrap_or_default(),
        }
    }
    let bytes = match kept.len() {
        0 => Bytes::new(),
        1 => kept.remove(0),
        _ => kept
            .iter()
            .fold(BytesMut::new(), |mut all, piece| {
                all.extend_from_slice(piece);
                all
            })
            .freeze(),
    };
    let sha256 = if hash { hex(context.finish().as_ref()) } else { String::new() };
    Ok(Received { length, sha256, bytes, trailers })
}

/// The answer to an uploaded file or sound: its size and SHA-256.
pub(crate) fn answer(parts: &Parts, received: &Received, transcription: bool) -> Value {
    let file = file(parts, &received.bytes);
    let (name, length, hash) = match file {
        Some((name, content)) => (name, content.len() as u64, sha256(content)),
        None => (String::new(), received.length, received.sha256.clone()),
    };
    if transcription {
        return json!({"text": format!("{length} bytes of sound"), "sha256": hash, "body_bytes": received.length, "body_sha256": received.sha256});
    }
    json!({"id": "file-mock", "object": "file", "bytes": length, "created_at": 1_767_225_600, "filename": name,
        "purpose": "user_data", "status": "processed", "sha256": hash, "body_bytes": received.length, "body_sha256": received.sha256})
}

/// The file in a multipart form: its name and content.
fn file<'a>(parts: &Parts, body: &'a [u8]) -> Option<(String, &'a [u8])> {
    let kind = parts.headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = kind.split_once("boundary=")?.1.split(';').next()?.trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body;
    loop {
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        let content = &rest[head_end + 4..];
        let end = find(content, delimiter.as_bytes())?;
        if let Some((_, name)) = head.split_once("filename=") {
            let name = name.trim_start_matches('"').split(['"', ';', '\r']).next()?;
            return Some((name.to_owned(), &content[..end]));
        }
        rest = &content[end + delimiter.len()..];
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_form_is_found_among_its_fields() {
        let request = http::Request::builder()
            .header("content-type", "multipart/form-data; boundary=XX")
            .body(())
            .unwrap();
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n\r\n-\x00-\r\n\r\n--XX--\r\n";
        let (name, content) = file(&request.into_parts().0, body).unwrap();
        assert_eq!((name.as_str(), content), ("a.bin", &b"\r\n-\x00-\r\n"[..]));
    }
}
