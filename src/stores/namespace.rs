//! The slim form of namespaces: their labels, which activity rules select by.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::slim::{Identity, Slim};

/// A namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNamespace {
    identity: Identity,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for StoredNamespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: ObjectMeta,
        }
        let Wire { metadata } = Wire::deserialize(deserializer)?;
        Ok(Self { identity: Identity::from(&metadata), labels: metadata.labels.unwrap_or_default() })
    }
}

impl Slim for StoredNamespace {
    type Of = core::Namespace;
    const METADATA_ONLY: bool = true;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
