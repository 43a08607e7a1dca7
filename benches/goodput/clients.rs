//! The clients: they ask at random times (Poisson), whatever the answers are, and never twice.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

/// What a request costs, evenly spread.
const TOKENS: std::ops::RangeInclusive<u32> = 20..=DEAREST;
pub(super) const DEAREST: u32 = 80;
pub(super) const MEAN_TOKENS: f64 = 50.0;
/// How long the provider works on one.
pub(super) const WORK: Duration = Duration::from_millis(100);

const IDLE: Duration = Duration::from_secs(30);

/// When it is asked how much.
pub(super) struct Demand {
    /// Requests a second, and for how long.
    pub(super) phases: Vec<(f64, Duration)>,
    pub(super) seed: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Served,
    /// Refused because the keys are at their limits.
    Limited,
    /// Any other error.
    Failed,
}

/// A request that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) at: Duration,
    pub(super) tokens: u32,
    pub(super) kind: Kind,
    pub(super) took: Duration,
    pub(super) end: Duration,
}

type Sender = Client<HttpConnector, Full<Bytes>>;

/// Makes all requests, in the order of their times; calls `mark` at one moment.
pub(super) fn run(
    address: SocketAddr,
    demand: &Demand,
    (began, from): (Instant, Duration),
    mark: impl FnOnce(),
) -> Vec<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Before gpt-load closes them, lest a request meet the end of its connection.
    let client: Sender = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build_http();
    let uri: http::Uri = format!("http://{address}/v1/chat/completions").parse().unwrap();
    let mut random = fastrand::Rng::with_seed(demand.seed);
    let done = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let mut mark = Some(mark);
        let (mut due, mut end) = (Duration::ZERO, Duration::ZERO);
        let mut running = Vec::new();
        for (rate, lasts) in &demand.phases {
            end += *lasts;
            loop {
                let pause = Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate);
                if due + pause > end {
                    due = end;
                    break;
                }
                due += pause;
                if due >= from
                    && let Some(mark) = mark.take()
                {
                    mark();
                }
                sleep_until((began + due).into()).await;
                let (client, uri, done) = (client.clone(), uri.clone(), Arc::clone(&done));
                let tokens = random.u32(TOKENS);
                let at = began.elapsed();
                running.push(tokio::spawn(async move {
                    let asked = Instant::now();
                    let kind = ask(&client, uri, tokens).await;
                    let (took, end) = (asked.elapsed(), began.elapsed());
                    done.lock().unwrap().push(Done { at, tokens, kind, took, end });
                }));
            }
        }
        for request in running {
            request.await.unwrap();
        }
        sleep(WORK).await;
    });
    let mut done = Arc::try_unwrap(done).unwrap().into_inner().unwrap();
    done.sort_by_key(|done| done.at);
    done
}

async fn ask(client: &Sender, uri: http::Uri, tokens: u32) -> Kind {
    let body = json!({
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": tokens,
        "mock": {"delay": format!("{}ms", WORK.as_millis())},
    });
    let request = Request::post(uri)
        .header("content-type", "application/json")
        .header("authorization", "Bearer of-a-client")
        .body(Full::from(body.to_string()))
        .unwrap();
    let response = match client.request(request).await {
        Ok(response) => response,
        Err(error) => return failed(&format!("{error:?}")),
    };
    let status = response.status().as_u16();
    let body = match response.into_body().collect().await {
        Ok(body) => body,
        Err(error) => return failed(&format!("{status}: {error:?}")),
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    match (status, body["error"]["code"].as_str()) {
        (200, _) if body["choices"].is_array() => Kind::Served,
        (429, Some("rate_limit_exceeded")) | (503, Some("no_available_keys")) => Kind::Limited,
        _ => failed(&format!("{status}: {body}")),
    }
}

fn failed(why: &str) -> Kind {
    println!("failed: {why}");
    Kind::Failed
}
