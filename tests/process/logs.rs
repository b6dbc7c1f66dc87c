//! What log lines carry: the object and the reconcile, or the review, that each is about, and nothing that a user wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::{Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::binary::PROGRAM;
use crate::exactly;

const PATIENCE: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
/// Part of what a user writes, and so of what is rendered out of it.
const SECRET: &str = "hunter2";

/// A kind whose header and variable hold the secret.
fn kind() -> Value {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    let template = &mut kind["spec"]["podTemplate"];
    template["ports"][0]["httpProxy"]["requestHeaders"]["set"] =
        json!({"X-Key": format!("{SECRET}-{{{{ httpPathPrefix \"jupyterlab\" }}}}")});
    template["extraEnv"] = json!([{"name": "KEY", "value": SECRET}]);
    kind
}

/// Creates a Workspace that runs, restarts it once, deletes it, and has a kind refused.
fn live(cluster: &Cluster, controller: &ControllerProcess<'_>) {
    cluster.api().create(KINDS, &kind()).and_then(Reply::ok).unwrap();
    let mut workspace = serde_json::to_value(crds::testing::workspace("default", "lab", "jupyterlab")).unwrap();
    workspace["metadata"] = json!({"name": "lab"});
    cluster.api().create(WORKSPACES, &workspace).and_then(Reply::ok).unwrap();
    let path = format!("{WORKSPACES}/lab");
    let wait_status = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        let waited = controller.wait_for(what, PATIENCE, || {
            let status = cluster.api().get(&path).unwrap().json()["status"].clone();
            if is_so(&status) { Ok(()) } else { Err(status.to_string()) }
        });
        waited.unwrap();
    };
    wait_status("the Workspace to run", &|status| status["state"] == "Running");
    let routes = cluster.api().get("/apis/networking.istio.io/v1/namespaces/default/virtualservices").unwrap();
    assert!(routes.body.contains(&format!("{SECRET}-/workspace")), "the header is rendered: {}", routes.body);
    // Pods are created at whole seconds.
    let at = Timestamp::now() + Duration::from_secs(2);
    let restart = json!({"metadata": {"annotations": {"notebooks.kubeflow.org/restart-at": at.to_string()}}});
    cluster.api().merge_patch(&path, &restart).and_then(Reply::ok).unwrap();
    let reported = controller.wait_for("the Event of the restart", PATIENCE, || {
        let log = controller.log();
        if log.contains("\"reason\":\"Restarted\"") { Ok(()) } else { Err(log.lines().last().unwrap_or("").to_owned()) }
    });
    reported.unwrap();

    let mut refused = kind();
    refused["metadata"]["name"] = json!("refused");
    refused["spec"]["podTemplate"]["extraEnv"][0]["value"] = json!(format!("{{{{ .{SECRET} }}}}"));
    assert_eq!(cluster.api().create(KINDS, &refused).unwrap().status, 422);
    cluster.api().delete(&path).and_then(Reply::ok).unwrap();
    let deleted = controller.wait_for("the Workspace to be gone", PATIENCE, || {
        let reply = cluster.api().get(&path).unwrap();
        if reply.status == 404 { Ok(()) } else { Err(reply.body) }
    });
    deleted.unwrap();
}

fn is_uuid(value: &Value) -> bool {
    let groups: Vec<usize> = value.as_str().unwrap_or_default().split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
}

