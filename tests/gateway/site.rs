//! The gateway with everything behind it: control plane, istiod, Envoy, and a backend in each pod.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Envoy, Istiod, Reply, wait_for};
use serde_json::{Value, json};

use crate::backend::{self, Received};
use crate::generator::PORTS;
use crate::namespace::{GATEWAY, PODS};
use crate::visitor::{Answer, Request};

pub const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
pub const VIRTUAL_SERVICES: &str = "/apis/networking.istio.io/v1/namespaces";
const PATIENCE: Duration = Duration::from_mins(2);
/// A variable of Envoy's environment, and its value, which no route may hand out.
pub const SECRET_VARIABLE: &str = "GATEWAY_SECRET";
pub const SECRET: &str = "from-the-environment-of-the-gateway";

pub struct Site {
    pub cluster: &'static Cluster,
    pub istiod: Istiod,
    pub envoy: Envoy,
}

impl Site {
    /// Starts everything but the controller.
    pub fn start() -> Self {
        backend::start(&PORTS);
        let cluster = Cluster::start(ClusterOptions {
            pod_cidr: PODS.to_owned(),
            virtual_service_crd: false,
            // There is no route that it could find an address by.
            api_server_args: vec![format!("--advertise-address={GATEWAY}")],
            ..ClusterOptions::default()
        });
        let cluster: &'static Cluster = Box::leak(Box::new(cluster.unwrap()));
        cluster.install_crds(&cluster::Tools::istio_crds().unwrap()).unwrap();
        for namespace in ["istio-system", "kubeflow"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            cluster.api().create("/api/v1/namespaces", &object).and_then(Reply::ok).unwrap();
        }
        // Kubeflow's own.
        let gateway = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "kubeflow-gateway"},
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"hosts": ["*"], "port": {"name": "http", "number": 80, "protocol": "HTTP"}}],
            },
        });
        let gateways = "/apis/networking.istio.io/v1/namespaces/kubeflow/gateways";
        cluster.api().create(gateways, &gateway).and_then(Reply::ok).unwrap();
        let istiod = Istiod::start(cluster).unwrap();
        let envoy = Envoy::start(cluster, &istiod, GATEWAY, &[(SECRET_VARIABLE, SECRET)]).unwrap();
        Self { cluster, istiod, envoy }
    }

    /// Starts the controller with these arguments; its webhooks are registered.
    pub fn controller(&self, arguments: &[&str]) -> ControllerProcess<'static> {
        let options = ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"));
        let options = arguments.iter().fold(options, |options, argument| options.arg(*argument));
        ControllerProcess::start(self.cluster, &options).unwrap()
    }

    /// Waits for a condition; what the gateway has rejected meanwhile is part of the failure.
    pub fn wait<T>(&self, what: &str, poll: impl FnMut() -> Result<T, String>) -> T {
        wait_for(what, PATIENCE, poll).unwrap_or_else(|error| panic!("{error}\n{}", self.rejections()))
    }

    /// How many pushes Envoy has rejected, as itself and as istiod counts them.
    pub fn rejects(&self) -> u64 {
        let (by_envoy, by_istiod) = (self.envoy.rejects().unwrap(), self.istiod.rejects().unwrap());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        by_envoy.max(by_istiod as u64)
    }

    /// Why pushes were rejected, as far as istiod knows.
    pub fn rejections(&self) -> String {
        format!("rejected: {:#?}", self.istiod.rejections(3))
    }

    /// Creates an object.
    pub fn create(&self, path: &str, object: &Value) {
        self.cluster
            .api()
            .create(path, object)
            .and_then(Reply::ok)
            .unwrap_or_else(|error| panic!("{error}\n{object:#}"));
    }

    /// A Workspace of that kind, whose options are those of the fixed kind of tests.
    pub fn create_workspace(&self, namespace: &str, name: &str, kind: &str) {
        let object = json!({
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "spec": {
                "kind": kind,
                "podTemplate": {"options": {"imageConfig": "small", "podConfig": "tiny"}, "volumes": {}},
            },
        });
        self.create(&workspaces(namespace), &object);
    }

    /// The address of a Workspace's pod.
    pub fn pod_address(&self, namespace: &str, workspace: &str) -> String {
        let selector = format!("notebooks.kubeflow.org/workspace-name={workspace}");
        let pods = self.list(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"));
        assert_eq!(pods.len(), 1, "pods of {namespace}/{workspace}");
        pods[0]["status"]["podIP"].as_str().unwrap().to_owned()
    }

    pub fn list(&self, path: &str) -> Vec<Value> {
        let listed = self.cluster.api().get(path).and_then(Reply::ok).unwrap();
        listed["items"].as_array().cloned().unwrap_or_default()
    }

    pub fn get(&self, path: &str) -> Value {
        self.cluster.api().get(path).and_then(Reply::ok).unwrap()
    }

    /// Waits until the backend answers this request; what it received, with the answer.
    pub fn arrives(&self, request: &Request) -> (Received, Answer) {
        self.wait(&format!("{} to be answered by the backend", request.target), || {
            let answer = request.send().map_err(|error| error.to_string())?;
            Ok((answer.received()?, answer))
        })
    }

    /// Waits until the gateway answers this request with that status.
    pub fn answers(&self, request: &Request, status: u16) {
        self.wait(&format!("{} to be answered with {status}", request.target), || {
            let answer = request.send().map_err(|error| error.to_string())?;
            if answer.status == status { Ok(()) } else { Err(format!("answered with {}", answer.status)) }
        });
    }

    /// The names of headers that arrive on a route that changes none, besides those that were sent: what the gateway adds.
    pub fn usual_headers(&self, plain: &Request) -> BTreeSet<String> {
        let (received, _) = self.arrives(plain);
        let usual = received.headers.into_iter().map(|(name, _)| name);
        let sent = |name: &String| plain.headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
        // Where path or host are rewritten, Envoy keeps those that were asked for.
        let originals = ["x-envoy-original-path", "x-envoy-original-host"].map(str::to_owned);
        usual.filter(|name| !sent(name)).chain(originals).collect()
    }
}

pub fn workspaces(namespace: &str) -> String {
    format!("/apis/kubeflow.org/v1beta1/namespaces/{namespace}/workspaces")
}

/// The kind of tests, with these `requestHeaders` of its port `jupyterlab`.
pub fn kind_with_headers(name: &str, headers: &Value) -> Value {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind(name)).unwrap();
    kind["spec"]["podTemplate"]["ports"][0]["httpProxy"]["requestHeaders"] = headers.clone();
    kind
}

/// The path of port `jupyterlab` of a Workspace of such a kind.
pub fn path_of(namespace: &str, workspace: &str) -> String {
    format!("/workspace/{namespace}/{workspace}/jupyterlab/")
}
