//! The spans of requests to the API server: method, path and status, until the headers of the answer.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use http::{Request, Response};
use tower::Service;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// A client whose requests have a span each.
#[derive(Clone)]
pub struct TracedRequests<S>(pub S);

impl<S, B, R> Service<Request<B>> for TracedRequests<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span(&request);
        let answer = span.in_scope(|| self.0.call(request));
        let recorded = answer
            .inspect_ok(|answer| {
                Span::current().record("http.response.status_code", answer.status().as_u16());
            })
            .inspect_err(|_| {
                Span::current().record("otel.status_code", "ERROR");
            });
        recorded.instrument(span).boxed()
    }
}

fn span<B>(request: &Request<B>) -> Span {
    tracing::info_span!(
        "request",
        otel.name = %request.method(),
        otel.kind = "client",
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        otel.status_code = Empty,
    )
}
