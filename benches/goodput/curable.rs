//! Whether a healthy key could have cured what a client was told: judged by what the provider had said of its keys, not by
//! what a scheduler could have made of them.

use std::iter::once;
use std::time::Duration;

/// What a provider says of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) limit: u32,
    pub(super) left: u32,
    /// How long until it is whole again.
    pub(super) whole_in: Duration,
}

/// A request with one key, and what the provider's answer said. Times are since the bench began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// When the request came, which is when the provider counted.
    pub(super) asked: Duration,
    /// When the answer left.
    pub(super) told: Duration,
    /// What the request cost.
    pub(super) tokens: u32,
    /// Of requests and of tokens; none if the answer told of a fault of the provider's own.
    pub(super) windows: Option<[Window; 2]>,
    /// How long a refused request is to wait.
    pub(super) retry_after: Option<Duration>,
}

/// What is known beside a provider's words.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// What a request of so many tokens is thought to cost.
    pub(super) cost: fn(u32) -> u32,
    /// Whether a limit whose named moment is past holds all that it allows. Else it is good for one request until that
    /// has been answered: some providers mean no more.
    pub(super) is_whole: bool,
}

impl Word {
    /// Whether it leaves so much, requests and tokens, at a moment, if it tells. Where it names several moments, the last
    /// one counts.
    fn leaves(&self, costs: [u32; 2], at: Duration, is_whole: bool) -> Option<bool> {
        let since = at.saturating_sub(self.asked);
        let is_there = |(window, cost): (&Window, u32)| {
            let is_back = since >= window.whole_in && (is_whole || costs[0] == 1);
            cost <= if is_back { window.limit } else { window.left }
        };
        let may_come = self.retry_after.is_none_or(|wait| since >= wait);
        self.windows.map(|windows| may_come && windows.iter().zip(costs).all(is_there))
    }
}

/// Whether a key, all of whose words these are in the order of their requests, was healthy: by the last word that its
/// provider had told, less the requests that are under way since, it would take one of so many tokens.
pub(super) fn is_healthy(words: &[Word], at: Duration, tokens: u32, reading: Reading) -> bool {
    let mut costs = [1, (reading.cost)(tokens)];
    let asked = words.partition_point(|word| word.asked <= at);
    for word in words.iter().take(asked).rev() {
        if word.told > at {
            costs = [costs[0] + 1, costs[1] + (reading.cost)(word.tokens)];
        } else if let Some(leaves) = word.leaves(costs, at, reading.is_whole) {
            return leaves;
        }
    }
    // Of a key that was never asked nothing bad is known; of one whose first answer is still to come, nothing at all.
    costs[0] == 1
}

/// Whether a request of so many tokens that was refused at `end` could have been cured: one key was healthy all the
/// while from `begin` on.
pub(super) fn is_curable<'a>(
    keys: impl IntoIterator<Item = &'a [Word]>,
    (begin, end): (Duration, Duration),
    tokens: u32,
    reading: Reading,
) -> bool {
    let within = |at: &Duration| (begin..=end).contains(at);
    keys.into_iter().any(|words| {
        // Between what happens to it a key can only become healthy.
        let changes = words.iter().flat_map(|word| [word.asked, word.told]).filter(within);
        once(begin).chain(changes).all(|at| is_healthy(words, at, tokens, reading))
    })
}
