//! The conditions Available, Stalled and Reconciling. Pure.
//!
//! Stalled and Reconciling exist only while they hold, and never both: so kstatus, and with it Flux and `helm --wait`, takes
//! them for failed and in progress, and otherwise goes by Ready.

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{WorkspaceState, WorkspaceStatus};

use super::super::apply::ApplyError;
use super::super::conditions::{AVAILABLE, ConditionDraft, RECONCILING, STALLED};
use super::outcome::ApplyOutcome;
use super::reasons::StatusReason;
use crate::render::Serves;
use crate::stores::pod::Pod;

/// How often in a row the API server has to refuse a child before nothing is expected of another try.
const STALLED_AFTER: u32 = 3;

/// The reason of a condition that follows from the state.
pub(super) fn reason_of(state: WorkspaceState) -> &'static str {
    match state {
        WorkspaceState::Running => "Running",
        WorkspaceState::Paused => "Paused",
        WorkspaceState::Terminating => "Terminating",
        WorkspaceState::Pending => "Pending",
        WorkspaceState::Error => "PodError",
        WorkspaceState::Unknown => "PodUnknown",
    }
}

/// Whether the Workspace can be opened now: its pod is ready and has a Service, and requests are routed to it or Istio does
/// not do that.
pub(super) fn available(
    pod: Option<&Pod>,
    has_service: bool,
    status: &WorkspaceStatus,
    ready: &ConditionDraft,
    route_ready: &ConditionDraft,
) -> ConditionDraft {
    let draft = |holds, reason: &str, message: &str| ConditionDraft::new(AVAILABLE, holds, reason, message);
    let is_pod_ready = pod.is_some_and(|pod| pod.ready && &*pod.phase == "Running" && !pod.identity.deleting);
    if !is_pod_ready {
        let reason = if status.state == WorkspaceState::Error { &*ready.reason } else { reason_of(status.state) };
        return draft(ConditionStatus::False, reason, &status.state_message);
    }
    if !has_service {
        // Ready says why.
        return draft(ConditionStatus::False, "ServiceNotReady", &ready.message);
    }
    match (route_ready.status, &*route_ready.reason) {
        (ConditionStatus::True, _) => {
            draft(ConditionStatus::True, "Available", "the pod is ready and the VirtualService is in place")
        }
        (ConditionStatus::Unknown, "IstioDisabled" | "IstioNotInstalled") => {
            draft(ConditionStatus::True, "Available", "the pod is ready")
        }
        (holds, _) => draft(holds, "RouteNotReady", &route_ready.message),
    }
}

/// Stalled where nothing becomes of the Workspace until somebody changes something, Reconciling where something is about to;
/// neither where it is Ready, or its pod reports an error. `refusals`: how many reconciles in a row the API server refused
/// a child. `held`: the condition Stalled of this generation, from before a start of the controller.
pub(super) fn progress(
    outcome: &ApplyOutcome,
    refusals: u32,
    held: Option<&Condition>,
    has_pod: bool,
    ready: &ConditionDraft,
    route_ready: &ConditionDraft,
) -> Option<ConditionDraft> {
    if let Some(StatusReason { reason, message }) = stalled(outcome, refusals, held) {
        return Some(ConditionDraft::new(STALLED, ConditionStatus::True, reason, message));
    }
    let is_route_unsafe =
        route_ready.status == ConditionStatus::False && outcome.reported_error(Serves::Route).is_none();
    if is_route_unsafe {
        let (reason, message) = (&route_ready.reason, route_ready.message.clone());
        return Some(ConditionDraft::new(STALLED, ConditionStatus::True, reason, message));
    }
    let is_over = match &*ready.reason {
        "PodError" => true,
        // What its node does not report may never come.
        "PodUnknown" => has_pod,
        _ => ready.status == ConditionStatus::True,
    };
    let reconciling = || ConditionDraft::new(RECONCILING, ConditionStatus::True, &ready.reason, ready.message.clone());
    (!is_over).then(reconciling)
}

/// Why nothing becomes of the children, or of one of them.
fn stalled(outcome: &ApplyOutcome, refusals: u32, held: Option<&Condition>) -> Option<StatusReason> {
    let errors = outcome.children.iter().filter_map(|child| child.result.as_ref().err());
    let errors = errors.map(|error| (error, StatusReason::from(error)));
    let mut stalled = errors.filter(|(error, why)| match error {
        ApplyError::Foreign { .. } => true,
        error => {
            let was_stalled = held.is_some_and(|held| held.reason == why.reason);
            (refusals >= STALLED_AFTER || was_stalled) && error.is_refusal()
        }
    });
    outcome.spec_error.clone().or_else(|| stalled.next().map(|(_, why)| why))
}
