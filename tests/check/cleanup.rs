//! What an installation leaves behind is taken away, and nothing else.

use std::time::Duration;

use cluster::{
    ADMIN, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, GoElector, Reply, Signal, wait_for,
};
use serde_json::{Value, json};

use crate::site::{CONFIGURATION, Run, TIMEOUT, run_on};

const NS: &str = cluster::CONTROLLER_NAMESPACE;
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kubeflow-workspaces/leases";
const SECRETS: &str = "/api/v1/namespaces/kubeflow-workspaces/secrets";
const KIND: &str = "/apis/kubeflow.org/v1beta1/workspacekinds/jupyterlab";
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
const ROUTES: &str = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";

fn cleanup(cluster: &Cluster, args: &[&str]) -> Run {
    run_on(cluster, &[&["cleanup"], args].concat(), ADMIN)
}

fn start(cluster: &Cluster) -> ControllerProcess<'_> {
    let options = ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"));
    ControllerProcess::start(cluster, &options.arg("--leader-elect").env("POD_NAMESPACE", NS)).unwrap()
}

fn list(cluster: &Cluster, path: &str) -> Vec<Value> {
    cluster.api().get(path).and_then(Reply::ok).unwrap()["items"].as_array().unwrap().clone()
}

/// A Workspace with its route and its kind's finalizer, and what others have in the same places.
fn make_everything(cluster: &Cluster, controller: &ControllerProcess<'_>) {
    let kind = include_str!("../../docs/examples/jupyterlab-kind.yaml");
    cluster.api().create_yaml(KINDS, kind).and_then(Reply::ok).unwrap();
    let workspace = json!({
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "metadata": {"name": "lab"},
        "spec": {"kind": "jupyterlab", "podTemplate": {
            "options": {"imageConfig": "jupyter-scipy_v1.10.0", "podConfig": "small"}, "volumes": {},
        }},
    });
    cluster.api().create(WORKSPACES, &workspace).and_then(Reply::ok).unwrap();
    let settled = controller.wait_for("route and finalizer", TIMEOUT, || {
        let kind = cluster.api().get(KIND).unwrap().json();
        (!list(cluster, ROUTES).is_empty() && kind["metadata"]["finalizers"].is_array()).then_some(())
    });
    settled.unwrap();
    // What others have: a route, a Secret, a Lease.
    let foreign = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {},
        "metadata": {"name": "foreign", "labels": {"notebooks.kubeflow.org/workspace-name": "lab"}},
    });
    cluster.api().create(ROUTES, &foreign).and_then(Reply::ok).unwrap();
    for (name, annotations) in [
        ("users", json!({})),
        ("webhook-server-cert", json!({"cert-manager.io/certificate-name": "workspaces-serving-cert"})),
    ] {
        let secret = json!({"metadata": {"name": name, "annotations": annotations}});
        cluster.api().create(SECRETS, &secret).and_then(Reply::ok).unwrap();
    }
}

/// Without a process and its webhook.
fn nothing_hangs(cluster: &Cluster) {
    for path in [&format!("{WORKSPACES}/lab"), KIND] {
        cluster.api().delete(path).and_then(Reply::ok).unwrap();
    }
    assert!(list(cluster, KINDS).is_empty());
}

/// While it leads, by a pod of the Deployment `alone`.
fn another_program_keeps_its_finalizers(cluster: &Cluster, stays: &str) {
    let finalizers = |of: Value| json!({"metadata": {"finalizers": of}});
    let ours = finalizers(json!(["notebooks.kubeflow.org/workspacekind-protection"]));
    cluster.api().merge_patch(KIND, &ours).and_then(Reply::ok).unwrap();
    let (name, times) = ("kubeflow-workspace-controller", [15, 10, 2].map(Duration::from_secs));
    let other = GoElector::start(cluster, ADMIN, (NS, name), "alone-0", times).unwrap();
    wait_for(
        "the other program to lead",
        TIMEOUT,
        || if other.leads() { Ok(()) } else { Err("it does not".to_owned()) },
    )
    .unwrap();
    let run = cleanup(cluster, &["--yes"]);
    let kept = format!(
        "keep 1 finalizer of WorkspaceKinds: the controller that leads keeps them\n\
         keep Lease {NS}/{name}: written by another controller\n{stays}\
         0 done, 0 failed; the rest goes with: helm uninstall workspaces-controller --namespace {NS}\n"
    );
    assert_eq!((run.code, run.stdout), (Some(0), kept), "{}", run.stderr);
    other.signal(Signal::TERM).unwrap();
    other.wait_exit(TIMEOUT).unwrap();
    cluster.api().delete(&format!("{LEASES}/{name}")).and_then(Reply::ok).unwrap();
    cluster.api().merge_patch(KIND, &finalizers(Value::Null)).and_then(Reply::ok).unwrap();
}

