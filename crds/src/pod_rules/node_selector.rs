//! `nodeSelector` of a pod.

use std::collections::BTreeMap;

use super::faults::PodFaults;
use super::label_requirement::validate_labels;
use crate::field_path::FieldPath;

/// Validates the labels of nodes at `at`.
pub fn validate(selector: &BTreeMap<String, String>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_labels(selector, at, faults);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::labels::{label_value_fault, qualified_name_fault};

    fn faults_of(selector: Value) -> Vec<String> {
        let selector: BTreeMap<String, String> = serde_json::from_value(selector).expect("labels");
        PodFaults::of(|faults| validate(&selector, &FieldPath::root("nodeSelector"), faults)).written()
    }

    #[test]
    fn keys_and_values_are_those_of_labels() {
        for good in [json!({}), json!({"a": "", "topology.kubernetes.io/zone": "Zone_1.a"})] {
            assert_eq!(faults_of(good.clone()), [""; 0], "{good}");
        }
        let (name, value) = (qualified_name_fault("").unwrap_or_default(), label_value_fault("-").unwrap_or_default());
        let prefix = qualified_name_fault("/a").unwrap_or_default();
        assert_eq!(
            faults_of(json!({"": "x", "/a": "x", "a": "b c", "gpu type": "a/b", "x": "y".repeat(64)})),
            [
                format!("nodeSelector: Invalid value: \"\": {name}"),
                format!("nodeSelector: Invalid value: \"/a\": {prefix}"),
                format!("nodeSelector: Invalid value: \"b c\": {value}"),
                format!("nodeSelector: Invalid value: \"gpu type\": {name}"),
                format!("nodeSelector: Invalid value: \"a/b\": {value}"),
                format!("nodeSelector: Invalid value: \"{}\": must be no more than 63 characters", "y".repeat(64)),
            ]
        );
    }
}
