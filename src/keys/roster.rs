//! Who may be leased: the keys as such, or the keys for one model. A rotation, the stories of the keys that are out,
//! and those who wait for one to come back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::crowd::Crowds;
use super::learnt::Learnt;
use super::line::Line;
use super::outlook::Outlook;
use super::ration::{Entry, LARGEST, LARGEST_OF_ALL, Top};
use super::rotation::{Rotation, Turn};
use super::state::{Effect, Millis, Standing};

/// Why a lease failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The rule that judged it.
    pub rule: Box<str>,
    /// The upstream's status.
    pub status: Option<u16>,
    /// The codes and types with which it was said, redacted.
    pub code: Option<Box<str>>,
    /// What the upstream said: one line, redacted.
    pub error: Box<str>,
    /// How long the provider said to wait.
    pub wait: Option<Duration>,
    /// Where that was found.
    pub wait_from: Option<Box<str>>,
    /// The upstream that said it, by its index.
    pub upstream: Option<usize>,
    /// It was about credit or a quota: a free check tells nothing of that.
    pub of_credit: bool,
}

/// The rule of a key that an operator set aside: nobody but an operator, or the time that was named, brings it back.
pub const BY_OPERATOR: &str = "operator";

/// The rule of a key that rests since an upstream said that nothing is left to it.
pub(super) const FORETOLD: &str = "ahead.nothing_left";

/// A key that is out for so long is out for long.
const LONG: Duration = Duration::from_secs(5 * 60);
/// What was said of keys within so long may have been one mistake.
const EPISODE: Duration = Duration::from_secs(60);
/// So many of the keys that fell together are put to the test where one of them works.
pub(super) const A_FEW: usize = 3;
/// One in so many milliseconds is put to the test soon, for all of them.
const ONE_IN: u64 = 10_000;

/// Why a key is out.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) effect: Effect,
    pub(super) since: SystemTime,
    /// When it was last tried.
    pub(super) tried: Millis,
    /// Whether a check has confirmed it since.
    pub(super) checked: bool,
    /// So many checks were made since, or are, that have told nothing.
    pub(super) asked: u8,
    pub(super) cause: Cause,
}

impl Story {
    /// Whether an operator set the key aside: then no request tries it.
    pub(super) fn is_operators(&self) -> bool {
        &*self.cause.rule == BY_OPERATOR
    }

    /// Whether the key is out until a check finds it to be good.
    pub(super) fn is_condemned(&self) -> bool {
        let is_suspect = self.effect == Effect::Suspected && !self.cause.of_credit;
        (self.effect == Effect::Invalid || is_suspect) && !self.is_operators()
    }

    /// Whether the key is out for want of credit or a quota: what costs nothing tells nothing of that.
    pub(super) fn is_of_credit(&self) -> bool {
        self.cause.of_credit || matches!(self.effect, Effect::Exhausted { .. })
    }

    /// Whether the key has reached its limit: what does not count toward that tells nothing of it.
    pub(super) fn is_limited(&self) -> bool {
        matches!(self.effect, Effect::Limited { .. } | Effect::Crowded { .. } | Effect::Spent { .. })
    }

    /// The upstream that said that nothing was left, if the key is out for that: no request was refused.
    pub(super) fn foretold_by(&self) -> Option<usize> {
        self.cause.upstream.filter(|_| &*self.cause.rule == FORETOLD)
    }

    /// Whether the key was believed to be out for good, or for long.
    pub(super) fn is_hard(&self) -> bool {
        matches!(self.effect, Effect::Invalid | Effect::Exhausted { .. })
    }

    /// Whether the key is out for long for want of credit or a quota, by an upstream's word.
    pub(super) fn is_for_long(&self) -> bool {
        let Effect::Exhausted { wait } = self.effect else { return false };
        wait.is_none_or(|wait| wait >= LONG) && !self.is_operators()
    }

    /// Whether the same was said of another key, by the same upstream at about the same time.
    fn is_as_of(&self, other: &Self) -> bool {
        let apart = self.since.duration_since(other.since).unwrap_or_else(|late| late.duration());
        let is_same =
            |cause: &Cause| (cause.upstream, &cause.rule) == (other.cause.upstream, &other.cause.rule);
        self.effect.name() == other.effect.name() && is_same(&self.cause) && apart <= EPISODE
    }

