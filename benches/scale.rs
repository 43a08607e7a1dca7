//! What the pool is held to at a million keys: `make bench-scale`. Unlike `pool`, it tells the slow ones from the usual.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a bench"
)]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gpt_load::keys::{
    CooldownPolicy, Effect, Failure, KeyPool, Lease, Need, PoolPolicy, Remains, Service, clock, file,
};

const KEYS: usize = 1_000_000;
/// Timed together: one lease alone is too short for the clock. More than these are not held at once, since a thread reads
/// only so many generations without counting a reference.
const BATCH: usize = 8;
const BATCHES: usize = 200_000;
const VERDICTS_PER_SECOND: usize = 10_000;
const POLICY: PoolPolicy = PoolPolicy {
    cooldown: CooldownPolicy {
        threshold: 1,
        first: Duration::from_secs(30),
        longest: Duration::from_secs(3600),
    },
    probe_interval: None,
};

fn main() {
    println!("| {KEYS} keys | p50 | p99 | p99.9 | goal |\n|---|---:|---:|---:|---|");
    loading();
    for (name, available) in [
        ("lease, none out", KEYS),
        ("lease, half out", KEYS / 2),
        ("lease, 99 % out", KEYS / 100),
        ("lease, ten available", 10),
    ] {
        tell(name, leases(&pool(available), BATCHES), "p50 ≤ 20 ns, worst ≤ 50 ns");
    }
    let (aside, back) = set_aside_and_back(&pool(KEYS));
    tell("set aside", aside, "≤ 100 ns");
    tell("put back", back, "≤ 100 ns");
    storm();
}

fn tell(name: &str, mut times: Vec<f64>, goal: &str) {
    times.sort_unstable_by(f64::total_cmp);
    let share = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("| {name}, ns | {:.1} | {:.1} | {:.1} | {goal} |", share(0.5), share(0.99), share(0.999));
}

fn text() -> Vec<u8> {
    (0..KEYS).flat_map(|key| format!("sk-proj-{key:043}\n").into_bytes()).collect()
}

fn failure() -> Failure<'static> {
    let effect = Effect::Limited { wait: Some(Duration::from_secs(3600)) };
    effect.into()
}

/// A pool in which so many keys are available, as far from each other as they can be.
fn pool(available: usize) -> KeyPool {
    let (pool, _due) = KeyPool::new(file::parse(text()).unwrap().keys, POLICY, 0, false);
    let apart = KEYS / available;
    for key in 0..KEYS {
        let lease = pool.lease(Need::default()).unwrap();
        if key % apart != apart - 1 {
            lease.fail(failure());
        }
    }
    assert_eq!(pool.available(), available);
    pool
}

/// Reading the file and building the pool: how long, and how much memory beyond the file's text.
fn loading() {
    let mut took = Vec::new();
    let mut size = 0;
    for _ in 0..5 {
        let text = text();
        // The text is there before, and is the table's afterwards.
        let before = resident();
        let began = Instant::now();
        let pool = KeyPool::new(file::parse(text).unwrap().keys, POLICY, 0, false);
        took.push(began.elapsed());
        size = size.max(resident().saturating_sub(before));
        drop(pool);
    }
    took.sort_unstable();
    println!(
        "| load, ms | {:.0} | | {:.0} | ≤ 500 ms |",
        took[2].as_secs_f64() * 1e3,
        took[4].as_secs_f64() * 1e3
    );
    println!("| memory of a key above its text, bytes | {:.0} | | | ≤ 150 |", size as f64 / KEYS as f64);
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// What looking at the clock takes by itself.
static LOOK: LazyLock<Duration> = LazyLock::new(|| {
    let mut looks: Vec<_> = (0..10_000).map(|_| Instant::now().elapsed()).collect();
    looks.sort_unstable();
    looks[looks.len() / 2]
});

/// Nanoseconds for each item of a batch.
fn timed<T>(batch: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let done = batch();
    let took = began.elapsed().saturating_sub(*LOOK);
    (took.as_nanos() as f64 / BATCH as f64, done)
}

fn take(pool: &KeyPool) -> [Lease<'_>; BATCH] {
    std::array::from_fn(|_| pool.lease(std::hint::black_box(Need::default())).unwrap())
}

fn leases(pool: &KeyPool, batches: usize) -> Vec<f64> {
    let one = || {
        let (took, taken) = timed(|| take(pool));
        for lease in taken {
            lease.succeed(None, 0, Service::Paid, Remains::default());
        }
        took
    };
    (0..batches).map(|_| one()).collect()
}

fn set_aside_and_back(pool: &KeyPool) -> (Vec<f64>, Vec<f64>) {
    let one = || {
        let taken = take(pool);
        let indices = taken.each_ref().map(Lease::index);
        let (aside, ()) = timed(|| {
            for lease in taken {
                lease.fail(failure());
            }
        });
        let (back, ()) = timed(|| indices.into_iter().for_each(|index| pool.restore(index)));
        (aside, back)
    };
    (0..BATCHES / 10).map(|_| one()).unzip()
}

/// Leases while another thread settles ten thousand failures a second and brings the keys back.
fn storm() {
    let (pool, due) = KeyPool::new(file::parse(text()).unwrap().keys, POLICY, 0, false);
    let (over, storms, settled) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    let (end, ended) = tokio::sync::oneshot::channel();
    let (mut calm, mut loud) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let mut storming = Duration::ZERO;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = Instant::now();
            while !over.load(Ordering::Relaxed) {
                next += Duration::from_millis(1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                if !storms.load(Ordering::Relaxed) {
                    continue;
                }
                for _ in 0..VERDICTS_PER_SECOND / 1000 {
                    let lease = pool.lease(Need::default()).unwrap();
                    let index = lease.index();
                    lease.fail(failure());
                    pool.restore(index);
                    settled.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = clock::run(&pool, due) => {}
                    _ = ended => {}
                }
            });
        });
        // In turns, so that what else happens on this machine falls upon both.
        for _ in 0..20 {
            calm.extend(leases(&pool, BATCHES / 10));
            storms.store(true, Ordering::Relaxed);
            let from = Instant::now();
            while from.elapsed() < Duration::from_millis(100) {
                loud.extend(leases(&pool, 1000));
            }
            storming += from.elapsed();
            storms.store(false, Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
        end.send(()).unwrap();
    });
    tell("lease, quiet", calm, "");
    tell("lease, in a storm of verdicts", loud, "p99 < 2 × quiet");
    let rate = settled.load(Ordering::Relaxed) as f64 / storming.as_secs_f64();
    println!("\nThe storm was {rate:.0} verdicts a second; all took {:.0} s.", began.elapsed().as_secs_f64());
}
