//! The process from outside: settings, bad input, health, TLS, hostile clients, shutdown. Where a cluster is not needed
//! the server runs inside the test, with a router of the test.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;
mod certificates;
mod client;
mod client_certificates;
mod cluster_trouble;
mod drain;
mod hostile;
mod lists;
mod logs;
mod quiet_watch;
mod settings;
mod status_page;
mod status_page_tokens;
#[cfg(feature = "otel")]
mod traces;

use cluster::{exactly, within};
