//! Volumes and mounts of the pod: home, data and secrets of the Workspace, then the extra ones of the kind.
//!
//! One path holds one mount. The first one wins, so the user's mounts win over the kind's; a mount without a
//! volume is left out.
//!
//! One claim has one volume, however many mounts: the kubelet mounts a claim once for a pod, and waits for ever for the second
//! volume of it. A Secret has one volume for each mode, because a mode is that of a volume.

use std::collections::BTreeMap;

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
    /// The volume that is mounted under each name.
    by_name: BTreeMap<String, NamedVolume>,
    /// Index of the volume of each source.
    by_source: BTreeMap<Source, usize>,
    /// Normalised path -> name of the volume mounted there.
    paths: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug)]
struct NamedVolume {
    index: usize,
    /// Whether all its mounts are read-only, whatever those of other names are.
    read_only: bool,
}

/// What has one volume in a pod.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Source {
    Claim(String),
    /// The name, and the mode of the files.
    Secret(String, i32),
}

/// The mode that the API server gives the files of a Secret by default.
const SECRET_MODE: i32 = 0o644;

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
        if !all.by_name.contains_key(&volume.name) {
            all.add(volume.clone());
        }
    }
    for mount in &context.template.extra_volume_mounts {
        // `home-volume` without a home: the Workspace has no such volume.
        if all.by_name.contains_key(&mount.name) && all.is_free(mount) {
            all.mount(mount.clone());
        }
    }
    all
}

impl PodVolumes {
    /// Adds a volume with its mount, unless the path is taken.
    fn put(&mut self, volume: Volume, mount: VolumeMount) {
        if self.is_free(&mount) {
            self.add(volume);
            self.mount(mount);
        }
    }

    /// Whether the path of a mount is free; noted where it is not.
    fn is_free(&mut self, mount: &VolumeMount) -> bool {
        let path = normalised(&mount.mount_path);
        let Some(kept) = self.paths.get(&path) else { return true };
        self.skipped_mounts.push(SkippedMount { path, volume: mount.name.clone(), kept: kept.clone() });
        false
    }

    /// Adds a volume; where its source has one already, that one serves under its name too.
    fn add(&mut self, volume: Volume) {
        let read_only = is_read_only(&volume);
        let new = self.volumes.len();
        let index = source(&volume).map_or(new, |source| *self.by_source.entry(source).or_insert(new));
        self.by_name.insert(volume.name.clone(), NamedVolume { index, read_only });
        if index == new {
            self.volumes.push(volume);
        } else if !read_only && let Some(claim) = &mut self.volumes[index].persistent_volume_claim {
            claim.read_only = None;
        }
    }

    /// Mounts a volume that was added.
    fn mount(&mut self, mut mount: VolumeMount) {
        let Some(NamedVolume { index, read_only }) = self.by_name.get(&mount.name).copied() else { return };
        let volume = &self.volumes[index];
        if read_only && !is_read_only(volume) {
            mount.read_only = Some(true);
        }
        mount.name.clone_from(&volume.name);
        self.paths.insert(normalised(&mount.mount_path), mount.name.clone());
        self.mounts.push(mount);
    }
}

/// What has one volume in a pod, if `volume` is one of that. A Secret of which only a part is mounted is not the same.
fn source(volume: &Volume) -> Option<Source> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(Source::Claim(claim.claim_name.clone()));
    }
    let secret = volume.secret.as_ref().filter(|secret| secret.items.is_none() && secret.optional.is_none())?;
    Some(Source::Secret(secret.secret_name.clone()?, secret.default_mode.unwrap_or(SECRET_MODE)))
}

fn is_read_only(volume: &Volume) -> bool {
    volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
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
