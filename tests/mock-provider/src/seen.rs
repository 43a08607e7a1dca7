//! What the mock provider was asked, and what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use serde::Serialize;

/// One request and its answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exchange {
    /// From 0, in the order of the requests' heads.
    pub number: u64,
    /// Which connection, from 1.
    pub connection: u64,
    /// The key, wherever it came.
    pub key: Option<String>,
    /// Where the key came: a header's name, or `key` for the query's.
    pub place: Option<&'static str>,
    /// The method.
    pub method: String,
    /// Path and query, as they came (HTTP/2: without scheme and authority).
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// HTTP/2's `:authority`, else the `Host` header.
    pub host: String,
    /// Names in lower case, values as they came, in order.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub body_length: u64,
    /// SHA-256 of the body.
    pub body_sha256: String,
    /// The body as text, if it is at most 64 KiB.
    pub body: Option<String>,
    /// What came after the body.
    pub trailers: Vec<(String, String)>,
    /// What was answered; none if it never came to that.
    pub status: Option<u16>,
    /// The answer's headers, in order.
    pub answer_headers: Vec<(String, String)>,
    /// When the request's head was there.
    #[serde(skip)]
    pub began: Option<Instant>,
    /// When the answer's head left.
    #[serde(skip)]
    pub answered: Option<Instant>,
    /// The other side went away before it had the whole answer, or broke its request off.
    pub hung_up: bool,
    /// The answer was given to its end (or to where the play ends it).
    pub finished: bool,
}

impl Exchange {
    /// The value of a header, if it came once or more: the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The value of one of the answer's headers, the same way.
    pub fn answer_header(&self, name: &str) -> Option<&str> {
        find(&self.answer_headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        self.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
    }
}

/// What one key was asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asked {
    /// Requests, those for the models list and refused ones too.
    pub asked: u64,
    /// Those for the list of models: how often the key was checked.
    pub models_listed: u64,
    /// Per path.
    pub paths: BTreeMap<String, u64>,
    /// Per status answered.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers that the other side did not wait for.
    pub hung_up: u64,
}

/// The log and the counters of the whole provider.
#[derive(Debug)]
pub(crate) struct Seen {
    remember: usize,
    log: Mutex<VecDeque<Arc<Mutex<Exchange>>>>,
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
}

impl Seen {
    pub(crate) fn new(remember: usize) -> Self {
        Self {
            remember,
            log: Mutex::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    pub(crate) fn remembers(&self) -> bool {
        self.remember > 0
    }

    pub(crate) fn record(&self, exchange: Exchange) -> Arc<Mutex<Exchange>> {
        let exchange = Arc::new(Mutex::new(exchange));
        let mut log = lock(&self.log);
        if log.len() >= self.remember {
            log.pop_front();
        }
        log.push_back(Arc::clone(&exchange));
        exchange
    }

    pub(crate) fn all(&self) -> Vec<Exchange> {
        lock(&self.log).iter().map(|exchange| lock(exchange).clone()).collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.log).clear();
        self.requests.store(0, Ordering::Relaxed);
    }
}

/// Follows one exchange to its end; dropped before that, the other side hung up.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) exchange: Option<Arc<Mutex<Exchange>>>,
    pub(crate) asked: Arc<Mutex<Asked>>,
    done: AtomicBool,
}

impl Watch {
    pub(crate) fn new(exchange: Option<Arc<Mutex<Exchange>>>, asked: Arc<Mutex<Asked>>) -> Self {
        Self { exchange, asked, done: AtomicBool::new(false) }
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = &self.exchange {
            change(&mut lock(exchange));
        }
    }

    pub(crate) fn answered(&self, status: u16, headers: &HeaderMap) {
        *lock(&self.asked).statuses.entry(status).or_default() += 1;
        self.note(|exchange| {
            exchange.status = Some(status);
            exchange.answer_headers = pairs(headers);
            exchange.answered = Some(Instant::now());
        });
    }

    /// Nothing more is to come from our side.
    pub(crate) fn done(&self) {
        if !self.done.swap(true, Ordering::Relaxed) {
            self.note(|exchange| exchange.finished = true);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !*self.done.get_mut() {
            lock(&self.asked).hung_up += 1;
            self.note(|exchange| exchange.hung_up = true);
        }
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(pair).collect()
}

/// A lock that outlives a panic of another thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
