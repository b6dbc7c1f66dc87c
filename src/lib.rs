//! How does it run? The process: the only code that touches the cluster, a socket, a clock or the environment.
//!
//! [`cli`] reads the command line, [`config`] turns it into validated settings, [`commands`] runs the command, and
//! [`app`] wires the running process.

pub mod activity;
pub mod api;
pub mod app;
mod check;
mod cleanup;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod election;
mod hand_back;
pub mod http;
pub mod istio;
pub mod metrics;
mod notebook;
pub mod offline;
pub mod rbac;
pub mod reconcile;
pub mod render;
mod rollout;
pub mod serve;
pub mod shutdown;
pub mod status_page;
pub mod stores;
pub mod tasks;
pub mod telemetry;
pub mod tls;
mod users;
mod visible;
