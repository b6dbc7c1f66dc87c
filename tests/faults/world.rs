//! Replicas of the product on one control plane, each with a user of its own, so that the audit log tells who wrote what.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster::{
    Cluster, ClusterOptions, ControllerOptions, ControllerProcess, MASTERS, Mark, Reply, Requests, User, wait_for,
};
use serde_json::{Value, json};

/// The Lease that this and the Go controller share.
pub const LEASE: &str = "kubeflow-workspace-controller";
/// The users of the replicas.
pub const USERS: [&str; 3] = ["replica-a", "replica-b", "replica-go"];
const PATIENCE: Duration = Duration::from_mins(2);
/// What is made for each Workspace.
const CHILDREN: [&str; 4] = ["serviceaccounts", "statefulsets", "services", "virtualservices"];
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces";

pub fn wait<T>(what: &str, poll: impl FnMut() -> Result<T, String>) -> T {
    wait_for(what, PATIENCE, poll).unwrap()
}

/// The times of an election, and how much is done in it.
#[derive(Clone, Copy)]
pub struct Scale {
    pub lease: Duration,
    pub deadline: Duration,
    pub retry: Duration,
    pub workspaces: usize,
}

impl Scale {
    /// Those of the product.
    pub const FULL: Self = Self {
        lease: Duration::from_secs(15),
        deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        workspaces: 500,
    };
    /// Five times as fast.
    pub const SHORT: Self = Self {
        lease: Duration::from_secs(3),
        deadline: Duration::from_secs(2),
        retry: Duration::from_millis(400),
        workspaces: 20,
    };

    /// Within which a standby acts after the leader was killed: two seconds after the Lease has expired.
    pub fn take_over(self) -> Duration {
        self.lease + Duration::from_secs(2)
    }

    pub fn times(self) -> [Duration; 3] {
        [self.lease, self.deadline, self.retry]
    }
}

/// Of these tests one runs at a time: they measure times.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tests whose replicas reconcile everything in the cluster, so one at a time.
pub struct World {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub scale: Scale,
    _alone: MutexGuard<'static, ()>,
}

pub struct Replica {
    pub process: ControllerProcess<'static>,
    pub user: &'static str,
}

impl World {
    pub fn new(name: &str, scale: Scale) -> Self {
        static CLUSTER: Mutex<Option<&'static Cluster>> = Mutex::new(None);
        let alone = alone();
        let cluster = *CLUSTER.lock().unwrap().get_or_insert_with(|| {
            let users = USERS.iter().map(|user| User::new(user, &[MASTERS])).collect();
            let cluster = Cluster::start(ClusterOptions { users, ..ClusterOptions::default() }).unwrap();
            let cluster: &'static Cluster = Box::leak(Box::new(cluster));
            let kind = include_str!("../../docs/examples/jupyterlab-kind.yaml");
            cluster.api().create_yaml("/apis/kubeflow.org/v1beta1/workspacekinds", kind).and_then(Reply::ok).unwrap();
            cluster
        });
        let namespace = cluster.namespace(name).unwrap();
        Self { cluster, namespace, scale, _alone: alone }
    }

    /// Starts a replica, and waits until it takes part in the election.
    pub fn replica(&self, user: &'static str) -> Replica {
        self.replica_with(user, self.cluster.kubeconfig(user).unwrap())
    }

    pub fn replica_with(&self, user: &'static str, kubeconfig: PathBuf) -> Replica {
        self.start(user, &self.options(kubeconfig).env("ENABLE_WEBHOOKS", "false"))
    }

    /// One that serves the webhooks too, with that certificate and its CA or with one of its own. They are not registered.
    pub fn replica_that_admits(&self, user: &'static str, certificate: Option<(PathBuf, String)>) -> Replica {
        let options = self.options(self.cluster.kubeconfig(user).unwrap());
        self.start(user, &ControllerOptions { certificate, ..options })
    }

    fn start(&self, user: &'static str, options: &ControllerOptions) -> Replica {
        Replica { process: ControllerProcess::start(self.cluster, options).unwrap(), user }
    }

