//! Label selectors, as `ValidateLabelSelector` of `k8s.io/apimachinery` judges them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::faults::PodFaults;
use super::label_requirement::{LabelRequirement, Operators, validate_labels};
use crate::field_path::FieldPath;

/// Validates the selector at `at`.
pub fn validate(selector: &LabelSelector, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(labels) = &selector.match_labels {
        validate_labels(labels, &at.field("matchLabels"), faults);
    }
    let expressions_at = at.field("matchExpressions");
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let LabelSelectorRequirement { key, operator, values } = requirement;
        let requirement = LabelRequirement { key, operator, values: values.as_ref() };
        let at = expressions_at.index(index);
        requirement.validate(Operators::Text, &at, faults);
        requirement.validate_values(&at, faults);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::labels::{label_value_fault, qualified_name_fault};

    fn faults_of(selector: Value) -> Vec<String> {
        let selector: LabelSelector = serde_json::from_value(selector).expect("a selector");
        PodFaults::of(|faults| validate(&selector, &FieldPath::root("selector"), faults)).written()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [
            {"key": "fine", "operator": "Exists"},
            {"key": key, "operator": operator, "values": values},
        ]})
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for selector in [
            json!({}),
            json!({"matchLabels": {"a": "", "example.com/b": "c_d.e-F"}}),
            expression("a", "In", &["", "b"]),
            expression("a", "NotIn", &["b"]),
            expression("a", "DoesNotExist", &[]),
        ] {
            assert_eq!(faults_of(selector.clone()), [""; 0], "{selector}");
        }
    }

    #[test]
    fn rejects_what_the_api_server_rejects() {
        let (name, value) = (qualified_name_fault("").unwrap_or_default(), label_value_fault("-").unwrap_or_default());
        let at = "selector.matchExpressions[1]";
        for (selector, expected) in [
            (json!({"matchLabels": {"a b": "c"}}), format!("selector.matchLabels: Invalid value: \"a b\": {name}")),
            (json!({"matchLabels": {"a": "b c"}}), format!("selector.matchLabels: Invalid value: \"b c\": {value}")),
            (
                expression("a", "In", &[]),
                format!("{at}.values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
            ),
            (
                expression("a", "Exists", &["b"]),
                format!("{at}.values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
            ),
            (
                expression("a", "Equals", &["b"]),
                format!("{at}.operator: Invalid value: \"Equals\": not a valid selector operator"),
            ),
            (expression("", "Exists", &[]), format!("{at}.key: Invalid value: \"\": {name}")),
            (expression("a", "In", &["b", "b c"]), format!("{at}.values[1]: Invalid value: \"b c\": {value}")),
        ] {
            assert_eq!(faults_of(selector.clone()), [expected], "{selector}");
        }
    }
}
