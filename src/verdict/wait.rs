//! For how long: every way in which providers say it (spec §6). The longest of those that apply counts; none is
//! longer than a day or shorter than nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;

use super::envelope::Envelope;

/// No answer makes anybody wait longer (spec §6).
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A smaller number of seconds is a length of time, a larger one a date.
const FIRST_DATE: f64 = 1_000_000_000.0;
/// A `Date` further from our clock than this is not believed.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A time to wait, and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long: more than nothing, at most a day.
    pub duration: Duration,
    /// The header or the kind of field that named it.
    pub from: &'static str,
}

/// The headers that say when a limit that is spent is whole again, each with the one that says what is left of it.
const RESETS: [(&str, &str); 11] = [
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("x-ratelimit-reset-requests-day", "x-ratelimit-remaining-requests-day"),
    ("x-ratelimit-reset-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
    ("x-ratelimit-reset-tokens-day", "x-ratelimit-remaining-tokens-day"),
];

/// How long an answer that names a limit says to wait.
pub(super) fn of(headers: &HeaderMap, envelope: &Envelope, now: SystemTime) -> Option<Wait> {
    let now = their_time(headers, now);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = header("retry-after-ms").and_then(|text| text.parse::<f64>().ok()).map(|ms| ms / 1000.0);
    let mut waits = vec![
        (millis.and_then(seconds), "retry-after-ms"),
        (header(RETRY_AFTER.as_str()).and_then(|text| moment_or_length(text, now)), "retry-after"),
    ];
    for (reset, remaining) in RESETS {
        // The reset of a limit that is not spent is nobody's to wait for.
        let spent = header(remaining).is_some_and(|left| left.parse::<f64>().is_ok_and(|left| left <= 0.0));
        if spent {
            waits.push((header(reset).and_then(|text| moment_or_length(text, now)), reset));
        }
    }
    for (_, value) in &envelope.times {
        waits.push((moment_or_length(value, now), "body field"));
    }
    waits.push((spoken(&envelope.text), "message"));
    let longest =
        waits.into_iter().filter_map(|(wait, from)| Some((wait?, from))).max_by_key(|(wait, _)| *wait)?;
    let (duration, from) = (longest.0.min(LONGEST), longest.1);
    (!duration.is_zero()).then_some(Wait { duration, from })
}

/// The time by the provider's clock, for its dates; ours if it does not tell or can't be right.
fn their_time(headers: &HeaderMap, now: SystemTime) -> SystemTime {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let Some(date) = date.and_then(|text| httpdate::parse_http_date(text).ok()) else { return now };
    let apart = now.duration_since(date).unwrap_or_else(|error| error.duration());
    if apart <= CLOCK_SKEW_MAX { date } else { now }
}

/// `20`, `6m0s`, `1.5s`, a date of HTTP or RFC 3339, or seconds (or milliseconds) since 1970.
fn moment_or_length(text: &str, now: SystemTime) -> Option<Duration> {
    let until = |moment: SystemTime| Some(moment.duration_since(now).unwrap_or_default());
    if let Ok(number) = text.parse::<f64>() {
        if number < FIRST_DATE {
            return seconds(number);
        }
        let since_1970 = if number < FIRST_DATE * 1000.0 { number } else { number / 1000.0 };
        return until(SystemTime::UNIX_EPOCH.checked_add(seconds(since_1970)?)?);
    }
    if let Ok(date) = text.parse::<Timestamp>() {
        let since_1970 = Duration::from_millis(u64::try_from(date.as_millisecond()).ok()?);
        return until(SystemTime::UNIX_EPOCH + since_1970);
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return until(date);
    }
    length(text)
}

/// `1h2m3.5s`, `250ms`, `2 minutes`: all of it has to be one length of time.
fn length(text: &str) -> Option<Duration> {
    let (wait, rest) = leading_length(text)?;
    rest.trim().is_empty().then_some(wait)
}

/// The length of time at the beginning of a text, and what follows it.
fn leading_length(text: &str) -> Option<(Duration, &str)> {
    let mut rest = text.trim_start();
    let mut total = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let Ok(number) = number.parse::<f64>() else { break };
        let unit = after.trim_start();
        let letters = unit.find(|c: char| !c.is_alphabetic()).unwrap_or(unit.len());
        let (name, after) = unit.split_at_checked(letters)?;
        let Some(scale) = unit_of(name) else { break };
        let more = seconds(number * scale.0)?;
        total = Some(total.unwrap_or(Duration::ZERO).saturating_add(more));
        // In "5秒后重试" the unit's word runs on into the next.
        rest = unit.get(scale.1..).filter(|_| scale.1 < letters).unwrap_or(after).trim_start();
    }
    total.map(|total| (total, rest))
}

