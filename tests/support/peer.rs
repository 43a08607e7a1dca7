//! An upstream that does as it is told, byte by byte, and remembers every byte that came.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::SockRef;

use super::patience;

/// Runs until it is dropped; every connection on a thread of its own.
pub struct Peer {
    address: SocketAddr,
    received: Received,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// What came, a connection each.
type Received = Arc<Mutex<Vec<Vec<u8>>>>;

/// One connection, as the peer sees it.
pub struct Wire {
    number: usize,
    stream: TcpStream,
    received: Received,
    /// What came behind the head that was read last.
    pub ahead: Vec<u8>,
}

impl Peer {
    /// Serves every connection so.
    pub fn start(serve: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (received, stop) = (Received::default(), Arc::new(AtomicBool::new(false)));
        let serve = Arc::new(serve);
        let (all, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let number = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let (serve, received) = (Arc::clone(&serve), Arc::clone(&all));
                let thread = std::thread::Builder::new().stack_size(256 << 10);
                let served = thread.spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(patience() * 2)).unwrap();
                    serve(&mut Wire { number, stream, received, ahead: Vec::new() });
                });
                served.unwrap();
            }
        });
        Self { address, received, stop, accepting: Some(accepting) }
    }

    /// Answers every request with these bytes, once its head and a body of known length have come.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(&answer);
            }
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came, on each connection that brought anything. (gpt-load looks at its upstreams once, and says nothing.)
    pub fn received(&self) -> Vec<String> {
        self.received_bytes().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The same as it came.
    pub fn received_bytes(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap().iter().filter(|bytes| !bytes.is_empty()).cloned().collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().unwrap().join();
    }
}

impl Wire {
    /// Some bytes; none at the end, however it came.
    pub fn read(&mut self) -> Vec<u8> {
        if !self.ahead.is_empty() {
            return std::mem::take(&mut self.ahead);
        }
        let mut piece = [0; 16 * 1024];
        let length = self.stream.read(&mut piece).unwrap_or(0);
        self.received.lock().unwrap()[self.number].extend_from_slice(&piece[..length]);
        piece[..length].to_vec()
    }

    /// The next head, its empty line included; what came behind it is kept.
    pub fn head(&mut self) -> Option<String> {
        let mut got = Vec::new();
        loop {
            let piece = self.read();
            if piece.is_empty() {
                return None;
            }
            got.extend_from_slice(&piece);
            if let Some(end) = got.windows(4).position(|window| window == b"\r\n\r\n") {
                self.ahead = got.split_off(end + 4);
                return Some(String::from_utf8_lossy(&got).into_owned());
            }
        }
    }

    /// The next head, after its body was read, of known length or in chunks.
    pub fn request(&mut self) -> Option<String> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        let value = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name));
        if value("transfer-encoding: ") == Some("chunked") {
            while let Ok(size @ 1..) = usize::from_str_radix(self.until("\r\n").trim_end(), 16) {
                self.exactly(size + 2);
            }
            while self.until("\r\n").len() > 2 {}
        } else if let Some(length) = value("content-length: ") {
            self.exactly(length.parse().unwrap());
        }
        Some(head)
    }

    /// So many bytes.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while got.len() < length {
            let piece = self.read();
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        self.ahead = got.split_off(length.min(got.len()));
        got
    }

    /// Reads until this text has come, and keeps what is behind it.
    pub fn until(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        loop {
            if let Some(at) = got.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.ahead = got.split_off(at + text.len());
                return String::from_utf8_lossy(&got).into_owned();
            }
            let piece = self.read();
            if piece.is_empty() {
                return String::from_utf8_lossy(&got).into_owned();
            }
            got.extend_from_slice(&piece);
        }
    }

    /// Whether the other side ends the connection, in whatever way.
    pub fn is_ended(&mut self) -> bool {
        while !self.read().is_empty() {}
        true
    }

    /// Sends bytes; a peer that has closed already is no error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes; whether the peer took them.
    pub fn sends(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The other half of it, for another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Says that nothing more is sent.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Ends the connection by TCP RST.
    pub fn reset(&mut self) {
        SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
