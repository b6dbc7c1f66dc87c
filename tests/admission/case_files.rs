//! Every case file of `tests/cases`, through the API server: its objects are stored, its request is sent.

use std::path::Path;
use std::time::Duration;

use cluster::Reply;
use crds::ports::Dialect;
use serde_json::{Value, json};
use webhook::testing::{Case, Expected, LIMITED_USER, load};
use webhook::{Policy, WORKSPACE_PATH};

use crate::stage::{KINDS, Stage, cluster, fixture, refusal_message, workspaces};
use crate::{TIMEOUT, report};

/// Keeps a kind in the state of being deleted.
const HOLD: &str = "case-files.example.com/hold";

/// How long the caches may take to observe the end of the case before.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the API server answered.
#[derive(Clone, Debug, PartialEq)]
enum CaseAnswer {
    /// Admitted or refused by the webhooks.
    Reviewed(Expected),
    /// It did not call them: the schema or something else refused the object. A case must not depend on that: such
    /// objects belong to the case files of the schemas.
    NotCalled { code: u16, message: String },
}

#[test]
fn every_case_file_gets_its_answer_from_the_api_server() {
    let mut cases = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap();
    let all = cases.len();
    assert!(all > 70, "{all}");
    let mut wrong = Vec::new();
    while let Some(first) = cases.first() {
        // A process for each set of settings.
        let policy = first.policy.clone();
        let (these, others) = cases.into_iter().partition::<Vec<_>, _>(|case| case.policy == policy);
        cases = others;
        let stage = Stage::admission_only(&arguments(&policy));
        wrong.extend(these.iter().filter_map(|case| run(case).err()));
        drop(stage);
    }
    report("case-files", wrong.is_empty(), format!("{}/{all}", all - wrong.len()), format!("{all}/{all}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The settings as arguments.
fn arguments(policy: &Policy) -> Vec<String> {
    let dialects: Vec<String> = policy.dialects.iter().map(ToString::to_string).collect();
    let mut arguments = vec![format!("--port-dialects={}", dialects.join(","))];
    let prefixes = [Dialect::PortId, Dialect::Id].map(|dialect| policy.paths.prefix(dialect));
    if prefixes[0] == prefixes[1] {
        arguments.push(format!("--connect-path-prefix={}", prefixes[0]));
    }
    arguments.push(format!("--check-cluster-role-bind={}", policy.cluster_role_bind.as_str()));
    arguments.push(format!("--protected-pod-metadata={}", policy.protected_pod_metadata.patterns().join(",")));
    arguments.push(format!("--enforce-filter-rules={}", policy.enforce_filter_rules));
    arguments.push(format!("--enforce-can-mount={}", policy.enforce_can_mount));
    arguments
}

/// Prepares the objects, sends the request, cleans up.
fn run(case: &Case) -> Result<(), String> {
    let mut stored = case.others.clone();
    stored.extend(case.kinds.iter().cloned());
    stored.extend(case.workspaces.iter().cloned());
    stored.extend(case.old.clone());
    stored.iter().for_each(store);
    case.object.iter().for_each(ensure_namespace);
    if let Some(roles) = &case.may_bind {
        limit(roles);
    }
    let outcome = ask(case).map_err(|why| format!("{}: {why}", case.name));
    stored.extend(case.object.clone());
    stored.iter().for_each(remove);
    outcome
}

/// First as a dry run, which must get the same answer.
fn ask(case: &Case) -> Result<(), String> {
    let expected = CaseAnswer::Reviewed(case.expected.clone());
    // A Workspace may have been refused because the cache still has objects of the last case, or because the API server
    // has not observed new RBAC objects yet.
    let patience = if case.path == WORKSPACE_PATH || case.may_bind.is_some() { PATIENCE } else { Duration::ZERO };
    let dry = cluster().wait_for("the answer to a dry run", patience, || {
        let answer = case_answer(&send(case, "?dryRun=All"));
        if answer == expected { Ok(()) } else { Err(format!("{answer:#?}\ninstead of {expected:#?}")) }
    });
    dry.map_err(|error| error.to_string())?;
    let answer = case_answer(&send(case, ""));
    if answer != expected {
        return Err(format!("after the dry run: {answer:#?}\ninstead of {expected:#?}"));
    }
    Ok(())
}

fn send(case: &Case, query: &str) -> Reply {
    let limited = case.may_bind.as_ref().map(|_| cluster().api_as(LIMITED_USER).unwrap());
    let api = limited.as_ref().unwrap_or(cluster().api());
    let object = case.object.as_ref();
    let reply = match (&case.old, object) {
        (None, Some(object)) => api.create(&format!("{}{query}", collection(object)), object),
        (Some(old), Some(object)) => {
            let present = api.get(&path(old)).unwrap().ok().unwrap();
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
            api.replace(&format!("{}{query}", path(old)), &object)
        }
        (Some(old), None) => api.delete(&format!("{}{query}", path(old))),
        (None, None) => panic!("{} asks nothing", case.name),
    };
    reply.unwrap()
}

fn case_answer(reply: &Reply) -> CaseAnswer {
    let warnings = reply.warnings.clone();
    if reply.status < 400 {
        return CaseAnswer::Reviewed(Expected { refused: None, causes: Vec::new(), warnings });
    }
    let status = reply.json();
    if refusal_message(reply).is_none() {
        let message = status["message"].as_str().unwrap_or(&reply.body).to_owned();
        return CaseAnswer::NotCalled { code: reply.status, message };
    }
    assert_eq!(status["code"], reply.status);
    let causes = status["details"]["causes"].clone();
    let causes = serde_json::from_value(causes).unwrap_or_else(|error| panic!("{error}: {status:#}"));
    CaseAnswer::Reviewed(Expected { refused: Some(reply.status), causes, warnings })
}

/// Allows the limited user to do anything with kinds, and to bind only these ClusterRoles.
fn limit(roles: &[String]) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": LIMITED_USER},
        "rules": [
            {"apiGroups": ["kubeflow.org"], "resources": ["workspacekinds"], "verbs": ["get", "create", "update"]},
            {
                "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"],
                "resourceNames": roles,
            },
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": LIMITED_USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": LIMITED_USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": LIMITED_USER}],
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}/{LIMITED_USER}");
        fixture().apply(&path, "tests", &object).unwrap().ok().unwrap();
    }
}

