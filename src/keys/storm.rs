//! Recognises that upstreams, not the keys, are at fault: more than half of a pool of at least five keys is told "for
//! good" or "for long" within ten seconds (spec §6), or in whatever time if the upstreams that told so served nothing in
//! between; or one upstream refuses key after key while others serve, or the only one dozens that had served. Until such an
//! upstream has served one of these keys again, and has refused no other for a while, its verdicts are held as suspicions; and
//! after that, those against the same keys until a free check confirms them. Where a key that was confirmed works after all,
//! so may the others.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::served::{MODELS, mark};
use super::state::Millis;

mod limits;

pub(super) use limits::{Limit, OwnLimit};

/// Smaller pools tell nothing, where there is one upstream.
const SMALLEST_POOL: usize = 5;
/// Within so many milliseconds.
const WINDOW: u64 = 10_000;
/// Verdicts that are remembered, or more than half of a larger pool.
const REMEMBERED: usize = 1 << 16;
/// As many keys as one upstream may refuse in a row while others serve as many requests, or a bit more than half of a
/// small pool.
const REFUSED_IN_A_ROW: usize = 8;

/// As many keys that had served as the only upstream may refuse in a row with nobody served in between, in however large a
/// pool.
const UNBROKEN: usize = 32;

/// As many live requests as a suspect may fail after its storm before it is set aside as one, where another upstream may
/// know better.
pub(super) const SET_ASIDE_AFTER: u8 = 3;
/// As many as one may fail whose credit is in doubt before its cooldown is as long as of any: no check tells of that.
pub(super) const SPENT_AFTER: u8 = 6;
/// An upstream that serves some keys and refuses others has had its storm when it has refused no other key for so many
/// milliseconds.
const QUIET: u64 = 60_000;
/// However often it refuses another, such a storm is over after so many milliseconds: then checks may tell who is guilty.
const LONGEST: u64 = 10 * 60_000;
/// How often one of the suspects is tried, when they have been out for long: the first that is served frees them all.
const TRIED_EVERY: Duration = Duration::from_secs(20);

/// Of what a success looks at, all but the marks of models.
const COUNT: u64 = u64::MAX >> MODELS;

/// The storms over all upstreams of a pool.
#[derive(Default)]
pub(super) struct Storms {
    /// How many upstreams have one, or have refused keys since they last served; above these the [marks](super::served::mark) of
    /// models that they have refused for limits: all that a success has to look at.
    on: AtomicU64,
    state: Mutex<State>,
    /// Upstreams whose list of models has refused a key: it is not for everybody.
    discerning: Mutex<BTreeSet<usize>>,
}

#[derive(Default)]
struct State {
    told: VecDeque<Told>,
    by_upstream: Vec<Upstream>,
}

/// A hard verdict of late.
struct Told {
    at: Millis,
    index: u32,
    upstream: usize,
    /// The upstream has served nothing since.
    in_a_row: bool,
    /// What it had served by then.
    served: u64,
    /// It was refused in a storm, and has served nothing since: it may well be guilty, and is no sign of the next storm, but
    /// where one that has worked is refused with it.
    again: bool,
}

#[derive(Default)]
struct Upstream {
    /// Since when the storm is on, when it last put a key under suspicion, and how many storms there have been.
    since: Option<SystemTime>,
    began: Millis,
    latest: Millis,
    storms: u32,
    /// Until when, after a storm, its outage may go on: it has served some keys, and may refuse others.
    unsettled: Millis,
    /// Keys that are or were under suspicion, and how many of them the present or last storm put there.
    suspects: HashMap<u32, Suspect>,
    suspected: usize,
    /// Those of them that have not been freed since they were last refused.
    held: HashSet<u32>,
    /// Those that a check has found guilty: if one of them is not, the outage was longer than its storm.
    condemned: HashSet<u32>,
    /// A free request was refused in this storm: so one that is served tells of its end. Lists that everybody may see tell
    /// nothing.
    refuses_free: bool,
    /// Hard verdicts since it last served, and what the others have served meanwhile.
    in_a_row: usize,
    others_served: usize,
    /// What it has refused for limits.
    limits: Vec<limits::Row>,
}

struct Suspect {
    /// What it had served by then: once it serves again it is under suspicion no more.
    served: u64,
    /// How many live requests it has failed since the storm was over.
    failed: u8,
    /// Which of its upstream's storms put it under suspicion.
    storm: u32,
}

