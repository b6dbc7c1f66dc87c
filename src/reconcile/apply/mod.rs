//! Apply: makes one child as it was rendered. Writes only where a field of ours, or what was last applied, differs;
//! never touches an object that is not ours.
//!
//! What the API server answers is compared with what was sent. What a mutating webhook changed on the way is its
//! business: it is noted, and not changed back.

mod error;
mod hash;
mod memory;
mod ownership;
mod response;
mod stored;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crds::apply_body;
use crds::labels::{APPLIED_HASH_ANNOTATION, FIELD_MANAGER};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, NamespaceResourceScope};
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

pub(super) use error::{ApplyError, Next};
use error::{LEFT_BEHIND_PATIENCE, SAME_WRITE_AGAIN, TOO_LARGE_AGAIN};
pub(super) use hash::{Hash, hash};
pub(super) use memory::ChildMemory;
use response::Meaning;

use crate::client::delete_only;
use crate::istio::VirtualService;
use crate::metrics::Metrics;
use crate::render::{self, UnsafeHeader};
use crate::stores::child::{Child, WholeChild};
use crate::stores::collection::Collection;
use crate::stores::metadata::Owner;
use crate::stores::slim::{Identity, Incoming, Key};

/// How long one request may take before it is given up.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// No object has it: with this precondition an apply can only create. Every other version conflicts.
const MUST_NOT_EXIST: &str = "1";

/// What can be a child.
pub(super) trait ChildKind:
    Metadata<Ty = ObjectMeta>
    + k8s_openapi::Resource<Scope = NamespaceResourceScope>
    + kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + PartialEq
    + Serialize
    + 'static
{
    /// Whether it has a spec.
    const HAS_SPEC: bool = true;

    /// What of a stored spec may hurt others; nothing in most kinds of children.
    fn judge_stored(_spec: &Value) -> Vec<UnsafeHeader> {
        Vec::new()
    }
}

impl ChildKind for ServiceAccount {
    const HAS_SPEC: bool = false;
}

impl ChildKind for StatefulSet {}
impl ChildKind for Service {}

impl ChildKind for VirtualService {
    fn judge_stored(spec: &Value) -> Vec<UnsafeHeader> {
        (render::ChildKind::VirtualService.row().judge_stored)(spec)
    }
}

/// Where children of one kind are read and written.
pub(super) struct Children<'a, K: ChildKind> {
    api: Api<Incoming<WholeChild<K>>>,
    collection: &'a Collection<Child<K>>,
    owner: &'a Identity,
    metrics: &'a Metrics,
}

impl<'a, K: ChildKind> Children<'a, K> {
    /// The children of the Workspace `owner`.
    pub fn new(
        client: &Client,
        metrics: &'a Metrics,
        owner: &'a Identity,
        collection: &'a Collection<Child<K>>,
    ) -> Self {
        Self { api: Api::namespaced(client.clone(), &owner.key.namespace), collection, owner, metrics }
    }

    /// Whether the child is known to be as wanted, without asking anybody.
    pub fn is_settled(&self, key: &Key, hash: &Hash, memory: &ChildMemory) -> bool {
        let Some(child) = self.collection.get(key) else { return false };
        child.is_owned_by(&self.owner.uid) && !child.identity.deleting && memory.holds(&child, hash)
    }

    /// Whether there is such a child of ours.
    pub fn exists(&self, key: &Key) -> bool {
        self.collection.get(key).is_some_and(|child| child.is_owned_by(&self.owner.uid))
    }

