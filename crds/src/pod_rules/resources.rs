//! `resources` of a container: requests, limits and claims.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates requests, limits and claims.
pub fn validate(_resources: &ResourceRequirements, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
