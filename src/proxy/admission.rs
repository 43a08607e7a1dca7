//! How many proxied requests run at once (spec §4.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::refusal::{Refusal, Retry};
use crate::telemetry::counters::End;

/// Counts the running requests of all workers against `MAX_CONCURRENT_REQUESTS`, and what is kept of their bodies.
pub struct Admission {
    running: AtomicUsize,
    limit: usize,
    /// Bytes of bodies, those that are still being read too.
    held: AtomicUsize,
    room: usize,
}

/// What one body takes of the memory for all. It is given back when this is dropped.
pub struct Room {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Room {
    /// Makes room for so much more.
    ///
    /// # Errors
    /// 429 `too_many_concurrent_requests` if all bodies together are as large as those of the most requests can be.
    pub(super) fn take(&mut self, more: usize) -> Result<(), Refusal> {
        self.bytes += more;
        if self.admission.held.fetch_add(more, Ordering::Relaxed) + more > self.admission.room {
            return Err(self.admission.refusal());
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.admission.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A running request. It ends when this is dropped.
pub struct Permit(Arc<Admission>);

impl Admission {
    /// None running yet; `largest` is how much is kept of a body (`MAX_REPLAY_BODY`).
    pub fn new(limit: usize, largest: u64) -> Self {
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        Self {
            running: AtomicUsize::new(0),
            limit,
            held: AtomicUsize::new(0),
            room: limit.saturating_mul(largest),
        }
    }

    /// Room for a body.
    pub(super) fn room(self: &Arc<Self>) -> Room {
        Room { admission: Arc::clone(self), bytes: 0 }
    }

    /// Whether a request would be let in now.
    ///
    /// # Errors
    /// 429 `too_many_concurrent_requests` at the limit.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.running() < self.limit { Ok(()) } else { Err(self.refusal()) }
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
        Err(self.refusal())
    }

    fn refusal(&self) -> Refusal {
        let message = format!(
            "{} requests are running, which is the limit (MAX_CONCURRENT_REQUESTS). Try again in a moment.",
            self.limit
        );
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_concurrent_requests",
            End::TooManyConcurrent,
            message,
        )
        .retry(Retry::After(Duration::from_secs(1)))
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
        let admission = Arc::new(Admission::new(2, 10));
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

    #[test]
    fn bodies_have_room_for_as_much_as_the_most_requests_may_keep() {
        let admission = Arc::new(Admission::new(2, 10));
        let (mut one, mut other) = (admission.room(), admission.room());
        assert!(one.take(8).is_ok() && other.take(12).is_ok());
        assert!(other.take(1).is_err());
        drop(other);
        assert!(one.take(12).is_ok());
    }
}
