//! Keys that are in rotation, but have as many requests as their rations allow: for requests that find no other.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::generation::Generation;
use super::lease::Lease;
use super::outlook::comes_back_by;
use super::pool::{KeyPool, Need};
use super::ration::{Entry, LARGEST_OF_ALL, Top};
use super::roster::Roster;
use super::rotation::Turn;
use super::state::Millis;

/// For how long busy keys must have been silent before more is asked of them: an eighth of what a request can wait, within
/// these bounds. What a provider refuses, it mostly refuses sooner.
const SILENCE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

pub(super) fn silence(wait: Duration) -> Duration {
    let [least, most] = SILENCE;
    (wait / 8).clamp(least, most)
}

/// A busy key, as a request found it that then went on to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    generation: u64,
    index: u32,
    turns: Turns,
}

impl KeyPool {
    /// Leases a key that is in rotation, but has as many requests as its ration allows: better than none.
    pub fn lease_busy(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let turn = generation.of(model.as_ref()).0.rotation.take_busy(need.not)?;
        Some(self.exceeding(generation, model, turn))
    }

    /// A busy key, one that this request has not tried if there is such: for a later [`ease_stuck`](Self::ease_stuck).
    pub(super) fn find_busy(&self, need: Need<'_>) -> Option<Busy> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let rotation = &generation.of(model.as_ref()).0.rotation;
        let index = rotation.next_busy(need.not).or_else(|| rotation.next_busy(&[]))?;
        let turns = turns(&generation, model.as_deref(), index);
        Some(Busy { generation: generation.number, index, turns })
    }

    /// Raises the ration of a key that was found busy if it is so still, none of its requests has ended since and none begun,
    /// and no key that is out comes back within `wait`: what is under way was not refused, and there is nothing to wait for.
    pub(super) fn ease_stuck(&self, need: Need<'_>, found: Busy, wait: Duration) {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let roster = generation.of(model.as_ref()).0;
        if generation.number != found.generation
            || !roster.rotation.is_busy(found.index)
            || turns(&generation, model.as_deref(), found.index) != found.turns
        {
            return;
        }
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        if comes_back_by(&generation, model.as_deref(), Millis(now.0.saturating_add(wait))) {
            return;
        }
        for roster in [Some(&generation.base), model.as_deref()].into_iter().flatten() {
            let ration = roster.rotation.ration(found.index);
            // Silence says nothing of a limit that is known.
            let is_known = || {
                roster.crowds.most(found.index).is_some()
                    || roster.learnt.surely(found.index, now).is_some_and(|(_, whole)| whole > now)
            };
            if !ration.has_room() && !is_known() {
                let top = Top::Open(LARGEST_OF_ALL);
                ration.raise(top, roster.rotation.is_whole(found.index, now));
            }
        }
        generation.base.show(found.index, None);
        generation.spread(found.index);
    }

    fn exceeding(
        &self,
        generation: Guard<Arc<Generation>>,
        model: Option<Arc<Roster>>,
        turn: Turn,
    ) -> Lease<'_> {
        // The key's ration as such has room for a model's turn, or is exceeded as well.
        let of_base =
            model.as_ref().map_or(Entry::Free, |_| generation.base.rotation.ration(turn.index).exceed());
        Lease::new(self, generation, model, turn, of_base)
    }
}

/// Changes with each counted request of a key that begins or ends, in every respect.
type Turns = [Option<(u16, u32)>; 2];

fn turns(generation: &Generation, model: Option<&Roster>, index: u32) -> Turns {
    [Some(&generation.base), model].map(|roster| Some(roster?.rotation.ration(index).turns()))
}
