//! TLS in front (`TLS_CERT_FILE`, `TLS_KEY_FILE`): HTTP/2 or HTTP/1.1 by ALPN, with a certificate that can be replaced
//! while connections last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
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
pub struct Acceptor {
    tls: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate that is shown, and where it came from.
#[derive(Debug)]
struct Current {
    cert: PathBuf,
    key: PathBuf,
    certified: ArcSwap<CertifiedKey>,
}

impl Acceptor {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`], naming the variable and the file.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let certified = ArcSwap::new(certified(cert, key)?);
        let current = Arc::new(Current { cert: cert.into(), key: key.into(), certified });
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(config).into(), current })
    }

    /// Reads both files again. Handshakes from now on show what they hold; what can't be used leaves them as they are.
    pub fn reload(&self) {
        match certified(&self.current.cert, &self.current.key) {
            Ok(certified) if certified.cert == self.current.certified.load().cert => {}
            Ok(certified) => {
                self.current.certified.store(certified);
                tracing::info!("the certificate was replaced");
            }
            Err(error) => tracing::error!(error = %error, "the certificate stays as it was"),
        }
    }

    /// The certificate's file and the key's.
    pub fn files(&self) -> [&Path; 2] {
        [&self.current.cert, &self.current.key]
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls.accept(stream).await
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.load_full())
    }
}

fn certified(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates("TLS_CERT_FILE", cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
        variable: "TLS_KEY_FILE",
        path: key.into(),
        reason: reason(&error, "private key"),
    })?;
    Ok(Arc::new(CertifiedKey::from_der(chain, private, &default_provider())?))
}

/// The certificates in a PEM file: at least one.
///
/// # Errors
/// [`TlsError::File`] with the variable that names the file.
pub fn read_certificates(
    variable: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { variable, path: path.into(), reason };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(reason(&error, "certificate")))?;
    if chain.is_empty() {
        return Err(wrong("has no certificate in PEM form".to_owned()));
    }
    Ok(chain)
}

fn reason(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("has no {wanted} in PEM form"),
        // What else it says may quote the file.
        _ => "is not a valid PEM file".to_owned(),
    }
}
