//! One try of a request: one key, one upstream. Says what happened; what follows is decided elsewhere.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode, Uri, Version, response};
use tokio::time::Instant;

use super::asked::{Asked, model_in_path, model_in_query};
use super::body::{Outgoing, RequestBody};
use super::credentials::{self, Place};
use super::headers::{self, Found};
use super::purpose::{is_free, is_harmless, is_streaming};
use super::upgrade::{Upgrade, Upgraded};
use crate::keys::{Lease, Service};
use crate::rare::rare;
use crate::upstream::client::{Answer, Client, SendError};
use crate::upstream::connect::{ConnectError, chain};
use crate::upstream::{BaseUrl, JoinError, Upstream, Upstreams};
use crate::wire::{Running, spare};

/// A connection that an upstream closed behind an answer shows it so soon after its next request.
const RIGHT_BEHIND: Duration = Duration::from_millis(10);
/// The end of one that had rested, if it crossed the request, is here after a round trip. What ends later was at work.
const CROSSED: Duration = Duration::from_secs(1);

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// When it began.
    pub(super) began: Instant,
    /// The longest wait for a connection.
    pub(super) connect: Duration,
    /// Until when the answer's head has to be there.
    pub(super) head_by: Instant,
}

/// A client's request, ready to be tried.
#[expect(clippy::struct_excessive_bools, reason = "answers to as many questions")]
pub(super) struct Try {
    /// Path and query as the client sent them.
    target: PathAndQuery,
    /// What goes upstream: the client's head, less what stays here. Each attempt puts its target and its key there.
    head: Parts,
    /// Where the client's token was.
    place: Option<Place>,
    pub(super) body: RequestBody,
    /// Whether a second run would do no harm (spec §6, "once or twice").
    pub(super) harmless: bool,
    /// What a key is asked for with it.
    service: Service,
    /// Whether the answer is a stream (spec §9).
    pub(super) streaming: bool,
    /// The protocol that the client wants to go on with.
    upgrade: Option<Upgrade>,
    model: Option<Box<str>>,
    /// Whether the head has a key in it.
    has_key: bool,
    /// How long the client waits for an answer, where it says so (`x-stainless-read-timeout`).
    pub(super) client_waits: Option<Duration>,
    /// When the connection of the last attempt was there that needed a new one.
    connected_at: Option<Instant>,
    /// Whether it went out a second time in one attempt: once is enough for a request.
    sent_again: bool,
}

/// A longer body may still be on its way when its head has arrived: it does not fit what a network takes at once.
const AT_ONCE: usize = 64 << 10;

/// Whose connection a request came on, put into its extensions where its address may go upstream (`TRUST_FORWARDED`).
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What happened.
pub(super) enum Outcome {
    /// The head of an answer.
    Answer(Response<Answer<Outgoing>>),
    /// The upstream goes on in the protocol that was asked for.
    Switched(response::Parts, Upgraded),
    /// There is none.
    Failed(NoAnswer),
}

/// Why there is no answer.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "answers to as many questions")]
pub(super) struct NoAnswer {
    /// It took too long.
    pub(super) timed_out: bool,
    /// The upstream may have done the work all the same.
    pub(super) maybe_done: bool,
    /// What came was no HTTP.
    pub(super) garbled: bool,
    /// It had begun, and fell silent before the first of what it was to say (`SERVER_WRITE_TIMEOUT`).
    pub(super) fell_silent: bool,
    /// For the log: never a key.
    pub(super) error: String,
}

impl Try {
    pub(super) fn new(mut head: Parts, place: Option<Place>, body: RequestBody) -> Self {
        let target = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let found = Found::in_request(&head.headers);
        let asked = Asked::read(&head.headers, body.bytes());
        let upgrade = if found.upgrades && body.is_empty() { Upgrade::asked(&head) } else { None };
        let streaming = upgrade.is_some() || asked.stream || found.wants_events || is_streaming(&target);
        let harmless = is_harmless(&head.method, target.path());
        let is_free = upgrade.is_none() && is_free(&head.method, target.path());
        let client_waits = found.client_waits;
        let peer = head.extensions.remove::<Peer>();
        let has_trailers = body.trailers().is_some() || found.announces;
        let sent = (has_trailers || peer.is_some()).then(|| head.headers.clone());
        let takes_encoded = found.takes_encoded;
        let headers = &mut head.headers;
        found.take_away(headers);
        if streaming && takes_encoded && upgrade.is_none() {
            // Of an encoded stream nobody could tell whether it is whole, or what it says of usage.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(sent) = &sent {
            headers::announce_trailers(headers, sent, body.trailers());
            if let Some(Peer(peer)) = peer {
                headers::forward(headers, sent, peer);
            }
        }
        if let Some(upgrade) = &upgrade {
            upgrade.announce(headers);
        }
        let place = place.filter(|place| upgrade.is_some() || *place != Place::Subprotocol);
        let model = model_in_path(target.path())
            .or_else(|| asked.model.map(Box::from))
            .or_else(|| target.query().and_then(model_in_query));
        head.extensions.clear();
        Self {
            target,
            head,
            place,
            body,
            harmless,
            service: if is_free { Service::Free } else { Service::Paid },
            streaming,
            upgrade,
            model,
            has_key: false,
            client_waits,
            connected_at: None,
            sent_again: false,
        }
    }

