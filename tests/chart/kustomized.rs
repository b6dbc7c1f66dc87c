//! The files of a release, and the kustomize base among them installed as its users do it: by an overlay, over the Go controller's
//! objects, with the process that the live Deployment describes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use cluster::{CONTROLLER_ACCOUNT, CONTROLLER_USER, Cluster, ClusterOptions, Tools};
use serde_json::json;

use crate::helm::{CHART, NAMESPACE, PRESETS, checkout, documents, helm, text};
use crate::installed::Site;
use crate::kustomize::{build, copy, environment};
use crate::process::Process;
use crate::replaced::{install_peer, kinds_of_the_other_dialect_are_refused};

const TIMEOUT: Duration = Duration::from_mins(1);
const VERSION: &str = env!("CARGO_PKG_VERSION");
const IMAGE: &str = "registry.example.com/notebooks/workspaces-controller";

/// A copy of what a release is made of, with an entry of the changelog.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for from in [".ci", "charts", "crds"] {
            copy(&checkout(from), &folder.path().join(from));
        }
        for file in ["Cargo.toml", "Dockerfile", "CHANGELOG.md"] {
            std::fs::copy(checkout(file), folder.path().join(file)).unwrap();
        }
        let copy = Self(folder);
        let older = "\n## 0.0.1\n\n- Of an older version.\n";
        copy.replace("CHANGELOG.md", "## Unreleased\n", &format!("## {VERSION} - 2026-11-28\n"));
        let changes = std::fs::read_to_string(copy.path("CHANGELOG.md")).unwrap();
        std::fs::write(copy.path("CHANGELOG.md"), changes + older).unwrap();
        copy
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    fn run(&self, script: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.path(script));
        command.args(args).env("HELM", Tools::helm().unwrap()).env("SOURCE_DATE_EPOCH", "0");
        command.current_dir(self.0.path()).output().unwrap()
    }

    fn release(&self, folder: &str) -> PathBuf {
        let folder = self.path(folder);
        let made = self.run(".ci/release-files", &["--image", IMAGE, VERSION, folder.to_str().unwrap()]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        folder
    }
}

/// The unpacked archive.
fn unpack(release: &Path, into: &Path) -> PathBuf {
    let name = format!("workspaces-controller-kustomize-{VERSION}");
    let archive = release.join(format!("{name}.tar.gz"));
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into).status().unwrap();
    assert!(status.success());
    into.join(name)
}

