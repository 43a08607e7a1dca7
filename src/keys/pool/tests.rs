#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use super::*;
use crate::keys::generation::models_max;
use crate::keys::{
    Accuser, Blacklisted, Cause, Effect, Failure, Left, Remains, Replaced, Service, Settled, States, clock,
    file,
};

mod beliefs;
mod coming_back;
mod crowds;
mod denied;
mod foretold;
mod learning;
mod limits;
mod remains;

/// What is left to a key for all models.
fn all(left: Left) -> Remains<'static> {
    of(left, None)
}

fn of(left: Left, model: Option<&str>) -> Remains<'_> {
    Remains { left, model, ..Remains::default() }
}

fn pool(keys: &[&str]) -> (KeyPool, mpsc::UnboundedReceiver<Due>) {
    let cooldown =
        CooldownPolicy { threshold: 1, first: Duration::from_secs(30), longest: Duration::from_secs(3600) };
    let policy = PoolPolicy { cooldown, probe_interval: Some(Duration::from_secs(600)) };
    KeyPool::new(table(keys), policy, 0, true)
}

fn table(keys: &[&str]) -> KeyTable {
    file::parse(keys.join("\n").into_bytes()).unwrap().keys
}

fn failure(effect: Effect) -> Failure<'static> {
    let cause = Cause { rule: "status.429".into(), error: "slow down".into(), ..Cause::default() };
    Failure { cause, ..effect.into() }
}

fn for_model(model: &str, effect: Effect) -> Failure<'_> {
    Failure { model: Some(model), ..failure(effect) }
}

fn told(seconds: u64) -> Effect {
    Effect::Limited { wait: Some(Duration::from_secs(seconds)) }
}

fn lease_for<'a>(pool: &'a KeyPool, model: &str) -> Option<Lease<'a>> {
    pool.lease(Need { model: Some(model), not: &[] })
}

fn leased(pool: &KeyPool) -> Option<String> {
    pool.lease(Need::default()).map(|lease| lease.expose().to_owned())
}

const LIMITED: Effect = Effect::Limited { wait: None };

#[test]
fn a_revoked_key_is_never_leased_again() {
    let (pool, _due) = pool(&["a", "b"]);
    assert_eq!(
        pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid)),
        Settled::Out(Effect::Invalid)
    );
    for _ in 0..5 {
        assert_eq!(leased(&pool).unwrap(), "b");
    }
    assert_eq!((pool.available(), pool.total()), (1, 2));
    assert_eq!(pool.earliest_return(None), Some(Duration::ZERO));
}

#[test]
fn a_proven_key_is_one_that_served_and_is_available_and_untried() {
    let (pool, _due) = pool(&["a", "b", "c", "d"]);
    let proven = |need| pool.lease_proven(need).map(|lease| lease.expose().to_owned());
    assert_eq!(proven(Need::default()), None, "nobody has served yet");
    for _ in 0..2 {
        pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, Remains::default());
    }
    assert_eq!(proven(Need::default()).as_deref(), Some("b"), "the latest");
    assert_eq!(proven(Need { not: &[1], model: None }).as_deref(), Some("a"));
    assert_eq!(proven(Need { not: &[0, 1], model: None }), None);
    assert_eq!(leased(&pool).as_deref(), Some("c"), "it was out of turn");
    pool.probe_key(1).unwrap().fail(for_model("m", Effect::Denied));
    assert_eq!(proven(Need { not: &[], model: Some("m") }).as_deref(), Some("a"));
    pool.probe_key(0).unwrap().fail(failure(Effect::Invalid));
    assert_eq!(proven(Need { not: &[], model: Some("m") }), None);
    assert_eq!(proven(Need::default()).as_deref(), Some("b"));
}

#[test]
fn of_the_keys_that_served_a_model_one_that_is_free_is_likely_and_the_latest_of_all_is_proven() {
    let (pool, _due) = pool(&["a", "b", "c", "d", "e"]);
    for index in [0, 2, 3] {
        pool.probe_key(index).unwrap().succeed(Some("m"), 0, Service::Paid, Remains::default());
    }
    for index in [1, 4] {
        pool.probe_key(index).unwrap().succeed(Some("other"), 0, Service::Paid, Remains::default());
    }
    let likely = |not: &[u32]| pool.lease_likely(Need { not, model: Some("m") }).map(|lease| lease.index());
    pool.probe_key(0).unwrap().fail(failure(told(60)));
    assert!(matches!(likely(&[]), Some(2 | 3)));
    assert_eq!((likely(&[2]), likely(&[3])), (Some(3), Some(2)));
    pool.probe_key(2).unwrap().fail(for_model("m", told(60)));
    assert_eq!((likely(&[]), likely(&[3])), (Some(3), None));
    let proven = |not: &[u32]| pool.lease_proven(Need { not, model: Some("m") }).map(|lease| lease.index());
    assert_eq!(proven(&[]), Some(4), "keys that fail are as often side by side as those that served a model");
}

