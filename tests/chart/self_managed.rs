//! The certificate that the controller makes itself: what the chart renders for it, and what `helm upgrade` and `helm rollback` do
//! to the caBundle that is not in the chart.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{CONTROLLER_ACCOUNT, CONTROLLER_USER, Cluster, ClusterOptions, Mark};
use serde_json::{Value, json};

use crate::helm::{CHART, HelmOutput, NAMESPACE, helm, objects, only, template};
use crate::installed::{free_ports, start};

const TIMEOUT: Duration = Duration::from_mins(1);
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/workspaces-validating-webhook-configuration";
const SECRET: &str = "/api/v1/namespaces/kubeflow-workspaces/secrets/workspaces-webhook-ca";
const MODE: &str = "certificate.mode=selfManaged";

#[test]
fn nothing_is_mounted_and_no_ca_is_rendered() {
    let objects = objects(&[MODE, "webhook.url=https://[::1]:9443", "settings.clusterDomain=corp.example"]);
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    let args: Vec<&str> =
        pod["containers"][0]["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let about: Vec<&str> = args.into_iter().filter(|arg| arg.contains("-cert-") || arg.contains("dynamic")).collect();
    let expected = [
        "--webhook-cert-source=self-managed",
        "--dynamic-serving-secret-name=workspaces-webhook-ca",
        "--dynamic-serving-dns-names=workspaces-webhook-service.kubeflow-workspaces.svc",
        "--dynamic-serving-dns-names=workspaces-webhook-service.kubeflow-workspaces.svc.corp.example",
        "--dynamic-serving-dns-names=::1",
        "--dynamic-serving-ca-duration=8760h",
        "--dynamic-serving-leaf-duration=720h",
    ];
    assert_eq!(about, expected);
    assert!(pod.get("volumes").is_none() && pod["containers"][0].get("volumeMounts").is_none());
    let configuration = only(&objects, "ValidatingWebhookConfiguration");
    assert!(!configuration.to_string().contains("caBundle"), "{configuration}");
    assert_eq!(configuration["metadata"]["annotations"], Value::Null);
    for kind in ["Certificate", "Issuer", "Secret"] {
        assert!(objects.iter().all(|object| object["kind"] != kind), "{kind}");
    }
}

#[test]
fn it_may_read_one_secret_and_patch_one_configuration() {
    let objects =
        objects(&[MODE, "certificate.selfManaged.secretName=mine", "settings.leaderElect=false", "replicas=1"]);
    let named = |group: &str, resource: &str, name: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "resourceNames": [name], "verbs": verbs});
    let role = only(&objects, "Role");
    assert_eq!(role["metadata"]["name"], "workspaces-certificate-role");
    assert_eq!(
        role["rules"],
        json!([
            named("", "secrets", "mine", &["get", "list", "watch", "patch"]),
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        ])
    );
    let binding = only(&objects, "RoleBinding");
    assert_eq!(binding["roleRef"]["name"], "workspaces-certificate-role");
    assert_eq!(binding["subjects"][0]["name"], "workspaces-controller");
    let about_webhooks = |objects: &[Value]| {
        let role = objects.iter().find(|object| object["metadata"]["name"] == "workspaces-manager-role");
        let rules = role.unwrap()["rules"].as_array().unwrap().clone();
        rules
            .into_iter()
            .filter(|rule| rule["apiGroups"] == json!(["admissionregistration.k8s.io"]))
            .collect::<Vec<_>>()
    };
    let name = "workspaces-validating-webhook-configuration";
    let resource = "validatingwebhookconfigurations";
    let expected = named("admissionregistration.k8s.io", resource, name, &["get", "list", "watch", "patch"]);
    assert_eq!(about_webhooks(&objects), [expected]);
    // Where no webhook is served, only the Secret is needed.
    let metrics = self::objects(&[MODE, "settings.enableWebhooks=false", "settings.metricsSecure=true"]);
    assert!(about_webhooks(&metrics).is_empty());
    assert!(metrics.iter().any(|object| object["metadata"]["name"] == "workspaces-certificate-role"));
    for other in [&[][..], &[MODE, "settings.enableWebhooks=false"]] {
        let rendered = template(NAMESPACE, other).stdout;
        assert!(
            !rendered.contains("admissionregistration.k8s.io\"]") && !rendered.contains("certificate-role"),
            "{other:?}"
        );
    }
}

/// cert-manager's own default key policy has changed: with a new key each renewal of the CA would take its certificates out of
/// trust.
#[test]
fn a_ca_that_cert_manager_renews_keeps_its_key() {
    let objects = objects(&[]);
    let policy = |name: &str| {
        let found = objects.iter().find(|object| object["kind"] == "Certificate" && object["metadata"]["name"] == name);
        found.unwrap()["spec"]["privateKey"]["rotationPolicy"].clone()
    };
    assert_eq!((policy("workspaces-ca"), policy("workspaces-serving-cert")), (json!("Never"), json!("Always")));
}

struct Release<'a> {
    cluster: &'a Cluster,
    ports: [u16; 3],
}

