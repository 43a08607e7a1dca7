//! `gpt-load validate-keys` (spec §12): asks the upstream about every key of the keys file, a bounded number at a time,
//! and lets the table of rules judge its answers. What is asked is in [`question`], what is written in [`lists`], what
//! people see meanwhile in [`progress`].

mod finding;
mod lists;
mod progress;
mod question;
mod resume;
mod run;
mod summary;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};

use self::lists::Lines;
use self::resume::{Asked, Resume};
use self::run::Run;
use self::summary::Summary;
use crate::config::Config;
use crate::keys::file::{self, KeyFileError};
use crate::server::tls::{TlsError, read_certificates};
use crate::upstream::connect::{self, Connector};

/// What 128 + SIGINT is to a shell.
const INTERRUPTED: u8 = 130;
/// Nothing could be found out (spec §12).
const UNUSABLE: u8 = 2;

/// How the keys are to be tested.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Options {
    /// Keys that are tested at a time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// Requests a second at most, however fast the answers come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// Ask for one token of this model, which is not free, instead of for the list of models, which is
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub model: Option<String>,
    /// Where valid_keys.txt, invalid_keys.txt, duplicate_keys.txt and validation_summary.txt are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Take invalid keys out of the keys file; a backup stays beside it
    #[arg(long)]
    pub remove_invalid: bool,
    /// Test all keys, whatever an interrupted run has found out already
    #[arg(long)]
    pub fresh: bool,
}

fn model(name: &str) -> Result<String, &'static str> {
    let name = name.trim();
    if name.is_empty() { Err("a model's name is not empty") } else { Ok(name.to_owned()) }
}

/// Why no key was tested.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// The keys file can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// `UPSTREAM_CA_FILE` can't be used.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// TLS can't be set up.
    #[error("TLS to upstreams can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The results have nowhere to go.
    #[error("{}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system gives no runtime.
    #[error("the system refuses what gpt-load needs to run: {0}")]
    System(#[from] io::Error),
}

/// Tests the keys and writes what was found out.
///
/// # Errors
/// If the keys can't be read or the results can't be written.
pub fn validate(options: &Options, config: &Config) -> Result<ExitCode, ValidateError> {
    let file = file::read(&config.keys_file)?;
    let lines = Lines::read(&config.keys_file, &file.keys)?;
    let trusted = config.upstream_ca.as_ref().map(|path| read_certificates("UPSTREAM_CA_FILE", path));
    let trusted = connect::tls_config(trusted.transpose()?.unwrap_or_default())?;
    let connector = Connector::new(trusted, Arc::new(config.outbound.clone()));
    let asked = Asked {
        upstreams: config.upstreams.iter().map(ToString::to_string).collect(),
        model: options.model.clone(),
    };
    let (resume, known) = Resume::open(&options.output, &asked, options.fresh)?;
    let run = Run::new(file.keys, &known, resume, options, config, connector);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let (done, finished) = runtime.block_on(run.finish())?;
    let mut summary = Summary::new(&done, &lines, &asked, finished);
    summary.skipped_lines = file.skipped.total;
    if finished {
        lists::write(&options.output, &done, &lines)?;
        if options.remove_invalid {
            summary.removed = lists::remove_invalid(&config.keys_file, &done)?;
        }
        summary.write(&options.output)?;
        done.resume.finish();
    }
    let text = if options.json { summary.json(&done, &lines) } else { summary.to_string() };
    // A reader that has seen enough is no error.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(match () {
        () if !finished => ExitCode::from(INTERRUPTED),
        () if summary.nothing_found_out() => ExitCode::from(UNUSABLE),
        () if summary.any_bad() => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    })
}
