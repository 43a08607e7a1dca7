//! What is believed of keys, and what undoes it.

use super::*;

fn check(upstream: usize) -> Accuser<'static> {
    Accuser { by_check: true, service: Service::Free, upstream, ..Accuser::default() }
}

#[test]
fn a_list_that_is_shown_to_everybody_brings_back_no_key_but_the_one_that_was_checked() {
    for (refuses, back) in [(None, 1), (Some(1), 1), (Some(0), 3)] {
        let (pool, _due) = pool(&["a", "b", "c", "good"]);
        for _ in 0..3 {
            pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
        }
        pool.lease(Need::default()).unwrap().fail(failure(told(60)));
        let condemned = pool.condemned();
        if let Some(upstream) = refuses {
            pool.lease_condemned(&condemned[1]).unwrap().confirm(upstream);
        }
        assert_eq!(pool.lease_condemned(&condemned[0]).unwrap().pass_check(0), Some(back > 1));
        assert_eq!(pool.available(), back, "{refuses:?}");
    }
}

#[test]
fn a_clients_own_list_proves_no_more_than_a_check() {
    for (refuses, back) in [(false, 1), (true, 3)] {
        let (pool, _due) = pool(&["a", "b", "c"]);
        for _ in 0..3 {
            pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
        }
        if refuses {
            pool.probe_key(2).unwrap().fail(Failure { by: check(0), ..failure(Effect::Invalid) });
        }
        pool.probe_key(0).unwrap().succeed(None, 0, Service::Free, Remains::default());
        assert_eq!(pool.available(), back);
    }
}

#[test]
fn a_storm_leaves_out_for_good_who_was_set_aside_by_an_operator() {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    pool.probe_key(0).unwrap().fail(failure(Effect::Invalid));
    pool.set_aside_by_operator(0, None);
    for index in [1, 2] {
        pool.probe_key(index).unwrap().fail(failure(Effect::Invalid));
    }
    assert_eq!(pool.storms().len(), 1);
    let list = pool.blacklisted();
    assert_eq!(list.iter().map(|key| key.permanent).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(list[0].reason(), crate::keys::BY_OPERATOR);
}

/// A key's ration as such is full, so that a model's turn finds no room there.
fn fill(pool: &KeyPool, index: u32) -> Lease<'_> {
    pool.generation.load().base.rotation.ration(index).set(1);
    pool.probe_key(index).unwrap()
}

#[test]
fn a_models_test_that_finds_no_room_as_such_is_not_spent() {
    let (pool, _due) = pool(&["a"]);
    lease_for(&pool, "m").unwrap().fail(for_model("m", told(3600)));
    let generation = pool.generation.load();
    let roster = generation.model(Some("m")).unwrap();
    roster.offer_again(0, Some(&generation.base));
    // Which is not shown to the model.
    let held = fill(&pool, 0);
    assert!(roster.take(&[], Some(&generation.base)).is_none());
    drop(held);
    roster.show(0, Some(&generation.base));
    assert_eq!(lease_for(&pool, "m").map(|test| test.is_probe()), Some(true));
}

#[test]
fn the_last_attempt_is_for_a_proven_key_that_has_room_as_such_where_a_later_one_has_none() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    for index in [0, 1] {
        pool.probe_key(index).unwrap().succeed(None, 0, Service::Paid, Remains::default());
    }
    pool.probe_key(2).unwrap().fail(for_model("m", told(60)));
    let proven = || pool.lease_proven(Need { model: Some("m"), not: &[] }).map(|lease| lease.index());
    assert_eq!(proven(), Some(1));
    let _held = fill(&pool, 1);
    assert_eq!(proven(), Some(0));
}

