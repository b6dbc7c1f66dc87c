//! What the API server's own validation of pods would say to the parts of a kind that become a pod.
//!
//! The source of every rule here is `pkg/apis/core/validation/validation.go` of Kubernetes 1.34 (and the feature gates
//! that are on by default there). The API server judges pods only when they are created, hours after the kind was
//! stored; these rules give the same verdict before, on the field that the admin wrote. Pure: no question to the cluster.
//!
//! A test compares the verdicts with those of a running API server (dry-run creation of a `PodTemplate`).

use std::collections::BTreeMap;

use crate::field_path::FieldPath;
use crate::workspace_kind::{ImageConfigSpec, PodConfigSpec};

pub mod affinity;
pub mod annotations;
mod downward_api;
pub mod environment;
mod faults;
pub mod image;
mod label_requirement;
pub mod label_selector;
pub mod mounts;
pub mod node_selector;
pub mod probes;
pub mod resources;
pub mod security_context;
mod syntax;
pub mod tolerations;
pub mod volumes;
mod windows;

pub use faults::{PodFault, PodFaults};
pub use label_requirement::validate_label;

/// Whether a pod with this image could run, as far as the API server and the kubelet can tell without pulling it.
pub fn can_run_image(spec: &ImageConfigSpec) -> bool {
    let mut faults = PodFaults::default();
    image::validate(&spec.image, &FieldPath::root("image"), &mut faults);
    faults.is_empty() && image::unusable(&spec.image).is_none()
}

/// Whether a pod of this size and placement, of a kind that sets these `labels`, could run, as far as the API server can
/// tell.
pub fn can_run_pod_config(spec: &PodConfigSpec, labels: &BTreeMap<String, String>) -> bool {
    let mut faults = PodFaults::default();
    validate_placement(spec, labels, &FieldPath::root("spec"), &mut faults);
    validate_resources(spec, &FieldPath::root("spec"), &mut faults);
    faults.is_empty()
}

/// Validates on which nodes a pod of a kind that sets these `labels` may run. `at` is the path of the block.
pub fn validate_placement(
    spec: &PodConfigSpec,
    labels: &BTreeMap<String, String>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    if let Some(affinity) = &spec.affinity {
        affinity::validate(affinity, labels, &at.field("affinity"), faults);
    }
    node_selector::validate(&spec.node_selector, &at.field("nodeSelector"), faults);
    tolerations::validate(&spec.tolerations, &at.field("tolerations"), faults);
}

/// Validates the size of a pod. `at` is the path of the block.
pub fn validate_resources(spec: &PodConfigSpec, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(resources) = &spec.resources {
        resources::validate(resources, &at.field("resources"), faults);
    }
}
