//! What the status says, and how often it is written.

use std::time::{Duration, Instant};

use cluster::Reply;
use serde_json::json;

use crate::world::{Child, World, condition};

#[test]
fn the_state_shows_what_is_wrong_with_the_pod() {
    let world = World::new("states", |_| {});
    let not_running = "Workspace Container is not running";
    let cases = [
        ("image-pull-error", "Error", format!("{not_running} (ImagePullBackOff): ImagePullBackOff of container main")),
        ("crash-loop", "Error", format!("{not_running} (CrashLoopBackOff): Error, exit code 1")),
        (
            "config-error",
            "Error",
            format!("{not_running} (CreateContainerConfigError): CreateContainerConfigError of container main"),
        ),
        ("out-of-memory", "Error", format!("{not_running} (OOMKilled, exit code 137)")),
        ("never-ready", "Pending", "Workspace is pending".to_owned()),
    ];
    let labs: Vec<_> = cases
        .iter()
        .map(|(name, ..)| {
            world
                .create(name, |spec| spec["podTemplate"]["podMetadata"] = json!({"labels": {"cluster.test/pod": name}}))
        })
        .collect();
    for (lab, (_, state, message)) in labs.iter().zip(&cases) {
        let status = lab.wait_status(message, |status| status["stateMessage"] == json!(message));
        assert_eq!(status["state"], json!(state));
        assert_eq!(condition(&status, "Ready")["status"], "False");
        assert_eq!(condition(&status, "RouteReady")["status"], "True");
    }
}

#[test]
fn a_workspace_without_its_kind_can_be_paused_and_runs_when_the_kind_comes() {
    let world = World::empty("no-kind");
    let lab = world.create("lab", |_| {});
    let message = format!("Workspace references unknown WorkspaceKind: {}", world.kind);
    let status = lab.wait_state("Error");
    assert_eq!(status["stateMessage"], json!(message));
    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert_eq!(condition(&status, "Ready")["reason"], "WorkspaceKindNotFound");
    lab.patch(&json!({"paused": false}));
    lab.wait_state("Error");
    world.create_kind(|_| {});
    lab.wait_running();
}

/// By etcd, by the API server's client of etcd, and by the API server itself.
#[test]
fn what_is_too_large_to_be_stored_is_reported_and_not_tried_again_soon() {
    let cases = [
        (30, "etcdserver: request is too large"),
        (40, "rpc error: code = ResourceExhausted desc = trying to send message larger than max"),
        (60, "Request entity too large: limit is 3145728"),
    ];
    for (variables, words) in cases {
        let world = World::new("too-large", |template| {
            let variable = |number| json!({"name": format!("V{number}"), "value": "{{ printf \"%60000d\" 1 }}"});
            template["extraEnv"] = (0..variables).map(variable).collect();
        });
        let mark = world.mark();
        let lab = world.create("lab", |_| {});
        let status = lab.wait_state("Error");
        let message = format!("Workspace StatefulSet {} is too large to be stored: {words}", lab.names.stateful_set);
        assert!(status["stateMessage"].as_str().unwrap().starts_with(&message), "{status}");
        assert_eq!(condition(&status, "Ready")["reason"], "TooLarge");
        assert_eq!(condition(&status, "RouteReady")["status"], "True");
        // Another client changes another child: the loop reconciles all of them.
        lab.patch_child(Child::Service, &json!({"spec": {"selector": {"statefulset": "other"}}}));
        world.wait("the Service to be restored", || {
            let selector = lab.child(Child::Service)["spec"]["selector"]["statefulset"].clone();
            if selector == "lab" { Ok(()) } else { Err(selector.to_string()) }
        });
        let tried = world.writes(mark).resource("statefulsets");
        assert_eq!(tried.count(), 1, "{tried:?}");
        world.update_kind(|template| template["extraEnv"] = json!([]));
        lab.wait_running();
    }
}

#[test]
fn what_the_api_server_refuses_is_reported_in_its_words() {
    let world = World::new("refused", |template| {
        // Nothing in the CRD's schema forbids a limit below the request.
        let resources = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}});
        template["options"]["podConfig"]["values"][0]["spec"]["resources"] = resources;
    });
    let lab = world.create("lab", |_| {});
    let status = lab.wait_state("Error");
    let message = status["stateMessage"].as_str().unwrap();
    assert!(message.contains("must be less than or equal to cpu limit"), "{message}");
    assert_eq!(condition(&status, "Ready")["reason"], "Refused");
    assert_eq!(condition(&status, "RouteReady")["status"], "True", "the route does not depend on the pod");
    lab.patch(&json!({"podTemplate": {"options": {"podConfig": "big"}}}));
    lab.wait_running();
}

#[test]
fn a_flood_of_pod_changes_costs_at_most_one_status_write_a_second() {
    let world = World::new("flood", |_| {});
    let lab = world.create("lab", |spec| {
        // The fake kubelet leaves this one alone.
        spec["podTemplate"]["podMetadata"] = json!({"labels": {"cluster.test/pod": "never-ready"}});
    });
    lab.wait_state("Pending");
    let mark = world.mark();
    let started = Instant::now();
    let status = format!("{}/status", lab.pod_path());
    let mut flips = 0;
    while started.elapsed() < Duration::from_secs(4) {
        flips += 1;
        let ready = if flips % 2 == 0 { "False" } else { "True" };
        let patch = json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": ready, "reason": "ContainersNotReady"},
            {"type": "PodScheduled", "status": "True"},
        ]}});
        world.cluster.api().merge_patch(&status, &patch).and_then(Reply::ok).unwrap();
    }
    let patch =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "ContainersNotReady"}]}});
    world.cluster.api().merge_patch(&status, &patch).and_then(Reply::ok).unwrap();
    lab.wait_running();
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let writes = world.writes(mark);
    let count = writes.clone().resource("workspaces/status").count();
    assert!(flips > 20, "only {flips} changes: no flood");
    assert!((1..=seconds + 2).contains(&count), "{count} in {seconds} s after {flips} changes\n{writes:?}");
    assert_eq!(writes.count(), count, "{writes:?}");
    assert_eq!(lab.child(Child::StatefulSet)["spec"]["replicas"], 1);
}
