//! The slim form of pods: the fields that the state of a Workspace follows from.

use std::net::IpAddr;

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
    /// Its address, once it has one; none where that is the address of its node, on whose network it is.
    pub address: Option<IpAddr>,
    /// The ServiceAccount that it runs as.
    pub service_account: Box<str>,
    /// The names of its containers.
    pub containers: Box<[Box<str>]>,
    /// The names of its init containers.
    pub init_containers: Box<[Box<str>]>,
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: Box<str>,
    /// Whether it can be used, by its condition Ready.
    pub ready: bool,
    /// Whether it was ready once: it may be, or its condition Ready has changed since it started.
    pub was_ready: bool,
    /// When its condition Ready became what it is, in seconds since 1970.
    pub ready_changed: Option<i64>,
    /// Whether its volumes are mounted and its network is there, by its condition PodReadyToStartContainers.
    pub can_start: bool,
    /// Why it is not scheduled; nothing when it is, or not yet known. Boxed, because most are.
    pub unscheduled: Option<Box<Reason>>,
    /// The container `main`.
    pub main: ContainerState,
    /// What pods that run have not.
    pub troubles: Option<Box<Troubles>>,
}

/// What may keep a pod from running, or end it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Troubles {
    /// Its `status.reason` and `status.message`, such as Evicted.
    pub status: Reason,
    /// Whether its node does not report. Then the node lifecycle controller sets the condition Ready to False and nothing else:
    /// no reason comes with it, as the kubelet gives one, and the container `main` still is said to run and to be ready.
    pub is_node_lost: bool,
    /// Its condition DisruptionTarget: why it is about to be deleted.
    pub disruption: Option<Reason>,
    /// When it should be gone, once it is being deleted: with its grace period (RFC 3339).
    pub gone_by: Box<str>,
    /// What its deletion waits for.
    pub finalizers: Vec<Box<str>>,
    /// The first container beside `main` that failed, init containers first.
    pub container: Option<FailedContainer>,
    /// The init container that runs.
    pub initializing: Box<str>,
}

/// A container that failed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FailedContainer {
    /// Its name.
    pub name: Box<str>,
    /// Whether it is an init container.
    pub is_init: bool,
    /// Its state.
    pub state: ContainerState,
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
    /// How its previous run terminated. Boxed, because most have none.
    pub last_terminated: Option<Box<Terminated>>,
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
    Running {
        /// Since when, in seconds since 1970, by the clock of the node.
        since: Option<i64>,
    },
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

impl ContainerState {
    /// Whether it waits for something else than its turn, or terminated.
    fn has_failed(&self) -> bool {
        match &self.now {
            ContainerPhase::Waiting(reason) => reason.is_failure(),
            ContainerPhase::Terminated(_) => true,
            ContainerPhase::Unknown | ContainerPhase::Running { .. } => false,
        }
    }

    /// The same of an init container, which is to end.
    fn has_failed_to_initialize(&self) -> bool {
        self.has_failed() && !matches!(self.now, ContainerPhase::Terminated(Terminated { exit_code: 0, .. }))
    }
}

impl Reason {
    /// Whether a container that waits for this reason failed: the kubelet has two reasons for those that come to start.
    pub fn is_failure(&self) -> bool {
        !matches!(&*self.reason, "" | "ContainerCreating" | "PodInitializing")
    }
}

