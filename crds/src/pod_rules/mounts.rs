//! Mounts of a container. Which volume a mount names, and that no two have one path, is judged by other rules.

use k8s_openapi::api::core::v1::VolumeMount;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the list of mounts at `at`, of a container that is `privileged` or not.
pub fn validate(_mounts: &[VolumeMount], _privileged: bool, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
