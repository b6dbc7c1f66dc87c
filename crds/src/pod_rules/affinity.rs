//! `affinity` of a pod: to nodes, to pods and away from pods.

use k8s_openapi::api::core::v1::Affinity;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the affinity at `at`.
pub fn validate(_affinity: &Affinity, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
