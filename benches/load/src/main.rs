//! An upstream that costs next to nothing, and clients that measure what stands between: for `make bench-compare` and
//! `make bench-instr`. Each client prints one JSON object.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool that prints figures"
)]

mod bare;
mod client;
mod instructions;
mod origin;
mod wire;

use std::io::Result;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Load for gpt-load and its yardsticks
#[derive(Parser)]
#[command(name = "load")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Be the upstream. What is asked for is in the query: `size` (bytes of JSON), or `events`, `size` and `pace` (ms),
    /// or `stream` (bytes in all) and `size` (of a chunk)
    Origin {
        /// The port
        #[arg(long)]
        port: u16,
        /// How many addresses to listen on, from 127.0.0.1 upwards
        #[arg(long, default_value_t = 1)]
        addresses: u8,
        /// Speak TLS, and write the certificate here as PEM
        #[arg(long)]
        tls: Option<PathBuf>,
    },
    /// Be a proxy that does nothing but pass on
    Bare {
        /// The port
        #[arg(long)]
        port: u16,
        /// Host and port of the upstream
        #[arg(long)]
        to: String,
        /// With hyper-util's pooled client
        #[arg(long)]
        pooled: bool,
    },
    /// Ask again as soon as an answer is there
    Closed(Asking),
    /// Ask at fixed times, whether or not answers are there; latencies count from those times
    Open {
        #[command(flatten)]
        asking: Asking,
        /// Requests a second
        #[arg(long)]
        rate: f64,
    },
    /// Hold so many streams open; figures come when the time is over, and one that ends before is an error
    Streams(Asking),
    /// Do so much work through a proxy, in lockstep with an upstream of our own, for its instructions to be counted
    Lockstep {
        /// The proxy
        #[arg(long)]
        proxy: String,
        /// The port to be an upstream on
        #[arg(long)]
        port: u16,
        #[command(flatten)]
        work: instructions::Work,
    },
    /// Take so many leases from a pool of so many keys
    Leases {
        /// How many
        #[arg(long)]
        leases: usize,
        /// Keys
        #[arg(long, default_value_t = 1000)]
        keys: usize,
    },
}

/// What is asked, and how often.
#[derive(clap::Args, Clone)]
struct Asking {
    /// Host and port
    #[arg(long)]
    to: String,
    /// Path and query
    #[arg(long, default_value = "/v1/chat/completions?size=700")]
    target: String,
    /// Connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of the request's body
    #[arg(long, default_value_t = 200)]
    body: usize,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match CommandLine::parse().command {
            Command::Origin { port, addresses, tls } => origin::run(port, addresses, tls).await,
            Command::Bare { port, to, pooled } => bare::run(port, to, pooled).await,
            Command::Closed(asking) => client::closed(asking).await,
            Command::Open { asking, rate } => client::open(asking, Duration::from_secs_f64(1.0 / rate)).await,
            Command::Streams(asking) => client::streams(asking).await,
            Command::Lockstep { proxy, port, work } => instructions::lockstep(&proxy, port, &work).await,
            Command::Leases { leases, keys } => instructions::leases(leases, keys),
        }
    })
}
