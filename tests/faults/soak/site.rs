//! An installation with replicas behind a balancer, each of which reaches the API server through a proxy that makes faults.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Material, MaterialPem};
use cluster::{
    Balancer, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Reply, User, WEBHOOK_CONFIGURATIONS,
    Watched, wait_for, webhook_configuration,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Form;
use super::census::{self, CHILDREN, Census, LABEL};
use super::plan::REPLICAS;
use super::verdict::{Incident, SLOW, Sort, starved};
use crate::proxy::Proxy;
use crate::world::{LEASE, wait};

/// The users of the replicas.
pub const USERS: [&str; REPLICAS] = ["soak-0", "soak-1", "soak-2"];
/// What gives them their rights. Which ones they need, another test says.
const RIGHTS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const BINDING: &str = "soak";
/// After which a replica that is not ready any more gets no new connections.
const REMOVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Site {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub form: Form,
    pub proxies: Vec<Proxy>,
    /// Whoever holds it has watches delayed, or needs that they are not.
    pub delays: Mutex<()>,
    kubeconfigs: Vec<PathBuf>,
    balancer: Balancer,
    incidents: Mutex<Vec<Incident>>,
    pids: Mutex<[i32; REPLICAS]>,
}

/// A replica.
pub struct Replica {
    pub process: ControllerProcess<'static>,
    _watched: Watched,
}

impl Site {
    /// Without a replica so far.
    pub fn new(form: Form) -> Self {
        let users = USERS.iter().map(|user| User::new(user, &[])).collect();
        let cluster = Cluster::start(ClusterOptions { users, ..ClusterOptions::default() }).unwrap();
        let cluster: &'static Cluster = Box::leak(Box::new(cluster));
        let kind = include_str!("../../../docs/examples/jupyterlab-kind.yaml");
        cluster.api().create_yaml("/apis/kubeflow.org/v1beta1/workspacekinds", kind).and_then(Reply::ok).unwrap();
        let balancer = Balancer::start(REMOVAL).unwrap();
        let configuration = webhook_configuration(&balancer.url(), None);
        cluster.api().create(WEBHOOK_CONFIGURATIONS, &configuration).and_then(Reply::ok).unwrap();
        let direct = USERS.map(|user| cluster.kubeconfig(user).unwrap());
        let proxies: Vec<Proxy> = direct.iter().map(|direct| Proxy::start(direct)).collect();
        let kubeconfigs = proxies.iter().zip(&direct).map(|(proxy, direct)| proxy.kubeconfig(direct)).collect();
        let site = Self {
            cluster,
            namespace: cluster.namespace("soak").unwrap(),
            form,
            proxies,
            delays: Mutex::default(),
            kubeconfigs,
            balancer,
            incidents: Mutex::default(),
            pids: Mutex::default(),
        };
        site.give_rights();
        site
    }

    /// Starts a replica, and waits until it is ready.
    pub fn start(&self, number: usize) -> Replica {
        let Form { lease: [lease, deadline, retry], leaf, .. } = self.form;
        let options = ControllerOptions {
            register_webhooks: false,
            kubeconfig: Some(self.kubeconfigs[number].clone()),
            timeout: PATIENCE,
            ..ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        };
        let options = options
            .env("POD_NAMESPACE", &self.namespace)
            .arg("--webhook-cert-source=self-managed")
            .arg("--dynamic-serving-dns-names=127.0.0.1")
            .arg(format!("--dynamic-serving-leaf-duration={}s", leaf.as_secs()))
            .arg(format!("--dynamic-serving-ca-duration={}s", 4 * leaf.as_secs()))
            .arg("--leader-elect")
            .arg(format!("--leader-elect-lease-duration={}ms", lease.as_millis()))
            .arg(format!("--leader-elect-renew-deadline={}ms", deadline.as_millis()))
            .arg(format!("--leader-elect-retry-period={}ms", retry.as_millis()));
        let process = ControllerProcess::start(self.cluster, &options).unwrap();
        locked(&self.pids)[number] = process.pid().unwrap();
        Replica { _watched: self.balancer.watch(&process), process }
    }

    /// The process of each replica, the next one while one is replaced.
    pub fn pids(&self) -> [i32; REPLICAS] {
        *locked(&self.pids)
    }

    pub fn give_rights(&self) {
        let subjects = USERS.map(|user| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}));
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": BINDING},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": subjects,
        });
        wait_done("the rights to be given", 409, || self.cluster.api().create(RIGHTS, &binding));
    }

    pub fn take_rights(&self) {
        let path = format!("{RIGHTS}/{BINDING}");
        wait_done("the rights to be taken away", 404, || self.cluster.api().delete(&path));
    }

    /// During an incident some requests get no answer that anybody could give.
    pub fn during<T>(&self, sort: Sort, incident: impl FnOnce() -> T) -> T {
        let number = {
            let mut incidents = locked(&self.incidents);
            incidents.push(Incident::begin(sort));
            incidents.len() - 1
        };
        let done = incident();
        locked(&self.incidents)[number].to = Some(Instant::now());
        done
    }

    /// Asks the API server again and again for what has nothing to do with us: a measure of the machine.
    pub fn witness(&self, is_over: &AtomicBool) {
        let api = self.cluster.api().clone().within(5 * SLOW);
        while !is_over.load(Ordering::SeqCst) {
            let mut asked = Incident::begin(Sort::Starved);
            // Whether it is there at all is not the question.
            drop(api.get("/version"));
            if asked.from.elapsed() > SLOW {
                asked.to = Some(Instant::now());
                locked(&self.incidents).push(asked);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn incidents(&self) -> Vec<Incident> {
        locked(&self.incidents).clone()
    }

    /// Who is named in the Lease, once somebody is.
    pub fn holder(&self) -> String {
        self.wait_holder(|holder| !holder.is_empty()).0
    }

    /// How long after that moment somebody else took the Lease, by his clock, which is ours, without the time in which the machine
    /// had too much to do.
    pub fn fail_over(&self, from: &str, since: SystemTime) -> Duration {
        let (_, acquired) = self.wait_holder(|holder| !holder.is_empty() && holder != from);
        let took = SystemTime::from(acquired).duration_since(since).unwrap_or_default();
        let began = Instant::now().checked_sub(since.elapsed().unwrap_or_default()).unwrap();
        let starved = starved(&self.incidents(), began, began + took);
        println!("soak: led by another after {took:.2?}, {starved:.2?} of them on a machine that was too busy");
        took.saturating_sub(starved)
    }

    fn wait_holder(&self, is_it: impl Fn(&str) -> bool) -> (String, Timestamp) {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}", self.namespace);
        wait("the Lease to be held", || {
            let lease = self.cluster.api().get(&path).and_then(Reply::ok).map_err(|error| error.to_string())?;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let acquired = lease["spec"]["acquireTime"].as_str().and_then(|time| time.parse().ok());
            acquired.filter(|_| is_it(holder)).map(|time| (holder.to_owned(), time)).ok_or_else(|| lease.to_string())
        })
    }

    /// Replaces what the Secret of the certificate holds, as a replica would. Nothing where the change is not to be made yet.
    pub fn store_certificate(&self, change: impl Fn(&Material) -> Option<MaterialPem>) {
        let path = format!("/api/v1/namespaces/{}/secrets/workspaces-webhook-ca", self.namespace);
        wait("a certificate to be stored", || {
            let mut secret = self.cluster.api().get(&path).and_then(Reply::ok).map_err(|error| error.to_string())?;
            let text = |key: &str| decode(&secret["data"][key]);
            let held = MaterialPem {
                certificate: text("tls.crt"),
                key: text("tls.key"),
                trusted: text("ca.crt"),
                ca_key: text("ca.key"),
            };
            let held = Material::from_pem(&held).map_err(|error| error.to_string())?;
            let pem = change(&held).ok_or("not to be changed yet")?;
            for (key, text) in
                [("tls.crt", pem.certificate), ("tls.key", pem.key), ("ca.crt", pem.trusted), ("ca.key", pem.ca_key)]
            {
                secret["data"][key] = json!(STANDARD.encode(text));
            }
            // In the version that was read.
            self.cluster.api().replace(&path, &secret).and_then(Reply::ok).map(drop).map_err(|error| error.to_string())
        });
    }

    pub fn workspaces_path(&self) -> String {
        format!("/apis/kubeflow.org/v1beta1/namespaces/{}/workspaces", self.namespace)
    }

    /// What is listed there, with that label.
    pub fn list(&self, group: &str, resource: &str) -> cluster::Result<Vec<Value>> {
        let selector = if resource == "workspaces" { "" } else { LABEL };
        let path = format!("{group}/namespaces/{}/{resource}?labelSelector={selector}", self.namespace);
        let list = self.cluster.api().get(&path).and_then(Reply::ok)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    pub fn census(&self) -> cluster::Result<Census> {
        let workspaces = self.list("/apis/kubeflow.org/v1beta1", "workspaces")?;
        let children = CHILDREN.iter().map(|(group, resource)| Ok((*resource, self.list(group, resource)?)));
        Ok(census::take(&workspaces, &children.collect::<cluster::Result<Vec<_>>>()?))
    }

    /// Waits until there is neither an orphan nor a Workspace without a child; what is still wrong otherwise.
    pub fn final_census(&self) -> Census {
        let mut last = Census::default();
        // What is wrong is returned: it is the verdict.
        drop(wait_for("each child once", PATIENCE, || {
            last = self.census().map_err(|error| error.to_string())?;
            if last == Census::default() { Ok(()) } else { Err("not yet".to_owned()) }
        }));
        last
    }
}

/// Until it is done, or this status says that an attempt whose answer was lost has done it.
fn wait_done(what: &str, done: u16, attempt: impl Fn() -> cluster::Result<Reply>) {
    wait(what, || match attempt() {
        Ok(reply) if reply.status == done => Ok(()),
        other => other.and_then(Reply::ok).map(drop).map_err(|error| error.to_string()),
    });
}

fn decode(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
}

/// Also where a thread has panicked: that one reports why.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
