//! The right to use one key for one attempt.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;

use super::crowd::Seat;
use super::generation::{Generation, Texts};
use super::here::{Here, Today};
use super::hider::Hider;
use super::pool::KeyPool;
use super::ration::Entry;
use super::roster::{Cause, Roster};
use super::rotation::Turn;
use super::secret::preview;
use super::state::Effect;
use super::storm::{Accuser, Finding, SET_ASIDE_AFTER, SPENT_AFTER, Service};

mod remains;

pub use remains::{Left, Remains};

/// The right to use one key for one attempt. It ends in a verdict; dropped without one (the client went away, or
/// the failure was not the key's) it blames nobody, and a test of a key that is out is left to another request.
pub struct Lease<'pool> {
    pub(super) pool: &'pool KeyPool,
    pub(super) generation: Guard<Arc<Generation>>,
    /// The model's roster that it was taken from, if not from the keys as such.
    pub(super) model: Option<Arc<Roster>>,
    pub(super) index: u32,
    ends_lap: bool,
    pub(super) entry: Entry,
    pub(super) of_base: Entry,
    has_made_its_test: Cell<bool>,
}

/// Why a key is to be set aside.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// What it means for the key.
    pub effect: Effect,
    /// For this model alone.
    pub model: Option<&'a str>,
    /// Who said so.
    pub by: Accuser<'a>,
    /// How many tokens were left when it was refused for more.
    pub too_few_tokens: Option<u32>,
    /// For people.
    pub cause: Cause,
}

impl From<Effect> for Failure<'_> {
    /// All else is unknown.
    fn from(effect: Effect) -> Self {
        Self { effect, model: None, by: Accuser::default(), too_few_tokens: None, cause: Cause::default() }
    }
}

/// What a success came to.
#[derive(Default)]
pub struct Success {
    /// Whether it ended an outage of its upstream's.
    pub ended_storm: bool,
    /// To be held until the answer has ended.
    pub seat: Option<Box<Seat>>,
}

/// What a failure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing that anybody has to hear of.
    Noted,
    /// The key left the rotation with this.
    Out(Effect),
    /// It is the upstream's fault, and others may serve the key.
    OfUpstream,
    /// It may be that, but the key has never served: it may be no good anywhere.
    Unclear,
}

impl<'pool> Lease<'pool> {
    pub(super) fn new(
        pool: &'pool KeyPool,
        generation: Guard<Arc<Generation>>,
        model: Option<Arc<Roster>>,
        turn: Turn,
        of_base: Entry,
    ) -> Self {
        Self {
            pool,
            generation,
            model,
            index: turn.index,
            ends_lap: turn.ends_lap,
            entry: turn.entry,
            of_base,
            has_made_its_test: Cell::new(false),
        }
    }

    /// The key's place in the file.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The key itself, for the one place that sends it and the one that redacts it.
    pub fn expose(&self) -> &str {
        self.generation.keys().get(self.index)
    }

    /// A text that leaves, with every key of the pool in it hidden, and what it has of this one, escaped or not; `None` if it
    /// has nothing.
    pub fn redact(&self, text: &[u8]) -> Option<Vec<u8>> {
        let Texts { keys, marks } = &*self.generation.texts;
        marks.redact(keys, self.expose(), text)
    }

    /// The same for a value that next to never has anything: only whole keys, as they are.
    pub fn redact_plain(&self, value: &[u8]) -> Option<Vec<u8>> {
        let Texts { keys, marks } = &*self.generation.texts;
        marks.redact_plain(keys, value)
    }

    /// What hides keys beyond the lease's end.
    pub fn hider(&self) -> Hider {
        Hider::new(Arc::clone(&self.generation.texts), self.index)
    }

    /// What may be shown of it.
    pub fn preview(&self) -> String {
        preview(self.expose())
    }

    /// How many tokens a request is known to cost, 0 if nothing is known.
    pub fn price(&self) -> u32 {
        self.generation.of(self.model.as_ref()).0.price.tokens()
    }

    /// Over how many keys this turn was the last of a lap, if it was.
    pub fn ends_lap_over(&self) -> Option<usize> {
        let lap = || self.generation.of(self.model.as_ref()).0.rotation.available();
        self.ends_lap.then(lap)
    }

