//! Wrong settings, and what is missing at startup, from outside.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::binary::{Binary, run, unreachable_kubeconfig};
use crate::client::{DAY, connect, connector, exchange, leaf, new_ca};

#[test]
fn wrong_settings_exit_with_code_2_and_a_line_each() {
    let output = run(
        &["--istio-gateway=nowhere", "-metrics-bind-address", "here", "--colour"],
        &[("USE_ISTIO", "yes"), ("CLUSTER_DOMAIN", "UPPER"), ("ISTIO_HOSTS", "")],
    );
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (line, start) in lines.iter().zip([
        "error: --colour: unknown flag",
        "error: USE_ISTIO=\"yes\": must be true or false",
        "error: --istio-gateway=\"nowhere\": ",
        "error: CLUSTER_DOMAIN=\"UPPER\": must be a DNS domain",
        "error: --metrics-bind-address=\"here\": must be :PORT or IP:PORT",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn without_a_cluster_it_exits_with_code_2_and_says_what_to_do() {
    let output = run(&["--log-level=off"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: --kubeconfig (KUBECONFIG): not set, and not running in a pod"), "{text}");
    assert!(text.contains("set a kubeconfig file"), "{text}");

    let output = run(&["--log-level=off"], &[("KUBECONFIG", "/nonexistent/kubeconfig")]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: --kubeconfig (KUBECONFIG)=\"/nonexistent/kubeconfig\": cannot be read"), "{text}");
}

#[test]
fn an_address_in_use_exits_with_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, unreachable_kubeconfig()).unwrap();
    let output = run(
        &[
            "--log-level=off",
            &format!("--kubeconfig={}", kubeconfig.display()),
            &format!("--webhook-bind-address={address}"),
            "--health-probe-bind-address=0",
            "--metrics-bind-address=0",
            "--status-bind-address=0",
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with(&format!("error: --webhook-bind-address=\"{address}\": cannot listen there")), "{text}");
}

#[test]
fn crds_are_printed_and_written() {
    let printed = run(&["crds"], &[]);
    assert_eq!(printed.status.code(), Some(0));
    let text = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(text.matches("kind: CustomResourceDefinition").count(), 2);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["crds", "--dir", dir.path().to_str().unwrap()], &[]).status.code(), Some(0));
    let files = ["kubeflow.org_workspaces.yaml", "kubeflow.org_workspacekinds.yaml"];
    let written: Vec<String> =
        files.iter().map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap()).collect();
    assert_eq!(written.join("---\n"), text);

    let missing = run(&["crds", "--dir=/nonexistent"], &[]);
    assert_eq!(missing.status.code(), Some(3));
    let text = String::from_utf8(missing.stderr).unwrap();
    assert!(
        text.starts_with("error: /nonexistent/kubeflow.org_workspaces.yaml: ") && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn effective_settings_are_logged_once_routing_first() {
    let binary = Binary::new()
        .argument("--istio-hosts=a.example")
        .environment("RUST_LOG", "info")
        .argument("--client-qps=5")
        .start();
    binary.listening();
    let line = binary.wait_log("effective settings", Duration::from_secs(10));
    assert_eq!(binary.log().matches("effective settings").count(), 1);
    let at =
        |field: &str| line.find(&format!("\"{field}\":")).unwrap_or_else(|| panic!("{field} is missing in {line}"));
    let order =
        ["use_istio", "istio_gateway", "istio_hosts", "cluster_domain", "enable_reconcile", "webhook_bind_address"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{line}");
    assert!(line.contains("\"istio_hosts\":\"a.example\""), "{line}");
    let warning = binary.wait_log("--client-qps (CLIENT_QPS) has no effect in this controller", Duration::from_secs(5));
    assert!(warning.contains("\"level\":\"WARN\""), "{warning}");
}

#[tokio::test]
async fn an_unreachable_api_server_is_logged_once_and_is_not_fatal() {
    let binary = Binary::new().start();
    let health = binary.listening().health;
    let line = binary.wait_log("cannot reach the API server at https://127.0.0.1:1/ (", Duration::from_secs(20));
    assert!(line.contains("Connection refused") && line.contains("check address and network"), "{line}");
    let (status, body) = binary.get(health, "/readyz").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("[-]caches not ready: cannot reach the API server at https://127.0.0.1:1/ (Connection refused"),
        "{body}"
    );
    assert!(body.contains("[+]certificate ok"), "{body}");
    assert_eq!(binary.get(health, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(binary.get(health, "/healthz").await, (200, "ok".to_owned()));
    // Two more attempts are made without another line.
    sleep(Duration::from_millis(4500)).await;
    assert_eq!(binary.log().matches("cannot reach the API server").count(), 1, "{}", binary.log());
    binary.must_run();
}

#[tokio::test]
async fn a_missing_certificate_is_waited_for() {
    let ca = new_ca();
    let binary = Binary::new();
    let dir = binary.cert_dir();
    std::fs::remove_file(dir.join("tls.crt")).unwrap();
    std::fs::remove_file(dir.join("tls.key")).unwrap();
    let binary = binary.start();
    let listening = binary.listening();
    let line = binary.wait_log("no certificate to serve", Duration::from_secs(5));
    assert!(line.contains("tls.crt: no such file; put the certificate chain there as PEM"), "{line}");
    let (status, body) = binary.get(listening.health, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("[-]certificate not ready: no TLS certificate is loaded ("), "{body}");

    let issued = leaf(&ca, DAY);
    std::fs::write(dir.join("tls.crt"), &issued.chain_pem).unwrap();
    std::fs::write(dir.join("tls.key"), &issued.key_pem).unwrap();
    let connector = connector(&ca.cert_pem());
    let began = Instant::now();
    while connect(&connector, listening.webhook).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", binary.log());
        sleep(Duration::from_millis(20)).await;
    }
    assert!(binary.get(listening.health, "/readyz").await.1.contains("[+]certificate ok"));
}

#[tokio::test]
async fn metrics_are_served_plainly_or_over_tls() {
    let binary = Binary::new().argument("--metrics-secure=T").start();
    let metrics = binary.listening().metrics;
    let mut stream = connect(&connector(&binary.ca_pem), metrics).await.unwrap();
    let answer = exchange(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer.status, 200);
    for name in [
        "workspaces_build_info{version=",
        "workspaces_certificate_expiry_timestamp_seconds 1",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "controller_runtime_webhook_requests_total{webhook=\"/validate-kubeflow-org-v1beta1-workspace\",code=\"200\"} 0",
    ] {
        assert!(answer.body.contains(name), "{name} is missing in\n{}", answer.body);
    }
    let series = answer.body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 300, "{series} series");

    let binary = Binary::new().start();
    let metrics = binary.listening().metrics;
    let (status, body) = binary.get(metrics, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn what_is_disabled_is_neither_served_nor_needed() {
    let binary = Binary::new()
        .environment("ENABLE_WEBHOOKS", "false")
        .argument("--metrics-bind-address=0")
        .argument("--webhook-cert-dir=/nonexistent")
        .start();
    let health = binary.listening().health;
    let line = binary.wait_log("\"message\":\"listening\"", Duration::from_secs(5));
    assert!(line.contains("\"webhook_address\":\"off\"") && line.contains("\"metrics_address\":\"off\""), "{line}");
    let (_, body) = binary.get(health, "/readyz").await;
    assert!(!body.contains("certificate"), "{body}");
    assert!(!binary.log().contains("no certificate"), "{}", binary.log());

    let binary = Binary::new().argument("--enable-reconcile=false").start();
    binary.listening();
    binary.wait_log("cannot reach the API server", Duration::from_secs(20));
    for resource in ["pods", "statefulsets", "virtualservices"] {
        assert!(!binary.log().contains(&format!("\"{resource}\"")), "{resource} is watched without a reason");
    }
}
