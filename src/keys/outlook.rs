//! When keys come back, as refusals tell it and requests wait for it. What the standings say, so that it is true whatever
//! brought a key back before its time; asked for every request that a dead pool refuses, so that it is remembered for
//! some fifty times as long as it takes to look at all keys.

use std::time::Duration;

use tokio::time::Instant;

use super::generation::Generation;
use super::pool::KeyPool;
use super::roster::Roster;
use super::state::{Effect, Millis, Place};

/// How long it is remembered, for each key: 5 ms in a pool of 50,000.
const REMEMBERED: Duration = Duration::from_nanos(100);

/// What is to be expected of a roster's keys.
#[derive(Clone, Copy)]
pub(super) struct Outlook {
    /// When the first key that is out comes back, and which.
    earliest: Option<(Millis, u32)>,
    /// Every key that could come back is out since it may not use the model.
    all_denied: bool,
    true_until: Instant,
}

impl KeyPool {
    /// How long until a key is available for a model: zero if one is, `None` if no cooldown is running.
    pub fn earliest_return(&self, model: Option<&str>) -> Option<Duration> {
        let generation = self.generation.load();
        let model = generation.model(model);
        let rotation = &generation.of(model.as_ref()).0.rotation;
        if rotation.serving() > 0 {
            return Some(Duration::ZERO);
        }
        let (at, _) = outlook(&generation, model.as_deref()).earliest?;
        Some(Duration::from_millis(at.0.saturating_sub(self.now().0)))
    }

    /// Whether a key may come back within `wait` for this model: by the clock, or because others give it back.
    pub fn may_return_within(&self, model: Option<&str>, wait: Duration) -> bool {
        self.earliest_return(model).is_some_and(|due| due <= wait)
    }

    /// The same of keys other than these, which are in rotation as a rule.
    pub fn others_may_return_within(&self, not: &[u32], model: Option<&str>, wait: Duration) -> bool {
        let generation = self.generation.load();
        let model = generation.model(model);
        let rotation = &generation.of(model.as_ref()).0.rotation;
        let is_in = |index: &&u32| {
            let is_in = |roster: &Roster| returns_at(roster, **index) == Some(Millis(0));
            (**index as usize) < rotation.len()
                && is_in(&generation.base)
                && model.as_deref().is_none_or(is_in)
        };
        rotation.serving() > not.iter().filter(is_in).count()
            || outlook(&generation, model.as_deref())
                .earliest
                .is_some_and(|(at, _)| self.instant(at) <= Instant::now() + wait)
    }
}

/// Where every key that could come back was set aside since it may not use this model: the one that does first.
pub(super) fn first_of_denied(generation: &Generation, model: &Roster) -> Option<u32> {
    let outlook = outlook(generation, Some(model));
    outlook.earliest.filter(|_| outlook.all_denied).map(|(_, index)| index)
}

/// Whether a key that is out comes back by then.
pub(super) fn comes_back_by(generation: &Generation, model: Option<&Roster>, at: Millis) -> bool {
    outlook(generation, model).earliest.is_some_and(|(earliest, _)| earliest <= at)
}

fn outlook(generation: &Generation, model: Option<&Roster>) -> Outlook {
    let roster = model.unwrap_or(&generation.base);
    let now = Instant::now();
    if let Some(known) = roster.outlook().filter(|known| known.true_until > now) {
        return known;
    }
    let outlook = look(&generation.base, model, now);
    roster.remember(outlook);
    outlook
}

fn look(base: &Roster, model: Option<&Roster>, now: Instant) -> Outlook {
    let mut earliest = None;
    // Until one is found that is not denied.
    let mut stories = model.map(Roster::stories);
    for index in (0_u32..).take(base.rotation.len()) {
        let Some(at) = returns_at(base, index).and_then(|at| match model {
            Some(roster) => Some(returns_at(roster, index)?.max(at)),
            None => Some(at),
        }) else {
            continue;
        };
        stories.take_if(|stories| stories.get(&index).is_none_or(|story| story.effect != Effect::Denied));
        if at > Millis(0) && earliest.is_none_or(|(earliest, _)| at < earliest) {
            earliest = Some((at, index));
        }
    }
    let lasts = REMEMBERED.saturating_mul(u32::try_from(base.rotation.len()).unwrap_or(u32::MAX));
    Outlook { earliest, all_denied: stories.is_some() && earliest.is_some(), true_until: now + lasts }
}

/// When a key is back in one respect: 0 if it is not out, `None` if never.
pub(super) fn returns_at(roster: &Roster, index: u32) -> Option<Millis> {
    match roster.rotation.standing(index).place {
        Place::Available => Some(Millis(0)),
        Place::Cooldown(at) => Some(at),
        Place::Permanent => None,
    }
}
