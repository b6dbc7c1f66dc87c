//! Pauses an idle Workspace, as its user would: by `spec.paused`.

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, Patch};
use kube::core::Status;
use kube::{Api, Error};
use serde_json::json;
use tracing::Instrument as _;

use super::super::apply::as_field_manager;
use super::super::engine::ReconcileCause;
use super::super::events::{NewEvent, Regarding, Severity};
use super::context::Context;
use super::target::{self, ProbeTarget};
use crate::activity::record::{Pause, is_fresh};
use crate::client::{CallError, in_time};
use crate::stores::pod::Pod;
use crate::stores::slim::Incoming;
use crate::stores::workspace::StoredWorkspace;

/// The cause of writes, in metrics.
pub(super) const CAUSE: &str = "activity";

/// Pauses the Workspace, unless it has been paused or replaced meanwhile, or another run of its container has begun. False where
/// the API server did not do it.
pub(super) async fn pause(context: Arc<Context>, target: ProbeTarget, pause: Pause) -> bool {
    // In a task of its own: where the process stops meanwhile, what has been done may still be reported.
    let pausing = async move { pause_if_unchanged(&context, &target, &pause).await };
    tokio::spawn(pausing.in_current_span()).await.unwrap_or(false)
}

async fn pause_if_unchanged(context: &Context, target: &ProbeTarget, pause: &Pause) -> bool {
    match still_runs(context, target).await {
        Ok(true) if is_fresh(pause.probed, Timestamp::now()) => {}
        Ok(true) => {
            tracing::debug!("not paused: it took too long since the probe");
            return false;
        }
        Ok(false) => {
            tracing::debug!("not paused: another run of its container has begun");
            return true;
        }
        Err(error) => {
            tracing::warn!(%error, "failed to read the pod before the pause; will probe again");
            return false;
        }
    }
    match patch(context, target).await {
        Ok(()) => report_paused(context, target, pause),
        Err(CallError::Api(Error::Api(status))) if has_changed(&status) => {
            tracing::debug!(error = status.message, "not paused: it has changed meanwhile");
        }
        // The answer may have been lost after it was done.
        Err(_) if is_paused_by_it(context, target).await => report_paused(context, target, pause),
        Err(error) => {
            tracing::warn!(%error, "failed to pause; will probe again");
            return false;
        }
    }
    true
}

fn report_paused(context: &Context, target: &ProbeTarget, pause: &Pause) {
    let note = format!("paused for being idle: {}", reason(target, pause));
    tracing::info!(rule = %pause.rule, idle = ?pause.idle, running = ?pause.running, "paused");
    context.metrics.written("workspaces", CAUSE);
    context.metrics.idle_paused(&target.workspace.spec.kind, &pause.rule, false);
    report(context, target, "Paused", note);
}

/// Whether the run that was probed is the one that runs, by the API server: the store may be behind, and a script finds its
/// container by the name of the pod, which the next pod has too.
async fn still_runs(context: &Context, target: &ProbeTarget) -> Result<bool, CallError> {
    let (namespace, name) = target.pod.identity.key.parts();
    let api: Api<Incoming<Pod>> = Api::namespaced(context.client.clone(), namespace);
    let list = in_time(api.list(&ListParams::default().fields(&format!("metadata.name={name}")))).await?;
    let pod = list.items.into_iter().next().and_then(|pod| pod.object.ok());
    Ok(pod.is_some_and(|pod| target::run(&target.held, &pod).as_ref() == Some(&target.probed.run)))
}

/// Whether it is as the patch makes it, and nobody has changed its spec before or after.
async fn is_paused_by_it(context: &Context, target: &ProbeTarget) -> bool {
    let identity = &target.workspace.identity;
    let stored =
        in_time(workspaces(context, target).get(identity.key.name())).await.ok().and_then(|stored| stored.object.ok());
    stored.is_some_and(|stored| {
        stored.identity.uid == identity.uid
            && stored.spec.paused
            && stored.generation == target.workspace.generation + 1
    })
}

async fn patch(context: &Context, target: &ProbeTarget) -> Result<(), CallError> {
    let identity = &target.workspace.identity;
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": &*identity.uid},
        // Its user may have stopped it and started it again since it was probed.
        {"op": "test", "path": "/metadata/generation", "value": target.workspace.generation},
        {"op": "test", "path": "/spec/paused", "value": false},
        {"op": "replace", "path": "/spec/paused", "value": true},
    ]);
    // Not an empty one, which would change nothing and be taken for a pause.
    let patch = serde_json::from_value(patch).map_err(|error| CallError::Api(Error::SerdeError(error)))?;
    let api = workspaces(context, target);
    // The answer is not kept: the watch brings the change, and with it the reconcile.
    in_time(api.patch(identity.key.name(), &as_field_manager(), &Patch::<()>::Json(patch))).await.map(drop)
}

/// The Workspaces of its namespace.
fn workspaces(context: &Context, target: &ProbeTarget) -> Api<Incoming<StoredWorkspace>> {
    Api::namespaced(context.client.clone(), target.workspace.identity.key.namespace())
}

/// Whether it is not as the patch demands: it is gone, or a test failed. The latter is a 422 that names no field, unlike the 422
/// of validation.
fn has_changed(status: &Status) -> bool {
    let has_causes = status.details.as_ref().is_some_and(|details| !details.causes.is_empty());
    matches!(status.code, 404 | 409) || status.code == 422 && !has_causes
}

/// Reports that the Workspace would be paused.
pub(super) fn withhold(context: &Context, target: &ProbeTarget, pause: &Pause) {
    tracing::info!(rule = %pause.rule, idle = ?pause.idle, running = ?pause.running, "would be paused; this is a dry run");
    context.metrics.idle_paused(&target.workspace.spec.kind, &pause.rule, true);
    let note = format!("would be paused for being idle, but for --dry-run-pausing: {}", reason(target, pause));
    report(context, target, "PauseWithheld", note);
}

fn report(context: &Context, target: &ProbeTarget, reason: &'static str, note: String) {
    let event = NewEvent { severity: Severity::Normal, reason, action: "Pausing", note };
    let identity = &target.workspace.identity;
    context.recorder.record(Regarding::Workspace, identity, ReconcileCause::Timer, [event]);
}

fn reason(target: &ProbeTarget, pause: &Pause) -> String {
    let kind = &target.workspace.spec.kind;
    let idle = SignedDuration::from_secs(i64::try_from(pause.idle.as_secs()).unwrap_or(i64::MAX));
    format!("no activity for {idle:#}, by {} of WorkspaceKind {kind:?}", pause.rule)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_test_that_failed_is_told_from_a_refusal() {
        let has_changed = |status| has_changed(&serde_json::from_value(status).unwrap());
        let status =
            |code: u16, details| json!({"status": "Failure", "code": code, "message": "m", "details": details});
        let cause = json!({"causes": [{"reason": "FieldValueInvalid", "field": "spec", "message": "m"}]});
        for (code, details, expected) in [
            (404, json!({"name": "lab"}), true),
            (409, json!({"name": "lab"}), true),
            (422, json!({}), true),
            (422, json!({"name": "lab", "causes": []}), true),
            (422, cause, false),
            (403, json!({}), false),
            (400, json!({}), false),
        ] {
            assert_eq!(has_changed(status(code, details)), expected, "{code}");
        }
    }
}
