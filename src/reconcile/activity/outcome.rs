//! One probe from its start to what follows from it: the status, and the pause.

use std::sync::Arc;

use crds::workspace::WorkspaceStatus;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::super::status_patch;
use super::context::Context;
use super::memory::ProbeOutcome;
use super::target::ProbeTarget;
use super::{pause, send};
use crate::activity::policy::Policy;
use crate::activity::record::{ProbeFacts, Verdict, record};
use crate::activity::report::{ProbeFailure, ProbeReport};
use crate::activity::rules::{Decision, Labels, PauseRule, decide};
use crate::stores::StatusOf;

/// Probes the Workspace. `was_reported`: it is known already that it would be paused.
pub(super) async fn probe(context: Arc<Context>, target: ProbeTarget, was_reported: bool) -> ProbeOutcome {
    let kind = target.kind.clone();
    // It had one when the probe became due.
    let Some(policy) = Policy::of(&kind.spec) else { return ProbeOutcome::failed() };
    let span = tracing::error_span!("probe", object = %target.workspace.identity.key);
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
        let end = finish(&context, &target, &report, was_reported).await;
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
async fn finish(context: &Arc<Context>, target: &ProbeTarget, report: &ProbeReport, was_reported: bool) -> End {
    let (stores, probed) = (&context.stores, &target.workspace.identity);
    // As they are now: the probe may have taken minutes.
    let workspace = stores.workspaces().get(&probed.key).filter(|workspace| workspace.identity.uid == probed.uid);
    let kind = workspace.as_ref().and_then(|workspace| stores.kind(&workspace.spec.kind));
    let Some((workspace, kind)) = workspace.zip(kind) else { return End::Done };
    let Some(policy) = Policy::of(&kind.spec) else { return End::Done };
    let Some(now) = ProbeTarget::of(stores, workspace, &kind, &policy) else { return End::Done };
    if now.probed != target.probed {
        tracing::debug!("another run of the container, or another probe: what was found does not count");
        return End::Done;
    }
    let decision = decision(context, &now, &policy);
    let held = now.held.activity.clone().unwrap_or_default();
    let (activity, verdict) = record(&ProbeFacts {
        held: &held,
        probed: &target.probed.run,
        current: Some(&now.probed.run),
        interval: policy.interval,
        report,
        decision: decision.as_ref(),
        now: Timestamp::now(),
    });
    let desired = WorkspaceStatus { activity: Some(activity), ..now.held.clone() };
    if !write(context, &now, &desired).await {
        return End::Unwritten;
    }
    let Verdict::Pause(pause) = verdict else { return End::Done };
    if context.dry_run_pausing {
        if !was_reported {
            pause::withhold(context, &now, &pause);
        }
        return End::Withheld;
    }
    if pause::pause(context.clone(), now, pause).await { End::Done } else { End::Unwritten }
}

/// What the rules say; nothing where it is not known what they select by, so that nothing is paused.
fn decision(context: &Context, target: &ProbeTarget, policy: &Policy<'_>) -> Option<Decision> {
    let selected = &target.workspace.spec.pod_template.options.pod_config;
    let values = &target.kind.spec.pod_template.options.pod_config.values;
    let pod_config = values.iter().find(|value| value.id == *selected).map(|value| value.spawner.label_map());
    let namespace = context.stores.namespace_labels(target.workspace.identity.key.namespace());
    decide_by(&policy.rules, namespace, pod_config)
}

fn decide_by(rules: &[PauseRule<'_>], namespace: Option<Labels>, pod_config: Option<Labels>) -> Option<Decision> {
    let is_unknown = |rule: &PauseRule<'_>| {
        (rule.matches_namespace() && namespace.is_none()) || (rule.matches_pod_config() && pod_config.is_none())
    };
    if rules.iter().any(is_unknown) {
        return None;
    }
    let decided = decide(rules, &namespace.unwrap_or_default(), &pod_config.unwrap_or_default());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crds::workspace_kind::ActivityRule;
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_that_are_not_known_are_not_none() {
        let rule = |field: &str, pauses: bool| -> ActivityRule {
            let selector = json!({"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]});
            let rule = json!({
                "match": {field: {"selector": selector}},
                "config": {"secondsSinceActive": 60}, "effect": {"pauseWorkspace": pauses},
            });
            serde_json::from_value(rule).unwrap()
        };
        let none = || Some(Labels::new());
        for (field, namespace, pod_config, expected) in [
            ("matchNamespace", none(), None, true),
            ("matchNamespace", None, none(), false),
            ("matchPodConfig", None, none(), true),
            ("matchPodConfig", none(), None, false),
        ] {
            let written = [rule(field, true)];
            let rules: Vec<_> = PauseRule::of(&written).collect();
            assert_eq!(decide_by(&rules, namespace, pod_config).is_some(), expected, "{field}");
        }
    }
}
