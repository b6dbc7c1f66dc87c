//! The facts of admission, from the inputs: as if all of them were stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::decode::decode;
use crds::filters::depend_on_namespace;
use crds::options::KindOption;
use crds::{Workspace, WorkspaceKind};
use k8s_openapi::api::authentication::v1::UserInfo;
use serde_json::Value;
use webhook::{CAN_MOUNT, KindUsage, Lookup, LookupError, MountSource};

/// The label of every namespace with its name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The objects of the inputs, by name.
#[derive(Debug, Default)]
pub struct OfflineFacts {
    kinds: BTreeMap<String, ObjectState<WorkspaceKind>>,
    /// By namespace and name.
    workspaces: BTreeMap<(String, String), ObjectState<Workspace>>,
    /// The labels of other objects, by kind, namespace and name.
    others: BTreeMap<(String, String, String), LabelMap>,
}

type LabelMap = BTreeMap<String, String>;

/// An object, unless it does not decode: its own findings report why.
#[derive(Debug)]
enum ObjectState<T> {
    Decoded(Arc<T>),
    Broken,
}

impl OfflineFacts {
    /// Adds a kind, or replaces the one of the same name.
    pub fn add_kind(&mut self, object: &Value) {
        self.kinds.insert(text(object, "name"), ObjectState::of(object));
    }

    /// Adds a Workspace, or replaces the one of the same name.
    pub fn add_workspace(&mut self, object: &Value) {
        self.workspaces.insert((text(object, "namespace"), text(object, "name")), ObjectState::of(object));
    }

    /// Whether the filter rules of a Workspace's kind depend on the labels of its namespace, which is not among the
    /// inputs.
    pub fn lacks_namespace_of(&self, object: &Value) -> bool {
        let kind = object["spec"]["kind"].as_str().and_then(|kind| self.kinds.get(kind)).and_then(ObjectState::decoded);
        let depends = kind.is_some_and(|kind| depend_on_namespace(&kind.spec.filter_rules));
        depends && self.other("Namespace", "", object["metadata"]["namespace"].as_str().unwrap_or_default()).is_none()
    }

    /// Adds an object that is not checked but looked up: a Namespace, a Notebook, or something to mount.
    pub fn add_other(&mut self, object: &Value) {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
        self.others.insert((kind, text(object, "namespace"), text(object, "name")), labels);
    }

    /// The labels of such an object.
    fn other(&self, kind: &str, namespace: &str, name: &str) -> Option<&LabelMap> {
        self.others.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    /// The Workspaces of a kind that `is_user` holds for.
    fn users(&self, kind: &str, is_user: impl Fn(&Workspace) -> bool) -> KindUsage {
        let is_user = |user: &Workspace| user.spec.kind == kind && is_user(user);
        let users = self.workspaces.iter().filter(|(_, given)| given.decoded().is_some_and(|user| is_user(user)));
        let first: Vec<_> = users.map(|(name, _)| name.clone()).collect();
        KindUsage { count: first.len(), first }
    }

    /// Whether a kind is among the inputs but does not decode.
    pub fn is_broken_kind(&self, name: &str) -> bool {
        matches!(self.kinds.get(name), Some(ObjectState::Broken))
    }
}

impl<T: serde::de::DeserializeOwned> ObjectState<T> {
    fn of(object: &Value) -> Self {
        // As elsewhere from a text: from a value it would be a second copy of the code that decodes.
        decode(&object.to_string()).map_or(Self::Broken, |decoded| Self::Decoded(Arc::new(decoded)))
    }
}

impl<T> ObjectState<T> {
    fn decoded(&self) -> Option<&Arc<T>> {
        match self {
            Self::Decoded(object) => Some(object),
            Self::Broken => None,
        }
    }
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_owned()
}

impl Lookup for OfflineFacts {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        Ok(self.kinds.get(name).and_then(ObjectState::decoded).cloned())
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.kind(name).await
    }

    async fn workspaces_using_kind_live(&self, kind: &str) -> Result<KindUsage, LookupError> {
        Ok(self.users(kind, |_| true))
    }

    fn kind_names(&self) -> Vec<String> {
        self.kinds.keys().cloned().collect()
    }

    async fn workspaces_using_option(&self, kind: &str, option: &KindOption) -> Result<KindUsage, LookupError> {
        Ok(self.users(kind, |user| option.is_selected_by(&user.spec)))
    }

    /// Nothing has changed since the facts were read.
    async fn workspaces_using_options_live(
        &self,
        _kind: &str,
        _options: &BTreeSet<KindOption>,
    ) -> Result<BTreeMap<KindOption, KindUsage>, LookupError> {
        Ok(BTreeMap::new())
    }

    /// The user who will apply the files is unknown, so this is not checked.
    async fn may_bind(&self, _user: &UserInfo, _cluster_role: &str) -> Result<bool, LookupError> {
        Ok(true)
    }

    async fn notebook(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        Ok(self.other("Notebook", namespace, name).is_some())
    }

    async fn notebook_live(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        self.notebook(namespace, name).await
    }

    async fn namespace_labels(&self, namespace: &str) -> Result<LabelMap, LookupError> {
        let mut labels = self.other("Namespace", "", namespace).cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_owned());
        Ok(labels)
    }

    /// An object that is not among the inputs is assumed to exist with the required label.
    async fn mounted_labels(&self, namespace: &str, mounted: &MountSource) -> Result<Option<LabelMap>, LookupError> {
        let (kind, name) = mounted.parts();
        let (label, value) = CAN_MOUNT;
        let given = self.other(kind, namespace, name).cloned();
        Ok(Some(given.unwrap_or_else(|| LabelMap::from([(label.to_owned(), value.to_owned())]))))
    }
}
