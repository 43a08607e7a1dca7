//! Which other keys one key's fate speaks for: a storm makes others suspects, a key that works frees those that were refused
//! with it.

use super::generation::Generation;
use super::here::{Here, Recovery};
use super::lease::Lease;
use super::pool::KeyPool;
use super::roster::{Roster, Story};
use super::state::{Effect, Place, Standing};
use super::storm::{Accuser, Limit, OwnLimit, Service};

/// Verdicts of so many milliseconds may be of one outage.
const OF_LATE: u64 = 60_000;

impl Lease<'_> {
    /// A key works that had failed: so may those that were given up with it. Returns whether there are any.
    #[cold]
    pub(super) fn recovered(
        &self,
        here: &Here<'_>,
        recovery: Recovery,
        upstream: usize,
        service: Service,
    ) -> bool {
        let suspects = match service {
            Service::Paid => self.pool.storms.recovered(upstream, here.index),
            Service::Free => Vec::new(),
        };
        let any = self.pool.release(&suspects, |story| story.effect == Effect::Suspected);
        let condemned = self.pool.storms.acquitted(upstream, here.index);
        let any = self.pool.release(&condemned, |story| story.effect == Effect::Invalid) || any;
        let was_given_up = matches!(recovery.was_out_for, Some(Effect::Invalid | Effect::Exhausted { .. }));
        // A list that everybody may see says nothing even of the one.
        let is_proof = service == Service::Paid || self.pool.storms.is_discerning(upstream);
        let is_alone = was_given_up && is_proof && here.generation.base.rotation.serving() <= 1;
        // All were given up, and one of them works: the word on the others is worth no more.
        let given_up = if is_alone { here.generation.given_up(service) } else { Vec::new() };
        self.pool.release(&given_up, |_| true) || any
    }

    /// A key is served while there are storms, or may be: some may end, or begin. Returns whether there are suspects that are back.
    #[cold]
    pub(super) fn end_storms(
        &self,
        here: &Here<'_>,
        model: Option<&str>,
        upstream: usize,
        service: Service,
    ) -> bool {
        if service == Service::Paid {
            for limit in self.pool.storms.served_by(upstream, model, self.pool.now()) {
                self.pool.absolve_limited_by(&limit);
            }
        }
        let suspects = self.pool.storms.served(upstream, here.index, service, self.pool.now());
        self.pool.release(&suspects, |story| story.effect == Effect::Suspected)
    }

    /// Whether the limit that the key was refused for is its upstream's own.
    pub(super) fn is_upstreams_limit(&self, here: &Here<'_>, by: Accuser<'_>) -> bool {
        let pool = here.generation.base.rotation.len();
        let limit = self.pool.storms.limited(here.index, by, pool, self.pool.now());
        if let Limit::Begins(limit) = &limit {
            self.pool.absolve_limited_by(limit);
        }
        limit != Limit::OfKey
    }

    /// Undoes what was believed of the other keys that a storm has swept away.
    pub(super) fn begin_storm(&self, here: &Here<'_>, by: Accuser<'_>, others: Vec<u32>) {
        let keys = others.len() + 1;
        if by.is_one_of_several {
            tracing::error!(
                upstream = by.url,
                keys,
                "one upstream of several refuses key after key: taken for its outage, \
                 the keys stay with the others until it has served again"
            );
            self.pool.release(&others, |story| story.is_hard() || story.effect == Effect::Suspected);
            return;
        }
        tracing::error!(
            upstream = by.url,
            keys,
            "most of the pool was refused at once: taken for the upstream's outage, \
             the keys are held as suspects until one works again"
        );
        let policy = self.pool.of_suspects();
        for index in others {
            here.suspect(self.pool, index, &policy);
        }
    }

    /// An upstream has refused this key, and another one serves it: so it may those that the first one condemned of late,
    /// where they are all but the last.
    #[cold]
    pub fn absolve_accused_by(&self, upstream: usize) {
        let Some(here) = self.here() else { return };
        if here.generation.base.rotation.serving() > 1 {
            return;
        }
        let since = self.pool.now().0.saturating_sub(OF_LATE);
        let is_its = |story: &Story| {
            story.is_hard()
                && story.cause.wait.is_none()
                && story.cause.upstream == Some(upstream)
                && story.tried.0 >= since
        };
        let accused: Vec<u32> = {
            let stories = here.generation.base.stories();
            stories.iter().filter(|(_, story)| is_its(story)).map(|(index, _)| *index).collect()
        };
        self.pool.release(&accused, is_its);
    }
}

impl KeyPool {
    /// An upstream is at a limit of its own: what it has said of keys is none of theirs.
    #[cold]
    fn absolve_limited_by(&self, limit: &OwnLimit) {
        let OwnLimit { upstream, model, url, began, keys } = limit;
        tracing::error!(
            upstream = url,
            model,
            keys,
            "one upstream of several refuses key after key for limits: taken for a limit of its own, \
             the keys stay with the others until it has served again"
        );
        let is_its = |story: &Story| {
            story.is_limited() && story.cause.upstream == Some(*upstream) && story.tried >= *began
        };
        let generation = self.generation.load_full();
        generation.each(|roster, base| {
            if base.is_some() && model.is_some() && roster.model != *model {
                return;
            }
            let limited: Vec<u32> = {
                let stories = roster.stories();
                stories.iter().filter(|(_, story)| is_its(story)).map(|(index, _)| *index).collect()
            };
            self.release_in(&generation, (roster, base), &limited, is_its);
        });
    }

    /// Lets keys that are out for such a reason back into rotation, each for one request at first. Returns whether there are
    /// any.
    #[cold]
    pub(super) fn release(&self, keys: &[u32], reason: impl Fn(&Story) -> bool) -> bool {
        if keys.is_empty() {
            return false;
        }
        let generation = self.generation.load_full();
        self.release_in(&generation, (&generation.base, None), keys, reason)
    }

    fn release_in(
        &self,
        generation: &Generation,
        (roster, base): (&Roster, Option<&Roster>),
        keys: &[u32],
        reason: impl Fn(&Story) -> bool,
    ) -> bool {
        let mut any = false;
        for index in keys.iter().copied() {
            // Held until the standing is changed: whoever sets the key aside after that leaves a story that is to stay.
            let mut stories = roster.stories();
            if !stories.get(&index).is_some_and(|story| reason(story) && !story.is_operators()) {
                continue;
            }
            let story = stories.remove(&index);
            self.begin_small(generation, roster, index, 1, story.as_deref());
            roster.change(index, base, |standing| Standing { place: Place::Available, ..standing });
            drop(stories);
            if base.is_none() {
                generation.spread(index);
            }
            self.note_change(index, roster.model.as_deref());
            any = true;
        }
        any
    }
}
