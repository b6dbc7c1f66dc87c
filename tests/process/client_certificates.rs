//! `--webhook-client-ca-file`: the real API server presents a certificate to the webhook, or none, or one of somebody else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{ClientCa, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit};
use serde_json::{Value, json};

use crate::binary::PROGRAM;
use crate::client::{connect, connector, exchange, post};

const PATIENCE: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds?dryRun=All";
/// The common name of the API server's certificate.
const NAME: &str = "kube-apiserver";

/// The files with which an API server presents a certificate to all webhooks; the path of the first of them.
fn admission_configuration(dir: &Path, ca: &ClientCa) -> PathBuf {
    let (certificate, key) = ca.issue(NAME).unwrap();
    let file = |name: &str, content: String| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let user = json!({"client-certificate": file("client.crt", certificate), "client-key": file("client.key", key)});
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]});
    let kubeconfig = file("webhooks.kubeconfig", kubeconfig.to_string());
    let group = "apiserver.config.k8s.io/v1";
    let plugin = json!({
        "name": "ValidatingAdmissionWebhook",
        "configuration": {"apiVersion": group, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": kubeconfig},
    });
    let configuration = json!({"apiVersion": group, "kind": "AdmissionConfiguration", "plugins": [plugin]});
    file("admission.yaml", configuration.to_string())
}

fn demanding(ca: &Path, names: &str) -> ControllerOptions {
    let options = ControllerOptions { wait_ready: false, ..ControllerOptions::new(PROGRAM) };
    let options = options.arg(format!("--webhook-client-ca-file={}", ca.display()));
    options.arg(format!("--webhook-client-allowed-names={names}")).arg("--metrics-secure")
}

/// What the API server answers to the creation of a kind, once it is about this.
fn answer_about(cluster: &Cluster, controller: &ControllerProcess<'_>, wanted: &str) -> Value {
    let kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    let answered = controller.wait_for(&format!("an answer about {wanted:?}"), PATIENCE, || {
        let reply = cluster.api().create(KINDS, &kind).unwrap();
        if reply.body.contains(wanted) { Ok(reply.json()) } else { Err(reply.body) }
    });
    answered.unwrap()
}

/// Neither probes nor metrics demand one.
fn others_are_served(controller: &ControllerProcess<'_>) {
    assert_eq!(controller.health("/livez").unwrap().0, 200);
    let address = controller.metrics_url().split('/').nth(2).unwrap().parse().unwrap();
    let tls = connector(controller.ca_pem());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let mut stream = connect(&tls, address).await.unwrap();
        exchange(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap()
    });
    assert_eq!(answer.status, 200);
}

#[test]
fn an_api_server_with_a_certificate_is_served_as_soon_as_its_ca_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (ClientCa::new().unwrap(), ClientCa::new().unwrap());
    let file = admission_configuration(dir.path(), &ca);
    let api_server_args = vec![format!("--admission-control-config-file={}", file.display())];
    let cluster = Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap();

    let trusted = dir.path().join("ca.crt");
    let controller = ControllerProcess::start(&cluster, &demanding(&trusted, NAME)).unwrap();
    controller
        .wait_for("the reason in /readyz", PATIENCE, || match controller.health("/readyz") {
            Ok((503, body)) if body.contains("[-]clients not ready: the CAs of clients in ") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
    std::fs::write(&trusted, other.pem()).unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    let refused = answer_about(&cluster, &controller, "remote error: tls: unknown certificate authority");
    assert_eq!(refused["code"], 500, "{refused}");

    std::fs::write(&trusted, "no certificate").unwrap();
    controller
        .wait_for("the line about it", PATIENCE, || {
            let log = controller.log();
            let line = "cannot be used: there is no certificate in it; the older ones stay trusted";
            if log.contains(line) { Ok(()) } else { Err(log) }
        })
        .unwrap();
    std::fs::write(&trusted, format!("{}{}", other.pem(), ca.pem())).unwrap();
    answer_about(&cluster, &controller, "\"kind\":\"WorkspaceKind\"");
    others_are_served(&controller);
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));

    let controller = ControllerProcess::start(&cluster, &demanding(&trusted, "somebody,else")).unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    answer_about(&cluster, &controller, "remote error: tls: access denied");
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}

#[test]
fn an_api_server_without_a_certificate_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("ca.crt");
    std::fs::write(&trusted, ClientCa::new().unwrap().pem()).unwrap();
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let controller = ControllerProcess::start(&cluster, &demanding(&trusted, "")).unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    let kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    answer_about(&cluster, &controller, "remote error: tls: certificate required");
    // The API server always reads the reason, never a connection that was reset before it could. What it says then depends on
    // which of its two goroutines is first: the one that reads, or the one that still writes to what the other has closed.
    let answers: Vec<String> = (0..50).map(|_| cluster.api().create(KINDS, &kind).unwrap().body).collect();
    let is_clear = |body: &&String| body.contains("remote error: tls: certificate required");
    let (clear, other): (Vec<&String>, Vec<&String>) = answers.iter().partition(is_clear);
    assert!(other.iter().all(|body| body.contains("use of closed network connection")), "{other:#?}");
    assert!(!clear.is_empty(), "{other:#?}");
    others_are_served(&controller);
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}

/// A client of the webhook's port that is no API server.
#[test]
fn nobody_else_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("ca.crt");
    std::fs::write(&trusted, ClientCa::new().unwrap().pem()).unwrap();
    let options = ControllerOptions { register_webhooks: false, ..demanding(&trusted, "") };
    let controller = ControllerProcess::start(Cluster::shared(), &options).unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    let address = controller.webhook_url().rsplit('/').next().unwrap().parse().unwrap();
    let tls = connector(controller.ca_pem());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let mut stream = connect(&tls, address).await?;
        exchange(&mut stream, &post(webhook::WORKSPACE_KIND_PATH, "{}")).await.map(|answer| answer.status)
    });
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}
