//! What the Secret holds: our CA and certificate, nothing yet, or something that is not ours.

use std::collections::BTreeMap;

use certs::{Material, MaterialPem};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use crate::stores::certificate_secret::CertificateSecret;

/// The label that says whose the Secret is.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "workspaces-controller");

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const TRUSTED: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

/// What a Secret holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing: it is ours to fill.
    Empty,
    /// It is ours, but what it holds cannot be used, for this reason.
    Unusable(String),
    /// It was made by somebody else: it is left alone.
    Foreign,
    /// Our material.
    Material(Box<Material>),
}

impl Content {
    pub fn of(secret: &CertificateSecret) -> Self {
        if secret.data.is_empty() {
            return Self::Empty;
        }
        let is_ours = secret.labels.get(MANAGED_BY.0).is_some_and(|value| value == MANAGED_BY.1);
        match (is_ours, read(&secret.data)) {
            (false, _) => Self::Foreign,
            (true, Ok(material)) => Self::Material(Box::new(material)),
            (true, Err(reason)) => Self::Unusable(reason),
        }
    }
}

fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Material, String> {
    let text = |key: &str| {
        let value = data.get(key).ok_or_else(|| format!("{key}: missing"))?;
        String::from_utf8(value.clone()).map_err(|_| format!("{key}: not a text"))
    };
    let pem = MaterialPem {
        certificate: text(CERTIFICATE)?,
        key: text(KEY)?,
        trusted: text(TRUSTED)?,
        ca_key: text(CA_KEY)?,
    };
    Material::from_pem(&pem).map_err(|error| error.to_string())
}

fn data(pem: MaterialPem) -> BTreeMap<String, ByteString> {
    let MaterialPem { certificate, key, trusted, ca_key } = pem;
    let texts = [(CERTIFICATE, certificate), (KEY, key), (TRUSTED, trusted), (CA_KEY, ca_key)];
    texts.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
}

/// A new Secret with this material.
pub(super) fn to_create(name: &str, pem: MaterialPem) -> Secret {
    let labels = BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]);
    Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data(pem)),
        ..Secret::default()
    }
}

/// The merge patch that puts this material into a Secret, if that is still of this version.
pub(super) fn to_patch(version: &str, pem: MaterialPem) -> Value {
    json!({"metadata": {"resourceVersion": version, "labels": {MANAGED_BY.0: MANAGED_BY.1}}, "data": data(pem)})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, SystemTime};

    use certs::{Bundle, Schedule};

    use super::*;

    fn pem() -> MaterialPem {
        let schedule = Schedule::new(Duration::from_hours(4), Duration::from_hours(1)).unwrap();
        Material::issue(&Bundle::default(), &["a.test".into()], &schedule, SystemTime::now()).unwrap().pem()
    }

    /// What the API server stores of this.
    fn stored(secret: &Secret) -> CertificateSecret {
        serde_json::from_value(serde_json::to_value(secret).unwrap()).unwrap()
    }

    #[test]
    fn what_is_created_is_read_again() {
        let pem = pem();
        let created = to_create("s", pem.clone());
        assert_eq!(created.type_.as_deref(), Some("kubernetes.io/tls"));
        let Content::Material(material) = Content::of(&stored(&created)) else { unreachable!("not read") };
        assert_eq!(material.pem(), pem);
        let patch = to_patch("7", pem);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["data"], serde_json::to_value(&created).unwrap()["data"]);
    }

    #[test]
    fn only_what_is_empty_or_has_our_label_is_ours() {
        let kind = |secret: &Secret| match Content::of(&stored(secret)) {
            Content::Empty => "empty".to_owned(),
            Content::Unusable(reason) => reason,
            Content::Foreign => "foreign".to_owned(),
            Content::Material(_) => "material".to_owned(),
        };
        let good = to_create("s", pem());
        let with = |change: fn(&mut Secret)| {
            let mut secret = good.clone();
            change(&mut secret);
            kind(&secret)
        };
        assert_eq!(with(|_| ()), "material");
        assert_eq!(with(|secret| secret.data = None), "empty");
        assert_eq!(with(|secret| secret.metadata.labels = None), "foreign");
        assert_eq!(with(|secret| drop(secret.data.as_mut().unwrap().remove("ca.key"))), "ca.key: missing");
        assert_eq!(
            with(|secret| drop(secret.data.as_mut().unwrap().insert("ca.crt".into(), ByteString(vec![255])))),
            "ca.crt: not a text"
        );
        assert_eq!(
            with(|secret| drop(secret.data.as_mut().unwrap().insert("tls.crt".into(), ByteString(b"x".to_vec())))),
            "tls.crt: not PEM; write the certificate chain as PEM, from -----BEGIN to -----END"
        );
        assert_eq!(
            with(|secret| {
                secret.metadata.labels = None;
                secret.data.as_mut().unwrap().insert("tls.crt".into(), ByteString(Vec::new()));
            }),
            "foreign"
        );
    }
}
