//! What a refusal may say of the request itself. Whatever else stands in such a message may be the client's own text.

use crate::verdict::envelope::Envelope;
use crate::verdict::words::Words;

/// How far into a message words count where the request is what it speaks of: what comes later may be the client's.
pub(super) const OPENING: usize = 160;

/// What requests are made of: a 400 that names one of these is about it, whatever else it says.
const PARTS: &[&str] = &[
    "must be",
    "must not",
    "should be",
    "parameter",
    "argument",
    "field",
    "schema",
    "json",
    "tool",
    "function",
    "mcp server",
    "webhook",
    "thread",
    "prompt",
    "thinking",
    "max_tokens",
    "messages",
    "user message",
    "content:",
    "context",
    "reasoning",
    "document",
    "attachment",
    "parse",
    "download",
    "image",
    "audio",
    "video",
    "frames",
    "region of interest",
    "data residency",
    "user_location",
    "unknown region",
    "invalid region",
    "s3 ",
    "参数",
    "字段",
    "工具",
    "函数",
    "消息",
    "图片",
    "音频",
    "采样",
    // Rates of what is asked for, and how much there is of it at once.
    "bit rate",
    "bitrate",
    "frame rate",
    "framerate",
    "sampling rate",
    "sampling frequency",
    "sample rate",
    "speech rate",
    "speaking rate",
    "speaking too",
    "learning rate",
    "dropout",
    "playback",
    "speed too",
    "frequency of the tone",
    "requests in batch",
    "requests in the batch",
    "requests in a batch",
    "in one batch",
    "in a single batch",
    "in this batch",
    "stop sequence",
    "subscription_id",
    "subscription id",
    "plan_id",
    // Keys and tokens of what is written there.
    "in dictionary",
    "in the dictionary",
    "in object",
    "in the object",
    "in template",
    "in the template",
    "<|",
    "contains secret",
    "contains a secret",
    "input contains",
    "batch contains",
    "batch file",
    "per batch",
    "tokens per request",
];
/// Said of one of `NOUNS` right before it.
const WRONG: &[&str] = &[
    "unknown ",
    "invalid ",
    "unsupported ",
    "unrecognized ",
    "unrecognised ",
    "unexpected ",
    "illegal ",
    "bad ",
    "no such ",
    "not a valid ",
    "not a known ",
    "not a supported ",
    "not valid ",
    "无效的",
    "未知的",
    "未知",
    "不支持的",
    "非法的",
];
const NOUNS: &[&str] = &[
    "model",
    "voice",
    "value",
    "param",
    "content",
    "message",
    "field",
    "argument",
    "property",
    "input",
    "prompt",
    "tool",
    "function",
    "language",
    "format",
    "schema",
    "json",
    "body",
    "role",
    "type",
    "size",
    "image",
    "audio",
    "file",
    "url",
    "response_format",
    "模型",
    "音色",
    "参数",
    "取值",
];
/// What names come after: "model x does not exist".
const NAMED: &[&str] = &["model ", "voice ", "value ", "parameter ", "tool ", "模型", "音色", "参数"];
const NOT_THERE: &[&str] = &[
    "does not exist",
    "doesn't exist",
    "not found",
    "not supported",
    "unsupported",
    "is not valid",
    "is invalid",
    "is unknown",
    "is not a ",
    "不存在",
    "不支持",
    "未找到",
    "无效",
];
/// Where in the request something stands: "messages.1.content: …".
const PLACES: &[&str] = &[
    "messages.",
    "messages[",
    "input.",
    "input[",
    "contents.",
    "contents[",
    "content.",
    "content[",
    "tools.",
    "tools[",
    "system.",
    "system[",
];

/// Who else than the client has values, models and bodies that may be wrong or missing.
pub(super) const NOT_OF_IT: &[&str] =
    &["server", "backend", "upstream", "provider", "internal", "worker", "key"];

/// Whether a message begins by naming a part of the request.
pub(super) fn names_a_part(envelope: &Envelope) -> bool {
    let words = &envelope.words;
    PARTS.iter().any(|part| words.find(part).is_some_and(|at| at < OPENING))
        || quotes_a_key(&envelope.message)
}

/// How a key of an object is told, and how long one is that is none to be sent.
const QUOTED: &[&str] = &[
    "key '",
    "key \"",
    "key `",
    "key: '",
    "key: \"",
    "key: `",
    "key not found: '",
    "key not found: \"",
    "key not found: `",
];
const LONGEST_FIELD: usize = 24;

const fn is_of_field(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'[' | b']')
}

/// Whether a plain word stands in quotation marks behind "key": so an object's are called, none that is sent.
fn quotes_a_key(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    QUOTED.iter().flat_map(|word| lower.match_indices(word)).any(|(at, word)| {
        let before = lower.get(..at).unwrap_or_default();
        let from = message.get(at..).unwrap_or_default();
        let name =
            from.get(word.len()..).unwrap_or_default().split(['\'', '"', '`']).next().unwrap_or_default();
        let is_sent = ["api ", "api_", "access ", "secret ", "your ", "this "]
            .iter()
            .any(|sent| before.ends_with(sent));
        !is_sent && !name.is_empty() && name.len() <= LONGEST_FIELD && name.bytes().all(is_of_field)
    })
}

/// Whether a message says that a part of the request is unknown, wrong or not there, or names its place. A client may
/// give a model any name, as long as it likes, so that it does not matter how late that is said.
pub(super) fn finds_fault(words: &Words) -> bool {
    words.adjoin(WRONG, NOUNS)
        || words.follows(NAMED, NOT_THERE)
        || PLACES.iter().any(|place| words.find(place).is_some_and(|at| at < OPENING))
}
