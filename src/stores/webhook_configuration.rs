//! The slim form of our ValidatingWebhookConfiguration: where the API server calls, and which CAs it trusts there.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ServiceReference, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::slim::{Identity, Slim};

/// A webhook configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfiguration {
    identity: Identity,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its webhooks, in order.
    pub webhooks: Vec<Webhook>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The host that the API server's TLS client expects the certificate to be of; empty where none is configured.
    pub host: String,
    /// `caBundle`: PEM; empty where there is none.
    pub bundle: Vec<u8>,
}

impl From<WebhookClientConfig> for Webhook {
    fn from(client: WebhookClientConfig) -> Self {
        let host = match (client.service, client.url) {
            (Some(ServiceReference { name, namespace, .. }), _) => format!("{name}.{namespace}.svc"),
            (None, Some(url)) => host_of(&url).unwrap_or_default(),
            (None, None) => String::new(),
        };
        Self { host, bundle: client.ca_bundle.map(|ByteString(bundle)| bundle).unwrap_or_default() }
    }
}

/// Without the brackets of an IPv6 address.
fn host_of(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    Some(url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned())
}

impl<'de> Deserialize<'de> for WebhookConfiguration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: ObjectMeta,
            webhooks: Option<Vec<WireWebhook>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct WireWebhook {
            client_config: WebhookClientConfig,
        }
        let Wire { metadata, webhooks } = Wire::deserialize(deserializer)?;
        Ok(Self {
            identity: Identity::from(&metadata),
            annotations: metadata.annotations.unwrap_or_default(),
            webhooks: webhooks.unwrap_or_default().into_iter().map(|webhook| webhook.client_config.into()).collect(),
        })
    }
}

impl Slim for WebhookConfiguration {
    type Of = ValidatingWebhookConfiguration;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_webhook_is_known_by_the_host_that_is_verified() {
        let text = r#"{"metadata": {"name": "c", "annotations": {"a": "b"}}, "webhooks": [
            {"name": "one", "clientConfig": {"service": {"name": "s", "namespace": "ns", "path": "/p"}, "caBundle": "YQ=="}},
            {"name": "two", "clientConfig": {"url": "https://Host.example:9443/p"}},
            {"name": "three", "clientConfig": {"url": "https://[::1]:9443/p", "caBundle": ""}}]}"#;
        let configuration: WebhookConfiguration = serde_json::from_str(text).unwrap();
        let webhooks: Vec<(&str, &[u8])> =
            configuration.webhooks.iter().map(|webhook| (&*webhook.host, &*webhook.bundle)).collect();
        assert_eq!(webhooks, [("s.ns.svc", &b"a"[..]), ("Host.example", b""), ("::1", b"")]);
        assert_eq!(configuration.annotations["a"], "b");
    }
}
