//! Where clients connect: one socket a worker on the same port, so that the kernel deals connections out and no
//! worker waits for another.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: i32 = 4096;
/// How long the accept loop rests when the system is out of something.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

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
    /// Anything else.
    #[error("HOST, PORT: can't listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// One bound socket for each worker.
pub struct Listeners {
    sockets: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// Binds so many sockets to one port. Port 0 takes any that is free.
    ///
    /// # Errors
    /// If the host can't be resolved or the port can't be had.
    pub fn bind(host: &str, port: u16, workers: usize) -> Result<Self, BindError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let resolve = |source| BindError::Resolve { host: host.to_owned(), source };
        let mut addresses = (host, port).to_socket_addrs().map_err(resolve)?;
        let wanted = addresses.next().ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken(wanted),
            _ => BindError::Bind { address: wanted, source },
        };
        // SO_REUSEPORT would share a port with another gpt-load and hide that it is taken: ask without it first.
        if port != 0 {
            socket(wanted, false).map_err(failed)?;
        }
        let first = socket(wanted, true).map_err(failed)?;
        let address = first.local_addr().map_err(failed)?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            sockets.push(socket(address, true).map_err(failed)?);
        }
        Ok(Self { sockets, address })
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
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The next connection. What is wrong with one connection is not wrong with the listener; when the system runs out of
/// descriptors or memory, this rests instead of spinning.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return prepared(stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error, "can't accept connections right now");
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
        let first = Listeners::bind("127.0.0.1", 0, 3).unwrap();
        let port = first.address().port();
        assert!(first.sockets.iter().all(|socket| socket.local_addr().unwrap().port() == port));
        let second = Listeners::bind("127.0.0.1", port, 2).err().unwrap();
        assert!(matches!(second, BindError::Taken(_)), "{second}");
    }

    #[test]
    fn a_name_that_means_nothing_is_told_apart() {
        let error = Listeners::bind("no such host", 1, 1).err().unwrap();
        assert!(matches!(error, BindError::Resolve { .. }), "{error}");
    }
}
