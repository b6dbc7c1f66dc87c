//! The control plane of these tests, and one process at a time behind its webhooks.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cluster::{Api, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, MASTERS, Reply, User};
use serde_json::{Value, json};
use webhook::testing::LIMITED_USER;

use crate::TIMEOUT;

/// The user that prepares the objects of a test: the webhooks are not called for its requests, so that faulty objects
/// can be stored.
const FIXTURE: &str = "fixture";

/// The user of a process whose connection to the API server is held back, see `start.rs`.
pub const BEHIND_RELAY: &str = "behind-relay";

const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/workspaces-validating-webhook-configuration";

/// The paths of both kinds of objects.
pub const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";

/// The path of the Workspaces of a namespace.
pub fn workspaces(namespace: &str) -> String {
    format!("/apis/kubeflow.org/v1beta1/namespaces/{namespace}/workspaces")
}

/// The control plane of all tests here.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let users =
            vec![User::new(FIXTURE, &[MASTERS]), User::new(BEHIND_RELAY, &[MASTERS]), User::new(LIMITED_USER, &[])];
        // Off by default in 1.34: the API server would drop volumes with an image without a word.
        let api_server_args = vec!["--feature-gates=ImageVolume=true".to_owned()];
        let options = ClusterOptions { users, api_server_args, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).unwrap();
        cluster.install_notebook_crd().unwrap();
        cluster
    })
}

/// A client of the API server for whose requests the webhooks are not called.
pub fn fixture() -> Api {
    cluster().api_as(FIXTURE).unwrap()
}

/// The lock that lets one process at a time serve the webhooks.
pub struct Turn(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Turn {
    /// Waits for the tests before.
    pub fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        Self(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A process whose webhooks the API server calls.
pub struct Stage {
    // Dropped before the turn.
    pub controller: ControllerProcess<'static>,
    _turn: Turn,
}

impl Stage {
    /// Starts a process with these arguments and waits until the API server calls it.
    pub fn with(args: &[String]) -> Self {
        Self::start(&ControllerOptions { args: args.to_vec(), ..options() })
    }

    /// Starts a process that does not reconcile, with these arguments, and waits until the API server calls it.
    pub fn admission_only(args: &[String]) -> Self {
        Self::start(&ControllerOptions { args: args.to_vec(), ..options() }.env("ENABLE_RECONCILE", "false"))
    }

    fn start(options: &ControllerOptions) -> Self {
        let turn = Turn::take();
        let controller = ControllerProcess::start(cluster(), options).unwrap();
        spare_fixture();
        Self { controller, _turn: turn }
    }
}

/// How the product is run.
pub fn options() -> ControllerOptions {
    ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"))
}

/// Excludes the fixture's requests from the webhooks, and waits until the API server has observed it.
fn spare_fixture() {
    let condition = json!({"name": "not-a-fixture", "expression": format!("request.userInfo.username != '{FIXTURE}'")});
    let add = |number: usize| json!({"op": "add", "path": format!("/webhooks/{number}/matchConditions/-"), "value": &condition});
    cluster().api().json_patch(CONFIGURATION, &json!([add(0), add(1)])).unwrap().ok().unwrap();
    let path = format!("{}?dryRun=All", workspaces("default"));
    let stranger = workspace("no-such-kind-is-fixture-spared", "is-fixture-spared");
    let spared = cluster().wait_for("the fixture to be spared", TIMEOUT, || fixture().create(&path, &stranger)?.ok());
    spared.unwrap();
}

/// A kind of that name, of the base `dialect_port_id` of the case files.
pub fn kind(name: &str) -> Value {
    let mut kind = base("workspace_kind/base/dialect_port_id.yaml");
    kind["metadata"]["name"] = json!(name);
    kind
}

/// A paused Workspace of that kind: no pod has to run.
pub fn workspace(kind: &str, name: &str) -> Value {
    let mut workspace = base("workspace/base/plain.yaml");
    workspace["metadata"] = json!({"name": name});
    workspace["spec"]["kind"] = json!(kind);
    workspace["spec"]["paused"] = json!(true);
    workspace
}

/// An object of the case files.
pub fn base(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The message of a refusal by one of the webhooks; `None` if the request was refused by something else.
pub fn refusal_message(reply: &Reply) -> Option<String> {
    let message = reply.json()["message"].as_str()?.to_owned();
    let rest = message.strip_prefix("admission webhook \"vworkspace")?;
    let (_, text) = rest.split_once(".kb.io\" denied the request: ")?;
    Some(text.to_owned())
}
