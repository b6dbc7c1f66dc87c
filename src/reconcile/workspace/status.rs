//! Status: a pure function of what was observed and applied.

use std::time::Duration;

use crds::conditions::ConditionStatus;
use crds::workspace::{ContainerStatus, PodStatus, WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use super::super::apply::{ApplyError, StoredDifference};
use super::super::conditions::{self, ConditionDraft, PENDING_RESTART, READY, ROUTE_READY, bounded};
use super::outcome::ApplyOutcome;
use super::pod_replacement::PodReplacement;
use super::pod_state::{self, PodState};
use super::reasons::StatusReason;
use super::restart::Rollout;
use crate::render::names::ChildNames;
use crate::render::{ChildKind, Route, Serves, SkippedMount};
use crate::stores::pod::Pod;
use crate::stores::workspace::StoredWorkspace;

/// The types of conditions that are ours.
const OURS: [&str; 3] = [READY, ROUTE_READY, PENDING_RESTART];

/// What a status follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusFacts<'a> {
    /// The Workspace, with the status that it has.
    pub workspace: &'a StoredWorkspace,
    /// The names of its children.
    pub names: &'a ChildNames,
    /// The pod of its StatefulSet, if there is one.
    pub pod: Option<&'a Pod>,
    /// How the pod compares with the template, and what was done about it.
    pub replacement: &'a PodReplacement,
    /// What this reconcile did about its children.
    pub outcome: &'a ApplyOutcome,
    /// How long a pod that cannot be scheduled counts as Pending.
    pub patience: Duration,
    /// The time of the transitions that this status shows.
    pub now: Timestamp,
}

/// The status, and after how long it may become another one without any event.
pub(super) fn desired(facts: StatusFacts<'_>) -> (WorkspaceStatus, Option<Duration>) {
    let StatusFacts { workspace, pod, outcome, now, .. } = facts;
    let held = &workspace.status;
    // The CRDs of the Go controller require them, and `activity`.
    let options = outcome.options.clone().or_else(|| held.pod_template_options.clone()).unwrap_or_default();
    let has_update = !options.image_config.redirect_chain.is_empty() || !options.pod_config.redirect_chain.is_empty();
    let pending_restart = pending_restart(facts);
    let PodState { state, mut message, changes_after } = state(facts);
    if state == WorkspaceState::Running && (has_update || pending_restart.is_some()) {
        message.push_str(" (a restart is pending)");
    }
    let mut status = WorkspaceStatus {
        observed_generation: Some(workspace.generation),
        pause_time: match (workspace.spec.paused, held.pause_time) {
            (false, _) => 0,
            (true, 0) => now.as_millisecond(),
            (true, since) => since,
        },
        pending_restart: has_update || pending_restart.is_some(),
        activity: Some(held.activity.clone().unwrap_or_default()),
        pod_template_options: Some(options),
        pod_template_pod: Some(pod_status(pod, outcome.service_account.clone())),
        state,
        state_message: bounded(message),
        conditions: Vec::new(),
        ..held.clone()
    };
    status.conditions = if outcome.keep_conditions() {
        held.conditions.clone()
    } else {
        let route_ready = route_ready(facts);
        let ready = ready(facts, &status, &route_ready);
        let drafts = [ready, route_ready].into_iter().chain(pending_restart);
        conditions::merged(&held.conditions, &OURS, drafts, workspace.generation, now)
    };
    (status, changes_after)
}

/// The condition that the pod stays on an older template until it is restarted, if it does.
fn pending_restart(facts: StatusFacts<'_>) -> Option<ConditionDraft> {
    let PodReplacement { rollout, restart, change, .. } = facts.replacement;
    let held = || facts.workspace.status.conditions.iter().find(|condition| condition.type_ == PENDING_RESTART);
    let message = match rollout {
        _ if restart.replaces_pod() => return None,
        Rollout::Outdated => change.as_deref().unwrap_or_default(),
        // As it was before: what the StatefulSet controller makes of the template is not known yet.
        Rollout::Unseen => &held()?.message,
        Rollout::Current | Rollout::NoPod => return None,
    };
    Some(ConditionDraft::new(PENDING_RESTART, ConditionStatus::True, "TemplateChanged", message))
}

/// The state: Paused exactly when it is paused and no pod exists, whatever else is wrong, because users start a Workspace
/// only from there.
fn state(facts: StatusFacts<'_>) -> PodState {
    let StatusFacts { workspace, pod, outcome, patience, now, .. } = facts;
    let of = |state, message: &str| PodState { state, message: message.to_owned(), changes_after: None };
    match (pod, &outcome.spec_error, pod_error(facts)) {
        (None, _, _) if workspace.spec.paused => of(WorkspaceState::Paused, "Workspace is paused"),
        (_, Some(error), _) => of(WorkspaceState::Error, &error.message),
        (None, None, Some(error)) => of(WorkspaceState::Error, &error.message),
        (Some(pod), None, _) => pod_state::of(pod, patience, now),
        (None, None, None) => pod_state::unknown(),
    }
}

