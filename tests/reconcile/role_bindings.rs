//! What the account of a Workspace is granted: the ClusterRoles of its kind, at once, and nothing else.

use cluster::Reply;
use serde_json::{Value, json};
use workspaces_controller::render::names;

use crate::world::{Child, WorkspaceHandle, World, condition, grant};

fn path(lab: &WorkspaceHandle<'_>, role: &str) -> String {
    let name = names::role_binding(&lab.name, role);
    format!("{}/{name}", Child::RoleBinding.collection(&lab.world.namespace))
}

/// Waits until the RoleBindings of the namespace grant exactly these ClusterRoles, in any order.
fn wait_granted(world: &World, roles: &[&str]) -> Vec<Value> {
    world.wait(&format!("{roles:?} to be granted"), || {
        let list = world.get(&Child::RoleBinding.collection(&world.namespace));
        let bindings = list["items"].as_array().cloned().unwrap_or_default();
        let mut granted: Vec<&str> =
            bindings.iter().map(|binding| binding["roleRef"]["name"].as_str().unwrap()).collect();
        granted.sort_unstable();
        if granted == roles { Ok(bindings.clone()) } else { Err(list.to_string()) }
    })
}

/// What another client gives the same owner.
fn binding(lab: &WorkspaceHandle<'_>, name: &str, role: &str, owner: bool) -> Value {
    let mut binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "labels": {"notebooks.kubeflow.org/workspace-name": lab.name}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "ws-lab", "namespace": lab.world.namespace}],
    });
    if owner {
        binding["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": lab.name, "uid": lab.uid,
            "controller": true, "blockOwnerDeletion": true,
        }]);
    }
    binding
}

fn create(world: &World, binding: &Value) -> Value {
    world.cluster.api().create(&Child::RoleBinding.collection(&world.namespace), binding).and_then(Reply::ok).unwrap()
}

#[test]
fn the_roles_of_a_kind_are_granted_and_taken_away_at_once() {
    // A ClusterRole need not exist, and its name need not be one that objects have.
    let world = World::new("roles", |template| grant(template, &["system:no such Role", "view"]));
    let mark = world.mark();
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let bindings = wait_granted(&world, &["system:no such Role", "view"]);
    for binding in &bindings {
        let role = binding["roleRef"]["name"].as_str().unwrap();
        assert_eq!(binding["metadata"]["name"], json!(names::role_binding("lab", role)));
        let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
        assert_eq!(binding["roleRef"], reference);
        let subject = json!([{"kind": "ServiceAccount", "name": "ws-lab", "namespace": world.namespace}]);
        assert_eq!(binding["subjects"], subject);
        assert_eq!(binding["metadata"]["ownerReferences"][0]["uid"], json!(lab.uid));
    }
    let writes = world.writes(mark).resource("rolebindings");
    assert_eq!(writes.count(), 2, "{writes:?}");

    let pod = world.get(&lab.pod_path())["metadata"]["uid"].clone();
    let mark = world.mark();
    world.update_kind(|template| grant(template, &["edit", "system:no such Role"]));
    wait_granted(&world, &["edit", "system:no such Role"]);
    lab.wait_running();
    let writes = world.writes(mark);
    assert_eq!(writes.clone().verb("delete").count(), 1, "{writes:?}");
    assert_eq!(writes.clone().verb("patch").count(), 1, "{writes:?}");
    assert_eq!(writes.resource("rolebindings").count(), 2);
    assert_eq!(world.get(&lab.pod_path())["metadata"]["uid"], pod);

    world.update_kind(|template| drop(template.as_object_mut().unwrap().remove("serviceAccount")));
    wait_granted(&world, &[]);
}

/// Its pod goes on running with what it was granted before.
#[test]
fn a_role_is_taken_away_from_a_workspace_that_cannot_be_rendered_too() {
    let world = World::new("revoked", |template| grant(template, &["edit", "view"]));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    world.update_kind(|template| {
        grant(template, &["view"]);
        template["options"]["imageConfig"]["values"].as_array_mut().unwrap().retain(|value| value["id"] != "small");
        template["options"]["imageConfig"]["spawner"]["default"] = json!("large");
    });
    wait_granted(&world, &["view"]);
    let status = lab.wait_state("Error");
    assert_eq!(status["stateMessage"], "Workspace has invalid imageConfig: imageConfig with id \"small\" not found");
    assert!(world.find(&lab.pod_path()).is_some());
}

#[test]
fn an_account_of_another_owner_is_granted_nothing() {
    let world = World::new("granted", |template| grant(template, &["view"]));
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ws-lab"}});
    world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let mark = world.mark();
    let lab = world.create("lab", |_| {});
    lab.wait_state("Error");
    let writes = world.writes(mark).resource("rolebindings");
    assert!(writes.is_empty(), "{writes:?}");
    world.cluster.api().delete(&format!("{accounts}/ws-lab")).and_then(Reply::ok).unwrap();
    lab.wait_running();
    wait_granted(&world, &["view"]);

    let orphan = json!({"metadata": {"ownerReferences": null}});
    lab.patch_child(Child::ServiceAccount, &orphan);
    wait_granted(&world, &[]);
    assert_eq!(
        lab.wait_state("Error")["stateMessage"],
        "Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace"
    );
    world.cluster.api().delete(&lab.child_path(Child::ServiceAccount)).and_then(Reply::ok).unwrap();
    lab.wait_running();
    wait_granted(&world, &["view"]);
}

