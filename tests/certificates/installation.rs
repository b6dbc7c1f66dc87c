//! An installation of its own for each test: a namespace, a kind, a webhook configuration, and the replicas behind it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{
    Api, Balancer, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, MASTERS, Reply, Requests, User,
};
use serde_json::{Value, json};

use crate::TIMEOUT;

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";

/// The users of the replicas, so that the audit log tells them from others.
const REPLICAS: [&str; 3] = ["replica-0", "replica-1", "replica-2"];

pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let users = REPLICAS.iter().map(|name| User::new(name, &[MASTERS])).collect();
        Cluster::start(ClusterOptions { users, ..ClusterOptions::default() }).unwrap()
    })
}

/// An installation, without a process so far.
pub struct Installation {
    /// The name of everything.
    pub name: String,
    pub balancer: Balancer,
    args: Vec<String>,
}

impl Installation {
    /// With a webhook configuration that trusts nobody yet.
    pub fn new(prefix: &str) -> Self {
        let new = Self::without_configuration(prefix);
        new.install_configuration();
        new
    }

    pub fn without_configuration(prefix: &str) -> Self {
        let name = cluster().namespace(prefix).unwrap();
        let mut kind = base("workspace_kind/base/dialect_port_id.yaml");
        kind["metadata"]["name"] = json!(name);
        cluster().api().create(KINDS, &kind).unwrap().ok().unwrap();
        Self { name, balancer: Balancer::start(Duration::ZERO).unwrap(), args: Vec::new() }
    }

    /// Certificates that are valid for so long, and a CA for four times as long.
    pub fn short_lived(mut self, leaf: Duration) -> Self {
        let seconds = leaf.as_secs();
        self.args.push(format!("--dynamic-serving-leaf-duration={seconds}s"));
        self.args.push(format!("--dynamic-serving-ca-duration={}s", 4 * seconds));
        self
    }

    pub fn install_configuration(&self) {
        cluster().api().create(CONFIGURATIONS, &self.configuration_at(&self.balancer.url())).unwrap().ok().unwrap();
    }

    /// As the chart has it, but for requests of this installation alone.
    pub fn configuration_at(&self, url: &str) -> Value {
        let webhook = |object: &str, resource: &str, mine: &str| {
            json!({
                "name": format!("v{object}.kb.io"),
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("{url}/validate-kubeflow-org-v1beta1-{object}")},
                "rules": [{
                    "apiGroups": ["kubeflow.org"], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }],
                "matchConditions": [{"name": "mine", "expression": mine}],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 5,
            })
        };
        let name = &self.name;
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                webhook("workspace", "workspaces", &format!("request.namespace == '{name}'")),
                webhook("workspacekind", "workspacekinds", &format!("request.name == '{name}'")),
            ],
        })
    }

    pub fn configuration_path(&self) -> String {
        format!("{CONFIGURATIONS}/{}", self.name)
    }

    pub fn secret_path(&self) -> String {
        format!("/api/v1/namespaces/{0}/secrets/{0}", self.name)
    }

    pub fn secret(&self) -> Option<Value> {
        found(&cluster().api().get(&self.secret_path()).unwrap())
    }

    pub fn configuration(&self) -> Option<Value> {
        found(&cluster().api().get(&self.configuration_path()).unwrap())
    }

    /// The caBundle of both webhooks; nothing where they differ or have none.
    pub fn bundle(&self) -> Option<String> {
        let configuration = self.configuration()?;
        let bundle = |number: usize| configuration["webhooks"][number]["clientConfig"]["caBundle"].as_str();
        if bundle(0) != bundle(1) {
            return None;
        }
        bundle(0).map(decode)
    }

    /// A text of the Secret.
    pub fn stored(&self, key: &str) -> Option<String> {
        self.secret()?["data"][key].as_str().map(decode)
    }

    pub fn options(&self, replica: usize) -> ControllerOptions {
        let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"))
            .arg("--webhook-cert-source=self-managed")
            .arg("--dynamic-serving-dns-names=127.0.0.1")
            .arg(format!("--dynamic-serving-secret-name={}", self.name))
            .arg(format!("--validating-webhook-configuration-name={}", self.name))
            .arg("--enable-reconcile=false")
            .env("POD_NAMESPACE", &self.name);
        options.args.extend(self.args.iter().cloned());
        options.kubeconfig = Some(kubeconfig(replica));
        options.register_webhooks = false;
        options
    }

    /// A replica that does not become ready.
    pub fn start_unready(&self, replica: usize) -> ControllerProcess<'static> {
        let mut options = self.options(replica);
        options.wait_ready = false;
        start(&options)
    }

    /// So many replicas, ready, behind the webhooks.
    pub fn start_replicas(&self, count: usize) -> Vec<ControllerProcess<'static>> {
        let replicas: Vec<_> = (0..count).map(|number| start(&self.options(number))).collect();
        self.balance(&replicas);
        self.wait_called();
        replicas
    }

    /// Puts these behind the webhooks.
    pub fn balance(&self, replicas: &[ControllerProcess<'_>]) {
        self.balancer.set_endpoints(replicas.iter().map(ControllerProcess::webhook_address).collect());
    }

    /// Waits until the API server calls the webhook and trusts it.
    pub fn wait_called(&self) {
        let called = cluster().wait_for("the webhook to be called", TIMEOUT, || {
            let reply = self.create("no-such-kind", "asked", "?dryRun=All");
            let text = reply.json()["message"].as_str().unwrap_or_default().to_owned();
            if text.contains("denied the request") { Ok(()) } else { Err(format!("{} {}", reply.status, reply.body)) }
        });
        called.unwrap();
    }

    /// Creates a Workspace of this kind.
    pub fn create(&self, kind: &str, name: &str, query: &str) -> Reply {
        let mut workspace = base("workspace/base/plain.yaml");
        workspace["metadata"] = json!({"name": name});
        workspace["spec"]["kind"] = json!(kind);
        workspace["spec"]["paused"] = json!(true);
        let path = format!("/apis/kubeflow.org/v1beta1/namespaces/{}/workspaces{query}", self.name);
        cluster().api().create(&path, &workspace).unwrap()
    }

    /// The writes that the API server accepted of replicas, on objects of this installation.
    pub fn writes(&self, mark: cluster::Mark) -> Requests {
        let mine = |request: &cluster::Request| {
            REPLICAS.contains(&&*request.user) && (request.namespace == self.name || request.name == self.name)
        };
        cluster().audit().since(mark).unwrap().writes().accepted().filter(mine)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // Without a server every write there would be refused.
        let _ = cluster().api().delete(&self.configuration_path());
    }
}

fn found(reply: &Reply) -> Option<Value> {
    (reply.status == 200).then(|| reply.json())
}

pub fn decode(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

pub fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

pub fn kubeconfig(replica: usize) -> PathBuf {
    cluster().kubeconfig(REPLICAS[replica]).unwrap()
}

pub fn api() -> &'static Api {
    cluster().api()
}

/// A replica with these options.
pub fn start(options: &ControllerOptions) -> ControllerProcess<'static> {
    ControllerProcess::start(cluster(), options).unwrap()
}

/// The port of the webhook server.
pub fn port(replica: &ControllerProcess<'_>) -> u16 {
    replica.webhook_url().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// An object of the case files.
fn base(file: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
