//! Purity is enforced by Cargo: the crates with the rules do not depend on a cluster client, sockets or a TLS library.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

/// The names of all packages that `package` is built from.
fn dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[track_caller]
fn assert_without(package: &str, unwanted: &[&str]) {
    let dependencies = dependencies(package);
    assert!(dependencies.len() > 5, "{package} has hardly any dependency: {dependencies:?}");
    let found: Vec<_> = unwanted.iter().filter(|name| dependencies.contains(**name)).collect();
    assert!(found.is_empty(), "{package} must not depend on {found:?}");
}

#[test]
fn crds_imports_nothing_of_ours_and_reaches_nothing() {
    let ours = ["webhook", "certs", "workspaces-controller", "cluster"];
    assert_without("crds", &ours);
    assert_without("crds", &["kube-client", "kube-runtime", "tokio", "hyper", "rustls", "axum"]);
}

#[test]
fn webhook_imports_only_crds_and_has_no_cluster_client() {
    assert_without("webhook", &["certs", "workspaces-controller", "cluster"]);
    assert_without("webhook", &["kube-client", "kube-runtime", "rustls", "tokio-rustls", "reqwest"]);
}

#[test]
fn certs_imports_nothing_of_ours_and_knows_no_kubernetes() {
    assert_without("certs", &["crds", "webhook", "workspaces-controller", "cluster"]);
    assert_without("certs", &["kube", "kube-core", "kube-client", "k8s-openapi", "tokio", "axum"]);
}

#[test]
fn the_binary_has_one_tls_provider() {
    let dependencies = dependencies("workspaces-controller");
    assert!(dependencies.contains("ring"), "the product speaks TLS with ring");
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl", "native-tls"] {
        assert!(!dependencies.contains(other), "two providers and none installed is a panic at start: {other}");
    }
}
