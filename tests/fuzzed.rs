//! What the fuzzers have found worth keeping (tests/fuzz), once more at each test run, without a fuzzer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

use std::path::Path;

#[path = "fuzz/checks/configuration.rs"]
mod configuration;
#[path = "fuzz/checks/credentials.rs"]
mod credentials;
#[path = "fuzz/checks/keys_file.rs"]
mod keys_file;
#[path = "fuzz/checks/url_join.rs"]
mod url_join;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files: Vec<_> = corpus.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{}", corpus.display());
    for file in files {
        check(&std::fs::read(file).unwrap());
    }
}

#[test]
fn keys_files() {
    replay("keys_file", keys_file::check);
}

#[test]
fn values_of_the_configuration() {
    replay("configuration", configuration::check);
}

#[test]
fn targets_behind_base_urls() {
    replay("url_join", url_join::check);
}

#[test]
fn credentials_of_clients() {
    replay("credentials", credentials::check);
}
