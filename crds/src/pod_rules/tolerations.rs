//! `tolerations` of a pod.

use k8s_openapi::api::core::v1::Toleration;

use super::faults::PodFaults;
use crate::field_path::FieldPath;
use crate::labels::{label_value_fault, qualified_name_fault};

/// The effects of taints, in the order in which the API server names them.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Validates the list of tolerations at `at`.
pub fn validate(tolerations: &[Toleration], at: &FieldPath<'_>, faults: &mut PodFaults) {
    for (index, toleration) in tolerations.iter().enumerate() {
        validate_toleration(toleration, &at.index(index), faults);
    }
}

fn validate_toleration(toleration: &Toleration, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let [key, operator, value, effect] = [&toleration.key, &toleration.operator, &toleration.value, &toleration.effect]
        .map(|field| field.as_deref().unwrap_or_default());
    let (operator_at, effect_at) = (at.field("operator"), at.field("effect"));
    if key.is_empty() && operator != "Exists" {
        faults.invalid(
            &operator_at,
            operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if !key.is_empty()
        && let Some(detail) = qualified_name_fault(key)
    {
        faults.invalid(&at.field("key"), key, detail);
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        faults.invalid(&effect_at, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        faults.about(key);
    }
    // The API server reports a wrong value at the operator.
    match operator {
        "" | "Equal" => {
            if let Some(detail) = label_value_fault(value) {
                faults.invalid(&operator_at, value, detail);
                faults.about(key);
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => {
            faults.invalid(&operator_at, value, "value must be empty when `operator` is 'Exists'");
            faults.about(key);
        }
        _ => {
            faults.not_supported(&operator_at, operator, &["Equal", "Exists"]);
            faults.about(key);
        }
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        faults.not_supported(&effect_at, effect, &EFFECTS);
        faults.about(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of(toleration: &Value) -> Vec<String> {
        let tolerations = json!([{"operator": "Exists"}, toleration]);
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).expect("tolerations");
        PodFaults::of(|faults| validate(&tolerations, &FieldPath::root("tolerations"), faults)).written()
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for toleration in [
            json!({"key": "nvidia.com/gpu"}),
            json!({"key": "gpu", "operator": "", "value": "", "effect": ""}),
            json!({"key": "gpu", "operator": "Equal", "value": "a_b", "effect": "NoSchedule"}),
            json!({"key": "", "operator": "Exists", "value": "", "effect": "PreferNoSchedule"}),
            json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": -1}),
        ] {
            assert_eq!(faults_of(&toleration), [""; 0], "{toleration}");
        }
    }

    #[test]
    fn rejects_what_the_api_server_rejects() {
        let (name, value) = (qualified_name_fault("").unwrap_or_default(), label_value_fault("-").unwrap_or_default());
        let without_key = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        let seconds = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        let effects = r#"supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#;
        let cases = [
            (
                json!({"key": "gpu", "operator": "Equals", "value": "a b"}),
                vec![r#"operator: Unsupported value: "Equals": supported values: "Equal", "Exists""#.to_owned()],
            ),
            (json!({"key": "gpu type"}), vec![format!(r#"key: Invalid value: "gpu type": {name}"#)]),
            (json!({"key": "gpu", "value": "a b"}), vec![format!(r#"operator: Invalid value: "a b": {value}"#)]),
            (
                json!({"key": "gpu", "operator": "Exists", "value": "a"}),
                vec![r#"operator: Invalid value: "a": value must be empty when `operator` is 'Exists'"#.to_owned()],
            ),
            (json!({}), vec![format!(r#"operator: Invalid value: "": {without_key}"#)]),
            (
                json!({"key": "", "operator": "Equal", "value": "-", "effect": "Never"}),
                vec![
                    format!(r#"operator: Invalid value: "Equal": {without_key}"#),
                    format!(r#"operator: Invalid value: "-": {value}"#),
                    format!(r#"effect: Unsupported value: "Never": {effects}"#),
                ],
            ),
            (
                json!({"key": "a", "effect": "noExecute", "tolerationSeconds": 1}),
                vec![
                    format!(r#"effect: Invalid value: "noExecute": {seconds}"#),
                    format!(r#"effect: Unsupported value: "noExecute": {effects}"#),
                ],
            ),
            (json!({"key": "a", "tolerationSeconds": 0}), vec![format!(r#"effect: Invalid value: "": {seconds}"#)]),
        ];
        for (toleration, expected) in cases {
            let expected: Vec<String> = expected.iter().map(|fault| format!("tolerations[1].{fault}")).collect();
            assert_eq!(faults_of(&toleration), expected, "{toleration}");
        }
    }
}
