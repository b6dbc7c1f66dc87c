//! What has to be reconciled after an event of a store.

use std::sync::Arc;

use super::child::Child;
use super::collection::{Change, Progress};
use super::image_source::ImageSource;
use super::kind::StoredKind;
use super::namespace::StoredNamespace;
use super::pod::Pod;
use super::read_model::ReadModel;
use super::slim::{Identity, Key, Slim};
use super::triggers::Urgency;
use super::watch::StoreEvent;
use super::workspace::StoredWorkspace;
use crate::render::names::ChildNames;
use crate::render::{ChildKind, Serves};

impl ReadModel {
    /// The kind, and the Workspaces that use it.
    pub(super) fn kind_event(&self, event: StoreEvent<'_, StoredKind>) {
        let Some((change, urgency)) = event.change(Urgency::Now) else { return };
        let key = key_of(change);
        self.trigger_kind(key.name(), urgency);
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && after.is_same_template(before)
        {
            return;
        }
        for workspace in self.workspaces.indexed(key.name()) {
            self.trigger(&workspace.identity.key, Urgency::Bulk);
        }
    }

    /// The Workspace, its route when it is being deleted or gone, and the kind whose use changed.
    pub(super) fn workspace_event(&self, event: StoreEvent<'_, StoredWorkspace>) {
        let Some((change, urgency)) = event.change(Urgency::Now) else { return };
        self.trigger(&key_of(change), urgency);
        for kind in changed_use(change) {
            self.trigger_kind(kind, urgency.min(Urgency::Debounced));
        }
        let after = change.after.as_ref();
        for workspace in change.before.iter().chain(after) {
            let Identity { key, uid, .. } = &workspace.identity;
            let stays = after.is_some_and(|after| after.identity.uid == *uid && !after.identity.deleting);
            if !stays {
                self.abandon_routes(key, uid);
            }
        }
    }

    /// The Workspaces that the child may concern.
    pub(super) fn child_event(&self, kind: ChildKind, event: StoreEvent<'_, Child>) {
        let Some((change, urgency)) = event.change(Urgency::Debounced) else {
            // Such children can be created and deleted now, or no longer.
            self.trigger_workspaces();
            if kind.row().serves == Serves::Route {
                self.children[kind].for_each(|route| self.trigger_abandoned(route));
            }
            return;
        };
        for child in change.before.iter().chain(&change.after) {
            for workspace in child.workspaces() {
                self.trigger(&Key::new(child.identity.key.namespace(), workspace), urgency);
            }
        }
        if kind.row().serves == Serves::Route
            && let Some(route) = &change.after
        {
            self.trigger_abandoned(route);
        }
    }

    /// The Workspace of the pod.
    pub(super) fn pod_event(&self, event: StoreEvent<'_, Pod>) {
        let Some((change, urgency)) = event.change(Urgency::Debounced) else { return };
        for pod in change.before.iter().chain(&change.after) {
            if let Some(workspace) = &pod.workspace {
                self.trigger(&Key::new(pod.identity.key.namespace(), workspace), urgency);
            }
        }
    }

    /// The Workspaces of a namespace that came to be selected, or is not any longer: then they are only forgotten.
    pub(super) fn namespace_event(&self, event: StoreEvent<'_, StoredNamespace>) {
        let Some(selector) = &self.watched.selector else { return };
        let routes = &self.children[ChildKind::VirtualService];
        let Some((change, urgency)) = event.change(Urgency::Debounced) else {
            let namespaces = self.namespaces.keys().len();
            tracing::info!(selector, namespaces, "the namespaces that are selected are known");
            routes.for_each(|route| self.trigger_abandoned(route));
            return;
        };
        // Before the first list is complete nothing is reconciled, and then everything is.
        if change.before.is_some() == change.after.is_some() || self.namespaces.progress() != Progress::Synced {
            return;
        }
        let namespace = key_of(change);
        let namespace = namespace.name();
        if change.after.is_some() {
            tracing::info!(namespace, "the namespace is selected: its Workspaces are reconciled from now on");
            self.selected.notify_one();
        } else {
            tracing::info!(namespace, "the namespace is not selected any longer: nothing is written there from now on");
        }
        self.workspaces.for_each(|workspace| {
            if workspace.identity.key.namespace() == namespace {
                self.trigger(&workspace.identity.key, urgency);
            }
        });
        routes.for_each(|route| {
            if route.identity.key.namespace() == namespace {
                self.trigger_abandoned(route);
            }
        });
    }

