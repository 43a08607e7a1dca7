//! Limits that are an upstream's own, and none of the keys'.

use super::*;

/// One of two upstreams.
fn by(upstream: usize) -> Accuser<'static> {
    Accuser { upstream, is_one_of_several: true, ..Accuser::default() }
}

/// What comes of it that an upstream refuses a key.
fn refused(pool: &KeyPool, upstream: usize, index: u32, failure: Failure<'static>) -> Settled {
    let cause = Cause { upstream: Some(upstream), ..failure.cause };
    pool.probe_key(index).unwrap().fail(Failure { by: by(upstream), cause, ..failure })
}

fn limited(pool: &KeyPool, upstream: usize, index: u32) -> Settled {
    refused(pool, upstream, index, failure(LIMITED))
}

fn served(pool: &KeyPool, upstream: usize, index: u32) {
    pool.probe_key(index).unwrap().succeed(Some("m"), upstream, Service::Paid, Remains::default());
}

/// The keys that are out, for all or for a model.
fn out(pool: &KeyPool) -> Vec<u32> {
    pool.blacklisted().iter().map(|key| key.index).collect()
}

const OUT: Settled = Settled::Out(LIMITED);

#[tokio::test(start_paused = true)]
async fn a_limit_that_key_after_key_meets_at_one_upstream_while_another_serves_is_none_of_theirs() {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    refused(&pool, 0, 4, failure(told(60)));
    served(&pool, 0, 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    pool.set_aside_by_operator(3, Some(Duration::from_secs(600)));
    assert_eq!(limited(&pool, 0, 0), OUT);
    assert_eq!(refused(&pool, 0, 1, for_model("m", LIMITED)), OUT);
    (0..3).for_each(|_| served(&pool, 1, 2));
    assert_eq!((out(&pool), pool.storms()), (vec![0, 3, 4, 1], vec![]));
    assert_eq!(refused(&pool, 0, 2, failure(told(3600))), Settled::OfUpstream);
    assert_eq!(out(&pool), [3, 4], "an operator's, and the one that it refused before it served");
    let [(upstream, _, keys)] = pool.storms()[..] else { panic!("it is not told") };
    assert_eq!((upstream, keys), (0, 3));
    assert_eq!(refused(&pool, 0, 2, failure(Effect::Crowded { wait: None })), Settled::OfUpstream);
    assert_eq!(limited(&pool, 1, 2), OUT, "the other upstream's word");
    served(&pool, 0, 0);
    assert!(pool.storms().is_empty());
    assert_eq!(limited(&pool, 0, 0), OUT);
}

#[test]
fn a_limit_of_an_upstreams_own_is_known_too_once_slower_answers_of_another_come() {
    let (pool, _due) = pool(&["a", "b", "c", "d"]);
    assert_eq!([0, 1, 2, 3].map(|index| limited(&pool, 0, index)), [OUT; 4]);
    (0..2).for_each(|index| served(&pool, 1, index));
    assert_eq!(pool.available(), 2);
    served(&pool, 1, 2);
    assert_eq!(out(&pool), Vec::<u32>::new());
}

#[test]
fn limits_of_the_keys_own_are_none_of_an_upstreams() {
    // It serves in between; the other one refuses more than one in three; there is none, or none that is well; one key is no sign of others;
    // what is free has limits of its own.
    for why in ["serves", "both", "alone", "one key", "free"] {
        let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
        for index in 0..4 {
            match why {
                "serves" if index == 2 => served(&pool, 0, 4),
                "both" => _ = limited(&pool, 1, 3 - index),
                _ => {}
            }
            (0..if why == "both" { 2 } else { 3 }).for_each(|_| served(&pool, 1, 4));
            let by = match why {
                "alone" => Accuser { is_one_of_several: false, ..by(0) },
                "free" => Accuser { service: Service::Free, ..by(0) },
                _ => by(0),
            };
            let index = if why == "one key" { 0 } else { index };
            let settled = pool.probe_key(index).unwrap().fail(Failure { by, ..failure(LIMITED) });
            assert_ne!(settled, Settled::OfUpstream, "{why}");
        }
        assert!(pool.storms().is_empty(), "{why}");
        assert_eq!(
            pool.storms.concern(None),
            !matches!(why, "alone" | "free"),
            "a success has nothing to look at"
        );
    }
}

#[test]
fn while_no_other_upstream_is_well_a_limit_is_believed_and_all_is_undone_when_one_is() {
    let (pool, _due) = pool(&["a", "b", "c", "d"]);
    let down = Accuser { is_one_of_several: false, ..by(0) };
    for index in [0, 1, 2] {
        served(&pool, 1, 3);
        limited(&pool, 0, index);
        served(&pool, 1, 3);
    }
    assert_eq!((pool.storms().len(), pool.available()), (1, 4));
    let cause = Cause { upstream: Some(0), ..Cause::default() };
    for index in [0, 1, 2, 3] {
        let lease = pool.probe_key(index).unwrap();
        assert_eq!(lease.fail(Failure { by: down, cause: cause.clone(), ..failure(LIMITED) }), OUT);
    }
    assert!(pool.storms().is_empty());
    (0..3).for_each(|_| served(&pool, 1, 3));
    assert_eq!((pool.storms().len(), pool.available()), (1, 4));
}

#[test]
fn the_smallest_pools_are_not_lost_to_a_limit_of_an_upstreams_own() {
    for keys in 1..=4 {
        let (pool, _due) = pool(&["a", "b", "c", "d"][..keys as usize]);
        let mut settled = Vec::new();
        for index in (0..keys).chain([0]) {
            settled.push(limited(&pool, 0, index));
            if pool.available() > 0 || keys == 1 {
                served(&pool, 1, keys - 1);
            }
        }
        assert_eq!((pool.available(), pool.storms().len()), (keys as usize, 1), "{keys}: {settled:?}");
    }
}

/// One upstream serves a model and refuses another to all keys; a second one serves both.
#[tokio::test(start_paused = true)]
async fn a_limit_of_an_upstreams_own_may_be_for_a_model() {
    let of = |model| Accuser { model: Some(model), ..by(0) };
    let refused = |pool: &KeyPool, index, model| {
        let cause = Cause { upstream: Some(0), ..Cause::default() };
        let failure = Failure { by: of(model), cause, ..failure(LIMITED) };
        pool.probe_key(index).unwrap().fail(failure)
    };
    let served = |pool: &KeyPool, upstream, model| {
        pool.probe_key(4).unwrap().succeed(Some(model), upstream, Service::Paid, Remains::default());
    };
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    let meanwhile = || {
        served(&pool, 0, "well");
        (0..2).for_each(|_| served(&pool, 1, "full"));
    };
    let found = [0, 1, 2].map(|index| {
        meanwhile();
        refused(&pool, index, "full")
    });
    meanwhile();
    assert_eq!((found, out(&pool)), ([OUT; 3], vec![]), "they are back");
    assert_eq!(refused(&pool, 0, "full"), Settled::OfUpstream);
    assert_eq!(refused(&pool, 1, "well"), OUT, "another model");
    assert!(pool.storms().is_empty(), "of others it refuses no more than any");
    served(&pool, 0, "full");
    assert_eq!(refused(&pool, 0, "full"), OUT, "it serves it");
    tokio::time::advance(Duration::from_secs(61)).await;
    served(&pool, 1, "other");
    assert!(pool.storms.concern(None), "an upstream's own may be for all");
    served(&pool, 0, "other");
    assert!(!pool.storms.concern(Some("full")), "nobody has asked for these any more");
}

#[tokio::test(start_paused = true)]
async fn a_success_has_nothing_to_look_at_where_another_model_met_a_limit() {
    let refused = |pool: &KeyPool, index| {
        pool.probe_key(index)
            .unwrap()
            .fail(Failure { by: Accuser { model: Some("rare"), ..by(0) }, ..failure(LIMITED) })
    };
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    refused(&pool, 0);
    assert!(pool.storms.concern(Some("often")), "it may be for all");
    pool.probe_key(4).unwrap().succeed(Some("often"), 0, Service::Paid, Remains::default());
    assert_eq!(["often", "rare"].map(|model| pool.storms.concern(Some(model))), [false, true]);
    assert!(!pool.storms.concern(None));
    (0..6).for_each(|_| {
        pool.probe_key(4).unwrap().succeed(Some("rare"), 1, Service::Paid, Remains::default());
    });
    refused(&pool, 1);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(refused(&pool, 2), OUT, "what was refused before is forgotten");
}
