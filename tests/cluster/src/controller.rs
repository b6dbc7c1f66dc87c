//! Runs the product's binary against a control plane, as a Deployment would: with its own account, certificate,
//! webhook registration and ports.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::api::{Reply, get_plain, get_plain_within};
use crate::cluster::free_port;
use crate::credentials::issue_loopback;
use crate::error::{Doing as _, tail, write};
use crate::supervised::{Program, Supervised};
use crate::{Cluster, Exit, Result, Signal, failure_logs};

/// The namespace that the product is installed in.
pub const CONTROLLER_NAMESPACE: &str = "kubeflow-workspaces";

/// The product's ServiceAccount.
pub const CONTROLLER_ACCOUNT: &str = "workspaces-controller";

/// The product's name in the audit log.
pub const CONTROLLER_USER: &str = "system:serviceaccount:kubeflow-workspaces:workspaces-controller";

/// The timeout of a readiness probe, as a kubelet has it by default.
const READINESS_TIMEOUT: Duration = Duration::from_secs(1);

/// How often other ports are tried when one has been taken.
const PORT_TRIES: usize = 5;

/// How to run the product.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// The product's binary: `env!("CARGO_BIN_EXE_workspaces-controller")`.
    pub binary: PathBuf,
    /// Further arguments; addresses, kubeconfig and certificate folder are set already.
    pub args: Vec<String>,
    /// Its environment: of ours only PATH, HOME and TMPDIR are passed on.
    pub env: Vec<(String, String)>,
    /// The kubeconfig of its user. By default [`CONTROLLER_ACCOUNT`], bound to `cluster-admin`.
    pub kubeconfig: Option<PathBuf>,
    /// A folder with `tls.crt` and `tls.key`, and the PEM of the CA that issued them. By default a new pair.
    pub certificate: Option<(PathBuf, String)>,
    /// Registers the webhooks, in place of those of another process on the same control plane.
    pub register_webhooks: bool,
    /// Waits until it is ready and, with `register_webhooks`, until the API server calls it.
    pub wait_ready: bool,
    /// How long to wait for that.
    pub timeout: Duration,
}

impl ControllerOptions {
    /// The usual options: the webhooks are registered, and the start waits until it is ready.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            args: Vec::new(),
            env: Vec::new(),
            kubeconfig: None,
            certificate: None,
            register_webhooks: true,
            wait_ready: true,
            timeout: Duration::from_mins(1),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A running product. It is killed when this value is dropped or this process exits, whichever comes first.
#[derive(Debug)]
pub struct ControllerProcess<'a> {
    pub(crate) cluster: &'a Cluster,
    process: Mutex<Supervised>,
    ports: Ports,
    certificate: (PathBuf, String),
    authority: Option<certs::Ca>,
    registered: bool,
    log: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    webhook: u16,
    health: u16,
    metrics: u16,
    status: u16,
}

impl<'a> ControllerProcess<'a> {
    /// Starts the product; fails with the end of its log when it exits before it is ready.
    pub fn start(cluster: &'a Cluster, options: &ControllerOptions) -> Result<Self> {
        let kubeconfig = match &options.kubeconfig {
            Some(given) => given.clone(),
            None => account(cluster)?,
        };
        let mut tries = PORT_TRIES;
        loop {
            let controller = Self::spawn(cluster, options, &kubeconfig)?;
            match controller.bring_up(options) {
                Err(_) if tries > 1 && controller.lost_a_port() => tries -= 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(controller),
            }
        }
    }

