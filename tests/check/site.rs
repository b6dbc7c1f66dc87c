//! The control plane of these tests, one test at a time, and the commands on it.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use cluster::{ADMIN, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Reply};
use serde_json::{Value, json};

/// The timeout of every wait.
pub const TIMEOUT: Duration = Duration::from_mins(1);
/// The webhook configuration of the controller.
pub const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/workspaces-validating-webhook-configuration";
const NAME: &str = "workspaces-validating-webhook-configuration";
/// The name of the webhook for WorkspaceKinds.
pub const WEBHOOK: &str = "vworkspacekind.kb.io";

/// What a command printed.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The lines that are about a step.
    pub fn about(&self, step: &str) -> Vec<&str> {
        let mut lines = self.stdout.lines();
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            if line.get(9..).is_some_and(|rest| rest.starts_with(&format!("{step}: "))) {
                found.push(line);
                found.extend(lines.clone().next().filter(|next| next.starts_with("         fix: ")));
            }
        }
        found
    }
}

/// Runs the product with these arguments, as a user of the control plane.
pub fn run(args: &[&str], user: &str) -> Run {
    run_on(cluster(), args, user)
}

/// The same on another control plane.
pub fn run_on(cluster: &Cluster, args: &[&str], user: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .args(args)
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig(user).unwrap())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// `check` as the administrator.
pub fn check(args: &[&str]) -> Run {
    run(&[&["check"], args].concat(), ADMIN)
}

/// The control plane. Its API server looks at the endpoints of Services itself, since nothing here routes cluster addresses.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let api_server_args = vec!["--enable-aggregator-routing=true".to_owned()];
        Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap()
    })
}

/// The lock that lets one test at a time change the control plane.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that serves the webhooks and reconciles, and elects itself as the leader in the namespace of the installation.
pub fn controller() -> ControllerProcess<'static> {
    let options = ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"));
    // It renews its Lease often, so that each check sees that soon.
    let options = options.arg("--leader-elect").arg("--leader-elect-retry-period=500ms");
    let options = options.env("POD_NAMESPACE", cluster::CONTROLLER_NAMESPACE);
    ControllerProcess::start(cluster(), &options).unwrap()
}

/// A webhook configuration for WorkspaceKinds and Workspaces in place of the one there is.
pub fn register(client: &Value, more: &Value) {
    drop(cluster().api().delete(CONFIGURATION).unwrap());
    let webhook = |name: &str, path: &str, resource: &str, operations: &[&str]| {
        let mut client = client.clone();
        match client.get("url").and_then(Value::as_str).map(|url| format!("{url}{path}")) {
            Some(url) => client["url"] = json!(url),
            None => client["service"]["path"] = json!(path),
        }
        let rule = json!({"apiGroups": ["kubeflow.org"], "apiVersions": ["v1beta1"], "operations": operations, "resources": [resource]});
        let mut webhook = json!({
            "name": name, "admissionReviewVersions": ["v1"], "clientConfig": client, "rules": [rule],
            "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 2,
        });
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        webhook
    };
    let kinds = webhook(WEBHOOK, webhook::WORKSPACE_KIND_PATH, "workspacekinds", &["CREATE", "UPDATE", "DELETE"]);
    let workspaces = webhook("vworkspace.kb.io", webhook::WORKSPACE_PATH, "workspaces", &["CREATE", "UPDATE"]);
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME}, "webhooks": [workspaces, kinds],
    });
    let (collection, _) = CONFIGURATION.rsplit_once('/').unwrap();
    cluster().api().create(collection, &configuration).and_then(Reply::ok).unwrap();
}

/// Base64 of a PEM, as `caBundle` has it.
pub fn bundle(pem: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(pem)
}

/// Runs `check` until the API server has seen the change that this line is about.
pub fn check_until(args: &[&str], wanted: impl Fn(&Run) -> bool) -> Run {
    let mut last = None;
    let seen = cluster().wait_for("what check says", TIMEOUT, || {
        let run = check(args);
        let is_wanted = wanted(&run);
        let text = format!("{run:#?}");
        last = Some(run);
        if is_wanted { Ok(()) } else { Err(text) }
    });
    seen.unwrap();
    last.unwrap()
}
