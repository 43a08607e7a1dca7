//! Where clients connect: one socket a worker on the same port, so that the kernel deals connections out and no
//! worker waits for another.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: i32 = 4096;
/// After so long a silence the kernel asks whether the client is still there.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
/// How long the accept loop rests when the system is out of something.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How long a handshake may still take once no new ones begin.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_millis(300);
/// Between two lines in the log about the same trouble.
const SELDOM: Duration = Duration::from_secs(10);
/// The word for whom there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\ncontent-length: 139\r\n\r\n\
    {\"error\":{\"message\":\"Too many connections are open (MAX_CONNECTIONS).\",\"type\":\"gpt_load_error\",\"param\":null,\
    \"code\":\"too_many_connections\"}}";

/// Why we can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The name means nothing.
    #[error("HOST: {host:?} is no address and no name that can be resolved: {source}")]
    Resolve {
        /// As it was configured.
        host: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else is there.
    #[error("PORT: {0} is taken by another process: stop it, or choose another PORT")]
    Taken(SocketAddr),
    /// What a supervisor left to us.
    #[error("LISTEN_FDS: a descriptor is no TCP socket that listens: {0}")]
    Inherited(io::Error),
    /// Anything else.
    #[error("HOST, PORT: can't listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// Who else may listen on our port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Whoever tries is told that it is taken, and so are we.
    WithNobody,
    /// The gpt-load that takes over from us, and the one that we take over from (`REUSE_PORT`).
    WithNext,
}

/// One bound socket for each worker.
pub struct Listeners {
    sockets: Vec<std::net::TcpListener>,
    address: SocketAddr,
    /// `WithNobody` for sockets that were left to us: they serve the next process as they are.
    pub(super) sharing: Sharing,
}

impl Listeners {
    /// The sockets that a supervisor bound and left to us (`LISTEN_FDS`, as systemd does), for so many workers; `None` if
    /// it left none. `HOST` and `PORT` then say nothing. A socket that outlives the process lets the next one take over
    /// without a refused connection.
    ///
    /// # Errors
    /// If what was left is no listening TCP socket.
    pub fn inherited(workers: usize) -> Result<Option<Self>, BindError> {
        let mut left = ListenFd::from_env();
        let mut bound = Vec::new();
        for index in 0..left.len() {
            bound.extend(left.take_tcp_listener(index).map_err(BindError::Inherited)?);
        }
        let Some(first) = bound.first() else { return Ok(None) };
        let address = first.local_addr().map_err(BindError::Inherited)?;
        let mut sockets = Vec::new();
        // Each worker has one, and each one has a worker.
        for index in 0..workers.max(bound.len()) {
            let socket = bound.get(index % bound.len()).map(std::net::TcpListener::try_clone);
            let socket = socket.transpose().map_err(BindError::Inherited)?;
            sockets.extend(socket);
        }
        for socket in &sockets {
            socket.set_nonblocking(true).map_err(BindError::Inherited)?;
            SockRef::from(socket).set_tcp_keepalive(&KEEPALIVE).map_err(BindError::Inherited)?;
        }
        Ok(Some(Self { sockets, address, sharing: Sharing::WithNobody }))
    }

    /// Binds so many sockets to one port. Port 0 takes any that is free.
    ///
    /// # Errors
    /// If the host can't be resolved or the port can't be had.
    pub fn bind(host: &str, port: u16, sharing: Sharing, workers: usize) -> Result<Self, BindError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let resolve = |source| BindError::Resolve { host: host.to_owned(), source };
        let mut addresses = (host, port).to_socket_addrs().map_err(resolve)?;
        let wanted = addresses.next().ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken(wanted),
            _ => BindError::Bind { address: wanted, source },
        };
        // SO_REUSEPORT would share a port with another gpt-load and hide that it is taken: ask without it first.
        if port != 0 && sharing == Sharing::WithNobody {
            socket(wanted, false).map_err(failed)?;
        }
        let first = socket(wanted, true).map_err(failed)?;
        let address = first.local_addr().map_err(failed)?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            sockets.push(socket(address, true).map_err(failed)?);
        }
        Ok(Self { sockets, address, sharing })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl IntoIterator for Listeners {
    type Item = std::net::TcpListener;
    type IntoIter = std::vec::IntoIter<std::net::TcpListener>;

    fn into_iter(self) -> Self::IntoIter {
        self.sockets.into_iter()
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // "::" is for IPv4 as well.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Those that are accepted have it from here.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Counts the open connections of all workers against `MAX_CONNECTIONS`.
pub struct Connections {
    open: AtomicUsize,
    limit: usize,
}

/// An open connection's place. It is given back when this is dropped.
pub(super) struct Place(Arc<Connections>);

impl Connections {
    /// None open yet.
    pub fn new(limit: usize) -> Self {
        Self { open: AtomicUsize::new(0), limit }
    }

    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        // Counted first: two at the limit can't both see room for one. A refused place is given back at once.
        (self.open.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns a connection away that there is no place for: with a word where it can be had without waiting, else by closing.
pub(super) fn refuse(stream: TcpStream, tls: bool) {
    OFTEN.with(|often| often.warn("MAX_CONNECTIONS are open: further ones are refused", &"the limit"));
    let Ok(mut stream) = stream.into_std() else { return };
    if !tls {
        // What was sent already is taken first: a close with bytes unread would reset the connection, and the answer.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write(FULL);
    }
}

/// How many descriptors this process may have open, once it has raised its soft limit to the hard one.
pub fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    limit.maximum.or(limit.current).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Raises the soft limit of descriptors to the hard one. What can't be raised stays as it is.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(error = %error, "can't raise the limit of open files");
    }
}

thread_local! {
    static OFTEN: Often = const { Often { said: Cell::new(None), unsaid: Cell::new(0) } };
}

/// What could be logged a thousand times a second, and is once in ten.
struct Often {
    said: Cell<Option<Instant>>,
    unsaid: Cell<u64>,
}

impl Often {
    fn warn(&self, message: &str, error: &dyn std::fmt::Display) {
        if self.said.get().is_some_and(|said| said.elapsed() < SELDOM) {
            self.unsaid.set(self.unsaid.get() + 1);
            return;
        }
        self.said.set(Some(Instant::now()));
        tracing::warn!(error = %error, times_since_last_said = self.unsaid.replace(0), "{message}");
    }
}

/// The next connection. What is wrong with one connection is not wrong with the listener; when the system runs out of
/// descriptors or memory, this rests instead of spinning.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return prepared(stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                OFTEN.with(|often| often.warn("can't accept connections right now", &error));
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

/// The next connection that is waiting already.
pub(super) async fn accept_now(listener: &TcpListener) -> Option<TcpStream> {
    std::future::poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(Ok((stream, _))) => Poll::Ready(Some(prepared(stream))),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Leaves new connections to the process that shares the port: the kernel would go on dealing us our part until the
/// close, and reset those then that nobody had accepted. Returns whether it could be done.
pub(super) fn leave_to_next(listener: &TcpListener) -> bool {
    // Classic BPF on the TCP header: SYN without ACK is dropped. The client sends it again within a second, and the kernel
    // deals it to whoever listens then. Handshakes that have begun go on.
    let no_new_ones = [
        SockFilter::new(0x30, 0, 0, 13),       // load the byte with the flags
        SockFilter::new(0x54, 0, 0, 0x12),     // keep SYN and ACK
        SockFilter::new(0x15, 0, 1, 0x02),     // SYN alone?
        SockFilter::new(0x06, 0, 0, 0),        // drop it
        SockFilter::new(0x06, 0, 0, u32::MAX), // take all else
    ];
    let left = SockRef::from(listener).attach_filter(&no_new_ones);
    if let Err(error) = &left {
        tracing::debug!(error = %error, "can't leave connections to the next process before the port is closed");
    }
    left.is_ok()
}

fn prepared(stream: TcpStream) -> TcpStream {
    // Token streams are small writes: without it each waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "can't set TCP_NODELAY");
    }
    stream
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_nobody_else_gets() {
        let first = Listeners::bind("127.0.0.1", 0, Sharing::WithNobody, 3).unwrap();
        let port = first.address().port();
        assert!(first.sockets.iter().all(|socket| socket.local_addr().unwrap().port() == port));
        let second = Listeners::bind("127.0.0.1", port, Sharing::WithNobody, 2).err().unwrap();
        assert!(matches!(second, BindError::Taken(_)), "{second}");
    }

    #[test]
    fn a_client_that_is_silent_is_asked_whether_it_is_there() {
        let listeners = Listeners::bind("127.0.0.1", 0, Sharing::WithNobody, 1).unwrap();
        let _client = std::net::TcpStream::connect(listeners.address()).unwrap();
        listeners.sockets[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listeners.sockets[0].accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    }

    #[test]
    fn a_place_is_had_up_to_the_limit_and_given_back() {
        let connections = Arc::new(Connections::new(2));
        let first = connections.enter().unwrap();
        let _second = connections.enter().unwrap();
        assert!(connections.enter().is_none());
        assert!(connections.enter().is_none());
        drop(first);
        assert!(connections.enter().is_some());
    }

    #[test]
    fn the_word_for_whom_there_is_no_place_says_its_length() {
        let word = std::str::from_utf8(FULL).unwrap();
        let (head, body) = word.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[test]
    fn a_name_that_means_nothing_is_told_apart() {
        let error = Listeners::bind("no such host", 1, Sharing::WithNobody, 1).err().unwrap();
        assert!(matches!(error, BindError::Resolve { .. }), "{error}");
    }
}