#[test]
fn every_line_names_its_object_and_its_reconcile_or_review() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let options = ControllerOptions::new(PROGRAM).env("RUST_LOG", "trace,kube=trace");
    let controller = ControllerProcess::start(&cluster, &options).unwrap();
    live(&cluster, &controller);
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let log = controller.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |module: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["target"].as_str().unwrap().starts_with(module)).collect()
    };

    let nested = lines.iter().filter(|line| line.as_object().unwrap().values().any(Value::is_object)).count();
    assert_eq!(nested, 0, "lines are flat");
    // `serde_json` keeps the last of two fields with the same name.
    let twice = log.lines().zip(&lines).filter(|(text, line)| {
        ["namespace", "name", "kind", "message", "reconcileID", "requestID", "error"]
            .iter()
            .any(|field| line.get(field).is_some() && text.matches(&format!("\"{field}\":")).count() > 1)
    });
    assert_eq!(twice.map(|(text, _)| text).collect::<Vec<_>>(), Vec::<&str>::new());

    let reconciles = of("workspaces_controller::reconcile");
    let anonymous: Vec<_> = reconciles
        .iter()
        .filter(|line| !is_uuid(&line["reconcileID"]) || line["name"] == "" || !line["controller"].is_string())
        .collect();
    assert_eq!(anonymous, Vec::<&&Value>::new());
    let mut objects: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in &reconciles {
        let object = format!("{} {} {}", line["controller"], line["namespace"], line["name"]);
        objects.entry(line["reconcileID"].as_str().unwrap()).or_default().insert(object);
    }
    assert!(objects.len() > 5 && objects.values().all(|objects| objects.len() == 1), "{objects:?}");
    let about_the_lab =
        |line: &&&Value| line["controller"] == "workspace" && line["namespace"] == "default" && line["name"] == "lab";
    for (kind, message) in
        [("StatefulSet", "created"), ("VirtualService", "created"), ("Pod", "deleted, to be made anew")]
    {
        let found = |line: &&&Value| line["kind"] == kind && line["message"] == message && line["child"].is_string();
        assert!(reconciles.iter().filter(about_the_lab).any(|line| found(&line)), "{kind} {message} in {reconciles:?}");
    }
    // Events are written after the reconcile that reports them.
    let event = reconciles.iter().find(|line| line["kind"] == "Event" && line["reason"] == "Restarted").unwrap();
    let restart = reconciles.iter().find(|line| line["message"] == "deleted, to be made anew").unwrap();
    assert_eq!(event["reconcileID"], restart["reconcileID"], "{event} {restart}");
    let kinds = reconciles.iter().filter(|line| line["controller"] == "workspacekind");
    assert!(
        kinds.clone().count() > 0 && kinds.clone().all(|line| line["name"] == "jupyterlab" && line["namespace"] == "")
    );
    assert!(of("hyper_util").iter().any(|line| is_uuid(&line["reconcileID"])), "libraries' lines carry it too");

    let reviews = of("webhook::decide");
    for line in &reviews {
        assert!(is_uuid(&line["requestID"]) && line["name"].is_string() && line["operation"].is_string(), "{line}");
    }
    let verdict =
        |name: &str, message: &str| reviews.iter().any(|line| line["name"] == name && line["message"] == message);
    assert!(
        verdict("lab", "accepted") && verdict("jupyterlab", "accepted") && verdict("refused", "refused"),
        "{reviews:?}"
    );

    exactly(
        "logs",
        &format!("lines of {} at trace level with what a user wrote", lines.len()),
        log.matches(SECRET).count(),
        0,
    );
    examples_select_lines(&log);
}

/// Runs the examples of the page about logs on these lines.
fn examples_select_lines(log: &str) {
    let page = std::fs::read_to_string("docs/logs.md").unwrap();
    let examples = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let (head, examples) = examples.split_once("\n\n").unwrap();
    assert!(head.starts_with("logs() {"), "{head}");
    if Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("jq is not installed: the examples of docs/logs.md are not run");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    std::fs::write(&file, log).unwrap();
    let some_id = log.split("\"reconcileID\":\"").nth(1).unwrap().split('"').next().unwrap();
    for example in examples.split("\n\n") {
        let written = example.split("reconcileID == \"").nth(1).and_then(|rest| rest.split('"').next());
        let example = written.map_or(example.to_owned(), |id| example.replace(id, some_id));
        let example = example.replace("team-a", "default").replace("my-notebook", "lab");
        let script = format!("set -euo pipefail\nlogs() {{ cat {}; }}\n{example}", file.display());
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{example}\n{}", String::from_utf8_lossy(&output.stderr));
        let nothing_failed = example.contains("fail most often");
        assert!(nothing_failed || !output.stdout.is_empty(), "{example}");
    }
}
