use std::collections::HashSet;

use super::*;

fn key(index: u32, suspected: bool, upstream: usize, tried: u64) -> Condemned {
    let tried_ago = Duration::from_secs(tried);
    Condemned {
        index,
        generation: 0,
        suspected,
        served_since_check: false,
        passes: 0,
        of_storm: false,
        checked: true,
        asked: 0,
        out_for: tried_ago,
        upstream: Some(upstream),
        is_discerning: false,
        tried_ago,
    }
}

#[test]
fn suspects_come_first_then_who_was_tried_longest_ago_and_upstreams_take_turns() {
    let condemned = vec![
        key(0, false, 0, 4000),
        key(1, false, 0, 5000),
        key(2, true, 0, 30),
        key(3, true, 0, 40),
        key(4, true, 1, 20),
        key(5, true, 1, 9),
        key(6, false, 0, 3599),
    ];
    let indices = |interval| {
        let (due, _) = due(condemned.clone(), Intervals::of(interval), &Misgivings::default());
        due.into_iter().map(|key| key.index).collect::<Vec<_>>()
    };
    assert_eq!(indices(Some(Duration::from_secs(3600))), [3, 4, 2, 1, 0]);
    assert_eq!(indices(None), [3, 4, 2], "suspects alone");
}

#[test]
fn nobody_is_due_before_the_interval_is_over_and_a_round_is_short() {
    let hour = Intervals::of(Some(Duration::from_secs(3600)));
    let (none, next) = due(vec![key(0, false, 0, 3597), key(1, false, 0, 10)], hour, &Misgivings::default());
    assert!(none.is_empty());
    assert_eq!(next, Duration::from_secs(3));
    let many = (0..1000).map(|index| key(index, false, 0, 4000)).collect();
    assert_eq!(due(many, hour, &Misgivings::default()).0.len(), ROUND);
    // Who was tried longest ago stands last.
    let many = (0..1000).map(|index| key(index, false, 0, 4000 + u64::from(index))).collect();
    let first: Vec<_> = due(many, hour, &Misgivings::default()).0.iter().map(|key| key.index).collect();
    assert_eq!(first, (1000 - 12..1000).rev().collect::<Vec<u32>>());
}

#[test]
fn one_of_those_that_were_found_guilty_after_a_storm_is_checked_each_half_minute() {
    let of_storm =
        |index, upstream, tried| Condemned { of_storm: true, ..key(index, false, upstream, tried) };
    let due = |keys: &[Condemned]| {
        let (due, _) = due(keys.to_vec(), Intervals::of(None), &Misgivings::default());
        due.into_iter().map(|key| key.index).collect::<Vec<_>>()
    };
    let others = [of_storm(2, 1, 35), of_storm(3, 1, 31), key(4, false, 0, 3000)];
    assert_eq!(due(&[&[of_storm(0, 0, 40), of_storm(1, 0, 29)], &others[..]].concat()), [2]);
    assert_eq!(due(&[&[of_storm(0, 0, 40), of_storm(1, 0, 30)], &others[..]].concat()), [0, 2]);
    let old = Condemned { out_for: DAY, ..of_storm(0, 0, 40) };
    assert_eq!(due(&[old]), [0; 0]);
}

const HOUR: u64 = 3600;

/// Keys that were found dead, and not been checked since.
fn unchecked(indices: std::ops::Range<u32>, tried: u64) -> impl Iterator<Item = Condemned> {
    indices.map(move |index| Condemned { checked: false, ..key(index, false, 0, tried) })
}

fn indices(condemned: Vec<Condemned>, misgivings: &Misgivings) -> Vec<u32> {
    let (due, _) = due(condemned, Intervals::of(Some(Duration::from_secs(HOUR))), misgivings);
    due.into_iter().map(|key| key.index).collect()
}

/// Who is checked within so many seconds, at two a second.
fn checked_within(seconds: u64, mut keys: Vec<Condemned>, misgivings: &Misgivings) -> HashSet<u32> {
    let mut checked = HashSet::new();
    for _ in (0..seconds).step_by(6) {
        let due = indices(keys.clone(), misgivings);
        for key in &mut keys {
            key.tried_ago += Duration::from_secs(6);
            key.out_for += Duration::from_secs(6);
            if due.contains(&key.index) {
                (key.tried_ago, key.checked) = (Duration::ZERO, true);
            }
        }
        checked.extend(due);
    }
    checked
}

#[test]
fn a_key_that_may_be_out_by_mistake_does_not_stand_behind_thousands_that_were_checked() {
    let dead = (100..20_100).map(|index| key(index, false, 0, HOUR + u64::from(index)));
    let seconds = Duration::from_secs;
    let served = Condemned { served_since_check: true, out_for: seconds(60), ..key(1, false, 0, 30) };
    let of_storm = Condemned { of_storm: true, out_for: seconds(HOUR), ..key(2, false, 0, 30) };
    let keys = dead.chain(unchecked(0..1, 20)).chain([served, of_storm]).collect();
    let first = indices(keys, &Misgivings::default());
    assert_eq!(first.get(..5), Some(&[2, 0, 20_099, 1, 20_098][..]));
}

