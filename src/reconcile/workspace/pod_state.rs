//! The state of a Workspace as its pod alone shows it. The texts are those that the user interface knows.

use std::time::Duration;

use crds::workspace::WorkspaceState;
use k8s_openapi::jiff::Timestamp;

use crate::stores::pod::{ContainerPhase, Pod, Reason, Terminated};

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
    fn new(state: WorkspaceState, message: impl Into<String>) -> Self {
        Self { state, message: message.into(), changes_after: None }
    }
}

/// The state of a Workspace that has this pod. `patience`: how long a pod may wait for a place before that counts as an
/// error, for autoscalers need minutes for a new node.
pub(super) fn of(pod: &Pod, patience: Duration, now: Timestamp) -> PodState {
    if pod.identity.deleting {
        return PodState::new(WorkspaceState::Terminating, "Workspace is terminating");
    }
    if let Some(state) = pod.unscheduled.as_ref().and_then(|reason| unscheduled(pod, reason, patience, now)) {
        return state;
    }
    let running = &*pod.phase == "Running";
    if running && pod.ready {
        return PodState::new(WorkspaceState::Running, "Workspace is running");
    }
    if let Some(message) = container_fault(pod) {
        return PodState::new(WorkspaceState::Error, message);
    }
    // A container that has started but is not ready is still pending.
    if &*pod.phase == "Pending" || (running && pod.main.now == ContainerPhase::Running) {
        return PodState::new(WorkspaceState::Pending, "Workspace is pending");
    }
    unknown()
}

/// The state of a Workspace whose pod should exist but does not.
pub(super) fn unknown() -> PodState {
    PodState::new(WorkspaceState::Unknown, "Workspace is in an unknown state")
}

fn unscheduled(pod: &Pod, reason: &Reason, patience: Duration, now: Timestamp) -> Option<PodState> {
    let what = match &*reason.reason {
        "Unschedulable" => "is unschedulable",
        "SchedulingGated" => "is waiting for scheduling gate",
        "SchedulerError" => "has scheduler error",
        _ => return None,
    };
    let message = format!("Workspace Pod {what}: {}", reason.message);
    let age = pod
        .created
        .parse::<Timestamp>()
        .map_or(patience, |created| Duration::try_from(now.duration_since(created)).unwrap_or_default());
    let left = patience.saturating_sub(age);
    if left.is_zero() || &*reason.reason == "SchedulerError" {
        return Some(PodState::new(WorkspaceState::Error, message));
    }
    Some(PodState { state: WorkspaceState::Pending, message, changes_after: Some(left) })
}

/// Why the container does not run, if it should.
fn container_fault(pod: &Pod) -> Option<String> {
    match &pod.main.now {
        ContainerPhase::Waiting(Reason { reason, message }) => match &**reason {
            "CrashLoopBackOff" => {
                let out_of_memory =
                    pod.main.last_terminated.as_ref().filter(|terminated| &*terminated.reason == "OOMKilled");
                let why = out_of_memory.map(|terminated| format!(": {}", described(terminated))).unwrap_or_default();
                Some(format!("Workspace Container is not running (CrashLoopBackOff){why}"))
            }
            "ImagePullBackOff" => Some("Workspace Container is not running (ImagePullBackOff)".to_owned()),
            "ErrImagePull"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError" => {
                let why = if message.is_empty() { String::new() } else { format!(": {message}") };
                Some(format!("Workspace Container is not running ({reason}){why}"))
            }
            _ => None,
        },
        ContainerPhase::Terminated(terminated) => {
            Some(format!("Workspace Container is not running ({})", described(terminated)))
        }
        ContainerPhase::Unknown | ContainerPhase::Running => None,
    }
}

