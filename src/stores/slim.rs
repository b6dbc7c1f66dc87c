//! What the process remembers of objects: the fields it uses, nothing else.
//!
//! Objects are decoded straight into these types, so the rest of an object (above all `managedFields`, half of most
//! objects) is skipped over, not built and dropped.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Debug};

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::uid::Uid;

/// Namespace and name of an object, as one text: `namespace/name`. Cluster-scoped ones have no namespace.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Key(Box<str>);

impl Key {
    /// The key of `namespace/name`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self([namespace, "/", name].concat().into())
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Namespace and name.
    pub fn parts(&self) -> (&str, &str) {
        // Namespaces contain no slash.
        self.0.split_once('/').unwrap_or_default()
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new("", "")
    }
}

/// By namespace, then by name.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.strip_prefix('/').unwrap_or(&self.0))
    }
}

impl Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The identity of an object, and its version, which does not count in comparisons.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Namespace and name.
    pub key: Key,
    /// The uid.
    pub uid: Uid,
    /// The resourceVersion.
    pub version: Box<str>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl From<&ObjectMeta> for Identity {
    fn from(metadata: &ObjectMeta) -> Self {
        let ObjectMeta { namespace, name, uid, resource_version, deletion_timestamp, .. } = metadata;
        Self {
            key: Key::new(namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default()),
            uid: uid.as_deref().unwrap_or_default().into(),
            version: resource_version.as_deref().unwrap_or_default().into(),
            deleting: deletion_timestamp.is_some(),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.uid == other.uid && self.deleting == other.deleting
    }
}

impl Identity {
    /// Whether this is an older version than `other`. resourceVersions of one resource are ordered numbers.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.version_number().zip(other.version_number()).is_some_and(|(this, other)| this < other)
    }

    /// The resourceVersion as a number.
    pub(super) fn version_number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// A slim form of an object of type `Of`.
pub trait Slim: Clone + Debug + DeserializeOwned + PartialEq + Send + Sync + 'static {
    /// The object's own type: it knows group, version and plural.
    type Of: Resource;
    /// Whether metadata is all that is used, so that the API server need send no more.
    const METADATA_ONLY: bool = false;

    /// Its identity.
    fn identity(&self) -> &Identity;

    /// Under which indexes the store finds it, beside its key; each once.
    fn indexes(&self) -> Vec<Box<str>> {
        Vec::new()
    }

    /// Reuses values computed from `older` that still apply.
    fn inherit(&mut self, _older: &Self) {}

    /// Whether everything that matters is as in `older`.
    fn same_as(&self, older: &Self) -> bool {
        self == older
    }
}

/// An object as a list, a watch or an answer brings it. One that does not decode must not break the watch. It is decoded from
/// text only.
#[derive(Clone, Debug)]
pub struct Incoming<T> {
    metadata: ObjectMeta,
    /// The object, or why it cannot be read.
    pub object: Result<T, String>,
}

impl<T: Slim> Incoming<T> {
    /// Its identity, also where the rest cannot be decoded.
    pub(crate) fn identity(&self) -> Identity {
        match &self.object {
            Ok(object) => object.identity().clone(),
            Err(_) => Identity::from(&self.metadata),
        }
    }
}

impl<'de, T: Slim> Deserialize<'de> for Incoming<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Unreadable {
            metadata: ObjectMeta,
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let error = match serde_json::from_str::<T>(text) {
            Ok(object) => return Ok(object.into()),
            Err(error) => error,
        };
        let Unreadable { metadata } = serde_json::from_str(text).map_err(D::Error::custom)?;
        Ok(Self { metadata, object: Err(error.to_string()) })
    }
}

impl<T: Slim> From<T> for Incoming<T> {
    fn from(object: T) -> Self {
        // Only that of an object that cannot be read is used: `Resource::meta` of others has nothing.
        Self { metadata: ObjectMeta::default(), object: Ok(object) }
    }
}

impl<T: Slim> Resource for Incoming<T> {
    type DynamicType = <T::Of as Resource>::DynamicType;
    type Scope = <T::Of as Resource>::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        T::Of::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        T::Of::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        T::Of::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        T::Of::plural(of)
    }

    fn metadata_api() -> bool {
        T::METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
