//! The keys of the bench: tiers as providers sell them, in a scaled minute.

use std::time::Duration;

use mock_provider::{Play, Rate};

use super::clients::MEAN_TOKENS;

/// A provider's minute.
pub(super) const MINUTE: Duration = Duration::from_secs(6);

/// A key and what it plays.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) tier: &'static str,
    /// Requests and tokens a minute; none if it is good for nothing.
    pub(super) limits: Option<(u32, u32)>,
    fault: Option<Play>,
}

impl Key {
    pub(super) fn play(&self) -> Play {
        let Some((requests, tokens)) = self.limits else {
            return self.fault.clone().unwrap_or(Play::Valid);
        };
        let rate = |capacity| Some(Rate { capacity, per: MINUTE });
        let limited = Play::RateLimited { requests: rate(requests), tokens: rate(tokens) };
        match &self.fault {
            Some(fault) => Play::Cycle(vec![(7, limited), (1, fault.clone())]),
            None => limited,
        }
    }
}

/// 140 good keys of four tiers, of which two are bound by their requests and two by their tokens; 20 revoked, 20 out
/// of quota, 10 that answer every eighth request with a 500, and 10 more good ones; strewn over the file.
pub(super) fn keys() -> Vec<Key> {
    let tiers = [
        ("free", 60, Some((3, 400)), None),
        ("tier 1", 50, Some((20, 700)), None),
        ("tier 2", 30, Some((30, 3_000)), None),
        ("tier 3", 10, Some((120, 4_000)), None),
        ("flapping", 10, Some((30, 3_000)), Some(Play::Fails(500))),
        ("revoked", 20, None, Some(Play::Revoked)),
        ("out of quota", 20, None, Some(Play::OutOfQuota)),
    ];
    let mut keys = Vec::new();
    for (tier, count, limits, fault) in tiers {
        for number in 0..count {
            let name = format!("sk-goodput-{}-{number:012}", tier.replace(' ', "-"));
            keys.push(Key { name, tier, limits, fault: fault.clone() });
        }
    }
    fastrand::Rng::with_seed(200).shuffle(&mut keys);
    keys
}

/// How many requests a second all keys allow together.
pub(super) fn capacity(keys: &[Key]) -> f64 {
    let allowed = |(requests, tokens): (u32, u32)| f64::from(requests).min(f64::from(tokens) / MEAN_TOKENS);
    keys.iter().filter_map(|key| key.limits).map(allowed).sum::<f64>() / MINUTE.as_secs_f64()
}
