//! What people see while keys are tested: a bar on a terminal, lines in a pipe. On stderr: stdout is for the result.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use super::finding::{Finding, State};
use crate::keys::preview;

/// How often the bar is drawn.
pub(super) const REDRAW: Duration = Duration::from_millis(100);
/// How often a pipe gets a line.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR: usize = 24;
/// Bad keys beyond these are in the lists alone.
const SHOWN: u32 = 50;

pub(super) struct Progress {
    total: usize,
    counts: [usize; State::ALL.len()],
    /// Known from an earlier run.
    known: usize,
    began: Instant,
    last_line: Instant,
    terminal: bool,
    shown: u32,
}

impl Progress {
    pub(super) fn new(total: usize, known: impl Iterator<Item = State>) -> Self {
        let mut counts = [0; State::ALL.len()];
        let mut already = 0;
        for state in known {
            already += 1;
            if let Some(count) = counts.get_mut(state as usize) {
                *count += 1;
            }
        }
        let now = Instant::now();
        let progress = Self {
            total,
            counts,
            known: already,
            began: now,
            last_line: now,
            terminal: io::stderr().is_terminal(),
            shown: 0,
        };
        if already > 0 {
            progress.say(&format!(
                "going on where the last run was interrupted: {already} of {total} keys are known"
            ));
        }
        progress
    }

    /// Something was found out about a key.
    pub(super) fn found(&mut self, index: u32, key: &str, finding: &Finding) {
        if let Some(count) = self.counts.get_mut(finding.state as usize) {
            *count += 1;
        }
        if finding.state == State::Valid || self.shown > SHOWN {
            return;
        }
        self.shown += 1;
        if self.shown > SHOWN {
            return self.say("… and more: the lists will name them all");
        }
        self.say(&format!("key {index} {}: {}", preview(key), finding.why()));
    }

    /// Draws the bar; in a pipe, a line now and then.
    pub(super) fn redraw(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[2K{}", self.line());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let _ = writeln!(io::stderr(), "{}", self.line());
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        let start = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{}", self.line());
    }

    fn say(&self, text: &str) {
        let start = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{text}");
    }

    fn line(&self) -> String {
        let done: usize = self.counts.iter().sum();
        let counts: Vec<String> = State::ALL
            .into_iter()
            .zip(self.counts)
            .filter(|(state, count)| *count > 0 || *state == State::Valid)
            .map(|(state, count)| format!("{count} {}", state.name()))
            .collect();
        let filled = (BAR * done).checked_div(self.total).unwrap_or(BAR);
        let bar = if self.terminal {
            format!("{}{} ", "█".repeat(filled), "░".repeat(BAR.saturating_sub(filled)))
        } else {
            String::new()
        };
        format!("{bar}{done}/{} {}{}", self.total, counts.join(", "), self.eta(done))
    }

    fn eta(&self, done: usize) -> String {
        let (here, left) = (done - self.known, self.total - done);
        if here == 0 || left == 0 {
            return String::new();
        }
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let seconds = (self.began.elapsed().as_secs_f64() * left as f64 / here as f64).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, for people")]
        let seconds = seconds as u64;
        format!(", {}:{:02} left", seconds / 60, seconds % 60)
    }
}