#[test]
fn a_key_that_may_be_no_good_proves_nothing_until_it_has_served_again() {
    let (pool, _due) = pool(&["a", "b"]);
    let serve = |index| {
        pool.probe_key(index).unwrap().succeed(Some("m"), 0, Service::Paid, Remains::default()).ended_storm
    };
    assert_eq!([0, 1].map(serve), [false; 2]);
    let proven = |not: &[u32]| pool.lease_proven(Need { not, model: None }).map(|lease| lease.index());
    pool.probe_key(0).unwrap().doubt();
    assert!(!pool.probe_key(1).unwrap().is_refused_by_all(0, &[0, 1], None));
    assert_eq!(proven(&[]), None);
    serve(0);
    assert_eq!(proven(&[]), Some(0));
    pool.replace(table(&["b", "a"]), States::Keep);
    assert_eq!(proven(&[1]), Some(0), "another key has its place");
    let likely = |not: &[u32]| pool.lease_likely(Need { not, model: Some("m") }).map(|lease| lease.index());
    assert_eq!([likely(&[0]), likely(&[1]), likely(&[0, 1])], [Some(1), Some(0), None]);
}

#[test]
fn another_key_is_leased_and_waited_for_where_the_rest_will_not_do() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    let other = |not: &[u32], never: &[u32]| {
        pool.lease_other(Need { not, model: None }, never).map(|lease| lease.index())
    };
    let may_return = |not: &[u32], seconds| {
        [None, Some("m")].map(|model| pool.others_may_return_within(not, model, Duration::from_secs(seconds)))
    };
    assert_eq!(other(&[0, 1, 2], &[0, 1]), Some(2), "tried, but not in that way");
    assert_eq!((other(&[0, 1, 2], &[0, 1, 2]), may_return(&[0, 1, 2], 60)), (None, [false; 2]));
    assert_eq!(may_return(&[0, 1], 0), [true; 2], "it may be busy");
    pool.probe_key(2).unwrap().fail(failure(told(5)));
    assert_eq!((may_return(&[0, 1], 4), may_return(&[0, 1], 5)), ([false; 2], [true; 2]));
    pool.probe_key(1).unwrap().fail(for_model("m", told(60)));
    assert_eq!((may_return(&[0], 4), may_return(&[0], 5)), ([true, false], [true; 2]));
}

#[test]
fn a_lease_that_is_dropped_blames_nobody() {
    let (pool, _due) = pool(&["a"]);
    for _ in 0..3 {
        drop(pool.lease(Need::default()).unwrap());
    }
    assert_eq!(pool.available(), 1);
    assert!(pool.blacklisted().is_empty());
}

#[test]
fn the_blacklist_tells_the_story() {
    let (pool, _due) = pool(&["sk-aaaaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbbbb", "sk-cccccccccccccccc"]);
    pool.lease(Need::default()).unwrap().succeed(None, 0, Service::Paid, Remains::default());
    pool.lease(Need::default()).unwrap().fail(failure(told(60)));
    pool.lease(Need::default()).unwrap().fail(Failure {
        cause: Cause { rule: "status.401".into(), error: "revoked".into(), ..Cause::default() },
        ..failure(Effect::Invalid)
    });
    let entries = pool.blacklisted();
    let [limited, invalid] = entries.as_slice() else { panic!("two keys are out") };
    assert_eq!((limited.index, limited.preview.as_str()), (1, "sk-bbbbb...bbbb"));
    assert_eq!((limited.effect.name(), limited.permanent, limited.fail_count), ("key_limited", false, 1));
    let wait = limited.recovers_at.unwrap().duration_since(limited.blacklist_at).unwrap();
    assert!(wait > Duration::from_secs(59) && wait < Duration::from_secs(61));
    assert_eq!((invalid.effect.name(), invalid.permanent, invalid.recovers_at), ("key_invalid", true, None));
    assert_eq!((&*invalid.cause.rule, &*invalid.cause.error), ("status.401", "revoked"));
}

