//! S1 for what is optional: with exactly the rights that the chart renders for a set of features nothing is refused, and each right
//! that they add is used. What the default installation may do, `installed` counts.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{ADMIN, Cluster, ClusterOptions, Reply, Requests, report};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::helm::{CHART, NAMESPACE, helm, is_hook, objects};
use crate::image_swapped::logged;
use crate::installed::{free_ports, serve_notebooks, start};
use crate::process::Process;

const TIMEOUT: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
const VIRTUAL_SERVICES: &str = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
const SECRET: &str = "/api/v1/namespaces/kubeflow-workspaces/secrets/workspaces-webhook-ca";

/// The rights in rendered roles, each `verb resource`.
pub fn rights(objects: &[Value]) -> BTreeSet<String> {
    let objects = objects.iter().filter(|object| !is_hook(object));
    let all = objects.filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap()));
    // Those of users are of no concern here.
    let ours = all.filter(|role| role["metadata"]["name"].as_str().unwrap().starts_with("workspaces-"));
    let rules = ours.filter_map(|role| role["rules"].as_array()).flatten();
    let words = |rule: &Value, part: &str| -> Vec<String> {
        rule[part].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    rules
        .flat_map(|rule| {
            let verbs = words(rule, "verbs");
            words(rule, "resources")
                .into_iter()
                .flat_map(move |resource| verbs.clone().into_iter().map(move |verb| format!("{verb} {resource}")))
        })
        .collect()
}

/// What was asked for, in the same words.
pub fn used(requests: &Requests) -> BTreeSet<String> {
    let words = requests.0.iter().map(|request| match request.subresource.as_str() {
        "" => format!("{} {}", request.verb, request.resource),
        subresource => format!("{} {}/{subresource}", request.verb, request.resource),
    });
    words.collect()
}

/// An installation with some features.
struct Installation<'a> {
    cluster: &'a Cluster,
    /// Of webhook, health and metrics, and of the status page.
    ports: [u16; 4],
    sets: Vec<String>,
    dir: tempfile::TempDir,
    from: cluster::Mark,
}

impl<'a> Installation<'a> {
    fn new(cluster: &'a Cluster, sets: &[&str]) -> Self {
        let [webhook, health, metrics] = free_ports();
        let [status, ..] = free_ports();
        let mut all = vec![
            format!("webhook.url=https://127.0.0.1:{webhook}"),
            format!("ports.webhook={webhook}"),
            format!("ports.health={health}"),
            format!("ports.metrics={metrics}"),
            format!("settings.statusBindAddress=127.0.0.1:{status}"),
            "certificate.mode=selfManaged".to_owned(),
            // It is renewed after eight seconds.
            "certificate.selfManaged.leafDuration=12s".to_owned(),
            "certificate.selfManaged.caDuration=60s".to_owned(),
        ];
        all.extend(sets.iter().map(|set| set.replace("STATUS_PORT", &status.to_string())));
        let from = cluster.audit().mark().unwrap();
        let installation = Self {
            cluster,
            ports: [webhook, health, metrics, status],
            sets: all,
            dir: tempfile::tempdir().unwrap(),
            from,
        };
        let mut args = vec!["upgrade", "--install", "rights", CHART, "--namespace", NAMESPACE, "--create-namespace"];
        args.extend(installation.sets.iter().flat_map(|set| ["--set", set.as_str()]));
        let installed = helm(&args, Some(&cluster.api().kubeconfig));
        assert!(installed.success, "{}", installed.stderr);
        installation
    }

    fn start(&self, account: &str) -> Process {
        let mut process = start(self.cluster, account, self.dir.path());
        process.wait_ready(self.ports[1], TIMEOUT);
        process
    }

    fn wait_for(&self, process: &mut Process, what: &str, mut poll: impl FnMut() -> Result<(), String>) {
        let seen = self.cluster.wait_for(what, TIMEOUT, || {
            process.must_run();
            poll()
        });
        seen.unwrap_or_else(|error| panic!("{what}: {error}\n{}", process.log()));
    }

