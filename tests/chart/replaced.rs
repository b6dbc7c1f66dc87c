//! The chart with its preset for Kubeflow in place of the Go controller's manifests, by the documented steps. Their objects are made here
//! with the names, labels and selectors of kubeflow/notebooks, branch notebooks-v2, folder
//! `workspaces/controller/manifests/kustomize`, overlay `istio`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{CONTROLLER_ACCOUNT, Cluster, ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::helm::{CHART, NAMESPACE, PRESETS, documents, helm, text};
use crate::image_swapped::{install_crds, older_crds, role};
use crate::installed::{Site, start};
use crate::objects::install_crds_of_others;
use crate::user_roles;

const TIMEOUT: Duration = Duration::from_mins(1);
const KUBEFLOW: &str = PRESETS[2];
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The labels by which kustomize lets the Deployment select its pods.
fn selector() -> Value {
    json!({
        "app": "workspaces-controller",
        "app.kubernetes.io/component": "controller-manager",
        "app.kubernetes.io/name": "workspaces-controller",
        "app.kubernetes.io/part-of": "kubeflow-workspaces",
    })
}

/// An object of the namespace, or of the cluster for kinds that are none of a namespace.
fn object(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    let mut labels = selector();
    labels["app.kubernetes.io/managed-by"] = json!("kustomize");
    let own = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.as_object_mut().unwrap().extend(own);
    object["metadata"] = json!({"name": name, "labels": labels});
    if !kind.starts_with("Cluster") && !["Namespace", "ValidatingWebhookConfiguration"].contains(&kind) {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    object
}

fn deployment() -> Value {
    let from_config = |name: &str| {
        let source = json!({"name": "kubeflow-workspaces-istio-config", "key": name});
        json!({"name": name, "valueFrom": {"configMapKeyRef": source}})
    };
    let env = ["USE_ISTIO", "ISTIO_GATEWAY", "ISTIO_HOST", "CLUSTER_DOMAIN"].map(from_config);
    let container = json!({
        "name": "manager", "image": "ghcr.io/kubeflow/notebooks/workspaces-controller:latest", "command": ["/manager"],
        "args": ["--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=0"],
        "env": env,
        "ports": [{"name": "http", "containerPort": 8081}, {"name": "https-webhook", "containerPort": 9443}],
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532, "capabilities": {"drop": ["ALL"]},
        },
    });
    let template = json!({
        "metadata": {"labels": selector()},
        "spec": {
            "serviceAccountName": CONTROLLER_ACCOUNT, "containers": [container],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        },
    });
    let spec = json!({"replicas": 1, "selector": {"matchLabels": selector()}, "template": template});
    object("apps/v1", "Deployment", "workspaces-controller", &json!({"spec": spec}))
}

/// The roles of users, which contain each other by labels, and what they are made of.
fn user_roles() -> Vec<Value> {
    let label = |role: &str| format!("rbac.authorization.kubeflow.org/aggregate-to-kubeflow-{role}");
    let write = json!(["create", "delete", "deletecollection", "patch", "update"]);
    let read = json!(["get", "list", "watch"]);
    let all = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let parts = [
        ("admin", None, "workspacekinds", all),
        ("edit", Some("admin"), "workspaces", write),
        ("view", Some("edit"), "workspaces", read),
    ];
    let mut roles = Vec::new();
    for (role, parent, resource, verbs) in parts {
        let mut labels = json!({label(role): "true"});
        if let Some(parent) = parent {
            labels[label(&format!("workspaces-{parent}"))] = json!("true");
        }
        let own = label(&format!("workspaces-{role}"));
        let aggregated = json!({
            "metadata": {"labels": labels}, "rules": [],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {own.clone(): "true"}}]},
        });
        roles.push(object(RBAC, "ClusterRole", &format!("kubeflow-workspaces-{role}"), &aggregated));
        let rule = json!({"apiGroups": ["kubeflow.org"], "resources": [resource, format!("{resource}/status")], "verbs": verbs});
        let part = json!({"metadata": {"labels": {own: "true"}}, "rules": [rule]});
        roles.push(object(RBAC, "ClusterRole", &format!("aggregate-to-kubeflow-workspaces-{role}"), &part));
    }
    roles
}