#[test]
fn a_tag_that_disagrees_is_refused() {
    let copy = Checkout::new();
    let check = |tag: &str| {
        let output = copy.run(".ci/release-check", &[tag]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(check(&format!("v{VERSION}")), (0, format!("{VERSION}\n"), String::new()));
    assert_eq!(check(VERSION).0, 2);
    let places = [
        ("Cargo.toml", format!("version = \"{VERSION}\"\nedition"), "version = \"9.9.9\"\nedition"),
        ("charts/workspaces-controller/Chart.yaml", format!("\nversion: {VERSION}"), "\nversion: 9.9.9"),
        ("charts/workspaces-controller/Chart.yaml", format!("\nappVersion: {VERSION}"), "\nappVersion: 9.9.9"),
        ("Dockerfile", format!("ARG VERSION={VERSION}"), "ARG VERSION=9.9.9"),
        ("charts/kustomize/base/manager/kustomization.yaml", format!("newTag: {VERSION}"), "newTag: 9.9.9"),
    ];
    for (file, from, to) in &places {
        copy.replace(file, from, to);
        let expected = format!("release-check: {file} has '9.9.9', not '{VERSION}'\n");
        assert_eq!(check(&format!("v{VERSION}")), (1, String::new(), expected));
        copy.replace(file, to, from);
    }
    copy.replace("CHANGELOG.md", &format!("## {VERSION} "), "## Unreleased ");
    let expected = format!("release-check: CHANGELOG.md has no entry '## {VERSION}': rename 'Unreleased'\n");
    assert_eq!(check(&format!("v{VERSION}")), (1, String::new(), expected));
}

#[test]
fn a_release_has_chart_kustomize_base_and_checksums() {
    let copy = Checkout::new();
    let binary = copy.path("release");
    std::fs::create_dir(&binary).unwrap();
    std::fs::write(binary.join("program"), "of another step").unwrap();
    let release = copy.release("release");
    let mut names: Vec<String> =
        std::fs::read_dir(&release).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let chart = format!("workspaces-controller-{VERSION}.tgz");
    let (crds, base) = (
        format!("workspaces-controller-crds-{VERSION}.yaml"),
        format!("workspaces-controller-kustomize-{VERSION}.tar.gz"),
    );
    assert_eq!(names, ["SHA256SUMS", "program", "release-notes.md", &chart, &crds, &base].map(str::to_owned));

    let checked = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&release).output();
    let checked = String::from_utf8(checked.unwrap().stdout).unwrap();
    assert_eq!(checked, format!("program: OK\n{chart}: OK\n{crds}: OK\n{base}: OK\n"));
    let notes = std::fs::read_to_string(release.join("release-notes.md")).unwrap();
    assert!(notes.starts_with("### Added\n") && notes.contains("WorkspaceKind"), "{notes}");
    assert!(!notes.contains("Of an older version"), "{notes}");
    let crds = documents(&std::fs::read_to_string(release.join(crds)).unwrap());
    assert_eq!(crds.len(), 2);

    the_chart_is_that_of_the_checkout(&release.join(chart));
    let folder = tempfile::tempdir().unwrap();
    let overlay = unpack(&release, folder.path()).join("overlays/istio-prometheus");
    let built = build(&overlay);
    let of_the_checkout = build(&checkout("charts/kustomize/overlays/istio-prometheus"));
    assert_eq!(built, of_the_checkout.replace("image: workspaces-controller:", &format!("image: {IMAGE}:")));
    // The same commit, the same archive.
    let again = copy.release("again");
    assert!(std::fs::read(again.join(&base)).unwrap() == std::fs::read(release.join(&base)).unwrap());
}

fn the_chart_is_that_of_the_checkout(package: &Path) {
    let render = |chart: &str| {
        let args = ["template", "workspaces-controller", chart, "--namespace", NAMESPACE, "--values", PRESETS[2]];
        let rendered = helm(&args, None);
        assert!(rendered.success, "{}", rendered.stderr);
        rendered.stdout
    };
    let expected = render(CHART).replace("\"workspaces-controller:", &format!("\"{IMAGE}:"));
    assert_eq!(render(package.to_str().unwrap()), expected);
}

/// An overlay as users have it, with addresses of this machine.
fn overlay(site: &Site) -> String {
    let [webhook, health, _] = site.ports;
    let args = json!([
        "--leader-elect",
        format!("--health-probe-bind-address=:{health}"),
        "--metrics-bind-address=0",
        format!("--webhook-bind-address=:{webhook}"),
        format!("--webhook-cert-dir={}", site.dir.path().display()),
        "--status-bind-address=127.0.0.1:0",
    ]);
    let args = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}]);
    let settings = json!({
        "name": "kubeflow-workspaces-istio-config", "namespace": NAMESPACE, "behavior": "merge",
        "literals": ["ISTIO_GATEWAY=istio-system/public"],
    });
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [format!("../workspaces-controller-kustomize-{VERSION}/overlays/istio")],
        "configMapGenerator": [settings],
        "patches": [{"target": {"kind": "Deployment"}, "patch": args.to_string()}],
    });
    kustomization.to_string()
}

