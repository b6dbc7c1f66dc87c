//! `render` and `migrate --check`, from the outside.

use serde_json::{Value, json};

use super::{printed, root};

fn example(file: &str) -> String {
    std::fs::read_to_string(root().join("docs/examples").join(file)).unwrap()
}

/// A kind and a Workspace of it that runs, with a role.
fn stored() -> String {
    let account = "  podTemplate:\n    serviceAccount:\n      clusterRoles:\n        - name: view\n";
    let kind = example("jupyterlab-kind.yaml").replacen("  podTemplate:\n", account, 1);
    format!("{kind}\n---\n{}", example("jupyterlab-workspace.yaml"))
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").skip(1).map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn renders_the_objects_in_the_order_in_which_they_are_applied() {
    let (output, code) = printed(&["render", "-"], &stored());
    assert_eq!(code, 0, "{output}");
    assert!(output.starts_with("# Workspace default/my-notebook\n---\n"), "{output}");
    let objects = documents(&output);
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "RoleBinding", "StatefulSet", "Service", "VirtualService"]);
    assert_eq!(objects[1]["roleRef"]["name"], "view");
    let prefix = &objects[4]["spec"]["http"][0]["match"][0]["uri"]["prefix"];
    assert_eq!(prefix, "/workspace/default/my-notebook/jupyterlab/");
    assert_eq!(printed(&["render", "-"], &stored()).0, output, "the same bytes each time");

    let (output, code) = printed(&["render", "--use-istio=false", "--connect-path-prefix=/n", "-"], &stored());
    let objects = documents(&output);
    assert_eq!((objects.len(), code), (4, 0));
    let env = &objects[2]["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(env["value"], "/n/default/my-notebook/jupyterlab/");
}

#[test]
fn what_cannot_be_rendered_is_reported() {
    let (output, code) = printed(&["render", "-"], &example("jupyterlab-workspace.yaml"));
    let expected = "Workspace default/my-notebook: workspace kind \"jupyterlab\" is not among the inputs\n";
    assert_eq!((output.as_str(), code), (expected, 1));
    let broken = stored().replace("paused: false", "paused: 7");
    let (output, code) = printed(&["render", "-"], &broken);
    assert!(output.starts_with("Workspace default/my-notebook: spec.paused: "), "{output}");
    assert_eq!(code, 1);
    assert_eq!(printed(&["render", "-"], "a: [").1, 3);
    assert_eq!(printed(&["render"], "").1, 2);
}

#[test]
fn lists_workspaces_with_a_restart_pending_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.yaml");
    let kind = example("jupyterlab-kind.yaml").replace("name: NB_PREFIX", "name: OTHER_PREFIX");
    std::fs::write(&new, kind).unwrap();
    let diff = |old: &str| printed(&["render", "--diff", "-", new.to_str().unwrap()], old);
    let (output, code) = diff(&stored());
    let expected = "Workspace default/my-notebook: a restart would be pending\n  \
         spec.containers[main].env[NB_PREFIX]: … is removed\n  \
         spec.containers[main].env[OTHER_PREFIX]: … is added\n\
         1 Workspace: 1 with a restart pending\n";
    assert_eq!((output.as_str(), code), (expected, 1));
    // A paused one has no pod.
    let (output, code) = diff(&stored().replace("paused: false", "paused: true"));
    assert_eq!((output.as_str(), code), ("1 Workspace: 0 with a restart pending\n", 0));
}

/// A filter rule may depend on a Namespace that is not among the inputs.
#[test]
fn filter_rules_that_depend_on_a_missing_namespace_are_a_warning() {
    let rule = "  filterRules:\n  - scope: WORKSPACE_KIND\n    effect: {api: {deny: true}}\n    match:\n    \
                - matchNamespace: {selector: {matchExpressions: [{key: team, operator: NotIn, values: [a]}]}}\n";
    let all = stored().replacen("spec:\n", &format!("spec:\n{rule}"), 1);
    let validate = |input: &str| printed(&["validate", "--enforce-filter-rules", "-"], input);
    let (output, code) = validate(&all);
    assert!(
        output.contains("warning WS009 filter-denied: metadata.namespace: the Namespace is not among the inputs"),
        "{output}"
    );
    assert_eq!(code, 0, "{output}");
    let namespace = |team: &str| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: default, labels: {{team: {team}}}}}}}")
    };
    assert_eq!(validate(&format!("{all}\n---\n{}", namespace("a"))).1, 0);
    let (output, code) = validate(&format!("{all}\n---\n{}", namespace("b")));
    assert!(output.contains("error WS009 filter-denied: spec.kind: Forbidden: "), "{output}");
    assert_eq!(code, 1);
}

