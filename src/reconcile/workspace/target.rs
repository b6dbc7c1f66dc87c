//! The Workspace that is reconciled, and where its children are.

use std::sync::Arc;
use std::time::Duration;

use crds::workspace::WorkspaceStatus;
use kube::Client;

use super::super::apply::ChildApi;
use super::super::engine::ReconcileCause;
use super::super::events::EventRecorder;
use crate::config::Routing;
use crate::metrics::Metrics;
use crate::render::ChildKind;
use crate::render::names::{ChildNames, Fixed};
use crate::stores::Stores;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

/// What every reconcile needs.
pub(in crate::reconcile) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    /// How long a pod that cannot be scheduled counts as Pending.
    pub scheduling_patience: Duration,
    pub metrics: Arc<Metrics>,
    pub recorder: EventRecorder,
}

/// The Workspace that is reconciled.
pub(super) struct Target<'a> {
    pub context: &'a Context,
    pub workspace: &'a StoredWorkspace,
    /// The status that it has.
    pub held: &'a WorkspaceStatus,
    /// Why it is reconciled.
    pub cause: ReconcileCause,
    /// What about its children follows from its name and uid.
    pub new: Fixed,
    /// What about them is as it is.
    pub fixed: Fixed,
}

impl<'a> Target<'a> {
    /// What its children are called.
    pub fn names(&self) -> &ChildNames {
        &self.fixed.names
    }

    /// Namespace and name of a child or a pod of that name.
    pub fn key(&self, name: &str) -> Key {
        Key::new(self.workspace.identity.key.namespace(), name)
    }

    /// Something was written or deleted that is not a child.
    pub fn count_write(&self, resource: &'static str) {
        self.context.metrics.written(resource, self.cause.label());
    }

    /// Where a child is read and written.
    pub fn api(&self, kind: ChildKind) -> ChildApi<'a> {
        let Context { client, stores, metrics, .. } = self.context;
        ChildApi::new(kind, client, metrics, &self.workspace.identity, stores.children(kind)).because(self.cause)
    }
}
