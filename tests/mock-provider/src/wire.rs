//! Connections: accepted, served by hyper, and taken from it where a play wants what no server does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::play::Step;
use crate::provider::Provider;
use crate::seen::lock;
use crate::serve;

/// What is done with a connection that hyper loses.
#[derive(Debug)]
pub(crate) enum Takeover {
    Cut,
    Reset,
    Steps(Vec<Step>),
}

/// The handle by which an answer takes its connection over.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Which connection, from 1.
    pub(crate) number: u64,
    pub(crate) http2: bool,
    takeover: Mutex<Option<Takeover>>,
    taken: Notify,
}

impl Wire {
    pub(crate) fn take(&self, takeover: Takeover) {
        *lock(&self.takeover) = Some(takeover);
        self.taken.notify_one();
    }

    async fn taken(&self) -> Takeover {
        loop {
            self.taken.notified().await;
            if let Some(takeover) = lock(&self.takeover).take() {
                return takeover;
            }
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(provider: Arc<Provider>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let _ = stream.set_nodelay(true);
    let number = provider.seen.connections.fetch_add(1, Ordering::Relaxed) + 1;
    provider.seen.open.fetch_add(1, Ordering::Relaxed);
    // A second handle on the socket: SO_LINGER can be set whoever owns the first.
    if let Ok(socket) = SockRef::from(&stream).try_clone() {
        if let Some(acceptor) = tls {
            if let Ok(stream) = acceptor.accept(stream).await {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                spoken(&provider, stream, &socket, number, http2).await;
            }
        } else {
            let http2 = is_http2(&stream).await;
            spoken(&provider, stream, &socket, number, http2).await;
        }
    }
    provider.seen.open.fetch_sub(1, Ordering::Relaxed);
}

/// Whether a client opens with HTTP/2's preface.
async fn is_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(3) => return &first == b"PRI",
            Ok(n) if n > 0 && b"PRI".starts_with(&first[..n]) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => return false,
        }
    }
}

async fn spoken<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    provider: &Arc<Provider>,
    stream: S,
    socket: &Socket,
    number: u64,
    http2: bool,
) {
    let wire = Arc::new(Wire { number, http2, takeover: Mutex::default(), taken: Notify::new() });
    let service = service_fn(|request| serve::answer(Arc::clone(provider), Arc::clone(&wire), request));
    let stream = TokioIo::new(stream);
    if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_header_list_size(1 << 20).max_concurrent_streams(10_000);
        let connection = builder.serve_connection(stream, {
            let (provider, wire) = (Arc::clone(provider), Arc::clone(&wire));
            service_fn(move |request| serve::answer(Arc::clone(&provider), Arc::clone(&wire), request))
        });
        tokio::select! {
            _ = connection => {}
            takeover = wire.taken() => if matches!(takeover, Takeover::Reset) { linger_not(socket) },
        }
        return;
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_headers(512).half_close(false);
    let mut connection = builder.serve_connection(stream, service);
    let takeover = tokio::select! {
        _ = &mut connection => return,
        takeover = wire.taken() => takeover,
    };
    let mut stream = connection.into_parts().io.into_inner();
    match takeover {
        Takeover::Cut => {
            let _ = stream.shutdown().await;
        }
        Takeover::Reset => linger_not(socket),
        Takeover::Steps(steps) => {
            let _ = play(&mut stream, socket, steps).await;
        }
    }
}

/// Closing the socket sends RST.
fn linger_not(socket: &Socket) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    socket: &Socket,
    steps: Vec<Step>,
) -> std::io::Result<()> {
    for step in steps {
        match step {
            Step::Write(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::Drip(bytes, every) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(every).await;
                }
            }
            Step::Repeat(bytes, every) => loop {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                tokio::time::sleep(every).await;
            },
            Step::Close => {
                stream.shutdown().await?;
                return Ok(());
            }
            Step::Reset => {
                linger_not(socket);
                return Ok(());
            }
            Step::Hang => {
                let mut ignored = [0; 1024];
                while stream.read(&mut ignored).await? > 0 {}
                return Ok(());
            }
        }
    }
    Ok(())
}
