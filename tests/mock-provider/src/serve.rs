//! One request: whose it is, what it wants, what is played, what it gets.

use std::future::pending;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::sleep;

use crate::answers::Script;
use crate::ask::Ask;
use crate::body::{Body, Ends, Severed};
use crate::bucket::retry_headers;
use crate::control;
use crate::dialect::{Credential, Dialect, Wanted, any_credential, wanted};
use crate::fault::Fault;
use crate::play::{Play, ResetAt, Says, Scripted};
use crate::provider::{Key, Provider};
use crate::seen::{Exchange, Watch, lock, pairs};
use crate::upload::{self, Received};
use crate::wire::{Takeover, Wire};

/// A body up to this size is remembered.
const REMEMBERED: u64 = 64 * 1024;

/// A request on its way to an answer.
struct Call {
    provider: Arc<Provider>,
    wire: Arc<Wire>,
    watch: Arc<Watch>,
    parts: Parts,
    dialect: Dialect,
    wanted: Wanted,
    number: u64,
    key: Arc<Key>,
    credential: Option<Credential>,
}

/// Answers a request.
pub(crate) async fn answer(
    provider: Arc<Provider>,
    wire: Arc<Wire>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Severed> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_mock/") {
        return control::answer(&provider, wire, &parts, body).await;
    }
    let dialect = Dialect::of(&parts);
    let credential = dialect.credential(&parts);
    let anywhere = credential.clone().or_else(|| any_credential(&parts));
    let key = provider.key(anywhere.as_ref().map_or("", |credential| &credential.key));
    let number = provider.seen.requests.fetch_add(1, Ordering::Relaxed);
    let exchange = provider
        .seen
        .remembers()
        .then(|| provider.seen.record(exchange(&parts, anywhere.as_ref(), number, wire.number)));
    let watch = Arc::new(Watch::new(exchange, Arc::clone(&key.asked)));
    let wanted = wanted(&parts.method, parts.uri.path());
    count(&key, &parts, wanted);
    let call = Call { provider, wire, watch, parts, dialect, wanted, number, key, credential };
    if call.credential.is_some() && call.provider.plays(&call.key, number, false).before_body() {
        let play = call.provider.plays(&call.key, number, true);
        return call.perform(play, &call.provider.defaults, None).await;
    }
    // Broken off by the client: the watch notes that it went away.
    let received =
        upload::receive(body, call.provider.seen.remembers() || call.hashes()).await.map_err(|_| Severed)?;
    call.watch.note(|exchange| {
        exchange.body_length = received.length;
        exchange.body_sha256.clone_from(&received.sha256);
        if received.length <= REMEMBERED {
            exchange.body = Some(String::from_utf8_lossy(&received.bytes).into_owned());
        }
        exchange.trailers.clone_from(&received.trailers);
    });
    let ask = match Ask::read(&call.parts, &received.bytes, &call.provider.defaults) {
        Ok(ask) => ask,
        Err(error) => return Ok(call.refuse(&Fault::BadRequest(error), vec![])),
    };
    let play = match (&call.credential, &ask.play) {
        (_, Some(play)) => play.at(number).clone(),
        (None, None) => return Ok(call.refuse(&Fault::MissingKey, vec![])),
        (Some(_), None) => call.provider.plays(&call.key, number, call.wanted != Wanted::Models),
    };
    // A limit is a matter of a request's beginning.
    if !ask.delay.is_zero() && !matches!(play, Play::RateLimited { .. }) {
        sleep(ask.delay).await;
    }
    call.perform(play, &ask, Some(&received)).await
}

impl Call {
    /// Whether the answer tells the hash of what came.
    fn hashes(&self) -> bool {
        matches!(self.wanted, Wanted::Upload | Wanted::Transcription)
    }

