//! How far a request has come: what it has tried, what it was told, and what its client is told if nothing more is
//! tried.

use std::cell::Cell;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::attempt::{NoAnswer, Try};
use super::held::Held;
use super::refused::Refused;
use super::stream::StreamLimits;
use super::{Answered, Common, Times};
use crate::keys::Effect;
use crate::refusal::{Refusal, Retry};
use crate::telemetry::counters::End;
use crate::verdict::Verdict;

/// What a client is told to wait that has waited in vain for keys that are in rotation, but busy.
const IN_VAIN: Duration = Duration::from_secs(1);

/// How long a request waits before its last attempt whose keys were all refused for limits.
pub(super) const A_MOMENT: Duration = Duration::from_secs(1);

/// How far a request has come.
pub(super) struct SoFar<'a> {
    pub(super) began: Instant,
    /// When the last attempt began.
    pub(super) tried_at: Instant,
    pub(super) tried: Vec<u32>,
    pub(super) failed_upstreams: Vec<usize>,
    /// Upstreams that refused keys: they may be to blame, so the next attempt goes to another if there is one.
    pub(super) doubted: Vec<Doubted>,
    /// How long it may take from its first attempt on, if there is such a limit (`REQUEST_TIMEOUT`).
    longest: Option<Duration>,
    pub(super) limits: StreamLimits,
    /// How long it has waited for keys.
    pub(super) waited: Cell<Duration>,
    /// When the client gives up.
    pub(super) client_gives_up: Option<Instant>,
    /// The last answer that an upstream gave, as [`was_told`](Self::was_told) notes it.
    pub(super) refused: Option<Box<Refused>>,
    /// The last attempt's failure, if it brought no answer.
    pub(super) failure: Option<NoAnswer>,
    /// Verdicts that rest on a bare 401 or 403, or that a key may not use the model, all alike: not believed before a second
    /// key was asked (spec §6), at another upstream if there is one.
    pub(super) weak: Vec<Held<'a>>,
}

/// An upstream that refused a key.
pub(super) struct Doubted {
    pub(super) upstream: usize,
    /// For a limit: it has not said what it thinks of keys.
    pub(super) for_limit: bool,
}

