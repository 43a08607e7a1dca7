//! Fairness by property tests against a plain model, races by loom (`make loom`).

use super::*;
#[cfg(feature = "loom")]
use crate::keys::state::Millis;
use crate::keys::state::Place;

fn out() -> Standing {
    Standing { place: Place::Permanent, ..Standing::FRESH }
}

#[cfg(not(feature = "loom"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn take(rotation: &Rotation) -> Option<usize> {
        rotation.take(&[], None).map(|turn| turn.index as usize)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Lease,
        SetAside(prop::sample::Index),
        Restore(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => Just(Step::Lease),
            2 => any::<prop::sample::Index>().prop_map(Step::SetAside),
            1 => any::<prop::sample::Index>().prop_map(Step::Restore),
        ];
        prop::collection::vec(step, 0..500)
    }

    proptest! {
        /// The model: walk the keys one by one from the cursor.
        #[test]
        fn leases_are_what_a_walk_over_the_keys_would_give(len in 1_usize..300, start in 0_usize..1000, steps in steps()) {
            let rotation = Rotation::new(&vec![Standing::FRESH; len], start, |_| false);
            let mut available = vec![true; len];
            let mut cursor = start % len;
            for step in steps {
                match step {
                    Step::Lease => {
                        let want = (0..len).map(|offset| (cursor + offset) % len).find(|index| available[*index]);
                        cursor = want.map_or(cursor, |index| (index + 1) % len);
                        prop_assert_eq!(take(&rotation), want);
                    }
                    Step::SetAside(at) => {
                        let at = at.index(len);
                        available[at] = false;
                        rotation.change(u32::try_from(at).unwrap(), None, |_| out());
                    }
                    Step::Restore(at) => {
                        let at = at.index(len);
                        available[at] = true;
                        rotation.change(u32::try_from(at).unwrap(), None, |_| Standing::FRESH);
                    }
                }
                prop_assert_eq!(rotation.available(), available.iter().filter(|yes| **yes).count());
            }
        }

        #[test]
        fn over_any_window_two_available_keys_differ_by_at_most_one(
            out_of_rotation in prop::collection::vec(any::<bool>(), 1..400),
            before in 0_usize..500,
            window in 0_usize..2000,
        ) {
            let standings: Vec<Standing> =
                out_of_rotation.iter().map(|yes| if *yes { out() } else { Standing::FRESH }).collect();
            let rotation = Rotation::new(&standings, 0, |_| false);
            for _ in 0..before {
                take(&rotation);
            }
            let mut counts = vec![0_usize; standings.len()];
            for _ in 0..window {
                if let Some(index) = take(&rotation) {
                    counts[index] += 1;
                }
            }
            let of_available: Vec<usize> =
                counts.iter().zip(&out_of_rotation).filter(|(_, out)| !**out).map(|(count, _)| *count).collect();
            if let (Some(most), Some(least)) = (of_available.iter().max(), of_available.iter().min()) {
                prop_assert!(most - least <= 1, "{:?}", of_available);
            }
            for (count, out) in counts.iter().zip(&out_of_rotation) {
                prop_assert!(!*out || *count == 0);
            }
        }

        #[test]
        fn a_need_is_met_or_nothing_is_leased(len in 1_usize..100, tried in prop::collection::vec(0_u32..100, 0..120)) {
            let rotation = Rotation::new(&vec![Standing::FRESH; len], 0, |_| false);
            let free = (0..u32::try_from(len).unwrap()).any(|index| !tried.contains(&index));
            match rotation.take(&tried, None) {
                Some(turn) => prop_assert!(!tried.contains(&turn.index)),
                None => prop_assert!(!free),
            }
        }
    }

    #[test]
    fn threads_together_are_as_fair_as_one() {
        let rotation = Rotation::new(&[Standing::FRESH; 7], 3, |_| false);
        let counts: Vec<AtomicU64> = (0..7).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..7_000 {
                        counts[take(&rotation).unwrap()].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 4_000));
    }

    #[test]
    fn a_lap_ends_once() {
        let rotation = Rotation::new(&[Standing::FRESH; 3], 1, |_| false);
        let laps: Vec<bool> = (0..7).map(|_| rotation.take(&[], None).unwrap().ends_lap).collect();
        assert_eq!(laps, [false, true, false, false, true, false, false]);
    }
}

