//! Replaces the running pod where that is due, and reads what a pending restart would change.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::super::apply::{ApplyError, DeletedState, delete_pod};
use super::super::conditions::PENDING_RESTART;
use super::memory::Memory;
use super::observe;
use super::restart::{Restart, RestartCause, Rollout};
use super::revision_change;
use super::target::Target;
use crate::render::ChildKind;
use crate::stores::child::Child;
use crate::stores::pod::Pod;

/// The least time between two deletions of pods of a Workspace that never became ready.
const NEVER_READY_PAUSE: Duration = Duration::from_mins(1);

/// What became of the pod.
#[derive(Debug)]
pub(super) struct PodReplacement {
    /// How it compares with the template.
    pub rollout: Rollout,
    /// Whether it is replaced.
    pub restart: Restart,
    /// What a pending restart would change; none where none is pending.
    pub change: Option<Box<str>>,
    /// Why it was deleted, if it was.
    pub deleted: Option<RestartCause>,
    /// Why it could not be deleted.
    pub error: Option<ApplyError>,
}

/// Deletes the pod if another one is to be made at once.
pub(super) async fn reconcile(target: &Target<'_>, now: Timestamp, memory: &mut Memory) -> PodReplacement {
    let (set, pod) = (observe::stateful_set(target), observe::pod(target));
    let (set, pod) = (set.as_deref(), pod.as_deref());
    let rollout = Rollout::of(set, pod);
    let restart = paced(Restart::of(target.workspace, set, pod, memory.restarted_for.as_deref(), now), memory);
    let (deleted, error) = match (restart, pod) {
        (Restart::Due(cause), Some(pod)) => match replace(target, pod, cause, now, memory).await {
            Ok(is_deleted) => (is_deleted.then_some(cause), None),
            Err(error) => (None, Some(error)),
        },
        _ => (None, None),
    };
    let change = match (rollout, set, pod) {
        (Rollout::Outdated, Some(set), Some(pod)) if !restart.replaces_pod() => change(target, set, pod, memory).await,
        _ => None,
    };
    memory.revision_change.clone_from(&change);
    PodReplacement { rollout, restart, change, deleted, error }
}

/// Where two clients keep changing a template, its pod must have the time to become ready.
fn paced(restart: Restart, memory: &Memory) -> Restart {
    let last = memory.never_ready_replaced.as_deref().filter(|_| restart == Restart::Due(RestartCause::NeverReady));
    let left = last.map_or(Duration::ZERO, |last| NEVER_READY_PAUSE.saturating_sub(last.elapsed()));
    if left.is_zero() { restart } else { Restart::After(left) }
}

/// Deletes the pod, if the StatefulSet as it is now still asks for that; true when that took a write.
async fn replace(
    target: &Target<'_>,
    pod: &Pod,
    cause: RestartCause,
    now: Timestamp,
    memory: &mut Memory,
) -> Result<bool, ApplyError> {
    // The one in the store may be out of date, and a pod is not brought back.
    let live = target.api(ChildKind::StatefulSet).read(&target.names().stateful_set).await?.map(|stored| stored.child);
    let is_its = |set: &Child| pod.owner.as_ref().is_some_and(|owner| owner.uid == set.identity.uid);
    let live = live.filter(|set| set.is_owned_by(&target.workspace.identity.uid) && is_its(set));
    let handled = memory.restarted_for.as_deref();
    if Restart::of(target.workspace, live.as_ref(), Some(pod), handled, now) != Restart::Due(cause) {
        return Ok(false);
    }
    let state = match cause {
        // It may have become ready in the meantime.
        RestartCause::NeverReady => DeletedState::Observed,
        RestartCause::Edited | RestartCause::Requested => DeletedState::Any,
    };
    let (client, pods) = (&target.context.client, target.context.stores.pods());
    let deleted = delete_pod(client, pods, pod, state).await;
    match &deleted {
        Ok(true) => {
            match cause {
                RestartCause::Requested => memory.restarted_for.clone_from(&target.workspace.restart_at),
                RestartCause::NeverReady => memory.never_ready_replaced = Some(Box::new(Instant::now())),
                RestartCause::Edited => {}
            }
            tracing::info!(
                kind = "Pod",
                child = pod.identity.key.name(),
                why = cause.as_str(),
                "deleted, to be made anew"
            );
            target.count_write("pods");
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(error = error.without_server_message(), "failed to restart the pod; will retry"),
    }
    deleted
}

async fn change(target: &Target<'_>, set: &Child, pod: &Pod, memory: &Memory) -> Option<Box<str>> {
    let current = set.current_revision()?;
    let held = &target.held.conditions;
    let held = held.iter().find(|condition| condition.type_ == PENDING_RESTART).map(|condition| &*condition.message);
    let known = memory.revision_change.as_deref().or(held);
    Some(revision_change::describe(target, &pod.revision, current, known).await.into())
}
