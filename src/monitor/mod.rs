//! The paths that tell the daemon's state (spec §10): ours alone, they never fall through to the proxy.

mod admin;
pub mod alert;
mod dashboard;
mod metrics;
mod page;
mod process;
pub mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::process::Process;
use self::series::{Series, Snapshot};
use crate::group::Group;
use crate::keys::{Blacklisted, States};
use crate::proxy::admission::Admission;
use crate::proxy::credentials::Tokens;
use crate::proxy::revalidate::{Checks, Found, Intervals};
use crate::refusal::Refusal;
use crate::telemetry::Lost;
use crate::telemetry::counters::{Counters, End};
use crate::telemetry::failures::Failures;
use crate::telemetry::histogram::{Distribution, FIRST_TOKEN, Histogram};
use crate::telemetry::models::Models;
use crate::upstream::Upstream;

pub use self::page::Page;

/// What the monitoring paths look at.
#[derive(Clone)]
pub struct Monitor {
    /// The keys and upstreams.
    pub group: Arc<Group>,
    /// What was counted.
    pub counters: Arc<Counters>,
    /// Attempts that failed.
    pub failures: Arc<Failures>,
    /// What each model did.
    pub models: Arc<Models>,
    /// The last hour.
    pub series: Arc<Series>,
    /// What is running.
    pub admission: Arc<Admission>,
    /// `ADMIN_KEY`, or `AUTH_KEY` where that is not set.
    pub tokens: Tokens,
    /// Whether the process drains.
    pub draining: Arc<AtomicBool>,
    /// What re-checks of keys came to.
    pub checks: Arc<Checks>,
    /// How often they are.
    pub intervals: Intervals,
    /// Log lines that were lost.
    pub lost_log_lines: Lost,
    /// Since when it serves.
    pub began: Instant,
    /// How many workers serve.
    pub workers: usize,
}

impl Monitor {
    /// Whether a page of another origin may read this one. Where a token is asked for, the token protects; without one,
    /// any page in the operator's browser could read the keys' state.
    pub fn is_readable_cross_origin(&self, page: Page) -> bool {
        page.is_open() || !self.tokens.is_open()
    }

    /// Answers a request for one of our own paths.
    pub async fn answer(&self, page: Page, parts: &Parts) -> Response<Bytes> {
        self.page(page, parts).await.unwrap_or_else(|refusal| refusal.answer())
    }

    async fn page(&self, page: Page, parts: &Parts) -> Result<Response<Bytes>, Refusal> {
        page.allows(&parts.method)?;
        if !page.is_open() {
            self.tokens.check(parts)?;
        }
        Ok(match page {
            Page::Health => self.health(),
            Page::Livez => json_response(StatusCode::OK, &json!({ "status": "alive" })),
            Page::Readyz => self.readyz(),
            Page::Stats => json_response(StatusCode::OK, &self.stats()),
            Page::Blacklist => self.blacklist().await?,
            Page::Metrics => self.metrics(),
            Page::ResetKeys => self.reset_keys(&parts.headers).await?,
            Page::Dashboard(asset) => asset.answer(),
            Page::Admin => self.admin(parts).await?,
            Page::Nowhere => return Err(admin::not_found()),
        })
    }

    fn health(&self) -> Response<Bytes> {
        let (healthy, total) = (self.group.keys.healthy(), self.group.keys.total());
        let (status, word) = match healthy {
            0 => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
            _ => (StatusCode::OK, "healthy"),
        };
        let body = json!({
            "status": word,
            "timestamp": now(),
            "healthy_keys": healthy,
            "total_keys": total,
            "uptime": uptime(self.began.elapsed()),
        });
        json_response(status, &body)
    }

