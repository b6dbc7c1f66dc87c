//! Self-managed certificates: the process itself, several replicas of it, on a real control plane whose API server calls them
//! with failure policy Fail.
//!
//! Each test has a Secret, a webhook configuration and a namespace of its own, and the webhooks are called for requests in that
//! namespace alone, so the tests run side by side.

#![allow(clippy::unwrap_used, clippy::panic)]

mod balancer;
mod gate;
mod handshake;
mod installation;
mod late;
mod load;
mod publishing;
mod rotation;
mod start;
mod trouble;

use std::time::Duration;

use cluster::report;

/// The timeout of every wait; far longer than any of them takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Prints a check's line, and fails unless the figure is within the limit.
fn within(id: &str, what: &str, figure: Duration, limit: Duration) {
    report(
        id,
        figure <= limit,
        format!("{:.2} s", figure.as_secs_f64()),
        format!("{:.2} s: {what}", limit.as_secs_f64()),
    );
    assert!(figure <= limit, "{id}: {what} took {figure:?}, limit {limit:?}");
}

/// Prints a check's line, and fails unless it is exactly that.
fn exactly(id: &str, what: &str, figure: usize, expected: usize) {
    report(id, figure == expected, figure, format!("{expected}: {what}"));
    assert_eq!(figure, expected, "{id}: {what}");
}
