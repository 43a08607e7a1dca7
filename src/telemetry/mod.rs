//! Logs and counters.

pub mod counters;
pub mod request_line;
/// stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct LogError;
/// stub
pub struct Logging;
impl Logging {
    /// s
    pub fn start(_l: &crate::config::Log) -> Result<Self, LogError> {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
        Ok(Self)
    }
    /// s
    pub fn lost(&self) -> u64 {
        0
    }
    /// s
    pub fn reopen(&self) {}
}
