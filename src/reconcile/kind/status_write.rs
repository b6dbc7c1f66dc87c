//! Status write: sends what differs, not too often.

use std::time::Duration;

use crds::workspace_kind::WorkspaceKindStatus;
use kube::Api;
use tokio::time::Instant;

use super::super::patch::PatchError;
use super::super::status_patch::{self, Patched};
use super::{Context, Memory};
use crate::stores::StatusOf;
use crate::stores::kind::StoredKind;

/// The least time between two status writes of one kind, however many Workspaces come and go.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// How long it is until the status may be written.
pub(super) fn too_soon(memory: &Memory, now: Instant) -> Duration {
    let next = memory.status_written.map(|written| written + STATUS_PAUSE);
    next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
}

/// Writes the status if it differs.
pub(super) async fn write(
    context: &Context,
    kind: &StoredKind,
    desired: &WorkspaceKindStatus,
    memory: &mut Memory,
) -> Result<(), PatchError> {
    let stores = &context.stores;
    let held = kind.kind.status.clone().unwrap_or_default();
    let kept = |status| stores.kept_status(StatusOf::WorkspaceKind, status);
    let Some(change) = status_patch::change(&held, desired, kept) else { return Ok(()) };
    memory.status_written = Some(Instant::now());
    let api = Api::all(context.client.clone());
    let patched = status_patch::patch(&api, stores.kinds(), &kind.identity, change).await;
    match &patched {
        Ok(Patched::Written) => {
            tracing::info!(workspaces = desired.workspaces, "status written");
            context.metrics.written("workspacekinds/status", memory.cause.label());
        }
        Ok(Patched::Gone) => {}
        Err(error) => tracing::warn!(error = error.in_words(), "failed to write the status; will retry"),
    }
    patched.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_be_written_at_once_and_again_after_a_pause() {
        let (now, mut memory) = (Instant::now(), Memory::default());
        assert_eq!(too_soon(&memory, now), Duration::ZERO);
        memory.status_written = Some(now);
        assert_eq!(too_soon(&memory, now + STATUS_PAUSE / 4), STATUS_PAUSE * 3 / 4);
        assert_eq!(too_soon(&memory, now + STATUS_PAUSE), Duration::ZERO);
    }
}
