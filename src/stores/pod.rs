//! The slim form of pods: the fields that the state of a Workspace follows from.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::metadata::{Owner, WireMetadata};
use super::slim::{Identity, Slim};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its identity.
    pub identity: Identity,
    /// The Workspace that its label names.
    pub workspace: Option<Box<str>>,
    /// Its controller.
    pub owner: Option<Owner>,
    /// The name of the ControllerRevision with the template that it was made of; empty where it has none.
    pub revision: Box<str>,
    /// When it was created (RFC 3339).
    pub created: Box<str>,
    /// The node it runs on; empty while not scheduled.
    pub node: Box<str>,
    /// The ServiceAccount that it runs as.
    pub service_account: Box<str>,
    /// The names of its containers.
    pub containers: Vec<Box<str>>,
    /// The names of its init containers.
    pub init_containers: Vec<Box<str>>,
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: Box<str>,
    /// Whether it can be used, by its condition Ready.
    pub ready: bool,
    /// Whether it was ready once: it may be, or its condition Ready has changed since it started.
    pub was_ready: bool,
    /// Why it is not scheduled; nothing when it is, or not yet known.
    pub unscheduled: Option<Reason>,
    /// The container `main`.
    pub main: ContainerState,
}

/// A reason, as one word and as a sentence.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Reason {
    /// One CamelCase word.
    pub reason: Box<str>,
    /// A sentence.
    pub message: Box<str>,
}

/// The state of a container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContainerState {
    /// What it is doing now.
    pub now: ContainerPhase,
    /// How its previous run terminated.
    pub last_terminated: Option<Terminated>,
}

/// What a container is doing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ContainerPhase {
    /// Nothing known yet.
    #[default]
    Unknown,
    /// It is waiting to start.
    Waiting(Reason),
    /// It runs.
    Running,
    /// It has terminated.
    Terminated(Terminated),
}

/// How a container terminated.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// One CamelCase word.
    pub reason: Box<str>,
    /// The exit code.
    pub exit_code: i32,
}

/// The container that the image of a Workspace runs in.
const MAIN: &str = "main";

#[derive(Debug, Deserialize)]
struct Wire {
    metadata: WireMetadata,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Box<str>,
    service_account_name: Box<str>,
    containers: Vec<Named>,
    init_containers: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: Box<str>,
    start_time: Box<str>,
    conditions: Vec<WireCondition>,
    container_statuses: Vec<WireContainer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireCondition {
    #[serde(rename = "type")]
    type_: Box<str>,
    status: Box<str>,
    reason: Box<str>,
    message: Box<str>,
    /// Null where a client wrote the condition without it.
    last_transition_time: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainer {
    name: Box<str>,
    state: WireState,
    last_state: WireState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireState {
    waiting: Option<Reason>,
    running: Option<serde::de::IgnoredAny>,
    terminated: Option<Terminated>,
}

impl From<WireContainer> for ContainerState {
    fn from(container: WireContainer) -> Self {
        let now = match container.state {
            WireState { waiting: Some(reason), .. } => ContainerPhase::Waiting(reason),
            WireState { terminated: Some(terminated), .. } => ContainerPhase::Terminated(terminated),
            WireState { running: Some(_), .. } => ContainerPhase::Running,
            WireState { .. } => ContainerPhase::Unknown,
        };
        Self { now, last_terminated: container.last_state.terminated }
    }
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { mut metadata, spec, status } = Wire::deserialize(deserializer)?;
        let names = |containers: Vec<Named>| {
            // Exactly as long: collecting the vector itself would keep the room that decoding left.
            let mut names: Vec<Box<str>> = containers.into_iter().map(|container| container.name).collect();
            names.shrink_to_fit();
            names
        };
        let mut pod = Self {
            identity: metadata.identity(),
            owner: metadata.owner(),
            workspace: metadata.labels.workspace,
            revision: metadata.labels.revision.unwrap_or_default(),
            created: metadata.creation_timestamp.unwrap_or_default().into(),
            node: spec.node_name,
            service_account: spec.service_account_name,
            containers: names(spec.containers),
            init_containers: names(spec.init_containers),
            phase: status.phase,
            ..Self::default()
        };
        for condition in status.conditions {
            match (&*condition.type_, &*condition.status) {
                ("Ready", "True") => (pod.ready, pod.was_ready) = (true, true),
                ("Ready", _) => pod.was_ready = has_changed_since(&condition, &status.start_time),
                ("PodScheduled", "False") => {
                    pod.unscheduled = Some(Reason { reason: condition.reason, message: condition.message });
                }
                _ => {}
            }
        }
        let main = status.container_statuses.into_iter().find(|container| &*container.name == MAIN);
        pod.main = main.map(ContainerState::from).unwrap_or_default();
        Ok(pod)
    }
}

/// Whether a condition is not what it was when the pod started. The kubelet writes its first value together with the start
/// time, in whole seconds. What cannot be read counts as changed: nothing may follow from a pod that was never ready then.
fn has_changed_since(condition: &WireCondition, start: &str) -> bool {
    const SAME_WRITE: i64 = 1;
    let seconds = |time: &str| time.parse::<Timestamp>().map(Timestamp::as_second);
    let changed = condition.last_transition_time.as_deref().unwrap_or_default();
    match (seconds(changed), seconds(start)) {
        (Ok(changed), Ok(start)) => changed > start + SAME_WRITE,
        _ => true,
    }
}

impl Slim for Pod {
    type Of = core::Pod;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
