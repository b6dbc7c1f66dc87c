//! The pod that a Workspace of a kind runs as, and how its ports are proxied.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, PodSecurityContext, Probe, SecurityContext, Volume, VolumeMount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::options::{PodOptions, PortProtocol};
use super::{PodMetadata, StatefulSetMetadata};
use crate::bounded;

/// The most items of `extraEnv`: each needs 280 bytes of memory, however short its text.
const EXTRA_ENV_MAX: usize = 5_000;

/// The most items of `extraVolumes`: each needs 3 KB of memory, however short its text.
const EXTRA_VOLUMES_MAX: usize = 500;

/// The pod that a Workspace of the kind runs as.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(has(self.culling) && has(self.activityProbe))",
        "message": "must not specify both 'culling' and 'activityProbe'",
    },
    {
        "rule": "!has(self.serviceAccount) || !has(self.serviceAccount.name) || (has(oldSelf.serviceAccount) && has(oldSelf.serviceAccount.name) && self.serviceAccount.name == oldSelf.serviceAccount.name)",
        "message": "ServiceAccount 'name' may be removed, but neither set later nor changed",
        "fieldPath": ".serviceAccount.name",
    },
]))]
pub struct PodTemplate {
    /// Labels and annotations of the pod. Those of the Workspace have precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<PodMetadata>,

    /// Labels and annotations of the StatefulSet itself, such as `kueue.x-k8s.io/queue-name`. A change restarts no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set_metadata: Option<StatefulSetMetadata>,

    /// The ServiceAccount that the pod runs as. Each Workspace gets its own, `ws-<workspace>`, unless `name` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<KindServiceAccount>,

    /// How the controller determines whether a Workspace is in use. Required by rules that pause Workspaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_probe: Option<ActivityProbe>,

    /// The older form of `activityProbe` together with one rule that pauses every idle Workspace. Excludes
    /// `activityProbe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub culling: Option<Culling>,

    /// The Kubernetes probes of the `main` container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,

    /// Where the volumes of the Workspace are mounted.
    pub volume_mounts: KindVolumeMounts,

    /// How ports are proxied, one entry for each port. Every entry names its port with `portId`, or every entry with
    /// `id`: the two cannot be mixed. With `portId`, an image port without an entry is proxied as it is; with `id`,
    /// every image port needs an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Option<Vec<ProxiedPort>>,

    /// Environment variables of the `main` container. A `value` is a Go template; `httpPathPrefix "<port id>"` returns
    /// the path of a port, for example `{{ httpPathPrefix "jupyterlab" }}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded::list::<_, _, EXTRA_ENV_MAX>")]
    #[schemars(
        length(max = EXTRA_ENV_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub extra_env: Vec<EnvVar>,

    /// Further mounts of the `main` container. Each names a volume of `extraVolumes` or `home-volume`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"]))]
    pub extra_volume_mounts: Vec<VolumeMount>,

    /// Further volumes of the pod, as in a Pod. The names `home-volume`, `data-volume-<n>` and `secret-volume-<n>` are
    /// reserved.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::list::<_, _, EXTRA_VOLUMES_MAX>"
    )]
    #[schemars(
        length(max = EXTRA_VOLUMES_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub extra_volumes: Vec<Volume>,

    /// The security context of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,

    /// The security context of the `main` container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_security_context: Option<SecurityContext>,

    /// The name of the scheduler that places the pod, unless the podConfig names one. If neither does, it is the default
    /// one of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub scheduler_name: Option<String>,

    /// The options that users can choose from.
    pub options: PodOptions,
}

/// The ServiceAccount that the pods of a kind run as.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.name) && has(self.clusterRoles))",
    "message": "must not specify both 'name' and 'clusterRoles'",
}]))]
pub struct KindServiceAccount {
    /// The name of an existing ServiceAccount in the namespace of the Workspace; none is created. It may be removed, but
    /// neither set later nor changed: after that each Workspace has a ServiceAccount of its own, which its pod runs as
    /// from its next start. Excludes `clusterRoles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: Option<String>,

    /// ClusterRoles granted to the ServiceAccount of each Workspace, within the namespace of the Workspace. Excludes
    /// `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub cluster_roles: Vec<ClusterRoleRef>,
}

/// A ClusterRole.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRoleRef {
    /// The name of the ClusterRole. It need not exist yet.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^([^./%][^/%]*|\.[^./%][^/%]*|\.[^/%][^/%]+)$"))]
    pub name: String,
}

/// How the controller determines whether a Workspace is in use.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(has(self.podExec) && has(self.jupyter)) && (has(self.podExec) || has(self.jupyter))",
        "message": "must specify exactly one of 'podExec' or 'jupyter'",
    },
    {
        "rule": "self.minProbeIntervalSeconds <= self.probeIntervalSeconds",
        "message": "minProbeIntervalSeconds must be less than or equal to probeIntervalSeconds",
    },
]))]
pub struct ActivityProbe {
    /// Seconds between two probes.
    #[serde(default = "default_probe_interval")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub probe_interval_seconds: i32,

