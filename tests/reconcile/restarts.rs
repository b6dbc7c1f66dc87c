//! When a pod is restarted, and when it is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Reply, Server, report};
use serde_json::{Value, json};

use crate::process::{Loop, WriteLimit};
use crate::world::{Child, WorkspaceHandle, World, condition, control_plane};

/// After an edit of its user.
const RESTARTED_WITHIN: Duration = Duration::from_secs(1);
const RESTART_AT: &str = "notebooks.kubeflow.org/restart-at";

fn pod_uid(lab: &WorkspaceHandle<'_>) -> Option<String> {
    lab.world.find(&lab.pod_path())?["metadata"]["uid"].as_str().map(str::to_owned)
}

/// The variables of the running pod.
fn variables(lab: &WorkspaceHandle<'_>) -> Value {
    lab.world.get(&lab.pod_path())["spec"]["containers"][0]["env"].clone()
}

fn with_variable(template: &mut Value, value: &str) {
    template["extraEnv"] = json!([{"name": "VERSION", "value": value}]);
}

/// The user changes what becomes the pod.
fn edit(lab: &WorkspaceHandle<'_>) {
    lab.patch(&json!({"podTemplate": {"podMetadata": {"labels": {"edited": "yes"}}}}));
}

/// Waits for another pod than that, which runs.
fn wait_restarted(lab: &WorkspaceHandle<'_>, before: &str) -> Value {
    lab.world.wait(&format!("{} to run in another pod", lab.name), || match pod_uid(lab) {
        Some(uid) if uid != before => Ok(()),
        uid => Err(format!("{uid:?}")),
    });
    let status = lab.wait_running();
    assert_eq!(status["pendingRestart"], false, "{status}");
    assert_eq!(condition(&status, "PendingRestart"), Value::Null);
    status
}

fn wait_pending_restart(lab: &WorkspaceHandle<'_>) -> Value {
    lab.wait_status("about to be restarted", |status| {
        status["pendingRestart"] == true && condition(status, "PendingRestart")["status"] == "True"
    })
}

fn pod_uids(labs: &[WorkspaceHandle<'_>]) -> Vec<Option<String>> {
    labs.iter().map(pod_uid).collect()
}

/// W12.
#[test]
fn a_changed_kind_restarts_nobody_and_costs_one_write_of_set_and_status_each() {
    const WORKSPACES: usize = 300;
    let cluster = control_plane(ClusterOptions { nodes: 2, ..ClusterOptions::default() });
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "kind-edit");
    world.create_kind(|template| with_variable(template, "1"));
    let labs: Vec<_> = (0..WORKSPACES).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    for lab in &labs {
        lab.wait_running();
    }
    let pods = pod_uids(&labs);
    let mark = world.mark();
    world.update_kind(|template| {
        with_variable(template, "2");
        template["podMetadata"] = json!({"labels": {"team": "a"}});
        template["probes"] = json!({"livenessProbe": {"tcpSocket": {"port": 8888}, "periodSeconds": 30}});
    });
    for lab in &labs {
        let status = wait_pending_restart(lab);
        assert_eq!(status["stateMessage"], "Workspace is running (a restart is pending)");
        let pending = condition(&status, "PendingRestart");
        let message = pending["message"].as_str().unwrap();
        let change = message.split_once(": ").unwrap().1;
        assert_eq!(
            change,
            "metadata.labels.team: \"a\" is added; spec.containers[main].env[VERSION].value: … -> …; \
             spec.containers[main].livenessProbe: {\"failureThreshold\":3,\"periodSeconds\":30,\"successThreshold\":1,\
             \"tcpSocket\":{\"port\":8888},\"timeoutSeconds\":1} is added"
        );
    }
    let writes = world.writes(mark);
    let of = |resource: &str| writes.clone().resource(resource).count();
    let counts = (of("statefulsets"), of("workspaces/status"), writes.count());
    let deleted = cluster.audit().since(mark).unwrap().resource("pods").verb("delete");
    let pass = counts == (WORKSPACES, WORKSPACES, 2 * WORKSPACES) && deleted.is_empty();
    let figure = format!("{} sets, {} statuses, {} pods deleted", counts.0, counts.1, deleted.count());
    report("W12", pass, figure, format!("{WORKSPACES}, {WORKSPACES}, 0: writes for a change of the kind"));
    assert!(pass, "{writes:?}\n{deleted:?}");
    assert_eq!(pod_uids(&labs), pods);

    // Whatever makes a new pod makes it from the new template.
    labs[0].patch(&json!({"paused": true}));
    labs[0].wait_state("Paused");
    labs[0].patch(&json!({"paused": false}));
    cluster.api().delete(&labs[1].pod_path()).and_then(Reply::ok).unwrap();
    // Its user's own edit restarts at once.
    let (mark, started) = (world.mark(), Instant::now());
    edit(&labs[2]);
    world.wait("the pod to be deleted", || {
        let deleted = world.writes(mark).resource("pods");
        if deleted.is_empty() { Err("not yet") } else { Ok(()) }.map_err(str::to_owned)
    });
    let restarted = started.elapsed();
    let in_new_pod = |number: usize| {
        wait_restarted(&labs[number], pods[number].as_ref().unwrap());
        assert_eq!(variables(&labs[number]), json!([{"name": "VERSION", "value": "2"}]));
    };
    (0..3).for_each(in_new_pod);
    labs[2].wait_restart_recorded();
    running.stop();
    an_edit_restarts_although_the_process_dies(&labs[3]);
    let running = Loop::start(cluster, &[]);
    in_new_pod(3);
    assert_eq!(pod_uids(&labs[4..]), pods[4..]);
    running.stop();
    let pass = restarted < RESTARTED_WITHIN;
    let figure = format!("{} ms", restarted.as_millis());
    report("W12", pass, figure, "1000 ms: from an edit of its user to the deletion of the pod");
    assert!(pass, "{restarted:?}");
}

