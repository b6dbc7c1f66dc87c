//! Rules of `spec.podTemplate.extraVolumes` and `.extraVolumeMounts`.

use std::collections::BTreeSet;

use crds::mounts::{HOME_VOLUME, is_reserved_volume, normalised};
use crds::workspace_kind::PodTemplate;

use crate::field::{Fault, Findings, key, quoted};
use crate::rule::Rule;

/// Validates the names of the extra volumes, and the volume and path of every extra mount.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    for volume in &template.extra_volumes {
        if is_reserved_volume(&volume.name) {
            let field = format!("{}.name", key("spec.podTemplate.extraVolumes", &volume.name));
            let detail = "'home-volume', 'data-volume-<n>' and 'secret-volume-<n>' are reserved for the volumes of \
                          Workspaces, choose another one";
            let fault = Fault::invalid(Rule::ExtraVolumeName, field, &volume.name, detail);
            findings.faults.push(fault.about(&volume.name));
        }
    }
    let volumes = template.extra_volumes.iter().map(|volume| volume.name.as_str());
    let volumes: BTreeSet<&str> = volumes.chain([HOME_VOLUME]).collect();
    let mut paths = BTreeSet::new();
    for mount in &template.extra_volume_mounts {
        let at = |field: &str| format!("{}.{field}", key("spec.podTemplate.extraVolumeMounts", &mount.mount_path));
        if !volumes.contains(&*mount.name) {
            let detail = "neither an extra volume nor 'home-volume'";
            let fault = Fault::not_found(Rule::ExtraMountVolume, at("name"), &mount.name, detail);
            let fault = fault.about(format!("{} {}", mount.mount_path, mount.name));
            findings.push_suggesting(fault, &mount.name, volumes.iter().copied());
        }
        let path = normalised(&mount.mount_path);
        // An empty path is missing, which is a fault of the mount itself.
        if path == "/" && !mount.mount_path.is_empty() {
            let detail = "a volume cannot be mounted over the root of the container";
            let fault = Fault::invalid(Rule::ExtraMountPath, at("mountPath"), &mount.mount_path, detail);
            findings.faults.push(fault.about(&mount.mount_path));
        }
        if !paths.insert(path.clone()) {
            let fault = Fault::duplicate(Rule::ExtraMountPath, at("mountPath"), &mount.mount_path);
            let hint = format!(": another extra mount has the path {}", quoted(&path));
            findings.faults.push(fault.about(path).with_hint(hint));
        }
    }
}
