//! Recognises that a limit is an upstream's own, and none of the keys': it refuses key after key and serves none, while another
//! serves as many in a row; whatever they are asked for, or a model. Limits of the keys themselves are met at all upstreams, or by
//! some of them.

use std::collections::HashSet;
use std::time::SystemTime;

use super::super::served::mark;
use super::super::state::Millis;
use super::{Accuser, QUIET, REFUSED_IN_A_ROW, Service, Storms};

/// So many rows of an upstream's are remembered.
const ROWS: usize = 64;

/// What an upstream has refused for limits since it last served.
#[derive(Default)]
pub(super) struct Row {
    /// Of requests for this model; `None`: of all.
    model: Option<Box<str>>,
    mark: u64,
    url: Box<str>,
    latest: Millis,
    began: Millis,
    refused: usize,
    keys: HashSet<u32>,
    enough: Enough,
    /// What others have served meanwhile, since one of them last began to refuse.
    others_served: usize,
    /// Since when it is taken for that.
    since: Option<SystemTime>,
}

/// What makes a limit of its own.
#[derive(Clone, Copy, Default)]
struct Enough {
    refused: usize,
    /// One that was asked several times at once says nothing of others.
    keys: usize,
    served: usize,
}

impl Enough {
    /// Of a small pool a bit more than half; of the smallest all keys, but what is out by then can't be served meanwhile.
    fn of(pool: usize, model: Option<&str>) -> Self {
        let most = REFUSED_IN_A_ROW.min(pool / 2 + 1);
        let refused = most.max(pool.min(3)).max(2);
        let served = most.min(pool.saturating_sub(1)).max(1);
        // Of several models it is more often chance.
        let served = if model.is_some() { served * 2 } else { served };
        Self { refused, keys: refused.min(pool), served }
    }
}

/// An upstream's own limit.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::keys) struct OwnLimit {
    pub(in crate::keys) upstream: usize,
    /// The model, if it is for that alone.
    pub(in crate::keys) model: Option<Box<str>>,
    /// Its URL, as it may be shown.
    pub(in crate::keys) url: Box<str>,
    /// What it has said of keys since then is none of theirs.
    pub(in crate::keys) began: Millis,
    /// Of so many.
    pub(in crate::keys) keys: usize,
}

/// Whose a limit is; what is found later is more.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::keys) enum Limit {
    OfKey,
    OfUpstream,
    /// The upstream's, as is found with this one.
    Begins(OwnLimit),
}

impl Row {
    pub(super) fn is_of_all(&self) -> bool {
        self.model.is_none()
    }

    /// Of its model; 0 if it is of all.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// Whether it may still tell something: nobody may ask for that model again.
    fn is_of_late(&self, now: Millis) -> bool {
        self.is_of_all() || self.latest.0 + QUIET > now.0
    }

    /// Whether it is found to be the upstream's own limit with what has just been heard.
    fn begins(&mut self, upstream: usize) -> Option<OwnLimit> {
        let Enough { refused, keys, served } = self.enough;
        let is_enough = self.refused >= refused && self.keys.len() >= keys && self.others_served >= served;
        if !is_enough || self.since.is_some() {
            return None;
        }
        self.since = Some(SystemTime::now());
        let (model, url) = (self.model.clone(), self.url.clone());
        Some(OwnLimit { upstream, model, url, began: self.began, keys: self.keys.len() })
    }

    /// A key is refused, and what that makes of it.
    fn refuse(&mut self, index: u32, by: Accuser<'_>, now: Millis) -> Limit {
        self.refused += 1;
        self.keys.insert(index);
        self.latest = now;
        if !by.is_one_of_several {
            // Nobody is left who does better: it begins anew when there is.
            (self.since, self.others_served) = (None, 0);
        }
        match self.begins(by.upstream) {
            Some(limit) => Limit::Begins(limit),
            None if self.since.is_some() => Limit::OfUpstream,
            None => Limit::OfKey,
        }
    }
}

impl Storms {
    /// A key is refused for a limit, in a pool of so many.
    pub(in crate::keys) fn limited(&self, index: u32, by: Accuser<'_>, pool: usize, now: Millis) -> Limit {
        let may_matter = by.is_one_of_several || self.concern(by.model);
        if !may_matter || by.service == Service::Free {
            return Limit::OfKey;
        }
        self.change(by.upstream, |state| {
            state.by_upstream.iter_mut().for_each(|here| here.limits.retain(|row| row.is_of_late(now)));
            let of_all_and_model = [None, by.model].into_iter().take(1 + usize::from(by.model.is_some()));
            let limits = of_all_and_model.map(|model| {
                let is_its = |row: &&mut Row| row.model.as_deref() == model;
                if let Some(row) = state.upstream(by.upstream).limits.iter_mut().find(is_its) {
                    return row.refuse(index, by, now);
                }
                if !by.is_one_of_several {
                    return Limit::OfKey;
                }
                let rows = state.by_upstream.iter_mut().flat_map(|other| &mut other.limits);
                rows.filter(is_its).for_each(|row| row.others_served = 0);
                let mut row = Row {
                    model: model.map(Box::from),
                    mark: model.map_or(0, mark),
                    url: by.url.into(),
                    began: now,
                    enough: Enough::of(pool, model),
                    ..Row::default()
                };
                let limit = row.refuse(index, by, now);
                let rows = &mut state.upstream(by.upstream).limits;
                if rows.len() < ROWS {
                    rows.push(row);
                }
                limit
            });
            limits.max().unwrap_or(Limit::OfKey)
        })
    }

    /// An upstream served a key, for a model if one was asked for: it is at no limit of its own. Gives back the others that are,
    /// as is found with this.
    #[cold]
    pub(in crate::keys) fn served_by(
        &self,
        upstream: usize,
        model: Option<&str>,
        now: Millis,
    ) -> Vec<OwnLimit> {
        self.change(upstream, |state| {
            let is_its = |row: &Row| row.is_of_all() || row.model.as_deref() == model;
            state.upstream(upstream).limits.retain(|row| !is_its(row));
            let mut begins = Vec::new();
            for (index, other) in state.by_upstream.iter_mut().enumerate() {
                other.limits.retain(|row| row.is_of_late(now));
                for row in other.limits.iter_mut().filter(|row| is_its(row)) {
                    row.others_served += 1;
                    begins.extend(row.begins(index));
                }
            }
            begins
        })
    }

    /// The upstreams that are at a limit of their own, since when, and how many keys they have refused.
    pub(in crate::keys) fn at_limit(&self) -> Vec<(usize, SystemTime, usize)> {
        let state = self.state();
        let rows = state.by_upstream.iter().enumerate().flat_map(|(index, here)| {
            here.limits.iter().filter(|row| row.is_of_all()).map(move |row| (index, row))
        });
        rows.filter_map(|(index, row)| Some((index, row.since?, row.keys.len()))).collect()
    }
}
