//! Spec §4, §12: how clients connect: TLS, limits, sockets that others bound.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mock_provider::{Options, Tls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{A, GptLoad, Launch, Peer, Raw, eventually, patience, provider_with};

/// Writes a fresh certificate for localhost and its key, and returns it.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A TLS connection that trusts this certificate alone.
fn connect(
    gpt_load: &GptLoad,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
) -> std::io::Result<TlsClient> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut socket = TcpStream::connect(gpt_load.address())?;
    socket.set_read_timeout(Some(patience()))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn livez(client: &mut TlsClient) -> String {
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    let length = client.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn https_speaks_what_alpn_agrees_on() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let env = [("TLS_CERT_FILE", cert.to_str().unwrap()), ("TLS_KEY_FILE", key.to_str().unwrap())];
    let gpt_load = GptLoad::start(&env, &[A]);
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let client = connect(&gpt_load, &trusted, offered).unwrap();
        assert_eq!(client.conn.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
    }
    assert!(livez(&mut connect(&gpt_load, &trusted, &[]).unwrap()).starts_with("HTTP/1.1 200"));
    // Plain HTTP there is no crash and no answer.
    let answer = gpt_load.raw().send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").rest();
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_certificate_that_changes_is_shown_from_then_on_and_a_bad_one_never_is() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let env = [("TLS_CERT_FILE", cert.to_str().unwrap()), ("TLS_KEY_FILE", key.to_str().unwrap())];
    let gpt_load = GptLoad::start(&env, &[A]);
    let shows = |trusted: &_| connect(&gpt_load, trusted, &[]).is_ok();
    let mut old = connect(&gpt_load, &first, &[]).unwrap();
    let second = certificate(folder.path());
    eventually("the new certificate is shown", || shows(&second));
    assert!(!shows(&first));
    assert!(livez(&mut old).starts_with("HTTP/1.1 200"), "connections last");
    fs::write(&cert, "no certificate").unwrap();
    gpt_load.said("stays as it was");
    assert!(shows(&second));
    let third = certificate(folder.path());
    gpt_load.signal("HUP");
    eventually("SIGHUP reads it too", || shows(&third));
}

#[test]
fn upstream_ca_file_is_trusted_beside_the_systems_roots() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let mock = provider_with(Options { tls: Some(Tls::at(&certificate)), ..Options::default() }, &[A]);
    let gpt_load = GptLoad::before(&mock, &[("UPSTREAM_CA_FILE", certificate.to_str().unwrap())], &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let empty = folder.path().join("empty.pem");
    let ended = Launch::new(&[("UPSTREAM_CA_FILE", empty.to_str().unwrap())], &[A]).run();
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.output.contains("UPSTREAM_CA_FILE") && ended.output.contains("no certificate"),
        "{}",
        ended.output
    );
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_room_comes_back() {
    let gpt_load = GptLoad::start(&[("MAX_CONNECTIONS", "3")], &[A]);
    let mut held: Vec<Raw> = (0..3).map(|_| gpt_load.raw()).collect();
    for client in &mut held {
        client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").until("\r\n\r\n");
    }
    let answer = gpt_load.raw().send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").rest();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_connections"),
        "{answer}"
    );
    gpt_load.said("MAX_CONNECTIONS are open");
    held.pop();
    eventually("there is room again", || {
        gpt_load
            .raw()
            .send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .rest()
            .starts_with("HTTP/1.1 200")
    });
}

#[test]
fn running_out_of_descriptors_neither_kills_nor_spins() {
    let launch = Launch::new(&[("MAX_CONNECTIONS", "1000"), ("WORKERS", "1")], &[A]).after("ulimit -n 48");
    let mut gpt_load = launch.start();
    let held: Vec<Raw> = (0..100).map(|_| gpt_load.raw()).collect();
    gpt_load.said("can't accept connections right now");
    let before = gpt_load.cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    let spent = gpt_load.cpu_time().saturating_sub(before);
    assert!(spent < Duration::from_millis(500), "it spins: {spent:?} of 2 s");
    assert!(gpt_load.is_running());
    let lines = gpt_load.output().matches("can't accept").count();
    assert!(lines <= 2, "{lines} lines");
    drop(held);
    assert_eq!(gpt_load.get("/livez").send().status, 200);
}

