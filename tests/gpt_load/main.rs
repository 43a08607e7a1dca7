//! gpt-load as its users meet it: the built binary, real sockets, a mock provider behind it. One file per chapter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    clippy::format_collect,
    unreachable_pub,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the harness is made for the other tests too")]
mod support;

mod admin;
mod attempts;
mod beginnings;
mod cors_gzip;
mod denied;
mod evidence;
mod forwarding;
mod front;
mod heart;
mod http2_upstreams;
mod informed;
mod inside;
mod insight;
mod keys_file;
mod limits;
mod logs;
mod metrics;
mod models;
mod monitoring;
mod not_the_key;
mod outbound;
mod pipelines;
mod process;
mod protocol;
mod recovery;
mod reuse;
mod storms;
mod stream_ends;
mod time;
mod upgrades;
mod uploads;
mod validate_keys;
mod waiting;