/// What a key is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// Something that costs credit, or may.
    #[default]
    Paid,
    /// A list or the like, as our checks do too: it tells nothing of credit, and some upstreams show it to everybody.
    Free,
}

/// Who says that a key failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuser<'a> {
    /// The upstream, by its index.
    pub upstream: usize,
    /// Its URL, as it may be shown.
    pub url: &'a str,
    /// What the key was asked for.
    pub service: Service,
    /// The model that it was asked for.
    pub model: Option<&'a str>,
    /// In answer to a free check of ours, not to a client's request.
    pub by_check: bool,
    /// There is another upstream, and it is neither ejected nor in a storm of its own.
    pub is_one_of_several: bool,
}

/// What a hard verdict turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It stands.
    Believed,
    /// It is a suspicion; so often it was one after the storm was over.
    Suspected(u8),
    /// It is a suspicion, and so are those against these keys, which were believed until now.
    Begins(Vec<u32>),
}

impl Upstream {
    fn is_on(&self) -> bool {
        self.since.is_some() || self.in_a_row > 0 || self.limits.iter().any(limits::Row::is_of_all)
    }

    fn suspect(&mut self, index: u32, served: u64, now: Millis) {
        let suspect = Suspect { served, failed: 0, storm: self.storms };
        self.held.insert(index);
        if self.suspects.insert(index, suspect).is_none_or(|before| before.storm != self.storms) {
            self.suspected += 1;
            self.latest = now;
        }
    }

    /// A key is under suspicion no more. Returns whether the present or last storm had put it there.
    fn clear(&mut self, index: u32) -> bool {
        self.held.remove(&index);
        let was = self.suspects.remove(&index).is_some_and(|suspect| suspect.storm == self.storms);
        self.suspected -= usize::from(was);
        was
    }

    /// A key is served: if it was a suspect, the others may be as good.
    fn freed_by(&mut self, index: u32) -> Vec<u32> {
        if !self.clear(index) {
            return Vec::new();
        }
        std::mem::take(&mut self.held).into_iter().chain([index]).collect()
    }
}

impl Storms {
    /// A key that has served so many requests is told, for good or for long, in a pool of so many. `names_end`: the provider
    /// says until when.
    pub(super) fn told(
        &self,
        (index, served): (u32, u64),
        by: Accuser<'_>,
        pool: usize,
        now: Millis,
        names_end: bool,
    ) -> Finding {
        self.change(by.upstream, |state| {
            let here = state.upstream(by.upstream);
            if here.since.is_some() {
                here.suspect(index, served, now);
                here.refuses_free |= by.service == Service::Free;
                return Finding::Suspected(0);
            }
            let again = here.suspects.get(&index).is_some_and(|suspect| suspect.served == served);
            here.in_a_row += 1;
            let is_old = |told: &Told| told.at.0 + WINDOW < now.0 && !told.in_a_row;
            while state.told.front().is_some_and(is_old) || state.told.len() >= REMEMBERED.max(pool / 2 + 1) {
                state.told.pop_front();
            }
            state.told.push_back(Told {
                at: now,
                index,
                upstream: by.upstream,
                in_a_row: true,
                served,
                again,
            });
            if let Some(others) = state.begins(index, by, pool, now, names_end) {
                return Finding::Begins(others);
            }
            let here = state.upstream(by.upstream);
            // So precise it is where it serves other keys meanwhile.
            let is_sure = by.by_check || names_end && here.in_a_row == 1;
            match here.suspects.get_mut(&index).filter(|_| again) {
                Some(suspect) if !is_sure => {
                    suspect.failed = suspect.failed.saturating_add(1);
                    let times = suspect.failed;
                    here.held.insert(index);
                    Finding::Suspected(times)
                }
                None if !is_sure && now < here.unsettled && !here.condemned.contains(&index) => {
                    here.suspect(index, served, now);
                    here.unsettled = Millis(now.0 + QUIET);
                    Finding::Suspected(0)
                }
                _ => {
                    here.clear(index);
                    if again && by.by_check {
                        here.condemned.insert(index);
                    } else {
                        here.condemned.remove(&index);
                    }
                    Finding::Believed
                }
            }
        })
    }

    /// A key is under suspicion since before a restart or a reload; `since` is when its storm began, if that is on.
    pub(super) fn resume(
        &self,
        upstream: usize,
        (index, served): (u32, u64),
        since: Option<SystemTime>,
        now: Millis,
    ) {
        self.change(upstream, |state| match since {
            Some(since) => state.suspect(upstream, (index, served), since, now),
            None => state.upstream(upstream).suspect(index, served, now),
        });
    }

