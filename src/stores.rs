//! What the process knows of the cluster: slim reflectors of WorkspaceKinds, Workspaces and their children, and the read
//! model that admission asks. The only place with watches; it writes nothing.

pub mod applied_hash;
pub mod caches;
#[cfg(test)]
pub(crate) mod captured_log;
pub mod certificate_secret;
pub mod child;
pub mod collection;
mod events;
pub mod image_source;
pub mod kind;
pub mod metadata;
pub mod named;
mod namespace;
mod notebook;
mod packed_status;
pub mod pod;
mod read_model;
mod resources;
mod served;
pub mod slim;
mod triggers;
pub mod uid;
mod usage;
mod watch;
pub mod webhook_configuration;
pub mod workspace;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::WorkspaceKind;
use crds::options::KindOption;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use serde_json::Value;

use crate::rbac::AccessRule;
use crate::render::ChildKind;
use child::Child;
use collection::{Collection, Progress};
use image_source::ImageSource;
use kind::StoredKind;
use pod::Pod;
use read_model::ReadModel;
use resources::WatchedResource;
use slim::{Identity, Key};
use watch::{Necessity, StoreEvent};
use workspace::StoredWorkspace;

pub use read_model::Watched;
pub use served::{CrdsUnknown, StatusOf, older_crds};
pub use triggers::{Triggers, Urgency};

/// What is to be run for as long as the process lives: its name, and the future, which never returns.
pub type WatchTask = (String, BoxFuture<'static, ()>);

/// What the process knows of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores(Arc<ReadModel>);

/// A resource that is watched and has not been listed yet.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// Its path in the API, for all namespaces.
    pub path: String,
    /// The rule of a ClusterRole that allows what is done with it.
    pub rule: AccessRule,
    /// Whether the API server has to serve it.
    pub expected: bool,
}

impl Stores {
    /// Stores of kinds, Workspaces and what else is to be watched.
    pub fn start(client: &Client, watched: Watched) -> (Self, Vec<WatchTask>) {
        let stores = Self(Arc::new(ReadModel { watched, ..ReadModel::default() }));
        let task = |resource: WatchedResource| {
            (format!("watch {}", resource.name()), resource.watch(stores.0.clone(), client))
        };
        let mut tasks: Vec<WatchTask> = WatchedResource::all(&stores.0.watched).map(task).collect();
        // Whoever writes routes only writes no status, and it is not his CRDs that are installed.
        if !stores.0.watched.is_only_routes() {
            let (model, client) = (stores.0.clone(), client.clone());
            tasks.push((
                "schemas of the CRDs".to_owned(),
                async move { model.served.keep(client, || model.trigger_all()).await }.boxed(),
            ));
        }
        (stores, tasks)
    }

    /// Whether all that the process needs has been listed once. The CRDs of Istio may be absent; of what is optional
    /// nothing is needed.
    pub fn synced(&self) -> bool {
        self.unlisted().is_empty()
    }

    /// What the process needs and has not been listed yet.
    pub fn unlisted(&self) -> Vec<Unlisted> {
        let is_waited_for =
            |resource: &WatchedResource| match (resource.necessity(&self.0.watched), self.progress(*resource)) {
                (Necessity::Optional(_), _) | (_, Progress::Synced) => false,
                (Necessity::Recommended, progress) => progress != Progress::NotInstalled,
                (Necessity::Required, _) => true,
            };
        let waited_for = WatchedResource::all(&self.0.watched).filter(is_waited_for);
        let unlisted = waited_for.map(|resource| Unlisted {
            path: resource.path(),
            rule: resource.rule(&self.0.watched),
            expected: resource.necessity(&self.0.watched) == Necessity::Required,
        });
        unlisted.collect()
    }

