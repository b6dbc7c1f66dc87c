//! `/livez`, `/healthz` and `/readyz`, with a reason for each failed check.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use http::StatusCode;

/// One condition of readiness; the error is the reason in one line.
pub type ReadinessCheck = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// All conditions of readiness.
#[derive(Default)]
pub struct Readiness {
    checks: Vec<(&'static str, ReadinessCheck)>,
}

impl Readiness {
    /// Adds a check; checks are listed in the order in which they were added.
    #[must_use]
    pub fn and(mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.checks.push((name, Box::new(check)));
        self
    }

    /// Names and reasons of the checks that fail now.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.checks.iter().filter_map(|(name, check)| check().err().map(|reason| (*name, reason))).collect()
    }

    /// The result of each check.
    pub fn results(&self) -> Vec<(&'static str, Result<(), String>)> {
        self.checks.iter().map(|(name, check)| (*name, check())).collect()
    }

    /// Status and body as in API servers: `ok`, or a line for each check.
    fn response(&self, verbose: bool) -> (StatusCode, String) {
        let mut ready = true;
        let mut lines = String::new();
        for (name, check) in &self.checks {
            // Writing to a String cannot fail.
            let _ = match check() {
                Ok(()) => writeln!(lines, "[+]{name} ok"),
                Err(reason) => {
                    ready = false;
                    writeln!(lines, "[-]{name} not ready: {reason}")
                }
            };
        }
        match (ready, verbose) {
            (true, false) => (StatusCode::OK, "ok".to_owned()),
            (true, true) => (StatusCode::OK, lines + "readyz check passed\n"),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, lines + "readyz check failed\n"),
        }
    }
}

/// The three endpoints. A process that responds is alive: whatever breaks it also exits it.
pub fn router(readiness: Arc<Readiness>) -> Router {
    let alive = || async { "ok" };
    let ready = |State(readiness): State<Arc<Readiness>>, RawQuery(query): RawQuery| async move {
        let verbose =
            query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part == "verbose=true"));
        readiness.response(verbose)
    };
    Router::new()
        .route("/livez", get(alive))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn readiness_lists_each_check_with_its_reason() {
        let up = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&up);
        let readiness = Readiness::default()
            .and("certificate", || Ok(()))
            .and("caches", move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("still listing".to_owned()) });
        assert_eq!(
            readiness.response(false),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "[+]certificate ok\n[-]caches not ready: still listing\nreadyz check failed\n".to_owned()
            )
        );
        assert_eq!(readiness.missing(), [("caches", "still listing".to_owned())]);
        up.store(true, Ordering::Relaxed);
        assert_eq!(readiness.response(false), (StatusCode::OK, "ok".to_owned()));
        let verbose = "[+]certificate ok\n[+]caches ok\nreadyz check passed\n".to_owned();
        assert_eq!(readiness.response(true), (StatusCode::OK, verbose));
    }
}
