//! Zones of time as messages name them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::Offset;

/// What is known of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    Fixed(Offset),
    /// One of the United States, with its offset in winter.
    American(Offset),
    /// Its name means several zones, or one that is not known.
    Unclear,
}

impl Zone {
    /// Its offset now.
    pub(super) fn now(self, now: Timestamp) -> Option<Offset> {
        match self {
            Self::Fixed(offset) => Some(offset),
            Self::American(winter) => Some(american(winter, now)),
            Self::Unclear => None,
        }
    }

    /// Its offset when its clocks show this.
    pub(super) fn at(self, moment: DateTime) -> Option<Offset> {
        match self {
            Self::American(winter) => Some(american(winter, winter.to_timestamp(moment).ok()?)),
            Self::Fixed(offset) => Some(offset),
            Self::Unclear => None,
        }
    }
}

/// Since 2007 summer time runs from the second Sunday of March to the first of November, 2 a.m.
fn american(winter: Offset, moment: Timestamp) -> Offset {
    let Ok(summer) = Offset::from_seconds(winter.seconds() + 3600) else { return winter };
    let year = winter.to_datetime(moment).year();
    let change = |month: i8, nth: i8, before: Offset| {
        let sunday = Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, Weekday::Sunday).ok()?;
        before.to_timestamp(sunday.at(2, 0, 0, 0)).ok()
    };
    let is_summer = change(3, 2, winter).is_some_and(|begin| moment >= begin)
        && change(11, 1, summer).is_some_and(|end| moment < end);
    if is_summer { summer } else { winter }
}

/// Los Angeles' offset.
pub(super) fn pacific(moment: Timestamp) -> Offset {
    american(Offset::constant(-8), moment)
}

const fn us_hours(hours: i8) -> Zone {
    Zone::American(Offset::constant(hours))
}

const fn hours(hours: i8) -> Zone {
    Zone::Fixed(Offset::constant(hours))
}

/// "CST" is America's or China's, "IST" India's, Israel's or Ireland's.
const NAMES: [(&str, Zone); 34] = [
    ("utc", hours(0)),
    ("gmt", hours(0)),
    ("pt", us_hours(-8)),
    ("pacific", us_hours(-8)),
    ("pst", hours(-8)),
    ("pdt", hours(-7)),
    ("mt", us_hours(-7)),
    ("mountain", us_hours(-7)),
    ("mst", hours(-7)),
    ("mdt", hours(-6)),
    ("ct", us_hours(-6)),
    ("central", us_hours(-6)),
    ("cdt", hours(-5)),
    ("et", us_hours(-5)),
    ("eastern", us_hours(-5)),
    ("est", hours(-5)),
    ("edt", hours(-4)),
    ("bst", hours(1)),
    ("cet", hours(1)),
    ("cest", hours(2)),
    ("beijing", hours(8)),
    ("china", hours(8)),
    ("北京时间", hours(8)),
    ("jst", hours(9)),
    ("kst", hours(9)),
    ("cst", Zone::Unclear),
    ("ist", Zone::Unclear),
    ("aest", Zone::Unclear),
    ("aedt", Zone::Unclear),
    ("eest", Zone::Unclear),
    ("msk", Zone::Unclear),
    ("sgt", Zone::Unclear),
    ("hkt", Zone::Unclear),
    ("hst", Zone::Unclear),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The zone whose name begins a text, and what follows it.
pub(super) fn known(text: &str) -> Option<(Zone, &str)> {
    let (name, rest) = word(text);
    let (_, zone) = NAMES.iter().find(|(known, _)| *known == name)?;
    Some((*zone, behind_time(rest).unwrap_or(rest)))
}

/// The zone behind a time of day, and what follows it.
pub(super) fn behind_clock(text: &str, in_china: bool) -> Option<(Zone, &str)> {
    let (zone, rest) = zone(text.trim_start_matches([' ', '(', '（']), in_china)?;
    Some((zone, rest.trim_start_matches([')', '）'])))
}

pub(super) fn zone(text: &str, in_china: bool) -> Option<(Zone, &str)> {
    if let Some(zone) = offset(text) {
        return Some(zone);
    }
    let (name, rest) = word(text);
    if in_china && name == "cst" {
        return Some((hours(8), rest));
    }
    place(name, rest).or_else(|| known(text)).or_else(|| unknown(name, rest))
}

/// "Asia/Tokyo".
fn place<'a>(area: &str, rest: &'a str) -> Option<(Zone, &'a str)> {
    let areas = ["africa", "america", "asia", "atlantic", "australia", "europe", "pacific"];
    let (_, rest) = word(rest.strip_prefix('/').filter(|_| areas.contains(&area))?);
    Some((Zone::Unclear, rest))
}

/// Short words that end a sentence behind a time of day, and are no zones.
const NO_ZONES: &[&str] = &[
    "ago", "and", "day", "days", "each", "for", "hour", "hrs", "left", "max", "min", "next", "now", "once",
    "only", "per", "plan", "sec", "soon", "sure", "then", "this", "time", "too", "user", "week", "with",
];

/// "Tokyo time", and what looks like a short name: the last word.
fn unknown<'a>(name: &str, rest: &'a str) -> Option<(Zone, &'a str)> {
    let is_last = rest.is_empty() || rest.starts_with(['.', ',', ';', ')', '\n']);
    let last = (is_last && matches!(name.len(), 3 | 4) && !NO_ZONES.contains(&name)).then_some(rest);
    let of_place = behind_time(rest).filter(|_| !name.is_empty());
    Some((Zone::Unclear, of_place.or(last)?))
}

/// What follows " time" or " standard time".
fn behind_time(text: &str) -> Option<&str> {
    let kinds = [" standard", " daylight", " summer"];
    kinds.iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text).strip_prefix(" time")
}

/// The word with which a text begins, which another script ends too.
fn word(text: &str) -> (&str, &str) {
    let beijing = text.starts_with("北京时间").then_some("北京时间".len());
    let end = beijing.or_else(|| text.find(|c: char| !c.is_ascii_alphabetic())).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `utc`, `z`, `+08:00`, `gmt-5`.
pub(super) fn offset(text: &str) -> Option<(Zone, &str)> {
    let (offset, rest) = numbered(text.trim_start())?;
    Some((Zone::Fixed(offset), rest))
}

fn numbered(text: &str) -> Option<(Offset, &str)> {
    for name in ["utc", "gmt", "z"] {
        if let Some(rest) = text.strip_prefix(name).filter(|rest| word(rest).0.is_empty()) {
            return Some(numbered(rest).unwrap_or((Offset::UTC, rest)));
        }
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.strip_prefix(['+', '-'])?;
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
    let (digits, rest) = rest.split_at_checked(digits)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    Some((Offset::from_seconds(sign * seconds).ok()?, rest))
}