/// A unit in seconds, and how many bytes of the word it is.
fn unit_of(word: &str) -> Option<(f64, usize)> {
    let scale = match word {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => {
            let chinese = [
                ("毫秒", 0.001),
                ("秒", 1.0),
                ("分钟", 60.0),
                ("分", 60.0),
                ("小时", 3600.0),
                ("天", 86_400.0),
            ];
            return chinese
                .iter()
                .find(|(unit, _)| word.starts_with(unit))
                .map(|(unit, scale)| (*scale, unit.len()));
        }
    };
    Some((scale, word.len()))
}

/// "Please try again in 1m2.5s", "retry after 20 seconds", "请在 5 秒后重试".
fn spoken(text: &str) -> Option<Duration> {
    let phrases = [
        "try again in ",
        "retry in ",
        "retry after ",
        "wait for ",
        "wait ",
        "reset after ",
        "reset in ",
        "请在",
        "请等待",
    ];
    let after = |phrase: &'static str| {
        text.match_indices(phrase).filter_map(move |(at, _)| text.get(at + phrase.len()..))
    };
    phrases.into_iter().flat_map(after).filter_map(|rest| leading_length(rest).map(|(wait, _)| wait)).max()
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-24T05:00:00Z
    const NOW: u64 = 1_795_496_400;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn waited(headers: &[(&str, &str)], body: &str) -> Option<(u128, &'static str)> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        of(&headers, &Envelope::read(body.as_bytes()), now())
            .map(|wait| (wait.duration.as_millis(), wait.from))
    }

    #[test]
    fn headers_name_it_in_many_ways() {
        for (headers, want) in [
            (&[("retry-after", "20")][..], Some((20_000, "retry-after"))),
            (&[("retry-after", "1.5")], Some((1_500, "retry-after"))),
            (&[("retry-after", "Tue, 24 Nov 2026 05:01:00 GMT")], Some((60_000, "retry-after"))),
            (&[("retry-after", "Tue, 24 Nov 2026 04:01:00 GMT")], None),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "20"), ("retry-after-ms", "20500")], Some((20_500, "retry-after-ms"))),
            (&[("retry-after", "9999999")], Some((86_400_000, "retry-after"))),
            (
                &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")],
                Some((360_000, "x-ratelimit-reset-requests")),
            ),
            (&[("x-ratelimit-remaining-tokens", "12"), ("x-ratelimit-reset-tokens", "6m0s")], None),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430")],
                Some((30_000, "x-ratelimit-reset")),
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430000")],
                Some((30_000, "x-ratelimit-reset")),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "2026-11-24T05:00:07Z"),
                ],
                Some((7_000, "anthropic-ratelimit-tokens-reset")),
            ),
        ] {
            assert_eq!(waited(headers, ""), want, "{headers:?}");
        }
    }

    #[test]
    fn bodies_name_it_too() {
        for (body, want) in [
            (r#"{"error":{"message":"Please try again in 1m2.5s. Visit"}}"#, Some((62_500, "message"))),
            (r#"{"error":{"message":"Please try again in 250ms."}}"#, Some((250, "message"))),
            (r#"{"error":{"message":"Please retry after 2 hours."}}"#, Some((7_200_000, "message"))),
            (r#"{"error":{"message":"请在5秒后重试"}}"#, Some((5_000, "message"))),
            (r#"{"error":{"message":"请在 2 分钟后重试"}}"#, Some((120_000, "message"))),
            (r#"{"error":{"details":[{"retryDelay":"34.07s"}]}}"#, Some((34_070, "body field"))),
            (r#"{"error":{"metadata":{"resets_at":"2026-11-24T05:00:10Z"}}}"#, Some((10_000, "body field"))),
            (r#"{"error":{"message":"try again later"}}"#, None),
        ] {
            assert_eq!(waited(&[], body), want, "{body}");
        }
    }

    #[test]
    fn a_date_is_measured_by_the_clock_that_named_it() {
        let retry = ("retry-after", "Tue, 24 Nov 2026 05:11:00 GMT");
        assert_eq!(
            waited(&[retry, ("date", "Tue, 24 Nov 2026 05:10:00 GMT")], ""),
            Some((60_000, "retry-after"))
        );
        assert_eq!(
            waited(&[retry, ("date", "Tue, 24 Nov 1998 05:10:00 GMT")], ""),
            Some((660_000, "retry-after"))
        );
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_wait_is_within_a_day(text in "\\PC{0,40}", number in any::<f64>(), words in "[a-z0-9.: ]{0,30}") {
            for value in [text, number.to_string(), words] {
                let Ok(header) = HeaderValue::from_str(&value) else { continue };
                let headers = HeaderMap::from_iter([(RETRY_AFTER, header)]);
                let message = Envelope::read(format!("try again in {value}").as_bytes());
                for wait in [of(&headers, &Envelope::default(), now()), of(&HeaderMap::new(), &message, now())].into_iter().flatten() {
                    prop_assert!(wait.duration <= LONGEST && !wait.duration.is_zero());
                }
            }
        }
    }
}
