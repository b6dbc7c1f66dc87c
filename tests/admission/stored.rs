//! `migrate --check --cluster` and `render`, held against what the controller does in a cluster.

use std::process::Command;

use cluster::Output;
use serde_json::{Value, json};

use crate::TIMEOUT;
use crate::stage::{KINDS, Stage, cluster, fixture, kind, workspace, workspaces};

/// Runs the program with this input.
fn program(arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"));
    command.args(arguments).env_clear();
    cluster::run(command, input).unwrap()
}

/// The output of `migrate --check --cluster`.
fn check_cluster(format: &str) -> Output {
    let kubeconfig = cluster().api().kubeconfig.display().to_string();
    let arguments =
        ["migrate", "--check", "--cluster", "--kubeconfig", &kubeconfig, "-o", format, "--fail-on", "warning"];
    program(&arguments, None)
}

/// What `migrate` finds about objects of that name.
fn migration(name: &str) -> Vec<String> {
    let output = check_cluster("json");
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings = report["findings"].as_array().unwrap().iter();
    let of_name = findings.filter(|finding| finding["object"]["name"] == name);
    of_name
        .map(|finding| format!("{} {}", finding["code"].as_str().unwrap(), finding["message"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_is_rendered_is_what_the_controller_made_and_a_take_over_sees_the_rest() {
    let stage = Stage::with(&[]);
    let namespace = cluster().namespace("stored").unwrap();
    let kind = kind("stored");
    cluster().api().create(KINDS, &kind).unwrap().ok().unwrap();
    let mut object = workspace("stored", "stored");
    object["spec"]["paused"] = json!(false);
    let object = cluster().api().create(&workspaces(&namespace), &object).unwrap().ok().unwrap();
    let sets = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets");
    let made = stage.controller.wait_for("the StatefulSet", TIMEOUT, || {
        cluster().api().get(&sets).unwrap().json()["items"].as_array()?.first().cloned()
    });
    let made = made.unwrap();

    let rendered = program(&["render", "-"], Some(&format!("{kind}\n---\n{object}"))).ok().unwrap();
    let set: Vec<&str> = rendered.split("\n---\n").filter(|document| document.contains("kind: StatefulSet")).collect();
    let set: Value = serde_saphyr::from_str(set[0]).unwrap();
    assert_eq!(set["metadata"]["name"], made["metadata"]["name"]);
    assert_eq!(set["metadata"]["ownerReferences"], made["metadata"]["ownerReferences"]);
    assert_eq!(migration("stored"), [""; 0]);

    // Another controller would have set this, and it would be removed.
    let name = made["metadata"]["name"].as_str().unwrap();
    let env = ["set", "env", &format!("statefulset/{name}"), "-n", &namespace, "OLD=1"];
    cluster().kubectl(&env).unwrap().ok().unwrap();
    let found = migration("stored");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("MIG001 a restart would be pending: spec.containers[main].env[OLD]: "), "{found:?}");

    let mut faulty = kind.clone();
    faulty["metadata"]["name"] = json!("stored-faulty");
    faulty["spec"]["podTemplate"]["extraEnv"][0]["value"] = json!("{{");
    fixture().create(KINDS, &faulty).unwrap().ok().unwrap();
    let found = migration("stored-faulty");
    assert!(found.len() == 1 && found[0].starts_with("WSK002 Invalid value: \"{{\""), "{found:?}");
    fixture().delete(&format!("{KINDS}/stored-faulty")).unwrap().ok().unwrap();
}

/// The API server has filled in the defaults; with a name that does not exist the nearest one is suggested.
#[test]
fn the_rules_of_a_stored_kind_are_explained() {
    // No other process takes over the webhooks meanwhile.
    let _stage = Stage::with(&[]);
    let mut object = kind("explained-rules");
    object["spec"]["podTemplate"]["activityProbe"] = json!({"podExec": {"script": "#!/bin/sh\n"}});
    object["spec"]["activityRules"] =
        json!([{"config": {"secondsSinceActive": 7200}, "effect": {"pauseWorkspace": true}}]);
    fixture().create(KINDS, &object).unwrap().ok().unwrap();
    let kubeconfig = cluster().api().kubeconfig.display().to_string();
    let explain = |name: &str| program(&["explain-rules", name, "--idle=1h", "--kubeconfig", &kubeconfig], None);
    let output = explain("explained-rules").ok().unwrap();
    let expected = "spec.activityRules[0] pauses the Workspace once it has not been active for 2h.\n\
                    Idle for 1h, it may be paused in 1h.\n\
                    It is paused by a successful probe that finds no activity. It is probed with a script every 1h, and when \
                    it may be paused, but not more often than every 5m.\n";
    assert!(output.ends_with(expected), "{output}");
    let output = explain("explained-rule");
    let expected = "error: KIND=\"explained-rule\": no such WorkspaceKind, did you mean \"explained-rules\"?\n";
    assert_eq!(output.stderr, expected, "{output:?}");
    fixture().delete(&format!("{KINDS}/explained-rules")).unwrap().ok().unwrap();
}

const KIND_CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspacekinds.kubeflow.org";

/// Waits until the API server stores the unknown field of a kind, or drops it: it notices a changed CRD a moment later.
fn wait_until_kept(kind: &Value, wanted: bool) {
    let seen = cluster().wait_for("the changed CRD", TIMEOUT, || {
        let stored = fixture().create(&format!("{KINDS}?dryRun=All"), kind).and_then(cluster::Reply::ok);
        let stored = stored.map_err(|error| error.to_string())?;
        let is_kept = stored["spec"]["podTemplate"]["httpProxy"].is_object();
        if is_kept == wanted { Ok(()) } else { Err(format!("kept: {is_kept}")) }
    });
    seen.unwrap();
}

/// What the Go controller leaves behind. Its CRDs have fields that ours do not: here ours keep all of them for a moment.
#[test]
fn a_take_over_names_finalizers_roles_and_fields_and_counts_objects() {
    // Its webhooks spare the fixture, unlike those that an earlier test may have left.
    let _stage = Stage::admission_only(&[]);
    let keep = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/podTemplate/x-kubernetes-preserve-unknown-fields";
    cluster().api().json_patch(KIND_CRD, &json!([{"op": "add", "path": keep, "value": true}])).unwrap().ok().unwrap();
    let mut kind = kind("left-behind");
    kind["metadata"]["finalizers"] = json!(["notebooks.kubeflow.org/workspacekind-protection"]);
    kind["spec"]["podTemplate"]["httpProxy"] = json!({"removePathPrefix": true});
    wait_until_kept(&kind, true);
    fixture().create(KINDS, &kind).unwrap().ok().unwrap();
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "kubeflow-workspaces-view"},
        "rules": [{"apiGroups": ["kubeflow.org"], "resources": ["workspaces"], "verbs": ["get", "list", "watch"]}],
    });
    fixture().create(roles, &role).unwrap().ok().unwrap();

    let found = migration("left-behind");
    let codes: Vec<&str> = found.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(codes, ["MIG002", "MIG003"], "{found:#?}");
    let found_role = migration("kubeflow-workspaces-view");
    assert!(found_role.len() == 1 && found_role[0].starts_with("MIG004 "), "{found_role:#?}");
    let text = check_cluster("text");
    let summary = text.stdout.lines().last().unwrap();
    assert!(summary.contains(" objects, ") && summary.contains(" of other kinds: 0 errors, "), "{summary}");
    assert!(!summary.contains("file") && !summary.contains("skipped"), "{summary}");

    // The command of the message, as an admin pastes it.
    let (_, command) = found[0].split_once("with kubectl ").unwrap();
    let (arguments, patch) = command.split_once(" --patch='").unwrap();
    let patch = format!("--patch={}", patch.trim_end_matches('\''));
    let arguments: Vec<&str> = arguments.split(' ').chain([patch.as_str()]).collect();
    cluster().kubectl(&arguments).unwrap().ok().unwrap();
    let stored = format!("{KINDS}/left-behind");
    assert_eq!(fixture().get(&stored).unwrap().ok().unwrap()["metadata"]["finalizers"], Value::Null);
    fixture().delete(&stored).unwrap().ok().unwrap();
    assert_eq!(fixture().get(&stored).unwrap().status, 404);

    fixture().delete(&format!("{roles}/kubeflow-workspaces-view")).unwrap().ok().unwrap();
    cluster().api().json_patch(KIND_CRD, &json!([{"op": "remove", "path": keep}])).unwrap().ok().unwrap();
    wait_until_kept(&kind, false);
}
