use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::task::LocalSet;
use tokio::time::sleep;

use super::*;

const CROWDED: Effect = Effect::Crowded { wait: None };

/// A key that has a ration of eight, which is the most that its next successes would give it.
fn rationed(pool: &KeyPool) {
    let lease = pool.lease(Need::default()).unwrap();
    lease.succeed(None, 0, Service::Paid, all(Left::Requests(8)));
}

fn leases(pool: &KeyPool) -> Vec<Lease<'_>> {
    std::iter::from_fn(|| pool.lease(Need::default())).take(100).collect()
}

fn succeed(lease: Lease<'_>, remains: Remains<'_>) {
    lease.succeed(None, 0, Service::Paid, remains);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_more_at_a_time_is_kept_to_what_it_has_and_stays() {
    let (pool, _due) = pool(&["a"]);
    rationed(&pool);
    let mut under_way = leases(&pool);
    assert_eq!(under_way.len(), 8);
    for _ in 0..5 {
        assert_eq!(under_way.pop().unwrap().fail(failure(CROWDED)), Settled::Noted);
    }
    assert!(pool.blacklisted().is_empty());
    assert!(pool.lease(Need::default()).is_none(), "it has as many as it may");
    for _ in 0..20 {
        succeed(under_way.pop().unwrap(), Remains::default());
        under_way.push(pool.lease(Need::default()).expect("one has ended"));
        assert!(pool.lease(Need::default()).is_none());
    }
    for remains in [all(Left::Requests(1_000)), all(Left::Requests(20)), Remains::default()] {
        succeed(under_way.pop().unwrap(), remains);
        under_way.extend(leases(&pool));
        assert_eq!(under_way.len(), 3, "whatever remains: {remains:?}");
    }
    succeed(under_way.pop().unwrap(), all(Left::Requests(1)));
    assert!(leases(&pool).len() <= 1, "less remains");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_with_no_other_under_way_is_left_alone_for_a_moment_and_longer_each_time() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        for (least, most) in
            [(0.8, 1.0), (1.6, 2.0), (3.2, 4.0), (6.4, 8.0), (12.8, 16.0), (24.0, 30.0), (24.0, 30.0)]
        {
            let lease = pool.lease(Need::default()).unwrap();
            assert_eq!(lease.fail(failure(CROWDED)), Settled::Out(CROWDED));
            let wait = pool.earliest_return(None).unwrap().as_secs_f64();
            assert!((least..=most).contains(&wait), "{wait}");
            sleep(Duration::from_secs_f64(wait + 0.01)).await;
        }
        succeed(pool.lease(Need::default()).unwrap(), Remains::default());
        pool.lease(Need::default()).unwrap().fail(failure(CROWDED));
        assert!(pool.earliest_return(None).unwrap() <= Duration::from_secs(1), "it has served");
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_told_holds_and_the_key_is_back_with_what_it_is_kept_to() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        rationed(&pool);
        let mut under_way = leases(&pool);
        under_way.truncate(3);
        let told = Effect::Crowded { wait: Some(Duration::from_secs(2)) };
        assert_eq!(under_way.pop().unwrap().fail(failure(told)), Settled::Out(told));
        assert_eq!(pool.earliest_return(None), Some(Duration::from_secs(2)));
        drop(under_way);
        sleep(Duration::from_millis(2_010)).await;
        for _ in 0..5 {
            let mut back = leases(&pool);
            assert!(back.len() <= 2);
            succeed(back.pop().unwrap(), Remains::default());
        }
        assert_eq!(leases(&pool).len(), 2);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn neither_silence_nor_time_gives_a_key_more_than_it_may_have_at_a_time() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        rationed(&pool);
        let mut under_way = leases(&pool);
        under_way.truncate(3);
        under_way.pop().unwrap().fail(failure(CROWDED));
        let now = Instant::now();
        assert!(pool.lease_by(Need::default(), now, now + Duration::from_secs(5)).await.is_none());
        sleep(Duration::from_secs(60)).await;
        assert!(pool.lease(Need::default()).is_none());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

/// Keys of a provider that lets each have so many requests at a time.
#[derive(Clone, Copy, Debug)]
struct Provider {
    keys: usize,
    at_a_time: u32,
    takes: u64,
    /// Answers begin at once, and take so long to end.
    streams: bool,
    /// In percent of what they can.
    demand: u64,
}

/// Of requests that began in the last four of five minutes, and how many attempts were refused then.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    asked: u64,
    served: u64,
    refused: u64,
}

struct Test {
    pool: KeyPool,
    begins: Instant,
    running: Vec<Cell<u32>>,
    luck: RefCell<fastrand::Rng>,
    done: RefCell<Done>,
}

impl Test {
    fn luck(&self, least: u64, most: u64) -> u64 {
        self.luck.borrow_mut().u64(least..=most)
    }

    /// A request, as a client's: it waits for five seconds for a key, and is tried four times.
    async fn ask(self: Rc<Self>, provider: Provider) {
        let began = Instant::now();
        let counts = u64::from(began - self.begins > Duration::from_secs(60));
        self.done.borrow_mut().asked += counts;
        for _ in 0..4 {
            let lease = match self.pool.lease(Need::default()) {
                None => self.pool.lease_by(Need::default(), began, began + Duration::from_secs(5)).await,
                found => found,
            };
            let Some(lease) = lease else { return };
            let Some(running) = self.running.get(lease.index() as usize) else { return };
            sleep(Duration::from_millis(self.luck(1, 5))).await;
            if running.get() >= provider.at_a_time {
                sleep(Duration::from_millis(self.luck(1, 5))).await;
                lease.fail(failure(CROWDED));
                self.done.borrow_mut().refused += counts;
                continue;
            }
            running.set(running.get() + 1);
            let takes = Duration::from_millis(self.luck(provider.takes / 2, provider.takes * 3 / 2));
            if provider.streams {
                let answer = lease.succeed(None, 0, Service::Paid, Remains::default());
                sleep(takes).await;
                running.set(running.get() - 1);
                sleep(Duration::from_millis(self.luck(1, 5))).await;
                drop(answer);
            } else {
                sleep(takes).await;
                running.set(running.get() - 1);
                sleep(Duration::from_millis(self.luck(1, 5))).await;
                lease.succeed(None, 0, Service::Paid, Remains::default());
            }
            self.done.borrow_mut().served += counts;
            return;
        }
    }
}

async fn asked(provider: Provider) -> Done {
    let names: Vec<String> = (0..provider.keys).map(|key| format!("key-{key}")).collect();
    let (pool, due) = pool(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let test = Rc::new(Test {
        pool,
        begins: Instant::now(),
        running: vec![Cell::new(0); provider.keys],
        luck: RefCell::new(fastrand::Rng::with_seed(7)),
        done: RefCell::default(),
    });
    let all = LocalSet::new();
    let asks = async {
        let can = provider.keys as u64 * u64::from(provider.at_a_time) * provider.demand;
        // Between two requests, in microseconds.
        let pause = provider.takes * 100_000 / can;
        while test.begins.elapsed() < Duration::from_secs(300) {
            tokio::task::spawn_local(Rc::clone(&test).ask(provider));
            sleep(Duration::from_micros(test.luck(0, 2 * pause))).await;
        }
    };
    tokio::select! { () = clock::run(&test.pool, due) => unreachable!(), () = all.run_until(asks) => {} }
    *test.done.borrow()
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_limited_at_a_time_give_all_that_they_can_and_are_hardly_asked_for_more() {
    let small = Provider { keys: 5, at_a_time: 2, takes: 1_000, streams: false, demand: 80 };
    for provider in [
        small,
        Provider { streams: true, ..small },
        Provider { streams: true, demand: 110, ..small },
        Provider { streams: true, keys: 1, ..small },
        Provider { streams: true, keys: 20, at_a_time: 3, takes: 5_000, demand: 90 },
        Provider { demand: 50, ..small },
        Provider { demand: 110, ..small },
        Provider { keys: 1, ..small },
        Provider { keys: 20, at_a_time: 3, takes: 2_000, demand: 90, ..small },
        Provider { keys: 20, at_a_time: 3, takes: 2_000, demand: 110, ..small },
        Provider { keys: 3, at_a_time: 40, ..small },
    ] {
        let Done { asked, served, refused } = asked(provider).await;
        // Those that are still under way at the end are not served.
        let can = asked * 100 / provider.demand.max(100);
        assert!(served * 100 >= can * 94, "{served} of {can}: {provider:?}");
        assert!(refused * 100 <= served * 4, "{refused} of {served}: {provider:?}");
    }
}
