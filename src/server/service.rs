//! Who answers a connection's requests, over either version of HTTP.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};

use super::drain::Gate;
use super::front::{Body, Front};
use crate::proxy::Peer;
use crate::wire::{Incoming, Running};

/// Seats that a worker keeps.
const KEPT: usize = 32;

/// Who answers the requests of a connection.
pub(super) struct Service<F> {
    pub(super) answers: Rc<Answers<F>>,
    pub(super) gate: Rc<Gate>,
    /// Whose address goes upstream.
    pub(super) peer: Option<Peer>,
}

/// The front of one worker, and seats for the answers that it makes.
pub(super) struct Answers<F> {
    pub(super) front: Rc<Front>,
    sit: fn(Rc<Front>, Rc<Desk>) -> F,
    free: RefCell<Vec<Seat<F>>>,
}

/// A future that makes one answer after the other. It is kilobytes large, and of no use once an answer's head is there: so an
/// open stream holds none, and the next request of any connection takes the one that was left last, as it stands.
struct Seat<F> {
    future: Pin<Box<F>>,
    desk: Rc<Desk>,
}

/// Where a request is put down for who sits there, and its answer.
#[derive(Default)]
pub(super) struct Desk {
    asked: Cell<Option<(Request<Incoming>, Running)>>,
    answered: Cell<Option<Response<Body>>>,
}

/// An answer that is being made.
pub(super) struct Answering<F> {
    answers: Rc<Answers<F>>,
    /// Until the answer is there.
    seat: Option<Seat<F>>,
}

/// Sits at a desk for as long as it is kept.
pub(super) async fn sit(front: Rc<Front>, desk: Rc<Desk>) {
    loop {
        let asked = poll_fn(|_| desk.asked.take().map_or(Poll::Pending, Poll::Ready));
        let (request, running) = asked.await;
        desk.answered.set(Some(front.answer(request, running).await));
    }
}

impl<F: Future> Answers<F> {
    /// `sit` is [`sit`], whose future can't be named otherwise.
    pub(super) fn new(front: Front, sit: fn(Rc<Front>, Rc<Desk>) -> F) -> Rc<Self> {
        Rc::new(Self { front: Rc::new(front), sit, free: RefCell::default() })
    }

    fn seat(&self) -> Seat<F> {
        self.free.borrow_mut().pop().unwrap_or_else(|| {
            let desk = Rc::<Desk>::default();
            Seat { future: Box::pin((self.sit)(Rc::clone(&self.front), Rc::clone(&desk))), desk }
        })
    }

    fn leave(&self, seat: Seat<F>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(seat);
        }
    }
}

impl<F: Future> Service<F> {
    /// Answers a request. The connection counts as busy until the answer's body is dropped.
    pub(super) fn answer(&self, mut request: Request<Incoming>, running: Running) -> Answering<F> {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let seat = self.answers.seat();
        seat.desk.asked.set(Some((request, running)));
        Answering { answers: Rc::clone(&self.answers), seat: Some(seat) }
    }
}

impl<F: Future> Future for Answering<F> {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some(seat) = &mut self.seat else { return Poll::Pending };
        // It never ends.
        let _ = seat.future.as_mut().poll(cx);
        let Some(response) = seat.desk.answered.take() else { return Poll::Pending };
        if let Some(seat) = self.seat.take() {
            self.answers.leave(seat);
        }
        Poll::Ready(response)
    }
}
