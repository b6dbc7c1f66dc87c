//! The phases of a connection, and their deadlines.
//!
//! hyper's own header timeout also runs between two requests, so it would be either too long for a slow sender or too
//! short for an idle client. Here the stream, the request body and the response body report the changes of phase.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::body_budget::Share;
use super::limits::ServerLimits;

/// What the connection is waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// A request.
    Idle,
    /// The rest of its headers.
    Headers,
    /// The rest of its body.
    Body,
    /// The response, and the client reading it.
    Response,
}

#[derive(Debug)]
struct Current {
    phase: Phase,
    since: Instant,
    /// Whether the body of the last request was read to its end.
    body_read: bool,
}

/// The phase of one connection, shared by those that report it and those that watch it.
#[derive(Clone, Debug)]
pub(super) struct PhaseCell(Arc<Mutex<Current>>);

impl PhaseCell {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Current { phase: Phase::Idle, since: Instant::now(), body_read: true })))
    }

    fn with<T>(&self, access: impl FnOnce(&mut Current) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, phase: Phase) {
        self.with(|current| (current.phase, current.since) = (phase, Instant::now()));
    }

    /// Changes to `to` only from `from`.
    fn step(&self, from: Phase, to: Phase) {
        self.with(|current| {
            if current.phase == from {
                (current.phase, current.since) = (to, Instant::now());
            }
        });
    }

    pub(super) fn phase(&self) -> Phase {
        self.with(|current| current.phase)
    }

    /// When the connection became idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.with(|current| (current.phase == Phase::Idle).then_some(current.since))
    }

    /// Whether no part of a request is unread that the client may still be sending.
    pub(super) fn body_read(&self) -> bool {
        self.with(|current| current.body_read)
    }

    /// When the phase times out.
    pub(super) fn deadline(&self, limits: &ServerLimits) -> Instant {
        self.with(|current| {
            let limit: Duration = match current.phase {
                Phase::Idle => limits.idle,
                Phase::Headers => limits.headers,
                Phase::Body => limits.body,
                Phase::Response => limits.response,
            };
            current.since + limit
        })
    }

    /// All headers have been read.
    pub(super) fn request_begins(&self, has_body: bool) {
        self.enter(if has_body { Phase::Body } else { Phase::Response });
        self.with(|current| current.body_read = !has_body);
    }

    fn body_read_to_its_end(&self) {
        self.step(Phase::Body, Phase::Response);
        self.with(|current| current.body_read = true);
    }
}

/// A stream that reports the first byte of a request.
pub(super) struct ObservedStream<S> {
    stream: S,
    cell: PhaseCell,
}

impl<S> ObservedStream<S> {
    pub(super) fn new(stream: S, cell: PhaseCell) -> Self {
        Self { stream, cell }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.cell.step(Phase::Idle, Phase::Headers);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A request body that reports when it has been read or dropped, and that fails when it exceeds the budget.
pub(super) struct RequestBody<B> {
    body: B,
    cell: PhaseCell,
    share: Arc<Share>,
}

/// The body exceeds the budget.
#[derive(Debug, thiserror::Error)]
#[error("too many large requests at the same time")]
pub(super) struct OverBudget;

impl<B> RequestBody<B> {
    pub(super) fn new(body: B, cell: PhaseCell, share: Arc<Share>) -> Self {
        Self { body, cell, share }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if !self.share.reserve(bytes) {
            return Poll::Ready(Some(Err(OverBudget.into())));
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.cell.body_read_to_its_end();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.cell.step(Phase::Body, Phase::Response);
    }
}

/// A response body that reports when the last of it has been written.
pub(super) struct ResponseBody<B> {
    body: B,
    cell: PhaseCell,
    /// The budget of the request's body is released with the response.
    _share: Arc<Share>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, cell: PhaseCell, share: Arc<Share>) -> Self {
        Self { body, cell, _share: share }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        // Not from `Body`: the client is still sending a body that was dropped.
        self.cell.step(Phase::Response, Phase::Idle);
    }
}
