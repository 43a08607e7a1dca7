//! What happens to every request before and after the proxy: our own paths, CORS, gzip, and that a panic in one
//! harms no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::ORIGIN;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::cors::Cors;
use super::gzip::{self, Gzip};
use super::head;
use crate::monitor::{Monitor, Page};
use crate::proxy::{self, Broken, Proxy, Tunnel};
use crate::rare::rare;
use crate::refusal::Refusal;
use crate::wire::{Incoming, Running};

/// The front of one worker.
pub(super) struct Front {
    pub(super) proxy: Rc<Proxy>,
    pub(super) monitor: Monitor,
    pub(super) cors: Option<Arc<Cors>>,
    pub(super) gzip: bool,
    /// `TRUST_FORWARDED`.
    pub(super) trust_forwarded: bool,
}

impl Front {
    /// Answers a request. The connection counts as busy until the answer's body is dropped.
    pub(super) async fn answer(&self, request: Request<Incoming>, running: Running) -> Response<Body> {
        let cors = self.cors.as_deref();
        let refusal = head::refusal(&request);
        if refusal.is_none()
            && let Some(preflight) = cors.and_then(|cors| cors.preflight(request.method(), request.headers()))
        {
            return self.preflighted(&request.into_parts().0, preflight, running);
        }
        let page = Page::at(request.uri().path());
        let accepts_gzip = self.gzip && gzip::accepts_gzip(request.headers());
        let method = if accepts_gzip { request.method().clone() } else { Method::GET };
        let origin = cors.and_then(|_| request.headers().get(ORIGIN).cloned());
        let mut response = match (refusal, page) {
            (Some(refusal), _) => self.proxy.refuse(&request.into_parts().0, &refusal).map(Content::Proxied),
            (None, Some(page)) => rare(self.page(page, request)).await.map(Content::Own),
            (None, None) => match caught(pin!(self.proxy.handle(request, &running))).await {
                Some(response) => response.map(Content::Proxied),
                None => Refusal::internal().answer().map(Content::Own),
            },
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response.map(|content| Body::new(content, running));
        }
        if let Some(cors) = cors
            && page.is_none_or(|page| self.monitor.is_readable_cross_origin(page))
        {
            cors.apply(origin.as_ref(), response.headers_mut());
        }
        if accepts_gzip
            && gzip::should_compress(
                response.status(),
                response.headers(),
                &response.body().size_hint(),
                &method,
            )
            && !matches!(response.body(), Content::Proxied(body) if body.is_misnamed())
        {
            gzip::announce(response.headers_mut());
            return response
                .map(|content| Body::new(Content::Compressed(Box::new(Gzip::new(content))), running));
        }
        response.map(|content| Body::new(content, running))
    }

    #[cold]
    fn preflighted(&self, parts: &Parts, answer: Response<()>, running: Running) -> Response<Body> {
        self.proxy.log_own(Instant::now(), parts, answer.status(), 0);
        answer.map(|()| Body::new(Content::Own(Bytes::new()), running))
    }

    /// Answers a request whose head can't be read.
    #[cold]
    pub(super) fn unreadable(&self, refusal: &Refusal, running: Running) -> Response<Body> {
        self.proxy.unreadable(refusal);
        refusal.answer().map(|bytes| Body::new(Content::Own(bytes), running))
    }

    async fn page(&self, page: Page, request: Request<Incoming>) -> Response<Bytes> {
        let began = Instant::now();
        let (parts, _body) = request.into_parts();
        let answer = caught(pin!(self.monitor.answer(page, &parts))).await;
        let mut response = answer.unwrap_or_else(|| Refusal::internal().answer());
        if parts.method == Method::HEAD {
            let length = response.body().len();
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Bytes::new();
        }
        if response.status().as_u16() >= 400 {
            let (status, bytes) = (response.status(), response.body().len());
            self.proxy.log_own(began, &parts, status, bytes);
        }
        response
    }
}

/// What a future gives, or `None` if it panics.
async fn caught<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        // What a panic leaves behind is dropped with the future; what it shared are atomics.
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

/// Whether an answer ends with its head, whatever that says of a length (RFC 9112 §6.3).
pub(super) fn has_no_body(status: StatusCode, is_head: bool) -> bool {
    is_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// An answer's body, and the busyness of its connection.
pub(super) struct Body {
    content: Content,
    _running: Running,
}

pub(super) enum Content {
    Own(Bytes),
    Proxied(proxy::Body),
    Compressed(Box<Gzip<Content>>),
}

impl Body {
    fn new(content: Content, running: Running) -> Self {
        Self { content, _running: running }
    }

    /// Nothing of it is to be sent.
    pub(super) fn head_only(&mut self) {
        match &mut self.content {
            Content::Own(bytes) => bytes.clear(),
            Content::Proxied(body) => body.head_only(),
            Content::Compressed(_) => {}
        }
    }

    /// When it has to have ended (`REQUEST_TIMEOUT`), if it has to.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.content {
            Content::Proxied(body) => body.deadline(),
            Content::Compressed(body) => match body.inner() {
                Content::Proxied(body) => body.deadline(),
                Content::Own(_) | Content::Compressed(_) => None,
            },
            Content::Own(_) => None,
        }
    }

    /// What the connection goes on as after a 101.
    pub(super) fn take_tunnel(&mut self) -> Option<Tunnel> {
        match &mut self.content {
            Content::Proxied(body) => body.take_tunnel(),
            Content::Own(_) | Content::Compressed(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl http_body::Body for Content {
    type Data = Bytes;
    type Error = Broken;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Proxied(body) => Pin::new(body).poll_frame(cx),
            Self::Compressed(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Proxied(body) => body.is_end_stream(),
            Self::Compressed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Proxied(body) => body.size_hint(),
            Self::Compressed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_an_output_is_passed_on() {
        assert_eq!(caught(pin!(async { 7 })).await, Some(7));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(caught(pin!(panics)).await, None::<()>);
    }
}
