//! New connections to upstreams: TCP, the outbound proxy if one is set, TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

use super::outbound::{Outbound, OutboundProxy, ProxyKind};
use super::{BaseUrl, Scheme};
use crate::wire::Socket;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Name look-up, TCP or the outbound proxy.
    #[error("can't connect: {0}")]
    Tcp(String),
    /// The handshake, a certificate among it.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// HTTP's own beginning.
    #[error("can't begin HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// It took longer than `RESPONSE_TIMEOUT`.
    #[error("connecting took longer than {} s (RESPONSE_TIMEOUT)", .0.as_secs())]
    TimedOut(Duration),
}

/// Which versions of HTTP are offered under TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Versions {
    Any,
    Http1,
}

/// Makes connections. One for each worker; the TLS configuration (its session cache above all) is shared.
#[derive(Clone)]
pub struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
    tls_http1: TlsConnector,
    outbound: Arc<Outbound>,
}

impl Connector {
    /// Connects directly or by way of `outbound`, trusting what `tls` trusts.
    pub fn new(tls: Arc<ClientConfig>, outbound: Arc<Outbound>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Token streams are small writes: without it each waits for the other side's delayed ACK.
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let mut http1 = ClientConfig::clone(&tls);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tcp, tls: tls.into(), tls_http1: Arc::new(http1).into(), outbound }
    }

    /// A connection, which has to be there within `limit`.
    pub(crate) async fn connect(
        mut self,
        upstream: &BaseUrl,
        versions: Versions,
        limit: Duration,
    ) -> Result<Socket, ConnectError> {
        share_out(&mut self.tcp, limit);
        let origin = Uri::builder()
            .scheme(upstream.scheme().as_str())
            .authority(upstream.authority().as_bytes())
            .path_and_query("/")
            .build()
            .map_err(|error| ConnectError::Tcp(error.to_string()))?;
        let io = match self.outbound.proxy_for(upstream) {
            None => self.tcp.call(origin).await.map_err(tcp_error)?,
            Some(proxy) => self.connect_by(proxy, origin).await?,
        };
        if upstream.scheme() == Scheme::Http {
            return Ok(Socket::Plain(io.into_inner()));
        }
        let host = upstream.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let tls = match versions {
            Versions::Any => &self.tls,
            Versions::Http1 => &self.tls_http1,
        };
        let stream = tls.connect(name, io.into_inner()).await.map_err(ConnectError::Tls)?;
        Ok(Socket::tls(stream))
    }

    async fn connect_by(
        &self,
        proxy: &OutboundProxy,
        upstream: Uri,
    ) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = if proxy.host.contains(':') { format!("[{}]", proxy.host) } else { proxy.host.clone() };
        let address: Uri = format!("http://{host}:{}", proxy.port).parse().map_err(tcp_error)?;
        match proxy.kind {
            ProxyKind::Http => {
                let mut tunnel = Tunnel::new(address, self.tcp.clone());
                if let Some(credentials) = &proxy.credentials {
                    let (user, password) = (credentials.user.expose(), credentials.password.expose());
                    // RFC 7617; base64 can always travel in a header.
                    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
                    tunnel = tunnel.with_auth(HeaderValue::try_from(basic).map_err(tcp_error)?);
                }
                tunnel.call(upstream).await.map_err(tcp_error)
            }
            ProxyKind::Socks5 => {
                let mut socks = SocksV5::new(address, self.tcp.clone());
                if let Some(credentials) = &proxy.credentials {
                    let (user, password) = (credentials.user.expose(), credentials.password.expose());
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(upstream).await.map_err(tcp_error)
            }
        }
    }
}

/// Shares out a time limit among the addresses of a name, so that those that are dead leave some of it to the others.
fn share_out<R>(tcp: &mut HttpConnector<R>, limit: Duration) {
    // A little more than there is: where none answers it is the limit that ends it.
    tcp.set_connect_timeout(Some(limit + Duration::from_millis(10)));
}

/// The whole chain of causes: "tcp connect error: Connection refused (os error 111)".
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn tcp_error(error: impl std::error::Error) -> ConnectError {
    ConnectError::Tcp(chain(&error))
}

/// What TLS to upstreams trusts: the system's roots, or the bundled ones where it has none, and `more`
/// (`UPSTREAM_CA_FILE`).
///
/// # Errors
/// If the platform's crypto does not offer the protocol versions we ask for.
pub fn tls_config(more: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in more {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::net::SocketAddr;
    use std::task::{Context, Poll};

    use hyper_util::client::legacy::connect::dns::Name;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// Every name has these addresses.
    #[derive(Clone)]
    struct Names(Vec<SocketAddr>);

    impl tower_service::Service<Name> for Names {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            ready(Ok(self.0.clone().into_iter()))
        }
    }

    #[tokio::test]
    async fn a_dead_address_of_a_name_leaves_time_for_the_others() {
        // What listens, but takes no more connections, says nothing to those who try.
        let dead = TcpSocket::new_v4().unwrap();
        dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = dead.listen(1).unwrap();
        let mut taken = Vec::new();
        let one_more = async || {
            timeout(Duration::from_millis(300), TcpStream::connect(dead.local_addr().unwrap())).await
        };
        while let Ok(connected) = one_more().await {
            taken.push(connected.unwrap());
        }
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [&dead, &alive].map(|listener| listener.local_addr().unwrap());
        let mut tcp = HttpConnector::new_with_resolver(Names(addresses.to_vec()));
        share_out(&mut tcp, Duration::from_millis(600));
        let call = timeout(Duration::from_secs(10), tcp.call(Uri::from_static("http://name/"))).await;
        let connected = call.expect("it does not wait for the dead one").unwrap();
        assert_eq!(connected.into_inner().peer_addr().unwrap(), addresses[1]);
    }
}
