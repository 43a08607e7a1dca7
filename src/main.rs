//! What the command line asked for → exit code; nothing else.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use gpt_load::cli::{Command, CommandLine};
use gpt_load::config::{Config, ConfigErrors, Loaded};
use gpt_load::{config, daemon, healthcheck, judge, validate};

/// Nothing was started: wrong configuration, keys file, port or certificate (spec §2).
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        None => serve(),
        Some(Command::Check) => check(),
        Some(Command::Healthcheck) => health(),
        Some(Command::Judge(what)) => match judge::report(&what) {
            Ok(report) => {
                // A reader that has seen enough is no error.
                let _ = writeln!(io::stdout(), "{report}");
                ExitCode::SUCCESS
            }
            Err(error) => unusable(error),
        },
        Some(Command::ValidateKeys(options)) => validate_keys(&options),
        // A reader that has seen enough is no error.
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            CommandLine::complete(shell, &mut text);
            let _ = io::stdout().write_all(&text);
            ExitCode::SUCCESS
        }
        Some(Command::Man) => {
            let _ = CommandLine::manual(&mut io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn serve() -> ExitCode {
    let Loaded { config, warnings, .. } = match load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            for warning in &errors.warnings {
                let _ = writeln!(io::stderr(), "warning: {warning}");
            }
            // The keys file too: a wrong value must not hide what is wrong with it.
            return unusable(config::report(Err(errors)).problems.join("\n"));
        }
    };
    daemon::serve(&config, &warnings).unwrap_or_else(unusable)
}

fn check() -> ExitCode {
    let loaded = load();
    let certificates: Vec<_> =
        loaded.iter().flat_map(|it| daemon::certificate_problems(&it.config)).collect();
    let written: Vec<_> = loaded.iter().flat_map(|it| daemon::written_problems(&it.config)).collect();
    let mut report = config::report(loaded);
    report.problems.extend(certificates.iter().map(ToString::to_string));
    report.problems.extend(written);
    // A reader that has seen enough is no error.
    let _ = write!(io::stdout(), "{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(UNUSABLE) }
}

fn health() -> ExitCode {
    let answer = load()
        .map_err(|errors| errors.to_string())
        .and_then(|loaded| healthcheck::ask(&loaded.config.listen));
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn validate_keys(options: &validate::Options) -> ExitCode {
    match load() {
        Ok(loaded) => validate::validate(options, &loaded.config).unwrap_or_else(unusable),
        Err(errors) => unusable(errors),
    }
}

fn load() -> Result<Loaded, ConfigErrors> {
    Config::load(std::env::vars_os(), Path::new("."))
}

fn unusable(problem: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{problem}");
    ExitCode::from(UNUSABLE)
}
