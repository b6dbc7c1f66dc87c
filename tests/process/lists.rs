//! How the first list of a watch comes, as the API server's audit log has it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{CONTROLLER_USER, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply, Request};
use serde_json::{Value, json};

use crate::binary::PROGRAM;

const PATIENCE: Duration = Duration::from_mins(2);
const GROUP: &str = "/apis/kubeflow.org/v1beta1";
/// What is watched and served.
const WATCHED: [&str; 7] =
    ["pods", "serviceaccounts", "services", "statefulsets", "virtualservices", "workspacekinds", "workspaces"];

/// By resource: each list and watch, as `list 200`, `watch 200` or `streamed list 200`, in their order. Without the lists of one
/// object by which the process checks, until it is ready, that it may list.
fn reads(requests: &[Request]) -> BTreeMap<&str, Vec<String>> {
    let mut reads = BTreeMap::<_, Vec<_>>::new();
    for request in requests.iter().filter(|request| WATCHED.contains(&&*request.resource)) {
        let verb = match &*request.verb {
            "watch" if request.uri.contains("sendInitialEvents=true") => "streamed list",
            "list" if request.uri.ends_with("?limit=1") => continue,
            verb @ ("list" | "watch") => verb,
            _ => continue,
        };
        reads.entry(&*request.resource).or_default().push(format!("{verb} {}", request.code));
    }
    reads
}

/// A start with a Workspace that runs already, and what was read for it; then another Workspace.
fn start(api_server_args: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let cluster = Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap();
    let kind = serde_json::to_value(crds::testing::workspace_kind("lab")).unwrap();
    cluster.api().create(&format!("{GROUP}/workspacekinds"), &kind).and_then(Reply::ok).unwrap();
    let options = ControllerOptions { register_webhooks: false, ..ControllerOptions::new(PROGRAM) };
    let run = |controller: &ControllerProcess<'_>, name: &str| {
        let mut workspace = serde_json::to_value(crds::testing::workspace("default", name, "lab")).unwrap();
        workspace["metadata"] = json!({"name": name});
        let path = format!("{GROUP}/namespaces/default/workspaces");
        cluster.api().create(&path, &workspace).and_then(Reply::ok).unwrap();
        let running = controller.wait_for("the Workspace to run", PATIENCE, || {
            let status = cluster.api().get(&format!("{path}/{name}")).unwrap().json()["status"].clone();
            if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
        });
        running.unwrap();
    };
    let first = ControllerProcess::start(&cluster, &options).unwrap();
    run(&first, "before");
    assert_eq!(first.terminate(PATIENCE).unwrap(), Exit::Code(0));

    let mark = cluster.audit().mark().unwrap();
    let controller = ControllerProcess::start(&cluster, &options).unwrap();
    run(&controller, "after");
    // Watches are in the log once they have ended.
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let is_trouble = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
    let log = controller.log();
    let trouble: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_trouble).collect();
    assert!(trouble.is_empty(), "{trouble:?}");
    let requests = cluster.audit().since(mark).unwrap().by(CONTROLLER_USER);
    reads(&requests.0).into_iter().map(|(resource, reads)| (resource.to_owned(), reads)).collect()
}

fn each(expected: &[&str]) -> BTreeMap<String, Vec<String>> {
    let expected = || expected.iter().map(|&read| read.to_owned()).collect();
    WATCHED.iter().map(|&resource| (resource.to_owned(), expected())).collect()
}

#[test]
fn a_start_reads_each_resource_by_one_watch() {
    assert_eq!(start(Vec::new()), each(&["streamed list 200"]));
}

#[test]
fn an_api_server_that_streams_no_lists_is_asked_for_pages() {
    let args = vec!["--feature-gates=WatchList=false".to_owned()];
    // The log has them in the order of their ends.
    assert_eq!(start(args), each(&["streamed list 422", "list 200", "watch 200"]));
}
