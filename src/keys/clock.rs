//! Lets things happen to keys on time: cooldowns end, long ones are put to the test, rations run out. One queue,
//! asleep until the first of them, so that neither a lease nor a key needs a clock of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::generation::Generation;
use super::pool::KeyPool;
use super::ration::Ration;
use super::roster::{Roster, Story};
use super::state::{Millis, Place, Standing};

/// A ration that nothing else changes doubles so often, in milliseconds: the smallest is over within ten seconds (spec §6);
/// while requests wait, and would all fall on that key, it has grown to 64 by then and is over after 17.
const RATION_STEP: u64 = 1_400;

/// So long after a key was set aside for long that may be good, it is put to the test once.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// A key that was away for longer takes its full share again within ten seconds, not at once (spec §6).
const LONG: Duration = Duration::from_secs(60);

/// Word to the clock.
#[derive(Debug)]
pub enum Due {
    /// Something will happen to a key.
    Later(Event),
    /// The generation was replaced: read all cooldowns anew.
    Replaced,
}

/// Something that happens to a key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event {
    pub(super) at: Millis,
    generation: u64,
    pub(super) roster: u32,
    index: u32,
    pub(super) what: What,
}

impl Event {
    fn untimed(self) -> Self {
        Self { at: Millis(0), ..self }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    /// Its cooldown ends.
    Return,
    /// Its cooldown, a long one, is put to the test.
    Probe,
    /// The same, soon: it may have been a mistake.
    EarlyProbe,
    /// Its ration grows.
    MoreShare,
}

/// What will happen, and when: at most one event of a kind for a key of a roster, the earliest. One that comes too early
/// is put off when its time has come, so that whatever prolongs a cooldown needs no further one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    in_order: BTreeSet<Event>,
    /// By what will happen: the event without its time.
    times: HashMap<Event, Millis, foldhash::fast::FixedState>,
}

impl Queue {
    pub(super) fn add(&mut self, event: Event) {
        let untimed = event.untimed();
        if let Some(at) = self.times.get(&untimed).copied() {
            if at <= event.at {
                return;
            }
            self.in_order.remove(&Event { at, ..event });
        }
        self.times.insert(untimed, event.at);
        self.in_order.insert(event);
    }

    #[cfg(all(test, not(feature = "loom")))]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.in_order.len(), self.times.len());
        self.times.len()
    }

    fn first(&self) -> Option<Millis> {
        self.in_order.first().map(|event| event.at)
    }

    fn take_first(&mut self) -> Option<Event> {
        let event = self.in_order.pop_first()?;
        self.times.remove(&event.untimed());
        Some(event)
    }
}

