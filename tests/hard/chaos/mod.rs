//! Half an hour of bad luck in a minute and a half: a provider that fails in every way, keys that come, go, expire and
//! run into limits, SIGHUP, resets, `kill -9`, slow clients and clients that leave, all at once. Then everything has to add
//! up: at the clients, in the log, in the counters, at the provider, in memory.
//!
//! `CHAOS_SECONDS` makes it longer; `CHAOS_SEED` deals other cards (who meets whom when is the scheduler's all the same).

mod books;
mod client;

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use mock_provider::{Mock, Options, Play};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use self::books::Books;
use self::client::{What, World};
use crate::outcome;
use crate::support::{GptLoad, Launch, TOKEN, direct, eventually};

const CLIENTS: u64 = 12;
/// Keys at most, over the whole run.
const KEYS: usize = 500;
/// Keys at any one time.
const FEWEST: usize = 12;
const MOST: usize = 24;
/// What the provider plays for all keys at times.
const PHASES: [&str; 16] = [
    "fails 500",
    "fails 503",
    "fails 529",
    "flapping 3",
    "flapping 2 fails 503",
    "resetting before_head",
    "resetting after_head",
    "resetting mid_body",
    "dying 0",
    "dying 5",
    "stall",
    "garbage",
    "wrong_length",
    "first_event_error",
    "envelope",
    "slow 300ms",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Everything that there is, and the hand that moves it.
struct Chaos {
    rng: Rng,
    mock: Mock,
    folder: TempDir,
    address: SocketAddr,
    all_keys: Vec<String>,
    /// How many of them have been in the file so far.
    used: usize,
    present: Vec<String>,
    revoked: HashSet<String>,
    world: Arc<World>,
    books: Books,
    done: HashMap<&'static str, u32>,
}

#[test]
#[ignore = "long: make test-hard"]
fn everything_adds_up_after_chaos() {
    let (seconds, seed) = (number("CHAOS_SECONDS", 80), number("CHAOS_SEED", 5));
    println!("CHAOS_SECONDS={seconds} CHAOS_SEED={seed}");
    let mut chaos = Chaos::new(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for client in 0..CLIENTS {
        let world = Arc::clone(&chaos.world);
        let seed = chaos.rng.u64(..);
        runtime.spawn(async move { client::run(&world, seed, client % 3 == 0).await });
    }
    let span = |share: u64| Duration::from_secs(seconds) * u32::try_from(share).unwrap() / 8;
    // Two lives that end by kill -9.
    let mut gpt_load = chaos.launch().start();
    for _ in 0..2 {
        chaos.rage(&gpt_load, span(1));
        gpt_load = chaos.killed_and_restarted(gpt_load);
    }
    // And one in which nothing may be left over: what it holds after some chaos is what it holds after as much again.
    let held: Vec<Held> = (0..4)
        .map(|_| {
            chaos.rage(&gpt_load, span(3) / 2);
            chaos.quiet(&gpt_load)
        })
        .collect();
    let descriptors: Vec<usize> = held.iter().map(|held| held.descriptors).collect();
    assert!(descriptors.iter().all(|count| *count == descriptors[0]), "descriptors: {descriptors:?}");
    let memory: Vec<u64> = held.iter().map(|held| held.memory).collect();
    // The allocator gives back when it likes: what leaks is more each time, and more at least than at any time before.
    let percent = memory[2].min(memory[3]) * 100 / memory[0].max(memory[1]);
    assert!(percent <= 110, "memory: {memory:?}");
    chaos.no_key_is_stuck(&gpt_load);
    chaos.books.counters_of_the_last_life(&gpt_load);
    chaos.books.close(&chaos.world, &chaos.mock.seen(), &gpt_load);
    let mut done: Vec<_> = chaos.done.iter().map(|(what, count)| format!("{count} {what}")).collect();
    done.sort();
    outcome(
        &format!("chaos: {seconds} s, seed {seed}, {CLIENTS} clients"),
        format!(
            "{}, with {}; one ending for each, counters add up, {} descriptors again, memory {percent} % ({} MiB)",
            chaos.books.summary(),
            done.join(", "),
            descriptors[0],
            memory[2].min(memory[3]) >> 20
        ),
    );
}

/// What a process holds when nothing runs.
struct Held {
    descriptors: usize,
    memory: u64,
}

impl Held {
    fn by(gpt_load: &GptLoad) -> Self {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", gpt_load.pid())).unwrap().count();
        Self { descriptors, memory: gpt_load.rss() }
    }
}

/// One of the monitoring paths.
fn told(gpt_load: &GptLoad, path: &str) -> Value {
    gpt_load.get(path).bearer(TOKEN).send().json()
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mock = Mock::start(Options { unknown: Play::Valid, remember: 1_000_000, ..Options::default() });
        // The last four letters are shown, and tell them apart.
        let all_keys: Vec<String> = (0..KEYS).map(|n| format!("sk-chaos-of-a-test-{n:06}")).collect();
        let ask = |what: What| {
            let ask = direct(&mock, what.method(), what.path()).bearer(&all_keys[KEYS - 1]).body(what.body());
            let ask = if what.infers() { ask.header("content-type", "application/json") } else { ask };
            (what, ask.send().body)
        };
        let answers = What::ALL.into_iter().map(ask).collect();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let world = World {
            address,
            answers,
            go: watch::Sender::new(false),
            resting: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            ledger: std::sync::Mutex::default(),
            refused: std::sync::Mutex::default(),
        };
        let mut chaos = Self {
            rng: Rng::with_seed(seed),
            mock,
            folder: tempfile::tempdir().unwrap(),
            address,
            used: FEWEST,
            present: all_keys[..FEWEST].to_vec(),
            all_keys,
            revoked: HashSet::new(),
            world: Arc::new(world),
            books: Books::default(),
            done: HashMap::new(),
        };
        chaos.write_keys();
        chaos
    }

    fn keys_file(&self) -> PathBuf {
        self.folder.path().join("the-keys.txt")
    }

    fn launch(&self) -> Launch<'static> {
        let all: Vec<&str> = self.all_keys.iter().map(String::as_str).collect();
        let (keys, state) = (self.keys_file(), self.folder.path().join("state"));
        let (port, url) = (self.address.port().to_string(), self.mock.url());
        let env = [
            ("PORT", port.as_str()),
            ("OPENAI_BASE_URL", &url),
            ("KEYS_FILE", keys.to_str().unwrap()),
            ("STATE_FILE", state.to_str().unwrap()),
            ("AUTH_KEY", TOKEN),
            ("REQUEST_TIMEOUT", "3"),
            ("RESPONSE_TIMEOUT", "1"),
            ("SERVER_WRITE_TIMEOUT", "5"),
            ("IDLE_CONN_TIMEOUT", "1"),
            ("MAX_KEY_WAIT", "1"),
            ("KEY_COOLDOWN", "1"),
            ("KEY_COOLDOWN_MAX", "5"),
        ];
        // All keys, so that it is looked for each of them in everything that is said.
        Launch::new(&env, &all)
    }

    fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// By rename or in place, as editors do.
    fn write_keys(&mut self) {
        let text = self.present.iter().fold(String::new(), |text, key| text + key + "\n");
        if self.rng.bool() {
            let beside = self.folder.path().join("the-keys.new");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(beside, self.keys_file()).unwrap();
        } else {
            std::fs::write(self.keys_file(), text).unwrap();
        }
    }

    /// Clients ask, and one thing after the other happens.
    fn rage(&mut self, gpt_load: &GptLoad, time: Duration) {
        self.world.go.send_replace(true);
        let until = Instant::now() + time;
        while Instant::now() < until {
            match self.rng.u32(0..100) {
                0..30 => {
                    let phase = PHASES[self.rng.usize(..PHASES.len())];
                    self.mock.phase(Some(phase.parse().unwrap()));
                    self.did("faults of the provider");
                }
                30..50 => self.mock.phase(None),
                50..64 => self.change_keys(gpt_load),
                64..74 => self.revoke(),
                74..84 => {
                    let limited = self.rng.usize(..self.present.len());
                    self.mock.play(&self.present[limited], "rate_limited requests=5 per=1s".parse().unwrap());
                    self.did("limited keys");
                }
                84..89 => {
                    gpt_load.signal("HUP");
                    self.did("SIGHUPs");
                }
                89..92 => {
                    assert_eq!(gpt_load.post("/reset-keys").bearer(TOKEN).send().status, 200);
                    self.did("resets");
                }
                _ => self.books.add_up_meanwhile(&told(gpt_load, "/stats")),
            }
            sleep(Duration::from_millis(self.rng.u64(100..500)));
        }
        self.mock.phase(None);
    }

    fn change_keys(&mut self, gpt_load: &GptLoad) {
        let adds = self.present.len() <= FEWEST || (self.present.len() < MOST && self.rng.bool());
        let count = self.rng.usize(1..=3);
        let mut removed = Vec::new();
        if adds {
            self.present.extend_from_slice(&self.all_keys[self.used..self.used + count]);
            self.used += count;
        } else {
            for _ in 0..count {
                removed.push(self.present.swap_remove(self.rng.usize(..self.present.len())));
            }
        }
        self.write_keys();
        if self.rng.bool() {
            gpt_load.signal("HUP");
        }
        let keys = self.present.len();
        eventually("the keys file is read", || gpt_load.told("/health")["total_keys"] == keys);
        self.books.removed(removed);
        self.did(if adds { "times keys added" } else { "times keys removed" });
    }

    fn revoke(&mut self) {
        let key = self.present[self.rng.usize(..self.present.len())].clone();
        let revoked = self.present.iter().filter(|key| self.revoked.contains(*key)).count();
        if revoked < self.present.len() / 4 {
            self.mock.play(&key, Play::Revoked);
            self.revoked.insert(key);
            self.did("revoked keys");
        }
    }

    /// `kill -9` under load: what was blacklisted a second ago is blacklisted still.
    fn killed_and_restarted(&mut self, mut gpt_load: GptLoad) -> GptLoad {
        let permanent = |gpt_load: &GptLoad, age: Duration| -> HashSet<String> {
            let long_ago = jiff::Timestamp::try_from(SystemTime::now() - age).unwrap();
            let list = told(gpt_load, "/blacklist")["blacklisted_keys"].as_array().unwrap().clone();
            let is_old = |key: &Value| {
                key["blacklist_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() <= long_ago
            };
            let old = list.iter().filter(|key| key["permanent"] == true && is_old(key));
            old.map(|key| key["preview"].as_str().unwrap().to_owned()).collect()
        };
        self.mock.phase(None);
        self.revoke();
        let mut before = HashSet::new();
        eventually("a revoked key is known to be one for a second", || {
            before = permanent(&gpt_load, Duration::from_secs(1));
            !before.is_empty()
        });
        self.books.goes_down();
        gpt_load.signal("KILL");
        assert_eq!(gpt_load.ended(), None, "killed");
        self.books.keep_log(&gpt_load);
        drop(gpt_load);
        let next = self.launch().start();
        self.books.is_up();
        let after = permanent(&next, Duration::ZERO);
        assert!(before.is_subset(&after), "forgotten: {:?}", before.difference(&after));
        self.books.survived += before.len();
        self.did("kill -9");
        next
    }

    /// Lets everything come to its end, and says what is held then.
    fn quiet(&self, gpt_load: &GptLoad) -> Held {
        self.world.go.send_replace(false);
        let clients = usize::try_from(CLIENTS).unwrap();
        eventually("the clients rest", || self.world.resting.load(Ordering::SeqCst) == clients);
        eventually("nothing runs and nothing waits", || {
            let metrics = gpt_load.get("/metrics").bearer(TOKEN).send().text();
            let is_zero = |name: &str| metrics.lines().any(|line| line == format!("{name} 0.0"));
            is_zero("gpt_load_requests_in_flight") && is_zero("gpt_load_requests_waiting_for_key")
        });
        let mut held = Held::by(gpt_load);
        let mut still = Instant::now();
        eventually(
            "no connection to the provider is left, and its descriptors stay as they are for a while",
            || {
                let now = Held::by(gpt_load);
                // A check of a revoked key may come at any time, and keeps its connection until that has been idle for long.
                if self.mock.open_connections() != 0 || now.descriptors != held.descriptors {
                    still = Instant::now();
                }
                held = now;
                still.elapsed() > Duration::from_secs(2)
            },
        );
        held
    }

    /// No lease is left over: once all keys are good, each gets its exact share.
    fn no_key_is_stuck(&mut self, gpt_load: &GptLoad) {
        for key in &self.present {
            self.mock.play(key, Play::Valid);
        }
        assert_eq!(gpt_load.post("/reset-keys").bearer(TOKEN).send().status, 200);
        let asked = |chaos: &Self| -> Vec<u64> {
            chaos.present.iter().map(|key| chaos.mock.key(key).asked).collect()
        };
        let before = asked(self);
        for _ in 0..3 * self.present.len() {
            let answer = gpt_load.get("/v1/models").bearer(TOKEN).header("x-request-id", "even").send();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let shares: Vec<u64> = asked(self).iter().zip(before).map(|(after, before)| after - before).collect();
        assert!(shares.iter().all(|share| *share == 3), "{shares:?}");
    }
}
