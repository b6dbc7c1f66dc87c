//! The slim form of children, the same for all kinds. Their specs are not kept: the hash of what was applied and the set
//! of fields that are still ours show whether one is as desired.

use std::borrow::Cow;
use std::num::NonZeroI64;
use std::sync::Arc;

use kube::Resource;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::applied_hash::AppliedHash;
use super::collection::Collection;
use super::metadata::{OwnedFields, Owner, OwnerKind, WireChildMetadata};
use super::slim::{Identity, Key, Slim};
use crate::render::ChildKind;
use crate::render::names::ChildNames;

/// A kind of children in one of its API versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChildType {
    kind: ChildKind,
    version: &'static str,
}

impl ChildType {
    /// The kind in each API version in which it may be served; the preferred one first.
    pub fn all(kind: ChildKind) -> impl Iterator<Item = Self> {
        kind.row().versions().map(move |version| Self { kind, version })
    }

    /// The kind in the API version in which the API server serves it, as `collection` knows.
    pub fn served(kind: ChildKind, collection: &Collection<Child>) -> Self {
        Self::all(kind).nth(collection.version()).unwrap_or_else(|| kind.into())
    }
}

/// In its preferred version.
impl From<ChildKind> for ChildType {
    fn from(kind: ChildKind) -> Self {
        Self { kind, version: kind.row().version }
    }
}

/// An object of any kind of children; which one is known at run time.
#[derive(Debug)]
pub struct ChildObject(ObjectMeta);

impl Resource for ChildObject {
    type DynamicType = ChildType;
    type Scope = DynamicResourceScope;

    fn kind(of: &ChildType) -> Cow<'_, str> {
        of.kind.row().kind.into()
    }

    fn group(of: &ChildType) -> Cow<'_, str> {
        of.kind.row().group.into()
    }

    fn version(of: &ChildType) -> Cow<'_, str> {
        of.version.into()
    }

    fn plural(of: &ChildType) -> Cow<'_, str> {
        of.kind.row().plural.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0
    }
}

/// A child of a Workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its identity.
    pub identity: Identity,
    /// Whether its label names the Workspace that owns it, as that of most children does.
    names_owner: bool,
    /// Its controller.
    pub owner: Option<Owner>,
    /// The hash of what was last applied, from its annotation.
    pub applied_hash: Option<AppliedHash>,
    /// The fields that are ours.
    pub fields: Option<OwnedFields>,
    /// Whether the Go controller has fields of it.
    pub has_peer: bool,
    /// Whether the Go controller has its gateways, hosts or routes, and so writes it or did until it was last applied here; for
    /// VirtualServices only.
    pub is_routed_by_peer: bool,
    /// Its `metadata.generation`, which grows with each change of its spec; none where the resource has none.
    pub generation: Option<NonZeroI64>,
    details: Option<Box<Details>>,
}

/// What few children have: StatefulSets, and those whose label names something else than their owner.
#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    /// The Workspace that its label names.
    workspace: Option<Box<str>>,
    /// What the StatefulSet controller has done about it.
    revisions: Option<Revisions>,
    /// Which restart was asked for when its template was last applied.
    restart: Option<Box<str>>,
    /// Whether it has `podManagementPolicy: OrderedReady`.
    ordered_ready: bool,
}

/// How far the StatefulSet controller is with a StatefulSet, from its status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revisions {
    /// The generation of the set that this is about.
    pub observed_generation: i64,
    /// The name of the ControllerRevision with the template of that generation: what a new pod is made of.
    pub update_revision: Box<str>,
}

impl Child {
    fn from_metadata(metadata: WireChildMetadata<'_>) -> Self {
        Self::new(metadata, None, false)
    }

    fn new(mut metadata: WireChildMetadata<'_>, revisions: Option<Revisions>, ordered_ready: bool) -> Self {
        let owner = metadata.owner();
        let label = metadata.labels.workspace.take();
        let names_owner = label.is_some() && label.as_deref() == owner.as_ref().and_then(Owner::workspace);
        let workspace = label.filter(|_| !names_owner);
        let details = Details { workspace, revisions, restart: metadata.annotations.restart.take(), ordered_ready };
        Self {
            identity: metadata.identity(),
            names_owner,
            owner,
            applied_hash: metadata.annotations.applied_hash,
            fields: metadata.owned_fields(),
            has_peer: metadata.has_peer(),
            is_routed_by_peer: metadata.is_routed_by_peer(),
            generation: metadata.generation.and_then(NonZeroI64::new),
            details: (details != Details::default()).then(|| Box::new(details)),
        }
    }

