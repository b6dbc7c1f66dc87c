//! The Workspace: one user's notebook, as a selection among the options of its WorkspaceKind.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::defaults::{is_false, without_default};
use crate::workspace_kind::PodMetadata;

/// A notebook server (JupyterLab, code-server, RStudio …) of one user, run as a pod and exposed through the mesh
/// gateway.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "kubeflow.org",
    version = "v1beta1",
    kind = "Workspace",
    plural = "workspaces",
    shortname = "ws",
    namespaced,
    status = "WorkspaceStatus",
    derive = "PartialEq",
    selectable = ".spec.kind",
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state","description":"The current state of the Workspace"}"#,
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.kind","description":"The WorkspaceKind of the Workspace"}"#,
    printcolumn = r#"{"name":"Image","type":"string","priority":1,"jsonPath":".spec.podTemplate.options.imageConfig","description":"The selected imageConfig"}"#,
    printcolumn = r#"{"name":"PodConfig","type":"string","priority":1,"jsonPath":".spec.podTemplate.options.podConfig","description":"The selected podConfig"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.stateMessage","description":"What the state means"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSpec {
    /// The name shown to users; the name of the object when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,

    /// Whether the Workspace is stopped. A paused Workspace has no pod and keeps its volumes.
    #[serde(default)]
    pub paused: bool,

    /// No effect; accepted because early Workspaces have it. The controller never restarts a running pod on its own.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub defer_updates: bool,

    /// The name of the WorkspaceKind. It cannot be changed.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "Workspace 'kind' is immutable"}]))]
    pub kind: String,

    /// How the pod of this Workspace differs from others of its kind.
    pub pod_template: WorkspacePodTemplate,
}

/// How the pod of a Workspace differs from others of its kind.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspacePodTemplate {
    /// Labels and annotations of the pod. They have precedence over those of the WorkspaceKind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<PodMetadata>,

    /// The volumes mounted into the pod.
    pub volumes: WorkspaceVolumes,

    /// The choices among the options of the WorkspaceKind.
    pub options: WorkspaceOptions,
}

/// The volumes mounted into the pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceVolumes {
    /// The name of the PersistentVolumeClaim mounted as the home directory, at the path that the WorkspaceKind sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub home: Option<String>,

    /// Further PersistentVolumeClaims to mount, each at one path or at several. No two may share a mount path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"]))]
    pub data: Vec<DataVolume>,

    /// Secrets to mount, each at one path or at several. No two may share a mount path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"]))]
    pub secrets: Vec<SecretVolume>,
}

/// A PersistentVolumeClaim to mount.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVolume {
    /// The name of the PersistentVolumeClaim, in the namespace of the Workspace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub pvc_name: String,

    /// The absolute path at which it is mounted.
    #[schemars(length(min = 2, max = 4096), regex(pattern = r"^/[^/].*$"))]
    pub mount_path: String,

    /// Whether it is mounted read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// A Secret to mount.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretVolume {
    /// The name of the Secret, in the namespace of the Workspace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub secret_name: String,

    /// The absolute path at which it is mounted.
    #[schemars(length(min = 2, max = 4096), regex(pattern = r"^/[^/].*$"))]
    pub mount_path: String,

    /// The permission bits of the files: a decimal number, in YAML also an octal one (`0644`).
    #[serde(default = "default_secret_mode")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: i32,
}

fn default_secret_mode() -> i32 {
    0o644
}

/// The choices among the options of the WorkspaceKind.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceOptions {
    /// The id of an imageConfig value of the WorkspaceKind.
    #[schemars(length(min = 1, max = 256))]
    pub image_config: String,

    /// The id of a podConfig value of the WorkspaceKind.
    #[schemars(length(min = 1, max = 256))]
    pub pod_config: String,
}

