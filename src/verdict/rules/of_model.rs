//! Whether an answer is about a model: it says so, or names one.

use crate::verdict::envelope::Envelope;

/// What is of one model alone.
const OF_ONE: &[&str] = &[
    "for this model",
    "of this model",
    "to this model",
    "on this model",
    "with this model",
    "for the model",
    "of the model",
    "for model ",
    "of model ",
    "该模型",
    "此模型",
    "当前模型",
];
const FAMILIES: &[&str] =
    &["claude", "deepseek", "doubao", "gemini", "glm", "gpt", "grok", "kimi", "llama", "mistral", "qwen"];
/// What other names than models' begin with: an organisation's, a key's, a region's.
const OTHERS: &[&str] = &[
    "account",
    "acct",
    "ak",
    "ap",
    "api",
    "arn",
    "asst",
    "batch",
    "cn",
    "code",
    "error",
    "eu",
    "file",
    "ft",
    "group",
    "http",
    "id",
    "ip",
    "job",
    "key",
    "level",
    "org",
    "plan",
    "proj",
    "project",
    "region",
    "req",
    "request",
    "sk",
    "team",
    "tenant",
    "thread",
    "tier",
    "token",
    "us",
    "user",
    "vs",
    "workspace",
    "wrkspc",
    "ws",
];
const LONGEST_NAME: usize = 64;

/// Whether it speaks of a model, or names one.
pub(super) fn is_named(envelope: &Envelope) -> bool {
    envelope.names_asked
        || ["model", "模型"].iter().any(|word| envelope.words.find(word).is_some())
        || tokens(&envelope.message).any(is_name)
}

/// Whether what it says is of one model.
pub(super) fn is_meant(envelope: &Envelope) -> bool {
    let before = |word: &str| ["for", "of", "on", "to"].contains(&word);
    OF_ONE.iter().any(|word| envelope.words.find(word).is_some())
        || tokens(&envelope.message)
            .zip(tokens(&envelope.message).skip(1))
            .any(|(word, name)| before(word) && is_name(name))
}

/// What is not for every key, said of a model.
pub(super) const NOT_FOR_ALL: &[&str] = &[
    "not available",
    "n't available",
    "only for",
    "only available",
    "available only",
    "reserved for",
    "restricted to",
    "limited to",
    "exclusive to",
    "not included",
    "not provisioned",
    "not enabled",
    "not been enabled",
    "not activated",
    "not been activated",
    "not been granted",
    "not granted",
    "not open to",
    "not part of",
    "n't part of",
    "n't included",
    "not covered",
    "仅对",
    "仅限",
    "仅供",
    "n't covered",
    "not in your plan",
    "n't in your plan",
    "not in your subscription",
    "n't in your subscription",
    "requires a",
    "needs a",
    "paid only",
    "paid-only",
    "for paid",
    "for paying",
    "not free",
    "n't free",
    "需要付费",
    "需付费",
    "不在您的套餐",
    "不在你的套餐",
    "不在套餐",
    "不在当前套餐",
    "不在此套餐",
    "不在该套餐",
    "不包含在",
    "未包含在",
];
const DEAR: &[&str] = &[
    "premium model ",
    "premium model.",
    "premium model,",
    "premium model;",
    "premium model:",
    "paid model ",
    "paid model.",
    "paid model,",
    "paid model;",
    "付费模型",
    "收费模型",
    "高级模型",
    "会员模型",
    "vip模型",
    "vip 模型",
];
/// What a model may be a part of, and that it is none.
pub(super) const PLANS: &[&str] =
    &["plan", "subscription", "tier", "package", "licen", "套餐", "订阅", "会员"];
pub(super) const NOT_IN: &[&str] = &[
    "not include",
    "n't include",
    "not cover",
    "n't cover",
    "excludes",
    "without",
    "不包含",
    "不含",
    "不支持",
];
/// Whoever pays nothing may not use it.
const MAY_NOT: &[&str] = &[
    "cannot call ",
    "can't call ",
    "cannot use ",
    "can't use ",
    "cannot access ",
    "can't access ",
    "not call ",
    "not use ",
    "not access ",
    "not have access to ",
    "n't have access to ",
    "no access to ",
    "not available for ",
    "无法使用",
    "不能使用",
    "不可使用",
    "无法调用",
    "不能调用",
    "不可调用",
];
const FOR_NOTHING: &[&str] = &[
    "free account",
    "free tier",
    "free plan",
    "free user",
    "unpaid user",
    "paid plan",
    "免费用户",
    "免费套餐",
    "免费账",
    "免费版",
];
/// Others are left to the key.
const OTHERS_LEFT: &[&str] = &[
    "other model",
    "another model",
    "different model",
    "switch model",
    "change model",
    "a free model",
    "切换模型",
    "更换模型",
    "其他模型",
    "其它模型",
    "换个模型",
    "换用模型",
    "切换到其他",
    "切换至其他",
    "更换其他",
];
/// Models that have limits of their own, and names without a number.
const ALONE: &[&str] = &["opus", "sonnet", "haiku"];
const LIMITS: &[&str] = &["limit", "quota", "usage", "cap ", "额度", "限额", "配额", "用量", "上限"];
/// With these it is all that is asked for that can't be paid.
const OF_ALL: &[&str] = &[
    "balance",
    "insufficient credit",
    "insufficient fund",
    "out of credit",
    "no credit",
    "all model",
    "any model",
    "expired",
    "ended",
    "overdue",
    "unpaid",
    "past due",
    "suspended",
    "funded",
    "out of funds",
    "top-up",
    "wallet",
    "deposit",
    "requires a credit",
    "requires a minimum",
    "余额",
    "欠费",
    "到期",
    "过期",
    "所有模型",
    "任何模型",
];

