//! G3: a hostile header in a stored kind, which admission never saw.

use cluster::{Reply, exactly};
use serde_json::{Value, json};

use crate::site::{KINDS, Site, VIRTUAL_SERVICES, kind_with_headers, path_of, workspaces};
use crate::visitor::Request;

const REGISTRATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/workspaces-validating-webhook-configuration";
const POISONED: &str = "to-be-poisoned";
const GOOD: &str = "stays-good";
const HEADER: &str = "/spec/podTemplate/ports/0/httpProxy/requestHeaders/set/X-Path";
/// What Envoy rejects the routes of everybody for.
const HOSTILE: &str = "100%";
/// How often routes of others change.
const ROUNDS: usize = 5;

pub fn check(site: &Site) {
    let rejects = site.rejects();
    let _controller = site.controller(&[]);
    let namespace = site.cluster.namespace("stored").unwrap();
    for kind in [POISONED, GOOD] {
        site.create(KINDS, &kind_with_headers(kind, &json!({"set": {"X-Path": "before"}})));
        site.create_workspace(&namespace, kind, kind);
        assert_eq!(arriving(site, &namespace, kind).as_deref(), Some("before"));
    }
    site.create_workspace(&namespace, "to-be-deleted", GOOD);
    arriving(site, &namespace, "to-be-deleted");

    site.cluster.api().delete(REGISTRATION).and_then(Reply::ok).unwrap();
    let stored = route(site, &namespace, POISONED);
    site.wait("the hostile header to be stored", || set_header(site, POISONED, HOSTILE));
    let refused = wait_refused(site, &namespace, POISONED);
    let path = "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Path]: ";
    assert!(refused.contains(path), "{refused}");

    let mut kept = 0;
    for round in 0..ROUNDS {
        let value = format!("round-{round}");
        set_header(site, GOOD, &value).unwrap();
        site.wait("the other kind's header to follow", || match arriving(site, &namespace, GOOD) {
            Some(arrived) if arrived == value => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let name = format!("new-{round}");
        site.create_workspace(&namespace, &name, GOOD);
        assert_eq!(arriving(site, &namespace, &name), Some(value));
        let unchanged = route(site, &namespace, POISONED) == stored;
        kept += usize::from(unchanged && arriving(site, &namespace, POISONED).as_deref() == Some("before"));
    }
    exactly(
        "G3",
        "times that the route of the Workspace with the hostile kind was as before, while others changed",
        kept,
        ROUNDS,
    );

    let deleted = format!("{}/to-be-deleted", workspaces(&namespace));
    site.cluster.api().delete(&deleted).and_then(Reply::ok).unwrap();
    site.answers(&Request::get(&path_of(&namespace, "to-be-deleted")), 404);
    site.create_workspace(&namespace, "without-route", POISONED);
    wait_refused(site, &namespace, "without-route");
    site.answers(&Request::get(&path_of(&namespace, "without-route")), 404);

    set_header(site, POISONED, "after").unwrap();
    for name in [POISONED, "without-route"] {
        site.wait("the repaired kind's route", || match arriving(site, &namespace, name) {
            Some(arrived) if arrived == "after" => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    let rejects = usize::try_from(site.rejects() - rejects).unwrap();
    exactly("G3", "pushes that Envoy rejects", rejects, 0);
}

/// The header as the backend of a Workspace receives it.
fn arriving(site: &Site, namespace: &str, workspace: &str) -> Option<String> {
    let (received, _) = site.arrives(&Request::get(&path_of(namespace, workspace)));
    received.header("x-path")
}

fn set_header(site: &Site, kind: &str, value: &str) -> Result<(), String> {
    let patch = json!([{"op": "replace", "path": HEADER, "value": value}]);
    let reply = site.cluster.api().json_patch(&format!("{KINDS}/{kind}"), &patch);
    reply.and_then(Reply::ok).map(drop).map_err(|error| error.to_string())
}

/// The VirtualService of a Workspace.
fn route(site: &Site, namespace: &str, workspace: &str) -> Value {
    let selector = format!("notebooks.kubeflow.org/workspace-name={workspace}");
    let found = site.list(&format!("{VIRTUAL_SERVICES}/{namespace}/virtualservices?labelSelector={selector}"));
    assert_eq!(found.len(), 1, "routes of {workspace}");
    found[0].clone()
}

/// Waits until the status says that the route is refused; the message of the condition.
fn wait_refused(site: &Site, namespace: &str, workspace: &str) -> String {
    let path = format!("{}/{workspace}", workspaces(namespace));
    site.wait("RouteReady to be False", || {
        let status = site.get(&path)["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "RouteReady");
        match ready {
            Some(ready) if ready["status"] == "False" && ready["reason"] == "UnsafeHeader" => {
                Ok(ready["message"].as_str().unwrap_or_default().to_owned())
            }
            other => Err(format!("{other:?}")),
        }
    })
}
