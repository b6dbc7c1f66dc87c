//! Rules of `spec.podTemplate.volumes`: mount paths, and what may be mounted at all.

use std::collections::{BTreeMap, BTreeSet};

use crds::WorkspaceSpec;
use crds::mounts::normalised;
use crds::workspace::WorkspaceVolumes;

use crate::field::{Fault, Findings, quoted};
use crate::lookup::{CAN_MOUNT, MountSource};
use crate::rule::Rule;

const VOLUMES: &str = "spec.podTemplate.volumes";

/// The objects that a Workspace mounts, each once, and the first field that names it.
pub(super) fn mounted(spec: &WorkspaceSpec) -> Vec<(MountSource, String)> {
    let volumes = &spec.pod_template.volumes;
    let home = volumes.home.iter().map(|claim| (MountSource::Claim(claim.clone()), format!("{VOLUMES}.home")));
    let data = volumes.data.iter().enumerate();
    let data = data.map(|(index, volume)| {
        (MountSource::Claim(volume.pvc_name.clone()), format!("{VOLUMES}.data[{index}].pvcName"))
    });
    let secrets = volumes.secrets.iter().enumerate();
    let secrets = secrets.map(|(index, volume)| {
        (MountSource::Secret(volume.secret_name.clone()), format!("{VOLUMES}.secrets[{index}].secretName"))
    });
    let mut seen = BTreeSet::new();
    home.chain(data).chain(secrets).filter(|(mounted, _)| seen.insert(mounted.clone())).collect()
}

/// Validates the mount paths. `home` is the home path of the kind, if known.
pub(super) fn validate_paths(volumes: &WorkspaceVolumes, home: Option<&str>, findings: &mut Findings) {
    let home = home.filter(|_| volumes.home.is_some()).map(normalised);
    let data = volumes.data.iter().enumerate().map(|(index, volume)| ("data", index, &volume.mount_path));
    let secrets = volumes.secrets.iter().enumerate().map(|(index, volume)| ("secrets", index, &volume.mount_path));
    let mut taken = BTreeSet::new();
    for (list, index, path) in data.chain(secrets) {
        let field = format!("{VOLUMES}.{list}[{index}].mountPath");
        let normal = normalised(path);
        let about = format!("{list} {path}");
        if normal == "/" {
            let detail = "a volume cannot be mounted over the root of the container";
            findings.faults.push(Fault::invalid(Rule::WorkspaceMountPath, field, path, detail).about(about));
        } else if home.as_ref() == Some(&normal) {
            let detail = "is the home path of the workspace kind, where volumes.home is mounted";
            findings.faults.push(Fault::invalid(Rule::WorkspaceMountPath, field, path, detail).about(about));
        } else if !taken.insert(normal.clone()) {
            let hint = format!(": another volume is mounted on {}", quoted(&normal));
            let fault = Fault::duplicate(Rule::WorkspaceMountPath, field, path);
            // Which of the two is the duplicate depends on their order.
            findings.faults.push(fault.about(normal).with_hint(hint));
        }
    }
}

/// Validates the labels of newly mounted objects, where they need one. `labels` are those that were looked up.
pub(super) fn validate_mountable(
    spec: &WorkspaceSpec,
    labels: &BTreeMap<MountSource, Option<BTreeMap<String, String>>>,
    findings: &mut Findings,
) {
    if labels.is_empty() {
        return;
    }
    let (label, value) = CAN_MOUNT;
    for (mounted, field) in mounted(spec) {
        let (kind, name) = mounted.parts();
        let fault = match labels.get(&mounted) {
            None => continue,
            Some(Some(labels)) if labels.get(label).is_some_and(|found| found == value) => continue,
            Some(Some(_)) => {
                let detail = format!("{kind} {} may not be mounted: it lacks the label {label}={value}", quoted(name));
                Fault::forbidden(Rule::CanMount, field, detail)
            }
            Some(None) => {
                let detail = format!("{kind} {} does not exist, and needs the label {label}={value}", quoted(name));
                Fault::invalid(Rule::CanMount, field, name, detail)
            }
        };
        findings.faults.push(fault.about(format!("{kind}/{name}")));
    }
}
