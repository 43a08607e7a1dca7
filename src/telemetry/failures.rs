//! Attempts that failed: the last of them for people, and how often each rule spoke for metrics. Only the way of a
//! failure takes these locks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many are remembered.
const REMEMBERED: usize = 500;
/// Rules are a fixed table; this holds whatever becomes of that.
const RULES_MAX: usize = 1000;

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    /// Counted from 1, over all workers.
    pub number: u64,
    /// When it failed.
    pub at: SystemTime,
    /// The request's id.
    pub request_id: Box<str>,
    /// Which of the request's attempts it was, from 1.
    pub attempt: u32,
    /// The key's place in the file.
    pub key_index: u32,
    /// What may be shown of the key.
    pub key_preview: String,
    /// The upstream, by its index.
    pub upstream: usize,
    /// The model that was asked for.
    pub model: Option<Box<str>>,
    /// What the answer said.
    pub verdict: &'static str,
    /// The rule that says so.
    pub rule: &'static str,
    /// The upstream's status; none without an answer.
    pub status: Option<u16>,
    /// What it said, redacted.
    pub error: String,
}

/// How often a rule gave a verdict about an upstream's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The upstream, by its index.
    pub upstream: usize,
    /// The verdict's name.
    pub verdict: &'static str,
    /// The rule's.
    pub rule: &'static str,
}

/// All workers' failed attempts.
#[derive(Debug, Default)]
pub struct Failures {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: VecDeque<FailedAttempt>,
    counted: u64,
    causes: BTreeMap<Cause, u64>,
}

impl Failures {
    /// Remembers one; its number is given here.
    pub fn note(&self, mut failed: FailedAttempt) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.counted += 1;
        failed.number = inner.counted;
        let cause = Cause { upstream: failed.upstream, verdict: failed.verdict, rule: failed.rule };
        if inner.causes.len() < RULES_MAX || inner.causes.contains_key(&cause) {
            *inner.causes.entry(cause).or_default() += 1;
        }
        if inner.last.len() >= REMEMBERED {
            inner.last.pop_front();
        }
        inner.last.push_back(failed);
    }

    /// The last ones that `wanted` holds for, newest first, at most so many.
    pub fn last(&self, most: usize, wanted: impl Fn(&FailedAttempt) -> bool) -> Vec<FailedAttempt> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last.iter().rev().filter(|failed| wanted(failed)).take(most).cloned().collect()
    }

    /// How many there were, and why.
    pub fn causes(&self) -> Vec<(Cause, u64)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.causes.iter().map(|(cause, count)| (*cause, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_all_are_counted() {
        let failures = Failures::default();
        for key_index in 0..600 {
            failures.note(FailedAttempt {
                number: 0,
                at: SystemTime::now(),
                request_id: "1".into(),
                attempt: 1,
                key_index,
                key_preview: "****".into(),
                upstream: 0,
                model: None,
                verdict: "key_limited",
                rule: "status.429",
                status: Some(429),
                error: String::new(),
            });
        }
        let last = failures.last(1000, |_| true);
        assert_eq!((last.len(), last[0].key_index, last[0].number), (REMEMBERED, 599, 600));
        assert_eq!(failures.last(10, |failed| failed.key_index == 550).len(), 1);
        assert_eq!(failures.causes()[0].1, 600);
    }
}
