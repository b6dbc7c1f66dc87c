//! Existing children: which of the objects that belong to a Workspace are its children, and under which names.
//!
//! Names follow from name and uid of the Workspace, but the Go controller gave its objects random ones. What belongs to the
//! Workspace, by the uid of its controller, is its child whatever it is called. Should there be two, one is kept.

use std::cmp::Reverse;
use std::sync::Arc;

use crds::workspace::WorkspaceStatus;

use super::super::apply::{ApplyError, ChildApi};
use super::memory::Memory;
use super::observe;
use super::target::Context;
use crate::render::ChildKind;
use crate::render::names::Fixed;
use crate::stores::child::Child;
use crate::stores::collection::Progress;
use crate::stores::workspace::StoredWorkspace;

/// What about the children of the Workspace is as it is; `held` is its status, `new` is that of one without children.
///
/// # Errors
/// A child is not known to be absent.
pub(super) async fn find(
    context: &Context,
    workspace: &StoredWorkspace,
    held: &WorkspaceStatus,
    new: &Fixed,
    memory: &mut Memory,
) -> Result<Fixed, ApplyError> {
    let owned = |kind| context.stores.children(kind).owned_by(&workspace.identity, &new.names);
    let is_new = *held == WorkspaceStatus::default();
    let looks = !is_new && !memory.has_looked;
    let mut sets = owned(ChildKind::StatefulSet);
    if sets.is_empty() && looks {
        sets = hidden(context, workspace, ChildKind::StatefulSet, memory).await?;
    }
    // The cache loses what loses its label.
    let mut fixed = memory.fixed.as_deref().unwrap_or(new).clone();
    if let Some(set) = kept(&sets, |set| pod_of(context, set)) {
        set.identity.key.name().clone_into(&mut fixed.names.stateful_set);
        fixed.ordered_ready = set.is_ordered_ready();
    }
    // An apply finds what has a name of ours, with or without a label. The Go controller gives other names to all three.
    let is_adopted = fixed.names.stateful_set != new.names.stateful_set;
    for (kind, name) in
        [(ChildKind::Service, &mut fixed.names.service), (ChildKind::VirtualService, &mut fixed.names.virtual_service)]
    {
        let mut children = owned(kind);
        if children.is_empty() && looks && is_adopted && context.stores.children(kind).progress() == Progress::Synced {
            children = hidden(context, workspace, kind, memory).await?;
        }
        if let Some(child) = kept_without_pod(&children) {
            child.identity.key.name().clone_into(name);
        }
    }
    memory.has_looked = true;
    memory.fixed = (fixed != *new).then(|| Box::new(fixed.clone()));
    Ok(fixed)
}

/// The children of that kind that belong to the Workspace, of all in its namespace: one that has lost its label is not watched.
/// What others own by it has none either.
async fn hidden(
    context: &Context,
    workspace: &StoredWorkspace,
    kind: ChildKind,
    memory: &mut Memory,
) -> Result<Vec<Arc<Child>>, ApplyError> {
    let Context { client, stores, metrics, .. } = context;
    let api = ChildApi::new(kind, client, metrics, &workspace.identity, stores.children(kind));
    let children = api.list_owned().await?;
    for child in &children {
        let name = child.identity.key.name();
        tracing::info!(kind = kind.row().kind, child = name, "found without its label");
        memory.children.of(kind, name).expect_existing();
    }
    Ok(children)
}

/// Whether a StatefulSet has a pod.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PodOf {
    None,
    NotRunning,
    Running,
}

fn pod_of(context: &Context, set: &Child) -> PodOf {
    match observe::pod_of(context, set) {
        None => PodOf::None,
        Some(pod) if &*pod.phase == "Running" => PodOf::Running,
        Some(_) => PodOf::NotRunning,
    }
}

/// As [`kept`], of those that no pod belongs to.
pub(in crate::reconcile) fn kept_without_pod(children: &[Arc<Child>]) -> Option<&Arc<Child>> {
    kept(children, |_| PodOf::None)
}

/// Which of several objects that are the same child is kept: one that is not being deleted before one that is, then one that a
/// controller made, then that with the running pod, then one that we applied to, then the first by name. Pure.
fn kept(children: &[Arc<Child>], pod_of: impl Fn(&Child) -> PodOf) -> Option<&Arc<Child>> {
    children.iter().max_by_key(|child| {
        let Child { identity, applied_hash, .. } = &***child;
        let is_of_controller = child.is_of_controller();
        (!identity.deleting, is_of_controller, pod_of(child), applied_hash.is_some(), Reverse(identity.key.name()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn child(name: &str, deleting: bool, applied: bool) -> Arc<Child> {
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        let annotations = if applied { json!({"notebooks.kubeflow.org/applied-hash": "h"}) } else { json!({}) };
        let manager = if name == "ws-theirs" { "kubectl" } else { "manager" };
        let metadata = json!({
            "name": name, "namespace": "ns", "uid": name, "annotations": annotations, "deletionTimestamp": deleted,
            "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": {}}],
        });
        Arc::new(serde_json::from_str(&json!({"metadata": metadata}).to_string()).unwrap())
    }

    #[test]
    fn the_one_with_the_running_pod_is_kept() {
        let pods = |child: &Child| match child.identity.key.name() {
            "ws-running" | "ws-theirs" => PodOf::Running,
            "ws-pending" => PodOf::NotRunning,
            _ => PodOf::None,
        };
        let table = [
            (vec![], None),
            (vec![("ws-a", false, false)], Some("ws-a")),
            (vec![("ws-a", true, true)], Some("ws-a")),
            (vec![("ws-a", true, true), ("ws-b", false, false)], Some("ws-b")),
            (vec![("ws-running", true, false), ("ws-b", false, false)], Some("ws-b")),
            (vec![("ws-a", false, true), ("ws-running", false, false)], Some("ws-running")),
            (vec![("ws-pending", false, true), ("ws-running", false, false)], Some("ws-running")),
            (vec![("ws-a", false, true), ("ws-pending", false, false)], Some("ws-pending")),
            (vec![("ws-a", false, false), ("ws-b", false, true)], Some("ws-b")),
            (vec![("ws-b", false, false), ("ws-a", false, false)], Some("ws-a")),
            (vec![("ws-theirs", false, true), ("ws-a", false, false)], Some("ws-a")),
            (vec![("ws-theirs", false, false)], Some("ws-theirs")),
        ];
        for (candidates, expected) in table {
            let children: Vec<_> =
                candidates.iter().map(|(name, deleting, applied)| child(name, *deleting, *applied)).collect();
            let found = kept(&children, pods).map(|child| child.identity.key.name());
            assert_eq!(found, expected, "{candidates:?}");
        }
    }
}
