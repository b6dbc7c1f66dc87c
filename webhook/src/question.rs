//! A review like those of the API server, built from objects: for the command line and for tests.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::decide;
use crate::lookup::Lookup;
use crate::policy::Policy;
use crate::registration::WORKSPACE_KIND_PATH;
use crate::request::{self, Body, ReviewedKind};
use crate::review::{Refusal, Verdict};

/// No API server waits for the answer, so the deadline is generous.
const PATIENCE: Duration = Duration::from_mins(5);

/// Whether an object may be created, replace another one, or be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The object to store; `None` asks whether `old` may be deleted.
    pub object: Option<&'a Value>,
    /// The object that is stored.
    pub old: Option<&'a Value>,
}

impl<'a> Question<'a> {
    /// May `object` be created?
    pub fn create(object: &'a Value) -> Self {
        Self { object: Some(object), old: None }
    }

    /// May `object` replace `old`?
    pub fn update(object: &'a Value, old: &'a Value) -> Self {
        Self { object: Some(object), old: Some(old) }
    }

    /// May `old` be deleted?
    pub fn delete(old: &'a Value) -> Self {
        Self { object: None, old: Some(old) }
    }

    /// CREATE, UPDATE or DELETE.
    pub fn operation(&self) -> &'static str {
        match (self.old, self.object) {
            (None, _) => "CREATE",
            (Some(_), Some(_)) => "UPDATE",
            (Some(_), None) => "DELETE",
        }
    }

    /// The AdmissionReview as the API server would send it.
    pub fn review(&self, uid: &str) -> Value {
        let object = self.object.or(self.old);
        let metadata = object.map_or(&Value::Null, |object| &object["metadata"]);
        let kind = object.map_or(&Value::Null, |object| &object["kind"]);
        let mut request = json!({
            "uid": uid,
            "kind": {"group": crds::GROUP, "version": crds::VERSION, "kind": kind},
            "operation": self.operation(),
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": self.object,
            "oldObject": self.old,
            "dryRun": false,
            "options": null,
        });
        for field in ["name", "namespace"] {
            if let Some(value) = metadata.get(field) {
                request[field] = value.clone();
            }
        }
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
    }

    /// The verdict that the webhook of the object's kind would give. Lookups of ClusterRoles that only lead to
    /// warnings have a timeout, so [`BindCheck::Warn`](crate::policy::BindCheck::Warn) requires a tokio runtime.
    pub async fn verdict<L: Lookup>(&self, lookup: &L, policy: &Policy) -> Verdict {
        let body = self.review("question").to_string();
        let kind = self.object.or(self.old).and_then(|object| object["kind"].as_str()).unwrap_or_default();
        let Some(reviewed) = ReviewedKind::ALL.into_iter().find(|known| known.kind() == kind) else {
            return Refusal::BadRequest(format!(
                "there is no webhook for objects of kind {}",
                crate::field::quoted(kind)
            ))
            .into();
        };
        let deadline = Instant::now() + PATIENCE;
        let verdict = match request::read(reviewed, body.as_bytes()) {
            Body::Kinds(review) => decide::validate_kind(&review.request, lookup, policy, deadline).await,
            Body::Review(review) => decide::validate(reviewed, &review.request, lookup, policy, deadline).await,
            Body::Broken { why, .. } | Body::Unreadable(why) => Err(Refusal::BadRequest(why)),
        };
        verdict.unwrap_or_else(Verdict::from)
    }
}

/// The answer to the body of a request to one of the webhooks' paths, or why it cannot be answered.
pub async fn answer<L: Lookup>(path: &str, body: &[u8], lookup: &L, policy: &Policy) -> Result<Vec<u8>, String> {
    let reviewed = if path == WORKSPACE_KIND_PATH { ReviewedKind::WorkspaceKind } else { ReviewedKind::Workspace };
    let unobserved = |_: &'static str, _: u16, _: Duration| {};
    decide::answer(reviewed, body, lookup, policy, Instant::now() + PATIENCE, &unobserved).await
}
