//! An installation as an administrator makes it: `helm install` on a fresh control plane, the binary run with exactly the
//! arguments, environment and rights of the live Deployment and its account, then `helm uninstall`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cluster::{CONTROLLER_ACCOUNT, CONTROLLER_USER, Cluster, ClusterOptions};
use serde_json::{Value, json};

use crate::helm::{Answer, NAMESPACE, documents, helm, text};
use crate::process::Process;

const TIMEOUT: Duration = Duration::from_secs(60);
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kubeflow-workspaces/deployments/workspaces-controller";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.kubeflow.org";
const WORKSPACE: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces/my-notebook";
const KIND: &str = "/apis/kubeflow.org/v1beta1/workspacekinds/jupyterlab";

/// A folder with the certificate, and the values that go with it.
struct Site {
    dir: tempfile::TempDir,
    ports: [u16; 3],
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let ca = certs::Ca::issue("chart test", now, VALIDITY).unwrap();
        let leaf = ca.issue_leaf(&["127.0.0.1".into()], now, VALIDITY).unwrap();
        std::fs::write(dir.path().join("ca.crt"), ca.cert_pem()).unwrap();
        std::fs::write(dir.path().join("tls.crt"), leaf.chain_pem).unwrap();
        std::fs::write(dir.path().join("tls.key"), leaf.key_pem).unwrap();
        Self { dir, ports: free_ports() }
    }

    fn helm(&self, cluster: &Cluster, action: &str, more: &[&str]) -> Answer {
        let [webhook, health, metrics] = self.ports;
        let ca = format!("webhook.caBundle={}", self.dir.path().join("ca.crt").display());
        let sets = [
            "certificate.mode=existingSecret".to_owned(),
            format!("certificate.mountPath={}", self.dir.path().display()),
            format!("webhook.url=https://127.0.0.1:{webhook}"),
            format!("ports.webhook={webhook}"),
            format!("ports.health={health}"),
            format!("ports.metrics={metrics}"),
        ];
        let mut args = vec![action, "workspaces-controller", "charts/workspaces-controller", "--namespace", NAMESPACE];
        args.extend(["--set-file", &ca]);
        args.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        args.extend(more);
        helm(&args, Some(&cluster.api().kubeconfig))
    }
}

/// Ports that nobody listens on, outside the range from which the system gives them to clients.
fn free_ports() -> [u16; 3] {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let found: Vec<u16> = (start..start + 1_000).filter(free).take(3).collect();
    found.try_into().unwrap()
}

/// What the live Deployment says to start, as the account that it names.
fn start(cluster: &Cluster, dir: &Path) -> Process {
    let deployment = cluster.api().get(DEPLOYMENT).unwrap().ok().unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], CONTROLLER_ACCOUNT);
    let container = &pod["containers"][0];
    let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect();
    let mut env: Vec<(String, String)> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].as_str().unwrap().to_owned()))
        .collect();
    // In the cluster the account's token lies in a file; here the kubeconfig holds one of the same account.
    let account = cluster.as_service_account(NAMESPACE, CONTROLLER_ACCOUNT).unwrap();
    env.push(("KUBECONFIG".to_owned(), account.kubeconfig.display().to_string()));
    Process::start(&PathBuf::from(env!("CARGO_BIN_EXE_workspaces-controller")), args, env, dir.join("log"))
}

#[test]
fn an_installation_runs_with_exactly_what_the_chart_gives_it() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    let site = Site::new();
    let installed = site.helm(&cluster, "install", &["--create-namespace", "--wait", "--timeout", "2m"]);
    assert!(installed.success, "{}", installed.stderr);

    let mut process = start(&cluster, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    notes_tell_how_to_see_that_it_is_asked(&cluster, &installed.stdout);
    live_through_everything(&cluster, &mut process);
    let mark = cluster.audit().all().unwrap().by(CONTROLLER_USER);
    let refused = mark.clone().filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    assert_every_right_is_used(&cluster, &mark);

    // Without Istio the process removes the routes that it made.
    let upgraded = site.helm(&cluster, "upgrade", &["--set", "settings.useIstio=false"]);
    assert!(upgraded.success, "{}", upgraded.stderr);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
    let mut process = start(&cluster, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    let routes = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
    cluster
        .wait_for("the routes to go", TIMEOUT, || match list(&cluster, routes) {
            routes if routes.is_empty() => Ok(()),
            routes => Err(format!("{routes:?}")),
        })
        .unwrap();
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());

    uninstalling_keeps_the_workspaces(&cluster, &site);
}

fn list(cluster: &Cluster, path: &str) -> Vec<Value> {
    cluster.api().get(path).unwrap().ok().unwrap()["items"].as_array().cloned().unwrap_or_default()
}

