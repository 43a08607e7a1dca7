//! Runs one check on whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/credentials.rs"]
mod check;

fuzz_target!(|input: &[u8]| check::check(input));
