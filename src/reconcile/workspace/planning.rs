//! Planning: makes a plan with what it depends on beside the Workspace and its kind: the record of restarts, and the paths
//! under which a running pod is reached.

use crds::WorkspaceKind;

use super::super::apply::ApplyError;
use super::observe;
use super::plan::{Inputs, Plan, RenderedAction};
use super::restart::{RestartRecord, Rollout};
use super::target::{Memory, Target};
use crate::render::{ChildKind, KeptPaths, RenderFault};
use crate::stores::child::Child;
use crate::stores::pod::Pod;
use crate::stores::slim::{Identity, Key};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// Nothing can be rendered.
    #[error(transparent)]
    Render(#[from] RenderFault),
    /// The route that may have to stay could not be read.
    #[error(transparent)]
    Unread(#[from] ApplyError),
}

/// What a plan depends on.
pub(super) fn inputs(target: &Target<'_>, kind: &WorkspaceKind, memory: &Memory) -> Inputs {
    let recorded = observe::stateful_set(target).and_then(|set| set.restart.clone());
    Inputs::new(target, kind, memory.account_is_foreign, recorded)
}

/// Whether a plan is still one for these inputs, and for the pod.
pub(super) fn is_current(target: &Target<'_>, plan: &Plan, inputs: &Inputs) -> bool {
    let runs_older =
        || is_older(Rollout::of(observe::stateful_set(target).as_deref(), observe::pod(target).as_deref()));
    plan.is_for(inputs, target.names()) && (!plan.keeps_paths || runs_older())
}

/// Renders what should exist.
pub(super) async fn make(
    target: &Target<'_>,
    kind: &WorkspaceKind,
    inputs: Inputs,
) -> Result<(Plan, Vec<RenderedAction>), PlanError> {
    let (set, pod) = (observe::stateful_set(target), observe::pod(target));
    let (set, pod) = (set.as_deref(), pod.as_deref());
    let make = |record: &RestartRecord, kept: &KeptPaths| Plan::make(inputs.clone(), record, kept, target, kind);
    let mut record = RestartRecord::next(&target.workspace.spec.pod_template, set, pod);
    let mut rendered = make(&record, &KeptPaths::default())?;
    let is_set_written = differs(set, &rendered.0, ChildKind::StatefulSet);
    // One that has happened is forgotten where the StatefulSet is written anyway.
    let without_done = record.without_done(set, pod).filter(|_| is_set_written);
    let kept = kept_paths(target, &rendered.0, is_set_written, (set, pod)).await?;
    if without_done.is_some() || kept != KeptPaths::default() {
        record = without_done.unwrap_or(record);
        rendered = make(&record, &kept)?;
    }
    Ok(rendered)
}

/// The paths that a route about to be written must keep, because a pod runs that is not, or will not be, on the current
/// template.
async fn kept_paths(
    target: &Target<'_>,
    plan: &Plan,
    is_set_written: bool,
    (set, pod): (Option<&Child>, Option<&Pod>),
) -> Result<KeptPaths, ApplyError> {
    let rollout = Rollout::of(set, pod);
    let route =
        target.context.stores.children(ChildKind::VirtualService).get(&target.key(&target.names().virtual_service));
    let is_route_written = route.is_some_and(|route| differs(Some(&route), plan, ChildKind::VirtualService));
    if !is_route_written || !(is_older(rollout) || is_set_written && rollout == Rollout::Current) {
        return Ok(KeptPaths::default());
    }
    let Identity { key: Key { namespace, name }, uid, .. } = &target.workspace.identity;
    let stored = target.api(ChildKind::VirtualService).read(&target.names().virtual_service).await?;
    let stored = stored.filter(|stored| stored.child.is_owned_by(uid));
    Ok(stored.map(|stored| KeptPaths::of_stored(&stored.spec, namespace, name)).unwrap_or_default())
}

/// Whether a pod runs that may be on an older template.
fn is_older(rollout: Rollout) -> bool {
    matches!(rollout, Rollout::Outdated | Rollout::Unseen)
}

/// Whether a child is not the one that is planned.
fn differs(child: Option<&Child>, plan: &Plan, kind: ChildKind) -> bool {
    child.and_then(|child| child.applied_hash.as_ref()) != plan.applied(kind)
}