/// Whether what is told of a key's money or plan is of one model, and whether that is one which is not for it.
pub(super) fn is_of_one(envelope: &Envelope) -> Option<bool> {
    let words = &envelope.words;
    let says = |said: &[&str]| said.iter().any(|word| words.find(word).is_some());
    if says(OF_ALL) {
        return None;
    }
    let is_dear = || {
        says(DEAR) || is_what(envelope, NOT_FOR_ALL) || says(FOR_NOTHING) && stands_behind(envelope, MAY_NOT)
    };
    let is_not_in = || {
        words.follows(PLANS, NOT_IN) && (stands_behind(envelope, NOT_IN) || words.follows(NOT_IN, &["模型"]))
            || words.follows(&["模型"], &["不在"]) && says(PLANS)
    };
    // Shares are what each has used of one limit.
    let has_its_own =
        || says(LIMITS) && !envelope.message.contains('%') && tokens(&envelope.message).any(is_alone);
    // Whoever upgrades gets other models as well.
    let are_others_left = || says(OTHERS_LEFT) && words.find("upgrade").is_none();
    if is_dear() || is_not_in() { Some(true) } else { (are_others_left() || has_its_own()).then_some(false) }
}

/// How many words later that is.
const NEXT: usize = 3;
/// Ahead of a model's name these say that it is not what is spoken of.
const BESIDE: &[&str] = &["for", "with", "of", "on", "in", "by", "using", "via", "when"];

/// Whether it is a model of which one of these is said: it stands before the first of them, and nothing else does.
pub(super) fn is_what(envelope: &Envelope, said: &[&str]) -> bool {
    let message = envelope.message.to_lowercase();
    let Some(at) = said.iter().filter_map(|word| message.find(word)).min() else { return false };
    let before = message.get(..at).unwrap_or_default();
    let sentence = before.rsplit(['!', ';', '?', '。', '；']).next().unwrap_or_default();
    let sentence = sentence.rsplit(". ").next().unwrap_or_default();
    (sentence.contains("模型") || tokens(sentence).any(is_model))
        && !tokens(sentence).any(|token| BESIDE.contains(&token))
}

/// Whether a model stands right behind one of these, or a few words later.
pub(super) fn stands_behind(envelope: &Envelope, said: &[&str]) -> bool {
    let there = said.iter().any(|word| envelope.words.find(word).is_some());
    let message = if there { envelope.message.to_lowercase() } else { String::new() };
    said.iter().flat_map(|word| message.match_indices(word).take(4)).any(|(at, word)| {
        let rest = message.get(at + word.len()..).unwrap_or_default();
        tokens(rest).take(NEXT).take_while(|token| !BESIDE.contains(token)).any(is_model)
    })
}

/// Whether it speaks of a model, or names one.
fn is_model(token: &str) -> bool {
    token.starts_with("model") || is_name(token) || is_alone(token)
}

fn is_alone(token: &str) -> bool {
    ALONE.iter().any(|name| token.eq_ignore_ascii_case(name))
}

fn tokens(message: &str) -> impl Iterator<Item = &str> {
    message
        .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/' | ':'))
        .map(|token| token.trim_end_matches(['.', ':', '-', '/']))
        .filter(|token| !token.is_empty())
}

/// "meta/llama-9", "Foo-70B", "qwen-max": parts of which one has a number, or a family that is known.
fn is_name(token: &str) -> bool {
    let Some((first, rest)) = token.split_once(['-', '/']) else { return false };
    let (first, rest) = (first.to_ascii_lowercase(), rest.to_ascii_lowercase());
    let is_family = || FAMILIES.iter().any(|family| first.contains(family) || rest.contains(family));
    let is_host = || first.contains(['.', ':']) && token.contains('/');
    let begins = first.split(['_', '.', ':']).next().unwrap_or_default();
    // A UUID.
    let is_id = || token.len() == 36 && rest.matches('-').count() == 3;
    token.len() <= LONGEST_NAME
        && first.starts_with(|c: char| c.is_ascii_alphabetic())
        && (token.contains(|c: char| c.is_ascii_digit()) || is_family())
        && !OTHERS.contains(&begins)
        && !is_host()
        && !is_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_told_from_others() {
        for (token, want) in [
            ("gpt-5-mini", true),
            ("Foo-70B", true),
            ("meta/llama-9", true),
            ("claude-opus", true),
            ("gpt-4.1-2025-04-14", true),
            ("anthropic.claude-3:0", true),
            ("org-1", false),
            ("file-123", false),
            ("proj_x1-2", false),
            ("us-east-1", false),
            ("pay-as-you-go", false),
            ("24-hour", false),
            ("2026-11-29", false),
            ("/v1/chat", false),
            ("https://x.ai/grok-4", false),
            ("docs.x.ai/grok-4", false),
            ("c0ffee00-1111-4222-8333-444455556666", false),
            ("model", false),
        ] {
            assert_eq!(is_name(token), want, "{token}");
        }
    }
}
