use super::*;

const POOL: usize = 10;

fn by(upstream: usize) -> Accuser<'static> {
    Accuser { upstream, ..Accuser::default() }
}

fn told(storms: &Storms, upstream: usize, index: u32, at: u64) -> Finding {
    storms.told((index, 1), by(upstream), POOL, Millis(at), false)
}

/// A key is served.
fn served(storms: &Storms, upstream: usize, index: u32, at: u64) -> Vec<u32> {
    storms.served(upstream, index, Service::Paid, Millis(at))
}

/// The keys that it has swept away, if that was its beginning.
fn swept(finding: Finding) -> Option<Vec<u32>> {
    let Finding::Begins(mut others) = finding else { return None };
    others.sort_unstable();
    Some(others)
}

#[test]
fn more_than_half_of_the_pool_within_ten_seconds_is_a_storm() {
    let storms = Storms::default();
    for index in 0..5 {
        assert_eq!(told(&storms, 0, index, 1000), Finding::Believed);
        assert!(served(&storms, 0, 9, 1000).is_empty());
    }
    assert_eq!(swept(told(&storms, 0, 5, 9000)), Some(vec![0, 1, 2, 3, 4]));
    assert!(storms.concern(None));
    assert_eq!(told(&storms, 0, 6, 60_000), Finding::Suspected(0));
    assert_eq!(storms.list().len(), 1);
    assert_eq!(served(&storms, 0, 3, 60_001).len(), 7);
    assert!(!storms.concern(None) && served(&storms, 0, 3, 60_002).is_empty());
}

#[test]
fn a_slow_one_is_known_by_that_nothing_was_served_meanwhile() {
    let storms = Storms::default();
    for index in 0..5 {
        assert_eq!(told(&storms, 0, index, u64::from(index) * 60_000), Finding::Believed);
    }
    assert_eq!(swept(told(&storms, 0, 5, 500_000)), Some(vec![0, 1, 2, 3, 4]));
    let storms = Storms::default();
    for index in 0..10 {
        assert_eq!(told(&storms, 0, index, u64::from(index) * 3000), Finding::Believed);
        served(&storms, 0, 9, 0);
    }
    let storms = Storms::default();
    for index in 0..4 {
        assert_eq!(storms.told((index, 1), by(1), 4, Millis(0), false), Finding::Believed, "a small pool");
    }
}

#[test]
fn in_a_large_pool_dozens_that_had_served_are_enough_where_nobody_is_served_in_between() {
    let dozens = u32::try_from(UNBROKEN).unwrap();
    let tell = |storms: &Storms, index, served| {
        storms.told((index, served), by(0), 50_000, Millis(u64::from(index) * 1000), false)
    };
    let storms = Storms::default();
    for index in 0..dozens - 1 {
        assert_eq!(tell(&storms, index, 1), Finding::Believed);
    }
    assert_eq!(swept(tell(&storms, dozens, 1)), Some((0..dozens - 1).collect()));
    // Keys that never served may be no good: the first of a file often are.
    let storms = Storms::default();
    assert!((0..10 * dozens).all(|index| tell(&storms, index, 0) == Finding::Believed));
    // Those that are served are a sign that the others are no good.
    let storms = Storms::default();
    for index in 0..10 * dozens {
        assert_eq!(tell(&storms, index, 1), Finding::Believed);
        if index % 20 == 0 {
            served(&storms, 0, 40_000, 0);
        }
    }
}

#[test]
fn a_suspect_is_believed_guilty_after_a_check_alone() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    let check = Accuser { by_check: true, service: Service::Free, ..by(0) };
    assert_eq!(storms.told((1, 1), check, POOL, Millis(1), false), Finding::Suspected(0), "the storm is on");
    served(&storms, 0, 0, 1);
    assert_eq!(storms.told((1, 1), check, POOL, Millis(1), false), Finding::Believed);
    for times in 1..5 {
        assert_eq!(told(&storms, 0, 2, 1), Finding::Suspected(times));
    }
    assert_eq!(told(&storms, 0, 3, 1), Finding::Suspected(1));
    assert_eq!(storms.recovered(0, 2), [3, 2], "one that works after all frees those that are out");
    assert!(storms.recovered(0, 2).is_empty() && storms.recovered(0, 9).is_empty());
}

