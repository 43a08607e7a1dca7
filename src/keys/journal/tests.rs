//! Files are made, damaged and read; nothing that was not written is ever restored.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test's helpers")]

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::super::file::{self, KeyTable};
use super::super::{Blacklisted, Cause, CooldownPolicy, Effect, PoolPolicy, Remains, Service};
use super::record::Hash;
use super::*;

const KEYS: [&str; 4] =
    ["sk-test-aaaaaaaaaaaa-0001", "sk-test-bbbbbbbbbbbb-0002", "sk-test-cccccccccccc-0003", "sk-test-d"];
const URL: &str = "https://one.example/v1";

fn table(keys: &[&str]) -> KeyTable {
    file::parse(keys.join("\n").into_bytes()).unwrap().keys
}

fn pool(keys: &[&str]) -> KeyPool {
    let cooldown =
        CooldownPolicy { threshold: 1, first: Duration::from_secs(30), longest: Duration::from_secs(3600) };
    KeyPool::new(table(keys), PoolPolicy { cooldown, probe_interval: None }, 0, true).0
}

fn out(index: u32, model: Option<&str>, seconds: Option<u64>) -> Blacklisted {
    let now = SystemTime::now();
    Blacklisted {
        index,
        preview: String::new(),
        model: model.map(Box::from),
        effect: if seconds.is_none() { Effect::Invalid } else { Effect::Exhausted { wait: None } },
        permanent: seconds.is_none(),
        blacklist_at: now - Duration::from_secs(60),
        recovers_at: seconds.map(|seconds| now + Duration::from_secs(seconds)),
        fail_count: 3,
        cooldowns: 2,
        cause: Cause {
            rule: "openai.invalid_api_key".into(),
            status: Some(401),
            error: format!("Incorrect key {} ({})", KEYS[0], super::super::secret::preview(KEYS[0])).into(),
            code: Some(format!("invalid_api_key {}", KEYS[0]).into()),
            wait: Some(Duration::from_millis(1500)),
            wait_from: Some("retry-after".into()),
            upstream: Some(1),
            of_credit: true,
        },
    }
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self, keys: &KeyPool) -> Journal {
        let upstreams = vec!["https://zero.example".to_owned(), URL.to_owned()];
        Journal::open(&self.path(), upstreams, keys).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// What a process that starts now knows.
    fn known(&self, keys: &[&str]) -> Vec<(u32, Option<Box<str>>)> {
        let pool = pool(keys);
        self.open(&pool);
        pool.blacklisted().into_iter().map(|told| (told.index, told.model)).collect()
    }
}

#[test]
fn a_restart_knows_who_is_out_and_why() {
    let place = Place::new();
    let before = pool(&KEYS);
    let journal = place.open(&before);
    before.set_aside(&out(0, None, None));
    before.set_aside(&out(1, Some("gpt-4o"), Some(600)));
    before.set_aside(&out(2, None, Some(600)));
    assert!(journal.is_behind(&before));
    journal.write(&before);
    assert!(!journal.is_behind(&before));
    before.restore(2);
    journal.write(&before);

    let after = pool(&[KEYS[2], KEYS[1], KEYS[0]]);
    // The upstreams changed places.
    let upstreams = vec![URL.to_owned()];
    Journal::open(&place.path(), upstreams, &after).unwrap();
    let list = after.blacklisted();
    assert_eq!(
        list.iter().map(|told| (told.index, told.model.as_deref())).collect::<Vec<_>>(),
        [(2, None), (1, Some("gpt-4o"))]
    );
    let (told, was) = (&list[0], &before.blacklisted()[0]);
    assert!(told.permanent && told.recovers_at.is_none());
    assert_eq!((told.effect, told.fail_count, told.cooldowns), (Effect::Invalid, 3, 2));
    assert!(was.blacklist_at.duration_since(told.blacklist_at).unwrap() < Duration::from_millis(2));
    let cause = Cause {
        code: Some("invalid_api_key ****".into()),
        error: "Incorrect key **** ****".into(),
        upstream: Some(0),
        ..was.cause.clone()
    };
    assert_eq!(told.cause, cause);
    let left = list[1].recovers_at.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(590) && left <= Duration::from_secs(600), "{left:?}");
    assert_eq!(after.available(), 2);
}

#[test]
fn the_file_is_the_owners_and_tells_no_key() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    keys.set_aside(&out(0, None, None));
    journal.write(&keys);
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let text = place.text();
    assert_eq!(text.lines().count(), 2);
    // The bare digits may be in a checksum.
    assert!(["sk-test", "-0001", ".0001"].iter().all(|part| !text.contains(part)), "{text}");
    let other = Place::new();
    let journal = other.open(&keys);
    drop(journal);
    let hash = |text: &str| text.lines().nth(1).unwrap().split('"').nth(3).unwrap().to_owned();
    assert_ne!(hash(&text), hash(&other.text()), "each file has a salt of its own");
}

