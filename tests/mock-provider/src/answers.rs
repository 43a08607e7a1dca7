//! What a valid key is answered, in every dialect. The same wishes get the same bytes, so that both ends can be hashed.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::ask::Shape;
use crate::dialect::{Dialect, Wanted};

/// 2026-01-01, and it stays so: an answer depends on the request alone.
const CREATED: u64 = 1_767_225_600;
/// What tokens are made of; not all of them are ASCII.
const WORDS: [&str; 8] = ["Hello", " from", " the", " mock", " provider", " – grüße", " 你好", "!"];
/// How many prompt tokens are said to have been used.
const PROMPT: usize = 9;

/// A body in frames. One frame and `whole`: it has a content-length.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) content_type: &'static str,
    pub(crate) frames: Arc<[Bytes]>,
    pub(crate) whole: bool,
}

impl Script {
    pub(crate) fn json(value: &Value) -> Self {
        Self::whole("application/json", value.to_string())
    }

    fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, frames: Arc::new([body.into()]), whole: true }
    }

    fn events(frames: Vec<String>) -> Self {
        let frames = frames.into_iter().map(Bytes::from).collect();
        Self { content_type: "text/event-stream; charset=utf-8", frames, whole: false }
    }

    /// The error as the one event of a stream.
    pub(crate) fn first_event_error(dialect: Dialect, wanted: Wanted, error: &Value) -> Self {
        Self::events(vec![match (dialect, wanted) {
            (Dialect::Anthropic, _) => format!("event: error\ndata: {error}\n\n"),
            (Dialect::Gemini, _) => format!("data: {error}\r\n\r\n"),
            (_, Wanted::Responses) => {
                let error = &error["error"];
                let event = json!({"type": "error", "sequence_number": 0, "code": error["code"], "message": error["message"], "param": null});
                format!("event: error\ndata: {event}\n\n")
            }
            _ => format!("data: {error}\n\n"),
        }])
    }
}

/// The `n`-th token of an answer, at least `size` bytes long.
pub(crate) fn token(n: usize, size: usize) -> String {
    let mut token = WORDS[n % WORDS.len()].to_owned();
    if token.len() < size {
        token.extend(std::iter::repeat_n('.', size - token.len()));
    }
    token
}

/// The text of an answer of so many tokens, each of at least `size` bytes.
pub fn text(tokens: usize, size: usize) -> String {
    (0..tokens).map(|n| token(n, size)).collect()
}

/// The answer to what is inferred from a JSON body, and to questions about models.
pub(crate) fn answer(dialect: Dialect, wanted: Wanted, ask: &Shape, models: &[String]) -> Script {
    match (wanted, dialect) {
        (Wanted::Chat, Dialect::Anthropic) => anthropic(ask),
        (Wanted::Chat, Dialect::Gemini) => gemini(ask),
        (Wanted::Chat, _) => chat(ask),
        (Wanted::Responses, _) => responses(ask),
        (Wanted::Completions, _) => completions(ask),
        (Wanted::Embeddings, Dialect::Gemini) => {
            Script::json(&json!({"embedding": {"values": vector(0, ask.dimensions)}}))
        }
        (Wanted::Embeddings, _) => embeddings(ask),
        (Wanted::Moderations, _) => Script::json(&json!({
            "id": "modr-mock", "model": ask.model,
            "results": [{"flagged": false, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}]
        })),
        (Wanted::Speech, _) => {
            let size = ask.size.max(4096);
            let sound: Vec<u8> = (0..=250u8).cycle().take(size).collect();
            Script { content_type: "audio/mpeg", frames: Arc::new([sound.into()]), whole: false }
        }
        (Wanted::CountTokens, Dialect::Gemini) => Script::json(&json!({"totalTokens": PROMPT})),
        (Wanted::CountTokens, _) => Script::json(&json!({"input_tokens": PROMPT})),
        (Wanted::Models, Dialect::Gemini) => {
            let list: Vec<Value> = models.iter().map(|model| one_model(dialect, model)).collect();
            Script::json(&json!({"models": list}))
        }
        (Wanted::Models, _) => {
            let list: Vec<Value> = models.iter().map(|model| one_model(dialect, model)).collect();
            Script::json(&json!({"object": "list", "data": list, "has_more": false}))
        }
        (Wanted::Model, _) => Script::json(&one_model(dialect, &ask.model)),
        _ => Script::json(&json!({"object": "list", "data": [], "has_more": false})),
    }
}

