//! Rules of `spec.filterRules`.

use crds::field_path::FieldPath;
use crds::workspace_kind::{FilterRule, FilterRuleEffect, FilterRuleMatch, FilterRuleScope};

use crate::field::{Fault, Findings};
use crate::metadata::validate_selector;
use crate::rule::Rule;

/// Validates that each rule has an effect, and that its conditions fit its scope and have valid selectors.
pub(super) fn validate(rules: &[FilterRule], findings: &mut Findings) {
    let rules_at = FieldPath::root("spec.filterRules");
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        if !has_effect(&rule.effect) {
            let detail = "must specify at least one effect: one of 'ui.hide', 'api.hide', or 'api.deny' must be true";
            let fault = Fault::invalid(Rule::FilterEffect, at.field("effect").to_string(), "", detail);
            // Another rule without an effect is another fault.
            findings.faults.push(fault.about(serde_json::to_string(&(rule.scope, &rule.match_)).unwrap_or_default()));
        }
        let match_at = at.field("match");
        for (number, condition) in rule.match_.iter().enumerate() {
            validate_condition(&match_at.index(number), rule.scope, condition, findings);
        }
    }
}

fn has_effect(effect: &FilterRuleEffect) -> bool {
    let api = effect.api.as_ref();
    let api = api.is_some_and(|api| api.hide == Some(true) || api.deny == Some(true));
    api || effect.ui.as_ref().is_some_and(|ui| ui.hide)
}

fn validate_condition(
    at: &FieldPath<'_>,
    scope: FilterRuleScope,
    condition: &FilterRuleMatch,
    findings: &mut Findings,
) {
    let options =
        [("matchImageConfig", &condition.match_image_config), ("matchPodConfig", &condition.match_pod_config)];
    for (name, selected) in options.iter().filter_map(|(name, selected)| Some((name, selected.as_ref()?))) {
        if scope == FilterRuleScope::WorkspaceKind {
            let detail = format!("'{name}' is only valid when 'scope' is 'POD_CONFIG' or 'IMAGE_CONFIG'");
            let fault = Fault::invalid_block(Rule::FilterMatchScope, at.field(name).to_string(), selected, detail);
            let key = serde_json::to_string(selected).unwrap_or_default();
            findings.faults.push(fault.about(key));
        }
    }
    for (name, selected) in [("matchNamespace", &condition.match_namespace)].into_iter().chain(options) {
        if let Some(selected) = selected {
            let at = at.field(name);
            validate_selector(Rule::FilterSelector, &at.field("selector"), &selected.selector, findings);
        }
    }
}
