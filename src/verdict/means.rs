//! Requests that ask for more than a key has left, or for what is not in its plan: the key may well serve others.

use super::rules::PARTS_OF_USE;
use super::words::Words;

/// A request for so many tokens is a small one: a key that can't pay it serves next to nobody. See
/// <https://github.com/can1357/oh-my-pi/issues/9569> for one that could.
const SMALL: f64 = 1024.0;
/// The same where money is told: a part of what this request would have cost.
const PART: f64 = 0.1;

const LEFT: &[&str] =
    &["remain quota:", "remaining quota:", "user quota:", "available:", "剩余额度", "可用余额"];
const NEEDED: &[&str] =
    &["need quota:", "required:", "needed:", "estimated cost:", "需要预扣费额度", "需要额度"];
/// How far behind its name a number begins: "余额: ＄0.02".
const NEAR: usize = 8;

const FEATURE: &[&str] = &[
    "feature ",
    "max_tokens",
    "function calling",
    "tool use",
    "vision",
    "code interpreter",
    "batch api",
    "realtime api",
    "fine-tuning",
];
const IS_NOT_IN: &[&str] = &[
    "requires a",
    "require a",
    "not included",
    "n't included",
    "not part of",
    "n't part of",
    "not covered",
    "n't covered",
    "not available",
    "n't available",
    "only available",
    "available on",
    "not enabled",
    "需要",
    "仅限",
    "未开通",
];
const IS_NOT_FOR: &[&str] = &[
    "not been activated for",
    "not activated for",
    "not enabled for",
    "not have access to",
    "n't have access to",
    "not include",
    "n't include",
    "upgrade to use",
];

/// Money or a time is over, for all that is asked.
const OVER: &[&str] = &[
    "insufficient credit",
    "insufficient balance",
    "insufficient fund",
    "insufficient quota",
    "out of credit",
    "out of fund",
    "no credit",
    "used up",
    "exceeded",
    "exhausted",
    "expired",
    "ended",
    "is over",
    "lapsed",
    "cancel",
    "suspended",
    "overdue",
    "unpaid",
    "不足",
    "欠费",
    "用完",
    "用尽",
    "耗尽",
    "到期",
    "过期",
];

/// Whether these words tell of such a request.
pub(super) fn are_too_small(words: &Words) -> bool {
    pays_for_less(words) || is_not_in_plan(words)
}

fn pays_for_less(words: &Words) -> bool {
    let told = |names: &[&str]| names.iter().find_map(|name| number(words.after(name)?));
    // "… exceeded: 64128 > 6964".
    let of_prompt = words.after("tokens limit exceeded").and_then(|told| number(told.split_once('>')?.1));
    told(&["can only afford"]).or(of_prompt).is_some_and(|tokens| tokens >= SMALL)
        || told(LEFT).zip(told(NEEDED)).is_some_and(|(left, needed)| left > 0.0 && left >= needed * PART)
}

fn is_not_in_plan(words: &Words) -> bool {
    let is_of_a_part = [FEATURE, PARTS_OF_USE].iter().any(|parts| words.follows(parts, IS_NOT_IN))
        || words.follows(IS_NOT_FOR, PARTS_OF_USE);
    is_of_a_part && !OVER.iter().any(|word| words.find(word).is_some())
}

/// The number that stands right behind, or behind the sign of its currency. Less than nothing is none, nor is a date.
fn number(text: &str) -> Option<f64> {
    let (at, _) = text.char_indices().take(NEAR).find(|(_, letter)| letter.is_ascii_digit())?;
    let (before, number) = text.split_at_checked(at)?;
    let end = number.find(|letter: char| !matches!(letter, '0'..='9' | '.' | ',')).unwrap_or(number.len());
    let is_odd = before.ends_with('-') || number.get(end..)?.starts_with(['-', '/', ':']);
    let number = number.get(..end)?.replace(',', "");
    number.trim_end_matches('.').parse().ok().filter(|_| !is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_too_dear_for_a_key_is_told_from_a_key_that_has_nothing_left() {
        for (message, want) in [
            ("You requested up to 65536 tokens, but can only afford 6789. To increase, visit us", true),
            ("You requested up to 65,536 tokens, but can only afford 6,789.", true),
            ("You requested up to 65536 tokens, but can only afford 1023", false),
            ("You requested up to 65536 tokens, but can only afford none", false),
            ("Prompt tokens limit exceeded: 64128 > 6964. To increase, visit us", true),
            ("Prompt tokens limit exceeded: 64128 > 69. To increase, visit us", false),
            ("Insufficient balance. Required: $0.02, available: $0.01", true),
            ("预扣费额度失败, 用户剩余额度: ¥0.120000, 需要预扣费额度: ¥0.300000", true),
            ("预扣费额度失败, 用户[141283]剩余额度: 💰0.040000, 需要预扣费额度: 💰0.060000", true),
            ("token quota is not enough, token remain quota: ＄0.283000, need quota: ＄0.295458", true),
            ("token quota is not enough, token remain quota: 120, need quota: 300", true),
            ("user quota is not enough, user quota: $0.1, need quota: $0.4", true),
            ("预扣费额度失败, 用户剩余额度: ＄0.000000, 需要预扣费额度: ＄0.022500", false),
            ("预扣费额度失败, 用户剩余额度: ＄-0.010000, 需要预扣费额度: ＄0.022500", false),
            ("预扣费额度失败, 用户剩余额度: ＄0.000050, 需要预扣费额度: ＄0.028248", false),
            ("用户额度不足, 剩余额度: ¥0.20", false),
            ("Insufficient credits", false),
            ("insufficient funds; available: 2025-01-02, required: 2", false),
        ] {
            assert_eq!(are_too_small(&Words::of(message)), want, "{message}");
        }
    }

    #[test]
    fn a_feature_that_is_not_in_a_plan_is_told_from_a_plan_that_is_over() {
        for (message, want) in [
            ("Feature 'web_search' requires a paid plan", true),
            ("This feature requires a paid plan", true),
            ("Web search is only available on the Pro plan", true),
            ("Your key has not been activated for this feature.", true),
            ("You do not have access to this feature.", true),
            ("此功能需要付费套餐", true),
            ("Web search isn't part of your plan", true),
            ("max_tokens above 4096 requires a paid plan", true),
            ("Web search isn't part of your plan, which has expired", false),
            ("Your plan does not include file uploads", true),
            (
                "Your subscription has expired. To continue using this feature, please subscribe or renew",
                false,
            ),
            ("This model requires a paid plan", false),
            ("Insufficient credits. This feature requires a minimum balance of $5", false),
            ("Out of credits. Web search is not available until you top up.", false),
            ("Your trial expired. This feature is only available on paid plans", false),
            ("Your account is suspended. Image generation is not available on suspended accounts.", false),
            ("Subscription lapsed: this feature is not available", false),
            ("You exceeded your monthly quota. This feature is only available on Pro", false),
            ("余额不足，此功能需要充值", false),
        ] {
            assert_eq!(are_too_small(&Words::of(message)), want, "{message}");
        }
    }
}
