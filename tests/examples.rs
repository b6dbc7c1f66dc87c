//! The examples of `docs/examples`: each kind and each Workspace is accepted without a warning, runs, and has the
//! path that its comments state.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use cluster::{Cluster, ControllerOptions, ControllerProcess};
use crds::ports::{ConnectPaths, Dialect};
use crds::{Workspace, WorkspaceKind};
use serde_json::{Value, json};
use webhook::Policy;
use webhook::field::Findings;
use webhook::workspace::{Candidate, ReferencedKind, Surroundings};
use workspaces_controller::config::Routing;
use workspaces_controller::render::{RenderInput, Route, render};

const TIMEOUT: Duration = Duration::from_secs(90);

/// The path of each kind's Workspace, and whether the server sees it.
const ROUTES: [(&str, Dialect, &str, bool); 5] = [
    ("code-server", Dialect::PortId, "/workspace/default/my-editor/codeserver/", false),
    ("jupyterlab", Dialect::PortId, "/workspace/default/my-notebook/jupyterlab/", true),
    ("jupyterlab-connect", Dialect::Id, "/workspace/connect/default/my-connected-notebook/jupyterlab/", true),
    ("jupyterlab-kueue", Dialect::PortId, "/workspace/default/my-queued-notebook/jupyterlab/", true),
    ("rstudio", Dialect::PortId, "/workspace/default/my-r/rstudio/", false),
];

struct Example {
    kind_file: String,
    workspace_file: String,
    kind: WorkspaceKind,
    workspace: Workspace,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn only<T: serde::de::DeserializeOwned>(file: &str, kind: &str) -> T {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(file)).unwrap();
    let mut found = documents.into_iter().filter(|document| document["kind"] == kind);
    let document = found.next().unwrap_or_else(|| panic!("{file} holds no {kind}"));
    assert!(found.next().is_none(), "{file} holds more than one {kind}");
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every example by the name of its kind.
fn examples() -> BTreeMap<String, Example> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: BTreeSet<String> = names.filter(|name| name != "README.md").collect();
    let mut examples = BTreeMap::new();
    for kind_file in files.clone() {
        let Some(stem) = kind_file.strip_suffix("-kind.yaml") else { continue };
        let workspace_file = format!("{stem}-workspace.yaml");
        assert!(files.remove(&kind_file) && files.remove(&workspace_file), "{kind_file} without {workspace_file}");
        let (kind, workspace) = (only(&kind_file, "WorkspaceKind"), only(&workspace_file, "Workspace"));
        examples.insert(stem.to_owned(), Example { kind_file, workspace_file, kind, workspace });
    }
    assert!(files.is_empty(), "neither a kind nor the Workspace of one: {files:?}");
    assert!(examples.keys().eq(ROUTES.iter().map(|(name, ..)| name)), "{:?}", examples.keys());
    examples
}

#[test]
fn examples_are_free_of_faults_and_warnings() {
    for (name, example) in examples() {
        let (_, dialect, ..) = ROUTES.into_iter().find(|(known, ..)| *known == name).unwrap();
        assert_eq!(example.kind.metadata.name.as_deref(), Some(name.as_str()));
        assert_eq!(example.workspace.spec.kind, name);
        assert_eq!(example.kind.spec.pod_template.dialect(), dialect);
        // An installation that accepts only this dialect accepts the example too.
        for dialects in [BTreeSet::from([Dialect::PortId, Dialect::Id]), BTreeSet::from([dialect])] {
            let policy = Policy { dialects, ..Policy::default() };
            assert_eq!(webhook::workspace_kind::validate(&example.kind.spec, &policy), Findings::default(), "{name}");
            let candidate = Candidate {
                name: example.workspace.metadata.name.as_deref().unwrap(),
                namespace: example.workspace.metadata.namespace.as_deref().unwrap(),
                spec: &example.workspace.spec,
            };
            let findings = webhook::workspace::validate(
                candidate,
                ReferencedKind::Present(&example.kind),
                &Surroundings::default(),
                &policy,
            );
            assert_eq!(findings, Findings::default(), "{name}");
        }
    }
}

