//! Encoded bodies, decoded: as far as they go, and no further than is judged.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What is judged (spec §6). A small body can decode to gigabytes.
const LONGEST: usize = 64 * 1024;

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
        let read = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => all_of(MultiGzDecoder::new(&*plain)),
            // By its name it should be zlib; some send it bare.
            "deflate" => {
                let zlib = all_of(ZlibDecoder::new(&*plain));
                if zlib.is_empty() { all_of(DeflateDecoder::new(&*plain)) } else { zlib }
            }
            "br" => brotli(&plain),
            "zstd" => zstd(&plain),
            _ => continue,
        };
        plain = read.into();
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

/// Relays decode a body and leave the header as it was: JSON, a page or what else reads as text is no coding's.
fn is_text(body: &[u8]) -> bool {
    let head = body.get(..256).unwrap_or(body);
    if let Some(text) = utf16(head) {
        // Two bytes that a coding may begin with as well tell too little.
        return text.get(..8).is_some_and(|begins| begins.is_ascii() && !has_controls(begins));
    }
    let is_json_or_page = matches!(head.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'));
    (is_json_or_page || head.len() >= 8 && !has_controls(head))
        && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

fn has_controls(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

fn all_of(decoder: impl Read) -> Vec<u8> {
    let mut plain = Vec::new();
    // An error ends it: what came before is kept.
    let _ = decoder.take(LONGEST as u64).read_to_end(&mut plain);
    plain
}

/// The decoder gives nothing before its window is full or its input is over, and takes windows of up to 1 GiB.
fn brotli(body: &[u8]) -> Vec<u8> {
    let Some((&first, rest)) = body.split_first() else { return Vec::new() };
    let first = match first {
        // A large window is none of this coding's (RFC 7932 §9.1).
        _ if first & 0x7f == 0x11 => return Vec::new(),
        // 18 to 24 bits become 18: what is judged reaches back no further.
        _ if first & 1 == 1 && first & 0xf != 1 => first & 0xf0 | 3,
        _ => first,
    };
    all_of(brotli_decompressor::Decompressor::new([first].as_slice().chain(rest), 4096))
}

/// The last block of a frame, an empty one, and room for a checksum.
const END: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

/// All whole blocks. The decoder keeps a window's worth of them back until the frame ends, so it is made to end.
fn zstd(mut body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !body.is_empty() && plain.len() < LONGEST {
        // One that is used again makes room for all of its window at once.
        let mut frame = FrameDecoder::new();
        match frame.init(&mut body) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                body = body.get(length as usize..).unwrap_or_default();
                continue;
            }
            Err(_) => break,
        }
        let read = frame.decode_blocks(&mut body, BlockDecodingStrategy::UptoBytes(LONGEST));
        if !frame.is_finished() {
            let _ = frame.decode_blocks(END, BlockDecodingStrategy::All);
        }
        let _ = frame.take((LONGEST - plain.len()) as u64).read_to_end(&mut plain);
        if read.is_err() {
            break;
        }
    }
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

    /// A frame as it begins, with a window of 96 MiB and a checksum to come.
    const FRAME: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0b100, 0b1000_0100];

    /// A block that is as it is, or a byte so many times over.
    fn block(is_repeated: bool, length: usize, content: &[u8]) -> Vec<u8> {
        let head = u32::try_from(length << 3).unwrap() | u32::from(is_repeated) << 1;
        [&head.to_le_bytes()[..3], content].concat()
    }

    #[test]
    fn zstd_is_read_as_far_as_it_has_come() {
        let (begins, ends) = TEXT.split_at(10);
        let [begins, ends] = [begins, ends].map(|part| block(false, part.len(), part));
        let flushed = [FRAME, &begins, &ends].concat();
        assert_eq!(encoded("zstd", &flushed), TEXT);
        assert_eq!(encoded("zstd", flushed.split_last().unwrap().1), TEXT[..10]);
        assert_eq!(encoded("zstd", &FRAME[..5]), b"");
        let ended = [&*flushed, &[1, 0, 0]].concat();
        assert_eq!(encoded("zstd", &ended), TEXT, "its checksum is missing");

        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let [whole, first, second] =
            [TEXT, &TEXT[..10], &TEXT[10..]].map(|text| ruzstd::encoding::compress_to_vec(text, level));
        assert_eq!(encoded("zstd", &[first, second].concat()), TEXT, "two frames");
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 0, 0], &*whole].concat();
        assert_eq!(encoded("zstd", &skippable), TEXT);
        assert_eq!(encoded("zstd", &skippable[..9]), b"");

        let long = (0..100_000).map(|number: u32| number.to_string()).collect::<Vec<_>>().join(" ");
        let half = ruzstd::encoding::compress_to_vec(long.as_bytes(), level);
        assert_eq!(encoded("zstd", &half[..half.len() / 2]), long.as_bytes()[..LONGEST]);
    }

    #[test]
    fn brotli_reaches_back_over_all_that_is_judged() {
        // `TEXT` twice and 60,000 spaces between, with a window of 16 MiB.
        let encoding = [
            31, 147, 234, 0, 132, 104, 114, 164, 237, 4, 83, 168, 249, 239, 97, 3, 14, 88, 3, 15, 56, 178, 9,
            125, 152, 200, 45, 144, 168, 93, 228, 198, 46, 27, 29, 62, 67, 28, 192, 189, 118, 28, 223, 167,
            2,
        ];
        assert_eq!(encoded("br", &encoding), [TEXT, &b" ".repeat(60_000), TEXT].concat());
    }

    #[test]
    fn what_reads_as_text_is_kept_whatever_it_claims_to_be() {
        for coding in ["gzip", "br", "deflate", "zstd", "br, gzip"] {
            for text in [
                "You exceeded your current quota",
                "data: {\"error\":{}}\r\n\r\n",
                "\u{feff}{\"error\":{}}",
                "\u{feff}超出配额，请检查",
            ] {
                assert_eq!(encoded(coding, text.as_bytes()), text.as_bytes(), "{coding}");
            }
            for text in ["You exceeded your current quota", "\u{feff}{\"error\":{}}"] {
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
                assert_eq!(
                    encoded(coding, &wide),
                    text.trim_start_matches('\u{feff}').as_bytes(),
                    "{coding}"
                );
            }
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

    /// What it takes of memory: `tests/judge.rs`.
    #[test]
    fn a_bomb_gives_no_more_than_is_judged() {
        assert_eq!(encoded("gzip", &gzip(&vec![b' '; 10_000_000])).len(), LONGEST);
        let repeated = block(true, 0x2_0000, b" ").repeat(800);
        assert_eq!(encoded("zstd", &[FRAME, &repeated].concat()), b" ".repeat(LONGEST));
        let frame = [FRAME, &block(true, 1000, b" "), &[1, 0, 0], &[0; 4]].concat();
        assert_eq!(encoded("zstd", &frame.repeat(100)), b" ".repeat(LONGEST));
    }
}
