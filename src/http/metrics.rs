//! `/metrics`: every series of the process, as text.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};

use crate::metrics::{self, Metrics};

/// The one endpoint.
pub fn router(metrics: Arc<Metrics>) -> Router {
    let scrape = move || {
        let encoded = metrics.encode();
        async move {
            match encoded {
                Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)),
                Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    };
    Router::new().route("/metrics", get(scrape))
}
