//! Metadata as objects carry it on the wire, and what the slim types keep of it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU64;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::applied_hash::AppliedHash;
use super::slim::{Identity, Key};
use super::uid::Uid;
use crate::render::ChildKind;

/// Metadata as it is in JSON, as far as any slim type uses it. `F` is what is used of `managedFields`, half of most objects.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "F: Default + Deserialize<'de>"))]
pub(super) struct WireMetadata<F = IgnoredAny> {
    pub name: String,
    pub namespace: String,
    pub uid: Uid,
    resource_version: Box<str>,
    pub generation: Option<i64>,
    pub creation_timestamp: Option<Box<str>>,
    pub deletion_timestamp: Option<Box<str>>,
    pub finalizers: Vec<Box<str>>,
    pub labels: WireLabels,
    pub annotations: WireAnnotations,
    owner_references: Vec<WireOwner>,
    managed_fields: F,
}

/// Metadata with what is used of `managedFields`; decoded from a text only.
pub(super) type WireChildMetadata<'a> = WireMetadata<Vec<WireFields<'a>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireLabels {
    #[serde(rename = "notebooks.kubeflow.org/workspace-name")]
    pub workspace: Option<Box<str>>,
    #[serde(rename = "controller-revision-hash")]
    pub revision: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireAnnotations {
    #[serde(rename = "notebooks.kubeflow.org/applied-hash")]
    pub applied_hash: Option<AppliedHash>,
    #[serde(rename = "notebooks.kubeflow.org/restart")]
    pub restart: Option<Box<str>>,
    #[serde(rename = "notebooks.kubeflow.org/restart-at")]
    pub restart_at: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireOwner {
    kind: OwnerKind,
    name: Box<str>,
    uid: Uid,
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireFields<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    manager: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    subresource: Cow<'a, str>,
    #[serde(borrow)]
    fields_v1: Option<&'a RawValue>,
}

impl WireFields<'_> {
    /// Whether it is of the object itself, by that manager.
    fn is_of(&self, manager: &str, operation: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource.is_empty()
    }
}

/// The controller of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Its kind.
    pub kind: OwnerKind,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Uid,
}

impl Owner {
    /// Its name, where it is a Workspace.
    pub fn workspace(&self) -> Option<&str> {
        (self.kind == OwnerKind::Workspace).then_some(&*self.name)
    }
}

/// The kind of a controller: of those that reconcile distinguishes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum OwnerKind {
    /// A Workspace.
    Workspace,
    /// A StatefulSet.
    StatefulSet,
    /// Any other.
    #[default]
    #[serde(other)]
    Other,
}

/// The field manager of the Go controller: the name of its binary.
pub const PEER_MANAGER: &str = "manager";

/// Which fields of an object are ours: the `fieldsV1` of our own apply.
#[derive(Clone, Debug)]
pub struct OwnedFields {
    /// Distinguishes two sets.
    pub digest: NonZeroU64,
    /// The sets themselves; forgotten once they have been found to be what we want.
    pub unsettled: Option<Box<UnsettledFields>>,
}

/// Fields that have not been found to be what we want.
#[derive(Clone, Debug)]
pub struct UnsettledFields {
    /// The set.
    pub text: Box<str>,
    /// The sets of the Go controller: one for each API version that it wrote in.
    pub peer: Vec<Box<str>>,
    /// The spec with their values, where it has come with them.
    pub spec: Option<Box<RawValue>>,
}

impl PartialEq for OwnedFields {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<F> WireMetadata<F> {
    pub(super) fn identity(&mut self) -> Identity {
        Identity {
            key: Key::new(&self.namespace, &self.name),
            uid: std::mem::take(&mut self.uid),
            version: std::mem::take(&mut self.resource_version),
            deleting: self.deletion_timestamp.is_some(),
        }
    }

    pub(super) fn owner(&mut self) -> Option<Owner> {
        let owners = std::mem::take(&mut self.owner_references);
        let owner = owners.into_iter().find(|owner| owner.controller)?;
        Some(Owner { kind: owner.kind, name: owner.name, uid: owner.uid })
    }
}

impl WireChildMetadata<'_> {
    /// Whether the Go controller has fields of the object.
    pub(super) fn has_peer(&self) -> bool {
        self.managed_fields.iter().any(|entry| entry.is_of(PEER_MANAGER, "Update"))
    }

    /// Whether the Go controller has fields of a VirtualService that are rendered here. What it merely removes leaves it none.
    pub(super) fn is_routed_by_peer(&self) -> bool {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "f:spec")]
            spec: Option<Spec>,
        }
        #[derive(Deserialize)]
        struct Spec {
            #[serde(rename = "f:gateways")]
            gateways: Option<IgnoredAny>,
            #[serde(rename = "f:hosts")]
            hosts: Option<IgnoredAny>,
            #[serde(rename = "f:http")]
            http: Option<IgnoredAny>,
        }
        // Those of other kinds are many, and not parsed.
        let group = ChildKind::VirtualService.row().group;
        let is_theirs = |entry: &&WireFields<'_>| {
            entry.is_of(PEER_MANAGER, "Update") && entry.api_version.split('/').next() == Some(group)
        };
        self.managed_fields.iter().filter(is_theirs).any(|entry| {
            let fields = entry.fields_v1.and_then(|fields| serde_json::from_str::<Fields>(fields.get()).ok());
            let spec = fields.and_then(|fields| fields.spec);
            spec.is_some_and(|spec| spec.gateways.or(spec.hosts).or(spec.http).is_some())
        })
    }

    /// The fields of our own apply, and what the Go controller still has of the object.
    pub(super) fn owned_fields(&self) -> Option<OwnedFields> {
        let fields_of = |manager: &'static str, operation: &'static str| {
            let entries = self.managed_fields.iter().filter(move |entry| entry.is_of(manager, operation));
            entries.filter_map(|entry| Some(Box::<str>::from(entry.fields_v1?.get())))
        };
        let text = fields_of(crds::labels::FIELD_MANAGER, "Apply").next()?;
        let peer: Vec<_> = fields_of(PEER_MANAGER, "Update").collect();
        let mut hasher = DefaultHasher::new();
        (&text, &peer).hash(&mut hasher);
        let unsettled = Some(Box::new(UnsettledFields { text, peer, spec: None }));
        Some(OwnedFields { digest: NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN), unsettled })
    }
}
