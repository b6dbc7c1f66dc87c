//! What keeps a pod from a node, and what takes it from one: the status quotes scheduler, API server and kubelet.

use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Reply, Server, Signal};
use serde_json::{Value, json};

use crate::process::Loop;
use crate::warnings::warn;
use crate::world::{Child, WorkspaceHandle, World, condition, control_plane};

/// Waits until the state is that, with this message, and nothing is said to be stalled.
fn wait_shown(lab: &WorkspaceHandle<'_>, state: &str, message: &str) {
    let status = lab.wait_status(message, |status| status["state"] == state && status["stateMessage"] == message);
    assert_eq!(condition(&status, "Available")["status"], "False", "{status}");
    assert_eq!(condition(&status, "Available")["message"], message);
    assert_eq!(condition(&status, "Stalled"), Value::Null);
    let described =
        lab.world.cluster.kubectl(&["describe", "workspace", &lab.name, "-n", &lab.world.namespace]).unwrap();
    let line = described.stdout.lines().find_map(|line| line.trim().strip_prefix("State Message:"));
    assert_eq!(line.map(str::trim), Some(message.trim()));
}

fn create(world: &World, path: &str, object: &Value) {
    world.cluster.api().create(path, object).and_then(Reply::ok).unwrap();
}

/// As Kueue holds pods back until there is quota for them. It does so by a webhook for pods, here it is the template of the
/// StatefulSet that another client changes; the condition is the API server's.
#[test]
fn a_pod_with_a_scheduling_gate_waits_for_it() {
    let world = World::new("gate", |_| {});
    let lab = world.create("lab", |spec| spec["paused"] = json!(true));
    lab.wait_state("Paused");
    let gates = json!([{"name": "kueue.x-k8s.io/admission"}]);
    lab.patch_child(Child::StatefulSet, &json!({"spec": {"template": {"spec": {"schedulingGates": gates}}}}));
    lab.patch(&json!({"paused": false}));
    wait_shown(
        &lab,
        "Pending",
        "Workspace Pod is waiting for scheduling gate: Scheduling is blocked due to non-empty scheduling gates",
    );
    let open = json!({"spec": {"schedulingGates": []}});
    world.cluster.api().merge_patch(&lab.pod_path(), &open).and_then(Reply::ok).unwrap();
    lab.wait_running();
}

#[test]
fn a_node_selector_that_no_node_matches_is_quoted_until_one_does() {
    let world = World::new("selector", |template| {
        template["options"]["podConfig"]["values"][0]["spec"]["nodeSelector"] = json!({"placement.test/gpu": "yes"});
    });
    let lab = world.create("lab", |_| {});
    let message = "Workspace Pod is unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no \
                   new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    wait_shown(&lab, "Pending", message);
    let gpu = json!({"metadata": {"labels": {"placement.test/gpu": "yes"}}});
    world.cluster.api().merge_patch("/api/v1/nodes/node-0", &gpu).and_then(Reply::ok).unwrap();
    lab.wait_running();
}

/// How long a pod may be unschedulable.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn what_finds_no_node_for_long_is_an_error_without_any_event() {
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[&format!("--scheduling-patience={}s", PATIENCE.as_secs())]);
    let world = World::on(cluster, "patience");
    world.create_kind(|template| {
        template["options"]["podConfig"]["values"][0]["spec"]["nodeSelector"] = json!({"placement.test/gpu": "yes"});
    });
    let created = Instant::now();
    let lab = world.create("lab", |_| {});
    let message = "Workspace Pod is unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no \
                   new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    // Pending before that, which on a busy machine nobody may see.
    wait_shown(&lab, "Error", message);
    // The time of its condition is in whole seconds.
    let waited = created.elapsed() + Duration::from_secs(1);
    assert!(waited >= PATIENCE, "{waited:?}");
    assert_eq!(condition(&lab.get()["status"], "Ready")["reason"], "PodError");
    running.stop();
}