/// The container that the image of a Workspace runs in.
pub const MAIN: &str = "main";

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
    host_network: bool,
    service_account_name: Box<str>,
    containers: Vec<WireSpecContainer>,
    init_containers: Vec<WireSpecContainer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpecContainer {
    name: Box<str>,
    /// `Always` for sidecars, which do not end.
    #[serde(default)]
    restart_policy: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: Box<str>,
    reason: Box<str>,
    message: Box<str>,
    #[serde(rename = "podIP")]
    pod_ip: Box<str>,
    start_time: Option<Box<str>>,
    conditions: Vec<WireCondition>,
    container_statuses: Vec<WireContainer>,
    init_container_statuses: Vec<WireContainer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireCondition {
    #[serde(rename = "type")]
    type_: Box<str>,
    status: Box<str>,
    reason: Box<str>,
    message: Box<str>,
    /// Null where the client that wrote it set none.
    last_transition_time: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainer {
    name: Box<str>,
    ready: bool,
    started: bool,
    state: WireState,
    last_state: WireState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireState {
    waiting: Option<Reason>,
    running: Option<WireRunning>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRunning {
    started_at: Option<Box<str>>,
}

impl From<WireContainer> for ContainerState {
    fn from(container: WireContainer) -> Self {
        let now = match container.state {
            WireState { waiting: Some(reason), .. } => ContainerPhase::Waiting(reason),
            WireState { terminated: Some(terminated), .. } => ContainerPhase::Terminated(terminated),
            WireState { running: Some(running), .. } => {
                ContainerPhase::Running { since: running.started_at.as_deref().and_then(seconds) }
            }
            WireState { .. } => ContainerPhase::Unknown,
        };
        Self { now, last_terminated: container.last_state.terminated.map(Box::new) }
    }
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { mut metadata, spec, status } = Wire::deserialize(deserializer)?;
        let names =
            |containers: Vec<WireSpecContainer>| containers.into_iter().map(|container| container.name).collect();
        let mut troubles = Troubles { initializing: initializing(&spec, &status), ..Troubles::default() };
        let identity = metadata.identity();
        if identity.deleting {
            troubles.gone_by = metadata.deletion_timestamp.take().unwrap_or_default();
            troubles.finalizers = std::mem::take(&mut metadata.finalizers);
        }
        let mut pod = Self {
            identity,
            owner: metadata.owner(),
            workspace: metadata.labels.workspace,
            revision: metadata.labels.revision.unwrap_or_default(),
            created: metadata.creation_timestamp.unwrap_or_default(),
            node: spec.node_name,
            address: status.pod_ip.parse().ok().filter(|_| !spec.host_network),
            service_account: spec.service_account_name,
            containers: names(spec.containers),
            init_containers: names(spec.init_containers),
            phase: status.phase,
            ..Self::default()
        };
        troubles.status = Reason { reason: status.reason, message: status.message };
        let is_unready_for_no_reason = status.conditions.iter().any(WireCondition::is_unready_for_no_reason);
        for condition in status.conditions {
            pod.take_condition(condition, status.start_time.as_deref(), &mut troubles);
        }
        let (main, others): (Vec<_>, Vec<_>) =
            status.container_statuses.into_iter().partition(|container| &*container.name == MAIN);
        let main = main.into_iter().next().unwrap_or_default();
        troubles.is_node_lost = is_unready_for_no_reason && main.ready && main.state.running.is_some();
        pod.main = main.into();
        let failed_init = first_failed(status.init_container_statuses, ContainerState::has_failed_to_initialize);
        let failed_init = failed_init.map(|container| FailedContainer { is_init: true, ..container });
        troubles.container = failed_init.or_else(|| first_failed(others, ContainerState::has_failed));
        pod.troubles = (troubles != Troubles::default()).then(|| Box::new(troubles));
        Ok(pod)
    }
}

impl Pod {
    fn take_condition(&mut self, condition: WireCondition, start: Option<&str>, troubles: &mut Troubles) {
        match (&*condition.type_, &*condition.status) {
            ("Ready", status) => {
                self.ready = status == "True";
                self.was_ready = self.ready || has_changed_since(&condition, start);
                self.ready_changed = condition.last_transition_time.as_deref().and_then(seconds);
            }
            ("PodScheduled", "False") => self.unscheduled = Some(Box::new(condition.into())),
            ("PodReadyToStartContainers", "True") => self.can_start = true,
            ("DisruptionTarget", "True") => troubles.disruption = Some(condition.into()),
            _ => {}
        }
    }
}

impl WireCondition {
    /// Whether it says that the pod is not ready, as the kubelet never does it: without a reason.
    fn is_unready_for_no_reason(&self) -> bool {
        &*self.type_ == "Ready" && &*self.status == "False" && self.reason.is_empty()
    }
}

impl From<WireCondition> for Reason {
    fn from(WireCondition { reason, message, .. }: WireCondition) -> Self {
        Self { reason, message }
    }
}

fn first_failed(containers: Vec<WireContainer>, failed: impl Fn(&ContainerState) -> bool) -> Option<FailedContainer> {
    let of = |mut container: WireContainer| FailedContainer {
        name: std::mem::take(&mut container.name),
        is_init: false,
        state: container.into(),
    };
    containers.into_iter().map(of).find(|container| failed(&container.state))
}

/// The name of the init container that the others wait for: it runs, and is no sidecar that has started.
fn initializing(spec: &WireSpec, status: &WireStatus) -> Box<str> {
    let is_sidecar = |name: &str| {
        spec.init_containers.iter().any(|container| &*container.name == name && &*container.restart_policy == "Always")
    };
    let mut running = status.init_container_statuses.iter().filter(|container| container.state.running.is_some());
    let found = running.find(|container| !(container.started && is_sidecar(&container.name)));
    found.map(|container| container.name.clone()).unwrap_or_default()
}

/// A time (RFC 3339) in seconds since 1970.
fn seconds(time: &str) -> Option<i64> {
    time.parse().ok().map(Timestamp::as_second)
}

/// Whether a condition is not what it was when the pod started. The kubelet writes its first value together with the start
/// time, in whole seconds. What cannot be read counts as changed: nothing may follow from a pod that was never ready then.
fn has_changed_since(condition: &WireCondition, start: Option<&str>) -> bool {
    const SAME_WRITE: i64 = 1;
    match (condition.last_transition_time.as_deref().and_then(seconds), start.and_then(seconds)) {
        (Some(changed), Some(start)) => changed > start + SAME_WRITE,
        _ => true,
    }
}

impl Slim for Pod {
    type Of = core::Pod;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
