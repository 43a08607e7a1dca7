//! What an answer says of what is left to its key, and what follows for the requests to come: fewer at a time, or none
//! until then (spec §6, "ahead of the limit").

use std::time::Duration;

use super::super::here::Here;
use super::super::learnt::Allowed;
use super::super::ration::{Entry, LARGEST};
use super::super::roster::{Cause, FORETOLD, Roster};
use super::super::storm::Service;
use super::Lease;

/// What an answer says of what is left to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Left {
    /// Nothing that matters.
    #[default]
    Unknown,
    /// So many requests.
    Requests(u32),
    /// None until then.
    Nothing {
        /// How long.
        wait: Duration,
        /// The header that says so.
        from: &'static str,
    },
}

impl Left {
    /// Whether a key has to be spared.
    pub(super) fn is_little(self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Requests(requests) => requests <= LARGEST,
            Self::Nothing { .. } => true,
        }
    }
}

/// What is left to a key, and for which model alone, if it is for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Remains<'a> {
    /// What is left.
    pub left: Left,
    /// Of what.
    pub model: Option<&'a str>,
    /// How long until the limit is whole again of which few requests are left, or none.
    pub whole_in: Option<Duration>,
    /// How long ago that may have been said, where it matters.
    pub took: Duration,
}

impl Lease<'_> {
    /// Sees to it that the key is asked for no more than it has left.
    #[cold]
    pub(super) fn spare(&self, here: &Here<'_>, upstream: usize, service: Service, remains: Remains<'_>) {
        for (roster, ..) in self.rosters(here).filter(|(_, _, entry)| *entry != Entry::Free) {
            let (_, under_way) = roster.rotation.ration(here.index).turns();
            roster.crowds.note(here.index, self.pool.now(), under_way);
        }
        let remains = self.believed(here, upstream, remains, service == Service::Paid);
        if remains.left == Left::Unknown && service == Service::Paid {
            self.keep_to_learnt(here, upstream);
        } else {
            self.note_remains(here, upstream, remains);
        }
        // What is free says nothing of a limit.
        self.has_made_its_test.set(service == Service::Paid);
    }

    /// Nothing was said of what remains: what the key's refusals have taught is kept to.
    fn keep_to_learnt(&self, here: &Here<'_>, upstream: usize) {
        let now = self.pool.now();
        let counted = self.rosters(here).filter(|(_, _, entry)| *entry != Entry::Free);
        for (roster, base, _) in counted {
            let ration = roster.rotation.ration(here.index);
            match roster.learnt.served(here.index, now, roster.line.waiting() > 0) {
                None => ration.double(roster.top(here.index)),
                Some(Allowed::AtMost(requests)) => ration.double_up_to(roster.at_most(here.index, requests)),
                Some(Allowed::Surely(requests, _)) if roster.at_most(here.index, requests) < requests => {
                    ration.double(roster.top(here.index));
                }
                Some(Allowed::Surely(requests, whole)) => {
                    self.pool.keep_to_limit(&here.generation, roster, here.index, requests, whole);
                }
                Some(Allowed::Nothing(until)) => {
                    let wait = Duration::from_millis(until.0.saturating_sub(now.0));
                    let cause = Cause {
                        rule: "ahead.learnt".into(),
                        error: "it has served as many as it did before it was refused twice".into(),
                        wait_from: Some("the refusals before".into()),
                        upstream: Some(upstream),
                        ..Cause::default()
                    };
                    here.rest(self.pool, roster.model.as_deref(), wait, cause);
                }
            }
            roster.show(here.index, base);
        }
        if self.base_entry() != Entry::Free {
            here.generation.spread(here.index);
        }
    }

    /// The same for an answer that is no success, and nothing that the key is to blame for.
    pub fn hear(&self, upstream: usize, remains: Remains<'_>) {
        if remains.left.is_little()
            && let Some(here) = self.here()
        {
            self.note_remains(&here, upstream, self.believed(&here, upstream, remains, false));
        }
    }

    /// Sets the key's ration, or the key aside, by what `upstream` says is left to it.
    fn note_remains(&self, here: &Here<'_>, upstream: usize, remains: Remains<'_>) {
        match remains.left {
            Left::Unknown => {
                for (roster, base, entry) in self.rosters(here) {
                    if entry != Entry::Free {
                        roster.rotation.ration(here.index).double(roster.top(here.index));
                        roster.show(here.index, base);
                    }
                }
            }
            Left::Requests(requests) => self.keep_to_told(here, upstream, requests, remains),
            Left::Nothing { wait, from } => self.rest_until_whole(here, upstream, (wait, from), remains),
        }
        here.generation.spread(here.index);
    }

    fn keep_to_told(&self, here: &Here<'_>, upstream: usize, requests: u32, remains: Remains<'_>) {
        let (generation, model) = (&here.generation, remains.model);
        let plenty = requests > LARGEST;
        let known = model.and_then(|_| here.model.clone());
        let made = || (!plenty).then(|| Some(self.pool.roster_for(generation, model?))).flatten();
        let of_model = known.or_else(made);
        if of_model.is_none() && model.is_some() {
            return;
        }
        let about = generation.of(of_model.as_ref()).0;
        let base = (about.id != 0).then_some(&generation.base);
        let entry = self.entry_of(here, about);
        let Some(surely) = self.last_word(about, here.index, entry, remains) else { return };
        let surely = surely && matches!(entry, Entry::Counted(_));
        if about.at_most(here.index, requests) < requests {
            // Whatever remains to it: no more than that at a time.
            about.rotation.note_whole(here.index, None);
            about.rotation.ration(here.index).double_up_to(about.at_most(here.index, requests));
        } else if let Some(most) = about.crowds.most(here.index) {
            // Those under way count, whenever they began.
            self.note_whole(about, here.index, remains);
            self.pool
                .keep_to_ration(generation, about, here.index, |ration| ration.set(requests.clamp(1, most)));
        } else if requests > about.largest_ration() {
            about.rotation.note_whole(here.index, None);
            about.rotation.ration(here.index).set(0);
        } else {
            self.note_whole(about, here.index, remains);
            self.pool
                .keep_to_ration(generation, about, here.index, |ration| ration.tell(requests.max(1), surely));
        }
        if surely && requests > 0 {
            here.is_not_spent(self.pool, about, base, upstream, remains.whole_in);
        }
        about.show(here.index, base);
        if about.id != 0 && self.of_base != Entry::Free {
            generation.base.rotation.ration(here.index).double(generation.base.top(here.index));
            generation.base.show(here.index, None);
        }
    }

    fn rest_until_whole(
        &self,
        here: &Here<'_>,
        upstream: usize,
        (wait, from): (Duration, &'static str),
        remains: Remains<'_>,
    ) {
        let (generation, model) = (&here.generation, remains.model);
        let of_model = model.and_then(|_| here.model.clone());
        let about = generation.of(of_model.as_ref()).0;
        let entry =
            if model.is_some() && of_model.is_none() { Entry::Free } else { self.entry_of(here, about) };
        if self.last_word(about, here.index, entry, remains).is_none() {
            return;
        }
        self.note_whole(about, here.index, remains);
        let cause = Cause {
            rule: FORETOLD.into(),
            error: "the last answer said that nothing is left until then".into(),
            wait_from: Some(from.into()),
            upstream: Some(upstream),
            ..Cause::default()
        };
        here.rest(self.pool, model, wait, cause);
        generation.of(self.model.as_ref()).0.price.forget_a_little();
    }

    fn note_whole(&self, about: &Roster, index: u32, remains: Remains<'_>) {
        let whole = remains.whole_in.map(|whole_in| self.pool.now().after(whole_in));
        about.rotation.note_whole(index, whole);
    }

    /// Whether an answer is the provider's last word on a limit: surely, by the order in which requests began; or by what
    /// it says itself, since requests that are under way together may overtake each other: a limit that fills up
    /// steadily is whole later with each request that it let in.
    fn last_word(&self, about: &Roster, index: u32, entry: Entry, remains: Remains<'_>) -> Option<bool> {
        if about.rotation.ration(index).is_last_word(entry) {
            return Some(true);
        }
        // It may have been made as long ago as the request was sent.
        let whole_in = remains.whole_in?.checked_sub(remains.took)?;
        about.rotation.is_later(index, self.pool.now().after(whole_in)).then_some(false)
    }
}
