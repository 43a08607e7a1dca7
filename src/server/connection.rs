//! One client's connection from its first byte to its last: TLS, HTTP/1.1 or HTTP/2, and the requests on it.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::drain::{Gate, LATE_COMERS};
use super::http1::{End, Http1};
use super::http2;
use super::listen::Place;
use super::service::{Answers, Service};
use super::tls::Acceptor;
use crate::proxy::Peer;
use crate::rare::rare;
use crate::wire::{Activity, ClientSocket, ClientTimes, Socket, Timed};

/// How often the rest of a preface is looked for, 10 ms apart.
const LOOKS: usize = 100;
/// What HTTP/2 prior knowledge begins with, and no HTTP/1 request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve<F: Future + 'static>(
    stream: TcpStream,
    tls: Option<Acceptor>,
    times: ClientTimes,
    answers: Rc<Answers<F>>,
    gate: Rc<Gate>,
    _place: Place,
) {
    let is_trusted = answers.front.trust_forwarded;
    let peer = is_trusted.then(|| stream.peer_addr().ok()).flatten().map(|peer| Peer(peer.ip()));
    let service = Service { answers, gate, peer };
    let gate = &service.gate;
    let (socket, http2) = if let Some(tls) = tls {
        let begun = rare(gate.begin(timeout(times.read, tls.accept(stream))));
        let Some(Ok(Ok(stream))) = begun.await else { return };
        let socket = Socket::tls(stream);
        let http2 = socket.speaks_http2();
        (socket, http2)
    } else {
        let begun = gate.begin(timeout(times.read, speaks_http2(&stream)));
        let Some(Ok(Ok(http2))) = begun.await else { return };
        (Socket::Plain(stream), http2)
    };
    let activity = Activity::new(http2);
    let socket = Timed::new(socket, Rc::clone(&activity), times);
    if http2 {
        rare(http2::serve(socket, times, service, &activity)).await;
    } else {
        serve_http1(socket, &service, &activity).await;
    }
}

async fn serve_http1<F: Future>(socket: Timed<Socket>, service: &Service<F>, activity: &Rc<Activity>) {
    let gate = &service.gate;
    let mut http1 = Http1::new(ClientSocket::new(socket), Rc::clone(activity));
    let ended = {
        let mut serving = pin!(http1.serve(service));
        // Who waits for another request has had the time of late comers to send it.
        let is_over = |_: &mut _| activity.has_rested(LATE_COMERS);
        gate.pass(&mut serving, |serving, cx| serving.as_mut().poll(cx), |_| (), is_over).await
    };
    match ended {
        Some(End::Over) => gate.run(http1.close()).await,
        // A drain does not wait for long for who has got its answer.
        Some(End::Early(_running, by)) => {
            rare(gate.begin(http1.close_and_listen(by))).await;
        }
        Some(End::Switched(tunnel, early, _running)) => {
            rare(gate.run(tunnel.run(http1.socket(), early))).await;
        }
        // Half a head is no request yet: nothing is lost by not waiting for the other half.
        None if !activity.is_busy() => rare(gate.run(http1.leave())).await,
        Some(End::Gone) | None => {}
    }
    // The upload to an upstream that takes no more may still hold it.
    http1.socket().close();
}

/// Whether the client begins with HTTP/2's preface. Looks without taking, so that the socket stays what it is.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    for _ in 0..LOOKS {
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
    // It may as well be a POST that takes its time.
    Ok(false)
}
