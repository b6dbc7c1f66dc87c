//! The source `ephemeral`: a claim that is created with the pod.
//!
//! The name of the claim is the name of the pod, `-` and the name of the volume, which is valid wherever both are.

use k8s_openapi::api::core::v1::{
    EphemeralVolumeSource, PersistentVolumeClaimSpec, TypedLocalObjectReference, TypedObjectReference,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::field_path::FieldPath;
use crate::labels::{ANNOTATIONS_MAX, annotation_key_fault};
use crate::pod_rules::faults::PodFaults;
use crate::pod_rules::label_requirement::validate_labels;
use crate::pod_rules::label_selector;
use crate::pod_rules::syntax::{validate_label, validate_object_name, validate_required};
use crate::quantity::{MALFORMED, Quantity};

/// The values of `accessModes`.
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", ONE_POD];
/// The access mode that excludes all others.
const ONE_POD: &str = "ReadWriteOncePod";
/// The values of `volumeMode`.
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// Validates the source `ephemeral` at `at`.
pub(super) fn ephemeral(source: &EphemeralVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let at = at.field("volumeClaimTemplate");
    match &source.volume_claim_template {
        None => faults.required(&at, ""),
        Some(template) => {
            if let Some(metadata) = &template.metadata {
                validate_metadata(metadata, &at.field("metadata"), faults);
            }
            validate_spec(&template.spec, &at.field("spec"), faults);
        }
    }
}

/// Validates the labels and annotations of the claim. The schema has no other fields of its metadata.
fn validate_metadata(metadata: &ObjectMeta, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let (annotations_at, labels_at) = (at.field("annotations"), at.field("labels"));
    let mut size = 0;
    for (key, value) in metadata.annotations.iter().flatten() {
        size += key.len() + value.len();
        if let Some(detail) = annotation_key_fault(key) {
            faults.invalid(&annotations_at, key, detail);
        }
    }
    if size > ANNOTATIONS_MAX {
        faults.too_long(&annotations_at, ANNOTATIONS_MAX);
    }
    if let Some(labels) = &metadata.labels {
        validate_labels(labels, &labels_at, faults);
    }
}

fn validate_spec(spec: &PersistentVolumeClaimSpec, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_access_modes(spec.access_modes.as_deref().unwrap_or_default(), &at.field("accessModes"), faults);
    if let Some(selector) = &spec.selector {
        label_selector::validate(selector, &at.field("selector"), faults);
    }
    validate_resources(spec, at, faults);
    let class_at = at.field("storageClassName");
    validate_class(spec.storage_class_name.as_deref(), &class_at, faults);
    if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !VOLUME_MODES.contains(mode)) {
        faults.not_supported(&at.field("volumeMode"), mode, VOLUME_MODES);
    }
    validate_data_sources(spec, at, faults);
    let class_at = at.field("volumeAttributesClassName");
    validate_class(spec.volume_attributes_class_name.as_deref(), &class_at, faults);
}

fn validate_access_modes(modes: &[String], at: &FieldPath<'_>, faults: &mut PodFaults) {
    if modes.is_empty() {
        faults.required(at, "at least 1 access mode is required");
    }
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&&***mode)) {
        faults.not_supported(at, mode, ACCESS_MODES);
    }
    let others = modes.iter().any(|mode| mode != ONE_POD && ACCESS_MODES.contains(&&**mode));
    if others && modes.iter().any(|mode| mode == ONE_POD) {
        faults.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Validates the size; `at` is the path of the spec. The API server reports it at `resources[storage]`.
fn validate_resources(spec: &PersistentVolumeClaimSpec, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let resources_at = at.field("resources");
    let requests_at = resources_at.field("requests");
    let lists = [(limits, resources_at.field("limits")), (requests, requests_at)];
    for (quantities, at) in &lists {
        let malformed = quantities.iter().copied().flatten().filter(|(_, size)| Quantity::parse(&size.0).is_none());
        for (name, size) in malformed {
            faults.invalid(&at.key(name), &size.0, MALFORMED);
        }
    }
    let at = requests_at.key("storage");
    match requests.and_then(|requests| requests.get("storage")) {
        None => faults.required(&at, ""),
        Some(size) => {
            let size = Quantity::parse(&size.0).map(Quantity::in_resource_list);
            if let Some(size) = size.filter(|size| size.is_negative() || size.is_zero()) {
                faults.invalid(&at, &size.to_string(), "must be greater than zero");
            }
        }
    }
}

/// Validates the name of a class; an empty one is no class.
fn validate_class(name: Option<&str>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        validate_object_name(name, at, faults);
    }
}

/// Validates what the claim is filled with; `at` is the path of the spec.
fn validate_data_sources(spec: &PersistentVolumeClaimSpec, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(TypedLocalObjectReference { api_group, kind, name }) = &spec.data_source {
        validate_reference(api_group.as_deref(), kind, name, &at.field("dataSource"), faults);
    }
    let Some(TypedObjectReference { api_group, kind, name, namespace }) = &spec.data_source_ref else { return };
    let reference_at = at.field("dataSourceRef");
    validate_reference(api_group.as_deref(), kind, name, &reference_at, faults);
    let namespace = namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() {
        validate_label(namespace, &reference_at.field("namespace"), faults);
    }
    let Some(source) = &spec.data_source else { return };
    if !namespace.is_empty() {
        faults.invalid(at, "dataSource", "may not be specified when dataSourceRef.namespace is specified");
    } else if (&source.api_group, &source.kind, &source.name) != (api_group, kind, name) {
        faults.invalid(at, "dataSource", "must match dataSourceRef");
    }
}

fn validate_reference(group: Option<&str>, kind: &str, name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("name", name), ("kind", kind)], at, faults);
    let group = group.unwrap_or_default();
    if !group.is_empty() {
        validate_object_name(group, &at.field("apiGroup"), faults);
    } else if kind != "PersistentVolumeClaim" {
        faults.invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
}
