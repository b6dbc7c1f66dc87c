//! Volumes and mounts of the pod: home, data and secrets of the Workspace, then the extra ones of the kind.
//!
//! One path holds one mount. The first one wins, so the user's mounts win over the kind's; a mount without a
//! volume is left out.
//!
//! One claim has one volume, however many mounts: the kubelet mounts a claim once for a pod, and waits for ever for the second
//! volume of it. A Secret has one volume for each mode, because a mode is that of a volume. The kubelet ignores a volume
//! without a mount, so that one is no second: it stays as written.

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

/// What a name stands for once each source has one volume.
#[derive(Clone, Copy, Debug)]
struct NamedVolume {
    index: usize,
    /// Whether the volume of this name is read-only as written, so that its mounts are.
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
    all.share();
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

    /// Leaves each source the first of its volumes that are mounted, and makes the mounts of the others from that.
    fn share(&mut self) {
        let by_name = self.keep_first();
        for mount in &self.mounts {
            let Some(NamedVolume { index, read_only }) = by_name.get(&mount.name) else { continue };
            let volume = &mut self.volumes[*index];
            let writes = !read_only && mount.read_only != Some(true);
            // An explicit `false` stays as written.
            if writes && is_read_only(volume) {
                volume.persistent_volume_claim.iter_mut().for_each(|claim| claim.read_only = None);
            }
        }
        for mount in &mut self.mounts {
            let Some(NamedVolume { index, read_only }) = by_name.get(&mount.name) else { continue };
            let volume = &self.volumes[*index];
            if *read_only && !is_read_only(volume) {
                mount.read_only = Some(true);
            }
            mount.name.clone_from(&volume.name);
        }
        for skipped in &mut self.skipped_mounts {
            if let Some(NamedVolume { index, .. }) = by_name.get(&skipped.kept) {
                skipped.kept.clone_from(&self.volumes[*index].name);
            }
        }
    }

    /// Drops the volumes that are mounted and whose source has one that is mounted before; returns what each name stands for.
    fn keep_first(&mut self) -> BTreeMap<String, NamedVolume> {
        let mounted: BTreeSet<&String> = self.mounts.iter().map(|mount| &mount.name).collect();
        let mut by_source = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        let mut kept: Vec<Volume> = Vec::with_capacity(self.volumes.len());
        for volume in self.volumes.drain(..) {
            let source = if mounted.contains(&volume.name) { source(&volume) } else { None };
            let new = kept.len();
            let index = source.map_or(new, |source| *by_source.entry(source).or_insert(new));
            by_name.insert(volume.name.clone(), NamedVolume { index, read_only: is_read_only(&volume) });
            if index == new {
                kept.push(volume);
            }
        }
        self.volumes = kept;
        by_name
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
