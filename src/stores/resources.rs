//! The one table of what is watched. Start, readiness and the waits follow from it.

use std::sync::Arc;

use crds::labels::WORKSPACE_NAME_LABEL;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1 as core;
use kube::{Api, Client, Resource};
use tokio::sync::watch::Receiver;

use super::child::{Child, ChildObject, ChildType, WatchedChild};
use super::collection::Progress;
use super::image_source::ImageSource;
use super::kind::StoredKind;
use super::namespace::StoredNamespace;
use super::notebook::StoredNotebook;
use super::pod::Pod;
use super::read_model::{ReadModel, Watched};
use super::slim::Incoming;
use super::watch::{Necessity, StoreEvent, WatchOptions, watch};
use super::workspace::StoredWorkspace;
use crate::notebook::Notebook;
use crate::rbac::AccessRule;
use crate::render::{ChildKind, ChildRow, Serves};

/// A resource that is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WatchedResource {
    WorkspaceKinds,
    Workspaces,
    Notebooks,
    Children(ChildKind),
    Pods,
    ImageSources,
    Namespaces,
}

/// The ConfigMaps with images. The API server compares labels, so no other ConfigMap is ever sent.
const IMAGE_SOURCES: &str = "notebooks.kubeflow.org/image-source=true";

impl WatchedResource {
    /// What is watched under `watched`.
    pub fn all(watched: &Watched) -> impl Iterator<Item = Self> {
        let children = ChildKind::ALL.into_iter().filter(move |kind| match kind.row().serves {
            Serves::Pod | Serves::Neither => watched.children || (watched.istio && *kind == ChildKind::Service),
            Serves::Route => watched.istio,
        });
        [Self::WorkspaceKinds, Self::Workspaces]
            .into_iter()
            .chain(watched.notebooks.then_some(Self::Notebooks))
            .chain(children.map(Self::Children))
            .chain(watched.children.then_some(Self::Pods))
            .chain(watched.kinds.then_some(Self::ImageSources))
            .chain((watched.children || watched.selector.is_some()).then_some(Self::Namespaces))
    }

