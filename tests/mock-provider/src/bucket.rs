//! Real token buckets, and the headers by which providers tell how full they are.

use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::dialect::Dialect;

/// A bucket's size and how fast a whole one fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How much may be taken at once from a full bucket.
    pub capacity: u32,
    /// How long an empty bucket needs to fill.
    pub per: Duration,
}

/// A bucket that fills with time.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, level: f64::from(rate.capacity), at: now }
    }

    fn fill(&mut self, now: Instant) {
        let added = now.saturating_duration_since(self.at).as_secs_f64() * self.speed();
        self.level = (self.level + added).min(f64::from(self.rate.capacity));
        self.at = now;
    }

    fn speed(&self) -> f64 {
        f64::from(self.rate.capacity) / self.rate.per.as_secs_f64()
    }

    /// How long until `amount` is there.
    pub(crate) fn wait(&mut self, amount: f64, now: Instant) -> Duration {
        self.fill(now);
        let missing = amount.min(f64::from(self.rate.capacity)) - self.level;
        // A hair more, so that a client that waits exactly so long is served.
        if missing <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(missing / self.speed() + 0.001) }
    }

    pub(crate) fn take(&mut self, amount: f64) {
        self.level = (self.level - amount).max(0.0);
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, never above a u32"
    )]
    fn remaining(&self) -> u32 {
        self.level as u32
    }

    /// Until the bucket is full again.
    fn until_full(&self) -> Duration {
        Duration::from_secs_f64((f64::from(self.rate.capacity) - self.level).max(0.0) / self.speed())
    }
}

/// A key's two buckets.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) requests: Option<Bucket>,
    pub(crate) tokens: Option<Bucket>,
}

impl Buckets {
    /// Takes what a request costs from both buckets, or from neither.
    ///
    /// # Errors
    /// How long to wait, and whether for tokens.
    pub(crate) fn take(&mut self, tokens: u32, now: Instant) -> Result<(), (Duration, bool)> {
        let costs = [(&mut self.requests, 1.0, false), (&mut self.tokens, f64::from(tokens), true)];
        for (bucket, amount, is_tokens) in costs {
            let wait = bucket.as_mut().map_or(Duration::ZERO, |bucket| bucket.wait(amount, now));
            if !wait.is_zero() {
                return Err((wait, is_tokens));
            }
        }
        if let Some(bucket) = &mut self.requests {
            bucket.take(1.0);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(f64::from(tokens));
        }
        Ok(())
    }

    /// The headers that tell where the buckets stand.
    pub(crate) fn headers(&self, dialect: Dialect) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, bucket) in [("requests", &self.requests), ("tokens", &self.tokens)] {
            let Some(bucket) = bucket else { continue };
            let (limit, remaining) = (bucket.rate.capacity.to_string(), bucket.remaining().to_string());
            match dialect {
                Dialect::Gemini => {}
                Dialect::Anthropic => {
                    let reset = Timestamp::try_from(SystemTime::now() + bucket.until_full())
                        .and_then(|at| {
                            at.round(jiff::Unit::Second)?.checked_add(SignedDuration::from_secs(1))
                        })
                        .map(|at| at.to_string())
                        .unwrap_or_default();
                    let field = |field: &str| format!("anthropic-ratelimit-{name}-{field}");
                    headers.extend([
                        (field("limit"), limit),
                        (field("remaining"), remaining),
                        (field("reset"), reset),
                    ]);
                }
                Dialect::OpenAi | Dialect::Azure => {
                    let field = |field: &str| format!("x-ratelimit-{field}-{name}");
                    headers.extend([
                        (field("limit"), limit),
                        (field("remaining"), remaining),
                        (field("reset"), go_duration(bucket.until_full())),
                    ]);
                }
            }
        }
        headers
    }
}

/// The hint on a 429.
pub(crate) fn retry_headers(dialect: Dialect, wait: Duration) -> Vec<(String, String)> {
    let seconds = format!("{}", wait.as_secs_f64().ceil());
    match dialect {
        Dialect::Gemini => vec![],
        Dialect::Anthropic => vec![("retry-after".into(), seconds)],
        Dialect::OpenAi | Dialect::Azure => vec![
            ("retry-after".into(), seconds),
            ("retry-after-ms".into(), wait.as_millis().max(1).to_string()),
        ],
    }
}

/// A duration as Go prints it, which is how OpenAI does: `1m0.5s`, `20ms`.
pub(crate) fn go_duration(time: Duration) -> String {
    let total = time.as_secs_f64();
    if total < 1.0 {
        return format!("{}ms", time.as_millis());
    }
    let (minutes, seconds) = ((total / 60.0).floor(), total % 60.0);
    let seconds = format!("{seconds:.3}");
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    if minutes > 0.0 { format!("{minutes}m{seconds}s") } else { format!("{seconds}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_capacity_then_says_how_long_to_wait_and_fills_again() {
        let now = Instant::now();
        let rate = Rate { capacity: 2, per: Duration::from_secs(10) };
        let mut buckets = Buckets { requests: Some(Bucket::full(rate, now)), tokens: None };
        assert_eq!(buckets.take(5, now), Ok(()));
        assert_eq!(buckets.take(5, now), Ok(()));
        let (wait, tokens) = buckets.take(5, now).unwrap_err();
        assert!(!tokens);
        assert!(wait > Duration::from_secs(5) && wait < Duration::from_millis(5010), "{wait:?}");
        assert_eq!(buckets.take(5, now + wait), Ok(()));
    }

    #[test]
    fn tokens_that_ran_out_cost_no_request() {
        let now = Instant::now();
        let per = Duration::from_mins(1);
        let mut buckets = Buckets {
            requests: Some(Bucket::full(Rate { capacity: 2, per }, now)),
            tokens: Some(Bucket::full(Rate { capacity: 10, per }, now)),
        };
        assert_eq!(buckets.take(10, now), Ok(()));
        assert!(buckets.take(10, now).unwrap_err().1);
        let headers = buckets.headers(Dialect::OpenAi);
        assert!(headers.contains(&("x-ratelimit-remaining-requests".into(), "1".into())), "{headers:?}");
        assert!(headers.contains(&("x-ratelimit-remaining-tokens".into(), "0".into())), "{headers:?}");
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        for (milliseconds, want) in [(20, "20ms"), (1500, "1.5s"), (60_500, "1m0.5s"), (2000, "2s")] {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), want);
        }
    }
}