/// The process dies between the write of the StatefulSet and the deletion of the pod; the next one has to delete it.
fn an_edit_restarts_although_the_process_dies(lab: &WorkspaceHandle<'_>) {
    let (world, before) = (lab.world, pod_uid(lab));
    edit(lab);
    let mark = world.mark();
    let limit = WriteLimit::new(1);
    let dying = Loop::start_limited(world.cluster, &[], Some(Arc::clone(&limit)));
    world.wait("its only write", || if limit.is_reached() { Ok(()) } else { Err("none".to_owned()) });
    dying.kill();
    let writes = world.writes(mark);
    let of_set = writes.clone().resource("statefulsets").name(&lab.names.stateful_set);
    assert_eq!((writes.count(), of_set.count()), (1, 1), "{writes:?}");
    assert_eq!(pod_uid(lab), before);
}

#[test]
fn the_users_own_edit_restarts_at_once_and_a_later_edit_of_the_kind_does_not() {
    let world = World::new("own-edit", |template| with_variable(template, "1"));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let first = pod_uid(&lab).unwrap();
    let mark = world.mark();
    edit(&lab);
    wait_restarted(&lab, &first);
    let writes = world.writes(mark);
    assert_eq!(writes.clone().resource("pods").count(), 1, "{writes:?}");
    // The edit, and that its restart has happened.
    let recorded =
        || lab.child(Child::StatefulSet)["metadata"]["annotations"]["notebooks.kubeflow.org/restart"].to_string();
    world.wait("the record to be settled", || if recorded().contains("replaces") { Err(recorded()) } else { Ok(()) });
    let writes = world.writes(mark);
    assert_eq!(writes.clone().resource("statefulsets").count(), 2, "{writes:?}");

    let second = pod_uid(&lab).unwrap();
    let mark = world.mark();
    world.update_kind(|template| with_variable(template, "2"));
    wait_pending_restart(&lab);
    // The template that the first pod had: its record must not count again.
    world.update_kind(|template| with_variable(template, "1"));
    lab.wait_status("on the current template", |status| status["pendingRestart"] == false);
    assert_eq!(pod_uid(&lab), Some(second));
    assert_eq!(world.writes(mark).resource("pods").count(), 0);
}

