//! `helm test`: the pod that it makes, run with exactly the arguments and the rights of its account.

use std::process::Command;

use cluster::{Cluster, Reply, gateway_crd};
use serde_json::{Value, json};

use crate::helm::{NAMESPACE, documents, helm, is_hook, manifest, only};

const ACCOUNT: &str = "workspaces-controller-check";

/// The hooks of the release, as helm has stored them.
fn hooks(cluster: &Cluster) -> Vec<Value> {
    let got =
        helm(&["get", "hooks", "workspaces-controller", "--namespace", NAMESPACE], Some(&cluster.api().kubeconfig));
    assert!(got.success, "{}", got.stderr);
    documents(&got.stdout)
}

/// So that there is a gateway to ask for.
fn serve_gateways(cluster: &Cluster) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.api().create(crds, &gateway_crd()).and_then(Reply::ok).unwrap();
    let gateways = "/apis/networking.istio.io/v1/gateways";
    cluster.wait_for("gateways", crate::installed::TIMEOUT, || cluster.api().get(gateways)?.ok()).unwrap();
}

fn pod_path(pod: &Value) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", pod["metadata"]["name"].as_str().unwrap())
}

/// Runs what that pod is to run, as its account, and says in its status how it ended, as a kubelet does.
fn run_in_place_of(cluster: &Cluster, pod: &Value) {
    let path = pod_path(pod);
    cluster
        .wait_for("the pod of the test", crate::installed::TIMEOUT, || {
            let found = cluster.api().get(&path).unwrap();
            let phase = &found.json()["status"]["phase"];
            if phase == "Running" { Ok(()) } else { Err(phase.to_string()) }
        })
        .unwrap();
    let container = &pod["spec"]["containers"][0];
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let account = cluster.as_service_account(NAMESPACE, ACCOUNT).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .args(&args)
        .env_clear()
        .env("KUBECONFIG", &account.kubeconfig)
        .output()
        .unwrap();
    let phase = if output.status.success() { "Succeeded" } else { "Failed" };
    cluster
        .api()
        .merge_patch(&format!("{path}/status"), &json!({"status": {"phase": phase}}))
        .and_then(Reply::ok)
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "ok       admission: a good WorkspaceKind is accepted and a faulty one refused (dry run: nothing is stored)",
        "ok       users' roles: kubeflow-workspaces-admin, kubeflow-workspaces-edit, kubeflow-workspaces-view grant what they should",
        "warning  Istio: there is no Gateway kubeflow/kubeflow-gateway, so the routes of Workspaces lead nowhere",
    ] {
        assert!(stdout.lines().any(|given| given == line), "{line}\n{stdout}");
    }
}

/// What `helm test` runs passes, and needs every right that its account has.
pub fn passes_with_exactly_its_rights(cluster: &Cluster) {
    serve_gateways(cluster);
    let hooks = hooks(cluster);
    let pod = only(&hooks, "Pod");
    let args = ["test", "workspaces-controller", "--namespace", NAMESPACE, "--timeout", "2m"];
    let tested = std::thread::scope(|scope| {
        let helm = scope.spawn(|| helm(&args, Some(&cluster.api().kubeconfig)));
        run_in_place_of(cluster, pod);
        helm.join().unwrap()
    });
    assert!(tested.success, "{}", tested.stderr);
    assert!(tested.stdout.contains("Succeeded"), "{}", tested.stdout);

    let user = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let requests = cluster.audit().all().unwrap().by(&user);
    let refused = requests.clone().filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    for role in hooks.iter().filter(|hook| ["Role", "ClusterRole"].contains(&hook["kind"].as_str().unwrap())) {
        for rule in role["rules"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let (verb, resource) = (verb.as_str().unwrap(), rule["resources"][0].as_str().unwrap());
                assert!(!requests.clone().verb(verb).resource(resource).is_empty(), "unused: {verb} {resource}");
            }
        }
    }
    // Nothing stays of it.
    for hook in hooks.iter().filter(|hook| hook["kind"] != "Job") {
        let get = ["get", "--ignore-not-found", "--output", "name", "-f", "-"];
        let left = cluster.kubectl_stdin(&get, &hook.to_string()).unwrap().ok().unwrap();
        assert_eq!(left, "", "{hook}");
    }
}

#[test]
fn the_check_is_no_pod_of_the_service_and_there_only_for_a_while() {
    let all = documents(&manifest(NAMESPACE, &["check.hook=true", "check.waitSeconds=60", "check.failOn=warning"]));
    let hooks: Vec<Value> = all.iter().filter(|object| is_hook(object)).cloned().collect();
    let kinds: Vec<&str> = hooks.iter().map(|hook| hook["kind"].as_str().unwrap()).collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["ClusterRole", "ClusterRoleBinding", "Job", "Pod", "Role", "RoleBinding", "ServiceAccount"]);
    let (pod, job) = (only(&hooks, "Pod"), only(&hooks, "Job"));
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "post-install,post-upgrade");
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    for hook in &hooks {
        let annotations = &hook["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded");
        assert_ne!(hook["metadata"]["labels"]["app.kubernetes.io/name"], "workspaces-controller");
    }
    let template = &job["spec"]["template"];
    assert_eq!(template["spec"], pod["spec"]);
    assert!(template["metadata"]["labels"]["app"].is_null());
    let args = pod["spec"]["containers"][0]["args"].as_array().unwrap();
    let expected = json!([
        "check",
        "--namespace=kubeflow-workspaces",
        "--wait=60s",
        "--fail-on=warning",
        "--use-istio=true",
        "--istio-gateway=kubeflow/kubeflow-gateway",
        "--port-dialects=portId,id",
        "--leader-elect=true"
    ]);
    assert_eq!(json!(args), expected);
    for set in ["check.enabled=false", "settings.enableWebhooks=false", "settings.onlyRoutes=true"] {
        let none = documents(&manifest(NAMESPACE, &[set])).iter().all(|object| !is_hook(object));
        assert!(none, "{set}");
    }
}