    fn options(&self, kubeconfig: PathBuf) -> ControllerOptions {
        let Scale { lease, deadline, retry, .. } = self.scale;
        let options = ControllerOptions {
            register_webhooks: false,
            kubeconfig: Some(kubeconfig),
            ..ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        };
        options
            .env("POD_NAMESPACE", &self.namespace)
            .arg("--leader-elect")
            .arg(format!("--leader-elect-lease-duration={}ms", lease.as_millis()))
            .arg(format!("--leader-elect-renew-deadline={}ms", deadline.as_millis()))
            .arg(format!("--leader-elect-retry-period={}ms", retry.as_millis()))
    }

    pub fn lease_path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}", self.namespace)
    }

    pub fn lease(&self) -> Value {
        self.cluster.api().get(&self.lease_path()).unwrap().json()
    }

    /// Creates a Workspace.
    pub fn create(&self, name: &str) {
        self.try_create(name).unwrap();
    }

    /// Deletes the registration of the webhooks.
    pub fn unregister(&self) {
        let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
        let path = format!("{configurations}/workspaces-validating-webhook-configuration");
        self.cluster.api().delete(&path).and_then(Reply::ok).unwrap();
    }

    /// Creates a Workspace; the error is why it is refused.
    pub fn try_create(&self, name: &str) -> Result<(), String> {
        let object = json!({
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "spec": {
                "kind": "jupyterlab",
                "podTemplate": {"options": {"imageConfig": "jupyter-scipy_v1.10.0", "podConfig": "small"}, "volumes": {}},
            },
        });
        let answer = self.cluster.api().create(&self.workspaces(), &object);
        answer.and_then(Reply::ok).map(drop).map_err(|error| error.to_string())
    }

    /// Pauses or starts a Workspace.
    pub fn set_paused(&self, name: &str, paused: bool) -> Result<(), String> {
        let path = format!("{}/{name}", self.workspaces());
        let answer = self.cluster.api().merge_patch(&path, &json!({"spec": {"paused": paused}}));
        answer.and_then(Reply::ok).map(drop).map_err(|error| error.to_string())
    }

    /// Waits until all of them have that state.
    pub fn wait_state(&self, names: &[String], state: &str) {
        wait(&format!("{} Workspaces to be {state}", names.len()), || {
            let listed = self.list(&self.workspaces());
            let is_it = |object: &&Value| {
                names.iter().any(|name| object["metadata"]["name"] == **name) && object["status"]["state"] == state
            };
            let found = listed.iter().filter(is_it).count();
            if found == names.len() { Ok(()) } else { Err(format!("{found} of {}", names.len())) }
        });
    }

    pub fn is_paused(&self, name: &str) -> bool {
        let path = format!("{}/{name}", self.workspaces());
        self.cluster.api().get(&path).and_then(Reply::ok).unwrap()["spec"]["paused"] == true
    }

    /// Waits until the StatefulSets of all of them ask for so many pods.
    pub fn wait_scaled(&self, names: &[String], replicas: usize) {
        wait("the StatefulSets to be scaled", || {
            let listed = self.list(&format!("/apis/apps/v1/namespaces/{}/statefulsets", self.namespace));
            let of = |set: &Value| set["metadata"]["labels"]["notebooks.kubeflow.org/workspace-name"].clone();
            let is_it =
                |set: &&Value| names.iter().any(|name| of(set) == **name) && set["spec"]["replicas"] == replicas;
            let found = listed.iter().filter(is_it).count();
            if found == names.len() { Ok(()) } else { Err(format!("{found} of {}", names.len())) }
        });
    }

    /// Waits until that Workspace has one child of each sort.
    pub fn wait_children(&self, workspace: &str) {
        wait("all children", || {
            let found = CHILDREN.map(|resource| self.children_of(resource, Some(workspace)));
            if found == [1; 4] { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// All requests of a replica since then.
    pub fn requests(&self, replica: &Replica, since: Mark) -> Requests {
        self.cluster.audit().since(since).unwrap().by(replica.user)
    }

    /// How many children it has created since then.
    pub fn created(&self, replica: &Replica, since: Mark) -> usize {
        self.writes(replica, since).filter(|request| request.code == 201 && request.resource != "events").count()
    }

    /// What they have deleted since then.
    pub fn deletions(&self, replicas: &[&Replica], since: Mark) -> Requests {
        let all = self.cluster.audit().since(since).unwrap().verb("delete").accepted();
        all.filter(|request| replicas.iter().any(|replica| replica.user == request.user))
    }

    fn workspaces(&self) -> String {
        format!("{WORKSPACES}/{}/workspaces", self.namespace)
    }

    /// Waits until all these Workspaces have everything, and exactly once.
    pub fn wait_complete(&self, count: usize) {
        wait("every child once, and every Workspace Running", || {
            let found = CHILDREN.map(|resource| self.children_of(resource, None));
            let running =
                self.list(&self.workspaces()).iter().filter(|object| object["status"]["state"] == "Running").count();
            if found == [count; 4] && running == count { Ok(()) } else { Err(format!("{found:?}, {running} Running")) }
        });
    }

    /// How many children of that resource there are, of all or of one Workspace.
    pub fn children_of(&self, resource: &str, workspace: Option<&str>) -> usize {
        let group = match resource {
            "statefulsets" => "/apis/apps/v1",
            "virtualservices" => "/apis/networking.istio.io/v1",
            _ => "/api/v1",
        };
        let label = "notebooks.kubeflow.org/workspace-name";
        let selector = workspace.map_or_else(|| label.to_owned(), |workspace| format!("{label}={workspace}"));
        self.list(&format!("{group}/namespaces/{}/{resource}?labelSelector={selector}", self.namespace)).len()
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let listed = self.cluster.api().get(path).and_then(Reply::ok).unwrap();
        listed["items"].as_array().cloned().unwrap_or_default()
    }

    pub fn mark(&self) -> Mark {
        self.cluster.audit().mark().unwrap()
    }

    /// The accepted writes of a replica since then, but for those of its Lease.
    pub fn writes(&self, replica: &Replica, since: Mark) -> Requests {
        let all = self.cluster.audit().since(since).unwrap().writes().accepted().by(replica.user);
        all.filter(|request| request.resource != "leases")
    }

    /// Waits until exactly one of them leads, and is named in the Lease.
    pub fn wait_one_leader<'r>(&self, replicas: &[&'r Replica]) -> &'r Replica {
        wait("one leader", || {
            let leaders: Vec<&&Replica> = replicas.iter().filter(|replica| replica.leads()).collect();
            let holder = self.lease()["spec"]["holderIdentity"].clone();
            match leaders.as_slice() {
                [leader] if leader.identity().is_some_and(|identity| holder == identity) => Ok(**leader),
                leaders => Err(format!("{} lead, the Lease names {holder}", leaders.len())),
            }
        })
    }

    /// Keeps the leader busy: starts and pauses Workspaces in turn, until dropped.
    pub fn traffic(&self, names: Vec<String>) -> Traffic {
        let api = self.cluster.api_as(cluster::ADMIN).unwrap();
        let (stop, edits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted, path) = (Arc::clone(&stop), Arc::clone(&edits), self.workspaces());
        let thread = std::thread::spawn(move || {
            for round in 0.. {
                for name in &names {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let paused = json!({"spec": {"paused": round % 2 == 0}});
                    api.merge_patch(&format!("{path}/{name}"), &paused).and_then(Reply::ok).unwrap();
                    counted.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Traffic { stop, edits, thread: Some(thread) }
    }
}

pub struct Traffic {
    stop: Arc<AtomicBool>,
    pub edits: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Replica {
    pub fn leads(&self) -> bool {
        self.process.metric("leader_election_master_status", &[("name", LEASE)]).ok().flatten() == Some(1.0)
    }

    /// As which it is named in the Lease, once it has been the leader.
    pub fn identity(&self) -> Option<String> {
        let log = self.process.log();
        let line = log.lines().rfind(|line| line.contains("this replica is the leader now"))?;
        serde_json::from_str::<Value>(line).ok()?["identity"].as_str().map(str::to_owned)
    }
}

/// The names of so many Workspaces.
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("lab-{number}")).collect()
}
