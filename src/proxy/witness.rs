//! Who is asked next where it is not clear what a refusal was about (spec §6, "evidence across keys").

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Proxy;
use super::so_far::SoFar;
use crate::group::Group;
use crate::keys::{Lease, Need};
use crate::upstream::Upstream;

/// How often a request that can't use the keys that are free looks for others. It does not stand in line: those behind it
/// may use them.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How many keys that are put to the test are passed over for one that is in rotation.
const SIDE_BY_SIDE: u32 = 32;

impl Proxy {
    /// A key from whose answer something is to be learnt: one that is known to work, failing that one that has not been
    /// tried; where there is none, one that was refused, for an upstream that has not refused it; and then one that comes
    /// back in time.
    pub(super) async fn lease_to_learn(&self, need: Need<'_>, so_far: &SoFar<'_>) -> Option<Lease<'_>> {
        let Group { keys, upstreams, .. } = &*self.common.group;
        let accused = so_far.accused();
        let is_done = |key: &u32| !upstreams.has_unasked(&so_far.refused_by(*key));
        let done: Vec<u32> = accused.iter().copied().filter(is_done).collect();
        let again = Need { not: &done, ..need };
        // The only key that may use a model may have been asked where nobody may.
        let likely = || keys.lease_likely(need).or_else(|| keys.lease_likely(again));
        let lease = so_far.is_denied().then(likely).flatten();
        let lease = lease.or_else(|| keys.lease_proven(need)).or_else(|| keys.lease_other(need, &accused));
        let elsewhere = || keys.lease_other(again, &done).or_else(|| keys.lease_busy(again));
        let lease = lease.or_else(|| (done.len() < accused.len()).then(elsewhere).flatten());
        match lease {
            None => self.another_in_time(need, &accused, so_far).await,
            lease => lease,
        }
    }

    /// A key other than those for which it is too much that is asked for, if one is there or comes back in time: one that serves
    /// rather than one that may be as poor.
    pub(super) async fn lease_another(
        &self,
        need: Need<'_>,
        so_far: &SoFar<'_>,
        unfit: &[u32],
        is_last: bool,
    ) -> Option<Lease<'_>> {
        let keys = &self.common.group.keys;
        let surest = || keys.lease_proven(need).or_else(|| keys.lease_in_rotation(need));
        let lease = keys.lease_rich(need).or_else(|| is_last.then(surest).flatten());
        match lease.or_else(|| keys.lease_other(need, unfit)) {
            None => self.another_in_time(need, unfit, so_far).await,
            lease => lease,
        }
    }

    /// Who can't be tried again is not to find out whether a key works, if there is another.
    #[cold]
    pub(super) fn lease_surer<'a>(&'a self, need: Need<'_>, probe: Lease<'a>) -> Lease<'a> {
        // Keys that fell together are put to the test together, side by side.
        for _ in 0..SIDE_BY_SIDE {
            match self.common.group.keys.lease(need) {
                Some(lease) if lease.is_probe() => drop(lease),
                Some(lease) if need.not.contains(&lease.index()) => break,
                Some(lease) => {
                    return lease;
                }
                None => break,
            }
        }
        self.common.group.keys.lease_in_rotation(need).unwrap_or(probe)
    }

    /// Where it goes: to an upstream that was not asked, failing that to one that was not asked about this key.
    #[cold]
    pub(super) fn upstream_to_learn(&self, lease: &Lease<'_>, so_far: &SoFar<'_>) -> Option<&Upstream> {
        let upstreams = &self.common.group.upstreams;
        let (asked, of_key) = (so_far.asked(), so_far.asked_for(lease.index()));
        let is_left = of_key.is_empty() || upstreams.has_unasked(&asked);
        upstreams.pick(if is_left { &asked } else { &of_key })
    }

    /// Where a key that is out is put to the test: at the upstream whose word that tests, if it does; else every other time at
    /// any that has no storm, be it ejected. It may have been one's fault that it is out, and where all are, nobody else finds out
    /// which upstream is well.
    #[cold]
    pub(super) fn upstream_to_test(&self, lease: &Lease<'_>, so_far: &SoFar<'_>) -> Option<&Upstream> {
        let upstreams = &self.common.group.upstreams;
        if let Some(foretold_by) = lease.foretold_by() {
            let others = upstreams.all().iter().map(|upstream| upstream.index);
            return upstreams.pick(&others.filter(|index| *index != foretold_by).collect::<Vec<_>>());
        }
        if so_far.failed_upstreams.is_empty() && fastrand::bool() {
            return upstreams.pick_any_but(&lease.storming());
        }
        upstreams.pick(&so_far.failed_upstreams)
    }

    async fn another_in_time(
        &self,
        need: Need<'_>,
        accused: &[u32],
        so_far: &SoFar<'_>,
    ) -> Option<Lease<'_>> {
        let Group { keys, max_key_wait, .. } = &*self.common.group;
        let now = Instant::now();
        let (by, patience) = so_far.patience(*max_key_wait);
        if patience.is_zero() || !keys.others_may_return_within(accused, need.model, patience) {
            return keys.lease_busy(need);
        }
        let mut lease = None;
        while lease.is_none() && Instant::now() < by {
            sleep(LOOK_AGAIN).await;
            lease = keys.lease_other(need, accused);
        }
        so_far.waited.set(so_far.waited.get() + now.elapsed());
        lease.or_else(|| keys.lease_busy(need))
    }
}