/// The reason and exit code of a terminated container.
fn described(Terminated { reason, exit_code }: &Terminated) -> String {
    let reason = if reason.is_empty() { "Terminated" } else { reason };
    format!("{reason}, exit code {exit_code}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn state(pod: Value) -> PodState {
        of(&serde_json::from_value(pod).unwrap(), Duration::from_mins(5), NOW.parse().unwrap())
    }

    fn pod(status: &Value) -> Value {
        json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:08:00Z"}, "spec": {"containers": [{"name": "main"}]}, "status": status})
    }

    fn container(phase: &str, state: &Value, last: &Value) -> PodState {
        let statuses =
            json!([{"name": "sidecar", "state": {"running": {}}}, {"name": "main", "state": state, "lastState": last}]);
        let scheduled = json!([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]);
        self::state(pod(&json!({"phase": phase, "conditions": scheduled, "containerStatuses": statuses})))
    }

    #[test]
    fn follows_the_life_of_a_pod() {
        let plain = |phase: &str, ready: &str| {
            let state = state(pod(&json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]})));
            (state.state, state.message)
        };
        assert_eq!(plain("Pending", "False"), (WorkspaceState::Pending, "Workspace is pending".into()));
        assert_eq!(plain("Running", "True"), (WorkspaceState::Running, "Workspace is running".into()));
        assert_eq!(plain("Failed", "False"), (WorkspaceState::Unknown, "Workspace is in an unknown state".into()));
        let mut deleted = pod(&json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        deleted["metadata"]["deletionTimestamp"] = json!(NOW);
        assert_eq!(state(deleted), PodState::new(WorkspaceState::Terminating, "Workspace is terminating"));
        let starting = container("Running", &json!({"running": {"startedAt": NOW}}), &json!({}));
        assert_eq!(starting, PodState::new(WorkspaceState::Pending, "Workspace is pending"));
    }

    #[test]
    fn names_why_a_container_does_not_run() {
        let waiting = |reason: &str, message: &str| {
            container("Pending", &json!({"waiting": {"reason": reason, "message": message}}), &json!({})).message
        };
        let not_running = "Workspace Container is not running";
        assert_eq!(waiting("CrashLoopBackOff", "back-off 5m0s"), format!("{not_running} (CrashLoopBackOff)"));
        assert_eq!(waiting("ImagePullBackOff", "Back-off"), format!("{not_running} (ImagePullBackOff)"));
        assert_eq!(waiting("ErrImagePull", "no such image"), format!("{not_running} (ErrImagePull): no such image"));
        assert_eq!(
            waiting("CreateContainerConfigError", "secret \"s\" not found"),
            format!("{not_running} (CreateContainerConfigError): secret \"s\" not found")
        );
        assert_eq!(waiting("ContainerCreating", ""), "Workspace is pending");
        assert_eq!(waiting("PodInitializing", ""), "Workspace is pending");
        let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
        assert_eq!(
            container("Running", &killed, &json!({})).message,
            format!("{not_running} (OOMKilled, exit code 137)")
        );
        assert_eq!(
            container("Running", &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &killed).message,
            format!("{not_running} (CrashLoopBackOff): OOMKilled, exit code 137")
        );
    }

    #[test]
    fn a_pod_without_a_place_is_pending_for_five_minutes() {
        let unscheduled = |reason: &str, created: &str| {
            let condition =
                json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/1 nodes"});
            let mut pod = pod(&json!({"phase": "Pending", "conditions": [condition]}));
            pod["metadata"]["creationTimestamp"] = json!(created);
            state(pod)
        };
        let fresh = unscheduled("Unschedulable", "2026-01-01T00:08:00Z");
        assert_eq!(fresh.state, WorkspaceState::Pending);
        assert_eq!(fresh.message, "Workspace Pod is unschedulable: 0/1 nodes");
        assert_eq!(fresh.changes_after, Some(Duration::from_mins(3)));
        let old = unscheduled("Unschedulable", "2026-01-01T00:05:00Z");
        assert_eq!((old.state, old.changes_after), (WorkspaceState::Error, None));
        assert_eq!(old.message, fresh.message);
        let gated = unscheduled("SchedulingGated", "2026-01-01T00:00:00Z");
        assert_eq!(
            gated,
            PodState::new(WorkspaceState::Error, "Workspace Pod is waiting for scheduling gate: 0/1 nodes")
        );
        let broken = unscheduled("SchedulerError", NOW);
        assert_eq!(broken, PodState::new(WorkspaceState::Error, "Workspace Pod has scheduler error: 0/1 nodes"));
    }
}