#[test]
fn what_costs_nothing_ends_no_limit_and_is_no_test_of_it() {
    let exhausted = Effect::Exhausted { wait: Some(Duration::from_secs(3600)) };
    for (effect, model) in [(told(3600), None), (told(3600), Some("m")), (exhausted, None)] {
        let (pool, _due) = pool(&["a"]);
        let need = Need { model: Some("m"), not: &[] };
        pool.lease(need).unwrap().fail(Failure { model, ..failure(effect) });
        pool.generation.load().each(|roster, base| roster.offer_again(0, base));
        let serve = |service| {
            let lease = pool.lease(need).unwrap();
            lease.succeed(Some("m"), 0, service, Remains::default());
        };
        serve(Service::Free);
        assert_eq!(pool.blacklisted().len(), 1, "{effect:?}");
        serve(Service::Paid);
        assert!(pool.blacklisted().is_empty());
    }
    let (pool, _due) = pool(&["a"]);
    let wait = Duration::from_secs(60);
    let spent = all(Left::Nothing { wait, from: "header" });
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, spent);
    pool.probe_key(0).unwrap().succeed(None, 0, Service::Free, Remains::default());
    assert_eq!(pool.blacklisted().len(), 1);
}

#[test]
fn a_test_that_tells_nothing_is_left_to_the_next_request_and_one_that_tells_is_not() {
    type End = fn(Lease<'_>);
    let nothing_left = || all(Left::Nothing { wait: Duration::from_secs(3600), from: "header" });
    let ends: [(End, bool); 6] = [
        (|lease| drop(lease), true),
        (|lease| lease.hear(0, Remains::default()), true),
        (|lease| _ = lease.succeed(None, 0, Service::Free, Remains::default()), true),
        (|lease| lease.spend(), false),
        (|lease| _ = lease.fail(failure(told(3600))), false),
        (|lease| _ = lease.fail(for_model("m", told(3600))), false),
    ];
    for model in [None, Some("m")] {
        for (number, (end, is_left)) in ends.into_iter().enumerate() {
            let (pool, _due) = pool(&["a"]);
            pool.lease(Need::default()).unwrap().fail(Failure { model, ..failure(told(3600)) });
            let lease = || pool.lease(Need { model: Some("m"), not: &[] });
            pool.generation.load().each(|roster, base| roster.offer_again(0, base));
            end(lease().unwrap());
            assert_eq!(lease().is_some_and(|test| test.is_probe()), is_left, "{number}, {model:?}");
        }
    }
    let (pool, _due) = pool(&["a"]);
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, nothing_left());
    pool.generation.load().base.offer_again(0, None);
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, nothing_left());
    assert!(pool.lease(Need::default()).is_none(), "it worked, and is out again");
    drop(pool.probe_key(0));
    assert!(pool.lease(Need::default()).is_none(), "no test was on offer");
}

