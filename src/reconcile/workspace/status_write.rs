//! Status write: sends what differs, not too soon and not too often.

use std::time::Duration;

use crds::workspace::{WorkspaceState, WorkspaceStatus};
use kube::Api;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::conditions::READY;
use super::super::patch::PatchError;
use super::super::status_patch::{self, Patched, StatusWrite};
use super::memory::Memory;
use super::pod_replacement::PodReplacement;
use super::reasons::KIND_NOT_FOUND;
use super::restart::Rollout;
use super::target::Target;
use crate::stores::StatusOf;

/// The least time between two status writes of one Workspace.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// How long the status of a Workspace whose StatefulSet was just written waits for the pod, so as not to report that there
/// is none.
const POD_PATIENCE: Duration = Duration::from_secs(1);
/// How long the StatefulSet controller may take to see a StatefulSet that was written.
const ROLLOUT_PATIENCE: Duration = Duration::from_secs(5);

/// How long after a write of the StatefulSet a status waits for what its controller makes of it, so that it shows no state
/// that lasts for a moment only.
pub(super) fn patience(
    desired: &WorkspaceStatus,
    has_pod: bool,
    is_set_observed: bool,
    replacement: &PodReplacement,
) -> Option<Duration> {
    let is_unseen = replacement.rollout == Rollout::Unseen && !replacement.restart.replaces_pod();
    match desired.state {
        WorkspaceState::Unknown if !has_pod => Some(POD_PATIENCE),
        WorkspaceState::Pending | WorkspaceState::Running if is_unseen => Some(ROLLOUT_PATIENCE),
        // It may be about to create the pod of a StatefulSet as it was.
        WorkspaceState::Paused if !is_set_observed => Some(ROLLOUT_PATIENCE),
        _ => None,
    }
}

/// Writes the status if it differs, but not before `patience` has passed since the last write of the StatefulSet.
pub(super) async fn write(
    target: &Target<'_>,
    desired: &WorkspaceStatus,
    patience: Option<Duration>,
    memory: &mut Memory,
) -> Result<StatusWrite, PatchError> {
    let held = target.held;
    if desired == held {
        return Ok(StatusWrite::Unneeded);
    }
    let Some(change) = change(target, held, desired) else { return Ok(StatusWrite::Unneeded) };
    let is_orphaned = is_orphaned(desired) && !is_orphaned(held);
    let left = if is_orphaned { Duration::ZERO } else { left(patience, memory, Instant::now()) };
    if !left.is_zero() {
        return Ok(StatusWrite::After(left));
    }
    memory.status_written = Some(Instant::now());
    let patched = patch(target, change).await;
    match &patched {
        Ok(true) => {
            tracing::info!(state = ?desired.state, "status written");
            target.count_write("workspaces/status");
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(error = error.in_words(), "failed to write the status; will retry"),
    }
    patched.map(|written| if written { StatusWrite::Written } else { StatusWrite::Unneeded })
}

/// Whether it says that the kind does not exist. That comes once, and whoever created the Workspace meanwhile has to see it.
fn is_orphaned(status: &WorkspaceStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == READY && condition.reason == KIND_NOT_FOUND)
}

/// How long it is until a status may be written. The first one of a Workspace has no pause, for its user waits for it.
fn left(patience: Option<Duration>, memory: &Memory, now: Instant) -> Duration {
    let patience = memory.stateful_set_written.zip(patience).map(|(written, patience)| written + patience);
    let pause = memory.status_written.map(|written| written + STATUS_PAUSE);
    patience.max(pause).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
}

/// What has to be written.
fn change(target: &Target<'_>, held: &WorkspaceStatus, desired: &WorkspaceStatus) -> Option<Value> {
    let kept = |status| target.context.stores.kept_status(StatusOf::Workspace, status);
    let mut change = status_patch::change(held, desired, kept)?;
    // A probe of the run before may have written its activity since the status was read. So that of a new run is written whole.
    if desired.last_running_time != held.last_running_time {
        change["activity"] = whole_activity(desired);
    }
    Some(change)
}

/// A merge patch that leaves nothing of another `status.activity`.
fn whole_activity(desired: &WorkspaceStatus) -> Value {
    let mut activity = json!({"lastProbe": null, "rules": null});
    if let (Value::Object(whole), Ok(Value::Object(fields))) = (&mut activity, serde_json::to_value(&desired.activity))
    {
        whole.extend(fields);
    }
    activity
}

/// Whether there was still something to write to.
async fn patch(target: &Target<'_>, change: Value) -> Result<bool, PatchError> {
    let identity = &target.workspace.identity;
    let stores = &target.context.stores;
    let api = Api::namespaced(target.context.client.clone(), identity.key.namespace());
    let patched = status_patch::patch(&api, stores.workspaces(), identity, change).await?;
    if patched == Patched::Gone {
        stores.forget_workspace(identity);
    }
    Ok(patched == Patched::Written)
}

#[cfg(test)]
mod tests {
    use super::super::restart::Restart;
    use super::*;

    fn patience_of(state: WorkspaceState, has_pod: bool, is_set_observed: bool, rollout: Rollout) -> Option<Duration> {
        let replacement = PodReplacement { rollout, restart: Restart::None, change: None, deleted: None, error: None };
        patience(&WorkspaceStatus { state, ..WorkspaceStatus::default() }, has_pod, is_set_observed, &replacement)
    }

    #[test]
    fn what_the_stateful_set_controller_is_about_to_change_is_waited_for() {
        use WorkspaceState::{Error, Paused, Running, Unknown};
        assert_eq!(patience_of(Unknown, false, true, Rollout::NoPod), Some(POD_PATIENCE));
        assert_eq!(patience_of(Running, true, false, Rollout::Unseen), Some(ROLLOUT_PATIENCE));
        assert_eq!(patience_of(Running, true, true, Rollout::Current), None);
        assert_eq!(patience_of(Paused, false, false, Rollout::NoPod), Some(ROLLOUT_PATIENCE));
        assert_eq!(patience_of(Paused, false, true, Rollout::NoPod), None);
        assert_eq!(patience_of(Error, false, false, Rollout::NoPod), None);
    }

    #[test]
    fn the_first_status_is_written_at_once_and_the_next_one_after_a_pause() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let mut memory = Memory::default();
        assert_eq!(left(None, &memory, now), Duration::ZERO);
        assert_eq!(left(Some(ROLLOUT_PATIENCE), &memory, now), Duration::ZERO, "nothing was written to wait for");
        memory.status_written = Some(now);
        assert_eq!(left(None, &memory, now), STATUS_PAUSE);
        assert_eq!(left(None, &memory, now + seconds(1)), Duration::ZERO);
        memory.stateful_set_written = Some(now);
        assert_eq!(left(Some(ROLLOUT_PATIENCE), &memory, now + seconds(2)), seconds(3));
    }

    #[test]
    fn nothing_is_left_of_the_activity_of_the_run_before() {
        use crds::workspace::WorkspaceActivity;
        let desired = WorkspaceStatus { activity: Some(WorkspaceActivity::default()), ..WorkspaceStatus::default() };
        let whole = json!({"lastActivity": 0, "lastUpdate": 0, "lastProbe": null, "rules": null});
        assert_eq!(whole_activity(&desired), whole);
    }
}