    /// What the key is out for, in operators' words.
    pub(super) fn reason(&self) -> &'static str {
        reason(self.effect, &self.cause)
    }
}

/// What a key is out for, in operators' words: the verdict's name, or that one of them set it aside.
pub(super) fn reason(effect: Effect, cause: &Cause) -> &'static str {
    if &*cause.rule == BY_OPERATOR { BY_OPERATOR } else { verdict(effect, cause) }
}

/// The verdict's name, also where it is held as a suspicion.
pub(super) fn verdict(effect: Effect, cause: &Cause) -> &'static str {
    match effect {
        Effect::Suspected if cause.of_credit => Effect::Exhausted { wait: None }.name(),
        _ => effect.name(),
    }
}

/// The stories of the keys that are out. Their numbers are nobody's choice, so that a fast hash will do.
pub(super) type Stories = HashMap<u32, Arc<Story>, foldhash::fast::FixedState>;

/// The keys' standings in one respect, with all that hangs on them.
pub(super) struct Roster {
    /// 0 for the keys as such; unlike any other's for a model's.
    pub(super) id: u32,
    /// The model that it is about.
    pub(super) model: Option<Box<str>>,
    pub(super) rotation: Rotation,
    /// Never locked on the way of a request that succeeds with a key as good as new.
    stories: Mutex<Stories>,
    outlook: Mutex<Option<Outlook>>,
    pub(super) line: Line,
    /// What requests cost here.
    pub(super) price: Price,
    pub(super) learnt: Learnt,
    pub(super) crowds: Crowds,
    /// When it last mattered, so that the memory for models can be bounded.
    pub(super) used: AtomicU64,
    /// When a key was last to be put to the test soon for all that fell with it.
    doubted: AtomicU64,
}

/// How many tokens a request costs, as far as refusals have taught it: a key that has fewer left is as good as empty.
#[derive(Default)]
pub(super) struct Price(AtomicU32);

impl Price {
    pub(super) fn tokens(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// One costs as much as this.
    pub(super) fn learn(&self, tokens: u32) {
        self.0.fetch_max(tokens, Ordering::Relaxed);
    }

    /// A key was spared a refusal by it. Now and then it is to be learnt anew, since one request may have been dearer
    /// than all others.
    pub(super) fn forget_a_little(&self) {
        if fastrand::u8(..64) == 0 {
            let tokens = self.tokens();
            self.0.store(tokens - tokens.div_ceil(16), Ordering::Relaxed);
        }
    }
}

impl Roster {
    pub(super) fn new(
        id: u32,
        model: Option<Box<str>>,
        standings: &[Standing],
        start: usize,
        absent: impl Fn(usize) -> bool,
    ) -> Self {
        Self {
            id,
            model,
            rotation: Rotation::new(standings, start, absent),
            stories: Mutex::default(),
            outlook: Mutex::default(),
            line: Line::default(),
            price: Price::default(),
            learnt: Learnt::default(),
            crowds: Crowds::default(),
            used: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
        }
    }

    /// Takes the next turn; for a model, of a key that `base` has available too.
    pub(super) fn take(&self, not: &[u32], base: Option<&Self>) -> Option<(Turn, Entry)> {
        let Some(base) = base else { return Some((self.rotation.take(not, None)?, Entry::Free)) };
        loop {
            let turn = self.rotation.take(not, Some(&base.rotation))?;
            if let Some(entry) = self.enter_base(turn, base) {
                return Some((turn, entry));
            }
        }
    }

    /// Takes a key out of turn, one that suits among those who had their turn last.
    pub(super) fn take_back(
        &self,
        base: Option<&Self>,
        likely: &[u32],
        suits: impl Fn(u32) -> bool,
    ) -> Option<(Turn, Entry)> {
        let mut full = Vec::new();
        loop {
            let suits = |index| !full.contains(&index) && suits(index);
            let likely = likely.iter().copied();
            let turn = self.rotation.take_back(base.map(|base| &base.rotation), likely, suits)?;
            let Some(base) = base else { return Some((turn, Entry::Free)) };
            if let Some(entry) = self.enter_base(turn, base) {
                return Some((turn, entry));
            }
            full.push(turn.index);
        }
    }

