//! Children: applies what is planned, in the order of the list, where it is not as planned already.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::WorkspaceKind;
use tokio::time::Instant;

use super::super::apply::{ApplyError, StoredDifference};
use super::memory::Memory;
use super::observe;
use super::outcome::{ApplyOutcome, ChildOutcome};
use super::plan::{Plan, RenderedAction};
use super::planning::{self, Planned};
use super::reasons::StatusReason;
use super::target::Target;
use crate::render::{self, ChildAction, ChildKind, Serves};
use crate::stores::child::Child;

/// Reconciles the children of a Workspace of that kind. Without a kind none can be rendered, and all are left unchanged, but
/// that the pod can be stopped.
pub(super) async fn reconcile(target: &Target<'_>, kind: Option<&WorkspaceKind>, memory: &mut Memory) -> ApplyOutcome {
    if let Some(kind) = kind {
        return reconcile_planned(target, kind, memory).await;
    }
    let error = StatusReason::kind_not_found(&target.workspace.spec.kind);
    let children = stop_unrendered(target, memory).await.into_iter().collect();
    ApplyOutcome { spec_error: Some(error), children, ..ApplyOutcome::default() }
}

/// Nothing is done while it is not known which StatefulSet there is.
pub(super) fn unknown(target: &Target<'_>, error: ApplyError, memory: &Memory) -> ApplyOutcome {
    error.log();
    let name = &target.names().stateful_set;
    let set = ChildOutcome::new(ChildKind::StatefulSet, name, Err(error), memory.unreachable);
    ApplyOutcome { children: vec![set], ..ApplyOutcome::default() }
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
    let inputs = planning::inputs(target, kind, memory);
    let plan = memory.plan.take().filter(|plan| planning::is_current(target, plan, &inputs));
    let kept = plan.as_ref().map(|plan| plan.kept.clone()).unwrap_or_default();
    let settled = plan.and_then(|plan| settled(target, &plan, memory).map(|children| (plan, children)));
    let (plan, children) = match settled {
        Some(settled) => settled,
        None => match planning::make(target, kind, inputs, kept).await {
            Ok(planned) => apply_all(target, kind, planned, memory).await,
            Err(fault) => {
                outcome.spec_error = Some(StatusReason::from(&fault));
                outcome.children.extend(stop_unrendered(target, memory).await);
                outcome.children.extend(prune_unrendered(target, kind, memory).await);
                return outcome;
            }
        },
    };
    outcome.route = Some(plan.route.clone());
    outcome.skipped_mounts = plan.skipped_mounts.to_vec();
    outcome.children = children;
    memory.plan = Some(plan);
    outcome
}

