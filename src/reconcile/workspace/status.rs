//! Status: a pure function of what was observed and applied.

use std::time::Duration;

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{ContainerStatus, PodStatus, PodTemplateOptionsStatus, WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use super::super::apply::{ApplyError, StoredDifference};
use super::super::conditions::{
    self, AVAILABLE, ConditionDraft, PENDING_RESTART, READY, RECONCILING, ROUTE_READY, STALLED, TEMPLATE_CHANGED,
    bounded,
};
use super::outcome::ApplyOutcome;
use super::pod_replacement::PodReplacement;
use super::pod_state::{self, PodState};
use super::progress::{self, reason_of};
use super::reasons::StatusReason;
use super::restart::{Restart, Rollout};
use super::warning::Warning;
use crate::activity::run;
use crate::render::names::ChildNames;
use crate::render::{ChildKind, Route, Serves, SkippedMount};
use crate::stores::pod::Pod;
use crate::stores::workspace::StoredWorkspace;

/// The types of conditions that are ours.
const OURS: [&str; 6] = [READY, AVAILABLE, ROUTE_READY, RECONCILING, STALLED, PENDING_RESTART];

/// The reason of PendingRestart where an option is redirected.
const UPDATE_AVAILABLE: &str = "UpdateAvailable";

/// What a status follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusFacts<'a> {
    /// The Workspace.
    pub workspace: &'a StoredWorkspace,
    /// The status that it has.
    pub held: &'a WorkspaceStatus,
    /// The names of its children.
    pub names: &'a ChildNames,
    /// The pod of its StatefulSet, if there is one.
    pub pod: Option<&'a Pod>,
    /// Whether its Service exists.
    pub has_service: bool,
    /// How the pod compares with the template, and what was done about it.
    pub replacement: &'a PodReplacement,
    /// The recent warning Events of the pod, or of the StatefulSet where there is no pod; newest first.
    pub warnings: &'a [Warning],
    /// What this reconcile did about its children.
    pub outcome: &'a ApplyOutcome,
    /// How many reconciles in a row, this one included, the API server refused a child.
    pub refusals: u32,
    /// How long a pod that cannot be scheduled counts as Pending.
    pub patience: Duration,
    /// The time of the transitions that this status shows.
    pub now: Timestamp,
}

/// The status, and after how long it may become another one without any event.
pub(super) fn desired(facts: StatusFacts<'_>) -> (WorkspaceStatus, Option<Duration>) {
    let StatusFacts { workspace, held, pod, outcome, now, .. } = facts;
    // The CRDs of the Go controller require them, and `activity`.
    let options = outcome.options.clone().or_else(|| held.pod_template_options.clone()).unwrap_or_default();
    let updates = updates(&options);
    let pending_restart = pending_restart(facts, &updates);
    let PodState { state, mut message, changes_after } = state(facts);
    if state == WorkspaceState::Running
        && let Some(pending) = &pending_restart
    {
        message = match &*pending.reason {
            // No restart brings it: the user has to select it.
            UPDATE_AVAILABLE => format!("{message} ({})", pending.message),
            _ => message + " (a restart is pending)",
        };
    }
    let (last_running_time, activity) = match pod {
        Some(pod) if state == WorkspaceState::Running => run::of_ready(held, pod, now),
        _ => (held.last_running_time, held.activity.clone().unwrap_or_default()),
    };
    let mut status = WorkspaceStatus {
        observed_generation: Some(workspace.generation),
        pause_time: match (workspace.spec.paused, held.pause_time) {
            (false, _) => 0,
            (true, 0) => now.as_millisecond(),
            (true, since) => since,
        },
        pending_restart: pending_restart.is_some(),
        activity: Some(activity),
        last_running_time,
        pod_template_options: Some(options),
        pod_template_pod: Some(pod_status(pod, outcome.service_account.clone())),
        state,
        state_message: bounded(message),
        conditions: Vec::new(),
    };
    status.conditions = conditions(facts, &status, pending_restart);
    (status, changes_after)
}

/// The condition that a restart would change something, or an update is available.
fn pending_restart(facts: StatusFacts<'_>, updates: &str) -> Option<ConditionDraft> {
    let pending = |reason, message| Some(ConditionDraft::new(PENDING_RESTART, ConditionStatus::True, reason, message));
    match changed_template(facts) {
        Some(change) => pending(TEMPLATE_CHANGED, change.to_owned()),
        None if updates.is_empty() => None,
        None => pending(UPDATE_AVAILABLE, format!("an update is available: {updates}")),
    }
}

/// What a restart would change, where the pod stays on an older template until then.
fn changed_template(facts: StatusFacts<'_>) -> Option<&str> {
    let PodReplacement { rollout, restart, change, .. } = facts.replacement;
    match rollout {
        _ if restart.replaces_pod() => None,
        Rollout::Outdated => Some(change.as_deref().unwrap_or_default()),
        // As it was before: what the StatefulSet controller makes of the template is not known yet.
        Rollout::Unseen => {
            let mut held = facts.held.conditions.iter();
            let held = held.find(|held| held.type_ == PENDING_RESTART && held.reason == TEMPLATE_CHANGED);
            held.map(|held| &*held.message)
        }
        Rollout::Current | Rollout::NoPod => None,
    }
}

