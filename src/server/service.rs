//! Who answers a connection's requests, over either version of HTTP.

use std::rc::Rc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};

use super::drain::Gate;
use super::front::{Body, Front};
use crate::proxy::Peer;
use crate::refusal::Refusal;
use crate::wire::{Incoming, Running};

/// Who answers the requests of a connection.
pub(super) struct Service {
    pub(super) front: Rc<Front>,
    pub(super) gate: Rc<Gate>,
    /// Whose address goes upstream.
    pub(super) peer: Option<Peer>,
}

impl Service {
    pub(super) async fn answer(&self, mut request: Request<Incoming>, running: Running) -> Response<Body> {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let is_http1 = request.version() < Version::HTTP_2;
        let mut response = self.front.answer(request, running).await;
        if is_http1 && self.gate.is_draining() && !response.status().is_informational() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    pub(super) fn unreadable(&self, refusal: &Refusal, running: Running) -> Response<Body> {
        self.front.unreadable(refusal, running)
    }
}
