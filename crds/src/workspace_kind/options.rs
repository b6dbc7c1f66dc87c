//! The options of a kind: images and pod sizes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The options that users can choose from.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// The images.
    pub image_config: ImageConfig,
    /// The sizes and the node placement of the pod.
    pub pod_config: PodConfig,
}

/// The images that users can choose from.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfig {
    /// How the choice is shown.
    pub spawner: OptionsSpawner,

    /// The choices. While Workspaces use a value, its `spec` cannot be changed and it cannot be removed.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub values: Vec<ImageConfigValue>,
}

/// How a choice is shown.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionsSpawner {
    /// The id of the value that is selected by default.
    #[schemars(length(min = 1, max = 256))]
    pub default: String,
}

/// One image.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfigValue {
    /// The id, which Workspaces name in `spec.podTemplate.options.imageConfig`.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,

    /// How the value is shown.
    pub spawner: OptionSpawner,

    /// The value to use instead. The status of Workspaces that use this one shows it; nothing changes automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<OptionRedirect>,

    /// The image and its ports.
    pub spec: ImageConfigSpec,
}

/// An image and its ports.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfigSpec {
    /// The container image, such as `registry.example.com/jupyter:1.2`.
    #[schemars(length(min = 2))]
    pub image: String,

    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// The ports that the image listens on. Users get one link for each.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub ports: Vec<ImagePort>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ImagePullPolicy {
    /// At every start of the pod.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Not at all; the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// The value as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A port that an image listens on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagePort {
    /// The id, part of the path of the port, and what `spec.podTemplate.ports[]` refers to.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"))]
    pub id: String,

    /// The port number. No two ports of a value may share it.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// The name shown to users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    pub display_name: Option<String>,

    /// The protocol of the port.
    #[serde(default)]
    pub protocol: PortProtocol,
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum PortProtocol {
    /// HTTP, WebSocket included.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
}

/// The sizes and the node placement of the pod that users can choose from.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodConfig {
    /// How the choice is shown.
    pub spawner: OptionsSpawner,

    /// The choices. While Workspaces use a value, its `spec` cannot be changed and it cannot be removed.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub values: Vec<PodConfigValue>,
}

/// One size and node placement of the pod.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigValue {
    /// The id, which Workspaces name in `spec.podTemplate.options.podConfig`.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,

    /// How the value is shown.
    pub spawner: OptionSpawner,

    /// The value to use instead. The status of Workspaces that use this one shows it; nothing changes automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<OptionRedirect>,

    /// The node placement and the resources of the pod.
    pub spec: PodConfigSpec,
}

/// The node placement and the resources of a pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigSpec {
    /// The affinity of the pod, as in a Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// The node labels that the pod requires.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// The taints that the pod tolerates, as in a Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// The name of the scheduler that places the pod, instead of that of the pod template. `default-scheduler` is the
    /// default one of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub scheduler_name: Option<String>,

    /// The resources of the `main` container, as in a Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// How a value is shown.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionSpawner {
    /// The name shown to users.
    #[schemars(length(min = 2, max = 128))]
    pub display_name: String,

    /// What the value is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024))]
    pub description: Option<String>,

    /// Labels shown with the value, which rules can select on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub labels: Vec<OptionSpawnerLabel>,

    /// Whether the value is hidden from the spawner. Existing Workspaces are not affected.
    #[serde(default)]
    pub hidden: bool,
}

impl OptionSpawner {
    /// The labels by key, which selectors of rules match.
    pub fn label_map(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect()
    }
}

/// A label of a value.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionSpawnerLabel {
    /// The key, which label selectors of rules refer to.
    #[schemars(length(min = 2, max = 64))]
    pub key: String,
    /// The value, which label selectors of rules compare with.
    #[schemars(length(min = 1, max = 64))]
    pub value: String,
}

/// The value to use instead.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionRedirect {
    /// The id of another value of the same list. Redirects may be chained, but must not form a cycle.
    #[schemars(length(min = 1, max = 256))]
    pub to: String,

    /// A message about the redirect for users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<RedirectMessage>,
}

/// A message about a redirect for users.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectMessage {
    /// How important it is.
    pub level: RedirectMessageLevel,
    /// The text shown to users.
    #[schemars(length(min = 2, max = 1024))]
    pub text: String,
}

/// How important a redirect is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RedirectMessageLevel {
    /// Good to know.
    Info,
    /// Something may need a change.
    Warning,
    /// Something will break.
    Danger,
}
