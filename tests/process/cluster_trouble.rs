//! A cluster that lacks something: reported in one line, and resolved without a restart.

use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply, Server, Signal, wait_for};
use serde_json::json;

use crate::binary::PROGRAM;
use crate::{exactly, within};

const PATIENCE: Duration = Duration::from_mins(1);

fn options() -> ControllerOptions {
    ControllerOptions { register_webhooks: false, wait_ready: false, ..ControllerOptions::new(PROGRAM) }
}

fn wait_not_ready(controller: &ControllerProcess<'_>, reason: &str) {
    wait_for("the reason in /readyz", PATIENCE, || match controller.health("/readyz") {
        Ok((503, body)) if body.contains(reason) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
}

#[test]
fn missing_crds_missing_rights_and_an_outage_are_named_and_survived() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    let controller = ControllerProcess::start(&cluster, &options()).unwrap();
    wait_not_ready(
        &controller,
        "[-]caches not ready: the API server does not serve workspacekinds.kubeflow.org and workspaces.kubeflow.org: install the CRDs",
    );
    let logged = controller.log().matches("not ready: the API server does not serve").count();
    assert_eq!(logged, 1, "{}", controller.log());

    let nobody = cluster.kubeconfig(cluster::PLAIN_USER).unwrap();
    let without_rights =
        ControllerProcess::start(&cluster, &ControllerOptions { kubeconfig: Some(nobody), ..options() }).unwrap();
    wait_not_ready(&without_rights, "is forbidden");
    wait_not_ready(&without_rights, "add to the rules of the ClusterRole: {apiGroups: [");
    assert_eq!(without_rights.terminate(PATIENCE).unwrap(), Exit::Code(0));

    cluster.install_product_crds().unwrap();
    let installed = Instant::now();
    controller.wait_ready(PATIENCE).unwrap();
    within(
        "bad input",
        "ready after the CRDs were installed, without a restart",
        installed.elapsed(),
        Duration::from_secs(10),
    );
    wait_for("the log to say so", PATIENCE, || controller.log().contains("caches are synced").then_some(())).unwrap();

    // Rights to the product's own resources alone: what is missing beyond them is reported too, and only once.
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "own"}, "rules": [{"apiGroups": ["kubeflow.org"], "resources": ["*"], "verbs": ["*"]}]});
    cluster.api().create(&format!("{rbac}/clusterroles"), &role).and_then(Reply::ok).unwrap();
    let binding = json!({
        "metadata": {"name": "own"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "own"},
        "subjects": [{"kind": "User", "name": cluster::PLAIN_USER}],
    });
    cluster.api().create(&format!("{rbac}/clusterrolebindings"), &binding).and_then(Reply::ok).unwrap();
    let nobody = cluster.kubeconfig(cluster::PLAIN_USER).unwrap();
    let with_few_rights =
        ControllerProcess::start(&cluster, &ControllerOptions { kubeconfig: Some(nobody), ..options() }).unwrap();
    wait_not_ready(&with_few_rights, "serviceaccounts is forbidden");
    let log = with_few_rights.log();
    for (what, times) in [("not ready: serviceaccounts is forbidden", 1), ("pods is forbidden", 1)] {
        assert!(log.matches(what).count() <= times, "{log}");
    }
    assert_eq!(with_few_rights.terminate(PATIENCE).unwrap(), Exit::Code(0));

    // The caches stay usable: an outage of the API server makes no replica unready.
    cluster.signal_server(Server::KubeApiserver, Signal::STOP).unwrap();
    let (status, body) = controller.health("/readyz").unwrap();
    cluster.signal_server(Server::KubeApiserver, Signal::CONT).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}

#[test]
fn each_half_runs_without_the_other() {
    let cluster = Cluster::shared();
    let admission = options().arg("--enable-reconcile=false");
    let admission = ControllerProcess::start(cluster, &ControllerOptions { wait_ready: true, ..admission }).unwrap();
    assert!(!admission.metrics().unwrap().contains("controller_runtime_reconcile_total{"));
    assert_eq!(admission.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let reconcile = options().env("ENABLE_WEBHOOKS", "false");
    let reconcile = ControllerProcess::start(cluster, &ControllerOptions { wait_ready: true, ..reconcile }).unwrap();
    let metrics = reconcile.metrics().unwrap();
    assert!(metrics.contains("controller_runtime_max_concurrent_reconciles{controller=\"workspace\"} 10"), "{metrics}");
    assert!(!metrics.contains("controller_runtime_webhook_requests_total{"), "{metrics}");
    assert_eq!(reconcile.terminate(PATIENCE).unwrap(), Exit::Code(0));
}

#[test]
fn s3_even_at_trace_level_the_log_holds_no_key_and_no_token() {
    let cluster = Cluster::shared();
    let kubeconfig = cluster.kubeconfig(cluster::ADMIN).unwrap();
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    assert!(token.len() >= 8, "{token:?} is too short to be looked for");
    let traced = ControllerOptions { kubeconfig: Some(kubeconfig.clone()), wait_ready: true, ..options() };
    let controller = ControllerProcess::start(cluster, &traced.env("RUST_LOG", "trace,kube=trace")).unwrap();
    let key = std::fs::read_to_string(controller.certificate_dir().join("tls.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let log = controller.log();
    assert!(log.contains("\"level\":\"TRACE\""), "nothing is traced");
    let found = log.matches(token).count() + log.matches(key).count();
    exactly("S3", &format!("tokens and keys in {} KiB of trace log", log.len() / 1024), found, 0);
}
