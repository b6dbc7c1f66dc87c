//! Names and sources of environment variables. Their values are templates, which other rules judge.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};

use super::downward_api::{validate_field_ref, validate_resource_field_ref};
use super::faults::PodFaults;
use super::syntax::{validate_data_key, validate_object_name};
use crate::field_path::FieldPath;

/// The fields of a pod that a variable can have as its value, beside single labels and annotations.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Validates the list of variables at `at`.
pub fn validate(variables: &[EnvVar], at: &FieldPath<'_>, faults: &mut PodFaults) {
    for variable in variables {
        let at = at.key(&variable.name);
        validate_name(&variable.name, &at.field("name"), faults);
        if let Some(source) = &variable.value_from {
            // A template that renders to nothing is a value all the same: where it does so is not for a reader to guess.
            let has_value = variable.value.as_ref().is_some_and(|value| !value.is_empty());
            validate_source(source, has_value, &at.field("valueFrom"), faults);
        }
    }
}

fn validate_name(name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if name.is_empty() {
        faults.required(at, "");
    } else if !name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=') {
        faults.invalid(
            at,
            name,
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        );
    }
}

fn validate_source(source: &EnvVarSource, has_value: bool, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let EnvVarSource { config_map_key_ref, field_ref, resource_field_ref, secret_key_ref } = source;
    if let Some(field) = field_ref {
        validate_field_ref(field, FIELDS, &at.field("fieldRef"), faults);
    }
    if let Some(resource) = resource_field_ref {
        validate_resource_field_ref(resource, &at.field("resourceFieldRef"), faults);
    }
    let config_map = config_map_key_ref.as_ref().map(|entry| ("configMapKeyRef", &entry.name, &entry.key));
    let secret = secret_key_ref.as_ref().map(|entry| ("secretKeyRef", &entry.name, &entry.key));
    for (source, name, key) in config_map.into_iter().chain(secret) {
        let at = at.field(source);
        validate_object_name(name, &at.field("name"), faults);
        validate_data_key(key, &at.field("key"), faults);
    }
    let sources =
        [field_ref.is_some(), resource_field_ref.is_some(), config_map_key_ref.is_some(), secret_key_ref.is_some()];
    match sources.into_iter().filter(|given| *given).count() {
        0 => faults.invalid(
            at,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        _ if has_value => faults.invalid(at, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => faults.invalid(at, "", "may not have more than one field specified at a time"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of(variable: &Value) -> Vec<String> {
        let variable: EnvVar = serde_json::from_value(variable.clone()).expect("a variable");
        PodFaults::of(|faults| validate(&[variable], &FieldPath::root("extraEnv"), faults)).written()
    }

    /// The faults of a variable `A` with this source, without the beginning of their paths.
    fn faults_of_source(source: &Value) -> Vec<String> {
        let faults = faults_of(&json!({"name": "A", "value": "", "valueFrom": source}));
        faults.iter().map(|fault| fault.trim_start_matches("extraEnv[A].valueFrom").to_owned()).collect()
    }

    #[test]
    fn names_are_printable() {
        for name in ["A", "my.env-name", "1a", ".", "..", "a b", "~!@#"] {
            assert_eq!(faults_of(&json!({"name": name, "value": "{{"})), [""; 0], "{name}");
        }
        assert_eq!(faults_of(&json!({"name": ""})), ["extraEnv[].name: Required value"]);
        let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        for (name, path, quoted) in [
            ("A=B", "A=B", "A=B"),
            ("ü", "ü", "ü"),
            ("a\n", "a\\n", "a\\n"),
            ("a\0", "a\\u{0}", "a\\x00"),
            ("a\x7f", "a\\u{7f}", "a\\x7f"),
        ] {
            let fault = format!("extraEnv[{path}].name: Invalid value: \"{quoted}\": {detail}");
            assert_eq!(faults_of(&json!({"name": name})), [fault]);
        }
    }

    #[test]
    fn a_source_excludes_a_value() {
        let field = json!({"fieldPath": "metadata.name"});
        let none = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        for value in ["x", "{{ \"\" }}"] {
            assert_eq!(
                faults_of(&json!({"name": "A", "value": value, "valueFrom": {"fieldRef": field}})),
                ["extraEnv[A].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"]
            );
            assert_eq!(
                faults_of(&json!({"name": "A", "value": value, "valueFrom": {}})),
                [format!("extraEnv[A].valueFrom: Invalid value: \"\": {none}")]
            );
        }
        assert_eq!(faults_of_source(&json!({})), [format!(": Invalid value: \"\": {none}")]);
        let two = json!({"fieldRef": field, "secretKeyRef": {"name": "a", "key": "b"}});
        let detail = "may not have more than one field specified at a time";
        assert_eq!(faults_of_source(&two), [format!(": Invalid value: \"\": {detail}")]);
        assert_eq!(faults_of_source(&json!({"fieldRef": field})), [""; 0]);
    }

    #[test]
    fn fields_are_those_that_a_variable_can_have() {
        for path in FIELDS {
            assert_eq!(
                faults_of_source(&json!({"fieldRef": {"fieldPath": path, "apiVersion": "v1"}})),
                [""; 0],
                "{path}"
            );
        }
        for (path, fault) in [
            (
                "metadata.labels",
                ".fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \
                 \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \
                 \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ),
            (
                "spec.image",
                ".fieldPath: Invalid value: \"spec.image\": error converting fieldPath: field label not supported: spec.image",
            ),
        ] {
            assert_eq!(faults_of_source(&json!({"fieldRef": {"fieldPath": path}})), [format!(".fieldRef{fault}")]);
        }
    }

    #[test]
    fn resources_need_no_container() {
        let resource = json!({"resource": "limits.cpu", "divisor": "1m"});
        assert_eq!(faults_of_source(&json!({"resourceFieldRef": resource})), [""; 0]);
        assert_eq!(
            faults_of_source(&json!({"resourceFieldRef": {"resource": ""}})),
            [".resourceFieldRef.resource: Required value"]
        );
    }

    #[test]
    fn entries_of_secrets_and_config_maps_are_named() {
        let name = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                    start and end with an alphanumeric character, and be no more than 253 characters";
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let of = |name: &str, key: &str| faults_of_source(&json!({source: {"name": name, "key": key}}));
            assert_eq!(of("a.b-c", "A_b.c-d"), [""; 0]);
            for bad in ["", "A", "a b", "-a", "a/b"] {
                assert_eq!(of(bad, "k"), [format!(".{source}.name: Invalid value: \"{bad}\": {name}")]);
            }
            assert_eq!(of("a", ""), [format!(".{source}.key: Required value")]);
            for (key, detail) in [
                ("a b", "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"),
                (".", "must not be '.'"),
                ("..", "must not be '..'"),
                ("..a", "must not start with '..'"),
            ] {
                assert_eq!(of("a", key), [format!(".{source}.key: Invalid value: \"{key}\": {detail}")]);
            }
            let long = "k".repeat(254);
            let detail = "must be no more than 253 characters";
            assert_eq!(of("a", &long), [format!(".{source}.key: Invalid value: \"{long}\": {detail}")]);
        }
    }
}