    /// Whether it puts a key to the test that is out, so that it may well fail.
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.entry.is_probe() || self.of_base.is_probe()
    }

    /// All models were shown the one test of a key that is out.
    #[cold]
    pub(super) fn withdraw_from_models(&self) {
        self.generation.spread(self.index);
    }

    /// The upstream is at fault: the test of a key that is out has been made, and the next is when it is due.
    #[cold]
    pub fn spend(self) {
        self.has_made_its_test.set(true);
    }

    /// A check can't tell whether a key is good that is out: the next request does, as at the end of a cooldown.
    #[cold]
    pub fn offer(self) {
        let Some(here) = self.here() else { return };
        here.generation.base.offer_again(here.index, None);
        here.generation.spread(here.index);
    }

    /// Leaves a test that told nothing to another request.
    #[cold]
    fn leave_to_others(&self) {
        let Some(here) = self.here() else { return };
        for (roster, base, entry) in self.rosters(&here) {
            if entry == Entry::Probe {
                roster.offer_again(here.index, base);
            }
        }
    }

    /// The key did its work, for `model` if one was asked for, at `upstream`.
    pub fn succeed(
        mut self,
        model: Option<&str>,
        upstream: usize,
        service: Service,
        remains: Remains<'_>,
    ) -> Success {
        let Some((here, ended_storm)) = self.work(model, upstream, service) else {
            return Success::default();
        };
        let now = || self.pool.since_began();
        let mark = model.map_or(0, |model| self.pool.served.note(model, here.index, now()));
        if let Some(tally) = here.generation.tally(here.index)
            && tally.count_served(mark)
            && let Some(model) = model
        {
            tally.mark_served(mark);
            here.serve_first(self.pool, model, service);
        }
        if let Some(roster) = &here.model {
            here.succeed(self.pool, Some(roster), service, self.entry);
        }
        if self.is_rationed() || remains.left.is_little() {
            self.spare(&here, upstream, service, remains);
        }
        drop(here);
        let seat = if self.is_rationed() { self.seat() } else { None };
        Success { ended_storm, seat }
    }

    fn is_rationed(&self) -> bool {
        self.entry != Entry::Free || self.of_base != Entry::Free
    }

    /// The key passed a free check at `upstream`. Returns whether it ended an outage of that upstream's; `None` if the key is
    /// not back: it is gone, or an operator has set it aside meanwhile.
    pub fn pass_check(self, upstream: usize) -> Option<bool> {
        let (here, ended_storm) = self.work(None, upstream, Service::Free)?;
        here.generation.tally(here.index)?.note_passed_check();
        here.generation.base.rotation.standing(here.index).is_available().then_some(ended_storm)
    }

    /// Settles what an upstream's good answer means for the keys as such; `None` if this one is none of them any more.
    #[inline]
    fn work(&self, model: Option<&str>, upstream: usize, service: Service) -> Option<(Here<'_>, bool)> {
        let here = self.here()?;
        let mut ended_storm = false;
        if self.pool.storms.concern(model) {
            ended_storm = self.end_storms(&here, model, upstream, service);
        }
        if let Some(recovery) = here.succeed(self.pool, None, service, self.base_entry()) {
            ended_storm |= self.recovered(&here, recovery, upstream, service);
        }
        Some((here, ended_storm))
    }

    /// How the lease came to its key in a roster of today's. After a reload requests are numbered anew.
    pub(super) fn entry_of(&self, here: &Here<'_>, roster: &Roster) -> Entry {
        match (&here.generation, &self.model) {
            (Today::Other(_), _) => Entry::Free,
            _ if roster.id == 0 => self.base_entry(),
            (_, Some(model)) if model.id == roster.id => self.entry,
            _ => Entry::Free,
        }
    }

    fn base_entry(&self) -> Entry {
        if self.model.is_some() { self.of_base } else { self.entry }
    }

    fn rosters<'a>(
        &'a self,
        here: &'a Here<'_>,
    ) -> impl Iterator<Item = (&'a Roster, Option<&'a Roster>, Entry)> {
        let base = &here.generation.base;
        let of_model = here.model.as_deref().map(|roster| (roster, Some(base), self.entry));
        [Some((base, None, self.base_entry())), of_model].into_iter().flatten()
    }

    /// The upstreams whose storm is on, or that are at a limit of their own.
    pub fn storming(&self) -> Vec<usize> {
        self.pool.storms().into_iter().map(|(upstream, ..)| upstream).collect()
    }

    /// The key failed. Returns what it came to.
    pub fn fail(self, failure: Failure<'_>) -> Settled {
        self.has_made_its_test.set(true);
        let Some(here) = self.here() else { return Settled::Noted };
        let Failure { mut effect, model, by, too_few_tokens, cause } = failure;
        if let Some(tally) = here.generation.tally(here.index).filter(|_| !by.by_check) {
            tally.failed.fetch_add(1, Ordering::Relaxed);
        }
        if by.by_check {
            self.pool.storms.note_discerning(by.upstream);
        }
        if matches!(effect, Effect::Limited { .. } | Effect::Exhausted { .. }) && !by.by_check {
            let of_limit = matches!(effect, Effect::Limited { .. });
            self.pool.foretold.refused((by.upstream, here.index), of_limit, self.is_probe(), self.pool.now());
        }
        // Keys that take turns also run out of a model's quota together.
        if model.is_none() && matches!(effect, Effect::Invalid | Effect::Exhausted { .. }) {
            let pool = here.generation.base.rotation.len();
            let served = here.generation.served_by(here.index);
            let wait = if let Effect::Exhausted { wait } = effect { wait } else { None };
            let names_end = wait.is_some_and(|wait| !wait.is_zero());
            let finding = self.pool.storms.told((here.index, served), by, pool, self.pool.now(), names_end);
            let is_upstreams = match finding {
                Finding::Believed => false,
                Finding::Suspected(times) => times < SET_ASIDE_AFTER,
                Finding::Begins(_) => true,
            };
            effect = match (&finding, effect) {
                (Finding::Believed, effect) => effect,
                (Finding::Suspected(SPENT_AFTER..), Effect::Exhausted { .. }) => effect,
                _ => Effect::Suspected,
            };
            if let Finding::Begins(others) = finding {
                self.begin_storm(&here, by, others);
            }
            if is_upstreams && by.is_one_of_several {
                // One that has never served may be no good anywhere.
                return if served > 0 { Settled::OfUpstream } else { Settled::Unclear };
            }
        }
        if matches!(effect, Effect::Limited { .. } | Effect::Crowded { .. })
            && self.is_upstreams_limit(&here, by)
        {
            return Settled::OfUpstream;
        }
        let of_model = here.generation.model(model);
        let about = here.generation.of(of_model.as_ref()).0;
        if self.entry_of(&here, about) == Entry::Free {
            about.learnt.lose_count(here.index, self.pool.now());
        }
        // Whatever it has under way in all says nothing of a model for which keys do not stand apart yet.
        if let Effect::Crowded { wait } = effect
            && model.is_some() == (about.id != 0)
            && self.keep_to_fewer(&here, about)
            && wait.is_none_or(|wait| wait.is_zero())
        {
            return Settled::Noted;
        }
        let is_out = here.set_aside(self.pool, model, effect, cause, self.is_probe());
        if let Some(tokens) = too_few_tokens {
            let of_model = here.generation.model(model);
            here.generation.of(of_model.as_ref()).0.price.learn(tokens.saturating_add(1));
        }
        if is_out { Settled::Out(effect) } else { Settled::Noted }
    }

    fn give_back(&self) {
        self.generation.give_back(self.model.as_deref(), self.index, self.entry, self.of_base);
        if !self.has_made_its_test.get() && (self.entry == Entry::Probe || self.of_base == Entry::Probe) {
            self.leave_to_others();
        }
    }

    /// Where the key stands today; `None` if it is gone, or a reset has drawn a line.
    #[inline]
    pub(super) fn here(&self) -> Option<Here<'_>> {
        if self.pool.number.load(Ordering::Acquire) == self.generation.number {
            let generation = Today::Same(&self.generation);
            return Some(Here { generation, model: self.model.clone(), index: self.index });
        }
        self.here_after_reload()
    }

    #[cold]
    fn here_after_reload(&self) -> Option<Here<'_>> {
        let generation = self.pool.generation.load();
        if generation.resets != self.generation.resets {
            return None;
        }
        let index = generation.keys().find(self.expose())?;
        let model = generation.model(self.model.as_ref().and_then(|roster| roster.model.as_deref()));
        Some(Here { generation: Today::Other(generation), model, index })
    }
}

impl Drop for Lease<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_rationed() {
            self.give_back();
        }
    }
}
