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
    let is_model = |token: &str| token.starts_with("model") || is_name(token);
    (sentence.contains("模型") || tokens(sentence).any(is_model))
        && !tokens(sentence).any(|token| BESIDE.contains(&token))
}

/// Whether a model stands right behind one of these, or a few words later.
pub(super) fn stands_behind(envelope: &Envelope, said: &[&str]) -> bool {
    let there = said.iter().any(|word| envelope.words.find(word).is_some());
    let message = if there { envelope.message.to_lowercase() } else { String::new() };
    let is_model = |token: &str| token.starts_with("model") || is_name(token);
    said.iter().flat_map(|word| message.match_indices(word).take(4)).any(|(at, word)| {
        let rest = message.get(at + word.len()..).unwrap_or_default();
        tokens(rest).take(NEXT).take_while(|token| !BESIDE.contains(token)).any(is_model)
    })
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
