//! gpt-load among people who want it to break: hostile clients, failing providers, and the incidents of other proxies. The
//! quick ones run with all tests; `make test-hard` runs the long ones too, and prints a table of what came of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness is made for the other tests too")]
mod support;

mod advisories;
mod canary;
mod chaos;
mod faults;
mod floods;
mod incidents;
mod mutation;
mod parsers;
mod reach;
mod secrets;
mod slow;
mod smuggling;

use std::io::Write as _;

/// Adds a line to the table that `make test-hard` prints at its end.
fn outcome(of: &str, came: impl AsRef<str>) {
    let came = came.as_ref();
    println!("{of}: {came}");
    let Some(table) = std::env::var_os("HARD_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(table).unwrap();
    table.write_all(format!("{of}\t{came}\n").as_bytes()).unwrap();
}
