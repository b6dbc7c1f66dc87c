//! Sources of single storage products, most of which CSI drivers have replaced.

use k8s_openapi::api::core::v1::{
    AWSElasticBlockStoreVolumeSource, AzureDiskVolumeSource, AzureFileVolumeSource, CephFSVolumeSource,
    CinderVolumeSource, FCVolumeSource, FlexVolumeSource, FlockerVolumeSource, GCEPersistentDiskVolumeSource,
    GitRepoVolumeSource, GlusterfsVolumeSource, ISCSIVolumeSource, LocalObjectReference,
    PhotonPersistentDiskVolumeSource, PortworxVolumeSource, QuobyteVolumeSource, RBDVolumeSource, ScaleIOVolumeSource,
    StorageOSVolumeSource, VsphereVirtualDiskVolumeSource,
};

use crate::field_error::QuotedValue;
use crate::field_path::FieldPath;
use crate::pod_rules::faults::PodFaults;
use crate::pod_rules::syntax::{validate_label, validate_local_path, validate_required};

/// The values of `azureDisk.cachingMode`.
const CACHING_MODES: &[&str] = &["None", "ReadOnly", "ReadWrite"];
/// The values of `azureDisk.kind`.
const DISK_KINDS: &[&str] = &["Dedicated", "Managed", SHARED_DISK];
/// The default of `azureDisk.kind`.
const SHARED_DISK: &str = "Shared";
/// The forms of `azureDisk.diskURI`.
const MANAGED_DISK: &str =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB_DISK: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
/// The longest `<volume name>:<targetPortal>` of an iSCSI volume with an initiator.
const ISCSI_NAME_MAX: usize = 64;
/// The longest `quobyte.tenant`.
const QUOBYTE_TENANT_MAX: usize = 64;

pub(super) fn gce_persistent_disk(source: &GCEPersistentDiskVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("pdName", &source.pd_name)], at, faults);
    validate_partition(source.partition, at, faults);
}

pub(super) fn aws_elastic_block_store(
    source: &AWSElasticBlockStoreVolumeSource,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    validate_required(&[("volumeID", &source.volume_id)], at, faults);
    validate_partition(source.partition, at, faults);
}

pub(super) fn azure_file(source: &AzureFileVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("secretName", &source.secret_name), ("shareName", &source.share_name)], at, faults);
}

pub(super) fn glusterfs(source: &GlusterfsVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("endpoints", &source.endpoints), ("path", &source.path)], at, faults);
}

pub(super) fn vsphere_volume(source: &VsphereVirtualDiskVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("volumePath", &source.volume_path)], at, faults);
}

pub(super) fn photon_persistent_disk(
    source: &PhotonPersistentDiskVolumeSource,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    validate_required(&[("pdID", &source.pd_id)], at, faults);
}

pub(super) fn portworx_volume(source: &PortworxVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("volumeID", &source.volume_id)], at, faults);
}

pub(super) fn scale_io(source: &ScaleIOVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let volume = source.volume_name.as_deref().unwrap_or_default();
    let fields = [("gateway", &*source.gateway), ("system", &source.system), ("volumeName", volume)];
    validate_required(&fields, at, faults);
}

pub(super) fn cinder(source: &CinderVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("volumeID", &source.volume_id)], at, faults);
    validate_secret(source.secret_ref.as_ref(), at, faults);
}

pub(super) fn rbd(source: &RBDVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_monitors(&source.monitors, at, faults);
    validate_required(&[("image", &source.image)], at, faults);
}

pub(super) fn cephfs(source: &CephFSVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_monitors(&source.monitors, at, faults);
}

pub(super) fn git_repo(source: &GitRepoVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("repository", &source.repository)], at, faults);
    validate_local_path(source.directory.as_deref().unwrap_or_default(), &at.field("directory"), faults);
}