    fn spawn(cluster: &'a Cluster, options: &ControllerOptions, kubeconfig: &Path) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("controller-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (certificate, authority) = match &options.certificate {
            Some(given) => (given.clone(), None),
            None => issue(cluster, &name)?,
        };
        let ports = Ports { webhook: free_port()?, health: free_port()?, metrics: free_port()?, status: free_port()? };
        let mut args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--webhook-cert-dir={}", certificate.0.display()),
            format!("--webhook-bind-address=127.0.0.1:{}", ports.webhook),
            format!("--health-probe-bind-address=127.0.0.1:{}", ports.health),
            format!("--metrics-bind-address=127.0.0.1:{}", ports.metrics),
            format!("--status-bind-address=127.0.0.1:{}", ports.status),
        ];
        args.extend(options.args.iter().cloned());
        let process = Supervised::start(&Program {
            name: &name,
            path: &options.binary,
            args,
            env: options.env.clone(),
            dir: cluster.dir(),
        })?;
        let log = process.log().to_owned();
        failure_logs::add(&log);
        Ok(Self {
            cluster,
            process: Mutex::new(process),
            ports,
            certificate,
            authority,
            registered: options.register_webhooks,
            log,
        })
    }

    fn bring_up(&self, options: &ControllerOptions) -> Result<()> {
        if options.wait_ready {
            self.wait_ready(options.timeout)?;
        }
        if options.register_webhooks {
            self.register_webhooks()?;
            if options.wait_ready {
                self.wait_asked(options.timeout)?;
            }
        }
        Ok(())
    }

    fn lost_a_port(&self) -> bool {
        let ended = self.process().exited().is_ok_and(|exit| exit.is_some());
        ended && self.log().to_lowercase().contains("in use")
    }

    /// Waits until `/readyz` reports it ready.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.wait_for("the controller to be ready", timeout, || match self.health("/readyz") {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("/readyz: {status} {body}")),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Waits for a condition, but fails at once, with the end of its log, when the product or a server has exited.
    pub fn wait_for<T, L: crate::Poll<T>>(
        &self,
        what: &str,
        timeout: Duration,
        mut poll: impl FnMut() -> L,
    ) -> Result<T> {
        self.cluster.wait_for(what, timeout, || match poll().outcome() {
            Ok(found) => Ok(Ok(found)),
            Err(seen) => match self.process().must_run() {
                Ok(()) => Err(seen),
                Err(dead) => Ok(Err(dead)),
            },
        })?
    }

    fn process(&self) -> MutexGuard<'_, Supervised> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the webhooks are served.
    pub fn webhook_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.webhook).into()
    }

    /// `https://127.0.0.1:<port>`.
    pub fn webhook_url(&self) -> String {
        format!("https://{}", self.webhook_address())
    }

    /// A readiness probe, which outlives this value.
    pub(crate) fn readiness_probe(&self) -> impl Fn() -> bool + Send + use<> {
        let url = format!("{}/readyz", self.health_url());
        move || get_plain_within(READINESS_TIMEOUT, &url).is_ok_and(|(status, _)| status == 200)
    }

    /// `http://127.0.0.1:<port>`, with `/livez`, `/readyz` and `/healthz`.
    pub fn health_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.health)
    }

    /// `http://127.0.0.1:<port>/metrics`.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.metrics)
    }

    /// `http://127.0.0.1:<port>`, with `/` and `/status.json`.
    pub fn status_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.status)
    }

    /// What its `/status.json` says.
    pub fn status(&self) -> Result<serde_json::Value> {
        let (_, body) = get_plain(&format!("{}/status.json", self.status_url()))?;
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }

    /// The folder with `tls.crt` and `tls.key`.
    pub fn certificate_dir(&self) -> &Path {
        &self.certificate.0
    }

    /// The PEM of the CA that the API server trusts for the webhooks.
    pub fn ca_pem(&self) -> &str {
        &self.certificate.1
    }

    /// The CA itself, to issue further certificates with, unless the certificate was given.
    pub fn authority(&self) -> Option<&certs::Ca> {
        self.authority.as_ref()
    }

    /// Status and body of a path of the health server.
    pub fn health(&self, path: &str) -> Result<(u16, String)> {
        get_plain(&format!("{}{path}", self.health_url()))
    }

    /// The metrics as text.
    pub fn metrics(&self) -> Result<String> {
        Ok(get_plain(&self.metrics_url())?.1)
    }

    /// The sum of the samples of this name that carry all these labels, or nothing if there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<Option<f64>> {
        Ok(sum_samples(&self.metrics()?, name, labels))
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        tail(&self.log, usize::MAX)
    }

    /// The process id, to read `/proc` for one.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.process().pid()?.as_raw_nonzero().get())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process().signal(signal)
    }

    /// Its exit status, or `None` while it runs.
    pub fn exited(&self) -> Result<Option<Exit>> {
        self.process().exited()
    }

    /// Waits until it has exited.
    pub fn wait_exit(&self, timeout: Duration) -> Result<Exit> {
        self.process().wait_exit(timeout)
    }

    /// Sends SIGTERM and returns the exit status.
    pub fn terminate(&self, timeout: Duration) -> Result<Exit> {
        self.signal(Signal::TERM)?;
        self.wait_exit(timeout)
    }

    /// Sends SIGKILL; returns once it has exited.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_exit(Duration::from_secs(10)).map(|_| ())
    }
}

