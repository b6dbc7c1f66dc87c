//! Serves HTTP/1.1, with or without TLS, to clients that may be slow, broken or hostile.
//!
//! [`Server`] accepts; each connection runs in its own task (`connection`), with a timeout for every phase (`phase`):
//! handshake, headers, body, response, and idle time in between. [`Drain`] shuts down without losing a request.

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

/// Limits on what clients can use of the server, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerLimits {
    /// Open connections. When the limit is reached, idle ones are closed in favour of new ones.
    pub connections: usize,
    /// Total bytes of request bodies in flight on all connections; beyond it bodies of more than 64 KiB are refused.
    /// Three of the largest reviews fit.
    pub body_bytes: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the last of its headers.
    pub headers: Duration,
    /// From the headers to the last byte of the body.
    pub body: Duration,
    /// From the last byte of the body to the last of the response.
    pub response: Duration,
    /// Between a response and the next request. Longer than Go's clients keep a connection (90 s): otherwise a request
    /// may race with the close of its connection, and a POST is not retried.
    pub idle: Duration,
    /// How long a connection must be idle before it may be closed in favour of new ones.
    pub idle_protected: Duration,
}

impl Default for ServerLimits {
    /// The promise is 5 s for handshake and headers and 10 s for the body; the limits are lower, so that the connection
    /// is closed in time on a busy machine too.
    fn default() -> Self {
        Self {
            connections: 1024,
            body_bytes: 24 << 20,
            handshake: Duration::from_secs(4),
            headers: Duration::from_secs(4),
            body: Duration::from_secs(8),
            response: Duration::from_secs(40),
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

/// A listener and the router that is served on it.
pub struct Server {
    /// Its name in logs.
    pub name: &'static str,
    /// The bound socket.
    pub listener: TcpListener,
    /// TLS, if enabled.
    pub tls: Option<Arc<ServerConfig>>,
    /// The handlers.
    pub router: Router,
    /// The limits.
    pub limits: ServerLimits,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
    /// Stops the server.
    pub drain: Drain,
}

impl Server {
    /// Serves until the drain has closed the listener and every accepted request has its response.
    pub async fn run(self) {
        accept::run(self).await;
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.clone().map(TlsAcceptor::from)
    }
}

/// Binds a listener and returns its address: with port 0 the system chooses the port. Needs a tokio runtime.
pub fn bind(listen: Listen) -> io::Result<(TcpListener, SocketAddr)> {
    let mut bound = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for address in listen.candidates() {
        bound = StdListener::bind(address);
        // The other address family is tried only where this one is missing.
        match &bound {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) => {}
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => {}
            _ => break,
        }
    }
    let listener = bound?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// "Address family not supported by protocol", which the standard library does not classify; Linux's number.
const EAFNOSUPPORT: i32 = 97;
