//! Apply: makes one child as it was rendered. Writes only where a field of ours, or what was last applied, differs;
//! never touches an object that is not ours.
//!
//! What the API server answers is compared with what was sent. What a mutating webhook changed on the way is
//! reported, and not changed back.

mod error;
mod field_sets;
mod hash;
mod memory;
mod ownership;
mod pod;
mod request;
mod response;
mod scale;
mod stored;
mod take_over;
mod trial;

use std::sync::Arc;

use crds::labels::APPLIED_HASH_ANNOTATION;
use tokio::time::Instant;

pub(super) use error::{ApplyError, Next};
use error::{LEFT_BEHIND_PATIENCE, SAME_WRITE_AGAIN, TOO_LARGE_AGAIN};
pub(super) use hash::{Hash, hash, hash_of};
pub(super) use memory::{ChildMemories, ChildMemory, StoredDifference};
pub(super) use pod::{DeletedState, delete_pod};
pub(super) use request::{ChildApi, as_field_manager};
use request::{Precondition, RequestError};

use crate::client::delete_only;
use crate::render::{Action, Manifest, Serves};
use crate::stores::child::{Child, WholeChild};
use crate::stores::collection::Progress;
use crate::stores::metadata::{Owner, OwnerKind};
use crate::stores::slim::{Identity, Key};

