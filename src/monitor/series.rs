//! The last hour, a point every ten seconds: what the dashboard draws, and what the forecast rests on. Sampled by the
//! background thread; nothing here is on a request's way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::rfc3339;
use crate::keys::Counts;
use crate::telemetry::histogram::Distribution;

/// How far apart points are.
pub const STEP: Duration = Duration::from_secs(10);
const POINTS: usize = 360;
/// Less than this is too short to tell where the pool is going.
const SHORTEST_TREND: Duration = Duration::from_secs(60);

/// Everything that is looked at, as it stands at a moment: counts since the process began.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: SystemTime,
    /// Requests that ended.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed for another reason than their client's own doing.
    pub failed: u64,
    /// Those that succeeded after a failed attempt.
    pub healed: u64,
    /// Attempts.
    pub attempts: u64,
    /// Requests under way.
    pub running: usize,
    /// Requests that wait for a key.
    pub waiting: usize,
    /// Where the keys stand.
    pub keys: Counts,
    /// Tokens of requests.
    pub input_tokens: f64,
    /// Tokens of answers.
    pub output_tokens: f64,
    /// How long requests took.
    pub durations: Distribution,
    /// How long the first token of a stream took.
    pub first_tokens: Distribution,
    /// Keys that left the rotation, by cause.
    pub losses: Arc<Vec<(&'static str, bool, u64)>>,
}

/// Where the pool is going.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The share of the keys that is in rotation.
    pub headroom: f64,
    /// When none will be left, if it goes on as in the last hour; `None`: never.
    pub exhausted_in: Option<Duration>,
    /// Keys that left the rotation within the last hour (or since the process began), by cause.
    pub lost: Vec<(&'static str, u64)>,
    /// How long that was.
    pub over: Duration,
}

/// The last hour.
#[derive(Debug, Default)]
pub struct Series {
    points: Mutex<VecDeque<Snapshot>>,
}

impl Series {
    /// Takes a point down.
    pub fn push(&self, mut now: Snapshot) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = points.back()
            && last.losses == now.losses
        {
            now.losses = Arc::clone(&last.losses);
        }
        if points.len() > POINTS {
            points.pop_front();
        }
        points.push_back(now);
    }

    fn with(&self, now: Snapshot) -> Vec<Snapshot> {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        points.iter().cloned().chain([now]).collect()
    }

    /// How long requests and first tokens took in the last hour, or since the process began.
    pub fn quantiles(&self, now: &Snapshot) -> Value {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let (durations, first_tokens) = match points.front() {
            Some(then) => (now.durations.since(&then.durations), now.first_tokens.since(&then.first_tokens)),
            None => (now.durations.clone(), now.first_tokens.clone()),
        };
        json!({ "duration_s": quantiles(&durations), "first_token_s": quantiles(&first_tokens) })
    }

    /// Where the pool is going, seen from now.
    pub fn forecast(&self, now: Snapshot) -> Forecast {
        forecast(&self.with(now))
    }

    /// The points, so many put together each; the last one goes up to now.
    pub fn json(&self, now: Snapshot, together: usize) -> Value {
        let all = self.with(now);
        let together = together.max(1);
        // From the end, so that the latest points are whole.
        let mut marks: Vec<&Snapshot> = all.iter().rev().skip(1).step_by(together).collect();
        marks.reverse();
        marks.extend(all.last());
        let points: Vec<Value> = marks
            .windows(2)
            .filter_map(|pair| match pair {
                [then, now] => Some(point(then, now)),
                _ => None,
            })
            .collect();
        json!({ "step_s": STEP.as_secs() * together as u64, "points": points })
    }
}

fn point(then: &Snapshot, now: &Snapshot) -> Value {
    let seconds = now.at.duration_since(then.at).unwrap_or_default().as_secs_f64();
    let requests = now.requests.saturating_sub(then.requests);
    let (durations, first) =
        (now.durations.since(&then.durations), now.first_tokens.since(&then.first_tokens));
    let quantiles = |of: &Distribution| json!({ "p50": of.quantile(0.5), "p95": of.quantile(0.95), "p99": of.quantile(0.99) });
    json!({
        "at": rfc3339(now.at),
        "seconds": seconds,
        "requests": requests,
        "succeeded": now.succeeded.saturating_sub(then.succeeded),
        "failed": now.failed.saturating_sub(then.failed),
        "healed": now.healed.saturating_sub(then.healed),
        "attempts": now.attempts.saturating_sub(then.attempts),
        "running": now.running,
        "waiting": now.waiting,
        "duration_s": quantiles(&durations),
        "first_token_s": quantiles(&first),
        "keys": {
            "available": now.keys.available,
            "cooldown": now.keys.cooldown,
            "blacklisted": now.keys.blacklisted,
        },
        "input_tokens": (now.input_tokens - then.input_tokens).max(0.0),
        "output_tokens": (now.output_tokens - then.output_tokens).max(0.0),
    })
}

