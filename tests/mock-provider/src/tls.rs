//! TLS with a certificate made on the spot.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where the certificate is written, as PEM, for a client's `SSL_CERT_FILE`.
    pub certificate: PathBuf,
    /// What ALPN offers.
    pub http: Http,
    /// Names in the certificate beside `localhost` and 127.0.0.1.
    pub names: Vec<String>,
}

/// Versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Tls {
    /// Both versions, for localhost.
    pub fn at(certificate: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), http: Http::Both, names: vec![] }
    }

    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        names.extend(self.names.iter().cloned());
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        std::fs::write(&self.certificate, made.cert.pem())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = match self.http {
            Http::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Http::One => vec![b"http/1.1".to_vec()],
            Http::Two => vec![b"h2".to_vec()],
        };
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