    /// The minimum number of seconds between two probes, whatever triggers them.
    #[serde(default = "default_min_probe_interval")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub min_probe_interval_seconds: i32,

    /// Runs a script in the `main` container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_exec: Option<PodExecActivityProbe>,

    /// Queries the API of the Jupyter server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jupyter: Option<JupyterActivityProbe>,
}

fn default_probe_interval() -> i32 {
    3600
}

fn default_min_probe_interval() -> i32 {
    300
}

/// A script that reports whether a Workspace is in use.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExecActivityProbe {
    /// The timeout of the script, in seconds.
    #[serde(default = "default_exec_timeout")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: i32,

    /// The script. Its first line is a shebang, such as `#!/bin/bash`. It writes JSON to the file that
    /// `$OUTPUT_JSON_PATH` names: `{"has_activity": true}` or `{"last_activity": "2024-01-01T00:00:00Z"}`.
    #[schemars(length(min = 1, max = 2048))]
    pub script: String,
}

fn default_exec_timeout() -> i32 {
    60
}

/// Queries the API of the Jupyter server for activity.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.lastActivity) && self.lastActivity", "message": "'lastActivity' must be true"}]))]
pub struct JupyterActivityProbe {
    /// Whether the last activity that the server reports is used. Must be true.
    pub last_activity: bool,

    /// The id of the port that the Jupyter server listens on.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"))]
    pub port_id: String,
}

/// The older form of an activity probe and one rule that pauses every idle Workspace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Culling {
    /// Whether idle Workspaces are paused.
    #[serde(default = "crate::defaults::yes")]
    pub enabled: bool,

    /// After how many seconds without activity a Workspace is paused.
    #[serde(default = "default_max_inactive")]
    #[schemars(range(min = 60))]
    pub max_inactive_seconds: i32,

    /// How the controller determines whether the Workspace is in use.
    pub activity_probe: CullingActivityProbe,
}

fn default_max_inactive() -> i32 {
    86_400
}

/// How the controller determines whether a Workspace is in use (older form).
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.exec) && has(self.jupyter)) && (has(self.exec) || has(self.jupyter))",
    "message": "must specify exactly one of 'exec' or 'jupyter'",
}]))]
pub struct CullingActivityProbe {
    /// Runs a command in the `main` container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<CullingExec>,

    /// Queries the API of the Jupyter server on the first port of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jupyter: Option<JupyterCulling>,
}

/// A command that reports whether a Workspace is in use.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CullingExec {
    /// The command and its arguments. Exit code 0: active in the last 60 seconds; 1: not.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
}

/// Queries the API of the Jupyter server on the first port of the image.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.lastActivity) && self.lastActivity", "message": "'lastActivity' must be true"}]))]
pub struct JupyterCulling {
    /// Whether the last activity that the server reports is used. Must be true.
    pub last_activity: bool,
}

/// The Kubernetes probes of the `main` container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Reports whether the container has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    /// Reports whether the container still works; if not, it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// Reports whether the container can serve requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
}

/// Where the volumes of the Workspace are mounted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindVolumeMounts {
    /// The path of the home directory. It cannot be changed.
    #[schemars(length(min = 2, max = 4096), regex(pattern = r"^/[^/].*$"))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "mount path of 'home' is immutable"}]))]
    pub home: String,
}

/// How one port is proxied.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.portId) != has(self.id)",
    "message": "must specify exactly one of 'portId' or 'id'",
}]))]
pub struct ProxiedPort {
    /// The id of an image port, with the path `/workspace/<namespace>/<workspace>/<port id>/` unless the controller is
    /// configured with another prefix. Either this or `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"))]
    pub port_id: Option<String>,

    /// The id of an image port, with the path `/workspace/connect/<namespace>/<workspace>/<port id>/` unless the
    /// controller is configured with another prefix. Either this or `portId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"))]
    pub id: Option<String>,

    /// The protocol of the port.
    #[serde(default)]
    pub protocol: PortProtocol,

    /// The name shown to users unless the image port sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    pub default_display_name: Option<String>,

    /// How HTTP requests to the port are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<HttpProxy>,
}

/// How HTTP requests to a port are changed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProxy {
    /// Whether the path of the port is removed, so that the server sees paths that start at `/`: for servers whose base
    /// path cannot be configured.
    #[serde(default)]
    pub remove_path_prefix: bool,

    /// How request headers are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<RequestHeaders>,
}

/// How request headers are changed. The values of `set` and `add` are Go templates; `httpPathPrefix "<port id>"`
/// returns the path of a port, for example `{{ httpPathPrefix "rstudio" }}`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestHeaders {
    /// Headers to overwrite, by name. A value is a Go template; `httpPathPrefix "<port id>"` returns the path of a
    /// port, for example `{{ httpPathPrefix "rstudio" }}`. An empty value removes the header. A literal `%` is written
    /// `%%`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub set: BTreeMap<String, String>,

    /// Headers to append to those that the browser sent, by name. A value is a Go template, as in `set`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub add: BTreeMap<String, String>,

    /// Names of headers to remove, before the others are set and added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub remove: Vec<String>,
}
