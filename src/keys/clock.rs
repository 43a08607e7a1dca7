//! Lets things happen to keys on time: cooldowns end, long ones are put to the test, rations run out. One queue,
//! asleep until the first of them, so that neither a lease nor a key needs a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::generation::Generation;
use super::pool::KeyPool;
use super::ration::Ration;
use super::roster::Roster;
use super::state::{Millis, Place, Standing};

/// A ration that nothing else changes doubles so often, in milliseconds: the smallest is over within ten seconds
/// (spec §6).
const RATION_STEP: u64 = 1_400;

/// Word to the clock.
#[derive(Debug)]
pub enum Due {
    /// Something will happen to a key.
    Later(Event),
    /// The generation was replaced: read all cooldowns anew.
    Replaced,
}

/// Something that happens to a key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub(super) at: Millis,
    generation: u64,
    pub(super) roster: u32,
    index: u32,
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Its cooldown ends.
    Return,
    /// Its cooldown, a long one, is put to the test.
    Probe,
    /// Its ration grows.
    MoreShare,
}

/// Runs until the pool is gone.
///
/// # Cancel safety
/// Dropping it loses the events it knew of; nothing else.
pub async fn run(pool: &KeyPool, mut due: mpsc::UnboundedReceiver<Due>) {
    let mut queue = BinaryHeap::new();
    loop {
        let first = queue.peek().map(|Reverse(event): &Reverse<Event>| *event);
        let next = async {
            match first {
                Some(event) => sleep_until(pool.instant(event.at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = due.recv() => match heard {
                Some(Due::Later(event)) => queue.push(Reverse(event)),
                Some(Due::Replaced) => queue = pool.cooldowns().into_iter().map(Reverse).collect(),
                None => return,
            },
            () = next => happen(&mut queue, pool),
        }
    }
}

/// Lets happen what is due.
fn happen(queue: &mut BinaryHeap<Reverse<Event>>, pool: &KeyPool) {
    let now = Instant::now();
    while let Some(Reverse(event)) = queue.peek()
        && pool.instant(event.at) <= now
    {
        let event = *event;
        queue.pop();
        queue.extend(pool.happen(event).map(Reverse));
    }
}

impl KeyPool {
    /// Tells the clock what a standing brings.
    pub(super) fn schedule(&self, generation: &Generation, roster: &Roster, index: u32, standing: Standing) {
        let Place::Cooldown(at) = standing.place else { return };
        let event = Event { at, generation: generation.number, roster: roster.id, index, what: What::Return };
        self.announce(Due::Later(event));
        if let Some(test) = self.next_probe(at) {
            self.announce(Due::Later(Event { at: test, what: What::Probe, ..event }));
        }
    }

    /// When a cooldown until `end` is next put to the test, if it is that long.
    fn next_probe(&self, end: Millis) -> Option<Millis> {
        let interval = u64::try_from(self.policy.probe_interval?.as_millis()).ok()?;
        Some(Millis(self.now().0 + interval)).filter(|at| *at < end)
    }

    /// Keeps a key to a ration for a while; `ration` sets it.
    pub(super) fn keep_to_ration(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        ration: impl FnOnce(&Ration) -> bool,
    ) {
        if ration(roster.rotation.ration(index)) {
            let at = Millis(self.now().0 + RATION_STEP);
            let (generation, roster) = (generation.number, roster.id);
            self.announce(Due::Later(Event { at, generation, roster, index, what: What::MoreShare }));
        }
    }

    /// Lets happen what is due among events of the present generation; gives back what has to happen (again) later.
    pub(super) fn happen(&self, event: Event) -> Option<Event> {
        let generation = self.generation.load_full();
        if event.generation != generation.number {
            return None;
        }
        let mut again = None;
        generation.roster(event.roster, |roster, base| {
            match event.what {
                What::Return => again = self.end_cooldown(&generation, roster, base, event),
                What::Probe => {
                    if let Place::Cooldown(end) = roster.rotation.standing(event.index).place
                        && roster.story(event.index).is_none_or(|story| !story.is_operators())
                    {
                        roster.rotation.ration(event.index).offer_probe();
                        roster.show(event.index, base);
                        again = self.next_probe(end).map(|at| Event { at, ..event });
                    }
                }
                What::MoreShare => {
                    let grows = roster.rotation.ration(event.index).ease(roster.largest_ration());
                    again = grows.then(|| Event { at: Millis(self.now().0 + RATION_STEP), ..event });
                    roster.show(event.index, base);
                }
            }
            if base.is_none() {
                generation.spread(event.index);
            }
        });
        again
    }

    fn end_cooldown(
        &self,
        generation: &Generation,
        roster: &Roster,
        base: Option<&Roster>,
        event: Event,
    ) -> Option<Event> {
        let now = self.now();
        match roster.rotation.standing(event.index).place {
            Place::Cooldown(at) if at > now => return Some(Event { at, ..event }),
            Place::Cooldown(_) => {}
            Place::Available | Place::Permanent => return None,
        }
        roster.rotation.ration(event.index).withdraw_probe();
        // Not all at once: what waited for it would run it into its limit again.
        self.keep_to_ration(generation, roster, event.index, |ration| ration.set(1));
        let (_, after) = roster.change(event.index, base, |standing| standing.at(now));
        if after.is_available() {
            roster.stories().remove(&event.index);
        }
        None
    }

    /// Every cooldown that is running.
    pub(super) fn cooldowns(&self) -> Vec<Event> {
        let generation = self.generation.load();
        let mut events = Vec::new();
        generation.each(|roster, _| {
            for index in (0_u32..).take(roster.rotation.len()) {
                if let Place::Cooldown(at) = roster.rotation.standing(index).place {
                    let event = Event {
                        at,
                        generation: generation.number,
                        roster: roster.id,
                        index,
                        what: What::Return,
                    };
                    events.push(event);
                    events.extend(self.next_probe(at).map(|at| Event { at, what: What::Probe, ..event }));
                }
            }
        });
        events
    }

    pub(super) fn announce(&self, due: Due) {
        // Without a clock (in tests and benches) nobody listens, and nothing is lost but the end of cooldowns.
        drop(self.due.send(due));
    }
}
