//! What is counted. Every worker counts in a stripe of its own; readers sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Distribution, Histogram, LATENCY, OPERATION, OVERHEAD};
use super::models::Operation;

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

    /// Whether the client brought it about itself: no failure of ours, nor of any key or upstream.
    fn is_clients_own(self) -> bool {
        matches!(self, Self::RequestFault | Self::BadRequest | Self::Unauthorized | Self::ClientGone)
    }

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
#[repr(align(128))]
pub struct Stripe {
    ends: [AtomicU64; End::ALL.len()],
    begun: AtomicU64,
    leases: AtomicU64,
    attempts: AtomicU64,
    retries: AtomicU64,
    healed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    durations: Histogram<24>,
    first_bytes: Histogram<24>,
    overheads: Histogram<16>,
    /// Operations that failed, by [`Operation`]: no model is to be told apart by a name that nobody served.
    failed_operations: [Histogram<15>; Operation::ALL.len()],
    /// Attempts that succeeded, by upstream.
    succeeded: Box<[Apart]>,
}

/// A count on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicU64);

/// What a request came to.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// After how many attempts.
    pub attempts: u32,
    /// From its head to its answer's end.
    pub duration: Duration,
    /// From its head to its answer's.
    pub first_byte: Option<Duration>,
    /// How much of that was ours: not the client's body, not the upstream's answer.
    pub overhead: Option<Duration>,
    /// What it did, if a model was to do something.
    pub operation: Option<Operation>,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of its answer's.
    pub sent: u64,
}

impl Stripe {
    fn new(upstreams: usize) -> Self {
        Self {
            ends: [const { AtomicU64::new(0) }; End::ALL.len()],
            begun: AtomicU64::new(0),
            leases: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            healed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            durations: Histogram::new(&LATENCY),
            first_bytes: Histogram::new(&LATENCY),
            overheads: Histogram::new(&OVERHEAD),
            failed_operations: Operation::ALL.map(|_| Histogram::new(&OPERATION)),
            succeeded: (0..upstreams).map(|_| Apart::default()).collect(),
        }
    }

    /// A request began.
    pub fn begin(&self) {
        add(&self.begun, 1);
    }

    /// A key was leased.
    pub fn lease(&self) {
        add(&self.leases, 1);
    }

    /// An attempt succeeded at an upstream.
    pub fn succeed(&self, upstream: usize) {
        if let Some(count) = self.succeeded.get(upstream) {
            add(&count.0, 1);
        }
    }

    /// A request ended.
    pub fn end(&self, ended: &Ended) {
        self.count(ended.end);
        add(&self.attempts, u64::from(ended.attempts));
        if ended.attempts > 1 {
            add(&self.retries, u64::from(ended.attempts - 1));
            if ended.end == End::Success {
                add(&self.healed, 1);
            }
        }
        add(&self.received, ended.received);
        add(&self.sent, ended.sent);
        self.durations.time(ended.duration);
        if let Some(first_byte) = ended.first_byte {
            self.first_bytes.time(first_byte);
        }
        if let Some(overhead) = ended.overhead {
            self.overheads.time(overhead);
        }
        let failed = ended.operation.filter(|_| ended.end != End::Success);
        if let Some(histogram) = failed.and_then(|operation| self.failed_operations.get(operation as usize)) {
            histogram.time(ended.duration);
        }
    }

    /// A request ended of which nothing more is known: it is counted, and timed by nobody.
    pub fn end_unread(&self, end: End) {
        self.count(end);
    }

    fn count(&self, end: End) {
        if let Some(count) = self.ends.get(end as usize) {
            add(count, 1);
        }
    }
}

/// All stripes.
pub struct Counters {
    stripes: Box<[Stripe]>,
}

impl Counters {
    /// A stripe for each of so many workers.
    pub fn new(workers: usize, upstreams: usize) -> Self {
        Self { stripes: (0..workers.max(1)).map(|_| Stripe::new(upstreams)).collect() }
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

    /// Requests that ended.
    pub fn ended_in_all(&self) -> u64 {
        End::ALL.into_iter().map(|end| self.ended(end)).sum()
    }

    /// Requests that failed, and not by their client's own doing.
    pub fn failed(&self) -> u64 {
        let failed = |end: &End| *end != End::Success && !end.is_clients_own();
        End::ALL.into_iter().filter(failed).map(|end| self.ended(end)).sum()
    }

    /// Keys that were leased.
    pub fn leases(&self) -> u64 {
        self.sum(|stripe| &stripe.leases)
    }

    /// Attempts of requests that have ended.
    pub fn attempts(&self) -> u64 {
        self.sum(|stripe| &stripe.attempts)
    }

    /// Those of them that were not their request's first.
    pub fn retries(&self) -> u64 {
        self.sum(|stripe| &stripe.retries)
    }

    /// Attempts that succeeded at an upstream.
    pub fn succeeded(&self, upstream: usize) -> u64 {
        self.stripes
            .iter()
            .filter_map(|stripe| stripe.succeeded.get(upstream))
            .map(|count| load(&count.0))
            .sum()
    }

    /// Successes after a failed attempt: errors that the client never saw.
    pub fn healed(&self) -> u64 {
        self.sum(|stripe| &stripe.healed)
    }

    /// Bytes of requests' bodies.
    pub fn received(&self) -> u64 {
        self.sum(|stripe| &stripe.received)
    }

    /// Bytes of answers' bodies.
    pub fn sent(&self) -> u64 {
        self.sum(|stripe| &stripe.sent)
    }

    /// How long requests took.
    pub fn durations(&self) -> Distribution {
        Distribution::of(&LATENCY, self.stripes.iter().map(|stripe| &stripe.durations))
    }

    /// How long their answers' heads took.
    pub fn first_bytes(&self) -> Distribution {
        Distribution::of(&LATENCY, self.stripes.iter().map(|stripe| &stripe.first_bytes))
    }

    /// How much of that we added.
    pub fn overheads(&self) -> Distribution {
        Distribution::of(&OVERHEAD, self.stripes.iter().map(|stripe| &stripe.overheads))
    }

    /// How long operations took that failed.
    pub fn failed_operations(&self, operation: Operation) -> Distribution {
        let parts = self.stripes.iter().filter_map(|stripe| stripe.failed_operations.get(operation as usize));
        Distribution::of(&OPERATION, parts)
    }

    fn sum(&self, count: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|stripe| load(count(stripe))).sum()
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