#[test]
fn an_outage_that_serves_some_and_refuses_others_goes_on_after_its_storm() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    assert_eq!(served(&storms, 0, 0, 1000).len(), 6);
    assert_eq!(told(&storms, 1, 9, 60_000), Finding::Believed, "another upstream");
    assert_eq!(told(&storms, 0, 8, 60_000), Finding::Suspected(0), "not for good, nor for an hour");
    assert!(storms.list().is_empty());
    assert_eq!(told(&storms, 0, 8, 60_000), Finding::Suspected(1));
    let check = Accuser { by_check: true, service: Service::Free, ..by(0) };
    assert_eq!(
        storms.told((8, 1), check, POOL, Millis(60_000), false),
        Finding::Believed,
        "no outage hides it"
    );
    assert_eq!(told(&storms, 0, 7, 119_999), Finding::Suspected(0), "a minute after the last");
    assert_eq!(told(&storms, 0, 6, 179_999), Finding::Believed);
}

#[test]
fn who_was_found_guilty_is_acquitted_with_any_that_works_after_all() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    served(&storms, 0, 0, 1);
    let check = Accuser { by_check: true, service: Service::Free, ..by(0) };
    for index in 1..4 {
        assert_eq!(storms.told((index, 1), check, POOL, Millis(1), false), Finding::Believed);
    }
    assert_eq!(storms.condemned(), HashSet::from([1, 2, 3]));
    assert_eq!(told(&storms, 0, 3, 2), Finding::Believed, "for itself");
    assert!(storms.acquitted(0, 3).is_empty() && storms.acquitted(1, 1).is_empty());
    storms.begin_anew(|index| Some(index + 10));
    assert_eq!(HashSet::from_iter(storms.acquitted(0, 11)), HashSet::from([11, 12]), "a reload forgets none");
    assert!(storms.acquitted(0, 12).is_empty());
}

#[test]
fn who_is_refused_by_one_upstream_may_be_served_by_another() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    assert!(storms.served(1, 9, Service::Free, Millis(1)).is_empty(), "a check serves nobody");
    assert_eq!(served(&storms, 1, 9, 1).len(), 6);
    assert!(served(&storms, 1, 9, 1).is_empty() && storms.list().len() == 1, "it is on all the same");
}

#[test]
fn keys_that_are_served_all_the_while_end_no_storm_of_the_others_until_it_is_quiet() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    assert!(served(&storms, 0, 9, 50).is_empty());
    assert_eq!(told(&storms, 0, 7, 30_000), Finding::Suspected(0), "and not lost for good");
    assert_eq!(told(&storms, 0, 1, 80_000), Finding::Suspected(0), "again");
    assert_eq!(storms.longest_suspicion(), 7 * TRIED_EVERY);
    assert!(served(&storms, 0, 9, 89_999).is_empty() && storms.list().len() == 1);
    assert!(served(&storms, 0, 9, 90_000).is_empty() && storms.list().is_empty() && !storms.concern(None));
    assert_eq!(told(&storms, 0, 8, 90_001), Finding::Believed);
    assert_eq!(told(&storms, 0, 1, 90_001), Finding::Suspected(1));
    assert_eq!(storms.longest_suspicion(), 7 * TRIED_EVERY);
    assert_eq!(storms.recovered(0, 7).len(), 7);
}

#[test]
fn a_storm_is_over_after_ten_minutes_however_often_another_is_refused() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    for (index, at) in (100..).zip((30_000..LONGEST).step_by(30_000)) {
        assert_eq!(told(&storms, 0, index, at), Finding::Suspected(0));
        assert!(served(&storms, 0, 9, at + 1).is_empty() && storms.list().len() == 1, "{at}");
    }
    assert!(served(&storms, 0, 9, LONGEST).is_empty() && storms.list().is_empty());
    let check = Accuser { by_check: true, service: Service::Free, ..by(0) };
    assert_eq!(storms.told((1, 1), check, POOL, Millis(LONGEST), false), Finding::Believed);
    assert_eq!(told(&storms, 0, 200, LONGEST), Finding::Suspected(0), "it may go on");
    // Nor does a reload or a restart begin the ten minutes anew.
    let storms = Storms::default();
    let long_ago = SystemTime::now() - Duration::from_millis(LONGEST - 1000);
    storms.resume(0, (0, 1), Some(long_ago), Millis(LONGEST));
    assert!(served(&storms, 0, 9, LONGEST).is_empty() && storms.list().len() == 1);
    assert!(served(&storms, 0, 9, LONGEST + 1000).is_empty() && storms.list().is_empty());
}

