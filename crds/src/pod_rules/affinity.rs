//! `affinity` of a pod: to nodes, to pods and away from pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::faults::PodFaults;
use super::label_requirement::{LabelRequirement, NO_OPERATOR, Operators};
use super::label_selector;
use crate::field_path::FieldPath;
use crate::labels::{dns_label_fault, dns_subdomain_fault, is_on_every_pod, qualified_name_fault};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Validates the affinity at `at` of a pod of a kind that sets these `labels`.
pub fn validate(affinity: &Affinity, labels: &BTreeMap<String, String>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(nodes) = &affinity.node_affinity {
        validate_nodes(nodes, &at.field("nodeAffinity"), faults);
    }
    if let Some(pods) = &affinity.pod_affinity {
        validate_pods(
            pods.required_during_scheduling_ignored_during_execution.as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_deref(),
            labels,
            &at.field("podAffinity"),
            faults,
        );
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        validate_pods(
            pods.required_during_scheduling_ignored_during_execution.as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_deref(),
            labels,
            &at.field("podAntiAffinity"),
            faults,
        );
    }
}

fn validate_nodes(nodes: &NodeAffinity, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(required) = &nodes.required_during_scheduling_ignored_during_execution {
        let required_at = at.field(REQUIRED);
        let terms_at = required_at.field("nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            faults.required(&terms_at, "must have at least one node selector term");
        }
        for (index, term) in required.node_selector_terms.iter().enumerate() {
            validate_node_term(term, Values::OfLabels, &terms_at.index(index), faults);
        }
    }
    let preferred_at = at.field(PREFERRED);
    for (index, term) in nodes.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        let at = preferred_at.index(index);
        validate_weight(term.weight, &at, faults);
        validate_node_term(&term.preference, Values::Any, &at.field("preference"), faults);
    }
}

/// Which values a requirement of a node's label may have.
#[derive(Clone, Copy)]
enum Values {
    OfLabels,
    /// The API server has never judged those of preferences.
    Any,
}

fn validate_node_term(term: &NodeSelectorTerm, values: Values, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let expressions_at = at.field("matchExpressions");
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let at = expressions_at.index(index);
        let requirement = label_requirement(requirement);
        requirement.validate(Operators::TextAndNumber, &at, faults);
        if matches!(values, Values::OfLabels) {
            requirement.validate_values(&at, faults);
        }
    }
    let fields_at = at.field("matchFields");
    for (index, requirement) in term.match_fields.iter().flatten().enumerate() {
        validate_node_field(label_requirement(requirement), &fields_at.index(index), faults);
    }
}

fn label_requirement(requirement: &NodeSelectorRequirement) -> LabelRequirement<'_> {
    let NodeSelectorRequirement { key, operator, values } = requirement;
    LabelRequirement { key, operator, values: values.as_ref() }
}

/// Validates a requirement of a node's field, of which there is one: its name.
fn validate_node_field(requirement: LabelRequirement<'_>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let values_at = at.field("values");
    match requirement.operator {
        "In" | "NotIn" if requirement.values().len() == 1 => {}
        "In" | "NotIn" => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            faults.required(&values_at, detail);
            faults.about(requirement.key);
        }
        operator => {
            faults.invalid(&at.field("operator"), operator, NO_OPERATOR);
            faults.about(requirement.key);
            faults.hint(": In or NotIn");
        }
    }
    if requirement.key != "metadata.name" {
        faults.invalid(&at.field("key"), requirement.key, "not a valid field selector key");
        return faults.hint(": metadata.name");
    }
    for (index, value) in requirement.values().iter().enumerate() {
        if let Some(detail) = dns_subdomain_fault(value) {
            faults.invalid(&values_at.index(index), value, detail);
        }
    }
}

fn validate_pods(
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    labels: &BTreeMap<String, String>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let required_at = at.field(REQUIRED);
    for (index, term) in required.unwrap_or_default().iter().enumerate() {
        validate_pod_term(term, labels, &required_at.index(index), faults);
    }
    let preferred_at = at.field(PREFERRED);
    for (index, weighted) in preferred.unwrap_or_default().iter().enumerate() {
        let at = preferred_at.index(index);
        validate_weight(weighted.weight, &at, faults);
        validate_pod_term(&weighted.pod_affinity_term, labels, &at.field("podAffinityTerm"), faults);
    }
}

