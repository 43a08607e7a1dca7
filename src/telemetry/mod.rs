//! Logs and counters. Knows nothing of requests, keys or HTTP but what it is told.

pub mod counters;
pub mod failures;
mod format;
pub mod histogram;
pub mod models;
mod note;
mod queue;
mod request_line;
mod sampled;
mod sink;
pub mod usage;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::format::EventFormat;
use self::queue::{Closing, Queue};
use self::request_line::Lines;
use self::sampled::Sampled;
use self::sink::{LogFile, Sink};

pub use self::format::Style;
pub use self::note::RequestLine;
pub use self::request_line::RequestLog;

/// What is logged, how and where.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The least weight of our own lines. Other crates' are logged from warnings on.
    pub level: Level,
    /// Whether lines are JSON, or text for people.
    pub json: bool,
    /// A file to log into besides stdout.
    pub file: Option<PathBuf>,
    /// How many of its earlier days are kept; `None`: all.
    pub max_files: Option<u32>,
    /// From when on a request is slow; `None`: never.
    pub slow: Option<Duration>,
}

/// Why there can be no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file can't be written.
    #[error("LOG_FILE_PATH: {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system gives no thread for it.
    #[error("the log's thread can't be started: {0}")]
    Thread(std::io::Error),
    /// Somebody logs already.
    #[error("the log can't be started: {0}")]
    Start(#[from] tracing_subscriber::util::TryInitError),
}

/// The log's writer: a thread of its own behind a bounded queue, so that neither a slow terminal nor a full disk
/// holds anybody up. Dropping it writes what is queued.
pub struct Logging {
    queue: Queue,
    reopen: Arc<AtomicBool>,
    level: Level,
    slow: Option<Duration>,
    _closing: Closing,
}

impl Logging {
    /// Starts to log.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub fn start(options: &LogOptions) -> Result<Self, LogError> {
        let reopen = Arc::new(AtomicBool::new(false));
        let open = |path: &PathBuf| {
            LogFile::open(path.clone(), options.max_files, Arc::clone(&reopen))
                .map_err(|source| LogError::File { path: path.clone(), source })
        };
        let file = options.file.as_ref().map(open).transpose()?;
        // Colours are for terminals, and never for a file.
        let colour =
            file.is_none() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let style = match (options.json, colour) {
            (true, _) => Style::Json,
            (false, true) => Style::Colour,
            (false, false) => Style::Text,
        };
        let (queue, closing) =
            Queue::start(Lines::new(Sink::new(file), style, options.slow)).map_err(LogError::Thread)?;
        let writer = queue.clone();
        let sampled = Sampled::default();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(EventFormat(style, sampled.clone()))
            .with_writer(move || writer.clone());
        let ours = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("gpt_load", LevelFilter::from_level(options.level));
        tracing_subscriber::registry().with(ours).with(sampled).with(lines).try_init()?;
        Ok(Self { queue, reopen, level: options.level, slow: options.slow, _closing: closing })
    }

    /// Opens the file anew before the next line, for whoever moved it away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Counts the lines that found the queue full.
    pub fn lost(&self) -> Lost {
        Lost(self.queue.clone())
    }

    /// Where the requests' lines go.
    pub fn requests(&self) -> RequestLog {
        RequestLog::new(self.queue.clone(), self.level, self.slow)
    }
}

/// How many lines were lost.
#[derive(Clone, Debug)]
pub struct Lost(Queue);

impl Lost {
    /// So far.
    pub fn lines(&self) -> usize {
        self.0.dropped()
    }
}
