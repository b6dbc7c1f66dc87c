//! Patches of Workspaces and kinds: their errors, and what becomes of the answer.

use std::future::Future;

use crate::client::{CallError, causes, in_time};
use crate::stores::collection::Collection;
use crate::stores::slim::{Incoming, Slim};

/// Why an object could not be patched. Every one is worth a retry.
#[derive(Debug, thiserror::Error)]
pub(super) enum PatchError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer cannot be decoded: {0}")]
    Answer(String),
}

impl PatchError {
    /// What the API server said, without what the client puts around it.
    pub fn in_words(&self) -> String {
        match self {
            // As RBAC puts it; quotas, policies and other webhooks answer 403 too.
            Self::Call(error @ CallError::Api(kube::Error::Api(status)))
                if status.message.contains(" cannot patch resource ") =>
            {
                format!("{}: add that right to the ClusterRole", causes(error))
            }
            Self::Call(error) => causes(error),
            Self::Answer(_) => self.to_string(),
        }
    }
}

/// Sends a patch, and keeps what is stored now.
pub(super) async fn send<T: Slim>(
    request: impl Future<Output = kube::Result<Incoming<T>>>,
    collection: &Collection<T>,
) -> Result<(), PatchError> {
    let object = in_time(request).await?.object.map_err(PatchError::Answer)?;
    // Our own write is not an event.
    collection.put_answer(object);
    Ok(())
}