impl Drop for ControllerProcess<'_> {
    fn drop(&mut self) {
        failure_logs::remove(&self.log);
        if self.registered {
            // The control plane may be gone already, and then the registration is too.
            let _ = self.unregister();
        }
    }
}

/// A serving certificate in a folder of its own.
fn issue(cluster: &Cluster, name: &str) -> Result<((PathBuf, String), Option<certs::Ca>)> {
    let dir = cluster.dir().join(format!("{name}-certs"));
    std::fs::create_dir_all(&dir).doing(|| format!("cannot create {}", dir.display()))?;
    let (authority, issued) = issue_loopback("webhook")?;
    write(&dir.join("tls.crt"), issued.chain_pem)?;
    write(&dir.join("tls.key"), issued.key_pem)?;
    Ok(((dir, authority.cert_pem()), Some(authority)))
}

/// The product's account with all permissions; tests of its real permissions use their own kubeconfig.
fn account(cluster: &Cluster) -> Result<PathBuf> {
    let accounts = format!("/api/v1/namespaces/{CONTROLLER_NAMESPACE}/serviceaccounts");
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "controller-process"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": CONTROLLER_NAMESPACE, "name": CONTROLLER_ACCOUNT}],
    });
    let object = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    for (path, object) in [
        ("/api/v1/namespaces", object("Namespace", CONTROLLER_NAMESPACE)),
        (&accounts, object("ServiceAccount", CONTROLLER_ACCOUNT)),
        (bindings, binding),
    ] {
        let reply = cluster.api().create(path, &object)?;
        if reply.status != 409 {
            Reply::ok(reply)?;
        }
    }
    Ok(cluster.as_service_account(CONTROLLER_NAMESPACE, CONTROLLER_ACCOUNT)?.kubeconfig)
}

pub(crate) fn sum_samples(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels.iter().fold(Vec::new(), |mut all, (label, value)| {
        let mut pair = String::new();
        let _ = write!(pair, "{label}=\"{value}\"");
        all.push(pair);
        all
    });
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| {
            let (labels, value) = rest.rsplit_once(' ')?;
            let pairs = labels.trim_matches(['{', '}', ' ']);
            let carries = |pair: &String| pairs.starts_with(pair.as_str()) || pairs.contains(&format!(",{pair}"));
            wanted.iter().all(carries).then(|| value.parse::<f64>().ok())?
        })
        .fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\na_sum{x=\"1\"} 9\nb 5\n";

    #[test]
    fn sums_samples_with_the_wanted_labels() {
        assert_eq!(sum_samples(TEXT, "a", &[]), Some(7.0));
        assert_eq!(sum_samples(TEXT, "a", &[("y", "2"), ("x", "1")]), Some(3.0));
        assert_eq!(sum_samples(TEXT, "b", &[]), Some(5.0));
        assert_eq!(sum_samples(TEXT, "a", &[("x", "3")]), None);
        assert_eq!(sum_samples(TEXT, "c", &[]), None);
    }
}
