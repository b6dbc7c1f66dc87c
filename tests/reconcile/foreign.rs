//! Objects of others under the names of our children: never changed, reported in the status, and replaced as soon as they are gone.

use cluster::Reply;
use serde_json::{Value, json};

use crate::world::{Child, World, condition};

#[test]
fn no_pod_runs_under_an_account_of_another_owner() {
    let world = World::new("account", |_| {});
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ws-lab", "labels": {"theirs": "x"}}});
    let theirs = world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let mark = world.mark();
    let lab = world.create("lab", |_| {});
    let status = lab.wait_state("Error");
    assert_eq!(
        status["stateMessage"],
        "Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace"
    );
    assert_eq!(condition(&status, "Ready")["reason"], "ForeignObject");
    assert!(lab.find_child(Child::StatefulSet).is_none());
    assert_eq!(lab.child(Child::ServiceAccount), theirs);
    let on_account = world.writes(mark).accepted().resource("serviceaccounts");
    assert!(on_account.is_empty(), "{on_account:?}");
    world.cluster.api().delete(&format!("{accounts}/ws-lab")).and_then(Reply::ok).unwrap();
    let status = lab.wait_running();
    assert_eq!(status["podTemplatePod"]["serviceAccountName"], "ws-lab");
}

/// Garbage collection takes a moment, and a Workspace that is made anew meanwhile is not to blame.
#[test]
fn what_an_earlier_workspace_of_the_name_left_is_waited_for_in_silence() {
    let world = World::empty("again");
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    // Its owner is gone, and garbage collection cannot take it away: it has a finalizer.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
        "name": "ws-lab",
        "labels": {"notebooks.kubeflow.org/workspace-name": "lab"},
        "finalizers": ["example.com/held"],
        "ownerReferences": [{
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab",
            "uid": "5d6d2bf6-1c9c-4b7e-8f8c-6a5f4d1f0001", "controller": true,
        }],
    }});
    world.create_kind(|_| {});
    world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let lab = world.create("lab", |_| {});
    let status = lab.wait_status("reconciled", |_| true);
    assert_eq!(status["state"], "Unknown", "{status}");
    assert!(lab.find_child(Child::StatefulSet).is_none());
    let free = json!({"metadata": {"finalizers": null}});
    world.cluster.api().merge_patch(&format!("{accounts}/ws-lab"), &free).and_then(Reply::ok).unwrap();
    lab.wait_running();
}

#[test]
fn a_foreign_virtual_service_stays_and_the_route_comes_when_it_goes() {
    // The kind comes later, so that the name of the VirtualService is known before the loop needs it.
    let world = World::empty("route");
    let lab = world.create("lab", |_| {});
    let status = lab.wait_state("Error");
    let message = format!("Workspace references unknown WorkspaceKind: {}", world.kind);
    assert_eq!(status["stateMessage"], json!(message));
    let routes = Child::VirtualService.collection(&world.namespace);
    let spec = json!({"hosts": ["theirs.example.com"], "http": [{"route": [{"destination": {"host": "theirs"}}]}]});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": lab.names.service}, "spec": spec,
    });
    let theirs = world.cluster.api().create(&routes, &route).and_then(Reply::ok).unwrap();
    world.create_kind(|_| {});
    let status = lab.wait_state("Running");
    let route_ready = condition(&status, "RouteReady");
    assert_eq!((&route_ready["status"], &route_ready["reason"]), (&json!("False"), &json!("ForeignObject")));
    let text = route_ready["message"].as_str().unwrap();
    assert!(text.contains(&lab.names.service) && text.contains("not owned by the Workspace"), "{text}");
    assert_eq!(condition(&status, "Ready")["reason"], "RouteNotReady");
    assert_eq!(lab.child(Child::VirtualService), theirs);
    world.cluster.api().delete(&lab.child_path(Child::VirtualService)).and_then(Reply::ok).unwrap();
    lab.wait_running();
    let ours: Value = lab.child(Child::VirtualService);
    assert_eq!(ours["metadata"]["ownerReferences"][0]["uid"], json!(lab.uid));
}

#[test]
fn an_account_that_is_taken_away_ends_the_pod_until_it_is_ours_again() {
    let world = World::new("taken", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let account = lab.child_path(Child::ServiceAccount);
    let orphan = json!({"metadata": {"ownerReferences": null}});
    let theirs = world.cluster.api().merge_patch(&account, &orphan).and_then(Reply::ok).unwrap();
    let status = lab.wait_state("Error");
    assert_eq!(
        status["stateMessage"],
        "Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace"
    );
    assert_eq!(lab.child(Child::StatefulSet)["spec"]["replicas"], 0);
    assert!(world.find(&lab.pod_path()).is_none());
    assert_eq!(lab.child(Child::ServiceAccount), theirs);
    world.cluster.api().delete(&account).and_then(Reply::ok).unwrap();
    lab.wait_running();
}
