//! Keys that are in rotation, but have as many requests as their rations allow: for requests that find no other.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::generation::Generation;
use super::lease::Lease;
use super::outlook::comes_back_by;
use super::pool::{KeyPool, Need};
use super::ration::Entry;
use super::roster::Roster;
use super::rotation::Turn;
use super::state::Millis;

/// How long a request waits for keys that are in rotation to have room for it.
pub(super) const WAIT_FOR_RATION: Duration = Duration::from_millis(400);

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
        let turn = model.as_deref().unwrap_or(&generation.base).rotation.take_busy(need.not)?;
        Some(self.exceeding(generation, model, turn))
    }

    /// A busy key, one that this request has not tried if there is such: for a later [`lease_stuck`](Self::lease_stuck).
    pub(super) fn find_busy(&self, need: Need<'_>) -> Option<Busy> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let rotation = &model.as_deref().unwrap_or(&generation.base).rotation;
        let index = rotation.next_busy(need.not).or_else(|| rotation.next_busy(&[]))?;
        let turns = turns(&generation, model.as_deref(), index);
        Some(Busy { generation: generation.number, index, turns })
    }

    /// Leases a key that was found busy if it is so still, none of its requests has ended since and none begun, and no key
    /// that is out comes back within `wait`: then there is nothing to wait for. So one at a time gets more than the ration.
    pub(super) fn lease_stuck(&self, need: Need<'_>, found: Busy, wait: Duration) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model);
        if generation.number != found.generation
            || turns(&generation, model.as_deref(), found.index) != found.turns
        {
            return None;
        }
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let by = Millis(self.now().0.saturating_add(wait));
        if comes_back_by(&generation, model.as_deref(), by) {
            return None;
        }
        let turn = model.as_deref().unwrap_or(&generation.base).rotation.exceed(found.index)?;
        Some(self.exceeding(generation, model, turn))
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
