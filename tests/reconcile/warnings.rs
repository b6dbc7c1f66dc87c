//! What keeps a Workspace from starting is in its status: warning Events of StatefulSet and pod, as they are stored.

use cluster::Reply;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::process::USER;
use crate::world::{Child, WorkspaceHandle, World, condition};

fn create(world: &World, resource: &str, object: &Value) {
    let path = format!("/api/v1/namespaces/{}/{resource}", world.namespace);
    world.cluster.api().create(&path, object).and_then(Reply::ok).unwrap();
}

/// The message of the newest warning about the StatefulSet.
fn event_of_set(lab: &WorkspaceHandle<'_>) -> Result<String, String> {
    let uid = lab.find_child(Child::StatefulSet).ok_or("no set")?["metadata"]["uid"].as_str().unwrap().to_owned();
    let selector = format!("fieldSelector=involvedObject.uid%3D{uid}%2Ctype%3DWarning");
    let events = lab.world.get(&format!("/api/v1/namespaces/{}/events?{selector}", lab.world.namespace));
    let events = events["items"].as_array().unwrap();
    let newest = events.iter().max_by_key(|event| event["lastTimestamp"].as_str().map(str::to_owned));
    newest.map(|event| event["message"].as_str().unwrap().to_owned()).ok_or_else(|| "no event".to_owned())
}

/// Waits until the status quotes what the API server said to the StatefulSet controller.
fn wait_refused(lab: &WorkspaceHandle<'_>, words: &str) {
    let event = lab.world.wait("the pod to be refused", || event_of_set(lab));
    assert!(event.contains(words), "{event}");
    let message = format!("Workspace StatefulSet has warning event: {event}");
    let status = lab.wait_status(&message, |status| status["stateMessage"] == json!(message));
    assert_eq!(status["state"], "Error");
    let ready = condition(&status, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"], &ready["message"]),
        (&json!("False"), &json!("PodError"), &json!(message))
    );
    assert_eq!(condition(&status, "Available")["status"], "False");
}

#[test]
fn a_pod_that_the_api_server_refuses_is_reported_in_its_words() {
    let quota = World::new("quota", |_| {});
    create(&quota, "resourcequotas", &json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}));
    quota.wait("the quota to be counted", || {
        let quota = quota.get(&format!("/api/v1/namespaces/{}/resourcequotas/none", quota.namespace));
        if quota["status"]["hard"]["pods"] == "0" { Ok(()) } else { Err(quota.to_string()) }
    });
    let limits = World::new("limits", |_| {});
    let range = json!({"limits": [{"type": "Container", "min": {"memory": "64Gi"}}]});
    create(&limits, "limitranges", &json!({"metadata": {"name": "large"}, "spec": range}));
    let security = World::new("security", |_| {});
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespace = format!("/api/v1/namespaces/{}", security.namespace);
    security.cluster.api().merge_patch(&namespace, &restricted).and_then(Reply::ok).unwrap();
    let account = World::new("account", |template| template["serviceAccount"] = json!({"name": "nobody"}));
    let labs = [&quota, &limits, &security, &account].map(|world| world.create("lab", |_| {}));
    wait_refused(&labs[0], "is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0");
    wait_refused(&labs[1], "minimum memory usage per Container is 64Gi");
    wait_refused(&labs[2], "violates PodSecurity \"restricted:latest\"");
    wait_refused(&labs[3], "serviceaccount \"nobody\" not found");
    // What was quoted is over.
    create(&account, "serviceaccounts", &json!({"metadata": {"name": "nobody"}}));
    labs[3].wait_running();
}

/// A warning about the pod, as the kubelet and others write them.
pub fn warn(lab: &WorkspaceHandle<'_>, component: &str, reason: &str, message: &str) {
    let pod = lab.world.get(&lab.pod_path());
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap().to_string();
    let event = json!({
        "metadata": {"generateName": "test-"}, "type": "Warning", "reason": reason, "message": message,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": {"component": component},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": lab.world.namespace, "name": lab.names.pod(),
            "uid": pod["metadata"]["uid"],
        },
    });
    create(lab.world, "events", &event);
}