impl ChildApi<'_> {
    /// Whether there is such a child of ours.
    pub fn exists(&self, key: &Key) -> bool {
        self.collection.get(key).is_some_and(|child| child.is_owned_by(&self.owner.uid))
    }

    /// Whether nothing is to be done, without a request.
    ///
    /// # Errors
    /// What no request can change.
    pub fn is_settled(&self, key: &Key, action: &Action<Hash>, memory: &ChildMemory) -> Result<bool, ApplyError> {
        match action {
            Action::Apply(_) if !self.is_installed() => Err(ApplyError::NotInstalled { kind: self.row.kind }),
            Action::Apply(hash) => Ok(self.present(key).is_some_and(|child| memory.holds(&child, hash))),
            Action::KeepExisting => Ok(self.is_kept(key, memory)),
            Action::Delete => Ok(self.deletable(key).is_none()),
        }
    }

    /// Does what is to be done about the child; true when that took a write.
    pub async fn act(
        &self,
        key: &Key,
        action: Action<(Hash, Box<dyn Manifest>)>,
        memory: &mut ChildMemory,
    ) -> Result<bool, ApplyError> {
        match action {
            Action::Apply((hash, mut object)) => self.ensure(key, &hash, memory, &mut *object).await,
            Action::KeepExisting => self.keep(key, memory).await,
            Action::Delete => self.remove(key, memory).await,
        }
    }

    /// Applies `object`, which has that hash, unless the child is as desired already; true when that took a write.
    async fn ensure(
        &self,
        key: &Key,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut dyn Manifest,
    ) -> Result<bool, ApplyError> {
        if !self.is_installed() {
            return Err(ApplyError::NotInstalled { kind: self.row.kind });
        }
        let annotations = object.metadata().annotations.get_or_insert_default();
        annotations.insert(APPLIED_HASH_ANNOTATION.to_owned(), hash.to_string());
        if let Some((same, at, message)) = memory.too_large.as_deref()
            && same == hash
            && at.elapsed() < TOO_LARGE_AGAIN
        {
            return Err(ApplyError::TooLarge {
                kind: self.row.kind,
                name: key.name().to_owned(),
                message: message.clone(),
            });
        }
        let existing = match self.find(key, memory).await? {
            Some(child) => child,
            None => match self.create(key, hash, memory, object).await? {
                Some(child) => child,
                None => return Ok(true),
            },
        };
        if !existing.is_owned_by(&self.owner.uid) {
            return Err(self.foreign(key, memory, &existing));
        }
        if existing.identity.deleting {
            return Err(ApplyError::BeingDeleted { kind: self.row.kind, name: key.name().to_owned() });
        }
        memory.existed = true;
        memory.foreign = None;
        if memory.holds(&existing, hash) || self.is_as_applied(&existing, hash, memory, object).await? {
            return Ok(false);
        }
        self.update(&existing, hash, memory, object).await.map(|()| true)
    }

    /// Deletes the child if it is ours; true when that took a write.
    async fn remove(&self, key: &Key, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        let Some(child) = self.deletable(key) else { return Ok(false) };
        self.delete(&child.identity).await?;
        *memory = ChildMemory::default();
        Ok(true)
    }

    /// Deletes a child, unless it is gone, or replaced by another one, already.
    pub async fn delete(&self, child: &Identity) -> Result<(), ApplyError> {
        let Identity { key, uid, .. } = child;
        let name = key.name();
        match self.request(name, self.api.delete(name, &delete_only(uid))).await {
            Ok(_) => {
                tracing::info!(kind = self.row.kind, child = name, "deleted");
                self.count_write();
            }
            Err(RequestError::Outdated(_)) => {}
            Err(error) => return Err(self.error(name, error)),
        }
        // Reconciled again before the watch delivers the deletion, it would be deleted twice.
        drop(self.collection.remove(child));
        Ok(())
    }

    /// Whether the API server serves the resource, as far as is known. All of them serve its own: a 404 is trouble on the way
    /// there.
    fn is_installed(&self) -> bool {
        self.row.serves != Serves::Route || self.collection.progress() == Progress::Synced
    }

    /// Ours, unless it is being deleted.
    fn present(&self, key: &Key) -> Option<Arc<Child>> {
        let child = self.collection.get(key)?;
        (child.is_owned_by(&self.owner.uid) && !child.identity.deleting).then_some(child)
    }

    /// Ours, unless it is being deleted, or somebody else made it with the Workspace as its owner.
    pub(super) fn deletable(&self, key: &Key) -> Option<Arc<Child>> {
        self.present(key).filter(|child| child.is_of_controller())
    }

    /// The object of that name, of any owner. The API server is asked where one that existed is no longer in the cache.
    async fn find(&self, key: &Key, memory: &mut ChildMemory) -> Result<Option<Arc<Child>>, ApplyError> {
        let cached = self.collection.get(key);
        if cached.is_some() || (!memory.existed && memory.foreign.is_none()) {
            return Ok(cached);
        }
        // It may have lost the label that it is watched by, or belong to another owner.
        let found = self.get(key.name()).await?;
        if found.is_none() {
            memory.foreign = None;
        }
        Ok(found)
    }

    /// Creates the child. Returns the object that exists after all: the cache is behind, or it belongs to another owner.
    async fn create(
        &self,
        key: &Key,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut dyn Manifest,
    ) -> Result<Option<Arc<Child>>, ApplyError> {
        match self.write(object, Precondition::Absent).await {
            Ok(answer) => {
                tracing::info!(kind = self.row.kind, child = key.name(), "created");
                self.record_write(key, hash, memory, answer, object);
                Ok(None)
            }
            Err(RequestError::Outdated(why)) => {
                let existing = self.get(key.name()).await?.ok_or_else(|| self.unreachable(key.name(), why))?;
                // It may be as desired: the precondition is no part of that.
                object.metadata().resource_version = None;
                Ok(Some(existing))
            }
            Err(error) => Err(self.refused(key.name(), hash, memory, error)),
        }
    }

    /// Applies to an existing child, though not the same again at once: another client may keep modifying it.
    async fn update(
        &self,
        existing: &Child,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut dyn Manifest,
    ) -> Result<(), ApplyError> {
        let Identity { key, uid, .. } = &existing.identity;
        let is_same = |(written, at): &(Hash, Instant)| written == hash && at.elapsed() < SAME_WRITE_AGAIN;
        if memory.written.as_deref().is_some_and(is_same) {
            self.metrics.write_contested(self.row.plural);
            return Err(ApplyError::Contested { kind: self.row.kind, name: key.name().to_owned() });
        }
        memory.adopted |= self.take_over(existing, object).await?;
        let mut written = self.write(object, Precondition::Uid(uid)).await;
        if let Err(RequestError::UpdateStrategyConflict(_)) = written {
            self.replace_update_strategy(&existing.identity, object).await?;
            written = self.write(object, Precondition::Uid(uid)).await;
        }
        if let Err(RequestError::RoleRefConflict(_)) = written {
            self.delete(&existing.identity).await?;
            written = self.write(object, Precondition::Absent).await;
        }
        match written {
            Ok(answer) => {
                tracing::info!(kind = self.row.kind, child = key.name(), "applied");
                self.record_write(key, hash, memory, answer, object);
                Ok(())
            }
            Err(error) => Err(self.refused(key.name(), hash, memory, error)),
        }
    }

    /// Remembers the answer to a write: until a client changes it, that is what is stored.
    fn record_write(
        &self,
        key: &Key,
        hash: &Hash,
        memory: &mut ChildMemory,
        answer: WholeChild,
        object: &dyn Manifest,
    ) {
        self.count_write();
        memory.existed = true;
        memory.foreign = None;
        memory.written = Some(Box::new((*hash, Instant::now())));
        memory.too_large = None;
        if answer.child.identity.key == *key {
            self.settle_written(memory, answer, object);
        }
    }

    /// The error of a write, which is remembered where a retry would only repeat it.
    fn refused(&self, name: &str, hash: &Hash, memory: &mut ChildMemory, error: RequestError) -> ApplyError {
        let error = self.error(name, error);
        if let ApplyError::TooLarge { message, .. } = &error {
            memory.too_large = Some(Box::new((*hash, Instant::now(), message.clone())));
        }
        error
    }

    fn foreign(&self, key: &Key, memory: &mut ChildMemory, other: &Child) -> ApplyError {
        let since = memory.foreign.as_deref().copied().unwrap_or_else(Instant::now);
        *memory = ChildMemory { foreign: Some(Box::new(since)), ..ChildMemory::default() };
        let (kind, name) = (self.row.kind, key.name().to_owned());
        let is_namesake = |owner: &Owner| owner.kind == OwnerKind::Workspace && *owner.name == *self.owner.key.name();
        if other.owner.as_ref().is_some_and(is_namesake) && since.elapsed() < LEFT_BEHIND_PATIENCE {
            ApplyError::LeftBehind { kind, name }
        } else {
            ApplyError::Foreign { kind, name }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use kube::Client;
    use kube::client::Body;

    use super::*;
    use crate::metrics::Metrics;
    use crate::render::ChildKind;
    use crate::stores::collection::Collection;

    /// An API server that cannot be asked.
    fn client() -> Client {
        let service = tower::service_fn(|_: http::Request<Body>| async {
            Ok::<_, Infallible>(http::Response::builder().status(500).body(Body::empty()).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn only_the_resources_of_istio_can_be_absent() {
        // As after a 404 to a watch: not synced.
        let (collection, metrics, owner) = (Collection::<Child>::default(), Metrics::new(), Identity::default());
        let (key, hash) = (Key::new("ns", "ws-lab"), Action::Apply(Hash::of_text("h")));
        for kind in ChildKind::ALL {
            let api = ChildApi::new(kind, &client(), &metrics, &owner, &collection);
            let settled = api.is_settled(&key, &hash, &ChildMemory::default());
            match kind.row().serves {
                Serves::Pod | Serves::Neither => assert!(!settled.unwrap(), "{kind:?}"),
                Serves::Route => assert!(matches!(settled, Err(ApplyError::NotInstalled { .. })), "{kind:?}"),
            }
        }
    }
}
