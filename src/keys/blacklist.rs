//! The keys that are out: which, why and until when, who is told of it, and how somebody else than a request sets a
//! key aside or brings it back.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::clock::SOON;
use super::generation::Generation;
use super::lease::Lease;
use super::pool::KeyPool;
use super::roster::{BY_OPERATOR, Cause, Roster, Story, reason, verdict};
use super::secret::preview;
use super::state::{Effect, Millis, Place, Standing};

/// A key out of rotation, for people (spec §10).
#[derive(Clone, Debug)]
pub struct Blacklisted {
    /// Its place in the file, from 0, duplicates not counted.
    pub index: u32,
    /// What may be shown of it.
    pub preview: String,
    /// The model for which it is out; `None`: for all.
    pub model: Option<Box<str>>,
    /// What it is out for.
    pub effect: Effect,
    /// For good, or until `recovers_at`.
    pub permanent: bool,
    /// Since when.
    pub blacklist_at: SystemTime,
    /// Until when.
    pub recovers_at: Option<SystemTime>,
    /// Failures in a row.
    pub fail_count: u32,
    /// Cooldowns in a row.
    pub cooldowns: u32,
    /// Why.
    pub cause: Cause,
}

impl Blacklisted {
    /// What it is out for, in operators' words: the verdict's name, or [`BY_OPERATOR`].
    pub fn reason(&self) -> &'static str {
        reason(self.effect, &self.cause)
    }

    /// The verdict's name.
    pub fn verdict(&self) -> &'static str {
        verdict(self.effect, &self.cause)
    }
}

/// A key that is out until it is found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct Condemned {
    /// Its place in the file.
    pub index: u32,
    /// Which reading of the file that is.
    pub generation: u64,
    /// It is only suspected: most of the pool was told the same.
    pub suspected: bool,
    /// It has served requests, and has passed no check after that.
    pub served_since_check: bool,
    /// How many checks it has passed since it last served, or else when it last passed one; 0: none ever.
    pub passes: u8,
    /// It was a suspect of a storm, and a check found it guilty.
    pub of_storm: bool,
    /// A check has confirmed it since it is out.
    pub checked: bool,
    /// So many checks were made since, or are, that have told nothing.
    pub asked: u8,
    /// How long it has been out.
    pub out_for: Duration,
    /// How long ago it was last tried.
    pub tried_ago: Duration,
    /// The upstream that told so.
    pub upstream: Option<usize>,
    /// Its list of models is not for everybody: it has refused a key.
    pub is_discerning: bool,
}

/// A standing that changed: the key's text is looked up when the journal is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Changed {
    /// The key's place in the file.
    pub index: u32,
    /// The model, where it is about one.
    pub model: Option<Box<str>>,
}

impl KeyPool {
    /// The keys that are out, in file order; those that are out for a model behind those that are out for all.
    pub fn blacklisted(&self) -> Vec<Blacklisted> {
        let generation = self.generation.load_full();
        let mut list = Vec::new();
        generation.each(|roster, _| {
            let mut out: Vec<(u32, Arc<Story>)> =
                roster.stories().iter().map(|(index, story)| (*index, Arc::clone(story))).collect();
            out.sort_unstable_by_key(|(index, _)| *index);
            list.extend(
                out.iter().filter_map(|(index, story)| self.entry(&generation, roster, *index, story)),
            );
        });
        list
    }

    /// Why a key is out: for all, or for a model. `None`: it is not.
    pub fn blacklisted_key(&self, changed: &Changed) -> Option<Blacklisted> {
        let generation = self.generation.load_full();
        let model = generation.model(changed.model.as_deref());
        let roster = match &changed.model {
            None => &generation.base,
            Some(_) => model.as_deref()?,
        };
        let story = roster.story(changed.index)?;
        self.entry(&generation, roster, changed.index, &story)
    }

    fn entry(
        &self,
        generation: &Generation,
        roster: &Roster,
        index: u32,
        story: &Story,
    ) -> Option<Blacklisted> {
        let standing = roster.rotation.standing(index);
        let recovers_at = match standing.place {
            // Its story is about to go.
            Place::Available => return None,
            Place::Cooldown(until) => {
                Some(SystemTime::now() + Duration::from_millis(until.0.saturating_sub(self.now().0)))
            }
            Place::Permanent => None,
        };
        Some(Blacklisted {
            index,
            preview: preview(generation.keys().get(index)),
            model: roster.model.clone(),
            effect: story.effect,
            permanent: recovers_at.is_none(),
            blacklist_at: story.since,
            recovers_at,
            fail_count: standing.failures,
            cooldowns: standing.cooldowns,
            cause: story.cause.clone(),
        })
    }

    /// Sets a key aside as somebody tells: the journal, or an operator.
    pub fn set_aside(&self, told: &Blacklisted) {
        let until = told.recovers_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        if until.is_some_and(|wait| wait.is_zero()) {
            return;
        }
        let place = until.map_or(Place::Permanent, |wait| {
            Place::Cooldown(Millis(self.now().0 + u64::try_from(wait.as_millis()).unwrap_or(0).max(1)))
        });
        let standing = Standing { place, failures: told.fail_count, cooldowns: told.cooldowns, moments: 0 };
        let generation = self.generation.load_full();
        if told.index as usize >= generation.base.rotation.len() {
            return;
        }
        let story = Story {
            effect: told.effect,
            since: told.blacklist_at,
            tried: self.now(),
            checked: false,
            asked: 0,
            cause: told.cause.clone(),
        };
        if told.model.is_none() {
            self.resume_storm(told.index, &story, |_| true);
        }
        let age = told.blacklist_at.elapsed().unwrap_or_default();
        let served = generation.served_by(told.index);
        let is_doubtful = |roster: &Roster, story: &Story| {
            age < 2 * SOON && roster.is_doubtful(story, standing, served, self.now())
        };
        let set = |roster: &Roster, base: Option<&Roster>| {
            let is_doubtful = is_doubtful(roster, &story);
            let mut stories = roster.stories();
            stories.insert(told.index, Arc::new(story));
            roster.rotation.ration(told.index).withdraw_probe();
            roster.change(told.index, base, |_| standing);
            // If it was out already, it may have been on offer.
            roster.show(told.index, base);
            drop(stories);
            self.schedule(&generation, roster, told.index, standing);
            if is_doubtful {
                self.doubt_soon(&generation, roster, told.index);
            }
        };
        match told.model.as_deref() {
            None => {
                set(&generation.base, None);
                generation.spread(told.index);
            }
            Some(model) => set(&self.roster_for(&generation, model), Some(&generation.base)),
        }
        self.note_change(told.index, told.model.as_deref());
    }

