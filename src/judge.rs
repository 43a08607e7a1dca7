//! `gpt-load judge`: what an answer means and which rule says so, for people who report a case.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::cli::Judge;
use crate::verdict::{
    self, Ahead, Answer, First, FirstEvent, InBody, Judgement, Verdict, decoded, judge_in_stream,
};

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file, or standard input.
    #[error("{0}: {1}")]
    Input(PathBuf, io::Error),
    /// No status line.
    #[error(
        "the input does not begin with a status line like `HTTP/1.1 429 Too Many Requests`: give the answer as \
             `curl -i` prints it, or its status by --status"
    )]
    NoStatusLine,
    /// No status.
    #[error("`{0}` is no HTTP status")]
    Status(String),
    /// No header.
    #[error("`{0}` is no header: it should be like `retry-after: 20`")]
    Header(String),
}

/// An answer as it was read.
struct Dump {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Judges the answer that the command line names, and says what came of it.
///
/// # Errors
/// If there is no answer that can be read.
pub fn report(what: &Judge) -> Result<String, Unreadable> {
    let input = read(what.file.as_deref())?;
    let dump = match what.status {
        Some(status) => Dump {
            status: StatusCode::from_u16(status).map_err(|_| Unreadable::Status(status.to_string()))?,
            headers: what.headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
            body: input,
        },
        None => Dump::parse(&input)?,
    };
    let now = SystemTime::now();
    let judgement = dump.judged(now);
    let ahead = verdict::ahead(&dump.headers, 0, || now, Duration::default)
        .filter(|_| judgement.verdict == Verdict::Success);
    Ok(if what.json { as_json(&judgement, ahead) } else { as_text(&judgement, ahead) })
}

fn read(file: Option<&Path>) -> Result<Vec<u8>, Unreadable> {
    let file = file.filter(|file| *file != Path::new("-"));
    let read = file.map_or_else(
        || {
            let mut input = Vec::new();
            io::stdin().lock().read_to_end(&mut input).map(|_| input)
        },
        fs::read,
    );
    read.map_err(|error| Unreadable::Input(file.unwrap_or(Path::new("standard input")).to_owned(), error))
}

impl Dump {
    /// Reads what `curl -i` prints. Interim answers and a proxy's `200 Connection established` come before the answer.
    fn parse(mut input: &[u8]) -> Result<Self, Unreadable> {
        loop {
            let (head, body) = split_head(input);
            let head = String::from_utf8_lossy(head);
            let mut lines = head.lines();
            let status = status_of(lines.next().unwrap_or_default())?;
            if body.starts_with(b"HTTP/") && (status.is_informational() || status == StatusCode::OK) {
                input = body;
                continue;
            }
            let headers = lines.map(header).collect::<Result<_, _>>()?;
            return Ok(Self { status, headers, body: body.to_vec() });
        }
    }

