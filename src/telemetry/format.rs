//! What a log line looks like: one object a line for machines, or time, level, message and `key=value` for people.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::sampled::Sampled;

/// A longer value is cut: what upstreams and clients say must not flood the log.
const LONGEST_VALUE: usize = 2048;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
    /// Text for people at a terminal.
    Colour,
}

/// A moment as every line begins: RFC 3339, UTC, milliseconds.
pub(super) fn timestamp(out: &mut impl fmt::Write, at: SystemTime) -> fmt::Result {
    const BLANK: &[u8; 24] = b"1970-01-01T00:00:00.000Z";
    thread_local! {
        /// What a second's moments have in common, made anew with each second.
        static SECOND: Cell<(u64, [u8; BLANK.len()])> = const { Cell::new((0, *BLANK)) };
    }
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = SECOND.get();
    if second != at.as_secs() {
        second = at.as_secs();
        let whole = Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(second)).unwrap_or_default();
        let whole = format!("{whole:.3}");
        text = whole.as_bytes().try_into().unwrap_or(*BLANK);
        SECOND.set((second, text));
    }
    let mut millis = at.subsec_millis();
    for digit in text.iter_mut().rev().skip(1).take(3) {
        *digit = ascii_digit(u64::from(millis));
        millis /= 10;
    }
    out.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

/// A whole number.
pub(super) fn decimal(out: &mut impl fmt::Write, number: u64) -> fmt::Result {
    out.write_str(itoa::Buffer::new().format(number))
}

/// A time in milliseconds, with so many places behind the point, of six at most.
pub(super) fn milliseconds(out: &mut impl fmt::Write, time: Duration, places: u32) -> fmt::Result {
    // Five hundred years.
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (unit, scale) = (10_u64.pow(6 - places), 10_u64.pow(places));
    let (mut units, rest) = (nanos / unit, nanos % unit);
    // A half goes to the even neighbour, as with floats.
    units += u64::from(rest * 2 > unit || rest * 2 == unit && units % 2 == 1);
    decimal(out, units / scale)?;
    out.write_char('.')?;
    let mut fraction = units % scale;
    let mut power = 10_u64.pow(places - 1);
    while power > 0 {
        out.write_char(char::from(ascii_digit(fraction / power)))?;
        fraction %= power;
        power /= 10;
    }
    Ok(())
}

