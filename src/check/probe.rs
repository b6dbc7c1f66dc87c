//! The two WorkspaceKinds of the dry run, and what was answered. Nothing is stored.

use std::time::Duration;

use crds::ports::Dialect;
use kube::api::{ApiResource, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::client::{CallError, causes, within};

/// The field of the fault that only this version's webhook knows: neither the CRD nor the Go controller's webhook objects to it.
pub(super) const FAULT: &str = "requestHeaders.set[Content-Length]";

/// For one dry run: the API server may wait for a webhook meanwhile, by default for ten seconds.
const PATIENCE: Duration = Duration::from_secs(14);

/// What the API server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// It would be stored.
    Accepted,
    /// It would not be stored, with this HTTP status and message.
    Refused(u16, String),
    /// There was none, or it could not be read.
    None(String),
}

/// A WorkspaceKind with which nothing is wrong, or one with a header that makes two requests out of one.
fn kind(dialect: Dialect, is_faulty: bool) -> Value {
    let mut port = match dialect {
        Dialect::PortId => json!({"portId": "check"}),
        Dialect::Id => json!({"id": "check", "defaultDisplayName": "Check", "protocol": "HTTP"}),
    };
    if is_faulty {
        port["httpProxy"] = json!({"requestHeaders": {"set": {"Content-Length": "3"}}});
    }
    let icon = json!({"url": "https://example.com/icon.svg"});
    let image = json!({
        "id": "check",
        "spawner": {"displayName": "Check"},
        "spec": {"image": "registry.example.com/check:1", "ports": [{"id": "check", "port": 8888}]},
    });
    let pod = json!({"id": "check", "spawner": {"displayName": "Check"}, "spec": {}});
    json!({
        "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION),
        "kind": "WorkspaceKind",
        "metadata": {"generateName": "workspaces-controller-check-"},
        "spec": {
            "spawner": {"displayName": "Check", "description": "Dry run of a check", "icon": icon, "logo": icon},
            "podTemplate": {
                "volumeMounts": {"home": "/home/check"},
                "ports": [port],
                "options": {
                    "imageConfig": {"spawner": {"default": "check"}, "values": [image]},
                    "podConfig": {"spawner": {"default": "check"}, "values": [pod]},
                },
            },
        },
    })
}

/// Asks the API server to create a kind, as a dry run.
pub(super) async fn ask(client: &Client, dialect: Dialect, is_faulty: bool) -> Answer {
    let gvk = GroupVersionKind::gvk(crds::GROUP, crds::VERSION, "WorkspaceKind");
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, "workspacekinds"));
    let object = match serde_json::from_value(kind(dialect, is_faulty)) {
        Ok(object) => object,
        Err(error) => return Answer::None(error.to_string()),
    };
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match within(PATIENCE, api.create(&params, &object)).await {
        Ok(_) => Answer::Accepted,
        Err(CallError::Api(kube::Error::Api(status))) => Answer::Refused(status.code, status.message.clone()),
        Err(error) => Answer::None(causes(&error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_faulty_one_has_a_fault_and_it_is_that_one() {
        for dialect in [Dialect::PortId, Dialect::Id] {
            let read = |is_faulty| serde_json::from_value::<crds::WorkspaceKind>(kind(dialect, is_faulty)).unwrap();
            assert_eq!(read(false).spec.pod_template.dialect(), dialect);
            assert_eq!(read(true).spec.pod_template.dialect(), dialect);
        }
    }
}