    fn granted(&self) -> BTreeSet<String> {
        rights(&objects(&self.sets.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// Ends the process; nothing was refused to it, and of `expected` it used all but `silent`, which leave no trace in the audit log.
    fn end(self, mut process: Process, account: &str, what: &str, expected: &BTreeSet<String>, silent: &[&str]) {
        assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
        let requests = self.cluster.audit().since(self.from).unwrap();
        let requests = requests.by(&format!("system:serviceaccount:{NAMESPACE}:{account}"));
        let refused = requests.clone().filter(|request| request.code == 403);
        assert!(refused.is_empty(), "{what}: {refused:?}");
        let missing: Vec<String> =
            logged(&process, &["WARN", "ERROR"]).into_iter().filter(|line| is_missing(line)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?}");
        let used = used(&requests);
        let unused: BTreeSet<&str> = expected.difference(&used).map(String::as_str).collect();
        assert_eq!(unused, silent.iter().copied().collect(), "{what}: granted but not used; used were {used:?}");
        let figure = format!(
            "{} rights used, {} that leave no trace, no request refused",
            expected.len() - silent.len(),
            silent.len()
        );
        report("S1", true, format!("{what}: {figure}"), "no other right, none refused");
    }
}

/// Whether a right is missing that was not withheld by `rbac.podExec`.
fn is_missing(line: &str) -> bool {
    line.starts_with("a right is missing") && !line.contains("pods/exec")
}

/// The body of an answer to `GET path` over TLS, for that bearer token.
fn get_with_token(port: u16, ca: &str, path: &str, token: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(answer) } else { Err(answer) }
}

fn create(cluster: &Cluster) {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind("lab")).unwrap();
    kind["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    cluster.api().create(KINDS, &kind).and_then(Reply::ok).unwrap();
    let mut lab = serde_json::to_value(crds::testing::workspace("default", "lab", "lab")).unwrap();
    lab["metadata"] = json!({"name": "lab"});
    cluster.api().create(WORKSPACES, &lab).and_then(Reply::ok).unwrap();
}

fn delete(cluster: &Cluster, installation: &Installation<'_>, process: &mut Process) {
    for path in [format!("{WORKSPACES}/lab"), format!("{KINDS}/lab")] {
        cluster.api().delete(&path).and_then(Reply::ok).unwrap();
        installation.wait_for(process, &format!("{path} to go"), || {
            let reply = cluster.api().get(&path).unwrap();
            if reply.status == 404 { Ok(()) } else { Err(reply.body) }
        });
    }
}

fn wait_running(cluster: &Cluster, installation: &Installation<'_>, process: &mut Process) {
    installation.wait_for(process, "the Workspace to run", || {
        let status = cluster.api().get(&format!("{WORKSPACES}/lab")).unwrap().json()["status"].clone();
        if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Waits until the webhook refuses what it has to; a Notebook has that name.
fn wait_asked(cluster: &Cluster, installation: &Installation<'_>, process: &mut Process) {
    let mut lab = serde_json::to_value(crds::testing::workspace("default", "taken", "nowhere")).unwrap();
    lab["metadata"] = json!({"name": "taken"});
    installation.wait_for(process, "the webhook to be asked", || {
        let reply = cluster.api().create(&format!("{WORKSPACES}?dryRun=All"), &lab).unwrap();
        if reply.body.contains("there is a Notebook") { Ok(()) } else { Err(reply.body) }
    });
}

/// What is stored of CA and certificate.
fn stored(cluster: &Cluster) -> Value {
    cluster.api().get(SECRET).unwrap().ok().unwrap()["data"].clone()
}

fn wait_renewed(cluster: &Cluster, installation: &Installation<'_>, process: &mut Process) {
    let first = stored(cluster)["tls.crt"].clone();
    installation.wait_for(process, "another certificate", || {
        if stored(cluster)["tls.crt"] == first { Err("the same".to_owned()) } else { Ok(()) }
    });
}

/// The rights that a default installation has.
fn by_default() -> BTreeSet<String> {
    rights(&objects(&["settings.enforceFilterRules=true", "settings.enforceCanMount=true"]))
}

/// Lists are not streamed here, so that each right to `list` shows.
fn control_plane() -> Cluster {
    let api_server_args = vec![
        "--feature-gates=WatchList=false".to_owned(),
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
    ];
    let cluster =
        Cluster::start(ClusterOptions { product_crds: false, api_server_args, ..ClusterOptions::default() }).unwrap();
    serve_notebooks(&cluster);
    cluster
}

#[test]
fn tokens_and_a_certificate_of_its_own_take_the_rights_that_they_add() {
    let account = "workspaces-controller";
    let cluster = &control_plane();
    let installation = Installation::new(
        cluster,
        &[
            "settings.metricsSecure=true",
            "settings.metricsRequireAuthentication=true",
            "settings.statusBindAddress=:STATUS_PORT",
            "settings.dryRunPausing=true",
            "settings.checkClusterRoleBind=off",
            "rbac.podExec=false",
        ],
    );
    let mut process = installation.start(account);
    wait_asked(cluster, &installation, &mut process);
    create(cluster);
    wait_running(cluster, &installation, &mut process);
    let kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(cluster.kubeconfig(ADMIN).unwrap()).unwrap()).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    for (port, path) in [(installation.ports[2], "/metrics"), (installation.ports[3], "/status.json")] {
        installation.wait_for(&mut process, path, || {
            let ca = STANDARD.decode(stored(cluster)["ca.crt"].as_str().unwrap()).unwrap();
            get_with_token(port, &String::from_utf8(ca).unwrap(), path, token).map(drop)
        });
    }
    wait_renewed(cluster, &installation, &mut process);
    delete(cluster, &installation, &mut process);

    let granted = installation.granted();
    for absent in ["patch workspaces", "get pods/exec", "create pods/exec"] {
        assert!(!granted.contains(absent), "{absent}");
    }
    let added: BTreeSet<String> = granted.difference(&by_default()).cloned().collect();
    assert!(
        added.contains("create tokenreviews") && added.contains("patch validatingwebhookconfigurations"),
        "{added:?}"
    );
    installation.end(process, account, "tokens, selfManaged", &added, &[]);
}

#[test]
fn a_part_of_the_work_takes_a_part_of_the_rights() {
    let cluster = &control_plane();
    cluster.install_product_crds().unwrap();
    only_admission(cluster);
    only_reconcile(cluster);
    only_routes(cluster);
}

fn only_admission(cluster: &Cluster) {
    let account = "workspaces-controller";
    let installation = Installation::new(cluster, &["settings.enableReconcile=false", "crds.enabled=false"]);
    let mut process = installation.start(account);
    wait_asked(cluster, &installation, &mut process);
    create(cluster);
    wait_renewed(cluster, &installation, &mut process);
    delete(cluster, &installation, &mut process);
    let granted = installation.granted();
    installation.end(process, account, "only admission", &granted, &[]);
}

fn only_reconcile(cluster: &Cluster) {
    let account = "workspaces-controller";
    let sets = [
        "settings.enableWebhooks=false",
        "settings.useIstio=false",
        "settings.leaderElect=false",
        "replicas=1",
        "crds.enabled=false",
    ];
    let installation = Installation::new(cluster, &sets);
    let mut process = installation.start(account);
    create(cluster);
    wait_running(cluster, &installation, &mut process);
    delete(cluster, &installation, &mut process);
    assert!(installation.granted().is_subset(&by_default()));
    installation.end(process, account, "only reconcile, without Istio and election", &BTreeSet::new(), &[]);
}

fn only_routes(cluster: &Cluster) {
    let account = "workspaces-route-controller";
    let sets = [
        "settings.onlyRoutes=true",
        "settings.namespaceSelector=!moving",
        "settings.leaderElect=false",
        "replicas=1",
        "crds.enabled=false",
    ];
    let installation = Installation::new(cluster, &sets);
    let mut process = installation.start(account);
    create(cluster);
    let lab = cluster.api().get(&format!("{WORKSPACES}/lab")).and_then(Reply::ok).unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 8888}]},
        "metadata": {
            "name": "ws-lab-1", "labels": {"notebooks.kubeflow.org/workspace-name": "lab"},
            "ownerReferences": [{
                "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": lab["metadata"]["uid"], "controller": true,
            }],
        },
    });
    let services = "/api/v1/namespaces/default/services?fieldManager=manager";
    cluster.api().create(services, &service).and_then(Reply::ok).unwrap();
    let routes =
        || cluster.api().get(VIRTUAL_SERVICES).unwrap().json()["items"].as_array().cloned().unwrap_or_default();
    installation.wait_for(&mut process, "the route", || {
        if routes().len() == 1 { Ok(()) } else { Err(format!("{:?}", routes())) }
    });
    // Without its label it has to be read by its name.
    let path = format!("{VIRTUAL_SERVICES}/{}", routes()[0]["metadata"]["name"].as_str().unwrap());
    let label = "notebooks.kubeflow.org/workspace-name";
    cluster.api().merge_patch(&path, &json!({"metadata": {"labels": {label: null}}})).and_then(Reply::ok).unwrap();
    installation.wait_for(&mut process, "the label to be back", || {
        let route = cluster.api().get(&path).unwrap().json();
        if route["metadata"]["labels"][label] == "lab" { Ok(()) } else { Err(route.to_string()) }
    });
    // The port is gone, and so is its route.
    cluster.api().delete("/api/v1/namespaces/default/services/ws-lab-1").and_then(Reply::ok).unwrap();
    delete(cluster, &installation, &mut process);
    installation.wait_for(&mut process, "the route to go", || {
        if routes().is_empty() { Ok(()) } else { Err(format!("{:?}", routes())) }
    });
    let granted = installation.granted();
    let silent = ["update workspaces/finalizers", "create virtualservices"];
    installation.end(process, account, "only routes, selected namespaces", &granted, &silent);
}