fn ascii_digit(number: u64) -> u8 {
    // The remainder fits any type.
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// A text line's beginning: time and level.
pub(super) fn begin_text(
    out: &mut impl fmt::Write,
    style: Style,
    level: Level,
    at: SystemTime,
) -> fmt::Result {
    let (colour, name) = match level {
        Level::ERROR => ("\x1b[31m", "ERROR"),
        Level::WARN => ("\x1b[33m", "WARN "),
        Level::INFO => ("\x1b[32m", "INFO "),
        _ => ("\x1b[34m", "DEBUG"),
    };
    match style {
        Style::Colour => {
            out.write_str("\x1b[2m")?;
            timestamp(out, at)?;
            write!(out, "\x1b[0m {colour}{name}\x1b[0m ")
        }
        Style::Json | Style::Text => {
            timestamp(out, at)?;
            out.write_char(' ')?;
            out.write_str(name)?;
            out.write_char(' ')
        }
    }
}

/// A JSON line's beginning: time, level and message.
pub(super) fn begin_json(
    out: &mut impl fmt::Write,
    level: Level,
    message: &str,
    at: SystemTime,
) -> fmt::Result {
    out.write_str(r#"{"timestamp":""#)?;
    timestamp(out, at)?;
    out.write_str(r#"","level":""#)?;
    out.write_str(level_name(level))?;
    out.write_str(r#"","message":"#)?;
    json_string(out, message)
}

/// A JSON string.
pub(super) fn json_string(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    if text.len() > LONGEST_VALUE || !text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        return out.write_str(&serde_json::to_string(bounded(text)).map_err(|_| fmt::Error)?);
    }
    out.write_char('"')?;
    out.write_str(text)?;
    out.write_char('"')
}

/// A text line's value: in quotes, and without control characters, wherever it could be taken for something else.
pub(super) fn text_value(out: &mut impl fmt::Write, value: &str) -> fmt::Result {
    let value = bounded(value);
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    // Nearly all are ASCII, for which there are no tables to look into.
    let is_graphic = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=');
    if !value.is_empty() && (value.bytes().all(is_graphic) || value.chars().all(is_plain)) {
        out.write_str(value)
    } else {
        write!(out, "{value:?}")
    }
}

fn bounded(text: &str) -> &str {
    if text.len() <= LONGEST_VALUE {
        return text;
    }
    text.char_indices().nth(LONGEST_VALUE).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Formats the events of `tracing`.
///
/// A line of which others like it were left out before it says how many.
pub(super) struct EventFormat(pub(super) Style, pub(super) Sampled);

impl<S, N> FormatEvent<S, N> for EventFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields { json: self.0 == Style::Json, message: String::new(), rest: String::new() };
        event.record(&mut fields);
        let left_out = self.1.left_out(event.metadata());
        if left_out > 0 {
            let name = if fields.json { ",\"left_out\":" } else { " left_out=" };
            let _ = write!(fields.rest, "{name}{left_out}");
        }
        let level = *event.metadata().level();
        if self.0 == Style::Json {
            begin_json(&mut out, level, &fields.message, SystemTime::now())?;
            return writeln!(out, "{}}}", fields.rest);
        }
        begin_text(&mut out, self.0, level, SystemTime::now())?;
        // A message that quotes something foreign stays one line.
        fields.message.chars().try_for_each(|c| {
            if c.is_control() { write!(out, "{}", c.escape_default()) } else { out.write_char(c) }
        })?;
        writeln!(out, "{}", fields.rest)
    }
}

/// An event's fields, written as they are visited.
struct Fields {
    json: bool,
    message: String,
    rest: String,
}

impl Fields {
    fn name(&mut self, field: &Field) {
        // Writing to a string can't fail, here and below.
        let _ = if self.json {
            write!(self.rest, ",\"{}\":", field.name())
        } else {
            write!(self.rest, " {}=", field.name())
        };
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.rest, "{value}");
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.bare(field, value) } else { self.record_str(field, &value.to_string()) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        self.name(field);
        let _ =
            if self.json { json_string(&mut self.rest, value) } else { text_value(&mut self.rest, value) };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, event: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(EventFormat(style, Sampled::default()))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), event);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_time_is_written_as_a_float_would_be() {
        for nanos in [0, 999, 1_501, 2_250_000, 2_350_001, 999_949_999, 999_950_001, 61_000_000_000] {
            for places in [1, 3] {
                let (mut out, time) = (String::new(), Duration::from_nanos(nanos));
                milliseconds(&mut out, time, places).unwrap();
                assert_eq!(out, format!("{:.*}", places as usize, time.as_secs_f64() * 1000.0), "{nanos}");
            }
        }
    }

    #[test]
    fn a_number_is_written_whole() {
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut out = String::new();
            decimal(&mut out, number).unwrap();
            assert_eq!(out, number.to_string());
        }
    }

    #[test]
    fn the_moment_is_the_present_one() {
        let mut out = String::new();
        timestamp(&mut out, SystemTime::now()).unwrap();
        let moment = out.parse::<Timestamp>().unwrap().as_millisecond();
        let off = Timestamp::now().as_millisecond() - moment;
        assert!((0..2000).contains(&off) && out.len() == 24, "{out}");
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let line = logged(Style::Json, || {
            tracing::warn!(count = 3, share = 0.5, ok = true, text = "a \"b\"\n", shown = %"x y", "hello\nthere");
        });
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(names, ["timestamp", "level", "message", "count", "share", "ok", "text", "shown"]);
        assert_eq!((&value["level"], &value["message"]), (&"warn".into(), &"hello\nthere".into()));
        assert_eq!((&value["count"], &value["share"], &value["ok"]), (&3.into(), &0.5.into(), &true.into()));
        assert_eq!((&value["text"], &value["shown"]), (&"a \"b\"\n".into(), &"x y".into()));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn text_is_one_line_whatever_is_in_it() {
        let line = logged(Style::Text, || {
            tracing::error!(plain = "x", forged = "y\n2026-01-01 INFO fake", "it \x1b[31mfailed\n");
        });
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == "2026-11-24T05:17:13.123Z".len(), "{time}");
        assert_eq!(rest, "ERROR it \\u{1b}[31mfailed\\n plain=x forged=\"y\\n2026-01-01 INFO fake\"\n");
    }

    #[test]
    fn a_value_is_cut_before_it_floods_the_log() {
        let long = "é".repeat(100_000);
        for style in [Style::Json, Style::Text] {
            assert!(logged(style, || tracing::info!(long, "x")).len() < 5_000);
        }
    }
}
