//! An answer that is not what was asked for: read as far as it has to be judged, and passed on if nothing better is
//! to be had.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::answer::Payload;
use super::attempt::NoAnswer;
use super::body::Outgoing;
use super::headers;
use super::mask::Mask;
use super::stream::{Stream, StreamLimits};
use crate::keys::{Cause, Lease};
use crate::refusal::{Refusal, Retry};
use crate::telemetry::counters::End;
use crate::upstream::Upstream;
use crate::upstream::client::Answer;
use crate::verdict::{self, Judgement, Verdict};

/// How much of a body is read to judge it (spec §6).
const JUDGED: usize = 64 * 1024;
/// How long it may take to arrive.
const JUDGED_WITHIN: Duration = Duration::from_secs(5);
/// How long it may stand still where another key is next.
const STILL: Duration = Duration::from_millis(700);

/// A refused attempt's answer, with what it says.
pub(super) struct Refused {
    parts: Parts,
    /// What was read of the body.
    first: Bytes,
    /// What was not.
    rest: Option<Stream>,
    pub(super) judgement: Judgement,
    /// The keys, of all that were tried, for which what is asked for is too much, and may not be for others.
    pub(super) unfit: Vec<u32>,
}

impl Refused {
    /// Reads an answer as far as it has to be judged, takes keys out of it, and judges it. `is_last`: no other key is
    /// next, so that there is time to hear all of it.
    ///
    /// # Errors
    /// If the time of the whole request is over before that.
    pub(super) async fn read(
        response: Response<Answer<Outgoing>>,
        lease: &Lease<'_>,
        model: Option<&str>,
        limits: StreamLimits,
        is_last: bool,
    ) -> Result<Box<Self>, NoAnswer> {
        let (mut parts, mut incoming) = response.into_parts();
        parts.version = Version::HTTP_11;
        headers::of_answer(&mut parts.headers);
        headers::redact_keys(&mut parts, |value| lease.redact(value));
        let now = Instant::now();
        let by = limits.deadline.map_or(now + JUDGED_WITHIN, |deadline| deadline.min(now + JUDGED_WITHIN));
        // What others say about the request is told to the client: there all of it is worth its time.
        let of_key_or_upstream = matches!(parts.status.as_u16(), 401 | 402 | 408 | 429 | 500..);
        let still = if is_last || !of_key_or_upstream { JUDGED_WITHIN } else { STILL };
        let (first, came) = read_first(&mut incoming, by, still).await;
        let ended = came != Came::Part;
        if !ended && limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let error = "the answer's body did not come in time".to_owned();
            return Err(NoAnswer { timed_out: true, maybe_done: true, error, ..NoAnswer::default() });
        }
        let plain = verdict::decoded(&parts.headers, &first);
        let is_decoded = matches!(plain, Cow::Owned(_));
        // An encoded body can't be looked through as it passes: its beginning, decoded, is all that is passed on.
        let cut = is_decoded && (came != Came::All || plain.len() >= JUDGED);
        let changed = lease.redact(&plain).or_else(|| cut.then(|| plain.into_owned()));
        // What claims to be encoded need not be.
        let changed = changed.or_else(|| is_decoded.then(|| lease.redact(&first)).flatten());
        if changed.is_some() {
            parts.headers.remove(CONTENT_ENCODING);
        }
        // Judged without the keys: what it says is cut short, and half a key would not be found any more.
        let body = changed.as_deref().unwrap_or(&first);
        let answer = verdict::Answer { status: parts.status, headers: &parts.headers, body, model };
        let judgement = doubted(verdict::judge_whole(&answer, SystemTime::now()), lease);
        let mut refused = Box::new(Self { parts, first, rest: None, judgement, unfit: Vec::new() });
        if ended || cut {
            if let Some(changed) = changed {
                headers::of_plain_text(&mut refused.parts.headers, changed.len());
                refused.first = changed.into();
            } else if came == Came::Broken && refused.parts.headers.contains_key(CONTENT_LENGTH) {
                // Clients take a body that is shorter than it is said to be for an error of ours.
                refused.parts.headers.insert(CONTENT_LENGTH, refused.first.len().into());
            }
            return Ok(refused);
        }
        let mut mask = Box::new(Mask::new(lease.hider()));
        refused.first = mask.pass(refused.first);
        let mut stream = Stream::new(incoming, limits);
        stream.mask = Some(mask);
        refused.rest = Some(stream);
        Ok(refused)
    }

    /// An answer with a good status and an error in it.
    pub(super) fn within(
        mut parts: Parts,
        mut stream: Stream,
        error: &[u8],
        lease: &Lease<'_>,
        model: Option<&str>,
    ) -> Box<Self> {
        headers::redact_keys(&mut parts, |value| lease.redact(value));
        let hidden = lease.redact(error);
        let error = hidden.as_deref().unwrap_or(error);
        let judgement = verdict::judge_in_stream(&parts.headers, error, model, SystemTime::now());
        let judgement = doubted(judgement, lease);
        // Only a body that has come whole is looked into where it is encoded.
        stream.hide_in_encoded(&mut parts, lease);
        let mut mask = Box::new(Mask::new(lease.hider()));
        let mut first = mask.pass(std::mem::take(&mut stream.first));
        let ended = stream.is_end();
        if ended {
            first = [first, mask.rest()].concat().into();
        }
        if let Some(trailers) = &mut stream.trailers {
            mask.trailers(trailers);
        }
        stream.mask = Some(mask);
        let rest = (!ended).then_some(stream);
        Box::new(Self { parts, first, rest, judgement, unfit: Vec::new() })
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Its headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// How many tokens its key had left when it was refused for want of more.
    pub(super) fn too_few_tokens(&self) -> Option<u32> {
        let is_limited = self.judgement.verdict == Verdict::KeyLimited;
        is_limited.then(|| verdict::too_few_tokens(&self.parts.headers)).flatten()
    }

    /// Why its key is set aside, for people.
    pub(super) fn cause(&self, upstream: &Upstream) -> Cause {
        let judgement = &self.judgement;
        Cause {
            rule: judgement.rule.into(),
            status: Some(self.parts.status.as_u16()),
            code: (!judgement.code.is_empty()).then(|| judgement.code.as_str().into()),
            error: judgement.message.as_str().into(),
            wait: judgement.wait.as_ref().map(|wait| wait.duration),
            wait_from: judgement.wait.as_ref().map(|wait| wait.from.into()),
            upstream: Some(upstream.index),
            of_credit: judgement.verdict == Verdict::KeyExhausted,
        }
    }

    /// The answer for the client, as it came: with our advice on retries, unless the request itself was at fault. `wait`
    /// is the time until the pool has a key again.
    ///
    /// # Errors
    /// 503 `keys_rejected` in place of what the upstream said about a pool key: the client can do nothing about it.
    pub(super) fn answer(mut self, wait: Option<Duration>) -> Result<(Response<Payload>, End), Refusal> {
        let status = self.parts.status;
        let of_key = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        // What is too much for all keys is so the next time.
        let asks_too_much = self.judgement.asks_too_much;
        let retry = if asks_too_much { Retry::Never } else { Retry::until_a_key(wait) };
        let end = match self.judgement.verdict {
            Verdict::KeyInvalid => return Err(self.keys_rejected(retry)),
            Verdict::KeyExhausted | Verdict::KeyLimited if of_key => return Err(self.keys_rejected(retry)),
            Verdict::KeyExhausted | Verdict::KeyLimited => {
                retry.advise(&mut self.parts.headers);
                if asks_too_much { End::RequestFault } else { End::KeysLimited }
            }
            Verdict::UpstreamFault => {
                if self.parts.headers.contains_key(RETRY_AFTER)
                    && matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                {
                    Retry::until_a_key(wait).advise(&mut self.parts.headers);
                } else {
                    Retry::Never.advise(&mut self.parts.headers);
                }
                End::UpstreamFault
            }
            Verdict::RequestFault | Verdict::Success => End::RequestFault,
        };
        let payload = match self.rest {
            None => Payload::Whole(self.first),
            Some(mut stream) => {
                stream.first = self.first;
                Payload::Stream(stream)
            }
        };
        Ok((Response::from_parts(self.parts, payload), end))
    }

    fn keys_rejected(&self, retry: Retry) -> Refusal {
        let said = &self.judgement.message;
        let message = format!("The upstream rejected the keys of this pool ({}): {said}", self.parts.status);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "keys_rejected", End::KeysRejected, message)
            .retry(retry)
    }
}

/// What is said of a key of which a part is shown that the leased one does not have is hardly about that: a relay may have been
/// told it of its own.
fn doubted(mut judgement: Judgement, lease: &Lease<'_>) -> Judgement {
    let ends_key = matches!(judgement.verdict, Verdict::KeyInvalid | Verdict::KeyExhausted);
    judgement.weak |= ends_key && lease.is_other_than_shown(&judgement.message);
    judgement
}

/// How much of a body has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    All,
    Part,
    /// All that there is: it broke off.
    Broken,
}

/// Up to [`JUDGED`] bytes of a body, and how much of it that was.
async fn read_first(incoming: &mut Answer<Outgoing>, by: Instant, still: Duration) -> (Bytes, Came) {
    let mut first = BytesMut::new();
    while first.len() < JUDGED {
        match timeout_at(by.min(Instant::now() + still), incoming.frame()).await {
            Ok(Some(Ok(frame))) => first.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Ok(None) => return (first.freeze(), Came::All),
            // What came of an error is judged and passed on.
            Ok(Some(Err(_))) => return (first.freeze(), Came::Broken),
            Err(_elapsed) => return (first.freeze(), Came::Part),
        }
    }
    (first.freeze(), Came::Part)
}
