//! What a run came to: for people, for machines, and as a file.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use super::ValidateError;
use super::finding::State;
use super::lists::{self, Lines, Removed};
use super::resume::Asked;
use super::run::Done;
use crate::banner::lines;
use crate::keys::preview;

pub(super) struct Summary {
    asked: Asked,
    finished: bool,
    keys: u32,
    counts: [usize; State::ALL.len()],
    duplicates: usize,
    pub(super) skipped_lines: usize,
    pub(super) removed: Removed,
    /// The rules that spoke most often against keys.
    reasons: Vec<(String, usize)>,
    took_s: f64,
}

impl Summary {
    pub(super) fn new(done: &Done, lines: &Lines, asked: &Asked, finished: bool) -> Self {
        let mut counts = [0; State::ALL.len()];
        let mut reasons: Vec<(String, usize)> = Vec::new();
        for (_, _, finding) in done.all() {
            if let Some(count) = counts.get_mut(finding.state as usize) {
                *count += 1;
            }
            if finding.state == State::Valid {
                continue;
            }
            let reason = format!("{}, {}", finding.state.name(), finding.rule);
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            asked: asked.clone(),
            finished,
            keys: done.keys.len(),
            counts,
            duplicates: lines.duplicates.len(),
            skipped_lines: 0,
            removed: Removed::Nothing,
            reasons,
            took_s: done.took.as_secs_f64(),
        }
    }

    fn count(&self, state: State) -> usize {
        self.counts.get(state as usize).copied().unwrap_or_default()
    }

    /// Whether any key would fail requests for long.
    pub(super) fn any_bad(&self) -> bool {
        State::ALL.into_iter().any(|state| state.is_bad() && self.count(state) > 0)
    }

    /// Whether the upstream said nothing of any key.
    pub(super) fn nothing_found_out(&self) -> bool {
        self.counts.iter().sum::<usize>() == self.count(State::Unknown)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ValidateError> {
        lists::replace(&folder.join("validation_summary.txt"), &self.to_string(), 0o600)
    }

    /// The result for machines: the summary, and every key's preview, line and finding.
    pub(super) fn json(&self, done: &Done, lines: &Lines) -> String {
        let keys: Vec<Value> = done
            .all()
            .map(|(index, key, finding)| {
                json!({
                    "index": index, "line": lines.of(index), "preview": preview(key), "state": finding.state,
                    "rule": finding.rule, "status": finding.status, "message": finding.message,
                    "wait_s": finding.wait_s,
                })
            })
            .collect();
        let removed = match &self.removed {
            Removed::Lines(count, _) => *count,
            Removed::Nothing | Removed::All => 0,
        };
        let backup = match &self.removed {
            Removed::Lines(_, backup) => Some(backup.display().to_string()),
            Removed::Nothing | Removed::All => None,
        };
        let summary = json!({
            "finished": self.finished,
            "total": self.keys,
            "valid": self.count(State::Valid),
            "limited": self.count(State::Limited),
            "out_of_quota": self.count(State::OutOfQuota),
            "invalid": self.count(State::Invalid),
            "unknown": self.count(State::Unknown),
            "duplicates": self.duplicates,
            "skipped_lines": self.skipped_lines,
            "removed_lines": removed,
            "backup": backup,
            "upstreams": self.asked.upstreams,
            "model": self.asked.model,
            "took_s": self.took_s,
        });
        json!({ "summary": summary, "keys": keys }).to_string()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looked_at: usize = self.counts.iter().sum();
        let what = self.asked.model.as_deref().unwrap_or("the list of models");
        let at = self.asked.upstreams.join(", ");
        writeln!(f, "{looked_at} of {} keys tested in {:.1} s: {what} at {at}", self.keys, self.took_s)?;
        for state in State::ALL {
            writeln!(f, "{:>9} {}", self.count(state), state.name())?;
        }
        writeln!(f, "{:>9} duplicate {}", self.duplicates, lines(self.duplicates))?;
        writeln!(f, "{:>9} {} that can't be keys", self.skipped_lines, lines(self.skipped_lines))?;
        for (reason, count) in self.reasons.iter().take(10) {
            writeln!(f, "{count:>9} × {reason}")?;
        }
        match &self.removed {
            Removed::Nothing => {}
            Removed::All => {
                writeln!(f, "The keys file stays as it was: without its invalid keys it would be empty.")?;
            }

            Removed::Lines(count, backup) => writeln!(
                f,
                "Taken out of the keys file: {count} {} with invalid keys; as it was: {}",
                lines(*count),
                backup.display()
            )?,
        }
        if self.finished && self.nothing_found_out() {
            writeln!(
                f,
                "Nothing was found out about any key: is the upstream right, and can it be reached?"
            )?;
        } else if self.count(State::Unknown) > 0 {
            writeln!(f, "Unknown is not invalid: the upstream failed. Run it again to ask about them.")?;
        }
        if !self.finished {
            writeln!(f, "Interrupted: the next run goes on from here (--fresh begins anew).")?;
        }
        Ok(())
    }
}
