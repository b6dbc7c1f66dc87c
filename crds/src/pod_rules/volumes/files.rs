//! Sources whose content is files made of keys or of fields of the pod: `configMap`, `secret`, `downwardAPI`.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath, SecretVolumeSource,
};

use crate::field_path::FieldPath;
use crate::pod_rules::downward_api::{validate_divisor, validate_field_ref, validate_resource_field_ref};
use crate::pod_rules::faults::PodFaults;
use crate::pod_rules::syntax::{validate_local_path, validate_required};

/// The fields of a pod that a file can have as its content, beside single labels and annotations.
const FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Validates the source `configMap` at `at`.
pub(super) fn config_map(source: &ConfigMapVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("name", &source.name)], at, faults);
    validate_mode(source.default_mode, &at.field("defaultMode"), faults);
    validate_items(source.items.as_deref(), at, faults);
}

/// Validates the source `secret` at `at`.
pub(super) fn secret(source: &SecretVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("secretName", source.secret_name.as_deref().unwrap_or_default())], at, faults);
    validate_mode(source.default_mode, &at.field("defaultMode"), faults);
    validate_items(source.items.as_deref(), at, faults);
}

/// Validates the source `downwardAPI` at `at`.
pub(super) fn downward_api(source: &DownwardAPIVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_mode(source.default_mode, &at.field("defaultMode"), faults);
    validate_pod_fields(source.items.as_deref(), at, faults);
}

/// Validates the `items` of a ConfigMap or a Secret; `at` is the path of the source.
pub(super) fn validate_items(items: Option<&[KeyToPath]>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let items_at = at.field("items");
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let at = items_at.index(index);
        validate_required(&[("key", &item.key)], &at, faults);
        validate_file_path(&item.path, &at.field("path"), faults);
        validate_mode(item.mode, &at.field("mode"), faults);
    }
}

/// Validates the `items` of a downward API source; `at` is the path of the source.
pub(super) fn validate_pod_fields(items: Option<&[DownwardAPIVolumeFile]>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let items_at = at.field("items");
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let at = items_at.index(index);
        validate_file_path(&item.path, &at.field("path"), faults);
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), resource) => {
                validate_field_ref(field, FIELDS, &at.field("fieldRef"), faults);
                if resource.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    faults.invalid(&at, "resource", detail);
                }
            }
            (None, Some(resource)) => {
                let resource_at = at.field("resourceFieldRef");
                if resource.container_name.as_deref().unwrap_or_default().is_empty() {
                    faults.required(&resource_at.field("containerName"), "");
                    validate_divisor(resource, &resource_at, faults);
                } else {
                    validate_resource_field_ref(resource, &resource_at, faults);
                }
            }
            (None, None) => faults.required(&at, "one of fieldRef and resourceFieldRef is required"),
        }
        validate_mode(item.mode, &at.field("mode"), faults);
    }
}

/// Validates the path of a file in a volume. Names that start with `..` are those that the kubelet swaps to update all
/// files at once.
pub(super) fn validate_file_path(path: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if path.is_empty() {
        return faults.required(at, "");
    }
    validate_local_path(path, at, faults);
    if path.starts_with("..") && path != ".." && !path.starts_with("../") {
        faults.invalid(at, path, "must not start with '..'");
    }
}

/// Validates the permissions of a file.
pub(super) fn validate_mode(mode: Option<i32>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        faults.invalid(at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
