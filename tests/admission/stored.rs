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

/// What `migrate` finds about objects of that name.
fn migration(name: &str) -> Vec<String> {
    let kubeconfig = cluster().api().kubeconfig.display().to_string();
    let output = program(
        &["migrate", "--check", "--cluster", "--kubeconfig", &kubeconfig, "-o", "json", "--fail-on", "warning"],
        None,
    );
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
