//! Which keys may use a model, as their answers tell it.

use super::*;

fn deny(lease: Lease<'_>, model: &str) {
    lease.fail(for_model(model, Effect::Denied));
}

fn serve(lease: Lease<'_>, model: &str) {
    lease.succeed(Some(model), 0, Service::Paid, Remains::default());
}

/// The keys that are out for the model, and for how many seconds more at most.
fn out(pool: &KeyPool, model: &str) -> Vec<(u32, u64)> {
    let now = SystemTime::now();
    let out = pool.blacklisted().into_iter().filter(|key| key.model.as_deref() == Some(model));
    out.map(|key| (key.index, key.recovers_at.unwrap().duration_since(now).unwrap().as_secs() + 1)).collect()
}

fn lease_denied<'a>(pool: &'a KeyPool, model: &str) -> Option<Lease<'a>> {
    pool.lease_denied(Need { model: Some(model), not: &[] })
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_served_a_model_is_tried_again_at_once_and_then_ever_later_and_another_after_an_hour()
{
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        serve(pool.probe_key(0).unwrap(), "m");
        serve(pool.probe_key(1).unwrap(), "other");
        for key in [0, 1] {
            deny(pool.probe_key(key).unwrap(), "m");
        }
        let [(0, soon), (1, late)] = out(&pool, "m")[..] else { panic!() };
        assert!((24..=30).contains(&soon) && (2880..=3600).contains(&late), "{soon} {late}");
        let again = lease_for(&pool, "m").unwrap();
        assert!(again.index() == 0 && again.is_probe() && lease_for(&pool, "m").is_none());
        deny(again, "m");
        for longest in [60, 120, 240, 480] {
            assert!(lease_for(&pool, "m").is_none());
            tokio::time::sleep(Duration::from_secs(longest / 2 + 1)).await;
            deny(lease_for(&pool, "m").unwrap(), "m");
            let [(0, then), ..] = out(&pool, "m")[..] else { panic!() };
            assert!((longest * 4 / 5..=longest).contains(&then), "{then} {longest}");
        }
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn a_key_that_serves_a_model_is_not_left_denied_it_however_it_was_leased() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    let before_any = pool.probe_key(0).unwrap();
    deny(pool.probe_key(0).unwrap(), "m");
    deny(pool.probe_key(1).unwrap(), "m");
    assert_eq!(out(&pool, "m").len(), 2);
    serve(before_any, "m");
    let before = lease_for(&pool, "m").unwrap();
    assert_eq!((out(&pool, "m")[0].0, before.index()), (1, 0));
    for key in [0, 2] {
        deny(pool.probe_key(key).unwrap(), "m");
    }
    serve(before, "m");
    assert!(out(&pool, "m").iter().all(|(key, _)| *key != 0));
    let free: Vec<_> = (0..50).map(|_| lease_for(&pool, "m").unwrap()).collect();
    assert!(free.iter().all(|lease| !lease.is_probe()), "it has no ration, and no test is left of it");
    pool.probe_key(0).unwrap().fail(failure(Effect::Invalid));
    let of_all = lease_denied(&pool, "m").unwrap();
    let key = of_all.index();
    serve(of_all, "m");
    assert!(out(&pool, "m").iter().all(|(out, _)| *out != key) && lease_denied(&pool, "m").is_none());
}

#[tokio::test(start_paused = true)]
async fn where_a_model_is_denied_to_all_the_keys_that_served_it_are_asked_in_turn() {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    for key in [1, 3] {
        serve(pool.probe_key(key).unwrap(), "m");
    }
    for key in 0..5 {
        assert!(lease_denied(&pool, "m").is_none());
        deny(pool.probe_key(key).unwrap(), "m");
        // What is to be expected is remembered for less than this.
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    for key in [1, 3] {
        let test = lease_for(&pool, "m").unwrap();
        assert_eq!(test.index(), key);
        deny(test, "m");
    }
    assert!(lease_for(&pool, "m").is_none());
    let mut asked = [(); 4].map(|()| {
        let lease = lease_denied(&pool, "m").unwrap();
        let key = lease.index();
        deny(lease, "m");
        key
    });
    asked[..2].sort_unstable();
    asked[2..].sort_unstable();
    assert_eq!(asked, [1, 3, 1, 3]);
    let likely = |not: &[u32]| pool.lease_likely(Need { model: Some("m"), not }).map(|lease| lease.index());
    assert!(matches!(likely(&[]), Some(1 | 3)) && likely(&[1]) == Some(3) && likely(&[1, 3]).is_none());
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(likely(&[]), None, "it was long ago that they served it");
    pool.probe_key(3).unwrap().fail(failure(told(60)));
    assert_eq!([(); 3].map(|()| lease_denied(&pool, "m").unwrap().index()), [1; 3], "it is limited");
    pool.replace(table(&["new", "d", "c", "b"]), States::Keep);
    deny(pool.probe_key(0).unwrap(), "m");
    assert_eq!(lease_denied(&pool, "m").unwrap().expose(), "b");
}

#[test]
fn where_it_is_not_known_who_served_a_model_the_key_that_comes_back_first_is_asked_or_any() {
    let (old, _due) = pool(&["a", "b", "c"]);
    serve(old.probe_key(1).unwrap(), "m");
    for key in 0..3 {
        deny(old.probe_key(key).unwrap(), "m");
    }
    let (pool, _due) = pool(&["a", "b", "c"]);
    old.blacklisted().iter().for_each(|told| pool.set_aside(told));
    assert!(!pool.has_served("m") && lease_for(&pool, "m").is_none());
    assert_eq!([(); 3].map(|()| lease_denied(&pool, "m").unwrap().index()), [1; 3]);
    pool.probe_key(1).unwrap().fail(failure(told(10)));
    assert_eq!([(); 3].map(|()| lease_denied(&pool, "m").unwrap().index()), [0, 2, 0]);
    serve(lease_denied(&pool, "m").unwrap(), "m");
    assert_eq!(out(&pool, "m").iter().map(|(key, _)| *key).collect::<Vec<_>>(), [0, 1]);
}