#[test]
fn nor_behind_thousands_that_were_dead_before_a_restart_or_were_found_so_before_it() {
    let before = |tried| {
        let out_for = Duration::from_secs(24 * HOUR + tried);
        unchecked(0..20_000, tried).map(move |key| Condemned { out_for, ..key })
    };
    let none = Misgivings::default();
    for tried in [20, 600, 3 * HOUR] {
        let first = indices(before(tried).chain(unchecked(20_000..20_001, 20)).collect(), &none);
        assert_eq!((first.first(), first.len()), (Some(&20_000), ROUND), "{tried} s after a restart");
        let first =
            indices(unchecked(0..7_000, tried + 1).chain(unchecked(7_000..7_001, 20)).collect(), &none);
        assert_eq!(first.first(), Some(&7_000), "{tried} s after the others");
    }
    // While none is left, too, the last that was there is the likeliest.
    let none_left = Misgivings { none_left: true, ..Misgivings::default() };
    let last = Condemned { checked: true, out_for: Duration::from_secs(60), ..key(20_000, false, 0, 30) };
    assert_eq!(indices(before(600).chain([last]).collect(), &none_left).first(), Some(&20_000));
}

#[test]
fn whichever_are_too_many_to_be_checked_in_time_nobody_waits_for_ever() {
    let routine = || (0..100).map(|index| key(index, false, 1, HOUR));
    let all: HashSet<u32> = (0..1_100).collect();
    // They would keep us busy for long.
    let doubted = || unchecked(100..1_100, 30).map(|key| Condemned { served_since_check: true, ..key });
    let keys: Vec<_> = routine().chain(doubted()).collect();
    let none = Misgivings::default();
    assert!(checked_within(120, keys.clone(), &none).is_superset(&(0..100).collect()));
    assert_eq!(checked_within(720, keys, &none), all);
    let none_left = Misgivings { none_left: true, ..Misgivings::default() };
    let since_yesterday = |key| Condemned { out_for: Duration::from_secs(24 * HOUR), ..key };
    let keys: Vec<_> = routine().map(since_yesterday).chain(doubted()).collect();
    assert_eq!(checked_within(3_600, keys, &none_left), all);
}

#[tokio::test(start_paused = true)]
async fn keys_that_may_be_out_by_mistake_are_checked_soon_and_so_is_every_key_where_none_is_left() {
    let seconds = Duration::from_secs;
    let hour = Intervals::of(Some(seconds(3600)));
    let fresh = key(0, false, 0, 0);
    let served = Condemned { served_since_check: true, passes: 1, ..fresh };
    let wait = |key: Condemned, out_for, misgivings: &Misgivings| {
        let wait = hour.of_key(&Condemned { out_for: seconds(out_for), ..key }, misgivings);
        wait.map_or(0, |wait| wait.as_secs())
    };
    let none = &Misgivings::default();
    assert_eq!(wait(fresh, 30, none), 3600);
    let unchecked = Condemned { checked: false, ..fresh };
    assert_eq!([unchecked, Condemned { passes: 1, ..unchecked }].map(|key| wait(key, 30, none)), [20, 3600]);
    assert_eq!(
        [1, 3, 255].map(|asked| wait(Condemned { asked, ..unchecked }, 30, none)),
        [40, 160, 3600],
        "what told nothing is no check, nor is it to be made for ever"
    );
    let discerning = Condemned { is_discerning: true, ..unchecked };
    assert_eq!(
        [1, 2, 5, 255].map(|passes| wait(Condemned { passes, ..discerning }, 30, none)),
        [40, 80, 640, 3600],
        "it has passed where others were refused, and was refused again before it served"
    );
    let suspect = Condemned { suspected: true, ..fresh };
    assert_eq!([5, 60, 900].map(|out_for| wait(suspect, out_for, none)), [10, 30, 45]);
    let passed = |passes| wait(Condemned { passes, ..suspect }, 900, none);
    assert_eq!([1, 4, 20].map(passed), [45, 160, 3600], "everybody may see that list");
    assert_eq!([10, 200, 9000].map(|out_for| wait(served, out_for, none)), [20, 100, 3600]);
    let none_left = &Misgivings { none_left: true, ..Misgivings::default() };
    assert_eq!([10, 60, 9000].map(|out_for| wait(fresh, out_for, none_left)), [20, 30, 45]);
    let mistakes = &Misgivings { since: Some(Instant::now()), ..Misgivings::default() };
    tokio::time::advance(seconds(100)).await;
    assert_eq!([50, 101].map(|out_for| wait(fresh, out_for, mistakes)), [25, 3600]);
    let came_back = Condemned { passes: 1, ..fresh };
    assert_eq!(wait(came_back, 50, mistakes), 3600, "a list that everybody may see proves nothing twice");
    let short = Intervals::of(Some(seconds(5)));
    assert_eq!(short.of_key(&served, none_left), Some(seconds(5)));
    assert_eq!(Intervals::of(None).of_key(&served, none_left), None, "never is never");
}
