//! What the API server's answer to a failed request means. Pure.

use kube::core::Status;

use crate::client::names_object;

/// What an error status means for the object that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// The resource is not served: its CRD is not installed, or a proxy before the API server does not know the way.
    NotServed,
    /// The object is not the one that was expected: created, deleted, replaced or modified in the meantime.
    Outdated,
    /// The object is larger than the API server or etcd accepts.
    TooLarge,
    /// `rollingUpdate` of another manager conflicts with our `OnDelete`, and apply cannot remove it.
    UpdateStrategyConflict,
    /// The RoleBinding grants another role, and no write can change which.
    RoleRefConflict,
    /// Validation, a webhook, a quota or RBAC refused it.
    Refused,
    /// Anything else: the next try may succeed.
    Unreachable,
}

impl Meaning {
    /// What `status` means.
    pub fn of(status: &Status) -> Self {
        match status.code {
            // The resource, not an object of it.
            404 if !names_object(status) => Self::NotServed,
            404 | 409 => Self::Outdated,
            _ if is_too_large(status) => Self::TooLarge,
            422 if has_cause(status, "metadata.uid") => Self::Outdated,
            422 if has_cause(status, "spec.updateStrategy.rollingUpdate") => Self::UpdateStrategyConflict,
            422 if has_cause(status, "roleRef") => Self::RoleRefConflict,
            400 | 403 | 405 | 422 => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}

/// Whether the API server names that field as a cause.
fn has_cause(status: &Status, field: &str) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.field == field)
}

/// Whether the object, or the request with it, is too large: for the API server (413), or for etcd behind it, whose errors
/// are passed on as internal ones (500) in its own words.
fn is_too_large(status: &Status) -> bool {
    const ETCD: [&str; 2] = ["etcdserver: request is too large", "trying to send message larger than max"];
    status.code == 413 || ETCD.iter().any(|words| status.message.contains(words))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    /// An answer of kube-apiserver v1.34.4 to a write of the Service `ws-lab`.
    fn status(code: u16, reason: &str, message: &str, details: &Value) -> Status {
        serde_json::from_value(json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": message, "details": details,
        }))
        .unwrap()
    }

    fn invalid(field: &str) -> Value {
        json!({"name": "ws-lab", "kind": "Service", "causes": [{"reason": "FieldValueForbidden", "field": field}]})
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let named = json!({"name": "ws-lab", "kind": "services"});
        let table = [
            (404, "NotFound", "the server could not find the requested resource", json!({}), Meaning::NotServed),
            (404, "NotFound", "services \"ws-lab\" not found", named.clone(), Meaning::Outdated),
            // Also what apply answers when the namespace is gone.
            (
                404,
                "NotFound",
                "namespaces \"team-a\" not found",
                json!({"name": "team-a", "kind": "namespaces"}),
                Meaning::Outdated,
            ),
            (409, "AlreadyExists", "services \"ws-lab\" already exists", named.clone(), Meaning::Outdated),
            (
                409,
                "Conflict",
                "Precondition failed: UID in precondition: a, UID in object meta: b",
                named.clone(),
                Meaning::Outdated,
            ),
            (413, "RequestEntityTooLarge", "limit is 3145728", json!({}), Meaning::TooLarge),
            (500, "", "etcdserver: request is too large", json!({}), Meaning::TooLarge),
            (500, "", "rpc error: trying to send message larger than max (3 vs. 2)", json!({}), Meaning::TooLarge),
            (422, "Invalid", "metadata.uid: field is immutable", invalid("metadata.uid"), Meaning::Outdated),
            (
                422,
                "Invalid",
                "only allowed for updateStrategy 'RollingUpdate'",
                invalid("spec.updateStrategy.rollingUpdate"),
                Meaning::UpdateStrategyConflict,
            ),
            (
                422,
                "Invalid",
                "roleRef: Invalid value: cannot change roleRef",
                invalid("roleRef"),
                Meaning::RoleRefConflict,
            ),
            (422, "Invalid", "spec.ports[0].port: Invalid value: 0", invalid("spec.ports[0].port"), Meaning::Refused),
            (400, "BadRequest", "error decoding YAML", json!({}), Meaning::Refused),
            (403, "Forbidden", "exceeded quota: q", named.clone(), Meaning::Refused),
            (403, "Forbidden", "User \"c\" cannot patch resource \"services\"", named.clone(), Meaning::Refused),
            (405, "MethodNotAllowed", "the server does not allow this method", named.clone(), Meaning::Refused),
            (401, "Unauthorized", "Unauthorized", json!({}), Meaning::Unreachable),
            (429, "TooManyRequests", "too many requests", json!({"retryAfterSeconds": 1}), Meaning::Unreachable),
            (500, "InternalError", "failed calling webhook \"w\": connection refused", json!({}), Meaning::Unreachable),
            (503, "ServiceUnavailable", "apiserver is shutting down", json!({}), Meaning::Unreachable),
            (504, "Timeout", "request did not complete within requested timeout", json!({}), Meaning::Unreachable),
        ];
        for (code, reason, message, details, expected) in table {
            assert_eq!(Meaning::of(&status(code, reason, message, &details)), expected, "{code} {reason}: {message}");
        }
    }
}
