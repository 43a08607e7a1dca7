//! The reload: puts the next reading of the file in the place of this one, and brings over all that is known of the keys that
//! stay.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::clock::Due;
use super::file::KeyTable;
use super::generation::{Generation, Tally};
use super::pool::KeyPool;
use super::roster::Roster;
use super::state::Standing;

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Keys that joined.
    pub added: usize,
    /// Keys that left.
    pub removed: usize,
}

/// Whether the keys that stay keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// A reload.
    Keep,
    /// A reset.
    Clear,
}

impl KeyPool {
    /// Replaces the keys. Keys that stay keep their standing if `states` says so; leases on keys that leave run on
    /// and are settled in vain.
    pub fn replace(&self, keys: KeyTable, states: States) -> Replaced {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        if states == States::Keep && keys.iter().eq(old.keys().iter()) {
            return Replaced { added: 0, removed: 0 };
        }
        let stays: Vec<Option<u32>> = keys.iter().map(|key| old.keys().find(key)).collect();
        let kept = stays.iter().flatten().count();
        let done = Replaced { added: stays.len() - kept, removed: old.base.rotation.len() - kept };
        let cursor = u32::try_from(old.base.rotation.cursor()).unwrap_or_default();
        let start = keys.find(old.keys().get(cursor)).map_or(0, |index| index as usize);
        let resets = old.resets + u64::from(states == States::Clear);
        let tally = |at: &Option<u32>| at.and_then(|at| old.tally(at)).map(Tally::copy).unwrap_or_default();
        let tallies = stays.iter().map(tally).collect();
        let stays: Vec<Option<u32>> =
            stays.into_iter().map(|at| at.filter(|_| states == States::Keep)).collect();
        let (base, copied) = moved(&old.base, &stays, start, |_| false);
        let new = Generation { tallies, ..Generation::new(keys, base, old.number + 1, resets) };
        let mut copied_of = HashMap::new();
        if states == States::Keep {
            carry_models(&old, &new, &stays, start, &mut copied_of);
        }
        let new = Arc::new(new);
        self.generation.store(Arc::clone(&new));
        self.number.store(new.number, Ordering::Release);
        // What was settled on the old generation while it was being copied.
        catch_up(&old.base, &new.base, None, &stays, &copied);
        if states == States::Keep {
            let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            carry_models(&old, &new, &stays, start, &mut copied_of);
        }
        for (name, roster) in new.models.load().iter() {
            if let Some(old) = old.models.load().get(name) {
                let copied = copied_of.get(name).map_or(&[][..], Vec::as_slice);
                catch_up(old, roster, Some(&new.base), &stays, copied);
            }
            roster.catch_up(&new.base);
        }
        let is_known = |at: &u32| (*at as usize) < old.base.rotation.len();
        let renumbered = |at| new.keys().find(old.keys().get(Some(at).filter(is_known)?));
        let on: Vec<usize> = self.storms.list().into_iter().map(|(upstream, ..)| upstream).collect();
        self.storms.begin_anew(|at| renumbered(at).filter(|_| states == States::Keep));
        self.doubts.clear();
        self.foretold.begin_anew(states);
        for (index, story) in new.base.stories().iter() {
            self.resume_storm(*index, story, |upstream| on.contains(&upstream));
        }
        self.served.renumber(renumbered);
        self.announce(Due::Replaced);
        self.carry_offers(&old, &new, &stays);
        // Whoever waited on the old rosters looks again.
        old.each(|roster, _| roster.line.wake_all());
        done
    }

    /// Offers again what was on offer, and keeps to what is known of how many requests keys can take at a time. Which of
    /// those are under way is not known any more.
    fn carry_offers(&self, old: &Generation, new: &Generation, stays: &[Option<u32>]) {
        new.each(|roster, base| {
            let (of_old, models) = (&old.base, old.models.load());
            let before = roster.model.as_deref().map_or(Some(of_old), |model| Some(&**models.get(model)?));
            let Some(before) = before else { return };
            for (index, at) in (0_u32..).zip(stays).filter_map(|(index, at)| Some((index, (*at)?))) {
                let is_on_offer = before.rotation.ration(at).offers_probe();
                let most = roster.crowds.go_on(index, &before.crowds, at, self.now());
                if is_on_offer {
                    roster.offer_again(index, base);
                }
                if let Some(most) = most {
                    self.keep_to_ration(new, roster, index, |ration| ration.set(most));
                    roster.show(index, base);
                }
                if base.is_none() && (is_on_offer || most.is_some()) {
                    new.spread(index);
                }
            }
        });
    }
}

/// Where keys stood when they were moved, by their new places, in order; but for those that were as good as new.
type Copied = Vec<(u32, Standing)>;

