//! Names and sources of volumes.

use k8s_openapi::api::core::v1::Volume;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the list of volumes at `at`.
pub fn validate(_volumes: &[Volume], _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
