//! `gpt-load` without a command: puts the house together, serves, drains (spec §12).

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::banner::Banner;
use crate::config::{Config, Format, Level, Log};
use crate::group::{self, Group};
use crate::keys::file::{self, KeyFileError, KeyTable};
use crate::keys::journal::{Journal, JournalError};
use crate::keys::watch::Version;
use crate::keys::{self, CooldownPolicy, Due, KeyPool, PoolPolicy, States, clock};
use crate::monitor::alert::Alert;
use crate::monitor::{Monitor, series};
use crate::proxy::admission::Admission;
use crate::proxy::credentials::Tokens;
use crate::proxy::revalidate::{Intervals, Revalidation};
use crate::proxy::{BodyLimits, Common, Times};
use crate::server::cors::Cors;
use crate::server::tls::{Acceptor, TlsError, read_certificates};
use crate::server::{self, BindError, Blueprint, Connections, Listeners, Phase, Sharing, raise_descriptors};
use crate::telemetry::counters::Counters;
use crate::telemetry::failures::Failures;
use crate::telemetry::models::Models;
use crate::telemetry::{LogError, LogOptions, Logging};
use crate::upstream::Upstreams;
use crate::upstream::connect::{self, Connector, Versions};
use crate::wire::ClientTimes;

/// How long the look at each upstream at start may take.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The keys file can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The upstreams' TLS can't be set up.
    #[error("TLS to upstreams can't be set up: {0}")]
    UpstreamTls(#[from] rustls::Error),
    /// The log can't be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The port can't be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The journal can't be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system gives no threads or signals.
    #[error("the system refuses what gpt-load needs to run: {0}")]
    System(#[from] io::Error),
}

/// What is wrong with the files of certificates, which a configuration only names: for `gpt-load check`.
pub fn certificate_problems(config: &Config) -> impl Iterator<Item = TlsError> {
    [front_tls(config).err(), trusted(config).err()].into_iter().flatten()
}

/// What is wrong with the places of the files that are written, as far as can be told without writing: for `gpt-load
/// check`.
pub fn written_problems(config: &Config) -> impl Iterator<Item = String> {
    let written = [("STATE_FILE", &config.state_file), ("LOG_FILE_PATH", &config.log.file)];
    let written = written.into_iter().filter_map(|(variable, path)| Some((variable, path.as_deref()?)));
    written.filter_map(|(variable, path)| {
        // The file, or what it will be made in: missing folders of a log are made too.
        let there = path.ancestors().skip(usize::from(!path.exists())).find(|place| place.exists());
        let place = there.unwrap_or(Path::new("."));
        let problem = if path.is_dir() {
            io::Error::from(io::ErrorKind::IsADirectory)
        } else if variable == "STATE_FILE" && path.exists() && !path.is_file() {
            io::Error::other("it is no regular file")
        } else if place != path && !place.is_dir() {
            io::Error::from(io::ErrorKind::NotADirectory)
        } else {
            rustix::fs::access(place, rustix::fs::Access::WRITE_OK).err()?.into()
        };
        Some(format!("{variable}: {}: {problem}", path.display()))
    })
}

fn front_tls(config: &Config) -> Result<Option<Acceptor>, TlsError> {
    config.listen.tls.as_ref().map(|tls| Acceptor::read(&tls.cert, &tls.key)).transpose()
}

fn trusted(config: &Config) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = config.upstream_ca.as_ref().map(|path| read_certificates("UPSTREAM_CA_FILE", path));
    read.transpose().map(Option::unwrap_or_default)
}

/// Serves until a signal ends it.
///
/// # Errors
/// If anything is missing to start; then nothing was started.
pub fn serve(config: &Config, warnings: &[String]) -> Result<ExitCode, StartError> {
    let version = Version::of(&config.keys_file);
    let file = file::read(&config.keys_file)?;
    let tls = front_tls(config)?;
    let certificate_read = tls.as_ref().map(|tls| tls.files().map(Version::of));
    let trusted = connect::tls_config(trusted(config)?)?;
    let connector = Connector::new(trusted, Arc::new(config.outbound.clone()));
    let workers = config.listen.workers.get();
    let listeners = if let Some(listeners) = Listeners::inherited(workers)? {
        listeners
    } else {
        let sharing = if config.listen.shared { Sharing::WithNext } else { Sharing::WithNobody };
        Listeners::bind(&config.listen.host, config.listen.port, sharing, workers)?
    };
    if config.log.format == Format::Text && io::stdout().is_terminal() {
        // Whoever does not want to read it is no reason not to start.
        let _ = writeln!(io::stdout(), "{}", Banner::new(config, &file, listeners.address()));
    }
    let logging = Logging::start(&log_options(&config.log))?;
    raise_descriptors();
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            "panic: a defect in gpt-load, please report it"
        );
    }));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    group::warn(&file);
    let keys = file.keys.len();
    let (group, due) = group_of(config, file.keys)?;
    let (phase, heard) = watch::channel(Phase::default());
    let address = listeners.address();
    let draining = Arc::new(AtomicBool::new(false));
    let blueprint = blueprint(config, Arc::clone(&group), connector, tls.clone(), heard, &draining, &logging);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let signals = runtime.block_on(async { Signals::take() })?;
    let workers = server::start(listeners, &blueprint)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %address,
        tls = config.listen.tls.is_some(),
        workers = workers.len(),
        keys,
        upstreams = config.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "gpt-load is serving"
    );
    if config.auth.tokens.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(address = %address, "anyone who can reach this address can use your keys: set AUTH_KEY");
    }
    let tls = tls.zip(certificate_read);
    let revalidation = Revalidation::new(
        Arc::clone(&group),
        &blueprint.connector,
        Arc::clone(&blueprint.monitor.checks),
        Intervals::of(config.policy.key_revalidate_interval),
        config.timeouts.response,
    );
    let alert = config.insight.alert_webhook.clone();
    let alert = alert.map(|webhook| Alert::new(webhook, blueprint.connector.clone()));
    let Blueprint { connector, monitor, .. } = blueprint;
    let background = Background { group, connector, monitor, tls, logging, phase, draining, revalidation };
    Ok(runtime.block_on(background.run(
        due,
        version,
        alert,
        signals,
        workers,
        config.timeouts.graceful_shutdown,
    )))
}

