//! For how long: every way in which providers say it (spec §6). The longest of those that apply counts; none is
//! longer than a day or shorter than nothing.

use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::Verdict;
use super::envelope::Envelope;
use super::rules::Row;
use super::spoken::{length, seconds, spoken};
use super::words::Words;
use super::{dates, limits};

/// No answer makes anybody wait longer (spec §6).
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// What is told as "at once", or by a header or a field as a moment that is past.
const SHORTEST: Duration = Duration::from_secs(1);
/// A quota that is spent for long is not whole again within a minute: so short a time speaks of another limit.
const SHORT: Duration = Duration::from_secs(60);
/// Who will be let in again so soon is not barred.
const MINUTES: Duration = Duration::from_secs(5 * 60);
/// A smaller number is a length of time in seconds, a larger one a date (the first is in 2017) in seconds since 1970,
/// still larger ones in milliseconds, microseconds or nanoseconds.
pub(super) const FIRST_DATE: f64 = 1.5e9;
const LAST_DATE: f64 = 1e11;
/// A `Date` further from our clock than this is not believed.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const PLAN_RENEWS: &[&str] =
    &["plan renews", "plan will renew", "subscription renews", "subscription will renew"];

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
    // A short wait in the text beside a spent quota is the rate limit's, not the quota's. A header is about the answer.
    let is_quotas = |wait: &Wait| wait.duration >= SHORT || wait.from.starts_with("retry-after");
    let is_meant = |wait: &Wait| row.verdict != Verdict::KeyExhausted || row.brief || is_quotas(wait);
    let lengths = lengths(headers, envelope, in_china, now, is_meant);
    // A rate is whole again before a plan is paid for again.
    let is_plans =
        row.verdict == Verdict::KeyLimited && PLAN_RENEWS.iter().any(|told| words.text().contains(told));
    let date = date_to_come(words, in_china, false, now)
        .or_else(|| stated_epoch(words, now))
        .or_else(|| dates::of_day(words, now))
        .filter(|_| !is_plans)
        .map(|duration| Wait { duration, from: "date in the message" });
    let longest = |waits: [Option<Wait>; 2]| waits.into_iter().flatten().max_by_key(|wait| wait.duration);
    let told = longest([lengths, date]);
    // Who names the hour knows better than the calendar when a quota is whole again.
    let is_guessed = told.is_none_or(|told| told.duration < super::LONG);
    let calendar = row.until.filter(|_| is_guessed).and_then(|rule| dates::next(rule, now));
    let told = longest([told, calendar.map(|duration| Wait { duration, from: "calendar" })])?;
    Some(Wait { duration: told.duration.min(LONGEST), ..told })
}

/// The time until the date that a message states. One that is past tells of something else.
fn date_to_come(words: &Words, in_china: bool, may_guess: bool, now: SystemTime) -> Option<Duration> {
    dates::stated(words, in_china, may_guess).and_then(|date| until(date, now)).filter(|wait| !wait.is_zero())
}

/// Whether an answer names a moment when it is over: in words, or in a header that promises it within minutes.
pub(super) fn ends_soon(status: u16, headers: &HeaderMap, envelope: &Envelope, now: SystemTime) -> bool {
    let now = their_time(headers, now);
    let words = &envelope.words;
    let header = || retry_afters(headers, false, now).max();
    spoken(words).is_some()
        || date_to_come(words, false, true, now).is_some()
        || matches!(status, 403 | 429) && header().is_some_and(|wait| !wait.is_zero() && wait <= MINUTES)
}

/// The longest of the lengths of time that headers, fields and the message name, and that are meant.
fn lengths(
    headers: &HeaderMap,
    envelope: &Envelope,
    in_china: bool,
    now: SystemTime,
    is_meant: impl Fn(&Wait) -> bool,
) -> Option<Wait> {
    let chinas = |value: &str| in_china.then(|| until(dates::written(value, true)?, now)).flatten();
    let of_body = |(name, value): &(String, String)| chinas(value).or_else(|| field(name, value, now));
    let told = [
        (retry_afters(headers, true, now).max(), "retry-after-ms"),
        (retry_afters(headers, false, now).max(), "retry-after"),
        (limits::spent(headers, 0).filter_map(|spent| spent.wait(now)).max(), "reset header"),
        (
            limits::resets_of_rejected(headers).filter_map(|reset| moment_or_length(reset, now)).max(),
            "reset header",
        ),
        (envelope.times.iter().filter_map(of_body).max(), "body field"),
        (spoken(&envelope.words), "message"),
    ];
    let wait = |(duration, from): (Option<Duration>, _)| Some(Wait { duration: duration?, from });
    let longest = told.into_iter().filter_map(wait).filter(&is_meant).max_by_key(|wait| wait.duration);
    let longest = longest.or_else(|| {
        // Nothing says of which limit it is, nor how much of that is left.
        let resets = limits::resets_without_remaining(headers);
        let longest = resets.filter_map(|reset| moment_or_length(reset, now)).max();
        wait((longest, "reset header")).filter(is_meant)
    })?;
    Some(Wait { duration: if longest.duration.is_zero() { SHORTEST } else { longest.duration }, ..longest })
}

