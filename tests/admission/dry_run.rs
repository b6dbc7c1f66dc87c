//! A dry run gets a verdict and writes nothing.

use std::thread;

use cluster::{Reply, Request};
use serde_json::{Value, json};

use crate::stage::{KINDS, Stage, cluster, kind, workspace, workspaces};
use crate::{TIMEOUT, report};

const DRY: &str = "?dryRun=All";

/// A4: all sorts of requests, accepted and refused ones.
#[test]
fn dry_runs_write_nothing() {
    const CLIENTS: usize = 4;
    let stage = Stage::with(&[]);
    let (api, namespace) = (cluster().api(), cluster().namespace("dry").unwrap());
    let there = workspaces(&namespace);
    api.create(KINDS, &kind("dry")).unwrap().ok().unwrap();
    api.create(&there, &workspace("dry", "dry")).unwrap().ok().unwrap();
    let rested = stage.controller.wait_for("the Workspace to rest", TIMEOUT, || {
        let status = api.get(&format!("{there}/dry")).unwrap().json()["status"].clone();
        if status["state"] == "Paused" { Ok(()) } else { Err(status.to_string()) }
    });
    rested.unwrap();
    let counted = stage.controller.wait_for("the kind to rest", TIMEOUT, || {
        let kind = api.get(&format!("{KINDS}/dry")).unwrap().json();
        let conditions = kind["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let is_protected = kind["metadata"]["finalizers"].is_array();
        if is_ready && is_protected && kind["status"]["workspaces"] == 1 { Ok(()) } else { Err(kind.to_string()) }
    });
    counted.unwrap();

    let before = versions(&there);
    let mark = cluster().audit().mark().unwrap();
    let rounds = 1_000;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let there = &there;
            scope.spawn(move || {
                for round in (client..rounds).step_by(CLIENTS) {
                    let (reply, code) = request(round, there);
                    assert_eq!(reply.status, code, "request {round}: {}", reply.body);
                }
            });
        }
    });
    let requests = cluster().audit().since(mark).unwrap();
    let dry = requests.clone().filter(|request| request.uri.contains("dryRun=All")).count();
    assert_eq!(dry, rounds, "{requests:?}");
    // By any user: the process could also cause writes by others.
    let ours = |request: &Request| request.namespace == namespace || request.name.starts_with("dry");
    let writes = requests.writes().filter(ours);
    report("A4", writes.is_empty(), writes.count(), 0);
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(versions(&there), before);
}

/// One of nine requests, and the code of its answer.
fn request(round: usize, there: &str) -> (Reply, u16) {
    let api = cluster().api();
    let with = |mut object: Value, pointer: &str, value: Value| {
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let fresh = format!("dry-{round}");
    let image = "/spec/podTemplate/options/imageConfig";
    let (reply, code) = match round % 9 {
        0 => (api.create(&format!("{there}{DRY}"), &workspace("dry", &fresh)), 201),
        1 => (api.create(&format!("{there}{DRY}"), &with(workspace("dry", &fresh), image, json!("none"))), 422),
        2 => (api.create(&format!("{there}{DRY}"), &workspace("none", &fresh)), 422),
        3 => (api.merge_patch(&format!("{there}/dry{DRY}"), &json!({"spec": {"paused": false}})), 200),
        4 => (api.delete(&format!("{there}/dry{DRY}")), 200),
        5 => (api.create(&format!("{KINDS}{DRY}"), &kind(&fresh)), 201),
        6 => {
            let env = "/spec/podTemplate/extraEnv/0/value";
            (api.create(&format!("{KINDS}{DRY}"), &with(kind(&fresh), env, json!("{{"))), 422)
        }
        7 => (api.merge_patch(&format!("{KINDS}/dry{DRY}"), &json!({"spec": {"podTemplate": {"ports": null}}})), 200),
        _ => (api.delete(&format!("{KINDS}/dry{DRY}")), 409),
    };
    (reply.unwrap(), code)
}

/// Names and resource versions of all stored objects.
fn versions(there: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stored = [there, KINDS].map(|path| cluster().api().get(path).unwrap().ok().unwrap());
    let items = stored.iter().flat_map(|list| list["items"].as_array().unwrap());
    items.map(|item| (text(&item["metadata"]["name"]), text(&item["metadata"]["resourceVersion"]))).collect()
}
