//! Security contexts of the pod and of its container.

use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext};

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the security context of the pod, at `at`.
pub fn validate_pod(_context: &PodSecurityContext, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}

/// Validates the security context of the container, at `at`.
pub fn validate_container(_context: &SecurityContext, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
