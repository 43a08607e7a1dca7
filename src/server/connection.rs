//! One client's connection from its first byte to its last: TLS, HTTP/1.1 or HTTP/2, and the requests on it.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::drain::{Gate, LATE_COMERS};
use super::front::Front;
use super::io::{Activity, ClientTimes, Timed};
use super::listen::Place;
use super::tls::Acceptor;
use crate::proxy::Peer;
use crate::upstream::client::LocalExecutor;

/// How large a request's head may be (spec §4), and how much is read ahead of a slow upstream.
const READ_BUFFER: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 250;
/// What a client may send ahead on one HTTP/2 stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What HTTP/2 prior knowledge begins with, and no HTTP/1 request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<Acceptor>,
    times: ClientTimes,
    front: Rc<Front>,
    gate: Rc<Gate>,
    _place: Place,
) {
    let peer = front.trust_forwarded.then(|| stream.peer_addr().ok()).flatten().map(|peer| Peer(peer.ip()));
    let Some(tls) = tls else {
        let begun = gate.begin(timeout(times.read, speaks_http2(&stream)));
        if let Some(Ok(Ok(http2))) = begun.await {
            serve_http(stream, http2, times, front, peer, gate).await;
        }
        return;
    };
    // Boxed, here and below: the connections of plain HTTP/1.1 would be as large as these.
    let begun = Box::pin(gate.begin(timeout(times.read, tls.accept(stream))));
    if let Some(Ok(Ok(stream))) = begun.await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Box::pin(serve_http(stream, http2, times, front, peer, gate)).await;
    }
}

async fn serve_http<S>(
    stream: S,
    http2: bool,
    times: ClientTimes,
    front: Rc<Front>,
    peer: Option<Peer>,
    gate: Rc<Gate>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let activity = Activity::new(http2);
    let io = TokioIo::new(Timed::new(stream, Rc::clone(&activity), times));
    let (front, gate, activity) = (&front, &gate, &activity);
    // What the connection goes on as once its request for an upgrade has been answered 101.
    let upgraded = Rc::new(Cell::new(None));
    let switch = Rc::clone(&upgraded);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (front, running) = (Rc::clone(front), activity.begin());
        let (switch, activity, gate) = (Rc::clone(&switch), Rc::clone(activity), Rc::clone(gate));
        // Boxed once here: hyper would move these kilobytes several times on their way to the connection's task.
        Box::pin(async move {
            let mut response = front.answer(request, running).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                switch.set(response.body_mut().take_tunnel().map(|tunnel| (tunnel, activity.begin())));
            } else if gate.is_draining() && !http2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        })
    });
    if http2 {
        let connection = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(READ_BUFFER)
            .max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
            .keep_alive_interval(times.idle)
            .serve_connection(io, service);
        let mut connection = Box::pin(connection);
        gate.pass(
            &mut connection,
            |connection, cx| connection.as_mut().poll(cx),
            |connection| connection.as_mut().graceful_shutdown(),
            // One that asks for nothing need not answer that it heard us either.
            |_| activity.has_rested(LATE_COMERS),
        )
        .await;
    } else {
        let mut connection = http1::Builder::new().max_buf_size(READ_BUFFER).serve_connection(io, service);
        let close = |connection: &mut http1::Connection<_, _>| Pin::new(connection).graceful_shutdown();
        let ended = gate.pass(
            &mut connection,
            http1::Connection::poll_without_shutdown,
            // hyper would close it at once, or behind its answer, on a request that is on its way.
            |_| (),
            |connection| {
                let has_rested = activity.has_rested(LATE_COMERS);
                if has_rested {
                    close(connection);
                }
                has_rested && activity.is_in_head()
            },
        );
        match ended.await {
            Some(Ok(())) => {
                let http1::Parts { io, read_buf, .. } = connection.into_parts();
                let mut client = io.into_inner();
                if let Some((tunnel, _running)) = upgraded.take() {
                    Box::pin(gate.run(tunnel.run(client, read_buf))).await;
                } else {
                    gate.run(client.shutdown()).await;
                }
            }
            // Half a head is no request yet: nothing is lost by not waiting for the other half.
            None if activity.is_in_head() => {
                gate.run(connection.into_parts().io.into_inner().refuse_head()).await;
            }
            // hyper has answered it.
            Some(Err(error)) if error.is_parse() => front.proxy.unreadable(&error),
            Some(Err(_)) | None => {}
        }
    }
}

/// Whether the client begins with HTTP/2's preface. Looks without taking, so that the socket stays what it is.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        stream.readable().await?;
        let length = match stream.peek(&mut seen).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => length,
        };
        let (seen, preface) =
            (seen.get(..length).unwrap_or_default(), PREFACE.get(..length).unwrap_or_default());
        if seen != preface {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        // Readiness does not change until we take what is there: the rest of a preface cut in two is waited for so.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
