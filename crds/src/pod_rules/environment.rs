//! Names and sources of environment variables. Their values are templates, which other rules judge.

use k8s_openapi::api::core::v1::EnvVar;

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the list of variables at `at`.
pub fn validate(_variables: &[EnvVar], _at: &FieldPath<'_>, _faults: &mut PodFaults) {}
