//! What the product survives, with real processes on a real control plane: leaders that stop, hang and are cut off, an API server
//! that is gone or answers wrong, watches that lag, end and say nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

mod api_server;
mod election;
mod load;
mod proxy;
mod rolling;
mod soak;
mod world;

use std::time::Duration;

use cluster::{Requests, report, within};

const PATIENCE: Duration = Duration::from_mins(1);

fn none(id: &str, what: &str, found: &Requests) {
    report(id, found.is_empty(), found.count(), format!("0: {what}"));
    assert!(found.is_empty(), "{id}: {what}: {found:?}");
}

fn at_most(id: &str, what: &str, figure: usize, limit: usize) {
    report(id, figure <= limit, figure, format!("{limit}: {what}"));
    assert!(figure <= limit, "{id}: {what}");
}
