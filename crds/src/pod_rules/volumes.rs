//! Names and sources of volumes.
//!
//! A volume without a source is not a fault: the API server makes it an `emptyDir`. Where the API server reports a fault
//! at a field that does not exist (`persistentDisk`, `cephFS`, `downwarAPI`) or at the list instead of its item, the
//! field here is the one that is wrong.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource, ImageVolumeSource, NFSVolumeSource,
    PersistentVolumeClaimVolumeSource, Volume,
};

use super::faults::PodFaults;
use super::syntax::{validate_label, validate_no_backsteps, validate_object_name, validate_required};
use crate::field_path::FieldPath;
use crate::labels::{LABEL_MAX, dns_subdomain_fault};
use crate::quantity::{MALFORMED, Quantity};

mod claim_template;
mod files;
mod legacy;
mod projected;

#[cfg(test)]
mod tests;

/// The values of `hostPath.type`.
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// The values of `image.pullPolicy`.
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

/// Validates the list of volumes at `at`.
pub fn validate(volumes: &[Volume], at: &FieldPath<'_>, faults: &mut PodFaults) {
    for volume in volumes {
        let at = at.key(&volume.name);
        validate_sources(volume, OneSource { at: &at, faults, found: false });
        let name_at = at.field("name");
        if volume.name.is_empty() {
            faults.required(&name_at, "");
        } else {
            validate_label(&volume.name, &name_at, faults);
        }
    }
}

/// Validates the sources in the order in which the API server does, which decides which of two is one too many.
fn validate_sources(volume: &Volume, mut one: OneSource<'_, '_>) {
    one.source("emptyDir", &volume.empty_dir, empty_dir);
    one.source("hostPath", &volume.host_path, host_path);
    one.source("gitRepo", &volume.git_repo, legacy::git_repo);
    one.source("gcePersistentDisk", &volume.gce_persistent_disk, legacy::gce_persistent_disk);
    one.source("awsElasticBlockStore", &volume.aws_elastic_block_store, legacy::aws_elastic_block_store);
    one.source("secret", &volume.secret, files::secret);
    one.source("nfs", &volume.nfs, nfs);
    one.source("iscsi", &volume.iscsi, legacy::iscsi);
    if let Some(iscsi) = &volume.iscsi {
        legacy::iscsi_volume_name(iscsi, &volume.name, &one.at.field("name"), one.faults);
    }
    one.source("glusterfs", &volume.glusterfs, legacy::glusterfs);
    one.source("flocker", &volume.flocker, legacy::flocker);
    one.source("persistentVolumeClaim", &volume.persistent_volume_claim, persistent_volume_claim);
    one.source("rbd", &volume.rbd, legacy::rbd);
    one.source("cinder", &volume.cinder, legacy::cinder);
    one.source("cephfs", &volume.cephfs, legacy::cephfs);
    one.source("quobyte", &volume.quobyte, legacy::quobyte);
    one.source("downwardAPI", &volume.downward_api, files::downward_api);
    one.source("fc", &volume.fc, legacy::fc);
    one.source("flexVolume", &volume.flex_volume, legacy::flex_volume);
    one.source("configMap", &volume.config_map, files::config_map);
    one.source("azureFile", &volume.azure_file, legacy::azure_file);
    one.source("vsphereVolume", &volume.vsphere_volume, legacy::vsphere_volume);
    one.source("photonPersistentDisk", &volume.photon_persistent_disk, legacy::photon_persistent_disk);
    one.source("portworxVolume", &volume.portworx_volume, legacy::portworx_volume);
    one.source("azureDisk", &volume.azure_disk, legacy::azure_disk);
    one.source("storageos", &volume.storageos, legacy::storageos);
    one.source("projected", &volume.projected, projected::validate);
    one.source("scaleIO", &volume.scale_io, legacy::scale_io);
    one.source("csi", &volume.csi, csi);
    one.source("ephemeral", &volume.ephemeral, claim_template::ephemeral);
    one.source("image", &volume.image, image);
}

/// The volume at `at`, which may have one source.
struct OneSource<'a, 'f> {
    at: &'a FieldPath<'a>,
    faults: &'f mut PodFaults,
    found: bool,
}

impl OneSource<'_, '_> {
    /// Validates the source in the field `name`, or says that it is one too many.
    #[allow(clippy::ref_option)] // As the fields of a volume are.
    fn source<T>(&mut self, name: &str, source: &Option<T>, validate: fn(&T, &FieldPath<'_>, &mut PodFaults)) {
        let Some(source) = source else { return };
        let at = self.at.field(name);
        if self.found {
            self.faults.forbidden(&at, "may not specify more than 1 volume type");
        } else {
            validate(source, &at, self.faults);
        }
        self.found = true;
    }
}

fn empty_dir(source: &EmptyDirVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let Some(limit) = &source.size_limit else { return };
    match Quantity::parse(&limit.0) {
        None => faults.invalid(&at.field("sizeLimit"), &limit.0, MALFORMED),
        Some(limit) if limit.is_negative() => {
            faults.forbidden(&at.field("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        Some(_) => {}
    }
}

fn host_path(source: &HostPathVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if source.path.is_empty() {
        return faults.required(&at.field("path"), "");
    }
    validate_no_backsteps(&source.path, &at.field("path"), faults);
    if let Some(type_) = source.type_.as_deref().filter(|type_| !HOST_PATH_TYPES.contains(type_)) {
        faults.not_supported(&at.field("type"), type_, HOST_PATH_TYPES);
    }
}

fn nfs(source: &NFSVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("server", &source.server), ("path", &source.path)], at, faults);
    if !source.path.is_empty() && !source.path.starts_with('/') {
        faults.invalid(&at.field("path"), &source.path, "must be an absolute path");
    }
}

fn persistent_volume_claim(source: &PersistentVolumeClaimVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("claimName", &source.claim_name)], at, faults);
}

fn csi(source: &CSIVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let (driver, driver_at) = (&*source.driver, at.field("driver"));
    if driver.is_empty() {
        faults.required(&driver_at, "");
    }
    if driver.len() > LABEL_MAX {
        faults.too_long(&driver_at, LABEL_MAX);
    }
    // Names of drivers may have capitals.
    let fault = dns_subdomain_fault(driver).and_then(|_| dns_subdomain_fault(&driver.to_lowercase()));
    if let Some(detail) = fault.filter(|_| !driver.is_empty()) {
        faults.invalid(&driver_at, driver, detail);
    }
    if let Some(secret) = &source.node_publish_secret_ref {
        let secret_at = at.field("nodePublishSecretRef");
        if secret.name.is_empty() {
            faults.required(&secret_at.field("name"), "");
        } else {
            validate_object_name(&secret.name, &secret_at.field("name"), faults);
        }
    }
}

/// Image volumes are judged as by an API server with the feature gate `ImageVolume`, which is off by default in 1.34:
/// without it, a pod is created without the volume and its mounts.
fn image(source: &ImageVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if source.reference.as_deref().unwrap_or_default().is_empty() {
        faults.required(&at.field("reference"), "");
    }
    // An empty policy gets a default.
    let policy = source.pull_policy.as_deref().unwrap_or_default();
    if !policy.is_empty() && !PULL_POLICIES.contains(&policy) {
        faults.not_supported(&at.field("pullPolicy"), policy, PULL_POLICIES);
    }
}