    /// Makes sure that a child is as wanted; true when that took a write.
    pub async fn ensure(
        &self,
        key: &Key,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut K,
    ) -> Result<bool, ApplyError> {
        let annotations = object.metadata_mut().annotations.get_or_insert_default();
        annotations.insert(APPLIED_HASH_ANNOTATION.to_owned(), hash.to_string());
        if let Some((same, at, message)) = &memory.too_large
            && same == hash
            && at.elapsed() < TOO_LARGE_AGAIN
        {
            return Err(ApplyError::TooLarge { kind: K::KIND, name: key.name.clone(), message: message.clone() });
        }
        let mut seen = self.collection.get(key);
        if seen.is_none() && (memory.existed || memory.foreign.is_some()) {
            // It may have lost the label that we see it by, or be somebody else's.
            seen = self.look_up(&key.name).await?;
            if seen.is_none() {
                memory.foreign = None;
            }
        }
        let seen = match seen {
            Some(child) => child,
            None => match self.create(key, hash, memory, object).await? {
                Some(child) => child,
                None => return Ok(true),
            },
        };
        if !seen.is_owned_by(&self.owner.uid) {
            return Err(self.foreign(key, memory, &seen));
        }
        if seen.identity.deleting {
            return Err(ApplyError::BeingDeleted { kind: K::KIND, name: key.name.clone() });
        }
        memory.existed = true;
        memory.foreign = None;
        if memory.holds(&seen, hash) || self.is_as_applied(&seen, hash, memory, object).await? {
            return Ok(false);
        }
        let again = |(written, at): &(Hash, Instant)| written == hash && at.elapsed() < SAME_WRITE_AGAIN;
        if memory.written.as_ref().is_some_and(again) {
            return Err(ApplyError::Contested { kind: K::KIND, name: key.name.clone() });
        }
        let mut written = self.write(object, Precondition::Same(&seen.identity.uid)).await;
        if let Err(Conflict::Strategy(_)) = written {
            self.replace_update_strategy(&seen.identity, object).await?;
            written = self.write(object, Precondition::Same(&seen.identity.uid)).await;
        }
        match written {
            Ok(answer) => {
                self.written(key, hash, memory, answer, object);
                Ok(true)
            }
            Err(conflict) => Err(Self::refused(&key.name, hash, memory, conflict)),
        }
    }

    /// Creates a child; none where that was done, and the object where one exists after all: our cache is behind, or it is
    /// somebody else's.
    async fn create(
        &self,
        key: &Key,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut K,
    ) -> Result<Option<Arc<Child<K>>>, ApplyError> {
        match self.write(object, Precondition::Absent).await {
            Ok(answer) => {
                self.written(key, hash, memory, answer, object);
                Ok(None)
            }
            Err(Conflict::Outdated(why)) => {
                let there = self.look_up(&key.name).await?.ok_or_else(|| Self::unreachable(&key.name, why))?;
                // It may be as wanted: the precondition is no part of that.
                object.metadata_mut().resource_version = None;
                Ok(Some(there))
            }
            Err(conflict) => Err(Self::refused(&key.name, hash, memory, conflict)),
        }
    }

    /// Deletes the child `name` if it is ours; true when that took a write.
    pub async fn remove(&self, key: &Key, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        let Some(child) = self.present(key) else { return Ok(false) };
        let params = delete_only(&child.identity.uid);
        match Self::request(&key.name, self.api.delete(&key.name, &params)).await {
            // Gone, or replaced by another one, already.
            Ok(_) | Err(Conflict::Outdated(_)) => {
                *memory = ChildMemory::default();
                Ok(true)
            }
            Err(conflict) => Err(Self::error(&key.name, conflict)),
        }
    }

