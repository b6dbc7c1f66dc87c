//! Fields that are stored but not acted upon yet. Each goes from here with the version that acts on it.

use crds::WorkspaceKindSpec;
use crds::workspace_kind::ActivityRule;

use crate::field::Findings;
use crate::rule::Rule;

/// Warns of rules that pause nothing.
pub(super) fn validate(spec: &WorkspaceKindSpec, findings: &mut Findings) {
    const NO_PAUSES: &str = "this version does not pause idle Workspaces";
    let template = &spec.pod_template;
    let culls = template.culling.as_ref().is_some_and(|culling| culling.enabled);
    let pauses = spec.activity_rules.iter().any(ActivityRule::pauses);
    for (is_set, field) in [(culls, "spec.podTemplate.culling"), (pauses, "spec.activityRules")] {
        if is_set {
            findings.warn(Rule::NotInEffect, field, format!("{field} has no effect yet: {NO_PAUSES}"));
        }
    }
}
