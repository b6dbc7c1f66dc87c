//! Pauses an idle Workspace, as its user would: by `spec.paused`.

use k8s_openapi::jiff::SignedDuration;
use kube::api::Patch;
use kube::{Api, Error};
use serde_json::json;

use super::super::apply::as_field_manager;
use super::super::engine::ReconcileCause;
use super::super::events::{NewEvent, Regarding, Severity};
use super::Context;
use super::subject::Subject;
use crate::activity::record::Pause;
use crate::client::{CallError, in_time};
use crate::stores::slim::Incoming;
use crate::stores::workspace::StoredWorkspace;

/// The cause of writes, in metrics.
pub(super) const CAUSE: &str = "activity";

/// Pauses the Workspace, unless it has been paused or replaced meanwhile. False where the API server did not do it.
pub(super) async fn pause(context: &Context, subject: &Subject, pause: &Pause) -> bool {
    let identity = &subject.workspace.identity;
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": &*identity.uid},
        // Its user may have stopped it and started it again since it was probed.
        {"op": "test", "path": "/metadata/generation", "value": subject.workspace.generation},
        {"op": "test", "path": "/spec/paused", "value": false},
        {"op": "replace", "path": "/spec/paused", "value": true},
    ]);
    let Ok(patch) = serde_json::from_value(patch) else { return false };
    let (namespace, name) = identity.key.parts();
    let api: Api<Incoming<StoredWorkspace>> = Api::namespaced(context.client.clone(), namespace);
    // The answer is not kept: the watch brings the change, and with it the reconcile.
    match in_time(api.patch(name, &as_field_manager(), &Patch::<()>::Json(patch))).await {
        Ok(_) => {
            let note = format!("paused for being idle: {}", reason(subject, pause));
            tracing::info!(rule = %pause.rule, idle = ?pause.idle, running = ?pause.running, "paused");
            context.metrics.written("workspaces", CAUSE);
            context.metrics.idle_paused(false);
            report(context, subject, "Paused", note);
            true
        }
        Err(CallError::Api(Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => {
            tracing::debug!(error = status.message, "not paused: it has changed meanwhile");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "failed to pause; will probe again");
            false
        }
    }
}

/// Reports that the Workspace would be paused.
pub(super) fn withhold(context: &Context, subject: &Subject, pause: &Pause) {
    tracing::info!(rule = %pause.rule, idle = ?pause.idle, running = ?pause.running, "would be paused; this is a dry run");
    context.metrics.idle_paused(true);
    let note = format!("would be paused for being idle, but for --dry-run-pausing: {}", reason(subject, pause));
    report(context, subject, "PauseWithheld", note);
}

fn report(context: &Context, subject: &Subject, reason: &'static str, note: String) {
    let event = NewEvent { severity: Severity::Normal, reason, action: "Pausing", note };
    let identity = &subject.workspace.identity;
    context.recorder.record(Regarding::Workspace, identity, ReconcileCause::Timer, [event]);
}

fn reason(subject: &Subject, pause: &Pause) -> String {
    let kind = &subject.workspace.spec.kind;
    let idle = SignedDuration::from_secs(i64::try_from(pause.idle.as_secs()).unwrap_or(i64::MAX));
    format!("no activity for {idle:#}, by {} of WorkspaceKind {kind:?}", pause.rule)
}
