//! Plan: what should exist for a Workspace, in the form that is cheap to keep: hashes instead of objects.
//!
//! Most reconciles are about the pod. They need not render anything as long as Workspace and kind are those of the last
//! rendering.

use crds::WorkspaceKind;

use super::super::apply::{Hash, hash};
use crate::config::Routing;
use crate::render::{self, ChildAction, ChildKind, Manifest, RenderFault, Route, SkippedMount};
use crate::stores::workspace::StoredWorkspace;

/// What a rendering depends on. The settings do not change while the process lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Inputs {
    /// Uid and generation.
    workspace: (Box<str>, i64),
    /// Uid and generation.
    kind: (String, i64),
    /// Whether the account belongs to another owner.
    account_is_foreign: bool,
}

impl Inputs {
    pub fn new(workspace: &StoredWorkspace, kind: &WorkspaceKind, account_is_foreign: bool) -> Self {
        let metadata = &kind.metadata;
        Self {
            workspace: (workspace.identity.uid.clone(), workspace.generation),
            kind: (metadata.uid.clone().unwrap_or_default(), metadata.generation.unwrap_or_default()),
            account_is_foreign,
        }
    }
}

/// What should exist, as hashes.
#[derive(Debug)]
pub(super) struct Plan {
    inputs: Inputs,
    /// What is to be done about each child, in that order.
    pub actions: Vec<ChildAction<Hash>>,
    /// The replicas of the StatefulSet.
    pub replicas: i32,
    /// The route that is desired.
    pub route: Route<()>,
    /// Mounts that were skipped, because another one has their path.
    pub skipped_mounts: Vec<SkippedMount>,
}

/// What is to be done about a child, with the object to apply and its hash.
pub(super) type RenderedAction = ChildAction<(Hash, Box<dyn Manifest>)>;

impl Plan {
    /// Whether it was made from these.
    pub fn is_for(&self, inputs: &Inputs) -> bool {
        self.inputs == *inputs
    }

    /// Whether there is something to be done about that child, be it to delete it.
    pub fn names(&self, kind: ChildKind, name: &str) -> bool {
        self.actions.iter().any(|action| action.is_about(kind, name))
    }

    /// Renders, and keeps the hashes; the rendered objects are returned beside the plan, for those that have to be written.
    pub fn make(
        inputs: Inputs,
        workspace: &StoredWorkspace,
        kind: &WorkspaceKind,
        routing: &Routing,
    ) -> Result<(Self, Vec<RenderedAction>), RenderFault> {
        let mut desired = render::render(workspace.render_input(), &kind.spec, routing)?;
        let mut replicas = 0;
        if inputs.account_is_foreign {
            desired.role_bindings.clear();
        }
        if let Some(spec) = &mut desired.stateful_set.spec {
            if inputs.account_is_foreign {
                spec.replicas = Some(0);
            }
            replicas = spec.replicas.unwrap_or_default();
        }
        let route = desired.route.without_object();
        let skipped_mounts = std::mem::take(&mut desired.skipped_mounts);
        let rendered: Vec<_> = desired.into_actions().into_iter().map(|child| child.map(with_hash)).collect();
        let actions = rendered.iter().map(|child| child.as_ref().map(|(hash, _)| hash.clone())).collect();
        Ok((Self { inputs, actions, replicas, route, skipped_mounts }, rendered))
    }
}

fn with_hash(object: Box<dyn Manifest>) -> (Hash, Box<dyn Manifest>) {
    (hash(&*object), object)
}
