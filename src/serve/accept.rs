//! The accept loop. No client can stop it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::body_budget::BodyBudget;
use super::connection::ConnectionContext;
use super::drain::{Drain, DrainState};
use super::limits::ServerLimits;
use crate::metrics::Metrics;

/// How often idle connections are closed while the limit is reached.
const FULL_RETRY: Duration = Duration::from_millis(250);
/// The delay after a failed accept: out of descriptors or memory, which an immediate retry would not change.
const FAILED_RETRY: Duration = Duration::from_millis(50);
/// The minimum interval of repeated warnings.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// The accept queue counts as empty after this long without a connection.
const QUEUE_QUIET: Duration = Duration::from_millis(20);

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
        let mut accepting = Accepting {
            permits: Arc::new(Semaphore::new(self.limits.connections)),
            close_idle: watch::Sender::new(0),
            context: Arc::new(ConnectionContext {
                name: self.name,
                tls: self.acceptor(),
                router: self.router,
                bodies: BodyBudget::new(self.limits.body_bytes),
                limits: self.limits,
                metrics: self.metrics,
                drain: self.drain.clone(),
            }),
            warned: None,
        };
        let closing = self.drain.reached(DrainState::Closing);
        tokio::select! {
            () = accepting.accept_from(&self.listener) => {}
            () = closing => {}
        }
        accepting.empty_queue(&self.listener).await;
        drop(self.listener);
        accepting.wait_for_connections().await;
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.clone().map(TlsAcceptor::from)
    }
}

struct Accepting {
    permits: Arc<Semaphore>,
    /// Incremented to close idle connections.
    close_idle: watch::Sender<u64>,
    context: Arc<ConnectionContext>,
    warned: Option<Instant>,
}

impl Accepting {
    /// Never returns; may be dropped while it waits, without losing a connection.
    async fn accept_from(&mut self, listener: &TcpListener) {
        loop {
            let permit = self.permit().await;
            match listener.accept().await {
                Ok((stream, _)) => self.spawn(stream, permit),
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => {
                    self.warn(&format!("cannot accept connections ({error}); will retry"));
                    self.close_idle_connections();
                    sleep(FAILED_RETRY).await;
                }
            }
        }
    }

    fn spawn(&self, stream: tokio::net::TcpStream, permit: OwnedSemaphorePermit) {
        let (context, close_idle) = (Arc::clone(&self.context), self.close_idle.subscribe());
        tokio::spawn(async move {
            context.serve(stream, close_idle).await;
            drop(permit);
        });
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return permit;
            }
            self.warn(&format!(
                "the limit of {} connections is reached; closing idle ones",
                self.context.limits.connections
            ));
            self.close_idle_connections();
            // An error would mean that the semaphore is closed, which never happens.
            if let Ok(Ok(permit)) = timeout(FULL_RETRY, Arc::clone(&self.permits).acquire_owned()).await {
                return permit;
            }
        }
    }

    fn close_idle_connections(&self) {
        self.close_idle.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Closing a listener resets the connections in its queue; these clients are connected already, so they are served.
    async fn empty_queue(&mut self, listener: &TcpListener) {
        while let Ok(Ok((stream, _))) = timeout(QUEUE_QUIET, listener.accept()).await {
            let permit = self.permit().await;
            self.spawn(stream, permit);
        }
    }

    async fn wait_for_connections(&self) {
        let all = u32::try_from(self.context.limits.connections).unwrap_or(u32::MAX);
        let _ = self.permits.acquire_many(all).await;
    }

    fn warn(&mut self, sentence: &str) {
        if self.warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(listener = self.context.name, "{sentence}");
        }
    }
}

/// Whether the error concerns only the connection that was being accepted.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}