/// The most recently observed state of a Workspace. Times are milliseconds since 1970 (UTC), 0 when not set; only those
/// of conditions are RFC 3339.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkspaceStatus {
    /// The `metadata.generation` that the rest of the status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// When the Workspace was last used, and what the last activity probe found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<WorkspaceActivity>,

    /// When the container of the Workspace last became ready after it had newly started, in milliseconds since 1970 (UTC); 0
    /// if it never did. A container that is ready again did not newly start.
    #[schemars(extend("default" = 0))]
    pub last_running_time: i64,

    /// When the controller first observed `spec.paused`, in milliseconds since 1970 (UTC); 0 while it is not paused.
    #[schemars(extend("default" = 0))]
    pub pause_time: i64,

    /// Whether the pod stays on an older template until it is restarted, or a selected option (imageConfig or podConfig) is
    /// redirected to another one, which the Workspace does not use yet.
    #[schemars(extend("default" = false))]
    pub pending_restart: bool,

    /// The options that the selected ones are redirected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_options: Option<PodTemplateOptionsStatus>,

    /// The pod of the Workspace. Its names are empty while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_pod: Option<PodStatus>,

    /// A summary of the state of the pod, and of faults that keep it from running.
    pub state: WorkspaceState,

    /// Details about the state, for people: at most 1,024 bytes.
    #[schemars(extend("default" = ""))]
    pub state_message: String,

    /// Observations of the current state, by type. `Ready`: what exists matches the spec; a paused Workspace is Ready
    /// once its pod is gone, with reason `Paused`. `Available`: it can be opened now. `RouteReady`: the VirtualService is in
    /// place; Unknown where Istio is off or not installed, and where the route was not rendered or not applied yet. Only
    /// while they are True: `Reconciling`: something is being done about what is not as desired; `Stalled`: nothing more can
    /// be done until somebody changes something; `PendingRestart`: what a restart would change, for the pod stays on an older
    /// template until then, or which update is available.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// When the Workspace was last used, and what the last activity probe found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkspaceActivity {
    /// When the Workspace was last seen active, in milliseconds since 1970 (UTC); 0 if it never was.
    #[schemars(extend("default" = 0))]
    pub last_activity: i64,

    /// When the activity was last probed, in milliseconds since 1970 (UTC); 0 if it never was.
    #[schemars(extend("default" = 0))]
    pub last_update: i64,

    /// The result of the last activity probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe: Option<ActivityProbeStatus>,

    /// The effect of the activity rules of the WorkspaceKind on this Workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<ActivityRulesStatus>,
}

/// The result of the last activity probe.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActivityProbeStatus {
    /// When the probe started, in milliseconds since 1970 (UTC).
    #[schemars(transform = without_default)]
    pub start_time: i64,
    /// When the probe finished, in milliseconds since 1970 (UTC).
    #[schemars(transform = without_default)]
    pub end_time: i64,
    /// The outcome of the probe; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ActivityProbeResult>,
    /// Why the probe failed; never its output.
    pub message: String,
}

/// The outcome of an activity probe.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ActivityProbeResult {
    /// It found out whether the Workspace is active.
    Success,
    /// It failed.
    Failure,
    /// It did not finish in time.
    Timeout,
}

/// The effect of the activity rules of the WorkspaceKind on a Workspace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActivityRulesStatus {
    /// The rule that pauses the Workspace; absent while none matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_workspace: Option<PauseWorkspaceStatus>,
}

/// When a rule may pause the Workspace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PauseWorkspaceStatus {
    /// The earliest time at which the Workspace may be paused, in milliseconds since 1970 (UTC); 0 while no rule
    /// applies.
    #[schemars(extend("default" = 0))]
    pub eligible_after: i64,
}

/// The options that the selected ones are redirected to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplateOptionsStatus {
    /// The imageConfig that the selected one is redirected to.
    #[schemars(transform = without_default)]
    pub image_config: OptionStatus,
    /// The podConfig that the selected one is redirected to.
    #[schemars(transform = without_default)]
    pub pod_config: OptionStatus,
}

/// An option after following its redirects.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OptionStatus {
    /// The id at the end of the redirects: the selected id where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub desired: Option<String>,

    /// The redirects from the selected id to the desired one, in order; empty where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_chain: Vec<RedirectStep>,
}

/// One redirect.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectStep {
    /// The id that is redirected.
    #[schemars(length(min = 1, max = 256), transform = without_default)]
    pub source: String,
    /// The id that it is redirected to.
    #[schemars(length(min = 1, max = 256), transform = without_default)]
    pub target: String,
}

/// The pod of the Workspace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// The name of the pod; empty while there is none.
    #[schemars(transform = without_default)]
    pub name: String,
    /// The node that the pod runs on; empty while it is not scheduled.
    #[schemars(transform = without_default)]
    pub node_name: String,
    /// The name of the ServiceAccount that the pod runs as, also while there is no pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The containers of the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerStatus>,
    /// The init containers of the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<ContainerStatus>,
}

/// A container of the pod.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The name of the container.
    #[schemars(transform = without_default)]
    pub name: String,
}

/// The state of a Workspace.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum WorkspaceState {
    /// Its pod is running and ready.
    Running,
    /// Its pod is being deleted.
    Terminating,
    /// It is paused and has no pod.
    Paused,
    /// Its pod is starting, or waits to be scheduled.
    Pending,
    /// It cannot run; `stateMessage` says why.
    Error,
    /// Its state could not be determined (yet).
    #[default]
    Unknown,
}
