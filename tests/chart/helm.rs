//! Runs helm on the chart of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cluster::Tools;
use serde_json::Value;

/// The namespace that everything is rendered for unless a test has one of its own.
pub const NAMESPACE: &str = cluster::CONTROLLER_NAMESPACE;

/// The folder of the chart.
pub const CHART: &str = "charts/workspaces-controller";

/// The files of values that come with the chart.
pub const PRESETS: [&str; 3] = [
    "charts/workspaces-controller/ci/minimal-values.yaml",
    "charts/workspaces-controller/ci/ha-values.yaml",
    "charts/workspaces-controller/ci/kubeflow-values.yaml",
];

/// A PEM that looks like a certificate, for value sets that need one.
pub const SOME_CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";

/// The result of a run of helm.
pub struct HelmOutput {
    /// True for exit code 0.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// Its standard error, without the remarks on links.
    pub stderr: String,
}

/// A file of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the checkout.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs helm in the checkout, without the settings and caches of the user who runs the tests.
pub fn helm(args: &[&str], kubeconfig: Option<&Path>) -> HelmOutput {
    static HELM: LazyLock<PathBuf> = LazyLock::new(|| Tools::helm().unwrap_or_else(|error| panic!("{error}")));
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(&*HELM)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stderr = stderr.lines().filter(|line| !line.contains("found symbolic link")).collect::<Vec<_>>().join("\n");
    HelmOutput { success: output.status.success(), stdout: String::from_utf8(output.stdout).unwrap(), stderr }
}

/// `helm template` with these `--set` values; one that is JSON after its `=` is given as such, and one of [`PRESETS`] as a file.
pub fn template(namespace: &str, set: &[&str]) -> HelmOutput {
    let mut args = vec!["template", "workspaces-controller", CHART, "--namespace", namespace];
    args.extend(["--kube-version", "1.31.0"]);
    args.extend(values(set));
    helm(&args, None)
}

/// The same values as arguments of any command of helm.
pub fn values<'a>(set: &[&'a str]) -> Vec<&'a str> {
    let flag = |value: &str| match value.split_once('=') {
        None => "--values",
        Some((_, json)) if json.starts_with(['[', '{']) && serde_json::from_str::<Value>(json).is_ok() => "--set-json",
        Some(_) => "--set",
    };
    set.iter().flat_map(|value| [flag(value), *value]).collect()
}

/// The rendered manifest; the values have to be good ones.
pub fn manifest(namespace: &str, set: &[&str]) -> String {
    let answer = template(namespace, set);
    assert!(answer.success, "{set:?}: {}", answer.stderr);
    answer.stdout
}

/// The rendered objects that stay, in helm's order.
pub fn objects(set: &[&str]) -> Vec<Value> {
    let all = documents(&manifest(NAMESPACE, set));
    all.into_iter().filter(|object| !is_hook(object)).collect()
}

/// Whether helm makes it only for a while.
pub fn is_hook(object: &Value) -> bool {
    !object["metadata"]["annotations"]["helm.sh/hook"].is_null()
}

/// The objects of a YAML stream.
pub fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The one object of this kind.
#[track_caller]
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

/// The permissions of the controller.
#[track_caller]
pub fn controller_rules(objects: &[Value]) -> &Vec<Value> {
    let is_its = |object: &&Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        object["kind"] == "ClusterRole" && name.starts_with("workspaces-") && name.ends_with("-role")
    };
    objects.iter().find(is_its).unwrap()["rules"].as_array().unwrap()
}