/// The options that an administrator redirects to others: `imageConfig X, podConfig Y`.
fn updates(options: &PodTemplateOptionsStatus) -> String {
    let options = [("imageConfig", &options.image_config), ("podConfig", &options.pod_config)];
    let redirected = options.iter().filter(|(_, option)| !option.redirect_chain.is_empty());
    let targets = redirected.map(|(name, option)| format!("{name} {}", option.desired.as_deref().unwrap_or_default()));
    targets.collect::<Vec<_>>().join(", ")
}

fn conditions(
    facts: StatusFacts<'_>,
    status: &WorkspaceStatus,
    pending_restart: Option<ConditionDraft>,
) -> Vec<Condition> {
    let StatusFacts { workspace, held, pod, outcome, now, .. } = facts;
    let (held, generation) = (&held.conditions, workspace.generation);
    let of_this_generation = |type_: &str| {
        held.iter().find(|condition| condition.type_ == type_ && condition.observed_generation == Some(generation))
    };
    if let Some(error) = outcome.transient_error() {
        if of_this_generation(READY).is_some() {
            return held.clone();
        }
        // What they say is about an earlier spec.
        let StatusReason { reason, message } = StatusReason::from(error);
        let reconciling = ConditionDraft::new(RECONCILING, ConditionStatus::True, reason, message);
        return conditions::merged(held, &[RECONCILING, STALLED], [reconciling], generation, now);
    }
    let route_ready = route_ready(facts);
    let ready = ready(facts, status, &route_ready);
    let available = progress::available(pod, facts.has_service, status, &ready, &route_ready);
    let stalled = of_this_generation(STALLED);
    let progress = progress::progress(outcome, facts.refusals, stalled, pod.is_some(), &ready, &route_ready);
    let drafts = [ready, available, route_ready].into_iter().chain(progress).chain(pending_restart);
    conditions::merged(held, &OURS, drafts, generation, now)
}

/// The state: Paused exactly when it is paused and no pod exists, whatever else is wrong, because users start a Workspace
/// only from there.
fn state(facts: StatusFacts<'_>) -> PodState {
    let StatusFacts { workspace, held, pod, warnings, outcome, patience, now, .. } = facts;
    let of_this_generation = (held.observed_generation == Some(workspace.generation)).then_some(held);
    match (pod, &outcome.spec_error, pod_error(facts)) {
        (None, _, _) if workspace.spec.paused => PodState::new(WorkspaceState::Paused, "Workspace is paused"),
        (_, Some(error), _) => PodState::new(WorkspaceState::Error, &*error.message),
        (None, None, Some(error)) => PodState::new(WorkspaceState::Error, &*error.message),
        (Some(pod), None, _) => of_this_template(facts, pod_state::of(pod, warnings, patience, now)),
        (None, None, None) => pod_state::without_pod(warnings, of_this_generation),
    }
}

/// A pod that is about to be replaced does not run what was asked for, and neither may one whose template the StatefulSet
/// controller has not seen.
fn of_this_template(facts: StatusFacts<'_>, of_pod: PodState) -> PodState {
    let PodReplacement { rollout, restart, .. } = facts.replacement;
    if of_pod.state != WorkspaceState::Running || facts.workspace.spec.paused {
        return of_pod;
    }
    let why = match restart {
        Restart::Awaited => "Workspace is restarting: its user changed the Workspace",
        Restart::Due(cause) => return PodState::pending(format!("Workspace is restarting: {}", cause.as_str())),
        _ if *rollout == Rollout::Unseen => {
            "Workspace is pending: the StatefulSet controller has not observed the latest StatefulSet yet"
        }
        _ => return of_pod,
    };
    PodState::pending(why)
}

fn pod_status(pod: Option<&Pod>, service_account_name: Option<String>) -> PodStatus {
    let Some(pod) = pod else {
        return PodStatus { service_account_name, ..PodStatus::default() };
    };
    let named = |names: &[Box<str>]| names.iter().map(|name| ContainerStatus { name: name.to_string() }).collect();
    PodStatus {
        name: pod.identity.key.name().to_owned(),
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
        WorkspaceState::Running if facts.workspace.spec.paused => (ConditionStatus::False, "Pausing"),
        state @ (WorkspaceState::Running | WorkspaceState::Paused) => (ConditionStatus::True, reason_of(state)),
        state => (ConditionStatus::False, reason_of(state)),
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
            Some(stored) => {
                broken(StatusReason::unsafe_route_stored(&facts.names.virtual_service, &stored.unsafe_headers))
            }
            None => unknown("NotApplied", "the VirtualService has not been applied yet"),
        },
    }
}

#[cfg(test)]
mod tests;
