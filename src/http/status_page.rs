//! `/` and `/status.json`: the status page, for people and for programs.
//!
//! On a loopback address it is reached through `kubectl port-forward` alone, so who may read it is a matter of RBAC on pods. There
//! a web page in the browser of whom forwards the port must not read it either: the header Host is checked (DNS rebinding), and no
//! header allows another origin. On any other address the caller demands a token.

use std::future::ready;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::header::{HeaderName, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Semaphore;

use crate::status_page::{Filter, StatusSources, StatusView, page as write_page, style_source, view};

/// The path that a token has to be allowed to `get`.
pub const TOKEN_PATH: &str = "/status";

/// Headers that keep what is shown where it is shown.
const SAFE: [(HeaderName, HeaderValue); 6] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

struct Page {
    sources: StatusSources,
    /// One view is made at a time: each of thousands of Workspaces takes tens of milliseconds of a processor.
    turns: Arc<Semaphore>,
}

/// The two paths, for requests to whatever host.
pub fn router(sources: StatusSources) -> Router {
    let html = |State(page): State<Arc<Page>>, RawQuery(query): RawQuery| async move {
        respond(&page, query, "text/html; charset=utf-8", write_page).await
    };
    let json = |State(page): State<Arc<Page>>, RawQuery(query): RawQuery| async move {
        let json = |view: &StatusView| serde_json::to_string(view).map_err(|error| error.to_string());
        respond(&page, query, "application/json", json).await
    };
    let policy = format!(
        "default-src 'none'; style-src {}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        style_source()
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Router::new()
        .route("/", get(html))
        .route("/status.json", get(json))
        .layer(middleware::map_response(move |response: Response| ready(safe(response, policy.clone()))))
        .with_state(Arc::new(Page { sources, turns: Arc::new(Semaphore::new(1)) }))
}

/// The router, for requests to this machine alone: those of others were sent by what a browser took for their host.
pub fn only_for_localhost(router: Router) -> Router {
    router.layer(middleware::from_fn(check_host))
}

async fn respond(
    page: &Page,
    query: Option<String>,
    content_type: &'static str,
    write: fn(&StatusView) -> Result<String, String>,
) -> Response {
    // It is never closed.
    let turn = Arc::clone(&page.turns).acquire_owned().await;
    let (facts, filter) = (page.sources.facts(), Filter::of_query(&query.unwrap_or_default()));
    // The turn ends with the work, whether or not the client still waits for it.
    let work = move || {
        let _turn = turn;
        write(&view(&facts, filter))
    };
    let written = tokio::task::spawn_blocking(work).await;
    match written.map_err(|error| error.to_string()).and_then(|written| written) {
        Ok(body) => ([(CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!(error, "the status page cannot be made, this is a bug");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made: the log of the controller says why\n")
                .into_response()
        }
    }
}

fn safe(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.extend(SAFE.map(|(name, value)| (Some(name), value)));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

async fn check_host(request: Request, next: Next) -> Response {
    // That of the URL, if it has one, is the host that the client means (RFC 9112, section 3.2.2).
    let of_url = request.uri().host();
    if of_url.or_else(|| host(request.headers())).is_some_and(is_local) {
        return next.run(request).await;
    }
    let why = "this page is for localhost: `kubectl port-forward` to the pod, and open http://localhost:PORT/\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

/// The host of the only Host header, without its port.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HOST).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    match value.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']').filter(|(_, port)| port.is_empty() || port.starts_with(':')).map(|(host, _)| host)
        }
        None => Some(value.split_once(':').map_or(value, |(host, _)| host)),
    }
}

fn is_local(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse() == Ok(Ipv4Addr::LOCALHOST)
        || host.parse() == Ok(Ipv6Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let is_local = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HOST, HeaderValue::try_from(*value).unwrap_or(HeaderValue::from_static("")));
            }
            host(&headers).is_some_and(is_local)
        };
        for local in ["localhost", "LocalHost:8082", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8082"] {
            assert!(is_local(&[local]), "{local}");
        }
        let others = [
            "",
            "evil.example",
            "localhost.evil.example:8082",
            "127.0.0.1.evil.example",
            "evil.example:localhost",
            "127.0.0.2",
            "10.0.0.1:8082",
            "[::1].evil.example",
            "[::1",
            "[::2]:80",
            "user@localhost",
            "0.0.0.0",
            "2130706433",
        ];
        for other in others {
            assert!(!is_local(&[other]), "{other}");
        }
        assert!(!is_local(&[]) && !is_local(&["localhost", "localhost"]));
    }
}
