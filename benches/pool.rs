//! What a lease costs: `cargo bench --bench pool`. Flat in the number of keys and in the share that is blacklisted.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gpt_load::keys::{CooldownPolicy, Effect, Failure, KeyPool, Need, PoolPolicy, Remains, Service, file};

/// Leases in one sample: one alone is too short for the clock.
const BATCH: usize = 64;
const KEYS: [usize; 3] = [10, 40_000, 1_000_000];
const POLICY: PoolPolicy = PoolPolicy {
    cooldown: CooldownPolicy {
        threshold: 1,
        first: Duration::from_secs(30),
        longest: Duration::from_secs(3600),
    },
    probe_interval: None,
};

fn main() {
    divan::main();
}

fn text(keys: usize) -> Vec<u8> {
    (0..keys).flat_map(|key| format!("sk-proj-{key:043}\n").into_bytes()).collect()
}

/// So many keys, of which so many in a hundred are out, evenly strewn; the last one never.
fn pool(keys: usize, blacklisted_percent: usize) -> KeyPool {
    let (pool, _due) = KeyPool::new(file::parse(text(keys)).unwrap().keys, POLICY, 0, false);
    for key in 0..keys {
        let lease = pool.lease(Need::default()).unwrap();
        if key * 37 % 100 < blacklisted_percent && key + 1 < keys {
            let effect = Effect::Limited { wait: Some(Duration::from_secs(3600)) };
            lease.fail(effect.into());
        }
    }
    pool
}

fn lease(bencher: Bencher<'_, '_>, keys: usize, blacklisted_percent: usize) {
    let pool = pool(keys, blacklisted_percent);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        for _ in 0..BATCH {
            pool.lease(black_box(Need::default())).unwrap().succeed(
                None,
                0,
                Service::Paid,
                Remains::default(),
            );
        }
    });
}

#[divan::bench(args = KEYS, threads = [1, 2, 4])]
fn none_blacklisted(bencher: Bencher<'_, '_>, keys: usize) {
    lease(bencher, keys, 0);
}

#[divan::bench(args = KEYS, threads = [1, 2, 4])]
fn half_blacklisted(bencher: Bencher<'_, '_>, keys: usize) {
    lease(bencher, keys, 50);
}

#[divan::bench(args = KEYS, threads = [1, 2, 4])]
fn nearly_all_blacklisted(bencher: Bencher<'_, '_>, keys: usize) {
    lease(bencher, keys, 99);
}

/// Three keys tried already, as on the last of four attempts.
#[divan::bench(args = KEYS)]
fn with_a_need(bencher: Bencher<'_, '_>, keys: usize) {
    let pool = pool(keys, 50);
    bencher.bench(|| drop(black_box(pool.lease(Need { not: black_box(&[0, 1, 2]), model: None }))));
}

/// Reading a keys file and building the pool.
#[divan::bench(args = [1_000_000], sample_count = 5, sample_size = 1)]
fn load(bencher: Bencher<'_, '_>, keys: usize) {
    bencher
        .with_inputs(|| text(keys))
        .bench_values(|text| KeyPool::new(file::parse(text).unwrap().keys, POLICY, 0, false));
}

/// A key is set aside and put back.
#[divan::bench(args = KEYS)]
fn set_aside_and_back(bencher: Bencher<'_, '_>, keys: usize) {
    let pool = pool(keys, 0);
    bencher.bench(|| {
        let lease = pool.lease(Need::default()).unwrap();
        let index = lease.index();
        let effect = Effect::Limited { wait: Some(Duration::from_secs(3600)) };
        lease.fail(effect.into());
        pool.restore(index);
    });
}

/// A model for which half of the keys stand apart.
#[divan::bench(args = KEYS)]
fn for_a_model(bencher: Bencher<'_, '_>, keys: usize) {
    let pool = pool(keys, 0);
    let need = Need { not: &[], model: Some("gpt-5") };
    for _ in 0..keys / 2 {
        let effect = Effect::Limited { wait: Some(Duration::from_secs(3600)) };
        let failure = Failure { model: need.model, ..effect.into() };
        pool.lease(need).unwrap().fail(failure);
    }
    bencher.bench(|| {
        pool.lease(black_box(need)).unwrap().succeed(need.model, 0, Service::Paid, Remains::default())
    });
}
