//! A rendered object, whatever its kind, and what is to be done with it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;

use crds::apply_body;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A rendered object of any kind.
pub trait Manifest: Debug + Send + Sync {
    /// Its metadata.
    fn metadata(&mut self) -> &mut ObjectMeta;
    /// The body that applies it in an API version of its group with the same content.
    fn body(&self, api_version: &str) -> serde_json::Result<Box<RawValue>>;
    /// Writes the body that applies it in its own API version to `sink`.
    fn write_body(&self, sink: &mut dyn io::Write) -> serde_json::Result<()>;
    /// The object as JSON.
    fn value(&self) -> Value;
}

impl<K: Metadata<Ty = ObjectMeta> + Serialize + Debug + Send + Sync> Manifest for K {
    fn metadata(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn body(&self, api_version: &str) -> serde_json::Result<Box<RawValue>> {
        let body = apply_body::body(self)?;
        if api_version == K::API_VERSION { Ok(body) } else { in_version(&body, api_version) }
    }

    fn write_body(&self, sink: &mut dyn io::Write) -> serde_json::Result<()> {
        apply_body::write(sink, self)
    }

    fn value(&self) -> Value {
        // Our own types always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The body of an apply in another API version.
fn in_version(body: &RawValue, api_version: &str) -> serde_json::Result<Box<RawValue>> {
    let mut members: BTreeMap<&str, &RawValue> = serde_json::from_str(body.get())?;
    let version = to_raw_value(api_version)?;
    members.insert("apiVersion", &version);
    to_raw_value(&members)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::istio::{VirtualService, VirtualServiceSpec};

    #[test]
    fn a_body_in_another_version_differs_in_that_alone() {
        let metadata = ObjectMeta { name: Some("a\u{85}b".to_owned()), ..ObjectMeta::default() };
        let route = VirtualService::new(metadata, VirtualServiceSpec::default());
        let (body, older) =
            (route.body("networking.istio.io/v1").unwrap(), route.body("networking.istio.io/v1beta1").unwrap());
        let expected = r#"{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a\u0085b"},"spec":{"gateways":[],"hosts":[],"http":[]}}"#;
        assert_eq!(body.get(), expected);
        assert_eq!(older.get(), expected.replace("io/v1\"", "io/v1beta1\""));
    }
}
