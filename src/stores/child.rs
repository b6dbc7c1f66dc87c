//! The slim form of children: ServiceAccount, StatefulSet, Service and VirtualService alike. Their specs are not kept:
//! whether one is as we want it is told by the hash of what was applied and by which fields are still ours.

use std::marker::PhantomData;

use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::metadata::{OwnedFields, Owner, WireMetadata};
use super::slim::{Identity, Slim};

/// A child of a Workspace.
#[derive(Debug)]
pub struct Child<K> {
    /// Who it is.
    pub identity: Identity,
    /// The Workspace that its label names.
    pub workspace: Option<Box<str>>,
    /// Its controller.
    pub owner: Option<Owner>,
    /// The hash of what was last applied, as its annotation says.
    pub applied_hash: Option<Box<str>>,
    /// The fields that are ours.
    pub fields: Option<OwnedFields>,
    /// Its `metadata.generation`, which grows with each change of its spec; none where the resource has none.
    pub generation: Option<i64>,
    kind: PhantomData<fn() -> K>,
}

// Written out, for a derive would ask the same of `K`.
impl<K> Clone for Child<K> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            workspace: self.workspace.clone(),
            owner: self.owner.clone(),
            applied_hash: self.applied_hash.clone(),
            fields: self.fields.clone(),
            generation: self.generation,
            kind: PhantomData,
        }
    }
}

impl<K> PartialEq for Child<K> {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.workspace == other.workspace
            && self.owner == other.owner
            && self.applied_hash == other.applied_hash
            && self.fields == other.fields
            && self.generation == other.generation
    }
}

impl<K> Child<K> {
    fn from_metadata(mut metadata: WireMetadata) -> Self {
        Self {
            identity: metadata.identity(),
            owner: metadata.owner(),
            fields: metadata.owned_fields(),
            generation: metadata.generation,
            workspace: metadata.labels.workspace,
            applied_hash: metadata.annotations.applied_hash,
            kind: PhantomData,
        }
    }

    /// Whether it belongs to the object with that uid.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| *owner.uid == *uid)
    }

    /// The name of the Workspace that it was made for, in its namespace: that of its owner. Where it has lost that, as orphans
    /// do, that of its label, if we applied it.
    pub fn made_for(&self) -> Option<&str> {
        match &self.owner {
            Some(owner) => (&*owner.kind == "Workspace").then_some(&*owner.name),
            None => self.workspace.as_deref().filter(|_| self.applied_hash.is_some() && self.fields.is_some()),
        }
    }

    /// The names of the Workspaces that it may concern, in its namespace.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        let owner = self.owner.as_ref().filter(|owner| &*owner.kind == "Workspace").map(|owner| &*owner.name);
        let label = self.workspace.as_deref();
        label.into_iter().chain(owner.filter(move |owner| label != Some(*owner)))
    }
}

impl<'de, K> Deserialize<'de> for Child<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: WireMetadata,
        }
        Ok(Self::from_metadata(Wire::deserialize(deserializer)?.metadata))
    }
}

impl<K: Resource<DynamicType = ()> + std::fmt::Debug + 'static> Slim for Child<K> {
    type Of = K;
    const METADATA_ONLY: bool = true;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn inherit(&mut self, older: &Self) {
        if let (Some(fields), Some(known)) = (&mut self.fields, &older.fields)
            && *fields == *known
            && known.text.is_none()
        {
            fields.text = None;
        }
    }
}

/// A child with its spec, as the API server answers a read or a write of it. Not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeChild<K> {
    /// What is kept of it.
    pub child: Child<K>,
    /// Its `spec`; null where the resource has none.
    pub spec: Value,
}

impl<'de, K> Deserialize<'de> for WholeChild<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: WireMetadata,
            #[serde(default)]
            spec: Value,
        }
        let Wire { metadata, spec } = Wire::deserialize(deserializer)?;
        Ok(Self { child: Child::from_metadata(metadata), spec })
    }
}

impl<K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + PartialEq + 'static> Slim for WholeChild<K> {
    type Of = K;

    fn identity(&self) -> &Identity {
        &self.child.identity
    }
}