    fn readyz(&self) -> Response<Bytes> {
        let draining = self.draining.load(Ordering::Relaxed);
        let (status, word) = match (draining, self.group.keys.healthy()) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, 0) => (StatusCode::SERVICE_UNAVAILABLE, "no key is available"),
            (false, _) => (StatusCode::OK, "ready"),
        };
        json_response(status, &json!({ "status": word }))
    }

    fn stats(&self) -> Value {
        let keys = &self.group.keys;
        let (total, healthy) = (keys.total(), keys.healthy());
        let failures: serde_json::Map<String, Value> = End::ALL
            .into_iter()
            .filter(|end| *end != End::Success)
            .map(|end| (end.name().to_owned(), self.counters.ended(end).into()))
            .collect();
        let failed: u64 = failures.values().filter_map(Value::as_u64).sum();
        let succeeded = self.counters.ended(End::Success);
        json!({
            "keys": {
                "total": total,
                "healthy": healthy,
                "blacklisted": total.saturating_sub(healthy),
                "out_for_models": keys.out_for_models(),
                "current_index": keys.current_index(),
                "waiting": keys.waiting(),
                "storms": self.storms(),
                "earliest_return_s": keys.earliest_return(None).map(|wait| wait.as_secs_f64()),
            },
            "requests": {
                "success_count": succeeded,
                "failure_count": failed,
                // What has ended: it adds up whatever is running meanwhile.
                "total_count": succeeded + failed,
                "running": self.admission.running(),
                "attempts": self.counters.attempts(),
                "healed": self.counters.healed(),
                "failures": failures,
            },
            "revalidation": {
                "checked": self.checks.checked(),
                "restored": self.checks.count(Found::Restored),
                "confirmed": self.checks.count(Found::Confirmed),
                "inconclusive": self.checks.count(Found::Inconclusive),
                "last_run": self.checks.last_run().map(rfc3339),
            },
            "upstreams": self.upstreams(),
            "usage": self.usage(),
            "memory": Process::look().memory(),
            "system": {
                "version": env!("CARGO_PKG_VERSION"),
                "pid": std::process::id(),
                "workers": self.workers,
                "uptime": uptime(self.began.elapsed()),
                "uptime_s": self.began.elapsed().as_secs(),
                "draining": self.draining.load(Ordering::Relaxed),
                "lost_log_lines": self.lost_log_lines.lines(),
            },
            "timestamp": now(),
        })
    }

    fn upstreams(&self) -> Value {
        let all = &self.group.upstreams;
        let each = all.all().iter().map(|upstream| {
            let report = all.report(upstream);
            json!({
                "url": upstream.url.to_string(),
                "healthy": report.ejected_for.is_none(),
                "attempts": report.attempts,
                "faults": report.faults,
                "ejections": report.ejections,
                "sent_again": report.sent_again,
                "consecutive_faults": report.consecutive_faults,
                "ejected_until": report.ejected_for.map(|wait| rfc3339(SystemTime::now() + wait)),
            })
        });
        Value::Array(each.collect())
    }

    /// Upstreams that refuse most of the pool's keys, or are at limits of their own.
    fn storms(&self) -> Value {
        let each = self.group.keys.storms().into_iter().filter_map(|(upstream, since, suspects)| {
            let url = self.group.upstreams.all().get(upstream)?.url.to_string();
            Some(json!({ "upstream": url, "since": rfc3339(since), "suspects": suspects }))
        });
        Value::Array(each.collect())
    }

    /// Tokens by model.
    fn usage(&self) -> Value {
        let models = self.models.all();
        let each = models.iter().map(|model| {
            json!({
                "model": model.name,
                "operation": model.operation.name(),
                "provider": model.provider,
                "requests": model.durations().count(),
                "input_tokens": model.input().sum,
                "output_tokens": model.output().sum,
                "cached_tokens": model.cached(),
            })
        });
        Value::Array(each.collect())
    }

    /// Everything that is looked at over time, as it stands now.
    pub fn snapshot(&self) -> Snapshot {
        let models = self.models.all();
        let empty = || Distribution::of(&FIRST_TOKEN, [&Histogram::new(&FIRST_TOKEN)]);
        let first_tokens = models.iter().map(|model| model.first_tokens()).fold(empty(), Distribution::and);
        Snapshot {
            at: SystemTime::now(),
            requests: self.counters.ended_in_all(),
            succeeded: self.counters.ended(End::Success),
            failed: self.counters.failed(),
            healed: self.counters.healed(),
            attempts: self.counters.attempts(),
            running: self.admission.running(),
            waiting: self.group.keys.waiting(),
            keys: self.group.keys.counts(),
            input_tokens: models.iter().map(|model| model.input().sum).sum(),
            output_tokens: models.iter().map(|model| model.output().sum).sum(),
            durations: self.counters.durations(),
            first_tokens,
            losses: Arc::new(self.group.keys.losses()),
        }
    }

    async fn blacklist(&self) -> Result<Response<Bytes>, Refusal> {
        let group = Arc::clone(&self.group);
        // Tens of thousands of entries would hold up the worker's other requests.
        let list = spawn_blocking(move || {
            let entries: Vec<Value> =
                group.keys.blacklisted().iter().map(|key| entry(key, group.upstreams.all())).collect();
            let count = entries.len();
            json_response(
                StatusCode::OK,
                &json!({ "blacklisted_keys": entries, "count": count, "timestamp": now() }),
            )
        });
        list.await.map_err(|_| Refusal::internal())
    }

    async fn reset_keys(&self, headers: &HeaderMap) -> Result<Response<Bytes>, Refusal> {
        if is_cross_site(headers) {
            let message = "Another site's page may not reset the keys.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "cross_site_request", End::BadRequest, message));
        }
        let group = Arc::clone(&self.group);
        let reload = spawn_blocking(move || group.reload(States::Clear));
        match reload.await.map_err(|_| Refusal::internal())? {
            Ok(()) => {
                let body = json!({
                    "message": "The keys file was read again and every key's state was cleared.",
                    "total_keys": self.group.keys.total(),
                    "healthy_keys": self.group.keys.healthy(),
                    "timestamp": now(),
                });
                Ok(json_response(StatusCode::OK, &body))
            }
            Err(error) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "keys_file_unusable",
                End::Internal,
                format!("Nothing was reset, the keys are as they were. {error}"),
            )),
        }
    }
}