pub(super) fn flocker(source: &FlockerVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let name = source.dataset_name.as_deref().unwrap_or_default();
    let uuid = source.dataset_uuid.as_deref().unwrap_or_default();
    match (name, uuid) {
        ("", "") => faults.required(at, "one of datasetName and datasetUUID is required"),
        (_, "") | ("", _) => {}
        _ => faults.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"),
    }
    if name.contains('/') {
        faults.invalid(&at.field("datasetName"), name, "must not contain '/'");
    }
}

pub(super) fn storageos(source: &StorageOSVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let (name, name_at) = (source.volume_name.as_deref().unwrap_or_default(), at.field("volumeName"));
    if name.is_empty() {
        faults.required(&name_at, "");
    } else {
        validate_label(name, &name_at, faults);
    }
    if let Some(namespace) = source.volume_namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        validate_label(namespace, &at.field("volumeNamespace"), faults);
    }
    validate_secret(source.secret_ref.as_ref(), at, faults);
}

pub(super) fn fc(source: &FCVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let targets = source.target_wwns.as_deref().unwrap_or_default();
    let ids = source.wwids.as_deref().unwrap_or_default();
    match (targets, ids) {
        ([], []) => faults.required(&at.field("targetWWNs"), "must specify either targetWWNs or wwids, but not both"),
        ([], _) | (_, []) => {}
        _ => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            faults.invalid(&at.field("targetWWNs"), QuotedValue::block(&targets), detail);
        }
    }
    match source.lun {
        _ if targets.is_empty() => {}
        None => faults.required(&at.field("lun"), "lun is required if targetWWNs is specified"),
        Some(lun) => validate_lun(lun, at, faults),
    }
}

