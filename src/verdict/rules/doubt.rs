//! What keeps words from ending a key: it lacks money, may only have been closed, or will be if the client goes on.

use super::types::OF_KEYS;
use super::vocabulary::{CONTENT, HARM};
use super::{Answer, Row, plain_key};
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
    "quota used up",
    "quota is used up",
    "quota has been used up",
    "quota depleted",
    "balance used up",
    "余额不足",
    "余额用尽",
    "余额耗尽",
    "额度不足",
    "额度用尽",
    "额度已用",
    "额度耗尽",
    "额度用完",
    "配额用尽",
    "配额已用",
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

/// Who passes on what another told him, and may have asked with a key of his own: in his words, or with the provider's name
/// before them.
const PASSED_ON: &[&str] = &[
    "exception - ",
    "litellm.",
    "upstream returned",
    "upstream error",
    "upstream provider",
    "provider returned",
    "provider error",
    "provider rejected",
    "provider refused",
    "provider responded",
    "provider replied",
    "provider said",
    "from provider",
    "from the provider",
    "from upstream",
    "from the upstream",
    "upstream rejected",
    "供应商返回",
    "服务商返回",
    "渠道返回",
    "上游返回",
    "上游错误",
];
const PROVIDERS: &[&str] = &[
    "openai",
    "anthropic",
    "google",
    "gemini",
    "vertex",
    "bedrock",
    "azure",
    "cohere",
    "mistral",
    "groq",
    "deepseek",
    "together",
    "fireworks",
    "perplexity",
    "openrouter",
    "xai",
    "-ai",
];
/// The way in which a key is sent: one client's wrong way is the same with every key.
const WRONG_WAY: &[&str] = &["invalid", "malformed", "unsupported", "bad ", "wrong", "incorrect", "unknown"];
const WAYS: &[&str] = &[
    "bearer",
    "authorization header",
    "auth header",
    "token header",
    "authentication scheme",
    "authorization scheme",
    "auth scheme",
    "authentication method",
    "authentication type",
];
const OF_THE_WAY: &[&str] = &[
    "authorization header",
    "auth header",
    "request header",
    "header format",
    "audience is incorrect",
    "请求头",
];

/// So some say that any key is wrong, whatever way it came.
const OF_ANY_KEY: &[&str] =
    &["invalid credentials in authorization header", "carry the api secret key", "token seems invalid"];

/// Whose key or account it is that is no good may be another than the one who asks.
const OF_SOMEBODY: &[&str] = &[
    "end user",
    "end-user",
    "customer's",
    "client secret",
    "by the application",
    "by the app ",
    "dataset",
    "encrypt",
    "kms",
    "session token",
    "session key",
    "session credential",
    "session has",
    "session is",
    "session expired",
    "webhook",
    "callback",
    "by its owner",
    "'s owner",
    "owner account",
    "会话令牌",
    "会话凭证",
    "会话密钥",
    "终端用户",
    "加密",
    "回调",
    "cmek",
    "key vault",
];
/// It is that of the one who asks.
const OF_CALLER: &[&str] =
    &["api key", "api-key", "your key", "this key", "the key", "your account", "密钥无效"];

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
    let is_of_key = |code: &String| OF_KEYS.contains(&code.as_str()) || code == "authentication_error";
    let is_coded = || envelope.codes.iter().any(is_of_key);
    match row.verdict {
        Verdict::KeyInvalid => {
            row.weak
                || row.rests_on_words_alone() && is_doubtful() && !is_coded()
                || is_of_its_way(words)
                || row.rests_on_words_alone() && !is_coded() && is_of_somebody(envelope)
                || is_passed_on(row, envelope)
        }
        Verdict::KeyExhausted => row.weak || is_passed_on(row, envelope),
        _ => row.weak,
    }
}

/// Whether it may be the way in which the key was sent that is wrong, not the key.
fn is_of_its_way(words: &Words) -> bool {
    let says = |said: &[&str]| said.iter().any(|word| words.find(word).is_some());
    (words.belong(WRONG_WAY, WAYS) || says(OF_THE_WAY)) && !says(OF_ANY_KEY)
}

/// Whether it may be somebody else's key or account: a session's, a user's whom the request names.
fn is_of_somebody(envelope: &Envelope) -> bool {
    let words = &envelope.words;
    let says = |said: &[&str]| said.iter().any(|word| words.find(word).is_some());
    says(OF_SOMEBODY) && !says(OF_CALLER) || names_a_user(envelope)
}

