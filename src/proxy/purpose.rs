//! What a request is for, by its method and path.

use http::Method;
use http::uri::PathAndQuery;

/// Whether a request is streaming by what it asks for, whatever its headers and body say (spec §9).
pub(super) fn is_streaming(target: &PathAndQuery) -> bool {
    target.path().ends_with(":streamGenerateContent")
        || target.query().is_some_and(|query| query.split('&').any(|pair| pair == "stream=true"))
}

/// Whether it costs no credit at any provider that we know: a list or the like, or what is only counted or classified.
pub(super) fn is_free(method: &Method, path: &str) -> bool {
    let ends = |end| path.strip_suffix('/').unwrap_or(path).ends_with(end);
    match *method {
        Method::GET | Method::HEAD => true,
        Method::POST => ["/count_tokens", ":countTokens", "/moderations", "/tokenize"].into_iter().any(ends),
        _ => false,
    }
}

/// Whether running the request twice does no harm: idempotent methods (RFC 9110 §9.2.2), and POSTs that infer. What
/// makes, uploads or starts something is not run again, nor is what we don't know.
pub(super) fn is_harmless(method: &Method, path: &str) -> bool {
    if method.is_idempotent() {
        return true;
    }
    if method != Method::POST {
        return false;
    }
    let makes_something = [
        "files",
        "batches",
        "fine_tuning",
        "fine-tunes",
        "uploads",
        "assistants",
        "threads",
        "vector_stores",
    ];
    // What nearly every request asks for.
    if path == "/v1/chat/completions" {
        return true;
    }
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let last = segments.next().unwrap_or_default();
    let before = segments.next().unwrap_or_default();
    if segments.chain([before, last]).any(|segment| makes_something.contains(&segment)) {
        return false;
    }
    if let Some((_, verb)) = last.rsplit_once(':') {
        return matches!(
            verb,
            "generateContent"
                | "streamGenerateContent"
                | "countTokens"
                | "embedContent"
                | "batchEmbedContents"
                | "predict"
                | "rawPredict"
                | "streamRawPredict"
        );
    }
    let infers = matches!(
        (before, last),
        ("audio", "speech" | "transcriptions" | "translations")
            | ("images", "generations" | "edits" | "variations")
            | ("text-generation" | "multimodal-generation", _)
    );
    infers
        || path.contains("/ai/run/")
        || matches!(
            last,
            "completions"
                | "responses"
                | "messages"
                | "embeddings"
                | "moderations"
                | "rerank"
                | "count_tokens"
                | "chat"
                | "complete"
                | "generate"
                | "embed"
                | "tokenize"
                | "classify"
                | "chatcompletion_v2"
                | "invoke"
                | "invoke-with-response-stream"
                | "converse"
                | "converse-stream"
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::proxy::headers::Found;

    #[test]
    fn only_what_infers_runs_twice() {
        for (method, path, want) in [
            ("GET", "/v1/models", true),
            ("DELETE", "/v1/files/file-1", true),
            ("PATCH", "/v1/x", false),
            ("POST", "/v1/chat/completions", true),
            ("POST", "/v1/chat/completions/", true),
            ("POST", "/openai/deployments/d/chat/completions", true),
            ("POST", "/v1/completions", true),
            ("POST", "/v1/responses", true),
            ("POST", "/v1/responses/resp_1/cancel", false),
            ("POST", "/v1/messages", true),
            ("POST", "/v1/messages/count_tokens", true),
            ("POST", "/v1/messages/batches", false),
            ("POST", "/v1/threads/thread_1/messages", false),
            ("POST", "/v1/embeddings", true),
            ("POST", "/v1/moderations", true),
            ("POST", "/v1/audio/transcriptions", true),
            ("POST", "/v1/audio/voices", false),
            ("POST", "/v1/images/generations", true),
            ("POST", "/v1/images/styles", false),
            ("POST", "/v1/rerank", true),
            ("POST", "/model/anthropic.claude-v2:1/converse-stream", true),
            ("POST", "/accounts/1/ai/run/@cf/meta/llama-3-8b", true),
            ("POST", "/api/v1/services/aigc/text-generation/generation", true),
            ("POST", "/v1beta/models/gemini:generateContent", true),
            ("POST", "/v1beta/models/gemini:streamGenerateContent", true),
            ("POST", "/v1beta/models/gemini:batchGenerateContent", false),
            ("POST", "/v1/files", false),
            ("POST", "/v1/batches", false),
            ("POST", "/v1/fine_tuning/jobs", false),
            ("POST", "/v1/uploads/upload_1/parts", false),
            ("POST", "/v1/assistants", false),
            ("POST", "/v1/anything", false),
        ] {
            assert_eq!(is_harmless(&method.parse().unwrap(), path), want, "{method} {path}");
        }
    }

    #[test]
    fn what_is_only_read_counted_or_classified_is_free() {
        for (method, path, want) in [
            ("GET", "/v1/models", true),
            ("HEAD", "/v1/models", true),
            ("DELETE", "/v1/files/file-1", false),
            ("POST", "/v1/chat/completions", false),
            ("POST", "/v1/messages", false),
            ("POST", "/v1/messages/count_tokens", true),
            ("POST", "/v1/messages/count_tokens/", true),
            ("POST", "/v1beta/models/gemini:countTokens", true),
            ("POST", "/v1beta/models/gemini:generateContent", false),
            ("POST", "/v1/moderations", true),
            ("POST", "/tokenize", true),
            ("POST", "/v1/moderations/more", false),
        ] {
            assert_eq!(is_free(&method.parse().unwrap(), path), want, "{method} {path}");
        }
    }

    #[test]
    fn a_stream_is_told_by_header_query_and_path() {
        for (accept, target, want) in [
            ("text/event-stream", "/", true),
            ("application/json, Text/Event-Stream;q=0.5", "/", true),
            ("application/json", "/", false),
            ("*/*", "/v1beta/models/m:streamGenerateContent?alt=sse", true),
            ("*/*", "/?a=b&stream=true", true),
            ("*/*", "/?upstream=true", false),
        ] {
            let headers = HeaderMap::from_iter([(http::header::ACCEPT, accept.parse().unwrap())]);
            let streams = Found::in_request(&headers).wants_events || is_streaming(&target.parse().unwrap());
            assert_eq!(streams, want, "{accept} {target}");
        }
    }
}
