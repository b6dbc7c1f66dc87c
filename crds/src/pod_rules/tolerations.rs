//! `tolerations` of a pod.

use k8s_openapi::api::core::v1::Toleration;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the list of tolerations at `at`.
pub fn validate(_tolerations: &[Toleration], _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