fn validate_weight(weight: i32, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if !(1..=100).contains(&weight) {
        faults.invalid(&at.field("weight"), weight, "must be in the range 1-100");
    }
}

fn validate_pod_term(
    term: &PodAffinityTerm,
    labels: &BTreeMap<String, String>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    for (name, selector) in [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)] {
        if let Some(selector) = selector {
            label_selector::validate(selector, &at.field(name), faults);
        }
    }
    for namespace in term.namespaces.iter().flatten() {
        if let Some(detail) = dns_label_fault(namespace) {
            // The API server names the field so.
            faults.invalid(&at.field("namespace"), namespace, detail);
        }
    }
    validate_label_keys(term, labels, at, faults);
    let topology_at = at.field("topologyKey");
    if term.topology_key.is_empty() {
        faults.required(&topology_at, "can not be empty");
    } else if let Some(detail) = qualified_name_fault(&term.topology_key) {
        faults.invalid(&topology_at, &term.topology_key, detail);
    }
}

/// Validates the keys of labels whose values are taken from the pod itself.
fn validate_label_keys(
    term: &PodAffinityTerm,
    labels: &BTreeMap<String, String>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let matched = term.match_label_keys.as_deref().unwrap_or_default();
    let mismatched = term.mismatch_label_keys.as_deref().unwrap_or_default();
    for (name, keys) in [("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)] {
        let at = at.field(name);
        if !keys.is_empty() && term.label_selector.is_none() {
            faults.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            if let Some(detail) = qualified_name_fault(key) {
                faults.invalid(&at.index(index), key, detail);
            }
        }
    }
    if matched.is_empty() {
        return;
    }
    if let Some(selector) = &term.label_selector {
        let added = matched.iter().chain(mismatched).filter(|key| is_on_every_pod(key, labels));
        validate_selected_twice(matched, selector, added, at, faults);
    }
    let mismatched: BTreeSet<&String> = mismatched.iter().collect();
    let matched_at = at.field("matchLabelKeys");
    for (index, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        faults.invalid(&matched_at.index(index), key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// Validates that the selector names no key of `matched` twice when the API server has `added` those that the pod has.
/// It reports the last place of the key, below the term itself.
fn validate_selected_twice<'a>(
    matched: &[String],
    selector: &'a LabelSelector,
    added: impl Iterator<Item = &'a String>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let last_place: BTreeMap<&String, usize> = matched.iter().enumerate().map(|(index, key)| (key, index)).collect();
    let mut selected: BTreeSet<&String> = selector.match_labels.iter().flatten().map(|(key, _)| key).collect();
    let expressions = selector.match_expressions.iter().flatten().map(|LabelSelectorRequirement { key, .. }| key);
    for key in expressions.chain(added) {
        let twice = !selected.insert(key);
        if let Some(index) = last_place.get(key).filter(|_| twice) {
            faults.invalid(&at.index(*index), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::labels::label_value_fault;

    fn faults_of(affinity: Value) -> Vec<String> {
        let affinity: Affinity = serde_json::from_value(affinity).expect("an affinity");
        let labels = BTreeMap::from([("team".to_owned(), "data".to_owned())]);
        PodFaults::of(|faults| validate(&affinity, &labels, &FieldPath::root("affinity"), faults)).written()
    }

    fn required_nodes(terms: &Value) -> Value {
        json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}})
    }

    fn required_pods(term: &Value) -> Value {
        json!({"podAffinity": {REQUIRED: [{"topologyKey": "zone"}, term]}})
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["not a label"]}]});
        for affinity in [
            json!({}),
            json!({"nodeAffinity": {}, "podAffinity": {}, "podAntiAffinity": {}}),
            required_nodes(&json!([{}])),
            required_nodes(&json!([{
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["b", ""]},
                    {"key": "example.com/a", "operator": "NotIn", "values": ["b"]},
                    {"key": "a", "operator": "Exists"},
                    {"key": "a", "operator": "DoesNotExist", "values": []},
                    {"key": "a", "operator": "Gt", "values": ["1"]},
                    {"key": "a", "operator": "Lt", "values": ["no-number"]},
                ],
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node.1"]}],
            }])),
            json!({"nodeAffinity": {PREFERRED: [{"weight": 100, "preference": odd}, {"weight": 1, "preference": {}}]}}),
            required_pods(&json!({
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
                "namespaceSelector": {},
                "namespaces": ["team-a"],
                "matchLabelKeys": ["a", "d"],
                "mismatchLabelKeys": ["c", "e"],
            })),
            json!({"podAntiAffinity": {PREFERRED: [{"weight": 50, "podAffinityTerm": {"topologyKey": "zone"}}]}}),
        ] {
            assert_eq!(faults_of(affinity.clone()), [""; 0], "{affinity}");
        }
    }

    #[test]
    fn rejects_what_the_api_server_rejects_of_nodes() {
        let (name, value) = (qualified_name_fault("").unwrap_or_default(), label_value_fault("-").unwrap_or_default());
        assert_eq!(
            faults_of(required_nodes(&json!([]))),
            [format!(
                "affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms: Required value: must have at least one node \
                 selector term"
            )]
        );
        let expressions = [
            (
                json!({"key": "a", "operator": "In"}),
                "values: Required value: must be specified when `operator` is 'In' or 'NotIn'".to_owned(),
            ),
            (
                json!({"key": "a", "operator": "Exists", "values": ["b"]}),
                "values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'".to_owned(),
            ),
            (
                json!({"key": "a", "operator": "Gt", "values": ["1", "2"]}),
                "values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'".to_owned(),
            ),
            (
                json!({"key": "a", "operator": "Lt"}),
                "values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'".to_owned(),
            ),
            (
                json!({"key": "a", "operator": "in"}),
                r#"operator: Invalid value: "in": not a valid selector operator"#.to_owned(),
            ),
            (json!({"key": "a b", "operator": "Exists"}), format!(r#"key: Invalid value: "a b": {name}"#)),
            (
                json!({"key": "a", "operator": "In", "values": ["b", "b c"]}),
                format!(r#"values[1]: Invalid value: "b c": {value}"#),
            ),
        ];
        for (expression, expected) in expressions {
            let at = format!("affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[1].matchExpressions[0]");
            let affinity = required_nodes(&json!([{}, {"matchExpressions": [expression]}]));
            assert_eq!(faults_of(affinity), [format!("{at}.{expected}")], "{expression}");
        }
        let node = dns_subdomain_fault("").unwrap_or_default();
        let of_one = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        let fields = [
            (json!({"key": "metadata.name", "operator": "In"}), vec![format!("values: Required value: {of_one}")]),
            (
                json!({"key": "metadata.name", "operator": "NotIn", "values": ["a", "B"]}),
                vec![format!("values: Required value: {of_one}"), format!(r#"values[1]: Invalid value: "B": {node}"#)],
            ),
            (
                json!({"key": "metadata.labels", "operator": "Exists", "values": ["B"]}),
                vec![
                    r#"operator: Invalid value: "Exists": not a valid selector operator"#.to_owned(),
                    r#"key: Invalid value: "metadata.labels": not a valid field selector key"#.to_owned(),
                ],
            ),
        ];
        for (field, expected) in fields {
            let at = format!("affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchFields[0]");
            let expected: Vec<String> = expected.iter().map(|fault| format!("{at}.{fault}")).collect();
            assert_eq!(faults_of(required_nodes(&json!([{"matchFields": [field]}]))), expected, "{field}");
        }
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
        let preferred =
            json!({"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": odd}, {"weight": 101, "preference": {}}]}});
        let at = format!("affinity.nodeAffinity.{PREFERRED}");
        let without_value = "must be specified when `operator` is 'In' or 'NotIn'";
        assert_eq!(
            faults_of(preferred),
            [
                format!("{at}[0].weight: Invalid value: 0: must be in the range 1-100"),
                format!("{at}[0].preference.matchExpressions[0].values: Required value: {without_value}"),
                format!("{at}[1].weight: Invalid value: 101: must be in the range 1-100"),
            ]
        );
    }

    #[test]
    fn rejects_what_the_api_server_rejects_of_pods() {
        let (name, value) = (qualified_name_fault("").unwrap_or_default(), label_value_fault("-").unwrap_or_default());
        let no_selector = "Forbidden: must not be specified when labelSelector is not set";
        let cases = [
            (json!({"topologyKey": ""}), vec![".topologyKey: Required value: can not be empty".to_owned()]),
            (json!({"topologyKey": "a b"}), vec![format!(r#".topologyKey: Invalid value: "a b": {name}"#)]),
            (
                json!({"topologyKey": "zone", "namespaces": ["a", "a.b"]}),
                vec![r#".namespace: Invalid value: "a.b": must not contain dots"#.to_owned()],
            ),
            (
                json!({
                    "topologyKey": "zone",
                    "labelSelector": {"matchLabels": {"a": "b c"}},
                    "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
                }),
                vec![
                    format!(r#".labelSelector.matchLabels: Invalid value: "b c": {value}"#),
                    r#".namespaceSelector.matchExpressions[0].operator: Invalid value: "Gt": not a valid selector operator"#.to_owned(),
                ],
            ),
            (
                json!({"topologyKey": "zone", "matchLabelKeys": ["a", "/"], "mismatchLabelKeys": ["a"]}),
                vec![
                    format!(".matchLabelKeys: {no_selector}"),
                    format!(".mismatchLabelKeys: {no_selector}"),
                    r#".matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys"#.to_owned(),
                ],
            ),
            (
                json!({
                    "topologyKey": "zone",
                    "labelSelector": {
                        "matchLabels": {"a": "x", "c": "x"},
                        "matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}, {"key": "c", "operator": "Exists"}],
                    },
                    "matchLabelKeys": ["a", "b", "a b", "a"],
                    "mismatchLabelKeys": ["c", ""],
                }),
                vec![
                    format!(r#".matchLabelKeys[2]: Invalid value: "a b": {name}"#),
                    format!(r#".mismatchLabelKeys[1]: Invalid value: "": {name}"#),
                    r#"[3]: Invalid value: "a": exists in both matchLabelKeys and labelSelector"#.to_owned(),
                ],
            ),
            // The API server adds the keys that the pod has to the selector: `team` is a label of the kind.
            (
                json!({
                    "topologyKey": "zone",
                    "labelSelector": {"matchLabels": {"team": "x"}},
                    "matchLabelKeys": ["unknown", "team", "controller-revision-hash"],
                }),
                vec![r#"[1]: Invalid value: "team": exists in both matchLabelKeys and labelSelector"#.to_owned()],
            ),
            (
                json!({"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["team", "team", "b", "b"]}),
                vec![r#"[1]: Invalid value: "team": exists in both matchLabelKeys and labelSelector"#.to_owned()],
            ),
        ];
        for (term, expected) in cases {
            let written =
                |at: &str| -> Vec<String> { expected.iter().map(|fault| format!("affinity.{at}{fault}")).collect() };
            assert_eq!(faults_of(required_pods(&term)), written(&format!("podAffinity.{REQUIRED}[1]")), "{term}");
            let preferred = json!({"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}});
            assert_eq!(
                faults_of(preferred),
                written(&format!("podAntiAffinity.{PREFERRED}[0].podAffinityTerm")),
                "{term}"
            );
        }
        let preferred =
            json!({"podAffinity": {PREFERRED: [{"weight": -1, "podAffinityTerm": {"topologyKey": "zone"}}]}});
        assert_eq!(
            faults_of(preferred),
            [format!("affinity.podAffinity.{PREFERRED}[0].weight: Invalid value: -1: must be in the range 1-100")]
        );
    }
}
