//! `/_mock/`: what tests in other languages, and the demo, steer by. None of it is counted.
//!
//! - `GET /_mock/seen` → `{requests, connections, open_connections, keys: {KEY: …}, exchanges: […]}`
//! - `GET /_mock/keys` → the keys' counts alone
//! - `POST /_mock/play` `{"key": KEY, "play": PLAY}`, or `{"unknown": PLAY}` for keys that nothing was said about
//! - `POST /_mock/phase` `{"play": PLAY}` for all keys, `{"play": null}` ends it; with `from` and `until`: for those
//!   requests of the provider's, counted from 0
//! - `POST /_mock/reset` forgets what was seen, begins all plays anew, ends all phases

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::answers::Script;
use crate::body::{Body, Severed};
use crate::play::Play;
use crate::provider::Provider;
use crate::seen::{Asked, Watch};
use crate::wire::Wire;

/// Answers a control request.
pub(crate) async fn answer(
    provider: &Provider,
    wire: Arc<Wire>,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Severed> {
    let body = body.collect().await.map_err(|_| Severed)?.to_bytes();
    let told = if parts.method == Method::GET {
        shown(provider, parts.uri.path())
    } else {
        serde_json::from_slice(if body.is_empty() { b"null" } else { &body })
            .map_err(|error| error.to_string())
            .and_then(|wish| done(provider, parts.uri.path(), &wish))
    };
    let (status, value) = match told {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error})),
    };
    let watch = Arc::new(Watch::new(None, Arc::new(Mutex::new(Asked::default()))));
    let mut response = Response::new(Body::new(&Script::json(&value), Duration::ZERO, wire, watch));
    *response.status_mut() = status;
    Ok(response)
}

fn shown(provider: &Provider, path: &str) -> Result<Value, String> {
    match path {
        "/_mock/seen" => Ok(json!({
            "requests": provider.seen.requests.load(Ordering::Relaxed),
            "connections": provider.seen.connections.load(Ordering::Relaxed),
            "open_connections": provider.seen.open.load(Ordering::Relaxed),
            "keys": provider.asked(),
            "exchanges": provider.seen.all(),
        })),
        "/_mock/keys" => Ok(json!(provider.asked())),
        other => Err(format!("GET {other} is no control path")),
    }
}

fn done(provider: &Provider, path: &str, wish: &Value) -> Result<Value, String> {
    match path {
        "/_mock/play" => {
            if let Some(unknown) = wish.get("unknown") {
                provider.unknown(Play::try_from(unknown)?);
            } else {
                let key = wish["key"].as_str().ok_or("key is missing")?;
                provider.play(key, Play::try_from(&wish["play"])?);
            }
        }
        "/_mock/phase" if wish["play"].is_null() => provider.phase(None),
        "/_mock/phase" => {
            let play = Play::try_from(&wish["play"])?;
            match (wish["from"].as_u64(), wish["until"].as_u64()) {
                (None, None) => provider.phase(Some(play)),
                (from, until) => {
                    provider.phase_between(from.unwrap_or(0), until.unwrap_or(u64::MAX), play);
                }
            }
        }
        "/_mock/reset" => provider.reset(),
        other => return Err(format!("POST {other} is no control path")),
    }
    Ok(json!({"ok": true}))
}
