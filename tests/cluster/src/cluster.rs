//! One isolated control plane: its servers, its data directory, its users.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::credentials::{ADMIN, MASTERS, PLAIN_USER, User, file, kubeconfig, token, write_credentials};
use crate::error::{Doing as _, write};
use crate::servers::{self, Setup, kubeconfig_name};
use crate::supervised::{Janitor, Supervised};
use crate::{Api, AuditLog, Error, Exit, Output, Result, Signal, Tools, crds, run, wait_for};

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// How often another port is tried when the first one has been taken.
const PORT_TRIES: usize = 5;

/// The options of a control plane.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Users besides [`ADMIN`] and [`PLAIN_USER`].
    pub users: Vec<User>,
    /// Nodes of the fake kubelet; each runs any number of pods.
    pub nodes: usize,
    /// The range of pod addresses. Loopback, so that a test can listen on a pod's address and nothing leaves this
    /// machine. With another one Services have EndpointSlices too, which refuse loopback addresses.
    pub pod_cidr: String,
    /// Installs Istio's VirtualService CRD.
    pub virtual_service_crd: bool,
    /// Installs the CRDs of `crds/*.yaml`.
    pub product_crds: bool,
    /// Lets pods run what is asked for with `exec`, as processes of this machine: see [`Cluster::pod_dir`].
    pub exec: bool,
    /// Further arguments of the API server.
    pub api_server_args: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            nodes: 1,
            pod_cidr: "127.10.0.1/16".to_owned(),
            virtual_service_crd: true,
            product_crds: true,
            exec: false,
            api_server_args: Vec::new(),
        }
    }
}

/// A server of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// What answers `exec` for all nodes, where [`ClusterOptions::exec`] is set.
    Kubelet,
    /// The fake kubelet.
    Kwok,
}

/// A running control plane. Dropping it stops every server and removes its data; so does the end of this process.
#[derive(Debug)]
pub struct Cluster {
    servers: Mutex<BTreeMap<Server, Supervised>>,
    // Dropped after the servers: it waits for them before it removes the directory.
    _janitor: Janitor,
    dir: PathBuf,
    url: String,
    port: u16,
    kubelet_port: Option<u16>,
    ca_pem: String,
    users: Vec<User>,
    options: Arc<ClusterOptions>,
    tools: Tools,
    admin: Api,
    audit: AuditLog,
    namespaces: AtomicUsize,
}

impl Cluster {
    /// Starts a fresh instance, after building the servers if they are not in the cache yet.
    pub fn start(options: ClusterOptions) -> Result<Self> {
        let tools = Tools::ensure()?;
        let options = Arc::new(options);
        let mut tries = PORT_TRIES;
        loop {
            match Self::start_on(free_port()?, &tools, Arc::clone(&options)) {
                Err(error) if tries > 1 && lost_a_port(&error) => tries -= 1,
                outcome => return outcome,
            }
        }
    }

