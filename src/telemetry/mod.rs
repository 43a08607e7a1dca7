//! Logs and counters.

pub mod counters;
pub mod request_line;