fn group_of(
    config: &Config,
    keys: KeyTable,
) -> Result<(Arc<Group>, mpsc::UnboundedReceiver<Due>), JournalError> {
    let policy = PoolPolicy {
        cooldown: CooldownPolicy {
            threshold: config.policy.blacklist_threshold,
            first: config.policy.key_cooldown,
            longest: config.policy.key_cooldown_max,
        },
        probe_interval: config.policy.key_revalidate_interval,
    };
    let start = usize::try_from(config.start_index).unwrap_or(usize::MAX);
    let (pool, due) = KeyPool::new(keys, policy, start, config.state_file.is_some());
    let upstreams = config.upstreams.iter().map(ToString::to_string).collect();
    let journal =
        config.state_file.as_deref().map(|path| Journal::open(path, upstreams, &pool)).transpose()?;
    let group = Group {
        keys: pool,
        upstreams: Upstreams::new(config.upstreams.clone()),
        max_retries: config.policy.max_retries,
        max_key_wait: config.policy.max_key_wait,
        keys_file: config.keys_file.clone(),
        journal,
        reloading: Mutex::default(),
    };
    Ok((Arc::new(group), due))
}

fn blueprint(
    config: &Config,
    group: Arc<Group>,
    connector: Connector,
    tls: Option<Acceptor>,
    phase: watch::Receiver<Phase>,
    draining: &Arc<AtomicBool>,
    logging: &Logging,
) -> Blueprint {
    let workers = config.listen.workers.get();
    let counters = Arc::new(Counters::new(workers, config.upstreams.len()));
    let failures = Arc::new(Failures::default());
    let models = Arc::new(Models::new(workers));
    let admission = Arc::new(Admission::new(
        config.limits.max_concurrent_requests as usize,
        config.limits.max_replay_body,
    ));
    let admin = if config.auth.admin.is_empty() { &config.auth.tokens } else { &config.auth.admin };
    let monitor = Monitor {
        group: Arc::clone(&group),
        counters: Arc::clone(&counters),
        failures: Arc::clone(&failures),
        models: Arc::clone(&models),
        series: Arc::default(),
        admission: Arc::clone(&admission),
        tokens: Tokens::new(admin.clone()),
        draining: Arc::clone(draining),
        checks: Arc::default(),
        intervals: Intervals::of(config.policy.key_revalidate_interval),
        lost_log_lines: logging.lost(),
        began: Instant::now(),
        workers,
    };
    let common = Common {
        group,
        tokens: Tokens::new(config.auth.tokens.clone()),
        admission,
        counters,
        failures,
        models,
        usage: config.insight.usage,
        response_trace: config.insight.response_trace,
        body_limits: BodyLimits {
            replay: config.limits.max_replay_body,
            total: config.limits.max_request_body,
            read_timeout: config.timeouts.server_read,
        },
        times: Times {
            response: config.timeouts.response,
            request: config.timeouts.request,
            silence: config.timeouts.server_write,
            idle: config.timeouts.idle_conn,
        },
        request_log: config.log.request.then(|| logging.requests()),
    };
    Blueprint {
        common,
        connector,
        monitor,
        cors: config
            .cors
            .clone()
            .map(|cors| Arc::new(Cors::new(cors.origins, &cors.methods, &cors.headers, cors.credentials))),
        gzip: config.gzip,
        times: ClientTimes {
            read: config.timeouts.server_read,
            write: config.timeouts.server_write,
            idle: config.timeouts.server_idle,
        },
        tls,
        connections: Arc::new(Connections::new(config.limits.max_connections as usize)),
        trust_forwarded: config.trust_forwarded,
        phase,
    }
}

