//! For how long: every way in which providers say it (spec §6). The longest of those that apply counts; none is
//! longer than a day or shorter than nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::DATE;
use jiff::Timestamp;

use super::Verdict;
use super::envelope::Envelope;
use super::rules::Row;
use super::spoken::{length, seconds, spoken};
use super::words::Words;
use super::{dates, limits};

/// No answer makes anybody wait longer (spec §6).
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// What is told as "at once", or as a moment that is past.
const SHORTEST: Duration = Duration::from_secs(1);
/// A quota that is spent for long is not whole again within a minute: so short a time speaks of another limit.
const SHORT: Duration = Duration::from_secs(60);
/// Who will be let in again so soon is not barred.
const MINUTES: Duration = Duration::from_secs(5 * 60);
/// The header that says it, and what others call it.
const RETRY_AFTERS: &[&str] =
    &["retry-after", "x-retry-after", "x-ratelimit-retry-after", "x-ratelimit-timeremaining"];
const MILLIS: &[&str] = &["retry-after-ms", "x-ms-retry-after-ms"];
/// A smaller number is a length of time in seconds, a larger one a date (the first is in 2017) in seconds since 1970,
/// still larger ones in milliseconds, microseconds or nanoseconds.
const FIRST_DATE: f64 = 1.5e9;
const LAST_DATE: f64 = 1e11;
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

/// How long an answer that a row knows as a limit says to wait.
pub(super) fn of(headers: &HeaderMap, envelope: &Envelope, row: &Row, now: SystemTime) -> Option<Wait> {
    let now = their_time(headers, now);
    let words = &envelope.words;
    let is_chinese = || words.text().contains(|c| matches!(c, '\u{4e00}'..='\u{9fff}'));
    let in_china = row.in_china || !words.text().is_ascii() && is_chinese();
    let lengths = lengths(headers, envelope, in_china, now);
    // A short wait in the text beside a spent quota is the rate limit's, not the quota's. A header is about the answer.
    let is_quotas = |wait: &Wait| wait.duration >= SHORT || wait.from.starts_with("retry-after");
    let lengths = lengths.filter(|wait| row.verdict != Verdict::KeyExhausted || row.brief || is_quotas(wait));
    let date = dates::stated(words, in_china)
        .and_then(|date| until(date, now))
        .or_else(|| stated_epoch(words, now))
        .or_else(|| dates::of_day(words, now))
        .map(|duration| Wait { duration, from: "date in the message" });
    let date = date.filter(|date| row.verdict != Verdict::KeyExhausted || !date.duration.is_zero());
    let longest = |waits: [Option<Wait>; 2]| waits.into_iter().flatten().max_by_key(|wait| wait.duration);
    let told = longest([lengths, date]);
    // Who names the hour knows better than the calendar when a quota is whole again.
    let is_guessed = told.is_none_or(|told| told.duration < super::LONG);
    let calendar = row.until.filter(|_| is_guessed).and_then(|rule| dates::next(rule, now));
    let told = longest([told, calendar.map(|duration| Wait { duration, from: "calendar" })])?;
    Some(Wait { duration: told.duration.clamp(Duration::from_nanos(1), LONGEST), ..told })
}

/// Whether an answer names a moment when it is over: in words, or in a header that promises it within minutes.
pub(super) fn ends_soon(status: u16, headers: &HeaderMap, envelope: &Envelope, now: SystemTime) -> bool {
    let now = their_time(headers, now);
    let words = &envelope.words;
    let date =
        || dates::stated(words, false).and_then(|date| until(date, now)).is_some_and(|wait| !wait.is_zero());
    let header = || RETRY_AFTERS.iter().filter_map(|name| retry_after(headers, name, now)).max();
    spoken(words).is_some()
        || date()
        || matches!(status, 403 | 429) && header().is_some_and(|wait| !wait.is_zero() && wait <= MINUTES)
}

