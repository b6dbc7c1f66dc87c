//! An API server that sends neither events nor bookmarks, as one does for a resource that nobody changes while etcd
//! reports no progress.

use std::time::Duration;

use cluster::{Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply};
use serde_json::{Value, json};

use crate::binary::PROGRAM;

/// Longer than the silence after which a watch is resumed.
const PATIENCE: Duration = Duration::from_mins(3);
const GROUP: &str = "/apis/kubeflow.org/v1beta1";

#[test]
fn a_quiet_watch_is_resumed_without_a_warning_and_misses_nothing() {
    // Without its cache the API server only passes on what etcd reports.
    let api_server_args = vec!["--watch-cache=false".to_owned()];
    let cluster = Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap();
    let options = ControllerOptions { register_webhooks: false, ..ControllerOptions::new(PROGRAM) };
    let options = options.env("RUST_LOG", "workspaces_controller=debug");
    let controller = ControllerProcess::start(&cluster, &options).unwrap();
    let lines = || {
        let log = controller.log();
        log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>()
    };
    let resumed = controller.wait_for("quiet watches to be resumed", PATIENCE, || {
        let resumed: Vec<String> = lines()
            .iter()
            .filter(|line| line["message"] == "resuming the watch")
            .map(|line| format!("{}: {}", line["resource"].as_str().unwrap(), line["reason"].as_str().unwrap()))
            .collect();
        let silent = |resource: &str| format!("{resource}: neither event nor bookmark for 75 s");
        let all = ["workspacekinds", "workspaces", "statefulsets"].map(silent);
        if all.iter().all(|line| resumed.contains(line)) { Ok(()) } else { Err(resumed.join("\n")) }
    });
    resumed.unwrap();

    let kind = serde_json::to_value(crds::testing::workspace_kind("quiet")).unwrap();
    cluster.api().create(&format!("{GROUP}/workspacekinds"), &kind).and_then(Reply::ok).unwrap();
    let mut workspace = serde_json::to_value(crds::testing::workspace("default", "lab", "quiet")).unwrap();
    workspace["metadata"] = json!({"name": "lab"});
    let workspaces = format!("{GROUP}/namespaces/default/workspaces");
    cluster.api().create(&workspaces, &workspace).and_then(Reply::ok).unwrap();
    let running = controller.wait_for("the Workspace to run", PATIENCE, || {
        let status = cluster.api().get(&format!("{workspaces}/lab")).unwrap().json()["status"].clone();
        if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
    });
    running.unwrap();
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let warned: Vec<Value> =
        lines().into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect();
    assert!(warned.is_empty(), "{warned:?}");
}