    async fn perform(
        &self,
        play: Play,
        ask: &Ask,
        received: Option<&Received>,
    ) -> Result<Response<Body>, Severed> {
        let shape = &ask.shape;
        let infers = self.wanted.infers();
        Ok(match play {
            Play::Revoked => self.refuse(&Fault::InvalidKey(self.credential_key()), vec![]),
            Play::OutOfQuota if infers => self.refuse(&Fault::OutOfQuota, vec![]),
            Play::RateLimited { .. } if infers => {
                let limited = self.key.take(&play, shape.tokens, self.dialect);
                let mut headers = limited.headers;
                if let Some((wait, tokens)) = limited.refused {
                    headers.extend(retry_headers(self.dialect, wait));
                    self.refuse(&Fault::RateLimited { wait, tokens }, headers)
                } else {
                    if !ask.delay.is_zero() {
                        sleep(ask.delay).await;
                    }
                    self.valid(ask, received, headers)
                }
            }
            Play::ModelDenied(models) if self.wanted != Wanted::Models && models.contains(&shape.model) => {
                self.refuse(&Fault::ModelDenied(shape.model.clone()), vec![])
            }
            Play::Slow(time) => {
                sleep(time).await;
                self.valid(ask, received, vec![])
            }
            Play::Resetting(ResetAt::BeforeHead) => return self.take_over(Takeover::Reset).await,
            Play::Resetting(at) => {
                let end = |body: Body| {
                    let half = body.frames().div_ceil(2);
                    body.ending(if at == ResetAt::AfterHead { 0 } else { half }, Ends::Reset)
                };
                self.valid(ask, received, vec![]).map(end)
            }
            Play::Dying(events) => {
                self.valid(ask, received, vec![]).map(|body| body.ending(events, Ends::Cut))
            }
            Play::FirstEventError(says) if shape.stream => {
                let (_, error) = self.said(says).told(self.dialect);
                self.give(200, &[], &Script::first_event_error(self.dialect, self.wanted, &error), ask.pace)
            }
            Play::FirstEventError(says) | Play::Envelope(says) if infers => {
                let (_, error) = self.said(says).told(self.dialect);
                self.give(200, &[], &Script::json(&error), Duration::ZERO)
            }
            Play::Fails(status) => self.refuse(&Fault::Status(status), vec![]),
            Play::Stall => pending().await,
            Play::Answer(scripted) => self.scripted(&scripted),
            Play::Raw(_) if self.wire.http2 => return self.take_over(Takeover::Reset).await,
            Play::Raw(steps) => return self.take_over(Takeover::Steps(steps)).await,
            _ => self.valid(ask, received, vec![]),
        })
    }

    async fn take_over(&self, takeover: Takeover) -> Result<Response<Body>, Severed> {
        self.watch.done();
        self.wire.take(takeover);
        pending().await
    }

    fn credential_key(&self) -> String {
        self.credential.as_ref().map(|credential| credential.key.clone()).unwrap_or_default()
    }

    fn said(&self, says: Says) -> Fault {
        match says {
            Says::Revoked => Fault::InvalidKey(self.credential_key()),
            Says::OutOfQuota => Fault::OutOfQuota,
            Says::RateLimited => Fault::RateLimited { wait: Duration::from_secs(2), tokens: false },
            Says::Status(status) => Fault::Status(status),
        }
    }

    /// The answer of a valid key.
    fn valid(
        &self,
        ask: &Ask,
        received: Option<&Received>,
        headers: Vec<(String, String)>,
    ) -> Response<Body> {
        let shape = &ask.shape;
        let script = match (self.wanted, received) {
            (Wanted::Unknown, _) => {
                let what = format!("{} {}", self.parts.method, self.parts.uri.path());
                return self.refuse(&Fault::NotFound(what), headers);
            }
            (Wanted::Model, _) if !self.provider.models.contains(&shape.model) => {
                return self.refuse(&Fault::ModelDenied(shape.model.clone()), headers);
            }
            (Wanted::Echo, Some(received)) => return self.echo(received),
            (Wanted::Upload | Wanted::Transcription, Some(received)) => {
                let told = upload::answer(&self.parts, received, self.wanted == Wanted::Transcription);
                Script::json(&told)
            }
            _ => self.provider.script(self.dialect, self.wanted, shape),
        };
        let mut headers = headers;
        headers.extend(self.own_headers());
        if let (Some(encoding), [body]) = (&ask.encoding, &*script.frames)
            && script.whole
        {
            headers.push(("content-encoding".into(), encoding.clone()));
            let encoded = Script { frames: Arc::new([encoded(body, encoding)]), ..script };
            return self.give(200, &headers, &encoded, ask.pace);
        }
        self.give(200, &headers, &script, ask.pace)
    }