    /// Whether there is anything that a success may end, for this model if one is asked for. Models that share a mark cost a look
    /// too many.
    #[inline]
    pub(super) fn concern(&self, model: Option<&str>) -> bool {
        match self.on.load(Ordering::Relaxed) {
            0 => false,
            on => on & COUNT > 0 || model.is_some_and(|model| on & mark(model) != 0),
        }
    }

    /// An upstream served a key. Ends the storm, if one was on and the key is a suspect,
    /// or none was refused of late. Gives back the other suspects, if they may be tried again.
    #[cold]
    pub(super) fn served(&self, upstream: usize, index: u32, service: Service, now: Millis) -> Vec<u32> {
        self.change(upstream, |state| {
            let mut freed = Vec::new();
            let is_well = state.upstream(upstream).since.is_none();
            for (index, other) in state.by_upstream.iter_mut().enumerate() {
                if index != upstream && service == Service::Paid {
                    other.others_served += usize::from(other.in_a_row > 0);
                    if is_well && other.since.is_some() {
                        // They may be served here.
                        freed.extend(other.held.drain());
                    }
                }
            }
            let here = state.upstream(upstream);
            if service == Service::Free && !here.refuses_free {
                return freed;
            }
            let is_on = here.since.is_some();
            if is_on {
                let own = here.freed_by(index);
                let is_quiet = here.latest.0 + QUIET <= now.0;
                if own.is_empty() && !is_quiet && here.began.0 + LONGEST > now.0 {
                    return freed;
                }
                if !own.is_empty() || !is_quiet {
                    here.unsettled = Millis(now.0 + QUIET);
                }
                freed.extend(own);
                here.since = None;
            }
            let row = std::mem::take(&mut here.in_a_row);
            (here.others_served, here.refuses_free) = (0, false);
            if row > 0 || is_on {
                state.told.retain_mut(|told| {
                    told.in_a_row &= told.upstream != upstream;
                    told.in_a_row || !told.again
                });
            }
            freed
        })
    }

    /// A key that had failed was served, and no storm is on. Gives back those that were suspects with it.
    pub(super) fn recovered(&self, upstream: usize, index: u32) -> Vec<u32> {
        self.change(upstream, |state| state.upstream(upstream).freed_by(index))
    }

    /// A key works that a check had found guilty. Gives back those that were with it.
    pub(super) fn acquitted(&self, upstream: usize, index: u32) -> Vec<u32> {
        let mut state = self.state();
        let condemned = &mut state.upstream(upstream).condemned;
        if condemned.contains(&index) { condemned.drain().collect() } else { Vec::new() }
    }

    /// The suspects of storms that checks have found guilty.
    pub(super) fn condemned(&self) -> HashSet<u32> {
        self.state().by_upstream.iter().flat_map(|here| here.condemned.iter().copied()).collect()
    }

    /// A check was refused.
    pub(super) fn note_discerning(&self, upstream: usize) {
        self.discerning.lock().unwrap_or_else(PoisonError::into_inner).insert(upstream);
    }

    /// Whether a check that passes tells something of a key: others were refused.
    pub(super) fn is_discerning(&self, upstream: usize) -> bool {
        self.discerning.lock().unwrap_or_else(PoisonError::into_inner).contains(&upstream)
    }

    /// For how long a suspect is set aside at most: all of them together are tried at the same pace, however many they are.
    pub(super) fn longest_suspicion(&self) -> Duration {
        let suspects: usize = self.state().by_upstream.iter().map(|here| here.held.len()).sum();
        TRIED_EVERY.saturating_mul(u32::try_from(suspects).unwrap_or(u32::MAX))
    }

    /// The upstreams whose storm is on, since when, and how many keys are under suspicion.
    pub(super) fn list(&self) -> Vec<(usize, SystemTime, usize)> {
        let on = |(index, here): (usize, &Upstream)| Some((index, here.since?, here.suspected));
        self.state().by_upstream.iter().enumerate().filter_map(on).collect()
    }

