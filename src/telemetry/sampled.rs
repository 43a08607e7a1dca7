//! A warning that repeats itself must not bury the others: forty thousand keys that turn out invalid are told by the
//! first lines of each kind, and by how many were left out. Requests' lines are not among what is sampled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// So many lines of a kind are let through in so much time.
const LINES: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets so many lines of each kind through. A kind is a place in the code.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled(Arc<Mutex<HashMap<Identifier, Kind>>>);

#[derive(Debug)]
struct Kind {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Sampled {
    /// Whether a line may pass.
    fn passes(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        // `tracing` orders levels by how much they let through.
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(metadata.callsite()).or_insert(Kind { since: now, lines: 0, left_out: 0 });
        if now.duration_since(kind.since) >= WINDOW {
            kind.since = now;
            kind.lines = 0;
        }
        kind.lines += 1;
        if kind.lines > LINES {
            kind.left_out += 1;
            return false;
        }
        true
    }

    /// How many lines like this one were left out since the last that passed.
    pub(super) fn left_out(&self, metadata: &Metadata<'_>) -> u64 {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get_mut(&metadata.callsite()).map_or(0, |kind| std::mem::take(&mut kind.left_out))
    }
}

impl<S: Subscriber> Layer<S> for Sampled {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.passes(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Passes what it sees on to a test.
    struct Seen(Sampled, Arc<Mutex<Vec<u64>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.1.lock().unwrap().push(self.0.left_out(event.metadata()));
        }
    }

    #[test]
    fn a_kind_that_repeats_itself_is_cut_and_others_are_not() {
        let (sampled, seen) = (Sampled::default(), Arc::new(Mutex::new(Vec::new())));
        let subscriber = tracing_subscriber::registry()
            .with(sampled.clone())
            .with(Seen(sampled.clone(), Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..300 {
                if number == 250 {
                    // As if the time were over.
                    for kind in sampled.0.lock().unwrap().values_mut() {
                        kind.since = kind.since.checked_sub(WINDOW).unwrap();
                    }
                }
                tracing::warn!("again");
            }
            tracing::warn!("another");
            for _ in 0..200 {
                tracing::info!("no warning");
            }
        });
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 100 + 50 + 1 + 200);
        assert_eq!(seen[100], 150, "the next one says how many were left out");
        assert_eq!(seen.iter().sum::<u64>(), 150);
    }
}