    /// The model that is asked for, if any is named.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Forgets what it names as its model if that may not be told.
    pub(super) fn name_only_models(&mut self, may_be_told: impl Fn(&str) -> bool) {
        self.model.take_if(|name| !may_be_told(name));
    }

    /// Whether its answer may be a stream: what it asks for is not known where its body streams through.
    pub(super) fn may_stream(&self) -> bool {
        self.streaming || !self.body.is_replayable()
    }

    /// The path that was asked for.
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// When an attempt that began at `tried_at` sent it, if it went out at once.
    pub(super) fn sent_at(&self, tried_at: Instant) -> Option<Instant> {
        let at_once = self.body.is_replayable() && self.body.bytes().len() <= AT_ONCE;
        at_once.then(|| self.connected_at.map_or(tried_at, |at| at.max(tried_at)))
    }

    /// Whether it asks a model for something: what comes back with a good status has that in it, or is no answer.
    pub(super) fn infers(&self) -> bool {
        self.harmless && self.head.method == Method::POST
    }

    /// What a key is asked for with it.
    pub(super) fn service(&self) -> Service {
        self.service
    }

    /// Where the upstream that serves it has taken a key, if it would not have served without: where the client's token was.
    pub(super) fn proves_place(&self) -> Option<Place> {
        self.place.filter(|_| self.service == Service::Paid)
    }

    /// Whether an error with a good status is no answer to it: else it may be a job's state, or what a file has in it.
    pub(super) fn wants_no_error(&self) -> bool {
        self.infers() || self.head.method == Method::GET && self.path().ends_with("/models")
    }

