//! What the webhook would find in the cluster: the objects that are given, as they would all be stored in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{Workspace, WorkspaceKind};
use serde_json::Value;
use webhook::{Lookup, LookupError, Users};

/// The objects that are given, by name.
#[derive(Debug, Default)]
pub struct Facts {
    kinds: BTreeMap<String, Given<WorkspaceKind>>,
    /// By namespace and name.
    workspaces: BTreeMap<(String, String), Given<Workspace>>,
}

/// An object, or that it does not decode: its own findings say why.
#[derive(Debug)]
enum Given<T> {
    Decoded(Arc<T>),
    Broken,
}

impl Facts {
    /// Adds a kind; it takes the place of one of the same name.
    pub fn add_kind(&mut self, object: &Value) {
        self.kinds.insert(text(object, "name"), Given::of(object));
    }

    /// Adds a Workspace; it takes the place of one of the same name.
    pub fn add_workspace(&mut self, object: &Value) {
        self.workspaces.insert((text(object, "namespace"), text(object, "name")), Given::of(object));
    }

    /// Whether a kind is given, but in a shape that nothing can be held against.
    pub fn is_broken_kind(&self, name: &str) -> bool {
        matches!(self.kinds.get(name), Some(Given::Broken))
    }

    /// Whether no kind of that name is given.
    pub fn lacks_kind(&self, name: &str) -> bool {
        !self.kinds.contains_key(name)
    }
}

impl<T: serde::de::DeserializeOwned> Given<T> {
    fn of(object: &Value) -> Self {
        T::deserialize(object).map_or(Self::Broken, |decoded| Self::Decoded(Arc::new(decoded)))
    }
}

impl<T> Given<T> {
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

impl Lookup for Facts {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        Ok(self.kinds.get(name).and_then(Given::decoded).cloned())
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.kind(name).await
    }

    async fn users_live(&self, kind: &str) -> Result<Users, LookupError> {
        let uses = |workspace: &Given<Workspace>| workspace.decoded().is_some_and(|user| user.spec.kind == kind);
        let first: Vec<_> =
            self.workspaces.iter().filter(|(_, workspace)| uses(workspace)).map(|(name, _)| name.clone()).collect();
        Ok(Users { count: first.len(), first })
    }

    fn kind_names(&self) -> Vec<String> {
        self.kinds.keys().cloned().collect()
    }
}
