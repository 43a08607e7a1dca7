//! One line a request (spec §11), without a detour through `tracing`: every request pays for it. A worker only takes down
//! what is to be told; the log's own thread makes lines of that, many at a time.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use tracing::Level;

use super::format::{Style, begin_json, begin_text, decimal, json_string, milliseconds, text_value};
use super::note::{self, Note, RequestLine};
use super::queue::Queue;

/// A text that grew larger is given back to the system.
const KEPT: usize = 1 << 20;
/// How many characters are written of why a request failed.
const LONGEST_ERROR: usize = 300;

/// Where the requests' lines go.
#[derive(Clone, Debug)]
pub struct RequestLog {
    queue: Queue,
    level: Level,
    slow: Option<Duration>,
}

/// Makes lines of what was taken down of requests, among lines that are.
pub(super) struct Lines<W> {
    sink: W,
    style: Style,
    slow: Option<Duration>,
    text: String,
}

impl RequestLog {
    pub(super) fn new(queue: Queue, level: Level, slow: Option<Duration>) -> Self {
        Self { queue, level, slow }
    }

    /// Logs a request, if its weight is logged at all.
    pub fn write(&self, line: &RequestLine<'_>) {
        let level = line.level(line.is_slow(self.slow));
        // `tracing` orders levels by how much they let through.
        if level <= self.level {
            let at = SystemTime::now();
            self.queue.push_by(|text| note::take_down(line, at, text));
        }
    }
}