    /// The plural in paths, which is also its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkspaceKinds => "workspacekinds",
            Self::Workspaces => "workspaces",
            Self::Notebooks => "notebooks",
            Self::Children(kind) => kind.row().plural,
            Self::Pods => "pods",
            Self::ImageSources => "configmaps",
            Self::Namespaces => "namespaces",
        }
    }

    /// Its path in the API, for all namespaces.
    pub fn path(self) -> String {
        match self {
            Self::WorkspaceKinds => crds::WorkspaceKind::url_path(&(), None),
            Self::Workspaces => crds::Workspace::url_path(&(), None),
            Self::Notebooks => Notebook::url_path(&(), None),
            Self::Children(kind) => ChildObject::url_path(&kind.into(), None),
            Self::Pods => core::Pod::url_path(&(), None),
            Self::ImageSources => core::ConfigMap::url_path(&(), None),
            Self::Namespaces => core::Namespace::url_path(&(), None),
        }
    }

    /// The rule of a ClusterRole that allows what is done with it under `watched`.
    pub fn rule(self, watched: &Watched) -> AccessRule {
        let (group, verbs): (_, &[_]) = match self {
            Self::Children(kind) if kind.row().serves != Serves::Route && watched.is_only_routes() => {
                (kind.row().group, &["list", "watch"])
            }
            // Admission asks for one that is not known, and the finalizer is patched.
            Self::WorkspaceKinds if !watched.notebooks && !watched.kinds => (crds::GROUP, &["list", "watch"]),
            Self::WorkspaceKinds | Self::Workspaces | Self::Notebooks => (crds::GROUP, &["get", "list", "watch"]),
            Self::Children(kind) => (kind.row().group, ChildRow::VERBS),
            Self::Pods | Self::ImageSources | Self::Namespaces => ("", &["list", "watch"]),
        };
        AccessRule { group, resource: self.name(), verbs }
    }

    /// What depends on it under `watched`.
    pub fn necessity(self, watched: &Watched) -> Necessity {
        match self {
            // Nothing is known to be selected.
            Self::Namespaces if watched.selector.is_some() => Necessity::Required,
            Self::Notebooks => Necessity::Optional("a Workspace may get the name of a Notebook"),
            Self::ImageSources => {
                Necessity::Optional("the icons and logos of WorkspaceKinds that are in ConfigMaps are not found")
            }
            Self::Namespaces => {
                Necessity::Optional("no Workspace is paused by activityRules that select namespaces by their labels")
            }
            Self::Children(kind) => match kind.row().serves {
                Serves::Pod => Necessity::Required,
                Serves::Neither => Necessity::Optional("the ClusterRoles of WorkspaceKinds are not granted"),
                Serves::Route => Necessity::Recommended,
            },
            Self::WorkspaceKinds | Self::Workspaces | Self::Pods => Necessity::Required,
        }
    }

    /// How far its store is.
    pub fn progress(self, stores: &ReadModel) -> Receiver<Progress> {
        match self {
            Self::WorkspaceKinds => stores.kinds.subscribe(),
            Self::Workspaces => stores.workspaces.subscribe(),
            Self::Notebooks => stores.notebooks.subscribe(),
            Self::Children(kind) => stores.children[kind].subscribe(),
            Self::Pods => stores.pods.subscribe(),
            Self::ImageSources => stores.image_sources.subscribe(),
            Self::Namespaces => stores.namespaces.subscribe(),
        }
    }

    fn options(self, watched: &Watched) -> WatchOptions {
        let label = match self {
            // The objects with the label of children, whichever client created them.
            Self::Children(_) | Self::Pods => Some(WORKSPACE_NAME_LABEL.to_owned()),
            Self::ImageSources => Some(IMAGE_SOURCES.to_owned()),
            // The API server says which namespaces are selected, and when one no longer is.
            Self::Namespaces => watched.selector.clone(),
            Self::WorkspaceKinds | Self::Workspaces | Self::Notebooks => None,
        };
        // A namespace may have been taken from this controller meanwhile.
        let expires = (self == Self::Namespaces && watched.selector.is_some())
            .then_some("none is treated as selected, and nothing is written");
        // A ConfigMap can have a megabyte.
        let page = if self == Self::ImageSources { 10 } else { 500 };
        let (necessity, rule) = (self.necessity(watched), self.rule(watched));
        WatchOptions { name: self.name(), necessity, rule, label, field: None, page, expires }
    }

    /// Keeps its store current. Never returns.
    pub fn watch(self, stores: Arc<ReadModel>, client: &Client) -> BoxFuture<'static, ()> {
        let (client, options) = (client.clone(), self.options(&stores.watched));
        match self {
            Self::WorkspaceKinds => async move {
                let on_event = |event: StoreEvent<'_, StoredKind>| stores.kind_event(event);
                let api: Api<Incoming<StoredKind>> = Api::all(client);
                watch(options, vec![api], &stores.kinds, on_event).await;
            }
            .boxed(),
            Self::Workspaces => async move {
                let on_event = |event: StoreEvent<'_, StoredWorkspace>| stores.workspace_event(event);
                let api: Api<Incoming<StoredWorkspace>> = Api::all(client);
                watch(options, vec![api], &stores.workspaces, on_event).await;
            }
            .boxed(),
            Self::Notebooks => async move {
                let api: Api<Incoming<StoredNotebook>> = Api::all(client);
                watch(options, vec![api], &stores.notebooks, |_| {}).await;
            }
            .boxed(),
            Self::Children(kind) => watch_children(kind, stores, client, options).boxed(),
            Self::Pods => async move {
                let on_event = |event: StoreEvent<'_, Pod>| stores.pod_event(event);
                let api: Api<Incoming<Pod>> = Api::all(client);
                watch(options, vec![api], &stores.pods, on_event).await;
            }
            .boxed(),
            Self::ImageSources => async move {
                let on_event = |event: StoreEvent<'_, ImageSource>| stores.image_source_event(event);
                let api: Api<Incoming<ImageSource>> = Api::all(client);
                watch(options, vec![api], &stores.image_sources, on_event).await;
            }
            .boxed(),
            Self::Namespaces => async move {
                let on_event = |event: StoreEvent<'_, StoredNamespace>| stores.namespace_event(event);
                let api: Api<Incoming<StoredNamespace>> = Api::all(client);
                watch(options, vec![api], &stores.namespaces, on_event).await;
            }
            .boxed(),
        }
    }
}

