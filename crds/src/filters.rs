//! `spec.filterRules`: which of them deny a choice.
//!
//! For each scope the first rule that matches and sets `api.deny` applies: an earlier `deny: false` is an exception to
//! a later `deny: true`. This is how the Kubeflow backend evaluates them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::selectors::unmet;
use crate::workspace_kind::{FilterRule, FilterRuleMatch, FilterRuleScope, ImageConfigValue, PodConfigValue};

/// The options that a Workspace selects, and its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The labels of the namespace.
    pub namespace: &'a BTreeMap<String, String>,
    /// The imageConfig value, where it exists.
    pub image: Option<&'a ImageConfigValue>,
    /// The podConfig value, where it exists.
    pub pod: Option<&'a PodConfigValue>,
}

/// A rule that denies a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denial<'a> {
    /// What is denied.
    pub scope: FilterRuleScope,
    /// The index of the rule.
    pub index: usize,
    /// The message of the rule.
    pub message: Option<&'a str>,
}

/// The rules that deny the choice: at most one for each scope, in the order kind, imageConfig, podConfig.
pub fn denials<'a>(rules: &'a [FilterRule], choice: &Choice<'_>) -> Vec<Denial<'a>> {
    let scopes = [FilterRuleScope::WorkspaceKind, FilterRuleScope::ImageConfig, FilterRuleScope::PodConfig];
    scopes.into_iter().filter_map(|scope| denial(rules, scope, choice)).collect()
}

/// Whether a decision depends on the labels of the namespace.
pub fn depend_on_namespace(rules: &[FilterRule]) -> bool {
    let deciding = rules.iter().filter(|rule| denies(rule).is_some());
    deciding.flat_map(|rule| &rule.match_).any(|condition| condition.match_namespace.is_some())
}

fn denies(rule: &FilterRule) -> Option<bool> {
    rule.effect.api.as_ref().and_then(|api| api.deny)
}

fn denial<'a>(rules: &'a [FilterRule], scope: FilterRuleScope, choice: &Choice<'_>) -> Option<Denial<'a>> {
    let (index, rule) = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.scope == scope && denies(rule).is_some())
        .find(|(_, rule)| rule.match_.iter().all(|condition| holds(condition, choice)))?;
    let api = rule.effect.api.as_ref()?;
    let message = api.deny_message.as_ref().map(|message| message.text.as_str());
    (api.deny == Some(true)).then_some(Denial { scope, index, message })
}

/// Whether a condition holds. A malformed one does not.
fn holds(condition: &FilterRuleMatch, choice: &Choice<'_>) -> bool {
    let namespace = condition.match_namespace.iter().all(|wanted| matches(&wanted.selector, choice.namespace));
    let image = condition
        .match_image_config
        .iter()
        .all(|wanted| choice.image.is_some_and(|image| matches(&wanted.selector, &image.spawner.label_map())));
    let pod = condition
        .match_pod_config
        .iter()
        .all(|wanted| choice.pod.is_some_and(|pod| matches(&wanted.selector, &pod.spawner.label_map())));
    namespace && image && pod
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    unmet(selector, labels).is_ok_and(|unmet| unmet.is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn found(rules: Value, namespace: &[(&str, &str)]) -> Vec<(FilterRuleScope, usize, Option<String>)> {
        let rules: Vec<FilterRule> = serde_json::from_value(rules).unwrap();
        let kind = crate::testing::workspace_kind("lab");
        let options = &kind.spec.pod_template.options;
        let mut image = options.image_config.values[0].clone();
        image.spawner.labels = serde_json::from_value(json!([{"key": "gpu", "value": "yes"}])).unwrap();
        let namespace = namespace.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let choice = Choice { namespace: &namespace, image: Some(&image), pod: options.pod_config.values.first() };
        let denials = denials(&rules, &choice);
        denials.into_iter().map(|denial| (denial.scope, denial.index, denial.message.map(str::to_owned))).collect()
    }

    fn rule(scope: &str, deny: bool, conditions: &Value) -> Value {
        json!({"scope": scope, "effect": {"api": {"deny": deny}}, "match": conditions})
    }

    #[test]
    fn the_first_rule_that_matches_and_decides_counts() {
        let gpu = json!([{"matchImageConfig": {"selector": {"matchLabels": {"gpu": "yes"}}}}]);
        let team = json!([{"matchNamespace": {"selector": {"matchLabels": {"team": "a"}}}}]);
        let rules = json!([
            {"scope": "IMAGE_CONFIG", "effect": {"ui": {"hide": true}}, "match": &gpu},
            rule("IMAGE_CONFIG", false, &team),
            rule("IMAGE_CONFIG", true, &gpu),
        ]);
        assert_eq!(found(rules.clone(), &[("team", "b")]), [(FilterRuleScope::ImageConfig, 2, None)]);
        assert_eq!(found(rules, &[("team", "a")]), []);
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold_and_each_scope_has_its_own_rule() {
        let both = json!([
            {"matchImageConfig": {"selector": {"matchLabels": {"gpu": "yes"}}}},
            {"matchNamespace": {"selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}},
        ]);
        let everything = json!([{"matchNamespace": {"selector": {}}}]);
        let mut kind = rule("WORKSPACE_KIND", true, &everything);
        kind["effect"]["api"]["denyMessage"] = json!({"text": "ask the platform team"});
        let rules = json!([rule("POD_CONFIG", true, &both), kind]);
        let message = Some("ask the platform team".to_owned());
        let of_kind = (FilterRuleScope::WorkspaceKind, 1, message);
        assert_eq!(found(rules.clone(), &[("team", "a")]), std::slice::from_ref(&of_kind));
        assert_eq!(found(rules, &[]), [of_kind, (FilterRuleScope::PodConfig, 0, None)]);
    }

    #[test]
    fn a_condition_that_is_not_well_formed_does_not_hold() {
        let odd = json!([{"matchNamespace": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}}]);
        assert_eq!(found(json!([rule("WORKSPACE_KIND", true, &odd)]), &[]), []);
    }

    #[test]
    fn only_rules_that_decide_about_denial_ask_for_the_namespace() {
        let team = json!([{"matchNamespace": {"selector": {}}}]);
        let asks = |rules: Value| depend_on_namespace(&serde_json::from_value::<Vec<_>>(rules).unwrap());
        assert!(asks(json!([rule("WORKSPACE_KIND", false, &team)])));
        assert!(!asks(json!([{"scope": "WORKSPACE_KIND", "effect": {"api": {"hide": true}}, "match": &team}])));
    }
}
