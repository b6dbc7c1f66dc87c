//! The command line of each server.

use std::path::{Path, PathBuf};

use crate::credentials::{MASTERS, User, file};
use crate::error::write;
use crate::supervised::{Program, Supervised};
use crate::tools::KUBELET;
use crate::{Error, Result, Tools};

/// Users of the servers themselves, each with its own name in the audit log.
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
pub(crate) const KWOK: &str = "kwok";

/// endpointslice-controller is added where pods have other addresses than loopback ones, which it refuses.
/// node-lifecycle-controller removes the not-ready taint from the nodes.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,statefulset-controller,\
serviceaccount-controller,node-lifecycle-controller,clusterrole-aggregation-controller,resourcequota-controller,\
persistentvolume-binder-controller,deployment-controller,replicaset-controller,job-controller";

/// Every request once, when it has been answered; health checks are left out.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
 "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
 "rules": [
  {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*", "/version", "/openapi/*"]},
  {"level": "Metadata"}]}
"#;

/// Everything a server's command line depends on.
pub(crate) struct Setup<'a> {
    pub tools: &'a Tools,
    pub dir: &'a Path,
    pub port: u16,
    pub kubelet_port: Option<u16>,
    pub pod_cidr: &'a str,
    pub api_server_args: &'a [String],
}

/// Users that the servers need.
pub(crate) fn users() -> Vec<User> {
    [CONTROLLER_MANAGER, SCHEDULER, KWOK].iter().map(|name| User::new(name, &[MASTERS])).collect()
}

pub(crate) fn kubeconfig_name(user: &str) -> String {
    format!("kubeconfig-{}", user.replace(':', "."))
}

impl Setup<'_> {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn start(&self, name: &str, path: &Path, args: Vec<String>) -> Result<Supervised> {
        // A sixth less CPU at start for a little more memory.
        let lazy_collector = ("GOGC".to_owned(), "400".to_owned());
        let home = ("HOME".to_owned(), self.path("home"));
        Supervised::start(&Program { name, path, args, env: vec![home, lazy_collector], dir: self.dir })
    }

    /// The path of the socket that etcd serves: unlike a port, no other process can take it.
    pub fn etcd_socket(&self) -> String {
        self.path("etcd.sock")
    }

    pub fn etcd(&self) -> Result<Supervised> {
        let socket = format!("unix://{}", self.etcd_socket());
        let args = [
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={socket}"),
            // etcd requires a host and a port here, but they are not used.
            "--advertise-client-urls=http://127.0.0.1:0".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
            "--quota-backend-bytes=8589934592".to_owned(),
        ];
        self.start("etcd", &self.tools.etcd, args.to_vec())
    }

    pub fn api_server(&self) -> Result<Supervised> {
        write(&self.dir.join("audit-policy.json"), AUDIT_POLICY)?;
        let mut args = vec![
            format!("--etcd-servers=unix://{}", self.etcd_socket()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            // The address of an endpoint may not be a loopback one.
            "--endpoint-reconciler-type=none".to_owned(),
            // The host names of the nodes are not known to any resolver.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--tls-cert-file={}", self.path(file::SERVER_CERTIFICATE)),
            format!("--tls-private-key-file={}", self.path(file::SERVER_KEY)),
            format!("--cert-dir={}", self.path("api-server-certs")),
            format!("--token-auth-file={}", self.path(file::TOKENS)),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!("--service-account-signing-key-file={}", self.path(file::ACCOUNT_KEY)),
            format!("--service-account-key-file={}", self.path(file::ACCOUNT_PUBLIC_KEY)),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            format!("--audit-policy-file={}", self.path("audit-policy.json")),
            format!("--audit-log-path={}", self.path("audit.log")),
            // In megabytes: a rotated log would lose what is counted.
            "--audit-log-maxsize=100000".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ];
        args.extend(self.api_server_args.iter().cloned());
        self.start("kube-apiserver", &self.tools.kube_apiserver, args)
    }

    pub fn controller_manager(&self) -> Result<Supervised> {
        let is_loopback = self.pod_cidr.starts_with("127.");
        let endpoint_slices = if is_loopback { "" } else { ",endpointslice-controller" };
        let args = [
            format!("--kubeconfig={}", self.path(&kubeconfig_name(CONTROLLER_MANAGER))),
            format!("--controllers={CONTROLLERS}{endpoint_slices}"),
            format!("--service-account-private-key-file={}", self.path(file::ACCOUNT_KEY)),
            "--secure-port=0".to_owned(),
            "--leader-elect=false".to_owned(),
            "--node-monitor-period=1s".to_owned(),
            "--kube-api-qps=2000".to_owned(),
            "--kube-api-burst=2000".to_owned(),
            "--concurrent-statefulset-syncs=20".to_owned(),
            "--concurrent-gc-syncs=40".to_owned(),
            "--min-resync-period=24h".to_owned(),
        ];
        let program = &self.tools.kube_controller_manager;
        self.start("kube-controller-manager", program, args.to_vec())
    }

    pub fn scheduler(&self) -> Result<Supervised> {
        let args = [
            format!("--kubeconfig={}", self.path(&kubeconfig_name(SCHEDULER))),
            "--secure-port=0".to_owned(),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=2000".to_owned(),
            "--kube-api-burst=2000".to_owned(),
        ];
        self.start("kube-scheduler", &self.tools.kube_scheduler, args.to_vec())
    }

    /// The folders of all pods.
    pub fn pods(&self) -> PathBuf {
        self.dir.join("pods")
    }

    pub fn kubelet(&self) -> Result<Supervised> {
        let port =
            self.kubelet_port.ok_or_else(|| Error::Unknown("no kubelet: set ClusterOptions::exec".to_owned()))?;
        let args = [format!("127.0.0.1:{port}"), self.pods().display().to_string()];
        self.start("kubelet", &Tools::program(KUBELET)?, args.to_vec())
    }

    pub fn kwok(&self) -> Result<Supervised> {
        let own_stages = self.dir.join("stages.yaml");
        write(&own_stages, include_str!("stages/pods.yaml"))?;
        let mut args = vec![
            format!("--kubeconfig={}", self.path(&kubeconfig_name(KWOK))),
            format!("--config={}", self.tools.kwok_stages.display()),
            format!("--config={}", own_stages.display()),
            "--manage-all-nodes=true".to_owned(),
            format!("--cidr={}", self.pod_cidr),
            "--node-ip=127.0.0.1".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
        ];
        if let Some(port) = self.kubelet_port {
            // What the nodes name as theirs. kwok would listen there itself.
            args.extend([format!("--node-port={port}"), "--server-address=127.0.0.1:0".to_owned()]);
        }
        self.start("kwok", &self.tools.kwok, args)
    }
}
