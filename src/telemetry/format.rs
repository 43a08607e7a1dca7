//! What a log line looks like: one object a line for machines, or time, level, message and `key=value` for people.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

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

/// The present moment as every line begins: RFC 3339, UTC, milliseconds.
pub(super) fn timestamp() -> impl fmt::Display {
    struct Millis(Timestamp);
    impl fmt::Display for Millis {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:.3}", self.0)
        }
    }
    Millis(Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH))
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
pub(super) fn begin_text(out: &mut impl fmt::Write, style: Style, level: Level) -> fmt::Result {
    let (colour, name) = match level {
        Level::ERROR => ("\x1b[31m", "ERROR"),
        Level::WARN => ("\x1b[33m", "WARN "),
        Level::INFO => ("\x1b[32m", "INFO "),
        _ => ("\x1b[34m", "DEBUG"),
    };
    match style {
        Style::Colour => write!(out, "\x1b[2m{}\x1b[0m {colour}{name}\x1b[0m ", timestamp()),
        Style::Json | Style::Text => write!(out, "{} {name} ", timestamp()),
    }
}

/// A JSON line's beginning: time, level and message.
pub(super) fn begin_json(out: &mut impl fmt::Write, level: Level, message: &str) -> fmt::Result {
    write!(out, r#"{{"timestamp":"{}","level":"{}","message":"#, timestamp(), level_name(level))?;
    json_string(out, message)
}

/// A JSON string.
pub(super) fn json_string(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_str(&serde_json::to_string(bounded(text)).map_err(|_| fmt::Error)?)
}

/// A text line's value: in quotes, and without control characters, wherever it could be taken for something else.
pub(super) fn text_value(out: &mut impl fmt::Write, value: &str) -> fmt::Result {
    let value = bounded(value);
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    if !value.is_empty() && value.chars().all(plain) {
        out.write_str(value)
    } else {
        write!(out, "{value:?}")
    }
}

fn bounded(text: &str) -> &str {
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
            begin_json(&mut out, level, &fields.message)?;
            return writeln!(out, "{}}}", fields.rest);
        }
        begin_text(&mut out, self.0, level)?;
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
