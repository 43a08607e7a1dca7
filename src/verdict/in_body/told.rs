//! What messages say that stand in a 200: that all is well, or that it is not.

use super::probe::LONGEST_CODE;

/// What is longer is no error's message.
const LONGEST_TOLD: usize = 512;

const WELL: &str = "ok okay success successful accepted received created submitted queued pending processing running \
                    progress started completed complete done finished generated updated saved deleted removed \
                    cancelled canceled";
const BESIDE_WELL: &str = "a the your all is was has been in and for request task job operation call query image video \
                           generation response";
const WELL_IN_CHINESE: &[&str] =
    &["正常", "完成", "已完成", "已提交", "已受理", "已接受", "已创建", "已删除", "处理中", "排队中"];
/// With one of these beside it success is told of something else, or denied.
const NO_SUCCESS: &str = "not no never nothing cannot without unsuccessful unsuccessfully but only if until unless before \
                          after to must should please";
const NO_SUCCESS_WITHIN: &[&str] = &[
    "n't",
    "fail",
    "error",
    "exceed",
    "invalid",
    "insufficient",
    "denied",
    "expired",
    "limit",
    "不",
    "未",
    "没",
    "无",
    "非",
    "失败",
    "错",
    "请充",
    "请重",
    "请联",
    "请检",
    "先",
    "后",
    "限",
    "超",
    "但",
];
/// What tells, at the beginning of a message, that a task goes on: a request that must wait for another does not say so.
const GOES_ON: &[&str] = &[
    "task is still",
    "job is still",
    "task is processing",
    "task is running",
    "task is queued",
    "continue polling",
    "keep polling",
    "任务处理中",
    "任务正在处理",
    "任务生成中",
    "任务排队中",
    "任务执行中",
    "任务进行中",
    "任务已提交",
    "任务已受理",
    "任务已创建",
];
/// What errors speak of, and how: goods have descriptions, too, and a balance may be a photograph's.
const OF_ERRORS: &[&str] = &[
    "api key",
    "api-key",
    "api_key",
    "apikey",
    "user_key",
    "access key",
    "access token",
    "invalid key",
    "invalid token",
    "token expired",
    "token has expired",
    "token is invalid",
    "unauthori",
    "authentication",
    "not authenticated",
    "credentials",
    "forbidden",
    "access denied",
    "permission denied",
    "quota",
    "rate limit",
    "rate-limit",
    "rate_limit",
    "limit reached",
    "limit exceeded",
    "exceeded your",
    "too many requests",
    "too many calls",
    "too frequent",
    "throttl",
    "insufficient",
    "not enough credit",
    "out of credit",
    "no credits",
    "balance is",
    "balance exhausted",
    "payment required",
    "billing",
    "overloaded",
    "service unavailable",
    "temporarily unavailable",
    "internal error",
    "server error",
    "went wrong",
    "余额",
    "额度",
    "欠费",
    "次数已",
    "密钥",
    "令牌",
    "限流",
    "频繁",
    "繁忙",
    "并发",
    "鉴权",
    "未授权",
    "无权",
    "已满",
    "无可用",
    "上限",
    "超限",
    "已过期",
];

/// A short text that says that all is well, and nothing else.
pub(super) fn is_well(value: &str) -> bool {
    let Some(text) = short(value) else { return false };
    let mut rest = words(&text).filter(|word| !is_one(BESIDE_WELL, word)).peekable();
    rest.peek().is_some() && rest.all(|word| is_one(WELL, word) || WELL_IN_CHINESE.contains(&word))
        || is_of_success(&text)
}

/// One that says that it was a success: what was cancelled may be well, but is none.
pub(super) fn is_success(value: &str) -> bool {
    short(value).is_some_and(|text| is_of_success(&text))
}

/// One that says that a task goes on.
pub(super) fn goes_on(value: &str) -> bool {
    let Some(text) = short(value) else { return false };
    let text = ["the ", "your "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(&text);
    let is_told = GOES_ON.iter().any(|phrase| text.starts_with(phrase));
    // "Ask for the result later" is said of a success alone.
    is_told && !denies(&text.replace("稍后查", "查")) && !tells_of_error(value)
}

/// A text that speaks of a key, of money, of a limit or of trouble as errors do: no answer says that in a word or two.
pub(super) fn tells_of_error(value: &str) -> bool {
    if value.len() > LONGEST_TOLD || !value.starts_with('"') {
        return false;
    }
    serde_json::from_str::<String>(value).is_ok_and(|text| {
        let text = tidied(&text);
        OF_ERRORS.iter().any(|words| text.contains(words))
    })
}

fn short(value: &str) -> Option<String> {
    if value.len() > LONGEST_CODE {
        return None;
    }
    serde_json::from_str::<String>(value).ok().map(|text| tidied(&text))
}

/// In small letters, on one line.
fn tidied(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
}

fn is_one(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

fn is_of_success(text: &str) -> bool {
    ["success", "成功"].iter().any(|word| text.contains(word)) && !denies(text)
}

fn denies(text: &str) -> bool {
    words(text).any(|word| is_one(NO_SUCCESS, word))
        || NO_SUCCESS_WITHIN.iter().any(|part| text.contains(part))
}
