//! Children: applies what is planned, in the order of the list, where it is not as planned already.

use crds::WorkspaceKind;
use tokio::time::Instant;

use super::super::apply::{ApplyError, Hash, Next};
use super::outcome::{ApplyOutcome, ChildOutcome};
use super::plan::{Inputs, Plan, RenderedActions};
use super::reasons::StatusReason;
use super::target::{Memory, Target};
use crate::render::{self, Action, ChildKind, Manifest};

/// Reconciles the children of a Workspace of that kind. Without a kind none can be rendered, and all are left unchanged, but
/// that the pod can be stopped.
pub(super) async fn reconcile(target: &Target<'_>, kind: Option<&WorkspaceKind>, memory: &mut Memory) -> ApplyOutcome {
    let outcome = if let Some(kind) = kind {
        reconcile_planned(target, kind, memory).await
    } else {
        let error = StatusReason::kind_not_found(&target.workspace.spec.kind);
        let children = stop_unrendered(target, memory).await.into_iter().collect();
        ApplyOutcome { spec_error: Some(error), children, ..ApplyOutcome::default() }
    };
    memory.unreachable = if outcome.is_unreachable() { memory.unreachable.saturating_add(1) } else { 0 };
    outcome
}

async fn reconcile_planned(target: &Target<'_>, kind: &WorkspaceKind, memory: &mut Memory) -> ApplyOutcome {
    let (workspace, template) = (target.workspace.render_input(), &kind.spec.pod_template);
    let (options, fault) = render::resolve_options(template, &workspace.spec.pod_template.options);
    let mut outcome = ApplyOutcome {
        options: Some(options),
        service_account: Some(render::service_account_name(workspace, template)),
        // Redirects that lead nowhere do not keep the selected options from running.
        spec_error: fault.as_ref().map(StatusReason::from),
        ..ApplyOutcome::default()
    };
    let inputs = Inputs::new(target.workspace, kind, memory.scaled_to_zero);
    let plan = memory.plan.take().filter(|plan| plan.is_for(&inputs));
    let settled = plan.and_then(|plan| settled(target, &plan, memory).map(|children| (plan, children)));
    let (plan, children) = match settled {
        Some(settled) => settled,
        None => match Plan::make(inputs, target.workspace, kind, &target.context.routing) {
            Ok((plan, actions)) => apply_all(target, kind, plan, actions, memory).await,
            Err(fault) => {
                outcome.spec_error = Some(StatusReason::from(&fault));
                outcome.children.extend(stop_unrendered(target, memory).await);
                return outcome;
            }
        },
    };
    outcome.route = Some(plan.route.clone());
    outcome.skipped_mounts.clone_from(&plan.skipped_mounts);
    outcome.children = children;
    memory.plan = Some(plan);
    outcome
}

