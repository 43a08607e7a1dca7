//! gpt-load: one binary between OpenAI-compatible clients and their providers that spreads requests
//! over many API keys.
//!
//! A request walks through the house once, front to back:
//!
//! ```text
//! socket ─ server ─ route, CORS, gzip ─ proxy ─ admit → credentials → body → attempts ─ upstream ─ socket
//!                        │                            lease a key, pick an upstream,
//!                     monitor                         send, judge, retry or pass on
//! ```
//!
//! Arrows run one way: `server → proxy → {keys, verdict, upstream} → telemetry`. `monitor` reads the
//! [`group`]; `config` is read by `main` and handed down as plain values; `verdict` knows neither keys nor
//! sockets; `keys` knows no HTTP.

pub mod banner;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod group;
pub mod healthcheck;
pub mod judge;
pub mod keys;
pub mod monitor;
pub mod proxy;
mod rare;
pub mod refusal;
pub mod server;
pub mod telemetry;
mod timer;
pub mod upstream;
pub mod validate;
pub mod verdict;
pub mod wire;
