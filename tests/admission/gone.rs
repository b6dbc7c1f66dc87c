//! Everything can be deleted when the process is gone.

use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterOptions, ControllerProcess};

use crate::report;
use crate::stage::{KINDS, kind, options, workspace, workspaces};

/// For all steps together.
const LIMIT: Duration = Duration::from_mins(1);

/// A10: the documented steps, the webhook configuration first.
#[test]
fn without_the_process_everything_can_be_removed() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let namespace = cluster.namespace("gone").unwrap();
    let controller = ControllerProcess::start(&cluster, &options()).unwrap();
    cluster.api().create(KINDS, &kind("gone")).unwrap().ok().unwrap();
    let there = workspaces(&namespace);
    for name in ["paused", "running"] {
        let mut workspace = workspace("gone", name);
        workspace["spec"]["paused"] = (name == "paused").into();
        cluster.api().create(&there, &workspace).unwrap().ok().unwrap();
    }
    let made = controller.wait_for("the children to be there", LIMIT, || {
        let sets = cluster.api().get(&format!("/apis/apps/v1/namespaces/{namespace}/statefulsets")).unwrap().json();
        if sets["items"].as_array().is_some_and(|sets| sets.len() == 2) { Ok(()) } else { Err(sets.to_string()) }
    });
    made.unwrap();
    controller.kill().unwrap();
    controller.wait_exit(LIMIT).unwrap();
    // The webhook cannot be called any more, so requests fail, as failurePolicy says.
    let refused = cluster.api().delete(&format!("{KINDS}/gone")).unwrap();
    assert_eq!(refused.status, 500, "{}", refused.body);

    let start = Instant::now();
    let without_finalizers = r#"--patch={"metadata":{"finalizers":null}}"#;
    let steps: [&[&str]; 6] = [
        &["delete", "validatingwebhookconfiguration", "workspaces-validating-webhook-configuration"],
        &["delete", "workspaces", "--all", "--all-namespaces"],
        &["patch", "workspacekind/gone", "--type=merge", without_finalizers],
        &["delete", "workspacekinds", "--all"],
        &["delete", "crd", "workspaces.kubeflow.org", "workspacekinds.kubeflow.org"],
        &["delete", "namespace", &namespace],
    ];
    for step in steps {
        cluster.kubectl(step).unwrap().ok().unwrap();
    }
    let taken = start.elapsed();
    report("A10", taken < LIMIT, format!("{} s", taken.as_secs()), "60 s");
    assert!(taken < LIMIT, "{taken:?}");
}
