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
use super::phase::{AnswerBody, Noticing, Phase, PhaseCell, RequestBody};
use super::{Drain, DrainState, ServerLimits};
use crate::metrics::Metrics;

/// The read buffer of one connection. A large body passes through it in pieces; a request's headers have to fit.
const BUFFER_BYTES: usize = 32 * 1024;
/// How long a client that still sends a refused body is listened to, so that it can read why.
const LINGER: Duration = Duration::from_secs(2);

/// What all connections of a listener share.
pub(super) struct Context {
    pub(super) name: &'static str,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) limits: ServerLimits,
    pub(super) bodies: Arc<BodyBudget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Drain,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// As HTTP has it, in both directions.
    Done,
    /// The client broke the rules of the protocol, or broke off.
    Broken(hyper::Error),
    /// The client took too long.
    TimedOut(Phase),
    /// It was idle, and in the way of new connections or of the end of the process.
    Unwanted,
}

impl Context {
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, crowd: watch::Receiver<u64>) {
        let _open = self.metrics.connection();
        // Answers are small and complete: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, crowd).await;
        };
        match timeout(self.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_http(stream, crowd).await,
            Ok(Err(error)) => self.fault(&format!("TLS handshake failed: {error}")),
            Err(_) => self.fault("TLS handshake took too long"),
        }
    }

    async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: S, mut crowd: watch::Receiver<u64>) {
        let cell = PhaseCell::new();
        let service = Answering {
            router: self.router.clone(),
            drain: self.drain.clone(),
            bodies: Arc::clone(&self.bodies),
            cell: cell.clone(),
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(Noticing::new(stream, cell.clone())), service);
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
                Ok(()) = crowd.changed() => if self.may_be_closed(&cell) { break End::Unwanted },
            }
        };
        let all_read = match end {
            End::Done | End::Unwanted => cell.body_read(),
            End::Broken(error) => {
                self.fault(&format!("broken request: {error}"));
                false
            }
            // Whatever is still to be said, the client is not listening, or not worth waiting for.
            End::TimedOut(phase) => return self.fault(phase.too_long()),
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
            Phase::Idle => End::Unwanted,
            phase => End::TimedOut(phase),
        })
    }

    fn may_be_closed(&self, cell: &PhaseCell) -> bool {
        cell.idle_since().is_some_and(|since| since + self.limits.idle_protected <= Instant::now())
    }

    fn fault(&self, sentence: &str) {
        self.metrics.connection_fault();
        tracing::debug!(listener = self.name, "connection ended: {sentence}");
    }
}

impl Phase {
    fn too_long(self) -> &'static str {
        match self {
            Self::Idle => "no request for too long",
            Self::Headers => "headers took too long",
            Self::Body => "body took too long",
            Self::Answer => "the answer took too long, or the client did not take it",
        }
    }
}

/// Says goodbye, and lets the client finish what it is sending: closing earlier would make its system throw away the
/// answer it has not read yet.
async fn close_gracefully<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, all_read: bool) {
    let farewell = async {
        let _ = stream.shutdown().await;
        if !all_read {
            let mut scrap = [0; 4096];
            while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
        }
    };
    let _ = timeout(LINGER, farewell).await;
}

/// The router as hyper calls it, reporting where the connection is.
struct Answering {
    router: Router,
    drain: Drain,
    bodies: Arc<BodyBudget>,
    cell: PhaseCell,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<AnswerBody<AxumBody>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.cell.request_begins(!request.body().is_end_stream());
        let cell = self.cell.clone();
        let drain = self.drain.clone();
        let share = self.bodies.share();
        let request = request.map(|body| RequestBody::new(body, cell.clone(), Arc::clone(&share)));
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if share.refused() {
                answer = Response::new(AxumBody::from("too many large requests at the same time, try again\n"));
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            // Asked when the answer leaves: the drain may have begun since the request came.
            if drain.state() >= DrainState::Announced {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| AnswerBody::new(body, cell, share)))
        })
    }
}