/// The longest of the lengths of time that headers, fields and the message name.
fn lengths(headers: &HeaderMap, envelope: &Envelope, in_china: bool, now: SystemTime) -> Option<Wait> {
    let chinas = |value: &str| in_china.then(|| until(dates::written(value, true)?, now)).flatten();
    let of_body = |(name, value): &(String, String)| chinas(value).or_else(|| field(name, value, now));
    let told = [
        (MILLIS.iter().filter_map(|name| retry_after(headers, name, now)).max(), "retry-after-ms"),
        (RETRY_AFTERS.iter().filter_map(|name| retry_after(headers, name, now)).max(), "retry-after"),
        (limits::spent(headers, 0).filter_map(|spent| spent.wait(now)).max(), "reset header"),
        (envelope.times.iter().filter_map(of_body).max(), "body field"),
        (spoken(&envelope.words), "message"),
    ];
    let longest =
        told.into_iter().filter_map(|(wait, from)| Some((wait?, from))).max_by_key(|(wait, _)| *wait);
    let (duration, from) = longest.or_else(|| {
        // Nothing says of which limit it is, nor how much of that is left.
        let resets = limits::resets_without_remaining(headers);
        resets.filter_map(|reset| moment_or_length(reset, now)).max().map(|wait| (wait, "reset header"))
    })?;
    Some(Wait { duration: if duration.is_zero() { SHORTEST } else { duration }, from })
}

/// The longest wait that a header with this name tells: there may be several of it.
fn retry_after(headers: &HeaderMap, name: &str, now: SystemTime) -> Option<Duration> {
    let told = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    // A date has a comma, too.
    let of_list = |text: &str| text.split(',').filter_map(|item| field(name, item, now)).max();
    // Some put it in quotation marks.
    let plain = told.map(|text| text.strip_prefix('"').map_or(text, |text| text.trim_end_matches('"')));
    plain.filter_map(|text| field(name, text, now).or_else(|| of_list(text))).max()
}

/// The time by the provider's clock, for its dates; ours if it does not tell or can't be right.
pub(super) fn their_time(headers: &HeaderMap, now: SystemTime) -> SystemTime {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let Some(date) = date.and_then(|text| httpdate::parse_http_date(text).ok()) else { return now };
    let apart = now.duration_since(date).unwrap_or_else(|error| error.duration());
    if apart <= CLOCK_SKEW_MAX { date } else { now }
}

/// A time that stands in a field of its own.
fn field(name: &str, value: &str, now: SystemTime) -> Option<Duration> {
    let Ok(number) = value.trim().parse::<f64>() else { return moment_or_length(value, now) };
    let unit = match () {
        () if name.ends_with("ms") || name.contains("millis") => 0.001,
        () if name.contains("minute") => 60.0,
        () if name.contains("hour") => 3600.0,
        () => 1.0,
    };
    if number * unit < FIRST_DATE { seconds(number * unit) } else { moment_or_length(value, now) }
}

/// `20`, `6m0s`, `1.5s`, a date of HTTP or RFC 3339 (UTC, if it names no zone), or seconds (or their thousandths, and so
/// on) since 1970. Zero if it is past.
pub(super) fn moment_or_length(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let until = |moment: SystemTime| Some(moment.duration_since(now).unwrap_or_default());
    if let Ok(number) = text.parse::<f64>() {
        if number < FIRST_DATE {
            return seconds(number);
        }
        let units = [1.0, 1e3, 1e6, 1e9];
        let since_1970 = units.into_iter().map(|unit| number / unit).find(|date| *date < LAST_DATE)?;
        return until(SystemTime::UNIX_EPOCH.checked_add(seconds(since_1970)?)?);
    }
    if let Ok(date) = text.parse::<Timestamp>() {
        return self::until(date, now);
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return until(date);
    }
    length(&text.to_ascii_lowercase()).or_else(|| self::until(dates::written(text, false)?, now))
}

/// The time until a date, zero if it is past.
fn until(date: Timestamp, now: SystemTime) -> Option<Duration> {
    let since_1970 = Duration::from_millis(u64::try_from(date.as_millisecond()).ok()?);
    Some(SystemTime::UNIX_EPOCH.checked_add(since_1970)?.duration_since(now).unwrap_or_default())
}

