//! Which models the pool has served of late, and with which key, so that "this key may not use that model" can be told from a model that
//! does not exist. A fixed table of hashes: two models in one place forget each other, which costs a client the
//! provider's own 404.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const SLOTS: usize = 512;
/// The low bits of a slot hold the minute.
const MINUTE: u64 = (1 << 24) - 1;
/// How long a model counts as served.
const REMEMBERED: u64 = 24 * 60;

/// By the hash of the model: the rest of the hash and when it was served last, and a key that served it then.
pub(super) struct Served([(AtomicU64, AtomicU32); SLOTS]);

impl Default for Served {
    fn default() -> Self {
        Self([const { (AtomicU64::new(0), AtomicU32::new(0)) }; SLOTS])
    }
}

impl Served {
    /// This key served this model, so long after the beginning.
    pub(super) fn note(&self, model: &str, key: u32, now: Duration) {
        let ((slot, by), hash) = self.slot(model);
        let word = hash | minute(now);
        // Written once a minute: the line stays shared between workers.
        if slot.load(Ordering::Relaxed) != word {
            by.store(key, Ordering::Relaxed);
            slot.store(word, Ordering::Relaxed);
        }
    }

    /// A key that served this model of late, if one did.
    pub(super) fn by(&self, model: &str, now: Duration) -> Option<u32> {
        let ((slot, by), hash) = self.slot(model);
        let word = slot.load(Ordering::Relaxed);
        let is_known = word & !MINUTE == hash && minute(now).saturating_sub(word & MINUTE) <= REMEMBERED;
        is_known.then(|| by.load(Ordering::Relaxed))
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn slot(&self, model: &str) -> (&(AtomicU64, AtomicU32), u64) {
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
        assert_eq!(served.by("gpt-5", at(0)), None);
        served.note("gpt-5", 7, at(1));
        assert_eq!(served.by("gpt-5", at(24)), Some(7));
        assert_eq!(served.by("gpt-5-mini", at(1)), None);
        assert_eq!(served.by("gpt-5", at(26)), None);
    }
}
