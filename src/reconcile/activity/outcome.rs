//! One probe from its start to what follows from it: the status, and the pause.

use std::sync::Arc;

use crds::workspace::WorkspaceStatus;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::super::status_patch;
use super::own::ProbeOutcome;
use super::subject::Subject;
use super::{Context, ask, pause};
use crate::activity::policy::Policy;
use crate::activity::record::{ProbeFacts, Verdict, record};
use crate::activity::report::{ProbeFailure, ProbeReport};
use crate::activity::rules::{Decision, Labels, PauseRule, decide};
use crate::stores::StatusOf;

/// Probes the Workspace. `was_reported`: it is known already that it would be paused.
pub(super) async fn probe(context: Arc<Context>, subject: Subject, was_reported: bool) -> ProbeOutcome {
    let kind = subject.kind.clone();
    // It had one when the probe became due.
    let Some(policy) = Policy::of(&kind.spec) else { return ProbeOutcome::failed() };
    let span = tracing::error_span!("probe", object = %subject.workspace.identity.key);
    let probing = async {
        let began = Instant::now();
        let report = ask::ask(&context, &subject, &policy).await;
        let result = match &report.result {
            Ok(_) => "success",
            Err(ProbeFailure::Timeout) => "timeout",
            Err(ProbeFailure::Failed(_)) => "failure",
        };
        context.metrics.activity_probed(policy.probe.as_str(), result, began.elapsed());
        tracing::debug!(result = ?report.result, "activity probed");
        let end = finish(&context, &subject, &report, was_reported).await;
        ProbeOutcome {
            succeeded: report.result.is_ok() && end != End::Unwritten,
            soonest: Some(policy.min_interval),
            is_withheld: end == End::Withheld,
        }
    };
    probing.instrument(span).await
}

/// What became of what a probe found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// All that follows from it is done.
    Done,
    /// The Workspace would have been paused, but for a dry run.
    Withheld,
    /// The API server did not take what follows from it, so it has to be found anew.
    Unwritten,
}

/// Records what a probe found, and pauses the Workspace where that follows.
async fn finish(context: &Context, subject: &Subject, report: &ProbeReport, was_reported: bool) -> End {
    let (stores, probed) = (&context.stores, &subject.workspace.identity);
    // As they are now: the probe may have taken minutes.
    let workspace = stores.workspaces().get(&probed.key).filter(|workspace| workspace.identity.uid == probed.uid);
    let kind = workspace.as_ref().and_then(|workspace| stores.kind(&workspace.spec.kind));
    let Some((workspace, kind)) = workspace.zip(kind) else { return End::Done };
    let Some(now) = Subject::of(stores, workspace, &kind) else { return End::Done };
    let decision = decision(context, &now);
    let held = now.held.activity.clone().unwrap_or_default();
    let (activity, verdict) = record(&ProbeFacts {
        held: &held,
        probed: &subject.run,
        current: Some(&now.run),
        report,
        decision: decision.as_ref(),
        now: Timestamp::now(),
    });
    if verdict == Verdict::OfAnotherRun {
        return End::Done;
    }
    let desired = WorkspaceStatus { activity: Some(activity), ..now.held.clone() };
    if !write(context, &now, &desired).await {
        return End::Unwritten;
    }
    let Verdict::Pause(pause) = verdict else { return End::Done };
    if !context.dry_run_pausing {
        return if pause::pause(context, &now, &pause).await { End::Done } else { End::Unwritten };
    }
    if !was_reported {
        pause::withhold(context, &now, &pause);
    }
    End::Withheld
}

/// What the rules say; nothing where that is not known, so that nothing is paused.
fn decision(context: &Context, subject: &Subject) -> Option<Decision> {
    let policy = Policy::of(&subject.kind.spec)?;
    let selected = &subject.workspace.spec.pod_template.options.pod_config;
    let values = &subject.kind.spec.pod_template.options.pod_config.values;
    let pod_config: Labels =
        values.iter().find(|value| value.id == *selected).map(|value| value.spawner.label_map()).unwrap_or_default();
    let namespace = context.stores.namespace_labels(subject.workspace.identity.key.namespace());
    if namespace.is_none() && policy.rules.iter().any(PauseRule::matches_namespace) {
        return None;
    }
    let decided = decide(&policy.rules, &namespace.unwrap_or_default(), &pod_config);
    decided.unwrap_or_else(|error| {
        tracing::warn!(%error, "an activity rule cannot be judged, so the Workspace is not paused");
        None
    })
}

/// Writes what changed in `status.activity`; whether that is stored.
async fn write(context: &Context, subject: &Subject, desired: &WorkspaceStatus) -> bool {
    let (stores, identity) = (&context.stores, &subject.workspace.identity);
    let kept = |status| stores.kept_status(StatusOf::Workspace, status);
    let Some(change) = status_patch::change(&subject.held, desired, kept) else { return true };
    let api = Api::namespaced(context.client.clone(), identity.key.namespace());
    match status_patch::patch(&api, stores.workspaces(), identity, change).await {
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