/// Brings over the models that the new generation does not have.
fn carry_models(
    old: &Generation,
    new: &Generation,
    stays: &[Option<u32>],
    start: usize,
    copied_of: &mut HashMap<Box<str>, Copied>,
) {
    let mut models = HashMap::clone(&new.models.load());
    let carried = models.len();
    for (name, roster) in old.models.load().iter() {
        let absent = |index: usize| {
            u32::try_from(index).is_ok_and(|index| !new.base.rotation.standing(index).is_available())
        };
        models.entry(name.clone()).or_insert_with(|| {
            let (roster, copied) = moved(roster, stays, start, absent);
            copied_of.insert(name.clone(), copied);
            Arc::new(roster)
        });
    }
    if models.len() > carried {
        new.store_models(models);
    }
}

/// A roster for the keys of a new reading; `stays` tells where each was before, if it keeps its standing.
fn moved(
    old: &Roster,
    stays: &[Option<u32>],
    start: usize,
    absent: impl Fn(usize) -> bool,
) -> (Roster, Copied) {
    let standing = |at: &Option<u32>| at.map_or(Standing::FRESH, |at| old.rotation.standing(at));
    let standings: Vec<Standing> = stays.iter().map(standing).collect();
    let is_fresh = |(_, standing): &(u32, Standing)| *standing == Standing::FRESH;
    let copied = (0..).zip(standings.iter().copied()).filter(|copy| !is_fresh(copy)).collect();
    let roster = Roster::new(old.id, old.model.clone(), &standings, start, absent);
    roster.used.store(old.used.load(Ordering::Relaxed), Ordering::Relaxed);
    roster.price.learn(old.price.tokens());
    {
        let (told, mut tell) = (old.stories(), roster.stories());
        for (index, at) in (0_u32..).zip(stays) {
            // What has happened since its standing was read is caught up with.
            let is_out = standings.get(index as usize).is_some_and(|standing| !standing.is_available());
            if let Some(story) = at.filter(|_| is_out).and_then(|at| told.get(&at)) {
                tell.insert(index, Arc::clone(story));
            }
        }
    }
    (roster, copied)
}

/// Brings over what happened to the old roster while the new one was made.
fn catch_up(
    old: &Roster,
    new: &Roster,
    base: Option<&Roster>,
    stays: &[Option<u32>],
    copied: &[(u32, Standing)],
) {
    let mut copied = copied.iter().peekable();
    for (index, at) in (0_u32..).zip(stays).filter_map(|(index, at)| Some((index, (*at)?))) {
        let copied = copied.next_if(|(copy, _)| *copy == index).map_or(Standing::FRESH, |(_, copy)| *copy);
        let late = old.rotation.standing(at);
        if late == copied {
            continue;
        }
        let story = old.story(at).filter(|_| !late.is_available());
        // Held until the standing is changed: whoever changed it on the new roster meanwhile has the last word.
        let mut stories = new.stories();
        let (before, _) = new.change(index, base, |now| if now == copied { late } else { now });
        if before == copied {
            match story {
                Some(story) => stories.insert(index, story),
                None => stories.remove(&index),
            };
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::time::SystemTime;

    use super::super::roster::{Cause, Story};
    use super::super::state::{Effect, Millis, Place};
    use super::*;

    fn stand(roster: &Roster, index: u32, place: Place, effect: Effect) {
        roster.change(index, None, |standing| Standing { place, ..standing });
        let cause = Cause::default();
        let story =
            Story { effect, since: SystemTime::now(), tried: Millis(0), checked: false, asked: 0, cause };
        match place {
            Place::Available => roster.stories().remove(&index),
            _ => roster.stories().insert(index, Arc::new(story)),
        };
    }

    fn stands(roster: &Roster, index: u32) -> (Place, Option<Effect>) {
        (roster.rotation.standing(index).place, roster.story(index).map(|story| story.effect))
    }

    #[test]
    fn what_is_learnt_in_the_course_of_a_reload_is_kept_unless_more_was_learnt_since() {
        let old = Roster::new(0, None, &[Standing::FRESH; 5], 0, |_| false);
        let limited = (Place::Cooldown(Millis(50_000)), Some(Effect::Limited { wait: None }));
        let set_aside =
            |roster: &Roster, index| stand(roster, index, limited.0, Effect::Limited { wait: None });
        for index in [0, 1, 2] {
            set_aside(&old, index);
        }
        // The first leaves, and a new one comes before them.
        let stays = [None, Some(1), Some(2), Some(3), Some(4)];
        let (new, copied) = moved(&old, &stays, 0, |_| false);
        stand(&old, 1, Place::Available, Effect::Success);
        stand(&old, 2, Place::Permanent, Effect::Invalid);
        set_aside(&old, 3);
        set_aside(&old, 4);
        stand(&new, 4, Place::Permanent, Effect::Invalid);
        catch_up(&old, &new, None, &stays, &copied);
        let revoked = (Place::Permanent, Some(Effect::Invalid));
        let fresh = (Place::Available, None);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|index| stands(&new, index)),
            [fresh, fresh, revoked, limited, revoked]
        );
        assert_eq!(new.rotation.serving(), 2);
    }
}
