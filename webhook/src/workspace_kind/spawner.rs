//! Rules of `spec.spawner`: the images of the kind.

use crds::WorkspaceKindSpec;

use crate::field::{Fault, Findings};
use crate::rule::Rule;

/// Validates the keys of the ConfigMaps that hold `icon` and `logo`.
pub(super) fn validate(spec: &WorkspaceKindSpec, findings: &mut Findings) {
    for (name, image) in [("icon", &spec.spawner.icon), ("logo", &spec.spawner.logo)] {
        let Some(source) = &image.config_map else { continue };
        if let Some(detail) = source.key_fault() {
            let fault = Fault::invalid(
                Rule::IconConfigMapKey,
                format!("spec.spawner.{name}.configMap.key"),
                &source.key,
                detail,
            );
            findings.faults.push(fault.about(format!("{name} {}", source.key)));
        }
    }
}
