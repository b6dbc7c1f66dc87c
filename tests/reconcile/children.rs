//! What exists for a Workspace, and how many writes that takes.

use cluster::Reply;
use serde_json::json;

use crate::world::{CHILDREN, Child, World, condition, grant};

#[test]
fn a_new_workspace_gets_its_children_and_runs() {
    let world = World::new("new", |template| grant(template, &["view"]));
    let mark = world.mark();
    let lab = world.create("lab", |_| {});
    let status = lab.wait_running();
    let (namespace, names) = (&world.namespace, &lab.names);
    for child in CHILDREN {
        let object = lab.child(child);
        let owner = json!([{
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": lab.uid,
            "controller": true, "blockOwnerDeletion": true,
        }]);
        assert_eq!(object["metadata"]["ownerReferences"], owner, "{child:?}");
        assert_eq!(object["metadata"]["labels"]["notebooks.kubeflow.org/workspace-name"], "lab", "{child:?}");
    }
    let path = format!("/workspace/{namespace}/lab/jupyterlab/");
    assert_eq!(
        lab.child(Child::VirtualService)["spec"],
        json!({
            "gateways": ["kubeflow/kubeflow-gateway"],
            "hosts": ["*"],
            "http": [{
                "match": [{"uri": {"prefix": path}}],
                "headers": {"request": {"set": {"X-Path": path}}},
                "route": [{"destination": {
                    "host": format!("{}.{namespace}.svc.cluster.local", names.service), "port": {"number": 8888},
                }}],
            }],
        })
    );
    let pod = world.get(&lab.pod_path());
    assert_eq!(pod["spec"]["serviceAccountName"], "ws-lab");
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "NB_PREFIX", "value": path}]));
    let selector = lab.child(Child::Service)["spec"]["selector"].clone();
    for (label, value) in selector.as_object().unwrap() {
        assert_eq!(pod["metadata"]["labels"][label], *value, "{label}");
    }
    assert_eq!(status["podTemplatePod"]["name"], json!(names.pod()));
    assert_eq!(status["podTemplatePod"]["serviceAccountName"], "ws-lab");
    assert_eq!(status["podTemplatePod"]["containers"], json!([{"name": "main"}]));
    assert_eq!(status["podTemplateOptions"]["imageConfig"]["desired"], "small");
    assert_eq!(status["stateMessage"], "Workspace is running");
    assert_eq!(condition(&status, "RouteReady")["reason"], "Routed");

    let writes = world.writes(mark);
    for child in CHILDREN {
        assert_eq!(writes.clone().resource(child.resource()).count(), 1, "{child:?}\n{writes:?}");
    }
    let status_writes = writes.clone().resource("workspaces/status").count();
    assert!((1..=2).contains(&status_writes), "{writes:?}");
    assert_eq!(writes.count(), CHILDREN.len() + status_writes, "{writes:?}");
}