/// The waits that are told by `Retry-After`, in milliseconds or not, and by what others call it.
fn retry_afters(headers: &HeaderMap, in_millis: bool, now: SystemTime) -> impl Iterator<Item = Duration> {
    let units: &[&str] = if in_millis { &["-ms", "-milliseconds"] } else { &["", "-seconds"] };
    // The longest there may be, and one that was told before, are none to wait for.
    let is_other = |name: &str| {
        name.split('-').any(|part| matches!(part, "max" | "last" | "prev" | "previous" | "original"))
    };
    let is_one = move |name: &&str| {
        units
            .iter()
            .filter_map(|unit| name.strip_suffix(unit))
            .any(|name| name.ends_with("retry-after") && !is_other(name))
            || !in_millis && *name == "x-ratelimit-timeremaining"
    };
    let names = headers.keys().map(HeaderName::as_str).filter(is_one);
    names.filter_map(move |name| retry_after(headers, name, now))
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
        // In "requests_per_minute_reset_seconds" another names the limit.
        () if name.contains("second") => 1.0,
        () if name.contains("minute") => 60.0,
        () if name.contains("hour") => 3600.0,
        () if name.contains("days") => 86_400.0,
        () => 1.0,
    };
    if number * unit < FIRST_DATE { seconds(number * unit) } else { moment_or_length(value, now) }
}

/// `20`, `6m0s`, `1.5s`, a date of HTTP or RFC 3339 (UTC, if it names no zone), or seconds (or their thousandths, and so
/// on) since 1970. Zero if it is past.
pub(super) fn moment_or_length(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let from_now = |moment: SystemTime| Some(moment.duration_since(now).unwrap_or_default());
    if let Ok(number) = text.parse::<f64>() {
        if number < FIRST_DATE {
            return seconds(number);
        }
        let units = [1.0, 1e3, 1e6, 1e9];
        let since_1970 = units.into_iter().map(|unit| number / unit).find(|date| *date < LAST_DATE)?;
        return from_now(SystemTime::UNIX_EPOCH.checked_add(seconds(since_1970)?)?);
    }
    if let Ok(date) = text.parse::<Timestamp>() {
        return until(date, now);
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return from_now(date);
    }
    length(&text.to_ascii_lowercase()).or_else(|| until(dates::written(text, false)?, now))
}

/// The time until a date, zero if it is past.
fn until(date: Timestamp, now: SystemTime) -> Option<Duration> {
    let since_1970 = Duration::from_millis(u64::try_from(date.as_millisecond()).ok()?);
    Some(SystemTime::UNIX_EPOCH.checked_add(since_1970)?.duration_since(now).unwrap_or_default())
}

/// "Resets at 1795496400", "(reset: 1795496400)", "retry after 1795496400": seconds since 1970.
fn stated_epoch(words: &Words, now: SystemTime) -> Option<Duration> {
    let phrases = ["reset", "until", "available", "retry", "again"];
    let rests = phrases.iter().flat_map(|phrase| {
        words.places(phrase).take(8).filter_map(|at| words.text().get(at + phrase.len()..))
    });
    let numbers = rests.filter_map(|rest| {
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let words = [" time", " at", "_at", " after", "-after", "_after"];
        let rest = words.iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
        rest.trim_start_matches([' ', ':', '=']).split(|c: char| !c.is_ascii_digit()).next()
    });
    let dates =
        numbers.filter(|digits| digits.len() >= 10).filter_map(|digits| moment_or_length(digits, now));
    dates.filter(|wait| !wait.is_zero()).max()
}

#[cfg(test)]
mod tests;
