//! The mock provider as a program: for the demo, for tests in other languages and for benches.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mock_provider::{GRAMMAR, Mock, Options, Play, Tls};
use serde_json::Value;

/// Plays every provider and its faults on loopback
#[derive(Parser)]
#[command(name = "mock-provider", after_help = after_help())]
struct CommandLine {
    /// The port; 0 is any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A file with a line `KEY PLAY` for each key; a bare KEY plays valid, `*` stands for all other keys
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// A JSON file: {"keys": {KEY: PLAY, …}, "unknown": PLAY, "phases": [{"from": 0, "until": 9, "play": PLAY}]}
    #[arg(long, value_name = "FILE")]
    plays: Option<PathBuf>,
    /// Speak TLS, with a certificate that is written here as PEM
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Tokens of an answer to a request that names no number
    #[arg(long, default_value_t = 8)]
    tokens: usize,
    /// Milliseconds between the events of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pace: u64,
    /// Threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Exchanges that are remembered; 0 for benches
    #[arg(long, default_value_t = 10_000)]
    remember: usize,
}

fn after_help() -> String {
    format!(
        "{GRAMMAR}\n\nPrints `listening on URL` when it is ready, and runs until it is killed. Keys that nothing was said about are refused.\n\
         GET URL/_mock/seen tells what was asked; POST URL/_mock/play, /_mock/phase and /_mock/reset steer."
    )
}

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn run(line: CommandLine) -> Result<(), String> {
    let mut options = Options {
        port: line.port,
        threads: line.threads,
        tls: line.tls.map(Tls::at),
        tokens: line.tokens,
        pace: Duration::from_millis(line.pace),
        remember: line.remember,
        ..Options::default()
    };
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = line.keys {
        for (number, text) in (1..).zip(read(path)?.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (key, play) = text.split_once(char::is_whitespace).unwrap_or((text, "valid"));
            let play = play.parse().map_err(|error| format!("line {number}: {error}"))?;
            match key {
                "*" => options.unknown = play,
                key => options.keys.push((key.to_owned(), play)),
            }
        }
    }
    let number = |phase: &Value, name: &str| phase.get(name).and_then(Value::as_u64);
    let mut phases = Vec::new();
    if let Some(path) = line.plays {
        let plays: Value = serde_json::from_str(&read(path)?).map_err(|error| error.to_string())?;
        for (key, play) in plays.get("keys").and_then(Value::as_object).into_iter().flatten() {
            options.keys.push((key.clone(), Play::try_from(play)?));
        }
        if let Some(unknown) = plays.get("unknown") {
            options.unknown = Play::try_from(unknown)?;
        }
        for phase in plays.get("phases").and_then(Value::as_array).into_iter().flatten() {
            let (from, until) = (number(phase, "from"), number(phase, "until"));
            phases.push((
                from.unwrap_or(0),
                until.unwrap_or(u64::MAX),
                Play::try_from(phase.get("play").ok_or("a phase has no play")?)?,
            ));
        }
    }
    let mock = Mock::try_start(options).map_err(|error| error.to_string())?;
    for (from, until, play) in phases {
        mock.phase_between(from, until, play);
    }
    // Whoever started this may have closed its end already.
    let _ = writeln!(io::stdout(), "listening on {}", mock.url());
    let _ = io::stdout().flush();
    mock.wait();
    Ok(())
}
