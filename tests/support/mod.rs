//! The harness: runs the built `gpt-load` as a process of its own in a folder of its own, talks to it through real
//! sockets, and at the end of its life looks for keys and tokens in everything that it said.

mod client;
pub mod http2;
mod peer;
mod raw;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mock_provider::{Mock, Options, Play};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

pub use client::{Answer, Ask};
pub use peer::{Peer, Wire};
pub use raw::Raw;

/// Keys that the mock provider has no play for until a test gives them one. Long enough to have a preview.
pub const A: &str = "sk-test-aaaaaaaaaaaa-0001";
pub const B: &str = "sk-test-bbbbbbbbbbbb-0002";
pub const C: &str = "sk-test-cccccccccccc-0003";
pub const D: &str = "sk-test-dddddddddddd-0004";
/// Tokens for `AUTH_KEY` and `ADMIN_KEY`.
pub const TOKEN: &str = "token-of-a-client-5555";
pub const ADMIN: &str = "token-of-an-admin-6666";

/// The one patience of all tests: how long what should happen may take. `TEST_PATIENCE` scales it on slow machines.
pub fn patience() -> Duration {
    let scale = std::env::var("TEST_PATIENCE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1.0);
    Duration::from_secs(15).mul_f64(scale)
}

/// An address that takes no connection and refuses none while what comes with it is held: a listener with a full queue, so
/// that SYNs are dropped.
pub fn black_hole() -> (SocketAddr, Vec<OwnedFd>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![OwnedFd::from(listener)];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream.into());
    }
    (address, held)
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < until, "not within {:?}: {what}", patience());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A mock provider whose keys play what is said here, as text; others are refused.
pub fn provider(plays: &[(&str, &str)]) -> Mock {
    let keys = plays.iter().map(|(key, play)| ((*key).to_owned(), play.parse().unwrap())).collect();
    Mock::start(Options { keys, ..Options::default() })
}

/// A mock provider of any options, with these keys valid.
pub fn provider_with(options: Options, valid: &[&str]) -> Mock {
    let keys = valid.iter().map(|key| ((*key).to_owned(), Play::Valid)).collect();
    Mock::start(Options { keys, ..options })
}

/// A request past gpt-load, to see what the provider says by itself.
pub fn direct(provider: &Mock, method: &str, path: &str) -> Ask {
    Ask::new(provider.address(), method, path, vec![])
}

/// A chat completion's body.
pub fn chat() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
}

/// The same with more fields.
pub fn chat_with(fields: Value) -> Value {
    let mut body = chat();
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    body
}

/// How many requests came with each of these keys.
pub fn asked(mock: &Mock, keys: &[&str]) -> Vec<u64> {
    keys.iter().map(|key| mock.key(key).asked).collect()
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Output {
    fn collect(self: &Arc<Self>, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                output.lines.lock().unwrap().push(line);
                output.more.notify_all();
            }
        })
    }
}

/// How a process is to be started.
pub struct Launch<'a> {
    env: Vec<(&'a str, String)>,
    /// The keys file's content; none, no file.
    keys: Option<Vec<u8>>,
    arguments: &'a [&'a str],
    /// What a shell does first.
    before: &'a str,
    /// Its standard input.
    input: Option<OwnedFd>,
    folder: TempDir,
}

/// What a process that has ended left behind.
pub struct Ended {
    pub status: Option<i32>,
    pub output: String,
    /// Where it ran; gone with this.
    pub folder: TempDir,
}