#[test]
fn what_is_left_behind_goes_and_nothing_else() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let controller = start(&cluster);
    make_everything(&cluster, &controller);
    let of_chart = json!({"metadata": {"labels": {"helm.sh/chart": "workspaces-controller-0.1.0"}}});

    let route = list(&cluster, ROUTES).into_iter().find(|route| route["metadata"]["name"] != "foreign").unwrap();
    let route = route["metadata"]["name"].as_str().unwrap();
    let held = cluster.api().get(&format!("{LEASES}/kubeflow-workspace-controller")).unwrap().json();
    let holder = held["spec"]["holderIdentity"].as_str().unwrap();
    let named = format!("the Lease {NS}/kubeflow-workspace-controller");
    let waits = format!("note: {named} names {holder}: waiting 15 s to see whether it is renewed\n");
    let refusal = format!(
        "{named} is held by {holder}: stop that controller first (scale its Deployment to 0, or helm uninstall), or say --force\n"
    );
    let configuration = "delete ValidatingWebhookConfiguration workspaces-validating-webhook-configuration\n";
    let not_ours = "keep ValidatingWebhookConfiguration workspaces-validating-webhook-configuration: not made by this chart; if nothing \
        serves it, every change of a Workspace is refused until it is deleted (kubectl delete validatingwebhookconfiguration \
        workspaces-validating-webhook-configuration)\n";
    let rest = format!(
        "remove the finalizer notebooks.kubeflow.org/workspacekind-protection of WorkspaceKind jupyterlab\n\
         delete VirtualService default/{route}\n\
         delete Lease {NS}/kubeflow-workspace-controller\n\
         delete Secret {NS}/webhook-server-cert\n"
    );
    let stays = "keep 1 WorkspaceKind, 1 Workspace, their pods and volumes, the CRDs, and the roles of users\n";
    let expected = |code: i32, stdout: String, stderr: String| Run { code: Some(code), stdout, stderr };
    let dry = "4 to do (dry run: nothing was changed)\n";
    assert_eq!(
        cleanup(&cluster, &["--dry-run"]),
        expected(
            0,
            format!("{rest}{not_ours}{stays}{dry}"),
            format!("{waits}note: with --yes this would be refused, since {refusal}")
        )
    );
    cluster.api().merge_patch(CONFIGURATION, &of_chart).and_then(Reply::ok).unwrap();
    let mark = cluster.audit().mark().unwrap();
    let all = format!("{configuration}{rest}{stays}");
    assert_eq!(cleanup(&cluster, &["--yes"]), expected(3, all.clone(), format!("{waits}error: {refusal}")));
    let writes = cluster.audit().since(mark).unwrap().by(ADMIN).writes();
    assert!(writes.is_empty(), "{writes:?}");

    // With force, beside a controller that runs: it says what is made again.
    let forced = cleanup(&cluster, &["--yes", "--force"]);
    assert_eq!(forced.code, Some(3), "{forced:#?}");
    let again = format!(
        "error: delete VirtualService default/{route}: it is there again, so a controller still runs; stop it, and run this again\n"
    );
    assert!(forced.stderr.ends_with(&again), "{forced:#?}");

    controller.kill().unwrap();
    controller.wait_exit(TIMEOUT).unwrap();
    let keeps = cleanup(&cluster, &["--dry-run", "--keep-routes"]).stdout;
    assert!(
        keeps.contains("keep 1 VirtualServices, as --keep-routes says\n") && !keeps.contains("delete VirtualService"),
        "{keeps}"
    );
    let done = cleanup(&cluster, &["--yes"]);
    assert_eq!(
        (
            done.code,
            done.stdout.contains(
                " 0 failed; the rest goes with: helm uninstall workspaces-controller --namespace kubeflow-workspaces\n"
            )
        ),
        (Some(0), true),
        "{done:#?}"
    );
    assert_eq!(list(&cluster, ROUTES).len(), 1);
    assert!(cluster.api().get(KIND).unwrap().json()["metadata"]["finalizers"].is_null());
    let secrets: Vec<Value> =
        list(&cluster, SECRETS).into_iter().map(|secret| secret["metadata"]["name"].clone()).collect();
    assert_eq!(secrets, [json!("users")]);
    assert!(list(&cluster, LEASES).is_empty());
    assert_eq!(list(&cluster, WORKSPACES).len(), 1);
    let nothing =
        format!("{stays}0 done, 0 failed; the rest goes with: helm uninstall workspaces-controller --namespace {NS}\n");
    assert_eq!(cleanup(&cluster, &["--yes"]), expected(0, nothing, String::new()));

    // One without a Lease: it elects no leader, or does not get as far as that.
    let labels = json!({"app.kubernetes.io/part-of": "kubeflow-workspaces", "app.kubernetes.io/component": "controller-manager"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "alone", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "manager", "image": "manager"}]}},
        },
    });
    let deployments = format!("/apis/apps/v1/namespaces/{NS}/deployments");
    cluster.api().create(&deployments, &deployment).and_then(Reply::ok).unwrap();
    another_program_keeps_its_finalizers(&cluster, stays);
    let refusal = format!(
        "error: the Deployment {NS}/alone is to have pods: stop that controller first (scale its Deployment to 0, or helm uninstall), or say \
         --force\n"
    );
    assert_eq!(cleanup(&cluster, &["--yes"]), expected(3, stays.to_owned(), refusal));
    cluster.api().delete(&format!("{deployments}/alone")).and_then(Reply::ok).unwrap();

    nothing_hangs(&cluster);
    let flags = cleanup(&cluster, &[]);
    assert_eq!((flags.code, flags.stdout.as_str()), (Some(2), ""), "{flags:#?}");
}
