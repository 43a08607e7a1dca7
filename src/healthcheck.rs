//! `gpt-load healthcheck`: asks the running server's `/livez`, for containers without a shell (spec §12).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::config::Listen;

/// How long each step may take.
const TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Whether the server that these settings describe is alive.
///
/// # Errors
/// If it can't be reached or does not answer 200.
pub fn ask(listen: &Listen) -> Result<(), String> {
    let host = match listen.host.trim_start_matches('[').trim_end_matches(']') {
        "0.0.0.0" => IpAddr::from(Ipv4Addr::LOCALHOST).to_string(),
        "::" => IpAddr::from(Ipv6Addr::LOCALHOST).to_string(),
        host => host.to_owned(),
    };
    let port = listen.port;
    let failed = |error: io::Error| format!("{host}:{port}: {error}");
    let mut addresses = (host.as_str(), port).to_socket_addrs().map_err(failed)?;
    let address = addresses.next().ok_or_else(|| format!("{host}: no address"))?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    let status = if listen.tls.is_some() {
        let connection = tls_connection().map_err(|error| error.to_string())?;
        status_line(StreamOwned::new(connection, stream))
    } else {
        status_line(stream)
    };
    let status = status.map_err(failed)?;
    if status.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("{host}:{port}: /livez answered {status:?}"))
    }
}

fn status_line(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut line = [0; 32];
    let mut read = 0;
    while let Some(rest) = line.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest)? {
            0 => break,
            bytes => read += bytes,
        }
    }
    let line = String::from_utf8_lossy(line.get(..read).unwrap_or_default());
    Ok(line.lines().next().unwrap_or_default().to_owned())
}

fn tls_connection() -> Result<ClientConnection, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let localhost = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
    ClientConnection::new(Arc::new(config), localhost)
}

/// The certificate is for the name that clients use, not for the loopback that we ask by. Nothing secret is sent, and
/// whoever can answer on this machine's own port is what we ask about.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
