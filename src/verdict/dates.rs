//! Dates: when the calendar makes a quota whole again, and dates that messages state.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::{self, DateTime};
use jiff::tz::Offset;

use self::zones::pacific;
use super::rules::Until;
use super::words::Words;

mod zones;

/// The time until the calendar makes a quota whole again.
pub(super) fn next(rule: Until, now: SystemTime) -> Option<Duration> {
    let now = Timestamp::try_from(now).ok()?;
    let offset = if rule == Until::PacificMidnight { pacific(now) } else { Offset::UTC };
    let today = offset.to_datetime(now).date();
    let day = match rule {
        Until::NextMonth => today.last_of_month().tomorrow().ok()?,
        Until::PacificMidnight | Until::UtcMidnight => today.tomorrow().ok()?,
    };
    // At the end of a day on which the clocks change it has changed.
    let midnight = |offset: Offset| offset.to_timestamp(day.at(0, 0, 0, 0)).ok();
    let mut moment = midnight(offset)?;
    if rule == Until::PacificMidnight {
        moment = midnight(pacific(moment))?;
    }
    Duration::try_from(moment.duration_since(now)).ok()
}

/// "You will regain access on 2026-09-01 at 00:00 UTC", "resets Oct 7, 2026", "将在 2026-10-07 08:00:00 重置".
/// The latest of those of which it is known when they are, or of all, if it may be a guess.
pub(super) fn stated(words: &Words, in_china: bool, may_guess: bool) -> Option<Timestamp> {
    let before = [
        "reset",
        "regain",
        "until",
        "after",
        "again at ",
        "request at ",
        "requests at ",
        "again on ",
        "retry at ",
        "available",
        "refresh",
        "renew",
        "refill",
        "replenish",
        "lifted",
        "可用时间",
        "将在",
        "将于",
        "请在",
        "请于",
    ];
    let after = ["重置", "恢复", "刷新", "解除", "后重试", "后再试"];
    // From the year, or from the month that a word names, or the day before that.
    let text = words.text();
    let begins = words.places("20").take(64);
    let with_day = |at: usize| {
        let before = text.get(..at)?.trim_end_matches([' ', '-']);
        Some(before.trim_end_matches(|c: char| c.is_ascii_digit()).len()).filter(|day| *day < before.len())
    };
    let months = MONTHS.iter().flat_map(|month| words.places(month).take(8));
    let begins = begins.chain(months.flat_map(|at| [Some(at), with_day(at)]).flatten());
    let dates = begins.filter_map(|at| {
        let rest = text.get(at..)?;
        let (date, rest) = date_and_time(rest, in_china, may_guess)?;
        let start = (at.saturating_sub(60)..=at).find(|start| text.is_char_boundary(*start))?;
        let said = text.get(start..at).unwrap_or_default();
        // The day on which something ends is none to wait for.
        let ends = ["available until ", "supported until ", "valid until "];
        let not = ["not ", "un"];
        let is_end = ends.iter().filter_map(|end| said.trim_end_matches("on ").strip_suffix(end));
        if is_end.into_iter().any(|said| !not.iter().any(|not| said.ends_with(not))) {
            return None;
        }
        let said_before = before.iter().any(|word| said.contains(word));
        let said_after = after.iter().any(|word| rest.trim_start().starts_with(word));
        (said_before || said_after).then_some(date)
    });
    dates.max()
}

/// "Resets at midnight UTC", "try again at 1:05 pm utc": the next such moment.
pub(super) fn of_day(words: &Words, now: SystemTime) -> Option<Duration> {
    let now = Timestamp::try_from(now).ok()?;
    let text = words.text();
    let places = zones::names().flat_map(|zone| words.places(zone).take(64));
    let waits = places.filter_map(|at| {
        let (before, rest) = text.split_at_checked(at)?;
        let offset = zones::zone(rest, false)?.0.now(now)?;
        let (said, clock) = clock_before(before.trim_end_matches([' ', '(']))?;
        let start =
            (said.len().saturating_sub(40)..=said.len()).find(|start| said.is_char_boundary(*start))?;
        let said = said.get(start..)?;
        let words = [
            "reset",
            "until",
            "again",
            "retry a",
            "refresh",
            "refill",
            "renew",
            "regain",
            "replenish",
            "restore",
            "back ",
        ];
        if !words.iter().any(|word| said.contains(word)) {
            return None;
        }
        let today = offset.to_datetime(now).date().to_datetime(clock);
        let moment = offset.to_timestamp(today).ok()?;
        let moment = if moment > now {
            moment
        } else {
            moment.checked_add(jiff::SignedDuration::from_hours(24)).ok()?
        };
        Duration::try_from(moment.duration_since(now)).ok()
    });
    waits.max()
}

