//! The Secret and the webhook configuration on the API server: what is known of them, and what is written.

use std::sync::Arc;

use certs::MaterialPem;
use crds::labels::FIELD_MANAGER;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::Notify;

use super::secret::{to_create, to_patch};
use crate::client::{CallError, causes, in_time};
use crate::config::SelfManaged;
use crate::rbac::AccessRule;
use crate::stores::certificate_secret::CertificateSecret;
use crate::stores::named::Named;
use crate::stores::slim::{Incoming, Key, Slim};
use crate::stores::webhook_configuration::WebhookConfiguration;

/// Rights, and the kind of object that grants them.
struct Right {
    role: &'static str,
    rule: AccessRule,
}

/// The rights on the Secret of that name; creating cannot be limited to a name.
const SECRET: Right = Right {
    role: "Role",
    rule: AccessRule { group: "", resource: "secrets", verbs: &["get", "list", "watch", "create", "patch"] },
};
/// The rights on the configuration of that name.
const CONFIGURATION: Right = Right {
    role: "ClusterRole",
    rule: AccessRule {
        group: "admissionregistration.k8s.io",
        resource: "validatingwebhookconfigurations",
        verbs: &["get", "list", "watch", "patch"],
    },
};

/// The two objects.
pub(super) struct Objects {
    client: Client,
    namespace: String,
    secret: Named<CertificateSecret>,
    configuration: Named<WebhookConfiguration>,
}

/// What came of a write.
pub(super) enum Written {
    /// It is done.
    Done,
    /// It is another version by now, or exists already: what the API server said.
    Conflict(String),
}

impl Objects {
    pub fn new(client: Client, settings: &SelfManaged, changed: &Arc<Notify>) -> Self {
        Self {
            client,
            namespace: settings.namespace.clone(),
            secret: Named::new(Key::new(&settings.namespace, &settings.secret), Arc::clone(changed)),
            configuration: Named::new(Key::new("", &settings.configuration), Arc::clone(changed)),
        }
    }

    /// Keeps the Secret current. Never returns.
    pub async fn keep_secret(&self) {
        let api = Api::namespaced(self.client.clone(), &self.namespace);
        self.secret.keep(api, SECRET.rule.resource, SECRET.rule).await;
    }

    /// Keeps the configuration current. Never returns.
    pub async fn keep_configuration(&self) {
        self.configuration.keep(Api::all(self.client.clone()), CONFIGURATION.rule.resource, CONFIGURATION.rule).await;
    }

    /// What is known of the Secret; else, in one line, why it cannot be read, where that is known.
    pub fn known_secret(&self) -> Result<Option<Arc<CertificateSecret>>, Option<String>> {
        self.secret.known().map_err(|failure| failure.map(|failure| SECRET.explain(failure.text, failure.is_forbidden)))
    }

    /// What is known of the configuration; else, in one line, why it cannot be read, where that is known.
    pub fn known_configuration(&self) -> Result<Option<Arc<WebhookConfiguration>>, Option<String>> {
        let known = self.configuration.known();
        known.map_err(|failure| failure.map(|failure| CONFIGURATION.explain(failure.text, failure.is_forbidden)))
    }

    /// The Secret as it is stored at this moment.
    pub async fn read_secret(&self) -> Result<Option<CertificateSecret>, String> {
        let api = Api::namespaced(self.client.clone(), &self.namespace);
        read(&api, self.secret.key()).await.map_err(|error| refused(&error, &SECRET))
    }

    /// The configuration as it is stored at this moment.
    pub async fn read_configuration(&self) -> Result<Option<WebhookConfiguration>, String> {
        let api = Api::all(self.client.clone());
        read(&api, self.configuration.key()).await.map_err(|error| refused(&error, &CONFIGURATION))
    }

    /// Creates the Secret, or patches it in this version.
    pub async fn write_secret(&self, version: Option<&str>, pem: MaterialPem) -> Result<Written, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = self.secret.key().name();
        let answer = match version {
            None => {
                let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                in_time(api.create(&params, &to_create(name, pem))).await
            }
            Some(version) => in_time(api.patch(name, &params(), &Patch::Merge(to_patch(version, pem)))).await,
        };
        written(answer).map_err(|error| refused(&error, &SECRET))
    }

    /// Sends a JSON patch of the configuration, which tests its version.
    pub async fn patch_configuration(&self, operations: Value) -> Result<Written, String> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let patch = serde_json::from_value(operations).map_err(|error| error.to_string())?;
        let patch = Patch::Json::<()>(patch);
        let answer = in_time(api.patch(self.configuration.key().name(), &params(), &patch)).await;
        written(answer).map_err(|error| refused(&error, &CONFIGURATION))
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

async fn read<T: Slim>(api: &Api<Incoming<T>>, key: &Key) -> Result<Option<T>, CallError>
where
    Incoming<T>: kube::Resource,
{
    let Some(found) = in_time(api.get_opt(key.name())).await? else { return Ok(None) };
    found.object.map(Some).map_err(|error| kube::Error::Service(error.into()).into())
}

fn written<T>(answer: Result<T, CallError>) -> Result<Written, CallError> {
    match answer {
        Ok(_) => Ok(Written::Done),
        // A test that fails is 422, and so is what would not be valid: a second try in the same version tells them apart.
        Err(CallError::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => {
            Ok(Written::Conflict(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// The reason in one line, with the rule that is missing.
fn refused(error: &CallError, right: &Right) -> String {
    let is_forbidden = matches!(error, CallError::Api(kube::Error::Api(status)) if status.code == 403);
    right.explain(causes(error), is_forbidden)
}

impl Right {
    fn explain(&self, text: String, is_forbidden: bool) -> String {
        let Self { role, rule } = self;
        if is_forbidden { format!("{text}: add to the rules of the {role}: {rule}") } else { text }
    }
}
