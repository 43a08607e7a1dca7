//! What the command line asked for → exit code; nothing else.

use std::process::ExitCode;

use clap::Parser as _;
use gpt_load::cli::{Command, CommandLine};
use gpt_load::{config, daemon, healthcheck};

/// Wrong configuration: nothing was started (spec §2).
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        None => serve(),
        Some(Command::Check) => check(),
        Some(Command::Healthcheck) => health(),
        Some(Command::ValidateKeys) => {
            complain("validate-keys arrives with a later version. `gpt-load check` looks at the keys file's form.");
            ExitCode::from(UNUSABLE)
        }
    }
}