#[test]
fn a_late_word_that_changes_nothing_leaves_the_key_out_for_what_it_was_out_for() {
    let quota = Effect::Exhausted { wait: Some(Duration::from_secs(80_000)) };
    for first in [Effect::Invalid, quota] {
        for late in [LIMITED, told(20), Effect::Exhausted { wait: None }] {
            let (pool, _due) = pool(&["a"]);
            let [one, two, three] = [(); 3].map(|()| pool.lease(Need::default()).unwrap());
            one.fail(failure(first));
            assert_eq!(two.fail(failure(late)), Settled::Noted);
            let wait = Duration::from_secs(20);
            three.succeed(None, 0, Service::Paid, all(Left::Nothing { wait, from: "header" }));
            assert_eq!(pool.blacklisted()[0].effect, first, "{late:?}");
            assert_eq!(pool.condemned().len(), usize::from(first == Effect::Invalid), "it is checked again");
        }
    }
}

#[test]
fn a_reload_keeps_the_state_of_keys_that_stay_wherever_they_moved() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
    let done = pool.replace(table(&["new", "c", "a"]), States::Keep);
    assert_eq!(done, Replaced { added: 1, removed: 1 });
    assert_eq!(pool.blacklisted().iter().map(|entry| entry.index).collect::<Vec<_>>(), [2]);
    // "b" had the next turn and is gone: from the top.
    assert_eq!(["new", "c", "new"].map(|_| leased(&pool).unwrap()), ["new", "c", "new"]);
}

#[test]
fn the_turn_survives_a_reload() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    leased(&pool);
    pool.replace(table(&["c", "b", "a"]), States::Keep);
    assert_eq!(leased(&pool).unwrap(), "b");
}