    /// The instance that all tests of this process share, started on first use.
    ///
    /// # Panics
    /// When it cannot be started: no test that needs it can continue.
    #[expect(clippy::panic, reason = "every caller is a test that cannot go on")]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Cluster>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start(ClusterOptions::default())) {
            Ok(cluster) => cluster,
            Err(error) => panic!("no control plane: {error}"),
        }
    }

    fn start_on(port: u16, tools: &Tools, options: Arc<ClusterOptions>) -> Result<Self> {
        let scratch = scratch_dir()?;
        let janitor = Janitor::of(scratch.path())?;
        let dir = scratch.keep();
        let url = format!("https://127.0.0.1:{port}");
        let mut users = vec![User::new(ADMIN, &[MASTERS]), User::new(PLAIN_USER, &[])];
        users.extend(servers::users());
        users.extend(options.users.iter().cloned());
        std::fs::create_dir_all(dir.join("home")).doing(|| "cannot create a home".to_owned())?;
        let ca_pem = write_credentials(&dir, &users)?;
        for user in &users {
            let config = kubeconfig(&url, &dir.join(file::CA), &user.name, &token(&user.name));
            write(&dir.join(kubeconfig_name(&user.name)), config)?;
        }
        let admin = Api::new(&url, &ca_pem, &token(ADMIN), dir.join(kubeconfig_name(ADMIN)))?;
        let cluster = Self {
            servers: Mutex::default(),
            _janitor: janitor,
            audit: AuditLog::new(dir.join("audit.log"), admin.clone()),
            dir,
            url,
            port,
            kubelet_port: options.exec.then(free_port).transpose()?,
            ca_pem,
            users,
            options,
            tools: tools.clone(),
            admin,
            namespaces: AtomicUsize::new(0),
        };
        cluster.bring_up()?;
        Ok(cluster)
    }

    /// The API server takes longest, so everything else is done while it is not quite ready.
    fn bring_up(&self) -> Result<()> {
        self.start_server(Server::Etcd)?;
        self.wait_for("etcd to listen", START_TIMEOUT, || UnixStream::connect(self.setup().etcd_socket()))?;
        self.start_server(Server::KubeApiserver)?;
        self.wait_for("the API server to listen", START_TIMEOUT, || self.answers("/livez/ping"))?;
        let mut created = Vec::new();
        if self.options.virtual_service_crd {
            created.extend(crds::create(self, &self.tools.virtual_service_crd)?);
        }
        if self.options.product_crds {
            created.extend(crds::create_product(self)?);
        }
        for number in 0..self.options.nodes {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number}")}});
            self.wait_for("a node to be created", START_TIMEOUT, || {
                self.admin.create("/api/v1/nodes", &node).and_then(crate::api::Reply::ok)
            })?;
        }
        crds::wait_established(self, &created)?;
        self.wait_api_server()?;
        // kube-controller-manager exits when the API server is not healthy within ten seconds, so it is started only
        // now.
        self.start_server(Server::KubeControllerManager)?;
        self.start_server(Server::KubeScheduler)?;
        if let Some(port) = self.kubelet_port {
            self.start_server(Server::Kubelet)?;
            let address = ("127.0.0.1", port);
            self.wait_for("the kubelet to listen", START_TIMEOUT, || TcpStream::connect(address))?;
        }
        self.start_server(Server::Kwok)?;
        // Until the process id of a server is written, it can be neither signalled nor cleaned up.
        self.servers().values_mut().try_for_each(|server| server.pid().map(drop))
    }

    fn answers(&self, path: &str) -> Result<(), String> {
        match self.admin.probe(path) {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(format!("{} {}", reply.status, reply.body)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            tools: &self.tools,
            dir: &self.dir,
            port: self.port,
            kubelet_port: self.kubelet_port,
            pod_cidr: &self.options.pod_cidr,
            api_server_args: &self.options.api_server_args,
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<Server, Supervised>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error with the end of its log if a server has exited.
    pub fn servers_must_run(&self) -> Result<()> {
        self.servers().values_mut().try_for_each(Supervised::must_run)
    }

    /// Starts a server that [`Self::kill_server`] killed, with its old address and data.
    pub fn start_server(&self, server: Server) -> Result<()> {
        let setup = self.setup();
        let started = match server {
            Server::Etcd => setup.etcd(),
            Server::KubeApiserver => setup.api_server(),
            Server::KubeControllerManager => setup.controller_manager(),
            Server::KubeScheduler => setup.scheduler(),
            Server::Kubelet => setup.kubelet(),
            Server::Kwok => setup.kwok(),
        }?;
        self.servers().insert(server, started);
        Ok(())
    }

    /// Waits until the API server, which was killed and started, is ready.
    pub fn wait_api_server(&self) -> Result<()> {
        self.wait_for("the API server to be ready", START_TIMEOUT, || self.answers("/readyz"))
    }

    /// Kills a server and returns once it is gone.
    pub fn kill_server(&self, server: Server) {
        drop(self.servers().remove(&server));
    }

    /// Sends a signal to a server, such as `Signal::STOP` and `Signal::CONT`.
    pub fn signal_server(&self, server: Server, signal: Signal) -> Result<()> {
        match self.servers().get_mut(&server) {
            Some(process) => process.signal(signal),
            None => Err(Error::Unknown(format!("{server:?} is not running"))),
        }
    }

    /// The exit status of a server, or `None` while it runs.
    pub fn server_exit(&self, server: Server) -> Result<Option<Exit>> {
        self.servers().get_mut(&server).map_or(Ok(None), Supervised::exited)
    }

    /// Waits for a condition like [`wait_for`], but fails at once, with the end of its log, when a server has exited.
    pub fn wait_for<T, L: crate::Poll<T>>(
        &self,
        what: &str,
        timeout: Duration,
        mut poll: impl FnMut() -> L,
    ) -> Result<T> {
        wait_for(what, timeout, || match poll().outcome() {
            Ok(found) => Ok(Ok(found)),
            Err(seen) => match self.servers_must_run() {
                Ok(()) => Err(seen),
                Err(dead) => Ok(Err(dead)),
            },
        })?
    }

    /// The address of the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data directory, with `logs/<server>.log` and `audit.log`; gone when this value is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder that what runs in a pod starts in and has as its home, where [`ClusterOptions::exec`] is set. The file `env` in
    /// it may name variables, one `NAME=value` a line.
    pub fn pod_dir(&self, namespace: &str, pod: &str) -> PathBuf {
        self.setup().pods().join(namespace).join(pod)
    }

    /// The programs in use.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The API server's audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// A client with all permissions.
    pub fn api(&self) -> &Api {
        &self.admin
    }

    /// A client for one of the users that this instance was started with.
    pub fn api_as(&self, user: &str) -> Result<Api> {
        Api::new(&self.url, &self.ca_pem, &token(user), self.kubeconfig(user)?)
    }

    /// The kubeconfig of one of the users that this instance was started with.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        if self.users.iter().any(|known| known.name == user) {
            return Ok(self.dir.join(kubeconfig_name(user)));
        }
        Err(Error::Unknown(format!("no user {user:?}: name it in ClusterOptions::users")))
    }

    /// A client with a fresh token of an existing ServiceAccount.
    pub fn as_service_account(&self, namespace: &str, name: &str) -> Result<Api> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86_400},
        });
        let answer = self.admin.create(&path, &request)?.ok()?;
        let token = answer["status"]["token"].as_str().unwrap_or_default();
        let user = format!("system:serviceaccount:{namespace}:{name}");
        let path = self.dir.join(kubeconfig_name(&user));
        write(&path, kubeconfig(&self.url, &self.dir.join(file::CA), &user, token))?;
        Api::new(&self.url, &self.ca_pem, token, path)
    }

    /// Creates a namespace that no other test has: `<prefix>-<number>`.
    pub fn namespace(&self, prefix: &str) -> Result<String> {
        loop {
            let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
            let name = format!("{prefix}-{number}");
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let reply = self.admin.create("/api/v1/namespaces", &namespace)?;
            if reply.status == 409 {
                continue;
            }
            reply.ok()?;
            let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            self.wait_for("the namespace's default account", START_TIMEOUT, || {
                self.admin.get(&account).and_then(crate::api::Reply::ok)
            })?;
            return Ok(name);
        }
    }

    /// Runs kubectl with all permissions.
    pub fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_as(ADMIN, args, None)
    }

    /// Runs kubectl with all permissions and standard input, for `-f -`.
    pub fn kubectl_stdin(&self, args: &[&str], stdin: &str) -> Result<Output> {
        self.kubectl_as(ADMIN, args, Some(stdin))
    }

    /// Runs kubectl as one of the users that this instance was started with.
    pub fn kubectl_as(&self, user: &str, args: &[&str], stdin: Option<&str>) -> Result<Output> {
        let mut command = Command::new(&self.tools.kubectl);
        command.args(args).env("KUBECONFIG", self.kubeconfig(user)?).env("HOME", self.dir.join("home"));
        run(command, stdin)
    }
}