/// Here the API server does not reach Services, and cert-manager does not run.
fn call_by_url(cluster: &Cluster, site: &Site) {
    let ca = base64::engine::general_purpose::STANDARD.encode(std::fs::read(site.dir.path().join("ca.crt")).unwrap());
    let client = |index: usize, kind: &str| {
        let url = format!("https://127.0.0.1:{}/validate-kubeflow-org-v1beta1-{kind}", site.ports[0]);
        json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig"), "value": {"url": url, "caBundle": ca}})
    };
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/workspaces-validating-webhook-configuration";
    let stored = cluster.api().get(path).unwrap().ok().unwrap();
    assert_eq!(
        stored["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
        format!("{NAMESPACE}/workspaces-serving-cert")
    );
    assert_eq!(stored["webhooks"][0]["clientConfig"]["service"]["name"], "workspaces-webhook-service");
    let clients = json!([client(0, "workspace"), client(1, "workspacekind")]);
    cluster.api().json_patch(path, &clients).and_then(cluster::Reply::ok).unwrap();
}

fn start(cluster: &Cluster, site: &Site) -> Process {
    let get = |path: &str| cluster.api().get(path).unwrap().ok().unwrap();
    let deployment = get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/workspaces-controller"));
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], CONTROLLER_ACCOUNT);
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("{IMAGE}:{VERSION}"));
    let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect();
    let config_map = |name: &str| get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"));
    let mut env = environment(container, config_map);
    let account = cluster.as_service_account(NAMESPACE, CONTROLLER_ACCOUNT).unwrap();
    env.insert("KUBECONFIG".to_owned(), account.kubeconfig.display().to_string());
    env.insert("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned());
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_workspaces-controller"));
    let mut process = Process::start(&binary, args, env.into_iter().collect(), site.dir.path().join("log"));
    process.wait_ready(site.ports[1], TIMEOUT);
    process
}

#[test]
fn the_kustomize_base_takes_the_place_of_the_go_controllers() {
    let cluster = &Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    install_peer(cluster);
    let (copy, site, folder) = (Checkout::new(), Site::new(), tempfile::tempdir().unwrap());
    unpack(&copy.release("release"), folder.path());
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("kustomization.yaml"), overlay(&site)).unwrap();
    let apply = ["apply", "--server-side", "--force-conflicts", "--kustomize", mine.to_str().unwrap()];
    cluster.kubectl(&apply).unwrap().ok().unwrap();
    let rollout = ["rollout", "status", "deployment/workspaces-controller", "--namespace", NAMESPACE, "--timeout=60s"];
    cluster.kubectl(&rollout).unwrap().ok().unwrap();

    call_by_url(cluster, &site);
    let mut process = start(cluster, &site);
    kinds_of_the_other_dialect_are_refused(cluster);
    a_workspace_is_routed(cluster);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
    let refused = cluster.audit().all().unwrap().by(CONTROLLER_USER).filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
}

/// With the settings of the overlay and of the base.
fn a_workspace_is_routed(cluster: &Cluster) {
    let mut workspace = documents(&text("docs/examples/jupyterlab-connect-workspace.yaml")).pop().unwrap();
    workspace["metadata"] = json!({"name": "mine"});
    workspace["spec"]["podTemplate"]["volumes"] = json!({});
    let workspaces = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
    cluster.api().create(workspaces, &workspace).and_then(cluster::Reply::ok).unwrap();
    let route = cluster.wait_for("the route", TIMEOUT, || {
        let routes = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
        let routes = cluster.api().get(routes).unwrap().json()["items"].as_array().cloned().unwrap_or_default();
        routes.first().cloned().ok_or("none yet")
    });
    let route = route.unwrap();
    assert_eq!(route["spec"]["gateways"], json!(["istio-system/public"]));
    let uri = route["spec"]["http"][0]["match"][0]["uri"]["prefix"].as_str().unwrap();
    assert!(uri.starts_with("/workspace/connect/default/mine/"), "{route}");
    let running = cluster.wait_for("the Workspace to run", TIMEOUT, || {
        let workspace = cluster.api().get(&format!("{workspaces}/mine")).unwrap().json();
        if workspace["status"]["state"] == "Running" { Ok(()) } else { Err(workspace["status"].to_string()) }
    });
    running.unwrap();
}
