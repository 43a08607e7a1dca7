//! TLS in front (`TLS_CERT_FILE`, `TLS_KEY_FILE`): HTTP/2 or HTTP/1.1 by ALPN.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or is not what it should be.
    #[error("{variable}: {}: {reason}", .path.display())]
    File {
        /// Which of the two.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The two don't go together.
    #[error("TLS_CERT_FILE, TLS_KEY_FILE: the certificate and the key can't be used together: {0}")]
    Pair(#[from] rustls::Error),
}

/// Shakes hands with clients.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`], naming the variable and the file.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong =
            |variable, path: &Path, reason: String| TlsError::File { variable, path: path.into(), reason };
        let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| wrong("TLS_CERT_FILE", cert, reason(&error)))?;
        if chain.is_empty() {
            return Err(wrong("TLS_CERT_FILE", cert, "has no certificate in PEM form".to_owned()));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("TLS_KEY_FILE", key, reason(&error)))?;
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "has no private key in PEM form".to_owned(),
        // What else it says may quote the file.
        _ => "is not a valid PEM file".to_owned(),
    }
}