/// Whether a text begins with the name of a zone.
pub(super) fn is_zone(text: &str) -> bool {
    zones::known(text).is_some()
}

/// The time of day with which a text ends, if no date stands before it, and what does.
fn clock_before(text: &str) -> Option<(&str, civil::Time)> {
    if let Some(said) = text.strip_suffix("midnight") {
        return Some((said, civil::Time::midnight()));
    }
    let half =
        ["am", "pm"].iter().find_map(|half| Some((text.strip_suffix(half)?.trim_end(), *half == "pm")));
    let (text, is_afternoon) = half.map_or((text, None), |(text, is_afternoon)| (text, Some(is_afternoon)));
    let said = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':');
    let (hour, rest) = one_or_two_digits(text.get(said.len()..)?)?;
    let minute = rest.strip_prefix(':').map(one_or_two_digits);
    let (minute, _) = minute.unwrap_or_else(|| is_afternoon.map(|_| (0, "")))?;
    let hour = is_afternoon.map_or(hour, |is_afternoon| hour % 12 + if is_afternoon { 12 } else { 0 });
    let is_of_date =
        said.trim_end().trim_end_matches(" at").ends_with(|c: char| c.is_ascii_digit() || c == ',');
    let time = civil::Time::new(hour, minute, 0, 0).ok().filter(|_| !is_of_date)?;
    Some((said, time))
}

/// A date that is all of a text: `2026-10-07 08:00:00`.
pub(super) fn written(text: &str, in_china: bool) -> Option<Timestamp> {
    let text = text.to_ascii_lowercase();
    let (date, rest) = date_and_time(text.trim(), in_china, false)?;
    rest.is_empty().then_some(date)
}

/// `2026-10-07`, ` at ` or `t` or a space, `00:00`, seconds if any, `am` or `pm` or neither, and a zone or nothing.
/// Of a zone that is not clear it is a guess.
fn date_and_time(text: &str, in_china: bool, may_guess: bool) -> Option<(Timestamp, &str)> {
    let (date, rest) = day(text).or_else(|| day_of_month(text)).or_else(|| day_first(text))?;
    let rest =
        [", at ", " at ", ", ", "t", " "].iter().find_map(|gap| rest.strip_prefix(gap)).unwrap_or(rest);
    let clock = rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(rest.len());
    let (clock, rest) = rest.split_at_checked(clock)?;
    let clock = clock.trim_end_matches('.');
    let mut parts = clock.split(':').map(str::parse::<f64>);
    let mut part =
        || parts.next().and_then(Result::ok).filter(|part| (0.0..60.0).contains(part)).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "below 60")]
    let (hour, minute, second) = (part() as i8, part() as i8, part() as i8);
    let (hour, rest) = match rest.trim_start() {
        half if half.starts_with("am") && (1..=12).contains(&hour) => (hour % 12, half.get(2..)?),
        half if half.starts_with("pm") && (1..=12).contains(&hour) => (hour % 12 + 12, half.get(2..)?),
        _ => (hour, rest),
    };
    let moment = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()?;
    // Behind a day alone a word is none of a clock's.
    let behind = if clock.is_empty() { zones::offset(rest) } else { zones::behind_clock(rest, in_china) };
    let (zone, rest) = behind.map_or((None, rest), |(zone, rest)| (Some(zone), rest));
    let usual = Offset::constant(if in_china { 8 } else { 0 });
    let offset = match zone {
        Some(zone) => zone.at(moment).or_else(|| may_guess.then_some(usual))?,
        None => usual,
    };
    Some((offset.to_timestamp(moment).ok()?, rest))
}