    /// Waits until the API server has answered about all that is watched, and returns the names of the resources that may
    /// not be listed.
    pub async fn wait_answered(&self) -> Vec<&'static str> {
        for resource in WatchedResource::all(&self.0.watched) {
            // The sender lives as long as `self`.
            let _ = resource.progress(&self.0).wait_for(|progress| known(*progress)).await;
        }
        let is_forbidden = |resource: &WatchedResource| self.progress(*resource) == Progress::Forbidden;
        WatchedResource::all(&self.0.watched).filter(is_forbidden).map(WatchedResource::name).collect()
    }

    fn progress(&self, resource: WatchedResource) -> Progress {
        *resource.progress(&self.0).borrow()
    }

    /// Waits until all that the reconciler asks about has been listed, or is known not to be served or not allowed, and until
    /// it is known what the API server can store.
    pub async fn wait_synced(&self) {
        for resource in WatchedResource::all(&self.0.watched) {
            let enough = match resource.necessity(&self.0.watched) {
                Necessity::Required => synced,
                Necessity::Recommended => known,
                // Those that exist would be created again.
                Necessity::Optional(_) if matches!(resource, WatchedResource::Children(_)) => known,
                Necessity::Optional(_) => continue,
            };
            // The sender lives as long as `self`.
            let _ = resource.progress(&self.0).wait_for(|progress| enough(*progress)).await;
        }
        if !self.0.watched.is_only_routes() {
            self.0.served.wait_known().await;
        }
    }

    /// The part of a status that the API server keeps: the CRD of the object may be older than this version.
    pub fn kept_status(&self, of: StatusOf, status: Value) -> Value {
        self.0.served.kept(of, status)
    }

    /// Waits until what admission asks has been listed once.
    pub async fn wait_read_model_synced(&self) {
        self.0.kinds.wait_until(synced).await;
        self.0.workspaces.wait_until(synced).await;
    }

    /// Waits until it is known which Notebooks there are. Only the question for one depends on it: whatever is wrong with
    /// that resource must not block anything else.
    pub async fn wait_notebooks_known(&self) {
        if self.0.watched.notebooks {
            self.0.notebooks.wait_until(known).await;
        }
    }

    /// The WorkspaceKind of that name.
    pub fn kind(&self, name: &str) -> Option<Arc<WorkspaceKind>> {
        self.0.kinds.get(&Key::new("", name)).map(|stored| stored.kind.clone())
    }

    /// The WorkspaceKinds.
    pub fn kinds(&self) -> &Collection<StoredKind> {
        &self.0.kinds
    }

    /// The ConfigMaps with images, without these.
    pub fn image_sources(&self) -> &Collection<ImageSource> {
        &self.0.image_sources
    }

    /// The names of all WorkspaceKinds.
    pub fn kind_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.kinds.keys().into_iter().map(|key| key.name().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// How many Workspaces use the kind, paused and deleting ones too.
    pub fn count_workspaces_using_kind(&self, kind: &str) -> usize {
        self.0.workspaces.first_indexed(kind, 0).0
    }

    /// How many Workspaces use an option of the kind, paused and deleting ones too, and the keys of the first `few`.
    pub fn workspaces_using_option(&self, kind: &str, option: &KindOption, few: usize) -> (usize, Vec<Key>) {
        self.0.workspaces.using_option(kind, option, few)
    }

    /// Whether there is a Notebook of that name. False where Notebooks are not served or may not be listed.
    pub fn has_notebook(&self, namespace: &str, name: &str) -> bool {
        let notebooks = &self.0.notebooks;
        notebooks.progress() == Progress::Synced && notebooks.get(&Key::new(namespace, name)).is_some()
    }

    /// The Workspaces.
    pub fn workspaces(&self) -> &Collection<StoredWorkspace> {
        &self.0.workspaces
    }

    /// A write found that there is no such Workspace any longer: as if the watch had said so.
    pub fn forget_workspace(&self, gone: &Identity) {
        if let Some(change) = self.0.workspaces.remove(gone) {
            self.0.workspace_event(StoreEvent::Changed(&change));
        }
    }

    /// The children of that kind of all Workspaces. [`Progress::NotInstalled`] where the resource is not served.
    pub fn children(&self, kind: ChildKind) -> &Collection<Child> {
        &self.0.children[kind]
    }

    /// Whether the Workspaces of a namespace are reconciled. Those of others are another controller's: nothing is written there.
    pub fn is_reconciled(&self, namespace: &str) -> bool {
        self.0.is_reconciled(namespace)
    }

    /// Waits until Workspaces are reconciled of a namespace whose Workspaces were not.
    pub async fn namespace_selected(&self) {
        self.0.selected.notified().await;
    }

    /// The labels of a namespace. None where they are not known: it is new, not selected any longer, or namespaces have not been
    /// listed yet, or may not be.
    pub fn namespace_labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let namespaces = &self.0.namespaces;
        let found = namespaces.get(&Key::new("", namespace)).map(|found| found.labels.clone());
        found.filter(|_| namespaces.progress() == Progress::Synced)
    }

    /// The pods of Workspaces.
    pub fn pods(&self) -> &Collection<Pod> {
        &self.0.pods
    }

    /// Every Workspace and every kind has to be reconciled, and every route that is to be deleted.
    pub fn trigger_all(&self) {
        self.0.trigger_all();
    }

    /// Another replica reconciles, so that nothing that happens has to be kept for that; or this one does from now on.
    pub fn set_idle(&self, is_idle: bool) {
        for triggers in [self.triggers(), self.kind_triggers(), self.route_triggers()] {
            triggers.set_idle(is_idle);
        }
    }

    /// The Workspaces to reconcile.
    pub fn triggers(&self) -> &Triggers {
        &self.0.triggers
    }

    /// The WorkspaceKinds to reconcile.
    pub fn kind_triggers(&self) -> &Triggers {
        &self.0.kind_triggers
    }

    /// The VirtualServices whose Workspace is being deleted, gone or unknown.
    pub fn route_triggers(&self) -> &Triggers {
        &self.0.route_triggers
    }

    /// The Workspace with that uid is being deleted, or gone: so its VirtualServices are deleted too.
    pub fn abandon_routes(&self, workspace: &Key, uid: &str) {
        self.0.abandon_routes(workspace, uid);
    }

    /// Whether a route is ours, or was taken over, and was made for a Workspace that is not known to exist.
    pub fn is_abandoned(&self, route: &Child) -> bool {
        self.0.is_abandoned(route)
    }
}

fn synced(progress: Progress) -> bool {
    progress == Progress::Synced
}

/// Listed once, not served, or not allowed.
fn known(progress: Progress) -> bool {
    progress != Progress::Listing
}
