//! Registers the webhooks of a product that runs next to the API server, at a URL instead of a Service.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{ControllerProcess, Result};

/// The path of the webhook configurations.
pub const WEBHOOK_CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const CONFIGURATION: &str = "workspaces-validating-webhook-configuration";

/// The registration of both webhooks at that address. Without a CA nobody is trusted until the product publishes its own.
pub fn webhook_configuration(url: &str, ca_pem: Option<&str>) -> Value {
    let webhook = |object: &str, operations: &[&str]| {
        json!({
            "name": format!("v{object}.kb.io"),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": format!("{url}/validate-kubeflow-org-v1beta1-{object}"),
                "caBundle": ca_pem.map(|pem| base64::engine::general_purpose::STANDARD.encode(pem)),
            },
            "rules": [{
                "apiGroups": ["kubeflow.org"],
                "apiVersions": ["v1beta1"],
                "operations": operations,
                "resources": [format!("{object}s")],
            }],
            "matchConditions": [{
                "name": "spec-changed",
                "expression": "request.operation != 'UPDATE' || object.spec != oldObject.spec",
            }],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [
            webhook("workspace", &["CREATE", "UPDATE"]),
            webhook("workspacekind", &["CREATE", "UPDATE", "DELETE"]),
        ],
    })
}

impl ControllerProcess<'_> {
    /// Registers both webhooks with this process's address and CA.
    pub fn register_webhooks(&self) -> Result<()> {
        self.register_webhooks_at(&self.webhook_url())
    }

    /// Registers both webhooks with this process's CA and the address of what leads to it.
    pub fn register_webhooks_at(&self, url: &str) -> Result<()> {
        let configuration = webhook_configuration(url, Some(self.ca_pem()));
        let path = format!("{WEBHOOK_CONFIGURATIONS}/{CONFIGURATION}");
        self.cluster.api().apply(&path, "controller-process", &configuration)?.ok()?;
        Ok(())
    }

    /// The API server observes a registration a little later: waits until a Workspace of a kind that does not exist is
    /// refused (a dry run: nothing is stored).
    pub fn wait_asked(&self, timeout: Duration) -> Result<()> {
        let workspace = json!({
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": "are-webhooks-asked"},
            "spec": {
                "kind": "no-such-kind-are-webhooks-asked",
                "podTemplate": {
                    "options": {"imageConfig": "none", "podConfig": "none"},
                    "volumes": {},
                },
            },
        });
        let path = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces?dryRun=All";
        self.wait_for("the webhooks to be asked", timeout, || {
            let reply = self.cluster.api().create(path, &workspace).map_err(|error| error.to_string())?;
            let refused = r#"admission webhook "vworkspace.kb.io" denied the request"#;
            if reply.json()["message"].as_str().is_some_and(|message| message.contains(refused)) {
                return Ok(());
            }
            Err(format!("{} {}", reply.status, reply.body))
        })
    }

    /// Deletes the registration if it is still this process's: without a server every write of a Workspace would be
    /// refused.
    pub(crate) fn unregister(&self) -> Result<()> {
        let path = format!("{WEBHOOK_CONFIGURATIONS}/{CONFIGURATION}");
        let present = self.cluster.api().get(&path)?.json();
        let url = present["webhooks"][0]["clientConfig"]["url"].as_str().unwrap_or_default();
        if url.starts_with(&self.webhook_url()) {
            self.cluster.api().delete(&path)?;
        }
        Ok(())
    }
}
