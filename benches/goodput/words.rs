//! What the provider said of its keys, as its answers' headers have it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use mock_provider::{Exchange, Mock};

use super::clients::{DEAREST, MEAN_TOKENS};
use super::curable::{Window, Word};
use super::keys::Key;

/// The words of every key that is good for something, in the order of the requests.
pub(super) fn of_live_keys(mock: &Mock, keys: &[Key], began: Instant) -> Vec<Vec<Word>> {
    let live = keys.iter().filter(|key| key.limits.is_some());
    let mut words: HashMap<&str, Vec<Word>> = live.map(|key| (key.name.as_str(), Vec::new())).collect();
    for exchange in mock.seen() {
        if let Some(word) = word(&exchange, began)
            && let Some(words) = exchange.key.as_deref().and_then(|key| words.get_mut(key))
        {
            words.push(word);
        }
    }
    let mut words: Vec<Vec<Word>> = words.into_values().collect();
    for words in &mut words {
        words.sort_by_key(|word| word.asked);
    }
    words
}

fn word(exchange: &Exchange, began: Instant) -> Option<Word> {
    let number = |name: &str| exchange.answer_header(name)?.parse::<u64>().ok();
    let window = |of: &str| {
        let amount = |what: &str| number(&format!("x-ratelimit-{what}-{of}"))?.try_into().ok();
        let whole_in: SignedDuration =
            exchange.answer_header(&format!("x-ratelimit-reset-{of}"))?.parse().ok()?;
        Some(Window {
            limit: amount("limit")?,
            left: amount("remaining")?,
            whole_in: whole_in.unsigned_abs(),
        })
    };
    Some(Word {
        asked: exchange.began?.saturating_duration_since(began),
        told: exchange.answered?.saturating_duration_since(began),
        tokens: u32::try_from(exchange.json()["max_tokens"].as_u64()?).ok()?,
        windows: window("requests").zip(window("tokens")).map(<[Window; 2]>::from),
        retry_after: number("retry-after-ms").map(Duration::from_millis),
    })
}

/// How long after the moments that the provider named keys were taken up again, since `from`, in milliseconds.
pub(super) fn lateness(words: &[Vec<Word>], from: Duration) -> Vec<f64> {
    let late = |pair: &[Word]| {
        let spent =
            pair[0].windows?.into_iter().zip([1, DEAREST]).filter(|(window, cost)| window.left < *cost);
        let back = pair[0].asked + spent.map(|(window, _)| window.whole_in).max()?;
        (back >= from).then(|| 1000.0 * (pair[1].asked.as_secs_f64() - back.as_secs_f64()))
    };
    let mut late: Vec<f64> = words.iter().flat_map(|words| words.windows(2)).filter_map(late).collect();
    late.sort_by(f64::total_cmp);
    late
}

/// Which share of what the keys allow flowed over their full buckets and so was lost for good, in percent: of requests or
/// of tokens, whichever binds a key.
pub(super) fn flowed_over(words: &[Vec<Word>], from: Duration) -> f64 {
    let (mut over, mut all) = (0.0, 0.0);
    for pair in words.iter().flat_map(|words| words.windows(2)).filter(|pair| pair[0].asked >= from) {
        let Some([requests, tokens]) = pair[0].windows else { continue };
        let by_tokens = f64::from(tokens.limit) / MEAN_TOKENS;
        let is_by_tokens = by_tokens < f64::from(requests.limit);
        let (whole_in, speed) = if is_by_tokens {
            (tokens.whole_in, by_tokens)
        } else {
            (requests.whole_in, requests.limit.into())
        };
        let gap = pair[1].asked.saturating_sub(pair[0].asked);
        over += speed * gap.saturating_sub(whole_in).as_secs_f64();
        all += speed * gap.as_secs_f64();
    }
    100.0 * over / all
}
