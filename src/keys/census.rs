//! The pool as operators see it: how many keys stand where, which ones, each one's story, and what was lost to what.
//! Reads what the rotation and the stories say; nothing here is on a request's way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::blacklist::{Blacklisted, Changed};
use super::pool::KeyPool;
use super::roster::{Cause, Roster, Story};
use super::secret::preview;
use super::state::{Effect, Millis, Place, Standing};

/// How many keys stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In rotation.
    pub available: usize,
    /// Out until a known moment.
    pub cooldown: usize,
    /// Out for good.
    pub blacklisted: usize,
    /// How long until the first of those in cooldown is due back.
    pub next_back: Option<Duration>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In rotation.
    Available,
    /// Out until a known moment.
    Cooldown,
    /// Out for good.
    Blacklisted,
}

impl KeyState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Cooldown => "cooldown",
            Self::Blacklisted => "blacklisted",
        }
    }

    fn of(standing: Standing) -> Self {
        match standing.place {
            Place::Available => Self::Available,
            Place::Cooldown(_) => Self::Cooldown,
            Place::Permanent => Self::Blacklisted,
        }
    }
}

/// Which keys are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    #[default]
    All,
    /// Those that stand there.
    In(KeyState),
    /// Those that are out: for a while, or for good.
    Out,
    /// Those that are out for some model.
    OutForModel,
}

/// By what keys are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Their place in the file.
    #[default]
    Index,
    /// Since when they are out.
    Since,
    /// When they recover; never comes last.
    Recovers,
    /// Failures in a row.
    Failures,
}

/// A page of keys that is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Where they stand.
    pub wanted: Wanted,
    /// What they are out for: an [`Effect`]'s name, or [`BY_OPERATOR`](super::BY_OPERATOR).
    pub reason: Option<&'a str>,
    /// What their preview, rule or last error has in it (in any case), or their index; `#7` is key 7 alone.
    pub text: Option<&'a str>,
    /// By what they are sorted.
    pub sort: Sort,
    /// The largest first.
    pub descending: bool,
    /// How many are passed over.
    pub offset: usize,
    /// How many are told at most.
    pub limit: usize,
}

/// A key as operators see it.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// Its place in the file.
    pub index: u32,
    /// What may be shown of it.
    pub preview: String,
    /// Where it stands.
    pub state: KeyState,
    /// Requests that it served since it is in the file and the process runs.
    pub served: u64,
    /// Requests that failed for its sake since then.
    pub failed: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Cooldowns in a row.
    pub cooldowns: u32,
    /// Why it is out, if it is.
    pub out: Option<Blacklisted>,
    /// For which models alone it is out, and why.
    pub models: Vec<Blacklisted>,
}

/// What was lost: how many keys left the rotation, by cause.
#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<BTreeMap<(&'static str, bool), u64>>);

impl Losses {
    /// A key left the rotation; `of_model`: a model's alone.
    pub(super) fn note(&self, effect: Effect, of_model: bool) {
        let mut losses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *losses.entry((effect.name(), of_model)).or_default() += 1;
    }
}

impl KeyPool {
    /// How many keys stand where.
    pub fn counts(&self) -> Counts {
        let generation = self.generation.load();
        let rotation = &generation.base.rotation;
        let mut counts = Counts::default();
        let mut first = Millis(u64::MAX);
        for index in (0_u32..).take(rotation.len()) {
            match rotation.standing(index).place {
                Place::Available => counts.available += 1,
                Place::Cooldown(until) => {
                    counts.cooldown += 1;
                    first = first.min(until);
                }
                Place::Permanent => counts.blacklisted += 1,
            }
        }
        if counts.cooldown > 0 {
            counts.next_back = Some(Duration::from_millis(first.0.saturating_sub(self.now().0)));
        }
        counts
    }

    /// How many keys are out for some model alone, each as often as there are such models.
    pub fn out_for_models(&self) -> usize {
        let mut out = 0;
        self.generation.load().each(|roster, base| out += base.map_or(0, |_| roster.stories().len()));
        out
    }

