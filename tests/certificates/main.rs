//! Self-managed certificates: the process itself, several replicas of it, on a real control plane whose API server calls them
//! with failure policy Fail.
//!
//! Each test has a Secret, a webhook configuration and a namespace of its own, and the webhooks are called for requests in that
//! namespace alone, so the tests run side by side.

#![allow(clippy::unwrap_used, clippy::panic)]

mod handshake;
mod installation;
mod late;
mod load;
mod publishing;
mod rotation;
mod start;
mod trouble;

use std::time::Duration;

use cluster::{exactly, within};

/// The timeout of every wait; far longer than any of them takes.
const TIMEOUT: Duration = Duration::from_mins(1);
