//! The API behind the dashboard, `/admin/api/…` (`docs/api.md`): keys by the page, each one's story, what an operator
//! may do, the last failed attempts, the last hour. Every path under `/admin/` is ours.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;
use url::form_urlencoded;

use super::process::Process;
use super::{Monitor, entry, is_cross_site, json_response, now, rfc3339};
use crate::keys::{
    BY_OPERATOR, Blacklisted, KeyState, KeyView, LONGEST_COOLDOWN, Query, Sort, States, Wanted,
};
use crate::refusal::Refusal;
use crate::telemetry::counters::End;
use crate::telemetry::failures::FailedAttempt;
use crate::verdict::Verdict;

/// The description of this API for programs.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;
/// Failed attempts that a key's story tells.
const OF_ONE_KEY: usize = 20;

/// What keys are out for: the verdicts that set a key aside, or an operator's word.
const REASONS: [(&str, &str); 4] = [
    ("key_invalid", "key_invalid"),
    ("key_exhausted", "key_exhausted"),
    ("key_limited", "key_limited"),
    (BY_OPERATOR, BY_OPERATOR),
];
/// What an attempt fails with.
const VERDICTS: [Verdict; 5] = [
    Verdict::KeyInvalid,
    Verdict::KeyExhausted,
    Verdict::KeyLimited,
    Verdict::UpstreamFault,
    Verdict::RequestFault,
];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Overview,
    Keys,
    Key(u32),
    Failures,
    Series,
    OpenApi,
    Act(Act),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Restore(u32),
    Blacklist(u32),
    RestoreAll,
    Reload,
}

impl Route {
    fn at(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/admin/api/")?;
        Some(match rest {
            "overview" => Self::Overview,
            "keys" => Self::Keys,
            "failures" => Self::Failures,
            "series" => Self::Series,
            "openapi.json" => Self::OpenApi,
            "keys/restore" => Self::Act(Act::RestoreAll),
            "reload" => Self::Act(Act::Reload),
            _ => {
                let (index, what) = match rest.strip_prefix("keys/")?.split_once('/') {
                    Some((index, what)) => (index, Some(what)),
                    None => (rest.strip_prefix("keys/")?, None),
                };
                let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
                let index = index.parse().ok().filter(|_| is_number)?;
                match what {
                    None => Self::Key(index),
                    Some("restore") => Self::Act(Act::Restore(index)),
                    Some("blacklist") => Self::Act(Act::Blacklist(index)),
                    Some(_) => return None,
                }
            }
        })
    }
}

/// A path that is ours and leads nowhere.
pub(super) fn not_found() -> Refusal {
    let message = "There is nothing at this path. docs/api.md lists what there is.";
    Refusal::new(StatusCode::NOT_FOUND, "not_found", End::BadRequest, message)
}

/// The query's parameters; what is not among the known ones is a typing error that must not go unnoticed.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(parts: &Parts, known: &[&str]) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let mut read = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            // The token may come this way (spec §5).
            if name == "key" || value.is_empty() {
                continue;
            }
            if !known.contains(&&*name) {
                let there_are = if known.is_empty() {
                    "this path takes none".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                return Err(Refusal::bad_request(format!("There is no parameter {name:?}: {there_are}.")));
            }
            read.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(read))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, within: RangeInclusive<usize>) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().ok().filter(|number| within.contains(number)).map(Some).ok_or_else(|| {
            let (least, most) = within.into_inner();
            Refusal::bad_request(format!("{name} has to be a whole number from {least} to {most}."))
        })
    }

    fn one_of<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        if let Some((_, value)) = values.iter().find(|(value, _)| *value == text) {
            return Ok(Some(*value));
        }
        let all: Vec<_> = values.iter().map(|(value, _)| *value).collect();
        Err(Refusal::bad_request(format!("{name} has to be one of {}.", all.join(", "))))
    }
}

