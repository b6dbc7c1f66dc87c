//! Observe: the facts that a reconcile starts from, as the stores have them.

use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::workspace::WorkspaceStatus;

use super::super::engine::Requeue;
use super::memory::Memory;
use super::target::{Context, Target};
use crate::render::ChildKind;
use crate::render::names::pod_name;
use crate::stores::child::Child;
use crate::stores::metadata::OwnerKind;
use crate::stores::pod::Pod;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

/// How long a new Workspace waits for its kind before its status reports that there is none: the two come by watches of
/// their own, so one that was made just before may be seen just after.
const KIND_PATIENCE: Duration = Duration::from_millis(500);

/// A Workspace that exists, and its kind.
pub(super) struct Observed {
    pub workspace: Arc<StoredWorkspace>,
    /// The status that it has.
    pub held: WorkspaceStatus,
    /// None where there is no such kind.
    pub kind: Option<Arc<WorkspaceKind>>,
}

/// The Workspace and its kind; or why it is not reconciled now. A memory of an earlier Workspace of that name is dropped.
pub(super) fn observe(context: &Context, key: &Key, memory: &mut Memory) -> Result<Observed, Requeue> {
    let stores = &context.stores;
    if !stores.is_reconciled(key.namespace()) {
        return Err(Requeue::Forget);
    }
    let workspace = stores.workspaces().get(key).filter(|workspace| !workspace.identity.deleting);
    let uid = workspace.as_ref().map(|workspace| &workspace.identity.uid);
    if uid != Some(&memory.uid) {
        // The previous reconcile may just have written the route of a Workspace that is gone. Its other children are left
        // to the garbage collector, which follows their owner references.
        stores.abandon_routes(key, &memory.uid);
        *memory = Memory { uid: uid.cloned().unwrap_or_default(), ..Memory::default() };
    }
    let workspace = workspace.ok_or(Requeue::Forget)?;
    let held = workspace.status.unpack();
    let kind = stores.kind(&workspace.spec.kind);
    if kind.is_none() && may_be_late(&held, memory) && !std::mem::replace(&mut memory.missed_kind, true) {
        return Err(Requeue::After(KIND_PATIENCE));
    }
    Ok(Observed { workspace, held, kind })
}

/// Whether its kind, which is not there, may only not have been seen yet. One that something was planned from is gone.
fn may_be_late(held: &WorkspaceStatus, memory: &Memory) -> bool {
    held.observed_generation.is_none() && memory.plan.is_none()
}

/// Our StatefulSet.
pub(super) fn stateful_set(target: &Target<'_>) -> Option<Arc<Child>> {
    let sets = target.context.stores.children(ChildKind::StatefulSet);
    let set = sets.get(&target.key(&target.names().stateful_set))?;
    set.is_owned_by(&target.workspace.identity.uid).then_some(set)
}

/// Whether our Service exists.
pub(super) fn has_service(target: &Target<'_>) -> bool {
    target.api(ChildKind::Service).exists(&target.key(&target.names().service))
}

/// The pod of that StatefulSet.
pub(super) fn pod_of(context: &Context, set: &Child) -> Option<Arc<Pod>> {
    let (namespace, name) = set.identity.key.parts();
    let pod = context.stores.pods().get(&Key::new(namespace, &pod_name(name)))?;
    pod.owner.as_ref().is_some_and(|owner| owner.uid == set.identity.uid).then_some(pod)
}

/// The pod of our StatefulSet; also where that is gone, but not that of somebody else's set of its name.
pub(super) fn pod(target: &Target<'_>) -> Option<Arc<Pod>> {
    let stores = &target.context.stores;
    let key = target.key(&target.names().stateful_set);
    let set = stores.children(ChildKind::StatefulSet).get(&key);
    let pod = stores.pods().get(&target.key(&target.names().pod()))?;
    let owner =
        pod.owner.as_ref().filter(|owner| owner.kind == OwnerKind::StatefulSet && *owner.name == *key.name())?;
    let is_ours =
        set.is_none_or(|set| set.is_owned_by(&target.workspace.identity.uid) && set.identity.uid == owner.uid);
    is_ours.then_some(pod)
}