    /// How often keys left the rotation: the verdict, whether for a model alone, and how often.
    pub fn losses(&self) -> Vec<(&'static str, bool, u64)> {
        let losses = self.losses.0.lock().unwrap_or_else(PoisonError::into_inner);
        losses.iter().map(|((cause, of_model), count)| (*cause, *of_model, *count)).collect()
    }

    /// One key.
    pub fn view(&self, index: u32) -> Option<KeyView> {
        let generation = self.generation.load_full();
        let base = &generation.base;
        if index as usize >= base.rotation.len() {
            return None;
        }
        let standing = base.rotation.standing(index);
        let tally = generation.tally(index)?;
        let mut models: Vec<Blacklisted> = generation
            .models
            .load()
            .values()
            .filter(|roster| roster.story(index).is_some())
            .filter_map(|roster| self.blacklisted_key(&Changed { index, model: roster.model.clone() }))
            .collect();
        models.sort_unstable_by(|a, b| a.model.cmp(&b.model));
        Some(KeyView {
            index,
            preview: preview(generation.keys().get(index)),
            state: KeyState::of(standing),
            served: tally.served(),
            failed: tally.failed.load(Ordering::Relaxed).into(),
            failures: standing.failures,
            cooldowns: standing.cooldowns,
            out: self.blacklisted_key(&Changed { index, model: None }),
            models,
        })
    }

    /// A page of keys, and how many there are of their kind in all.
    pub fn page(&self, query: &Query<'_>) -> (usize, Vec<KeyView>) {
        let generation = self.generation.load_full();
        let base = &generation.base;
        let for_models: HashSet<u32> = match query.wanted {
            Wanted::OutForModel => {
                let models = generation.models.load();
                models
                    .values()
                    .flat_map(|roster: &Arc<Roster>| roster.stories().keys().copied().collect::<Vec<_>>())
                    .collect()
            }
            Wanted::All | Wanted::In(_) | Wanted::Out => HashSet::new(),
        };
        let text = query.text.map(str::to_lowercase);
        let number = text
            .as_deref()
            .and_then(|text| text.parse::<u32>().ok().filter(|number| number.to_string() == text));
        let alone = text.as_deref().and_then(|text| text.strip_prefix('#')?.trim().parse::<u32>().ok());
        let (first, many) = match alone {
            Some(alone) => (alone, usize::from((alone as usize) < base.rotation.len())),
            None => (0, base.rotation.len()),
        };
        let stories = stories_for(base, query, alone);
        let mut stories = stories.iter().peekable();
        let mut found: Vec<(u64, u32)> = Vec::new();
        for index in (first..).take(many) {
            let standing = base.rotation.standing(index);
            let wanted = match query.wanted {
                Wanted::All => true,
                Wanted::In(state) => KeyState::of(standing) == state,
                Wanted::Out => !standing.is_available(),
                Wanted::OutForModel => for_models.contains(&index),
            };
            if !wanted {
                continue;
            }
            while stories.next_if(|(told, _)| *told < index).is_some() {}
            let story = stories.next_if(|(told, _)| *told == index).map(|(_, story)| story);
            if query.reason.is_some() && (story.is_none() || standing.is_available()) {
                continue;
            }
            let says = |cause: &Cause, text: &str| {
                cause.rule.to_lowercase().contains(text) || cause.error.to_lowercase().contains(text)
            };
            if let Some(text) = &text
                && number != Some(index)
                && alone.is_none()
                && !preview(generation.keys().get(index)).to_lowercase().contains(text.as_str())
                && !story.is_some_and(|story| says(&story.cause, text))
            {
                continue;
            }
            let key = match query.sort {
                Sort::Index => u64::from(index),
                Sort::Since => story.map_or(0, |story| millis(story.since)),
                Sort::Recovers => match standing.place {
                    Place::Available => 0,
                    Place::Cooldown(until) => until.0,
                    Place::Permanent => u64::MAX,
                },
                Sort::Failures => u64::from(standing.failures),
            };
            found.push((key, index));
        }
        if query.descending {
            found.sort_unstable_by_key(|(key, index)| (Reverse(*key), *index));
        } else {
            found.sort_unstable();
        }
        let page = found.iter().skip(query.offset).take(query.limit);
        (found.len(), page.filter_map(|(_, index)| self.view(*index)).collect())
    }
}

