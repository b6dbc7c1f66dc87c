//! A Workspace that is deleted and created again under its name at once is another one: nothing of the first is left, and
//! nothing of the second is taken for it.

use std::time::{Duration, Instant};

use cluster::report;
use serde_json::{Value, json};

use crate::world::{CHILDREN, Child, WorkspaceHandle, World, grant};

/// From the deletion to the creation.
const WITHIN: Duration = Duration::from_millis(100);

/// Waits until it has come so far: not seen yet, one child more each time, running.
fn come_so_far(lab: &WorkspaceHandle<'_>, round: usize) {
    match round % (CHILDREN.len() + 2) {
        0 => {}
        stage if stage <= CHILDREN.len() => {
            let child = CHILDREN[stage - 1];
            lab.world.wait(&format!("{child:?} of round {round}"), || match lab.find_child(child) {
                Some(object) if owner(&object) == lab.uid => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        _ => drop(lab.wait_running()),
    }
}

fn owner(object: &Value) -> &str {
    object["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or("nobody")
}

/// What has our label, or belongs to a Workspace or to a StatefulSet: resource, name, owner.
fn belongings(world: &World) -> Vec<(&'static str, String, String)> {
    let pods = format!("/api/v1/namespaces/{}/pods", world.namespace);
    let collections = CHILDREN.map(|child| (child.resource(), child.collection(&world.namespace)));
    let mut all = Vec::new();
    for (resource, path) in collections.into_iter().chain([("pods", pods)]) {
        for object in world.get(&path)["items"].as_array().unwrap() {
            let metadata = &object["metadata"];
            let is_labelled = metadata["labels"]["notebooks.kubeflow.org/workspace-name"].is_string();
            if is_labelled || metadata["ownerReferences"].is_array() {
                all.push((resource, metadata["name"].as_str().unwrap().to_owned(), owner(object).to_owned()));
            }
        }
    }
    all
}

/// W10.
fn children_are_of_the_last_one(rounds: usize) {
    let world = World::new("recreated", |template| grant(template, &["view"]));
    let mut lab = world.create("lab", |_| {});
    let (mut done, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds * 2 {
        come_so_far(&lab, round);
        let started = Instant::now();
        lab.delete();
        lab = world.create("lab", |_| {});
        let taken = started.elapsed();
        // On a busy machine it may take longer, and then it does not count.
        if taken < WITHIN {
            slowest = slowest.max(taken);
            done += 1;
        }
        if done == rounds {
            break;
        }
    }
    assert_eq!(done, rounds, "deleted and created again within {WITHIN:?}");
    let status = lab.wait_running();
    assert_eq!(status["podTemplatePod"]["name"], json!(lab.names.pod()));
    let set = lab.child(Child::StatefulSet)["metadata"]["uid"].as_str().unwrap().to_owned();
    // The garbage collector may still be busy with the earlier ones.
    let left = world.wait("nothing but what belongs to the last one", || {
        let mut others = belongings(&world);
        others.retain(|(resource, _, owner)| *owner != *if *resource == "pods" { &set } else { &lab.uid });
        if others.is_empty() { Ok(belongings(&world)) } else { Err(format!("{others:?}")) }
    });
    let resources: Vec<&str> = left.iter().map(|(resource, ..)| *resource).collect();
    let pass = resources == ["serviceaccounts", "rolebindings", "statefulsets", "services", "virtualservices", "pods"];
    let figure = format!("{rounds} times, {} ms at most, {} objects", slowest.as_millis(), left.len());
    report("W10", pass, figure, "100 ms from deletion to creation, 6 objects: those of the last Workspace");
    assert!(pass, "{left:?}");
}

#[test]
fn a_workspace_that_is_deleted_and_created_again_twenty_times_has_children_of_its_own() {
    children_are_of_the_last_one(20);
}

#[test]
#[ignore = "long: make test-long"]
fn a_workspace_that_is_deleted_and_created_again_two_hundred_times_has_children_of_its_own() {
    children_are_of_the_last_one(200);
}
