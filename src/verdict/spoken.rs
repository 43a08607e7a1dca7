//! Lengths of time as people and programs write them, and where in a message they stand.

use std::time::Duration;

use super::dates;
use super::wait::FIRST_DATE;
use super::words::Words;

/// `1h2m3.5s`, `250ms`, `2 minutes`: all of it has to be one length of time.
pub(super) fn length(text: &str) -> Option<Duration> {
    let (wait, rest) = leading_length(text)?;
    rest.trim().is_empty().then_some(wait)
}

/// The length of time at the beginning of a text, and what follows it.
fn leading_length(text: &str) -> Option<(Duration, &str)> {
    let mut rest =
        text.trim_start_matches([' ', ':', '：', '=', '~', '≈', '约', '过', '在', '于', '(', '（']);
    for word in ["about ", "approximately ", "another ", "at least ", "less than ", "pt"] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    if let Some(clock) = clock(rest) {
        return Some(clock);
    }
    let mut total = None;
    loop {
        let more = rest.strip_prefix("and ").or_else(|| rest.strip_prefix(", ")).filter(|_| total.is_some());
        let Some((number, after)) = leading_number(more.unwrap_or(rest)) else { break };
        let (number, after) = to_number(after).unwrap_or((number, after));
        let unit = after.trim_start();
        let unit = unit.strip_prefix("more ").unwrap_or(unit);
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

/// "5-10 seconds", "5 to 10 seconds": the longer one, and what follows it.
fn to_number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start();
    let to = ["-", "~", "–", "to ", "到", "至"].iter().find_map(|word| text.strip_prefix(word))?;
    leading_number(to.trim_start())
}

/// The number at the beginning of a text, in digits or as one of China's.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, mut rest) = text.split_at_checked(digits)?;
    if let Ok(mut number) = number.parse::<f64>() {
        while let Some((thousands, after)) = thousands(rest) {
            number = number * 1000.0 + thousands;
            rest = after;
        }
        return Some((number, rest));
    }
    let words = [
        ("an ", 1.0),
        ("one ", 1.0),
        ("two ", 2.0),
        ("three ", 3.0),
        ("four ", 4.0),
        ("five ", 5.0),
        ("six ", 6.0),
        ("ten ", 10.0),
        ("fifteen ", 15.0),
        ("twenty ", 20.0),
        ("thirty ", 30.0),
        ("sixty ", 60.0),
        ("half an ", 0.5),
    ];
    words
        .iter()
        .chain(&[("半", 0.5)])
        .find_map(|(word, number)| Some((*number, text.strip_prefix(word)?)))
        .or_else(|| chinese(text))
}

/// `,234`: what follows in "1,234".
fn thousands(text: &str) -> Option<(f64, &str)> {
    let (digits, rest) = text.strip_prefix(',')?.split_at_checked(3)?;
    let is_whole =
        digits.bytes().all(|c| c.is_ascii_digit()) && !rest.starts_with(|c: char| c.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| is_whole)?, rest))
}

/// `三`, `十`, `十五`, `三十`, `四十五`.
fn chinese(text: &str) -> Option<(f64, &str)> {
    let digit = |text: &str| {
        let digits = ["一", "二", "三", "四", "五", "六", "七", "八", "九"];
        let mut values = (1_u8..).zip(digits).chain([(2, "两")]);
        let (value, digit) = values.find(|(_, digit)| text.starts_with(digit))?;
        Some((f64::from(value), digit.len()))
    };
    let (first, length) = digit(text).unwrap_or((1.0, 0));
    let Some(rest) = text.get(length..)?.strip_prefix('十') else {
        return (length > 0).then_some((first, text.get(length..)?));
    };
    let (last, length) = digit(rest).unwrap_or((0.0, 0));
    Some((first * 10.0 + last, rest.get(length..)?))
}

/// A unit in seconds, and how many bytes of the word it is.
fn unit_of(word: &str) -> Option<(f64, usize)> {
    let scale = match word {
        "us" | "µs" | "μs" => 0.000_001,
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" | "seconde" | "secondes" | "segundo" | "segundos"
        | "secondi" | "sekunde" | "sekunden" | "сек" | "секунд" | "секунду" | "секунды" => {
            1.0
        }
        "m" | "min" | "mins" | "minute" | "minutes" | "minuto" | "minutos" | "minuti" | "minuten" | "мин"
        | "минут" | "минуту" | "минуты" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" | "heure" | "heures" | "hora" | "horas" | "stunde"
        | "stunden" | "час" | "часа" | "часов" => 3600.0,
        "d" | "day" | "days" | "jour" | "jours" | "día" | "días" | "dia" | "dias" | "tag" | "tage"
        | "tagen" | "день" | "дня" | "дней" => 86_400.0,
        _ => {
            let without_spaces = [
                ("毫秒", 0.001),
                ("秒钟", 1.0),
                ("秒", 1.0),
                ("分钟", 60.0),
                ("分", 60.0),
                ("小时", 3600.0),
                ("个小时", 3600.0),
                ("天", 86_400.0),
                ("時間", 3600.0),
                ("초", 1.0),
                ("분", 60.0),
                ("시간", 3600.0),
            ];
            return without_spaces
                .iter()
                .find(|(unit, _)| word.starts_with(unit))
                .map(|(unit, scale)| (*scale, unit.len()));
        }
    };
    Some((scale, word.len()))
}

