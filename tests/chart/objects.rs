//! Does a real API server accept every object of the chart, in a namespace that enforces pod security?

use std::path::PathBuf;
use std::process::Command;

use cluster::Cluster;
use serde_json::{Value, json};

use crate::helm::{SOME_CA, checkout, documents, manifest, only};

/// The value sets of typical installations.
fn value_sets() -> Vec<(&'static str, Vec<String>)> {
    let set = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let ca = format!("webhook.caBundle={SOME_CA}");
    vec![
        ("cert-manager", set(&[])),
        (
            "an issuer of their own",
            set(&[
                "certificate.certManager.issuerRef.name=company",
                "certificate.certManager.issuerRef.kind=ClusterIssuer",
            ]),
        ),
        ("existing secret", set(&["certificate.mode=existingSecret", &ca, "certificate.secretName=mine"])),
        (
            "url",
            set(&[
                "certificate.mode=existingSecret",
                &ca,
                "webhook.url=https://127.0.0.1:9443",
                "webhook.failurePolicy=Ignore",
            ]),
        ),
        ("without istio", set(&["settings.useIstio=false", "ports.metrics=0"])),
        (
            "validation only, several replicas",
            set(&["settings.enableReconcile=false", "replicas=3", "podDisruptionBudget.enabled=true"]),
        ),
        ("reconcile only", set(&["settings.enableWebhooks=false"])),
        ("some namespaces", set(&["settings.namespaceSelector=team in (a\\,b)"])),
        ("only routes", set(&["settings.onlyRoutes=true", "settings.takeOverRoutes=true"])),
        ("routes of some namespaces", set(&["settings.onlyRoutes=true", "settings.namespaceSelector=!a"])),
        (
            "everything about the pod",
            set(&[
                "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "imagePullSecrets={registry}",
                "runAsUser=null",
                "runAsGroup=null",
                "fsGroup=null",
                "preStopSleepSeconds=0",
                "nodeSelector.disk=ssd",
                "podAnnotations.team=notebooks",
                "serviceAccount.annotations.team=notebooks",
                "tolerations[0].key=control-plane",
                "tolerations[0].operator=Exists",
                "topologySpreadConstraints[0].topologyKey=zone",
                "topologySpreadConstraints[0].maxSkew=2",
                "topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
                "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=10",
                "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=zone",
                "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector.matchLabels.busy=yes",
                "settings.metricsSecure=true",
                "crds.keep=false",
            ]),
        ),
    ]
}

/// The folder of cert-manager's CRDs, from the Go module that `tests/tools/certmanager` pins.
fn cert_manager_crds() -> PathBuf {
    let output = Command::new("go")
        .args(["mod", "download", "-json", "github.com/cert-manager/cert-manager"])
        .current_dir(checkout("tests/tools/certmanager"))
        .envs([("GOTOOLCHAIN", "local"), ("GOWORK", "off")])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder =
        answer["Dir"].as_str().unwrap_or_else(|| panic!("{answer} {}", String::from_utf8_lossy(&output.stderr)));
    PathBuf::from(folder).join("deploy/crds")
}

fn install_cert_manager_crds(cluster: &Cluster) {
    let folder = cert_manager_crds();
    let files = ["certificates", "issuers"].map(|name| folder.join(format!("cert-manager.io_{name}.yaml")));
    for file in files {
        cluster.kubectl(&["apply", "--server-side", "--filename", file.to_str().unwrap()]).unwrap().ok().unwrap();
    }
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/certificates.cert-manager.io",
        "crd/issuers.cert-manager.io",
    ];
    cluster.kubectl(&wait).unwrap().ok().unwrap();
}

fn restricted_namespace(cluster: &Cluster) -> String {
    let namespace = cluster.namespace("chart").unwrap();
    let labels = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }}});
    cluster.api().merge_patch(&format!("/api/v1/namespaces/{namespace}"), &labels).unwrap().ok().unwrap();
    namespace
}

#[test]
fn the_api_server_takes_every_object_of_every_value_set() {
    let cluster = Cluster::shared();
    install_cert_manager_crds(cluster);
    let namespace = restricted_namespace(cluster);
    // Pods may only name an account that exists.
    for name in ["workspaces-controller", "workspaces-route-controller", "workspaces-namespace-controller"] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        cluster.api().create(&path, &account).unwrap().ok().unwrap();
    }
    for (name, values) in value_sets() {
        let set: Vec<&str> = values.iter().map(String::as_str).collect();
        let manifest = manifest(&namespace, &set);
        let apply =
            ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict", "--filename=-"];
        let output = cluster.kubectl_stdin(&apply, &manifest).unwrap();
        assert!(output.success, "{name}: {}", output.stderr);
        assert!(!output.stderr.contains("Warning"), "{name}: {}", output.stderr);
        let objects = documents(&manifest);
        assert_eq!(output.stdout.lines().count(), objects.len(), "{name}: {}", output.stdout);
        assert_pod_is_admitted(cluster, &namespace, only(&objects, "Deployment"), name);
    }
}

/// Pod security only warns of Deployments: it is enforced on pods.
fn assert_pod_is_admitted(cluster: &Cluster, namespace: &str, deployment: &Value, name: &str) {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("probe");
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict");
    let reply = cluster.api().create(&path, &pod).unwrap();
    assert_eq!(reply.status, 201, "{name}: {}", reply.body);
    // The check itself works: the same pod as root is refused.
    pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    pod["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = json!(false);
    let reply = cluster.api().create(&path, &pod).unwrap();
    assert_eq!(reply.status, 403, "{name}: {}", reply.body);
}
