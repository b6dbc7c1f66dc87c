//! Apply: makes one child as it was rendered. Writes only where a field of ours, or what was last applied, differs;
//! never touches an object that is not ours.
//!
//! What the API server answers is compared with what was sent. What a mutating webhook changed on the way is its
//! business: it is noted, and not changed back.

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
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ownership;
use super::plan::{Hash, hash};
use crate::istio::{VirtualService, VirtualServiceSpec};
use crate::metrics::Metrics;
use crate::render::difference::{self, Extra};
use crate::render::{self, UnsafeHeader};
use crate::stores::child::{Child, WholeChild};
use crate::stores::collection::Collection;
use crate::stores::slim::{Identity, Incoming, Key, Owner};

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
    /// What of a stored spec may hurt others; nothing in most kinds of children.
    fn judge_stored(_spec: &Value) -> Vec<UnsafeHeader> {
        Vec::new()
    }
}

impl ChildKind for ServiceAccount {}
impl ChildKind for StatefulSet {}
impl ChildKind for Service {}

impl ChildKind for VirtualService {
    fn judge_stored(spec: &Value) -> Vec<UnsafeHeader> {
        VirtualServiceSpec::deserialize(spec).map(|spec| render::judge_stored(&spec)).unwrap_or_default()
    }
}

/// Why a child is not as it should be.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ApplyError {
    /// Wait: an object that is not ours has the name.
    #[error("{kind} {name} already exists and is not owned by the Workspace")]
    Foreign {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Wait: an earlier Workspace of this name left it behind; garbage collection takes it away.
    #[error("{kind} {name} is left from an earlier Workspace of this name")]
    LeftBehind {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Wait: ours is being deleted, by somebody else; its name is free when that is done.
    #[error("{kind} {name} is being deleted")]
    BeingDeleted {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Retry, slower and slower: the API server, a quota or another webhook refuses it. The message is theirs.
    #[error("{kind} {name} was refused: {message}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In the words of who refused it.
        message: String,
    },
    /// Wait: it is larger than the API server or its store takes, and stays so until the kind or the Workspace changes. The
    /// message is theirs.
    #[error("{kind} {name} is too large to be stored: {message}")]
    TooLarge {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In the words of who refused it.
        message: String,
    },
    /// Wait: the API server does not know the kind; the watch tells when it does.
    #[error("{kind} is not installed")]
    NotInstalled {
        /// The kind.
        kind: &'static str,
    },
    /// Wait: somebody else keeps changing our fields; they are put back, but not at any pace.
    #[error("{kind} {name} is being changed by somebody else")]
    Contested {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Retry: the object changed meanwhile, or the API server could not be asked.
    #[error("{kind} {name} could not be written: {why}")]
    Unreachable {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What went wrong.
        why: String,
    },
}

/// When to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// With a growing pause.
    Retry,
    /// When an event tells, or after this long if none can.
    Wait(Option<Duration>),
}

/// What the API server says where a webhook with side effects would have to take part in a dry run.
const NO_DRY_RUN: &str = "does not support dry run";
/// How often a name that somebody else has is looked at: no event tells that it is free.
const FOREIGN_AGAIN: Duration = Duration::from_secs(15);
/// How long garbage collection is given to take away what an earlier Workspace left before that counts as foreign.
const LEFT_BEHIND_PATIENCE: Duration = Duration::from_secs(5);
/// How soon something that was too large is tried again. Only new limits of the API server could change the answer.
const TOO_LARGE_AGAIN: Duration = Duration::from_mins(5);
/// The least time between two writes of the same to one child.
const SAME_WRITE_AGAIN: Duration = Duration::from_millis(500);

impl ApplyError {
    /// The error without the words of others, which may quote what was written.
    pub fn without_quotes(&self) -> String {
        match self {
            Self::Refused { kind, name, .. } => format!("{kind} {name} was refused; the Workspace's status says why"),
            other => other.to_string(),
        }
    }

    /// When to try again.
    pub fn next(&self) -> Next {
        match self {
            Self::Foreign { .. } => Next::Wait(Some(FOREIGN_AGAIN)),
            Self::LeftBehind { .. } => Next::Wait(Some(LEFT_BEHIND_PATIENCE)),
            Self::Contested { .. } => Next::Wait(Some(SAME_WRITE_AGAIN)),
            Self::TooLarge { .. } => Next::Wait(Some(TOO_LARGE_AGAIN)),
            Self::BeingDeleted { .. } | Self::NotInstalled { .. } => Next::Wait(None),
            Self::Refused { .. } | Self::Unreachable { .. } => Next::Retry,
        }
    }
}

/// What is remembered of a child.
#[derive(Debug, Default)]
pub(super) struct ChildMemory {
    /// The state in which nothing is to be done.
    settled: Option<Settled>,
    /// What differs from what was applied in that state.
    pub stored: Stored,
    /// What was written last, and when.
    written: Option<(Hash, Instant)>,
    /// What was too large, when, and in whose words.
    too_large: Option<(Hash, Instant, String)>,
    /// Whether it has been in place once.
    existed: bool,
    /// Since when somebody else has had its name, each time that it was looked at.
    foreign: Option<Instant>,
}

/// A version of a child that was found to be as wanted.
#[derive(Debug, Eq, PartialEq)]
struct Settled {
    /// The hash of what was applied.
    hash: Box<str>,
    /// The digest of the fields that are ours.
    fields: u64,
    /// The generation: a mutating webhook may change our fields in the request of somebody else.
    generation: Option<i64>,
}

impl Settled {
    /// That version; none of a child to which nothing of ours was applied.
    fn of<K>(child: &Child<K>) -> Option<Self> {
        let fields = child.fields.as_ref()?.digest;
        Some(Self { hash: child.applied_hash.clone()?, fields, generation: child.generation })
    }
}

/// How what the API server stores differs from what was applied, by the doing of a mutating webhook.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Stored {
    /// The paths of the fields with another value, for people; empty where there are none.
    pub differences: String,
    /// Headers that must not reach Istio.
    pub unsafe_headers: Vec<UnsafeHeader>,
}