#[test]
fn a_paused_workspace_has_no_pod_and_keeps_its_route() {
    let world = World::new("paused", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let route = lab.child(Child::VirtualService);
    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert_eq!(status["stateMessage"], "Workspace is paused");
    assert_eq!(condition(&status, "Ready")["status"], "True");
    assert_eq!(condition(&status, "Ready")["reason"], "Paused");
    assert_ne!(status["pauseTime"], 0);
    assert_eq!(lab.child(Child::StatefulSet)["spec"]["replicas"], 0);
    assert!(world.find(&lab.pod_path()).is_none());
    assert_eq!(lab.child(Child::VirtualService), route);
    lab.patch(&json!({"paused": false}));
    assert_eq!(lab.wait_running()["pauseTime"], 0);
}

/// The kubelet would wait for ever for the second volume of a claim. The edit also removes a volume of ours.
#[test]
fn a_claim_that_is_mounted_twice_has_one_volume() {
    let world = World::new("claims", |_| {});
    let claims = |second: &str| {
        json!({"podTemplate": {"volumes": {"data": [
            {"pvcName": "d", "mountPath": "/data"},
            {"pvcName": second, "mountPath": "/backup", "readOnly": true},
        ]}}})
    };
    let lab = world.create("lab", |spec| spec["podTemplate"]["volumes"] = json!({}));
    lab.wait_running();
    // There are no such claims: the pod of the new template finds no node.
    lab.patch(&claims("e"));
    let names_of_volumes = || {
        let set = lab.child(Child::StatefulSet);
        let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        (volumes.iter().map(|volume| volume["name"].clone()).collect::<Vec<_>>(), set)
    };
    world.wait("two volumes", || {
        let (names, set) = names_of_volumes();
        if names == ["data-volume-0", "data-volume-1"] { Ok(()) } else { Err(set.to_string()) }
    });
    lab.wait_restart_recorded();
    let mark = world.mark();
    lab.patch(&claims("d"));
    let set = world.wait("one volume", || {
        let (names, set) = names_of_volumes();
        if names == ["data-volume-0"] { Ok(set) } else { Err(set.to_string()) }
    });
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"], json!({"claimName": "d"}));
    let mounts = json!([
        {"name": "data-volume-0", "mountPath": "/data"},
        {"name": "data-volume-0", "mountPath": "/backup", "readOnly": true},
    ]);
    assert_eq!(pod["containers"][0]["volumeMounts"], mounts);
    lab.wait_status("waiting for its claim", |status| status["stateMessage"].to_string().contains("is unschedulable"));
    lab.wait_restart_recorded();
    let writes = world.writes(mark).resource("statefulsets");
    assert_eq!(writes.count(), 2, "{writes:?}");
}

#[test]
fn an_edited_kind_is_one_write_for_each_workspace_and_no_pod_is_deleted() {
    let world = World::new("edited", |_| {});
    let labs: Vec<_> = (0..5).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    let pods: Vec<_> = labs
        .iter()
        .map(|lab| {
            lab.wait_running();
            world.get(&lab.pod_path())["metadata"]["uid"].clone()
        })
        .collect();
    let mark = world.mark();
    world.update_kind(|template| {
        template["extraEnv"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "NEW", "value": "{{ httpPathPrefix \"jupyterlab\" }}"}));
        template["podMetadata"] = json!({"labels": {"new": "label"}});
    });
    for (lab, pod) in labs.iter().zip(&pods) {
        world.wait("the StatefulSet to follow", || {
            let set = lab.child(Child::StatefulSet);
            let container = &set["spec"]["template"]["spec"]["containers"][0];
            if container["env"][1]["name"] == "NEW" { Ok(()) } else { Err(set.to_string()) }
        });
        lab.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
        assert_eq!(world.get(&lab.pod_path())["metadata"]["uid"], *pod);
    }
    let writes = world.writes(mark);
    assert_eq!(writes.clone().resource("statefulsets").count(), 5, "{writes:?}");
    assert_eq!(writes.clone().resource("workspaces/status").count(), 5, "{writes:?}");
    assert_eq!(writes.count(), 10, "{writes:?}");
    let deleted =
        world.cluster.audit().since(mark).unwrap().namespace(&world.namespace).resource("pods").verb("delete");
    assert!(deleted.is_empty(), "{deleted:?}");
}