/// The command in the notes does what they say.
fn notes_tell_how_to_see_that_it_is_asked(cluster: &Cluster, notes: &str) {
    let probe = notes.split_once("<<END\n").unwrap().1.split_once("END\n").unwrap().0;
    cluster
        .wait_for("the webhook to be asked", TIMEOUT, || {
            let output = cluster.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], probe).unwrap();
            let right = !output.success && output.stderr.contains(r#"workspace kind "no-such-kind" not found"#);
            if right { Ok(()) } else { Err(output.stderr) }
        })
        .unwrap();
}

/// A Workspace's whole life: made, running, paused, its kind protected, gone.
fn live_through_everything(cluster: &Cluster, process: &mut Process) {
    for document in ["docs/examples/jupyterlab-kind.yaml", "docs/examples/jupyterlab-workspace.yaml"].map(text) {
        cluster.kubectl_stdin(&["apply", "-f", "-"], &document).unwrap().ok().unwrap();
    }
    let mut state_is = |wanted: &str| {
        let seen = cluster.wait_for(&format!("the Workspace to be {wanted}"), TIMEOUT, || {
            process.must_run();
            let status = cluster.api().get(WORKSPACE).unwrap().json()["status"].clone();
            if status["state"] == wanted { Ok(()) } else { Err(status.to_string()) }
        });
        seen.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    };
    state_is("Running");
    let routes = list(cluster, "/apis/networking.istio.io/v1/namespaces/default/virtualservices");
    assert_eq!(
        routes[0]["spec"]["http"][0]["match"],
        json!([{"uri": {"prefix": "/workspace/default/my-notebook/jupyterlab/"}}])
    );
    let refused = cluster.api().delete(KIND).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    cluster.api().merge_patch(WORKSPACE, &json!({"spec": {"paused": true}})).unwrap().ok().unwrap();
    state_is("Paused");
}

/// Least privilege: what the role grants is what the process did, but for the rights of rarer moments.
fn assert_every_right_is_used(cluster: &Cluster, requests: &cluster::Requests) {
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/workspaces-manager-role";
    let role = cluster.api().get(role).unwrap().ok().unwrap();
    let words = |rule: &Value, part: &str| -> Vec<String> {
        rule[part].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in words(rule, "resources") {
            granted.extend(words(rule, "verbs").iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    let used: BTreeSet<String> = requests
        .0
        .iter()
        .map(|request| match request.subresource.as_str() {
            "" => format!("{} {}", request.verb, request.resource),
            subresource => format!("{} {}/{subresource}", request.verb, request.resource),
        })
        .collect();
    let unused: BTreeSet<&str> = granted.difference(&used).map(String::as_str).collect();
    assert_eq!(unused, RARELY_USED.into_iter().collect(), "granted but not used; used were {used:?}");
}

/// Rights that the story above does not need, each with the moment that does.
const RARELY_USED: [&str; 0] = [];

fn uninstalling_keeps_the_workspaces(cluster: &Cluster, site: &Site) {
    let configuration = ["delete", "validatingwebhookconfiguration", "workspaces-validating-webhook-configuration"];
    cluster.kubectl(&configuration).unwrap().ok().unwrap();
    let kubeconfig = cluster.api().kubeconfig.clone();
    let uninstalled =
        helm(&["uninstall", "workspaces-controller", "--namespace", NAMESPACE, "--wait"], Some(&kubeconfig));
    assert!(uninstalled.success, "{}", uninstalled.stderr);
    assert_eq!(cluster.api().get(DEPLOYMENT).unwrap().status, 404);
    for kept in [CRD, WORKSPACE, KIND] {
        assert_eq!(cluster.api().get(kept).unwrap().status, 200, "{kept}");
    }
    let again = site.helm(cluster, "install", &[]);
    assert!(again.success, "{}", again.stderr);
}

/// The CRDs of another installation are not helm's: it says so, and takes them over when told to.
#[test]
fn crds_of_others_are_taken_over_only_on_request() {
    let cluster = Cluster::shared();
    let site = Site::new();
    let refused = site.helm(cluster, "install", &["--dry-run=server"]);
    assert!(
        !refused.success && refused.stderr.contains("cannot be imported into the current release"),
        "{}",
        refused.stderr
    );
    let taken = site.helm(cluster, "install", &["--dry-run=server", "--take-ownership"]);
    assert!(taken.success, "{}", taken.stderr);
    let without = site.helm(cluster, "install", &["--dry-run=server", "--set", "crds.install=false"]);
    assert!(without.success, "{}", without.stderr);
    assert!(documents_of(&without.stdout).iter().all(|object| object["kind"] != "CustomResourceDefinition"));
}

fn documents_of(install: &str) -> Vec<Value> {
    let manifest = install.split_once("MANIFEST:\n").unwrap().1.split_once("\nNOTES:").unwrap().0;
    documents(manifest)
}