/// A volume that exists, and a claim that is bound to it.
fn create_claim(world: &World, claim: &str, mode: &str) {
    let volume = format!("{}-{claim}", world.namespace);
    let size = json!({"storage": "1Gi"});
    let of_volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {
            "accessModes": [mode], "capacity": size, "storageClassName": "",
            "csi": {"driver": "disk.example.com", "volumeHandle": volume},
            "claimRef": {"namespace": world.namespace, "name": claim},
        },
    });
    create(world, "/api/v1/persistentvolumes", &of_volume);
    let of_claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim},
        "spec": {
            "accessModes": [mode], "resources": {"requests": size}, "storageClassName": "", "volumeName": volume,
        },
    });
    create(world, &format!("/api/v1/namespaces/{}/persistentvolumeclaims", world.namespace), &of_claim);
}

fn with_claim<'a>(world: &'a World, name: &str, claim: &str) -> WorkspaceHandle<'a> {
    world.create(name, |spec| {
        spec["podTemplate"]["volumes"]["data"] = json!([{"pvcName": claim, "mountPath": "/data", "readOnly": false}]);
    })
}

#[test]
fn a_claim_that_does_not_exist_or_is_in_use_is_named_until_it_can_be_mounted() {
    let world = World::new("claim", |_| {});
    let first = with_claim(&world, "first", "data");
    let message =
        "Workspace Pod is unschedulable: 0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found";
    wait_shown(&first, "Pending", message);
    create_claim(&world, "data", "ReadWriteOncePod");
    first.wait_running();

    let second = with_claim(&world, "second", "data");
    let message = "Workspace Pod is unschedulable: 0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with \
         ReadWriteOncePod access mode already in-use by another pod. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 No preemption victims found for incoming pod.";
    wait_shown(&second, "Pending", message);
    first.patch(&json!({"paused": true}));
    first.wait_state("Paused");
    second.wait_running();
}

/// No controller attaches volumes here: the Event is written as that of v1.34.4 writes it.
#[test]
fn a_volume_that_is_attached_to_another_node_is_named() {
    let world = World::new("attached", |_| {});
    let lab = world.create("lab", |spec| {
        spec["podTemplate"]["podMetadata"] = json!({"labels": {"cluster.test/pod": "never-started"}});
    });
    world.wait("a pod", || world.find(&lab.pod_path()).ok_or_else(|| "none".to_owned()));
    let event = "Multi-Attach error for volume \"pvc-6a1f\" Volume is already used by pod(s) ws-other-0c1d2e3f4a-0";
    warn(&lab, "attachdetach-controller", "FailedAttachVolume", event);
    wait_shown(&lab, "Error", &format!("Workspace Pod has warning event: {event}"));
}

/// There is no kubelet: the status is written as the eviction manager of kubelet v1.34.4 writes it. The StatefulSet controller
/// replaces such a pod at once, so it is held while the status is looked at.
#[test]
fn a_pod_that_was_evicted_says_why_and_is_replaced() {
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "evicted");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let uid = || world.get(&lab.pod_path())["metadata"]["uid"].clone();
    let first = uid();
    cluster.signal_server(Server::KubeControllerManager, Signal::STOP).unwrap();
    let why = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. Container main was using 300Mi, \
               request is 128Mi, has larger consumption of memory. ";
    let disruption =
        json!({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": why});
    let status = json!({"status": {
        "phase": "Failed", "reason": "Evicted", "message": why,
        "conditions": [disruption, {"type": "Ready", "status": "False", "reason": "PodFailed"}],
    }});
    let path = format!("{}/status", lab.pod_path());
    cluster.api().merge_patch(&path, &status).and_then(Reply::ok).unwrap();
    wait_shown(&lab, "Error", &format!("Workspace Pod was evicted: {why}"));
    cluster.signal_server(Server::KubeControllerManager, Signal::CONT).unwrap();
    lab.wait_running();
    let second = uid();
    assert_ne!(second, first);

    // As `kubectl drain` does it.
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    cluster.api().merge_patch(&lab.pod_path(), &hold).and_then(Reply::ok).unwrap();
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": lab.names.pod(), "namespace": world.namespace},
    });
    create(&world, &format!("{}/eviction", lab.pod_path()), &eviction);
    wait_shown(&lab, "Terminating", "Workspace is terminating: Eviction API: evicting");
    cluster.api().merge_patch(&lab.pod_path(), &json!({"metadata": {"finalizers": null}})).and_then(Reply::ok).unwrap();
    lab.wait_running();
    assert_ne!(uid(), second);
    running.stop();
}
