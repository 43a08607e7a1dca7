//! What is counted. Every worker counts in a stripe of its own; readers sum.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a request ended. Each has exactly one ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The upstream's answer reached the client whole.
    Success,
    /// The upstream found the request at fault, and the client was told so.
    RequestFault,
    /// We refused the request: malformed, too large, too slow.
    BadRequest,
    /// Missing or wrong token.
    Unauthorized,
    /// `MAX_CONCURRENT_REQUESTS` were running.
    TooManyConcurrent,
    /// No key was available.
    NoKeys,
    /// The upstream refused the keys.
    KeysRejected,
    /// The keys were limited or exhausted, and the client was told so.
    KeysLimited,
    /// The upstream failed before an answer.
    UpstreamFault,
    /// The upstream failed within an answer.
    BrokenAnswer,
    /// The client went away.
    ClientGone,
    /// Our own fault.
    Internal,
}

impl End {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::RequestFault,
        Self::BadRequest,
        Self::Unauthorized,
        Self::TooManyConcurrent,
        Self::NoKeys,
        Self::KeysRejected,
        Self::KeysLimited,
        Self::UpstreamFault,
        Self::BrokenAnswer,
        Self::ClientGone,
        Self::Internal,
    ];

    /// The name in `/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequestFault => "request_fault",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::TooManyConcurrent => "too_many_concurrent_requests",
            Self::NoKeys => "no_available_keys",
            Self::KeysRejected => "keys_rejected",
            Self::KeysLimited => "keys_limited",
            Self::UpstreamFault => "upstream_fault",
            Self::BrokenAnswer => "broken_answer",
            Self::ClientGone => "client_gone",
            Self::Internal => "internal",
        }
    }
}

/// One worker's counts, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub struct Stripe {
    ends: [AtomicU64; End::ALL.len()],
    begun: AtomicU64,
    attempts: AtomicU64,
    healed: AtomicU64,
}

impl Stripe {
    /// A request began.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ended so, after that many attempts.
    pub fn end(&self, end: End, attempts: u32) {
        if let Some(count) = self.ends.get(end as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.attempts.fetch_add(u64::from(attempts), Ordering::Relaxed);
        if end == End::Success && attempts > 1 {
            self.healed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All stripes.
pub struct Counters {
    stripes: Box<[Stripe]>,
}

impl Counters {
    /// A stripe for each of so many workers.
    pub fn new(workers: usize) -> Self {
        Self { stripes: (0..workers.max(1)).map(|_| Stripe::default()).collect() }
    }

    /// A worker's own stripe.
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length, which is at least 1")]
    pub fn stripe(&self, worker: usize) -> &Stripe {
        &self.stripes[worker % self.stripes.len()]
    }

    /// Requests that began.
    pub fn requests(&self) -> u64 {
        self.sum(|stripe| &stripe.begun)
    }

    /// Requests that ended so.
    pub fn ended(&self, end: End) -> u64 {
        self.stripes.iter().filter_map(|stripe| stripe.ends.get(end as usize)).map(load).sum()
    }

    /// Attempts of requests that have ended.
    pub fn attempts(&self) -> u64 {
        self.sum(|stripe| &stripe.attempts)
    }

    /// Successes after a failed attempt: errors that the client never saw.
    pub fn healed(&self) -> u64 {
        self.sum(|stripe| &stripe.healed)
    }

    fn sum(&self, count: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|stripe| load(count(stripe))).sum()
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
