//! Plan: what should exist for a Workspace, in the form that is cheap to keep: hashes instead of objects.
//!
//! Most reconciles are about the pod. They need not render anything as long as Workspace and kind are those of the last
//! rendering.

use crds::WorkspaceKind;

use super::super::apply::{Hash, hash};
use crate::config::Routing;
use crate::render::{self, Action, Manifest, PerChild, RenderFault, Route, SkippedMount};
use crate::stores::workspace::StoredWorkspace;

/// What a rendering depends on. The settings do not change while the process lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Inputs {
    /// Uid and generation.
    workspace: (Box<str>, i64),
    /// Uid and generation.
    kind: (String, i64),
    /// Whether no pod may run for now.
    scaled_to_zero: bool,
}

impl Inputs {
    pub fn new(workspace: &StoredWorkspace, kind: &WorkspaceKind, scaled_to_zero: bool) -> Self {
        let metadata = &kind.metadata;
        Self {
            workspace: (workspace.identity.uid.clone(), workspace.generation),
            kind: (metadata.uid.clone().unwrap_or_default(), metadata.generation.unwrap_or_default()),
            scaled_to_zero,
        }
    }
}

/// What should exist, as hashes.
#[derive(Debug)]
pub(super) struct Plan {
    inputs: Inputs,
    /// What is to be done about each child, if anything.
    pub actions: PerChild<Option<Action<Hash>>>,
    /// The replicas of the StatefulSet.
    pub replicas: i32,
    /// The route that is desired.
    pub route: Route<()>,
    /// Mounts that were skipped, because another one has their path.
    pub skipped_mounts: Vec<SkippedMount>,
}

/// What is to be done about each child, with the objects to apply and their hashes.
pub(super) type RenderedActions = PerChild<Option<Action<(Hash, Box<dyn Manifest>)>>>;

impl Plan {
    /// Whether it was made from these.
    pub fn is_for(&self, inputs: &Inputs) -> bool {
        self.inputs == *inputs
    }

    /// Renders, and keeps the hashes; the rendered objects are returned beside the plan, for those that have to be written.
    pub fn make(
        inputs: Inputs,
        workspace: &StoredWorkspace,
        kind: &WorkspaceKind,
        routing: &Routing,
    ) -> Result<(Self, RenderedActions), RenderFault> {
        let mut desired = render::render(workspace.render_input(), &kind.spec, routing)?;
        let mut replicas = 0;
        if let Some(spec) = &mut desired.stateful_set.spec {
            if inputs.scaled_to_zero {
                spec.replicas = Some(0);
            }
            replicas = spec.replicas.unwrap_or_default();
        }
        let route = desired.route.without_object();
        let skipped_mounts = std::mem::take(&mut desired.skipped_mounts);
        let rendered = desired.into_actions().map(|action| action.map(|action| action.map(with_hash)));
        let hashes = |action: &Action<(Hash, _)>| action.as_ref().map(|(hash, _)| hash.clone());
        let actions = PerChild::new(|kind| rendered[kind].as_ref().map(hashes));
        Ok((Self { inputs, actions, replicas, route, skipped_mounts }, rendered))
    }
}

fn with_hash(object: Box<dyn Manifest>) -> (Hash, Box<dyn Manifest>) {
    (hash(&*object), object)
}
