//! The kustomize base: is what of it is made from the chart as it would be made now, and does it build, with real kustomize, what
//! the chart with its preset for Kubeflow renders?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cluster::Tools;
use serde_json::{Value, json};
use workspaces_controller::cli::{self, Invocation};
use workspaces_controller::config::{Environment, Settings};

use crate::helm::{NAMESPACE, PRESETS, checkout, documents, objects, only, text};

/// The folder with the layout of the Go controller's manifests.
pub const KUSTOMIZE: &str = "charts/kustomize";
const REGENERATE: &str = "REGENERATE_DOCS";
/// What the preset leaves out and the component `prometheus` has.
const MONITOR: &str = "monitoring.serviceMonitor.enabled=true";

/// Files that are made from the chart, with the kinds and names of their objects.
const MADE: [(&str, &[(&str, &str)]); 11] = [
    ("base/manager/service_account.yaml", &[("ServiceAccount", "workspaces-controller")]),
    ("base/manager/role.yaml", &[("ClusterRole", "workspaces-manager-role")]),
    ("base/manager/role_binding.yaml", &[("ClusterRoleBinding", "workspaces-manager-rolebinding")]),
    ("base/manager/leader_election_role.yaml", &[("Role", "workspaces-leader-election-role")]),
    ("base/manager/leader_election_role_binding.yaml", &[("RoleBinding", "workspaces-leader-election-rolebinding")]),
    (
        "base/manager/user_cluster_roles.yaml",
        &[
            ("ClusterRole", "kubeflow-workspaces-admin"),
            ("ClusterRole", "kubeflow-workspaces-edit"),
            ("ClusterRole", "kubeflow-workspaces-view"),
            ("ClusterRole", "aggregate-to-kubeflow-workspaces-admin"),
            ("ClusterRole", "aggregate-to-kubeflow-workspaces-edit"),
            ("ClusterRole", "aggregate-to-kubeflow-workspaces-view"),
        ],
    ),
    (
        "base/webhook/manifests.yaml",
        &[("ValidatingWebhookConfiguration", "workspaces-validating-webhook-configuration")],
    ),
    ("base/webhook/service.yaml", &[("Service", "workspaces-webhook-service")]),
    (
        "components/certmanager/certificate.yaml",
        &[
            ("Issuer", "workspaces-selfsigned-issuer"),
            ("Certificate", "workspaces-ca"),
            ("Issuer", "workspaces-ca-issuer"),
            ("Certificate", "workspaces-serving-cert"),
        ],
    ),
    ("components/prometheus/service.yaml", &[("Service", "workspaces-controller-metrics-service")]),
    ("components/prometheus/monitor.yaml", &[("ServiceMonitor", "workspaces-controller-metrics-monitor")]),
];

/// Labels that components of kustomize add, or that are helm's.
fn is_of_the_tool(key: &str) -> bool {
    key.starts_with("helm.sh/") || key == "app" || key.starts_with("app.kubernetes.io/")
}

/// Removes those entries of a map, and the map if nothing is left.
fn remove_those_of_the_tool(object: &mut Value, field: &str) {
    let Some(map) = object.get_mut(field).and_then(Value::as_object_mut) else { return };
    map.retain(|key, _| !is_of_the_tool(key));
    if map.is_empty() {
        object.as_object_mut().unwrap().remove(field);
    }
}

/// The object without what the tool adds that installs it.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["labels", "annotations"] {
        remove_those_of_the_tool(&mut object["metadata"], field);
    }
    object
}