    /// Whether the Workspaces of a namespace are reconciled.
    pub(super) fn is_reconciled(&self, namespace: &str) -> bool {
        self.watched.selector.is_none() || self.namespaces.get(&Key::new("", namespace)).is_some()
    }

    /// The kinds with an image in the ConfigMap; all that have any when it becomes known whether they may be read.
    pub(super) fn image_source_event(&self, event: StoreEvent<'_, ImageSource>) {
        let changed = event.change(Urgency::Debounced).map(|(change, urgency)| (key_of(change), urgency));
        let urgency = changed.as_ref().map_or(Urgency::Bulk, |(_, urgency)| *urgency);
        for key in self.kinds.keys() {
            let Some(kind) = self.kinds.get(&key) else { continue };
            let is_in = |source: Key| changed.as_ref().is_none_or(|(changed, _)| source == *changed);
            if kind.image_sources().any(is_in) {
                self.trigger_kind(key.name(), urgency);
            }
        }
    }

    /// The Workspace with that uid is being deleted, or gone: so its routes are deleted too, whatever their names.
    pub(super) fn abandon_routes(&self, workspace: &Key, uid: &str) {
        if self.watched.istio && !uid.is_empty() {
            let identity = Identity { key: workspace.clone(), uid: uid.into(), ..Identity::default() };
            let names = ChildNames::new(workspace.name(), uid);
            for route in self.children[ChildKind::VirtualService].owned_by(&identity, &names) {
                self.route_triggers.add(route.identity.key.clone(), Urgency::Now);
            }
        }
    }

    /// Whether a route is ours, or was taken over, and was made for a Workspace that is not known to exist.
    pub(super) fn is_abandoned(&self, route: &Child) -> bool {
        let is_ours = route.is_ours() && self.is_reconciled(route.identity.key.namespace());
        let workspace = route.made_for().filter(|_| is_ours).map(|name| Key::new(route.identity.key.namespace(), name));
        workspace.is_some_and(|workspace| {
            let known = self.workspaces.get(&workspace);
            !known.is_some_and(|known| !known.identity.deleting && route.is_made_for(&known.identity))
        })
    }

    /// Every Workspace, every kind, and every route that is to be deleted.
    pub(super) fn trigger_all(&self) {
        self.trigger_workspaces();
        self.children[ChildKind::VirtualService].for_each(|route| self.trigger_abandoned(route));
        for key in self.kinds.keys() {
            self.trigger_kind(key.name(), Urgency::Bulk);
        }
    }

    fn trigger_workspaces(&self) {
        for key in self.workspaces.keys() {
            self.trigger(&key, Urgency::Bulk);
        }
    }

    fn trigger_abandoned(&self, route: &Child) {
        if self.is_abandoned(route) {
            self.route_triggers.add(route.identity.key.clone(), Urgency::Now);
        }
    }

    fn trigger_kind(&self, name: &str, urgency: Urgency) {
        if self.watched.kinds {
            self.kind_triggers.add(Key::new("", name), urgency);
        }
    }

    fn trigger(&self, workspace: &Key, urgency: Urgency) {
        if self.watched.children || self.watched.istio {
            self.triggers.add(workspace.clone(), urgency);
        }
    }
}

/// The kinds that are used by one Workspace more or less than before, or with another option.
fn changed_use(change: &Change<StoredWorkspace>) -> impl Iterator<Item = &str> {
    let used = |workspace: &Arc<StoredWorkspace>| (workspace.identity.uid.clone(), workspace.indexes());
    let is_same = change.before.as_ref().map(used) == change.after.as_ref().map(used);
    let both = change.before.iter().chain(&change.after).filter(move |_| !is_same);
    both.map(|workspace| workspace.spec.kind.as_str())
}

fn key_of<T: Slim>(change: &Change<T>) -> Key {
    let object = change.after.as_ref().or(change.before.as_ref());
    object.map(|object| object.identity().key.clone()).unwrap_or_default()
}
