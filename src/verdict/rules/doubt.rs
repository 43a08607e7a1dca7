//! What keeps words from ending a key: it lacks money, may only have been closed, or will be if the client goes on.

use super::types::OF_KEYS;
use super::vocabulary::{CONTENT, HARM};
use super::{Answer, Row};
use crate::verdict::Verdict;
use crate::verdict::envelope::Envelope;
use crate::verdict::words::Words;

/// With that a key is not lost, whatever code stands beside it.
const OF_MONEY: &[&str] = &[
    "usage limit",
    "spend limit",
    "spending limit",
    "quota exceeded",
    "quota exhausted",
    "out of credit",
    "insufficient credit",
    "insufficient balance",
    "insufficient funds",
    "insufficient quota",
    "unpaid",
    "overdue",
    "payment failed",
    "余额不足",
    "欠费",
];
/// States in which keys and accounts end.
const ENDED: &[&str] = &[
    "suspen",
    "disabl",
    "deactivat",
    "terminat",
    "banned",
    "blocked",
    "revo",
    "locked",
    "restrict",
    "closed",
    "closure",
    "frozen",
    "invalid",
    "incorrect",
    "expired",
    "deleted",
    "inactive",
    "not valid",
    "not exist",
    "not found",
    "wrong",
    "封",
    "冻结",
    "禁用",
    "停用",
    "注销",
    "锁定",
    "吊销",
    "作废",
    "失效",
    "过期",
    "无效",
    "删除",
    "错误",
];
/// It may be so.
const MAYBE: &[&str] = &[
    "may be",
    "may have",
    "may not",
    "may no ",
    "may already",
    "may lack",
    "might ",
    "could be",
    "could have",
    "possibly",
    "perhaps",
    "maybe",
    "probably",
    "likely ",
    "whether ",
    "可能",
    "或许",
    "也许",
    "疑似",
];
/// It will be so, or would be if something else were.
const NOT_YET: &[&str] = &[
    "will ",
    "would ",
    "can be ",
    "shall ",
    "may lead",
    "lead to",
    "leads to",
    "result in",
    "results in",
    "risk of",
    "at risk",
    "to avoid",
    "avoid ",
    "prevent ",
    "subject to",
    "将",
    "会被",
    "会导致",
    "以免",
    "避免",
    "否则",
];
/// Behind these it has come.
const BY_NOW: &[&str] = &["已将", "将您", "将你", "将该", "将此"];
/// What else may be meant where two things are told.
const OR: &[&str] = &[" or ", "或"];
const OTHERS: &[&str] = &[
    "permission",
    "access to ",
    "have access",
    "no access",
    "lack access",
    "lacks access",
    "model",
    "region",
    "endpoint",
    "network",
    "whitelist",
    "allowlist",
    "权限",
    "无权",
    "模型",
    "地区",
];
/// How near before a state it stands that it is none.
const NEAR: usize = 26;

impl Answer<'_> {
    /// Whether a row that would end the key may not speak.
    pub(super) fn spares_the_key(&self, row: &Row) -> bool {
        let words = &self.envelope.words;
        let lacks_money =
            matches!(self.status, 401..=403) && OF_MONEY.iter().any(|word| words.find(word).is_some());
        lacks_money || row.rests_on_words_alone() && self.only_supposes()
    }

    /// Whether what it tells has not come about, as far as it says. Of a bad request that may be the key's end all the same,
    /// weak as it is: the client could not cure it.
    fn only_supposes(&self) -> bool {
        let words = &self.envelope.words;
        is_all_behind(words, NOT_YET)
            || is_all_behind(words, MAYBE) && (self.status != 400 || self.heard().speaks_of(CONTENT | HARM))
    }
}

/// Rows of sentences that no provider is known for.
const OF_ANYBODY: &[&str] = &["cause.", "told.", "odd.", "abroad.", "relay."];

/// Whether a verdict wants another key to be told otherwise. Words alone that end a key may be about something else where
/// the status is none of keys, unless they are a provider's own.
pub(in crate::verdict) fn is_weak(row: &Row, status: u16, envelope: &Envelope) -> bool {
    let words = &envelope.words;
    let is_doubtful = || {
        is_all_behind(words, MAYBE)
            || OF_ANYBODY.iter().any(|table| row.id.starts_with(table))
                && (!matches!(status, 401..=403 | super::IN_STREAM)
                    || words.follows(OR, OTHERS)
                    || words.follows(OTHERS, OR))
    };
    let is_coded = || envelope.codes.iter().any(|code| OF_KEYS.contains(&code.as_str()));
    let rests_on_words = row.verdict == Verdict::KeyInvalid && row.rests_on_words_alone();
    row.weak || rests_on_words && is_doubtful() && !is_coded()
}

/// Whether states are told, and none of them without one of these words before it.
fn is_all_behind(words: &Words, modals: &[&str]) -> bool {
    if !modals.iter().any(|word| words.find(word).is_some()) {
        return false;
    }
    let text = words.text();
    let is_behind = |at: usize| {
        let from = (at.saturating_sub(NEAR)..=at).find(|from| text.is_char_boundary(*from)).unwrap_or(at);
        let near = text.get(from..at).unwrap_or_default();
        let near = near.rsplit([';', ':', ',', '。', '；', '：', '，', '!', '?']).next().unwrap_or_default();
        let near = near.rsplit(". ").next().unwrap_or_default();
        let has = |words: &[&str]| words.iter().any(|word| near.contains(word));
        has(modals) && !has(BY_NOW)
    };
    let there = ENDED.iter().filter(|word| words.find(word).is_some());
    let mut states = there.flat_map(|word| text.match_indices(word).take(8)).map(|(at, _)| is_behind(at));
    states.next() == Some(true) && states.all(|is_behind| is_behind)
}