/// As a file of a base has it: kustomize sets namespace and the labels of selectors.
fn as_resource(object: &Value) -> Value {
    let mut object = bare(object);
    object["metadata"].as_object_mut().unwrap().remove("namespace");
    if object["kind"] == "ServiceMonitor" {
        object["metadata"]["labels"] = json!({"app.kubernetes.io/component": "metrics"});
    }
    if object["kind"] == "ValidatingWebhookConfiguration" {
        // The component certmanager has it.
        object["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    if object["kind"] == "Service" {
        // Where a patch changes the port of the container, the Service follows.
        let name = object["spec"]["ports"][0]["name"].clone();
        object["spec"]["ports"][0]["targetPort"] = name;
        if object["metadata"]["name"] == "workspaces-controller-metrics-service" {
            object["metadata"]["labels"] = json!({"app.kubernetes.io/component": "metrics"});
        }
        object["spec"]["selector"] = selector();
    }
    object
}

/// The labels of selectors in `base/manager`; `components/common` adds the others.
fn selector() -> Value {
    json!({"app": "workspaces-controller", "app.kubernetes.io/component": "controller-manager"})
}

/// Arguments and ports as in the Go controller's layout, the rest as in the chart.
fn deployment(chart: &[Value]) -> Value {
    let mut deployment = as_resource(only(chart, "Deployment"));
    let spec = &mut deployment["spec"];
    spec["replicas"] = json!(1);
    spec["selector"]["matchLabels"] = json!({});
    remove_those_of_the_tool(&mut spec["template"]["metadata"], "labels");
    let pod = &mut spec["template"]["spec"];
    pod.as_object_mut().unwrap().remove("volumes");
    for constraint in pod["topologySpreadConstraints"].as_array_mut().unwrap() {
        constraint["labelSelector"]["matchLabels"] = selector();
    }
    let container = pod["containers"][0].as_object_mut().unwrap();
    container.remove("volumeMounts");
    container.remove("env");
    container.insert("image".to_owned(), json!("workspaces-controller"));
    container.insert(
        "args".to_owned(),
        json!(["--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=0"]),
    );
    container.insert("envFrom".to_owned(), json!([{"configMapRef": {"name": "workspaces-controller-settings"}}]));
    container.insert(
        "ports".to_owned(),
        json!([
            {"name": "http", "containerPort": 8081, "protocol": "TCP"},
            {"name": "https-webhook", "containerPort": 9443, "protocol": "TCP"},
        ]),
    );
    for probe in ["livenessProbe", "readinessProbe"] {
        container[probe]["httpGet"]["port"] = json!("http");
    }
    deployment
}

/// What mounts the certificate.
fn mount(chart: &[Value]) -> Value {
    let pod = &only(chart, "Deployment")["spec"]["template"]["spec"];
    let container = json!({"name": "manager", "volumeMounts": pod["containers"][0]["volumeMounts"]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "workspaces-controller"},
        "spec": {"template": {"spec": {"containers": [container], "volumes": pod["volumes"]}}},
    })
}

/// Who may connect: the component `prometheus` has a policy of its own for the metrics.
fn policy(chart: &[Value]) -> Value {
    let mut policy = as_resource(only(chart, "NetworkPolicy"));
    let names = BTreeMap::from([(8081, "http"), (9443, "https-webhook")]);
    policy["spec"]["podSelector"]["matchLabels"] = selector();
    let rules = policy["spec"]["ingress"].as_array_mut().unwrap();
    rules.retain(|rule| rule["ports"][0]["port"] != 8080);
    for rule in rules {
        let port = &mut rule["ports"][0]["port"];
        *port = json!(names[&port.as_i64().unwrap()]);
    }
    policy
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(is).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Every file that is made from the chart.
fn made() -> BTreeMap<String, String> {
    let chart = objects(&[PRESETS[2], MONITOR]);
    let written = |objects: &[Value]| {
        let documents: Vec<String> = objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
        format!(
            "# Made from the chart with its preset for Kubeflow: {REGENERATE}=1 cargo test --all-features --test chart kustomize\n{}",
            documents.join("---\n")
        )
    };
    let files = MADE.iter().map(|(file, names)| {
        let objects: Vec<Value> = names.iter().map(|(kind, name)| as_resource(named(&chart, kind, name))).collect();
        ((*file).to_owned(), written(&objects))
    });
    let others = [
        ("base/manager/manager.yaml", deployment(&chart)),
        ("components/certmanager/deployment_patch.yaml", mount(&chart)),
        ("components/istio/network-policy.yaml", policy(&chart)),
    ];
    files.chain(others.map(|(file, object)| (file.to_owned(), written(&[object])))).collect()
}

#[test]
fn files_are_those_of_the_chart() {
    for (file, content) in made() {
        let path = checkout(KUSTOMIZE).join(&file);
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        let is = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            is == content,
            "{KUSTOMIZE}/{file} is out of date: {REGENERATE}=1 cargo test --all-features --test chart kustomize"
        );
    }
}

