//! Reviews belong to the trace of the API server's request, if it says which that is.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::FutureExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Makes the span in the header `traceparent` the parent of what is done for a request.
pub fn continue_trace(router: Router) -> Router {
    router.layer(middleware::from_fn(in_trace))
}

async fn in_trace(request: Request, next: Next) -> Response {
    let parent = TraceContextPropagator::new().extract(&ParentAlone(HeaderExtractor(request.headers())));
    next.run(request).with_context(parent).await
}

/// Without `tracestate`: each span would hold its up to 32 KiB, from whoever reaches the port.
struct ParentAlone<'h>(HeaderExtractor<'h>);

impl Extractor for ParentAlone<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use opentelemetry::Context;
    use opentelemetry::trace::TraceContextExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// What is the parent of a span that begins within a request with this header.
    async fn parent(header: Option<&str>) -> String {
        let shown = || async {
            let context = Context::current();
            let parent = context.span().span_context().clone();
            assert_eq!(parent.trace_state().header(), "");
            format!("{} {} {}", parent.trace_id(), parent.span_id(), parent.is_sampled())
        };
        let router = continue_trace(Router::new().route("/", get(shown)));
        let request =
            header.into_iter().fold(http::Request::get("/"), |request, header| request.header("traceparent", header));
        let request = request.header("tracestate", "vendor=value");
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_span_that_the_header_names_is_the_parent() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(parent(Some(&format!("00-{trace}-{span}-01"))).await, format!("{trace} {span} true"));
        assert_eq!(parent(Some(&format!("00-{trace}-{span}-00"))).await, format!("{trace} {span} false"));
        let none = format!("{} {} false", "0".repeat(32), "0".repeat(16));
        for header in [None, Some(""), Some("nonsense"), Some("00-0-0-01")] {
            assert_eq!(parent(header).await, none, "{header:?}");
        }
    }
}
