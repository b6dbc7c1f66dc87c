//! The image of a container.

use super::PodFaults;
use crate::field_path::FieldPath;

/// Validates the image at `at`.
pub fn validate(_image: &str, _at: &FieldPath<'_>, _faults: &mut PodFaults) {}

/// Why no kubelet can pull the image, though the API server accepts it, if so.
pub fn unusable(_image: &str) -> Option<&'static str> {
    None
}
