//! The webhooks over HTTP. The only file that knows axum.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

use crate::decide;
use crate::lookup::Lookup;
use crate::observer::Observer;
use crate::policy::Policy;
use crate::registration::{WORKSPACE_KIND_PATH, WORKSPACE_PATH};
use crate::request::ReviewedKind;

/// The largest body: object and old object, each at most 3 MiB in the API server, and some slack.
pub const BODY_MAX: usize = 7 << 20;
/// The timeout of the API server if the request does not state it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest timeout that the API server allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// How long before the timeout of the API server the answer is sent, at least.
const HEAD_START: Duration = Duration::from_millis(100);
/// The same as a fraction of the timeout: the API server also counts the time to connect, before our clock starts.
const HEAD_START_PART: u32 = 10;

/// The state shared by all requests.
struct Webhooks<L> {
    lookup: Arc<L>,
    policy: Arc<Policy>,
    observer: Arc<dyn Observer>,
}

/// A router with each webhook at its path.
pub fn router<L: Lookup>(lookup: Arc<L>, policy: Arc<Policy>, observer: Arc<dyn Observer>) -> Router {
    let workspace = |State(webhooks): State<Arc<Webhooks<L>>>, request: Request| async move {
        serve(ReviewedKind::Workspace, WORKSPACE_PATH, &webhooks, request).await
    };
    let workspace_kind = |State(webhooks): State<Arc<Webhooks<L>>>, request: Request| async move {
        serve(ReviewedKind::WorkspaceKind, WORKSPACE_KIND_PATH, &webhooks, request).await
    };
    Router::new()
        .route(WORKSPACE_PATH, post(workspace))
        .route(WORKSPACE_KIND_PATH, post(workspace_kind))
        .with_state(Arc::new(Webhooks { lookup, policy, observer }))
}

async fn serve<L: Lookup>(
    reviewed: ReviewedKind,
    path: &'static str,
    webhooks: &Webhooks<L>,
    request: Request,
) -> Response {
    let mut observed = ObservedRequest::start(&*webhooks.observer, path);
    let deadline = observed.start + budget(request.uri());
    let answer = match read(request, deadline).await {
        Ok(body) => decide::answer(reviewed, &body, &*webhooks.lookup, &webhooks.policy, deadline, &*webhooks.observer)
            .await
            .map_err(|why| (StatusCode::BAD_REQUEST, why)),
        Err(refused) => Err(refused),
    };
    let (code, content_type, body) = match answer {
        Ok(review) => (StatusCode::OK, "application/json", review),
        Err((code, why)) => {
            tracing::info!(path, code = code.as_u16(), "refused a request");
            (code, "text/plain; charset=utf-8", why.into_bytes())
        }
    };
    observed.code = code.as_u16();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// Reads the body, up to the limit and the deadline.
async fn read(request: Request, deadline: Instant) -> Result<Bytes, (StatusCode, String)> {
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("the body may not be more than {BODY_MAX} bytes"));
    if content_length(request.headers()).is_some_and(|length| length > BODY_MAX as u64) {
        return Err(too_large());
    }
    match timeout_at(deadline, Limited::new(request.into_body(), BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body is incomplete".to_owned())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How long an answer may take: the timeout in `?timeout=`, less the time to send the answer.
fn budget(uri: &Uri) -> Duration {
    let parameters = uri.query().unwrap_or_default().split('&');
    let timeout = parameters.filter_map(|parameter| parameter.strip_prefix("timeout=")).find_map(go_duration);
    let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
    timeout.saturating_sub(HEAD_START.max(timeout / HEAD_START_PART)).max(timeout / 2)
}

/// A duration as Go's `time.ParseDuration` reads it, such as `5s` or `1m30s`; fractions and signs are not needed.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let part = match &rest[digits..unit_end] {
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            "us" | "µs" => Duration::from_micros(number),
            "ns" => Duration::from_nanos(number),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Reports the end of a request to the observer, also when the client disconnects and the future is dropped.
struct ObservedRequest<'a> {
    observer: &'a dyn Observer,
    path: &'static str,
    start: Instant,
    code: u16,
}

impl<'a> ObservedRequest<'a> {
    fn start(observer: &'a dyn Observer, path: &'static str) -> Self {
        observer.started(path);
        Self { observer, path, start: Instant::now(), code: 499 }
    }
}

impl Drop for ObservedRequest<'_> {
    fn drop(&mut self) {
        self.observer.finished(self.path, self.code, self.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_the_timeouts_that_the_api_server_sends() {
        let cases = [
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h0m0s", Some(3_600_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5x", None),
            ("99999999999999999999s", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(go_duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn answers_before_the_api_server_gives_up() {
        let cases = [
            ("/x?timeout=5s", 4_500),
            ("/x?a=b&timeout=1s", 900),
            ("/x", 9_000),
            ("/x?timeout=nonsense", 9_000),
            ("/x?timeout=0s", 9_000),
            ("/x?timeout=150ms", 75),
            ("/x?timeout=9h", 27_000),
        ];
        for (uri, milliseconds) in cases {
            assert_eq!(budget(&uri.parse().unwrap()), Duration::from_millis(milliseconds), "{uri}");
        }
    }
}
