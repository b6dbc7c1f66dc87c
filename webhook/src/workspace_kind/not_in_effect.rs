//! Fields that are stored but not acted upon yet. Each goes from here with the version that acts on it.

use crds::WorkspaceKindSpec;
use crds::workspace_kind::ActivityRule;

use crate::field::Findings;
use crate::rule::Rule;

/// Warns of ClusterRoles that nobody is granted, and of rules that pause nothing.
pub(super) fn validate(spec: &WorkspaceKindSpec, findings: &mut Findings) {
    const NO_BINDINGS: &str = "this version creates no RoleBindings";
    const NO_PAUSES: &str = "this version does not pause idle Workspaces";
    let template = &spec.pod_template;
    let grants = template.service_account.as_ref().is_some_and(|account| !account.cluster_roles.is_empty());
    let culls = template.culling.as_ref().is_some_and(|culling| culling.enabled);
    let pauses = spec.activity_rules.iter().any(ActivityRule::pauses);
    for (is_set, field, why) in [
        (grants, "spec.podTemplate.serviceAccount.clusterRoles", NO_BINDINGS),
        (culls, "spec.podTemplate.culling", NO_PAUSES),
        (pauses, "spec.activityRules", NO_PAUSES),
    ] {
        if is_set {
            findings.warn(Rule::NotInEffect, field, format!("{field} has no effect yet: {why}"));
        }
    }
}