/// Everything else of the manifests, but for the CRDs.
fn peer_objects() -> Vec<Value> {
    let account = json!([{"kind": "ServiceAccount", "name": CONTROLLER_ACCOUNT, "namespace": NAMESPACE}]);
    let binding = |kind: &str, role: &str| json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}, "subjects": account});
    let service = json!({"spec": {"selector": selector(), "ports": [{"name": "https-webhook", "port": 443, "targetPort": "https-webhook"}]}});
    let certificate = json!({"spec": {
        "dnsNames": [format!("workspaces-webhook-service.{NAMESPACE}.svc")], "secretName": "webhook-server-cert",
        "issuerRef": {"kind": "Issuer", "name": "workspaces-selfsigned-issuer"},
    }});
    let webhook = json!({"webhooks": [{
        "name": "vworkspace.kb.io", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
        "clientConfig": {"service": {
            "name": "workspaces-webhook-service", "namespace": NAMESPACE, "path": "/validate-kubeflow-org-v1beta1-workspace",
        }},
        "rules": [{
            "apiGroups": ["kubeflow.org"], "apiVersions": ["v1beta1"], "operations": ["CREATE"], "resources": ["workspaces"],
        }],
    }]});
    let policy = json!({"spec": {
        "podSelector": {"matchLabels": {"app": "workspaces-controller"}}, "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": "https-webhook"}]}],
    }});
    let leases =
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]});
    let election = "workspaces-leader-election";
    let settings = json!({"data": {"USE_ISTIO": "true", "ISTIO_GATEWAY": "kubeflow/kubeflow-gateway", "ISTIO_HOST": "*", "CLUSTER_DOMAIN": "cluster.local"}});
    let mut objects = vec![
        object("v1", "ServiceAccount", CONTROLLER_ACCOUNT, &json!({})),
        object("v1", "ConfigMap", "kubeflow-workspaces-istio-config", &settings),
        object(RBAC, "ClusterRole", "workspaces-manager-role", &json!({"rules": role()["rules"]})),
        object(
            RBAC,
            "ClusterRoleBinding",
            "workspaces-manager-rolebinding",
            &binding("ClusterRole", "workspaces-manager-role"),
        ),
        object(RBAC, "Role", &format!("{election}-role"), &json!({"rules": [leases]})),
        object(RBAC, "RoleBinding", &format!("{election}-rolebinding"), &binding("Role", &format!("{election}-role"))),
        deployment(),
        object("v1", "Service", "workspaces-webhook-service", &service),
        object("cert-manager.io/v1", "Issuer", "workspaces-selfsigned-issuer", &json!({"spec": {"selfSigned": {}}})),
        object("cert-manager.io/v1", "Certificate", "workspaces-serving-cert", &certificate),
        object("networking.k8s.io/v1", "NetworkPolicy", "workspaces-controller", &policy),
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "workspaces-validating-webhook-configuration",
            &webhook,
        ),
    ];
    objects.extend(user_roles());
    objects
}

pub fn install_peer(cluster: &Cluster) {
    install_crds_of_others(cluster);
    install_crds(cluster, &older_crds());
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted", "istio-injection": "enabled"});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}});
    cluster.api().create("/api/v1/namespaces", &namespace).and_then(Reply::ok).unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": peer_objects()}).to_string();
    cluster.kubectl_stdin(&["apply", "--filename=-"], &list).unwrap().ok().unwrap();
    let rollout = ["rollout", "status", "deployment/workspaces-controller", "--namespace", NAMESPACE, "--timeout=60s"];
    cluster.kubectl(&rollout).unwrap().ok().unwrap();
}

/// Whether all of `wanted` is in `live`; the API server adds fields, but no items of lists.
fn missing_in(live: &Value, wanted: &Value, path: &str) -> Option<String> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().find_map(|(key, value)| {
            missing_in(live.get(key).unwrap_or(&Value::Null), value, &format!("{path}.{key}"))
        }),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            let pairs = live.iter().zip(wanted).enumerate();
            pairs.into_iter().find_map(|(index, (live, wanted))| missing_in(live, wanted, &format!("{path}[{index}]")))
        }
        // Quantities and empty lists have several forms.
        (Value::Null, Value::Array(list)) if list.is_empty() => None,
        _ if live == wanted => None,
        _ => Some(format!("{path} is {live}, not {wanted}")),
    }
}

/// Everything is as it would be had there been nothing before.
fn objects_are_those_of_the_chart(cluster: &Cluster) {
    let manifest =
        helm(&["get", "manifest", "workspaces-controller", "--namespace", NAMESPACE], Some(&cluster.api().kubeconfig));
    let rendered = documents(&manifest.stdout);
    assert!(rendered.len() > 15, "{}", manifest.stderr);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": rendered}).to_string();
    let live = cluster.kubectl_stdin(&["get", "--output=json", "--filename=-"], &list).unwrap().ok().unwrap();
    let live: Value = serde_json::from_str(&live).unwrap();
    let live = live["items"].as_array().unwrap();
    assert_eq!(live.len(), rendered.len());
    for (live, wanted) in live.iter().zip(&rendered) {
        let name = format!("{} {}", wanted["kind"], wanted["metadata"]["name"]);
        assert_eq!(missing_in(live, wanted, ""), None, "{name}");
    }
}

