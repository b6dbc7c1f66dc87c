//! The WorkspaceKind: the template for notebooks that a platform team offers, and how their ports are proxied.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::defaults::without_default;

mod options;
mod pod_template;
mod rules;
mod spawner;

pub use options::{
    ImageConfig, ImageConfigSpec, ImageConfigValue, ImagePort, ImagePullPolicy, OptionRedirect, OptionSpawner,
    OptionSpawnerLabel, OptionsSpawner, PodConfig, PodConfigSpec, PodConfigValue, PodOptions, PortProtocol,
    RedirectMessage, RedirectMessageLevel,
};
pub use pod_template::{
    ActivityProbe, ClusterRoleRef, Culling, CullingActivityProbe, CullingExec, HttpProxy, JupyterActivityProbe,
    JupyterCulling, KindServiceAccount, KindVolumeMounts, PodExecActivityProbe, PodTemplate, Probes, ProxiedPort,
    RequestHeaders,
};
pub use rules::{
    ActivityRule, ActivityRuleConfig, ActivityRuleEffect, ActivityRuleMatch, FilterRule, FilterRuleApiEffect,
    FilterRuleDenyMessage, FilterRuleEffect, FilterRuleMatch, FilterRuleScope, FilterRuleUiEffect, SelectorMatch,
};
pub use spawner::{Asset, AssetConfigMap, AssetMediaType, Spawner};

/// A template for Workspaces: the images and sizes that users can choose from, and how their ports are proxied.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "kubeflow.org",
    version = "v1beta1",
    kind = "WorkspaceKind",
    plural = "workspacekinds",
    shortname = "wsk",
    status = "WorkspaceKindStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Workspaces","type":"integer","jsonPath":".status.workspaces","description":"The number of Workspaces of this kind"}"#,
    printcolumn = r#"{"name":"Deprecated","type":"boolean","jsonPath":".spec.spawner.deprecated","description":"Whether the kind is deprecated"}"#,
    printcolumn = r#"{"name":"Hidden","type":"boolean","jsonPath":".spec.spawner.hidden","description":"Whether the kind is hidden from the spawner"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceKindSpec {
    /// How the kind is shown to users who create a Workspace.
    pub spawner: Spawner,

    /// The pod that a Workspace of this kind runs as.
    pub pod_template: PodTemplate,

    /// What happens to idle Workspaces. For each effect the first rule that matches and configures it applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub activity_rules: Vec<ActivityRule>,

    /// Which kinds and options are hidden or denied, by namespace. They are evaluated by the backend of the user
    /// interface; admission enforces `effect.api.deny` only if the controller runs with `--enforce-filter-rules`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub filter_rules: Vec<FilterRule>,
}

/// Labels and annotations of a pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Labels and annotations of a StatefulSet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetMetadata {
    /// Labels of the StatefulSet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the StatefulSet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The most recently observed state of a WorkspaceKind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkspaceKindStatus {
    /// The `metadata.generation` that the rest of the status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The number of Workspaces of this kind.
    #[schemars(extend("default" = 0))]
    pub workspaces: i32,

    /// The number of Workspaces for each option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_options: Option<OptionCounts>,

    /// The icon, as it was last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawner_icon: Option<AssetStatus>,

    /// The logo, as it was last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawner_logo: Option<AssetStatus>,

    /// Observations of the current state, by type: `Accepted` (the API server takes the StatefulSet of every pair of options in
    /// use), `ResolvedRefs` (the ports, options and redirects that the kind refers to exist) and `Ready` (neither is False).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The number of Workspaces for each option.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OptionCounts {
    /// By imageConfig.
    #[schemars(transform = without_default, extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub image_config: Vec<OptionCount>,
    /// By podConfig.
    #[schemars(transform = without_default, extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub pod_config: Vec<OptionCount>,
}

/// The number of Workspaces that use an option.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionCount {
    /// The id of the option.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,
    /// The number of Workspaces that use it.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub workspaces: i32,
}

/// An icon or logo, as it was last read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AssetStatus {
    /// SHA-256 of its content, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The ConfigMap that it is read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<AssetConfigMapStatus>,
}

/// Why a ConfigMap could not be read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AssetConfigMapStatus {
    /// The class of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<AssetErrorType>,
    /// The error, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// The class of an error when reading a ConfigMap.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AssetErrorType {
    /// There is no such ConfigMap.
    NotFound,
    /// The ConfigMap has no such key.
    KeyNotFound,
    /// Anything else.
    Other,
}
