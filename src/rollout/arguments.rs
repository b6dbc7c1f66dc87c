//! The arguments of `rollout`.

use std::path::PathBuf;
use std::time::Duration;

use super::rate::Rate;

/// The arguments of `rollout`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rollout {
    /// The name of the kind.
    pub kind: String,
    /// The kubeconfig of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace, where only its Workspaces are restarted.
    pub namespace: Option<String>,
    /// How many are restarted in a time, at most.
    pub max: Rate,
    /// How long a Workspace must have been idle; `None` where those in use are restarted, too.
    pub idle_for: Option<Duration>,
    /// How many of those restarted may be unavailable at a time; at least one.
    pub max_unavailable: usize,
    /// After how long without a restarted Workspace that becomes available it stops.
    pub progress_deadline: Duration,
    /// Whether nothing is written.
    pub dry_run: bool,
}
