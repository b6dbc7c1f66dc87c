//! `nodeSelector` of a pod.

use std::collections::BTreeMap;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the labels of nodes at `at`.
pub fn validate(_selector: &BTreeMap<String, String>, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
