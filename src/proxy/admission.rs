//! How many proxied requests run at once (spec §4.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::refusal::{Refusal, Retry};
use crate::telemetry::counters::End;

/// Counts the running requests of all workers against `MAX_CONCURRENT_REQUESTS`.
pub struct Admission {
    running: AtomicUsize,
    limit: usize,
}

/// A running request. It ends when this is dropped.
pub struct Permit(Arc<Admission>);

impl Admission {
    /// None running yet.
    pub fn new(limit: usize) -> Self {
        Self { running: AtomicUsize::new(0), limit }
    }

    /// How many are running.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// 429 `too_many_concurrent_requests` at the limit.
    pub fn enter(self: &Arc<Self>) -> Result<Permit, Refusal> {
        // Add first, look after: two requests at the limit can't both see room for one.
        if self.running.fetch_add(1, Ordering::Relaxed) < self.limit {
            return Ok(Permit(Arc::clone(self)));
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
        let message = format!(
            "{} requests are running, which is the limit (MAX_CONCURRENT_REQUESTS). Try again in a moment.",
            self.limit
        );
        Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_concurrent_requests",
            End::TooManyConcurrent,
            message,
        )
        .retry(Retry::After(Duration::from_secs(1))))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_over_the_limit_waits_for_one_to_end() {
        let admission = Arc::new(Admission::new(2));
        let first = admission.enter().ok().unwrap();
        let _second = admission.enter().ok().unwrap();
        let refused = admission.enter().err().unwrap().answer();
        assert_eq!(
            (refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()),
            (429, &b"1"[..])
        );
        drop(first);
        assert!(admission.enter().is_ok());
    }
}
