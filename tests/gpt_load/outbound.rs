//! Spec §8: outbound proxies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mock_provider::{Options, Tls};

use crate::support::{A, GptLoad, Peer, Wire, provider, provider_with};

/// Joins a proxy's client with where it wants to go.
fn join(wire: &mut Wire, to: &str) {
    let mut upstream = TcpStream::connect(to.replace("localhost", "127.0.0.1")).unwrap();
    let (mut down, mut back) = (upstream.try_clone().unwrap(), wire.writer());
    let answers = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = down.read(&mut piece) {
            if back.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    loop {
        let piece = wire.read();
        if piece.is_empty() || upstream.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = upstream.shutdown(std::net::Shutdown::Both);
    answers.join().unwrap();
}

/// RFC 9110 §9.3.6.
fn http_proxy(wire: &mut Wire) {
    let Some(head) = wire.head() else { return };
    let mut words = head.split(' ');
    let (Some("CONNECT"), Some(to)) = (words.next(), words.next()) else { return };
    if !head.contains("cHJveHk6cHctb2YtcHJveHk=") {
        wire.send("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let to = to.to_owned();
    wire.send("HTTP/1.1 200 Connection established\r\n\r\n");
    join(wire, &to);
}

/// RFC 1928 with RFC 1929.
fn socks_proxy(wire: &mut Wire) {
    let head = wire.exactly(2);
    let [5, methods] = head[..] else { return };
    assert!(wire.exactly(methods.into()).contains(&2));
    wire.send([5, 2]);
    let user = wire.exactly(2)[1];
    let user = wire.exactly(user.into());
    let password = wire.exactly(1)[0];
    let password = wire.exactly(password.into());
    let right = user == b"proxy" && password == b"pw-of-proxy";
    wire.send([1, u8::from(!right)]);
    if !right {
        return;
    }
    let host = match wire.exactly(4)[..] {
        [5, 1, 0, 1] => wire.exactly(4).iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        [5, 1, 0, 3] => {
            let length = wire.exactly(1)[0];
            String::from_utf8(wire.exactly(length.into())).unwrap()
        }
        _ => return,
    };
    let port = wire.exactly(2);
    wire.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    join(wire, &format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])));
}

#[test]
fn requests_go_by_the_proxy_that_is_set_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let plain = provider(&[(A, "valid")]);
    let tls = provider_with(Options { tls: Some(Tls::at(&certificate)), ..Options::default() }, &[A]);
    for (scheme, serve) in [("http", http_proxy as fn(&mut Wire)), ("socks5", socks_proxy)] {
        for (mock, variable) in [(&plain, "HTTP_PROXY"), (&tls, "HTTPS_PROXY"), (&plain, "ALL_PROXY")] {
            let proxy = Peer::start(serve);
            let url = format!("{scheme}://proxy:pw-of-proxy@{}", proxy.address());
            let env = [(variable, &*url), ("UPSTREAM_CA_FILE", certificate.to_str().unwrap())];
            let gpt_load = GptLoad::before(mock, &env, &[A]);
            let answer = gpt_load.chat();
            assert_eq!(answer.status, 200, "{scheme} {variable}: {}", answer.text());
            assert!(!proxy.received().is_empty(), "{scheme} {variable}");
            assert!(!gpt_load.output().contains("pw-of-proxy"));
        }
    }
}

#[test]
fn no_proxy_goes_past_it() {
    let mock = provider(&[(A, "valid")]);
    let proxy = Peer::start(http_proxy);
    let gpt_load = GptLoad::before(
        &mock,
        &[("HTTP_PROXY", &proxy.url()), ("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8")],
        &[A],
    );
    assert_eq!(gpt_load.chat().status, 200);
    assert_eq!(proxy.received(), Vec::<String>::new());
}

#[test]
fn a_proxy_that_refuses_is_an_unreachable_upstream() {
    let mock = provider(&[(A, "valid")]);
    for (scheme, serve) in [("http", http_proxy as fn(&mut Wire)), ("socks5", socks_proxy)] {
        let proxy = Peer::start(serve);
        let url = format!("{scheme}://proxy:wrong-password@{}", proxy.address());
        let gpt_load = GptLoad::before(&mock, &[("ALL_PROXY", &url), ("MAX_RETRIES", "0")], &[A]);
        assert_eq!(gpt_load.chat().refused(), (502, "upstream_unreachable".to_owned()), "{scheme}");
        assert_eq!((gpt_load.healthy_keys(), mock.requests()), (1, 0));
        assert!(!gpt_load.output().contains("wrong-password"));
    }
}
