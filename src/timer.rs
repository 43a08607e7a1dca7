//! A timer for a deadline that mostly moves away: it is rearmed when it fires too early, not whenever the deadline moves,
//! so that what nearly always comes in time pays for no timer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// Such a timer. It takes memory from its first use on.
#[derive(Default)]
pub(crate) struct Timer(Option<Box<Armed>>);

struct Armed {
    sleep: Pin<Box<Sleep>>,
    /// Who is woken by it.
    waker: Waker,
}

impl Timer {
    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(armed) = &self.0
            && armed.sleep.deadline() <= deadline
            && !armed.sleep.is_elapsed()
            && armed.waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        let armed = self.0.get_or_insert_with(|| {
            Box::new(Armed { sleep: Box::pin(sleep_until(deadline)), waker: cx.waker().clone() })
        });
        armed.waker.clone_from(cx.waker());
        let sleep = &mut armed.sleep;
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            // Without a budget left the runtime does not even look at it.
            let is_looked_at = has_budget_remaining();
            let fired = sleep.as_mut().poll(cx);
            if !is_looked_at {
                armed.waker.clone_from(Waker::noop());
            }
            ready!(fired);
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn it_fires_at_its_deadline_wherever_that_moves() {
        let mut timer = Timer::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let early = tokio::time::timeout_at(at(5), poll_fn(|cx| timer.poll(at(10), cx)));
        assert!(early.await.is_err());
        // It moves away, then nearer than it is set to.
        poll_fn(|cx| timer.poll(at(20), cx)).await;
        assert_eq!(began.elapsed().as_secs(), 20);
        let early = tokio::time::timeout_at(at(21), poll_fn(|cx| timer.poll(at(60), cx)));
        assert!(early.await.is_err());
        poll_fn(|cx| timer.poll(at(30), cx)).await;
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}