impl<W: Write> Lines<W> {
    pub(super) fn new(sink: W, style: Style, slow: Option<Duration>) -> Self {
        Self { sink, style, slow, text: String::new() }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, gathered: &[u8]) -> io::Result<usize> {
        self.text.clear();
        for part in note::parts(gathered) {
            match part {
                Note::Line(text) => self.text.push_str(&String::from_utf8_lossy(text)),
                Note::Request(line, at) => {
                    let slow = line.is_slow(self.slow);
                    // Writing to a string can't fail.
                    let _ = line.format(&mut self.text, self.style, line.level(slow), slow, at);
                }
            }
        }
        self.sink.write_all(self.text.as_bytes())?;
        self.text.shrink_to(KEPT);
        Ok(gathered.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl RequestLine<'_> {
    /// Whether its answer was long in coming. How long a stream then lasts is its own affair.
    fn is_slow(&self, from: Option<Duration>) -> bool {
        from.is_some_and(|from| self.to_first_byte.unwrap_or(self.duration) >= from)
    }

    fn level(&self, slow: bool) -> Level {
        match self.status {
            500.. => Level::ERROR,
            // The client went away: nobody's fault.
            499 => Level::INFO,
            400.. => Level::WARN,
            _ if slow => Level::WARN,
            _ => Level::INFO,
        }
    }

    fn format(
        &self,
        out: &mut String,
        style: Style,
        level: Level,
        slow: bool,
        at: SystemTime,
    ) -> fmt::Result {
        let path = self.path;
        if style == Style::Json {
            begin_json(out, level, self.message(slow), at)?;
            for part in [r#","request_id":""#, self.id, r#"","method":""#, self.method, r#"","path":"#] {
                out.push_str(part);
            }
            json_string(out, path)?;
            out.push_str(r#","status":"#);
            decimal(out, self.status.into())?;
            match self.key {
                Some((index, preview)) => {
                    out.push_str(r#","key_index":"#);
                    decimal(out, index.into())?;
                    out.push_str(r#","key_preview":"#);
                    json_string(out, preview)?;
                }
                None => out.push_str(r#","key_index":null,"key_preview":null"#),
            }
            out.push_str(r#","upstream":"#);
            match self.upstream {
                Some(upstream) => json_string(out, upstream)?,
                None => out.push_str("null"),
            }
            out.push_str(r#","attempts":"#);
            decimal(out, self.attempts.into())?;
            out.push_str(r#","ttfb_ms":"#);
            match self.to_first_byte {
                Some(time) => milliseconds(out, time, 3)?,
                None => out.push_str("null"),
            }
            out.push_str(r#","duration_ms":"#);
            milliseconds(out, self.duration, 3)?;
            out.push_str(r#","bytes":"#);
            decimal(out, self.bytes)?;
            if let Some(error) = self.error {
                out.push_str(r#","error":"#);
                json_string(out, shortened(error))?;
            }
            out.push_str("}\n");
            return Ok(());
        }
        begin_text(out, style, level, at)?;
        out.push_str(self.method);
        out.push(' ');
        text_value(out, path)?;
        out.push(' ');
        decimal(out, self.status.into())?;
        out.push(' ');
        milliseconds(out, self.duration, 1)?;
        out.push_str("ms");
        if let Some(time) = self.to_first_byte {
            out.push_str(" ttfb=");
            milliseconds(out, time, 1)?;
            out.push_str("ms");
        }
        out.push_str(" bytes=");
        decimal(out, self.bytes)?;
        out.push_str(" attempts=");
        decimal(out, self.attempts.into())?;
        if let Some((index, preview)) = self.key {
            out.push_str(" key=");
            decimal(out, index.into())?;
            for part in [" (", preview, ")"] {
                out.push_str(part);
            }
        }
        if let Some(upstream) = self.upstream {
            out.push_str(" upstream=");
            out.push_str(upstream);
        }
        if self.end != "success" {
            out.push_str(" end=");
            out.push_str(self.end);
        }
        if let Some(error) = self.error {
            out.push_str(" error=");
            text_value(out, shortened(error))?;
        }
        if slow {
            out.push_str(" slow");
        }
        for part in [" id=", self.id, "\n"] {
            out.push_str(part);
        }
        Ok(())
    }

    fn message(&self, slow: bool) -> &str {
        match self.end {
            "success" if slow => "slow request",
            "success" => "request",
            end => end,
        }
    }
}

fn shortened(error: &str) -> &str {
    error.char_indices().nth(LONGEST_ERROR).and_then(|(end, _)| error.get(..end)).unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> RequestLine<'static> {
        RequestLine {
            id: "00000000000000ab",
            end: "success",
            method: "POST",
            path: "/v1/chat?key=****",
            status: 200,
            key: Some((3, "sk-12345...cdef")),
            upstream: Some("https://api.openai.com"),
            attempts: 2,
            to_first_byte: Some(Duration::from_micros(1_500)),
            duration: Duration::from_micros(2_250),
            bytes: 700,
            error: None,
        }
    }

    fn formatted(line: &RequestLine<'_>, style: Style) -> String {
        let mut out = String::new();
        line.format(&mut out, style, line.level(false), false, SystemTime::now()).unwrap();
        out
    }

    #[test]
    fn json_has_every_field_of_the_contract_in_order() {
        let none = RequestLine { key: None, upstream: None, to_first_byte: None, status: 499, ..line() };
        for (line, nulls) in [(line(), 0), (none, 4)] {
            let value: serde_json::Value = serde_json::from_str(&formatted(&line, Style::Json)).unwrap();
            let fields = value.as_object().unwrap();
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            assert_eq!(
                names.join(" "),
                "timestamp level message request_id method path status key_index key_preview upstream attempts \
                 ttfb_ms duration_ms bytes"
            );
            assert_eq!(fields.values().filter(|value| value.is_null()).count(), nulls);
            assert_eq!(value["duration_ms"], 2.25);
            assert_eq!(value["level"], "info");
        }
    }

    #[test]
    fn text_is_for_people() {
        let text = formatted(&line(), Style::Text);
        assert_eq!(
            text.split_once(' ').unwrap().1,
            "INFO  POST \"/v1/chat?key=****\" 200 2.2ms ttfb=1.5ms bytes=700 attempts=2 key=3 (sk-12345...cdef) \
             upstream=https://api.openai.com id=00000000000000ab\n"
        );
    }

    #[test]
    fn why_it_failed_stands_in_its_line_cut_and_escaped() {
        let (cut, long) = ("x".repeat(LONGEST_ERROR), "x".repeat(LONGEST_ERROR + 1));
        for (error, text, json) in [
            ("refused", "refused", "refused"),
            ("tcp: \"a\"\n\u{1b}[31m", r#""tcp: \"a\"\n\u{1b}[31m""#, "tcp: \"a\"\n\u{1b}[31m"),
            (&long, &cut, &cut),
        ] {
            let line = RequestLine { end: "upstream_fault", status: 502, error: Some(error), ..line() };
            let formatted_as_text = formatted(&line, Style::Text);
            let want = format!(" end=upstream_fault error={text} id=00000000000000ab\n");
            assert!(formatted_as_text.ends_with(&want), "{formatted_as_text}");
            let value: serde_json::Value = serde_json::from_str(&formatted(&line, Style::Json)).unwrap();
            assert_eq!(value["error"], json);
        }
    }

    #[test]
    fn an_answer_that_was_long_in_coming_is_marked() {
        let line = RequestLine { to_first_byte: Some(Duration::from_secs(3)), ..line() };
        assert!(!line.is_slow(None) && !line.is_slow(Some(Duration::from_secs(4))));
        assert!(line.is_slow(Some(Duration::from_secs(3))));
        assert_eq!((line.level(true), line.message(true)), (Level::WARN, "slow request"));
    }

    #[test]
    fn the_status_gives_the_weight() {
        for (status, level) in
            [(200, Level::INFO), (404, Level::WARN), (499, Level::INFO), (503, Level::ERROR)]
        {
            assert_eq!(RequestLine { status, ..line() }.level(false), level);
        }
    }
}
