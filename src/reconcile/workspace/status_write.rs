//! Status write: sends what differs, not too soon and not too often.

use std::time::Duration;

use crds::workspace::{WorkspaceState, WorkspaceStatus};
use kube::Api;
use kube::api::Patch;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::super::apply::{REQUEST_TIMEOUT, as_field_manager};
use super::target::{Memory, Target};
use crate::client::names_object;
use crate::stores::slim::{Incoming, Key};
use crate::stores::workspace::StoredWorkspace;

/// The least time between two status writes of one Workspace.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// How long the status of a Workspace whose StatefulSet was just written waits for the pod, so as not to report that there
/// is none.
const POD_PATIENCE: Duration = Duration::from_secs(1);

/// Why the status could not be written. Every one is worth a retry.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    #[error("the API server did not answer in time")]
    TimedOut,
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the answer cannot be decoded: {0}")]
    Answer(String),
}

/// Writes the status if it differs; after how long to try again where it is too soon after the last write.
pub(super) async fn write(
    target: &Target<'_>,
    desired: &WorkspaceStatus,
    has_pod: bool,
    has_kind: bool,
    memory: &mut Memory,
) -> Result<Option<Duration>, StatusError> {
    let held = &target.workspace.status;
    if desired == held {
        return Ok(None);
    }
    let Some(change) = change(target, held, desired) else { return Ok(None) };
    let waits_for_pod = !has_pod && desired.state == WorkspaceState::Unknown;
    let patience = memory.stateful_set_written.filter(|_| waits_for_pod).map(|written| written + POD_PATIENCE);
    // A missing kind brings no flood of events, and the user who just created the Workspace waits for the report.
    let pause = memory.status_written.filter(|_| has_kind).map(|written| written + STATUS_PAUSE);
    let left = patience.max(pause).map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
    if !left.is_zero() {
        return Ok(Some(left));
    }
    memory.status_written = Some(Instant::now());
    let patched = patch(target, change).await;
    match &patched {
        Ok(true) => tracing::info!(state = ?desired.state, "status written"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "failed to write the status; will retry"),
    }
    patched.map(|_| None)
}

/// What has to be written, of what the API server keeps. A status that was never written is written whole, for CRDs may
/// require any of its fields.
fn change(target: &Target<'_>, held: &WorkspaceStatus, desired: &WorkspaceStatus) -> Option<Value> {
    let value =
        |status: &WorkspaceStatus| target.context.stores.kept_status(serde_json::to_value(status).unwrap_or_default());
    let held = if *held == WorkspaceStatus::default() { json!({}) } else { value(held) };
    merge_patch(&held, &value(desired))
}

/// Whether there was still something to write to. The uid makes it a status of this Workspace, not of a later one with its
/// name.
async fn patch(target: &Target<'_>, change: Value) -> Result<bool, StatusError> {
    let identity = &target.workspace.identity;
    let Key { namespace, name } = &identity.key;
    let stores = &target.context.stores;
    let api: Api<Incoming<StoredWorkspace>> = Api::namespaced(target.context.client.clone(), namespace);
    let patch = Patch::Merge(json!({"metadata": {"uid": &*identity.uid}, "status": change}));
    let params = as_field_manager();
    let request = api.patch_status(name, &params, &patch);
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Err(_) => Err(StatusError::TimedOut),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            // Unless it is the resource that is unknown.
            if names_object(&status) {
                drop(stores.workspaces().remove(identity));
            }
            Ok(false)
        }
        Ok(answer) => {
            let workspace = answer?.object.map_err(StatusError::Answer)?;
            // Our own write is not an event.
            stores.workspaces().put_answer(workspace);
            Ok(true)
        }
    }
}

/// The JSON merge patch that makes `from` to `to`; nothing when they are the same. Lists are replaced whole.
pub(super) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for (key, value) in to {
        let change = from.get(key).map_or_else(|| Some(value.clone()), |held| merge_patch(held, value));
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_what_differs() {
        let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": null, "same": {"x": 1}});
        let to = json!({"a": 2, "b": {"c": 1}, "e": [2], "f": null, "new": {}, "same": {"x": 1}});
        assert_eq!(merge_patch(&from, &to), Some(json!({"a": 2, "b": {"d": null}, "e": [2], "new": {}})));
        assert_eq!(merge_patch(&to, &to), None);
    }
}