impl<'a> Launch<'a> {
    /// On loopback and a free port, with logs for machines, and nothing of the environment that the tests run in.
    pub fn new(env: &[(&'a str, &str)], keys: &[&str]) -> Self {
        let mut all = vec![
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("WORKERS", "2".to_owned()),
        ];
        for (name, value) in env {
            all.retain(|(other, _)| other != name);
            all.push((name, (*value).to_owned()));
        }
        let keys = keys.iter().fold(String::new(), |text, key| text + key + "\n");
        let folder = tempfile::tempdir().unwrap();
        Self { env: all, keys: Some(keys.into_bytes()), arguments: &[], before: ":", input: None, folder }
    }

    /// With this in the keys file, or without one.
    pub fn keys_file(mut self, keys: Option<&[u8]>) -> Self {
        self.keys = keys.map(<[u8]>::to_vec);
        self
    }

    /// Another command than to serve.
    pub fn arguments(mut self, arguments: &'a [&'a str]) -> Self {
        self.arguments = arguments;
        self
    }

    /// A shell does this first: sets limits, say. It becomes gpt-load afterwards.
    pub fn after(mut self, shell: &'a str) -> Self {
        self.before = shell;
        self
    }

    /// This socket is already bound for it (`LISTEN_FDS`).
    pub fn socket(mut self, listener: &TcpListener) -> Self {
        self.input = Some(listener.try_clone().unwrap().into());
        self.after("exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$")
    }

    /// The folder that it will run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn spawn(&self) -> Child {
        if let Some(keys) = &self.keys {
            fs::write(self.folder.path().join("keys.txt"), keys).unwrap();
        }
        let input = self.input.as_ref().map(|input| input.try_clone().unwrap());
        let shell = format!("{}; exec \"$0\" \"$@\"", self.before);
        Command::new("/bin/sh")
            .args(["-c", &shell, env!("CARGO_BIN_EXE_gpt-load")])
            .args(self.arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(input.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What must not be said by anyone, in full.
    fn secrets(&self) -> Vec<String> {
        let keys = self.keys.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let tokens =
            self.env.iter().filter(|(name, _)| name.ends_with("AUTH_KEY") || name.ends_with("ADMIN_KEY"));
        let tokens = tokens.flat_map(|(_, value)| value.split(',')).map(str::trim);
        let secrets = keys.lines().map(str::trim).filter(|line| !line.starts_with('#')).chain(tokens);
        secrets.filter(|secret| secret.len() > 12).map(str::to_owned).collect()
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        let mut child = self.spawn();
        let output = Arc::new(Output::default());
        let readers =
            [output.collect(child.stdout.take().unwrap()), output.collect(child.stderr.take().unwrap())];
        let mut status = None;
        let mut ended = || {
            status = child.try_wait().unwrap();
            status.is_some()
        };
        let until = Instant::now() + patience();
        while !ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for reader in readers {
            reader.join().unwrap();
        }
        let output = output.lines.lock().unwrap().join("\n");
        assert!(status.is_some(), "it did not end by itself:\n{output}");
        no_secret_in(&output, &self.secrets());
        Ended { status: status.and_then(|status| status.code()), output, folder: self.folder }
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> GptLoad {
        let mut child = self.spawn();
        let output = Arc::new(Output::default());
        let readers =
            vec![output.collect(child.stdout.take().unwrap()), output.collect(child.stderr.take().unwrap())];
        let secrets = self.secrets();
        let mut started = GptLoad {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: self.folder,
            output,
            readers,
            secrets,
        };
        started.address = started.line("the start-up line", |line| {
            // In either format.
            let rest = line.split("\"address\":\"").nth(1).or_else(|| line.split(" address=").nth(1))?;
            rest.split(['"', ' ']).next()?.parse().ok()
        });
        started
    }
}

/// A running gpt-load.
pub struct GptLoad {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    secrets: Vec<String>,
}

impl GptLoad {
    /// Starts one with these variables and keys.
    pub fn start(env: &[(&str, &str)], keys: &[&str]) -> Self {
        Launch::new(env, keys).start()
    }

    /// Starts one in front of a peer.
    pub fn before_peer(peer: &Peer, env: &[(&str, &str)], keys: &[&str]) -> Self {
        let url = peer.url();
        let mut all = vec![("OPENAI_BASE_URL", url.as_str())];
        all.extend_from_slice(env);
        Launch::new(&all, keys).start()
    }

    /// Starts one in front of a provider.
    pub fn before(provider: &Mock, env: &[(&str, &str)], keys: &[&str]) -> Self {
        let url = provider.url();
        let mut all = vec![("OPENAI_BASE_URL", url.as_str())];
        all.extend_from_slice(env);
        Launch::new(&all, keys).start()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn keys_file(&self) -> PathBuf {
        self.folder.path().join("keys.txt")
    }

    /// Its id for the system.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// The processor time that it has taken.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime, in hundredths of a second.
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// A request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path, self.secrets.clone())
    }

    pub fn get(&self, path: &str) -> Ask {
        self.ask("GET", path)
    }

    pub fn post(&self, path: &str) -> Ask {
        self.ask("POST", path)
    }

    /// A plain chat completion.
    pub fn chat(&self) -> Answer {
        self.post("/v1/chat/completions").json(&chat()).send()
    }

    /// The same for a model.
    pub fn chat_for(&self, model: &str) -> Answer {
        self.post("/v1/chat/completions").json(&chat_with(json!({"model": model}))).send()
    }

    /// Bytes on a socket.
    pub fn raw(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// Everything that it wrote so far.
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap().join("\n")
    }

    /// The lines of its log so far.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.output.lines.lock().unwrap();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of the log, of those that came already too.
    pub fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.line(what, |line| serde_json::from_str(line).ok().filter(|line| is_it(line)))
    }

    /// Waits for a line in which something is found.
    pub fn line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + patience();
        let mut lines = self.output.lines.lock().unwrap();
        let mut looked_at = 0;
        loop {
            if let Some(found) = lines[looked_at..].iter().find_map(|line| find(line)) {
                return found;
            }
            looked_at = lines.len();
            let left = until.saturating_duration_since(Instant::now());
            let finished = self.readers.iter().all(JoinHandle::is_finished);
            if left.is_zero() || finished {
                let said = lines.join("\n");
                drop(lines);
                panic!("{what} was never logged:\n{said}");
            }
            lines = self.output.more.wait_timeout(lines, left.min(Duration::from_millis(100))).unwrap().0;
        }
    }

    /// Waits for a line with this message.
    pub fn said(&self, message: &str) -> Value {
        self.logged(message, |line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    /// One of the monitoring paths, as JSON.
    pub fn told(&self, path: &str) -> Value {
        self.get(path).send().json()
    }

    /// How many keys are in rotation.
    pub fn healthy_keys(&self) -> u64 {
        self.told("/health")["healthy_keys"].as_u64().unwrap()
    }

    /// The blacklist's entries.
    pub fn blacklist(&self) -> Vec<Value> {
        self.told("/blacklist")["blacklisted_keys"].as_array().unwrap().clone()
    }

    /// Sends a signal: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        if name == "STOP" {
            let state = format!("/proc/{}/stat", self.child.id());
            eventually("gpt-load stands still", || fs::read_to_string(&state).unwrap().contains(") T "));
        }
    }

    /// Waits for its end and tells its exit status.
    pub fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("gpt-load ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for GptLoad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        let output = self.output();
        if std::thread::panicking() {
            println!("gpt-load said:\n{output}");
        } else {
            no_secret_in(&output, &self.secrets);
            assert!(!output.contains("panic"), "gpt-load panicked:\n{output}");
        }
    }
}

fn no_secret_in(text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret} leaked:\n{text}");
    }
}
