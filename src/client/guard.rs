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
            Some(until) => in_term(self.inner.call(request), until, Arc::clone(&self.until)).boxed(),
            None => ready(Err(NotLeader.into())).boxed(),
        })
    }
}

/// The answer, if it comes as long as may be written: `until` at first, and later what the guard says then.
async fn in_term<T>(
    answer: impl Future<Output = Result<T, BoxError>>,
    mut until: Instant,
    guard: WriteGuard,
) -> Result<T, BoxError> {
    let mut answer = std::pin::pin!(answer);
    loop {
        if let Ok(answer) = timeout_at(until, &mut answer).await {
            return answer;
        }
        until = guard().filter(|until| Instant::now() < *until).ok_or(NotLeader)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::sleep;
    use tower::{ServiceBuilder, ServiceExt as _, service_fn};

    use super::*;

    /// A service whose answers take five seconds, and until when may be written.
    async fn call(method: Method, until: Arc<Mutex<Option<Instant>>>) -> Result<(), BoxError> {
        let guard: WriteGuard = Arc::new(move || *until.lock().unwrap());
        let slow = service_fn(|_: Request<()>| async {
            sleep(Duration::from_secs(5)).await;
            Ok::<_, BoxError>(())
        });
        let guarded = ServiceBuilder::new().layer(GuardLayer(guard)).service(slow);
        guarded.oneshot(Request::builder().method(method).body(()).unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_sent_and_waited_for_in_the_term_only() {
        let term = |seconds: u64| Arc::new(Mutex::new(Some(Instant::now() + Duration::from_secs(seconds))));
        assert!(call(Method::PATCH, term(6)).await.is_ok());
        assert!(call(Method::GET, Arc::default()).await.is_ok(), "reads are not guarded");
        for method in [Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            let began = Instant::now();
            let error = call(method, Arc::default()).await.unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), began.elapsed()),
                ("this replica is not the leader", Duration::ZERO)
            );
        }
        let (ends, began) = (term(3), Instant::now());
        assert!(call(Method::PATCH, ends).await.unwrap_err().is::<NotLeader>());
        assert_eq!(began.elapsed(), Duration::from_secs(3), "it is given up when the term ends");
        let extended = term(3);
        let renewal = Arc::clone(&extended);
        tokio::spawn(async move {
            sleep(Duration::from_secs(2)).await;
            *renewal.lock().unwrap() = Some(Instant::now() + Duration::from_secs(10));
        });
        assert!(call(Method::PATCH, extended).await.is_ok(), "the term was extended meanwhile");
    }
}
