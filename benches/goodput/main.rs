//! What a pool of limited keys gives: `cargo bench --bench goodput`, or `make bench-goodput`. Takes nine minutes.
//!
//! 200 keys of mixed tiers, some of them dead, some failing now and then, behind the built gpt-load with its default
//! settings; a provider that enforces a bucket of requests and one of tokens for each key; clients that ask whatever the
//! answers are, at random times, each request once. Time is scaled: a provider's minute takes six seconds. What is
//! served is compared with what a scheduler could have served that knows every bucket at every moment.
//!
//! Prints a table, and writes it to `docs/goodput.md` if all of it was measured. Percentages of the demand after
//! `--` measure only those; `GOODPUT_BINARY` puts another program in gpt-load's place.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench"
)]

mod clients;
mod curable;
mod keys;
mod possible;
mod pulse;
mod report;
mod stalls;
mod words;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mock_provider::{Mock, Options, Play};
use tempfile::TempDir;

use self::clients::{Demand, Kind, MEAN_TOKENS};
use self::keys::{Key, capacity, keys};
use self::pulse::Pulse;
use self::report::Row;

/// Shares of what the healthy keys allow, in percent.
const DEMANDS: [u32; 4] = [50, 90, 110, 200];
/// The buckets are drained at first where they will be empty in the long run, at this demand and for so long.
const BURST: (f64, Duration) = (2.5, Duration::from_secs(6));
const SETTLE: Duration = Duration::from_secs(12);
/// Above what the keys allow, longer: how full the buckets happen to be when it begins and when it ends counts for less.
const MEASURED: [Duration; 2] = [Duration::from_secs(42), Duration::from_secs(168)];
/// gpt-load's default.
const MAX_KEY_WAIT: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let demands = if arguments.is_empty() { DEMANDS.to_vec() } else { arguments };
    let rows: Vec<Row> = demands.iter().map(|percent| measure(*percent)).collect();
    let table = report::table(&rows);
    println!("{table}");
    if demands == DEMANDS {
        std::fs::write("docs/goodput.md", report::page(&table)).unwrap();
    }
}

fn measure(percent: u32) -> Row {
    let keys = keys();
    let mock = provider(&keys);
    let gpt_load = GptLoad::before(&mock, &keys);
    let share = f64::from(percent) / 100.0;
    let (burst, lasts) = if share > 1.0 { (BURST.1, MEASURED[1]) } else { (Duration::ZERO, MEASURED[0]) };
    let rate = capacity(&keys);
    let from = burst + SETTLE;
    let demand = Demand {
        phases: vec![(rate * BURST.0, burst), (rate * share, SETTLE + lasts)],
        seed: u64::from(percent),
    };
    let began = Instant::now();
    let pulse = Pulse::start(began);
    let mut at_from = Vec::new();
    let done = clients::run(gpt_load.address, &demand, (began, from), || at_from = asked(&mock, &keys));
    let stalls = pulse.stop();
    let at_end = asked(&mock, &keys);
    let words = words::of_live_keys(&mock, &keys, began);
    report::print_tiers(&keys, &at_from, &at_end);
    report::print_lateness(&words::lateness(&words, from), words::flowed_over(&words, from));
    let asked = || done.iter().map(|done| (done.at, done.tokens));
    let possible = possible::served(&keys, asked(), MAX_KEY_WAIT, |_| MEAN_TOKENS);
    let knowing_costs = possible::served(&keys, asked(), MAX_KEY_WAIT, f64::from);
    Row::new(percent, &keys, (&at_from, &at_end), &done, [&possible, &knowing_costs], from)
        .judged(&words, &done, from, &stalls)
}

/// What each key has answered by now, by status.
fn asked(mock: &Mock, keys: &[Key]) -> Vec<mock_provider::Asked> {
    keys.iter().map(|key| mock.key(&key.name)).collect()
}

fn provider(keys: &[Key]) -> Mock {
    let keys = keys.iter().map(|key| (key.name.clone(), key.play())).collect();
    Mock::start(Options { keys, unknown: Play::Revoked, remember: usize::MAX, ..Options::default() })
}

struct GptLoad {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl GptLoad {
    fn before(mock: &Mock, keys: &[Key]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = keys.iter().flat_map(|key| [key.name.as_str(), "\n"]).collect();
        std::fs::write(folder.path().join("keys.txt"), lines).unwrap();
        let binary = std::env::var("GOODPUT_BINARY").unwrap_or(env!("CARGO_BIN_EXE_gpt-load").to_owned());
        let mut child = Command::new(binary)
            .env_clear()
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("OPENAI_BASE_URL", mock.url())
            .env("MAX_CONCURRENT_REQUESTS", "100000")
            .env("LOG_FORMAT", "json")
            .env("LOG_ENABLE_REQUEST", "false")
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines
            .by_ref()
            .find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(&line).ok()?;
                line["address"].as_str()?.parse().ok()
            })
            .unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _folder: folder }
    }
}

impl Drop for GptLoad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
