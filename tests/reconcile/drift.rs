//! What others change about our children: what is ours is put back in one write.

use serde_json::{Value, json};

use crate::world::{Child, WorkspaceHandle, World, grant};

/// Changes a child as another client, waits until `restored`, and expects exactly one write for that.
fn repaired(lab: &WorkspaceHandle<'_>, child: Child, patch: &Value, restored: impl Fn(&Value) -> bool) {
    let world = lab.world;
    let mark = world.mark();
    lab.patch_child(child, patch);
    world.wait(&format!("{child:?} to be restored after {patch}"), || {
        let object = lab.child(child);
        if restored(&object) { Ok(()) } else { Err(object.to_string()) }
    });
    // The pod may have noticed, and then the status reports it.
    let writes = world.writes(mark).accepted().filter(|request| request.resource != "workspaces");
    assert_eq!(writes.clone().resource(child.resource()).count(), 1, "{child:?} {patch}\n{writes:?}");
    assert_eq!(writes.count(), 1, "{child:?} {patch}\n{writes:?}");
}

#[test]
fn our_fields_are_put_back_in_one_write() {
    let world = World::new("drift", |template| grant(template, &["view"]));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let label = "notebooks.kubeflow.org/workspace-name";
    repaired(&lab, Child::VirtualService, &json!({"spec": {"hosts": ["evil.example.com"]}}), |route| {
        route["spec"]["hosts"] == json!(["*"])
    });
    repaired(&lab, Child::VirtualService, &json!({"spec": {"http": []}}), |route| {
        route["spec"]["http"].as_array().is_some_and(|http| http.len() == 1)
    });
    repaired(&lab, Child::Service, &json!({"spec": {"selector": {"statefulset": "other"}}}), |service| {
        service["spec"]["selector"]["statefulset"] == "lab"
    });
    repaired(&lab, Child::Service, &json!({"metadata": {"labels": {label: null}}}), |service| {
        service["metadata"]["labels"][label] == "lab"
    });
    repaired(&lab, Child::StatefulSet, &json!({"spec": {"replicas": 0}}), |set| set["spec"]["replicas"] == 1);
    repaired(
        &lab,
        Child::StatefulSet,
        &json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "evil:1"}]}}}}),
        |set| set["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/small:1",
    );
    repaired(
        &lab,
        Child::ServiceAccount,
        &json!({"metadata": {"annotations": {"notebooks.kubeflow.org/applied-hash": null}}}),
        |account| account["metadata"]["annotations"]["notebooks.kubeflow.org/applied-hash"].is_string(),
    );
    repaired(&lab, Child::ServiceAccount, &json!({"metadata": {"labels": {label: "other"}}}), |account| {
        account["metadata"]["labels"][label] == "lab"
    });
    let ours = lab.child(Child::RoleBinding)["subjects"].clone();
    let theirs = json!([{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]);
    let both = json!([ours[0], theirs[0]]);
    for subjects in [theirs, both, json!([]), json!(null)] {
        repaired(&lab, Child::RoleBinding, &json!({"subjects": subjects}), |binding| binding["subjects"] == ours);
    }
    repaired(&lab, Child::RoleBinding, &json!({"metadata": {"labels": {label: null}}}), |binding| {
        binding["metadata"]["labels"][label] == "lab"
    });
}

/// Apply alone cannot: the API server refuses the rest of their strategy beside ours.
#[test]
fn the_rolling_update_of_another_manager_is_removed() {
    let world = World::new("strategy", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let mark = world.mark();
    let theirs = json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}});
    lab.patch_child(Child::StatefulSet, &theirs);
    world.wait("our strategy", || {
        let set = lab.child(Child::StatefulSet);
        let strategy = &set["spec"]["updateStrategy"];
        if *strategy == json!({"type": "OnDelete"}) { Ok(()) } else { Err(strategy.to_string()) }
    });
    // The loop is not stuck: the user can pause.
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    let writes = world.writes(mark).accepted().resource("statefulsets");
    assert_eq!(writes.count(), 3, "a replacement, an apply, and the pause\n{writes:?}");
}

#[test]
fn a_variable_that_the_kind_drops_is_dropped() {
    let world = World::new("dropped", |template| {
        template["extraEnv"] = json!([{"name": "KEEP", "value": "1"}, {"name": "DROP", "value": "2"}]);
    });
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    world.update_kind(|template| template["extraEnv"] = json!([{"name": "KEEP", "value": "1"}]));
    world.wait("the variable to go", || {
        let set = lab.child(Child::StatefulSet);
        let env = &set["spec"]["template"]["spec"]["containers"][0]["env"];
        if *env == json!([{"name": "KEEP", "value": "1"}]) { Ok(()) } else { Err(set.to_string()) }
    });
}
