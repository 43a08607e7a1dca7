//! Lets things happen to keys on time: cooldowns end, long ones are put to the test, rations run out. One queue a
//! roster, asleep until the first of them, so that neither a lease nor a key needs a clock of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::pool::{Due, Event, KeyPool, What};

/// What is to come, by roster: the end of cooldowns apart from the rest, since others ask when the first of them is.
#[derive(Default)]
struct Queues {
    returns: HashMap<u32, BinaryHeap<Reverse<Event>>>,
    others: BinaryHeap<Reverse<Event>>,
}

/// Runs until the pool is gone.
///
/// # Cancel safety
/// Dropping it loses the events it knew of; nothing else.
pub async fn run(pool: &KeyPool, mut due: mpsc::UnboundedReceiver<Due>) {
    let mut queues = Queues::default();
    loop {
        let first = queues.first();
        let next = async {
            match first {
                Some(event) => sleep_until(pool.instant(event.at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = due.recv() => match heard {
                Some(Due::Later(event)) => queues.push(event, pool),
                Some(Due::Replaced) => queues.replace(pool),
                None => return,
            },
            () = next => queues.happen(pool),
        }
    }
}

impl Queues {
    fn first(&self) -> Option<Event> {
        let heads = self.returns.values().chain([&self.others]).filter_map(BinaryHeap::peek);
        heads.map(|Reverse(event)| *event).min()
    }

    fn push(&mut self, event: Event, pool: &KeyPool) {
        if event.what != What::Return {
            return self.others.push(Reverse(event));
        }
        let returns = self.returns.entry(event.roster).or_default();
        returns.push(Reverse(event));
        pool.publish_earliest(event.roster, returns.peek().map(|Reverse(event)| event.at));
    }

    fn replace(&mut self, pool: &KeyPool) {
        for roster in self.returns.keys() {
            pool.publish_earliest(*roster, None);
        }
        *self = Self::default();
        for event in pool.cooldowns() {
            self.push(event, pool);
        }
    }

    /// Lets happen what is due.
    fn happen(&mut self, pool: &KeyPool) {
        let now = Instant::now();
        let mut over = Vec::new();
        for queue in self.returns.values_mut().chain([&mut self.others]) {
            while let Some(Reverse(event)) = queue.peek()
                && pool.instant(event.at) <= now
            {
                over.extend(queue.pop().map(|Reverse(event)| event));
            }
        }
        let mut again = Vec::new();
        for event in &over {
            again.extend(pool.happen(*event));
        }
        for event in over.iter().filter(|event| event.what == What::Return) {
            let earliest = self.returns.get(&event.roster).and_then(BinaryHeap::peek);
            pool.publish_earliest(event.roster, earliest.map(|Reverse(event)| event.at));
        }
        for event in again {
            self.push(event, pool);
        }
        self.returns.retain(|_, queue| !queue.is_empty());
    }
}
