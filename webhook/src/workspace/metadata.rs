//! Keys of labels and annotations that a Workspace may not set on its pod.

use crds::labels::{STATEFULSET_LABEL, WORKSPACE_NAME_LABEL};
use crds::workspace_kind::PodMetadata;

use crate::field::{Fault, Findings, quoted};
use crate::metadata::POD_METADATA;
use crate::policy::ProtectedKeys;
use crate::rule::Rule;

/// The labels by which the controller selects the pod, with the name of the Workspace as their value.
const OURS: [&str; 2] = [WORKSPACE_NAME_LABEL, STATEFULSET_LABEL];

pub(super) fn validate_protected(
    metadata: &PodMetadata,
    workspace: &str,
    protected: &ProtectedKeys,
    findings: &mut Findings,
) {
    for (block, entries) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
        let field = format!("{POD_METADATA}.{block}");
        for (key, value) in entries {
            let detail = if block == "labels" && OURS.contains(&&**key) {
                if value == workspace {
                    continue;
                }
                format!("the controller sets {} to {}, leave it out", quoted(key), quoted(workspace))
            } else if let Some(pattern) = protected.matching(key) {
                format!("{} is reserved for the platform ({pattern}), only a WorkspaceKind can set it", quoted(key))
            } else {
                continue;
            };
            let fault = Fault::forbidden(Rule::ProtectedMetadata, &field, detail);
            // Another value of a reserved key is another fault.
            findings.faults.push(fault.about(format!("{block} {key}={value}")));
        }
    }
}
