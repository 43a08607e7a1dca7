//! Spec §6, §8, §9: connections that were kept, and are closed or silent when they are used again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{A, GptLoad, Peer};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
/// What is unused for so long has rested.
const REST: Duration = Duration::from_millis(2_200);

#[test]
fn what_ends_long_after_a_request_was_sent_is_an_attempt_however_its_connection_had_rested() {
    let cases =
        [(Duration::ZERO, 200, 2), (Duration::from_millis(1_300), 502, 1)].map(|(works, status, seen)| {
            let peer = Peer::start(move |wire| {
                if wire.request().is_some() {
                    wire.send(OK);
                    drop(wire.request());
                    sleep(works);
                    wire.reset();
                }
            });
            let gpt_load = GptLoad::before_peer(&peer, &[("WORKERS", "1"), ("MAX_RETRIES", "0")], &[A]);
            assert_eq!(gpt_load.chat().status, 200);
            (peer, gpt_load, status, seen)
        });
    sleep(REST);
    for (peer, gpt_load, status, seen) in cases {
        assert_eq!(gpt_load.chat().status, status);
        assert_eq!(peer.received().len(), seen, "connections that were asked");
        assert_eq!(gpt_load.told("/stats")["upstreams"][0]["faults"], u64::from(status != 200));
    }
}

/// The connection of a request, as its upstream sees it.
fn asked(listener: &TcpListener) -> TcpStream {
    loop {
        let mut stream = listener.accept().unwrap().0;
        // gpt-load looks at its upstreams once, and says nothing.
        if stream.read(&mut [0; 4096]).unwrap() > 0 {
            return stream;
        }
    }
}

/// Connections that fill a listener's queue: no other is made while they are held.
fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    std::iter::from_fn(connect).collect()
}

#[test]
fn the_second_sending_of_a_request_has_what_is_left_of_its_time() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let (tell, is_full) = channel();
    let served = std::thread::spawn(move || {
        let mut stream = asked(&listener);
        stream.write_all(OK.as_bytes()).unwrap();
        let held = fill(address);
        tell.send(()).unwrap();
        let _ = stream.read(&mut [0; 4096]);
        sleep(Duration::from_millis(700));
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        (listener, held)
    });
    let url = format!("http://{address}");
    let env = [("OPENAI_BASE_URL", &*url), ("WORKERS", "1"), ("MAX_RETRIES", "0"), ("REQUEST_TIMEOUT", "2")];
    let gpt_load = GptLoad::start(&env, &[A]);
    assert_eq!(gpt_load.chat().status, 200);
    is_full.recv().unwrap();
    sleep(REST);
    let began = Instant::now();
    let ask = std::thread::scope(|scope| {
        let answer = scope.spawn(|| gpt_load.chat());
        let held = served.join().unwrap();
        let answer = answer.join().unwrap();
        drop(held);
        answer
    });
    assert_eq!(ask.refused(), (504, "upstream_timeout".to_owned()));
    let took = began.elapsed();
    assert!((1_900..2_600).contains(&took.as_millis()), "{took:?}");
}
