//! The clients: each asks for one thing after the other until it is told to stop, and writes down how each request ended.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};

use crate::support::{TOKEN, chat_with};

/// Longer than any request may take with the times of the run.
const HANGS: Duration = Duration::from_secs(30);

/// What a client asks for, and how it behaves about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Chat,
    Stream,
    /// A long stream, read with pauses.
    SlowReader,
    Embeddings,
    Models,
    /// Its own bytes back, sent with pauses.
    Echo,
    /// What must not run twice.
    File,
    /// Gone before there is an answer.
    LeavesEarly,
    /// Gone within it.
    LeavesMidway,
    WrongToken,
}

impl What {
    pub const ALL: [Self; 10] = [
        Self::Chat,
        Self::Stream,
        Self::SlowReader,
        Self::Embeddings,
        Self::Models,
        Self::Echo,
        Self::File,
        Self::LeavesEarly,
        Self::LeavesMidway,
        Self::WrongToken,
    ];

    /// Whether a model answers, with JSON for JSON.
    pub fn infers(self) -> bool {
        !matches!(self, Self::Echo | Self::File | Self::Models)
    }

    pub fn method(self) -> &'static str {
        if self == Self::Models { "GET" } else { "POST" }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/v1/embeddings",
            Self::Models => "/v1/models",
            Self::Echo => "/v1/echo",
            Self::File => "/v1/files",
            _ => "/v1/chat/completions",
        }
    }

    /// The same body for the same thing: its answer is the same too, byte for byte.
    pub fn body(self) -> Bytes {
        let json = |body: Value| Bytes::from(body.to_string());
        match self {
            Self::Chat | Self::LeavesEarly | Self::WrongToken => json(chat_with(json!({"max_tokens": 40}))),
            Self::Stream | Self::LeavesMidway => {
                json(chat_with(json!({"stream": true, "max_tokens": 30, "mock": {"pace": "4ms"}})))
            }
            Self::SlowReader => {
                json(chat_with(json!({"stream": true, "max_tokens": 200, "mock": {"size": 3000}})))
            }
            Self::Embeddings => {
                json(json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 64}))
            }
            Self::Models => Bytes::new(),
            Self::Echo => (0..200_000_u32).flat_map(u32::to_be_bytes).collect(),
            Self::File => Bytes::from("not to be stored twice\n".repeat(1000)),
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A 200 with every byte that the provider sends.
    Whole,
    /// An error that was told, with this status: a 200 that is one too.
    Told(u16),
    /// A 200 that visibly broke off; what came of it is the beginning of what should have. Whether an error event says so, if there
    /// is a place for one.
    Broken { told: bool },
    /// The client itself left.
    Left,
    /// The connection ended without an answer.
    Lost(String),
    /// What must never be.
    Wrong(String),
}

/// A line of the ledger.
#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub what: What,
    pub begun: Instant,
    pub ended: Instant,
    pub ending: Ending,
}

/// What the clients share.
pub struct World {
    pub address: SocketAddr,
    /// What the provider answers.
    pub answers: HashMap<What, Bytes>,
    /// Whether they ask.
    pub go: watch::Sender<bool>,
    pub resting: AtomicUsize,
    pub numbers: AtomicU64,
    pub ledger: Mutex<Vec<Entry>>,
    /// When connections were refused.
    pub refused: Mutex<Vec<Instant>>,
}

/// A request's body, sent piece by piece.
pub struct Upload {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    resting: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    fn new(body: Bytes, pieces: usize, pause: Duration) -> Self {
        let size = body.len().div_ceil(pieces).max(1);
        let pieces = body.chunks(size).map(|piece| body.slice_ref(piece)).collect();
        Self { pieces, pause, resting: None }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(resting) = &mut self.resting {
            ready!(resting.as_mut().poll(cx));
        }
        self.resting = (!self.pause.is_zero()).then(|| Box::pin(sleep(self.pause)));
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

enum Sender {
    One(http1::SendRequest<Upload>),
    Two(http2::SendRequest<Upload>),
}

impl Sender {
    async fn send(&mut self, request: Request<Upload>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => sender.send_request(request).await,
            Self::Two(sender) => sender.send_request(request).await,
        }
    }