    /// The Workspace that its label names.
    fn labelled(&self) -> Option<&str> {
        if self.names_owner {
            return self.owner.as_ref().and_then(Owner::workspace);
        }
        self.details.as_ref()?.workspace.as_deref()
    }

    /// What the StatefulSet controller has done about it; none for other kinds and for a set that it has not seen yet.
    pub fn revisions(&self) -> Option<&Revisions> {
        self.details.as_ref()?.revisions.as_ref()
    }

    /// Which restart was asked for when its template was last applied, from its annotation; for StatefulSets only.
    pub fn restart(&self) -> Option<&str> {
        self.details.as_ref()?.restart.as_deref()
    }

    /// Whether it has `podManagementPolicy: OrderedReady`, which cannot be changed; for StatefulSets only.
    pub fn is_ordered_ready(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.ordered_ready)
    }

    /// The revision that a new pod is made of, where the StatefulSet controller has seen the set as it is.
    pub fn current_revision(&self) -> Option<&str> {
        let revisions = self.revisions()?;
        let generation = self.generation.map(NonZeroI64::get);
        (generation == Some(revisions.observed_generation)).then_some(&*revisions.update_revision)
    }

    /// Whether it belongs to the object with that uid.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| *owner.uid == *uid)
    }

    /// The name of the Workspace that it was made for, in its namespace: that of its owner. Where it has lost that, as orphans
    /// do, that of its label, if we applied it.
    pub fn made_for(&self) -> Option<&str> {
        match &self.owner {
            Some(owner) => owner.workspace(),
            None => self.labelled().filter(|_| self.applied_hash.is_some() && self.fields.is_some()),
        }
    }

    /// Whether it was made for that Workspace, in its namespace. One that has lost its owner is known by its name.
    pub fn is_made_for(&self, workspace: &Identity) -> bool {
        match &self.owner {
            Some(owner) => owner.uid == workspace.uid,
            None => ChildNames::contain(workspace.key.name(), &workspace.uid, self.identity.key.name()),
        }
    }

    /// Whether the field at that JSON pointer into `fieldsV1` is ours; false where the fields are not kept any longer.
    pub fn owns(&self, pointer: &str) -> bool {
        let text = self.fields.as_ref().and_then(|fields| Some(&fields.unsettled.as_ref()?.text));
        let fields = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        fields.is_some_and(|fields| fields.pointer(pointer).is_some())
    }

    /// Whether we applied something to it, or it has a name that we give. What others own by a Workspace is not ours to delete
    /// once that is gone.
    pub fn is_ours(&self) -> bool {
        let is_named = |owner: &Owner| ChildNames::contain(&owner.name, &owner.uid, self.identity.key.name());
        self.fields.is_some() || self.owner.as_ref().is_some_and(is_named)
    }

    /// Whether we, or the Go controller, made it. Others may own objects by a Workspace too, and label them as its children.
    pub fn is_of_controller(&self) -> bool {
        self.has_peer || self.is_ours()
    }

    /// Whether the Go controller made it, and nothing was applied to it here.
    pub fn is_of_peer_only(&self) -> bool {
        self.has_peer && self.fields.is_none() && self.applied_hash.is_none()
    }

    /// The names of the Workspaces that it may concern, in its namespace.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        let owner = self.owner.as_ref().and_then(Owner::workspace);
        let label = self.labelled();
        label.into_iter().chain(owner.filter(move |owner| label != Some(*owner)))
    }
}

impl<'de> Deserialize<'de> for Child {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            metadata: WireChildMetadata<'a>,
        }
        Ok(Self::from_metadata(Wire::deserialize(deserializer)?.metadata))
    }
}

impl Slim for Child {
    type Of = ChildObject;
    const METADATA_ONLY: bool = true;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// By the uid of its Workspace, where its name does not follow from that.
    fn indexes(&self) -> Vec<Box<str>> {
        let owner = self.owner.iter().filter(|owner| owner.kind == OwnerKind::Workspace);
        let other = owner.filter(|owner| !ChildNames::contain(&owner.name, &owner.uid, self.identity.key.name()));
        other.map(|owner| Box::from(&*owner.uid)).collect()
    }

    fn inherit(&mut self, older: &Self) {
        if let (Some(fields), Some(known)) = (&mut self.fields, &older.fields)
            && *fields == *known
            && known.unsettled.is_none()
        {
            fields.unsettled = None;
        }
    }
}

/// A child with a spec as its watch delivers it: the spec is kept until it has been compared with what is desired, so that
/// a start need not read every child once more, and of the status what is used.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedChild(Child);

impl From<WatchedChild> for Child {
    fn from(watched: WatchedChild) -> Self {
        watched.0
    }
}

