//! What the process knows of the cluster: slim reflectors of WorkspaceKinds, Workspaces and their children, and the read
//! model that admission asks. The only place with watches; it writes nothing.

pub mod child;
pub mod collection;
mod kind;
pub mod metadata;
mod notebook;
pub mod pod;
pub mod slim;
mod triggers;
mod watch;
pub mod workspace;

use std::sync::Arc;

use crds::WorkspaceKind;
use crds::labels::WORKSPACE_NAME_LABEL;
use crds::options::KindOption;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::istio::VirtualService;
use crate::render::names::ChildNames;
use child::Child;
use collection::{Change, Collection, Progress};
use kind::StoredKind;
use notebook::StoredNotebook;
use pod::Pod;
use slim::{Identity, Incoming, Key, Slim};
use watch::News;
use workspace::StoredWorkspace;

pub use triggers::{Triggers, Urgency};

/// A watch to be run for as long as the process lives: its name, and the future that never ends by itself.
pub type WatchTask = (&'static str, BoxFuture<'static, ()>);

/// What the process knows of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kinds: Collection<StoredKind>,
    workspaces: Collection<StoredWorkspace>,
    notebooks: Collection<StoredNotebook>,
    service_accounts: Collection<Child<ServiceAccount>>,
    stateful_sets: Collection<Child<StatefulSet>>,
    services: Collection<Child<Service>>,
    virtual_services: Collection<Child<VirtualService>>,
    pods: Collection<Pod>,
    triggers: Triggers,
    route_triggers: Triggers,
    watched: Watched,
}

/// What is watched beside kinds and Workspaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// Notebooks, which only admission asks about.
    pub notebooks: bool,
    /// Children of Workspaces, which only the reconciler asks about.
    pub children: bool,
    /// Of the children VirtualServices too.
    pub istio: bool,
}

/// A resource that is watched and has not been listed yet.
#[derive(Clone, Copy, Debug)]
pub struct Unlisted {
    /// Where it lies in the API.
    pub path: &'static str,
    /// Whether the API server has to serve it.
    pub expected: bool,
}

impl Stores {
    /// Stores of kinds, Workspaces and what else is to be watched.
    pub fn start(client: Client, watched: Watched) -> (Self, Vec<WatchTask>) {
        let stores = Self(Arc::new(Inner { watched, ..Inner::default() }));
        let mut tasks = vec![
            ("watch workspace kinds", stores.kind_task(client.clone())),
            ("watch workspaces", stores.workspace_task(client.clone())),
        ];
        if watched.notebooks {
            tasks.push(("watch notebooks", stores.notebook_task(client.clone())));
        }
        if !watched.children {
            return (stores, tasks);
        }
        let task =
            stores.child_task(client.clone(), "serviceaccounts", |all| &all.service_accounts, Inner::child_changed);
        tasks.push(("watch service accounts", task));
        let task = stores.child_task(client.clone(), "statefulsets", |all| &all.stateful_sets, Inner::child_changed);
        tasks.push(("watch stateful sets", task));
        let task = stores.child_task(client.clone(), "services", |all| &all.services, Inner::child_changed);
        tasks.push(("watch services", task));
        if watched.istio {
            let (name, changed) = ("virtualservices", Inner::route_changed);
            let task = stores.child_task(client.clone(), name, |all| &all.virtual_services, changed);
            tasks.push(("watch virtual services", task));
        }
        tasks.push(("watch pods", stores.pod_task(client)));
        (stores, tasks)
    }

    /// Whether all that is watched has been listed once. The CRDs of Istio and of Notebooks may be absent.
    pub fn synced(&self) -> bool {
        self.unlisted().is_empty()
    }

    /// What is watched and has not been listed yet.
    pub fn unlisted(&self) -> Vec<Unlisted> {
        let all = &self.0;
        let mut watched = vec![
            ("/apis/kubeflow.org/v1beta1/workspacekinds", true, all.kinds.progress()),
            ("/apis/kubeflow.org/v1beta1/workspaces", true, all.workspaces.progress()),
        ];
        if all.watched.notebooks {
            watched.push(("/apis/kubeflow.org/v1/notebooks", false, all.notebooks.progress()));
        }
        if all.watched.children {
            watched.extend([
                ("/api/v1/serviceaccounts", true, all.service_accounts.progress()),
                ("/apis/apps/v1/statefulsets", true, all.stateful_sets.progress()),
                ("/api/v1/services", true, all.services.progress()),
                ("/api/v1/pods", true, all.pods.progress()),
            ]);
        }
        if all.watched.istio {
            watched.push(("/apis/networking.istio.io/v1/virtualservices", false, all.virtual_services.progress()));
        }
        let is_listed = |expected: bool, progress| match progress {
            Progress::Synced => true,
            Progress::NotInstalled => !expected,
            Progress::Listing => false,
        };
        let unlisted = watched.into_iter().filter(|(_, expected, progress)| !is_listed(*expected, *progress));
        unlisted.map(|(path, expected, _)| Unlisted { path, expected }).collect()
    }

