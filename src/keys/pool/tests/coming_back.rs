//! Who waits for a key, and how keys come back: on probes, when none is left, after a storm.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_the_order_in_which_requests_began() {
    let (pool, due) = pool(&["a"]);
    let start = Instant::now();
    pool.lease(Need::default()).unwrap().fail(failure(told(3)));
    let order = std::cell::RefCell::new(Vec::new());
    let wait = async |name: u32, queues_at: u64| {
        tokio::time::sleep(Duration::from_millis(queues_at)).await;
        let began = start + Duration::from_millis(u64::from(name));
        let by = start + Duration::from_secs(5);
        let lease = pool.lease_by(Need::default(), began, by).await.unwrap();
        order.borrow_mut().push(name);
        tokio::time::sleep(Duration::from_millis(50)).await;
        lease.succeed(None, 0, Left::Unknown, false);
    };
    let waits = async {
        // The first has tried a key before it queues.
        tokio::join!(wait(3, 3), wait(1, 9), wait(4, 4), wait(2, 2));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = waits => {} }
    assert_eq!(*order.borrow(), [1, 2, 3, 4]);
    assert_eq!(pool.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_asked_and_nobody_overtakes() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(30)));
        let began = Instant::now();
        assert!(pool.lease_by(Need::default(), began, began + Duration::from_secs(2)).await.is_none());
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        let first = pool.lease_by(Need::default(), began, began + Duration::from_secs(60));
        tokio::pin!(first);
        assert!(futures_pending(&mut first).await);
        pool.restore(0);
        assert!(pool.lease(Need::default()).is_none(), "somebody was here before");
        assert!(first.await.is_some());
        assert!(pool.lease(Need::default()).is_some());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_due_is_waited_for_though_the_clock_is_late() {
    for (clock_comes, over) in [(5_010, 5_010), (5_060, 5_050)] {
        let (pool, due) = pool(&["a"]);
        let began = Instant::now();
        pool.lease(Need::default()).unwrap().fail(failure(told(3)));
        let late_clock = async {
            tokio::time::sleep(Duration::from_millis(clock_comes)).await;
            clock::run(&pool, due).await;
        };
        tokio::select! {
            lease = pool.lease_by(Need::default(), began, began + Duration::from_secs(5)) => {
                assert_eq!(lease.is_some(), over == clock_comes);
            }
            () = late_clock => unreachable!(),
        }
        assert_eq!(began.elapsed(), Duration::from_millis(over));
    }
}

async fn futures_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

#[tokio::test(start_paused = true)]
async fn a_long_cooldown_gets_one_live_request_each_interval() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(3600)));
        tokio::time::sleep(Duration::from_secs(599)).await;
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let probe = pool.lease(Need::default()).unwrap();
        assert!(pool.lease(Need::default()).is_none(), "one");
        assert_eq!(pool.blacklisted().len(), 1, "it is still out");
        probe.fail(failure(LIMITED));
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_secs(600)).await;
        pool.lease(Need::default()).unwrap().succeed(None, 0, Left::Unknown, false);
        assert!(pool.blacklisted().is_empty() && pool.lease(Need::default()).is_some());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_dead_pool_is_tried_once_a_second() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    for effect in [Effect::Invalid, told(3600), told(600)] {
        pool.lease(Need::default()).unwrap().fail(failure(effect));
    }
    assert!(pool.last_resort(Need::default()).is_none(), "it was tried a moment ago");
    tokio::time::advance(Duration::from_secs(1)).await;
    let closest = pool.last_resort(Need::default()).unwrap();
    assert_eq!(closest.index(), 2);
    assert!(pool.last_resort(Need::default()).is_none());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        pool.last_resort(Need { not: &[1, 2], model: None }).unwrap().index(),
        0,
        "failing that, a dead one"
    );
    closest.succeed(None, 0, Left::Unknown, false);
    assert_eq!(pool.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_held_as_suspicion_until_a_key_works() {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let (pool, due) = pool(&keys);
    let test = async {
        for _ in keys {
            pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
        }
        let list = pool.blacklisted();
        assert!(list.iter().all(|key| !key.permanent && key.effect == Effect::Suspected), "{list:?}");
        assert_eq!(pool.storms().len(), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let probe = pool.last_resort(Need::default()).unwrap();
        let works = probe.index();
        assert!(probe.succeed(None, 0, Left::Unknown, false), "the storm is over");
        assert!(pool.blacklisted().is_empty() && pool.storms().is_empty());
        assert_eq!(pool.available(), 6);
        // Told so again, one that has not worked since is held until a check confirms it.
        let again = pool.lease(Need { not: &[works], ..Need::default() }).unwrap();
        let index = again.index();
        assert_eq!(again.fail(failure(Effect::Invalid)), Settled::Out(Effect::Suspected));
        let check = pool.probe_key(index).unwrap();
        check.fail(Failure {
            by: Accuser { by_check: true, ..Accuser::default() },
            ..failure(Effect::Invalid)
        });
        assert!(pool.blacklisted().iter().all(|key| key.permanent && key.index == index));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn when_nothing_is_left_and_one_works_all_are_tried_again_whoever_gave_them_up() {
    let (pool, _due) = pool(&["a", "b", "c", "d"]);
    for upstream in [0, 1, 0, 1] {
        pool.lease(Need::default())
            .unwrap()
            .fail(Failure { by: Accuser { upstream, ..Accuser::default() }, ..failure(Effect::Invalid) });
    }
    assert_eq!(pool.available(), 0);
    pool.probe_key(1).unwrap().succeed(None, 1, Left::Unknown, false);
    assert_eq!(pool.available(), 4);
}

#[test]
fn keys_that_run_out_of_a_models_quota_together_are_no_storm() {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let (pool, _due) = pool(&keys);
    let out = Effect::Exhausted { wait: Some(Duration::from_secs(3600)) };
    for _ in keys {
        lease_for(&pool, "big").unwrap().fail(for_model("big", out));
    }
    assert!(pool.storms().is_empty());
    assert!(pool.blacklisted().iter().all(|key| key.effect == out));
}