#[test]
fn a_foreign_role_binding_stays_and_stops_neither_pod_nor_route() {
    let world = World::new("foreign", |template| grant(template, &["view"]));
    // Its name depends on that of the Workspace alone.
    let name = names::role_binding("lab", "view");
    let subject = json!([{"kind": "User", "name": "theirs", "apiGroup": "rbac.authorization.k8s.io"}]);
    let theirs = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}, "subjects": subject,
    });
    let theirs = create(&world, &theirs);
    let lab = world.create("lab", |_| {});
    let status = lab.wait_state("Running");
    let message = format!("Workspace RoleBinding {name} already exists and is not owned by the Workspace");
    assert_eq!(status["stateMessage"], "Workspace is running");
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ForeignObject")));
    assert_eq!(ready["message"], json!(message));
    assert_eq!(condition(&status, "RouteReady")["status"], "True");
    assert_eq!(lab.child(Child::RoleBinding), theirs);
    world.cluster.api().delete(&path(&lab, "view")).and_then(Reply::ok).unwrap();
    lab.wait_running();
    assert_eq!(lab.child(Child::RoleBinding)["roleRef"]["name"], "view");
}

/// The role of a RoleBinding cannot be changed, but it can be deleted and created again with another one.
#[test]
fn nothing_but_the_roles_of_the_kind_is_granted_in_our_name() {
    let world = World::new("smuggled", |template| grant(template, &["view"]));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let mark = world.mark();
    create(&world, &binding(&lab, "smuggled", "cluster-admin", true));
    create(&world, &binding(&lab, "theirs", "cluster-admin", false));
    wait_granted(&world, &["cluster-admin", "view"]);
    let writes = world.writes(mark);
    assert_eq!(writes.clone().verb("delete").name("smuggled").count(), 1, "{writes:?}");
    assert_eq!(writes.count(), 1, "that of another owner, or without one, is not ours to delete: {writes:?}");

    let mark = world.mark();
    let name = names::role_binding("lab", "view");
    // Before it is made anew: ours or theirs, whoever is faster.
    let replaced = world.wait("the name to be taken", || {
        drop(world.cluster.api().delete(&path(&lab, "view")).unwrap());
        let reply = world
            .cluster
            .api()
            .create(&Child::RoleBinding.collection(&world.namespace), &binding(&lab, &name, "edit", true))
            .unwrap();
        reply.ok().map_err(|error| error.to_string())
    });
    let ours = world.wait("our role", || {
        let binding = lab.find_child(Child::RoleBinding).unwrap_or_default();
        if binding["roleRef"]["name"] == "view" { Ok(binding) } else { Err(binding.to_string()) }
    });
    assert_ne!(ours["metadata"]["uid"], replaced["metadata"]["uid"]);
    let deleted = world.writes(mark).verb("delete").name(&name);
    assert_eq!(deleted.count(), 1, "{deleted:?}");
    lab.wait_running();
}

/// Owner references across namespaces mean nothing, and may be anybody's.
#[test]
fn role_bindings_of_another_namespace_are_nobodys_business() {
    let (world, other) = (World::new("one", |template| grant(template, &["view"])), World::empty("other"));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let mark = world.mark();
    let name = names::role_binding("lab", "view");
    create(&other, &binding(&lab, &name, "edit", true));
    create(&other, &binding(&lab, "theirs", "edit", true));
    // A change, and so a reconcile, after that.
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "large"}}}));
    lab.wait_running();
    let writes = world.writes(mark);
    assert!(writes.clone().resource("rolebindings").is_empty(), "{writes:?}");
    assert!(other.writes(mark).is_empty(), "{:?}", other.writes(mark));
    assert_eq!(lab.child(Child::RoleBinding)["roleRef"]["name"], "view");
}

/// The CRD does not let a kind move to an existing account; an older one did, and a kind can be deleted and made anew.
#[test]
fn an_account_goes_when_its_kind_has_moved_to_an_existing_one_and_no_pod_runs_as_it() {
    let world = World::new("moved", |template| grant(template, &["view"]));
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shared"}});
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let (running, paused) =
        (world.create("running", |_| {}), world.create("paused", |spec| spec["paused"] = json!(true)));
    running.wait_running();
    paused.wait_state("Paused");
    world.remove_kind();
    world.create_kind(|template| template["serviceAccount"] = json!({"name": "shared"}));
    wait_granted(&world, &[]);
    world.wait("the account of the paused one to go", || {
        paused.find_child(Child::ServiceAccount).map_or(Ok(()), |account| Err(account.to_string()))
    });
    running.wait_running();
    let pod = world.get(&running.pod_path());
    assert_eq!(pod["spec"]["serviceAccountName"], "ws-running");
    assert!(running.find_child(Child::ServiceAccount).is_some());

    running.patch(&json!({"paused": true}));
    world.wait("the account of the other to go", || {
        running.find_child(Child::ServiceAccount).map_or(Ok(()), |account| Err(account.to_string()))
    });
    for lab in [&running, &paused] {
        lab.patch(&json!({"paused": false}));
        lab.wait_running();
        assert_eq!(world.get(&lab.pod_path())["spec"]["serviceAccountName"], "shared");
    }
}