/// But for the ConfigMap, whose settings are values here, the chart has all that the manifests have, so nothing is left behind.
fn nothing_else_is_left(cluster: &Cluster) {
    let manifest =
        helm(&["get", "manifest", "workspaces-controller", "--namespace", NAMESPACE], Some(&cluster.api().kubeconfig));
    let name = |object: &Value| {
        format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    let ours: Vec<String> = documents(&manifest.stdout).iter().map(name).collect();
    let theirs = peer_objects();
    let left: Vec<String> = theirs.iter().map(name).filter(|name| !ours.contains(name)).collect();
    assert_eq!(left, ["ConfigMap kubeflow-workspaces-istio-config"]);
}

/// Asks without a pause whether a contributor may change a Workspace, until it is told to stop; returns how often that was denied.
fn denials(cluster: &Cluster, namespace: &str, stop: &AtomicBool, asked: &AtomicUsize) -> usize {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "contributor", "resourceAttributes": {
            "group": "kubeflow.org", "resource": "workspaces", "verb": "update", "namespace": namespace,
        }},
    });
    let mut denied = 0;
    while !stop.load(Ordering::Relaxed) {
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let reply = cluster.api().create(path, &review).and_then(Reply::ok).unwrap();
        denied += usize::from(reply["status"]["allowed"] != true);
        asked.fetch_add(1, Ordering::Relaxed);
    }
    denied
}

/// The documented steps: the webhook configuration and the Deployment go, everything else is taken over.
fn replace(cluster: &Cluster) {
    for (kind, name) in [
        ("validatingwebhookconfiguration", "workspaces-validating-webhook-configuration"),
        ("deployment", "workspaces-controller"),
    ] {
        cluster.kubectl(&["delete", kind, name, "--namespace", NAMESPACE]).unwrap().ok().unwrap();
    }
    let mut args = vec!["install", "workspaces-controller", CHART, "--namespace", NAMESPACE, "--values", KUBEFLOW];
    args.extend(["--take-ownership", "--wait", "--timeout", "2m"]);
    let installed = helm(&args, Some(&cluster.api().kubeconfig));
    assert!(installed.success, "{}", installed.stderr);
}

#[test]
fn the_go_controllers_installation_is_replaced_and_users_keep_their_rights() {
    let cluster = &Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    install_peer(cluster);
    let profile = user_roles::make_kubeflow_users(cluster);
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    user_roles::wait_until_contributors_may_edit(cluster, &profile);
    let denied = std::thread::scope(|scope| {
        let denials = scope.spawn(|| denials(cluster, &profile, &stop, &asked));
        replace(cluster);
        objects_are_those_of_the_chart(cluster);
        nothing_else_is_left(cluster);
        stop.store(true, Ordering::Relaxed);
        denials.join().unwrap()
    });
    let asked = asked.into_inner();
    assert!(asked > 100, "{asked}");
    assert_eq!(denied, 0, "of {asked}");
    user_roles::kubeflow_users_have_rights(cluster, &profile);

    // The same release, where this machine can run it.
    let site = Site::new();
    let upgraded = site.helm(cluster, "upgrade", &["--values", KUBEFLOW, "--wait", "--timeout", "2m"]);
    assert!(upgraded.success, "{}", upgraded.stderr);
    let mut process = start(cluster, CONTROLLER_ACCOUNT, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    kinds_of_the_other_dialect_are_refused(cluster);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}

/// The stock backend could not read them.
pub fn kinds_of_the_other_dialect_are_refused(cluster: &Cluster) {
    let kinds = "/apis/kubeflow.org/v1beta1/workspacekinds";
    let of = |file: &str| documents(&text(file)).pop().unwrap();
    let refused = cluster.wait_for("the webhook to be asked", TIMEOUT, || {
        let reply = cluster.api().create(kinds, &of("docs/examples/jupyterlab-kind.yaml")).unwrap();
        if reply.body.contains("denied the request") { Ok(reply) } else { Err(reply.body) }
    });
    let refused = refused.unwrap();
    let cause = &refused.json()["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.podTemplate.ports");
    assert_eq!(
        cause["message"],
        "Forbidden: this installation serves kinds that name their ports with 'id' (--port-dialects=id): the Kubeflow backend and user \
         interface cannot list others"
    );
    cluster.api().create(kinds, &of("docs/examples/jupyterlab-connect-kind.yaml")).and_then(Reply::ok).unwrap();
}