/// "User end_42": whoever has a name of that kind may be one of the client's own.
fn names_a_user(envelope: &Envelope) -> bool {
    let message = envelope.message.to_ascii_lowercase();
    ["user ", "用户 "].iter().flat_map(|word| message.match_indices(word).take(4)).any(|(at, word)| {
        let rest = message.get(at + word.len()..).unwrap_or_default();
        let name = rest.split_whitespace().next().unwrap_or_default();
        name.starts_with(['\'', '"', '`'])
            || name.contains('_')
            || name.contains(|c: char| c.is_ascii_digit())
    })
}

/// Whether somebody else was told so.
fn is_passed_on(row: &Row, envelope: &Envelope) -> bool {
    let words = &envelope.words;
    // one-api and its children put that behind what they say, and behind what they were told.
    let is_of_relay = || row.id.starts_with("openai.") && words.find("(request id: ").is_some();
    envelope.is_passed_on
        || is_of_relay()
        || envelope.codes.iter().any(|code| code == "upstream_error")
        || PASSED_ON.iter().any(|word| words.find(word).is_some())
        || words
            .adjoin(PROVIDERS, &[" error: ", " error - ", " returned", " rejected", " responded", " replied"])
        || words.adjoin(&["error from ", "response from "], PROVIDERS)
}

/// Whether an answer calls what it tells temporary, and nothing that it tells is for good.
pub(in crate::verdict) fn is_temporary(envelope: &Envelope) -> bool {
    let words = &envelope.words;
    let is_said = |word: &&str| {
        let text = words.text();
        let mut before = words.places(word).filter_map(|at| text.get(..at));
        // Of a key that is dead all the same: it is something else that is so for now.
        let is_beside = || word.starts_with("temporarily") && plain_key::opens_with_it(words);
        before.any(|before| !UNSAID.iter().any(|word| before.ends_with(word))) && !is_beside()
    };
    TEMPORARY.iter().any(is_said) && !is_for_good(words)
}

/// A state for now.
pub(super) const TEMPORARY: &[&str] = &[
    "temporarily",
    "temporary ban",
    "temporary block",
    "temporary lock",
    "temporary restrict",
    "temporary suspen",
    "временно",
    "暂时",
    "临时冻",
    "临时封",
    "临时禁",
    "临时锁",
    "临时限",
    "被临时",
];
const UNSAID: &[&str] = &["no ", "not ", "no longer ", "非"];
const FOR_GOOD: &[&str] = &["permanent", "deleted", "terminated", "been closed", "永久"];
/// Ahead of a state for good these say that it has not come.
const NONE: &[&str] = &["temporar", "not ", "n't ", "no ", "暂时", "临时", "非", "未"];

/// Whether a state is told that is for good, and has come.
pub(super) fn is_for_good(words: &Words) -> bool {
    let there = FOR_GOOD.iter().filter(|word| words.find(word).is_some());
    there.flat_map(|word| words.text().match_indices(word).take(8)).any(|(at, word)| {
        let rest = words.text().get(at + word.len()..).unwrap_or_default();
        ![" temporar", " account", " key", " data"].iter().any(|other| rest.starts_with(other))
            && ![NONE, NOT_YET, MAYBE].iter().any(|words_before| stand_before(words, at, words_before))
    })
}

/// Whether one of these stands near before a place, in the same clause.
fn stand_before(words: &Words, at: usize, modals: &[&str]) -> bool {
    let text = words.text();
    let from = (at.saturating_sub(NEAR)..=at).find(|from| text.is_char_boundary(*from)).unwrap_or(at);
    let near = text.get(from..at).unwrap_or_default();
    let near = near.rsplit([';', ':', ',', '。', '；', '：', '，', '!', '?']).next().unwrap_or_default();
    let near = near.rsplit(". ").next().unwrap_or_default();
    let near = near.rsplit(" then ").next().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| near.contains(word));
    has(modals) && !has(BY_NOW)
}

/// Whether states are told, and none of them without one of these words before it.
fn is_all_behind(words: &Words, modals: &[&str]) -> bool {
    if !modals.iter().any(|word| words.find(word).is_some()) {
        return false;
    }
    let there = ENDED.iter().filter(|word| words.find(word).is_some());
    let mut states = there
        .flat_map(|word| words.text().match_indices(word).take(8))
        .map(|(at, _)| stand_before(words, at, modals));
    states.next() == Some(true) && states.all(|is_behind| is_behind)
}