    async fn is_ready(&mut self) -> bool {
        match self {
            Self::One(sender) => sender.ready().await.is_ok(),
            Self::Two(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// A connection, which ends with this.
struct Connection {
    sender: Sender,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    async fn open(address: SocketAddr, http2: bool) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let io = TokioIo::new(socket);
        let (sender, task) = if http2 {
            let shake = http2::Builder::new(TokioExecutor::new()).handshake(io).await;
            let (sender, connection) = shake.map_err(std::io::Error::other)?;
            (Sender::Two(sender), tokio::spawn(async { drop(connection.await) }))
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(std::io::Error::other)?;
            (Sender::One(sender), tokio::spawn(async { drop(connection.await) }))
        };
        Ok(Self { sender, task })
    }
}

/// One client's life: what it asks for comes from its seed.
pub async fn run(world: &World, seed: u64, http2: bool) {
    let mut rng = Rng::with_seed(seed);
    let mut go = world.go.subscribe();
    let mut kept: Option<Connection> = None;
    loop {
        if !*go.borrow_and_update() {
            kept = None;
            world.resting.fetch_add(1, Ordering::SeqCst);
            if go.changed().await.is_err() {
                return;
            }
            world.resting.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let reusable = match &mut kept {
            Some(connection) => rng.u8(..) >= 32 && connection.sender.is_ready().await,
            None => false,
        };
        if !reusable {
            let Ok(connection) = Connection::open(world.address, http2).await else {
                world.refused.lock().unwrap().push(Instant::now());
                kept = None;
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            kept = Some(connection);
        }
        let what = What::ALL[rng.usize(..What::ALL.len())];
        let id = format!("chaos-{}", world.numbers.fetch_add(1, Ordering::Relaxed));
        let begun = Instant::now();
        let asked = ask(world, kept.as_mut().unwrap(), &mut rng, what, &id, http2);
        let ending = timeout(HANGS, asked).await.unwrap_or_else(|_| Ending::Wrong("it hangs".to_owned()));
        if !matches!(ending, Ending::Whole | Ending::Told(_)) {
            kept = None;
        }
        world.ledger.lock().unwrap().push(Entry { id, what, begun, ended: Instant::now(), ending });
        sleep(Duration::from_millis(rng.u64(0..30))).await;
    }
}

async fn ask(
    world: &World,
    connection: &mut Connection,
    rng: &mut Rng,
    what: What,
    id: &str,
    http2: bool,
) -> Ending {
    let authority = world.address;
    let target = if http2 { format!("http://{authority}{}", what.path()) } else { what.path().to_owned() };
    let token = if what == What::WrongToken { "no-token-of-ours" } else { TOKEN };
    let mut request = Request::builder()
        .method(what.method())
        .uri(target)
        .header("authorization", format!("Bearer {token}"))
        .header("x-request-id", id);
    if !http2 {
        request = request.header("host", authority.to_string());
    }
    if what.infers() {
        request = request.header("content-type", "application/json");
    }
    let (pieces, pause) = if what == What::Echo { (20, 5) } else { (1, 0) };
    let request = request.body(Upload::new(what.body(), pieces, Duration::from_millis(pause))).unwrap();
    let answer = if what == What::LeavesEarly {
        match timeout(Duration::from_micros(rng.u64(0..8_000)), connection.sender.send(request)).await {
            Ok(answer) => answer,
            Err(_) => return Ending::Left,
        }
    } else {
        connection.sender.send(request).await
    };
    match answer {
        Ok(answer) => read(world, what, rng, answer).await,
        Err(error) => Ending::Lost(format!("{error:?}")),
    }
}

async fn read(world: &World, what: What, rng: &mut Rng, answer: Response<Incoming>) -> Ending {
    let status = answer.status().as_u16();
    let mut leaves_after = if what == What::LeavesMidway { rng.usize(0..20) } else { usize::MAX };
    let (mut body, mut got, mut broken) = (answer.into_body(), Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => got.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => {
                broken = true;
                break;
            }
        }
        if leaves_after == 0 {
            return Ending::Left;
        }
        leaves_after -= 1;
        if what == What::SlowReader {
            sleep(Duration::from_millis(rng.u64(0..10))).await;
        }
    }
    judge(what, status, &got, broken, &world.answers[&what])
}

const ERROR: &[u8] = b"data: {\"error\":";
const ENVELOPE: &[u8] = b"{\"error\":";
/// All that comes of an answer of wrong length, whatever was asked for: JSON, in which nothing can be told.
const WRONG_LENGTH: &[u8] = b"{\"id\"";

/// What came, held against what should have.
fn judge(what: What, status: u16, got: &[u8], broken: bool, want: &[u8]) -> Ending {
    let shown = || String::from_utf8_lossy(&got[got.len().saturating_sub(300)..]).into_owned();
    if status != 200 {
        let told = serde_json::from_slice::<Value>(got).is_ok_and(|answer| !answer["error"].is_null());
        return if told && !broken {
            Ending::Told(status)
        } else {
            Ending::Wrong(format!("a {status} that tells nothing, broken: {broken}: {}", shown()))
        };
    }
    if !broken {
        return match got {
            _ if got == want => Ending::Whole,
            // What does not infer is not looked into.
            _ if !what.infers() && got.starts_with(ENVELOPE) => Ending::Whole,
            // The provider's own, as it came.
            _ if got.starts_with(ERROR) || got.starts_with(ENVELOPE) => Ending::Told(200),
            _ => Ending::Wrong(format!(
                "a whole answer of {} bytes, not {}: {}",
                got.len(),
                want.len(),
                shown()
            )),
        };
    }
    if got == WRONG_LENGTH {
        return Ending::Broken { told: true };
    }
    let event = got.windows(ERROR.len()).rposition(|window| window == ERROR);
    let (came, told) = (&got[..event.unwrap_or(got.len())], event.is_some());
    // Before the error event, the event that was cut is ended.
    let ended = told.then(|| came.strip_suffix(b"\n\n")).flatten().unwrap_or(came);
    if want.starts_with(came) || want.starts_with(ended) {
        Ending::Broken { told }
    } else {
        Ending::Wrong(format!("a broken answer that is no beginning: {}", shown()))
    }
}