/// The outcome where every child is as planned; nothing where some are not.
fn settled(target: &Target<'_>, plan: &Plan, memory: &Memory) -> Option<Vec<ChildOutcome>> {
    let mut children = Vec::with_capacity(ChildKind::ALL.len());
    for (child_kind, action) in plan.actions.iter() {
        let Some(action) = action else { continue };
        let child = &memory.children[child_kind];
        let result = match target.api(child_kind).is_settled(&target.key(child_kind), action, child) {
            Ok(true) => Ok(child.stored.clone()),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        children.push(ChildOutcome::new(child_kind, result, memory.unreachable));
    }
    Some(children)
}

/// Does what is planned about every child. Returns a new plan where `scaled_to_zero` changed.
async fn apply_all(
    target: &Target<'_>,
    kind: &WorkspaceKind,
    mut plan: Plan,
    mut actions: RenderedActions,
    memory: &mut Memory,
) -> (Plan, Vec<ChildOutcome>) {
    let account = match actions[ChildKind::ServiceAccount].take() {
        Some(action) => Some(apply(target, ChildKind::ServiceAccount, action, memory).await),
        None => None,
    };
    let account_error = account.as_ref().and_then(|account| account.result.as_ref().err());
    let has_account = account_error.is_none();
    // No pod may run under an account that belongs to another owner; an existing StatefulSet is scaled to zero.
    let scaled_to_zero = match account_error {
        None => false,
        Some(ApplyError::Foreign { .. } | ApplyError::LeftBehind { .. }) => true,
        // Its owner could not be determined.
        Some(_) => memory.scaled_to_zero,
    };
    let mut children = Vec::with_capacity(ChildKind::ALL.len());
    children.extend(account);
    if scaled_to_zero != memory.scaled_to_zero {
        memory.scaled_to_zero = scaled_to_zero;
        let inputs = Inputs::new(target.workspace, kind, scaled_to_zero);
        match Plan::make(inputs, target.workspace, kind, &target.context.routing) {
            Ok(remade) => (plan, actions) = remade,
            // It rendered a moment ago.
            Err(_) => return (plan, children),
        }
        actions[ChildKind::ServiceAccount] = None;
    }
    for child_kind in ChildKind::ALL {
        let Some(action) = actions[child_kind].take() else { continue };
        let is_stateful_set = child_kind == ChildKind::StatefulSet;
        if is_stateful_set && !has_account && !target.api(child_kind).exists(&target.key(child_kind)) {
            continue;
        }
        let mut child = apply(target, child_kind, action, memory).await;
        if is_stateful_set {
            child = scale_unapplied(target, plan.replicas, child, memory).await;
        }
        children.push(child);
    }
    (plan, children)
}

async fn apply(
    target: &Target<'_>,
    child_kind: ChildKind,
    action: Action<(Hash, Box<dyn Manifest>)>,
    memory: &mut Memory,
) -> ChildOutcome {
    let key = target.key(child_kind);
    let child = &mut memory.children[child_kind];
    let written = target.api(child_kind).act(&key, action, child).await.inspect_err(log);
    if matches!(written, Ok(true)) && child_kind == ChildKind::StatefulSet {
        memory.stateful_set_written = Some(Instant::now());
    }
    let result = written.map(|_| child.stored.clone());
    ChildOutcome::new(child_kind, result, memory.unreachable)
}

/// The pod is stopped and started also where the template cannot be stored, on the one that is.
async fn scale_unapplied(target: &Target<'_>, replicas: i32, child: ChildOutcome, memory: &mut Memory) -> ChildOutcome {
    match child.result {
        Err(error) if error.leaves_child_as_it_was() => {
            let error = match scale(target, replicas, memory).await {
                Ok(()) => error,
                Err(scale) => error.nor_scaled(scale),
            };
            ChildOutcome::new(child.kind, Err(error), memory.unreachable)
        }
        result => ChildOutcome { result, ..child },
    }
}

/// The pod of a paused Workspace is stopped also where nothing can be rendered; what is returned is that it could not be.
async fn stop_unrendered(target: &Target<'_>, memory: &mut Memory) -> Option<ChildOutcome> {
    if !target.workspace.spec.paused {
        return None;
    }
    let error = scale(target, 0, memory).await.err()?;
    Some(ChildOutcome::new(ChildKind::StatefulSet, Err(error), memory.unreachable))
}

async fn scale(target: &Target<'_>, replicas: i32, memory: &mut Memory) -> Result<(), ApplyError> {
    let (kind, child) = (ChildKind::StatefulSet, &memory.children[ChildKind::StatefulSet]);
    if target.api(kind).scale(&target.key(kind), replicas, child).await.inspect_err(log)? {
        memory.stateful_set_written = Some(Instant::now());
    }
    Ok(())
}

fn log(error: &ApplyError) {
    let text = error.without_server_message();
    match error.next() {
        Next::Retry => tracing::warn!(error = text, "failed to reconcile child; will retry"),
        Next::Wait(_) => tracing::debug!(error = text, "a child has to wait"),
    }
}
