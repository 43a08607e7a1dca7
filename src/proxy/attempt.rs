//! One try of a request: one key, one upstream. Says what happened; what follows is decided elsewhere.

use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use tokio::time::{Instant, timeout_at};

use super::asked::{Asked, model_in_path, model_in_query};
use super::body::{Outgoing, RequestBody};
use super::credentials::Place;
use super::headers;
use super::upgrade::Upgrade;
use crate::keys::Lease;
use crate::upstream::client::{Client, Connection, SendError};
use crate::upstream::connect::{ConnectError, chain};
use crate::upstream::{BaseUrl, JoinError, Upstream, Upstreams};

/// How long the official SDKs wait for an answer, in seconds.
const READ_TIMEOUT: &str = "x-stainless-read-timeout";

/// A client's request, ready to be tried.
pub(super) struct Try {
    method: Method,
    /// Path and query as the client sent them.
    target: PathAndQuery,
    /// The client's headers that go on, without a credential.
    headers: HeaderMap,
    /// Where the client's token was.
    place: Option<Place>,
    pub(super) body: RequestBody,
    /// Whether a second run would do no harm (spec §6, "once or twice").
    pub(super) harmless: bool,
    /// Whether the answer is a stream (spec §9).
    pub(super) streaming: bool,
    /// The protocol that the client wants to go on with.
    upgrade: Option<Upgrade>,
    model: Model,
    /// When the last attempt began.
    pub(super) sent: Instant,
    /// How long the client waits for an answer, where it says so (`x-stainless-read-timeout`).
    pub(super) client_waits: Option<Duration>,
}

/// Where a request names its model.
enum Model {
    Nowhere,
    Body(Range<usize>),
    Path(Range<usize>),
    Query(Box<str>),
}

/// Whose connection a request came on, put into its extensions where its address may go upstream (`TRUST_FORWARDED`).
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What happened.
pub(super) enum Outcome {
    /// The head of an answer.
    Answer(Response<Incoming>, Connection<Outgoing>),
    /// The upstream goes on in the protocol that was asked for.
    Switched(response::Parts, Upgraded),
    /// There is none.
    Failed(NoAnswer),
}

/// Why there is no answer.
#[derive(Debug, Default)]
pub(super) struct NoAnswer {
    /// It took too long.
    pub(super) timed_out: bool,
    /// The upstream may have done the work all the same.
    pub(super) maybe_done: bool,
    /// What came was no HTTP.
    pub(super) garbled: bool,
    /// For the log: never a key.
    pub(super) error: String,
}

