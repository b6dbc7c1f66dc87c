//! Volumes and mounts of the pod: home, data and secrets of the Workspace, then the extra ones of the kind.
//!
//! One path holds one mount. The first one wins, so the user's mounts win over the kind's; a mount without a
//! volume is left out.

use std::collections::{BTreeMap, BTreeSet};

use crds::mounts::{HOME_VOLUME, data_volume, normalised, secret_volume};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount};

use super::context::RenderContext;

/// A mount that could not be made, because another one has its path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SkippedMount {
    /// The path.
    pub path: String,
    /// The volume that is not mounted there.
    pub volume: String,
    /// The volume that is.
    pub kept: String,
}

/// What the pod mounts.
#[derive(Debug, Default)]
pub(super) struct PodVolumes {
    pub volumes: Vec<Volume>,
    pub mounts: Vec<VolumeMount>,
    pub skipped_mounts: Vec<SkippedMount>,
    volume_names: BTreeSet<String>,
    /// Normalised path -> name of the volume mounted there.
    paths: BTreeMap<String, String>,
}

pub(super) fn desired(context: &RenderContext<'_>) -> PodVolumes {
    let wanted = &context.input.spec.pod_template.volumes;
    let mut all = PodVolumes::default();
    if let Some(claim) = &wanted.home {
        let mount = mount(HOME_VOLUME, &context.template.volume_mounts.home, false);
        all.put(claim_volume(HOME_VOLUME, claim, false), mount);
    }
    for (index, data) in wanted.data.iter().enumerate() {
        let name = data_volume(index);
        let mount = mount(&name, &data.mount_path, data.read_only);
        all.put(claim_volume(&name, &data.pvc_name, data.read_only), mount);
    }
    for (index, secret) in wanted.secrets.iter().enumerate() {
        let name = secret_volume(index);
        let source = SecretVolumeSource {
            secret_name: Some(secret.secret_name.clone()),
            default_mode: Some(secret.default_mode),
            ..SecretVolumeSource::default()
        };
        let mount = mount(&name, &secret.mount_path, false);
        all.put(Volume { name, secret: Some(source), ..Volume::default() }, mount);
    }
    for volume in &context.template.extra_volumes {
        // A reserved name that is taken: admission refuses it, an older object keeps the user's volume.
        if all.volume_names.insert(volume.name.clone()) {
            all.volumes.push(volume.clone());
        }
    }
    for mount in &context.template.extra_volume_mounts {
        // `home-volume` without a home: the Workspace has no such volume.
        if all.volume_names.contains(&mount.name) && all.claim(mount) {
            all.mounts.push(mount.clone());
        }
    }
    all
}

impl PodVolumes {
    /// Adds a volume with its mount, unless the path is taken.
    fn put(&mut self, volume: Volume, mount: VolumeMount) {
        if self.claim(&mount) {
            self.volume_names.insert(volume.name.clone());
            self.volumes.push(volume);
            self.mounts.push(mount);
        }
    }

    /// Takes the path of a mount; false, with a note, when another one has it.
    fn claim(&mut self, mount: &VolumeMount) -> bool {
        let path = normalised(&mount.mount_path);
        if let Some(kept) = self.paths.get(&path) {
            self.skipped_mounts.push(SkippedMount { path, volume: mount.name.clone(), kept: kept.clone() });
            return false;
        }
        self.paths.insert(path, mount.name.clone());
        true
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn claim_volume(name: &str, claim: &str, read_only: bool) -> Volume {
    let source =
        PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: read_only.then_some(true) };
    Volume { name: name.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}