    /// Waits until [`Stores::synced`].
    pub async fn wait_synced(&self) {
        let all = &self.0;
        self.wait_read_model_synced().await;
        if all.watched.children {
            all.service_accounts.wait_until(synced).await;
            all.stateful_sets.wait_until(synced).await;
            all.services.wait_until(synced).await;
            all.pods.wait_until(synced).await;
        }
        if all.watched.istio {
            all.virtual_services.wait_until(known).await;
        }
    }

    /// Waits until what admission asks has been listed once.
    pub async fn wait_read_model_synced(&self) {
        self.0.kinds.wait_until(synced).await;
        self.0.workspaces.wait_until(synced).await;
    }

    /// Waits until it is known which Notebooks there are. Only the question for one depends on it: whatever is wrong with
    /// that resource must not stand in the way of anything else.
    pub async fn wait_notebooks_known(&self) {
        if self.0.watched.notebooks {
            self.0.notebooks.wait_until(known).await;
        }
    }

    /// The WorkspaceKind of that name.
    pub fn kind(&self, name: &str) -> Option<Arc<WorkspaceKind>> {
        self.0.kinds.get(&Key::new("", name)).map(|stored| stored.kind.clone())
    }

    /// The names of all WorkspaceKinds.
    pub fn kind_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.kinds.keys().into_iter().map(|key| key.name).collect();
        names.sort_unstable();
        names
    }

    /// How many Workspaces name the kind, paused and deleting ones too.
    pub fn count_users(&self, kind: &str) -> usize {
        self.0.workspaces.first_indexed(kind, 0).0
    }

    /// How many Workspaces name an option of the kind, paused and deleting ones too, and the keys of the first `few`.
    pub fn option_users(&self, kind: &str, option: &KindOption, few: usize) -> (usize, Vec<Key>) {
        self.0.workspaces.option_users(kind, option, few)
    }

    /// Whether there is a Notebook of that name. None where Notebooks are not served.
    pub fn has_notebook(&self, namespace: &str, name: &str) -> bool {
        self.0.notebooks.get(&Key::new(namespace, name)).is_some()
    }

    /// All Workspaces.
    pub fn workspaces(&self) -> &Collection<StoredWorkspace> {
        &self.0.workspaces
    }

    /// The ServiceAccounts of Workspaces.
    pub fn service_accounts(&self) -> &Collection<Child<ServiceAccount>> {
        &self.0.service_accounts
    }

    /// The StatefulSets of Workspaces.
    pub fn stateful_sets(&self) -> &Collection<Child<StatefulSet>> {
        &self.0.stateful_sets
    }

    /// The Services of Workspaces.
    pub fn services(&self) -> &Collection<Child<Service>> {
        &self.0.services
    }

    /// The VirtualServices of Workspaces. [`Progress::NotInstalled`] without Istio's CRDs.
    pub fn virtual_services(&self) -> &Collection<Child<VirtualService>> {
        &self.0.virtual_services
    }

    /// The pods of Workspaces.
    pub fn pods(&self) -> &Collection<Pod> {
        &self.0.pods
    }

    /// The Workspaces that have to be looked at.
    pub fn triggers(&self) -> &Triggers {
        &self.0.triggers
    }

    /// The VirtualServices whose Workspace is being deleted, gone or not known.
    pub fn route_triggers(&self) -> &Triggers {
        &self.0.route_triggers
    }

    /// The Workspace with that uid is being deleted, or gone: so goes its VirtualService.
    pub fn abandon_route(&self, workspace: &Key, uid: &str) {
        self.0.abandon_route(workspace, uid);
    }

    /// Whether the Workspace is known, not being deleted, and the one whose VirtualService has the name `route`.
    pub fn has_route(&self, workspace: &Key, route: &str) -> bool {
        self.0.has_route(workspace, route)
    }

    fn kind_task(&self, client: Client) -> BoxFuture<'static, ()> {
        let all = self.0.clone();
        async move {
            let tell = |news: News<'_, StoredKind>| {
                if let News::Changed(change) | News::Listed(change) = news {
                    all.kind_changed(change);
                }
            };
            watch::watch("workspacekinds", Api::all(client), watcher::Config::default(), &all.kinds, tell).await;
        }
        .boxed()
    }

    fn workspace_task(&self, client: Client) -> BoxFuture<'static, ()> {
        let all = self.0.clone();
        async move {
            let tell = |news: News<'_, StoredWorkspace>| match news {
                News::Changed(change) => all.workspace_changed(change, Urgency::Now),
                News::Listed(change) => all.workspace_changed(change, Urgency::Bulk),
                News::Installed => {}
            };
            watch::watch("workspaces", Api::all(client), watcher::Config::default(), &all.workspaces, tell).await;
        }
        .boxed()
    }

    fn notebook_task(&self, client: Client) -> BoxFuture<'static, ()> {
        let all = self.0.clone();
        async move {
            watch::watch("notebooks", Api::all(client), watcher::Config::default(), &all.notebooks, |_| {}).await;
        }
        .boxed()
    }

    fn child_task<K>(
        &self,
        client: Client,
        resource: &'static str,
        of: fn(&Inner) -> &Collection<Child<K>>,
        changed: fn(&Inner, &Change<Child<K>>, Urgency),
    ) -> BoxFuture<'static, ()>
    where
        K: kube::Resource<DynamicType = ()> + std::fmt::Debug + 'static,
    {
        let all = self.0.clone();
        async move {
            let tell = |news: News<'_, Child<K>>| match news {
                News::Changed(change) => changed(&all, change, Urgency::Debounced),
                News::Listed(change) => changed(&all, change, Urgency::Bulk),
                // Routes can be made now, or cannot any longer.
                News::Installed => all.trigger_all(),
            };
            let api: Api<Incoming<Child<K>>> = Api::all(client);
            watch::watch(resource, api, of_workspaces(), of(&all), tell).await;
        }
        .boxed()
    }

    fn pod_task(&self, client: Client) -> BoxFuture<'static, ()> {
        let all = self.0.clone();
        async move {
            let tell = |news: News<'_, Pod>| match news {
                News::Changed(change) => all.pod_changed(change, Urgency::Debounced),
                News::Listed(change) => all.pod_changed(change, Urgency::Bulk),
                News::Installed => {}
            };
            watch::watch("pods", Api::all(client), of_workspaces(), &all.pods, tell).await;
        }
        .boxed()
    }
}