#[test]
fn a_restart_is_asked_for_with_an_annotation() {
    let world = World::new("restart-at", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let before = pod_uid(&lab).unwrap();
    let annotate = |at: &str| {
        let patch = json!({"metadata": {"annotations": {RESTART_AT: at}}});
        world.cluster.api().merge_patch(&lab.path(), &patch).and_then(Reply::ok).unwrap();
    };
    let mark = world.mark();
    annotate("2020-01-01T00:00:00Z");
    annotate("soon");
    // A second after its creation, which may not have passed yet.
    let created = world.get(&lab.pod_path())["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    let created: k8s_openapi::jiff::Timestamp = created.parse().unwrap();
    annotate(&k8s_openapi::jiff::Timestamp::from_second(created.as_second() + 1).unwrap().to_string());
    wait_restarted(&lab, &before);
    assert_eq!(world.writes(mark).resource("pods").count(), 1);
}

#[test]
fn a_pod_that_never_became_ready_follows_its_kind() {
    let world = World::new("never-ready", |template| with_variable(template, "1"));
    let never_ready = |spec: &mut Value| {
        spec["podTemplate"]["podMetadata"] = json!({"labels": {"cluster.test/pod": "image-pull-error"}});
    };
    let lab = world.create("lab", never_ready);
    lab.wait_state("Error");
    let before = pod_uid(&lab).unwrap();
    world.update_kind(|template| with_variable(template, "2"));
    world.wait("a pod with the new template", || match pod_uid(&lab) {
        Some(uid) if uid != before => Ok(()),
        uid => Err(format!("{uid:?}")),
    });
    assert_eq!(variables(&lab), json!([{"name": "VERSION", "value": "2"}]));
    lab.wait_state("Error");
}

/// The process dies after it has written the template and before it has deleted the pod.
#[test]
fn an_edit_restarts_the_pod_although_the_process_died_in_between() {
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "died");
    world.create_kind(|template| with_variable(template, "1"));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let before = pod_uid(&lab).unwrap();
    // Nobody sees the new template.
    world.cluster.kill_server(Server::KubeControllerManager);
    let mark = world.mark();
    edit(&lab);
    let status = lab.wait_status("seen", |_| true);
    assert_eq!(world.writes(mark).resource("statefulsets").count(), 1, "{status}");
    running.stop();
    assert_eq!(pod_uid(&lab).as_ref(), Some(&before));
    world.cluster.start_server(Server::KubeControllerManager).unwrap();
    let running = Loop::start(world.cluster, &[]);
    wait_restarted(&lab, &before);
    running.stop();
}

/// It leaves nothing behind that another client could set off.
#[test]
fn an_edit_without_effect_restarts_nothing_later_either() {
    let world = World::new("no-effect", |template| {
        let values = template["options"]["imageConfig"]["values"].as_array_mut().unwrap();
        let mut twin = values[0].clone();
        twin["id"] = json!("twin");
        values.push(twin);
    });
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let before = pod_uid(&lab).unwrap();
    let recorded =
        || lab.child(Child::StatefulSet)["metadata"]["annotations"]["notebooks.kubeflow.org/restart"].clone();
    let made = recorded();
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "twin"}}}));
    world.wait("the record to be settled", || {
        let now = recorded();
        let is_settled = now != made && !now.to_string().contains("replaces");
        if is_settled { Ok(()) } else { Err(now.to_string()) }
    });
    let of_others = json!({"spec": {"template": {"metadata": {"annotations": {"other-tool": "x"}}}}});
    lab.patch_child(Child::StatefulSet, &of_others);
    wait_pending_restart(&lab);
    assert_eq!(pod_uid(&lab), Some(before));
}

#[test]
fn the_pod_of_somebody_elses_set_is_left_alone() {
    let world = World::new("foreign-set", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let before = pod_uid(&lab).unwrap();
    let owner = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "5d6d2bf6-1c9c-4b7e-8f8c-6a5f4d1f0001",
        "controller": true, "blockOwnerDeletion": false,
    }]);
    // Held, for there is no such owner.
    let metadata = json!({"ownerReferences": owner, "finalizers": ["example.com/held"]});
    lab.patch_child(Child::StatefulSet, &json!({"metadata": metadata}));
    let status = lab.wait_status("foreign", |status| condition(status, "Ready")["reason"] == "ForeignObject");
    assert_eq!(status["podTemplatePod"]["name"], "", "{status}");
    let mark = world.mark();
    let restart = json!({"metadata": {"annotations": {RESTART_AT: "2037-01-01T00:00:00Z"}}});
    world.cluster.api().merge_patch(&lab.path(), &restart).and_then(Reply::ok).unwrap();
    lab.patch(&json!({"podTemplate": {"podMetadata": {"labels": {"edited": "yes"}}}}));
    lab.wait_status("reconciled", |_| true);
    assert_eq!(world.writes(mark).resource("pods").count(), 0);
    assert_eq!(pod_uid(&lab), Some(before));
    lab.patch_child(Child::StatefulSet, &json!({"metadata": {"finalizers": null}}));
}
