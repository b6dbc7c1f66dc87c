//! The route of a deleted Workspace goes at once, by our own hand.

use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Reply, Server};
use serde_json::{Value, json};

use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, control_plane};

const WORKSPACES: usize = 200;

fn finalizers(lab: &WorkspaceHandle<'_>, finalizers: &Value) {
    let change = json!({"metadata": {"finalizers": finalizers}});
    lab.world.cluster.api().merge_patch(&lab.path(), &change).and_then(Reply::ok).unwrap();
}

fn routes(world: &World) -> Vec<Value> {
    let list = world.get(&Child::VirtualService.collection(&world.namespace));
    list["items"].as_array().unwrap().clone()
}

fn wait_routes(world: &World, count: usize) {
    world.wait(&format!("{count} routes"), || match routes(world).len() {
        there if there == count => Ok(()),
        there => Err(format!("{there} routes")),
    });
}

#[test]
fn a_workspace_that_a_finalizer_holds_keeps_its_pod_and_loses_its_route() {
    let world = World::new("held", |_| {});
    let lab = world.create("lab", |_| {});
    finalizers(&lab, &json!(["example.com/held"]));
    lab.wait_running();
    let mark = world.mark();
    lab.delete();
    wait_routes(&world, 0);
    let writes = world.writes(mark).accepted();
    assert_eq!(writes.clone().resource("virtualservices").verb("delete").count(), 1, "{writes:?}");
    assert_eq!(writes.count(), 1, "{writes:?}");
    assert!(lab.find_child(Child::StatefulSet).is_some() && world.find(&lab.pod_path()).is_some());
    // Nobody brings it back, whatever happens to the kind.
    world.update_kind(|template| template["ports"][0]["httpProxy"]["removePathPrefix"] = json!(true));
    let other = world.create("other", |_| {});
    other.wait_running();
    wait_routes(&world, 1);
    finalizers(&lab, &json!(null));
    world.wait("the Workspace to go", || world.find(&lab.path()).map_or(Ok(()), |lab| Err(lab.to_string())));
}

/// A tenant could try this as often as they like: what a reconcile writes after the deletion must not stay.
#[test]
fn a_workspace_that_is_deleted_while_it_is_reconciled_leaves_no_route() {
    let world = World::new("race", |_| {});
    let labs: Vec<_> = (0..40)
        .map(|number: u32| {
            let lab = world.create(&format!("lab-{number}"), |spec| spec["paused"] = json!(true));
            finalizers(&lab, &json!(["example.com/held"]));
            // From before the first write to after the last one.
            std::thread::sleep(Duration::from_millis(u64::from(number % 20)));
            lab.delete();
            lab
        })
        .collect();
    // Whatever was under way when the last one was deleted has ended when one that came later runs.
    world.create("last", |_| {}).wait_running();
    wait_routes(&world, 1);
    for lab in labs {
        finalizers(&lab, &json!(null));
    }
}

#[test]
fn routes_of_deleted_workspaces_do_not_wait_for_garbage_collection() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "gone");
    world.create_kind(|_| {});
    // Garbage collection does not take part.
    cluster.kill_server(Server::KubeControllerManager);
    let running = Loop::start(cluster, &[]);
    for number in 0..WORKSPACES {
        world.create(&format!("lab-{number}"), |spec| spec["paused"] = json!(true));
    }
    wait_routes(&world, WORKSPACES);
    let mark = world.mark();
    let started = Instant::now();
    let workspaces = format!("/apis/kubeflow.org/v1beta1/namespaces/{}/workspaces", world.namespace);
    cluster.api().delete(&workspaces).and_then(Reply::ok).unwrap();
    wait_routes(&world, 0);
    println!("the routes of {WORKSPACES} deleted Workspaces were gone after {:?}", started.elapsed());
    let deletes = world.writes(mark).accepted().resource("virtualservices");
    assert_eq!(deletes.count(), WORKSPACES, "{deletes:?}");
    assert_eq!(deletes.verb("delete").count(), WORKSPACES);

    // Deleted while no loop ran, and one that is another Workspace by now.
    let before = ["gone", "again", "orphaned"].map(|name| world.create(name, |spec| spec["paused"] = json!(true)));
    wait_routes(&world, 3);
    running.stop();
    // As `kubectl delete --cascade=orphan` leaves it.
    before[2].patch_child(Child::VirtualService, &json!({"metadata": {"ownerReferences": null}}));
    before.iter().for_each(WorkspaceHandle::delete);
    let again = world.create("again", |spec| spec["paused"] = json!(true));
    let theirs = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {
            "name": "theirs",
            "labels": {"notebooks.kubeflow.org/workspace-name": "gone"},
            "ownerReferences": [{
                "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "gone", "uid": before[0].uid,
                "controller": true,
            }],
        },
        "spec": {"hosts": ["theirs.example.com"], "http": [{"route": [{"destination": {"host": "theirs"}}]}]},
    });
    let collection = Child::VirtualService.collection(&world.namespace);
    cluster.api().create(&collection, &theirs).and_then(Reply::ok).unwrap();
    let running = Loop::start(cluster, &[]);
    world.wait("the old routes to go and the new one to come", || {
        let there = routes(&world);
        let mut names: Vec<&str> = there.iter().filter_map(|route| route["metadata"]["name"].as_str()).collect();
        names.sort_unstable();
        let mut expected = [again.names.service.as_str(), "theirs"];
        expected.sort_unstable();
        if names == expected { Ok(()) } else { Err(names.join(" ")) }
    });
    running.stop();
}
