//! What is left to keys, as they are told, and who is told last.

use super::*;

#[test]
fn what_is_left_to_a_key_bounds_what_it_gets() {
    let (pool, _due) = pool(&["a"]);
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, all(Left::Requests(2)));
    let two = [pool.lease(Need::default()), pool.lease(Need::default())];
    assert!(two.iter().all(Option::is_some) && pool.lease(Need::default()).is_none());
    let [first, second] = two.map(Option::unwrap);
    let nothing = Left::Nothing { wait: Duration::from_secs(20), from: "x-ratelimit-reset-requests" };
    first.succeed(None, 0, Service::Paid, all(nothing));
    second.succeed(None, 0, Service::Paid, Remains::default());
    let list = pool.blacklisted();
    assert_eq!((list[0].effect.name(), list[0].fail_count), ("key_limited", 0));
    assert_eq!(list[0].cause.wait_from.as_deref(), Some("x-ratelimit-reset-requests"));
}

#[test]
fn what_the_request_that_began_last_was_told_is_the_last_word() {
    let nothing = Left::Nothing { wait: Duration::from_secs(20), from: "header" };
    for model in [None, Some("big")] {
        let (pool, _due) = pool(&["a"]);
        let need = Need { model, not: &[] };
        let succeed = |lease: Lease<'_>, left| lease.succeed(model, 0, Service::Paid, of(left, model));
        let begin = || [(); 2].map(|()| pool.lease(need).unwrap());
        succeed(pool.lease(need).unwrap(), Left::Requests(2));
        let [first, second] = begin();
        succeed(second, Left::Requests(3));
        succeed(first, nothing);
        let leased: Vec<_> = (0..4).map_while(|_| pool.lease(need)).collect();
        assert_eq!(leased.len(), 3, "nothing was what was true before that: {model:?}");
        drop(leased);
        let [first, second] = begin();
        succeed(first, nothing);
        assert!(pool.lease(need).is_none());
        succeed(second, Left::Requests(1));
        assert!(pool.blacklisted().is_empty(), "{model:?}");
        let last = pool.lease(need).unwrap();
        assert!(pool.lease(need).is_none(), "one is left");
        last.fail(Failure { model, ..failure(told(20)) });
        assert!(pool.lease(need).is_none());
    }
}

#[test]
fn what_a_request_from_before_a_reload_is_told_makes_no_later_one_look_older() {
    for model in [None, Some("big")] {
        let (pool, _due) = pool(&["a"]);
        let need = Need { model, not: &[] };
        let succeed = |lease: Lease<'_>, left| lease.succeed(model, 0, Service::Paid, of(left, model));
        succeed(pool.lease(need).unwrap(), Left::Requests(2));
        (0..500).for_each(|_| drop(pool.lease(need).unwrap()));
        let before = pool.lease(need).unwrap();
        pool.replace(table(&["a"]), States::Keep);
        succeed(before, Left::Requests(3));
        let nothing = Left::Nothing { wait: Duration::from_secs(20), from: "header" };
        succeed(pool.lease(need).unwrap(), nothing);
        assert_eq!(pool.blacklisted().len(), 1, "{model:?}");
    }
}

#[test]
fn one_upstreams_word_does_not_bring_back_what_another_set_aside() {
    let (pool, _due) = pool(&["a"]);
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, all(Left::Requests(2)));
    let [first, second] = [(); 2].map(|()| pool.lease(Need::default()).unwrap());
    first.succeed(
        None,
        0,
        Service::Paid,
        all(Left::Nothing { wait: Duration::from_secs(20), from: "header" }),
    );
    second.succeed(None, 1, Service::Paid, all(Left::Requests(1)));
    assert_eq!(pool.blacklisted().len(), 1);
    assert_eq!(pool.blacklisted()[0].cause.upstream, Some(0));
}

