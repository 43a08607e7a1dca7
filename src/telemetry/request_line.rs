//! stub
use std::time::Duration;
/// s
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RequestLine<'a> {
    pub id: u64,
    pub end: crate::telemetry::counters::End,
    pub method: &'a http::Method,
    pub path: &'a str,
    pub status: u16,
    pub key: Option<(u32, &'a str)>,
    pub upstream: Option<&'a crate::upstream::BaseUrl>,
    pub attempts: u32,
    pub to_first_byte: Option<Duration>,
    pub duration: Duration,
    pub bytes: u64,
}
impl RequestLine<'_> {
    /// s
    pub fn emit(&self) {
        tracing::info!("{self:?}")
    }
}
