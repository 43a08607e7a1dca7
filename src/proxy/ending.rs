//! Every request ends once: when its answer's last byte has gone, or when somebody gives up. What has to happen then
//! rides here, and happens when it is dropped.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::Proxy;
use super::admission::Permit;
use crate::keys::Lease;
use crate::telemetry::RequestLine;
use crate::telemetry::counters::End;
use crate::upstream::{Upstream, hide_secrets};

/// The status that stands in the log for a client that went away before it was answered.
const CLIENT_GONE: u16 = 499;

/// A request's end: its place among the running, its count and its line in the log.
pub(super) struct Ending {
    proxy: Rc<Proxy>,
    permit: Option<Permit>,
    began: Instant,
    id: u64,
    method: Method,
    path: Option<PathAndQuery>,
    status: u16,
    end: End,
    attempts: u32,
    key: Option<(u32, String)>,
    upstream: Option<usize>,
    to_first_byte: Option<Duration>,
    bytes: u64,
}

impl Ending {
    /// A request begins. Until anything else is known, it ends because its client went away.
    pub(super) fn begin(proxy: &Rc<Proxy>, method: Method, path: Option<PathAndQuery>) -> Self {
        proxy.stripe().begin();
        Self {
            proxy: Rc::clone(proxy),
            permit: None,
            began: Instant::now(),
            id: fastrand::u64(..),
            method,
            path,
            status: CLIENT_GONE,
            end: End::ClientGone,
            attempts: 0,
            key: None,
            upstream: None,
            to_first_byte: None,
            bytes: 0,
        }
    }

    /// Its place among the running requests, given back at the end.
    pub(super) fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// An attempt begins.
    pub(super) fn attempt(&mut self, lease: &Lease<'_>, upstream: &Upstream) {
        self.attempts += 1;
        self.upstream = Some(upstream.index);
        if self.proxy.common.request_log.is_some() {
            self.key = Some((lease.index(), lease.preview()));
        }
    }

    /// Its answer's head goes out; `end` is how it ends if all goes well from here.
    pub(super) fn answered(&mut self, status: StatusCode, end: End) {
        self.status = status.as_u16();
        self.end = end;
        self.to_first_byte = Some(self.began.elapsed());
    }

    /// So many bytes of the answer's body went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// It ended as it should.
    pub(super) fn finished(&mut self) {
        self.end = End::Success;
    }

    /// The longest silence within its answer (`SERVER_WRITE_TIMEOUT`).
    pub(super) fn silence(&self) -> Duration {
        self.proxy.common.times.silence
    }

    /// The upstream broke the answer off.
    pub(super) fn broken(&mut self) {
        self.end = End::BrokenAnswer;
        if let Some(upstream) =
            self.upstream.and_then(|index| self.proxy.common.group.upstreams.all().get(index))
        {
            self.proxy.upstream_failed(upstream);
        }
    }

    /// The client went away before the end of its answer.
    pub(super) fn abandoned(&mut self) {
        self.end = End::ClientGone;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end = End::Internal;
            self.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        }
        self.proxy.stripe().end(self.end, self.attempts);
        let Some(log) = &self.proxy.common.request_log else { return };
        let upstreams = &self.proxy.common.group.upstreams;
        let upstream = self.upstream.and_then(|index| upstreams.all().get(index));
        log.write(&RequestLine {
            id: self.id,
            end: self.end.name(),
            method: self.method.as_str(),
            path: &self.path.as_ref().map_or(Cow::Borrowed(""), |path| hide_secrets(path.as_str())),
            status: self.status,
            key: self.key.as_ref().map(|(index, preview)| (*index, preview.as_str())),
            upstream: upstream.map(|upstream| upstream.url.to_string()).as_deref(),
            attempts: self.attempts,
            to_first_byte: self.to_first_byte,
            duration: self.began.elapsed(),
            bytes: self.bytes,
        });
    }
}