#[test]
fn warnings_about_a_pod_are_quoted_until_it_is_ready_and_not_read_while_it_is() {
    let world = World::new("warnings", |_| {});
    let lab = world.create("lab", |spec| {
        spec["podTemplate"]["podMetadata"] = json!({"labels": {"cluster.test/pod": "never-started"}});
    });
    world.wait("a pod", || world.find(&lab.pod_path()).ok_or_else(|| "none".to_owned()));
    let missing = "MountVolume.SetUp failed for volume \"secret-volume-0\" : secret \"token\" not found";
    warn(&lab, "kubelet", "FailedMount", missing);
    let message = format!("Workspace Pod has warning event: {missing}");
    let status = lab.wait_status(&message, |status| status["stateMessage"] == json!(message));
    assert_eq!(status["state"], "Error");
    let patch = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let pod_status = format!("{}/status", lab.pod_path());
    world.cluster.api().merge_patch(&pod_status, &patch).and_then(Reply::ok).unwrap();
    lab.wait_running();
    let events = world.cluster.audit().all().unwrap().by(USER).namespace(&world.namespace);
    let events = events.filter(|request| request.resource == "events");
    assert!((1..=3).contains(&events.count()), "{events:?}");
}

#[test]
fn a_deletion_that_is_stuck_says_what_it_waits_for() {
    let world = World::new("stuck", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let api = world.cluster.api();
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    api.merge_patch(&lab.pod_path(), &hold).and_then(Reply::ok).unwrap();
    api.delete(&format!("{}?gracePeriodSeconds=0", lab.pod_path())).and_then(Reply::ok).unwrap();
    assert_eq!(lab.wait_state("Terminating")["stateMessage"], "Workspace is terminating");
    let gone_by = world.get(&lab.pod_path())["metadata"]["deletionTimestamp"].as_str().unwrap().to_owned();
    let message = format!(
        "Workspace is terminating: the pod's deletion grace period ended at {gone_by}, but it has the finalizers example.com/hold"
    );
    lab.wait_status(&message, |status| status["stateMessage"] == json!(message));
    api.merge_patch(&lab.pod_path(), &json!({"metadata": {"finalizers": null}})).and_then(Reply::ok).unwrap();
    lab.wait_running();
}

/// What kubectl, and with it every pipeline, waits for.
#[test]
fn a_start_costs_two_status_writes_and_an_edit_of_the_kind_one_and_kubectl_waits_for_both() {
    let world = World::new("two-writes", |_| {});
    let mark = world.mark();
    let lab = world.create("lab", |_| {});
    let wait = |what: &str| {
        let args = ["wait", what, "workspaces.kubeflow.org/lab", "--namespace", &world.namespace, "--timeout=60s"];
        world.cluster.kubectl(&args).unwrap().ok().unwrap();
    };
    wait("--for=condition=Available");
    wait("--for=condition=Ready");
    let status = lab.wait_running();
    assert!(status["lastRunningTime"].as_i64().unwrap() > 1_700_000_000_000, "{status}");
    assert_eq!(condition(&status, "Reconciling"), Value::Null);
    let writes = world.writes(mark).resource("workspaces/status");
    assert!((1..=2).contains(&writes.count()), "{writes:?}");

    let mark = world.mark();
    world.update_kind(|template| template["extraEnv"] = json!([{"name": "MORE", "value": "1"}]));
    wait("--for=condition=PendingRestart");
    let status = lab.get()["status"].clone();
    let message = "Workspace is running (a restart is pending)";
    assert_eq!((&status["state"], &status["stateMessage"]), (&json!("Running"), &json!(message)));
    assert_eq!(condition(&status, "Available")["status"], "True");
    let writes = world.writes(mark).resource("workspaces/status");
    assert_eq!(writes.count(), 1, "{writes:?}");

    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    wait("--for=condition=Ready");
    wait("--for=condition=Available=false");
}