#[test]
fn what_is_over_is_dropped_and_the_clock_is_not_believed_too_much() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    keys.set_aside(&out(0, None, Some(1)));
    keys.set_aside(&out(1, None, Some(400 * 24 * 3600)));
    journal.write(&keys);
    std::thread::sleep(Duration::from_millis(1100));
    let after = pool(&KEYS);
    place.open(&after);
    let list = after.blacklisted();
    assert_eq!(list.len(), 1);
    let left = list[0].recovers_at.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left <= Duration::from_secs(24 * 3600), "{left:?}");
}

#[test]
fn a_key_that_leaves_and_comes_back_in_time_keeps_its_state() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    keys.set_aside(&out(0, None, Some(600)));
    keys.set_aside(&out(0, Some("gpt-4o"), Some(600)));
    keys.set_aside(&out(1, None, None));
    // Not even written yet.
    journal.replace(&keys, table(&KEYS[2..]), States::Keep);
    assert!(keys.blacklisted().is_empty());
    // Over a restart too.
    assert!(place.known(&KEYS[3..]).is_empty());
    journal.replace(&keys, table(&KEYS), States::Keep);
    assert_eq!(keys.blacklisted().len(), 3);
    assert_eq!(place.known(&KEYS).len(), 3);
}

#[test]
fn a_reset_leaves_nothing_to_come_back() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    keys.set_aside(&out(0, None, None));
    journal.write(&keys);
    journal.replace(&keys, table(&KEYS[1..]), States::Keep);
    keys.set_aside(&out(0, None, None));
    journal.replace(&keys, table(&KEYS), States::Clear);
    assert!(keys.blacklisted().is_empty());
    assert_eq!(place.text().lines().count(), 1, "the reset is on the disk when it is answered");
    journal.write(&keys);
    assert!(place.known(&KEYS).is_empty());
}

#[test]
fn a_storm_outlives_a_restart_and_a_reload_and_one_good_key_ends_it() {
    let place = Place::new();
    let before = pool(&KEYS);
    let journal = place.open(&before);
    for index in 0..3 {
        before.set_aside(&Blacklisted { effect: Effect::Suspected, ..out(index, None, Some(600)) });
    }
    journal.write(&before);
    let after = pool(&KEYS);
    let journal = place.open(&after);
    let turned = [KEYS[3], KEYS[2], KEYS[1], KEYS[0]];
    journal.replace(&after, table(&turned), States::Keep);
    let [(upstream, _, suspects)] = after.storms()[..] else { panic!("no storm") };
    assert_eq!((upstream, suspects, after.available()), (1, 3, 1));
    assert!(after.probe_key(2).unwrap().succeed(None, 1, Service::Paid, Remains::default()).ended_storm);
    assert_eq!(after.available(), 4);
    journal.write(&after);
    assert!(place.known(&KEYS).is_empty());
}

#[test]
fn it_stays_small() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    let mut most = 0;
    for _ in 0..3 * SLACK {
        keys.set_aside(&out(0, None, Some(600)));
        keys.restore(0);
        keys.set_aside(&out(1, None, None));
        journal.write(&keys);
        most = most.max(journal.lock().lines);
    }
    assert!(most > SLACK && most < SLACK + 10, "{most}");
    assert_eq!(place.known(&KEYS), [(1, None)]);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_damaged_tail_dropped() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let journal = place.open(&keys);
    keys.set_aside(&out(0, None, None));
    journal.write(&keys);
    keys.set_aside(&out(1, None, None));
    journal.write(&keys);
    let whole = place.text();
    fs::write(place.path(), &whole[..whole.len() - 20]).unwrap();
    assert_eq!(place.known(&KEYS), [(0, None)]);
    fs::write(place.path(), "KEYS_FILE=keys.txt\n").unwrap();
    assert!(place.known(&KEYS).is_empty());
    let aside = place.folder.path().join("state.damaged");
    assert_eq!(fs::read_to_string(aside).unwrap(), "KEYS_FILE=keys.txt\n");
}

#[test]
fn what_cannot_be_written_is_told_at_the_start_and_tried_again_later() {
    let place = Place::new();
    let keys = pool(&KEYS);
    let missing = place.folder.path().join("missing/state");
    let error = Journal::open(&missing, vec![], &keys).map(drop).unwrap_err().to_string();
    assert!(error.starts_with(&format!("STATE_FILE: {}: can't be written", missing.display())), "{error}");
    let journal = place.open(&keys);
    let elsewhere = place.folder.path().with_extension("gone");
    fs::rename(place.folder.path(), &elsewhere).unwrap();
    journal.lock().file = None;
    keys.set_aside(&out(0, None, None));
    journal.write(&keys);
    assert!(journal.is_behind(&keys) && !keys.has_changes());
    fs::rename(&elsewhere, place.folder.path()).unwrap();
    journal.lock().retry_at = Some(Instant::now());
    journal.write(&keys);
    assert!(!journal.is_behind(&keys));
    assert_eq!(place.known(&KEYS), [(0, None)]);
}