fn pod_status(pod: Option<&Pod>, service_account_name: Option<String>) -> PodStatus {
    let Some(pod) = pod else {
        return PodStatus { service_account_name, ..PodStatus::default() };
    };
    let named = |names: &[Box<str>]| names.iter().map(|name| ContainerStatus { name: name.to_string() }).collect();
    PodStatus {
        name: pod.identity.key.name.clone(),
        node_name: pod.node.to_string(),
        service_account_name,
        containers: named(&pod.containers),
        init_containers: named(&pod.init_containers),
    }
}

/// Whether what exists matches the spec. A paused Workspace without a pod does.
fn ready(facts: StatusFacts<'_>, status: &WorkspaceStatus, route_ready: &ConditionDraft) -> ConditionDraft {
    let outcome = facts.outcome;
    let broken = |reason: &str, message: &str| ConditionDraft::new(READY, ConditionStatus::False, reason, message);
    if let Some(error) = outcome.spec_error.clone().or_else(|| pod_error(facts)) {
        return broken(error.reason, &error.message);
    }
    if let Some(error) = outcome.reported_error(Serves::Neither).map(StatusReason::from) {
        return broken(error.reason, &error.message);
    }
    if route_ready.status == ConditionStatus::False {
        return broken("RouteNotReady", &route_ready.message);
    }
    let (holds, reason) = match status.state {
        WorkspaceState::Running if !facts.workspace.spec.paused => (ConditionStatus::True, "Running"),
        WorkspaceState::Paused => (ConditionStatus::True, "Paused"),
        WorkspaceState::Running => (ConditionStatus::False, "Pausing"),
        WorkspaceState::Terminating => (ConditionStatus::False, "Terminating"),
        WorkspaceState::Pending => (ConditionStatus::False, "Pending"),
        WorkspaceState::Error => (ConditionStatus::False, "PodError"),
        WorkspaceState::Unknown => (ConditionStatus::False, "PodUnknown"),
    };
    let message = status.state_message.clone() + &skipped_mounts(&outcome.skipped_mounts) + &changed(facts);
    ConditionDraft::new(READY, holds, reason, message)
}

/// Why a child that the pod depends on could not be applied, or the pod not be replaced.
fn pod_error(facts: StatusFacts<'_>) -> Option<StatusReason> {
    let replacement = facts.replacement.error.as_ref();
    facts.outcome.reported_error(Serves::Pod).or(replacement).map(StatusReason::from)
}

/// The children that a mutating webhook changed.
fn changed(facts: StatusFacts<'_>) -> String {
    let stored = facts.outcome.children.iter().filter_map(|child| Some((child, child.result.as_ref().ok()?)));
    let changed = stored.filter(|(_, stored)| !stored.differences.is_empty());
    changed.fold(String::new(), |text, (child, StoredDifference { differences, .. })| {
        let kind = child.kind.row().kind;
        format!("{text}; a mutating webhook changed {kind} {}: {differences}", child.name)
    })
}

fn skipped_mounts(mounts: &[SkippedMount]) -> String {
    mounts.iter().fold(String::new(), |text, SkippedMount { path, volume, kept }| {
        format!("{text}; {volume} is not mounted at {path}, where {kept} is")
    })
}

/// Whether requests are routed to the Workspace. True only where the route was applied and is stored unchanged.
fn route_ready(facts: StatusFacts<'_>) -> ConditionDraft {
    let outcome = facts.outcome;
    let unknown = |reason, message| ConditionDraft::new(ROUTE_READY, ConditionStatus::Unknown, reason, message);
    let broken = |StatusReason { reason, message }: StatusReason| {
        ConditionDraft::new(ROUTE_READY, ConditionStatus::False, reason, message)
    };
    let stored = outcome.difference(ChildKind::VirtualService);
    match (&outcome.route, outcome.reported_error(Serves::Route)) {
        (None, _) => unknown("NotRendered", "the Workspace cannot be rendered; a route that exists is left unchanged"),
        (Some(Route::Off), _) => unknown("IstioDisabled", "the controller runs with --use-istio=false"),
        (Some(_), Some(ApplyError::NotInstalled { .. })) => {
            unknown("IstioNotInstalled", "the CRD of VirtualService is not installed")
        }
        (Some(_), Some(error)) => broken(error.into()),
        (Some(Route::Refused(fault)), None) => broken(fault.into()),
        (Some(Route::Wanted(())), None) => match stored {
            Some(stored) if stored.unsafe_headers.is_empty() => {
                ConditionDraft::new(ROUTE_READY, ConditionStatus::True, "Routed", "the VirtualService is in place")
            }
            Some(stored) => broken(StatusReason::unsafe_route_stored(&facts.names.service, &stored.unsafe_headers)),
            None => unknown("NotApplied", "the VirtualService has not been applied yet"),
        },
    }
}

#[cfg(test)]
mod tests;
