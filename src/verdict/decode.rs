//! Encoded bodies, decoded: as far as they go, and no further than is judged.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// What is judged (spec §6). A small body can decode to gigabytes.
const LONGEST: u64 = 64 * 1024;

/// The plain body of a maybe encoded one, in UTF-8. What is broken, cut off or encoded in a way we don't know is given as far
/// as it could be decoded.
pub fn decoded<'a>(headers: &HeaderMap, body: &'a [u8]) -> Cow<'a, [u8]> {
    let mut plain = Cow::Borrowed(body);
    // The last coding was applied last (RFC 9110 §8.4); three in a row are two more than anybody sends.
    let lines = headers.get_all(CONTENT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    for coding in codings.iter().rev().take(3) {
        if is_text(&plain) {
            break;
        }
        plain = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => all_of(MultiGzDecoder::new(&*plain)).into(),
            // By its name it should be zlib; some send it bare.
            "deflate" => {
                let zlib = all_of(ZlibDecoder::new(&*plain));
                if zlib.is_empty() { all_of(DeflateDecoder::new(&*plain)).into() } else { zlib.into() }
            }
            "br" => all_of(brotli_decompressor::Decompressor::new(&*plain, 4096)).into(),
            "zstd" => match ruzstd::decoding::StreamingDecoder::new(&*plain) {
                Ok(decoder) => all_of(decoder).into(),
                Err(_) => plain,
            },
            _ => plain,
        };
    }
    utf16(&plain).map_or(plain, Cow::Owned)
}

/// A text in UTF-16, by its byte order mark or its first character, as UTF-8.
fn utf16(body: &[u8]) -> Option<Vec<u8>> {
    let unit: fn([u8; 2]) -> u16 = match body {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        [first, 0, ..] if first.is_ascii_graphic() => u16::from_le_bytes,
        [0, first, ..] if first.is_ascii_graphic() => u16::from_be_bytes,
        _ => return None,
    };
    let units = body.chunks_exact(2).map(|pair| unit(pair.try_into().unwrap_or_default()));
    let text: String =
        char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Some(text.trim_start_matches('\u{feff}').into())
}

/// Relays decode a body and leave the header as it was: JSON or a page is no coding's.
fn is_text(body: &[u8]) -> bool {
    let head = body.get(..256).unwrap_or(body);
    matches!(head.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'))
        && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

fn all_of(decoder: impl Read) -> Vec<u8> {
    let mut plain = Vec::new();
    // An error ends it: what came before is kept.
    let _ = decoder.take(LONGEST).read_to_end(&mut plain);
    plain
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = br#"{"error":{"message":"no"}}"#;
    /// `TEXT` as the reference encoders write it.
    const BROTLI: &[u8] = &[
        139, 12, 128, 123, 34, 101, 114, 114, 111, 114, 34, 58, 123, 34, 109, 101, 115, 115, 97, 103, 101,
        34, 58, 34, 110, 111, 34, 125, 125, 3,
    ];

    fn encoded(codings: &'static str, body: &[u8]) -> Vec<u8> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static(codings))]);
        decoded(&headers, body).into_owned()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_coding_in_use_is_read() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(TEXT).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(TEXT).unwrap();
        assert_eq!(encoded("gzip", &gzip(TEXT)), TEXT);
        assert_eq!(encoded("gzip, gzip", &gzip(&gzip(TEXT))), TEXT);
        assert_eq!(encoded("deflate", &zlib.finish().unwrap()), TEXT);
        assert_eq!(encoded("deflate", &bare.finish().unwrap()), TEXT);
        assert_eq!(encoded("br", BROTLI), TEXT);
        let zstd = ruzstd::encoding::compress_to_vec(TEXT, ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(encoded("zstd", &zstd), TEXT);
    }

    #[test]
    fn what_is_no_encoding_or_cut_off_gives_what_there_is() {
        let long = TEXT.repeat(100);
        let whole = gzip(&long);
        let half = encoded("gzip", whole.get(..whole.len() - 12).unwrap());
        assert!(half.len() > 100 && long.starts_with(&half));
        assert_eq!(encoded("identity", TEXT), TEXT);
        assert_eq!(encoded("made-up", TEXT), TEXT);
        for coding in ["gzip", "br", "deflate", "zstd", "br, gzip"] {
            assert_eq!(encoded(coding, TEXT), TEXT, "decoded on the way, but the header still says {coding}");
            encoded(coding, b"\xff\xfe not encoded at all");
        }
    }

    #[test]
    fn utf_16_is_read_in_either_order_with_a_mark_or_without() {
        let text = std::str::from_utf8(TEXT).unwrap();
        let bytes = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            for marked in [text, &format!("\u{feff}{text}")] {
                assert_eq!(encoded("identity", &bytes(order, marked)), TEXT);
                assert_eq!(encoded("gzip", &gzip(&bytes(order, marked))), TEXT);
            }
        }
        assert_eq!(encoded("identity", b"a"), b"a");
    }

    #[test]
    fn a_bomb_stays_small() {
        assert_eq!(encoded("gzip", &gzip(&vec![b' '; 10_000_000])).len() as u64, LONGEST);
    }
}
