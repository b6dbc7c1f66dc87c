//! Demands a bearer token that the API server lets read the path: for what is served to others than the pod itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::token_review::{TokenRefusal, TokenReviewer};

/// What the bearer of a token has to be allowed to `get`.
#[derive(Clone)]
struct Demand {
    reviewer: Arc<TokenReviewer>,
    path: &'static str,
}

/// The router, for those alone whose token may `get` the nonResourceURL `path`.
pub fn demand_token(router: Router, reviewer: Arc<TokenReviewer>, path: &'static str) -> Router {
    router.layer(middleware::from_fn_with_state(Demand { reviewer, path }, check))
}

async fn check(State(demand): State<Demand>, request: Request, next: Next) -> Response {
    let Some(token) = bearer_token(request.headers()) else {
        return refuse(StatusCode::UNAUTHORIZED, "a bearer token is required: Authorization: Bearer TOKEN");
    };
    match demand.reviewer.may_get(token, demand.path).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let code = match &refusal {
                TokenRefusal::Unknown => StatusCode::UNAUTHORIZED,
                TokenRefusal::Forbidden { .. } => StatusCode::FORBIDDEN,
                TokenRefusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
                TokenRefusal::NotAsked => StatusCode::SERVICE_UNAVAILABLE,
            };
            tracing::debug!(path = demand.path, code = code.as_u16(), "a request was refused");
            refuse(code, &refusal.to_string())
        }
    }
}

fn refuse(code: StatusCode, why: &str) -> Response {
    let mut response = (code, [(CACHE_CONTROL, "no-store")], format!("{why}\n")).into_response();
    let headers = response.headers_mut();
    match code {
        StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")));
        }
        _ => {}
    }
    response
}

/// The token of the only `Authorization` header, whose scheme may be written in any case.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_token_is_that_of_the_only_header() {
        let token = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["bEaReR  abc "]).as_deref(), Some("abc"));
        for values in
            [&[][..], &["Bearer"], &["Bearer "], &["Bearer a b"], &["Basic abc"], &["abc"], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(token(values), None, "{values:?}");
        }
    }
}
