//! The slim form of the Secret with our own CA and certificate.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::slim::{Identity, Slim};

/// The Secret of our certificate.
#[derive(Clone, PartialEq)]
pub struct CertificateSecret {
    identity: Identity,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is not empty in it.
    pub data: BTreeMap<String, Vec<u8>>,
}

/// Without the data.
impl fmt::Debug for CertificateSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.data.keys().collect();
        formatter
            .debug_struct("CertificateSecret")
            .field("identity", &self.identity)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for CertificateSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: ObjectMeta,
            data: Option<BTreeMap<String, ByteString>>,
        }
        let Wire { metadata, data } = Wire::deserialize(deserializer)?;
        let data = data.unwrap_or_default().into_iter().map(|(key, ByteString(value))| (key, value));
        Ok(Self {
            identity: Identity::from(&metadata),
            labels: metadata.labels.unwrap_or_default(),
            data: data.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }
}

impl Slim for CertificateSecret {
    type Of = Secret;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_empty_counts_as_missing_and_nothing_shows_in_logs() {
        let text = r#"{"metadata": {"namespace": "ns", "name": "s", "resourceVersion": "7", "labels": {"a": "b"}},
            "type": "Opaque", "data": {"tls.key": "c2VjcmV0", "tls.crt": ""}}"#;
        let secret: CertificateSecret = serde_json::from_str(text).unwrap();
        assert_eq!(secret.data, BTreeMap::from([("tls.key".to_owned(), b"secret".to_vec())]));
        assert_eq!(secret.labels["a"], "b");
        let shown = format!("{secret:?}");
        assert!(shown.contains("ns/s") && shown.contains("tls.key"), "{shown}");
        assert!(!shown.contains("115") && !shown.contains("secret"), "{shown}");
        let empty: CertificateSecret = serde_json::from_str(r#"{"metadata": {"name": "s"}}"#).unwrap();
        assert!(empty.data.is_empty());
    }
}