impl SoFar<'_> {
    /// A request that was all there at this moment.
    pub(super) fn new(request: &Try, times: Times, now: Instant) -> Self {
        Self {
            began: now,
            tried_at: now,
            tried: Vec::new(),
            failed_upstreams: Vec::new(),
            doubted: Vec::new(),
            longest: (!request.streaming).then_some(times.request),
            limits: StreamLimits { silence: times.silence, deadline: None },
            waited: Cell::default(),
            client_gives_up: request.client_waits.and_then(|waits| now.checked_add(waits)),
            refused: None,
            failure: None,
            weak: Vec::new(),
        }
    }

    /// The next attempt begins now.
    pub(super) fn begin_attempt(&mut self) -> Instant {
        self.failure = None;
        self.tried_at = Instant::now();
        if self.limits.deadline.is_none() {
            self.limits.deadline = self.longest.map(|longest| self.tried_at + longest);
        }
        self.tried_at
    }

    /// Its answers are streams, which have no total limit.
    pub(super) fn is_stream(&mut self) {
        (self.longest, self.limits.deadline) = (None, None);
    }

    /// When this request ends at the latest: nothing is begun that can't end before that.
    pub(super) fn ends_by(&self) -> Option<Instant> {
        [self.limits.deadline, self.client_gives_up].into_iter().flatten().min()
    }

    /// Whether there is no time left to begin anything. It had some when it came.
    pub(super) fn is_over(&self) -> bool {
        let has_begun = !self.tried.is_empty() || !self.waited.get().is_zero();
        has_begun && self.ends_by().is_some_and(|end| end <= Instant::now())
    }

    /// An upstream gave this answer to its last attempt.
    pub(super) fn was_told(&mut self, mut answer: Box<Refused>) -> &Refused {
        if let Some(before) = &mut self.refused {
            answer.unfit.append(&mut before.unfit);
        }
        self.refused.insert(answer)
    }

    /// Until when it can wait for a key, having waited as long as it has, and for how long that is: for keys after its first,
    /// where it stands before all others, half as long again in all.
    pub(super) fn patience(&self, max_key_wait: Duration) -> (Instant, Duration) {
        let now = Instant::now();
        let (waited, half) = (self.waited.get(), max_key_wait / 2);
        let again = (max_key_wait + half).saturating_sub(waited).min(half);
        let left = max_key_wait.saturating_sub(waited).max(again);
        let by = self.ends_by().map_or(now + left, |end| end.min(now + left));
        (by, by.saturating_duration_since(now))
    }

    /// Whether its last key had as many requests at a time as it may.
    pub(super) fn is_crowded_out(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.judgement.at_a_time)
    }

    /// Whether keys were refused for limits, one after the other: those that are left may well be near theirs.
    pub(super) fn meets_limits(&self) -> bool {
        let is_limit = |refused: &Refused| refused.judgement.verdict == Verdict::KeyLimited;
        self.tried.len() > 1 && self.weak.is_empty() && self.refused.as_deref().is_some_and(is_limit)
    }

    /// Waits a moment before the last attempt, if there is time: by then some of the requests have ended that are under way, or
    /// limits are whole again, and it is known which keys have room.
    pub(super) async fn let_some_return(&self, max_key_wait: Duration) {
        let (_, patience) = self.patience(max_key_wait);
        let pause = A_MOMENT.min(patience / 2);
        self.waited.set(self.waited.get() + pause);
        sleep(pause).await;
    }

    /// Whether our way is barred: every upstream has been asked, and two answers said so.
    pub(super) fn is_barred(&self, answer: &Refused, upstreams: usize) -> bool {
        let before = self.refused.as_ref().is_some_and(|before| before.judgement.barred);
        before && answer.judgement.barred && self.tried.len() >= upstreams
    }

    /// The keys of whom a verdict is not believed yet.
    pub(super) fn accused(&self) -> Vec<u32> {
        let mut accused: Vec<u32> = self.weak.iter().map(|weak| weak.lease.index()).collect();
        accused.sort_unstable();
        accused.dedup();
        accused
    }

    /// Whether what was said of one key was said of another.
    pub(super) fn is_said_of_several(&self) -> bool {
        let mut accused = self.weak.iter().map(|weak| weak.lease.index());
        let first = accused.next();
        accused.any(|key| Some(key) != first)
    }

    pub(super) fn is_denied(&self) -> bool {
        self.weak.last().is_some_and(|weak| weak.effect == Effect::Denied)
    }

    /// The upstreams from which nothing is to be learnt any more.
    pub(super) fn asked(&self) -> Vec<usize> {
        let doubted = self.doubted.iter().map(|doubted| doubted.upstream);
        self.failed_upstreams.iter().copied().chain(doubted).collect()
    }

    /// The upstreams that have said what they think of a key.
    pub(super) fn heard(&self) -> Vec<usize> {
        let heard = self.doubted.iter().filter(|doubted| !doubted.for_limit);
        heard.map(|doubted| doubted.upstream).collect()
    }

    /// The same for one of the accused keys: it may be good where another was refused.
    pub(super) fn asked_for(&self, key: u32) -> Vec<usize> {
        [&*self.failed_upstreams, &*self.refused_by(key)].concat()
    }

    /// The upstreams that have refused it.
    pub(super) fn refused_by(&self, key: u32) -> Vec<usize> {
        let own = self.weak.iter().filter(|weak| weak.lease.index() == key);
        own.map(|weak| weak.upstream.index).collect()
    }

    /// The answer when nothing more is tried: the last that an upstream gave, if any gave one.
    pub(super) fn answer(self, request: &Try, common: &Common) -> Answered {
        let SoFar { refused, failure, .. } = self;
        let wait = common.group.keys.earliest_return(request.model());
        let is_over = self.limits.deadline.is_some_and(|deadline| deadline <= Instant::now());
        match (refused, failure) {
            // The whole time that a request may take is over: an earlier attempt's answer does not tell that.
            (_, Some(failure)) if failure.timed_out && is_over => {
                Err(timed_out("REQUEST_TIMEOUT", common.times.request))
            }
            // In an outage nobody knows until when, keys or not.
            (Some(refused), _) => refused.answer(wait.filter(|_| !common.group.upstreams.are_out())),
            (None, Some(failure)) if failure.fell_silent => {
                Err(timed_out("SERVER_WRITE_TIMEOUT", common.times.silence))
            }
            (None, Some(failure)) if failure.timed_out => {
                Err(timed_out("RESPONSE_TIMEOUT", common.times.response))
            }
            (None, Some(_)) => Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                End::UpstreamFault,
                "The upstream could not be reached, or broke the connection before it answered.",
            )
            .retry(Retry::Never)),
            (None, None) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_available_keys",
                End::NoKeys,
                "No key is available: all are blacklisted, in cooldown or busy. /blacklist says why.",
            )
            .retry(Retry::until_a_key(wait.map(|wait| if wait.is_zero() { IN_VAIN } else { wait })))),
        }
    }
}

fn timed_out(variable: &str, limit: Duration) -> Refusal {
    let message = format!(
        "The upstream did not answer within {} s. If its answers need longer, raise {variable}.",
        limit.as_secs()
    );
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", End::UpstreamFault, message)
        .retry(Retry::Never)
}