impl<'de> Deserialize<'de> for WatchedChild {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            metadata: WireChildMetadata<'a>,
            #[serde(borrow)]
            spec: Option<&'a RawValue>,
            #[serde(borrow)]
            status: Option<&'a RawValue>,
        }
        let Wire { metadata, spec, status } = Wire::deserialize(deserializer)?;
        // That of another kind than StatefulSet may have any form.
        let set_spec = spec.and_then(|spec| serde_json::from_str::<WireSetSpec>(spec.get()).ok());
        let ordered_ready = set_spec.is_some_and(|spec| spec.pod_management_policy == ORDERED_READY);
        let mut child = Child::new(metadata, Revisions::decode(status), ordered_ready);
        if let Some(unsettled) = child.fields.as_mut().and_then(|fields| fields.unsettled.as_mut()) {
            unsettled.spec = spec.map(ToOwned::to_owned);
        }
        Ok(Self(child))
    }
}

impl Slim for WatchedChild {
    type Of = ChildObject;

    fn identity(&self) -> &Identity {
        &self.0.identity
    }
}

const ORDERED_READY: &str = "OrderedReady";

/// The spec of a StatefulSet, as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSetSpec<'a> {
    #[serde(borrow)]
    pod_management_policy: Cow<'a, str>,
}

impl Revisions {
    /// Those in the status of a StatefulSet. That of another kind may have any form and has none.
    fn decode(status: Option<&RawValue>) -> Option<Self> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Wire {
            observed_generation: i64,
            update_revision: Option<Box<str>>,
        }
        let Wire { observed_generation, update_revision } = serde_json::from_str(status?.get()).ok()?;
        update_revision.map(|update_revision| Self { observed_generation, update_revision })
    }
}

impl Collection<Child> {
    /// All that belong to the Workspace, whatever their names; `names` are those that follow from its name and uid. What
    /// refers to it from another namespace does not belong to it.
    pub fn owned_by(&self, workspace: &Identity, names: &ChildNames) -> Vec<Arc<Child>> {
        let Identity { key, uid, .. } = workspace;
        let by_name = names.distinct().into_iter().filter_map(|name| self.get(&Key::new(key.namespace(), name)));
        let is_here = |child: &Arc<Child>| child.identity.key.namespace() == key.namespace();
        by_name.filter(|child| child.is_owned_by(uid)).chain(self.indexed(uid).into_iter().filter(is_here)).collect()
    }
}

/// A child with its spec, as the API server returns it from a read or a write. Not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeChild {
    /// What is kept of it.
    pub child: Child,
    /// Its `spec`; null where the resource has none.
    pub spec: Value,
}

impl<'de> Deserialize<'de> for WholeChild {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            metadata: WireChildMetadata<'a>,
            #[serde(default)]
            spec: Value,
            #[serde(borrow)]
            status: Option<&'a RawValue>,
        }
        let Wire { metadata, spec, status } = Wire::deserialize(deserializer)?;
        let ordered_ready = spec["podManagementPolicy"] == ORDERED_READY;
        let child = Child::new(metadata, Revisions::decode(status), ordered_ready);
        Ok(Self { child, spec })
    }
}

impl Slim for WholeChild {
    type Of = ChildObject;

    fn identity(&self) -> &Identity {
        &self.child.identity
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn is_routed_by_peer(version: &str, manager: &str, operation: &str, fields: &Value) -> bool {
        let entry = json!({"apiVersion": version, "manager": manager, "operation": operation, "fieldsV1": fields});
        let text = json!({"metadata": {"name": "ws-lab", "managedFields": [entry]}}).to_string();
        serde_json::from_str::<Child>(&text).unwrap().is_routed_by_peer
    }

    #[test]
    fn each_field_of_a_route_that_the_go_controller_has_counts() {
        const ISTIO: &str = "networking.istio.io/v1";
        for field in ["f:gateways", "f:hosts", "f:http"] {
            let fields = json!({"f:spec": {field: {}}});
            assert!(is_routed_by_peer(ISTIO, "manager", "Update", &fields), "{field}");
            assert!(is_routed_by_peer("networking.istio.io/v1beta1", "manager", "Update", &fields), "{field}");
            assert!(!is_routed_by_peer("v1", "manager", "Update", &fields), "{field}");
            assert!(!is_routed_by_peer(ISTIO, "kubectl", "Update", &fields), "{field}");
            assert!(!is_routed_by_peer(ISTIO, "manager", "Apply", &fields), "{field}");
        }
        for fields in [json!({"f:spec": {"f:exportTo": {}}}), json!({"f:metadata": {"f:labels": {"f:http": {}}}})] {
            assert!(!is_routed_by_peer(ISTIO, "manager", "Update", &fields), "{fields}");
        }
    }
}