/// Every option renders, and the selected one to the route that the comments name.
#[test]
fn examples_render_to_the_routes_that_they_describe() {
    let routing = Routing {
        use_istio: true,
        gateways: vec!["kubeflow/kubeflow-gateway".to_owned()],
        hosts: vec!["*".to_owned()],
        cluster_domain: "cluster.local".to_owned(),
        paths: ConnectPaths::by_dialect(),
        redirect_missing_slash: false,
        redirect_scheme: None,
    };
    let examples = examples();
    for (name, _, path, whole) in ROUTES {
        let Example { kind, workspace, .. } = &examples[name];
        let options = &kind.spec.pod_template.options;
        for (image, pod) in options
            .image_config
            .values
            .iter()
            .flat_map(|image| options.pod_config.values.iter().map(move |pod| (image.id.clone(), pod.id.clone())))
        {
            let mut workspace = workspace.clone();
            workspace.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
            workspace.spec.pod_template.options.image_config = image;
            workspace.spec.pod_template.options.pod_config = pod;
            let desired = render(RenderInput::from(&workspace), &kind.spec, &routing).unwrap();
            let Route::Wanted(route) = desired.route else { panic!("{name}: {:?}", desired.route) };
            let route = serde_json::to_value(route).unwrap();
            let http = route["spec"]["http"].as_array().unwrap();
            assert_eq!(http.len(), 1, "{name}");
            assert_eq!(http[0]["match"], json!([{"uri": {"prefix": path}}]));
            let rewrite = if whole { Value::Null } else { json!({"uri": "/"}) };
            assert_eq!(http[0]["rewrite"], rewrite, "{name}");
            assert!(desired.skipped_mounts.is_empty(), "{name}");
            let set = serde_json::to_value(desired.stateful_set).unwrap();
            let queue = if name == "jupyterlab-kueue" { json!("notebooks") } else { Value::Null };
            assert_eq!(set["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], queue, "{name}");
            told_its_path(name, path, &set["spec"]["template"]["spec"]["containers"][0], &http[0]);
        }
    }
}

/// Jupyter reads its path from a variable, RStudio from a header, code-server needs neither.
fn told_its_path(name: &str, path: &str, container: &Value, http: &Value) {
    let env: Vec<&Value> = container["env"].as_array().into_iter().flatten().collect();
    match name {
        "rstudio" => assert_eq!(http["headers"], json!({"request": {"set": {"X-RStudio-Root-Path": path}}})),
        _ => assert!(http.get("headers").is_none(), "{name}: {http}"),
    }
    match name {
        "jupyterlab" | "jupyterlab-connect" | "jupyterlab-kueue" => {
            assert_eq!(env, [&json!({"name": "NB_PREFIX", "value": path})]);
        }
        _ => assert!(env.is_empty(), "{name}: {env:?}"),
    }
}

/// With `kubectl apply`, as the comments state: no warning, the pod runs under pod security, the route exists.
#[test]
fn examples_run_on_a_real_control_plane() {
    let cluster = Cluster::shared();
    let controller =
        ControllerProcess::start(cluster, &ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller")))
            .unwrap();
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    cluster.api().merge_patch("/api/v1/namespaces/default", &restricted).unwrap().ok().unwrap();
    let examples = examples();
    for (number, example) in examples.values().enumerate() {
        // For the claim of the example: there is no provisioner on this control plane.
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": format!("home-{number}")},
            "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}},
        });
        cluster.api().create("/api/v1/persistentvolumes", &volume).unwrap().ok().unwrap();
        for file in [&example.kind_file, &example.workspace_file] {
            let path = folder().join(file);
            let output = cluster.kubectl(&["apply", "--validate=strict", "-f", path.to_str().unwrap()]).unwrap();
            assert!(output.success && output.stderr.is_empty(), "{file}: {}", output.stderr);
        }
    }
    for (name, _, path, _) in ROUTES {
        let workspace = examples[name].workspace.metadata.name.as_deref().unwrap();
        let at = format!("/apis/kubeflow.org/v1beta1/namespaces/default/workspaces/{workspace}");
        let running = controller.wait_for("the Workspace to run", TIMEOUT, || {
            let status = cluster.api().get(&at).unwrap().json()["status"].clone();
            if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
        });
        running.unwrap_or_else(|error| panic!("{name}: {error}\n{}", controller.log()));
        let selector = format!("?labelSelector=notebooks.kubeflow.org/workspace-name={workspace}");
        let routes = format!("/apis/networking.istio.io/v1/namespaces/default/virtualservices{selector}");
        let routes = cluster.api().get(&routes).unwrap().ok().unwrap();
        assert_eq!(routes["items"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(routes["items"][0]["spec"]["http"][0]["match"], json!([{"uri": {"prefix": path}}]), "{name}");
    }
}
