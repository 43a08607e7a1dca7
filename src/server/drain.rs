//! Finishing what is in flight before the process ends (spec §12). One [`Gate`] a worker: its connections pass through
//! it, and a drain wakes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// How long a drain waits for the next request of a connection that is waiting for one: its client may have asked
/// before it could hear of the drain, and would find its connection reset.
pub(super) const LATE_COMERS: Duration = Duration::from_millis(500);

/// How far the process is with ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// It takes connections.
    #[default]
    Serving,
    /// It takes no new ones, and finishes what runs.
    Draining,
    /// It ends what still runs.
    Cutting,
}

/// What one worker's connections have to pass.
#[derive(Default)]
pub(super) struct Gate {
    phase: Cell<Phase>,
    /// The connections' tasks, by number.
    inside: RefCell<HashMap<u64, Waker>>,
    entered: Cell<u64>,
    left: Notify,
}

/// A connection's stay; it leaves when this is dropped.
struct Stay<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Gate {
    /// Changes the phase and tells every connection.
    pub(super) fn turn(&self, phase: Phase) {
        self.phase.set(phase);
        for waker in self.inside.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// How many connections are inside.
    pub(super) fn count(&self) -> usize {
        self.inside.borrow().len()
    }

    /// Returns once nobody is inside.
    pub(super) async fn emptied(&self) {
        while self.count() > 0 {
            self.left.notified().await;
        }
    }

    /// Whether the process is ending.
    pub(super) fn is_draining(&self) -> bool {
        self.phase.get() != Phase::Serving
    }

    /// Runs a connection to its end, and gives what it ends with. On a drain `finish` tells it so; from when late comers
    /// have had their time, `is_over` is asked now and then whether there is nothing to wait for. Then, and on a cut, it is
    /// left where it is, and there is nothing to give.
    pub(super) async fn pass<C, T>(
        &self,
        connection: &mut C,
        mut poll: impl FnMut(&mut C, &mut Context<'_>) -> Poll<T>,
        finish: impl Fn(&mut C),
        is_over: impl Fn(&mut C) -> bool,
    ) -> Option<T> {
        let mut late: Option<Pin<Box<Sleep>>> = None;
        let mut stay: Option<Stay<'_>> = None;
        poll_fn(|cx| {
            // The task's waker stays the same, so it is left here once and costs nothing per request.
            stay.get_or_insert_with(|| self.enter(cx.waker().clone()));
            match self.phase.get() {
                Phase::Cutting => return Poll::Ready(None),
                Phase::Draining if late.is_none() => {
                    finish(connection);
                    late = Some(Box::pin(sleep(LATE_COMERS)));
                }
                Phase::Draining | Phase::Serving => {}
            }
            if let Poll::Ready(end) = poll(connection, cx) {
                return Poll::Ready(Some(end));
            }
            while let Some(due) = &mut late
                && due.as_mut().poll(cx).is_ready()
            {
                if is_over(connection) {
                    return Poll::Ready(None);
                }
                // What `is_over` told the connection.
                if let Poll::Ready(end) = poll(connection, cx) {
                    return Poll::Ready(Some(end));
                }
                late = Some(Box::pin(sleep(LATE_COMERS / 4)));
            }
            Poll::Pending
        })
        .await
    }

    /// Runs what a connection does beyond HTTP to its end: a drain lets it go on, a cut drops it.
    pub(super) async fn run<F: Future>(&self, rest: F) {
        self.pass(&mut pin!(rest), |rest, cx| rest.as_mut().poll(cx), |_| (), |_| false).await;
    }

    /// What comes before a connection's first request or behind its last. A drain leaves it a moment.
    pub(super) async fn begin<F: Future>(&self, beginning: F) -> Option<F::Output> {
        self.pass(&mut pin!(beginning), |beginning, cx| beginning.as_mut().poll(cx), |_| (), |_| true).await
    }

    fn enter(&self, waker: Waker) -> Stay<'_> {
        let number = self.entered.get();
        self.entered.set(number.wrapping_add(1));
        self.inside.borrow_mut().insert(number, waker);
        Stay { gate: self, number }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.gate.inside.borrow_mut().remove(&self.number);
        self.gate.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test(flavor = "local")]
    async fn a_drain_tells_every_connection_and_a_cut_ends_it() {
        let gate = Rc::new(Gate::default());
        let told = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let (gate, told) = (Rc::clone(&gate), Rc::clone(&told));
            tokio::task::spawn_local(async move {
                gate.pass(&mut (), |(), _| Poll::<()>::Pending, |()| told.set(told.get() + 1), |()| false)
                    .await;
            });
        }
        tokio::task::yield_now().await;
        assert_eq!((gate.count(), told.get()), (3, 0));
        gate.turn(Phase::Draining);
        tokio::task::yield_now().await;
        assert_eq!((gate.count(), told.get()), (3, 3));
        gate.turn(Phase::Cutting);
        gate.emptied().await;
        assert_eq!((gate.count(), told.get()), (0, 3));
    }
}
