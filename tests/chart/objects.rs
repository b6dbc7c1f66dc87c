//! Does a real API server accept every object of the chart, in a namespace that enforces pod security?

use cluster::{Cluster, Tools, report};
use serde_json::{Value, json};

use crate::helm::{PRESETS, SOME_CA, documents, manifest, only};

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
        ("self-managed", set(&["certificate.mode=selfManaged", "settings.metricsSecure=true"])),
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
                "global.imageRegistry=registry.example.com",
                "global.imagePullSecrets[0].name=shared",
                "extraArgs={--zap-devel=false}",
                r#"extraEnv=[{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "texts", "key": "greeting"}}}]"#,
                r#"extraVolumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]"#,
                r#"extraVolumeMounts=[{"name": "scratch", "mountPath": "/scratch"}]"#,
            ]),
        ),
        ("checked after each upgrade", set(&["check.hook=true"])),
        ("on the network of the node", set(&["hostNetwork=true", "replicas=1"])),
        (
            "scraped by a ServiceMonitor",
            set(&[
                "monitoring.serviceMonitor.enabled=true",
                "monitoring.serviceMonitor.interval=30s",
                "monitoring.serviceMonitor.labels.release=prometheus",
                "settings.metricsSecure=true",
                "settings.metricsRequireAuthentication=true",
                "settings.statusBindAddress=:8082",
                "monitoring.tokenSecret.name=scraper",
                "monitoring.prometheusRule.enabled=true",
                "monitoring.prometheusRule.alertLabels.team=platform",
                "monitoring.dashboard.enabled=true",
                "monitoring.dashboard.annotations.grafana_folder=Kubeflow",
            ]),
        ),
        ("scraped by a PodMonitor", set(&["monitoring.podMonitor.enabled=true", "monitoring.podMonitor.scrapeTimeout=5s"])),
        (
            "with a network policy",
            set(&[
                "networkPolicy.enabled=true",
                r#"networkPolicy.webhookFrom=[{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]"#,
                r#"networkPolicy.metricsFrom=[{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]"#,
                "networkPolicy.egress.apiServerBlocks={10.0.0.1/32,fd00::1/128}",
                r#"networkPolicy.egress.extra=[{"to": [{"podSelector": {}}], "ports": [{"port": 4317, "protocol": "TCP"}]}]"#,
            ]),
        ),
        (
            "with other objects",
            set(&[
                r#"extraObjects=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-an-object"}}, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-a-template, namespace: {{ .Release.Namespace }}}"]"#,
            ]),
        ),
    ]
    .into_iter()
    .chain(PRESETS.map(|preset| (preset, vec![preset.to_owned()])))
    .collect()
}

/// Installs the CRDs that objects of the chart are made of, from the Go modules that `tests/tools` pins.
pub fn install_crds_of_others(cluster: &Cluster) {
    let crds = [
        (
            "certmanager",
            "github.com/cert-manager/cert-manager",
            "deploy/crds",
            "cert-manager.io",
            "certificates issuers",
        ),
        (
            "prometheusoperator",
            "github.com/prometheus-operator/prometheus-operator",
            "example/prometheus-operator-crd",
            "monitoring.coreos.com",
            "podmonitors prometheusrules servicemonitors",
        ),
    ];
    for (pinned_by, module, folder, group, resources) in crds {
        let folder = Tools::module_content(pinned_by, module).unwrap().join(folder);
        for resource in resources.split(' ') {
            let file = folder.join(format!("{group}_{resource}.yaml"));
            cluster.kubectl(&["apply", "--server-side", "--filename", file.to_str().unwrap()]).unwrap().ok().unwrap();
            let crd = format!("crd/{resource}.{group}");
            cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &crd]).unwrap().ok().unwrap();
        }
    }
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
    install_crds_of_others(cluster);
    let namespace = restricted_namespace(cluster);
    // Pods may only name an account that exists.
    for name in [
        "workspaces-controller",
        "workspaces-route-controller",
        "workspaces-namespace-controller",
        "workspaces-controller-check",
    ] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        cluster.api().create(&path, &account).unwrap().ok().unwrap();
    }
    let mut admitted = 0;
    for (name, values) in value_sets() {
        let set: Vec<&str> = values.iter().map(String::as_str).collect();
        let manifest = manifest(&namespace, &set);
        let apply =
            ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict", "--filename=-"];
        let output = cluster.kubectl_stdin(&apply, &manifest).unwrap();
        assert!(output.success, "{name}: {}", output.stderr);
        let is_on_node = manifest.contains("hostNetwork: true");
        assert_eq!(output.stderr.contains("Warning"), is_on_node, "{name}: {}", output.stderr);
        let objects = documents(&manifest);
        assert_eq!(output.stdout.lines().count(), objects.len(), "{name}: {}", output.stdout);
        let deployment = only(&objects, "Deployment");
        if is_on_node {
            assert_pod_is_refused(cluster, &namespace, deployment);
        } else {
            assert_pod_is_admitted(cluster, &namespace, deployment, name);
            admitted += 1;
        }
    }
    report("S2", true, format!("{admitted} renders, their pods admitted"), "in a restricted namespace");
}

fn pod_of(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("probe");
    pod
}

/// No namespace that is not privileged allows the network of the node; that is all that is wrong with the pod.
fn assert_pod_is_refused(cluster: &Cluster, namespace: &str, deployment: &Value) {
    let pod = pod_of(deployment);
    let reply = cluster.api().create(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), &pod).unwrap();
    assert_eq!(reply.status, 403, "{}", reply.body);
    let refusal = reply.json()["message"].as_str().unwrap().to_owned();
    let (_, violations) = refusal.split_once("violates PodSecurity \"restricted:latest\": ").unwrap();
    let expected =
        "host namespaces (hostNetwork=true), hostPort (container \"manager\" uses hostPorts 8080, 8081, 9443)";
    assert_eq!(violations, expected);
}

/// Pod security only warns of Deployments: it is enforced on pods.
fn assert_pod_is_admitted(cluster: &Cluster, namespace: &str, deployment: &Value, name: &str) {
    let mut pod = pod_of(deployment);
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict");
    let reply = cluster.api().create(&path, &pod).unwrap();
    assert_eq!(reply.status, 201, "{name}: {}", reply.body);
    // The check itself works: the same pod as root is refused.
    pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    pod["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = json!(false);
    let reply = cluster.api().create(&path, &pod).unwrap();
    assert_eq!(reply.status, 403, "{name}: {}", reply.body);
}