impl Release<'_> {
    fn sets(&self) -> [String; 4] {
        let [webhook, health, metrics] = self.ports;
        [
            format!("webhook.url=https://127.0.0.1:{webhook}"),
            format!("ports.webhook={webhook}"),
            format!("ports.health={health}"),
            format!("ports.metrics={metrics}"),
        ]
    }

    fn helm(&self, action: &str, more: &[&str]) -> HelmOutput {
        let sets = self.sets();
        let mut args = vec![action, "workspaces-controller", CHART, "--namespace", NAMESPACE];
        args.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        args.extend(more);
        let output = helm(&args, Some(&self.cluster.api().kubeconfig));
        assert!(output.success, "{}", output.stderr);
        output
    }

    fn configuration(&self) -> Value {
        self.cluster.api().get(CONFIGURATION).unwrap().ok().unwrap()
    }

    fn bundles(&self) -> Vec<Value> {
        let configuration = self.configuration();
        let webhooks = configuration["webhooks"].as_array().unwrap().clone();
        webhooks.into_iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect()
    }

    fn stored(&self) -> Value {
        self.cluster.api().get(SECRET).unwrap().ok().unwrap()["data"]["ca.crt"].clone()
    }

    /// What was written into the configuration by this user agent.
    fn patches(&self, mark: Mark) -> usize {
        let requests = self.cluster.audit().since(mark).unwrap().by(CONTROLLER_USER).writes().accepted();
        requests.resource("validatingwebhookconfigurations").count()
    }

    /// Waits until a request that the webhook refuses is refused by it.
    fn wait_called(&self) {
        let workspace = json!({
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "metadata": {"name": "probe"},
            "spec": {"kind": "none", "podTemplate": {"options": {"imageConfig": "a", "podConfig": "b"}, "volumes": {}}},
        });
        let path = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces?dryRun=All";
        let called = self.cluster.wait_for("the webhook to be called", TIMEOUT, || {
            let reply = self.cluster.api().create(path, &workspace).unwrap();
            if reply.body.contains("denied the request") { Ok(()) } else { Err(reply.body) }
        });
        called.unwrap();
    }
}

#[test]
fn upgrades_and_rollbacks_leave_the_ca_bundle_alone() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    let release = Release { cluster: &cluster, ports: free_ports() };
    release.helm("install", &["--create-namespace", "--set", MODE]);
    let dir = tempfile::tempdir().unwrap();
    let mut process = start(&cluster, CONTROLLER_ACCOUNT, dir.path());
    process.wait_ready(release.ports[1], TIMEOUT);
    release.wait_called();
    let bundle = release.stored();
    assert_eq!(release.bundles(), [bundle.clone(), bundle.clone()]);

    let mark = cluster.audit().mark().unwrap();
    for (action, timeout, more) in [
        ("upgrade", 7, &["--set", MODE, "--set", "webhook.timeoutSeconds=7"][..]),
        ("upgrade", 8, &["--reuse-values", "--set", "webhook.timeoutSeconds=8", "--set", "webhook.annotations.team=a"]),
        // As GitOps tools apply what they have rendered.
        ("rollback", 5, &[]),
    ] {
        if action == "rollback" {
            let rolled = helm(
                &["rollback", "workspaces-controller", "1", "--namespace", NAMESPACE],
                Some(&cluster.api().kubeconfig),
            );
            assert!(rolled.success, "{}", rolled.stderr);
        } else {
            release.helm(action, more);
        }
        assert_eq!(release.configuration()["webhooks"][0]["timeoutSeconds"], timeout);
        assert_eq!(release.bundles(), [bundle.clone(), bundle.clone()], "after {action}");
    }
    let sets = release.sets();
    let sets: Vec<&str> = sets.iter().map(String::as_str).chain([MODE]).collect();
    let rendered = template(NAMESPACE, &sets).stdout;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--filename=-"];
    cluster.kubectl_stdin(&apply, &rendered).unwrap().ok().unwrap();
    assert_eq!(release.bundles(), [bundle.clone(), bundle.clone()], "after a server-side apply");
    assert_eq!(release.patches(mark), 0, "nothing had to be put back");
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
    every_right_is_used(&cluster);

    // Replaced as a whole, it is put back.
    let mark = cluster.audit().mark().unwrap();
    let mut process = start(&cluster, CONTROLLER_ACCOUNT, dir.path());
    process.wait_ready(release.ports[1], TIMEOUT);
    release.helm("upgrade", &["--force", "--set", MODE, "--set", "webhook.timeoutSeconds=9"]);
    let back = cluster.wait_for("the caBundle to be put back", TIMEOUT, || {
        if release.bundles() == [bundle.clone(), bundle.clone()] {
            Ok(())
        } else {
            Err(format!("{:?}", release.bundles()))
        }
    });
    back.unwrap();
    assert!(release.patches(mark) <= 1);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}

/// Of the rights that are for the certificate alone.
fn every_right_is_used(cluster: &Cluster) {
    let requests = cluster.audit().all().unwrap().by(CONTROLLER_USER);
    let refused = requests.clone().filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    let used = |resource: &str| -> BTreeSet<String> {
        requests.clone().resource(resource).0.into_iter().map(|request| request.verb).collect()
    };
    // This API server streams lists, to which `watch` is the right.
    assert_eq!(used("secrets"), ["create", "get", "watch"].map(str::to_owned).into());
    assert_eq!(used("validatingwebhookconfigurations"), ["get", "patch", "watch"].map(str::to_owned).into());
}
