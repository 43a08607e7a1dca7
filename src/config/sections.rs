//! How each part of the configuration is read from its variables: values and what they say about each other.

use std::num::NonZeroUsize;

use super::reader::Reader;
use super::values;
use super::variables::{
    ADMIN_KEY, ALERT_WEBHOOK, ALL_PROXY, ALLOW_CREDENTIALS, ALLOWED_HEADERS, ALLOWED_METHODS,
    ALLOWED_ORIGINS, AUTH_KEY, BLACKLIST_THRESHOLD, ENABLE_CORS, HOST, HTTP_PROXY, HTTPS_PROXY,
    IDLE_CONN_TIMEOUT, KEY_COOLDOWN, KEY_COOLDOWN_MAX, KEY_REVALIDATE_INTERVAL, LOG_ENABLE_FILE,
    LOG_ENABLE_REQUEST, LOG_FILE_MAX_FILES, LOG_FILE_PATH, LOG_FORMAT, LOG_LEVEL, LOG_SLOW_REQUEST,
    MAX_CONCURRENT_REQUESTS, MAX_CONNECTIONS, MAX_KEY_WAIT, MAX_REPLAY_BODY, MAX_REQUEST_BODY, MAX_RETRIES,
    NO_PROXY, PORT, REQUEST_TIMEOUT, RESPONSE_TIMEOUT, RESPONSE_TRACE, REUSE_PORT,
    SERVER_GRACEFUL_SHUTDOWN_TIMEOUT, SERVER_IDLE_TIMEOUT, SERVER_READ_TIMEOUT, SERVER_WRITE_TIMEOUT,
    TLS_CERT_FILE, TLS_KEY_FILE, USAGE, WORKERS,
};
use super::{
    Allowed, Auth, Cors, Format, Insight, Level, Limits, Listen, Log, Policy, Timeouts, TlsFiles, Variable,
};
use crate::upstream::outbound::{Exception, Outbound, OutboundProxy};

/// Descriptors for logs, files, timers, signals and listeners.
const OWN_DESCRIPTORS: usize = 64;

impl Listen {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let host = reader.read(&HOST, values::host);
        let port = reader.read(&PORT, values::whole(0..=u16::MAX));
        let shared = reader.read(&REUSE_PORT, values::flag);
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
        Some(Self { host: host?, port: port?, shared: shared?, tls, workers })
    }
}

impl Auth {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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

pub(super) fn outbound(reader: &mut Reader<'_>) -> Option<Outbound> {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let usage = reader.read(&USAGE, values::flag);
        let response_trace = reader.read(&RESPONSE_TRACE, values::flag);
        let alert_webhook = reader.read_optional(&ALERT_WEBHOOK, values::webhook);
        Some(Self { usage: usage?, response_trace: response_trace?, alert_webhook: alert_webhook? })
    }
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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
