//! Whether a limit is one of how many requests there are at a time, or of how fast they become more: it is over as soon as some
//! of the key's own requests have ended, so that it tells how long to wait in its own way.

use super::envelope::Envelope;

/// In codes, however they join their words. Volcengine's and Alibaba's are about how fast requests become more.
const CODES: &[&str] = &["concurren", "parallel", "simultaneous", "inflight", "bursttoofast", "burstrate"];

/// Zhipu's limits are of requests at a time, though it calls them rates: <https://docs.bigmodel.cn/cn/api/rate-limit>.
const WHOLE_CODES: &[&str] = &["1302"];

const WORDS: &[&str] = &[
    "concurren",
    "concorren",
    "simultan",
    "gleichzeitig",
    "одновремен",
    "동시",
    "并发",
    "同时请求",
    "同时调用",
    "parallel",
    "in flight",
    "in-flight",
    "open streams",
    "open requests",
    "at the same time",
    "at a time",
    "another generation",
    "another request",
    "another job",
    "another task",
    "previous request",
    "still running",
    "有任务正在",
    "有请求正在",
    "任务执行中",
];

/// Limits by the clock, which may be told in the same breath.
const BY_THE_CLOCK: &[&str] = &[
    "per min",
    "/min",
    "a minute",
    "per hour",
    "/hour",
    "an hour",
    "per day",
    "/day",
    "a day",
    "daily",
    "per month",
    "/month",
    "a month",
    "monthly",
    "per 1 ",
    " rpm",
    " tpm",
    " rpd",
    "(rpm)",
    "(tpm)",
    "(rpd)",
    "type: tokens",
    "每分钟",
    "每小时",
    "每天",
    "每日",
    "每月",
];

/// Whether an answer that tells a limit speaks of such a one.
pub(super) fn is_meant(envelope: &Envelope) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| envelope.words.find(word).is_some());
    let is_one =
        |code: &String| WHOLE_CODES.contains(&code.as_str()) || CODES.iter().any(|part| code.contains(part));
    let is_coded = || envelope.joined.iter().any(is_one);
    (says(WORDS) || is_coded()) && !says(BY_THE_CLOCK)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderMap, StatusCode};

    use crate::verdict::{Answer, judge};

    fn is_at_a_time(status: u16, body: &str) -> bool {
        let (status, headers) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new());
        judge(&Answer { status, headers: &headers, body: body.as_bytes(), model: None }, SystemTime::now())
            .at_a_time
    }

    #[test]
    fn a_limit_of_requests_at_a_time_is_told_by_its_words_or_its_code() {
        for (status, body) in [
            (429, r#"{"error":{"code":"1302","message":"您的账户已达到速率限制，请您控制请求频率"}}"#),
            (429, r#"{"error":{"message":"当前并发数超过限制（5），请降低并发后重试"}}"#),
            (429, r#"{"error":{"message":"Too many concurrent requests"}}"#),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of concurrent connections has exceeded your rate limit. Please try again later"}}"#,
            ),
            (429, r#"{"error":{"code":"RequestBurstTooFast","message":"The system detected a burst"}}"#),
            (429, r#"{"error":{"code":"limit_burst_rate","message":"Request rate increased too quickly."}}"#),
            (429, r#"{"error":{"message":"limit","code":"concurrency_limit_exceeded"}}"#),
            (429, r#"{"error":{"message":"Max parallel request limit reached. Current limit: 1"}}"#),
            (403, r#"{"error":{"message":"Maximum number of concurrent requests for your plan reached"}}"#),
            (
                503,
                r#"{"errors":[{"message":"Your key already has 5 generations in flight, which is the maximum"}]}"#,
            ),
            (429, r#"{"error":{"message":"Too many open streams for this account"}}"#),
            (409, r#"{"error":{"message":"Too many concurrent sessions for this account (max 1)."}}"#),
            (423, r#"{"error":"Key is locked while another job runs; try again when it finishes"}"#),
            (409, r#"{"message":"该密钥有任务正在执行，请稍后再试"}"#),
            (403, r#"{"error":{"message":"Another generation with this API key is still running"}}"#),
        ] {
            assert!(is_at_a_time(status, body), "{body}");
        }
    }

    #[test]
    fn a_limit_by_the_clock_is_none_nor_is_what_is_no_limit_of_the_key() {
        for (status, body) in [
            (429, r#"{"error":{"message":"Rate limit reached: 60 requests per minute, 5 concurrent"}}"#),
            (429, r#"{"error":{"message":"Limit reached: 50 requests/day and 2 concurrent requests"}}"#),
            (429, r#"{"error":{"message":"您的请求已超出每小时调用次数限制, 并发数上限5"}}"#),
            (429, r#"{"error":{"code":"1303","message":"当前API请求过多，请稍后重试"}}"#),
            (429, r#"{"error":{"message":"Rate limit reached for requests"}}"#),
            (429, r#"{"error":{"code":"insufficient_quota","message":"No credit for concurrent requests"}}"#),
            (500, r#"{"error":{"message":"Concurrent modification"}}"#),
            (409, r#"{"error":{"message":"thread_1 already has an active run, still running"}}"#),
            (409, r#"{"error":{"message":"Concurrent update of your deployment, already running"}}"#),
            (400, r#"{"error":{"message":"Unknown parameter: 'parallel_tool_calls'"}}"#),
        ] {
            assert!(!is_at_a_time(status, body), "{body}");
        }
    }
}
