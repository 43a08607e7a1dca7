//! Requests bent at random, through gpt-load, into parsers of all kinds: they must agree about how many there are.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::outcome;
use crate::parsers::agreed;
use crate::support::{A, GptLoad, Peer, eventually};

/// What is bent.
const SEEDS: &[&str] = &[
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}",
    "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n4\r\n:1 }\r\n0\r\n\r\n",
    "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2;e=f\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
    "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "GET /v1/models?a=b&key=c HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n",
    "GET http://y/v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nX-Two: 2\r\n\r\n",
    "DELETE /v1/files/f HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
];

/// What is put in.
const PIECES: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b";",
    b",",
    b"0",
    b"%00",
    b"%0d%0a",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:+2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Host: y\r\n",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"0\r\n\r\n",
    b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n folded",
    b"Trailer: content-length\r\n",
    b"Upgrade: websocket\r\n",
    b"Authorization: Bearer a\r\n",
    b"Expect: 100-continue\r\n",
];

fn bent(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = SEEDS[random.usize(..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..[1, 1, 1, 2, 3][random.usize(..5)] {
        let at = random.usize(..bytes.len());
        match random.u8(..8) {
            0 => bytes[at] = random.u8(..),
            1 => {
                bytes.remove(at);
            }
            2 => {
                let end = (at + random.usize(1..12)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                // A line twice, or elsewhere.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut lines: Vec<_> = text.split_inclusive("\r\n").collect();
                let line = lines[random.usize(..lines.len())];
                lines.insert(random.usize(..=lines.len()), line);
                bytes = lines.concat().into_bytes();
            }
            _ => {
                // Where a line begins, as often as anywhere.
                let starts: Vec<_> = bytes
                    .windows(2)
                    .enumerate()
                    .filter(|(_, two)| two == b"\r\n")
                    .map(|(at, _)| at + 2)
                    .collect();
                let at = if random.bool() && !starts.is_empty() {
                    starts[random.usize(..starts.len())]
                } else {
                    at
                };
                bytes.splice(at..at, PIECES[random.usize(..PIECES.len())].iter().copied());
            }
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

/// Sends bytes, and a request that ends the connection; returns how many answers of the upstream came.
fn ask(address: SocketAddr, bytes: &[u8]) -> usize {
    let Ok(mut stream) = TcpStream::connect(address) else { return 0 };
    stream.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
    let _ = stream.write_all(&[bytes, b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat());
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    // No TIME_WAIT on this side.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    answers.windows(9).filter(|window| window == b"it was me").count()
}

/// So many bent requests through gpt-load; what went upstream, a connection each.
fn run(requests: usize) -> Vec<Vec<u8>> {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nit was me");
    let env =
        [("MAX_CONCURRENT_REQUESTS", "1000"), ("LOG_ENABLE_REQUEST", "false"), ("ENABLE_GZIP", "false")];
    let gpt_load = GptLoad::before_peer(&peer, &env, &[A]);
    let (address, next, answered) = (gpt_load.address(), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        break;
                    }
                    let bytes = bent(&mut fastrand::Rng::with_seed(number as u64));
                    answered.fetch_add(ask(address, &bytes), Ordering::Relaxed);
                }
            });
        }
    });
    eventually("nothing runs", || gpt_load.told("/stats")["requests"]["running"] == 0);
    assert_eq!(gpt_load.healthy_keys(), 1, "no key was blamed");
    let upstream = peer.received_bytes();
    let mut read = 0;
    for bytes in &upstream {
        let requests = agreed(bytes).unwrap_or_else(|why| panic!("{why}"));
        for request in &requests {
            assert_eq!(request.values("host").len(), 1, "{request:?}");
            let keys = request.values("authorization").len() + usize::from(request.target.contains(A));
            assert_eq!(keys, 1, "{request:?}");
        }
        read += requests.len();
    }
    let answered = answered.into_inner();
    assert!(answered <= read, "{answered} answers for {read} requests");
    assert!(
        read >= requests / 3,
        "{read} of {requests} went through: the mutations are too coarse to tell anything"
    );
    outcome(
        "mutation: parsers strict and lax",
        format!("{requests} bent requests, {read} went upstream, 0 disagreements"),
    );
    upstream
}

#[test]
fn bent_requests_are_read_in_one_way() {
    run(2_000);
}

#[test]
#[ignore = "long: make test-hard"]
fn a_hundred_thousand_bent_requests_and_more_are_read_in_one_way_by_nginx_and_haproxy_too() {
    let upstream = run(250_000);
    for name in ["nginx", "haproxy"] {
        let Some(server) = Server::start(name) else {
            outcome(
                &format!("mutation: {name}"),
                "skipped: it is not installed (apt-get install nginx haproxy)",
            );
            continue;
        };
        let (asked, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let requests: Vec<Vec<u8>> = upstream.iter().flat_map(|bytes| split(bytes)).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let answers = server.answers(request);
                        asked.fetch_add(1, Ordering::Relaxed);
                        match answers[..] {
                            // The request and what came behind it.
                            [200, 299] => {}
                            // It does not like it, for one request at most.
                            [400..600, 299] | [400..600] => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            _ => panic!("{name} reads {answers:?} in {:?}", String::from_utf8_lossy(request)),
                        }
                    }
                });
            }
        });
        outcome(
            &format!("mutation: {name}"),
            format!("{} requests, {} refused, 0 disagreements", asked.into_inner(), refused.into_inner()),
        );
    }
}

/// The bytes of each request on a connection.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut starts = vec![0];
    let mut at = 0;
    for request in agreed(bytes).unwrap() {
        let head = bytes[at..].windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        at += head;
        if request.values("transfer-encoding").is_empty() {
            at += request.body.len();
        } else {
            // Chunks as gpt-load writes them, with or without trailers.
            let end = bytes[at..].windows(3).position(|window| window == b"0\r\n").unwrap();
            at += end + 3;
            at += if bytes[at..].starts_with(b"\r\n") {
                2
            } else {
                bytes[at..].windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4
            };
        }
        starts.push(at);
    }
    starts.windows(2).map(|window| bytes[window[0]..window[1]].to_vec()).collect()
}

/// A server that others wrote, which answers 200 to everything and 299 to `/sentinel`.
struct Server {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(name: &str) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let mut config = String::new();
        if name == "nginx" {
            write!(
                config,
                "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log crit; events {{ worker_connections 4096; }}
                 http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; lingering_close off;
                 server {{ listen {address}; location = /sentinel {{ return 299; }} location / {{ return 200; }} }} }}"
            )
            .unwrap();
        } else {
            write!(
                config,
                "global\n maxconn 4096\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
                 frontend f\n bind {address}\n http-request return status 299 if {{ path /sentinel }}\n http-request return status 200\n"
            )
            .unwrap();
        }
        let file = folder.path().join("config");
        std::fs::write(&file, config).unwrap();
        let arguments: &[&str] = if name == "nginx" { &["-c"] } else { &["-db", "-f"] };
        let program = [format!("/usr/sbin/{name}"), name.to_owned()].into_iter().find(|program| {
            Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        })?;
        let child = Command::new(program)
            .args(arguments)
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address, _folder: folder };
        eventually("it listens", || TcpStream::connect(address).is_ok());
        Some(server)
    }

    fn answers(&self, request: &[u8]) -> Vec<u16> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(
            &[request, b"GET /sentinel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat(),
        );
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers);
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        let text = String::from_utf8_lossy(&answers);
        let statuses =
            text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text[at + 9..].get(..3)?.parse().ok());
        statuses.filter(|status| *status != 100).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