#[test]
fn a_socket_that_was_bound_for_us_is_served_by_all_workers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gpt_load = Launch::new(&[("PORT", "1"), ("HOST", "192.0.2.1")], &[A]).socket(&listener).start();
    assert_eq!(gpt_load.address(), listener.local_addr().unwrap());
    for _ in 0..10 {
        assert_eq!(gpt_load.get("/livez").send().status, 200);
    }
}

/// Asks for as long as the load goes on: on a connection for each request, or on one that is kept while it can be.
fn asks(address: SocketAddr, kept: bool, stop: &AtomicBool, answered: &AtomicU64) {
    let mut connection: Option<Raw> = None;
    while !stop.load(Ordering::Relaxed) {
        let mut raw = connection.take().unwrap_or_else(|| Raw::connect(address));
        let more = if kept { "" } else { "Connection: close\r\n" };
        let ask = format!("GET /v1/models HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        let head = raw.send(ask).until_or_end("\r\n\r\nok");
        if !head.starts_with("HTTP/1.1 200") {
            stop.store(true, Ordering::Relaxed);
            panic!("a request failed, kept: {kept}: {head:?}");
        }
        if kept && !head.contains("connection: close") {
            connection = Some(raw);
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Three times under load, the next process is started, and then the one before it ended.
fn rolls(launch: impl Fn(Option<SocketAddr>) -> GptLoad) {
    let mut current = launch(None);
    let address = current.address();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..6 {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || asks(address, client % 2 == 0, stop, answered));
        }
        for _ in 0..3 {
            let so_far = answered.load(Ordering::Relaxed);
            eventually("the load goes on", || {
                answered.load(Ordering::Relaxed) > so_far + 20 || stop.load(Ordering::Relaxed)
            });
            let next = launch(Some(address));
            current.signal("TERM");
            assert_eq!(current.ended(), Some(0));
            current = next;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn slow_answers() -> Peer {
    Peer::start(|wire| {
        while wire.request().is_some() {
            std::thread::sleep(Duration::from_millis(20));
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    let peer = slow_answers();
    let url = peer.url();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rolls(|_| Launch::new(&[("OPENAI_BASE_URL", &url)], &[A]).socket(&listener).start());
}

#[test]
fn a_rolling_restart_on_a_shared_port_fails_no_request() {
    let peer = slow_answers();
    let url = peer.url();
    rolls(|address| {
        let port = address.map_or(0, |address| address.port()).to_string();
        GptLoad::start(&[("OPENAI_BASE_URL", &url), ("PORT", &port), ("REUSE_PORT", "true")], &[A])
    });
}

#[test]
fn a_chain_of_forwarders_stays_here_unless_it_is_trusted() {
    for (trust, chain) in [("false", None), ("true", Some("x-forwarded-for: 203.0.113.9, 127.0.0.1\r\n"))] {
        let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let gpt_load = GptLoad::before_peer(&peer, &[("TRUST_FORWARDED", trust)], &[A]);
        let answer = gpt_load
            .get("/v1/models")
            .header("x-forwarded-for", "203.0.113.9")
            .header("forwarded", "for=203.0.113.9");
        assert_eq!(answer.send().status, 200);
        let sent = peer.received()[0].to_ascii_lowercase();
        assert_eq!(sent.contains("x-forwarded-for"), chain.is_some(), "{sent}");
        assert!(chain.is_none_or(|chain| sent.contains(chain)), "{sent}");
        assert_eq!(
            sent.contains("\r\nforwarded: for=203.0.113.9, for=127.0.0.1\r\n"),
            chain.is_some(),
            "{sent}"
        );
    }
}
