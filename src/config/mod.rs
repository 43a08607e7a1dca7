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
use crate::upstream::outbound::{Exception, Outbound, OutboundProxy};
use environment::Environment;
use reader::Reader;
use variables::{
    ADMIN_KEY, ALERT_WEBHOOK, ALL_PROXY, ALLOW_CREDENTIALS, ALLOWED_HEADERS, ALLOWED_METHODS,
    ALLOWED_ORIGINS, AUTH_KEY, BLACKLIST_THRESHOLD, ENABLE_CORS, ENABLE_GZIP, HOST, HTTP_PROXY, HTTPS_PROXY,
    IDLE_CONN_TIMEOUT, KEY_COOLDOWN, KEY_COOLDOWN_MAX, KEY_REVALIDATE_INTERVAL, KEYS_FILE, LOG_ENABLE_FILE,
    LOG_ENABLE_REQUEST, LOG_FILE_MAX_FILES, LOG_FILE_PATH, LOG_FORMAT, LOG_LEVEL, LOG_SLOW_REQUEST,
    MAX_CONCURRENT_REQUESTS, MAX_CONNECTIONS, MAX_KEY_WAIT, MAX_REPLAY_BODY, MAX_REQUEST_BODY, MAX_RETRIES,
    NO_PROXY, OPENAI_BASE_URL, PORT, REQUEST_TIMEOUT, RESPONSE_TIMEOUT, RESPONSE_TRACE,
    SERVER_GRACEFUL_SHUTDOWN_TIMEOUT, SERVER_IDLE_TIMEOUT, SERVER_READ_TIMEOUT, SERVER_WRITE_TIMEOUT,
    START_INDEX, STATE_FILE, TLS_CERT_FILE, TLS_KEY_FILE, TRUST_FORWARDED, UPSTREAM_CA_FILE, USAGE, WORKERS,
};

/// Descriptors for logs, files, timers, signals and listeners.
const OWN_DESCRIPTORS: usize = 64;

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
        let outbound = read_outbound(reader);
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

impl Listen {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let host = reader.read(&HOST, values::host);
        let port = reader.read(&PORT, values::whole(0..=u16::MAX));
        let workers = reader.read_optional(&WORKERS, values::whole(1..=1024));
        let cert = reader.read_optional(&TLS_CERT_FILE, values::readable_file);
        let key = reader.read_optional(&TLS_KEY_FILE, values::readable_file);
        let workers = workers?.and_then(NonZeroUsize::new).unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            reader.show(&WORKERS, cores.to_string());
            cores
        });
        let tls = match (cert?, key?) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                reader.refuse(&TLS_KEY_FILE, "is not set, but TLS_CERT_FILE is: set both or neither");
                None
            }
            (None, Some(_)) => {
                reader.refuse(&TLS_CERT_FILE, "is not set, but TLS_KEY_FILE is: set both or neither");
                None
            }
        };
        Some(Self { host: host?, port: port?, tls, workers })
    }
}

impl Auth {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let tokens = reader.read_optional(&AUTH_KEY, values::tokens);
        let admin = reader.read_optional(&ADMIN_KEY, values::tokens);
        for (variable, tokens) in [(&AUTH_KEY, &tokens), (&ADMIN_KEY, &admin)] {
            if let Some(Some(tokens)) = tokens
                && tokens.len() > 1
            {
                reader.show(variable, format!("**** ({} tokens)", tokens.len()));
            }
        }
        Some(Self { tokens: tokens?.unwrap_or_default(), admin: admin?.unwrap_or_default() })
    }
}

fn read_outbound(reader: &mut Reader<'_>) -> Option<Outbound> {
    let https = read_proxy(reader, &HTTPS_PROXY);
    let http = read_proxy(reader, &HTTP_PROXY);
    let all = read_proxy(reader, &ALL_PROXY);
    let exceptions = |text: &str| Ok(values::items(text).map(Exception::parse).collect());
    let exceptions = reader.read_optional(&NO_PROXY, exceptions);
    let all = all?;
    Some(Outbound::new(https?.or_else(|| all.clone()), http?.or(all), exceptions?.unwrap_or_default()))
}

#[expect(clippy::option_option, reason = "wrong, not set, and set are three things")]
fn read_proxy(reader: &mut Reader<'_>, variable: &'static Variable) -> Option<Option<OutboundProxy>> {
    let proxy = reader.read_optional(variable, values::proxy)?;
    if let Some(proxy) = &proxy {
        reader.show(variable, proxy.to_string());
    }
    Some(proxy)
}

impl Policy {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let blacklist_threshold = reader.read(&BLACKLIST_THRESHOLD, values::whole(1..=1_000_000));
        let max_retries = reader.read(&MAX_RETRIES, values::whole(0..=1000));
        let key_cooldown = reader.read(&KEY_COOLDOWN, values::cooldown);
        let key_cooldown_max = reader.read(&KEY_COOLDOWN_MAX, values::cooldown);
        let interval = reader.read(&KEY_REVALIDATE_INTERVAL, values::seconds_or_zero);
        let max_key_wait = reader.read(&MAX_KEY_WAIT, values::seconds_or_zero);
        let (key_cooldown, key_cooldown_max) = (key_cooldown?, key_cooldown_max?);
        if key_cooldown_max < key_cooldown {
            let (longest, first) = (key_cooldown_max.as_secs(), key_cooldown.as_secs());
            let reason =
                format!("{longest} is less than KEY_COOLDOWN ({first}): it has to be as long or longer");
            reader.refuse(&KEY_COOLDOWN_MAX, &reason);
        }
        Some(Self {
            blacklist_threshold: blacklist_threshold?,
            max_retries: max_retries?,
            key_cooldown,
            key_cooldown_max,
            key_revalidate_interval: Some(interval?).filter(|interval| !interval.is_zero()),
            max_key_wait: max_key_wait?,
        })
    }
}

