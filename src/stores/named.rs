//! One object that is known by its name, kept current by a watch of it alone: that is all that a rule with `resourceNames`
//! allows.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Api;
use tokio::sync::Notify;

use super::collection::{Collection, Progress};
use super::slim::{Incoming, Key, Slim};
use super::watch::{Necessity, StoreEvent, WatchOptions, watch};
use crate::rbac::AccessRule;

/// An object that is known by its name.
#[derive(Debug)]
pub struct Named<T> {
    key: Key,
    collection: Collection<T>,
    /// Why it could not be read the last time.
    failure: Mutex<Option<ReadFailure>>,
    /// Notified when it may have changed, or cannot be read.
    changed: Arc<Notify>,
}

/// Why an object could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadFailure {
    /// Whether the API server does not allow it.
    pub is_forbidden: bool,
    /// The reason, in one line.
    pub text: String,
}

impl<T: Slim> Named<T> {
    /// Nothing is read yet. Whoever waits for `changed` may wait for several objects.
    pub fn new(key: Key, changed: Arc<Notify>) -> Self {
        Self { key, collection: Collection::default(), failure: Mutex::default(), changed }
    }

    /// Its name, and its namespace where it has one.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether it is known what there is, or that there is nothing; else perhaps why not.
    pub fn known(&self) -> Result<Option<Arc<T>>, Option<ReadFailure>> {
        if self.collection.progress() == Progress::Listing {
            return Err(self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        Ok(self.collection.get(&self.key))
    }

    /// Keeps it current. Never returns.
    pub async fn keep(&self, api: Api<Incoming<T>>, name: &'static str, rule: AccessRule) {
        let options = WatchOptions {
            name,
            necessity: Necessity::Required,
            rule,
            label: None,
            field: Some(format!("metadata.name={}", self.key.name())),
            page: 1,
            expires: None,
        };
        watch(options, vec![api], &self.collection, |event| self.take(&event)).await;
    }

    fn take(&self, event: &StoreEvent<'_, T>) {
        let failure = match event {
            StoreEvent::Failed(code, text) => {
                Some(ReadFailure { is_forbidden: *code == Some(403), text: (*text).to_owned() })
            }
            StoreEvent::Changed(_) | StoreEvent::Listed(_) | StoreEvent::Installed => None,
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        self.changed.notify_one();
    }
}
