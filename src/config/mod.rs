//! The environment → [`Config`] (spec §2). If there is a `Config`, it is valid: nobody checks its values again. What
//! was wrong is told all at once, a line each, and never with a secret in it.
//!
//! Reads the environment and `.env`, and looks whether certificates can be opened; the keys file is read by
//! [`keys::file`](crate::keys::file).

mod documents;
mod environment;
mod lookalike;
mod reader;
mod report;
mod sections;
mod values;
mod variables;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

pub use crate::monitor::alert::Webhook;
pub use crate::server::cors::Allowed;
pub use documents::{Language, env_example, readme_table};
pub use environment::Origin;
pub use reader::Setting;
pub use report::{Report, report};
pub use variables::{Group, Secrecy, VARIABLES, Variable};

use crate::keys::Secret;
use crate::upstream::BaseUrl;
use crate::upstream::outbound::Outbound;
use environment::Environment;
use reader::Reader;
use variables::{
    ENABLE_GZIP, KEYS_FILE, LOG_FILE_PATH, OPENAI_BASE_URL, START_INDEX, STATE_FILE, TRUST_FORWARDED,
    UPSTREAM_CA_FILE,
};

/// Everything that can be set, as the rooms of the house take it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where we listen.
    pub listen: Listen,
    /// Who may use us.
    pub auth: Auth,
    /// The keys, one a line.
    pub keys_file: PathBuf,
    /// The key to begin with, from 0; the pool wraps it around.
    pub start_index: u64,
    /// Whether what proxies before us say of the client goes on.
    pub trust_forwarded: bool,
    /// Where the blacklist survives a restart.
    pub state_file: Option<PathBuf>,
    /// Where requests go: at least one.
    pub upstreams: Vec<BaseUrl>,
    /// Whom to trust there beside the system's authorities: a PEM file that could be opened.
    pub upstream_ca: Option<PathBuf>,
    /// Through which proxies they go there.
    pub outbound: Outbound,
    /// How keys and attempts are dealt with.
    pub policy: Policy,
    /// How much is taken on.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Whether answers are compressed.
    pub gzip: bool,
    /// What browsers are told; `None`: nothing.
    pub cors: Option<Cors>,
    /// What operators see of us.
    pub insight: Insight,
    /// What is logged.
    pub log: Log,
}

/// What operators see of us, beyond what they ask for.
#[derive(Clone, Debug)]
pub struct Insight {
    /// Whether tokens are counted.
    pub usage: bool,
    /// Whether answers tell whose time they took.
    pub response_trace: bool,
    /// Who is told before the pool is empty.
    pub alert_webhook: Option<Webhook>,
}

/// Where we listen, and with how many threads.
#[derive(Clone, Debug)]
pub struct Listen {
    /// A name or an address, IPv6 without brackets: with the port, what `ToSocketAddrs` takes.
    pub host: String,
    /// 0: any free port.
    pub port: u16,
    /// Whether another gpt-load may listen there too (`REUSE_PORT`).
    pub shared: bool,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Worker threads.
    pub workers: NonZeroUsize,
}

/// The PEM files to serve HTTPS with. They could be opened; what is in them has not been looked at.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may use us. Each token is visible ASCII.
#[derive(Clone, Debug)]
pub struct Auth {
    /// `AUTH_KEY`; empty: not set.
    pub tokens: Vec<Secret>,
    /// `ADMIN_KEY`; empty: not set.
    pub admin: Vec<Secret>,
}

/// How keys and attempts are dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// At least 1.
    pub blacklist_threshold: u32,
    /// May be 0.
    pub max_retries: u32,
    /// At least a second, and no more than the next.
    pub key_cooldown: Duration,
    /// At most a day.
    pub key_cooldown_max: Duration,
    /// `None`: never.
    pub key_revalidate_interval: Option<Duration>,
    /// May be zero: not at all.
    pub max_key_wait: Duration,
}

/// How much is taken on; each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Proxied requests at a time.
    pub max_concurrent_requests: u32,
    /// Clients' connections at a time.
    pub max_connections: u32,
    /// Bytes of a body that is kept for retries.
    pub max_replay_body: u64,
    /// Bytes of a body at all.
    pub max_request_body: u64,
}

/// How long is waited (spec §9); each at least a second.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Reading a request.
    pub server_read: Duration,
    /// An answer without progress.
    pub server_write: Duration,
    /// A client's connection without a request.
    pub server_idle: Duration,
    /// The drain.
    pub graceful_shutdown: Duration,
    /// A request that does not stream, with its retries.
    pub request: Duration,
    /// Connecting, and the head of a streaming answer.
    pub response: Duration,
    /// An upstream's connection without a request.
    pub idle_conn: Duration,
}

