//! Models that keys may not use. Providers say so of good keys by mistake, and what a client is told then no other key
//! cures if none may use the model: so a key that has served it is asked again by the next request, and after cooldowns
//! like any other's if it is told the same. One that never served it is not asked for an hour.

use std::time::Duration;

use super::generation::Generation;
use super::here::Here;
use super::lease::Lease;
use super::outlook::first_of_denied;
use super::pool::{KeyPool, Need};
use super::ration::Entry;
use super::roster::Roster;
use super::rotation::Turn;
use super::served::{REMEMBERED, mark};
use super::state::{CooldownPolicy, Effect};
use super::storm::Service;

/// How long a key is not asked again for a model that it may not use and has not served.
const DENIAL: Duration = Duration::from_secs(60 * 60);
/// For how many minutes after its last success a key is asked, where another was denied the model, though it is denied it too.
const A_MOMENT: u64 = 1;

impl Here<'_> {
    /// Whether the key has served this model, as far as marks tell it.
    pub(super) fn has_served(&self, model: Option<&str>) -> bool {
        let tally = self.generation.tally(self.index);
        model.zip(tally).is_some_and(|(model, tally)| tally.has_served(mark(model)))
    }

    /// The key served this model, for the first time as far as marks tell it.
    #[cold]
    pub(super) fn serve_first(&self, pool: &KeyPool, model: &str, service: Service) {
        // Leased before keys stood apart for the model, it may have been denied it meanwhile.
        if self.model.is_none()
            && let Some(roster) = self.generation.model(Some(model))
        {
            self.succeed(pool, Some(&roster), service, Entry::Free);
        }
    }
}

impl KeyPool {
    /// How denials become cooldowns where the key has not served the model.
    pub(super) fn of_strangers(&self) -> CooldownPolicy {
        CooldownPolicy { first: DENIAL, longest: DENIAL, ..self.policy.cooldown }
    }

    /// Where every key is denied this model: leases one all the same, the likeliest to serve it, failing that the one that
    /// comes back first, or any. If it may not use the model the provider says so itself, at no key's cost.
    pub fn lease_denied(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model)?;
        let first = first_of_denied(&generation, &model)?;
        let likely = self.likeliest(&generation, &model, need, REMEMBERED);
        if let Some(index) = likely.or(Some(first).filter(|first| is_free(&generation, need, *first))) {
            return Some(self.probe(generation, Some(model), index));
        }
        let base = &generation.base;
        let (turn, _) = base.take(need.not, None).or_else(|| base.take(&[], None))?;
        let of_model = Turn { entry: Entry::Asked, ..turn };
        Some(self.turned(generation, Some(model), of_model, turn.entry))
    }

    /// Leases a key that is denied this model and has served it a moment ago: both can't be right.
    pub(super) fn lease_denied_of_late(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        let model = generation.model(need.model)?;
        let index = self.likeliest(&generation, &model, need, A_MOMENT)?;
        Some(self.probe(generation, Some(model), index))
    }

    /// Of the keys that are denied this model and served it within so many minutes, the latest of those that were refused
    /// least often since.
    fn likeliest(
        &self,
        generation: &Generation,
        model: &Roster,
        need: Need<'_>,
        minutes: u64,
    ) -> Option<u32> {
        let served =
            need.model.into_iter().flat_map(|model| self.served.by(model, self.since_began(), minutes));
        let is_denied = |index| model.story(index).is_some_and(|story| story.effect == Effect::Denied);
        served
            .filter(|index| is_free(generation, need, *index) && is_denied(*index))
            .min_by_key(|index| model.rotation.standing(*index).failures)
    }
}

/// Whether a key that was not tried is there, and in rotation as such.
fn is_free(generation: &Generation, need: Need<'_>, index: u32) -> bool {
    let rotation = &generation.base.rotation;
    (index as usize) < rotation.len() && rotation.standing(index).is_available() && !need.not.contains(&index)
}