fn quantiles(of: &Distribution) -> Value {
    json!({ "p50": of.quantile(0.5), "p95": of.quantile(0.95), "p99": of.quantile(0.99) })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn forecast(all: &[Snapshot]) -> Forecast {
    let Some(now) = all.last() else {
        return Forecast { headroom: 0.0, exhausted_in: None, lost: Vec::new(), over: Duration::ZERO };
    };
    let total = |point: &Snapshot| point.keys.available + point.keys.cooldown + point.keys.blacklisted;
    // A reload changes what there is: what was before says nothing of where it is going.
    let alike: Vec<&Snapshot> = all.iter().rev().take_while(|point| total(point) == total(now)).collect();
    let rate_since = |then: &Snapshot| {
        let time = now.at.duration_since(then.at).unwrap_or_default();
        let shrunk = then.keys.available.saturating_sub(now.keys.available);
        if time < SHORTEST_TREND { 0.0 } else { shrunk as f64 / time.as_secs_f64() }
    };
    // The later half counts too: the bad keys of a new pool all show within its first lap, and that is no trend.
    let of =
        |share: usize| alike.get(alike.len().saturating_sub(1) / share).map_or(0.0, |then| rate_since(then));
    let rate = of(1).min(of(2));
    let exhausted_in = match now.keys.available {
        0 => Some(Duration::ZERO),
        available if rate > 0.0 => Duration::try_from_secs_f64(available as f64 / rate).ok(),
        _ => None,
    };
    let first = all.first().unwrap_or(now);
    let before = |cause: &str, of_model: bool| {
        first
            .losses
            .iter()
            .find(|(name, model, _)| *name == cause && *model == of_model)
            .map_or(0, |(_, _, n)| *n)
    };
    let lost = now
        .losses
        .iter()
        .filter(|(_, of_model, _)| !of_model)
        .map(|(cause, of_model, count)| (*cause, count.saturating_sub(before(cause, *of_model))))
        .filter(|(_, count)| *count > 0)
        .collect();
    Forecast {
        headroom: if total(now) == 0 { 0.0 } else { now.keys.available as f64 / total(now) as f64 },
        exhausted_in,
        lost,
        over: now.at.duration_since(first.at).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::histogram::{FIRST_TOKEN, Histogram, LATENCY};

    fn snapshot(seconds: u64, available: usize, total: usize, requests: u64) -> Snapshot {
        Snapshot {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            requests,
            succeeded: requests,
            failed: 0,
            healed: 0,
            attempts: requests,
            running: 0,
            waiting: 0,
            keys: Counts { available, cooldown: 0, blacklisted: total - available, next_back: None },
            input_tokens: 0.0,
            output_tokens: 0.0,
            durations: Distribution::of(&LATENCY, [&Histogram::new(&LATENCY)]),
            first_tokens: Distribution::of(&FIRST_TOKEN, [&Histogram::new(&FIRST_TOKEN)]),
            losses: Arc::new(vec![("key_invalid", false, (total - available) as u64)]),
        }
    }

    #[test]
    fn a_pool_that_shrinks_evenly_is_empty_when_the_line_meets_zero() {
        let series = Series::default();
        series.push(snapshot(0, 100, 100, 0));
        series.push(snapshot(300, 90, 100, 0));
        let forecast = series.forecast(snapshot(600, 80, 100, 0));
        assert_eq!(forecast.exhausted_in, Some(Duration::from_secs(2400)));
        assert_eq!((forecast.headroom, forecast.lost), (0.8, vec![("key_invalid", 20)]));
    }

    #[test]
    fn bad_keys_that_a_first_lap_finds_are_no_trend() {
        let series = Series::default();
        for (seconds, available) in [(0, 100), (10, 60), (100, 60), (200, 60)] {
            series.push(snapshot(seconds, available, 100, 0));
        }
        assert_eq!(series.forecast(snapshot(300, 60, 100, 0)).exhausted_in, None);
    }

    #[test]
    fn a_pool_that_grows_stands_still_or_was_just_reloaded_has_no_end() {
        for (then, now) in
            [((0, 80, 100), (600, 90, 100)), ((0, 80, 100), (600, 80, 100)), ((0, 100, 100), (600, 40, 50))]
        {
            let series = Series::default();
            series.push(snapshot(then.0, then.1, then.2, 0));
            assert_eq!(series.forecast(snapshot(now.0, now.1, now.2, 0)).exhausted_in, None);
        }
        assert_eq!(Series::default().forecast(snapshot(0, 0, 5, 0)).exhausted_in, Some(Duration::ZERO));
    }

    #[test]
    fn points_put_together_lose_no_request_and_memory_is_bounded() {
        let series = Series::default();
        for number in 0..1000 {
            series.push(snapshot(number * 10, 5, 5, number * 3));
        }
        for together in [1, 6, 7] {
            let told = series.json(snapshot(10_000, 5, 5, 3_000), together);
            let points = told["points"].as_array().unwrap();
            let requests: u64 = points.iter().map(|point| point["requests"].as_u64().unwrap()).sum();
            let covered: f64 = points.iter().map(|point| point["seconds"].as_f64().unwrap()).sum();
            assert!((f64::from(u32::try_from(requests).unwrap()) - covered * 0.3).abs() < 1e-6);
            assert!(covered <= 3610.0 && covered > 3500.0, "{covered}");
        }
    }
}
