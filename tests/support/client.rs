//! A small HTTP client: every request on a connection of its own, so that no test depends on what another left open.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{no_secret_in, patience};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

#[derive(Clone)]
struct Executor;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

/// A request that is being put together.
pub struct Ask {
    address: SocketAddr,
    request: http::request::Builder,
    body: Bytes,
    http2: bool,
    secrets: Vec<String>,
}

impl Ask {
    pub(super) fn new(address: SocketAddr, method: &str, path: &str, secrets: Vec<String>) -> Self {
        let request = Request::builder().method(method).uri(path);
        Self { address, request, body: Bytes::new(), http2: false, secrets }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// HTTP/2 with prior knowledge.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sends it and reads the answer to its end. An answer that tells a key fails the test.
    pub fn send(self) -> Answer {
        let secrets = self.secrets.clone();
        let answer = RUNTIME.block_on(async {
            let mut stream = self.opened().await;
            let (mut body, mut broken) = (Vec::new(), false);
            let mut trailers = HeaderMap::new();
            while let Some(frame) = stream.frame().await {
                match frame.map(hyper::body::Frame::into_data) {
                    Ok(Ok(data)) => body.extend_from_slice(&data),
                    Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                    Err(_) => broken = true,
                }
                if broken {
                    break;
                }
            }
            let Stream { status, headers, .. } = &stream;
            Answer { status: *status, headers: headers.clone(), body: body.into(), trailers, broken }
        });
        no_secret_in(&format!("{:?}\n{}", answer.headers, answer.text()), &secrets);
        answer
    }

    /// Sends it and returns as soon as the answer's head is there. Dropping the stream hangs up.
    pub fn open(self) -> Stream {
        RUNTIME.block_on(self.opened())
    }

    /// Sends it, and hangs up when the returned handle is dropped, answered or not.
    pub fn begin(self) -> Begun {
        Begun { task: RUNTIME.spawn(self.opened()) }
    }

    async fn opened(self) -> Stream {
        let socket = TcpStream::connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let io = TokioIo::new(socket);
        let mut request = self.request.body(Full::new(self.body)).unwrap();
        let answered = async {
            if self.http2 {
                let path = request.uri().path_and_query().unwrap().as_str().to_owned();
                *request.uri_mut() = format!("http://{}{path}", self.address).parse().unwrap();
                let mut builder = http2::Builder::new(Executor);
                let (mut sender, connection) = builder.timer(TokioTimer::new()).handshake(io).await.unwrap();
                let connection = Connection(tokio::spawn(async { drop(connection.await) }));
                (sender.send_request(request).await.unwrap(), connection)
            } else {
                let host = self.address.to_string();
                request.headers_mut().entry("host").or_insert(host.parse().unwrap());
                let (mut sender, connection) = http1::handshake(io).await.unwrap();
                let connection = Connection(tokio::spawn(async { drop(connection.await) }));
                (sender.send_request(request).await.unwrap(), connection)
            }
        };
        let (response, connection) = timeout(patience() * 2, answered).await.expect("an answer in time");
        Stream::new(response, connection)
    }
}

/// A request under way.
pub struct Begun {
    task: JoinHandle<Stream>,
}

impl Begun {
    /// Waits for the answer's head.
    pub fn open(mut self) -> Stream {
        RUNTIME.block_on(&mut self.task).unwrap()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends with its owner.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer in the course of arriving.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

impl Stream {
    fn new(response: Response<Incoming>, connection: Connection) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, _connection: connection }
    }

    async fn frame(&mut self) -> Option<hyper::Result<hyper::body::Frame<Bytes>>> {
        timeout(patience() * 2, self.body.frame()).await.expect("a frame in time")
    }

    /// The next piece of the body: none at its end, an error if it breaks.
    pub fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = RUNTIME.block_on(self.frame())?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// Whether a piece comes within this time.
    pub fn comes_within(&mut self, time: Duration) -> bool {
        RUNTIME.block_on(async { timeout(time, self.body.frame()).await.is_ok() })
    }

    /// What is left of the body, and whether it ended as it should.
    pub fn rest(mut self) -> (String, bool) {
        let mut rest = Vec::new();
        while let Some(piece) = self.next() {
            match piece {
                Ok(piece) => rest.extend_from_slice(&piece),
                Err(_) => return (String::from_utf8(rest).unwrap(), false),
            }
        }
        (String::from_utf8(rest).unwrap(), true)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
    /// The body broke off.
    pub broken: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The `code` of an error in OpenAI's envelope.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code, to be compared at once.
    pub fn refused(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }
}
