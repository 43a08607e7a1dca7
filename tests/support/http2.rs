//! An upstream that speaks HTTP/2 over TLS as it is told, frame by frame.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::{GptLoad, Launch, patience};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags: of DATA and HEADERS, of HEADERS, and of SETTINGS.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The next that comes; none at the end, however it came.
    pub fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut payload).ok()?;
        Some(Self { kind: head[3], flags: head[4], stream, payload })
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Runs until it is dropped; every connection on a thread of its own.
pub struct Http2Peer {
    address: SocketAddr,
    folder: TempDir,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// A connection, as the peer sees it.
pub struct Frames(StreamOwned<ServerConnection, TcpStream>);

impl Http2Peer {
    /// Serves every connection so, after these SETTINGS.
    pub fn start(settings: &'static [u8], serve: impl Fn(&mut Frames) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (config, serve) = (Arc::new(config), Arc::new(serve));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (config, serve) = (Arc::clone(&config), Arc::clone(&serve));
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(patience() * 2)).unwrap();
                    let mut frames = Frames(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
                    let mut preface = [0; PREFACE.len()];
                    // gpt-load looks at its upstreams once, and says nothing.
                    if frames.0.read_exact(&mut preface).is_ok() {
                        frames.send(SETTINGS, 0, 0, settings);
                        serve(&mut frames);
                    }
                });
            }
        });
        Self { address, folder, stop, accepting: Some(accepting) }
    }

    /// A gpt-load of one worker before it.
    pub fn gpt_load(&self, env: &[(&str, &str)], keys: &[&str]) -> GptLoad {
        let url = format!("https://{}", self.address);
        let certificate: PathBuf = self.folder.path().join("certificate.pem");
        let mut all = vec![
            ("OPENAI_BASE_URL", url.as_str()),
            ("UPSTREAM_CA_FILE", certificate.to_str().unwrap()),
            ("WORKERS", "1"),
        ];
        all.extend_from_slice(env);
        Launch::new(&all, keys).start()
    }
}

impl Drop for Http2Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().unwrap().join();
    }
}

impl Frames {
    /// The next frame; none at the end.
    pub fn next(&mut self) -> Option<Frame> {
        let frame = Frame::read(&mut self.0)?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.send(SETTINGS, ACK, 0, &[]);
        }
        Some(frame)
    }

    /// Reads up to a frame that is looked for.
    pub fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if is_it(&frame) {
                return Some(frame);
            }
        }
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.0.write_all(&frame(kind, flags, stream, payload));
        let _ = self.0.flush();
    }

    /// Says that nothing more is sent.
    pub fn close(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }

    /// Sends the head of a 200 that announces a body of this length.
    pub fn answer(&mut self, stream: u32, length: u8) {
        // :status 200 of HPACK's static table, and a content-length that is not kept.
        let length = length.to_string();
        let head = [&[0x88, 0x0f, 0x0d, u8::try_from(length.len()).unwrap()][..], length.as_bytes()].concat();
        self.send(HEADERS, END_HEADERS, stream, &head);
    }
}
