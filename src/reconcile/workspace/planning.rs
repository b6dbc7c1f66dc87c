//! Planning: makes a plan with what it depends on beside the Workspace and its kind: the record of restarts, and the paths
//! under which a running pod is reached.

use crds::WorkspaceKind;

use super::super::apply::ApplyError;
use super::memory::Memory;
use super::observe;
use super::plan::{Inputs, Plan, RenderedAction};
use super::restart::{RestartRecord, Rollout};
use super::target::Target;
use crate::render::{ChildKind, KeptPaths, RenderFault};
use crate::stores::child::Child;
use crate::stores::pod::Pod;
use crate::stores::slim::Identity;

/// A plan, and what is to be done about it.
pub(super) struct Planned {
    pub plan: Plan,
    pub actions: Vec<RenderedAction>,
    /// Why the route is left as it is: the paths that it may have to keep could not be read.
    pub unread: Option<ApplyError>,
}

/// What a plan depends on.
pub(super) fn inputs(target: &Target<'_>, kind: &WorkspaceKind, memory: &Memory) -> Inputs {
    let set = observe::stateful_set(target);
    let recorded = set.as_ref().and_then(|set| set.restart());
    Inputs::new(target, kind, memory.account_is_foreign, recorded)
}

/// Whether a plan is still one for these inputs, and for the pod.
pub(super) fn is_current(target: &Target<'_>, plan: &Plan, inputs: &Inputs) -> bool {
    let (set, pod) = (observe::stateful_set(target), observe::pod(target));
    let (set, pod) = (set.as_deref(), pod.as_deref());
    plan.is_for(inputs)
        && !RestartRecord::is_done(set, pod)
        && (plan.kept == KeptPaths::default() || is_older(Rollout::of(set, pod)))
}

/// Renders what should exist. `kept` are the paths that the route had to keep until now.
pub(super) async fn make(
    target: &Target<'_>,
    kind: &WorkspaceKind,
    inputs: Inputs,
    kept: KeptPaths,
) -> Result<Planned, RenderFault> {
    let (set, pod) = (observe::stateful_set(target), observe::pod(target));
    let (set, pod) = (set.as_deref(), pod.as_deref());
    let record = RestartRecord::next(&target.workspace.spec.pod_template, set, pod);
    let make = |kept: KeptPaths| Plan::make(inputs, &record, kept, target, kind);
    let knows_paths = kept != KeptPaths::default();
    let (mut plan, mut actions) = make(kept)?;
    let mut unread = None;
    if !knows_paths {
        match kept_paths(target, &plan, set, pod).await {
            Ok(kept) if kept == KeptPaths::default() => {}
            Ok(kept) => (plan, actions) = make(kept)?,
            Err(error) => {
                actions.retain(|action| action.kind != ChildKind::VirtualService);
                unread = Some(error);
            }
        }
    }
    Ok(Planned { plan, actions, unread })
}

/// The paths that a route about to be written must keep, because a pod runs that is not, or will not be, on the current
/// template. Only what is still ours of the route counts.
async fn kept_paths(
    target: &Target<'_>,
    plan: &Plan,
    set: Option<&Child>,
    pod: Option<&Pod>,
) -> Result<KeptPaths, ApplyError> {
    let (rollout, name) = (Rollout::of(set, pod), &target.names().virtual_service);
    let route = target.context.stores.children(ChildKind::VirtualService).get(&target.key(name));
    let is_route_written = route.is_some_and(|route| differs(Some(&route), plan, ChildKind::VirtualService));
    let will_be_older = rollout == Rollout::Current && differs(set, plan, ChildKind::StatefulSet);
    if target.workspace.spec.paused || !is_route_written || !(is_older(rollout) || will_be_older) {
        return Ok(KeptPaths::default());
    }
    let Identity { key, uid, .. } = &target.workspace.identity;
    let (namespace, workspace) = key.parts();
    let stored = target.api(ChildKind::VirtualService).read(name).await?;
    let stored = stored.filter(|stored| stored.child.is_owned_by(uid) && stored.child.owns("/f:spec/f:http"));
    Ok(stored.map(|stored| KeptPaths::of_stored(&stored.spec, namespace, workspace)).unwrap_or_default())
}

/// Whether a pod runs that may be on an older template.
fn is_older(rollout: Rollout) -> bool {
    matches!(rollout, Rollout::Outdated | Rollout::Unseen)
}

/// Whether a child is not the one that is planned.
fn differs(child: Option<&Child>, plan: &Plan, kind: ChildKind) -> bool {
    child.and_then(|child| child.applied_hash.as_ref()) != plan.applied(kind)
}