    /// A model's turn is one of the key's as such too; it is given back if that has no room for it.
    fn enter_base(&self, turn: Turn, base: &Self) -> Option<Entry> {
        let entry = base.rotation.ration(turn.index).enter();
        match entry {
            Some(Entry::Free) => {}
            Some(_) => {
                base.show(turn.index, None);
                self.show(turn.index, Some(base));
            }
            None => {
                self.give_back(turn.index, turn.entry, Some(base));
                if turn.entry == Entry::Probe {
                    self.offer_again(turn.index, Some(base));
                }
                // The base's own turns are not shown here: this key is not to be found again until it has room.
                self.show(turn.index, Some(base));
            }
        }
        entry
    }

    /// A lease on a key ends.
    pub(super) fn give_back(&self, index: u32, entry: Entry, base: Option<&Self>) {
        match entry {
            Entry::Free => return,
            Entry::Counted(_) => self.rotation.ration(index).leave(),
            Entry::Probe | Entry::Asked => {}
        }
        self.show(index, base);
    }

    /// Offers the test of a key that is out once more: whoever took it will not make it.
    #[cold]
    pub(super) fn offer_again(&self, index: u32, base: Option<&Self>) {
        // Held until it is offered: an operator who sets the key aside takes the offer back.
        let stories = self.stories();
        let is_operators = stories.get(&index).is_some_and(|story| story.is_operators());
        if !is_operators && !self.rotation.standing(index).is_available() {
            self.rotation.ration(index).offer_probe();
            self.show(index, base);
        }
    }

    /// Changes a key's standing.
    pub(super) fn change(
        &self,
        index: u32,
        base: Option<&Self>,
        change: impl Fn(Standing) -> Standing,
    ) -> (Standing, Standing) {
        let (before, after) = self.rotation.change(index, base.map(|base| &base.rotation), change);
        if after.is_available() && !before.is_available() {
            self.wake_first();
        }
        (before, after)
    }

    /// Shows a key where it belongs, and tells those who wait.
    pub(super) fn show(&self, index: u32, base: Option<&Self>) {
        if self.rotation.show(index, base.map(|base| &base.rotation)) {
            self.wake_first();
        }
    }

    /// Shows every key where it belongs, as the keys as such stand now.
    pub(super) fn catch_up(&self, base: &Self) {
        self.rotation.catch_up(&base.rotation);
        self.wake_first();
    }

    /// From how many at a time on a ration is as good as none: while requests wait they would all fall on one key.
    pub(super) fn largest_ration(&self) -> u32 {
        if self.line.waiting() == 0 { LARGEST } else { LARGEST_OF_ALL }
    }

    /// How far a key's ration grows.
    pub(super) fn top(&self, index: u32) -> Top {
        self.crowds.most(index).map_or_else(|| Top::Open(self.largest_ration()), Top::Kept)
    }

    /// What was last to be expected of it.
    pub(super) fn outlook(&self) -> Option<Outlook> {
        *self.outlook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, outlook: Outlook) {
        *self.outlook.lock().unwrap_or_else(PoisonError::into_inner) = Some(outlook);
    }

    /// Whether a key that is out for this, having served so many, is to be put to the test soon: where no end is named though it
    /// had served, or for all that fall with it.
    pub(super) fn is_doubtful(&self, story: &Story, standing: Standing, served: u64, now: Millis) -> bool {
        let is_surely_odd = || story.effect == Effect::Exhausted { wait: None } && served > 0;
        story.is_for_long() && standing.is_news() && (is_surely_odd() || self.is_turn_of_doubt(now))
    }

    fn is_turn_of_doubt(&self, now: Millis) -> bool {
        let last = self.doubted.load(Ordering::Relaxed);
        let is_turn = last == 0 || last + ONE_IN <= now.0;
        if is_turn {
            self.doubted.store(now.0.max(1), Ordering::Relaxed);
        }
        is_turn
    }

    /// A few of the keys that fell with one, whose story this was, and are not put to the test yet.
    pub(super) fn some_that_fell_with(&self, stories: &Stories, story: &Story) -> Vec<u32> {
        let fell = stories.iter().filter(|(_, other)| other.is_for_long() && other.is_as_of(story));
        let untested = fell.filter(|(index, _)| !self.rotation.ration(**index).offers_probe());
        untested.map(|(index, _)| *index).take(A_FEW).collect()
    }

    pub(super) fn story(&self, index: u32) -> Option<Arc<Story>> {
        self.stories().get(&index).map(Arc::clone)
    }

    pub(super) fn stories(&self) -> MutexGuard<'_, Stories> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