fn one_model(dialect: Dialect, model: &str) -> Value {
    match dialect {
        Dialect::Anthropic => {
            json!({"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"})
        }
        Dialect::Gemini => {
            json!({"name": format!("models/{model}"), "displayName": model, "supportedGenerationMethods": ["generateContent", "countTokens"]})
        }
        _ => json!({"id": model, "object": "model", "created": CREATED, "owned_by": "mock"}),
    }
}

fn usage(ask: &Shape) -> Value {
    json!({"prompt_tokens": PROMPT, "completion_tokens": ask.tokens, "total_tokens": PROMPT + ask.tokens})
}

fn chat(ask: &Shape) -> Script {
    if !ask.stream {
        return Script::json(&json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": CREATED, "model": ask.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text(ask.tokens, ask.size), "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
            "usage": usage(ask), "system_fingerprint": "fp_mock"
        }));
    }
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": CREATED, "model": ask.model, "choices": choices});
        if ask.usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut events = vec![chunk(choice(json!({"role": "assistant", "content": ""}), Value::Null), None)];
    events.extend(
        (0..ask.tokens).map(|n| chunk(choice(json!({"content": token(n, ask.size)}), Value::Null), None)),
    );
    events.push(chunk(choice(json!({}), json!("stop")), None));
    if ask.usage {
        events.push(chunk(json!([]), Some(usage(ask))));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Script::events(events)
}

fn completions(ask: &Shape) -> Script {
    let chunk = |text: &str, finish: Value| {
        json!({"id": "cmpl-mock", "object": "text_completion", "created": CREATED, "model": ask.model,
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]})
    };
    if ask.stream {
        let mut events: Vec<String> = (0..ask.tokens)
            .map(|n| format!("data: {}\n\n", chunk(&token(n, ask.size), Value::Null)))
            .collect();
        events.push(format!("data: {}\n\n", chunk("", json!("stop"))));
        events.push("data: [DONE]\n\n".to_owned());
        return Script::events(events);
    }
    let mut body = chunk(&text(ask.tokens, ask.size), json!("stop"));
    body["usage"] = usage(ask);
    Script::json(&body)
}

