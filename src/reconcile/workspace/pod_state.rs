//! The state of a Workspace as its pod and its recent warning Events show it. The first words of each text are those that
//! the user interface of the Go controller knows.

use std::time::Duration;

use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use super::warning::Warning;
use crate::stores::pod::{ContainerPhase, ContainerState, Pod, Reason, Terminated, Troubles};

/// After how long a pod that starts shows what it waits for.
const SLOW_START: Duration = Duration::from_secs(30);
/// How long after its grace period the deletion of a pod is stuck.
const DELETION_PATIENCE: Duration = Duration::from_secs(30);
/// The reasons of the kubelet's and the attach controller's warnings about what a pod needs before any of its containers can
/// start. Others, such as DNSConfigForming, keep nothing from running.
const BLOCKS_START: [&str; 8] = [
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedMountOnFilesystemMismatch",
    "FailedPrepareDynamicResources",
    "FailedCreatePodContainer",
    "FailedCreatePodSandBox",
    "NetworkNotReady",
];
/// How the state begins where the StatefulSet has no pod.
const NO_POD: &str = "Workspace StatefulSet has warning event: ";

/// A state, what it means, and when it may become another one without any event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PodState {
    /// The state, as `status.state` shows it.
    pub state: WorkspaceState,
    /// `status.stateMessage`.
    pub message: String,
    /// After how long the state becomes another one unless something changes before.
    pub changes_after: Option<Duration>,
}

impl PodState {
    pub fn new(state: WorkspaceState, message: impl Into<String>) -> Self {
        Self { state, message: message.into(), changes_after: None }
    }

    fn error(message: impl Into<String>) -> Self {
        Self::new(WorkspaceState::Error, message)
    }

    pub fn pending(message: impl Into<String>) -> Self {
        Self::new(WorkspaceState::Pending, message)
    }

    fn unknown(why: &str) -> Self {
        Self::new(WorkspaceState::Unknown, format!("Workspace is in an unknown state{why}"))
    }
}

/// The state of a Workspace that has this pod. `warnings`: its recent warning Events, newest first. `patience`: how long a pod
/// may wait for a place before that counts as an error, for autoscalers need minutes for a new node.
pub(super) fn of(pod: &Pod, warnings: &[Warning], patience: Duration, now: Timestamp) -> PodState {
    if pod.identity.deleting {
        return terminating(pod, warnings, now);
    }
    if let Some(state) = whatever_is_warned(pod, patience, now) {
        return state;
    }
    // The first of the least: the newest of those that matter as much.
    let applying = warnings.iter().filter(|warning| applies(warning, pod));
    if let Some(warning) = applying.min_by_key(|warning| urgency(warning, pod)) {
        return warned(pod, warning, patience, now);
    }
    match (&*pod.phase, &pod.main.now) {
        // A container that has started but is not ready is still pending.
        ("Running", ContainerPhase::Running { .. }) => {
            PodState::pending(format!("Workspace is pending{}", restarted(&pod.main)))
        }
        ("Running", ContainerPhase::Waiting(_)) | ("Pending", _) => starting(pod, now),
        _ => PodState::unknown(""),
    }
}

/// Whether the state of a pod depends on its warning Events.
pub(super) fn depends_on_warnings(pod: &Pod, patience: Duration, now: Timestamp) -> bool {
    let has_finalizers = pod.troubles.as_ref().is_some_and(|troubles| !troubles.finalizers.is_empty());
    if pod.identity.deleting { !has_finalizers } else { whatever_is_warned(pod, patience, now).is_none() }
}

/// The state of a pod that is not being deleted, where it shows all that matters by itself.
fn whatever_is_warned(pod: &Pod, patience: Duration, now: Timestamp) -> Option<PodState> {
    if let Some(state) = ended(pod) {
        return Some(state);
    }
    if let Some(state) = pod.unscheduled.as_ref().and_then(|reason| unscheduled(pod, reason, patience, now)) {
        return Some(state);
    }
    if &*pod.phase == "Running" && pod.ready {
        return Some(PodState::new(WorkspaceState::Running, "Workspace is running"));
    }
    if pod.troubles.as_ref().is_some_and(|troubles| troubles.is_node_lost) {
        return Some(PodState::unknown(&format!(": node {} does not report", pod.node)));
    }
    container_fault(pod).map(PodState::error)
}

