//! What a refusal proves, and against whom: the key, the upstream that said so, or neither (spec §6, "evidence across keys").

use std::time::Duration;

use http::StatusCode;

use super::attempt::Try;
use super::held::Held;
use super::refused::Refused;
use super::so_far::{Doubted, SoFar};
use super::{Follow, Proxy, remains};
use crate::group::Group;
use crate::keys::{Effect, Lease, Settled};
use crate::upstream::Upstream;
use crate::verdict::{Scope, Verdict};

impl Proxy {
    /// Settles the lease of a refused attempt, and says what follows.
    #[cold]
    pub(super) fn refused<'a>(
        &'a self,
        lease: Lease<'a>,
        upstream: &'a Upstream,
        mut answer: Box<Refused>,
        request: &Try,
        so_far: &mut SoFar<'a>,
    ) -> Follow {
        let judgement = &answer.judgement;
        let wait = judgement.wait.as_ref().map(|wait| wait.duration);
        if matches!(judgement.verdict, Verdict::UpstreamFault | Verdict::RequestFault | Verdict::Success) {
            lease.hear(upstream.index, remains(answer.headers(), &lease, request, so_far.tried_at));
        }
        let effect = match judgement.verdict {
            Verdict::UpstreamFault => {
                tracing::debug!(upstream = %upstream.url, rule = judgement.rule, error = judgement.message, "upstream fault");
                lease.spend();
                self.upstream_failed(upstream, so_far.tried_at.elapsed());
                let is_barred = so_far.is_barred(&answer, self.common.group.upstreams.all().len());
                // Whoever is behind a gateway that lost patience, or got no whole answer, may have done it, or do so yet; and
                // who failed within an answer that began well was at it.
                let status = answer.status();
                let is_open = status.is_success() || matches!(status.as_u16(), 504 | 520 | 524);
                let may_be_done = is_open && !request.harmless;
                so_far.was_told(answer);
                return if is_barred || may_be_done { Follow::Pass } else { Follow::NextUpstream };
            }
            _ if judgement.denied_model => {
                self.upstream_answered(upstream);
                return self.denied(lease, upstream, answer, request, so_far);
            }
            Verdict::Success | Verdict::RequestFault => {
                self.upstream_answered(upstream);
                so_far.was_told(answer);
                return Follow::Pass;
            }
            Verdict::KeyExhausted if judgement.asks_too_much => Effect::TooLittle,
            Verdict::KeyInvalid => Effect::Invalid,
            Verdict::KeyExhausted => Effect::Exhausted { wait },
            Verdict::KeyLimited if judgement.at_a_time => Effect::Crowded { wait },
            Verdict::KeyLimited => Effect::Limited { wait },
        };
        let model = request.model().filter(|_| judgement.scope == Scope::KeyAndModel);
        if model.is_none() && judgement.scope == Scope::KeyAndModel && is_of_permission(&answer) {
            // It may do what others ask for: one client's forbidden path takes no key from all of them.
            self.upstream_answered(upstream);
            return self.leave_to_others(answer, request, so_far);
        }
        let verdict = Held {
            status: answer.status(),
            model: model.map(Box::from),
            asked_for: request.model().map(Box::from),
            cause: answer.cause(upstream),
            too_few_tokens: answer.too_few_tokens(),
            service: request.service(),
            upstream,
            lease,
            effect,
        };
        if effect == Effect::TooLittle {
            return self.too_dear(verdict, answer, request, so_far);
        }
        let is_hard = !matches!(effect, Effect::Limited { .. } | Effect::Crowded { .. });
        let is_weak_aside = !answer.judgement.weak
            && effect == Effect::Invalid
            && verdict.lease.has_served()
            && is_aside(request);
        answer.judgement.weak |= is_weak_aside;
        let judgement = &answer.judgement;
        let for_limit = !judgement.weak && !is_hard;
        so_far.doubted.push(Doubted { upstream: upstream.index, for_limit });
        if judgement.weak || is_hard && self.is_grave(&verdict, so_far) {
            return self.weigh(verdict, answer, is_weak_aside, so_far);
        }
        self.believe(so_far);
        self.blame(verdict);
        so_far.was_told(answer);
        Follow::NextKey
    }

    /// Another key may have what this one lacks, or another upstream ask for less.
    fn too_dear<'a>(
        &self,
        verdict: Held<'a>,
        answer: Box<Refused>,
        request: &Try,
        so_far: &mut SoFar<'a>,
    ) -> Follow {
        so_far.doubted.push(Doubted { upstream: verdict.upstream.index, for_limit: true });
        self.believe(so_far);
        self.blame(verdict);
        let follow = self.leave_to_others(answer, request, so_far);
        if matches!(follow, Follow::NextKey) || !self.common.group.upstreams.has_unasked(&so_far.asked()) {
            return follow;
        }
        if let Some(refused) = &mut so_far.refused {
            refused.unfit.clear();
        }
        Follow::NextKey
    }

    /// The key stays where it is, and others are asked, if there are any in time.
    fn leave_to_others(&self, mut answer: Box<Refused>, request: &Try, so_far: &mut SoFar<'_>) -> Follow {
        let Group { keys, max_key_wait, .. } = &*self.common.group;
        answer.unfit.extend(so_far.tried.last());
        let (_, patience) = so_far.patience(*max_key_wait);
        let unfit = &so_far.was_told(answer).unfit;
        let any_left = keys.others_may_return_within(unfit, request.model(), patience);
        if any_left { Follow::NextKey } else { Follow::Pass }
    }

    /// Whether it would leave no key, and an upstream is left that may know better.
    fn is_grave(&self, verdict: &Held<'_>, so_far: &SoFar<'_>) -> bool {
        let Group { keys, upstreams, .. } = &*self.common.group;
        if keys.available() > 1 || verdict.lease.is_probe() {
            return false;
        }
        let mut asked = so_far.refused_by(verdict.lease.index());
        asked.push(verdict.upstream.index);
        upstreams.has_others_than(&asked)
    }

    /// A weak verdict waits for what another key is told. The same of a second key was not about the keys; but where an
    /// upstream is left that was not asked, be it ejected, it may have been about those that were. `is_plain`: it would be believed
    /// of whoever asks a model, and two dead keys in a row are not rare, so that all attempts are made.
    fn weigh<'a>(
        &self,
        verdict: Held<'a>,
        mut answer: Box<Refused>,
        is_plain: bool,
        so_far: &mut SoFar<'a>,
    ) -> Follow {
        let mut follow = Follow::NextKey;
        self.hold(verdict, so_far);
        if so_far.is_said_of_several() {
            if !is_plain && !self.common.group.upstreams.has_unasked(&so_far.heard()) {
                so_far.weak.iter().for_each(|weak| self.upstream_answered(weak.upstream));
                follow = Follow::Pass;
            }
            // This is how it ends, unless another upstream knows better.
            if answer.judgement.weak {
                answer.judgement.verdict = Verdict::RequestFault;
            }
        }
        so_far.was_told(answer);
        follow
    }

    fn hold<'a>(&self, verdict: Held<'a>, so_far: &mut SoFar<'a>) {
        if so_far.weak.last().is_some_and(|last| !verdict.is_like(last)) {
            self.believe(so_far);
        }
        so_far.weak.push(verdict);
    }

    /// The key may not use the model that was asked for. If another key served it of late, another key is asked, and
    /// this one is not asked for it again for a while, unless only this upstream has no such model; else it is the
    /// request's own fault.
    fn denied<'a>(
        &self,
        lease: Lease<'a>,
        upstream: &'a Upstream,
        mut answer: Box<Refused>,
        request: &Try,
        so_far: &mut SoFar<'a>,
    ) -> Follow {
        answer.judgement.verdict = Verdict::RequestFault;
        let model = request.model().filter(|model| self.common.group.keys.has_served(model));
        let follow = if let Some(model) = model {
            let verdict = Held {
                status: answer.status(),
                model: Some(model.into()),
                asked_for: Some(model.into()),
                cause: answer.cause(upstream),
                upstream,
                lease,
                effect: Effect::Denied,
                service: request.service(),
                too_few_tokens: None,
            };
            so_far.doubted.push(Doubted { upstream: upstream.index, for_limit: false });
            self.hold(verdict, so_far);
            Follow::NextKey
        } else {
            Follow::Pass
        };
        so_far.was_told(answer);
        follow
    }

    /// Settles weak verdicts, since the last key that was tried could do it at this upstream: what was said of others was
    /// about them if it was said there too; else it may have been about the upstreams that said it.
    #[cold]
    pub(super) fn settle(&self, so_far: &mut SoFar<'_>, upstream: &Upstream) {
        for weak in std::mem::take(&mut so_far.weak) {
            let (who, is_here) = (weak.upstream, weak.upstream.index == upstream.index);
            let is_served = so_far.tried.last() == Some(&weak.lease.index());
            if !is_served && (is_here || weak.is_said_by_all(&self.common.group.upstreams)) {
                weak.set_aside(&self.common.group.upstreams);
            } else if !is_here && weak.effect != Effect::Denied {
                // Of keys that stand side by side the next is to meet another upstream.
                self.common.group.upstreams.leave_step();
                self.upstream_failed(who, Duration::ZERO);
                if is_served {
                    weak.lease.absolve_accused_by(who.index);
                }
                weak.lease.spend();
            }
        }
    }

    /// Settles weak verdicts where no more is to be learnt: what was said of several keys was about none of them.
    #[cold]
    pub(super) fn conclude(&self, so_far: &mut SoFar<'_>) {
        if so_far.is_said_of_several() && !so_far.is_denied() {
            so_far.weak.drain(..).for_each(|weak| weak.lease.doubt());
        }
        self.believe(so_far);
    }

    /// Weak verdicts that nothing speaks against stand, unless there are upstreams that have not said so. Of a key that was
    /// out already they take nothing away.
    fn believe(&self, so_far: &mut SoFar<'_>) {
        for weak in so_far.weak.drain(..) {
            if weak.is_said_by_all(&self.common.group.upstreams) || weak.lease.is_probe() {
                self.blame(weak);
            }
        }
    }

    /// Sets a key aside, or finds that its upstream is to blame.
    fn blame(&self, verdict: Held<'_>) {
        let upstream = verdict.upstream;
        match verdict.set_aside(&self.common.group.upstreams) {
            Settled::OfUpstream => self.upstream_failed(upstream, Duration::ZERO),
            Settled::Unclear => {}
            Settled::Noted | Settled::Out(_) => self.upstream_answered(upstream),
        }
    }
}

/// Whether what was asked for is what no model is asked for, where a good key may be refused as if it were none: an administrator's
/// path, say.
fn is_aside(request: &Try) -> bool {
    !request.infers() && !request.path().trim_end_matches('/').ends_with("/models")
}

/// Whether a key may not do what was asked of it, though it may do other things.
fn is_of_permission(answer: &Refused) -> bool {
    let judgement = &answer.judgement;
    judgement.verdict == Verdict::KeyExhausted
        && judgement.wait.is_none()
        && matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}
