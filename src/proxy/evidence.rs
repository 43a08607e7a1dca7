//! What a refusal proves, and against whom: the key, the upstream that said so, or neither (spec §6, "evidence across keys").

use super::attempt::Try;
use super::held::Held;
use super::refused::Refused;
use super::so_far::SoFar;
use super::{Follow, Proxy};
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
        answer: Box<Refused>,
        request: &Try,
        so_far: &mut SoFar<'a>,
    ) -> Follow {
        let judgement = &answer.judgement;
        let wait = judgement.wait.as_ref().map(|wait| wait.duration);
        let effect = match judgement.verdict {
            Verdict::UpstreamFault => {
                tracing::debug!(upstream = %upstream.url, rule = judgement.rule, error = judgement.message, "upstream fault");
                self.upstream_failed(upstream);
                let is_barred = so_far.is_barred(&answer, self.common.group.upstreams.all().len());
                so_far.refused = Some(answer);
                return if is_barred { Follow::Pass } else { Follow::NextUpstream };
            }
            _ if judgement.denied_model => {
                self.upstream_answered(upstream);
                return self.denied(lease, upstream, answer, request, so_far);
            }
            Verdict::Success | Verdict::RequestFault => {
                self.upstream_answered(upstream);
                so_far.refused = Some(answer);
                return Follow::Pass;
            }
            Verdict::KeyInvalid => Effect::Invalid,
            Verdict::KeyExhausted => Effect::Exhausted { wait },
            Verdict::KeyLimited => Effect::Limited { wait },
        };
        let per_model = judgement.scope == Scope::KeyAndModel;
        let verdict = Held {
            status: answer.status(),
            model: per_model.then(|| request.model()).flatten().map(Box::from),
            cause: answer.cause(upstream),
            too_few_tokens: answer.too_few_tokens(),
            echoes: Vec::new(),
            upstream,
            lease,
            effect,
        };
        if judgement.weak || !matches!(effect, Effect::Limited { .. }) {
            so_far.doubted.push(upstream.index);
        }
        if judgement.weak {
            return self.weigh(verdict, answer, so_far);
        }
        if let Some(first) = so_far.weak.take() {
            self.blame(first);
        }
        self.blame(verdict);
        so_far.refused = Some(answer);
        Follow::NextKey
    }

    /// A weak verdict waits for what a second key is told. The same of a second key was not about the keys; but where an
    /// upstream is left that was not asked, it may have been about those that were.
    fn weigh<'a>(&self, verdict: Held<'a>, mut answer: Box<Refused>, so_far: &mut SoFar<'a>) -> Follow {
        let upstream = verdict.upstream;
        let mut follow = Follow::NextKey;
        match so_far.weak.take() {
            Some(mut first) if (first.status, first.effect) == (verdict.status, verdict.effect) => {
                let is_elsewhere = first.upstream.index != upstream.index
                    && self.common.group.upstreams.has_others_than(&so_far.doubted);
                if is_elsewhere {
                    first.echoes.push(upstream);
                    so_far.weak = Some(first);
                } else {
                    self.upstream_answered(first.upstream);
                    self.upstream_answered(upstream);
                    follow = Follow::Pass;
                }
                // This is how it ends, unless another upstream knows better: both leases are dropped, which blames nobody.
                answer.judgement.verdict = Verdict::RequestFault;
            }
            first => {
                if let Some(first) = first {
                    self.blame(first);
                }
                so_far.weak = Some(verdict);
            }
        }
        so_far.refused = Some(answer);
        follow
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
                cause: answer.cause(upstream),
                upstream,
                lease,
                effect: Effect::Denied,
                too_few_tokens: None,
                echoes: Vec::new(),
            };
            so_far.doubted.push(upstream.index);
            if let Some(first) = so_far.weak.replace(verdict) {
                self.blame(first);
            }
            Follow::NextKey
        } else {
            Follow::Pass
        };
        so_far.refused = Some(answer);
        follow
    }

    /// Settles a weak verdict, since another key could do it at this upstream: what was said of the first was about that key
    /// if it was said there too; else it may have been about the upstreams that said it.
    #[cold]
    pub(super) fn settle(&self, mut weak: Held<'_>, upstream: &Upstream) {
        match weak.effect {
            _ if weak.upstream.index == upstream.index => {}
            Effect::Denied => return,
            _ => {
                let who_said_so = weak.echoes.iter().chain([&weak.upstream]);
                who_said_so
                    .filter(|who| who.index != upstream.index)
                    .for_each(|who| self.upstream_failed(who));
                weak.effect = Effect::Limited { wait: None };
            }
        }
        weak.set_aside(&self.common.group.upstreams);
    }

    /// Sets a key aside, or finds that its upstream is to blame. What was said of two keys is about neither.
    fn blame(&self, verdict: Held<'_>) {
        let upstream = verdict.upstream;
        if !verdict.echoes.is_empty() {
            return;
        }
        match verdict.set_aside(&self.common.group.upstreams) {
            Settled::OfUpstream => self.upstream_failed(upstream),
            Settled::Unclear => {}
            Settled::Noted | Settled::Out(_) => self.upstream_answered(upstream),
        }
    }
}