    /// Apply cannot take `rollingUpdate`, which somebody else set, out of a StatefulSet's `updateStrategy`, and the API
    /// server refuses it beside `OnDelete`.
    async fn replace_update_strategy(&self, of: &Identity, object: &K) -> Result<(), ApplyError> {
        let desired = serde_json::to_value(object).unwrap_or_default();
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": &*of.uid},
            {"op": "replace", "path": "/spec/updateStrategy", "value": desired["spec"]["updateStrategy"]},
        ]);
        let Ok(patch) = serde_json::from_value(patch) else { return Ok(()) };
        let name = &of.key.name;
        Self::request(name, self.api.patch(name, &in_our_name(), &Patch::<()>::Json(patch)))
            .await
            .map(drop)
            .map_err(|conflict| Self::error(name, conflict))
    }

    /// Ours, unless it is being deleted.
    fn present(&self, key: &Key) -> Option<Arc<Child<K>>> {
        let child = self.collection.get(key)?;
        (child.is_owned_by(&self.owner.uid) && !child.identity.deleting).then_some(child)
    }

    /// What the API server's answer says is what will be seen until somebody changes it.
    fn written(&self, key: &Key, hash: &Hash, memory: &mut ChildMemory, answer: WholeChild<K>, object: &K) {
        memory.existed = true;
        memory.foreign = None;
        memory.written = Some((hash.clone(), Instant::now()));
        memory.too_large = None;
        if answer.child.identity.key == *key {
            self.settle_written(memory, answer, object);
        }
    }

    /// The error of a write, which is remembered where it would only be repeated.
    fn refused(name: &str, hash: &Hash, memory: &mut ChildMemory, conflict: Conflict) -> ApplyError {
        let error = Self::error(name, conflict);
        if let ApplyError::TooLarge { message, .. } = &error {
            memory.too_large = Some((hash.clone(), Instant::now(), message.clone()));
        }
        error
    }

    fn foreign(&self, key: &Key, memory: &mut ChildMemory, other: &Child<K>) -> ApplyError {
        let since = memory.foreign.unwrap_or_else(Instant::now);
        *memory = ChildMemory { foreign: Some(since), ..ChildMemory::default() };
        let (kind, name) = (K::KIND, key.name.clone());
        let of_namesake = |owner: &Owner| &*owner.kind == "Workspace" && *owner.name == self.owner.key.name;
        if other.owner.as_ref().is_some_and(of_namesake) && since.elapsed() < LEFT_BEHIND_PATIENCE {
            ApplyError::LeftBehind { kind, name }
        } else {
            ApplyError::Foreign { kind, name }
        }
    }

    fn unreachable(name: &str, why: String) -> ApplyError {
        ApplyError::Unreachable { kind: K::KIND, name: name.to_owned(), why }
    }

    fn error(name: &str, conflict: Conflict) -> ApplyError {
        match conflict {
            Conflict::Outdated(why) => Self::unreachable(name, why),
            Conflict::Strategy(message) => ApplyError::Refused { kind: K::KIND, name: name.to_owned(), message },
            Conflict::Error(error) => error,
        }
    }

    async fn look_up(&self, name: &str) -> Result<Option<Arc<Child<K>>>, ApplyError> {
        Ok(self.read(name).await?.map(|stored| Arc::new(stored.child)))
    }

    async fn read(&self, name: &str) -> Result<Option<WholeChild<K>>, ApplyError> {
        match Self::request(name, self.api.get_opt(name)).await {
            Ok(None) => Ok(None),
            Ok(Some(incoming)) => incoming.object.map(Some).map_err(|why| Self::unreachable(name, why)),
            Err(conflict) => Err(Self::error(name, conflict)),
        }
    }

    async fn write(&self, object: &mut K, precondition: Precondition<'_>) -> Result<WholeChild<K>, Conflict> {
        self.send(object, precondition, Purpose::Write).await
    }

    async fn send(
        &self,
        object: &mut K,
        precondition: Precondition<'_>,
        purpose: Purpose,
    ) -> Result<WholeChild<K>, Conflict> {
        let metadata = object.metadata_mut();
        let name = metadata.name.clone().unwrap_or_default();
        (metadata.resource_version, metadata.uid) = match precondition {
            Precondition::Absent => (Some(MUST_NOT_EXIST.to_owned()), None),
            Precondition::Same(uid) => (None, Some(uid.to_owned())),
        };
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.dry_run = purpose == Purpose::DryRun;
        let unwritable = |why: serde_json::Error| Conflict::Error(Self::unreachable(&name, why.to_string()));
        let patch = Patch::Apply(apply_body::body(object).map_err(unwritable)?);
        let answer = Self::request(&name, self.api.patch(&name, &params, &patch)).await?;
        answer.object.map_err(|why| Conflict::Error(Self::unreachable(&name, why)))
    }

    async fn request<T>(name: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Conflict> {
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Err(_) => Err(Conflict::Error(Self::unreachable(name, "the API server did not answer in time".to_owned()))),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Self::refusal(name, *status)),
            Ok(Err(error)) => Err(Conflict::Error(Self::unreachable(name, error.to_string()))),
        }
    }

    fn refusal(name: &str, status: Status) -> Conflict {
        let (kind, name, message) = (K::KIND, name.to_owned(), status.message.clone());
        match Meaning::of(&status) {
            Meaning::NotInstalled => Conflict::Error(ApplyError::NotInstalled { kind }),
            Meaning::Outdated => Conflict::Outdated(message),
            Meaning::TooLarge => Conflict::Error(ApplyError::TooLarge { kind, name, message }),
            Meaning::UpdateStrategyConflict => Conflict::Strategy(message),
            Meaning::Refused => Conflict::Error(ApplyError::Refused { kind, name, message }),
            Meaning::Unreachable => Conflict::Error(Self::unreachable(&name, message)),
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Purpose {
    Write,
    /// To see what would be stored.
    DryRun,
}

enum Precondition<'a> {
    /// No object has the name.
    Absent,
    /// It is the object with this uid.
    Same(&'a str),
}

enum Conflict {
    /// The object is not the one we thought it was.
    Outdated(String),
    /// The rest of somebody else's update strategy does not go with ours.
    Strategy(String),
    /// Anything else.
    Error(ApplyError),
}

/// Whether the fields of a child that are ours are those of `object`.
fn covers<K: ChildKind>(child: &Child<K>, object: &K) -> bool {
    let Some(fields) = child.fields.as_ref().and_then(|fields| fields.text.as_deref()) else { return false };
    serde_json::to_value(object).is_ok_and(|desired| ownership::covers(fields, &desired))
}

/// The parameters of a patch that is no apply.
pub(super) fn in_our_name() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