impl Cluster {
    /// Stops all of its servers, as the end of it does: for one that is never dropped.
    pub fn stop(&self) {
        let mut servers = self.servers();
        // All at once; each is waited for when it is removed.
        servers.values_mut().for_each(Supervised::close);
        servers.clear();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// True if another process took the API server's port between the choice and the start.
fn lost_a_port(error: &Error) -> bool {
    matches!(error, Error::Process { log, .. } if log.contains("address already in use"))
}

/// A port of 127.0.0.1 that is not in use right now, below the ephemeral range.
pub(crate) fn free_port() -> Result<u16> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const FIRST: usize = 20_000;
    const COUNT: usize = 12_000;
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos() as usize);
    let process = std::process::id() as usize * 37;
    for _ in 0..COUNT {
        let offset = clock + process + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + offset % COUNT).unwrap_or(u16::MAX);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::Unknown("no free port between 20000 and 32000".to_owned()))
}

/// In memory where possible: etcd and the audit log write a lot.
fn scratch_dir() -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("workspaces-controller-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).doing(|| "cannot create a data directory".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_taken_port_is_told_from_other_failures() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let tools = Tools::ensure().unwrap();
        let error = Cluster::start_on(port, &tools, Arc::default()).unwrap_err();
        assert!(lost_a_port(&error), "{error}");
        assert!(!lost_a_port(&Error::Unknown("address already in use".to_owned())));
    }
}