/// The outcome where every child is as planned; nothing where some are not.
fn settled(target: &Target<'_>, plan: &Plan, memory: &Memory) -> Option<Vec<ChildOutcome>> {
    let has_unwanted = ChildKind::ALL.into_iter().any(|kind| !unwanted_of(target, plan, kind).is_empty());
    if has_unwanted {
        return None;
    }
    let mut children = Vec::with_capacity(plan.actions.len());
    for planned in &plan.actions {
        let (kind, name) = (planned.kind, planned.name(target.names()));
        let child = memory.children.get(kind, name)?;
        let result = match target.api(kind).is_settled(&target.key(name), &planned.action, child) {
            Ok(true) => Ok(child.stored()),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        children.push(ChildOutcome::new(kind, name, result, memory.unreachable));
    }
    Some(children)
}

/// Does what is planned about every child. Returns a new plan where it has become another owner's account, or no longer is.
async fn apply_all(
    target: &Target<'_>,
    kind: &WorkspaceKind,
    planned: Planned,
    memory: &mut Memory,
) -> (Plan, Vec<ChildOutcome>) {
    let Planned { mut plan, mut actions, mut unread } = planned;
    let mut children = Vec::with_capacity(actions.len());
    if let Some(account) = take_account(&mut actions) {
        children.push(apply(target, account, memory).await);
    }
    let account_error = children.first().and_then(|account| account.result.as_ref().err());
    let has_account = account_error.is_none();
    // No pod may run under an account that belongs to another owner: an existing StatefulSet is scaled to zero. Nor is
    // anything granted to it.
    let account_is_foreign = match account_error {
        None => false,
        Some(ApplyError::Foreign { .. } | ApplyError::LeftBehind { .. }) => true,
        // Its owner could not be determined.
        Some(_) => memory.account_is_foreign,
    };
    if account_is_foreign != memory.account_is_foreign {
        memory.account_is_foreign = account_is_foreign;
        match planning::make(target, kind, planning::inputs(target, kind, memory), plan.kept.clone()).await {
            Ok(remade) => Planned { plan, actions, unread } = remade,
            // It rendered a moment ago.
            Err(_) => return (plan, children),
        }
        drop(take_account(&mut actions));
    }
    // Before anything runs with what is no longer granted; all others go once those that stay are in place.
    for binding in unwanted_of(target, &plan, ChildKind::RoleBinding) {
        children.push(remove(target, ChildKind::RoleBinding, &binding, memory).await);
    }
    for action in actions {
        let needs_account = matches!(action.kind, ChildKind::StatefulSet | ChildKind::RoleBinding);
        if needs_account && !has_account && !target.api(action.kind).exists(&target.key(&action.name)) {
            continue;
        }
        let mut child = apply(target, action, memory).await;
        if child.kind == ChildKind::StatefulSet {
            child = scale_unapplied(target, plan.replicas, child, memory).await;
        }
        children.push(child);
    }
    if let Some(error) = unread {
        error.log();
        let (kind, name) = (ChildKind::VirtualService, &target.names().virtual_service);
        children.push(ChildOutcome::new(kind, name, Err(error), memory.unreachable));
    }
    remove_unwanted(target, &plan, &mut children, memory).await;
    memory.children.keep_only(plan.children(target.names()));
    (plan, children)
}

/// Deletes what is not planned, of each kind whose planned child is in place.
async fn remove_unwanted(target: &Target<'_>, plan: &Plan, children: &mut Vec<ChildOutcome>, memory: &Memory) {
    for kind in ChildKind::ALL.into_iter().filter(|kind| *kind != ChildKind::RoleBinding) {
        // Accounts follow the pod.
        let needed = if kind == ChildKind::ServiceAccount { ChildKind::StatefulSet } else { kind };
        if children.iter().any(|child| child.kind == needed && child.result.is_ok()) {
            for child in unwanted_of(target, plan, kind) {
                children.push(remove(target, kind, &child, memory).await);
            }
        }
    }
}

fn take_account(actions: &mut Vec<RenderedAction>) -> Option<RenderedAction> {
    let position = actions.iter().position(|action| action.kind == ChildKind::ServiceAccount)?;
    Some(actions.remove(position))
}

/// Our children of that kind that are not planned. Of accounts those that no pod runs as: the kind has moved to an existing
/// one. Of others there are two, because another controller made one.
fn unwanted_of(target: &Target<'_>, plan: &Plan, kind: ChildKind) -> Vec<Arc<Child>> {
    // Routes are not made, and those of earlier runs are deleted all at once.
    if kind.row().serves == Serves::Route && !target.context.routing.use_istio {
        return Vec::new();
    }
    let is_planned = |name: &str| plan.children(target.names()).any(|child| child == (kind, name));
    let mut children = unwanted(target, kind, is_planned);
    if kind == ChildKind::ServiceAccount && !children.is_empty() {
        let pod = observe::pod(target);
        // A pod that has not been seen yet may have been created from the previous template.
        children.retain(|account| match &pod {
            Some(pod) => *pod.service_account != *account.identity.key.name(),
            None => plan.replicas == 0,
        });
    }
    children
}

/// Our children of that kind whose names are not wanted. What others own by the Workspace is theirs, but for RoleBindings: what
/// its account may do, its kind decides alone.
fn unwanted(target: &Target<'_>, kind: ChildKind, is_wanted: impl Fn(&str) -> bool) -> Vec<Arc<Child>> {
    let owned = target.context.stores.children(kind).owned_by(&target.workspace.identity, &target.new.names);
    let is_decided = |child: &Child| kind == ChildKind::RoleBinding || child.is_of_controller();
    let is_unwanted =
        |child: &Arc<Child>| !child.identity.deleting && is_decided(child) && !is_wanted(child.identity.key.name());
    owned.into_iter().filter(is_unwanted).collect()
}

/// Deletes one of our children that is not planned, but not a pod with it that goes on running. Neither pod nor route
/// depends on whether that works.
async fn remove(target: &Target<'_>, kind: ChildKind, child: &Child, memory: &Memory) -> ChildOutcome {
    let runs = || observe::pod_of(target.context, child).is_some_and(|pod| !pod.identity.deleting);
    let result = if kind == ChildKind::StatefulSet && !target.workspace.spec.paused && runs() {
        Err(ApplyError::SecondRuns { kind: kind.row().kind, name: child.identity.key.name().to_owned() })
    } else {
        target
            .api(kind)
            .delete(&child.identity)
            .await
            .inspect_err(ApplyError::log)
            .map(|()| StoredDifference::default())
    };
    let outcome = ChildOutcome::new(kind, child.identity.key.name(), result, memory.unreachable);
    ChildOutcome { serves: Serves::Neither, ..outcome }
}

async fn apply(target: &Target<'_>, planned: RenderedAction, memory: &mut Memory) -> ChildOutcome {
    let ChildAction { kind, name, action } = planned;
    let child = memory.children.of(kind, &name);
    let written = target.api(kind).act(&target.key(&name), action, child).await.inspect_err(ApplyError::log);
    let result = written.as_ref().map(|_| child.stored()).map_err(Clone::clone);
    if matches!(written, Ok(true)) && kind == ChildKind::StatefulSet {
        memory.stateful_set_written = Some(Instant::now());
    }
    let is_adopted = child.take_adopted();
    ChildOutcome { is_adopted, ..ChildOutcome::new(kind, &name, result, memory.unreachable) }
}

/// The pod is stopped and started also where the template cannot be stored, on the one that is.
async fn scale_unapplied(target: &Target<'_>, replicas: i32, child: ChildOutcome, memory: &mut Memory) -> ChildOutcome {
    match child.result {
        Err(error) if error.leaves_child_as_it_was() => {
            let error = match scale(target, replicas, memory).await {
                Ok(()) => error,
                Err(scale) => error.nor_scaled(scale),
            };
            let outcome = ChildOutcome::new(child.kind, &child.name, Err(error), memory.unreachable);
            ChildOutcome { is_adopted: child.is_adopted, ..outcome }
        }
        result => ChildOutcome { result, ..child },
    }
}

/// Where nothing can be rendered, ClusterRoles that the kind no longer grants are taken away all the same.
async fn prune_unrendered(target: &Target<'_>, kind: &WorkspaceKind, memory: &Memory) -> Vec<ChildOutcome> {
    let name = target.workspace.identity.key.name();
    let wanted: BTreeSet<String> = render::role_binding_names(name, &kind.spec.pod_template).collect();
    let mut children = Vec::new();
    for binding in unwanted(target, ChildKind::RoleBinding, |name| wanted.contains(name)) {
        children.push(remove(target, ChildKind::RoleBinding, &binding, memory).await);
    }
    children
}

/// The pod of a paused Workspace is stopped also where nothing can be rendered; what is returned is that it could not be.
async fn stop_unrendered(target: &Target<'_>, memory: &mut Memory) -> Option<ChildOutcome> {
    if !target.workspace.spec.paused {
        return None;
    }
    let error = scale(target, 0, memory).await.err()?;
    Some(ChildOutcome::new(ChildKind::StatefulSet, &target.names().stateful_set, Err(error), memory.unreachable))
}

async fn scale(target: &Target<'_>, replicas: i32, memory: &mut Memory) -> Result<(), ApplyError> {
    let (kind, name) = (ChildKind::StatefulSet, &target.names().stateful_set);
    let child = memory.children.of(kind, name);
    if target.api(kind).scale(&target.key(name), replicas, child).await.inspect_err(ApplyError::log)? {
        memory.stateful_set_written = Some(Instant::now());
    }
    Ok(())
}