/// The state of a Workspace whose pod should exist but does not. `warnings`: those of its StatefulSet. `held`: the status of
/// this generation. The pauses of the StatefulSet controller get longer than an Event is recent, so an error that a former
/// run of the controller reported holds until there is a pod.
pub(super) fn without_pod(warnings: &[Warning], held: Option<&WorkspaceStatus>) -> PodState {
    let held = held.filter(|held| held.state == WorkspaceState::Error && held.state_message.starts_with(NO_POD));
    match (warnings.first(), held) {
        (Some(warning), _) => PodState::error(format!("{NO_POD}{}", warning.message)),
        (None, Some(held)) => PodState::error(&*held.state_message),
        (None, None) => PodState::unknown(""),
    }
}

/// When the deletion of a pod is stuck: its containers had their grace period.
pub(super) fn is_stuck_after(pod: &Pod) -> Option<Timestamp> {
    let gone_by: Timestamp = pod.troubles.as_ref()?.gone_by.parse().ok()?;
    gone_by.checked_add(DELETION_PATIENCE).ok()
}

fn terminating(pod: &Pod, warnings: &[Warning], now: Timestamp) -> PodState {
    let terminating = |why: &str| format!("Workspace is terminating{why}");
    let none = Troubles::default();
    let troubles = pod.troubles.as_deref().unwrap_or(&none);
    let left = is_stuck_after(pod).map(|stuck| until(stuck, now));
    if left == Some(Duration::ZERO) {
        let what = match (&*troubles.finalizers, warnings.first()) {
            ([], Some(warning)) => warning.message.to_string(),
            ([], None) if pod.node.is_empty() => "nothing has removed it".to_owned(),
            ([], None) => format!("node {} has not reported that it ended", pod.node),
            (finalizers, _) => format!("it has the finalizers {}", finalizers.join(", ")),
        };
        let Troubles { gone_by, .. } = troubles;
        let why = format!(": the pod's deletion grace period ended at {gone_by}, but {what}");
        return PodState::new(WorkspaceState::Terminating, terminating(&why));
    }
    let why = troubles.disruption.as_ref().map_or_else(String::new, |reason| colon(&reason.message));
    PodState { changes_after: left, ..PodState::new(WorkspaceState::Terminating, terminating(&why)) }
}

/// The state of a pod whose containers will not run again, or of which nothing is known.
fn ended(pod: &Pod) -> Option<PodState> {
    let status = pod.troubles.as_ref().map(|troubles| &troubles.status).filter(|status| !status.reason.is_empty());
    match (&*pod.phase, status) {
        ("Unknown", _) => Some(PodState::unknown("")),
        ("Failed", Some(Reason { reason, message })) if &**reason == "Evicted" => {
            Some(PodState::error(format!("Workspace Pod was evicted{}", colon(message))))
        }
        ("Failed", Some(Reason { reason, message })) => {
            Some(PodState::error(format!("Workspace Pod has failed ({reason}){}", colon(message))))
        }
        ("Failed", None) => {
            Some(PodState::error(container_fault(pod).unwrap_or_else(|| "Workspace Pod has failed".to_owned())))
        }
        ("Succeeded", _) => {
            Some(PodState::error(container_fault(pod).unwrap_or_else(|| "Workspace Pod has ended".to_owned())))
        }
        _ => None,
    }
}

fn unscheduled(pod: &Pod, reason: &Reason, patience: Duration, now: Timestamp) -> Option<PodState> {
    let what = match &*reason.reason {
        "Unschedulable" => "is unschedulable",
        "SchedulingGated" => "is waiting for scheduling gate",
        "SchedulerError" => "has scheduler error",
        _ => return None,
    };
    let message = format!("Workspace Pod {what}: {}", reason.message);
    let left = created(pod).and_then(|created| created.checked_add(patience).ok()).map(|end| until(end, now));
    let left = left.unwrap_or_default();
    if left.is_zero() || &*reason.reason == "SchedulerError" {
        return Some(PodState::error(message));
    }
    Some(PodState { changes_after: Some(left), ..PodState::pending(message) })
}

/// Whether a warning says something about the pod as it is now.
fn applies(warning: &Warning, pod: &Pod) -> bool {
    let is_before_the_node = pod.node.is_empty();
    match (&*warning.reason, &pod.main.now) {
        ("FailedScheduling", _) => is_before_the_node,
        // What it was before it started is over.
        (_, ContainerPhase::Running { since }) => since.is_none_or(|since| warning.time.as_second() >= since),
        (reason, _) if BLOCKS_START.contains(&reason) => !pod.can_start,
        _ => true,
    }
}

