//! One probe from its start to what follows from it: the status, and the pause.

use std::sync::Arc;

use crds::workspace::WorkspaceStatus;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::super::{span, status_patch};
use super::context::Context;
use super::memory::{KnownBefore, ProbeOutcome};
use super::target::ProbeTarget;
use super::{pause, send};
use crate::activity::policy::Policy;
use crate::activity::record::{ProbeFacts, Verdict, is_after_gap, record};
use crate::activity::report::{Found, ProbeFailure, ProbeReport};
use crate::activity::rules::{Decision, decide};
use crate::stores::StatusOf;

/// Probes the Workspace.
pub(super) async fn probe(context: Arc<Context>, target: ProbeTarget, before: KnownBefore) -> ProbeOutcome {
    let kind = target.kind.clone();
    // It had one when the probe became due.
    let Some(policy) = Policy::of(&kind.spec) else { return ProbeOutcome::failed() };
    let span = span::probe(&target.workspace.identity.key);
    let probing = async {
        let began = Instant::now();
        let report = send::send(&context, &target, &policy).await;
        let result = match &report.result {
            Ok(_) => "success",
            Err(ProbeFailure::Timeout) => "timeout",
            Err(ProbeFailure::Failed(_)) => "failure",
        };
        context.metrics.activity_probed(policy.probe.as_str(), result, began.elapsed());
        tracing::debug!(result = ?report.result, "activity probed");
        let (end, last_activity) = finish(&context, &target, &report, before).await;
        ProbeOutcome {
            succeeded: report.result.is_ok() && end != End::Unrecorded,
            soonest: Some(policy.min_interval),
            is_withheld: end == End::Withheld,
            last_activity,
        }
    };
    probing.instrument(span).await
}

/// What became of what a probe found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// Nothing more follows from it.
    Done,
    /// The Workspace would have been paused, but for a dry run.
    Withheld,
    /// It is not in the status, or the API server did not take what follows from it: it has to be found anew.
    Unrecorded,
}

/// Records what a probe found, and pauses the Workspace where that follows. With it comes when the run was last active, in
/// milliseconds since 1970.
async fn finish(
    context: &Arc<Context>,
    target: &ProbeTarget,
    report: &ProbeReport,
    before: KnownBefore,
) -> (End, Option<i64>) {
    let (stores, probed) = (&context.stores, &target.workspace.identity);
    // As they are now: the probe may have taken minutes.
    let workspace = stores.workspaces().get(&probed.key).filter(|workspace| workspace.identity.uid == probed.uid);
    let kind = workspace.as_ref().and_then(|workspace| stores.kind(&workspace.spec.kind));
    let Some((workspace, kind)) = workspace.zip(kind) else { return (End::Done, None) };
    let Some(policy) = Policy::of(&kind.spec) else { return (End::Done, None) };
    let Some(now) = ProbeTarget::of(stores, workspace, &kind, &policy) else {
        // It may be not ready for a moment only.
        return (End::Unrecorded, Some(before.last_activity.max(report.last_activity())));
    };
    if now.probed.spec != target.probed.spec {
        tracing::debug!("the kind configures another probe by now: what was found does not count");
        return (End::Done, None);
    }
    let decision = decision(context, &now, &policy);
    let held = now.held.activity.clone().unwrap_or_default();
    let facts = ProbeFacts {
        held: &held,
        found_before: before.last_activity,
        probed: &target.probed.run,
        current: Some(&now.probed.run),
        interval: policy.interval,
        report,
        decision: decision.as_ref(),
        now: Timestamp::now(),
    };
    let (activity, verdict) = record(&facts);
    if verdict == Verdict::OfAnotherRun {
        return (End::Done, None);
    }
    if report.result == Ok(Found::Inactive) && is_after_gap(&facts) {
        tracing::info!("not known to be idle for long: it counts as active until now");
        context.metrics.activity_unknown();
    }
    let last_activity = Some(activity.last_activity);
    let desired = WorkspaceStatus { activity: Some(activity), ..now.held.clone() };
    if !write(context, &now, &desired).await {
        return (End::Unrecorded, last_activity);
    }
    let Verdict::Pause(pause) = verdict else { return (End::Done, last_activity) };
    let end = if context.dry_run_pausing {
        if !before.withheld_reported {
            pause::withhold(context, &now, &pause);
        }
        End::Withheld
    } else if pause::pause(context.clone(), now, pause).await {
        End::Done
    } else {
        End::Unrecorded
    };
    (end, last_activity)
}

/// What the rules say; nothing where it is not known what they select by, so that nothing is paused.
fn decision(context: &Context, target: &ProbeTarget, policy: &Policy<'_>) -> Option<Decision> {
    let selected = &target.workspace.spec.pod_template.options.pod_config;
    let values = &target.kind.spec.pod_template.options.pod_config.values;
    let pod_config = values.iter().find(|value| value.id == *selected).map(|value| value.spawner.label_map());
    let namespace = context.stores.namespace_labels(target.workspace.identity.key.namespace());
    let decided = decide(&policy.rules, namespace.as_ref(), pod_config.as_ref());
    decided.unwrap_or_else(|error| {
        tracing::warn!(%error, "an activity rule cannot be judged, so the Workspace is not paused");
        None
    })
}

/// Writes what changed in `status.activity`; whether that is stored. Only where the status is as it was: it may have been
/// reset for another run meanwhile.
async fn write(context: &Context, target: &ProbeTarget, desired: &WorkspaceStatus) -> bool {
    let (stores, identity) = (&context.stores, &target.workspace.identity);
    let kept = |status| stores.kept_status(StatusOf::Workspace, status);
    let Some(change) = status_patch::change(&target.held, desired, kept) else { return true };
    let api = Api::namespaced(context.client.clone(), identity.key.namespace());
    match status_patch::patch_unchanged(&api, stores.workspaces(), identity, change).await {
        Ok(status_patch::Patched::Written) => {
            context.metrics.written("workspaces/status", pause::CAUSE);
            true
        }
        // Nothing follows for one that is gone.
        Ok(status_patch::Patched::Gone) => false,
        Err(error) => {
            tracing::warn!(%error, "failed to write the activity; will probe again");
            false
        }
    }
}