/// Runs until the pool is gone.
///
/// # Cancel safety
/// Dropping it loses the events it knew of; nothing else.
pub async fn run(pool: &KeyPool, mut due: mpsc::UnboundedReceiver<Due>) {
    let mut queue = Queue::default();
    loop {
        let first = queue.first();
        let next = async {
            match first {
                Some(at) => sleep_until(pool.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = due.recv() => match heard {
                Some(Due::Later(event)) => queue.add(event),
                Some(Due::Replaced) => pool.begin_anew(&mut queue),
                None => return,
            },
            () = next => happen(&mut queue, pool),
        }
    }
}

/// Lets happen what is due.
fn happen(queue: &mut Queue, pool: &KeyPool) {
    let now = Instant::now();
    while queue.first().is_some_and(|at| pool.instant(at) <= now) {
        if let Some(again) = queue.take_first().and_then(|event| pool.happen(event)) {
            queue.add(again);
        }
    }
}

fn was_away_for_long(story: Option<&Story>) -> bool {
    story.and_then(|story| story.since.elapsed().ok()).is_some_and(|away| away > LONG)
}

impl KeyPool {
    /// Tells the clock what a standing brings.
    pub(super) fn schedule(&self, generation: &Generation, roster: &Roster, index: u32, standing: Standing) {
        let Place::Cooldown(at) = standing.place else { return };
        let event = Event { at, generation: generation.number, roster: roster.id, index, what: What::Return };
        self.announce(Due::Later(event));
        if let Some(test) = self.next_probe(self.now(), at) {
            self.announce(Due::Later(Event { at: test, what: What::Probe, ..event }));
        }
    }

    /// A key is out for long: providers have said so of good keys by mistake.
    pub(super) fn doubt_soon(&self, generation: &Generation, roster: &Roster, index: u32) {
        if self.policy.probe_interval.is_some_and(|interval| interval > SOON) {
            let (at, what) = (self.now().after(SOON), What::EarlyProbe);
            let (generation, roster) = (generation.number, roster.id);
            self.announce(Due::Later(Event { at, generation, roster, index, what }));
        }
    }

    /// When a cooldown until `end` is next put to the test, if it is that long; `tried` is when its key was last.
    fn next_probe(&self, tried: Millis, end: Millis) -> Option<Millis> {
        let interval = u64::try_from(self.policy.probe_interval?.as_millis()).ok()?;
        Some(Millis(tried.0.saturating_add(interval))).filter(|at| *at < end)
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

    /// Keeps a key to what is surely left of its limit until that is whole again.
    pub(super) fn keep_to_limit(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        requests: u32,
        whole: Millis,
    ) {
        roster.rotation.note_whole(index, Some(whole));
        self.keep_to_ration(generation, roster, index, |ration| ration.tell(requests, true));
    }

    /// A key is back that was out for what its story tells: it has a ration of so many at first, and if that was for more
    /// than a minute, a part of its share.
    pub(super) fn begin_small(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        requests: u32,
        story: Option<&Story>,
    ) {
        let long = was_away_for_long(story);
        self.keep_to_ration(generation, roster, index, |ration| {
            if long { ration.begin_small(requests, index) } else { ration.set(requests) }
        });
    }

    /// Others that are there are asked rather than this key, for some seconds.
    pub(super) fn pass_over(&self, generation: &Generation, roster: &Roster, index: u32) {
        self.keep_to_ration(generation, roster, index, |ration| ration.pass_over(index));
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
                What::Probe | What::EarlyProbe => again = self.offer_probe(roster, base, event),
                What::MoreShare => {
                    let rotation = &roster.rotation;
                    let (_, under_way) = rotation.ration(event.index).turns();
                    roster.crowds.note(event.index, self.now(), under_way);
                    let is_whole = rotation.is_whole(event.index, self.now());
                    let grows = rotation.ration(event.index).ease(roster.top(event.index), is_whole);
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

    /// Offers a key that is in cooldown to one request, unless one has tried it of late: then an interval after that.
    fn offer_probe(&self, roster: &Roster, base: Option<&Roster>, event: Event) -> Option<Event> {
        let Place::Cooldown(end) = roster.rotation.standing(event.index).place else { return None };
        // Held until it is offered: an operator who sets it aside takes the offer back.
        let stories = roster.stories();
        let story = stories.get(&event.index);
        // A suspect is looked after by checks, which cost nothing, and is soon back for a while in any case.
        if story.is_some_and(|story| story.is_operators() || story.is_condemned()) {
            return None;
        }
        let now = self.now();
        // Who took the last offer may have tried it any time since.
        let late = |tried: &Millis| {
            self.policy
                .probe_interval
                .is_some_and(|interval| self.instant(*tried) + interval / 2 > self.instant(now))
        };
        let is_early = event.what == What::EarlyProbe;
        if is_early && !story.is_some_and(|story| story.is_for_long()) {
            return None;
        }
        let tried = story.map(|story| story.tried).filter(|tried| !is_early && late(tried));
        if tried.is_none() {
            roster.rotation.ration(event.index).offer_probe();
            roster.show(event.index, base);
        }
        self.next_probe(tried.unwrap_or(now), end).filter(|_| !is_early).map(|at| Event { at, ..event })
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
        // Held until the standing is changed: whoever sets the key aside after that leaves a story that is to stay.
        let mut stories = roster.stories();
        // Not all at once: what waited for it would run it into its limit again, unless that is known.
        let story = stories.get(&event.index).map(|story| &**story);
        match roster.learnt.surely(event.index, now).filter(|_| !was_away_for_long(story)) {
            Some((requests, _)) if roster.at_most(event.index, requests) < requests => {
                let most = roster.at_most(event.index, requests);
                self.keep_to_ration(generation, roster, event.index, |ration| ration.set(most));
            }
            Some((requests, whole)) => {
                self.keep_to_limit(generation, roster, event.index, requests, whole);
            }
            None => self.begin_small(generation, roster, event.index, 1, story),
        }
        let (_, after) = roster.change(event.index, base, |standing| standing.at(now));
        if after.is_available() {
            stories.remove(&event.index);
        }
        None
    }

    /// The keys were replaced: forgets what was to happen to the old ones, and reads all cooldowns that are running.
    pub(super) fn begin_anew(&self, queue: &mut Queue) {
        let generation = self.generation.load();
        // What was announced of the new ones before this was heard.
        queue.in_order.retain(|event| event.generation == generation.number);
        queue.times.retain(|event, _| event.generation == generation.number);
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
                    queue.add(event);
                    let story = roster.story(index);
                    let tried = story.as_ref().map_or_else(|| self.now(), |story| story.tried);
                    let is_doubtful = |story: Arc<Story>| {
                        let (standing, served) =
                            (roster.rotation.standing(index), generation.served_by(index));
                        roster.is_doubtful(&story, standing, served, self.now())
                    };
                    if tried.after(SOON) > self.now() && story.is_some_and(is_doubtful) {
                        queue.add(Event { at: tried.after(SOON), what: What::EarlyProbe, ..event });
                    }
                    if let Some(at) = self.next_probe(tried, at) {
                        queue.add(Event { at, what: What::Probe, ..event });
                    }
                }
            }
        });
    }

    pub(super) fn announce(&self, due: Due) {
        // Without a clock (in tests and benches) nobody listens, and nothing is lost but the end of cooldowns.
        drop(self.due.send(due));
    }
}