#[tokio::test(start_paused = true)]
async fn a_spent_quota_may_be_a_mistake_and_is_tried_once_after_a_minute() {
    let (pool, due) = pool(&["a"]);
    let lease = || pool.lease(Need::default());
    let succeed = |lease: Lease<'_>| lease.succeed(None, 0, Service::Paid, Remains::default());
    let exhausted = Effect::Exhausted { wait: None };
    let pass = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    let test = async {
        let spent_for = |seconds| Effect::Exhausted { wait: Some(Duration::from_secs(seconds)) };
        for effect in [told(500), spent_for(200)] {
            lease().unwrap().fail(failure(effect));
            pass(70).await;
            assert!(lease().is_none(), "{effect:?}");
            succeed(pool.probe_key(0).unwrap());
        }
        for effect in [exhausted, spent_for(500)] {
            succeed(pool.probe_key(0).unwrap());
            lease().unwrap().fail(failure(effect));
            pass(50).await;
            assert!(lease().is_none(), "{effect:?}");
            pass(20).await;
            lease().unwrap().fail(failure(effect));
            pass(300).await;
            assert!(lease().is_none(), "it was none: {effect:?}");
            succeed(pool.probe_key(0).unwrap());
            lease().unwrap().fail(failure(effect));
            pass(70).await;
            succeed(lease().unwrap());
            assert!(pool.blacklisted().is_empty(), "it was one: {effect:?}");
        }
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_set_aside_for_long_by_one_mistake_come_back_one_after_the_other() {
    let keys: Vec<String> = (0..40).map(|number| format!("key-{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let exhausted = |rule: &str, upstream| {
        let cause = Cause { rule: rule.into(), upstream: Some(upstream), ..Cause::default() };
        Failure { cause, ..Effect::Exhausted { wait: None }.into() }
    };
    for model in [None, Some("big")] {
        let (pool, due) = pool(&keys);
        let fail = |index, rule, upstream| {
            pool.probe_key(index).unwrap().fail(Failure { model, ..exhausted(rule, upstream) });
        };
        let test = async {
            (0..10).for_each(|index| fail(index, "quota", 0));
            fail(10, "credit", 0);
            fail(11, "quota", 1);
            tokio::time::sleep(Duration::from_secs(70)).await;
            let again = || {
                let leases: Vec<_> = (0..40).map_while(|_| pool.lease(Need { model, not: &[] })).collect();
                let tests = leases.into_iter().filter(Lease::is_probe);
                let succeed = |test: Lease<'_>| test.succeed(model, 0, Service::Paid, Remains::default());
                tests.fold(0, |count, test| count + usize::from(!succeed(test).ended_storm))
            };
            // Of those that never served one is tried; with each that works a few more are.
            assert_eq!((again(), again(), again(), again()), (1, 3, 6, 0), "{model:?}");
            let mut out: Vec<_> = pool.blacklisted().iter().map(|key| key.index).collect();
            out.sort_unstable();
            assert_eq!(out, [10, 11], "{model:?}");
        };
        tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_loses_no_test_of_what_may_be_a_mistake() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        for key in [0, 1] {
            pool.probe_key(key).unwrap().succeed(None, 0, Service::Paid, Remains::default());
            pool.probe_key(key).unwrap().fail(failure(Effect::Exhausted { wait: None }));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        pool.replace(table(&["b", "a", "c"]), States::Keep);
        pool.probe_key(2).unwrap().fail(failure(Effect::Invalid));
        tokio::time::sleep(Duration::from_secs(54)).await;
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_secs(2)).await;
        pool.replace(table(&["a", "b"]), States::Keep);
        assert!(pool.lease(Need::default()).is_some(), "it was on offer");
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn neither_a_reload_nor_a_restart_tests_all_that_fell_together() {
    let names: Vec<String> = (0..40).map(|number| format!("key-{number}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    for is_restart in [false, true] {
        let (old, old_due) = pool(&keys);
        for index in 0..18 {
            let exhausted = Effect::Exhausted { wait: Some(Duration::from_secs(3600)) };
            old.probe_key(index).unwrap().fail(failure(exhausted));
        }
        let (pool, due) = if is_restart {
            let (new, new_due) = pool(&keys);
            old.blacklisted().iter().for_each(|told| new.set_aside(told));
            (new, new_due)
        } else {
            old.replace(table(&[&keys[..], &["new"]].concat()), States::Keep);
            (old, old_due)
        };
        let test = async {
            tokio::time::sleep(Duration::from_secs(61)).await;
            let leases: Vec<_> = (0..100).map_while(|_| pool.lease(Need::default())).collect();
            assert_eq!(leases.iter().filter(|lease| lease.is_probe()).count(), 1, "{is_restart}");
        };
        tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_no_test_of_what_may_be_a_mistake() {
    let (before, _due) = pool(&["a"]);
    before.probe_key(0).unwrap().succeed(None, 0, Service::Paid, Remains::default());
    before.probe_key(0).unwrap().fail(failure(Effect::Exhausted { wait: None }));
    let (pool, due) = pool(&["a"]);
    before.blacklisted().iter().for_each(|told| pool.set_aside(told));
    let test = async {
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(pool.lease(Need::default()).is_some());
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_late_of_a_key_that_is_out_costs_no_other_its_test() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        let exhausted = || for_model("m", Effect::Exhausted { wait: Some(Duration::from_secs(3600)) });
        let late = pool.probe_key(0).unwrap();
        pool.probe_key(0).unwrap().fail(exhausted());
        tokio::time::sleep(Duration::from_secs(30)).await;
        late.fail(exhausted());
        pool.probe_key(1).unwrap().fail(exhausted());
        tokio::time::sleep(Duration::from_secs(61)).await;
        let leases = [(); 3].map(|()| lease_for(&pool, "m"));
        assert_eq!(leases.map(|lease| lease.map(|lease| lease.index())), [Some(0), Some(1), None]);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}
