//! A lookup that answers from memory, or fails as a test needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crds::options::KindOption;
use crds::{Workspace, WorkspaceKind};
use k8s_openapi::api::authentication::v1::UserInfo;
use serde_json::Value;

use crate::lookup::{KindUsage, Lookup, LookupError, MountSource};

/// Objects in memory. Those on the API server may differ from those in the cache; lookups on the API server are counted.
#[derive(Debug, Default)]
pub struct FakeLookup {
    /// The kinds in the cache.
    pub kinds: Vec<Arc<WorkspaceKind>>,
    /// The kinds on the API server, if not those in the cache.
    pub live_kinds: Option<Vec<Arc<WorkspaceKind>>>,
    /// The Workspaces in the cache.
    pub workspaces: Vec<Workspace>,
    /// The Workspaces on the API server, if not those in the cache.
    pub live_workspaces: Option<Vec<Workspace>>,
    /// Namespaces, Secrets, PersistentVolumeClaims and Notebooks, in the cache and on the API server.
    pub others: Vec<Value>,
    /// The only ClusterRoles that the caller may bind; `None` is all of them.
    pub may_bind: Option<Vec<String>>,
    /// What happens to every lookup.
    pub behaviour: Behaviour,
    /// The name of a kind whose lookup panics.
    pub panics_at: Option<&'static str>,
    /// How often the API server was asked.
    pub live_lookups: AtomicUsize,
}

/// What happens to a lookup.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Behaviour {
    /// It returns.
    #[default]
    Answers,
    /// It panics.
    Panics,
    /// It never returns.
    Hangs,
    /// It fails for now.
    Unavailable,
    /// It fails for good.
    Fails,
}

impl FakeLookup {
    /// A lookup without objects that behaves in this way.
    pub fn behaving(behaviour: Behaviour) -> Self {
        Self { behaviour, ..Self::default() }
    }

    /// A lookup that finds these objects.
    pub fn new(kinds: &[Value], workspaces: &[Value]) -> Result<Self, String> {
        fn decode<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
            T::deserialize(value).map_err(|error| error.to_string())
        }
        Ok(Self {
            kinds: kinds.iter().map(|kind| decode(kind).map(Arc::new)).collect::<Result<_, _>>()?,
            workspaces: workspaces.iter().map(decode).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    fn find(kinds: &[Arc<WorkspaceKind>], name: &str) -> Option<Arc<WorkspaceKind>> {
        kinds.iter().find(|kind| kind.metadata.name.as_deref() == Some(name)).cloned()
    }

    fn workspaces_using(workspaces: &[Workspace], kind: &str, selects: impl Fn(&Workspace) -> bool) -> KindUsage {
        let using = workspaces.iter().filter(|workspace| workspace.spec.kind == kind && selects(workspace));
        let metadata = using.map(|workspace| &workspace.metadata);
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let mut first: Vec<_> = metadata.map(|metadata| (text(&metadata.namespace), text(&metadata.name))).collect();
        first.sort_unstable();
        KindUsage { count: first.len(), first }
    }

    fn workspaces_using_option_of(workspaces: &[Workspace], kind: &str, option: &KindOption) -> KindUsage {
        Self::workspaces_using(workspaces, kind, |workspace| option.is_selected_by(&workspace.spec))
    }

    /// The labels of another object, if it is there.
    fn labels_of(&self, kind: &str, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let is_it = |other: &&Value| {
            let metadata = &other["metadata"];
            other["kind"] == kind
                && metadata["name"] == name
                && metadata["namespace"].as_str().unwrap_or_default() == namespace
        };
        let labels = &self.others.iter().find(is_it)?["metadata"]["labels"];
        Some(serde_json::from_value(labels.clone()).unwrap_or_default())
    }

    /// A lookup in the cache.
    #[allow(clippy::panic)] // on request of a test
    async fn asked(&self) -> Result<(), LookupError> {
        match self.behaviour {
            Behaviour::Answers => Ok(()),
            Behaviour::Panics => panic!("a panic that the test asked for"),
            Behaviour::Hangs => pending().await,
            Behaviour::Unavailable => Err(LookupError::Unavailable("the caches have not synced yet".to_owned())),
            Behaviour::Fails => Err(LookupError::Failed("not allowed to list workspaces".to_owned())),
        }
    }

    /// A lookup on the API server.
    async fn asked_live(&self) -> Result<(), LookupError> {
        self.live_lookups.fetch_add(1, Ordering::Relaxed);
        self.asked().await
    }
}

impl Lookup for FakeLookup {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        assert_ne!(Some(name), self.panics_at, "a panic that the test asked for");
        self.asked().await?;
        Ok(Self::find(&self.kinds, name))
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.asked_live().await?;
        Ok(Self::find(self.live_kinds.as_ref().unwrap_or(&self.kinds), name))
    }

    async fn workspaces_using_kind_live(&self, kind: &str) -> Result<KindUsage, LookupError> {
        self.asked_live().await?;
        Ok(Self::workspaces_using(self.live_workspaces.as_ref().unwrap_or(&self.workspaces), kind, |_| true))
    }

    fn kind_names(&self) -> Vec<String> {
        self.kinds.iter().filter_map(|kind| kind.metadata.name.clone()).collect()
    }

    async fn workspaces_using_option(&self, kind: &str, option: &KindOption) -> Result<KindUsage, LookupError> {
        self.asked().await?;
        Ok(Self::workspaces_using_option_of(&self.workspaces, kind, option))
    }

    async fn workspaces_using_options_live(
        &self,
        kind: &str,
        options: &BTreeSet<KindOption>,
    ) -> Result<BTreeMap<KindOption, KindUsage>, LookupError> {
        self.asked_live().await?;
        let live = self.live_workspaces.as_ref().unwrap_or(&self.workspaces);
        Ok(options
            .iter()
            .map(|option| (option.clone(), Self::workspaces_using_option_of(live, kind, option)))
            .collect())
    }

    async fn may_bind(&self, _user: &UserInfo, cluster_role: &str) -> Result<bool, LookupError> {
        self.asked_live().await?;
        Ok(self.may_bind.as_ref().is_none_or(|roles| roles.iter().any(|role| role == cluster_role)))
    }

    async fn notebook(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        self.asked().await?;
        Ok(self.labels_of("Notebook", namespace, name).is_some())
    }

    async fn notebook_live(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        self.asked_live().await?;
        self.notebook(namespace, name).await
    }

    async fn namespace_labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, LookupError> {
        self.asked_live().await?;
        Ok(self.labels_of("Namespace", "", namespace).unwrap_or_default())
    }

    async fn mounted_labels(
        &self,
        namespace: &str,
        mounted: &MountSource,
    ) -> Result<Option<BTreeMap<String, String>>, LookupError> {
        self.asked_live().await?;
        let (kind, name) = mounted.parts();
        Ok(self.labels_of(kind, namespace, name))
    }
}