impl Monitor {
    /// Answers a request below `/admin/`. Its token was checked.
    pub(super) async fn admin(&self, parts: &Parts) -> Result<Response<Bytes>, Refusal> {
        let route = Route::at(parts.uri.path()).ok_or_else(not_found)?;
        if let Route::Act(act) = route {
            if parts.method != Method::POST {
                return Err(Refusal::method_not_allowed("POST"));
            }
            if is_cross_site(&parts.headers) {
                let message = "Another site's page may not act here.";
                let code = "cross_site_request";
                return Err(Refusal::new(StatusCode::FORBIDDEN, code, End::BadRequest, message));
            }
            return self.act(act, parts).await;
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Refusal::method_not_allowed("GET, HEAD"));
        }
        let body = match route {
            Route::Overview => {
                Parameters::read(parts, &[])?;
                self.overview()
            }
            Route::Keys => self.keys(parts).await?,
            Route::Key(index) => {
                Parameters::read(parts, &[])?;
                self.story(index)?
            }
            Route::Failures => self.failures(parts)?,
            Route::Series => {
                let parameters = Parameters::read(parts, &["step"])?;
                let step = parameters.number("step", 1..=360)?.unwrap_or(1);
                self.series.json(self.snapshot(), step)
            }
            Route::OpenApi => {
                Parameters::read(parts, &[])?;
                let mut response = Response::new(Bytes::from_static(OPENAPI.as_bytes()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                return Ok(response);
            }
            Route::Act(_) => return Err(Refusal::internal()),
        };
        Ok(json_response(StatusCode::OK, &body))
    }

    fn overview(&self) -> Value {
        let now_at = self.snapshot();
        let hour = self.series.quantiles(&now_at);
        let (requests, succeeded, healed) = (now_at.requests, now_at.succeeded, now_at.healed);
        let failed = now_at.failed;
        let (attempts, running, waiting) = (now_at.attempts, now_at.running, now_at.waiting);
        let (input_tokens, output_tokens, keys) = (now_at.input_tokens, now_at.output_tokens, now_at.keys);
        let forecast = self.series.forecast(now_at);
        let lost: Map<String, Value> =
            forecast.lost.iter().map(|(cause, count)| ((*cause).to_owned(), (*count).into())).collect();
        let outcomes: Map<String, Value> = End::ALL
            .into_iter()
            .map(|end| (end.name().to_owned(), self.counters.ended(end).into()))
            .collect();
        let overheads = self.counters.overheads();
        let process = Process::look();
        json!({
            "timestamp": now(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": self.began.elapsed().as_secs_f64(),
            "draining": self.draining.load(std::sync::atomic::Ordering::Relaxed),
            "token_required": !self.tokens.is_open(),
            "requests": {
                "total": requests, "succeeded": succeeded, "failed": failed, "healed": healed,
                "attempts": attempts, "running": running, "outcomes": outcomes,
            },
            "tokens": { "input": input_tokens, "output": output_tokens },
            "last_hour": hour,
            "added_overhead_s": { "p50": overheads.quantile(0.5), "p99": overheads.quantile(0.99) },
            "keys": {
                "total": keys.available + keys.cooldown + keys.blacklisted,
                "available": keys.available, "cooldown": keys.cooldown, "blacklisted": keys.blacklisted,
                "waiting_requests": waiting,
                "earliest_return_s": keys.next_back.map(|wait| wait.as_secs_f64()),
            },
            "pool": {
                "headroom": forecast.headroom,
                "exhausted_in_s": forecast.exhausted_in.map(|left| left.as_secs_f64()),
                "lost": lost,
                "over_s": forecast.over.as_secs_f64(),
            },
            "upstreams": self.upstreams(),
            "storms": self.storms(),
            "usage": self.usage(),
            "process": {
                "rss_bytes": process.rss, "cpu_s": process.cpu_seconds, "open_files": process.open_files,
                "workers": self.workers, "lost_log_lines": self.lost_log_lines.lines(),
            },
        })
    }

    async fn keys(&self, parts: &Parts) -> Result<Value, Refusal> {
        let parameters =
            Parameters::read(parts, &["state", "reason", "q", "sort", "order", "offset", "limit"])?;
        let states = [
            ("all", Wanted::All),
            ("available", Wanted::In(KeyState::Available)),
            ("cooldown", Wanted::In(KeyState::Cooldown)),
            ("blacklisted", Wanted::In(KeyState::Blacklisted)),
            ("out", Wanted::Out),
            ("out_for_model", Wanted::OutForModel),
        ];
        let sorts = [
            ("index", Sort::Index),
            ("since", Sort::Since),
            ("recovers", Sort::Recovers),
            ("failures", Sort::Failures),
        ];
        let wanted = parameters.one_of("state", &states)?.unwrap_or_default();
        let sort = parameters.one_of("sort", &sorts)?.unwrap_or_default();
        let descending = parameters.one_of("order", &[("asc", false), ("desc", true)])?.unwrap_or_default();
        let reason = parameters.one_of("reason", &REASONS)?;
        let offset = parameters.number("offset", 0..=u32::MAX as usize)?.unwrap_or(0);
        let limit = parameters.number("limit", 0..=LARGEST_PAGE)?.unwrap_or(PAGE);
        let group = Arc::clone(&self.group);
        // Tens of thousands of keys would hold up the worker's other requests.
        let page = spawn_blocking(move || {
            let text = parameters.get("q");
            group.keys.page(&Query { wanted, reason, text, sort, descending, offset, limit })
        });
        let (matching, keys) = page.await.map_err(|_| Refusal::internal())?;
        let keys: Vec<Value> = keys.iter().map(|key| self.key(key)).collect();
        Ok(json!({ "total": self.group.keys.total(), "matching": matching, "offset": offset, "keys": keys }))
    }

    fn key(&self, key: &KeyView) -> Value {
        let models: Vec<Value> = key.models.iter().map(|out| self.out(out)).collect();
        json!({
            "index": key.index,
            "preview": key.preview,
            "state": key.state.name(),
            "served": key.served,
            "failed": key.failed,
            "failures_in_a_row": key.failures,
            "cooldowns_in_a_row": key.cooldowns,
            "out": key.out.as_ref().map(|out| self.out(out)),
            "out_for_models": models,
        })
    }

    /// Why a key is out: as in `/blacklist`, but for an operator's word, and with how often it is checked.
    fn out(&self, out: &Blacklisted) -> Value {
        let mut told = entry(out, self.group.upstreams.all());
        if let Some(told) = told.as_object_mut() {
            let checked = self.intervals.of_blacklisted(out).map(|every| every.as_secs_f64());
            told.insert("reason".to_owned(), out.reason().into());
            told.insert("checked_every_s".to_owned(), checked.into());
        }
        told
    }

    fn story(&self, index: u32) -> Result<Value, Refusal> {
        let key = self.group.keys.view(index).ok_or_else(not_found)?;
        let mut story = self.key(&key);
        // By its preview too: before a reload another key may have had its number.
        let of_key = |failed: &FailedAttempt| failed.key_index == index && failed.key_preview == key.preview;
        let last = self.failures.last(OF_ONE_KEY, of_key);
        let last: Vec<Value> = last.iter().map(|failed| self.failed(failed)).collect();
        if let Some(story) = story.as_object_mut() {
            story.insert("last_failures".to_owned(), last.into());
        }
        Ok(story)
    }

    fn failures(&self, parts: &Parts) -> Result<Value, Refusal> {
        let parameters = Parameters::read(parts, &["limit", "after", "verdict", "q"])?;
        let limit = parameters.number("limit", 0..=LARGEST_PAGE)?.unwrap_or(PAGE);
        let after = parameters.number("after", 0..=usize::MAX)?.unwrap_or(0) as u64;
        let verdicts = VERDICTS.map(|verdict| (verdict.name(), verdict.name()));
        let verdict = parameters.one_of("verdict", &verdicts)?;
        let text = parameters.get("q").map(str::to_lowercase);
        let has = |failed: &FailedAttempt, text: &str| {
            [&failed.key_preview, &failed.error, failed.rule]
                .iter()
                .any(|said| said.to_lowercase().contains(text))
        };
        let last = self.failures.last(limit, |failed| {
            failed.number > after
                && verdict.is_none_or(|verdict| failed.verdict == verdict)
                && text.as_deref().is_none_or(|text| has(failed, text))
        });
        let failures: Vec<Value> = last.iter().map(|failed| self.failed(failed)).collect();
        Ok(json!({ "failures": failures }))
    }

    fn failed(&self, failed: &FailedAttempt) -> Value {
        let upstream = self.group.upstreams.all().get(failed.upstream);
        json!({
            "number": failed.number,
            "at": rfc3339(failed.at),
            "request_id": failed.request_id,
            "attempt": failed.attempt,
            "key_index": failed.key_index,
            "key_preview": failed.key_preview,
            "upstream": upstream.map(|upstream| upstream.url.to_string()),
            "model": failed.model,
            "verdict": failed.verdict,
            "rule": failed.rule,
            "status": failed.status,
            "error": failed.error,
        })
    }

    async fn act(&self, act: Act, parts: &Parts) -> Result<Response<Bytes>, Refusal> {
        let message = match act {
            Act::Restore(index) => {
                let parameters = Parameters::read(parts, &["preview"])?;
                self.the_one_that_is_meant(index, &parameters)?;
                self.group.keys.restore(index);
                tracing::info!(key_index = index, "an operator brought a key back");
                "The key is back in rotation.".to_owned()
            }
            Act::Blacklist(index) => {
                let parameters = Parameters::read(parts, &["preview", "seconds"])?;
                self.the_one_that_is_meant(index, &parameters)?;
                let longest = usize::try_from(LONGEST_COOLDOWN.as_secs()).unwrap_or(usize::MAX);
                let seconds = parameters.number("seconds", 1..=longest)?;
                let wait = seconds.map(|seconds| Duration::from_secs(seconds as u64));
                self.group.keys.set_aside_by_operator(index, wait);
                tracing::info!(key_index = index, seconds, "an operator set a key aside");
                "The key is set aside.".to_owned()
            }
            Act::RestoreAll => {
                Parameters::read(parts, &[])?;
                let group = Arc::clone(&self.group);
                let restored = spawn_blocking(move || group.keys.restore_all());
                let restored = restored.await.map_err(|_| Refusal::internal())?;
                tracing::info!(keys = restored, "an operator brought all keys back");
                format!("{restored} keys are back in rotation.")
            }
            Act::Reload => {
                Parameters::read(parts, &[])?;
                let group = Arc::clone(&self.group);
                let reload = spawn_blocking(move || group.reload(States::Keep));
                reload.await.map_err(|_| Refusal::internal())?.map_err(|error| {
                    let message = format!("Nothing was reloaded, the keys are as they were. {error}");
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    Refusal::new(status, "keys_file_unusable", End::Internal, message)
                })?;
                "The keys file was read again; keys that stay keep their state.".to_owned()
            }
        };
        let body = json!({
            "message": message,
            "total_keys": self.group.keys.total(),
            "healthy_keys": self.group.keys.healthy(),
            "timestamp": rfc3339(SystemTime::now()),
        });
        Ok(json_response(StatusCode::OK, &body))
    }

    /// Makes sure that a number still is the key whose preview the operator saw: a reload may have moved it.
    fn the_one_that_is_meant(&self, index: u32, parameters: &Parameters) -> Result<(), Refusal> {
        let key = self.group.keys.view(index).ok_or_else(not_found)?;
        if parameters.get("preview").is_some_and(|preview| preview != key.preview) {
            let message = "Another key has this number now: the keys file was reloaded.";
            return Err(Refusal::new(StatusCode::CONFLICT, "key_moved", End::BadRequest, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_say_and_nowhere_else() {
        for (path, want) in [
            ("/admin/api/overview", Some(Route::Overview)),
            ("/admin/api/keys", Some(Route::Keys)),
            ("/admin/api/keys/7", Some(Route::Key(7))),
            ("/admin/api/keys/7/restore", Some(Route::Act(Act::Restore(7)))),
            ("/admin/api/keys/0/blacklist", Some(Route::Act(Act::Blacklist(0)))),
            ("/admin/api/keys/restore", Some(Route::Act(Act::RestoreAll))),
            ("/admin/api/reload", Some(Route::Act(Act::Reload))),
            ("/admin/api/keys/", None),
            ("/admin/api/keys/+7", None),
            ("/admin/api/keys/7/", None),
            ("/admin/api/keys/7/delete", None),
            ("/admin/api/keys/99999999999", None),
            ("/admin/", None),
        ] {
            assert_eq!(Route::at(path), want, "{path}");
        }
    }
}
