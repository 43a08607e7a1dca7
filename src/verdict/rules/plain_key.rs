//! Whether a refusal opens with a key or an account that is dead, in a clause of its own: what else it says stands beside
//! that ("Invalid API key. Provider keys are not accepted here.").

use super::Row;
use crate::verdict::Verdict;
use crate::verdict::envelope::Envelope;
use crate::verdict::words::{self, Words};

const KEYS: &[&str] = &["key", "keys", "token", "apikey", "credential", "credentials", "jwt"];
const ACCOUNTS: &[&str] = &["account", "user"];
const ENDED: &[&str] = &["deleted", "banned", "terminated", "closed"];
const STATES: &[&str] = &[
    "invalid",
    "incorrect",
    "unknown",
    "wrong",
    "unrecognized",
    "unrecognised",
    "revoked",
    "expired",
    "deleted",
    "banned",
    "terminated",
    "closed",
];
/// The same in more words.
const STATES_TOLD: &[(&str, &str)] = &[
    ("is not valid", "invalid"),
    ("isn't valid", "invalid"),
    ("is no longer valid", "revoked"),
    ("is no longer known to us", "unknown"),
    ("is no longer known", "unknown"),
    ("is not known", "unknown"),
    ("isn't known", "unknown"),
    ("is not recognized", "unknown"),
    ("could not be found", "unknown"),
    ("not found", "unknown"),
    ("no such", "unknown"),
    ("does not exist", "unknown"),
];
/// Whatever else may stand in such a clause. A provider's key is another's.
const BESIDE: &[&str] = &[
    "the",
    "your",
    "this",
    "that",
    "an",
    "a",
    "api",
    "is",
    "was",
    "has",
    "been",
    "it",
    "provided",
    "supplied",
    "given",
    "sent",
    "presented",
    "you",
    "permanently",
    "now",
    "or",
    "and",
    "access",
    "secret",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "relay",
    "gateway",
    "virtual",
];
const BESIDE_IN_CHINESE: &[&str] = &["api", "key", "您的", "你的", "提供的", "该", "此", "已", "的"];
const SUBJECTS_IN_CHINESE: &[&str] = &["令牌", "密钥", "秘钥", "key"];
const STATES_IN_CHINESE: &[&str] =
    &["无效", "失效", "过期", "不存在", "未找到", "找不到", "错误", "吊销", "作废"];
/// Where the clause ends.
const STOPS: &[&str] = &[
    ". ",
    "; ",
    "! ",
    ": ",
    ", ",
    "。",
    "；",
    "，",
    "：",
    " while ",
    " during ",
    " after ",
    " as it ",
    " because ",
    " and then ",
    " for abus",
    " for exceed",
    " for violat",
    " for fraud",
];
const LEADS: &[&str] = &["error: ", "unauthorized: ", "unauthorized. ", "forbidden: "];
/// Who else has keys.
const OTHERS: &[&str] = &["upstream", "provider", "channel", "our ", "backend", "vendor", "上游", "渠道"];
/// What may have become of those.
const CAME_TO_IT: &[&str] = &[
    "expired",
    "revoked",
    "rejected",
    "refused",
    "disabled",
    "suspended",
    "banned",
    "deleted",
    "invalid",
    "incorrect",
    "failed",
    "returned",
    "said",
    "error",
    "失效",
    "无效",
    "过期",
    "被拒",
    "封禁",
    "返回",
];
/// It may be cured, or is no matter of the key.
const CURABLE: &[&str] = &[
    "try again",
    "retry",
    "quota",
    "balance",
    "unpaid",
    "overdue",
    "funds",
    "top up",
    "renew",
    "reopen",
    "reactivat",
    "restore",
    "yet active",
    "yet valid",
    "yet enabled",
    "active yet",
    "propagat",
    "activat",
    "余额",
    "欠费",
    "充值",
    "续费",
];

/// In bytes: more than such a clause needs.
const LONGEST_CLAUSE: usize = 160;

/// Whether a message opens so, and tells of nobody else's key that is no better.
pub(super) fn opens_with_it(words: &Words) -> bool {
    let text = words.text().trim_end();
    let text = LEADS.iter().find_map(|lead| text.strip_prefix(lead)).unwrap_or(text);
    let opening = words::beginning(text, LONGEST_CLAUSE);
    let stop = STOPS.iter().filter_map(|stop| opening.find(stop)).min();
    let Some(end) = stop.or_else(|| (opening.len() == text.len()).then_some(text.len())) else {
        return false;
    };
    let (clause, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let is_it = if clause.is_ascii() { is_plain(clause) } else { is_plain_chinese(clause) };
    is_it
        && !(OTHERS.iter().any(|word| rest.contains(word))
            && CAME_TO_IT.iter().any(|word| rest.contains(word)))
        && !CURABLE.iter().any(|word| rest.contains(word))
}

fn is_plain(clause: &str) -> bool {
    let mut clause = clause.trim_end_matches('.').to_owned();
    for (told, state) in STATES_TOLD {
        if clause.contains(told) {
            clause = clause.replace(told, state);
        }
    }
    let tokens = || clause.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty());
    let has = |words: &[&str]| tokens().any(|token| words.contains(&token));
    // An account that nobody knows may be one that may not do this.
    (has(KEYS) && has(STATES) || has(ACCOUNTS) && has(ENDED))
        && tokens().all(|token| [KEYS, ACCOUNTS, STATES, BESIDE].iter().any(|words| words.contains(&token)))
}

fn is_plain_chinese(clause: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| clause.contains(word));
    let all = [SUBJECTS_IN_CHINESE, STATES_IN_CHINESE, BESIDE_IN_CHINESE];
    let rest = all
        .iter()
        .flat_map(|words| words.iter())
        .fold(clause.to_owned(), |rest, word| rest.replace(word, ""));
    has(SUBJECTS_IN_CHINESE) && has(STATES_IN_CHINESE) && !rest.contains(char::is_alphanumeric)
}

/// Whether a row of mere words is about what such a message says besides.
pub(super) fn is_beside_it(row: &Row, status: u16, envelope: &Envelope) -> bool {
    matches!(status, 401 | 403)
        && row.verdict != Verdict::KeyInvalid
        && row.rests_on_words_alone()
        // It could not look whether the key is good.
        && !row.id.starts_with("gateway.")
        && opens_with_it(&envelope.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_plain_as_a_whole_or_not_at_all() {
        let is_it = |message: &str| opens_with_it(&Words::of(message));
        let fits = "invalid api key ".repeat(9);
        assert!(is_it(&fits));
        assert!(!is_it(&format!("{fits}in the header")));
        assert!(!is_it(&format!("{fits}{fits}in the header of the request")), "cut between two words");
        assert!(is_it(&format!("{fits}. In the header of the request")));
    }
}