/// It is no part of the pod template: one write, no new revision, no restart.
#[test]
fn metadata_of_the_set_follows_the_kind_and_leaves_that_of_others() {
    let queue = "kueue.x-k8s.io/queue-name";
    let ours = "notebooks.kubeflow.org/workspace-name";
    let world = World::new("queued", |template| {
        template["statefulSetMetadata"] =
            json!({"labels": {queue: "one", "dropped": "label"}, "annotations": {"dropped": "annotation"}});
    });
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let theirs = json!({"metadata": {"labels": {"theirs": "label"}, "annotations": {"theirs": "annotation"}}});
    lab.patch_child(Child::StatefulSet, &theirs);
    let before = lab.child(Child::StatefulSet);
    let labels = json!({queue: "one", "dropped": "label", "theirs": "label", ours: "lab"});
    assert_eq!(before["metadata"]["labels"], labels);
    assert_eq!(before["metadata"]["annotations"]["dropped"], "annotation");
    let pod = world.get(&lab.pod_path());
    assert_eq!(pod["metadata"]["labels"].get(queue), None, "{pod}");

    let mark = world.mark();
    world.update_kind(|template| template["statefulSetMetadata"] = json!({"labels": {queue: "two"}}));
    let labels = json!({queue: "two", "theirs": "label", ours: "lab"});
    let set = world.wait("the other queue", || {
        let set = lab.child(Child::StatefulSet);
        if set["metadata"]["labels"] == labels { Ok(set) } else { Err(set.to_string()) }
    });
    let annotations: Vec<_> = set["metadata"]["annotations"].as_object().unwrap().keys().collect();
    assert_eq!(annotations, ["notebooks.kubeflow.org/applied-hash", "notebooks.kubeflow.org/restart", "theirs"]);
    assert_eq!(set["spec"], before["spec"]);
    assert_eq!(set["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(set["status"]["updateRevision"], pod["metadata"]["labels"]["controller-revision-hash"]);
    assert_eq!(world.get(&lab.pod_path())["metadata"]["uid"], pod["metadata"]["uid"]);
    let writes = world.writes(mark);
    assert_eq!(writes.clone().resource("statefulsets").count(), 1, "{writes:?}");
    assert_eq!(writes.count(), 1, "{writes:?}");

    // What another client changes about it is put back, and without the field nothing of it is left.
    lab.patch_child(Child::StatefulSet, &json!({"metadata": {"labels": {queue: "three"}}}));
    world.wait("our queue", || {
        let set = lab.child(Child::StatefulSet);
        if set["metadata"]["labels"] == labels { Ok(()) } else { Err(set.to_string()) }
    });
    world.update_kind(|template| drop(template.as_object_mut().unwrap().remove("statefulSetMetadata")));
    world.wait("no queue", || {
        let set = lab.child(Child::StatefulSet);
        let labels = json!({"theirs": "label", ours: "lab"});
        if set["metadata"]["labels"] == labels { Ok(()) } else { Err(set.to_string()) }
    });
    assert_eq!(world.get(&lab.pod_path())["metadata"]["uid"], pod["metadata"]["uid"]);
}

#[test]
fn the_scheduler_follows_the_kind() {
    let world = World::new("scheduler", |template| {
        template["schedulerName"] = json!("of-the-kind");
        template["options"]["podConfig"]["values"][1]["spec"]["schedulerName"] = json!("of-the-size");
    });
    let lab = world.create("lab", |spec| spec["paused"] = json!(true));
    let scheduler_is = |name: &str| {
        world.wait(name, || {
            let set = lab.find_child(Child::StatefulSet).unwrap_or_default();
            let found = &set["spec"]["template"]["spec"]["schedulerName"];
            if found == name { Ok(()) } else { Err(set.to_string()) }
        });
    };
    scheduler_is("of-the-kind");
    lab.patch(&json!({"podTemplate": {"options": {"podConfig": "big"}}}));
    scheduler_is("of-the-size");
    lab.patch(&json!({"podTemplate": {"options": {"podConfig": "tiny"}}}));
    scheduler_is("of-the-kind");
    world.update_kind(|template| drop(template.as_object_mut().unwrap().remove("schedulerName")));
    scheduler_is("default-scheduler");
}

/// How a kind moves from one account for all Workspaces of a namespace to one for each.
#[test]
fn a_kind_that_drops_its_account_gives_each_workspace_one_at_its_next_start() {
    let world = World::new("account", |template| template["serviceAccount"] = json!({"name": "shared"}));
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shared"}});
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let pod = world.get(&lab.pod_path());
    assert_eq!(pod["spec"]["serviceAccountName"], "shared");
    assert_eq!(lab.find_child(Child::ServiceAccount), None);

    let mark = world.mark();
    world.update_kind(|template| drop(template.as_object_mut().unwrap().remove("serviceAccount")));
    world.wait("the template to name the other account", || {
        let set = lab.child(Child::StatefulSet);
        let account = &set["spec"]["template"]["spec"]["serviceAccountName"];
        if account == "ws-lab" { Ok(()) } else { Err(set.to_string()) }
    });
    assert_eq!(lab.child(Child::ServiceAccount)["metadata"]["ownerReferences"][0]["uid"], json!(lab.uid));
    let writes = world.writes(mark).filter(|request| request.resource != "workspaces");
    for child in [Child::ServiceAccount, Child::StatefulSet] {
        assert_eq!(writes.clone().resource(child.resource()).count(), 1, "{child:?}\n{writes:?}");
    }
    assert_eq!(writes.count(), 2, "{writes:?}");
    let running = world.get(&lab.pod_path());
    assert_eq!(running["metadata"]["uid"], pod["metadata"]["uid"]);
    assert_eq!(running["spec"]["serviceAccountName"], "shared");
    let deleted =
        world.cluster.audit().since(mark).unwrap().namespace(&world.namespace).resource("pods").verb("delete");
    assert!(deleted.is_empty(), "{deleted:?}");

    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    lab.patch(&json!({"paused": false}));
    lab.wait_running();
    assert_eq!(world.get(&lab.pod_path())["spec"]["serviceAccountName"], "ws-lab");
}

#[test]
fn a_workspace_that_is_deleted_takes_its_children_and_its_name_is_free() {
    let world = World::new("again", |template| grant(template, &["view"]));
    let first = world.create("lab", |_| {});
    first.wait_running();
    first.delete();
    let second = world.create("lab", |_| {});
    assert_ne!(first.names.stateful_set, second.names.stateful_set);
    second.wait_running();
    for child in CHILDREN {
        assert_eq!(second.child(child)["metadata"]["ownerReferences"][0]["uid"], json!(second.uid), "{child:?}");
    }
    for child in [Child::StatefulSet, Child::Service, Child::VirtualService] {
        world.wait("the children of the first to go", || {
            first.find_child(child).map_or(Ok(()), |object| Err(object.to_string()))
        });
    }
    second.delete();
    for child in CHILDREN {
        world.wait("the children of the second to go", || {
            second.find_child(child).map_or(Ok(()), |object| Err(object.to_string()))
        });
    }
}