/// Whether a browser says that another site's page sent this (Fetch Metadata; `Origin` for browsers without it).
fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.as_bytes().windows(3).position(|window| window == b"://").map(|at| at + 3);
    let authority = authority.and_then(|at| origin.as_bytes().get(at..));
    authority.is_none() || authority != headers.get(HOST).map(HeaderValue::as_bytes)
}

fn entry(key: &Blacklisted, upstreams: &[Upstream]) -> Value {
    let upstream = key.cause.upstream.and_then(|index| upstreams.get(index));
    json!({
        "index": key.index,
        "preview": key.preview,
        "reason": key.verdict(),
        "permanent": key.permanent,
        "blacklist_at": rfc3339(key.blacklist_at),
        "recovers_at": key.recovers_at.map(rfc3339),
        "fail_count": key.fail_count,
        "model": key.model,
        "rule": key.cause.rule,
        "last_error": key.cause.error,
        "status": key.cause.status,
        "code": key.cause.code,
        "wait_s": key.cause.wait.map(|wait| wait.as_secs_f64()),
        "wait_from": key.cause.wait_from,
        "upstream": upstream.map(|upstream| upstream.url.to_string()),
        "provider": upstream.map(|upstream| upstream.provider),
    })
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn now() -> String {
    rfc3339(SystemTime::now())
}

fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// "3h7m12s", as the original prints it.
fn uptime(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_reset() {
        for (headers, want) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("origin", "http://localhost:3000"), ("host", "localhost:3000")], false),
            (&[("origin", "http://evil.example"), ("host", "localhost:3000")], true),
            (&[("origin", "null"), ("host", "localhost:3000")], true),
        ] {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value))
                })
                .collect();
            assert_eq!(is_cross_site(&map), want, "{headers:?}");
        }
    }

    #[test]
    fn uptime_reads_as_people_say_it() {
        for (seconds, want) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (3_600, "1h0m0s"), (90_061, "25h1m1s")]
        {
            assert_eq!(uptime(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(
            rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)),
            "1970-01-01T00:00:01.500Z"
        );
    }
}
