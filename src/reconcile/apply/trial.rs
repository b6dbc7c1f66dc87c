//! Trial: what the API server says to a child without storing it.

use crds::labels::APPLIED_HASH_ANNOTATION;

use super::error::ApplyError;
use super::hash::hash;
use super::request::{ChildApi, Precondition, Purpose, RequestError};
use crate::render::Manifest;
use crate::stores::slim::Key;

impl ChildApi<'_> {
    /// Asks whether the child could be applied as it was rendered.
    ///
    /// # Errors
    /// Why it could not; [`ApplyError::Unreachable`] also where the cache is behind.
    pub async fn try_apply(&self, key: &Key, object: &mut dyn Manifest) -> Result<(), ApplyError> {
        let hash = hash(object);
        object
            .metadata()
            .annotations
            .get_or_insert_default()
            .insert(APPLIED_HASH_ANNOTATION.to_owned(), hash.to_string());
        let existing = self.collection.get(key);
        let precondition = match &existing {
            Some(child) if !child.is_owned_by(&self.owner.uid) => {
                return Err(ApplyError::Foreign { kind: self.row.kind, name: key.name().to_owned() });
            }
            Some(child) => Precondition::Uid(&child.identity.uid),
            None => Precondition::Absent,
        };
        match self.send(object, precondition, Purpose::DryRun).await {
            // An apply would replace the update strategy of another manager first.
            Ok(_) | Err(RequestError::UpdateStrategyConflict(_)) => Ok(()),
            Err(error) => Err(self.error(key.name(), error)),
        }
    }
}