impl Limits {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_concurrent_requests = reader.read(&MAX_CONCURRENT_REQUESTS, values::whole(1..=1_000_000));
        let max_connections = reader.read_optional(&MAX_CONNECTIONS, values::whole(1..=1_000_000));
        let max_replay_body = reader.read(&MAX_REPLAY_BODY, values::size);
        let max_request_body = reader.read(&MAX_REQUEST_BODY, values::size);
        let max_concurrent_requests = max_concurrent_requests?;
        let max_connections = max_connections?.unwrap_or_else(|| {
            let limit = connections_within(crate::server::descriptors(), max_concurrent_requests);
            reader.show(&MAX_CONNECTIONS, limit.to_string());
            limit
        });
        Some(Self {
            max_concurrent_requests,
            max_connections,
            max_replay_body: max_replay_body?,
            max_request_body: max_request_body?,
        })
    }
}

/// How many connections leave descriptors enough for the upstreams' side of what runs, and for the process's own files.
fn connections_within(descriptors: usize, max_concurrent_requests: u32) -> u32 {
    let of_upstreams = usize::try_from(max_concurrent_requests).unwrap_or(usize::MAX).min(descriptors / 2);
    let rest = descriptors.saturating_sub(of_upstreams).saturating_sub(OWN_DESCRIPTORS);
    u32::try_from(rest).unwrap_or(u32::MAX).clamp(1, 1_000_000)
}

impl Timeouts {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let server_read = reader.read(&SERVER_READ_TIMEOUT, values::seconds);
        let server_write = reader.read(&SERVER_WRITE_TIMEOUT, values::seconds);
        let server_idle = reader.read(&SERVER_IDLE_TIMEOUT, values::seconds);
        let graceful_shutdown = reader.read(&SERVER_GRACEFUL_SHUTDOWN_TIMEOUT, values::seconds);
        let request = reader.read(&REQUEST_TIMEOUT, values::seconds);
        let response = reader.read(&RESPONSE_TIMEOUT, values::seconds);
        let idle_conn = reader.read(&IDLE_CONN_TIMEOUT, values::seconds);
        Some(Self {
            server_read: server_read?,
            server_write: server_write?,
            server_idle: server_idle?,
            graceful_shutdown: graceful_shutdown?,
            request: request?,
            response: response?,
            idle_conn: idle_conn?,
        })
    }
}

impl Cors {
    #[expect(clippy::option_option, reason = "wrong, switched off, and on are three things")]
    fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let enabled = reader.read(&ENABLE_CORS, values::flag);
        let origins = reader.read(&ALLOWED_ORIGINS, values::origins);
        let methods = reader.read(&ALLOWED_METHODS, values::methods);
        let headers = reader.read(&ALLOWED_HEADERS, values::headers);
        let credentials = reader.read(&ALLOW_CREDENTIALS, values::flag);
        let (enabled, origins, credentials) = (enabled?, origins?, credentials?);
        if enabled && credentials && origins == Allowed::Any {
            reader.refuse(
                &ALLOWED_ORIGINS,
                "* together with ALLOW_CREDENTIALS=true would let every website act for its visitors: \
                 list the origins, or set ALLOW_CREDENTIALS=false",
            );
        }
        let cors = Self { origins, methods: methods?, headers: headers?, credentials };
        Some(enabled.then_some(cors))
    }
}

impl Insight {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let usage = reader.read(&USAGE, values::flag);
        let response_trace = reader.read(&RESPONSE_TRACE, values::flag);
        let alert_webhook = reader.read_optional(&ALERT_WEBHOOK, values::webhook);
        Some(Self { usage: usage?, response_trace: response_trace?, alert_webhook: alert_webhook? })
    }
}

impl Log {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let levels =
            [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];
        let level = reader.read(&LOG_LEVEL, values::one_of(&levels));
        let format =
            reader.read(&LOG_FORMAT, values::one_of(&[("text", Format::Text), ("json", Format::Json)]));
        let request = reader.read(&LOG_ENABLE_REQUEST, values::flag);
        let enable_file = reader.read(&LOG_ENABLE_FILE, values::flag);
        let path = reader.read(&LOG_FILE_PATH, values::path);
        let max_files = reader.read(&LOG_FILE_MAX_FILES, values::whole(0..=100_000));
        let slow = reader.read(&LOG_SLOW_REQUEST, values::seconds_or_zero);
        let file = enable_file?.then_some(path?);
        Some(Self {
            level: level?,
            format: format?,
            request: request?,
            file,
            max_files: Some(max_files?).filter(|files| *files > 0),
            slow: Some(slow?).filter(|slow| !slow.is_zero()),
        })
    }
}