#[test]
fn what_is_no_regular_file_is_not_replaced() {
    let place = Place::new();
    let path = place.folder.path().join("device");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = Journal::open(&path, vec![], &pool(&KEYS)).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("it is no regular file") && !path.is_file(), "{error}");
}

#[test]
fn of_two_processes_that_share_the_file_for_a_while_none_writes_where_nobody_reads() {
    let place = Place::new();
    let (old, new) = (pool(&KEYS), pool(&KEYS));
    let ending = place.open(&old);
    old.set_aside(&out(0, None, None));
    ending.write(&old);
    let staying = place.open(&new);
    let known = |at: &Place| at.known(&KEYS).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
    old.set_aside(&out(1, None, None));
    ending.write(&old);
    assert_eq!(known(&place), [0, 1]);
    new.set_aside(&out(2, None, None));
    staying.write(&new);
    assert_eq!(known(&place), [0, 2]);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1, "nothing is left lying about");
}

#[test]
fn who_ends_adds_what_it_learns_to_the_file_of_who_has_taken_its_place() {
    let place = Place::new();
    let (old, new) = (pool(&KEYS), pool(&KEYS));
    let ending = place.open(&old);
    let staying = place.open(&new);
    new.set_aside(&out(2, None, None));
    staying.write(&new);
    ending.leave();
    old.set_aside(&out(1, None, None));
    ending.write(&old);
    new.set_aside(&out(3, None, None));
    staying.write(&new);
    assert_eq!(place.known(&KEYS), [(1, None), (2, None), (3, None)]);
    // Unless it can't be read there.
    fs::write(place.path(), Salt::random().unwrap().header()).unwrap();
    old.set_aside(&out(0, None, None));
    ending.lock().file = Some(tempfile::tempfile().unwrap());
    ending.write(&old);
    assert_eq!(place.known(&KEYS), [(0, None), (1, None)]);
}

type Stood = (Hash, Option<Box<str>>, Out);

/// A file with many kinds of record, and all that stands or ever stood in it.
fn written() -> (Vec<u8>, Vec<Stood>) {
    let salt = Salt::random().unwrap();
    let (mut bytes, mut all) = (salt.header().into_bytes(), Vec::new());
    for round in 0..3_u64 {
        for (index, key) in (0..).zip(KEYS) {
            let model = (index % 2 == 1).then(|| Box::from("gpt-4o \"\n…"));
            let told = out(index, None, (index > 0).then_some(100 + round));
            let out = (round != 1 || index != 2).then(|| Out::of(&told, key, &[]));
            let record = Record { key: salt.hash(key), model, out };
            salt.write(&record, &mut bytes).unwrap();
            all.extend(record.out.map(|out| (record.key, record.model, out)));
        }
    }
    (bytes, all)
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            (place(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
            place().prop_map(Self::Cut),
            (place(), 1..300_usize).prop_map(|(at, length)| Self::Drop(at, length)),
            (place(), prop::collection::vec(any::<u8>(), 1..50))
                .prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (place(), 1..600_usize).prop_map(|(at, length)| Self::Repeat(at, length)),
        ]
    }

    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let end = |at: usize, length: usize| (at + length).min(len);
        match self {
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::Cut(at) => bytes.truncate(at.index(len)),
            Self::Drop(at, length) => drop(bytes.drain(at.index(len)..end(at.index(len), *length))),
            Self::Insert(at, more) => drop(bytes.splice(at.index(len)..at.index(len), more.iter().copied())),
            Self::Repeat(at, length) => {
                let again = bytes[at.index(len)..end(at.index(len), *length)].to_vec();
                bytes.extend(again);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_damaged_file_never_restores_what_was_not_written(damage in prop::collection::vec(Damage::any(), 1..6)) {
        let (mut bytes, all) = written();
        for damage in &damage {
            damage.done_to(&mut bytes);
        }
        let contents = Contents::read(bytes.as_slice()).unwrap();
        for (key, of_key) in contents.map(|contents| contents.records).unwrap_or_default() {
            for (model, out) in of_key {
                prop_assert!(all.contains(&(key, model, out)));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), headed: bool) {
        let place = Place::new();
        let header = if headed { Salt::random().unwrap().header().into_bytes() } else { Vec::new() };
        fs::write(place.path(), [header, bytes].concat()).unwrap();
        prop_assert!(place.known(&KEYS).is_empty());
    }
}

#[test]
fn an_undamaged_file_is_read_whole() {
    let (bytes, all) = written();
    let contents = Contents::read(bytes.as_slice()).unwrap().unwrap();
    assert_eq!(contents.damaged, 0);
    assert_eq!(contents.records.values().map(Vec::len).sum::<usize>(), KEYS.len());
    let last = &all[all.len() - KEYS.len()..];
    for (key, model, out) in last {
        assert_eq!(contents.records[key], [(model.clone(), out.clone())]);
    }
}
