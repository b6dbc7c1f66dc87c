//! Replaces the running pod where that is due, and reads what a pending restart would change.

use k8s_openapi::jiff::Timestamp;

use super::super::apply::{ApplyError, DeletedState, delete_pod};
use super::super::conditions::PENDING_RESTART;
use super::observe;
use super::restart::{Restart, RestartCause, Rollout};
use super::revision_change;
use super::target::{Memory, Target};
use crate::stores::child::Child;
use crate::stores::pod::Pod;

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
    let restart = Restart::of(target.workspace, set, pod, now);
    let (deleted, error) = match (restart, pod) {
        (Restart::Due(cause), Some(pod)) => match replace(target, pod, cause).await {
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

/// Deletes the pod; true when that took a write.
async fn replace(target: &Target<'_>, pod: &Pod, cause: RestartCause) -> Result<bool, ApplyError> {
    let state = match cause {
        // It may have become ready in the meantime.
        RestartCause::NeverReady => DeletedState::Observed,
        RestartCause::Edited | RestartCause::Requested => DeletedState::Any,
    };
    let (client, pods) = (&target.context.client, target.context.stores.pods());
    let deleted = delete_pod(client, pods, pod, state).await;
    match &deleted {
        Ok(true) => {
            tracing::info!(
                kind = "Pod",
                name = pod.identity.key.name,
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
    let held = &target.workspace.status.conditions;
    let held = held.iter().find(|condition| condition.type_ == PENDING_RESTART).map(|condition| &*condition.message);
    let known = memory.revision_change.as_deref().or(held);
    Some(revision_change::describe(target, &pod.revision, current, known).await.into())
}