#[cfg(feature = "loom")]
mod races {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn cooling(until: u64) -> Standing {
        Standing { place: Place::Cooldown(Millis(until)), ..Standing::FRESH }
    }

    /// 65 keys: two leaves under a root, so that summary bits are at stake.
    fn wide(available: impl Fn(usize) -> bool) -> Arc<Rotation> {
        let standings: Vec<Standing> =
            (0..65).map(|index| if available(index) { Standing::FRESH } else { out() }).collect();
        Arc::new(Rotation::new(&standings, 0, |_| false))
    }

    fn leased(rotation: &Rotation) -> Option<u32> {
        rotation.take(&[], None).map(|turn| turn.index)
    }

    #[test]
    fn loom_a_key_set_while_its_neighbour_is_cleared_stays_visible() {
        loom::model(|| {
            let rotation = wide(|index| index == 0);
            let clearing = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || rotation.change(0, None, |_| out()))
            };
            rotation.change(1, None, |_| Standing::FRESH);
            // Seen by the very next lease, even while the other thread is between clear and look-again.
            assert!(matches!(leased(&rotation), Some(0 | 1)));
            clearing.join().unwrap();
            assert_eq!(rotation.available.next(0), Some(1));
            assert_eq!(rotation.available(), 1);
        });
    }

    #[test]
    fn loom_a_cooldown_that_ends_while_it_is_set_does_not_lose_the_key() {
        loom::model(|| {
            let rotation = wide(|index| index == 64);
            let ending = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || rotation.change(64, None, |standing| standing.at(Millis(5))))
            };
            rotation.change(64, None, |_| cooling(5));
            ending.join().unwrap();
            let available = rotation.standing(64).is_available();
            assert_eq!(rotation.available.next(0).is_some(), available);
            assert_eq!(leased(&rotation).is_some(), available);
            assert_eq!(rotation.available(), usize::from(available));
        });
    }

    #[test]
    fn loom_two_leases_never_take_the_same_turn() {
        loom::model(|| {
            let rotation = wide(|index| index == 3 || index == 64);
            let other = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || leased(&rotation))
            };
            let mine = leased(&rotation);
            let theirs = other.join().unwrap();
            assert_ne!(mine, theirs);
            assert!(mine.is_some() && theirs.is_some());
        });
    }

    #[test]
    fn loom_two_who_take_busy_keys_take_different_ones() {
        loom::model(|| {
            let rotation = wide(|index| index == 3 || index == 64);
            for index in [3, 64] {
                rotation.ration(index).set(1);
                rotation.ration(index).exceed();
                rotation.show(index, None);
            }
            let busy = |rotation: &Rotation| rotation.take_busy(&[]).map(|turn| turn.index);
            let other = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || busy(&rotation))
            };
            let mine = busy(&rotation);
            assert_ne!(mine, other.join().unwrap());
        });
    }

    #[test]
    fn loom_no_more_keys_are_counted_than_there_are() {
        loom::model(|| {
            let rotation = wide(|_| false);
            let taking_out = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || rotation.available.clear(64))
            };
            let counting = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || assert!(rotation.serving() <= 1))
            };
            rotation.available.set(64);
            taking_out.join().unwrap();
            counting.join().unwrap();
        });
    }

    #[test]
    fn loom_a_key_set_aside_is_seen_by_the_next_lease() {
        loom::model(|| {
            let rotation = wide(|index| index < 2);
            let leasing = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || leased(&rotation))
            };
            rotation.change(0, None, |_| out());
            assert_eq!(leased(&rotation), Some(1));
            leasing.join().unwrap();
        });
    }

    #[test]
    fn loom_a_ration_of_one_is_taken_by_one_and_the_key_comes_back() {
        // The whole space takes hours: every schedule with up to two preemptions.
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(2);
        bounded.check(|| {
            let rotation = wide(|index| index == 64);
            rotation.ration(64).set(1);
            let give_back = |rotation: &Rotation| {
                let turn = rotation.take(&[], None)?;
                rotation.ration(turn.index).leave();
                rotation.show(turn.index, None);
                Some(turn.index)
            };
            let other = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || give_back(&rotation))
            };
            let mine = give_back(&rotation);
            let theirs = other.join().unwrap();
            assert!(mine.is_some() || theirs.is_some());
            assert_eq!((rotation.available(), rotation.busy()), (1, 0));
            assert_eq!(leased(&rotation), Some(64));
        });
    }
}
