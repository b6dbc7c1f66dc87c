//! Status: a pure function of what is known of the kind and its use.

use crds::workspace_kind::{AssetStatus, OptionCounts, WorkspaceKindStatus};

use super::counts::count;
use crate::stores::kind::StoredKind;

/// What a status follows from.
#[derive(Debug)]
pub(super) struct StatusFacts<'a> {
    /// The kind, with the status that it has.
    pub kind: &'a StoredKind,
    /// How many Workspaces use it.
    pub workspaces: usize,
    /// How many use each of its options.
    pub options: OptionCounts,
    /// The status of its icon.
    pub icon: AssetStatus,
    /// The status of its logo.
    pub logo: AssetStatus,
}

/// The status.
pub(super) fn desired(facts: StatusFacts<'_>) -> WorkspaceKindStatus {
    let StatusFacts { kind, workspaces, options, icon, logo } = facts;
    let held = kind.kind.status.clone().unwrap_or_default();
    WorkspaceKindStatus {
        observed_generation: Some(kind.generation()),
        workspaces: count(workspaces),
        pod_template_options: Some(options),
        // The CRD of the Go controller requires them.
        spawner_icon: Some(icon),
        spawner_logo: Some(logo),
        ..held
    }
}
