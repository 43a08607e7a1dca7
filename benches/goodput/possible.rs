//! What a scheduler could serve that knows every bucket at every moment, though not what a request will cost: first come,
//! first served, each with the key that is ready first for a request of the mean cost, none waiting longer for its turn
//! than gpt-load lets it.

use std::time::Duration;

use super::clients::MEAN_TOKENS;
use super::keys::{Key, MINUTE};

struct Bucket {
    capacity: f64,
    level: f64,
    at: f64,
}

impl Bucket {
    fn full(capacity: u32) -> Self {
        Self { capacity: f64::from(capacity), level: f64::from(capacity), at: 0.0 }
    }

    fn speed(&self) -> f64 {
        self.capacity / MINUTE.as_secs_f64()
    }

    fn level(&self, now: f64) -> f64 {
        (self.level + (now - self.at) * self.speed()).min(self.capacity)
    }

    /// When `amount` is there.
    fn ready(&self, amount: f64, now: f64) -> f64 {
        now + (amount - self.level(now)).max(0.0) / self.speed()
    }

    fn take(&mut self, amount: f64, now: f64) {
        (self.level, self.at) = (self.level(now) - amount, now);
    }

    fn fullness(&self, now: f64) -> f64 {
        self.level(now) / self.capacity
    }
}

/// Whether each request could have been served.
pub(super) fn served(
    keys: &[Key],
    requests: impl Iterator<Item = (Duration, u32)>,
    patience: Duration,
) -> Vec<bool> {
    let limits = keys.iter().filter_map(|key| key.limits);
    let mut buckets: Vec<[Bucket; 2]> =
        limits.map(|(requests, tokens)| [Bucket::full(requests), Bucket::full(tokens)]).collect();
    let mut last = 0.0_f64;
    requests
        .map(|(at, tokens)| {
            let at = at.as_secs_f64();
            let now = last.max(at);
            let costs = [1.0, MEAN_TOKENS];
            let ready = |key: &[Bucket; 2]| key[0].ready(costs[0], now).max(key[1].ready(costs[1], now));
            let spare = |key: &[Bucket; 2]| key[0].fullness(now).min(key[1].fullness(now));
            let best = buckets.iter_mut().min_by(|one, other| {
                ready(one).total_cmp(&ready(other)).then(spare(other).total_cmp(&spare(one)))
            });
            let Some(best) = best else { return false };
            if now > at + patience.as_secs_f64() {
                return false;
            }
            let ready = ready(best);
            last = ready;
            for (bucket, cost) in best.iter_mut().zip([1.0, f64::from(tokens)]) {
                bucket.take(cost, ready);
            }
            true
        })
        .collect()
}