/// What may be told of the keys that are out for the reason that is asked for, in file order; nothing where the query does
/// not ask what is told. The stories are locked for no longer than it takes to point at them: failing requests need them.
fn stories_for(base: &Roster, query: &Query<'_>, alone: Option<u32>) -> Vec<(u32, Arc<Story>)> {
    let is_wanted = |story: &Story| query.reason.is_none_or(|reason| story.reason() == reason);
    if let Some(alone) = alone {
        return base
            .story(alone)
            .filter(|story| is_wanted(story))
            .map(|story| (alone, story))
            .into_iter()
            .collect();
    }
    if query.reason.is_none() && query.text.is_none() && query.sort != Sort::Since {
        return Vec::new();
    }
    let stories = base.stories();
    let wanted = stories.iter().filter(|(_, story)| is_wanted(story));
    let mut told: Vec<(u32, Arc<Story>)> = wanted.map(|(index, story)| (*index, Arc::clone(story))).collect();
    drop(stories);
    told.sort_unstable_by_key(|(index, _)| *index);
    told
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, clippy::format_collect, reason = "tests")]
mod tests {
    use super::super::file;
    use super::super::{BY_OPERATOR, CooldownPolicy, Failure, Need, PoolPolicy, Remains, Service, Settled};
    use super::*;

    fn pool(keys: usize) -> KeyPool {
        let text: String = (0..keys).map(|number| format!("sk-key-of-a-test-{number:06}\n")).collect();
        let cooldown = CooldownPolicy {
            threshold: 1,
            first: Duration::from_secs(30),
            longest: Duration::from_secs(3600),
        };
        let policy = PoolPolicy { cooldown, probe_interval: None };
        KeyPool::new(file::parse(text.into_bytes()).unwrap().keys, policy, 0, false).0
    }

    fn fail(pool: &KeyPool, effect: Effect, rule: &str, model: Option<&str>) -> u32 {
        let lease = pool.lease(Need::default()).unwrap();
        let index = lease.index();
        let cause = Cause { rule: rule.into(), error: "You said \"No\"".into(), ..Cause::default() };
        lease.fail(Failure { model, cause, ..effect.into() });
        index
    }

    fn indices(pool: &KeyPool, query: &Query<'_>) -> (usize, Vec<u32>) {
        let (count, page) = pool.page(query);
        (count, page.iter().map(|key| key.index).collect())
    }

    fn counted(pool: &KeyPool) -> (usize, usize, usize) {
        let Counts { available, cooldown, blacklisted, .. } = pool.counts();
        (available, cooldown, blacklisted)
    }

