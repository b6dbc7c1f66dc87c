//! What is asked for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crds::ports::Dialect;

use crate::offline::finding::Severity;

/// What makes the CRDs those of this version.
pub(super) const INSTALL_CRDS: &str = "workspaces-controller crds | kubectl apply --server-side -f -";

/// The arguments of the command.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The kubeconfig of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the installation; if unset, that of the webhook's Service.
    pub namespace: Option<String>,
    /// How long it is tried again while it does not pass.
    pub wait: Duration,
    /// Whether the output is JSON.
    pub json: bool,
    /// Which findings make the exit code 1.
    pub fail_on: Severity,
    /// Whether routes are made.
    pub use_istio: bool,
    /// The gateways of the routes.
    pub gateways: Vec<String>,
    /// The dialects that the webhook accepts.
    pub dialects: BTreeSet<Dialect>,
    /// Whether a leader is elected, if that was said.
    pub leader_elect: Option<bool>,
    /// The Lease of the leader.
    pub lease: &'static str,
}
