//! How does it run? The process: the only code that touches the cluster, a socket, a clock or the environment.
//!
//! [`cli`] reads the command line, [`config`] turns it into validated settings.

pub mod cli;
pub mod config;
pub mod health;
pub mod metrics;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod tls;
