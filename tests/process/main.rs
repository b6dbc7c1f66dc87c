//! The process from outside: settings, bad input, health, TLS, hostile clients, shutdown. Where a cluster is not needed
//! the server runs inside the test, with a router of the test.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;
mod certificates;
mod client;
mod cluster_trouble;
mod drain;
mod hostile;
mod lists;
mod quiet_watch;
mod settings;
mod status_page;
mod status_page_tokens;

use std::time::Duration;

/// Prints a check's line, and fails unless the figure is within the limit.
fn within(id: &str, what: &str, figure: Duration, limit: Duration) {
    let verdict = if figure <= limit { "pass" } else { "fail" };
    println!("{id} {verdict} {:.2} s, limit {:.2} s: {what}", figure.as_secs_f64(), limit.as_secs_f64());
    assert!(figure <= limit, "{id}: {what} took {figure:?}, limit {limit:?}");
}

/// Prints a check's line, and fails unless exactly as many as expected.
fn exactly(id: &str, what: &str, figure: usize, expected: usize) {
    let verdict = if figure == expected { "pass" } else { "fail" };
    println!("{id} {verdict} {figure}, limit {expected}: {what}");
    assert_eq!(figure, expected, "{id}: {what}");
}
