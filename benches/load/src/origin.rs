//! The upstream: its answers are made beforehand, so that the proxies are what is measured.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Error, Result};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use crate::wire::{Reader, chunk};

/// Chunks of a long stream are written together up to this size, as an upstream does that has them ready.
const BATCH: usize = 64 * 1024;
pub(crate) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

pub(crate) async fn run(port: u16, addresses: u8, certificate: Option<PathBuf>) -> Result<()> {
    let tls = certificate.map(acceptor).transpose()?;
    let ready = Rc::new(Ready::default());
    LocalSet::new()
        .run_until(async {
            let mut listening = Vec::new();
            for address in 1..=addresses {
                let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, address), port)).await?;
                listening.push(spawn_local(accept(listener, tls.clone(), Rc::clone(&ready))));
            }
            println!("listening on port {port}");
            for listener in listening {
                listener.await??;
            }
            Ok(())
        })
        .await
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, ready: Rc<Ready>) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (tls, ready) = (tls.clone(), Rc::clone(&ready));
        // A client that goes away ends its connection, nothing else.
        spawn_local(async move {
            match tls {
                Some(tls) => drop(serve(tls.accept(socket).await?, &ready).await),
                None => drop(serve(socket, &ready).await),
            }
            Ok::<_, Error>(())
        });
    }
}

fn acceptor(path: PathBuf) -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(Error::other)?;
    std::fs::write(path, made.cert.pem())?;
    let key = made.signing_key.serialize_der().try_into().map_err(Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Ready = RefCell<HashMap<String, Rc<[u8]>>>;

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(socket: S, ready: &Ready) -> Result<()> {
    let (reading, mut writing) = tokio::io::split(socket);
    let mut reader = Reader::new(reading);
    while let Some(head) = reader.head().await? {
        reader.body(&head, |_| {}).await?;
        let asked = Asked::of(&head.line);
        if asked.stream > 0 {
            asked.stream(&mut writing).await?;
        } else if asked.pace.is_zero() {
            let known = ready.borrow().get(&head.line).cloned();
            let answer = known.unwrap_or_else(|| {
                let answer: Rc<[u8]> = asked.at_once().into();
                ready.borrow_mut().insert(head.line.clone(), Rc::clone(&answer));
                answer
            });
            writing.write_all(&answer).await?;
        } else {
            asked.paced(&mut writing).await?;
        }
        writing.flush().await?;
    }
    Ok(())
}

/// What the query asks for.
#[derive(Default)]
struct Asked {
    size: usize,
    events: usize,
    stream: usize,
    pace: Duration,
}

impl Asked {
    fn of(line: &str) -> Self {
        let mut asked = Self { size: 700, ..Self::default() };
        let target = line.split(' ').nth(1).unwrap_or_default();
        for (name, value) in target.split(['?', '&']).filter_map(|pair| pair.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match name {
                "size" => asked.size = value,
                "events" => asked.events = value,
                "stream" => asked.stream = value,
                "pace" => asked.pace = Duration::from_millis(value as u64),
                _ => {}
            }
        }
        asked
    }

    /// An event of the size that was asked for. It begins with the time.
    fn event(&self) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = format!("data: {:020} ", now.as_nanos()).into_bytes();
        event.resize(self.size.max(event.len() + 2) - 2, b'x');
        event.extend_from_slice(b"\n\n");
        event
    }

    /// Everything in one piece.
    fn at_once(&self) -> Vec<u8> {
        if self.events == 0 {
            let text = "x".repeat(self.size.saturating_sub(40));
            let body = format!("{{\"id\":\"chatcmpl-1\",\"choices\":[{{\"text\":\"{text}\"}}]}}");
            return format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes();
        }
        let mut answer = STREAM_HEAD.to_vec();
        answer.extend(chunk(&self.event()).repeat(self.events));
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    }

    async fn paced(&self, writing: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        writing.write_all(STREAM_HEAD).await?;
        let mut ticks = tokio::time::interval(self.pace);
        for _ in 0..self.events {
            ticks.tick().await;
            writing.write_all(&chunk(&self.event())).await?;
            writing.flush().await?;
        }
        writing.write_all(b"0\r\n\r\n").await
    }

    async fn stream(&self, writing: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        writing.write_all(STREAM_HEAD).await?;
        let piece = chunk(&self.event());
        let batch = piece.repeat((BATCH / piece.len()).max(1));
        let mut left = self.stream;
        while left > 0 {
            writing.write_all(&batch).await?;
            left = left.saturating_sub(batch.len());
        }
        writing.write_all(b"0\r\n\r\n").await
    }
}