    /// The keys were replaced, and have these numbers now. All is forgotten but whom checks have found guilty: they are still
    /// out, and if one of them is not, it was more than a storm.
    pub(super) fn begin_anew(&self, new: impl Fn(u32) -> Option<u32>) {
        let mut state = self.state();
        let by_upstream = state.by_upstream.iter().map(|here| Upstream {
            condemned: here.condemned.iter().filter_map(|index| new(*index)).collect(),
            ..Upstream::default()
        });
        *state = State { by_upstream: by_upstream.collect(), told: VecDeque::new() };
        self.on.store(0, Ordering::SeqCst);
    }

    fn change<T>(&self, upstream: usize, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.upstream(upstream);
        let done = change(&mut state);
        // Under the lock, so that the counts come in the order of the changes.
        let on = state.by_upstream.iter().fold(0, |on, here| {
            let marks = here.limits.iter().fold(on, |marks, row| marks | row.mark());
            marks + u64::from(here.is_on())
        });
        self.on.store(on, Ordering::SeqCst);
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a storm begins with the latest verdict; then the other keys that it has swept away.
    fn begins(
        &mut self,
        index: u32,
        by: Accuser<'_>,
        pool: usize,
        now: Millis,
        names_end: bool,
    ) -> Option<Vec<u32>> {
        let is_most = |keys: usize| pool >= SMALLEST_POOL && keys * 2 > pool;
        let here = self.upstream(by.upstream);
        let enough = REFUSED_IN_A_ROW.min(pool / 2 + 1).max(2);
        let is_long = by.is_one_of_several && here.in_a_row >= enough && here.others_served >= enough;
        // Looked at now and then: at all of them.
        let is_time = !by.is_one_of_several && !names_end && here.in_a_row.is_multiple_of(UNBROKEN);
        let is_this = |told: &&Told| told.upstream == by.upstream && told.in_a_row;
        // Keys that are no good anywhere have never served; and good answers take longer than refusals.
        let have_served =
            || self.told.iter().filter(is_this).filter(|told| told.served > 0).count() * 2 >= enough;
        // One key that was asked several times at once says nothing of others.
        let are_several = || pool < 2 || self.told.iter().filter(is_this).any(|told| told.index != index);
        let is_unbroken = || {
            let had_served = self.told.iter().filter(|told| is_this(told) && told.served > 0 && !told.again);
            had_served.map(|told| told.index).collect::<HashSet<_>>().len() >= UNBROKEN
        };
        let is_alone = is_long && have_served() && are_several() || is_time && is_unbroken();
        if !is_alone && !is_most(self.told.len()) {
            return None;
        }
        let worked = self.told.iter().any(|told| told.in_a_row && !told.again && told.served > 0);
        let is_of_storm = |told: &&Told| {
            let is_of_all = told.in_a_row || told.at.0 + WINDOW >= now.0;
            if is_alone { is_this(told) } else { is_of_all && (worked || !told.again) }
        };
        let mut swept: HashSet<u32> = self.told.iter().filter(is_of_storm).map(|told| told.index).collect();
        if !is_alone && !is_most(swept.len()) {
            return None;
        }
        let is_swept = |told: &Told| swept.contains(&told.index);
        let (of_storm, rest) = std::mem::take(&mut self.told).into_iter().partition(is_swept);
        self.told = rest;
        for Told { upstream, index, served, .. } in of_storm {
            self.suspect(upstream, (index, served), SystemTime::now(), now);
        }
        self.upstream(by.upstream).refuses_free = by.service == Service::Free;
        swept.remove(&index);
        Some(swept.into_iter().collect())
    }

    fn suspect(&mut self, upstream: usize, (index, served): (u32, u64), since: SystemTime, now: Millis) {
        let here = self.upstream(upstream);
        if here.since.is_none() {
            here.storms = here.storms.wrapping_add(1);
            (here.in_a_row, here.others_served, here.refuses_free, here.suspected) = (0, 0, false, 0);
            here.held.clear();
            here.began = now;
        }
        let on_for = since.elapsed().unwrap_or_default().as_millis();
        let began = now.0.saturating_sub(u64::try_from(on_for).unwrap_or(u64::MAX));
        here.began = here.began.min(Millis(began));
        here.since = Some(here.since.map_or(since, |earlier| earlier.min(since)));
        here.suspect(index, served, now);
    }

    #[expect(clippy::indexing_slicing, reason = "there is one by then")]
    fn upstream(&mut self, upstream: usize) -> &mut Upstream {
        if self.by_upstream.len() <= upstream {
            self.by_upstream.resize_with(upstream + 1, Upstream::default);
        }
        &mut self.by_upstream[upstream]
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