impl Try {
    pub(super) fn new(parts: Parts, place: Option<Place>, body: RequestBody) -> Self {
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let asked = Asked::read(&parts.headers, body.bytes());
        let upgrade = Upgrade::asked(&parts);
        let streaming = upgrade.is_some() || asked.stream || is_streaming(&parts.headers, &target);
        let harmless = is_harmless(&parts.method, target.path());
        let mut headers = headers::of_request(&parts.headers);
        headers::announce_trailers(&mut headers, &parts.headers, body.trailers());
        if let Some(Peer(peer)) = parts.extensions.get() {
            headers::forward(&mut headers, &parts.headers, *peer);
        }
        if let Some(upgrade) = &upgrade {
            upgrade.announce(&mut headers);
        }
        let place = place.filter(|place| upgrade.is_some() || *place != Place::Subprotocol);
        let model = match (asked.model, model_in_path(target.path())) {
            (_, Some(path)) => Model::Path(path),
            (Some(body), None) => Model::Body(body),
            (None, None) => target.query().and_then(model_in_query).map_or(Model::Nowhere, Model::Query),
        };
        let client_waits =
            parts.headers.get(READ_TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok());
        let client_waits = client_waits.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            method: parts.method,
            target,
            headers,
            place,
            body,
            harmless,
            streaming,
            upgrade,
            model,
            sent: Instant::now(),
            client_waits,
        }
    }

    /// The model that is asked for, if any is named.
    pub(super) fn model(&self) -> Option<&str> {
        match &self.model {
            Model::Nowhere => None,
            Model::Body(range) => std::str::from_utf8(self.body.bytes().get(range.clone())?).ok(),
            Model::Path(range) => self.target.path().get(range.clone()),
            Model::Query(name) => Some(name),
        }
    }

    /// Forgets what it names as its model if that may not be told.
    pub(super) fn name_only_models(&mut self, may_be_told: impl Fn(&str) -> bool) {
        if self.model().is_some_and(|name| !may_be_told(name)) {
            self.model = Model::Nowhere;
        }
    }

    /// The path that was asked for.
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Sends the request to an upstream with a leased key, and waits for the head of its answer until `head_by`.
    ///
    /// A kept connection that the upstream closed in the moment of its reuse is not an attempt that failed: the
    /// request goes out again on a new one, if that is safe.
    pub(super) async fn send(
        &mut self,
        client: &Rc<Client<Outgoing>>,
        upstream: &Upstream,
        lease: &Lease<'_>,
        connect_limit: Duration,
        head_by: Instant,
    ) -> Outcome {
        let mut fresh = false;
        loop {
            self.sent = Instant::now();
            let limit = connect_limit.min(head_by.saturating_duration_since(self.sent));
            let connection = if self.upgrade.is_some() {
                Box::pin(client.upgradable_connection(upstream, limit)).await
            } else if fresh {
                Box::pin(client.fresh_connection(upstream, limit)).await
            } else {
                client.connection(upstream, limit).await
            };
            let mut connection = match connection {
                Ok(connection) => connection,
                Err(error) => return Outcome::Failed(NoAnswer::to_connect(&error)),
            };
            let request = match self.request(&upstream.url, lease, connection.is_http2()) {
                Ok(request) => request,
                Err(error) => {
                    return Outcome::Failed(NoAnswer { error, ..NoAnswer::default() });
                }
            };
            match timeout_at(head_by, connection.send(request)).await {
                Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Box::pin(self.switch(response, lease, head_by)).await;
                }
                Ok(Ok(response)) => return Outcome::Answer(response, connection),
                Ok(Err(SendError { sent, .. }))
                    if connection.reused
                        && !fresh
                        && self.body.is_replayable()
                        && (!sent || self.harmless) =>
                {
                    fresh = true;
                }
                Ok(Err(SendError { error, sent })) => {
                    let garbled = error.is_parse();
                    let error = format!("the connection broke before an answer: {}", chain(&error));
                    return Outcome::Failed(NoAnswer { timed_out: false, maybe_done: sent, garbled, error });
                }
                Err(_elapsed) => {
                    let error = "no answer in time".to_owned();
                    return Outcome::Failed(NoAnswer {
                        timed_out: true,
                        maybe_done: true,
                        garbled: false,
                        error,
                    });
                }
            }
        }
    }

    /// Takes over a connection whose upstream goes on in another protocol: only in the one that was asked for.
    async fn switch(&self, response: Response<Incoming>, lease: &Lease<'_>, by: Instant) -> Outcome {
        let failed =
            |error: String| Outcome::Failed(NoAnswer { maybe_done: true, error, ..NoAnswer::default() });
        let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| upgrade.is_accepted(response.headers()))
        else {
            return failed("it answered 101 to what was not asked".to_owned());
        };
        let mut response = response;
        let upgraded = hyper::upgrade::on(&mut response);
        let (mut parts, _empty) = response.into_parts();
        upgrade.of_answer(&mut parts, lease);
        match timeout_at(by, upgraded).await {
            Ok(Ok(upgraded)) => Outcome::Switched(parts, upgraded),
            Ok(Err(error)) => failed(format!("the upgrade failed: {}", chain(&error))),
            Err(_elapsed) => failed("the upgrade did not come about in time".to_owned()),
        }
    }

    fn request(
        &mut self,
        url: &BaseUrl,
        lease: &Lease<'_>,
        http2: bool,
    ) -> Result<Request<Outgoing>, String> {
        let place = self.place.unwrap_or_else(|| Place::of_host(url.host()));
        let key = (place == Place::Query).then(|| lease.expose());
        let target = url.join_with_key(self.target.as_str(), key).map_err(|error| error.to_string())?;
        let body = self.body.outgoing().ok_or("the request body was sent already")?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        if http2 {
            *request.version_mut() = Version::HTTP_2;
            let uri = Uri::builder()
                .scheme(url.scheme().as_str())
                .authority(url.authority().as_bytes())
                .path_and_query(target);
            *request.uri_mut() = uri.build().map_err(|error| error.to_string())?;
        } else {
            headers::set_host(request.headers_mut(), url.authority());
            *request.uri_mut() = Uri::from(target);
        }
        // The last step, so that nothing of the client's can take it away again.
        place.put(lease.expose(), request.headers_mut()).map_err(|error| error.to_string())?;
        Ok(request)
    }

    /// Whether every upstream's URL can be joined with the request's target.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(super) fn check_target(&self, upstreams: &Upstreams) -> Result<(), JoinError> {
        let target = self.target.as_str();
        // What can be wrong with a target: that it is no path, climbs, or has a fragment.
        if target.starts_with('/') && !target.contains(['%', '\\', '#']) && !target.contains("..") {
            return Ok(());
        }
        upstreams.all().iter().try_for_each(|upstream| upstream.url.join(target).map(drop))
    }
}

