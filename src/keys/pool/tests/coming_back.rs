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
        lease.succeed(None, 0, Service::Paid, Remains::default());
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
async fn who_waits_is_served_in_that_order_whatever_model_it_waits_for() {
    let (pool, due) = pool(&["a"]);
    let start = Instant::now();
    lease_for(&pool, "m").unwrap().fail(for_model("m", told(1)));
    pool.lease(Need::default()).unwrap().fail(failure(told(3)));
    let order = std::cell::RefCell::new(Vec::new());
    let wait = async |name: u32| {
        let need = Need { model: (!name.is_multiple_of(3)).then_some("m"), not: &[] };
        let began = start + Duration::from_millis(u64::from(name));
        let lease = pool.lease_by(need, began, start + Duration::from_secs(5)).await.unwrap();
        order.borrow_mut().push(name);
        tokio::time::sleep(Duration::from_millis(50)).await;
        lease.succeed(need.model, 0, Service::Paid, Remains::default());
    };
    let waits = async {
        tokio::join!(wait(6), wait(3), wait(5), wait(2), wait(1), wait(4));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = waits => {} }
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn a_model_finds_no_key_that_has_no_room_itself_until_it_has() {
    let (pool, _due) = pool(&["a"]);
    lease_for(&pool, "m").unwrap().succeed(Some("m"), 0, Service::Paid, of(Left::Requests(9), Some("m")));
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, all(Left::Requests(1)));
    let held = pool.lease(Need::default()).unwrap();
    assert!(lease_for(&pool, "m").is_none());
    drop(held);
    assert!(lease_for(&pool, "m").is_some());
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

#[tokio::test(start_paused = true)]
async fn a_key_that_woke_nobody_is_found_soon() {
    let (pool, _due) = pool(&["a"]);
    pool.lease(Need::default()).unwrap().fail(failure(told(4)));
    let began = Instant::now();
    let silently = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        pool.generation.load().base.rotation.change(0, None, |_| Standing::FRESH);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        lease = pool.lease_by(Need::default(), began, began + Duration::from_secs(5)) => assert!(lease.is_some()),
        () = silently => unreachable!(),
    }
    assert!(began.elapsed() < Duration::from_secs(1));
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
        pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, Remains::default());
        assert!(pool.blacklisted().is_empty() && pool.lease(Need::default()).is_some());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn reloads_put_no_test_of_a_long_cooldown_off() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(3600)));
        let mut tests = Vec::new();
        for minute in 1..25 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            pool.replace(table(&["a"]), States::Keep);
            tokio::time::sleep(Duration::from_millis(10)).await;
            tests.extend(pool.lease(Need::default()).map(|test| {
                test.fail(failure(told(3600)));
                minute
            }));
        }
        assert_eq!(tests, [10, 20]);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn tests_that_find_a_long_cooldown_to_be_true_do_not_multiply() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        let under_way = [(); 4].map(|()| pool.lease(Need::default()).unwrap());
        for (lease, wait) in under_way.into_iter().zip(80_000..) {
            lease.fail(failure(told(wait)));
        }
        let mut tests = Vec::new();
        for wait in 0..60 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            tests.extend(pool.lease(Need::default()).map(|test| {
                test.fail(failure(told(70_000 + wait)));
                wait
            }));
        }
        let spaced = tests.windows(2).all(|two| two[1] - two[0] >= 9);
        assert!(tests.len() >= 5 && spaced, "one each ten minutes: {tests:?}");
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn no_test_undoes_what_an_operator_says() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        for is_under_way in [false, true] {
            pool.lease(Need::default()).unwrap().fail(failure(told(3600)));
            tokio::time::sleep(Duration::from_secs(601)).await;
            let test = is_under_way.then(|| pool.lease(Need::default()).unwrap());
            pool.set_aside_by_operator(0, None);
            assert!(pool.lease(Need::default()).is_none(), "it was on offer");
            test.map(|test| test.succeed(None, 0, Service::Paid, Remains::default()));
            assert_eq!(pool.probe_key(0).unwrap().pass_check(0), None);
            assert_eq!((pool.available(), pool.blacklisted().len()), (0, 1));
            pool.restore(0);
        }
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_that_ends_sooner_than_was_announced_ends_on_time() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(80_000)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        pool.last_resort(Need::default()).unwrap().fail(failure(told(5)));
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(pool.lease(Need::default()).is_some());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn the_clock_remembers_one_event_of_a_kind_for_a_key_however_often_it_fails() {
    let (pool, mut due) = pool(&["a"]);
    let mut queue = clock::Queue::default();
    let mut queued = || {
        while let Ok(heard) = due.try_recv() {
            match heard {
                Due::Later(event) => queue.add(event),
                Due::Replaced => pool.begin_anew(&mut queue),
            }
        }
        queue.len()
    };
    for _ in 0..9 {
        pool.probe_key(0).unwrap().fail(for_model("retired", Effect::Denied));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(queued(), 2, "its return, and a test");
    pool.replace(table(&["a"]), States::Keep);
    pool.probe_key(0).unwrap().fail(for_model("retired", told(7200)));
    assert_eq!(queued(), 2);
    pool.replace(table(&["a"]), States::Keep);
    pool.probe_key(0).unwrap().succeed(None, 0, Service::Paid, all(Left::Requests(3)));
    assert_eq!(queued(), 3, "and its ration");
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
    closest.succeed(None, 0, Service::Paid, Remains::default());
    assert_eq!(pool.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_pool_is_tried_nearly_once_a_second_though_its_answers_are_slow() {
    let (pool, _due) = pool(&["a"]);
    pool.lease(Need::default()).unwrap().fail(failure(told(3600)));
    let mut tries = Vec::new();
    for at in (50_u64..6000).step_by(50) {
        tokio::time::advance(Duration::from_millis(50)).await;
        if let Some(lease) = pool.last_resort(Need::default()) {
            tries.push(at);
            tokio::time::advance(Duration::from_millis(150)).await;
            lease.fail(failure(told(3600)));
        }
    }
    assert_eq!(tries, [1000, 1900, 2800, 3700, 4600, 5500]);
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
        assert!(probe.succeed(None, 0, Service::Paid, Remains::default()).ended_storm, "the storm is over");
        assert!(pool.blacklisted().is_empty() && pool.storms().is_empty());
        assert_eq!(pool.available(), 6);
        // Told so again, one that has not worked since is held until a check confirms it.
        let again = pool.lease(Need { not: &[works], ..Need::default() }).unwrap();
        let index = again.index();
        assert_eq!(again.fail(failure(Effect::Invalid)), Settled::Out(Effect::Suspected));
        let check = pool.probe_key(index).unwrap();
        check.fail(Failure {
            by: Accuser { by_check: true, service: Service::Free, ..Accuser::default() },
            ..failure(Effect::Invalid)
        });
        assert!(pool.blacklisted().iter().all(|key| key.permanent && key.index == index));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn only_the_key_that_was_condemned_is_checked_and_only_while_it_is() {
    let (pool, _due) = pool(&["a", "b"]);
    let condemn = || {
        pool.probe_key(0).unwrap().fail(failure(Effect::Invalid));
        pool.condemned()[0]
    };
    let key = condemn();
    assert_eq!(pool.lease_condemned(&key).map(|lease| lease.index()), Some(0));
    assert_eq!((pool.condemned()[0].checked, pool.condemned()[0].asked), (false, 1), "it has told nothing");
    pool.lease_condemned(&key).unwrap().confirm(0);
    assert!(pool.condemned()[0].checked);
    pool.restore(0);
    assert!(pool.lease_condemned(&key).is_none(), "it is back");
    let key = condemn();
    pool.replace(table(&["b", "a"]), States::Keep);
    assert!(pool.lease_condemned(&key).is_none(), "another has its place");
    let key = pool.condemned()[0];
    assert_eq!(pool.lease_condemned(&key).map(|lease| lease.index()), Some(1));
    pool.set_aside_by_operator(1, None);
    assert!(pool.lease_condemned(&key).is_none(), "an operator has set it aside");
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
    pool.probe_key(1).unwrap().succeed(None, 1, Service::Paid, Remains::default());
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

/// A key has to come back in both respects, and it is the first such key that counts.
#[tokio::test(start_paused = true)]
async fn the_earliest_return_is_that_of_a_key_that_is_back_as_such_and_for_the_model() {
    let seconds = |wait: Option<Duration>| wait.map(|wait| wait.as_secs());
    for (as_such, for_big, want) in [
        // The first comes back first as such, the second for the model.
        ([2, 30], [30, 2], Some(30)),
        ([2, 30], [9, 40], Some(9)),
        ([2, 3], [0, 0], Some(2)),
        // One is in rotation in the one respect, the other in the other.
        ([0, 2], [30, 0], Some(2)),
        // One is out for good.
        ([u64::MAX, 7], [1, 8], Some(8)),
        ([u64::MAX, u64::MAX], [1, 8], None),
    ] {
        let (pool, _due) = pool(&["a", "b"]);
        // It has a roster of its own, and nobody is out for it.
        pool.probe_key(0).unwrap().fail(for_model("big", told(1)));
        pool.restore(0);
        for index in [0, 1] {
            match as_such[index as usize] {
                0 => {}
                u64::MAX => drop(pool.probe_key(index).unwrap().fail(failure(Effect::Invalid))),
                wait => drop(pool.probe_key(index).unwrap().fail(failure(told(wait)))),
            }
            if for_big[index as usize] > 0 {
                pool.probe_key(index).unwrap().fail(for_model("big", told(for_big[index as usize])));
            }
        }
        assert_eq!(seconds(pool.earliest_return(Some("big"))), want, "{as_such:?} {for_big:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_cooldown_that_was_cut_short_is_nobodys_return() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(12)));
        pool.probe_key(0).unwrap().succeed(None, 0, Service::Paid, Remains::default());
        pool.lease(Need::default()).unwrap().fail(failure(told(60)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pool.earliest_return(None), Some(Duration::from_secs(59)));
        assert!(!pool.may_return_within(None, Duration::from_secs(20)));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn in_the_moment_of_a_reload_it_is_known_when_keys_come_back() {
    let (pool, _due) = pool(&["a", "b"]);
    lease_for(&pool, "big").unwrap().fail(for_model("big", told(2)));
    pool.probe_key(1).unwrap().fail(failure(told(4)));
    pool.probe_key(0).unwrap().fail(failure(told(3)));
    pool.replace(table(&["b", "a"]), States::Keep);
    assert!(pool.may_return_within(None, Duration::from_secs(4)));
    assert!(pool.may_return_within(Some("big"), Duration::from_secs(4)));
}

#[test]
fn a_model_is_denied_to_all_only_if_no_key_that_could_come_back_may_use_it() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    let deny = |index| pool.probe_key(index).unwrap().fail(for_model("m", Effect::Denied));
    let is_denied_to_all = |model| pool.lease_denied(Need { not: &[], model: Some(model) }).is_some();
    deny(0);
    pool.probe_key(1).unwrap().fail(for_model("m", told(30)));
    pool.probe_key(2).unwrap().fail(failure(Effect::Invalid));
    assert!(!is_denied_to_all("m"), "one is only limited");
    pool.restore(1);
    assert!(!is_denied_to_all("m"), "one is in rotation");
    deny(1);
    assert!(is_denied_to_all("m"), "the third is out for good");
    pool.probe_key(0).unwrap().fail(failure(Effect::Invalid));
    pool.probe_key(1).unwrap().fail(failure(Effect::Invalid));
    assert!(!is_denied_to_all("m") && !is_denied_to_all("other"));
}

#[tokio::test(start_paused = true)]
async fn a_busy_keys_ration_is_raised_only_if_none_of_its_requests_ends() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(600)));
        pool.lease(Need::default()).unwrap().fail(failure(told(1)));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert!(pool.find_busy(Need::default()).is_none(), "it is free");
        let mut held = vec![pool.lease(Need::default()).unwrap()];
        let more = |found, wait| {
            pool.ease_stuck(Need::default(), found, Duration::from_secs(wait));
            std::iter::from_fn(|| pool.lease(Need::default())).collect::<Vec<_>>()
        };
        let found = pool.find_busy(Need { not: &[1], model: None }).unwrap();
        assert!(more(found, 600).is_empty(), "another comes back");
        held.extend(more(found, 5));
        assert_eq!(held.len(), 2, "twice as many");
        assert!(more(found, 5).is_empty(), "one has begun since");
        let found = pool.find_busy(Need::default()).unwrap();
        held.extend(more(found, 5));
        assert_eq!(held.len(), 4);
        let found = pool.find_busy(Need::default()).unwrap();
        held.truncate(3);
        held.extend(pool.lease(Need::default()));
        assert!(more(found, 5).is_empty(), "one has ended since");
        assert_eq!(held.len(), 4);
        drop(held);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

/// Most of the pool is refused so at once.
fn storm(pool: &KeyPool, effect: Effect) {
    for index in 0..6 {
        let cause = Cause { of_credit: effect != Effect::Invalid, upstream: Some(0), ..Cause::default() };
        pool.probe_key(index).unwrap().fail(Failure { cause, ..effect.into() });
    }
    assert_eq!(pool.storms().len(), 1);
}

#[test]
fn suspects_of_spent_credit_are_named_so_and_not_checked() {
    for (effect, name, checked) in
        [(Effect::Invalid, "key_invalid", 6), (Effect::Exhausted { wait: None }, "key_exhausted", 0)]
    {
        let (pool, _due) = pool(&["a", "b", "c", "d", "e", "f", "g"]);
        storm(&pool, effect);
        assert!(
            pool.blacklisted().iter().all(|key| key.effect == Effect::Suspected && key.verdict() == name)
        );
        assert_eq!(pool.condemned().len(), checked, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_checks_condemned_after_a_storm_are_back_with_the_first_that_passes_one() {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    storm(&pool, Effect::Invalid);
    pool.probe_key(0).unwrap().succeed(None, 0, Service::Paid, Remains::default());
    assert!(pool.storms().is_empty() && pool.blacklisted().is_empty(), "one of them works");
    let refuse = |index, by_check| {
        let service = if by_check { Service::Free } else { Service::Paid };
        let by = Accuser { service, by_check, ..Accuser::default() };
        pool.probe_key(index).unwrap().fail(Failure { by, ..Effect::Invalid.into() });
    };
    for index in 1..4 {
        refuse(index, false);
        refuse(index, true);
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    let of_itself = Failure { by: Accuser::default(), ..Effect::Invalid.into() };
    pool.probe_key(7).unwrap().fail(of_itself);
    let permanent =
        || pool.blacklisted().iter().filter(|key| key.permanent).map(|key| key.index).collect::<Vec<_>>();
    assert_eq!(permanent(), [1, 2, 3, 7]);
    let condemned = pool.condemned();
    assert_eq!(condemned.iter().filter(|key| key.of_storm).count(), 3);
    let second = condemned.iter().find(|key| key.index == 2).unwrap();
    assert!(pool.lease_condemned(second).unwrap().pass_check(0).is_some());
    assert_eq!(permanent(), [7], "who was no suspect is not back");
}

#[tokio::test(start_paused = true)]
async fn the_one_test_of_a_long_cooldown_is_one_for_all_models() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        for model in ["m", "n"] {
            lease_for(&pool, model).unwrap().fail(for_model(model, told(1)));
        }
        pool.lease(Need::default()).unwrap().fail(failure(told(3600)));
        tokio::time::sleep(Duration::from_secs(601)).await;
        let test = lease_for(&pool, "m").unwrap();
        assert!(test.is_probe());
        assert!(lease_for(&pool, "n").is_none() && pool.lease(Need::default()).is_none());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}