/// What kustomize makes of a folder.
pub fn build(folder: &Path) -> String {
    static KUSTOMIZE: LazyLock<PathBuf> =
        LazyLock::new(|| Tools::kustomize().unwrap_or_else(|error| panic!("{error}")));
    let output = Command::new(&*KUSTOMIZE).arg("build").arg(folder).env_clear().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", folder.display());
    String::from_utf8(output.stdout).unwrap()
}

fn overlay(name: &str) -> Vec<Value> {
    documents(&build(&checkout(KUSTOMIZE).join("overlays").join(name)))
}

/// Kind and name, without the hash that kustomize appends to names of ConfigMaps.
fn name(object: &Value) -> String {
    let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
    let name = if kind == "ConfigMap" { name.rsplit_once('-').unwrap().0 } else { name };
    format!("{kind} {name}")
}

#[test]
fn overlay_builds_the_objects_of_the_chart() {
    let (built, chart) = (overlay("istio-prometheus"), objects(&[PRESETS[2], MONITOR]));
    let names = |objects: &[Value]| objects.iter().map(name).collect::<BTreeSet<_>>();
    let (ours, theirs) = (names(&built), names(&chart));
    let only_built: Vec<&String> = ours.difference(&theirs).collect();
    assert_eq!(
        only_built,
        [
            "ConfigMap kubeflow-workspaces-istio-config",
            "ConfigMap workspaces-controller-settings",
            "Namespace kubeflow-workspaces",
            "NetworkPolicy allow-prometheus-scrape",
            "NetworkPolicy default-deny-ingress",
        ]
    );
    let only_rendered: Vec<&String> = theirs.difference(&ours).collect();
    // There is one replica.
    assert_eq!(only_rendered, ["PodDisruptionBudget workspaces-controller"]);
    for rendered in chart {
        let Some(built) = built.iter().find(|built| name(built) == name(&rendered)) else { continue };
        assert_same(bare(built), bare(&rendered));
    }
}

/// Apart from what the layout has otherwise.
#[track_caller]
fn assert_same(mut built: Value, mut rendered: Value) {
    let what = name(&rendered);
    match rendered["kind"].as_str().unwrap() {
        // What they do is compared by the settings that follow from them.
        "Deployment" => {
            for spec in [&mut built["spec"], &mut rendered["spec"]] {
                spec.as_object_mut().unwrap().remove("replicas");
                remove_those_of_the_tool(&mut spec["template"]["metadata"], "labels");
                let template = &mut spec["template"];
                for scrape in ["prometheus.io/scrape", "prometheus.io/port"] {
                    template["metadata"]["annotations"].as_object_mut().unwrap().remove(scrape);
                }
                let container = template["spec"]["containers"][0].as_object_mut().unwrap();
                for field in ["args", "env", "envFrom", "ports"] {
                    container.remove(field);
                }
                for probe in ["livenessProbe", "readinessProbe"] {
                    container[probe]["httpGet"]["port"] = Value::Null;
                }
            }
        }
        "Service" => {
            for service in [&mut built, &mut rendered] {
                service["spec"]["ports"][0]["targetPort"] = Value::Null;
            }
        }
        // Ports have names here, and those of metrics a policy of their own.
        "NetworkPolicy" => {
            let rules = rendered["spec"]["ingress"].as_array_mut().unwrap();
            rules.retain(|rule| rule["ports"][0]["port"] != 8080);
            for policy in [&mut built, &mut rendered] {
                for rule in policy["spec"]["ingress"].as_array_mut().unwrap() {
                    rule["ports"][0]["port"] = Value::Null;
                }
            }
        }
        _ => {}
    }
    assert_eq!(built, rendered, "{what}");
}