pub(super) fn flex_volume(source: &FlexVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("driver", &source.driver)], at, faults);
    let options_at = at.field("options");
    for key in source.options.iter().flat_map(|options| options.keys()) {
        let namespace = key.split_once('/').map_or(&**key, |(namespace, _)| namespace);
        let domain = format!(".{}", namespace.to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            faults.invalid(&options_at.key(key), key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub(super) fn azure_disk(source: &AzureDiskVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("diskName", &source.disk_name), ("diskURI", &source.disk_uri)], at, faults);
    if let Some(mode) = source.caching_mode.as_deref().filter(|mode| !CACHING_MODES.contains(mode)) {
        faults.not_supported(&at.field("cachingMode"), mode, CACHING_MODES);
    }
    let kind = source.kind.as_deref().unwrap_or(SHARED_DISK);
    if !DISK_KINDS.contains(&kind) {
        faults.not_supported(&at.field("kind"), kind, DISK_KINDS);
    }
    let (start, form) = match kind {
        "Managed" => ("/subscriptions/", MANAGED_DISK),
        _ => ("https://", BLOB_DISK),
    };
    if !source.disk_uri.is_empty() && !source.disk_uri.starts_with(start) {
        faults.not_supported(&at.field("diskURI"), &source.disk_uri, &[form]);
    }
}

pub(super) fn quobyte(source: &QuobyteVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let registry_at = at.field("registry");
    let detail = "must be a host:port pair or multiple pairs separated by commas";
    if source.registry.is_empty() {
        faults.required(&registry_at, detail);
    } else if source.tenant.as_ref().is_some_and(|tenant| tenant.len() > QUOBYTE_TENANT_MAX) {
        faults.required(&at.field("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else if !source.registry.split(',').all(is_host_and_port) {
        faults.invalid(&registry_at, &source.registry, detail);
    }
    validate_required(&[("volume", &source.volume)], at, faults);
}

/// Whether the text is a host and a port, as Go's `net.SplitHostPort` splits them: an IPv6 address is in brackets, and
/// either may be empty.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_plain = inner.is_none() && !host.contains(':');
    let has_bracket = |text: &str| text.contains(['[', ']']);
    (is_plain || inner.is_some()) && !has_bracket(inner.unwrap_or(host)) && !has_bracket(port)
}

pub(super) fn iscsi(source: &ISCSIVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_required(&[("targetPortal", &source.target_portal), ("iqn", &source.iqn)], at, faults);
    if !source.iqn.is_empty() {
        validate_initiator(&source.iqn, &at.field("iqn"), faults);
    }
    validate_lun(source.lun, at, faults);
    let authenticated = source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true);
    if authenticated && source.secret_ref.is_none() {
        faults.required(&at.field("secretRef"), "");
    }
    if let Some(initiator) = &source.initiator_name {
        validate_initiator(initiator, &at.field("initiatorName"), faults);
    }
}

/// Validates the name of an iSCSI volume together with its portal. `at` is the path of the name.
pub(super) fn iscsi_volume_name(source: &ISCSIVolumeSource, name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if source.initiator_name.is_some() && name.len() + ":".len() + source.target_portal.len() > ISCSI_NAME_MAX {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                      iscsi.initiatorName is specified.";
        faults.invalid(at, name, detail);
    }
}

/// Validates a name of RFC 3720: `iqn.2001-04.com.example:storage`, `eui.` with 16 digits or `naa.` with 32.
fn validate_initiator(name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let valid = match name.get(..3) {
        Some("iqn") => is_qualified_iscsi(name),
        Some("eui") => is_numbered_iscsi(&name[3..], 16),
        Some("naa") => is_numbered_iscsi(&name[3..], 32),
        _ => return faults.invalid(at, name, "must be valid format starting with iqn, eui, or naa"),
    };
    if !valid {
        faults.invalid(at, name, "must be valid format");
    }
}

/// Whether there is a month, a domain and a name after some `iqn.`, as in `2001-04.com.example:storage`.
fn is_qualified_iscsi(name: &str) -> bool {
    let excluded =
        |character: char| matches!(character, ',' | ';' | '*' | '&' | '$' | '|' | '\t' | '\n' | '\x0c' | '\r' | ' ');
    let excluded_before = name.rfind(excluded).map_or(0, |at| at + 1);
    let mut colons = name.match_indices(':').map(|(colon, _)| colon);
    colons.any(|colon| {
        let before = name[..colon].rsplit(':').next().unwrap_or_default();
        colon >= excluded_before && colon + 1 < name.len() && ends_in_iscsi_authority(before)
    })
}

/// Whether the text ends in `iqn.`, a month and a domain. The last month has the shortest domain after it, so if that is
/// none, no other one is.
fn ends_in_iscsi_authority(text: &str) -> bool {
    let is_month = |text: &&[u8]| {
        text.iter().zip(b"0000-00.").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
    };
    let authorities = text.rmatch_indices("iqn.").map(|(start, prefix)| &text.as_bytes()[start + prefix.len()..]);
    let authority = authorities.filter(|text| text.len() > 8).find(is_month);
    authority
        .is_some_and(|text| text[8..].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')))
}

/// Whether the text is any one character and then `length` letters or digits.
fn is_numbered_iscsi(text: &str, length: usize) -> bool {
    let mut characters = text.chars();
    let separator = characters.next();
    let number = characters.as_str();
    separator.is_some_and(|separator| separator != '\n')
        && number.len() == length
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn validate_partition(partition: Option<i32>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    // 0 is no partition.
    if let Some(partition) = partition.filter(|partition| !(0..=255).contains(partition)) {
        faults.invalid(&at.field("partition"), partition, "must be between 1 and 255, inclusive");
    }
}

fn validate_lun(lun: i32, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if !(0..=255).contains(&lun) {
        faults.invalid(&at.field("lun"), lun, "must be between 0 and 255, inclusive");
    }
}

fn validate_monitors(monitors: &[String], at: &FieldPath<'_>, faults: &mut PodFaults) {
    if monitors.is_empty() {
        faults.required(&at.field("monitors"), "");
    }
}

fn validate_secret(secret: Option<&LocalObjectReference>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if secret.is_some_and(|secret| secret.name.is_empty()) {
        let at = at.field("secretRef");
        faults.required(&at.field("name"), "");
    }
}
