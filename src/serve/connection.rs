//! One connection from its handshake to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::body_budget::BodyBudget;
use super::drain::{Drain, DrainState};
use super::limits::ServerLimits;
use super::phase::{ObservedStream, Phase, PhaseCell, RequestBody, ResponseBody};
use crate::metrics::Metrics;

/// The read buffer of one connection. A large body passes through it in pieces; a request's headers have to fit.
const BUFFER_BYTES: usize = 32 * 1024;
/// How long a client that still sends a refused body is listened to, so that it can read why.
const LINGER: Duration = Duration::from_secs(2);

/// What all connections of a listener share.
pub(super) struct ConnectionContext {
    pub(super) name: &'static str,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) limits: ServerLimits,
    pub(super) bodies: Arc<BodyBudget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Drain,
}

/// Why a connection was closed.
#[derive(Debug)]
enum End {
    /// Regularly, in both directions.
    Done,
    /// The client violated the protocol, or disconnected.
    Broken(hyper::Error),
    /// A phase timed out.
    TimedOut(Phase),
    /// It was idle, and closed in favour of new connections or for shutdown.
    Idle,
}

impl ConnectionContext {
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, close_idle: watch::Receiver<u64>) {
        let _open = self.metrics.connection();
        // Responses are small and complete: buffering would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, close_idle).await;
        };
        match timeout(self.limits.handshake, tls.accept(stream).into_fallible()).await {
            Ok(Ok(stream)) => self.serve_http(stream, close_idle).await,
            Ok(Err((error, stream))) => {
                self.fault(&format!("TLS handshake failed: {error}"));
                // A client may have sent its request already, before it reads why it is refused.
                close_gracefully(stream, false).await;
            }
            Err(_) => self.fault("TLS handshake timed out"),
        }
    }

    async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: S,
        mut close_idle: watch::Receiver<u64>,
    ) {
        let cell = PhaseCell::new();
        let service = ReportingService {
            router: self.router.clone(),
            drain: self.drain.clone(),
            bodies: Arc::clone(&self.bodies),
            cell: cell.clone(),
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(ObservedStream::new(stream, cell.clone())), service);
        let mut timer = pin!(sleep_until(cell.deadline(&self.limits)));
        let mut closing = false;
        let end = loop {
            let step = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(End::Done),
                Poll::Ready(Err(error)) => Poll::Ready(End::Broken(error)),
                Poll::Pending => self.check_time(&cell, closing, timer.as_mut(), cx),
            });
            tokio::select! {
                biased;
                end = step => break end,
                () = self.drain.reached(DrainState::Closing), if !closing => closing = true,
                Ok(()) = close_idle.changed() => if self.is_closable(&cell) { break End::Idle },
            }
        };
        let all_read = match end {
            End::Done | End::Idle => cell.body_read(),
            End::Broken(error) => {
                self.fault(&format!("broken request: {error}"));
                false
            }
            // The client does not read, or is too slow to wait for.
            End::TimedOut(phase) => return self.fault(phase.timeout_message()),
        };
        close_gracefully(connection.into_parts().io.into_inner().into_inner(), all_read).await;
    }

    fn check_time(
        &self,
        cell: &PhaseCell,
        closing: bool,
        mut timer: Pin<&mut Sleep>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<End> {
        let deadline = match cell.idle_since() {
            Some(since) if closing => since + self.limits.idle_protected,
            _ => cell.deadline(&self.limits),
        };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.poll(cx).map(|()| match cell.phase() {
            Phase::Idle => End::Idle,
            phase => End::TimedOut(phase),
        })
    }

    fn is_closable(&self, cell: &PhaseCell) -> bool {
        cell.idle_since().is_some_and(|since| since + self.limits.idle_protected <= Instant::now())
    }

    fn fault(&self, sentence: &str) {
        self.metrics.connection_fault();
        tracing::debug!(listener = self.name, "connection closed: {sentence}");
    }
}

impl Phase {
    fn timeout_message(self) -> &'static str {
        match self {
            Self::Idle => "timed out waiting for a request",
            Self::Headers => "timed out reading the headers",
            Self::Body => "timed out reading the body",
            Self::Response => "timed out before the response was written",
        }
    }
}

/// Shuts down the sending side and reads what the client is still sending: closing earlier would make its system
/// discard the response that it has not read yet.
async fn close_gracefully<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, all_read: bool) {
    let close = async {
        let _ = stream.shutdown().await;
        if !all_read {
            let mut discarded = [0; 4096];
            while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
        }
    };
    let _ = timeout(LINGER, close).await;
}

/// The router as a hyper service that reports the phase of the connection.
struct ReportingService {
    router: Router,
    drain: Drain,
    bodies: Arc<BodyBudget>,
    cell: PhaseCell,
}

impl Service<Request<Incoming>> for ReportingService {
    type Response = Response<ResponseBody<AxumBody>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.drain.request_came();
        self.cell.request_begins(!request.body().is_end_stream());
        let cell = self.cell.clone();
        let drain = self.drain.clone();
        let share = self.bodies.share();
        let request = request.map(|body| RequestBody::new(body, cell.clone(), Arc::clone(&share)));
        let response = self.router.clone().oneshot(request);
        Box::pin(async move {
            let mut response = response.await?;
            if share.refused() {
                response = Response::new(AxumBody::from("too many large requests at the same time, retry later\n"));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            // Checked when the response is sent: the drain may have begun since the request came.
            if drain.state() >= DrainState::Announced {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| ResponseBody::new(body, cell, share)))
        })
    }
}
