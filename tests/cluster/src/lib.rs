//! The local control plane that the tests and the demo run on: etcd, kube-apiserver, kube-controller-manager,
//! kube-scheduler and kwok (a fake kubelet), unmodified, built once from their Go modules.
//!
//! [`Tools`] builds and finds the programs, [`Cluster`] starts an isolated instance of them in seconds, [`AuditLog`]
//! records who requested what, and [`ControllerProcess`] runs the product against it. Every process that this crate
//! starts is stopped with the process that started it, even if that was killed.

mod api;
mod audit;
mod balancer;
mod cache;
mod check;
mod cluster;
mod command;
mod controller;
mod crds;
mod credentials;
pub mod demo;
mod elector;
mod envoy;
mod error;
mod failure_logs;
mod go;
mod istiod;
mod python;
mod registration;
mod relay;
mod servers;
mod supervised;
mod tools;
mod wait;

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use api::{Api, Reply, get_plain};
pub use audit::{AuditLog, Mark, Request, Requests, WRITE_VERBS};
pub use balancer::{Balancer, Watched};
pub use cache::CACHE_VARIABLE;
pub use check::{exactly, report, within};
pub use cluster::{Cluster, ClusterOptions, Server};
pub use command::{Output, run};
pub use controller::{CONTROLLER_ACCOUNT, CONTROLLER_NAMESPACE, CONTROLLER_USER, ControllerOptions, ControllerProcess};
pub use crds::gateway_crd;
pub use credentials::{ADMIN, ClientCa, MASTERS, PLAIN_USER, User};
pub use elector::GoElector;
pub use envoy::Envoy;
pub use error::{Error, Result};
pub use istiod::Istiod;
pub use registration::{WEBHOOK_CONFIGURATIONS, webhook_configuration};
pub use relay::{Flow, Relay};
pub use supervised::{Exit, Signal};
pub use tools::{ASSETS_VARIABLE, Tools};
pub use wait::{Poll, wait_for};

/// A line on standard error, also from inside a test: libtest captures only what the print macros write.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "control plane: {line}");
}

/// The root of the checkout.
pub(crate) fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
