//! The front: listeners, workers, connections, routing, CORS, gzip, drain.

mod connection;
pub mod cors;
mod drain;
mod front;
pub mod gzip;
mod head;
mod http1;
mod http2;
mod listen;
mod service;
pub mod tls;

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use self::drain::Gate;
use self::front::Front;
use self::service::Answers;
use crate::monitor::Monitor;
use crate::proxy::{Common, Proxy};
use crate::upstream::connect::Connector;
use crate::wire::ClientTimes;

pub use self::drain::Phase;
pub use self::listen::{BindError, Connections, Listeners, Sharing, descriptors, raise_descriptors};

/// What a worker is made of: everything it shares with the others.
#[derive(Clone)]
pub struct Blueprint {
    /// The proxy's part.
    pub common: Common,
    /// Makes upstream connections.
    pub connector: Connector,
    /// Our own paths.
    pub monitor: Monitor,
    /// `ENABLE_CORS`.
    pub cors: Option<Arc<cors::Cors>>,
    /// `ENABLE_GZIP`.
    pub gzip: bool,
    /// How long a client may take.
    pub times: ClientTimes,
    /// TLS in front, if it is set.
    pub tls: Option<tls::Acceptor>,
    /// `MAX_CONNECTIONS`.
    pub connections: Arc<Connections>,
    /// `TRUST_FORWARDED`.
    pub trust_forwarded: bool,
    /// How far the process is with ending.
    pub phase: watch::Receiver<Phase>,
}

/// Starts one thread for each listener. Each ends with its last connection once the phase is [`Phase::Draining`], or
/// at once when it is [`Phase::Cutting`]; it returns how many connections it cut.
///
/// # Errors
/// If the system gives no thread or no runtime.
pub fn start(listeners: Listeners, blueprint: &Blueprint) -> std::io::Result<Vec<JoinHandle<usize>>> {
    let sharing = listeners.sharing;
    let start = |(worker, listener): (usize, std::net::TcpListener)| {
        let blueprint = blueprint.clone();
        let runtime = move || -> std::io::Result<usize> {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
            runtime.block_on(work(worker, listener, sharing, blueprint))
        };
        std::thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
            runtime().unwrap_or_else(|error| {
                tracing::error!(worker, error = %error, "a worker could not start");
                0
            })
        })
    };
    listeners.into_iter().enumerate().map(start).collect()
}

async fn work(
    worker: usize,
    listener: std::net::TcpListener,
    sharing: Sharing,
    blueprint: Blueprint,
) -> std::io::Result<usize> {
    let listener = TcpListener::from_std(listener)?;
    let gate = Rc::new(Gate::default());
    let mut phase = blueprint.phase.clone();
    let front = Front {
        proxy: Rc::new(Proxy::new(blueprint.common, worker, blueprint.connector)),
        monitor: blueprint.monitor,
        cors: blueprint.cors,
        gzip: blueprint.gzip,
        trust_forwarded: blueprint.trust_forwarded,
    };
    let answers = Answers::new(front, service::sit);
    let serve = |stream| {
        let Some(place) = blueprint.connections.enter() else {
            return listen::refuse(stream, blueprint.tls.is_some());
        };
        let connection = connection::serve(
            stream,
            blueprint.tls.clone(),
            blueprint.times,
            Rc::clone(&answers),
            Rc::clone(&gate),
            place,
        );
        spawn_local(connection);
    };
    loop {
        tokio::select! {
            biased;
            changed = phase.changed() => {
                if changed.is_err() || *phase.borrow() != Phase::Serving {
                    break;
                }
            }
            accepted = listen::accept(&listener) => serve(accepted),
        }
    }
    if sharing == Sharing::WithNext && listen::leave_to_next(&listener) {
        let over = Instant::now() + listen::LAST_HANDSHAKES;
        while let Ok(accepted) = timeout_at(over, listen::accept(&listener)).await {
            serve(accepted);
        }
    }
    // Whoever is in the queue already was let in by the kernel: a close would reset them.
    while let Some(stream) = listen::accept_now(&listener).await {
        serve(stream);
    }
    drop(listener);
    gate.turn(Phase::Draining);
    // Connections that were just accepted enter the gate at their first poll.
    tokio::task::yield_now().await;
    tokio::select! {
        () = gate.emptied() => Ok(0),
        _ = phase.wait_for(|phase| *phase == Phase::Cutting) => {
            let cut = gate.count();
            gate.turn(Phase::Cutting);
            gate.emptied().await;
            Ok(cut)
        }
    }
}
