//! A rendered object, whatever its kind, and what is to be done with it.

use std::fmt::Debug;
use std::io;

use crds::apply_body;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A rendered object of any kind.
pub trait Manifest: Debug + Send + Sync {
    /// Its metadata.
    fn metadata(&mut self) -> &mut ObjectMeta;
    /// The body that applies it.
    fn body(&self) -> serde_json::Result<Box<RawValue>>;
    /// Writes that body to `sink`.
    fn write_body(&self, sink: &mut dyn io::Write) -> serde_json::Result<()>;
    /// The object as JSON.
    fn value(&self) -> Value;
}

impl<K: Metadata<Ty = ObjectMeta> + Serialize + Debug + Send + Sync> Manifest for K {
    fn metadata(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn body(&self) -> serde_json::Result<Box<RawValue>> {
        apply_body::body(self)
    }

    fn write_body(&self, sink: &mut dyn io::Write) -> serde_json::Result<()> {
        apply_body::write(sink, self)
    }

    fn value(&self) -> Value {
        // Our own types always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What is to be done about a child.
#[derive(Debug)]
pub enum Action<T> {
    /// Apply this.
    Apply(T),
    /// Leave an existing VirtualService as it was applied: its successor cannot be rendered.
    KeepExisting,
    /// Delete an existing one.
    Delete,
}

impl<T> Action<T> {
    /// Maps the object to apply.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Action<U> {
        match self {
            Self::Apply(object) => Action::Apply(change(object)),
            Self::KeepExisting => Action::KeepExisting,
            Self::Delete => Action::Delete,
        }
    }

    /// The same action with a reference to the object.
    pub fn as_ref(&self) -> Action<&T> {
        match self {
            Self::Apply(object) => Action::Apply(object),
            Self::KeepExisting => Action::KeepExisting,
            Self::Delete => Action::Delete,
        }
    }
}
