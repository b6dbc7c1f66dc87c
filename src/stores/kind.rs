//! The form in which WorkspaceKinds are kept: whole.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::slim::{Identity, Key, Slim};

/// A WorkspaceKind, whole: admission needs all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredKind {
    /// Its identity.
    pub identity: Identity,
    /// The object, without what kubectl and the API server note about changes to it.
    pub kind: Arc<crds::WorkspaceKind>,
}

impl<'de> Deserialize<'de> for StoredKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kind = crds::WorkspaceKind::deserialize(deserializer)?;
        let metadata = &mut kind.metadata;
        metadata.managed_fields = None;
        if let Some(annotations) = &mut metadata.annotations {
            // The whole object once more.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        let identity = Identity::from(&*metadata);
        Ok(Self { identity, kind: Arc::new(kind) })
    }
}

impl Slim for StoredKind {
    type Of = crds::WorkspaceKind;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its other metadata is not used here.
    fn same_as(&self, older: &Self) -> bool {
        self.is_same_template(older)
            && self.kind.status == older.kind.status
            && self.kind.metadata.finalizers == older.kind.metadata.finalizers
    }
}

impl StoredKind {
    /// Its `metadata.generation`.
    pub fn generation(&self) -> i64 {
        self.kind.metadata.generation.unwrap_or_default()
    }

    /// The ConfigMaps that its icon and its logo are in.
    pub fn image_sources(&self) -> impl Iterator<Item = Key> {
        let spawner = &self.kind.spec.spawner;
        let sources = [&spawner.icon, &spawner.logo].into_iter().filter_map(|asset| asset.config_map.as_ref());
        sources.map(|source| Key::new(&source.namespace, &source.name))
    }

    /// Whether nothing that matters to its Workspaces differs from `other`: that is neither status nor finalizers.
    pub(super) fn is_same_template(&self, other: &Self) -> bool {
        self.identity.uid == other.identity.uid
            && self.identity.deleting == other.identity.deleting
            && self.kind.spec == other.kind.spec
    }
}
