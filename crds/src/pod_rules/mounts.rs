//! Mounts of a container. Which volume a mount names, and that no two have one path, is judged by other rules.
//!
//! The API server reports the faults of most fields at the list itself; here they are reported at the mount.

use k8s_openapi::api::core::v1::VolumeMount;

use super::faults::PodFaults;
use super::syntax::validate_local_path;
use crate::field_path::FieldPath;

/// The values of `mountPropagation`.
const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
/// The values of `recursiveReadOnly`.
const RECURSIVE_READ_ONLY: &[&str] = &["Disabled", "Enabled", "IfPossible"];

/// Validates the list of mounts at `at`, of a container that is `privileged` or not.
pub fn validate(mounts: &[VolumeMount], privileged: bool, at: &FieldPath<'_>, faults: &mut PodFaults) {
    for mount in mounts {
        let at = at.key(&mount.mount_path);
        if mount.mount_path.is_empty() {
            faults.required(&at.field("mountPath"), "");
        }
        validate_sub_paths(mount, &at, faults);
        if let Some(propagation) = &mount.mount_propagation {
            validate_propagation(propagation, privileged, &at.field("mountPropagation"), faults);
        }
        validate_recursive_read_only(mount, &at.field("recursiveReadOnly"), faults);
    }
}

fn validate_sub_paths(mount: &VolumeMount, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let is_given = |path: &Option<String>| path.as_deref().is_some_and(|path| !path.is_empty());
    if let Some(path) = &mount.sub_path {
        validate_local_path(path, &at.field("subPath"), faults);
    }
    if let Some(path) = &mount.sub_path_expr {
        let at = at.field("subPathExpr");
        if is_given(&mount.sub_path_expr) && is_given(&mount.sub_path) {
            faults.invalid(&at, path, "subPathExpr and subPath are mutually exclusive");
        }
        validate_local_path(path, &at, faults);
    }
}

fn validate_propagation(propagation: &str, privileged: bool, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if !PROPAGATIONS.contains(&propagation) {
        faults.not_supported(at, propagation, PROPAGATIONS);
    } else if propagation == "Bidirectional" && !privileged {
        faults.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn validate_recursive_read_only(mount: &VolumeMount, at: &FieldPath<'_>, faults: &mut PodFaults) {
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if mount.read_only != Some(true) {
                faults.forbidden(at, "may only be specified when readOnly is true");
            }
            if !matches!(mount.mount_propagation.as_deref(), None | Some("None")) {
                faults.forbidden(at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => faults.not_supported(at, other, RECURSIVE_READ_ONLY),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is wrong with a mount of the volume `v` at `/m` that has further `fields`.
    fn faults_of(mut fields: Value, privileged: bool) -> Vec<String> {
        fields["name"] = "v".into();
        fields["mountPath"] = fields.get("mountPath").cloned().unwrap_or("/m".into());
        let mount: VolumeMount = serde_json::from_value(fields).expect("a mount");
        let at = FieldPath::root("extraVolumeMounts");
        PodFaults::of(|faults| validate(&[mount], privileged, &at, faults)).written()
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for fields in [
            json!({}),
            json!({"mountPath": "relative"}),
            json!({"subPath": "a/b..c/..d"}),
            json!({"subPath": "", "subPathExpr": "$(USER)/work"}),
            json!({"subPath": "a", "subPathExpr": ""}),
            json!({"mountPropagation": "None"}),
            json!({"mountPropagation": "HostToContainer"}),
            json!({"recursiveReadOnly": "Disabled"}),
            json!({"recursiveReadOnly": "Enabled", "readOnly": true}),
            json!({"recursiveReadOnly": "IfPossible", "readOnly": true, "mountPropagation": "None"}),
        ] {
            assert_eq!(faults_of(fields.clone(), false), [""; 0], "{fields}");
        }
        assert_eq!(faults_of(json!({"mountPropagation": "Bidirectional"}), true), [""; 0]);
    }

    #[test]
    fn rejects_what_the_api_server_rejects() {
        let at = "extraVolumeMounts[/m]";
        for (fields, expected) in [
            (json!({"mountPath": ""}), vec!["extraVolumeMounts[].mountPath: Required value".to_owned()]),
            (json!({"subPath": "/a"}), vec![format!("{at}.subPath: Invalid value: \"/a\": must be a relative path")]),
            (
                json!({"subPath": "/a/.."}),
                vec![
                    format!("{at}.subPath: Invalid value: \"/a/..\": must be a relative path"),
                    format!("{at}.subPath: Invalid value: \"/a/..\": must not contain '..'"),
                ],
            ),
            (
                json!({"subPath": "a", "subPathExpr": "../$(USER)"}),
                vec![
                    format!(
                        "{at}.subPathExpr: Invalid value: \"../$(USER)\": subPathExpr and subPath are mutually exclusive"
                    ),
                    format!("{at}.subPathExpr: Invalid value: \"../$(USER)\": must not contain '..'"),
                ],
            ),
            (
                json!({"mountPropagation": ""}),
                vec![format!(
                    "{at}.mountPropagation: Unsupported value: \"\": supported values: \"Bidirectional\", \
                     \"HostToContainer\", \"None\""
                )],
            ),
            (
                json!({"mountPropagation": "Bidirectional"}),
                vec![format!(
                    "{at}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged \
                     containers"
                )],
            ),
            (
                json!({"recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"}),
                vec![
                    format!("{at}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"),
                    format!(
                        "{at}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not \
                         specified"
                    ),
                ],
            ),
            (
                json!({"recursiveReadOnly": "true", "readOnly": true}),
                vec![format!(
                    "{at}.recursiveReadOnly: Unsupported value: \"true\": supported values: \"Disabled\", \"Enabled\", \
                     \"IfPossible\""
                )],
            ),
        ] {
            assert_eq!(faults_of(fields.clone(), false), expected, "{fields}");
        }
    }
}
