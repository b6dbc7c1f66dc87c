//! The reconcile of one Workspace, as a pipeline: observe (stores) -> plan (render) -> children (apply, in order) ->
//! status.

mod children;
mod contest;
mod events;
mod existing;
mod memory;
mod observe;
mod outcome;
mod plan;
mod planning;
mod pod_replacement;
mod pod_state;
mod progress;
mod reasons;
mod reported;
mod restart;
mod revision_change;
mod status;
mod status_write;
mod target;
mod warning;

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::engine::{ReconcileCause, Requeue};
use super::events::Regarding;
use super::patch::PatchError;
use super::span;
use super::status_patch::StatusWrite;
use crate::render::names::Fixed;
use crate::stores::slim::Key;
use observe::{Observed, observe};
use outcome::ApplyOutcome;
use status::StatusFacts;
use target::Target;

pub(super) use existing::kept_without_pod;
pub(super) use memory::Memory;
pub(super) use target::Context;

/// Reconciles one Workspace and reports the result in its status.
pub(super) async fn reconcile(
    context: Arc<Context>,
    key: Key,
    cause: ReconcileCause,
    mut memory: Memory,
) -> (Memory, Requeue) {
    let observed = match observe(&context, &key, &mut memory) {
        Ok(observed) => observed,
        Err(requeue) => return (memory, requeue),
    };
    span::record_generation(observed.workspace.generation);
    let requeue = reconcile_observed(&context, observed, cause, &mut memory).await;
    (memory, requeue)
}

async fn reconcile_observed(
    context: &Context,
    observed: Observed,
    cause: ReconcileCause,
    memory: &mut Memory,
) -> Requeue {
    let Observed { workspace, held, kind } = observed;
    let new = Fixed::new(workspace.identity.key.name(), &workspace.identity.uid);
    let (fixed, unknown) = match existing::find(context, &workspace, &held, &new, memory).await {
        Ok(fixed) => (fixed, None),
        Err(error) => (new.clone(), Some(error)),
    };
    let target = Target { context, workspace: &workspace, held: &held, cause, new, fixed };
    let outcome = match unknown {
        None => children::reconcile(&target, kind.as_deref(), memory).await,
        Some(error) => children::unknown(&target, error, memory),
    };
    let one_more = |count: u32, failed: bool| if failed { count.saturating_add(1) } else { 0 };
    memory.unreachable = one_more(memory.unreachable, outcome.is_unreachable());
    memory.refusals = one_more(memory.refusals, outcome.is_refused());
    let now = Timestamp::now();
    let replacement = pod_replacement::reconcile(&target, now, memory).await;
    let pod = observe::pod(&target);
    let pod = pod.as_deref();
    let events_after = events::read(&target, pod, &outcome, now, memory).await;
    let facts = StatusFacts {
        workspace: &workspace,
        held: &held,
        names: target.names(),
        pod,
        has_service: observe::has_service(&target),
        warnings: memory.warnings.as_ref().map(|read| &*read.warnings).unwrap_or_default(),
        replacement: &replacement,
        outcome: &outcome,
        refusals: memory.refusals,
        patience: context.scheduling_patience,
        now,
    };
    let (status, status_changes_after) = status::desired(facts);
    let is_set_observed = observe::stateful_set(&target).is_some_and(|set| set.current_revision().is_some());
    let patience = status_write::patience(&status, pod.is_some(), is_set_observed, &replacement);
    let written = status_write::write(&target, &status, patience, memory).await;
    let conditions = (&*held.conditions, &*status.conditions);
    let stalled = reported::stalled(conditions, is_stored(&written, &outcome), &mut memory.stalled);
    let names = target.names();
    let restarted = reported::restarted(&replacement, &names.pod());
    let contested = contest::contested(&outcome, &mut memory.contest);
    let duplicates = reported::duplicates_deleted(&outcome, &names.stateful_set);
    let events = reported::adopted(&outcome).into_iter().chain(duplicates).chain(restarted);
    let events = events.chain(contested).chain(stalled);
    context.recorder.record(Regarding::Workspace, &workspace.identity, cause, events);
    let requeue = outcome.requeue().or_after(status_changes_after).or_after(events_after);
    let requeue = requeue.or_after(replacement.restart.after());
    let requeue = if replacement.error.is_some() { requeue.or_retry() } else { requeue };
    match written {
        Ok(StatusWrite::After(left)) => requeue.or_after(Some(left)),
        Ok(StatusWrite::Unneeded | StatusWrite::Written) => requeue,
        Err(_) => requeue.or_retry(),
    }
}

/// Whether the conditions are stored, as far as the CRD keeps them. A refusal that becomes one to stall for changes nothing else.
fn is_stored(written: &Result<StatusWrite, PatchError>, outcome: &ApplyOutcome) -> bool {
    match written {
        Ok(StatusWrite::Written) => true,
        Ok(StatusWrite::Unneeded) => outcome.is_refused(),
        Ok(StatusWrite::After(_)) | Err(_) => false,
    }
}