#[test]
fn what_is_left_for_a_model_is_about_that_model() {
    let (pool, _due) = pool(&["a", "b"]);
    let nothing = Left::Nothing { wait: Duration::from_secs(20), from: "header" };
    lease_for(&pool, "big").unwrap().succeed(Some("big"), 0, Service::Paid, of(nothing, Some("big")));
    assert_eq!([(); 2].map(|()| lease_for(&pool, "big").unwrap().index()), [1; 2]);
    lease_for(&pool, "big").unwrap().succeed(
        Some("big"),
        0,
        Service::Paid,
        of(Left::Requests(1), Some("big")),
    );
    let held = lease_for(&pool, "big").unwrap();
    assert!(lease_for(&pool, "big").is_none());
    assert!(lease_for(&pool, "small").is_some());
    drop(held);
    assert!(lease_for(&pool, "big").is_some());
}

const LIMIT: u64 = 5;

/// What the n-th of the requests that a limit let in is told of it, if it fills up by one a second.
fn told_to(nth: u64) -> Remains<'static> {
    let wait = Duration::from_secs(nth);
    let left = match u32::try_from(LIMIT - nth).unwrap() {
        0 => Left::Nothing { wait, from: "header" },
        left => Left::Requests(left),
    };
    Remains { whole_in: Some(wait), ..all(left) }
}

#[test]
fn of_requests_that_overtake_each_other_the_one_that_was_let_in_last_has_the_last_word() {
    // In which order they were let in, and answered, of five that began in order.
    let orders: [[u64; 5]; 4] = [[4, 3, 2, 1, 5], [5, 4, 3, 2, 1], [1, 3, 5, 2, 4], [2, 5, 1, 4, 3]];
    for (let_in, answered) in orders.iter().flat_map(|order| orders.map(|answered| (order, answered))) {
        let (pool, _due) = pool(&["a"]);
        let succeed = |lease: Lease<'_>, remains| lease.succeed(None, 0, Service::Paid, remains);
        succeed(pool.lease(Need::default()).unwrap(), all(Left::Requests(5)));
        let mut leases = [(); 5].map(|()| pool.lease(Need::default()));
        for began in answered.map(|nth| usize::try_from(nth).unwrap() - 1) {
            succeed(leases[began].take().unwrap(), told_to(let_in[began]));
        }
        assert_eq!(pool.blacklisted().len(), 1, "let in {let_in:?}, answered {answered:?}");
    }
}

#[test]
fn a_word_is_as_old_as_its_request_and_a_later_one_that_says_when_is_believed() {
    let (pool, _due) = pool(&["a"]);
    let succeed = |lease: Lease<'_>, remains| lease.succeed(None, 0, Service::Paid, remains);
    let begin = || [(); 2].map(|()| pool.lease(Need::default()).unwrap());
    succeed(pool.lease(Need::default()).unwrap(), all(Left::Requests(5)));
    let [first, second] = begin();
    succeed(second, told_to(3));
    let slow = Remains { took: Duration::from_secs(3), ..told_to(5) };
    succeed(first, slow);
    assert!(pool.blacklisted().is_empty(), "it was said before the other began");
    let [first, second] = begin();
    succeed(first, told_to(5));
    assert_eq!(pool.blacklisted().len(), 1);
    let next = Remains { whole_in: Some(Duration::from_secs(10)), ..told_to(1) };
    succeed(second, next);
    assert!(pool.blacklisted().is_empty(), "the limit has begun anew");
    let [first, second] = begin();
    succeed(second, all(Left::Requests(1000)));
    succeed(first, told_to(5));
    assert!(pool.blacklisted().is_empty(), "plenty is left");
    succeed(pool.lease(Need::default()).unwrap(), all(Left::Requests(5)));
    let [first, second] = begin();
    succeed(second, told_to(4));
    let fast = Remains { whole_in: Some(Duration::from_millis(3_990)), ..told_to(5) };
    succeed(first, fast);
    assert!(pool.blacklisted().is_empty(), "the other was let in since by what had filled up");
}
