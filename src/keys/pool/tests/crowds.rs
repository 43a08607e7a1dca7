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

#[test]
fn a_limit_of_a_model_at_a_time_leaves_the_key_to_others() {
    let (pool, _due) = pool(&["a"]);
    rationed(&pool);
    let other: Vec<_> = (0..2).map(|_| lease_for(&pool, "other").unwrap()).collect();
    let refused = lease_for(&pool, "m").unwrap();
    assert_eq!(refused.fail(for_model("m", CROWDED)), Settled::Out(CROWDED));
    assert!(lease_for(&pool, "m").is_none());
    assert!(lease_for(&pool, "other").is_some(), "{} are under way", other.len());
}

#[tokio::test(start_paused = true)]
async fn what_came_before_requests_were_counted_is_not_taken_for_none() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(1)));
        sleep(Duration::from_millis(1_010)).await;
        let counted = pool.lease(Need::default()).unwrap();
        sleep(Duration::from_secs(20)).await;
        let mut uncounted = leases(&pool);
        assert_eq!(uncounted.len(), 100);
        assert_eq!(uncounted.pop().unwrap().fail(failure(CROWDED)), Settled::Out(CROWDED));
        drop((counted, uncounted));
        sleep(Duration::from_millis(1_010)).await;
        for _ in 0..6 {
            for lease in leases(&pool) {
                succeed(lease, Remains::default());
            }
        }
        assert_eq!(leases(&pool).len(), 100);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_limit_in_a_time_is_whole_again_keeps_to_its_limit_at_a_time() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        for _ in 0..4 {
            for _ in 0..10 {
                succeed(pool.lease(Need::default()).unwrap(), Remains::default());
            }
            if let Some(lease) = pool.lease(Need::default()) {
                lease.fail(failure(told(10)));
            }
            sleep(Duration::from_millis(10_010)).await;
        }
        let mut under_way = leases(&pool);
        assert_eq!(under_way.len(), 10, "that much is known");
        under_way.truncate(3);
        under_way.pop().unwrap().fail(failure(CROWDED));
        for _ in 0..20 {
            succeed(under_way.pop().unwrap(), Remains::default());
            under_way.extend(leases(&pool));
            if under_way.is_empty() {
                break;
            }
        }
        sleep(Duration::from_millis(10_010)).await;
        assert_eq!(leases(&pool).len(), 2);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
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
async fn a_limit_at_a_time_is_not_raised_while_it_is_not_reached() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        rationed(&pool);
        let mut under_way = leases(&pool);
        under_way.truncate(4);
        under_way.pop().unwrap().fail(failure(CROWDED));
        drop(under_way);
        pool.lease(Need::default()).unwrap().fail(failure(told(1)));
        sleep(Duration::from_millis(1_010)).await;
        let slow = pool.lease(Need::default()).unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(leases(&pool).len(), 2);
        drop(slow);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn what_remains_to_a_key_is_counted_with_all_that_it_has_at_a_time() {
    let (pool, _due) = pool(&["a"]);
    rationed(&pool);
    let mut under_way = leases(&pool);
    under_way.truncate(5);
    under_way.pop().unwrap().fail(failure(CROWDED));
    succeed(under_way.pop().unwrap(), all(Left::Requests(3)));
    assert!(pool.lease(Need::default()).is_none(), "{} are under way, and 3 remain", under_way.len());
    for remaining in [40, 4] {
        succeed(under_way.pop().unwrap(), all(Left::Requests(remaining)));
        under_way.extend(leases(&pool));
        assert!(under_way.len() <= 4, "{} of {remaining}", under_way.len());
    }
}

