//! Which webhooks of the configuration are ours, which CAs the API server trusts there, and the patch that changes that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Bundle, SubjectAltName};
use serde_json::{Value, json};

use crate::stores::slim::Slim as _;
use crate::stores::webhook_configuration::{Webhook, WebhookConfiguration};

/// The annotations by which others are told to write `caBundle`: cert-manager, OpenShift.
const INJECTORS: [&str; 4] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
];

/// Why nothing is written into a configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum NotOurs {
    /// None of its webhooks is called by a name of our certificate.
    #[error(
        "it calls {hosts}, but the certificate is valid for {names}: set --dynamic-serving-dns-names to the host that is called, \
         or --validating-webhook-configuration-name to another configuration"
    )]
    Host { hosts: String, names: String },
    /// Another program writes there.
    #[error("its annotation {annotation} lets another program write caBundle: remove the annotation")]
    Injected { annotation: &'static str },
}

/// The webhooks of a configuration that our certificate is for.
pub(super) struct Called<'a> {
    configuration: &'a WebhookConfiguration,
    webhooks: Vec<(usize, &'a Webhook)>,
}

/// An error where another program is told to write `caBundle`.
pub(super) fn injector(configuration: &WebhookConfiguration) -> Result<(), NotOurs> {
    let found = INJECTORS.into_iter().find(|name| configuration.annotations.contains_key(*name));
    found.map_or(Ok(()), |annotation| Err(NotOurs::Injected { annotation }))
}

impl<'a> Called<'a> {
    pub fn of(configuration: &'a WebhookConfiguration, names: &[SubjectAltName]) -> Result<Self, NotOurs> {
        let is_ours = |webhook: &Webhook| names.iter().any(|name| is_named(&webhook.host, name));
        let webhooks: Vec<_> =
            configuration.webhooks.iter().enumerate().filter(|(_, webhook)| is_ours(webhook)).collect();
        if webhooks.is_empty() {
            let mut hosts: Vec<&str> = configuration.webhooks.iter().map(|webhook| &*webhook.host).collect();
            hosts.dedup();
            let hosts = if hosts.is_empty() { "no webhook".to_owned() } else { hosts.join(", ") };
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(NotOurs::Host { hosts, names });
        }
        Ok(Self { configuration, webhooks })
    }

    /// The CAs that the API server trusts for all of them.
    pub fn trusted(&self) -> Bundle {
        let bundles = self.webhooks.iter().map(|(_, webhook)| Bundle::parse(&webhook.bundle));
        bundles.reduce(|all, bundle| all.intersection(&bundle)).unwrap_or_default()
    }

    /// Whether each has this text.
    pub fn is_published(&self, bundle: &str) -> bool {
        self.webhooks.iter().all(|(_, webhook)| webhook.bundle == bundle.as_bytes())
    }

    /// The JSON patch that gives each this text, if the configuration is still of this version. Nothing else is touched, and so
    /// nothing else is owned.
    pub fn patch(&self, bundle: &str) -> Value {
        let version = &self.configuration.identity().version;
        let mut operations = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
        for (number, webhook) in &self.webhooks {
            if webhook.bundle != bundle.as_bytes() {
                let path = format!("/webhooks/{number}/clientConfig/caBundle");
                operations.push(json!({"op": "add", "path": path, "value": STANDARD.encode(bundle)}));
            }
        }
        Value::Array(operations)
    }
}

/// Host names have no case.
fn is_named(host: &str, name: &SubjectAltName) -> bool {
    match name {
        SubjectAltName::Dns(name) => name.eq_ignore_ascii_case(host),
        SubjectAltName::Ip(address) => host.parse() == Ok(*address),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn configuration(annotations: &Value, webhooks: &[(&str, &str)]) -> WebhookConfiguration {
        let webhook = |(host, bundle): &(&str, &str)| json!({"name": "x", "clientConfig": {"url": format!("https://{host}:9443/"), "caBundle": STANDARD.encode(bundle)}});
        let webhooks: Vec<Value> = webhooks.iter().map(webhook).collect();
        let metadata = json!({"name": "c", "resourceVersion": "7", "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "webhooks": webhooks})).unwrap()
    }

    fn refusal(configuration: &WebhookConfiguration) -> String {
        let names = ["a.test".into(), "127.0.0.1".into()];
        Called::of(configuration, &names).err().unwrap().to_string()
    }

    #[test]
    fn only_webhooks_that_the_certificate_is_for_are_patched_and_only_where_they_differ() {
        let names = ["a.test".into(), "::1".into()];
        let stored =
            configuration(&json!({}), &[("A.test", "old"), ("b.test", "b"), ("[0:0::1]", "new"), ("a.test", "")]);
        let called = Called::of(&stored, &names).unwrap();
        assert!(!called.is_published("new"));
        let expected = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "bmV3"},
            {"op": "add", "path": "/webhooks/3/clientConfig/caBundle", "value": "bmV3"},
        ]);
        assert_eq!(called.patch("new"), expected);
        let done = configuration(&json!({}), &[("a.test", "new"), ("b.test", "b")]);
        assert!(Called::of(&done, &names).unwrap().is_published("new"));
    }

    #[test]
    fn trusted_is_what_all_of_them_trust() {
        let authority = |name: &str| {
            let validity = std::time::Duration::from_hours(1);
            certs::Ca::issue(name, std::time::SystemTime::now(), validity).unwrap().cert_pem()
        };
        let (one, two) = (authority("one"), authority("two"));
        let both = format!("{one}{two}");
        let stored = configuration(&json!({}), &[("a.test", &both), ("a.test", &two)]);
        let called = Called::of(&stored, &["a.test".into()]).unwrap();
        assert_eq!(called.trusted(), Bundle::parse(two.as_bytes()));
    }

    #[test]
    fn what_is_anothers_is_left_alone_with_the_reason() {
        let advice = "set --dynamic-serving-dns-names to the host that is called, or \
                      --validating-webhook-configuration-name to another configuration";
        let elsewhere = configuration(&json!({}), &[("b.test", ""), ("b.test", ""), ("c.test", "")]);
        let message = "it calls b.test, c.test, but the certificate is valid for a.test, 127.0.0.1";
        assert_eq!(refusal(&elsewhere), format!("{message}: {advice}"));
        let nowhere = configuration(&json!({}), &[]);
        let message = "it calls no webhook, but the certificate is valid for a.test, 127.0.0.1";
        assert_eq!(refusal(&nowhere), format!("{message}: {advice}"));
        let injected = configuration(&json!({"cert-manager.io/inject-ca-from": "ns/c"}), &[("a.test", "")]);
        let message =
            "its annotation cert-manager.io/inject-ca-from lets another program write caBundle: remove the annotation";
        assert_eq!(injector(&injected).unwrap_err().to_string(), message);
        assert_eq!(injector(&elsewhere), Ok(()));
    }
}
