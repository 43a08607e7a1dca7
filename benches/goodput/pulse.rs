//! When the machine stood still: a thread that sleeps a millisecond at a time, and how late it woke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::stalls::Stall;

const BEAT: Duration = Duration::from_millis(1);
/// Less is noted by nobody.
const LATE: Duration = Duration::from_millis(4);

/// Runs until it is stopped.
pub(super) struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Stall>>,
}

impl Pulse {
    pub(super) fn start(began: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut stalls = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let asleep = Instant::now();
                std::thread::sleep(BEAT);
                let late = asleep.elapsed().saturating_sub(BEAT);
                if late >= LATE {
                    stalls.push((began.elapsed(), late));
                }
            }
            stalls
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