fn responses(ask: &Shape) -> Script {
    let whole = text(ask.tokens, ask.size);
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let item = |status: &str, content: Value| json!({"id": "msg_mock", "type": "message", "status": status, "role": "assistant", "content": content});
    let response = |status: &str, output: Value, usage: Value| {
        json!({"id": "resp_mock", "object": "response", "created_at": CREATED, "status": status, "error": null,
            "incomplete_details": null, "instructions": null, "metadata": {}, "model": ask.model, "output": output,
            "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage})
    };
    let usage = json!({"input_tokens": PROMPT, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": ask.tokens,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": PROMPT + ask.tokens});
    let done = response("completed", json!([item("completed", json!([part(&whole)]))]), usage);
    if !ask.stream {
        return Script::json(&done);
    }
    let begun = response("in_progress", json!([]), Value::Null);
    let place = json!({"item_id": "msg_mock", "output_index": 0, "content_index": 0});
    let placed = |fields: Value| {
        let mut placed = place.clone();
        if let (Some(placed), Value::Object(fields)) = (placed.as_object_mut(), fields) {
            placed.extend(fields);
        }
        placed
    };
    let mut events = vec![
        ("response.created", json!({"response": begun})),
        ("response.in_progress", json!({"response": begun})),
        ("response.output_item.added", json!({"output_index": 0, "item": item("in_progress", json!([]))})),
        ("response.content_part.added", placed(json!({"part": part("")}))),
    ];
    events.extend((0..ask.tokens).map(|n| {
        ("response.output_text.delta", placed(json!({"delta": token(n, ask.size), "logprobs": []})))
    }));
    events.extend([
        ("response.output_text.done", placed(json!({"text": whole, "logprobs": []}))),
        ("response.content_part.done", placed(json!({"part": part(&whole)}))),
        (
            "response.output_item.done",
            json!({"output_index": 0, "item": item("completed", json!([part(&whole)]))}),
        ),
        ("response.completed", json!({"response": done})),
    ]);
    let named = events.into_iter().enumerate().map(|(number, (name, fields))| {
        let mut event = json!({"type": name, "sequence_number": number});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        format!("event: {name}\ndata: {event}\n\n")
    });
    Script::events(named.collect())
}

fn anthropic(ask: &Shape) -> Script {
    let message = |content: Value, stop: Value, output: usize| {
        json!({"id": "msg_mock", "type": "message", "role": "assistant", "model": ask.model, "content": content,
            "stop_reason": stop, "stop_sequence": null, "usage": {"input_tokens": PROMPT, "output_tokens": output}})
    };
    if !ask.stream {
        let content = json!([{"type": "text", "text": text(ask.tokens, ask.size)}]);
        return Script::json(&message(content, json!("end_turn"), ask.tokens));
    }
    let event = |name: &str, fields: Value| {
        let mut event = json!({"type": name});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        format!("event: {name}\ndata: {event}\n\n")
    };
    let mut events = vec![
        event("message_start", json!({"message": message(json!([]), Value::Null, 1)})),
        event("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}})),
        event("ping", json!({})),
    ];
    events.extend((0..ask.tokens).map(|n| {
        let delta = json!({"type": "text_delta", "text": token(n, ask.size)});
        event("content_block_delta", json!({"index": 0, "delta": delta}))
    }));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    events.extend([
        event("content_block_stop", json!({"index": 0})),
        event("message_delta", json!({"delta": delta, "usage": {"output_tokens": ask.tokens}})),
        event("message_stop", json!({})),
    ]);
    Script::events(events)
}

fn gemini(ask: &Shape) -> Script {
    let chunk = |text: &str, tokens: usize, last: bool| {
        let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
        if last {
            candidate["finishReason"] = json!("STOP");
        }
        json!({"candidates": [candidate], "modelVersion": ask.model, "responseId": "mock",
            "usageMetadata": {"promptTokenCount": PROMPT, "candidatesTokenCount": tokens, "totalTokenCount": PROMPT + tokens}})
    };
    if !ask.stream {
        return Script::json(&chunk(&text(ask.tokens, ask.size), ask.tokens, true));
    }
    let tokens = ask.tokens.max(1);
    let events =
        (0..tokens).map(|n| format!("data: {}\r\n\r\n", chunk(&token(n, ask.size), n + 1, n + 1 == tokens)));
    Script::events(events.collect())
}

fn embeddings(ask: &Shape) -> Script {
    let embedding = |n: usize| {
        let vector = vector(n, ask.dimensions);
        if !ask.base64 {
            return json!(vector);
        }
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        json!(STANDARD.encode(bytes))
    };
    let data: Vec<Value> = (0..ask.inputs)
        .map(|n| json!({"object": "embedding", "index": n, "embedding": embedding(n)}))
        .collect();
    Script::json(&json!({"object": "list", "data": data, "model": ask.model,
        "usage": {"prompt_tokens": PROMPT, "total_tokens": PROMPT}}))
}

/// Values that an `f32` holds exactly.
fn vector(n: usize, dimensions: usize) -> Vec<f32> {
    (0..dimensions).map(|place| f32::from(u8::try_from((n + place) % 200).unwrap_or(0)) / 256.0).collect()
}

/// SHA-256, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
