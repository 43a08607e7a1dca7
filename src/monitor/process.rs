//! What the process occupies, from `/proc`: zeros where there is none.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// The kernel's clock ticks a second that user space is told, on every architecture of Linux.
const TICKS: f64 = 100.0;

/// What the process occupies now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// Bytes in memory.
    pub(super) rss: u64,
    /// The most that it ever was.
    pub(super) peak_rss: u64,
    /// Bytes of address space.
    pub(super) virtual_memory: u64,
    /// Seconds of processor time.
    pub(super) cpu_seconds: f64,
    /// Open files and sockets.
    pub(super) open_files: u64,
    /// How many may be open.
    pub(super) most_files: u64,
    /// Threads.
    pub(super) threads: u64,
}

impl Process {
    /// Looks.
    pub(super) fn look() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().find_map(|word| word.parse::<u64>().ok()))
                .unwrap_or(0)
        };
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Behind the name, which may have anything in it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let most_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Self {
            rss: number("VmRSS:") * 1024,
            peak_rss: number("VmHWM:") * 1024,
            virtual_memory: number("VmSize:") * 1024,
            cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            most_files: most_files
                .and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or_default(),
            threads: number("Threads:"),
        }
    }

    /// `memory` in `/stats`.
    pub(super) fn memory(self) -> Value {
        json!({ "rss_bytes": self.rss, "peak_rss_bytes": self.peak_rss, "virtual_bytes": self.virtual_memory })
    }
}

/// A moment that lies so far back, in seconds since 1970.
pub(super) fn unix_seconds(ago: Duration) -> f64 {
    let at = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
