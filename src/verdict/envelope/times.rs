//! Times that stand in fields of their own.

use serde_json::{Map, Value};

/// What a key may be until then: a certificate or a plan is "valid until" another time.
const UNTIL: &[&str] = &[
    "banned",
    "blocked",
    "cooldown",
    "disabled",
    "limited",
    "locked",
    "retry",
    "suspended",
    "throttled",
    "wait",
];

/// Field names that hold a time to wait or a time of return.
pub(super) fn is_time(name: &str) -> bool {
    let has = |name: &str, words: &[&str]| words.iter().any(|word| name.contains(word));
    let any = |words| has(name, words);
    // How long a limit's window is, how often or when it began, is not when it ends; and other things are reset, too.
    if let Some((before, after)) = name.split_once("reset")
        && (has(before, &["last", "prev", "password", "uptime"])
            || has(after, &["interval", "window", "period", "count"]))
    {
        return false;
    }
    is_retry(name)
        || matches!(
            name,
            "wait_seconds"
                | "wait_time"
                | "wait_ms"
                | "available_at"
                | "cooldown"
                | "cooldown_seconds"
                | "backoff"
                | "backoff_seconds"
                | "backoff_ms"
                | "try_again_in"
                | "tryagainin"
                | "until"
                | "next_available_at"
                | "nextaccesstime"
        )
        || UNTIL
            .iter()
            .any(|state| name.strip_prefix(state).is_some_and(|rest| matches!(rest, "until" | "_until")))
        || !name.contains("ratelimit")
            && name.contains("reset")
            && any(&["at", "time", "after", "delay", "in", "second"])
        || matches!(name, "x-ratelimit-reset" | "reset" | "next_reset" | "nextreset")
}

/// Those that hold one wherever they stand.
pub(super) fn is_retry(name: &str) -> bool {
    // How often and how long at most it may be tried, and what was told before, is no time to wait now.
    let is_other = ["last", "max", "prev", "original"].iter().any(|word| name.contains(word))
        || name.split_once("retry").is_some_and(|(_, after)| {
            ["limit", "attempt", "polic", "count"].iter().any(|word| after.contains(word))
        });
    name.contains("retry")
        && !is_other
        && (["after", "delay", "_in_"].iter().any(|word| name.contains(word))
            || ["_in", "retryin", "_at", "retryat"].iter().any(|end| name.ends_with(end)))
}

/// Google's duration as an object, in which Protobuf writes numbers of 64 bits as strings; or a value and its unit. `None`: it
/// is no length of time.
pub(super) fn length(fields: &Map<String, Value>) -> Option<String> {
    let number =
        |value: &Value| value.as_str().map_or_else(|| value.as_f64(), |text| text.parse::<f64>().ok());
    let part = |name: &str| fields.get(name).and_then(number);
    if let (Some(value), Some(unit)) = (part("value"), fields.get("unit").and_then(Value::as_str)) {
        return Some(format!("{value} {unit}"));
    }
    let units =
        [("nanos", 1e-9), ("milliseconds", 1e-3), ("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0)];
    let told = units.iter().filter_map(|(name, unit)| Some(part(name)? * unit));
    told.reduce(|sum, more| sum + more).map(|seconds| format!("{seconds}s"))
}