#[test]
fn a_lease_from_before_a_reload_is_settled_where_its_key_stands_now() {
    let (pool, _due) = pool(&["a", "b"]);
    let on_a = pool.lease(Need::default()).unwrap();
    let on_b = pool.lease(Need::default()).unwrap();
    pool.replace(table(&["x", "a"]), States::Keep);
    assert_eq!(on_a.fail(failure(Effect::Invalid)), Settled::Out(Effect::Invalid));
    assert_eq!(on_b.fail(failure(Effect::Invalid)), Settled::Noted, "a removed key leaves no ghost");
    assert_eq!(pool.blacklisted().iter().map(|entry| entry.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_reset_clears_every_state_and_late_verdicts_do_not_bring_it_back() {
    let (pool, _due) = pool(&["a", "b"]);
    pool.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
    let late = pool.lease(Need::default()).unwrap();
    pool.replace(table(&["a", "b"]), States::Clear);
    assert_eq!(late.fail(failure(Effect::Invalid)), Settled::Noted);
    assert_eq!(pool.available(), 2);
}

#[test]
fn what_hides_keys_in_an_answer_that_goes_on_keeps_nothing_of_how_keys_stood_before_a_reload() {
    const KEY: &str = "sk-one-that-is-no-more";
    let (pool, _due) = pool(&[KEY]);
    let before = Arc::downgrade(&pool.generation.load_full());
    let hider = pool.lease(Need::default()).unwrap().hider();
    pool.replace(table(&["b"]), States::Keep);
    assert!(before.upgrade().is_none());
    let text = format!("error: {KEY}");
    assert_eq!(hider.quoted(text.as_bytes()).first(), Some(&(7..text.len())));
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_ends_on_time_and_not_before() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(5)));
        pool.lease(Need::default()).unwrap().fail(failure(told(9)));
        assert_eq!(pool.earliest_return(None), Some(Duration::from_secs(5)));
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_millis(4_990)).await;
        assert_eq!(pool.available(), 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(leased(&pool).unwrap(), "a");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(pool.available(), 2);
        // The next failure in a row lasts longer than the first would.
        pool.lease(Need::default()).unwrap().fail(failure(LIMITED));
        let wait = pool.blacklisted()[0].recovers_at.unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(wait > Duration::from_secs(47), "{wait:?}");
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_that_was_prolonged_ends_at_the_later_time_also_after_a_reload() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        let first = pool.lease(Need::default()).unwrap();
        let second = pool.lease(Need { not: &[1], model: None }).unwrap();
        first.fail(failure(told(5)));
        assert_eq!(second.fail(failure(told(60))), Settled::Noted);
        pool.replace(table(&["b", "a"]), States::Keep);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(pool.available(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pool.available(), 2);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_asked_for_too_much_again_and_again_is_passed_over_for_some_seconds_where_there_are_others()
 {
    for model in [None, Some("m")] {
        let (pool, due) = pool(&["a", "b"]);
        let need = Need { not: &[], model };
        let refuse = || {
            let effect = Effect::TooLittle;
            let settled = pool.probe_key(0).unwrap().fail(Failure { model, ..failure(effect) });
            assert_eq!((settled, pool.available()), (Settled::Noted, 2));
        };
        let taken = |turns: u32| {
            let leased = (0..turns).map(|_| pool.lease(need).unwrap().index());
            leased.filter(|index| *index == 0).count()
        };
        let test = async {
            for _ in 0..7 {
                refuse();
            }
            assert_eq!(taken(16), 8);
            refuse();
            assert_eq!(taken(90), 10);
            let alone = Need { not: &[1], model };
            assert!((0..90).all(|_| pool.lease(alone).unwrap().index() == 0), "it has no other");
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(taken(90), 45);
            refuse();
            assert_eq!(taken(90), 10, "it is as poor as before");
            let rich = |not: &[u32]| pool.lease_rich(Need { not, model }).map(|lease| lease.index());
            assert_eq!(rich(&[]), None);
            pool.probe_key(1).unwrap().succeed(model, 0, Service::Paid, Remains::default());
            assert_eq!([rich(&[]), rich(&[1])], [Some(1), None]);
            pool.probe_key(0).unwrap().succeed(model, 0, Service::Paid, Remains::default());
            tokio::time::sleep(Duration::from_secs(5)).await;
            refuse();
            assert_eq!(taken(90), 45, "it has served");
        };
        tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
    }
}

#[test]
fn a_key_that_is_limited_for_a_model_serves_the_others() {
    let (pool, _due) = pool(&["a", "b"]);
    let limited = told(60);
    let settled = lease_for(&pool, "big").unwrap().fail(for_model("big", limited));
    assert_eq!(settled, Settled::Out(limited));
    for _ in 0..3 {
        assert_eq!(lease_for(&pool, "big").unwrap().expose(), "b");
    }
    let others = ["small", "small"].map(|model| lease_for(&pool, model).unwrap().expose().to_owned());
    assert_eq!(others, ["b", "a"]);
    let list = pool.blacklisted();
    assert_eq!((list.len(), list[0].model.as_deref(), list[0].index), (1, Some("big"), 0));
    assert_eq!(pool.available(), 2, "it is in rotation");
    // Out for all is out for the model too, and back is back for what it is not out for.
    pool.lease(Need { not: &[0], model: None }).unwrap().fail(failure(told(60)));
    assert!(lease_for(&pool, "big").is_none());
    assert!(lease_for(&pool, "small").is_some());
    pool.restore(1);
    assert_eq!(lease_for(&pool, "big").unwrap().expose(), "b");
}

#[test]
fn a_key_is_set_aside_for_a_new_model_while_the_file_is_read_anew() {
    let (pool, _due) = pool(&["a", "b"]);
    let reload = pool.replacing.lock().unwrap();
    std::thread::scope(|scope| {
        let failing = scope.spawn(|| lease_for(&pool, "big").unwrap().fail(for_model("big", told(60))));
        let began = std::time::Instant::now();
        while !failing.is_finished() && began.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        assert!(failing.is_finished(), "it waits for the reload");
        drop(reload);
    });
}

#[test]
fn a_models_standing_survives_a_reload_and_its_memory_is_bounded() {
    let (pool, _due) = pool(&["a", "b"]);
    lease_for(&pool, "big").unwrap().fail(for_model("big", told(60)));
    pool.replace(table(&["x", "b", "a"]), States::Keep);
    let leased = [(); 4].map(|()| lease_for(&pool, "big").unwrap().expose().to_owned());
    assert!(!leased.contains(&"a".to_owned()), "{leased:?}");
    assert_eq!([3, 500, 50_000, 1_000_000, 100_000_000].map(models_max), [256, 256, 87, 4, 1]);
    for model in 0..600 {
        let model = format!("model-{model}");
        lease_for(&pool, &model).unwrap().fail(for_model(&model, told(60)));
    }
    assert_eq!(pool.blacklisted().len(), models_max(3));
}

#[test]
fn a_key_that_may_not_use_a_model_is_remembered_and_a_model_is_known_once_it_was_served() {
    let (pool, _due) = pool(&["a", "b"]);
    assert!(!pool.has_served("new"));
    lease_for(&pool, "new").unwrap().succeed(Some("new"), 0, Service::Paid, Remains::default());
    let is_denied_to_all = || pool.lease_denied(Need { not: &[], model: Some("new") }).is_some();
    assert!(pool.has_served("new") && !is_denied_to_all());
    lease_for(&pool, "new").unwrap().fail(for_model("new", Effect::Denied));
    assert_eq!([(); 3].map(|()| lease_for(&pool, "new").unwrap().index()), [0; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_back_is_given_more_with_each_success_and_its_full_share_within_ten_seconds() {
    let (pool, due) = pool(&["a"]);
    let test = async {
        pool.lease(Need::default()).unwrap().fail(failure(told(90)));
        tokio::time::sleep(Duration::from_secs(91)).await;
        let first = pool.lease(Need::default()).unwrap();
        assert!(pool.lease(Need::default()).is_none(), "one at a time");
        assert_eq!(pool.available(), 1, "but it is no blacklisted key");
        assert!(pool.lease_busy(Need::default()).is_some(), "and better than none");
        first.succeed(None, 0, Service::Paid, Remains::default());
        let two = [pool.lease(Need::default()), pool.lease(Need::default())];
        assert!(two.iter().all(Option::is_some) && pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_secs(11)).await;
        let many: Vec<_> = (0..100).map(|_| pool.lease(Need::default())).collect();
        assert!(many.iter().all(Option::is_some));
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}

#[test]
fn what_the_journal_tells_is_as_it_was() {
    let (before, _due) = pool(&["sk-aaaaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbbbb"]);
    before.lease(Need::default()).unwrap().fail(failure(Effect::Invalid));
    lease_for(&before, "big").unwrap().fail(for_model("big", told(60)));
    let changes = before.take_changes();
    assert_eq!(changes.len(), 2);
    let (after, _due) = pool(&["sk-aaaaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbbbb"]);
    for changed in &changes {
        after.set_aside(&before.blacklisted_key(changed).unwrap());
    }
    let shown = |pool: &KeyPool| -> Vec<String> {
        let line = |key: &Blacklisted| {
            format!("{} {:?} {:?} {} {:?}", key.index, key.model, key.effect, key.fail_count, key.cause)
        };
        pool.blacklisted().iter().map(line).collect()
    };
    assert_eq!(shown(&after), shown(&before));
    assert!(lease_for(&after, "big").is_none());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// What a lease on a key comes to; none: nothing that is about the key.
    fn endings() -> impl Strategy<Value = Option<Effect>> {
        let wait = || (1..5000_u64).prop_map(|seconds| Some(Duration::from_secs(seconds)));
        prop_oneof![
            6 => Just(None),
            3 => Just(Some(Effect::Success)),
            1 => wait().prop_map(|wait| Some(Effect::Limited { wait })),
            1 => wait().prop_map(|wait| Some(Effect::Exhausted { wait })),
            1 => Just(Some(LIMITED)),
            1 => Just(Some(Effect::Invalid)),
        ]
    }

    type Stands = (u32, Option<Box<str>>, Effect, bool, u32, u32);

    /// Where every key stands after leases on these keys, for these models, have ended so.
    fn stand(endings: &[(u32, bool, Option<Effect>)]) -> Vec<Stands> {
        let (pool, _due) = pool(&["a", "b", "c", "d"]);
        for (key, for_model, ending) in endings {
            let not: Vec<u32> = (0..4).filter(|other| other != key).collect();
            let model = for_model.then_some("gpt-4o");
            let Some(lease) = pool.lease(Need { not: &not, model }).filter(|lease| lease.index() == *key)
            else {
                continue;
            };
            match ending {
                None => drop(lease),
                Some(Effect::Success) => {
                    let _ = lease.succeed(model, 0, Service::Paid, Remains::default());
                }
                Some(effect) => drop(lease.fail(Failure { model, ..failure(*effect) })),
            }
        }
        let stands = |entry: Blacklisted| {
            (entry.index, entry.model, entry.effect, entry.permanent, entry.fail_count, entry.cooldowns)
        };
        pool.blacklisted().into_iter().map(stands).collect()
    }

    proptest! {
        #[test]
        fn what_is_not_a_keys_fault_leaves_no_trace(
            all in prop::collection::vec((0..4_u32, any::<bool>(), endings()), 0..40),
        ) {
            let told: Vec<_> = all.iter().filter(|(_, _, ending)| ending.is_some()).copied().collect();
            prop_assert_eq!(stand(&all), stand(&told));
            let nothing: Vec<_> = all.iter().map(|(key, model, _)| (*key, *model, None)).collect();
            prop_assert_eq!(stand(&nothing), vec![]);
        }
    }
}
