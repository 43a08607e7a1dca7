//! A verdict against a key that is not settled yet.

use std::mem::discriminant;

use http::StatusCode;

use crate::keys::{Accuser, Cause, Effect, Failure, Lease, Service, Settled};
use crate::upstream::{Upstream, Upstreams};

/// A verdict against a key, with the lease that it will settle.
pub(super) struct Held<'a> {
    pub(super) lease: Lease<'a>,
    pub(super) effect: Effect,
    pub(super) upstream: &'a Upstream,
    pub(super) service: Service,
    pub(super) status: StatusCode,
    /// The model that it is about, if it is about one.
    pub(super) model: Option<Box<str>>,
    /// The model that was asked for.
    pub(super) asked_for: Option<Box<str>>,
    pub(super) cause: Cause,
    pub(super) too_few_tokens: Option<u32>,
}

impl Held<'_> {
    /// Whether another key was told the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let is_same_status = self.status == other.status || self.effect == Effect::Denied;
        // How long to wait may be told anew each time.
        discriminant(&self.effect) == discriminant(&other.effect) && is_same_status
    }

    /// Whether it stands, though no other key was served at its upstream: every upstream there is has said so.
    pub(super) fn is_said_by_all(&self, upstreams: &Upstreams) -> bool {
        self.lease.is_refused_by_all(self.upstream.index, &able(upstreams), self.model.as_deref())
    }

    /// Sets the key aside, unless that is found to be its upstream's fault.
    pub(super) fn set_aside(self, upstreams: &Upstreams) -> Settled {
        let Self { lease, effect, model, asked_for, cause, too_few_tokens, upstream, service, .. } = self;
        let (key_index, key_preview) = (lease.index(), lease.preview());
        let (by_url, provider) = (upstream.url.shown(), upstream.provider);
        let by = Accuser { model: asked_for.as_deref(), ..accuser(&lease, upstream, upstreams, service) };
        let failure = Failure { effect, model: model.as_deref(), by, too_few_tokens, cause: cause.clone() };
        let settled = lease.fail(failure);
        if let Settled::Out(effect) = settled {
            tracing::warn!(
                key_index,
                key_preview,
                verdict = effect.name(),
                model,
                rule = &*cause.rule,
                status = cause.status,
                code = cause.code.as_deref(),
                wait_s = cause.wait.map(|wait| wait.as_secs_f64()),
                wait_from = cause.wait_from.as_deref(),
                upstream = by_url,
                provider,
                error = &*cause.error,
                "key blacklisted"
            );
        }
        settled
    }
}

/// The upstreams that may know better: those that are not ejected, but two at least, where there are two.
fn able(upstreams: &Upstreams) -> Vec<usize> {
    let all: Vec<usize> = upstreams.all().iter().map(|upstream| upstream.index).collect();
    let others_than = |index| all.iter().copied().filter(|other| *other != index).collect::<Vec<_>>();
    let able = all.iter().copied().filter(|index| upstreams.has_others_than(&others_than(*index)));
    Some(able.collect::<Vec<_>>()).filter(|able| able.len() >= 2).unwrap_or(all)
}

/// Who refused a client's request with a key.
pub(super) fn accuser<'a>(
    lease: &Lease<'_>,
    upstream: &'a Upstream,
    upstreams: &Upstreams,
    service: Service,
) -> Accuser<'a> {
    // Where all of them refuse keys, none knows better.
    let mut these = lease.storming();
    these.push(upstream.index);
    let is_one_of_several = upstreams.has_others_than(&these);
    Accuser {
        upstream: upstream.index,
        url: upstream.url.shown(),
        service,
        model: None,
        by_check: false,
        is_one_of_several,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::BaseUrl;

    #[tokio::test(start_paused = true)]
    async fn who_is_ejected_does_not_know_better_where_two_others_do() {
        for (many, able_then) in [(1, vec![0]), (2, vec![0, 1]), (3, vec![1, 2])] {
            let url = |number| BaseUrl::parse(&format!("http://host-{number}")).unwrap();
            let upstreams = Upstreams::new((0..many).map(url).collect());
            assert_eq!(able(&upstreams).len(), many);
            for _ in 0..5 {
                upstreams.fail(&upstreams.all()[0], Duration::ZERO);
            }
            assert_eq!(able(&upstreams), able_then);
            upstreams.succeed(&upstreams.all()[0]);
            assert_eq!(able(&upstreams).len(), many);
        }
    }
}