    /// The request's body as it came, under its own type.
    fn echo(&self, received: &Received) -> Response<Body> {
        let script = Script {
            content_type: "application/octet-stream",
            frames: Arc::new([received.bytes.clone()]),
            whole: true,
        };
        let headers = [
            ("x-mock-method".to_owned(), self.parts.method.to_string()),
            ("x-mock-sha256".to_owned(), received.sha256.clone()),
        ];
        self.give(200, &headers, &script, Duration::ZERO)
    }

    /// The headers with which this provider marks its answers.
    fn own_headers(&self) -> Vec<(String, String)> {
        let name = if self.dialect == Dialect::Anthropic { "request-id" } else { "x-request-id" };
        vec![(name.to_owned(), format!("req_mock_{}", self.number))]
    }

    fn refuse(&self, fault: &Fault, mut headers: Vec<(String, String)>) -> Response<Body> {
        let (status, body) = fault.told(self.dialect);
        headers.extend(self.own_headers());
        self.give(status, &headers, &Script::json(&body), Duration::ZERO)
    }

    fn scripted(&self, scripted: &Scripted) -> Response<Body> {
        let mut headers = scripted.headers.clone();
        let (content_type, mut body) = match &scripted.body {
            serde_json::Value::Null => ("", Bytes::new()),
            serde_json::Value::String(text) => ("text/plain", Bytes::from(text.clone())),
            json => ("application/json", Bytes::from(json.to_string())),
        };
        if let Some(encoding) = &scripted.encoding {
            body = encoded(&body, encoding);
            headers.push(("content-encoding".into(), encoding.clone()));
        }
        let whole = scripted.chunks.is_empty() && scripted.trailers.is_empty();
        let frames: Arc<[Bytes]> = if scripted.chunks.is_empty() {
            Arc::new([body])
        } else {
            scripted.chunks.iter().map(|chunk| Bytes::from(chunk.clone())).collect()
        };
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = if typed { "" } else { content_type };
        let status = if scripted.status == 0 { 200 } else { scripted.status };
        let script = Script { content_type, frames, whole };
        let trailers = header_map(&scripted.trailers);
        self.give(status, &headers, &script, scripted.pace).map(|body| body.trailers(trailers))
    }

    fn give(
        &self,
        status: u16,
        headers: &[(String, String)],
        script: &Script,
        pace: Duration,
    ) -> Response<Body> {
        let body = Body::new(script, pace, Arc::clone(&self.wire), Arc::clone(&self.watch));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = header_map(headers);
        if !script.content_type.is_empty() {
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, HeaderValue::from_static(script.content_type));
        }
        self.watch.answered(status, response.headers());
        if self.parts.method == Method::HEAD || matches!(status, 204 | 304) {
            self.watch.done();
        }
        response
    }
}

fn count(key: &Key, parts: &Parts, wanted: Wanted) {
    let mut asked = lock(&key.asked);
    asked.asked += 1;
    asked.models_listed += u64::from(wanted == Wanted::Models);
    let path = parts.uri.path();
    match asked.paths.get_mut(path) {
        Some(count) => *count += 1,
        None => {
            asked.paths.insert(path.to_owned(), 1);
        }
    }
}

fn exchange(parts: &Parts, credential: Option<&Credential>, number: u64, connection: u64) -> Exchange {
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    Exchange {
        number,
        connection,
        key: credential.map(|credential| credential.key.clone()),
        place: credential.map(|credential| credential.place),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: format!("{:?}", parts.version),
        host: parts
            .uri
            .authority()
            .map_or(host.unwrap_or_default(), |authority| authority.as_str())
            .to_owned(),
        headers: pairs(&parts.headers),
        began: Some(Instant::now()),
        ..Exchange::default()
    }
}

fn header_map(headers: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers.iter().filter_map(pair) {
        map.append(name, value);
    }
    map
}

/// Gzip or deflate; an encoding that is not known here is claimed only.
fn encoded(body: &[u8], encoding: &str) -> Bytes {
    let level = flate2::Compression::fast();
    match encoding {
        "gzip" | "x-gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default().into()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default().into()
        }
        _ => Bytes::copy_from_slice(body),
    }
}
