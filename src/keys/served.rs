//! Which models the pool has served of late, so that "this key may not use that model" can be told from a model that
//! does not exist. A fixed table of hashes: two models in one place forget each other, which costs a client the
//! provider's own 404.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SLOTS: usize = 512;
/// The low bits of a slot hold the minute.
const MINUTE: u64 = (1 << 24) - 1;
/// How long a model counts as served.
const REMEMBERED: u64 = 24 * 60;

pub(super) struct Served([AtomicU64; SLOTS]);

impl Default for Served {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; SLOTS])
    }
}

impl Served {
    /// A key served this model, so long after the beginning.
    pub(super) fn note(&self, model: &str, now: Duration) {
        let (slot, hash) = self.slot(model);
        let word = hash | minute(now);
        // Written once a minute: the line stays shared between workers.
        if slot.load(Ordering::Relaxed) != word {
            slot.store(word, Ordering::Relaxed);
        }
    }

    /// Whether a key served this model of late.
    pub(super) fn knows(&self, model: &str, now: Duration) -> bool {
        let (slot, hash) = self.slot(model);
        let word = slot.load(Ordering::Relaxed);
        word & !MINUTE == hash && minute(now).saturating_sub(word & MINUTE) <= REMEMBERED
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn slot(&self, model: &str) -> (&AtomicU64, u64) {
        // FNV-1a: short, and good enough for a table that may forget.
        let hash = model.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let place = usize::try_from(hash & MINUTE).unwrap_or_default() % SLOTS;
        (&self.0[place], hash & !MINUTE)
    }
}

/// Minutes since the beginning, from 1: 0 is "never".
fn minute(now: Duration) -> u64 {
    (now.as_secs() / 60 + 1) & MINUTE
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_for_a_day() {
        let served = Served::default();
        let at = |hours: u64| Duration::from_secs(hours * 3600);
        assert!(!served.knows("gpt-5", at(0)));
        served.note("gpt-5", at(1));
        assert!(served.knows("gpt-5", at(24)) && !served.knows("gpt-5-mini", at(1)));
        assert!(!served.knows("gpt-5", at(26)));
    }
}
