//! What is served beside the webhooks, and who may read it.

use std::sync::Arc;

use axum::Router;

use super::listeners::Routers;
use crate::api::token_review::TokenReviewer;
use crate::client::Access;
use crate::config::{SettingError, Settings};
use crate::http;
use crate::http::authentication::demand_token;
use crate::http::health::Readiness;
use crate::status_page::StatusSources;

/// The path of the metrics, which is also what a token has to be allowed to `get`.
const METRICS_PATH: &str = "/metrics";

/// The routers of all listeners.
pub(super) fn routers(
    settings: &Settings,
    access: &Access,
    admission: Router,
    readiness: Arc<Readiness>,
    sources: StatusSources,
) -> Result<Routers, SettingError> {
    // With connections of its own: whoever shows tokens must not get in the way of the reconciler.
    let reviewer = || Ok(Arc::new(TokenReviewer::new(access.client()?)));
    let mut metrics = http::metrics::router(Arc::clone(&sources.metrics));
    if settings.metrics_require_authentication {
        metrics = demand_token(metrics, reviewer()?, METRICS_PATH);
    }
    let mut status = http::status_page::router(sources);
    status = if settings.status_is_public() {
        demand_token(status, reviewer()?, http::status_page::TOKEN_PATH)
    } else {
        http::status_page::only_for_localhost(status)
    };
    Ok(Routers { admission, health: http::health::router(readiness), metrics, status })
}
