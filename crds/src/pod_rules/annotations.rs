//! Annotations of a pod that the API server itself reads.

use std::collections::BTreeMap;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the annotations at `at` beyond their syntax.
pub fn validate(_annotations: &BTreeMap<String, String>, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