    /// Sends the request to an upstream with a leased key, on a connection that is there or can be made in time, and waits
    /// for the head of its answer. `running` hears what comes before that.
    ///
    /// A kept connection that the upstream closed in the moment of its reuse is not an attempt that failed: the
    /// request goes out again on a new one, if that is safe, and in what is left of its time. Once: whoever ends kept
    /// connections time and again may have done the work each time, and each attempt would do it twice.
    pub(super) async fn send(
        &mut self,
        client: &Rc<Client<Outgoing>>,
        upstream: &Upstream,
        lease: &Lease<'_>,
        running: Option<&Running>,
        Span { began, mut connect, head_by }: Span,
    ) -> Outcome {
        let mut fresh = false;
        loop {
            let connection = if self.upgrade.is_some() {
                rare(client.upgradable_connection(upstream, connect)).await
            } else if fresh {
                rare(client.fresh_connection(upstream, connect)).await
            } else {
                client.connection(upstream, connect).await
            };
            let connection = match connection {
                Ok(connection) => connection,
                Err(error) => return Outcome::Failed(NoAnswer::to_connect(&error)),
            };
            let body = match self.prepare(&upstream.url, lease) {
                Ok(body) => body,
                Err(error) => return Outcome::Failed(NoAnswer { error, ..NoAnswer::default() }),
            };
            let (reused, rested) = (connection.reused, connection.rested);
            if !reused {
                self.connected_at = Some(Instant::now());
            }
            let version = self.head.version;
            let mut inform = |head| inform(head, version, lease, running);
            match connection.send(client, &upstream.url, &self.head, body, head_by, &mut inform).await {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return self.switch(response, lease);
                }
                Ok(response) => return Outcome::Answer(response),
                Err(error) if error.is_timeout() => {
                    let error = "no answer in time".to_owned();
                    let failure =
                        NoAnswer { timed_out: true, maybe_done: true, error, ..NoAnswer::default() };
                    return Outcome::Failed(failure);
                }
                Err(failed) => {
                    let left = head_by.saturating_duration_since(Instant::now());
                    let unseen = reused && !fresh && self.is_unseen(&failed, rested, began.elapsed());
                    if unseen && !left.is_zero() {
                        (fresh, connect) = (true, connect.min(left));
                        if failed.sent {
                            self.sent_again = true;
                            upstream.note_sent_again();
                        }
                        continue;
                    }
                    let (garbled, maybe_done) = (failed.is_garbled(), failed.sent);
                    let error = format!("the connection broke before an answer: {}", chain(&failed.fault));
                    return Outcome::Failed(NoAnswer { maybe_done, garbled, error, ..NoAnswer::default() });
                }
            }
        }
    }

    /// Whether the upstream closed a kept connection before it saw the request, as far as can be told, and it may be sent again.
    /// What came and is no HTTP is an answer of a kind. And a connection that was in use a moment ago was not closed for having
    /// rested, unless that came right behind its last answer.
    #[cold]
    fn is_unseen(&self, failed: &SendError, rested: bool, after: Duration) -> bool {
        let crossed = after < if rested { CROSSED } else { RIGHT_BEHIND };
        let may_go_again = self.harmless && crossed && !self.sent_again;
        !failed.is_garbled() && self.body.is_replayable() && (!failed.sent || may_go_again)
    }

    /// Takes over a connection whose upstream goes on in another protocol: only in the one that was asked for.
    #[cold]
    fn switch(&self, response: Response<Answer<Outgoing>>, lease: &Lease<'_>) -> Outcome {
        let accepted = self.upgrade.as_ref().filter(|upgrade| upgrade.is_accepted(response.headers()));
        let (mut parts, answer) = response.into_parts();
        let (Some(upgrade), Some(upgraded)) = (accepted, answer.into_socket()) else {
            let error = "it answered 101 to what was not asked".to_owned();
            return Outcome::Failed(NoAnswer { maybe_done: true, error, ..NoAnswer::default() });
        };
        upgrade.of_answer(&mut parts, lease);
        Outcome::Switched(parts, upgraded)
    }

    /// Makes the head ready for an upstream, with a leased key, and gives the body.
    fn prepare(&mut self, url: &BaseUrl, lease: &Lease<'_>) -> Result<Outgoing, String> {
        let place = self.place.unwrap_or_else(|| Place::of_host(url.host()));
        let key = (place == Place::Query).then(|| lease.expose());
        let target = if key.is_none() && self.target.query().is_none() && url.is_bare() {
            self.target.clone()
        } else {
            url.join_with_key(self.target.as_str(), key).map_err(|error| error.to_string())?
        };
        let body = self.body.outgoing().ok_or("the request body was sent already")?;
        self.head.uri = Uri::from(target);
        // What an attempt before this one put there was another key, maybe for another upstream.
        if std::mem::replace(&mut self.has_key, true) {
            credentials::take_away(&mut self.head.headers);
        }
        // The last step, so that nothing of the client's can take it away again.
        place.put(lease.expose(), &mut self.head.headers).map_err(|error| error.to_string())?;
        Ok(body)
    }

    /// Whether every upstream's URL can be joined with the request's target.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(super) fn check_target(&self, upstreams: &Upstreams) -> Result<(), JoinError> {
        let target = self.target.as_str();
        // What can be wrong with a target: that it is no path, climbs, or has a fragment.
        let mut before = b'/';
        let is_odd = |byte: u8| {
            let climbs = byte == b'.' && before == b'.';
            before = byte;
            climbs || matches!(byte, b'%' | b'\\' | b'#')
        };
        if target.starts_with('/') && !target.bytes().any(is_odd) {
            return Ok(());
        }
        upstreams.all().iter().try_for_each(|upstream| upstream.url.join(target).map(drop))
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.head.headers));
    }
}

impl NoAnswer {
    #[cold]
    fn to_connect(error: &ConnectError) -> Self {
        let timed_out = matches!(error, ConnectError::TimedOut(_));
        Self { timed_out, error: chain(error), ..Self::default() }
    }
}

/// Passes on a head that comes before an answer's (RFC 9110 §15.2). Not 100: we have said that ourselves where it was asked
/// for. Whether the answer that follows is passed on or another is tried does not matter: there may be several.
#[cold]
fn inform(head: Response<()>, version: Version, lease: &Lease<'_>, running: Option<&Running>) {
    let Some(running) = running.filter(|_| version == Version::HTTP_11) else { return };
    if head.status() == StatusCode::CONTINUE {
        return;
    }
    let (mut head, ()) = head.into_parts();
    headers::of_answer(&mut head.headers);
    headers::of_no_body(&mut head.headers);
    headers::redact_keys(&mut head, |value| lease.redact(value));
    running.tell(&head);
}
