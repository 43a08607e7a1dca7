//! What upstreams foretell of keys, and when that is not believed.

use super::*;

const MODELS: [Option<&str>; 2] = [None, Some("big")];

/// Nothing is left for so many seconds.
fn nothing(seconds: u64) -> Left {
    Left::Nothing { wait: Duration::from_secs(seconds), from: "header" }
}

fn told_at(upstream: usize, lease: Lease<'_>, model: Option<&str>, left: Left) {
    lease.succeed(model, upstream, Service::Paid, of(left, model));
}

/// A pool of which every key was served once by this upstream, and told that nothing is left for 60 seconds.
fn foretold_by(upstream: usize, model: Option<&str>) -> KeyPool {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    while let Some(lease) = pool.lease(Need { model, not: &[] }) {
        told_at(upstream, lease, model, nothing(60));
    }
    assert_eq!(pool.blacklisted().len(), 8);
    pool
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

fn refused(lease: Lease<'_>, upstream: usize) {
    lease.fail(Failure { by: Accuser { upstream, ..Accuser::default() }, ..failure(told(90)) });
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_serves_whoever_it_says_has_nothing_left_is_believed_no_more() {
    for model in MODELS {
        let need = Need { model, not: &[] };
        let pool = foretold_by(1, model);
        assert!(pool.lease_foretold(need).is_none(), "it was said a moment ago");
        pass(2).await;
        let test = pool.lease_foretold(need).unwrap();
        assert_eq!((test.is_probe(), test.foretold_by()), (true, Some(1)));
        assert!(pool.lease_foretold(need).is_none(), "one a second");
        pass(2).await;
        assert!(pool.lease_foretold(need).is_none(), "one at a time");
        told_at(1, test, model, nothing(60));
        let served = std::iter::from_fn(|| pool.lease(need)).take(100);
        served.for_each(|lease| told_at(1, lease, model, nothing(60)));
        assert!(pool.blacklisted().is_empty(), "{model:?}");
        told_at(0, pool.lease(need).unwrap(), model, nothing(60));
        assert_eq!(pool.blacklisted().len(), 1, "another upstream's word is another matter");
    }
}

/// A test shows that it is false.
async fn begin_to_doubt(pool: &KeyPool) {
    pass(2).await;
    told_at(0, pool.lease_foretold(Need::default()).unwrap(), None, nothing(60));
}

/// Whether a further word is believed.
fn believes(pool: &KeyPool) -> bool {
    pool.release(&[0], |_| true);
    told_at(0, pool.probe_key(0).unwrap(), None, nothing(60));
    pool.blacklisted().first().is_some_and(|out| out.index == 0)
}

#[tokio::test(start_paused = true)]
async fn a_true_word_is_tested_more_and_more_rarely() {
    // Of a day's quota it is another verdict.
    for effect in [told(90), Effect::Exhausted { wait: Some(Duration::from_secs(90)) }] {
        let pool = foretold_by(0, None);
        let mut tested = Vec::new();
        for minute in (0..40).flat_map(|minute| [minute; 12]) {
            (0..8).for_each(|index| told_at(0, pool.probe_key(index).unwrap(), None, nothing(60)));
            pass(5).await;
            if let Some(lease) = pool.lease_foretold(Need::default()) {
                lease.fail(failure(effect));
                tested.push(minute);
            }
        }
        assert_eq!(tested, [0, 1, 3, 7, 15, 31], "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_believed_again_once_it_refuses_keys_as_often_as_it_foretells_it() {
    let pool = foretold_by(0, None);
    begin_to_doubt(&pool).await;
    assert!(!believes(&pool));
    refused(pool.probe_key(1).unwrap(), 1);
    assert!(!believes(&pool), "another upstream's refusal");
    refused(pool.probe_key(1).unwrap(), 0);
    refused(pool.probe_key(1).unwrap(), 0);
    assert!(believes(&pool));
    pass(5).await;
    assert!(pool.lease_foretold(Need::default()).is_none(), "it was not false for long");

    let pool = foretold_by(0, None);
    begin_to_doubt(&pool).await;
    assert!((0..100).all(|_| !believes(&pool)));
    for _ in 0..7 {
        refused(pool.probe_key(1).unwrap(), 0);
        assert!(!believes(&pool), "one that it had not foretold");
    }
    (0..4).for_each(|_| refused(pool.probe_key(1).unwrap(), 0));
    assert!(believes(&pool));
    (0..8).for_each(|index| told_at(0, pool.probe_key(index).unwrap(), None, nothing(60)));
    pass(5).await;
    assert!(pool.lease_foretold(Need::default()).is_some(), "it was false for long");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_foretold_is_tested_and_where_no_other_key_is_there() {
    let tested = |pool: &KeyPool| pool.lease_foretold(Need::default()).is_some();
    let pool = foretold_by(0, None);
    pass(40).await;
    assert!(!tested(&pool), "a limit fills up");
    let pool = foretold_by(0, None);
    (0..8).for_each(|index| refused(pool.probe_key(index).unwrap(), 0));
    pass(5).await;
    assert!(!tested(&pool), "they were refused");
    let pool = foretold_by(0, None);
    pass(5).await;
    pool.release(&[3], |_| true);
    assert!(!tested(&pool), "a key is there");
    told_at(0, pool.lease(Need::default()).unwrap(), None, nothing(60));
    told_at(0, pool.lease_foretold(Need::default()).unwrap(), None, Left::Requests(4));
    assert!(believes(&pool), "something was left by then");
}
