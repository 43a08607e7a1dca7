//! The floor: a pass-through on hyper that does nothing else, with connections kept by itself or by hyper-util's pooled
//! client. What gpt-load costs beyond it is ours to answer for.

use std::cell::RefCell;
use std::io::{Error, Result};
use std::rc::Rc;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Where requests go.
struct Bare {
    upstream: String,
    host: HeaderValue,
    kept: RefCell<Vec<SendRequest<Incoming>>>,
    pooled: Option<Client<HttpConnector, Incoming>>,
}

pub(crate) async fn run(port: u16, upstream: String, pooled: bool) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let host = HeaderValue::try_from(&upstream).map_err(Error::other)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pooled = pooled.then(|| Client::builder(TokioExecutor::new()).build(connector));
    let bare = Rc::new(Bare { upstream, host, kept: RefCell::default(), pooled });
    println!("listening on 127.0.0.1:{}", listener.local_addr()?.port());
    LocalSet::new()
        .run_until(async {
            loop {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let bare = Rc::clone(&bare);
                spawn_local(hyper::server::conn::http1::Builder::new().serve_connection(
                    TokioIo::new(socket),
                    service_fn(move |request| {
                        let bare = Rc::clone(&bare);
                        async move { bare.pass(request).await }
                    }),
                ));
            }
        })
        .await
}

impl Bare {
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
        for hop_by_hop in [CONNECTION, TRANSFER_ENCODING] {
            request.headers_mut().remove(hop_by_hop);
        }
        request.headers_mut().insert(HOST, self.host.clone());
        let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut response = if let Some(pooled) = &self.pooled {
            let uri = Uri::builder().scheme("http").authority(&*self.upstream).path_and_query(target);
            *request.uri_mut() = uri.build().map_err(Error::other)?;
            pooled.request(request).await.map_err(Error::other)?
        } else {
            *request.uri_mut() = Uri::from(target);
            let mut sender = self.sender().await?;
            let response = sender.send_request(request).await.map_err(Error::other)?;
            // It is taken again once its answer has ended: not before is it ready.
            self.kept.borrow_mut().push(sender);
            response
        };
        for hop_by_hop in [CONNECTION, TRANSFER_ENCODING] {
            response.headers_mut().remove(hop_by_hop);
        }
        Ok(response)
    }

    async fn sender(&self) -> Result<SendRequest<Incoming>> {
        let free = {
            let mut kept = self.kept.borrow_mut();
            kept.retain(|sender| !sender.is_closed());
            kept.iter().rposition(SendRequest::is_ready).map(|at| kept.swap_remove(at))
        };
        if let Some(free) = free {
            return Ok(free);
        }
        let socket = TcpStream::connect(&self.upstream).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(Error::other)?;
        spawn_local(connection);
        Ok(sender)
    }
}
