//! A provider of models that runs on loopback and plays every provider and its faults: for gpt-load's tests, demo and
//! benches. A real HTTP server, on threads of its own, so that any test can start it:
//!
//! ```
//! use mock_provider::{Mock, Options, Play};
//!
//! let mock = Mock::start(Options::default());
//! mock.play("sk-good", Play::Valid);
//! mock.play("sk-old", Play::Revoked);
//! assert!(mock.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(mock.key("sk-good").asked, 0);
//! ```
//!
//! **Dialects.** OpenAI's by default; Anthropic's under `/v1/messages` (or with an `anthropic-version` header), Gemini's
//! under `/v1beta/`, Azure's under `/openai/deployments/`. Each wants its own kind of credential and refuses in its own
//! words. Whatever a base URL puts before these paths is skipped. A path that ends with `/echo` gets its body back.
//!
//! **Answers** depend on the request alone ([`text`] gives an answer's text). A request shapes its own by `max_tokens`
//! (and the other dialects' names for it), and by knobs in an `x-mock` header or a `mock` query parameter
//! (`tokens=20;pace=5ms;size=100;delay=1s;encoding=gzip;play=revoked`), or in a `mock` object in its JSON body:
//! how many tokens, how far apart, of how many bytes at least, how long before the head, how encoded, and a play that
//! overrides the key's.
//!
//! **Plays** ([`Play`], [`GRAMMAR`]) say what becomes of a key's requests. A bare list of models tells whether the key
//! is good and costs nothing of its limits; it doesn't count as one of a sequence's requests.
//!
//! **Control paths** under `/_mock/` do for other languages what [`Mock`]'s methods do here.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a fixture of tests: its panic is a failed test"
)]

mod answers;
mod ask;
mod body;
mod bucket;
mod control;
mod dialect;
mod fault;
mod play;
mod provider;
mod seen;
mod serve;
mod tls;
mod upload;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use self::answers::{sha256, text};
pub use self::bucket::Rate;
pub use self::dialect::Dialect;
pub use self::play::{GRAMMAR, Play, ResetAt, Says, Scripted, Step};
pub use self::seen::{Asked, Exchange};
pub use self::tls::{Http, Tls};

use self::ask::{Ask, Shape};
use self::provider::Provider;

/// How a mock provider is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// 0: any free one.
    pub port: u16,
    /// Threads, each with a runtime and an accept loop of its own.
    pub threads: usize,
    /// Speaks TLS.
    pub tls: Option<Tls>,
    /// What keys play that nothing was said about.
    pub unknown: Play,
    /// What keys play.
    pub keys: Vec<(String, Play)>,
    /// The models that there are.
    pub models: Vec<String>,
    /// Tokens of an answer to a request that names no number.
    pub tokens: usize,
    /// Between the events of a stream.
    pub pace: Duration,
    /// Exchanges that are remembered; 0 also spares hashing what comes (for benches).
    pub remember: usize,
}

impl Default for Options {
    fn default() -> Self {
        let models =
            ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5", "gemini-2.5-flash"];
        Self {
            port: 0,
            threads: 1,
            tls: None,
            unknown: Play::Revoked,
            keys: vec![],
            models: models.map(str::to_owned).to_vec(),
            tokens: 8,
            pace: Duration::ZERO,
            remember: 10_000,
        }
    }
}

/// A running mock provider. Dropping it ends it.
#[derive(Debug)]
pub struct Mock {
    provider: Arc<Provider>,
    address: SocketAddr,
    certificate: Option<PathBuf>,
    stop: watch::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Mock {
    /// Starts one.
    ///
    /// # Panics
    /// If it can't be started; [`Mock::try_start`] tells why instead.
    pub fn start(options: Options) -> Self {
        Self::try_start(options).expect("the mock provider starts")
    }

    /// Starts one.
    ///
    /// # Errors
    /// If the port is taken, the certificate can't be written or the system gives no threads.
    pub fn try_start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let acceptor = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let shape = Shape {
            model: "gpt-4o".to_owned(),
            stream: false,
            usage: false,
            tokens: options.tokens,
            size: 0,
            inputs: 1,
            dimensions: 8,
            base64: false,
        };
        let defaults = Ask { shape, pace: options.pace, delay: Duration::ZERO, encoding: None, play: None };
        let provider = Arc::new(Provider::new(defaults, options.models, options.remember, options.unknown));
        for (key, play) in options.keys {
            provider.play(&key, play);
        }
        let (stop, stopped) = watch::channel(());
        let mut threads = Vec::new();
        for _ in 0..options.threads.max(1) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let listener = listener.try_clone()?;
            let (provider, acceptor, stopped) = (Arc::clone(&provider), acceptor.clone(), stopped.clone());
            let thread = std::thread::Builder::new().name("mock-provider".into());
            threads
                .push(thread.spawn(move || runtime.block_on(accept(provider, listener, acceptor, stopped)))?);
        }
        let certificate = options.tls.map(|tls| tls.certificate);
        Ok(Self { provider, address, certificate, stop, threads })
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT`.
    pub fn url(&self) -> String {
        if self.certificate.is_some() {
            format!("https://localhost:{}", self.address.port())
        } else {
            format!("http://{}", self.address)
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The PEM file of the certificate, for `SSL_CERT_FILE`.
    pub fn certificate(&self) -> Option<&std::path::Path> {
        self.certificate.as_deref()
    }

    /// Says what a key plays from now on.
    pub fn play(&self, key: &str, play: Play) {
        self.provider.play(key, play);
    }

    /// Says what keys play that nothing was said about.
    pub fn unknown(&self, play: Play) {
        self.provider.unknown(play);
    }

    /// Says what all keys play until told otherwise: an outage of the provider's own. `None` ends all phases.
    pub fn phase(&self, play: Option<Play>) {
        self.provider.phase(play);
    }

    /// The same from the provider's request `from` (counted from 0) until `until`.
    pub fn phase_between(&self, from: u64, until: u64, play: Play) {
        self.provider.phase_between(from, until, play);
    }

    /// The last exchanges, in the order in which they began.
    pub fn seen(&self) -> Vec<Exchange> {
        self.provider.seen.all()
    }

    /// The last exchanges with one key.
    pub fn seen_from(&self, key: &str) -> Vec<Exchange> {
        self.seen().into_iter().filter(|exchange| exchange.key.as_deref() == Some(key)).collect()
    }

    /// What a key was asked.
    pub fn key(&self, key: &str) -> Asked {
        self.provider.asked().remove(key).unwrap_or_default()
    }

    /// How many requests came in all.
    pub fn requests(&self) -> u64 {
        self.provider.seen.requests.load(Ordering::Relaxed)
    }

    /// How many connections were accepted in all.
    pub fn connections(&self) -> u64 {
        self.provider.seen.connections.load(Ordering::Relaxed)
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        self.provider.seen.open.load(Ordering::Relaxed)
    }

    /// Forgets what was seen, begins all plays anew, ends all phases.
    pub fn reset(&self) {
        self.provider.reset();
    }

    /// Runs for ever.
    pub fn wait(mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.send_replace(());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn accept(
    provider: Arc<Provider>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(wire::serve(Arc::clone(&provider), stream, acceptor.clone()));
            },
        }
    }
}