/// The environment of the container, in the order of precedence: its variables, then those of whole ConfigMaps.
pub fn environment(container: &Value, config_map: impl Fn(&str) -> Value) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for from in container["envFrom"].as_array().into_iter().flatten() {
        let data = config_map(from["configMapRef"]["name"].as_str().unwrap())["data"].clone();
        let data: BTreeMap<String, String> = serde_json::from_value(data).unwrap();
        environment.extend(data);
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let key = &variable["valueFrom"]["configMapKeyRef"];
        let value = match key["name"].as_str() {
            Some(name) => config_map(name)["data"][key["key"].as_str().unwrap()].clone(),
            None => variable["value"].clone(),
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned());
    }
    environment
}

/// The settings that the process of the Deployment has.
fn settings(objects: &[Value]) -> Settings {
    let container = &only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let mut environment = environment(container, |name| named(objects, "ConfigMap", name).clone());
    environment.insert("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned());
    let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let args = std::iter::once("manager").chain(args).map(Into::into);
    match cli::parse(args, &environment.into_iter().collect::<Environment>()) {
        Ok(Invocation::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_process_has_the_settings_of_the_chart() {
    let chart = settings(&objects(&[PRESETS[2]]));
    assert_eq!(settings(&overlay("istio-prometheus")), chart);
    assert_eq!(settings(&overlay("istio")), Settings { metrics_address: None, ..chart });
    let base = settings(&documents(&build(&checkout(KUSTOMIZE).join("base"))));
    assert!(!base.routing.use_istio, "the Go controller makes no routes without the component istio");
}

/// As those who deploy the Go controller by an overlay of their own do it, only with these in place of its manifests.
#[test]
fn an_overlay_for_the_go_controller_needs_no_change() {
    let folder = tempfile::tempdir().unwrap();
    copy(&checkout(KUSTOMIZE), &folder.path().join("charts/kustomize"));
    copy(&checkout("crds"), &folder.path().join("crds"));
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("kustomization.yaml"), OVERLAY).unwrap();
    let built = documents(&build(&mine));
    let deployment = only(&built, "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/notebooks/workspaces-controller:v1");
    assert_eq!(container["resources"]["limits"], json!({"memory": "1Gi"}));
    assert_eq!(deployment["spec"]["template"]["spec"]["priorityClassName"], "system-cluster-critical");
    let settings = settings(&built);
    assert_eq!(settings.routing.gateways, ["istio-system/public"]);
    assert_eq!(settings.routing.cluster_domain, "cluster.local");
    // Another namespace, with a copy of the overlay.
    let overlay = text(&format!("{KUSTOMIZE}/overlays/istio/kustomization.yaml"));
    let other = folder.path().join("charts/kustomize/overlays/other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("kustomization.yaml"), overlay.replace(NAMESPACE, "notebooks")).unwrap();
    let all = build(&other);
    for line in all.lines().filter(|line| line.contains(NAMESPACE)) {
        // Names of roles and labels begin with it.
        let is_a_name = ["kubeflow-workspaces-", "part-of: kubeflow-workspaces"].iter().any(|name| line.contains(name));
        assert!(is_a_name, "{line}");
    }
}

/// An overlay as it is written for the Go controller's manifests.
const OVERLAY: &str = r"
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - ../charts/kustomize/overlays/istio
configMapGenerator:
  - name: kubeflow-workspaces-istio-config
    namespace: kubeflow-workspaces
    behavior: merge
    literals:
      - ISTIO_GATEWAY=istio-system/public
images:
  - name: workspaces-controller
    newName: registry.example.com/notebooks/workspaces-controller
    newTag: v1
patches:
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: workspaces-controller
        namespace: kubeflow-workspaces
      spec:
        template:
          spec:
            priorityClassName: system-cluster-critical
            containers:
              - name: manager
                resources:
                  limits:
                    memory: 1Gi
  - target: {kind: Deployment, name: workspaces-controller}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/args
        value: [--leader-elect, --health-probe-bind-address=:8081, --metrics-bind-address=0]
      - op: replace
        path: /spec/template/spec/containers/0/ports/0
        value: {name: http, containerPort: 8081}
";

/// A folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