fn log_options(log: &Log) -> LogOptions {
    let level = match log.level {
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    };
    LogOptions {
        level,
        json: log.format == Format::Json,
        file: log.file.clone(),
        max_files: log.max_files,
        slow: log.slow,
    }
}

/// The signals that steer the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// What runs beside the workers, on the main thread.
struct Background {
    group: Arc<Group>,
    connector: Connector,
    monitor: Monitor,
    /// TLS in front, with the versions of its files that were read at start.
    tls: Option<(Acceptor, [Option<Version>; 2])>,
    logging: Logging,
    phase: watch::Sender<Phase>,
    draining: Arc<AtomicBool>,
    revalidation: Revalidation,
}

impl Background {
    async fn run(
        self,
        due: mpsc::UnboundedReceiver<Due>,
        version: Option<Version>,
        alert: Option<Alert>,
        signals: Signals,
        workers: Vec<JoinHandle<usize>>,
        grace: Duration,
    ) -> ExitCode {
        let mut workers = spawn_blocking(move || {
            workers.into_iter().map(|worker| worker.join().unwrap_or(1)).sum::<usize>()
        });
        let this = &self;
        let reload = async || {
            let group = Arc::clone(&this.group);
            // Reading a million keys must not hold up the clock.
            drop(spawn_blocking(move || group.reload(States::Keep)).await);
        };
        let Signals { mut terminate, mut interrupt, mut hangup } = signals;
        let hang_ups = async {
            while hangup.recv().await.is_some() {
                this.logging.reopen();
                this.reload_certificate().await;
                reload().await;
            }
        };
        self.look_at_upstreams();
        let housekeeping = async {
            tokio::join!(
                clock::run(&this.group.keys, due),
                keys::watch::run(&this.group.keys_file, version, &reload),
                group::keep_journal(Arc::clone(&this.group)),
                this.revalidation.run(),
                this.sample(alert),
                this.watch_certificate(),
                hang_ups,
            );
        };
        let mut housekeeping = std::pin::pin!(housekeeping);
        loop {
            tokio::select! {
                () = &mut housekeeping => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = &mut workers => {
                    tracing::error!("the workers ended unasked");
                    return ExitCode::FAILURE;
                }
            }
        }
        tracing::info!(
            grace_s = grace.as_secs(),
            "draining: no new connections; a second signal ends what runs"
        );
        self.draining.store(true, Ordering::Relaxed);
        if let Some(journal) = &self.group.journal {
            journal.leave();
        }
        self.phase.send_replace(Phase::Draining);
        let cut = tokio::select! {
            cut = &mut workers => cut,
            () = tokio::time::sleep(grace) => self.cut(workers).await,
            _ = terminate.recv() => self.cut(workers).await,
            _ = interrupt.recv() => self.cut(workers).await,
            () = &mut housekeeping => Ok(0),
        };
        self.group.write_journal();
        match cut {
            Ok(0) => {
                tracing::info!("drained");
                ExitCode::SUCCESS
            }
            cut => {
                tracing::warn!(connections = cut.unwrap_or_default(), "cut what was still running");
                ExitCode::FAILURE
            }
        }
    }

    /// Takes down how things stand, every few seconds, and calls if the pool runs low. Never returns.
    async fn sample(&self, mut alert: Option<Alert>) {
        let mut ticks = interval(series::STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.monitor.snapshot();
            if let Some(alert) = &mut alert {
                let keys = now.keys;
                alert.look(&self.monitor.series.forecast(now.clone()), keys);
            }
            self.monitor.series.push(now);
        }
    }

    /// Never returns.
    async fn watch_certificate(&self) {
        let Some((tls, [cert_read, key_read])) = &self.tls else { return std::future::pending().await };
        let [cert, key] = tls.files();
        let reload = async || self.reload_certificate().await;
        tokio::join!(keys::watch::run(cert, *cert_read, &reload), keys::watch::run(key, *key_read, &reload));
    }

    async fn reload_certificate(&self) {
        if let Some((tls, _)) = &self.tls {
            let tls = tls.clone();
            drop(spawn_blocking(move || tls.reload()).await);
        }
    }

    async fn cut(&self, workers: tokio::task::JoinHandle<usize>) -> Result<usize, tokio::task::JoinError> {
        self.phase.send_replace(Phase::Cutting);
        workers.await
    }

    /// Says early which upstreams can't be reached. It's no error: they may come back.
    fn look_at_upstreams(&self) {
        for upstream in self.group.upstreams.all() {
            let (url, connector) = (upstream.url.clone(), self.connector.clone());
            spawn_local(async move {
                let connected = connector.connect(&url, Versions::Any, FIRST_LOOK);
                let problem = match timeout(FIRST_LOOK, connected).await {
                    Ok(Ok(_)) => return,
                    Ok(Err(error)) => connect::chain(&error),
                    Err(_elapsed) => format!("no connection within {} s", FIRST_LOOK.as_secs()),
                };
                tracing::warn!(upstream = %url, problem, "can't reach an upstream; requests will try it all the same");
            });
        }
    }
}
