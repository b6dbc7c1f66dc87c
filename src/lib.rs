//! How does it run? The process: the only code that touches the cluster, a socket, a clock or the environment.
//!
//! [`cli`] reads the command line, [`config`] turns it into validated settings.

pub mod cli;
pub mod config;
pub mod metrics;
