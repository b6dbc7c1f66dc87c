//! Serves HTTP/1.1, with or without TLS, to clients that may be slow, broken or hostile.
//!
//! [`Server`] accepts; each connection runs in a task of its own (`connection`) that gives every step a time limit
//! (`phase`): handshake, headers, body, answer, and idling in between. [`Drain`] ends it all without losing a request.

mod accept;
mod body_budget;
mod connection;
mod drain;
mod phase;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::config::Listen;
use crate::metrics::Metrics;

pub use drain::{Drain, DrainState};

/// How much of the server one client may have, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerLimits {
    /// Open connections. When all are taken, idle ones are closed in favour of new ones.
    pub connections: usize,
    /// Bytes of request bodies that all connections hold together; bodies of more than 64 KiB give way. Three of the
    /// largest reviews fit.
    pub body_bytes: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the last of its headers.
    pub headers: Duration,
    /// From the headers to the last byte of the body.
    pub body: Duration,
    /// From the last byte of the body to the last of the answer.
    pub answer: Duration,
    /// Between an answer and the next request. Longer than Go's clients keep a connection (90 s): otherwise a request
    /// may meet a connection that is just being closed, and a POST is not sent again.
    pub idle: Duration,
    /// How long a connection that was idle is safe from being closed in favour of new ones.
    pub idle_protected: Duration,
}

impl Default for ServerLimits {
    /// What a client may take is 5 s for handshake and headers and 10 s for the body; the limits lie under that, so that
    /// the connection is gone when the time is up, on a busy machine too.
    fn default() -> Self {
        Self {
            connections: 1024,
            body_bytes: 24 << 20,
            handshake: Duration::from_secs(4),
            headers: Duration::from_secs(4),
            body: Duration::from_secs(8),
            answer: Duration::from_secs(40),
            idle: Duration::from_mins(2),
            idle_protected: Duration::from_secs(1),
        }
    }
}

impl ServerLimits {
    /// The same, with at most half of the file descriptors that the process may open.
    #[must_use]
    pub fn within_descriptors(self, descriptors: Option<usize>) -> Self {
        let connections = descriptors.map_or(self.connections, |most| self.connections.min(most / 2).max(1));
        Self { connections, ..self }
    }
}

/// One listener and what is served on it.
pub struct Server {
    /// For logs.
    pub name: &'static str,
    /// Where connections come from.
    pub listener: TcpListener,
    /// TLS, if any.
    pub tls: Option<Arc<ServerConfig>>,
    /// What answers.
    pub router: Router,
    /// What one client may have.
    pub limits: ServerLimits,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
    /// When to stop.
    pub drain: Drain,
}

impl Server {
    /// Serves until the drain has closed the listener and every request that came in has been answered.
    pub async fn run(self) {
        accept::run(self).await;
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.clone().map(TlsAcceptor::from)
    }
}

/// Listens, and tells where: with port 0 the system chooses. Needs a running tokio.
pub fn bind(listen: Listen) -> io::Result<(TcpListener, SocketAddr)> {
    let mut outcome = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for address in listen.candidates() {
        outcome = StdListener::bind(address);
        // Only a machine without that family is a reason to try the other one.
        match &outcome {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) => {}
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => {}
            _ => break,
        }
    }
    let listener = outcome?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// "Address family not supported by protocol", which the standard library does not classify; Linux's number.
const EAFNOSUPPORT: i32 = 97;
