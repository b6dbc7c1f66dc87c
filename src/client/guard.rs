//! The guard of a client's writes: none is sent by a replica that is not the leader.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, ready};
use http::{Method, Request};
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Layer, Service};

/// Until when may be written; none: not at all.
pub type WriteGuard = Arc<dyn Fn() -> Option<Instant> + Send + Sync>;

/// The request was a write, and this replica is not the leader, or was none when it was about to be answered.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this replica is not the leader")]
pub struct NotLeader;

/// Adds the guard to a service.
#[derive(Clone)]
pub(super) struct GuardLayer(pub WriteGuard);

/// A service whose writes are guarded.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    inner: S,
    until: WriteGuard,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, until: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() == Method::GET {
            return Either::Left(self.inner.call(request));
        }
        Either::Right(match (self.until)().filter(|until| Instant::now() < *until) {
            // A request that waits for a connection or an answer is given up then, too.
            Some(until) => {
                let answer = self.inner.call(request);
                async move { timeout_at(until, answer).await.unwrap_or_else(|_| Err(NotLeader.into())) }.boxed()
            }
            None => ready(Err(NotLeader.into())).boxed(),
        })
    }
}