/// `12.01:02:03`: days, hours, minutes, seconds, as Azure API Management writes it. With a zone it is a time of day.
fn clock(text: &str) -> Option<(Duration, &str)> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(text.len());
    let (clock, rest) = text.split_at_checked(end)?;
    let zone = rest.trim_start_matches([' ', '(']);
    if ["utc", "gmt", "am ", "pm "].iter().any(|word| zone.starts_with(word)) || dates::is_zone(zone) {
        return None;
    }
    let (front, seconds_part) = clock.trim_end_matches('.').rsplit_once(':')?;
    let (hours, minutes) = front.split_once(':')?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let number = |text: &str| text.parse::<f64>().ok();
    let total =
        ((number(days)? * 24.0 + number(hours)?) * 60.0 + number(minutes)?) * 60.0 + number(seconds_part)?;
    Some((seconds(total)?, rest))
}

/// What a length of time is told after.
const PHRASES: &[&str] = &[
    "again in ",
    "again after ",
    "retrying in ",
    "retry in",
    "next request in ",
    "another request in ",
    "next call in ",
    "another call in ",
    "next slot in ",
    "your request in ",
    "the request in ",
    "request after ",
    "more requests in ",
    "new requests in ",
    "requests after ",
    "wait for ",
    "wait ",
    "reset after ",
    "resets after ",
    "resetting in ",
    "reset in ",
    "reset: ",
    "resets in",
    "replenished in ",
    "available in ",
    "back in ",
    "try in ",
    "resume in ",
    "resume after ",
    "continue in ",
    "ready in ",
    "clears in ",
    "ends in ",
    "lifts in ",
    "hold off for ",
    "hold on for ",
    "hold on ",
    "hold off ",
    "ease off for ",
    "ease up for ",
    "give it ",
    "rest for ",
    "sit out ",
    "sleep for ",
    "refills in ",
    "retry within ",
    "refreshes in ",
    "renews in ",
    "allowed in ",
    "accepted in ",
    "possible in ",
    "try after",
    "back off for ",
    "slow down for ",
    "pause for ",
    "cooldown",
    "cooldown of ",
    "cooldown period of ",
    "cooldown period: ",
    "cooling down for ",
    "retry delay",
    "retrydelay",
    "be made in ",
    "time remaining",
    "wait time: ",
    "retry-after",
    "retry_after",
    "limited for ",
    "throttled for ",
    "timed out for ",
    "banned for ",
    "blocked for ",
    "disabled for ",
    "frozen for ",
    "locked for ",
    "locked out for ",
    "quarantine for ",
    "quarantined for ",
    "restricted for ",
    "suspended for ",
    "lifted in ",
    "restored in ",
    "unlocked in ",
    "через ",
    "подождите ",
    "dentro de ",
    "nuevo en ",
    "novamente em ",
    "aguarde ",
    "espere ",
    "dans ",
    "sie es in ",
    "versuche es in ",
    "versuch es in ",
    "es bitte in ",
    "erneut in ",
    "warten sie ",
    "patientez ",
    "attendez ",
    "riprova tra ",
    "等待时间",
    "还需",
    "冷却时间",
    "剩余",
    "剩余时间",
    "还剩",
    "还有",
    "倒计时",
    "稍等",
    "稍后",
    "封禁",
    "冻结",
    "锁定",
    "将在",
    "将于",
    "等待",
    "请",
];

/// "Please try again in 1m2.5s", "retry after 20 seconds", "请在 5 秒后重试".
pub(super) fn spoken(words: &Words) -> Option<Duration> {
    let text = words.text();
    let after = |phrase: &&'static str| {
        let length = phrase.len();
        words.places(phrase).filter_map(move |at| text.get(at + length..)).take(16)
    };
    // How long it has been, or is from beginning to end, is not how long it still is.
    let is_whole = |rest: &str| {
        ["in all", "in total", "so far", "ago"].iter().any(|word| rest.trim_start().starts_with(word))
    };
    let told = || PHRASES.iter().flat_map(after).filter_map(leading_length);
    let still = told().filter(|(_, rest)| !is_whole(rest)).map(|(length, _)| length).max();
    still
        .max(told_of_return(words))
        .max(bare_seconds(words))
        .max(one_of_a_unit(words))
        .or_else(|| spoken_after(words))
        .or_else(|| told().map(|(length, _)| length).max())
}