    #[test]
    fn keys_are_found_by_where_they_stand_by_words_and_by_number() {
        let pool = pool(40);
        assert_eq!(fail(&pool, Effect::Invalid, "openai.invalid", None), 0);
        assert_eq!(fail(&pool, Effect::Limited { wait: None }, "status.429", None), 1);
        let exhausted = Effect::Exhausted { wait: Some(Duration::from_secs(900)) };
        assert_eq!(fail(&pool, exhausted, "openai.quota", None), 2);
        assert_eq!(fail(&pool, Effect::Denied, "openai.model", Some("gpt-9")), 3);
        assert_eq!(counted(&pool), (37, 2, 1));
        let all = Query { limit: 100, ..Query::default() };
        for (query, want) in [
            (Query { wanted: Wanted::Out, ..all }, &[0, 1, 2][..]),
            (Query { wanted: Wanted::In(KeyState::Blacklisted), ..all }, &[0]),
            (Query { wanted: Wanted::In(KeyState::Cooldown), ..all }, &[1, 2]),
            (Query { wanted: Wanted::OutForModel, ..all }, &[3]),
            (Query { wanted: Wanted::Out, sort: Sort::Recovers, descending: true, ..all }, &[0, 2, 1]),
            (Query { reason: Some("key_exhausted"), ..all }, &[2]),
            (Query { reason: Some("key_limited"), text: Some("said"), ..all }, &[1]),
            (Query { reason: Some("key_limited"), wanted: Wanted::In(KeyState::Available), ..all }, &[]),
            (Query { reason: Some("key_invalid"), text: Some("#1"), ..all }, &[]),
            (Query { reason: Some("key_invalid"), text: Some("#0"), ..all }, &[0]),
            (Query { reason: Some(BY_OPERATOR), ..all }, &[]),
            (Query { text: Some("#17"), ..all }, &[17]),
            (Query { text: Some("#17"), wanted: Wanted::Out, ..all }, &[]),
            (Query { text: Some("#40"), ..all }, &[]),
            (Query { text: Some("STATUS"), ..all }, &[1]),
            (Query { text: Some("said"), ..all }, &[0, 1, 2]),
            (Query { text: Some("0017"), ..all }, &[17]),
            (Query { text: Some("nothing"), ..all }, &[]),
        ] {
            assert_eq!(indices(&pool, &query), (want.len(), want.to_vec()), "{query:?}");
        }
        assert_eq!(indices(&pool, &Query { offset: 38, limit: 10, ..all }), (40, vec![38, 39]));
        assert_eq!(pool.view(3).unwrap().models[0].model.as_deref(), Some("gpt-9"));
        assert!(pool.view(40).is_none());
        let lost = [("key_exhausted", false, 1), ("key_invalid", false, 1), ("key_limited", false, 1)];
        assert_eq!(pool.losses(), [&lost[..], &[("model_denied", true, 1)]].concat());
    }

    #[test]
    fn an_operator_sets_aside_and_brings_back() {
        let pool = pool(3);
        pool.set_aside_by_operator(1, None);
        pool.set_aside_by_operator(2, Some(Duration::from_secs(60)));
        pool.set_aside_by_operator(99, None);
        assert_eq!(counted(&pool), (1, 1, 1));
        assert!(pool.condemned().is_empty(), "no check brings back what an operator set aside");
        assert_eq!(&*pool.view(1).unwrap().out.unwrap().cause.rule, BY_OPERATOR);
        let all = Query { limit: 100, ..Query::default() };
        assert_eq!(indices(&pool, &Query { reason: Some(BY_OPERATOR), ..all }), (2, vec![1, 2]));
        assert_eq!(indices(&pool, &Query { reason: Some("key_invalid"), ..all }), (0, vec![]));
        let next = pool.counts().next_back.unwrap();
        assert!(next > Duration::from_secs(50) && next <= Duration::from_secs(60), "{next:?}");
        // With every key out, neither the last resort nor a failure of what was under way frees one.
        let under_way = pool.lease(Need::default()).unwrap();
        pool.set_aside_by_operator(0, None);
        assert!(pool.last_resort(Need::default()).is_none());
        assert_eq!(under_way.fail(limited()), Settled::Noted);
        assert_eq!(counted(&pool), (0, 1, 2));
        assert_eq!(pool.restore_all(), 3);
        assert_eq!(counted(&pool), (3, 0, 0));
        assert_eq!(pool.counts().next_back, None);
    }

    #[test]
    fn a_pool_that_comes_back_to_life_leaves_aside_what_an_operator_set_aside() {
        let pool = pool(4);
        pool.set_aside_by_operator(3, None);
        for _ in 0..3 {
            let settled = pool.lease(Need::default()).unwrap().fail(Effect::Invalid.into());
            assert_eq!(settled, Settled::Out(Effect::Invalid));
        }
        pool.probe_key(1).unwrap().succeed(None, 0, Service::Paid, Remains::default());
        assert_eq!(counted(&pool), (3, 0, 1));
    }

    fn limited() -> Failure<'static> {
        let effect = Effect::Limited { wait: Some(Duration::from_secs(5)) };
        effect.into()
    }
}