async fn watch_children(kind: ChildKind, stores: Arc<ReadModel>, client: Client, options: WatchOptions) {
    let on_event = |event: StoreEvent<'_, Child>| stores.child_event(kind, event);
    let collection = &stores.children[kind];
    let types = ChildType::all(kind);
    if kind.row().has_spec {
        let apis = types.map(|of| Api::<Incoming<WatchedChild>>::all_with(client.clone(), &of)).collect();
        watch(options, apis, collection, on_event).await;
    } else {
        let apis = types.map(|of| Api::<Incoming<Child>>::all_with(client.clone(), &of)).collect();
        watch(options, apis, collection, on_event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_sources_have_the_label() {
        assert_eq!(IMAGE_SOURCES, format!("{}=true", crds::labels::IMAGE_SOURCE_LABEL));
    }

    #[test]
    fn every_resource_has_its_path() {
        let watched = Watched { notebooks: true, children: true, kinds: true, istio: true, selector: None };
        let paths: Vec<String> = WatchedResource::all(&watched).map(WatchedResource::path).collect();
        let of_others = [
            "/apis/kubeflow.org/v1beta1/workspacekinds",
            "/apis/kubeflow.org/v1/notebooks",
            "/api/v1/pods",
            "/api/v1/configmaps",
        ];
        let of_children = ["/api/v1/services", "/apis/networking.istio.io/v1/virtualservices"];
        for path in of_others.iter().chain(&of_children) {
            assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
        }
        for (resource, path) in WatchedResource::all(&watched).zip(&paths) {
            assert!(path.ends_with(&format!("/{}", resource.name())), "{path}");
        }
        let only_admission = Watched { notebooks: true, ..Watched::default() };
        assert_eq!(WatchedResource::all(&only_admission).count(), 3);
    }

    /// Without a selector nothing but the labels that activity rules select by depends on namespaces.
    #[test]
    fn only_a_list_of_selected_namespaces_expires() {
        let selected = Watched { istio: true, selector: Some("team=a".to_owned()), ..Watched::default() };
        let every = Watched { children: true, istio: true, ..Watched::default() };
        let expiring = |watched: &Watched| -> Vec<(&'static str, Option<&'static str>)> {
            let options = WatchedResource::all(watched).map(|resource| resource.options(watched));
            options.filter(|options| options.expires.is_some()).map(|options| (options.name, options.expires)).collect()
        };
        assert_eq!(expiring(&selected), [("namespaces", Some("none is treated as selected, and nothing is written"))]);
        assert_eq!(expiring(&every), []);
    }

    /// Beside the Go controller, which has the rest.
    #[test]
    fn for_routes_alone_little_is_watched_and_services_are_only_read() {
        let watched = Watched { istio: true, ..Watched::default() };
        let rules: Vec<String> =
            WatchedResource::all(&watched).map(|resource| resource.rule(&watched).to_string()).collect();
        let expected = [
            r#"{apiGroups: ["kubeflow.org"], resources: ["workspacekinds"], verbs: ["list", "watch"]}"#,
            r#"{apiGroups: ["kubeflow.org"], resources: ["workspaces"], verbs: ["get", "list", "watch"]}"#,
            r#"{apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]}"#,
            "{apiGroups: [\"networking.istio.io\"], resources: [\"virtualservices\"], verbs: [\"get\", \"list\", \"watch\", \
             \"create\", \"patch\", \"delete\"]}",
        ];
        assert_eq!(rules, expected);
    }
}
