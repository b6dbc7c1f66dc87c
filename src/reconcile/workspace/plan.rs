//! Plan: what should exist for a Workspace, in the form that is cheap to keep: hashes instead of objects.
//!
//! Most reconciles are about the pod. They need not render anything as long as Workspace and kind are those of the last
//! rendering.

use std::hash::{DefaultHasher, Hasher as _};

use crds::WorkspaceKind;
use crds::labels::RESTART_ANNOTATION;

use super::super::apply::{Hash, hash};
use super::restart::RestartRecord;
use super::target::Target;
use crate::render::names::ChildNames;
use crate::render::{self, Action, ChildAction, ChildKind, KeptPaths, Manifest, RenderFault, Route, SkippedMount};

/// What a rendering depends on, as digests. The settings do not change while the process lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Inputs {
    /// Uid and generation of the Workspace and of its kind, and what about its children is fixed ([`Fixed`]).
    objects: u64,
    /// Whether the account belongs to another owner.
    account_is_foreign: bool,
    /// What is recorded on the StatefulSet, see [`RestartRecord`].
    recorded: u64,
}

impl Inputs {
    pub fn new(target: &Target<'_>, kind: &WorkspaceKind, account_is_foreign: bool, recorded: Option<&str>) -> Self {
        let (workspace, kind) = (target.workspace, &kind.metadata);
        let workspace = (&workspace.identity.uid, workspace.generation);
        let objects = digest(&(workspace, &kind.uid, kind.generation, &target.fixed));
        Self { objects, account_is_foreign, recorded: digest(&recorded) }
    }
}

fn digest(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What should exist, as hashes.
#[derive(Debug)]
pub(super) struct Plan {
    inputs: Inputs,
    /// What the StatefulSet records, as [`Inputs`] have it.
    record: u64,
    /// The paths of the running pod that the route keeps.
    pub kept: KeptPaths,
    /// What is to be done about each child, in that order.
    pub actions: Box<[PlannedChild]>,
    /// The replicas of the StatefulSet.
    pub replicas: i32,
    /// The route that is desired.
    pub route: Route<()>,
    /// Mounts that were skipped, because another one has their path.
    pub skipped_mounts: Box<[SkippedMount]>,
}

/// What is planned for one child.
#[derive(Debug)]
pub(super) struct PlannedChild {
    pub kind: ChildKind,
    /// Its name where it does not follow from the kind: there may be several.
    name: Option<Box<str>>,
    pub action: Action<Hash>,
}

impl PlannedChild {
    fn new(rendered: &RenderedAction, names: &ChildNames) -> Self {
        let ChildAction { kind, name, action } = rendered;
        let name = kind.name(names).is_none().then(|| name.clone());
        Self { kind: *kind, name, action: action.as_ref().map(|(hash, _)| *hash) }
    }

    /// Its name; `names` are those that the plan is for.
    pub fn name<'a>(&'a self, names: &'a ChildNames) -> &'a str {
        self.name.as_deref().or_else(|| self.kind.name(names)).unwrap_or_default()
    }
}

/// What is to be done about a child, with the object to apply and its hash.
pub(super) type RenderedAction = ChildAction<(Hash, Box<dyn Manifest>)>;

impl Plan {
    /// Whether it was made from these.
    pub fn is_for(&self, inputs: &Inputs) -> bool {
        // Once it has been written, what it records is what is recorded.
        let is_written = inputs.recorded == self.record;
        let recorded = if is_written { self.inputs.recorded } else { inputs.recorded };
        self.inputs == Inputs { recorded, ..*inputs }
    }

    /// The hash of what is to be applied, of a kind of which there is one.
    pub fn applied(&self, kind: ChildKind) -> Option<&Hash> {
        let child = self.actions.iter().find(|child| child.kind == kind)?;
        match &child.action {
            Action::Apply(hash) => Some(hash),
            Action::KeepExisting | Action::Delete => None,
        }
    }

    /// The children about which there is something to be done, be it to delete them; `names` are those that it is for.
    pub fn children<'a>(&'a self, names: &'a ChildNames) -> impl Iterator<Item = (ChildKind, &'a str)> {
        self.actions.iter().map(|child| (child.kind, child.name(names)))
    }

    /// Renders, and keeps the hashes; the rendered objects are returned beside the plan, for those that have to be written.
    pub fn make(
        inputs: Inputs,
        record: &RestartRecord,
        kept: KeptPaths,
        target: &Target<'_>,
        kind: &WorkspaceKind,
    ) -> Result<(Self, Vec<RenderedAction>), RenderFault> {
        let (workspace, routing) = (target.workspace.render_input(), &target.context.routing);
        let mut desired = render::render_existing(workspace, target.fixed.clone(), &kind.spec, routing)?;
        let record = record.to_string();
        let annotations = desired.stateful_set.metadata.annotations.get_or_insert_default();
        let record_digest = digest(&Some(&*record));
        annotations.insert(RESTART_ANNOTATION.to_owned(), record);
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
        if let Route::Wanted(route) = &mut desired.route {
            kept.keep_in(&mut route.spec);
        }
        let route = desired.route.without_object();
        let skipped_mounts = std::mem::take(&mut desired.skipped_mounts).into();
        let rendered: Vec<_> = desired.into_actions().into_iter().map(|child| child.map(with_hash)).collect();
        let actions = rendered.iter().map(|child| PlannedChild::new(child, target.names())).collect();
        Ok((Self { inputs, record: record_digest, kept, actions, replicas, route, skipped_mounts }, rendered))
    }
}

fn with_hash(object: Box<dyn Manifest>) -> (Hash, Box<dyn Manifest>) {
    (hash(&*object), object)
}
