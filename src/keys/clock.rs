//! Ends cooldowns on time: one queue of ends, asleep until the first of them, so that neither a lease nor a key
//! needs a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::pool::{Due, Ending, KeyPool};

/// Runs until the pool is gone.
///
/// # Cancel safety
/// Dropping it loses the ends it knew of; nothing else.
pub async fn run(pool: &KeyPool, mut due: mpsc::UnboundedReceiver<Due>) {
    let mut queue: BinaryHeap<Reverse<Ending>> = BinaryHeap::new();
    loop {
        let first = queue.peek().map(|Reverse(ending)| *ending);
        pool.publish_earliest(first);
        let next = async {
            match first {
                Some(ending) => sleep_until(pool.instant(ending)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = due.recv() => match heard {
                Some(Due::Cooldown(ending)) => queue.push(Reverse(ending)),
                Some(Due::Replaced) => queue = pool.cooldowns().into_iter().map(Reverse).collect(),
                None => return,
            },
            () = next => {
                let mut over = Vec::new();
                while let Some(Reverse(ending)) = queue.peek()
                    && pool.instant(*ending) <= tokio::time::Instant::now()
                {
                    over.extend(queue.pop().map(|Reverse(ending)| ending));
                }
                queue.extend(pool.end_cooldowns(over).into_iter().map(Reverse));
            }
        }
    }
}