impl ChildMemory {
    /// Whether a child is as it was when it was last found to be as wanted, and that is still what is wanted.
    fn holds<K>(&self, child: &Child<K>, hash: &Hash) -> bool {
        self.settled.as_ref().is_some_and(|settled| settled.hash == *hash) && self.holds_any(child)
    }

    /// Whether a child is as it was when it was last found to be as wanted.
    fn holds_any<K>(&self, child: &Child<K>) -> bool {
        self.settled.is_some() && self.settled == Settled::of(child)
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
            None => match self.write(object, Precondition::Absent).await {
                Ok(answer) => {
                    self.written(key, hash, memory, answer, object);
                    return Ok(true);
                }
                // It exists after all: our cache is behind, or it is somebody else's.
                Err(Conflict::Outdated(why)) => match self.look_up(&key.name).await? {
                    Some(child) if child.is_owned_by(&self.owner.uid) => {
                        // It may be as wanted: the precondition is no part of that.
                        object.metadata_mut().resource_version = None;
                        child
                    }
                    Some(other) => return Err(self.foreign(key, memory, &other)),
                    None => return Err(Self::unreachable(&key.name, why)),
                },
                Err(conflict) => return Err(Self::refused(&key.name, hash, memory, conflict)),
            },
            Some(child) if child.is_owned_by(&self.owner.uid) => child,
            Some(other) => return Err(self.foreign(key, memory, &other)),
        };
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

    /// Whether a child whose hash and fields say that it is as wanted really holds what was applied, but for what a mutating
    /// webhook changed; noted if so. An earlier version, or somebody in our name, may have written something else.
    async fn is_as_applied(
        &self,
        seen: &Child<K>,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut K,
    ) -> Result<bool, ApplyError> {
        let is_wanted = |child: &Child<K>| child.applied_hash.as_deref() == Some(&**hash) && covers(child, object);
        if !is_wanted(seen) {
            return Ok(false);
        }
        let Some(stored) = self.read(&seen.identity.key.name).await? else { return Ok(false) };
        if stored.child.identity.uid != seen.identity.uid || !is_wanted(&stored.child) {
            return Ok(false);
        }
        let differences = differences(object, &stored.spec);
        if !differences.is_empty() && !self.would_be_stored(object, &stored).await? {
            tracing::warn!(
                object = %seen.identity.key, kind = K::KIND, fields = differences,
                "what is stored is not what was applied; writing it anew"
            );
            drop(self.judge_stored(&stored.spec));
            return Ok(false);
        }
        self.settle(memory, stored, differences);
        Ok(true)
    }

    /// Whether applying `object` would give what is stored: then it is as mutating webhooks want it. Nothing is written.
    async fn would_be_stored(&self, object: &mut K, stored: &WholeChild<K>) -> Result<bool, ApplyError> {
        let Identity { key, uid, .. } = &stored.child.identity;
        match self.send(object, Precondition::Same(uid), Purpose::DryRun).await {
            Ok(answer) => Ok(answer.spec == stored.spec),
            // Whatever that webhook would do, it did when this was written.
            Err(Conflict::Error(ApplyError::Refused { message, .. })) if message.contains(NO_DRY_RUN) => Ok(true),
            // Writing it says why.
            Err(Conflict::Error(ApplyError::Refused { .. } | ApplyError::TooLarge { .. })) => Ok(false),
            Err(conflict) => Err(Self::error(&key.name, conflict)),
        }
    }

