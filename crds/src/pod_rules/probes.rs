//! The probes of a container.

use super::PodFaults;
use crate::field_path::FieldPath;
use crate::workspace_kind::Probes;

/// Validates the probes at `at`.
pub fn validate(_probes: &Probes, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