/// Whether a warning says why no container runs. `Failed` is what the kubelet says of an image or a container.
fn blocks(warning: &Warning, pod: &Pod) -> bool {
    let is_initializing = pod.troubles.as_ref().is_some_and(|troubles| !troubles.initializing.is_empty());
    match &pod.main.now {
        ContainerPhase::Running { .. } => false,
        _ if BLOCKS_START.contains(&&*warning.reason) => true,
        ContainerPhase::Waiting(_) => &*warning.reason == "Failed" && !is_initializing,
        ContainerPhase::Unknown | ContainerPhase::Terminated(_) => false,
    }
}

/// Which of the warnings that apply says most; the least first. That a volume is attached to another node is why the kubelet,
/// which says so later, waits for it in vain.
fn urgency(warning: &Warning, pod: &Pod) -> u8 {
    match &*warning.reason {
        _ if !blocks(warning, pod) => 2,
        "FailedAttachVolume" => 0,
        _ => 1,
    }
}

fn warned(pod: &Pod, warning: &Warning, patience: Duration, now: Timestamp) -> PodState {
    let message = format!("Workspace Pod has warning event: {}", warning.message);
    match &*warning.reason {
        "FailedScheduling" => {
            let reason = Reason { reason: "Unschedulable".into(), message: warning.message.clone() };
            unscheduled(pod, &reason, patience, now).unwrap_or_else(|| PodState::error(message))
        }
        // The container may well run.
        "NodeNotReady" => PodState::new(WorkspaceState::Unknown, message),
        _ if blocks(warning, pod) => PodState::error(message),
        _ => PodState::pending(message),
    }
}

/// The state of a pod that comes to start. What it waits for is shown where that takes long.
fn starting(pod: &Pod, now: Timestamp) -> PodState {
    let plain = PodState::pending("Workspace is pending");
    let initializing = pod.troubles.as_ref().map(|troubles| &*troubles.initializing).unwrap_or_default();
    let slow = created(pod).and_then(|created| created.checked_add(SLOW_START).ok());
    match slow.map(|slow| until(slow, now)) {
        _ if initializing.is_empty() => plain,
        None | Some(Duration::ZERO) => {
            PodState::pending(format!("Workspace is pending: init container {initializing} is running"))
        }
        left => PodState { changes_after: left, ..plain },
    }
}

/// Why the pod does not run, by its containers.
fn container_fault(pod: &Pod) -> Option<String> {
    let failed = pod.troubles.as_ref().and_then(|troubles| troubles.container.as_ref());
    let of_failed = || {
        let failed = failed?;
        let what = if failed.is_init { "Init Container" } else { "Container" };
        fault(&format!("{what} {}", failed.name), &failed.state)
    };
    // The container `main` waits for the init containers, and is what others are there for.
    fault("Container", &pod.main).or_else(of_failed)
}

fn fault(container: &str, state: &ContainerState) -> Option<String> {
    match &state.now {
        ContainerPhase::Waiting(waits) if waits.is_failure() => {
            let Reason { reason, message } = waits;
            let last = state.last_terminated.as_deref().filter(|_| &**reason == "CrashLoopBackOff").map(described);
            let why = last.map_or_else(|| colon(message), |last| colon(&last));
            Some(format!("Workspace {container} is not running ({reason}){why}"))
        }
        ContainerPhase::Terminated(terminated) => {
            Some(format!("Workspace {container} is not running ({})", described(terminated)))
        }
        ContainerPhase::Waiting(_) | ContainerPhase::Unknown | ContainerPhase::Running { .. } => None,
    }
}

/// How the container ended before it started again, if it did.
fn restarted(state: &ContainerState) -> String {
    let last = state.last_terminated.as_deref().map(described);
    last.map_or_else(String::new, |last| format!(": its container was restarted ({last})"))
}

/// The reason and exit code of a terminated container.
fn described(Terminated { reason, exit_code }: &Terminated) -> String {
    let reason = if reason.is_empty() { "Terminated" } else { reason };
    format!("{reason}, exit code {exit_code}")
}

/// The message after a colon, unless there is none.
fn colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.created.parse().ok()
}

/// How long it is until a time; zero when it has come.
fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}