/// The StatefulSet that another controller created for the Workspace, with the defaults of the API server.
fn running() -> Value {
    let (output, _) = printed(&["render", "-"], &stored());
    let mut set = documents(&output).swap_remove(2);
    set["metadata"]["name"] = json!("ws-my-notebook-x7k2p");
    let pod = &mut set["spec"]["template"]["spec"];
    pod["dnsPolicy"] = json!("ClusterFirst");
    pod["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    set
}

#[test]
fn a_take_over_without_differences_has_no_findings() {
    let all = format!("{}\n---\n{}", stored(), running());
    let (output, code) = printed(&["migrate", "--check", "--fail-on", "warning", "-"], &all);
    assert_eq!(code, 0, "{output}");
}

#[test]
fn a_take_over_reports_pending_restarts_and_what_admission_would_refuse() {
    let mut set = running();
    set["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("/elsewhere/");
    set["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "OLD", "value": "1"}));
    let faulty =
        stored().replace("imageConfig: jupyter-scipy_v1.10.0\n      podConfig", "imageConfig: gone\n      podConfig");
    let (output, code) = printed(&["migrate", "--check", "-"], &format!("{}\n---\n{set}", stored()));
    assert_eq!(code, 0, "{output}");
    let message = "warning MIG001 take-over-restart: a restart would be pending: \
                   spec.containers[main].env[NB_PREFIX].value: … -> …; \
                   spec.containers[main].env[OLD]: … is removed";
    assert!(output.contains(message), "{output}");
    assert_eq!(printed(&["migrate", "--check", "--fail-on=warning", "-"], &format!("{}\n---\n{set}", stored())).1, 1);
    let (output, code) = printed(&["migrate", "--check", "-"], &faulty);
    assert!(output.contains("error WS007 workspace-image-config: "), "{output}");
    assert_eq!(code, 1);
}

/// What the Go controller leaves behind, what goes with its manifests, and fields that are dropped.
#[test]
fn a_take_over_reports_what_is_left_to_do() {
    let finalizers =
        "  name: jupyterlab\n  finalizers: [example.com/other, notebooks.kubeflow.org/workspacekind-protection]\n";
    let moved = "  podTemplate:\n    httpProxy: {removePathPrefix: true}\n";
    let kind = example("jupyterlab-kind.yaml").replacen("  name: jupyterlab\n", finalizers, 1).replacen(
        "  podTemplate:\n",
        moved,
        1,
    );
    assert!(kind.contains(finalizers) && kind.contains(moved));
    // The status is written anew, whatever it was.
    let kind = format!("{kind}status: {{workspaces: 1, older: true}}\n");
    let role = |name: &str| {
        format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}}}\nrules: []\n")
    };
    let of_the_chart = role("kubeflow-workspaces-view, labels: {app.kubernetes.io/managed-by: Helm}");
    let roles =
        [role("kubeflow-workspaces-edit"), role("kubeflow-edit"), role("workspaces-manager-role"), of_the_chart]
            .join("---\n");
    let (output, code) = printed(&["migrate", "--check", "-o", "json", "-"], &format!("{kind}---\n{roles}"));
    let report: Value = serde_json::from_str(&output).unwrap();
    let found = report["findings"].as_array().unwrap().iter().map(|finding| {
        let text = |field: &str| finding[field].as_str().unwrap();
        let object = &finding["object"];
        let object = format!("{} {}", object["kind"].as_str().unwrap(), object["name"].as_str().unwrap());
        format!("{} {} {object} {}: {}", text("severity"), text("code"), text("field"), text("message"))
    });
    let found: Vec<String> = found.collect();
    assert_eq!(
        found,
        [
            "warning MIG002 WorkspaceKind jupyterlab metadata.finalizers[1]: no Workspace uses the kind, and the Go \
             controller left its finalizer: this controller takes it over and removes it. Where neither of them runs, a deletion \
             of the kind would never end: remove it then, with kubectl patch workspacekind jupyterlab --type=json --patch='[{\"op\": \"test\", \"path\": \"/metadata/finalizers/1\", \"value\": \
             \"notebooks.kubeflow.org/workspacekind-protection\"}, {\"op\": \"remove\", \"path\": \
             \"/metadata/finalizers/1\"}]'",
            "warning MIG003 WorkspaceKind jupyterlab spec.podTemplate.httpProxy: dropped once the CRDs of this version are \
             installed: unknown field \"httpProxy\", did you mean spec.podTemplate.ports[].httpProxy?",
            "warning MIG004 ClusterRole kubeflow-workspaces-edit metadata.name: users have their rights on Workspaces from \
             this ClusterRole, which belongs to the Go controller's manifests: keep it when you remove those, and the chart takes it \
             over with helm install --take-ownership",
        ]
    );
    assert_eq!(code, 0);
    let lines: Vec<&str> = kind.lines().collect();
    let place = |finding: &Value, line: &str| {
        let at = usize::try_from(finding["line"].as_u64().unwrap()).unwrap() - 1;
        assert!(lines[at].contains(line), "{}: {finding}", lines[at]);
    };
    place(&report["findings"][0], "workspacekind-protection");
    place(&report["findings"][1], "httpProxy");

    // A warning does not make a test of JUnit fail, also if it is about an object that is not checked itself.
    let (output, _) = printed(&["migrate", "--check", "-o", "junit", "-"], &roles);
    assert!(output.contains("tests=\"1\" failures=\"0\"") && output.contains("MIG004"), "{output}");
}
