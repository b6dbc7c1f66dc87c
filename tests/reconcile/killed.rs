//! The process is killed after its n-th write, for every n: the next one brings about what an undisturbed one would have.

use std::sync::Arc;

use cluster::{Cluster, ClusterOptions, report};
use serde_json::{Value, json};

use crate::process::{Loop, WriteLimit};
use crate::world::{CHILDREN, Child, WorkspaceHandle, World, control_plane};

/// More writes than any of the changes takes; the last ones are not reached, and the loop settles first.
const WRITES: usize = 10;

/// All that belongs to Workspaces in the namespace: of each child the name of its Workspace and what distinguishes it.
fn children(world: &World) -> Vec<(Child, String, Value)> {
    let mut all = Vec::new();
    for child in CHILDREN {
        let list = world.get(&child.collection(&world.namespace));
        for object in list["items"].as_array().unwrap() {
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            if let Some(owner) = owners.first() {
                all.push((child, owner["name"].as_str().unwrap().to_owned(), shape(object)));
            }
        }
    }
    all
}

/// What of a child does not depend on which Workspace it is of.
fn shape(object: &Value) -> Value {
    let spec = &object["spec"];
    let main = &spec["template"]["spec"]["containers"][0];
    json!({
        "image": main["image"], "env": main["env"], "replicas": spec["replicas"], "labels": spec["template"]["metadata"]["labels"]["edited"],
        "ports": spec["ports"], "headers": spec["http"][0]["headers"]["request"]["set"]["X-Version"],
        "routes": spec["http"].as_array().map(Vec::len),
    })
}

fn with_version(template: &mut Value, version: &str) {
    // Nothing in it depends on the name of a Workspace.
    template["extraEnv"] = json!([{"name": "VERSION", "value": version}]);
    template["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    template["ports"][0]["httpProxy"] = json!({"requestHeaders": {"set": {"X-Version": version}}});
}

/// Starts a loop that is killed after `writes` of them, or once it has nothing more to do.
fn run_and_kill(cluster: &Cluster, world: &World, writes: usize, is_done: impl Fn() -> bool) {
    let limit = WriteLimit::new(writes);
    let running = Loop::start_limited(cluster, &[], Some(Arc::clone(&limit)));
    world.wait("the last write, or the end", || {
        if limit.is_reached() || is_done() { Ok(()) } else { Err("neither".to_owned()) }
    });
    running.kill();
}

fn is_settled(lab: &WorkspaceHandle<'_>) -> bool {
    let workspace = lab.get();
    let status = &workspace["status"];
    let ready = crate::world::condition(status, "Ready")["status"] == "True";
    status["observedGeneration"] == workspace["metadata"]["generation"] && ready && status["pendingRestart"] == false
}

/// Prints the line of the check.
fn survived(what: &str, kills: usize) {
    report("W9", true, kills, format!("{kills}: kills after the n-th write of {what}"));
}

#[test]
fn whatever_a_killed_process_has_written_the_next_one_finishes() {
    let cluster: &'static Cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "killed");
    world.create_kind(|template| with_version(template, "1"));

    let created: Vec<_> = (1..=WRITES)
        .map(|writes| {
            let lab = world.create(&format!("lab-{writes}"), |_| {});
            run_and_kill(cluster, &world, writes, || is_settled(&lab));
            lab
        })
        .collect();
    let running = Loop::start(cluster, &[]);
    for lab in &created {
        lab.wait_running();
    }
    running.stop();
    all_have_the_same(&world, created.len());
    survived("a creation", WRITES);

    for (writes, lab) in (1..).zip(&created) {
        let edit =
            json!({"podTemplate": {"options": {"imageConfig": "large"}, "podMetadata": {"labels": {"edited": "yes"}}}});
        lab.patch(&edit);
        run_and_kill(cluster, &world, writes, || is_settled(lab));
    }
    let running = Loop::start(cluster, &[]);
    for lab in &created {
        let pod = || world.find(&lab.pod_path()).unwrap_or_default();
        world.wait("a pod of the edit", || {
            if pod()["metadata"]["labels"]["edited"] == "yes" { Ok(()) } else { Err(pod().to_string()) }
        });
        lab.wait_running();
    }
    running.stop();
    all_have_the_same(&world, created.len());
    survived("an edit of its user, which restarts the pod", WRITES);

    for writes in 1..=WRITES {
        world.update_kind(|template| with_version(template, &(writes + 1).to_string()));
        run_and_kill(cluster, &world, writes, || false);
    }
    let pods: Vec<Value> = created.iter().map(|lab| world.get(&lab.pod_path())["metadata"]["uid"].clone()).collect();
    let last = (WRITES + 1).to_string();
    let running = Loop::start(cluster, &[]);
    for lab in &created {
        world.wait("the last version of the kind", || {
            let route = lab.child(Child::VirtualService)["spec"]["http"][0]["headers"]["request"]["set"].clone();
            if route["X-Version"] == last { Ok(()) } else { Err(route.to_string()) }
        });
        lab.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
    }
    running.stop();
    all_have_the_same(&world, created.len());
    let after: Vec<Value> = created.iter().map(|lab| world.get(&lab.pod_path())["metadata"]["uid"].clone()).collect();
    assert_eq!(after, pods, "no pod is restarted for a change of the kind");
    survived("a change of the kind", WRITES);

    for (writes, lab) in (1..).zip(created.iter().take(2)) {
        lab.delete();
        run_and_kill(cluster, &world, writes, || world.find(&lab.child_path(Child::VirtualService)).is_none());
    }
    created.iter().skip(2).for_each(WorkspaceHandle::delete);
    let running = Loop::start(cluster, &[]);
    world.wait("everything to be gone", || {
        let left = children(&world);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    running.stop();
    survived("a deletion", 2);
}

/// One of each, and each as those of all other Workspaces are.
fn all_have_the_same(world: &World, workspaces: usize) {
    let all = children(world);
    assert_eq!(all.len(), CHILDREN.len() * workspaces, "{all:?}");
    for child in CHILDREN {
        let shapes: Vec<&Value> = all.iter().filter(|(kind, ..)| *kind == child).map(|(.., shape)| shape).collect();
        assert_eq!(shapes.len(), workspaces, "{child:?}");
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{child:?}: {shapes:?}");
    }
}
