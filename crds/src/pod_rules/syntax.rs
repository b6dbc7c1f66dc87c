//! Syntax that several blocks share: names of objects, keys of their data, and paths inside of volumes.

use super::faults::PodFaults;
use crate::field_path::FieldPath;
use crate::labels::{SUBDOMAIN_MAX, data_key_dots_fault, dns_label_fault, dns_subdomain_fault};

/// The detail of a number that must not be negative.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";

/// Validates the name of an object, such as a Secret or a ConfigMap.
pub(super) fn validate_object_name(name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(detail) = dns_subdomain_fault(name) {
        faults.invalid(at, name, detail);
    }
}

/// Validates the key of an entry of a ConfigMap or a Secret.
pub(super) fn validate_data_key(key: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if key.is_empty() {
        return faults.required(at, "");
    }
    if key.len() > SUBDOMAIN_MAX {
        faults.invalid(at, key, "must be no more than 253 characters");
    }
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        faults.invalid(at, key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'");
    }
    if let Some(detail) = data_key_dots_fault(key) {
        faults.invalid(at, key, detail);
    }
}

/// Validates a path that stays inside of the directory that it starts from.
pub(super) fn validate_local_path(path: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if path.starts_with('/') {
        faults.invalid(at, path, "must be a relative path");
    }
    validate_no_backsteps(path, at, faults);
}

/// Validates a path that has no element `..`.
pub(super) fn validate_no_backsteps(path: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if path.split('/').any(|element| element == "..") {
        faults.invalid(at, path, "must not contain '..'");
    }
}

/// Reports each of `fields`, a name and a value, that is empty.
pub(super) fn validate_required(fields: &[(&str, &str)], at: &FieldPath<'_>, faults: &mut PodFaults) {
    for (name, _) in fields.iter().filter(|(_, value)| value.is_empty()) {
        faults.required(&at.field(name), "");
    }
}

/// Validates a DNS label.
pub(super) fn validate_label(label: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(detail) = dns_label_fault(label) {
        faults.invalid(at, label, detail);
    }
}
