//! Which field of a kind a field of a pod was rendered from.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use webhook::field::key;

/// Fields that we name as they are written, and where the API server reports their faults: at the list instead of its
/// item, or at a field that does not exist.
const REPORTED_ELSEWHERE: &[(&str, &str)] = &[
    (r"(Mounts)\[.*\](\.(subPath|subPathExpr|mountPropagation|recursiveReadOnly))$", "$1$2"),
    (r"(\.downwardAPI)\.items\[[0-9]+\]", "$1"),
    (r"(\.projected)\.sources\[[0-9]+\]\.serviceAccountToken(\.path)$", "$1$2"),
    (r"(\.csi)\.nodePublishSecretRef(\.name)$", "$1$2"),
    (r"(\.volumeClaimTemplate\.spec\.resources)\.requests(\[storage\])$", "$1$2"),
    (r"\.gcePersistentDisk\.", ".persistentDisk."),
    (r"\.iscsi\.initiatorName$", ".iscsi.initiatorname"),
    (r"\.cephfs$", ".cephFS"),
    (r"\.downwardAPI$", ".downwarAPI"),
    (
        r"^spec\.podTemplate\.(securityContext|containerSecurityContext)\.windowsOptions\.hostProcess$",
        "spec.hostNetwork",
    ),
    (r"\.securityContext\.appArmorProfile\.", ".containerSecurityContext.appArmorProfile."),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| REPORTED_ELSEWHERE.iter().map(|(pattern, to)| (Regex::new(pattern).unwrap(), *to)).collect());

/// Whether the API server reports the faults of our field there.
pub fn is_same_field(ours: &str, reported: &str) -> bool {
    ours == reported || PATTERNS.iter().any(|(pattern, to)| pattern.replace(ours, *to) == reported)
}

/// Where the parts of a rendered template come from.
pub struct Origin<'a> {
    /// The template.
    pub template: &'a Value,
    /// The id of the image.
    pub image: &'a str,
    /// The id of the pod config.
    pub pod: &'a str,
}

impl Origin<'_> {
    /// The field of the kind that a field of a PodTemplate or of a Pod was rendered from.
    pub fn field(&self, path: &str) -> String {
        let path = path.strip_prefix("template.").unwrap_or(path);
        let path = path.strip_prefix("metadata.").unwrap_or(path);
        let options =
            |list: &str, id: &str| format!("{}.spec", key(&format!("spec.podTemplate.options.{list}.values"), id));
        let pod = options("podConfig", self.pod);
        let image = options("imageConfig", self.image);
        let moved = [
            ("annotations", "spec.podTemplate.podMetadata.annotations"),
            ("labels", "spec.podTemplate.podMetadata.labels"),
            ("spec.affinity", &format!("{pod}.affinity")),
            ("spec.nodeSelector", &format!("{pod}.nodeSelector")),
            ("spec.tolerations", &format!("{pod}.tolerations")),
            ("spec.securityContext", "spec.podTemplate.securityContext"),
            ("spec.containers[0].resources", &format!("{pod}.resources")),
            ("spec.containers[0].image", &format!("{image}.image")),
            ("spec.containers[0].securityContext", "spec.podTemplate.containerSecurityContext"),
            ("spec.containers[0].startupProbe", "spec.podTemplate.probes.startupProbe"),
            ("spec.containers[0].livenessProbe", "spec.podTemplate.probes.livenessProbe"),
            ("spec.containers[0].readinessProbe", "spec.podTemplate.probes.readinessProbe"),
        ];
        let moved = moved.iter().find_map(|(from, to)| Some(escaped(&format!("{to}{}", path.strip_prefix(from)?))));
        let listed = || {
            self.item(path, "spec.volumes", "/spec/volumes", "name", "extraVolumes")
                .or_else(|| self.item(path, "spec.containers[0].env", "/spec/containers/0/env", "name", "extraEnv"))
                .or_else(|| {
                    let mounts = "/spec/containers/0/volumeMounts";
                    self.item(path, "spec.containers[0].volumeMounts", mounts, "mountPath", "extraVolumeMounts")
                })
        };
        moved.or_else(listed).unwrap_or_else(|| path.to_owned())
    }

    /// The field of an item of a list that is merged by key.
    fn item(&self, path: &str, from: &str, pointer: &str, name: &str, to: &str) -> Option<String> {
        let rest = path.strip_prefix(from)?;
        let to = format!("spec.podTemplate.{to}");
        let Some((index, rest)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
            return Some(format!("{to}{rest}"));
        };
        let item = &self.template.pointer(pointer)?[index.parse::<usize>().ok()?];
        Some(format!("{}{rest}", key(&to, item[name].as_str()?)))
    }
}

/// The path with the key at its end, if any, as we write it: without line breaks, and not too long.
fn escaped(path: &str) -> String {
    let end_of = |block: &str| Some(path.find(&format!(".{block}["))? + 1 + block.len());
    let parts = ["limits", "requests", "annotations"].into_iter().find_map(end_of).map(|end| path.split_at(end));
    let keyed = parts.and_then(|(block, rest)| Some(key(block, rest.strip_prefix('[')?.strip_suffix(']')?)));
    keyed.unwrap_or_else(|| path.to_owned())
}
