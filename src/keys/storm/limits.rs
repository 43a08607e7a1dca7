//! Recognises that a limit is an upstream's own, and none of the keys': it refuses key after key and serves none, while another
//! serves as many in a row. Limits of the keys themselves are met at all upstreams, or by some of them.

use std::collections::HashSet;
use std::time::SystemTime;

use super::super::state::Millis;
use super::{Accuser, REFUSED_IN_A_ROW, Service, Storms};

/// What an upstream has refused for limits since it last served.
#[derive(Default)]
pub(super) struct Row {
    url: Box<str>,
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
    fn of(pool: usize) -> Self {
        let most = REFUSED_IN_A_ROW.min(pool / 2 + 1);
        let refused = most.max(pool.min(3)).max(2);
        Self { refused, keys: refused.min(pool), served: most.min(pool.saturating_sub(1)).max(1) }
    }
}

/// An upstream's own limit.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::keys) struct OwnLimit {
    pub(in crate::keys) upstream: usize,
    /// Its URL, as it may be shown.
    pub(in crate::keys) url: Box<str>,
    /// What it has said of keys since then is none of theirs.
    pub(in crate::keys) began: Millis,
    /// Of so many.
    pub(in crate::keys) keys: usize,
}

/// Whose a limit is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::keys) enum Limit {
    OfKey,
    OfUpstream,
    /// The upstream's, as is found with this one.
    Begins(OwnLimit),
}

impl Row {
    pub(super) fn is_on(&self) -> bool {
        self.refused > 0
    }

    /// Whether it is found to be the upstream's own limit with what has just been heard.
    fn begins(&mut self, upstream: usize) -> Option<OwnLimit> {
        let Enough { refused, keys, served } = self.enough;
        let is_enough = self.refused >= refused && self.keys.len() >= keys && self.others_served >= served;
        if !is_enough || self.since.is_some() {
            return None;
        }
        self.since = Some(SystemTime::now());
        Some(OwnLimit { upstream, url: self.url.clone(), began: self.began, keys: self.keys.len() })
    }
}

impl Storms {
    /// A key is refused for a limit, in a pool of so many.
    pub(in crate::keys) fn limited(&self, index: u32, by: Accuser<'_>, pool: usize, now: Millis) -> Limit {
        let may_matter = by.is_one_of_several || self.any();
        if !may_matter || by.service == Service::Free {
            return Limit::OfKey;
        }
        self.change(by.upstream, |state| {
            if !state.upstream(by.upstream).limits.is_on() {
                if !by.is_one_of_several {
                    return Limit::OfKey;
                }
                state.by_upstream.iter_mut().for_each(|other| other.limits.others_served = 0);
                state.upstream(by.upstream).limits =
                    Row { url: by.url.into(), began: now, enough: Enough::of(pool), ..Row::default() };
            }
            let row = &mut state.upstream(by.upstream).limits;
            row.refused += 1;
            row.keys.insert(index);
            if !by.is_one_of_several {
                // Nobody is left who does better: it begins anew when there is.
                (row.since, row.others_served) = (None, 0);
            }
            match row.begins(by.upstream) {
                Some(limit) => Limit::Begins(limit),
                None if row.since.is_some() => Limit::OfUpstream,
                None => Limit::OfKey,
            }
        })
    }

    /// An upstream served a key: it is at no limit of its own. Gives back the others that are, as is found with this.
    #[cold]
    pub(in crate::keys) fn served_by(&self, upstream: usize) -> Vec<OwnLimit> {
        self.change(upstream, |state| {
            state.upstream(upstream).limits = Row::default();
            let rows = state.by_upstream.iter_mut().map(|other| &mut other.limits).enumerate();
            let begins = rows.filter(|(_, row)| row.is_on()).filter_map(|(index, row)| {
                row.others_served += 1;
                row.begins(index)
            });
            begins.collect()
        })
    }

    /// The upstreams that are at a limit of their own, since when, and how many keys they have refused.
    pub(in crate::keys) fn at_limit(&self) -> Vec<(usize, SystemTime, usize)> {
        let state = self.state();
        let rows = state.by_upstream.iter().map(|here| &here.limits).enumerate();
        rows.filter_map(|(index, row)| Some((index, row.since?, row.keys.len()))).collect()
    }
}
