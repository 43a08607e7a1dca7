#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use super::*;
use crate::keys::{clock, file};

fn pool(keys: &[&str]) -> (KeyPool, mpsc::UnboundedReceiver<Due>) {
    let policy =
        CooldownPolicy { threshold: 1, first: Duration::from_secs(30), longest: Duration::from_secs(3600) };
    KeyPool::new(table(keys), policy, 0)
}

fn table(keys: &[&str]) -> KeyTable {
    file::parse(keys.join("\n").into_bytes()).unwrap().keys
}

fn cause() -> Cause {
    Cause { rule: "status.429", error: "slow down".into() }
}

fn leased(pool: &KeyPool) -> Option<String> {
    pool.lease(Need::default()).map(|lease| lease.expose().to_owned())
}

const LIMITED: Effect = Effect::Limited { wait: None };

#[test]
fn a_revoked_key_is_never_leased_again() {
    let (pool, _due) = pool(&["a", "b"]);
    assert!(pool.lease(Need::default()).unwrap().fail(Effect::Invalid, cause()));
    for _ in 0..5 {
        assert_eq!(leased(&pool).unwrap(), "b");
    }
    assert_eq!((pool.available(), pool.total()), (1, 2));
    assert_eq!(pool.earliest_return(), Some(Duration::ZERO));
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
    pool.lease(Need::default()).unwrap().succeed();
    pool.lease(Need::default())
        .unwrap()
        .fail(Effect::Limited { wait: Some(Duration::from_secs(60)) }, cause());
    pool.lease(Need::default())
        .unwrap()
        .fail(Effect::Invalid, Cause { rule: "status.401", error: "revoked".into() });
    let entries = pool.blacklisted();
    let [limited, invalid] = entries.as_slice() else { panic!("two keys are out") };
    assert_eq!((limited.index, limited.preview.as_str()), (1, "sk-bbbbb...bbbb"));
    assert_eq!((limited.reason, limited.permanent, limited.fail_count), ("key_limited", false, 1));
    let wait = limited.recovers_at.unwrap().duration_since(limited.blacklist_at).unwrap();
    assert!(wait > Duration::from_secs(59) && wait < Duration::from_secs(61));
    assert_eq!((invalid.reason, invalid.permanent, invalid.recovers_at), ("key_invalid", true, None));
    assert_eq!((invalid.rule, &*invalid.last_error), ("status.401", "revoked"));
}

#[test]
fn a_reload_keeps_the_state_of_keys_that_stay_wherever_they_moved() {
    let (pool, _due) = pool(&["a", "b", "c"]);
    pool.lease(Need::default()).unwrap().fail(Effect::Invalid, cause());
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
    assert!(on_a.fail(Effect::Invalid, cause()));
    assert!(!on_b.fail(Effect::Invalid, cause()), "a removed key leaves no ghost");
    assert_eq!(pool.blacklisted().iter().map(|entry| entry.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_reset_clears_every_state_and_late_verdicts_do_not_bring_it_back() {
    let (pool, _due) = pool(&["a", "b"]);
    pool.lease(Need::default()).unwrap().fail(Effect::Invalid, cause());
    let late = pool.lease(Need::default()).unwrap();
    pool.replace(table(&["a", "b"]), States::Clear);
    assert!(!late.fail(Effect::Invalid, cause()));
    assert_eq!(pool.available(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_ends_on_time_and_not_before() {
    let (pool, due) = pool(&["a", "b"]);
    let test = async {
        pool.lease(Need::default())
            .unwrap()
            .fail(Effect::Limited { wait: Some(Duration::from_secs(5)) }, cause());
        pool.lease(Need::default())
            .unwrap()
            .fail(Effect::Limited { wait: Some(Duration::from_secs(9)) }, cause());
        assert_eq!(pool.earliest_return(), Some(Duration::from_secs(5)));
        assert!(pool.lease(Need::default()).is_none());
        tokio::time::sleep(Duration::from_millis(4_990)).await;
        assert_eq!(pool.available(), 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(leased(&pool).unwrap(), "a");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(pool.available(), 2);
        // The next failure in a row lasts longer than the first would.
        pool.lease(Need::default()).unwrap().fail(LIMITED, cause());
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
        let second = pool.lease(Need { not: &[1] }).unwrap();
        first.fail(Effect::Limited { wait: Some(Duration::from_secs(5)) }, cause());
        assert!(!second.fail(Effect::Limited { wait: Some(Duration::from_secs(60)) }, cause()));
        pool.replace(table(&["b", "a"]), States::Keep);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(pool.available(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pool.available(), 2);
    };
    tokio::select! { () = clock::run(&pool, due) => unreachable!(), () = test => {} }
}
