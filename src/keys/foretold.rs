//! Whether an upstream is believed that nothing is left to a key (spec §6, "ahead of the limit"). That is a prediction: a key that
//! heeds it is not refused, so that nothing contradicts an upstream that always says so. Where it leaves requests without a key,
//! one that is out for it is asked all the same. If it is served, and told the same again, that upstream is believed no more until
//! it refuses keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generation::Generation;
use super::here::Here;
use super::lease::{Lease, Left, Remains};
use super::pool::{KeyPool, Need};
use super::reload::States;
use super::roster::{A_FEW, Roster, Story};
use super::state::{Millis, Place};

/// In milliseconds, as all that follows: what was said so lately is not put to the test, nor is it more often.
const A_SECOND: u64 = 1_000;
/// A test of which nothing was heard for so long tells nothing any more.
const LOST: u64 = 60_000;
/// So long after a test has shown that it is true, an upstream's word is not put to another. It doubles so many times.
const MINUTE: u64 = 60_000;
const DOUBLED: u32 = 4;
/// How much of a doubt each further word adds, none of which was heeded, and each refusal takes away. Of words that are true each is
/// followed by a refusal.
const WORD: u32 = 1;
const REFUSAL: u32 = 4;
const LARGEST: u32 = 32;
/// A doubt that so many words have not ended was right: the next one begins as soon as it may.
const MANY: u32 = 64;

/// What is known of the upstreams' words. Looked at only where one says that nothing is left, refuses a key for a limit, or no
/// key is there.
#[derive(Default)]
pub(super) struct Foretold {
    by_upstream: Mutex<Vec<Word>>,
    /// When the next test may be.
    next: AtomicU64,
}

/// What an upstream's word is worth.
#[derive(Default)]
struct Word {
    /// The key that is put to the test, and since when.
    test: Option<(u32, Millis)>,
    not_before: Millis,
    /// How often in a row it was found to be true.
    true_in_a_row: u32,
    /// 0: it is believed.
    doubt: u32,
    /// How many words were not heeded since the doubt began.
    ignored: u32,
    /// No key is out any more for what it said before that.
    all_are_back: bool,
}

impl Word {
    fn is_tested_by(&self, index: u32, now: Millis) -> bool {
        self.test.is_some_and(|(key, began)| key == index && began.0 + LOST > now.0)
    }

    fn is_true(&mut self, now: Millis) {
        if self.ignored < MANY {
            self.not_before = Millis(now.0 + (MINUTE << self.true_in_a_row.min(DOUBLED)));
            self.true_in_a_row += 1;
        }
        (self.test, self.ignored, self.all_are_back) = (None, 0, false);
    }
}

impl Foretold {
    /// Whether an upstream's word may be put to the test.
    fn may_test(&self, upstream: usize, now: Millis) -> bool {
        self.lock().get(upstream).is_none_or(|word| {
            word.not_before <= now && !word.test.is_some_and(|(key, _)| word.is_tested_by(key, now))
        })
    }

    fn test(&self, upstream: usize, index: u32, now: Millis) {
        let mut words = self.lock();
        if words.len() <= upstream {
            words.resize_with(upstream + 1, Word::default);
        }
        if let Some(word) = words.get_mut(upstream) {
            word.test = Some((index, now));
        }
    }

    /// Whose word it is that this key puts to the test.
    fn tested_by(&self, index: u32, now: Millis) -> Option<usize> {
        self.lock().iter().position(|word| word.is_tested_by(index, now))
    }

    /// An upstream says what is left to a key, `nothing` or something. Whether that is believed; `tested`: it has served the key,
    /// which was out.
    fn is_believed(&self, upstream: usize, index: u32, nothing: bool, tested: bool, now: Millis) -> bool {
        let mut words = self.lock();
        let Some(word) = words.get_mut(upstream) else { return true };
        let is_test = tested && word.is_tested_by(index, now);
        if is_test {
            word.test = None;
        }
        if !nothing {
            return true;
        }
        if word.doubt > 0 {
            word.doubt = (word.doubt + WORD).min(LARGEST);
            word.ignored = word.ignored.saturating_add(1);
            if word.ignored == MANY {
                word.true_in_a_row = 0;
            }
        } else if is_test {
            word.doubt = REFUSAL;
            tracing::warn!(
                upstream_index = upstream,
                "an upstream has served a key of which it had said that nothing is left: \
                 it is believed no more in that until it refuses keys"
            );
        }
        word.doubt == 0
    }

