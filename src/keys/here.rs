//! Where a lease's key stands today, and what a verdict changes there.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::Guard;

use super::generation::Generation;
use super::pool::KeyPool;
use super::ration::Entry;
use super::roster::{Cause, Roster, Story};
use super::secret::preview;
use super::state::{CooldownPolicy, Effect, Millis, Place, Standing};
use super::storm::Service;

/// Where a lease's key stands today: a reload may have moved it.
pub(super) struct Here<'a> {
    pub(super) generation: Today<'a>,
    /// The model's roster, if keys stand apart for it.
    pub(super) model: Option<Arc<Roster>>,
    pub(super) index: u32,
}

/// The present generation.
pub(super) enum Today<'a> {
    /// The lease's own.
    Same(&'a Generation),
    Other(Guard<Arc<Generation>>),
}

impl Deref for Today<'_> {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        match self {
            Self::Same(generation) => generation,
            Self::Other(generation) => generation,
        }
    }
}

/// A key works that had failed.
#[derive(Clone, Copy)]
pub(super) struct Recovery {
    /// What it was out for, if it is back with this.
    pub(super) was_out_for: Option<Effect>,
}

impl Here<'_> {
    /// Settles a success. `None`: nearly always there is nothing to change.
    #[inline]
    pub(super) fn succeed(
        &self,
        pool: &KeyPool,
        model: Option<&Roster>,
        service: Service,
        entry: Entry,
    ) -> Option<Recovery> {
        let base = model.map(|_| &self.generation.base);
        let roster = model.unwrap_or(&self.generation.base);
        if roster.rotation.standing(self.index) == Standing::FRESH {
            return None;
        }
        Some(self.recover(pool, roster, base, service, entry))
    }

    #[cold]
    fn recover(
        &self,
        pool: &KeyPool,
        roster: &Roster,
        base: Option<&Roster>,
        service: Service,
        entry: Entry,
    ) -> Recovery {
        // Held until the standing is changed: whoever sets the key aside after that leaves a story that is to stay.
        let mut stories = roster.stories();
        let says_nothing =
            |story: &Arc<Story>| service == Service::Free && (story.is_of_credit() || story.is_limited());
        let stays = |story: &Arc<Story>| story.is_operators() || says_nothing(story);
        if stories.get(&self.index).is_some_and(stays) {
            return Recovery { was_out_for: None };
        }
        // Whoever serves a model may use it.
        let is_denied = stories.get(&self.index).is_some_and(|story| story.effect == Effect::Denied);
        let is_news = entry.is_probe() || is_denied;
        let (before, after) = roster.change(self.index, base, |standing| {
            standing.after(Effect::Success, &pool.policy.cooldown, Millis(0), 0.0, is_news)
        });
        if before.is_available() || !after.is_available() {
            return Recovery { was_out_for: None };
        }
        let story = stories.remove(&self.index);
        let may_be_good = story.as_deref().filter(|story| service == Service::Paid && story.is_for_long());
        let fell_with_it =
            may_be_good.map_or_else(Vec::new, |story| roster.some_that_fell_with(&stories, story));
        drop(stories);
        for index in fell_with_it {
            roster.offer_again(index, base);
            if base.is_none() {
                self.generation.spread(index);
            }
        }
        roster.rotation.ration(self.index).withdraw_probe();
        if !is_denied {
            // A probe has found that it works again: its full share comes within seconds.
            pool.begin_small(&self.generation, roster, self.index, 2, story.as_deref());
        }
        pool.note_change(self.index, roster.model.as_deref());
        self.generation.spread(self.index);
        Recovery { was_out_for: story.map(|story| story.effect) }
    }

    /// Applies a failure. Returns whether the key left the rotation with it.
    pub(super) fn set_aside(
        &self,
        pool: &KeyPool,
        model: Option<&str>,
        effect: Effect,
        cause: Cause,
        probe: bool,
    ) -> bool {
        let made = model.map(|model| pool.roster_for(&self.generation, model));
        let roster = made.as_deref().unwrap_or(&self.generation.base);
        let base = made.as_ref().map(|_| &self.generation.base);
        let had_served = effect == Effect::Denied && self.has_served(model);
        let policy = match effect {
            Effect::Suspected => pool.of_suspects(),
            Effect::Denied if !had_served => pool.of_strangers(),
            _ => pool.policy.cooldown,
        };
        let mut stories = roster.stories();
        let story = stories.get(&self.index);
        if story.is_some_and(|story| story.is_operators()) {
            return false;
        }
        let (now, jitter) = (pool.now(), fastrand::f64());
        let (before, after) =
            roster.change(self.index, base, |standing| standing.after(effect, &policy, now, jitter, probe));
        if after.is_available() {
            if after.is_poor(effect) {
                pool.pass_over(&self.generation, roster, self.index);
            }
            return false;
        }
        if let (Effect::Limited { wait }, Place::Cooldown(until), false) = (effect, after.place, probe) {
            let served = self.generation.served_by(self.index);
            roster.learnt.refused(self.index, now, until, wait.is_some(), served);
        }
        let story = match story.filter(|_| !before.is_available()) {
            // A late word that changes nothing: it is out for what it was out for.
            Some(story)
                if before.place == after.place
                    && (after.place == Place::Permanent
                        || effect != Effect::Suspected
                        || !story.is_hard()) =>
            {
                // A test that it did not pass is no news.
                let asked = if probe { story.asked } else { 0 };
                Story { tried: now, checked: false, asked, ..(**story).clone() }
            }
            story => {
                let since = story.map_or_else(SystemTime::now, |story| story.since);
                Story { effect, since, tried: now, checked: false, asked: 0, cause }
            }
        };
        let served = self.generation.served_by(self.index);
        let is_doubtful = before.is_available() && roster.is_doubtful(&story, after, served, now);
        stories.insert(self.index, Arc::new(story));
        drop(stories);
        if after.place == Place::Permanent {
            roster.rotation.ration(self.index).withdraw_probe();
            roster.show(self.index, base);
        }
        if before.place != after.place {
            pool.schedule(&self.generation, roster, self.index, after);
            pool.note_change(self.index, model);
            if had_served && after.cooldowns == 1 {
                // It may have been a mistake: whoever is next finds out.
                roster.offer_again(self.index, base);
            }
        }
        if is_doubtful {
            pool.doubt_soon(&self.generation, roster, self.index);
        }
        if base.is_none() {
            self.generation.spread(self.index);
        }
        if before.is_available() {
            pool.losses.note(effect, base.is_some());
        }
        before.is_available()
    }

    /// Sets the key aside before its limit is run into (spec §6, "ahead of the limit").
    pub(super) fn rest(&self, pool: &KeyPool, model: Option<&str>, wait: Duration, cause: Cause) {
        let cause = Cause { wait: Some(wait), ..cause };
        if self.set_aside(pool, model, Effect::Spent { wait }, cause.clone(), false) {
            tracing::info!(
                key_index = self.index,
                key_preview = preview(self.generation.keys().get(self.index)),
                model,
                rule = &*cause.rule,
                wait_s = wait.as_secs_f64(),
                wait_from = cause.wait_from.as_deref(),
                "key rests"
            );
        }
    }

    /// A later answer of the same upstream than the one that said that nothing was left to the key says that something is;
    /// unless the limit is whole sooner by its word (`whole_in`): then it was overtaken by that one.
    pub(super) fn is_not_spent(
        &self,
        pool: &KeyPool,
        roster: &Roster,
        base: Option<&Roster>,
        upstream: usize,
        whole_in: Option<Duration>,
    ) {
        let Place::Cooldown(until) = roster.rotation.standing(self.index).place else { return };
        if whole_in.is_some_and(|whole_in| pool.now().after(whole_in) < until) {
            return;
        }
        // Held, as in `recover`.
        let mut stories = roster.stories();
        let is_its = |story: &Arc<Story>| {
            matches!(story.effect, Effect::Spent { .. }) && story.cause.upstream == Some(upstream)
        };
        if !stories.get(&self.index).is_some_and(is_its) {
            return;
        }
        let before = roster.rotation.standing(self.index);
        let (_, after) = roster.change(self.index, base, |standing| {
            if standing == before { Standing { place: Place::Available, ..standing } } else { standing }
        });
        if after.is_available() {
            stories.remove(&self.index);
            drop(stories);
            pool.note_change(self.index, roster.model.as_deref());
        }
    }

    /// Holds a key that was believed to be out for good, or for long, as a suspect.
    pub(super) fn suspect(&self, pool: &KeyPool, index: u32, policy: &CooldownPolicy) {
        let base = &self.generation.base;
        let mut stories = base.stories();
        let Some(story) = stories.get(&index).map(Arc::clone) else { return };
        if !story.is_hard() || story.is_operators() {
            return;
        }
        let (now, jitter) = (pool.now(), fastrand::f64());
        let (_, after) = base.change(index, None, |standing| {
            let standing = Standing { place: Place::Available, ..standing };
            standing.after(Effect::Suspected, policy, now, jitter, false)
        });
        let story = Story { effect: Effect::Suspected, ..(*story).clone() };
        stories.insert(index, Arc::new(story));
        drop(stories);
        pool.schedule(&self.generation, base, index, after);
        pool.note_change(index, None);
    }
}

impl KeyPool {
    /// How suspicions become cooldowns.
    pub(super) fn of_suspects(&self) -> CooldownPolicy {
        let policy = self.policy.cooldown;
        let longest = self.storms.longest_suspicion().min(policy.longest).max(policy.first);
        CooldownPolicy { longest, ..policy }
    }
}
