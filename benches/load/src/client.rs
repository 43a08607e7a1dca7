//! The clients.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::Asking;
use crate::wire::Reader;

/// What all connections have seen.
#[derive(Default)]
struct Seen {
    /// From the request to its answer's end, in ns; of paced events: from the upstream's clock to ours.
    times: Vec<u64>,
    to_first_byte: Vec<u64>,
    bytes: usize,
    errors: usize,
    open: usize,
}

pub(crate) struct Connection {
    pub(crate) reader: Reader<OwnedReadHalf>,
    writing: OwnedWriteHalf,
}

impl Connection {
    pub(crate) async fn to(address: &str) -> Result<Self> {
        Self::on(TcpStream::connect(address).await?)
    }

    pub(crate) fn on(socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        let (reading, writing) = socket.into_split();
        Ok(Self { reader: Reader::new(reading), writing })
    }

    pub(crate) async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.writing.write_all(message).await
    }
}

/// A request as an SDK sends it.
pub(crate) fn request(host: &str, target: &str, size: usize) -> Vec<u8> {
    let streams = target.contains("stream=") || target.contains("events=");
    let accept = if streams { "text/event-stream" } else { "application/json" };
    let text = "x".repeat(size.saturating_sub(70));
    let body = format!("{{\"model\":\"gpt-5\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    format!(
        "POST {target} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nauthorization: Bearer sk-client\r\n\
         user-agent: OpenAI/Python 2.8.0\r\nx-stainless-lang: python\r\nx-stainless-retry-count: 0\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One exchange; the answer has to be a 200.
async fn exchange(
    connection: &mut Connection,
    request: &[u8],
    since: Instant,
    seen: &RefCell<Seen>,
) -> Result<()> {
    connection.send(request).await?;
    let head = connection.reader.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
    if !head.line.contains(" 200") {
        return Err(Error::other(head.line));
    }
    let mut first = None;
    let size = connection.reader.body(&head, |_| first = first.or_else(|| Some(since.elapsed()))).await?;
    let mut seen = seen.borrow_mut();
    seen.to_first_byte.push(first.unwrap_or_default().as_nanos() as u64);
    seen.times.push(since.elapsed().as_nanos() as u64);
    seen.bytes += size;
    Ok(())
}

pub(crate) async fn closed(asking: Asking) -> Result<()> {
    let request: Rc<[u8]> = request(&asking.to, &asking.target, asking.body).into();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(asking.seconds);
    each_connection(&asking, |_| {
        let (to, request, seen) = (asking.to.clone(), Rc::clone(&request), Rc::clone(&seen));
        async move {
            let mut connection = None;
            while Instant::now() < end {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => Connection::to(&to).await?,
                };
                if exchange(&mut open, &request, Instant::now(), &seen).await.is_ok() {
                    connection = Some(open);
                } else {
                    seen.borrow_mut().errors += 1;
                }
            }
            Ok(())
        }
    })
    .await;
    report(&seen.borrow(), began.elapsed());
    Ok(())
}

pub(crate) async fn open(asking: Asking, interval: Duration) -> Result<()> {
    let request: Rc<[u8]> = request(&asking.to, &asking.target, asking.body).into();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let began = Instant::now() + Duration::from_millis(100);
    let end = began + Duration::from_secs_f64(asking.seconds);
    let next = Rc::new(RefCell::new(began));
    each_connection(&asking, |_| {
        let (to, request, seen, next) =
            (asking.to.clone(), Rc::clone(&request), Rc::clone(&seen), Rc::clone(&next));
        async move {
            let mut connection = Connection::to(&to).await?;
            loop {
                // Whichever connection is free takes the next moment, and that moment is what latency counts from.
                let due = next.replace_with(|due| *due + interval);
                if due >= end {
                    return Ok(());
                }
                // The timer's precision is a millisecond: the last of it is waited for awake.
                sleep_until(due - Duration::from_millis(2)).await;
                while Instant::now() < due {
                    // The upstream may share this core, and must not wait for us.
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                }
                if exchange(&mut connection, &request, due, &seen).await.is_err() {
                    seen.borrow_mut().errors += 1;
                    connection = Connection::to(&to).await?;
                }
            }
        }
    })
    .await;
    report(&seen.borrow(), Duration::from_secs_f64(asking.seconds));
    Ok(())
}

/// Streams whose events carry the upstream's time.
pub(crate) async fn streams(asking: Asking) -> Result<()> {
    let request: Rc<[u8]> = request(&asking.to, &asking.target, asking.body).into();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(asking.seconds);
    each_connection(&asking, |number| {
        let (to, request, seen) = (asking.to.clone(), Rc::clone(&request), Rc::clone(&seen));
        async move {
            // Not all at once: a full backlog would be what is measured.
            sleep(Duration::from_micros(number as u64 * 200)).await;
            let mut connection = Connection::to(&to).await?;
            connection.send(&request).await?;
            let head = connection.reader.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
            if !head.line.contains(" 200") {
                return Err(Error::other(head.line));
            }
            seen.borrow_mut().open += 1;
            loop {
                let chunk = connection.reader.chunk(|piece| note_event(piece, &seen));
                let Ok(more) = timeout_at(end, chunk).await else { return Ok(()) };
                if !more? {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
    })
    .await
    .into_iter()
    .for_each(|()| seen.borrow_mut().errors += 1);
    report(&seen.borrow(), began.elapsed());
    Ok(())
}

fn note_event(piece: &[u8], seen: &RefCell<Seen>) {
    let mut seen = seen.borrow_mut();
    seen.bytes += piece.len();
    let sent = piece.get(6..26).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
    if let (Some(sent), Ok(now)) = (sent, SystemTime::now().duration_since(UNIX_EPOCH)) {
        seen.times.push((now.as_nanos() as u64).saturating_sub(sent));
    }
}

/// Runs all connections to their ends; one item for each that failed.
async fn each_connection<F>(asking: &Asking, connection: impl Fn(usize) -> F) -> Vec<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    LocalSet::new()
        .run_until(async {
            let running: Vec<_> =
                (0..asking.connections).map(|number| spawn_local(connection(number))).collect();
            let mut failed = Vec::new();
            for connection in running {
                if !matches!(connection.await, Ok(Ok(()))) {
                    failed.push(());
                }
            }
            failed
        })
        .await
}

fn report(seen: &Seen, took: Duration) {
    let share = |times: &[u64], share: f64| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times.get((times.len() as f64 * share) as usize).map(|ns| *ns as f64 / 1000.0)
    };
    println!(
        "{}",
        json!({
            "count": seen.times.len(), "errors": seen.errors, "open": seen.open, "bytes": seen.bytes, "seconds": took.as_secs_f64(),
            "per_second": seen.times.len() as f64 / took.as_secs_f64(),
            "p50_us": share(&seen.times, 0.5), "p99_us": share(&seen.times, 0.99), "p999_us": share(&seen.times, 0.999),
            "first_byte_p50_us": share(&seen.to_first_byte, 0.5),
        })
    );
}