/// `2026-10-07`, `2026/10/07`, `2026-oct-07`, `2026年10月7日`.
fn day(text: &str) -> Option<(civil::Date, &str)> {
    let (year, rest) = text.split_at_checked(4)?;
    let separator = rest.chars().next().filter(|separator| matches!(separator, '-' | '/' | '年'))?;
    let rest = rest.strip_prefix(separator)?;
    let (month, rest) = one_or_two_digits(rest)
        .or_else(|| Some((month_of(rest)?, rest.get(3..).filter(|rest| rest.starts_with(separator))?)))?;
    let (day, rest) = one_or_two_digits(rest.strip_prefix([separator, '月'])?)?;
    Some((civil::Date::new(year.parse().ok()?, month, day).ok()?, rest.strip_prefix('日').unwrap_or(rest)))
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `oct 7, 2026`, `october 7th, 2026`.
fn day_of_month(text: &str) -> Option<(civil::Date, &str)> {
    let month = month_of(text)?;
    let (_, rest) = text.split_once([' ', '.'])?;
    let (day, rest) = one_or_two_digits(rest.trim_start())?;
    let rest = ["st", "nd", "rd", "th"].iter().find_map(|ordinal| rest.strip_prefix(ordinal)).unwrap_or(rest);
    let rest = rest.strip_prefix(',').unwrap_or(rest).strip_prefix(' ')?;
    let (year, rest) = rest.split_at_checked(4).filter(|(year, _)| year.starts_with("20"))?;
    Some((civil::Date::new(year.parse().ok()?, month, day).ok()?, rest))
}

/// `7 oct 2026`, `07-october-2026`.
fn day_first(text: &str) -> Option<(civil::Date, &str)> {
    let (day, rest) = one_or_two_digits(text)?;
    let rest = rest.trim_start_matches([' ', '-']);
    let month = month_of(rest)?;
    let rest = rest.trim_start_matches(char::is_alphabetic).trim_start_matches(['.', ',', ' ', '-']);
    let (year, rest) = rest.split_at_checked(4).filter(|(year, _)| year.starts_with("20"))?;
    Some((civil::Date::new(year.parse().ok()?, month, day).ok()?, rest))
}

fn month_of(text: &str) -> Option<i8> {
    (1_i8..).zip(MONTHS).find_map(|(number, name)| text.starts_with(name).then_some(number))
}

fn one_or_two_digits(text: &str) -> Option<(i8, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()).min(2);
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        let since_1970 = text.parse::<Timestamp>().unwrap().as_second();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970.try_into().unwrap())
    }

    #[test]
    fn dates_are_read_in_the_zone_that_is_meant() {
        for (message, in_china, want) in [
            ("you will regain access on 2026-09-01 at 00:00 utc.", false, Some("2026-09-01T00:00:00Z")),
            ("usage blocked until 2024-03-01t00:00:00+00:00 due to", false, Some("2024-03-01T00:00:00Z")),
            ("spend limit reached (daily; resets 2026-10-07 00:00 utc)", false, Some("2026-10-07T00:00:00Z")),
            ("your limit will reset at 2026-10-06 21:31:39", true, Some("2026-10-06T13:31:39Z")),
            ("your limit will reset at 2026-10-06 21:31:39", false, Some("2026-10-06T21:31:39Z")),
            ("resets on 2026-10-06", false, Some("2026-10-06T00:00:00Z")),
            ("resets 2026-10-06 01:00 utc+8", false, Some("2026-10-05T17:00:00Z")),
            ("限额将在 2026-10-06 08:00:00 重置", true, Some("2026-10-06T00:00:00Z")),
            ("your quota resets on nov 26, 2026", false, Some("2026-11-26T00:00:00Z")),
            ("your quota resets on november 26th, 2026, 5:00 pm utc.", false, Some("2026-11-26T17:00:00Z")),
            ("available again after sept. 1 2026 at 12:30 am", false, Some("2026-09-01T00:30:00Z")),
            ("until dec 1, 2026 at 13:00 utc+8", false, Some("2026-12-01T05:00:00Z")),
            ("it will reset at 2026-03-04 14:33:28 +0800 cst", false, Some("2026-03-04T06:33:28Z")),
            ("access api after 2026-sep-24 12:05:00+0000 utc", false, Some("2026-09-24T12:05:00Z")),
            ("retry after tue, 24 nov 2026 05:01:00 gmt", false, Some("2026-11-24T05:01:00Z")),
            ("access is back after 7 october, 2026 at 5:00 pm utc", false, Some("2026-10-07T17:00:00Z")),
            ("resets at 2026-11-24 15:00:00 jst", false, Some("2026-11-24T06:00:00Z")),
            ("resets at 2026-11-24 15:00:00 (kst).", false, Some("2026-11-24T06:00:00Z")),
            ("resets at 2026-11-24 00:00 pst", false, Some("2026-11-24T08:00:00Z")),
            ("resets on nov 24, 2026 at 12:00 am pt", false, Some("2026-11-24T08:00:00Z")),
            ("resets on july 24, 2026 at 12:00 am pt", false, Some("2026-07-24T07:00:00Z")),
            ("resets at 2026-03-08 03:00 pacific time", false, Some("2026-03-08T10:00:00Z")),
            ("resets at 2026-07-24 00:00 (eastern daylight time)", false, Some("2026-07-24T04:00:00Z")),
            ("resets at 2026-07-24 00:00 cest.", false, Some("2026-07-23T22:00:00Z")),
            ("resets at 2026-11-24 08:00:00 beijing time", false, Some("2026-11-24T00:00:00Z")),
            ("2026-11-24 08:00:00 (北京时间) 重置", false, Some("2026-11-24T00:00:00Z")),
            ("2026-11-24 08:00:00 utc重置", true, Some("2026-11-24T08:00:00Z")),
            ("resets at 2026-11-24 08:00:00 cst", true, Some("2026-11-24T00:00:00Z")),
            ("resets at 2026-11-24 08:00:00 cst", false, None),
            ("resets at 2026-11-24 08:00:00 ist for you", false, None),
            ("resets at 2026-11-24 08:00:00 (xyz)", false, None),
            ("resets at 2026-11-24 08:00:00 tokyo standard time", false, None),
            ("resets at 2026-11-24 08:00:00 pacific/auckland", false, None),
            ("resets at 2026-11-24 08:00:00 for you", false, Some("2026-11-24T08:00:00Z")),
            ("blocked until 2026-11-24 et cetera", false, Some("2026-11-24T00:00:00Z")),
            ("resets on 07-oct-2026", false, Some("2026-10-07T00:00:00Z")),
            ("resets after 300 dec 2026", false, None),
            ("until may 2026", false, None),
            ("you may retry 2026 times after 5 decisions", false, None),
            ("until february 30, 2026", false, None),
            ("gpt-4o-2024-08-06 is slow", false, None),
            ("resets 2026-13-40", false, None),
            ("until 2026-10-06 99:99:99", false, Some("2026-10-06T00:00:00Z")),
        ] {
            let want = want.map(|want| want.parse::<Timestamp>().unwrap());
            assert_eq!(stated(&Words::of(message), in_china, false), want, "{message}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let now = at("2026-11-24T05:00:00Z");
        for (message, minutes) in [
            ("your limit resets at midnight utc.", Some(19 * 60)),
            ("your free usage resets automatically at midnight pacific", Some(3 * 60)),
            ("quota resets daily at 00:00 utc", Some(19 * 60)),
            ("try again at 05:30 utc", Some(30)),
            ("retry after 05:30 utc", Some(30)),
            ("retry at 05:30:00 utc", Some(30)),
            ("try again at 04:59 (utc)", Some(23 * 60 + 59)),
            ("limits are renewed at 5:30 pm utc", Some(12 * 60 + 30)),
            ("limits are renewed at 12 am gmt", Some(19 * 60)),
            ("resets every day at 00:00 (utc+8)", Some(11 * 60)),
            ("resets every day at 00:00 jst", Some(10 * 60)),
            ("try again at 6 pm et", Some(18 * 60)),
            ("try again at 06:00 (pacific/auckland)", None),
            ("try again at 06:00 ist", None),
            // The date decides, and a time of what was is none to wait for.
            ("you will regain access on 2026-09-01 at 00:00 utc.", None),
            ("you will regain access on sep 1, 2026, 00:00 utc.", None),
            ("request of 04:00 utc was limited", None),
            ("resets at 99:99 utc", None),
            ("resets in 5 utc hours", None),
        ] {
            let waited = of_day(&Words::of(message), now).map(|wait| wait.as_secs() / 60);
            assert_eq!(waited, minutes, "{message}");
        }
    }

    #[test]
    fn midnight_in_los_angeles_knows_summer_time() {
        for (moment, hours) in [
            ("2026-01-15T12:00:00Z", 20),
            ("2026-07-15T12:00:00Z", 19),
            ("2026-03-08T08:00:00Z", 23),
            ("2026-11-01T07:00:00Z", 25),
            ("2026-11-02T07:59:00Z", 0),
        ] {
            let wait = next(Until::PacificMidnight, at(moment)).unwrap();
            assert_eq!(wait.as_secs() / 3600, hours, "{moment}");
        }
        assert_eq!(next(Until::NextMonth, at("2026-12-31T23:59:50Z")), Some(Duration::from_secs(10)));
    }
}