impl NoAnswer {
    fn to_connect(error: &ConnectError) -> Self {
        let timed_out = matches!(error, ConnectError::TimedOut(_));
        Self { timed_out, error: chain(error), ..Self::default() }
    }
}

/// Whether a request is streaming by anything but its body (spec §9).
fn is_streaming(headers: &HeaderMap, target: &PathAndQuery) -> bool {
    let accepts = headers.get_all(http::header::ACCEPT);
    accepts.iter().any(|accept| {
        accept.as_bytes().split(|byte| *byte == b',').any(|item| {
            let media_type = item.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
    }) || target.path().ends_with(":streamGenerateContent")
        || target.query().is_some_and(|query| query.split('&').any(|pair| pair == "stream=true"))
}

/// Whether running the request twice does no harm: idempotent methods (RFC 9110 §9.2.2), and POSTs that infer. What
/// makes, uploads or starts something is not run again, nor is what we don't know.
fn is_harmless(method: &Method, path: &str) -> bool {
    if method.is_idempotent() {
        return true;
    }
    if method != Method::POST {
        return false;
    }
    let makes_something = [
        "files",
        "batches",
        "fine_tuning",
        "fine-tunes",
        "uploads",
        "assistants",
        "threads",
        "vector_stores",
    ];
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let last = segments.next().unwrap_or_default();
    let before = segments.next().unwrap_or_default();
    if segments.chain([before, last]).any(|segment| makes_something.contains(&segment)) {
        return false;
    }
    if let Some((_, verb)) = last.rsplit_once(':') {
        return matches!(
            verb,
            "generateContent"
                | "streamGenerateContent"
                | "countTokens"
                | "embedContent"
                | "batchEmbedContents"
                | "predict"
                | "rawPredict"
                | "streamRawPredict"
        );
    }
    matches!(before, "audio" | "images" | "text-generation" | "multimodal-generation")
        || path.contains("/ai/run/")
        || matches!(
            last,
            "completions"
                | "responses"
                | "messages"
                | "embeddings"
                | "moderations"
                | "rerank"
                | "count_tokens"
                | "chat"
                | "complete"
                | "generate"
                | "embed"
                | "tokenize"
                | "classify"
                | "chatcompletion_v2"
                | "invoke"
                | "invoke-with-response-stream"
                | "converse"
                | "converse-stream"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_infers_runs_twice() {
        for (method, path, want) in [
            ("GET", "/v1/models", true),
            ("DELETE", "/v1/files/file-1", true),
            ("PATCH", "/v1/x", false),
            ("POST", "/v1/chat/completions", true),
            ("POST", "/v1/chat/completions/", true),
            ("POST", "/openai/deployments/d/chat/completions", true),
            ("POST", "/v1/completions", true),
            ("POST", "/v1/responses", true),
            ("POST", "/v1/responses/resp_1/cancel", false),
            ("POST", "/v1/messages", true),
            ("POST", "/v1/messages/count_tokens", true),
            ("POST", "/v1/messages/batches", false),
            ("POST", "/v1/threads/thread_1/messages", false),
            ("POST", "/v1/embeddings", true),
            ("POST", "/v1/moderations", true),
            ("POST", "/v1/audio/transcriptions", true),
            ("POST", "/v1/images/generations", true),
            ("POST", "/v1/rerank", true),
            ("POST", "/model/anthropic.claude-v2:1/converse-stream", true),
            ("POST", "/accounts/1/ai/run/@cf/meta/llama-3-8b", true),
            ("POST", "/api/v1/services/aigc/text-generation/generation", true),
            ("POST", "/v1beta/models/gemini:generateContent", true),
            ("POST", "/v1beta/models/gemini:streamGenerateContent", true),
            ("POST", "/v1beta/models/gemini:batchGenerateContent", false),
            ("POST", "/v1/files", false),
            ("POST", "/v1/batches", false),
            ("POST", "/v1/fine_tuning/jobs", false),
            ("POST", "/v1/uploads/upload_1/parts", false),
            ("POST", "/v1/assistants", false),
            ("POST", "/v1/anything", false),
        ] {
            assert_eq!(is_harmless(&method.parse().unwrap(), path), want, "{method} {path}");
        }
    }

    #[test]
    fn a_stream_is_told_by_header_query_and_path() {
        for (accept, target, want) in [
            ("text/event-stream", "/", true),
            ("application/json, Text/Event-Stream;q=0.5", "/", true),
            ("application/json", "/", false),
            ("*/*", "/v1beta/models/m:streamGenerateContent?alt=sse", true),
            ("*/*", "/?a=b&stream=true", true),
            ("*/*", "/?upstream=true", false),
        ] {
            let headers = HeaderMap::from_iter([(http::header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(is_streaming(&headers, &target.parse().unwrap()), want, "{accept} {target}");
        }
    }
}