    fn judged(&self, now: SystemTime) -> Judgement {
        let answer = Answer { status: self.status, headers: &self.headers, body: &self.body, model: None };
        if self.status != StatusCode::OK {
            return verdict::judge(&answer, now);
        }
        let body = decoded(&self.headers, &self.body);
        let kind = self.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_stream = kind.starts_with(b"text/event-stream") || body.starts_with(b"data:");
        if is_stream || body.starts_with(b"event:") {
            let mut first = FirstEvent::of_answer(true);
            let seen = match first.feed(&body) {
                First::Undecided => first.finish(),
                seen => seen,
            };
            if let First::Error(data) = seen {
                return judge_in_stream(&self.headers, &data, None, now);
            }
        } else if InBody::of(&body).is_no_answer(kind.starts_with(b"text/html")) {
            return judge_in_stream(&self.headers, &body, None, now);
        }
        verdict::judge(&answer, now)
    }
}

/// What stands before the first empty line, and what after it.
fn split_head(input: &[u8]) -> (&[u8], &[u8]) {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"].map(|end| Some((memchr::memmem::find(input, end)?, end.len())));
    let end = ends.into_iter().flatten().min();
    end.and_then(|(at, length)| Some((input.get(..at)?, input.get(at + length..)?))).unwrap_or((input, &[]))
}

/// `HTTP/1.1 429 Too Many Requests`, `HTTP/2 429`.
fn status_of(line: &str) -> Result<StatusCode, Unreadable> {
    let mut words = line.split_whitespace();
    if !words.next().is_some_and(|word| word.starts_with("HTTP/")) {
        return Err(Unreadable::NoStatusLine);
    }
    let status = words.next().unwrap_or_default();
    status.parse().map_err(|_| Unreadable::Status(status.to_owned()))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Unreadable> {
    let read = || {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    read().ok_or_else(|| Unreadable::Header(line.to_owned()))
}

fn as_json(judgement: &Judgement, ahead: Option<Ahead>) -> String {
    let wait = |wait: verdict::Wait| json!({"seconds": wait.duration.as_secs_f64(), "from": wait.from});
    let value = json!({
        "verdict": judgement.verdict.name(),
        "rule": judgement.rule,
        "source": judgement.source,
        "scope": judgement.scope.name(),
        "denied_model": judgement.denied_model,
        "weak": judgement.weak,
        "asks_too_much": judgement.asks_too_much,
        "barred": judgement.barred,
        "at_a_time": judgement.at_a_time,
        "wait": judgement.wait.map(wait),
        "code": judgement.code,
        "message": judgement.message,
        "ahead": ahead.map(|ahead| json!({
            "spent": ahead.spent.map(wait),
            "remaining_requests": ahead.remaining_requests,
            "per_model": ahead.per_model,
        })),
    });
    format!("{value:#}")
}

fn as_text(judgement: &Judgement, ahead: Option<Ahead>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9}{value}");
    };
    let wait = |wait: verdict::Wait| format!("{:?} ({})", wait.duration, wait.from);
    line("verdict", judgement.verdict.name());
    line("rule", judgement.rule);
    line("source", judgement.source);
    line("scope", judgement.scope.name());
    if judgement.denied_model {
        line("", "the key may not use this model; another may");
    }
    if judgement.barred {
        line(
            "",
            "barred: whichever key is sent, so that it is asked twice at most where there is one upstream",
        );
    }
    if judgement.asks_too_much {
        line("", "the request asks for too much; the key may serve others, and stays in rotation");
    }
    if judgement.weak {
        line(
            "",
            "weak: it may be about something else, the same on a second key means that it was not the keys",
        );
    }
    if judgement.at_a_time {
        line("", "a limit of requests at a time: the key is kept to fewer, or left alone for a moment");
    }
    line("wait", &judgement.wait.map_or_else(|| "none told".to_owned(), wait));
    if let Some(spent) = ahead.and_then(|ahead| ahead.spent) {
        line("ahead", &format!("nothing remains for {}", wait(spent)));
    }
    if !judgement.code.is_empty() {
        line("code", &judgement.code);
    }
    if !judgement.message.is_empty() {
        line("message", &judgement.message);
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_as_curl_prints_it() {
        for (dump, status, headers, body) in [
            ("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 20\r\nA: b\r\n\r\n{}", 429, 2, "{}"),
            ("HTTP/2 401 \nx: y\n\nno\n\nmore", 401, 1, "no\n\nmore"),
            ("HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 403 \r\n\r\n<html>", 403, 0, "<html>"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nx: y\r\n\r\n", 500, 1, ""),
            ("HTTP/1.1 503 Service Unavailable", 503, 0, ""),
        ] {
            let read = Dump::parse(dump.as_bytes()).unwrap();
            assert_eq!((read.status.as_u16(), read.headers.len()), (status, headers), "{dump}");
            assert_eq!(read.body, body.as_bytes(), "{dump}");
        }
    }

    #[test]
    fn what_is_no_dump_is_told() {
        for (dump, want) in [
            ("", "does not begin with a status line"),
            ("{\"error\":1}", "does not begin with a status line"),
            ("HTTP/1.1 9999 What", "`9999` is no HTTP status"),
            ("HTTP/1.1 429\r\nno header\r\n\r\n", "`no header` is no header"),
        ] {
            let error = Dump::parse(dump.as_bytes()).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(want), "{dump}: {error}");
        }
    }

    #[test]
    fn a_200_is_looked_into() {
        for (dump, want) in [
            ("HTTP/1.1 200 OK\n\n{\"choices\":[]}", Verdict::Success),
            ("HTTP/1.1 200 OK\n\n{\"error\":{\"code\":\"invalid_api_key\"}}", Verdict::KeyInvalid),
            (
                "HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\ndata: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n",
                Verdict::KeyExhausted,
            ),
            ("HTTP/1.1 200 OK\n\ndata: {\"choices\":[]}\n\n", Verdict::Success),
        ] {
            let judgement = Dump::parse(dump.as_bytes()).unwrap().judged(SystemTime::now());
            assert_eq!(judgement.verdict, want, "{dump}");
        }
    }
}