/// "Resets at 1795496400", "(reset: 1795496400)", "until 1795496400": seconds since 1970.
fn stated_epoch(words: &Words, now: SystemTime) -> Option<Duration> {
    let phrases = ["reset", "until", "available"];
    let rests = phrases.iter().flat_map(|phrase| {
        words.places(phrase).take(8).filter_map(|at| words.text().get(at + phrase.len()..))
    });
    let numbers = rests.filter_map(|rest| {
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let rest = [" time", " at", "_at"].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
        rest.trim_start_matches([' ', ':', '=']).split(|c: char| !c.is_ascii_digit()).next()
    });
    let dates =
        numbers.filter(|digits| digits.len() >= 10).filter_map(|digits| moment_or_length(digits, now));
    dates.max()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::super::{Answer, judge};
    use super::*;

    fn at(text: &str) -> SystemTime {
        let since_1970 = text.parse::<Timestamp>().unwrap().as_second();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970.try_into().unwrap())
    }

    fn now() -> SystemTime {
        at("2026-11-24T05:00:00Z")
    }

    fn waited(headers: &[(&str, &str)], body: &str) -> Option<(u128, &'static str)> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let answer = Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: &headers,
            body: body.as_bytes(),
            model: None,
        };
        judge(&answer, now()).wait.map(|wait| (wait.duration.as_millis(), wait.from))
    }

    #[test]
    fn headers_name_it_in_many_ways() {
        for (headers, want) in [
            (&[("retry-after", "20")][..], Some((20_000, "retry-after"))),
            (&[("retry-after", "1.5")], Some((1_500, "retry-after"))),
            (&[("retry-after", "Tue, 24 Nov 2026 05:01:00 GMT")], Some((60_000, "retry-after"))),
            (&[("retry-after", "Tue, 24 Nov 2026 04:01:00 GMT")], Some((1_000, "retry-after"))),
            (&[("retry-after", "0")], Some((1_000, "retry-after"))),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "20"), ("retry-after-ms", "20500")], Some((20_500, "retry-after-ms"))),
            (&[("retry-after", "9999999")], Some((86_400_000, "retry-after"))),
            (&[("retry-after", "10000000")], Some((86_400_000, "retry-after"))),
            (&[("retry-after", "31536000")], Some((86_400_000, "retry-after"))),
            (&[("retry-after", "31536000000")], Some((86_400_000, "retry-after"))),
            (&[("retry-after", "1795496430")], Some((30_000, "retry-after"))),
            (&[("retry-after-ms", "259200000000")], Some((86_400_000, "retry-after-ms"))),
            (&[("retry-after-ms", "1795496430000")], Some((30_000, "retry-after-ms"))),
            (&[("retry-after-ms", "1500ms")], Some((1_500, "retry-after-ms"))),
            (&[("retry-after", "30, 60")], Some((60_000, "retry-after"))),
            (&[("retry-after", "\"30\"")], Some((30_000, "retry-after"))),
            (&[("retry-after", "\"Tue, 24 Nov 2026 05:01:00 GMT\"")], Some((60_000, "retry-after"))),
            (
                &[("helicone-ratelimit-remaining", "0"), ("helicone-ratelimit-reset", "41")],
                Some((41_000, "reset header")),
            ),
            (&[("helicone-ratelimit-remaining", "7"), ("helicone-ratelimit-reset", "41")], None),
            (
                &[("x-ai-ratelimit-remaining-gpt", "0"), ("x-ai-ratelimit-reset-gpt", "23")],
                Some((23_000, "reset header")),
            ),
            (&[("x-ai-ratelimit-reset", "47")], Some((47_000, "reset header"))),
            (&[("retry-after", "PT30S")], Some((30_000, "retry-after"))),
            (&[("retry-after", "PT1M30S")], Some((90_000, "retry-after"))),
            (
                &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")],
                Some((360_000, "reset header")),
            ),
            (
                &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "250ms")],
                Some((250, "reset header")),
            ),
            (&[("x-ratelimit-remaining-tokens", "12"), ("x-ratelimit-reset-tokens", "6m0s")], None),
            (&[("x-ratelimit-reset", "7")], Some((7_000, "reset header"))),
            (&[("x-ratelimit-reset-after", "7")], Some((7_000, "reset header"))),
            (&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset-after", "40")], None),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "40")],
                Some((40_000, "reset header")),
            ),
            (&[("x-ratelimit-reset", "7"), ("retry-after", "2")], Some((2_000, "retry-after"))),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430")],
                Some((30_000, "reset header")),
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500")],
                Some((30_500, "reset header")),
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500000")],
                Some((30_500, "reset header")),
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500000000")],
                Some((30_500, "reset header")),
            ),
            (&[("retry-after", "1e300")], None),
            (&[("x-ratelimit-timeremaining", "55")], Some((55_000, "retry-after"))),
            (
                &[
                    ("anthropic-ratelimit-unified-5h-status", "rejected"),
                    ("anthropic-ratelimit-unified-5h-reset", "1795496430"),
                    ("anthropic-ratelimit-unified-7d-utilization", "0.3"),
                    ("anthropic-ratelimit-unified-7d-reset", "1795500000"),
                    ("anthropic-ratelimit-unified-overage-status", "rejected"),
                    ("anthropic-ratelimit-unified-overage-reset", "1795560000"),
                ],
                Some((30_000, "reset header")),
            ),
            (
                &[
                    ("anthropic-ratelimit-unified-5h-utilization", "1.04"),
                    ("anthropic-ratelimit-unified-5h-reset", "1795496430"),
                ],
                Some((30_000, "reset header")),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "2026-11-24T05:00:07Z"),
                ],
                Some((7_000, "reset header")),
            ),
        ] {
            assert_eq!(waited(headers, "no"), want, "{headers:?}");
        }
    }

    #[test]
    fn people_name_it_in_many_ways() {
        for (body, want) in [
            (r#"{"error":{"message":"请稍后（约 20 秒）重试"}}"#, Some((20_000, "message"))),
            (
                r#"{"error":{"message":"You have been rate limited for 90 seconds."}}"#,
                Some((90_000, "message")),
            ),
            (r#"{"error":{"message":"Time until reset: 35s"}}"#, Some((35_000, "message"))),
            (r#"{"error":{"message":"Try again in a few seconds."}}"#, None),
            (r#"{"error":{"message":"Try again 30 seconds from now"}}"#, Some((30_000, "message"))),
            (
                r#"{"error":{"message":"Retry 30s later. If not, try again later"}}"#,
                Some((30_000, "message")),
            ),
            (
                r#"{"error":{"message":"Slow down (reset: 1795496430)"}}"#,
                Some((30_000, "date in the message")),
            ),
            (r#"{"error":{"message":"Reset time: 1795496430"}}"#, Some((30_000, "date in the message"))),
            (r#"{"error":{"message":"Reset it (request id: 20261124050000123456)"}}"#, None),
            (
                r#"{"error":{"message":"Your limit resets at midnight UTC"}}"#,
                Some((19 * 3_600_000, "date in the message")),
            ),
            (r#"{"error":{"details":{"remaining":0,"reset":1795496430}}}"#, Some((30_000, "body field"))),
            (
                r#"{"error":{"message":"太频繁","resetTime":"2026-11-24 13:00:30"}}"#,
                Some((30_000, "body field")),
            ),
            (
                r#"{"error":{"message":"too often","resetTime":"2026-11-24T05:00:30"}}"#,
                Some((30_000, "body field")),
            ),
        ] {
            assert_eq!(waited(&[], body), want, "{body}");
        }
    }

    #[test]
    fn bodies_name_it_too() {
        for (body, want) in [
            (r#"{"error":{"message":"Please try again in 1m2.5s. Visit"}}"#, Some((62_500, "message"))),
            (r#"{"error":{"message":"Please try again in 250ms."}}"#, Some((250, "message"))),
            (r#"{"error":{"message":"Please try again in 2h31m16.752s."}}"#, Some((9_076_752, "message"))),
            (r#"{"error":{"message":"Please retry after 2 hours."}}"#, Some((7_200_000, "message"))),
            (r#"{"error":{"message":"Please retry after 7 days."}}"#, Some((86_400_000, "message"))),
            (r#"{"error":{"message":"Try again in about 5 minutes"}}"#, Some((300_000, "message"))),
            (r#"{"error":{"message":"please try again after 1 seconds"}}"#, Some((1_000, "message"))),
            (r#"{"error":{"message":"replenished in 01:02:03."}}"#, Some((3_723_000, "message"))),
            (r#"{"error":{"message":"请在5秒后重试"}}"#, Some((5_000, "message"))),
            (r#"{"error":{"message":"Повторите попытку через 20 секунд."}}"#, Some((20_000, "message"))),
            (r#"{"error":{"message":"20秒後に再試行してください"}}"#, Some((20_000, "message"))),
            (r#"{"error":{"message":"30초 후에 다시 시도하세요"}}"#, Some((30_000, "message"))),
            (r#"{"error":{"message":"Inténtelo dentro de 2 minutos"}}"#, Some((120_000, "message"))),
            (r#"{"error":{"message":"请 2 分钟后再试"}}"#, Some((120_000, "message"))),
            (r#"{"error":{"details":[{"retryDelay":"34.07s"}]}}"#, Some((34_070, "body field"))),
            (r#"{"error":{"retry_after_ms":1500}}"#, Some((1_500, "body field"))),
            (r#"{"error":{"retry_after_minutes":5}}"#, Some((300_000, "body field"))),
            (
                r#"{"error":{"details":[{"retryDelay":{"seconds":"34","nanos":500000000}}]}}"#,
                Some((34_500, "body field")),
            ),
            (r#"{"error":{"message":"Rate limit; this preview model is available until 2026-12-31"}}"#, None),
            (
                r#"{"error":{"message":"Not available until 2026-11-24T05:30:00Z"}}"#,
                Some((1_800_000, "date in the message")),
            ),
            (
                r#"{"error":{"message":"Please try again at 2026-11-24T05:30:00Z"}}"#,
                Some((1_800_000, "date in the message")),
            ),
            (
                r#"{"error":{"message":"Please retry your request after 20 seconds."}}"#,
                Some((20_000, "message")),
            ),
            (r#"{"error":{"message":"try again in 1,234 seconds"}}"#, Some((1_234_000, "message"))),
            (r#"{"error":{"message":"try again in 1,200,000 ms"}}"#, Some((1_200_000, "message"))),
            (r#"{"error":{"message":"try again in an hour"}}"#, Some((3_600_000, "message"))),
            (r#"{"error":{"message":"try again in one minute"}}"#, Some((60_000, "message"))),
            (r#"{"error":{"message":"limited, retry_after=17"}}"#, Some((17_000, "message"))),
            (r#"{"error":{"message":"limited. Retry-After: 25"}}"#, Some((25_000, "message"))),
            (r#"{"error":{"message":"请稍等 20 秒"}}"#, Some((20_000, "message"))),
            (r#"{"error":{"message":"30 秒钟后重试"}}"#, Some((30_000, "message"))),
            (r#"{"error":{"message":"请三十秒后重试"}}"#, Some((30_000, "message"))),
            (r#"{"error":{"message":"四十五秒后重试"}}"#, Some((45_000, "message"))),
            (r#"{"error":{"message":"请十秒后重试"}}"#, Some((10_000, "message"))),
            (r#"{"error":{"message":"账号已临时封禁10分钟"}}"#, Some((600_000, "message"))),
            (r#"{"error":{"message":"请求过快，冷却时间：25秒"}}"#, Some((25_000, "message"))),
            (r#"{"error":{"resets_in_seconds":15}}"#, Some((15_000, "body field"))),
            (r#"{"error":{"metadata":{"resets_at":"2026-11-24T05:00:10Z"}}}"#, Some((10_000, "body field"))),
            (
                r#"{"error":{"message":"Your limit resets on Nov 24, 2026 at 5:30 am UTC."}}"#,
                Some((1_800_000, "date in the message")),
            ),
            (
                r#"{"error":{"message":"Bitte versuchen Sie es in 25 Sekunden erneut."}}"#,
                Some((25_000, "message")),
            ),
            (r#"{"error":{"message":"Réessayez dans 1 minute"}}"#, Some((60_000, "message"))),
            (r#"{"error":{"message":"подождите 45 секунд"}}"#, Some((45_000, "message"))),
            (r#"{"error":{"message":"2分後に再度お試しください"}}"#, Some((120_000, "message"))),
            (r#"{"error":{"message":"Come back in three hours"}}"#, Some((10_800_000, "message"))),
            (r#"{"error":{"message":"Cooldown active: 22 seconds remaining"}}"#, Some((22_000, "message"))),
            (r#"{"error":{"message":"过两分钟再试试吧"}}"#, Some((120_000, "message"))),
            (r#"{"error":{"retry_at":"2026-11-24T05:00:25Z"}}"#, Some((25_000, "body field"))),
            (r#"{"error":{"retry_attempts":3}}"#, None),
            (r#"{"error":{"message":"At most 5 requests in 1 second, 3 requests remaining"}}"#, None),
            (r#"{"error":{"message":"try again later"}}"#, None),
            (r#"{"error":{"message":"try again in a minute"}}"#, None),
            (r#"{"error":{"message":"try again in -5s"}}"#, None),
            (r#"{"error":{"message":"the message '请在5秒后重试' is wrong"}}"#, None),
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
        // Their clock is ten minutes behind or before ours, and their reset seven seconds away.
        for (date, reset) in [("04:50:00", "04:50:07"), ("05:10:00", "05:10:07")] {
            let date = format!("Tue, 24 Nov 2026 {date} GMT");
            let rfc3339 = format!("2026-11-24T{reset}Z");
            let epoch = at(&rfc3339).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
            for (limit, reset) in [
                (["anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"], &rfc3339),
                (["x-ratelimit-remaining", "x-ratelimit-reset"], &epoch),
            ] {
                let headers = [("date", &*date), (limit[0], "0"), (limit[1], reset)];
                assert_eq!(waited(&headers, ""), Some((7_000, "reset header")), "{headers:?}");
            }
            let body = format!(r#"{{"error":{{"metadata":{{"resets_at":"{rfc3339}"}}}}}}"#);
            assert_eq!(waited(&[("date", &date)], &body), Some((7_000, "body field")));
        }
    }

    #[test]
    fn a_short_wait_beside_a_spent_quota_is_not_the_quotas() {
        let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
        assert_eq!(waited(&[("retry-after", "600")], quota), Some((600_000, "retry-after")));
        assert_eq!(waited(&[("retry-after", "5")], quota), Some((5_000, "retry-after")));
        let said = r#"{"error":{"code":"insufficient_quota","message":"Please try again in 5s"}}"#;
        assert_eq!(waited(&[], said), None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_wait_is_within_a_day(
            text in "\\PC{0,40}",
            number in any::<f64>(),
            words in "[a-z0-9.:+ ]{0,30}",
            date in "20[0-9]{2}-[0-9]{2}-[0-9]{2}[t ][0-9:.]{0,12}( utc|z|[+-][0-9:]{0,9})?",
            since_1970 in 0..u64::MAX / 2,
        ) {
            for value in [text, number.to_string(), words, date] {
                let header = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("0"));
                let names = [http::header::RETRY_AFTER, DATE, HeaderName::from_static("x-ratelimit-reset")];
                let headers: HeaderMap = names.into_iter().map(|name| (name, header.clone())).collect();
                let body = format!("try again in {value}, resets {value}");
                let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_1970)).unwrap_or_else(now);
                let answer =
                    Answer { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body: body.as_bytes(), model: None };
                if let Some(wait) = judge(&answer, now).wait {
                    prop_assert!(wait.duration <= LONGEST && !wait.duration.is_zero());
                }
            }
        }
    }
}