/// What browsers are told. `credentials` and [`Allowed::Any`] origins don't come together.
#[derive(Clone, Debug)]
pub struct Cors {
    /// As browsers send them: to be compared byte by byte.
    pub origins: Allowed<HeaderValue>,
    /// In upper case.
    pub methods: Allowed<Method>,
    /// Request headers.
    pub headers: Allowed<HeaderName>,
    /// Whether credentials may be sent.
    pub credentials: bool,
}

/// What is logged, how and where.
#[derive(Clone, Debug)]
pub struct Log {
    /// The least weight that is logged.
    pub level: Level,
    /// What a line looks like.
    pub format: Format,
    /// Whether each request gets its line.
    pub request: bool,
    /// A file to log into besides stdout.
    pub file: Option<PathBuf>,
    /// How many of earlier days are kept; `None`: all.
    pub max_files: Option<u32>,
    /// From when on a request is slow; `None`: never.
    pub slow: Option<Duration>,
}

/// The weight of what is logged, lightest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What happens to each request.
    Debug,
    /// Start, stop, requests.
    Info,
    /// We recovered.
    Warn,
    /// Somebody has to act.
    Error,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A valid configuration, and what people should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is strange, but no reason not to start; a line each.
    pub warnings: Vec<String>,
    /// Every variable with its value and where it came from, in the order of [`VARIABLES`].
    pub settings: Vec<Setting>,
}

/// Why there is no configuration.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigErrors {
    /// Everything that is wrong, a line each: at least one.
    pub problems: Vec<String>,
    /// What is strange besides.
    pub warnings: Vec<String>,
    /// Every variable, also those that are right.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads the configuration from these variables (`std::env::vars_os()`) and the `.env` file in this directory,
    /// if there is one.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        directory: &Path,
    ) -> Result<Loaded, ConfigErrors> {
        let environment = Environment::new(environment, directory);
        let mut warnings = environment.warnings().to_vec();
        warnings.extend(lookalike::warnings(environment.names()));
        let mut reader = Reader::new(&environment);
        let config = Self::read(&mut reader);
        let Reader { mut settings, problems, .. } = reader;
        settings.sort_by_key(|setting| {
            VARIABLES.iter().position(|variable| variable.name == setting.variable.name)
        });
        match config {
            Some(config) if problems.is_empty() => Ok(Loaded { config, warnings, settings }),
            _ => Err(ConfigErrors { problems, warnings, settings }),
        }
    }

    // Here and below everything is read before the first `?`: a wrong value must not hide the next one.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let listen = Listen::read(reader);
        let auth = Auth::read(reader);
        let keys_file = reader.read(&KEYS_FILE, values::path);
        let start_index = reader.read(&START_INDEX, values::whole(0..=u64::MAX));
        let trust_forwarded = reader.read(&TRUST_FORWARDED, values::flag);
        let upstream_ca = reader.read_optional(&UPSTREAM_CA_FILE, values::readable_file);
        let state_file = reader.read_optional(&STATE_FILE, values::path);
        let upstreams = reader.read(&OPENAI_BASE_URL, values::base_urls);
        if let Some(upstreams) = &upstreams {
            let shown: Vec<_> = upstreams.iter().map(BaseUrl::to_string).collect();
            reader.show(&OPENAI_BASE_URL, shown.join(","));
        }
        let outbound = sections::outbound(reader);
        let policy = Policy::read(reader);
        let limits = Limits::read(reader);
        let timeouts = Timeouts::read(reader);
        let gzip = reader.read(&ENABLE_GZIP, values::flag);
        let cors = Cors::read(reader);
        let insight = Insight::read(reader);
        let log = Log::read(reader);
        let config = Self {
            listen: listen?,
            auth: auth?,
            keys_file: keys_file?,
            start_index: start_index?,
            trust_forwarded: trust_forwarded?,
            upstream_ca: upstream_ca?,
            state_file: state_file?,
            upstreams: upstreams?,
            outbound: outbound?,
            policy: policy?,
            limits: limits?,
            timeouts: timeouts?,
            gzip: gzip?,
            cors: cors?,
            insight: insight?,
            log: log?,
        };
        config.refuse_shared_files(reader);
        Some(config)
    }

    /// A file that we write must not be one that we need.
    fn refuse_shared_files(&self, reader: &mut Reader<'_>) {
        let written = [(&STATE_FILE, &self.state_file), (&LOG_FILE_PATH, &self.log.file)];
        for (variable, file) in written.iter().filter_map(|(v, file)| Some((v, file.as_ref()?))) {
            if *file == self.keys_file {
                reader.refuse(variable, "is the same file as KEYS_FILE, and would overwrite the keys");
            }
        }
        if self.state_file.is_some() && self.state_file == self.log.file {
            reader.refuse(&STATE_FILE, "is the same file as LOG_FILE_PATH");
        }
    }
}