    /// An upstream refused a key, for a limit or else for a spent quota or credit; `tested`: it was out. Many keys without credit
    /// don't make up for what was said of others.
    pub(super) fn refused(&self, (upstream, index): (usize, u32), of_limit: bool, tested: bool, now: Millis) {
        let mut words = self.lock();
        let Some(word) = words.get_mut(upstream) else { return };
        if word.doubt > 0 && of_limit {
            word.doubt = word.doubt.saturating_sub(REFUSAL);
            if word.doubt == 0 {
                word.is_true(now);
                tracing::info!(
                    upstream_index = upstream,
                    "what an upstream says is left to keys is believed again"
                );
            }
        } else if word.doubt == 0 && tested && word.is_tested_by(index, now) {
            word.is_true(now);
        }
    }

    /// The keys were replaced, and have other numbers.
    pub(super) fn begin_anew(&self, states: States) {
        let mut words = self.lock();
        match states {
            States::Keep => words.iter_mut().for_each(|word| word.test = None),
            States::Clear => words.clear(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Word>> {
        self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyPool {
    /// Where no key is in rotation: leases the one that was told last that nothing is left to it, if that was for long enough to
    /// be put to the test. At most once a second.
    pub fn lease_foretold(&self, need: Need<'_>) -> Option<Lease<'_>> {
        let (now, next) = (self.now(), self.foretold.next.load(Ordering::Relaxed));
        let generation = self.generation.load();
        let model = generation.model(need.model);
        let (roster, base) = generation.of(model.as_ref());
        if now.0 < next || roster.rotation.serving() > 0 {
            return None;
        }
        let after = now.0 + A_SECOND;
        self.foretold.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        let of_model = self.latest_foretold(roster, base, need, now);
        let (index, upstream) = of_model.or_else(|| self.latest_foretold(base?, Some(roster), need, now))?;
        self.foretold.test(upstream, index, now);
        tracing::info!(
            key_index = index,
            "no key is available: trying one that was only said to have nothing left"
        );
        Some(self.probe(generation, model, index))
    }

    /// Of the keys that are out for what an upstream foretold, and are in rotation in the `other` respect, the one of which it was
    /// said last; and the upstream.
    fn latest_foretold(
        &self,
        roster: &Roster,
        other: Option<&Roster>,
        need: Need<'_>,
        now: Millis,
    ) -> Option<(u32, usize)> {
        let may_be_false = |index: u32, story: &Story| {
            let Place::Cooldown(until) = roster.rotation.standing(index).place else { return false };
            let left = u128::from(until.0.saturating_sub(now.0));
            story.tried.0 + A_SECOND <= now.0
                && story.cause.wait.is_some_and(|wait| left * 2 > wait.as_millis())
        };
        let is_in = |index: u32| other.is_none_or(|other| other.rotation.standing(index).is_available());
        let stories = roster.stories();
        let foretold =
            stories.iter().filter_map(|(index, story)| Some((*index, story, story.foretold_by()?)));
        foretold
            .filter(|(index, story, _)| {
                !need.not.contains(index) && is_in(*index) && may_be_false(*index, story)
            })
            .filter(|(.., upstream)| self.foretold.may_test(*upstream, now))
            .max_by_key(|(_, story, _)| story.tried)
            .map(|(index, _, upstream)| (index, upstream))
    }

    /// Puts some of the keys to the test that are out for an upstream's word, which is believed no more.
    fn test_some_foretold(&self, generation: &Generation, upstream: usize) {
        if self.foretold.lock().get(upstream).is_none_or(|word| word.all_are_back) {
            return;
        }
        let mut any = false;
        generation.each(|roster, base| {
            let some: Vec<u32> = {
                let stories = roster.stories();
                let is_its = |index: u32, story: &Story| {
                    story.foretold_by() == Some(upstream) && !roster.rotation.ration(index).offers_probe()
                };
                let its = stories.iter().filter(|(index, story)| is_its(**index, story));
                its.map(|(index, _)| *index).take(A_FEW).collect()
            };
            for index in some {
                any = true;
                roster.offer_again(index, base);
                if base.is_none() {
                    generation.spread(index);
                }
            }
        });
        if let Some(word) = self.foretold.lock().get_mut(upstream) {
            word.all_are_back = !any && word.doubt > 0;
        }
    }
}

impl Lease<'_> {
    /// The upstream whose word on this key is put to the test with it.
    #[cold]
    pub fn foretold_by(&self) -> Option<usize> {
        self.pool.foretold.tested_by(self.index, self.pool.now())
    }

    /// What is believed of what an upstream says is left to the key, if it has `served` it.
    pub(super) fn believed<'a>(
        &self,
        here: &Here<'_>,
        upstream: usize,
        remains: Remains<'a>,
        served: bool,
    ) -> Remains<'a> {
        let (nothing, tested) = (matches!(remains.left, Left::Nothing { .. }), served && self.is_probe());
        let foretold = &self.pool.foretold;
        if !nothing && !tested || foretold.is_believed(upstream, here.index, nothing, tested, self.pool.now())
        {
            return remains;
        }
        self.pool.test_some_foretold(&here.generation, upstream);
        Remains { left: Left::Unknown, ..remains }
    }
}
