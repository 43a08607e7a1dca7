//! What the time in which the machine stood still takes from the clock's.

use std::time::Duration;

/// When the machine went on after it had stood still, since the bench began, and for how long it had.
pub(super) type Stall = (Duration, Duration);

/// Since when a machine with these stalls, the earliest first, had run for so long at `end`.
pub(super) fn since(stalls: &[Stall], end: Duration, run: Duration) -> Duration {
    let mut since = end.saturating_sub(run);
    for (over, late) in stalls.iter().rev() {
        if *over <= since {
            break;
        }
        let began = over.saturating_sub(*late);
        since = since.saturating_sub((*over).min(end).saturating_sub(began));
    }
    since
}

/// How long it stood still in all, at most at a time, from a moment on.
pub(super) fn stood(stalls: &[Stall], from: Duration) -> [Duration; 2] {
    let late = || stalls.iter().filter(|(over, _)| *over >= from).map(|(_, late)| *late);
    [late().sum(), late().max().unwrap_or_default()]
}