    /// Deletes the child `name` if it is ours; true when that took a write.
    pub async fn remove(&self, key: &Key, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        let Some(child) = self.present(key) else { return Ok(false) };
        let uid = Some(child.identity.uid.to_string());
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
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
            let differences = differences(object, &answer.spec);
            self.settle(memory, answer, differences);
        }
    }

    /// Notes that nothing is to be done while a child stays as it is.
    fn settle(&self, memory: &mut ChildMemory, stored: WholeChild<K>, differences: String) {
        let WholeChild { mut child, spec } = stored;
        memory.settled = Settled::of(&child);
        let unsafe_headers = if differences.is_empty() { Vec::new() } else { self.judge_stored(&spec) };
        memory.stored = Stored { differences, unsafe_headers };
        child.fields.iter_mut().for_each(|fields| fields.text = None);
        self.collection.put_answer(child);
    }

    /// What of a stored spec, which is not what was applied, must not reach Istio.
    fn judge_stored(&self, spec: &Value) -> Vec<UnsafeHeader> {
        let found = K::judge_stored(spec);
        if !found.is_empty() {
            self.metrics.unsafe_route_stored();
        }
        found
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
            Ok(Err(kube::Error::Api(status))) => Err(Self::judge(name, *status)),
            Ok(Err(error)) => Err(Conflict::Error(Self::unreachable(name, error.to_string()))),
        }
    }

    fn judge(name: &str, status: Status) -> Conflict {
        let kind = K::KIND;
        match status.code {
            // The resource, not an object of it.
            404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                Conflict::Error(ApplyError::NotInstalled { kind })
            }
            404 | 409 => Conflict::Outdated(status.message),
            _ if is_too_large(&status) => {
                Conflict::Error(ApplyError::TooLarge { kind, name: name.to_owned(), message: status.message })
            }
            422 if blames(&status, "metadata.uid") => Conflict::Outdated(status.message),
            422 if blames(&status, "spec.updateStrategy.rollingUpdate") => Conflict::Strategy(status.message),
            400 | 403 | 405 | 422 => {
                Conflict::Error(ApplyError::Refused { kind, name: name.to_owned(), message: status.message })
            }
            _ => Conflict::Error(Self::unreachable(name, status.message)),
        }
    }
}

impl Children<'_, VirtualService> {
    /// Leaves a route whose successor cannot be rendered as it is, if it is what was applied when it could; one that holds
    /// anything else is removed. True when that took a write.
    pub async fn keep(&self, key: &Key, metadata: &ObjectMeta, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        if self.is_kept(key, memory) {
            return Ok(false);
        }
        let Some(stored) = self.read(&key.name).await?.filter(|stored| stored.child.is_owned_by(&self.owner.uid))
        else {
            return Ok(false);
        };
        let route =
            VirtualServiceSpec::deserialize(&stored.spec).map(|spec| VirtualService::new(metadata.clone(), spec));
        if route.is_ok_and(|route| stored.child.applied_hash.as_ref() == Some(&hash(&route))) {
            self.settle(memory, stored, String::new());
            return Ok(false);
        }
        tracing::warn!(
            object = %key, kind = "VirtualService",
            "what is stored is not what was applied, and nothing can be applied now; deleting it"
        );
        drop(self.judge_stored(&stored.spec));
        self.remove(key, memory).await
    }

    /// Whether [`Children::keep`] has nothing to do.
    pub fn is_kept(&self, key: &Key, memory: &ChildMemory) -> bool {
        self.present(key).is_none_or(|child| memory.holds_any(&child))
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

/// The paths of the first fields of `object` that `stored`, its spec, has with other values, for people.
fn differences<K: ChildKind>(object: &K, stored: &Value) -> String {
    const SHOWN: usize = 3;
    let applied = serde_json::to_value(object).unwrap_or_default();
    let Some(applied) = applied.get("spec") else { return String::new() };
    let found = difference::differences(stored, applied, Extra::KeptOutside(&[]));
    let mut shown: Vec<String> = found.iter().take(SHOWN).map(|field| format!("spec.{}", field.path)).collect();
    if found.len() > SHOWN {
        shown.push(format!("and {} more", found.len() - SHOWN));
    }
    shown.join(", ")
}

/// The parameters of a patch that is no apply.
pub(super) fn in_our_name() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Whether the API server names that field as a cause.
fn blames(status: &Status, field: &str) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.field == field)
}

/// Whether the object, or the request with it, is too large: for the API server (413), or for etcd behind it, whose errors
/// come as they are, as internal ones.
fn is_too_large(status: &Status) -> bool {
    const OF_ETCD: [&str; 2] = ["etcdserver: request is too large", "trying to send message larger than max"];
    status.code == 413 || OF_ETCD.iter().any(|words| status.message.contains(words))
}