#[test]
fn after_a_storm_an_end_that_is_named_is_believed_of_who_serves_others_meanwhile() {
    let storms = Storms::default();
    let named = |index| storms.told((index, 1), by(0), POOL, Millis(1000), true);
    (0..6).for_each(|index| drop(named(index)));
    assert_eq!(named(6), Finding::Suspected(0), "it is on");
    served(&storms, 0, 0, 1000);
    assert_eq!(named(7), Finding::Believed);
    assert_eq!([8, 1].map(named), [Finding::Suspected(0), Finding::Suspected(1)], "nothing was served since");
    served(&storms, 0, 9, 1000);
    assert_eq!(named(1), Finding::Believed);
    assert!(storms.condemned().is_empty(), "no check has said so");
    served(&storms, 0, 9, 1000);
    assert_eq!(told(&storms, 0, 8, 1000), Finding::Suspected(1), "that names none");
}

#[test]
fn a_second_storm_is_known_too_but_not_by_the_guilty_of_the_first() {
    let storms = Storms::default();
    let told = |index: u32, served: u64| storms.told((index, served), by(0), POOL, Millis(1), false);
    (0..6).for_each(|index| drop(told(index, 1)));
    served(&storms, 0, 5, 1);
    for round in 1..4 {
        // All in a row, as they stand in the file.
        for index in 0..5 {
            assert_eq!(told(index, 1), Finding::Suspected(round));
        }
        served(&storms, 0, 9, 1);
    }
    for times in 2..4 {
        (0..5).for_each(|index| assert_eq!(told(index, times), Finding::Suspected(0)));
        assert!(matches!(told(5, times), Finding::Begins(_)), "keys that have worked since");
        assert_eq!(told(9, 0), Finding::Suspected(0));
        assert_eq!(storms.list().first().map(|(.., suspects)| *suspects), Some(7), "of this storm");
        served(&storms, 0, 5, 1);
    }
}

#[test]
fn a_check_ends_a_storm_only_where_others_were_refused_in_it() {
    let storms = Storms::default();
    (0..6).for_each(|index| drop(told(&storms, 0, index, 0)));
    let passed = |index| storms.served(0, index, Service::Free, Millis(1));
    assert!(passed(1).is_empty() && storms.list().len() == 1, "its list is for everybody");
    storms.told((1, 1), Accuser { by_check: true, service: Service::Free, ..by(0) }, POOL, Millis(1), false);
    assert_eq!(passed(1).len(), 6);
}

#[test]
fn a_storm_that_begins_with_a_free_request_is_ended_by_one() {
    for (service, freed) in [(Service::Free, 6), (Service::Paid, 0)] {
        let storms = Storms::default();
        let told = |index| storms.told((index, 1), Accuser { service, ..by(0) }, POOL, Millis(0), false);
        (0..6).for_each(|index| drop(told(index)));
        assert_eq!(storms.served(0, 1, Service::Free, Millis(1)).len(), freed);
    }
}

#[test]
fn upstreams_that_fail_together_have_each_their_storm() {
    let storms = Storms::default();
    let told: Vec<Finding> = (0..6).map(|index| told(&storms, index as usize % 2, index, 0)).collect();
    assert!(matches!(told.last(), Some(Finding::Begins(others)) if others.len() == 5), "{told:?}");
    assert_eq!(storms.list().len(), 2);
    assert_eq!(served(&storms, 1, 1, 0).len(), 3);
    assert_eq!(served(&storms, 1, 1, 0).len(), 3, "the other one's may be served here now");
    assert!(storms.concern(None), "the other one's");
}

#[test]
fn one_of_several_that_refuses_key_after_key_while_others_serve_has_one_in_any_pool() {
    for (pool, enough) in [(3, 2), (1000, 8)] {
        let storms = Storms::default();
        let one = Accuser { is_one_of_several: true, ..by(0) };
        for index in 0..enough {
            assert_eq!(storms.told((index, 1), one, pool, Millis(0), false), Finding::Believed);
        }
        (0..8).for_each(|_| drop(served(&storms, 1, 99, 0)));
        let finding = storms.told((enough, 1), by(0), pool, Millis(0), false);
        assert_eq!(finding, Finding::Believed, "the others are out themselves");
        let others = (0..=enough).collect();
        assert_eq!(swept(storms.told((enough + 1, 1), one, pool, Millis(0), false)), Some(others), "{pool}");
        let storms = Storms::default();
        for _ in 0..=8 {
            assert_eq!(storms.told((0, 1), one, pool, Millis(0), false), Finding::Believed, "the same key");
            (0..8).for_each(|_| drop(served(&storms, 1, 99, 0)));
        }
        let storms = Storms::default();
        for index in 0..=enough {
            assert_eq!(
                storms.told((index, 0), one, pool, Millis(0), false),
                Finding::Believed,
                "they never worked"
            );
            (0..8).for_each(|_| drop(served(&storms, 1, 99, 0)));
        }
    }
}