impl Inner {
    fn trigger(&self, workspace: &Key, urgency: Urgency) {
        if self.watched.children {
            self.triggers.add(workspace.clone(), urgency);
        }
    }

    fn trigger_all(&self) {
        for key in self.workspaces.keys() {
            self.trigger(&key, Urgency::Bulk);
        }
    }

    fn abandon_route(&self, workspace: &Key, uid: &str) {
        if self.watched.istio && !uid.is_empty() {
            let route = Key::new(&workspace.namespace, &ChildNames::new(&workspace.name, uid).service);
            self.route_triggers.add(route, Urgency::Now);
        }
    }

    fn workspace_changed(&self, change: &Change<StoredWorkspace>, urgency: Urgency) {
        self.trigger(&key_of(change), urgency);
        let after = change.after.as_ref();
        for workspace in change.before.iter().chain(after) {
            let Identity { key, uid, .. } = &workspace.identity;
            let stays = after.is_some_and(|after| after.identity.uid == *uid && !after.identity.deleting);
            if !stays {
                self.abandon_route(key, uid);
            }
        }
    }

    fn route_changed(&self, change: &Change<Child<VirtualService>>, urgency: Urgency) {
        self.child_changed(change, urgency);
        let Some(route) = &change.after else { return };
        let Identity { key, .. } = &route.identity;
        let workspace = route.made_for().map(|name| Key::new(&key.namespace, name));
        if workspace.is_some_and(|workspace| !self.has_route(&workspace, &key.name)) {
            self.route_triggers.add(key.clone(), Urgency::Now);
        }
    }

    fn has_route(&self, workspace: &Key, route: &str) -> bool {
        let workspace = self.workspaces.get(workspace);
        workspace.is_some_and(|workspace| !workspace.identity.deleting && workspace.identity.has_route(route))
    }

    fn child_changed<K>(&self, change: &Change<Child<K>>, urgency: Urgency) {
        for child in change.before.iter().chain(&change.after) {
            for workspace in child.workspaces() {
                self.trigger(&Key::new(&child.identity.key.namespace, workspace), urgency);
            }
        }
    }

    fn pod_changed(&self, change: &Change<Pod>, urgency: Urgency) {
        for pod in change.before.iter().chain(&change.after) {
            if let Some(workspace) = &pod.workspace {
                self.trigger(&Key::new(&pod.identity.key.namespace, workspace), urgency);
            }
        }
    }

    fn kind_changed(&self, change: &Change<StoredKind>) {
        for workspace in self.workspaces.indexed(&key_of(change).name) {
            self.trigger(&workspace.identity.key, Urgency::Bulk);
        }
    }
}

fn synced(progress: Progress) -> bool {
    progress == Progress::Synced
}

/// Listed once, or not served.
fn known(progress: Progress) -> bool {
    progress != Progress::Listing
}

/// The objects that carry the label of children, whoever made them.
fn of_workspaces() -> watcher::Config {
    watcher::Config::default().labels(WORKSPACE_NAME_LABEL)
}

fn key_of<T: Slim>(change: &Change<T>) -> Key {
    let object = change.after.as_ref().or(change.before.as_ref());
    object.map(|object| object.identity().key.clone()).unwrap_or_default()
}