/// What a limit does when it is over, or what it is that comes back: beginnings of words.
const RETURNS: &[&str] = &[
    "avail",
    "back",
    "clear",
    "expire",
    "free",
    "lift",
    "open",
    "ready",
    "recover",
    "refill",
    "refresh",
    "release",
    "renew",
    "reopen",
    "replenish",
    "reset",
    "restart",
    "restor",
    "resum",
    "return",
    "roll",
    "start",
    "unblock",
    "unlock",
];
/// How it does so.
const ADVERBS: &[&str] =
    &["again", "automatically", "completely", "fully", "itself", "next", "off", "only", "over", "up"];
/// What else is over at some time.
const LASTING: &[&str] =
    &["trial", "subscription", "plan", "membership", "token", "key", "session", "credits", "certificate"];

/// "Refills fully in 8s", "your window reopens in about 15 min": whatever it is that comes back.
fn told_of_return(words: &Words) -> Option<Duration> {
    let text = words.text();
    let told = words.places(" in ").take(16).filter_map(|at| {
        let (before, rest) = text.split_at_checked(at)?;
        let (wait, _) = leading_length(rest.strip_prefix(" in ")?)?;
        let clause = before.rsplit(['.', ',', ';', ':', '(']).next()?;
        let verb = clause.rsplit(' ').find(|word| !ADVERBS.contains(word))?;
        let is_return = RETURNS.iter().any(|begins| verb.starts_with(begins)) || clause.ends_with(" over");
        let is_lasting = verb.starts_with("expire") && LASTING.iter().any(|word| clause.contains(word));
        (is_return && !is_lasting).then_some(wait)
    });
    told.max()
}

/// "Retry after 30", "Retry-After: 30", "retry_after=30", "retry after 30 (seconds)": without a unit it is seconds.
fn bare_seconds(words: &Words) -> Option<Duration> {
    // The last as Python prints Google's.
    let phrases = ["retry after", "retry-after", "retry_after", "retry_delay { seconds:"];
    let rests = phrases.iter().filter_map(|word| words.after(word));
    rests.filter_map(|rest| bare_number(rest.trim_start_matches([' ', ':', '=']))).max()
}

/// "Try again in a minute". Who should "wait a minute" is not told how long.
fn one_of_a_unit(words: &Words) -> Option<Duration> {
    let unit = words.after("again in a ")?.split(|c: char| !c.is_alphabetic()).next()?;
    seconds(unit_of(unit)?.0)
}

/// Not "2026-11-24", "05:30" or seconds since 1970: those are moments.
fn bare_number(text: &str) -> Option<Duration> {
    let (number, rest) = leading_number(text)?;
    let joined = rest.strip_prefix(['-', '/', ':']).unwrap_or_else(|| rest.trim_start());
    let is_bare = !joined.starts_with(char::is_alphanumeric);
    seconds(number).filter(|_| is_bare && number < FIRST_DATE)
}

/// "30秒后重试": the length stands before the word.
fn spoken_after(words: &Words) -> Option<Duration> {
    let said = [
        "后重试",
        "后再试",
        "再试",
        "后恢复",
        "后自动",
        "后刷新",
        "后重置",
        "后更新",
        "后重新",
        "后再次",
        "后可",
        "后继续",
        "后解除",
        "後に",
        "後、",
        "お待ち",
        "후에",
        "후 다시",
        " warten",
        " erneut",
        " remaining",
        " left",
        " later",
        " from now",
    ];
    let is_number = |letter: char| letter.is_ascii_digit() || "一二两三四五六七八九十半".contains(letter);
    let told = said.iter().filter_map(|word| {
        let before = words.text().get(..words.find(word)?)?;
        let starts = before.char_indices().rev().take(16).filter(|(_, letter)| is_number(*letter));
        // A clock behind a date is a moment.
        let is_of_date = |at: usize| {
            before
                .get(..at)
                .is_some_and(|date| date.trim_end().ends_with(|c: char| c.is_ascii_digit() || c == '日'))
        };
        // The longest of those that reach up to the word: "1分30秒", not "30秒".
        starts.filter(|(at, _)| !is_of_date(*at)).filter_map(|(at, _)| length(before.get(at..)?)).max()
    });
    told.max()
}

/// Less than nothing, or no number, is no length of time.
pub(super) fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}