#[tokio::test(start_paused = true)]
async fn seats_are_held_for_some_minutes_after_the_last_refusal() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(CROWDED));
        sleep(Duration::from_secs(2)).await;
        let seat = || {
            rationed(&pool);
            pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, Remains::default()).seat
        };
        assert!(seat().is_some());
        sleep(Duration::from_secs(600)).await;
        assert!(seat().is_none());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn a_limit_at_a_time_outlives_a_reload() {
    let (pool, _due) = pool(&["a"]);
    rationed(&pool);
    let mut under_way = leases(&pool);
    under_way.truncate(3);
    under_way.pop().unwrap().fail(failure(CROWDED));
    pool.replace(table(&["b", "a"]), States::Keep);
    let keys: Vec<u32> = leases(&pool).iter().map(Lease::index).collect();
    assert_eq!(keys.iter().filter(|key| **key == 1).count(), 2);
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
        let back = leases(&pool);
        assert_eq!(back.len(), 1);
        for lease in back {
            succeed(lease, Remains::default());
        }
        assert_eq!(leases(&pool).len(), 2);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_as_many_as_it_may_is_tried_with_more_though_none_of_them_ends() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        rationed(&pool);
        let mut under_way = leases(&pool);
        under_way.truncate(3);
        under_way.pop().unwrap().fail(failure(CROWDED));
        let wait = async |seconds| {
            let now = Instant::now();
            pool.lease_by(Need::default(), now, now + Duration::from_secs(seconds)).await
        };
        assert!(wait(1).await.is_none());
        for trust in [3, 7, 15] {
            let more = wait(60).await.unwrap();
            assert_eq!(more.fail(failure(CROWDED)), Settled::Noted);
            assert!(wait(trust).await.is_none());
        }
        under_way.push(wait(60).await.unwrap());
        sleep(Duration::from_secs(6)).await;
        assert!(leases(&pool).len() > 1, "it can take more than it was known to");
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

/// Of requests that began in the second to fourth of five minutes, and how many of their attempts were refused.
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
        let counts = u64::from((60..240).contains(&(began - self.begins).as_secs()));
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
        Provider { keys: 3, at_a_time: 8, takes: 10_000, demand: 200, ..small },
        Provider { keys: 3, at_a_time: 16, takes: 4_000, streams: true, demand: 110 },
    ] {
        let Done { asked, served, refused } = asked(provider).await;
        let can = asked * 100 / provider.demand.max(100);
        assert!(served * 100 >= can * 94, "{served} of {can}: {provider:?}");
        assert!(refused * 100 <= served * 4, "{refused} of {served}: {provider:?}");
    }
}

/// A key that has no ration is full when it is refused three more, and is then asked for so many percent of what it can.
async fn full_before_it_was_counted(at_a_time: u32, takes: u64, demand: u64) -> Done {
    let (pool, due) = pool(&["a"]);
    let provider = Provider { keys: 1, at_a_time, takes, streams: false, demand };
    let test = Rc::new(Test {
        pool,
        begins: Instant::now().checked_sub(Duration::from_secs(60)).unwrap(),
        running: vec![Cell::new(0)],
        luck: RefCell::new(fastrand::Rng::with_seed(7)),
        done: RefCell::default(),
    });
    let all = LocalSet::new();
    let asks = async {
        for _ in 0..at_a_time {
            tokio::task::spawn_local(Rc::clone(&test).ask(provider));
            sleep(Duration::from_millis(takes / 2 / u64::from(at_a_time))).await;
        }
        for _ in 0..3 {
            tokio::task::spawn_local(Rc::clone(&test).ask(provider));
        }
        let pause = takes * 100_000 / (u64::from(at_a_time) * demand);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(75) {
            tokio::task::spawn_local(Rc::clone(&test).ask(provider));
            sleep(Duration::from_micros(pause)).await;
        }
        sleep(Duration::from_millis(takes * 2) + Duration::from_secs(5)).await;
    };
    tokio::select! { () = clock::run(&test.pool, due) => unreachable!(), () = all.run_until(asks) => {} }
    *test.done.borrow()
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_soon_known_that_was_met_before_requests_were_counted() {
    for (at_a_time, takes) in [(20, 10_000), (50, 20_000), (8, 4_000)] {
        for demand in [60, 75, 90] {
            let done = full_before_it_was_counted(at_a_time, takes, demand).await;
            let Done { asked, served, refused } = done;
            assert!(served * 100 >= asked * 85 && refused <= 16, "{at_a_time} {takes} {demand}: {done:?}");
        }
    }
}
