//! What `make bench-instr` counts: the same work every time, one step after the other, so that callgrind's count
//! depends on the program alone.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use gpt_load::keys::{CooldownPolicy, KeyPool, Need, PoolPolicy, Remains, Service, file};
use tokio::net::TcpListener;

use crate::client::{Connection, request};
use crate::origin::STREAM_HEAD;
use crate::wire::chunk;

/// The work of one run.
#[derive(clap::Args)]
pub(crate) struct Work {
    /// Requests, each answered with JSON
    #[arg(long, default_value_t = 0)]
    requests: usize,
    /// Pieces of one stream
    #[arg(long, default_value_t = 0)]
    pieces: usize,
    /// Events that a piece brings together
    #[arg(long, default_value_t = 1)]
    events: usize,
}

/// Asks the proxy while being its upstream, so that every step waits for the one before.
pub(crate) async fn lockstep(proxy: &str, port: u16, work: &Work) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut client = Connection::to(proxy).await?;
    let mut upstream = None;
    let ask = request(proxy, "/v1/chat/completions", 200);
    let answer = answer();
    for _ in 0..work.requests {
        client.send(&ask).await?;
        asked(&listener, &mut upstream).await?.send(&answer).await?;
        let head = client.reader.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
        if !head.line.contains(" 200") {
            return Err(Error::other(head.line));
        }
        client.reader.body(&head, |_| {}).await?;
    }
    if work.pieces > 0 {
        client.send(&ask).await?;
        let upstream = asked(&listener, &mut upstream).await?;
        let event =
            chunk(format!("data: {{\"choices\":[{{\"delta\":\"{}\"}}]}}\n\n", "x".repeat(66)).as_bytes());
        let piece = event.repeat(work.events);
        upstream.send(STREAM_HEAD).await?;
        upstream.send(&piece).await?;
        client.reader.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut data = 0;
        let whole = work.events * (event.len() - "66\r\n\r\n".len());
        // How the proxy cuts its chunks is its affair.
        while data < whole {
            client.reader.chunk(|piece| data += piece.len()).await?;
        }
        for _ in 0..work.pieces {
            data = 0;
            upstream.send(&piece).await?;
            while data < whole {
                client.reader.chunk(|piece| data += piece.len()).await?;
            }
        }
        upstream.send(b"0\r\n\r\n").await?;
        client.reader.chunk(|_| {}).await?;
    }
    Ok(())
}

/// 700 bytes of JSON, with the tokens at the end as providers have it.
fn answer() -> Vec<u8> {
    let usage = "\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":120,\"total_tokens\":141}";
    let text = "x".repeat(562);
    let body = format!("{{\"id\":\"chatcmpl-1\",\"choices\":[{{\"text\":\"{text}\"}}],{usage}}}");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The proxy's connection to us, once a request has come on it.
async fn asked<'a>(
    listener: &TcpListener,
    upstream: &'a mut Option<Connection>,
) -> Result<&'a mut Connection> {
    let kept = match upstream.take() {
        Some(kept) => kept,
        None => asking(listener).await?,
    };
    let kept = upstream.insert(kept);
    let head = kept.reader.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
    kept.reader.body(&head, |_| {}).await?;
    Ok(kept)
}

/// The first connection that asks: the proxy's look at its upstreams at start connects and leaves.
async fn asking(listener: &TcpListener) -> Result<Connection> {
    loop {
        let (socket, _) = listener.accept().await?;
        if socket.peek(&mut [0]).await? > 0 {
            return Connection::on(socket);
        }
    }
}

/// Takes leases and settles them.
pub(crate) fn leases(leases: usize, keys: usize) -> Result<()> {
    let cooldown =
        CooldownPolicy { threshold: 1, first: Duration::from_secs(30), longest: Duration::from_hours(1) };
    let policy = PoolPolicy { cooldown, probe_interval: None };
    let text = (0..keys).flat_map(|key| format!("sk-proj-{key:043}\n").into_bytes()).collect();
    let file = file::parse(text).map_err(Error::other)?;
    let (pool, _due) = KeyPool::new(file.keys, policy, 0, false);
    for _ in 0..leases {
        let lease = pool.lease(Need::default()).ok_or(ErrorKind::NotFound)?;
        lease.succeed(None, 0, Service::Paid, Remains::default());
    }
    Ok(())
}