    /// Sets a key aside because an operator says so: for so long, or until an operator brings it back.
    pub fn set_aside_by_operator(&self, index: u32, wait: Option<Duration>) {
        let now = SystemTime::now();
        self.set_aside(&Blacklisted {
            index,
            preview: String::new(),
            model: None,
            effect: if wait.is_some() { Effect::Limited { wait } } else { Effect::Invalid },
            permanent: wait.is_none(),
            blacklist_at: now,
            recovers_at: wait.map(|wait| now + wait),
            fail_count: 0,
            cooldowns: 0,
            cause: Cause {
                rule: BY_OPERATOR.into(),
                error: "an operator set it aside".into(),
                ..Cause::default()
            },
        });
    }

    /// Brings back every key that is out, and tells how many there were.
    pub fn restore_all(&self) -> usize {
        let out: HashSet<u32> = self.blacklisted().iter().map(|key| key.index).collect();
        for index in &out {
            self.restore(*index);
        }
        out.len()
    }

    pub(super) fn resume_storm(&self, index: u32, story: &Story, is_on: impl Fn(usize) -> bool) {
        if let (Effect::Suspected, Some(upstream)) = (story.effect, story.cause.upstream) {
            let served = self.generation.load().served_by(index);
            let since = is_on(upstream).then_some(story.since);
            self.storms.resume(upstream, (index, served), since, self.now());
        }
    }

    /// Puts a key back into rotation, in every respect.
    pub fn restore(&self, index: u32) {
        let generation = self.generation.load();
        if index as usize >= generation.base.rotation.len() {
            return;
        }
        generation.each(|roster, base| {
            // Held until the standing is changed: whoever sets the key aside after that leaves a story that is to stay.
            let mut stories = roster.stories();
            let told = stories.remove(&index).is_some();
            roster.change(index, base, |_| Standing::FRESH);
            drop(stories);
            if told {
                self.note_change(index, roster.model.as_deref());
            }
        });
        generation.spread(index);
    }

    /// The keys that are out for good, or under suspicion of it.
    pub fn condemned(&self) -> Vec<Condemned> {
        let (generation, now) = (self.generation.load_full(), self.now());
        let of_storms = self.storms.condemned();
        // Requests that fail wait for the stories: they are not kept while the rest is worked out.
        let condemned: Vec<(u32, Arc<Story>)> = {
            let stories = generation.base.stories();
            let condemned = stories.iter().filter(|(_, story)| story.is_condemned());
            condemned.map(|(index, story)| (*index, Arc::clone(story))).collect()
        };
        let condemned = condemned.into_iter().filter_map(|(index, story)| {
            let tried_ago = Duration::from_millis(now.0.saturating_sub(story.tried.0));
            let tally = generation.tally(index)?;
            let (passes, served_since_check) = tally.passes_and_served_since();
            Some(Condemned {
                index,
                generation: generation.number,
                suspected: story.effect == Effect::Suspected,
                served_since_check,
                passes,
                of_storm: story.effect == Effect::Invalid && of_storms.contains(&index),
                checked: story.checked,
                asked: story.asked,
                out_for: story.since.elapsed().unwrap_or_default(),
                tried_ago,
                upstream: story.cause.upstream,
                is_discerning: story.cause.upstream.is_some_and(|told| self.storms.is_discerning(told)),
            })
        });
        condemned.collect()
    }

    /// A lease on a key that is still condemned, to check it. It counts as tried, whatever comes of it.
    pub fn lease_condemned(&self, key: &Condemned) -> Option<Lease<'_>> {
        let generation = self.generation.load();
        if generation.number != key.generation {
            return None;
        }
        {
            let mut stories = generation.base.stories();
            let story = stories.get_mut(&key.index).filter(|story| story.is_condemned())?;
            let asked = story.asked.saturating_add(1);
            *story = Arc::new(Story { tried: self.now(), asked, ..(**story).clone() });
        }
        Some(self.probe(generation, None, key.index))
    }

    /// Whether there is a change that nobody has taken.
    pub fn has_changes(&self) -> bool {
        !self.changed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What changed since this was last asked.
    pub fn take_changes(&self) -> Vec<Changed> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_change(&self, index: u32, model: Option<&str>) {
        if self.journaled {
            let changed = Changed { index, model: model.map(Box::from) };
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).push(changed);
        }
    }
}

impl Lease<'_> {
    /// A check was refused by `upstream` as the key was before.
    pub fn confirm(self, upstream: usize) {
        self.pool.storms.note_discerning(upstream);
        let Some(here) = self.here() else { return };
        let mut stories = here.generation.base.stories();
        if let Some(story) = stories.get_mut(&here.index) {
            *story = Arc::new(Story { checked: true, ..(**story).clone() });
        }
    }
}
