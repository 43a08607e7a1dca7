//! `ALERT_WEBHOOK`: somebody is told before the pool is empty, and when it is well again.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::rfc3339;
use super::series::Forecast;
use crate::keys::Counts;
use crate::upstream::client::Client;
use crate::upstream::connect::{Connector, chain};
use crate::upstream::{BaseUrl, Upstreams};

/// Below this share of the pool, or with so little time left, somebody is told.
const LOW_SHARE: f64 = 0.1;
const LOW_TIME: Duration = Duration::from_secs(60 * 60);
/// The pool is well again above this: a pool at the edge must not call every ten seconds.
const WELL_SHARE: f64 = 0.2;
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;

/// Where it is told. Its path is often a secret: it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    origin: BaseUrl,
    target: PathAndQuery,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(****)")
    }
}

impl Webhook {
    /// Reads a URL. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let authority = text.find("://")? + 3;
        let end = text.get(authority..)?.find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
        let origin = BaseUrl::parse(text.get(..end)?).ok()?;
        let rest = text.get(end..)?.split('#').next()?;
        let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        Some(Self { origin, target: target.parse().ok()? })
    }
}

/// How the pool is, as far as anybody has to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    Low,
    Empty,
}

impl State {
    fn next(self, forecast: &Forecast, available: usize) -> Self {
        let soon = forecast.exhausted_in.is_some_and(|left| left < LOW_TIME);
        match self {
            _ if available == 0 => Self::Empty,
            Self::Well if forecast.headroom < LOW_SHARE || soon => Self::Low,
            Self::Low | Self::Empty if forecast.headroom < WELL_SHARE || soon => Self::Low,
            Self::Well | Self::Low | Self::Empty => Self::Well,
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Well => "pool_well",
            Self::Low => "pool_low",
            Self::Empty => "pool_empty",
        }
    }
}

/// Watches the pool's forecast, and calls when it turns.
pub struct Alert {
    hook: Rc<Hook>,
    state: State,
}

/// Whom to call.
struct Hook {
    /// Only its address is used: it is no upstream of anybody's.
    origin: Upstreams,
    target: PathAndQuery,
    connector: Connector,
}

impl Alert {
    /// All is well so far.
    pub fn new(webhook: Webhook, connector: Connector) -> Self {
        let Webhook { origin, target } = webhook;
        let hook = Hook { origin: Upstreams::new(vec![origin]), target, connector };
        Self { hook: Rc::new(hook), state: State::Well }
    }

    /// Looks at the forecast, and calls if it has turned: in a task of the local runtime, so that nobody waits for it.
    pub fn look(&mut self, forecast: &Forecast, keys: Counts) {
        let state = self.state.next(forecast, keys.available);
        if state == self.state {
            return;
        }
        self.state = state;
        let body = told(state, forecast, keys).to_string();
        tracing::warn!(
            event = state.event(),
            available = keys.available,
            "the pool has turned: calling ALERT_WEBHOOK"
        );
        let hook = Rc::clone(&self.hook);
        spawn_local(async move { hook.tell(body).await });
    }
}

impl Hook {
    async fn tell(&self, body: String) {
        let mut problem = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                sleep(Duration::from_secs(u64::from(attempt))).await;
            }
            match timeout(PATIENCE, self.call(body.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => problem = error,
                Err(_elapsed) => "no answer in time".clone_into(&mut problem),
            }
        }
        tracing::error!(problem, "ALERT_WEBHOOK could not be told");
    }

    async fn call(&self, body: String) -> Result<(), String> {
        let hook = self.origin.all().first().ok_or("there is no webhook")?;
        let client: Rc<Client<Full<Bytes>>> = Rc::new(Client::new(self.connector.clone(), 1, PATIENCE));
        let connection = client.fresh_connection(hook, PATIENCE).await.map_err(|error| chain(&error))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(self.target.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("gpt-load/", env!("CARGO_PKG_VERSION"))));
        let (head, body) = request.into_parts();
        let answer =
            connection.send(&client, &hook.url, &head, body, Instant::now() + PATIENCE, &mut drop).await;
        let answer = answer.map_err(|error| chain(&error.fault))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

/// What is told: for programs, and as `text` and `content`, which Slack and Discord show.
fn told(state: State, forecast: &Forecast, keys: Counts) -> Value {
    let total = keys.available + keys.cooldown + keys.blacklisted;
    let left = forecast.exhausted_in.map(|left| left.as_secs());
    let text = match (state, left) {
        (State::Well, _) => {
            format!("gpt-load: the key pool is well again: {} of {total} keys work.", keys.available)
        }
        (State::Empty, _) => format!("gpt-load: no key works any more (of {total})."),
        (State::Low, Some(left)) => format!(
            "gpt-load: the key pool runs low: {} of {total} keys work; at this rate none in {} min.",
            keys.available,
            left / 60
        ),
        (State::Low, None) => {
            format!("gpt-load: the key pool runs low: {} of {total} keys work.", keys.available)
        }
    };
    let lost: serde_json::Map<String, Value> =
        forecast.lost.iter().map(|(cause, count)| ((*cause).to_owned(), (*count).into())).collect();
    json!({
        "event": state.event(),
        "text": text,
        "content": text,
        "keys": {
            "total": total, "available": keys.available, "cooldown": keys.cooldown, "blacklisted": keys.blacklisted,
        },
        "headroom": forecast.headroom,
        "exhausted_in_s": left,
        "lost_within_the_hour": lost,
        "timestamp": rfc3339(SystemTime::now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(headroom: f64, exhausted_in: Option<u64>) -> Forecast {
        let exhausted_in = exhausted_in.map(Duration::from_secs);
        Forecast { headroom, exhausted_in, lost: vec![("key_invalid", 3)], over: Duration::from_secs(600) }
    }

    #[test]
    fn one_call_each_way_and_none_at_the_edge() {
        let mut state = State::Well;
        for (headroom, left, available, want) in [
            (0.5, None, 50, State::Well),
            (0.5, Some(7200), 50, State::Well),
            (0.5, Some(600), 50, State::Low),
            (0.15, None, 15, State::Low),
            (0.09, None, 9, State::Low),
            (0.0, None, 0, State::Empty),
            (0.01, None, 1, State::Low),
            (0.25, None, 25, State::Well),
            (0.15, None, 15, State::Well),
            (0.09, None, 9, State::Low),
        ] {
            state = state.next(&forecast(headroom, left), available);
            assert_eq!(state, want, "{headroom} {left:?}");
        }
    }

    #[test]
    fn a_webhooks_path_is_kept_as_written_and_never_shown() {
        for (url, want) in [
            ("https://hooks.example/services/T0/B0/x", Some("/services/T0/B0/x")),
            ("http://127.0.0.1:9/a/?k=v#part", Some("/a/?k=v")),
            ("https://hooks.example", Some("/")),
            ("https://hooks.example?x=1", Some("/?x=1")),
            ("ftp://hooks.example/", None),
            ("hooks.example", None),
        ] {
            assert_eq!(Webhook::parse(url).map(|hook| hook.target.to_string()).as_deref(), want, "{url}");
        }
        assert_eq!(format!("{:?}", Webhook::parse("https://h.example/secret").unwrap()), "Webhook(****)");
    }
}