fn collection(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    match object["kind"].as_str().unwrap() {
        "WorkspaceKind" => KINDS.to_owned(),
        "Workspace" => workspaces(namespace),
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "Secret" => format!("/api/v1/namespaces/{namespace}/secrets"),
        "PersistentVolumeClaim" => format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims"),
        "Notebook" => format!("/apis/kubeflow.org/v1/namespaces/{namespace}/notebooks"),
        other => panic!("case files store no {other}"),
    }
}

fn path(object: &Value) -> String {
    format!("{}/{}", collection(object), object["metadata"]["name"].as_str().unwrap())
}

/// Stores an object that the case expects, without calling the webhooks.
fn store(object: &Value) {
    let api = fixture();
    let mut object = object.clone();
    let deleting = object["metadata"].as_object_mut().unwrap().remove("deletionTimestamp").is_some();
    if deleting {
        object["metadata"]["finalizers"] = json!([HOLD]);
    }
    ensure_namespace(&object);
    if object["kind"] == "Namespace" {
        // It may exist, and it is kept: deleting a namespace takes long.
        api.apply(&path(&object), "tests", &object).unwrap().ok().unwrap();
        return;
    }
    api.create(&collection(&object), &object).unwrap().ok().unwrap();
    if deleting {
        api.delete(&path(&object)).unwrap().ok().unwrap();
    }
}

/// Creates the namespace of a Workspace, if there is none.
fn ensure_namespace(object: &Value) {
    let Some(name) = object["metadata"]["namespace"].as_str() else { return };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let reply = fixture().create("/api/v1/namespaces", &namespace).unwrap();
    assert!(matches!(reply.status, 201 | 409), "{}", reply.body);
}

/// Deletes it again, if it was created.
fn remove(object: &Value) {
    let (api, path) = (fixture(), path(object));
    if object["kind"] == "Namespace" {
        return;
    }
    if api.get(&path).unwrap().status == 404 {
        return;
    }
    api.merge_patch(&path, &json!({"metadata": {"finalizers": null}})).unwrap();
    api.delete(&path).unwrap();
    let gone = cluster().wait_for("an object to be gone", TIMEOUT, || match api.get(&path).unwrap().status {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
    gone.unwrap();
}
