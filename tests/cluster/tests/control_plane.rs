//! The control plane does what tests rely on: it comes up, runs pods, counts requests, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{
    ADMIN, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Error, PLAIN_USER, Server, Tools, wait_for,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_mins(1);

#[test]
fn serves_the_pinned_version_in_seconds() {
    Tools::ensure().unwrap();
    let started = Instant::now();
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let took = started.elapsed();
    println!("start took {took:?}");
    assert!(took < TIMEOUT, "start took {took:?}");
    let version = cluster.kubectl(&["version", "-o", "json"]).unwrap().ok().unwrap();
    let version: Value = serde_json::from_str(&version).unwrap();
    for side in ["clientVersion", "serverVersion"] {
        assert_eq!(version[side]["gitVersion"], "v1.34.4");
        assert_eq!(version[side]["minor"], "34");
    }
}

#[test]
fn two_instances_do_not_know_each_other() {
    let one = Cluster::shared();
    let other = Cluster::start(ClusterOptions::default()).unwrap();
    let name = one.namespace("only-here").unwrap();
    let path = format!("/api/v1/namespaces/{name}");
    assert_eq!(one.api().get(&path).unwrap().status, 200);
    assert_eq!(other.api().get(&path).unwrap().status, 404);
    let dir = other.dir().to_owned();
    assert!(dir.exists());
    drop(other);
    assert!(!dir.exists());
    assert_eq!(one.api().get(&path).unwrap().status, 200);
}

#[test]
fn every_namespace_is_new() {
    let cluster = Cluster::shared();
    let (one, two) = (cluster.namespace("same").unwrap(), cluster.namespace("same").unwrap());
    assert_ne!(one, two);
}

#[test]
fn a_pod_of_a_stateful_set_runs_with_a_loopback_address() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("pods").unwrap();
    let set = stateful_set("notebook", &json!({"app": "notebook"}));
    let args = ["-n", &namespace, "apply", "-f", "-"];
    cluster.kubectl_stdin(&args, &set.to_string()).unwrap().ok().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods/notebook-0");
    let pod = cluster.wait_for("the pod to be ready", TIMEOUT, || {
        let pod = cluster.api().get(&path).unwrap().json();
        if condition(&pod, "Ready") == "True" { Ok(pod) } else { Err(pod["status"].to_string()) }
    });
    let pod = pod.unwrap();
    assert_eq!(pod["status"]["phase"], "Running");
    let address: Ipv4Addr = pod["status"]["podIP"].as_str().unwrap().parse().unwrap();
    assert_eq!(address.octets()[..2], [127, 10], "{address}");
    // So something can listen there.
    std::net::TcpListener::bind((address, 0)).unwrap();
}

#[test]
fn a_label_makes_pods_fail() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("failing").unwrap();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    for (behaviour, phase, reason) in [
        ("crash-loop", "Running", "CrashLoopBackOff"),
        ("image-pull-error", "Pending", "ImagePullBackOff"),
        ("config-error", "Pending", "CreateContainerConfigError"),
        ("out-of-memory", "Running", "OOMKilled"),
        ("never-ready", "Running", ""),
    ] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": behaviour, "labels": {"cluster.test/pod": behaviour}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        });
        cluster.api().create(&pods, &pod).unwrap().ok().unwrap();
        let what = format!("the pod to show {behaviour}");
        cluster
            .wait_for(&what, TIMEOUT, || {
                let pod = cluster.api().get(&format!("{pods}/{behaviour}")).unwrap().json();
                let state = &pod["status"]["containerStatuses"][0]["state"];
                let seen = ["waiting", "terminated"].iter().find_map(|kind| state[kind]["reason"].as_str());
                let fits = pod["status"]["phase"] == phase
                    && seen.unwrap_or_default() == reason
                    && condition(&pod, "Ready") == "False";
                if fits { Ok(()) } else { Err(pod["status"].to_string()) }
            })
            .unwrap();
    }
}

#[test]
fn the_audit_log_counts_by_user_and_verb() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("audit").unwrap();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "counted"}});
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let before = cluster.audit().mark().unwrap();
    cluster.api().create(&accounts, &account).unwrap().ok().unwrap();
    let mark = cluster.audit().mark().unwrap();
    let plain = cluster.api_as(PLAIN_USER).unwrap();
    assert_eq!(plain.get(&format!("{accounts}/counted")).unwrap().status, 403);
    for label in ["a", "b", "c"] {
        let patch = json!({"metadata": {"labels": {"label": label}}});
        cluster.api().merge_patch(&format!("{accounts}/counted"), &patch).unwrap().ok().unwrap();
    }
    let dry = format!("{accounts}/counted?dryRun=All");
    cluster.api().delete(&dry).unwrap().ok().unwrap();

    let here = || cluster.audit().since(mark).unwrap().namespace(&namespace);
    assert_eq!(here().by(ADMIN).verb("patch").resource("serviceaccounts").count(), 3, "{:?}", here());
    assert_eq!(here().by(ADMIN).writes().resource("serviceaccounts").count(), 3, "{:?}", here());
    assert_eq!(here().by(ADMIN).verb("delete").count(), 1, "{:?}", here());
    assert_eq!(here().verb("create").resource("serviceaccounts").by(ADMIN).count(), 0, "{:?}", here());
    assert_eq!(here().by(PLAIN_USER).verb("get").name("counted").count(), 1, "{:?}", here());
    assert!(here().by(PLAIN_USER).accepted().is_empty(), "{:?}", here());
    let earlier = cluster.audit().since(before).unwrap().namespace(&namespace).by(ADMIN).verb("create");
    assert_eq!(earlier.resource("serviceaccounts").count(), 1);
}

#[test]
fn a_service_account_acts_under_its_own_name() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("accounts").unwrap();
    let account = cluster.as_service_account(&namespace, "default").unwrap();
    let mark = cluster.audit().mark().unwrap();
    assert_eq!(account.get("/api/v1/nodes").unwrap().status, 403);
    let user = format!("system:serviceaccount:{namespace}:default");
    assert_eq!(cluster.audit().since(mark).unwrap().by(&user).count(), 1);
    let text = std::fs::read_to_string(&account.kubeconfig).unwrap();
    assert!(text.contains(&user), "{text}");
}

#[test]
fn stores_virtual_services() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("routes").unwrap();
    let virtual_service = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "notebook", "namespace": namespace},
        "spec": {
            "hosts": ["*"], "gateways": ["kubeflow/kubeflow-gateway"],
            "http": [{
                "match": [{"uri": {"prefix": "/workspace/team/notebook/jupyter/"}}],
                "route": [{"destination": {"host": "notebook.team.svc.cluster.local", "port": {"number": 8888}}}],
            }],
        },
    });
    cluster.kubectl_stdin(&["apply", "-f", "-"], &virtual_service.to_string()).unwrap().ok().unwrap();
    let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/notebook");
    assert_eq!(cluster.api().get(&path).unwrap().ok().unwrap()["spec"]["hosts"], json!(["*"]));
}

#[test]
fn istios_own_validation_answers_each_line() {
    let virtual_service = |host: &str, port: u32| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "notebook", "namespace": "team"},
            "spec": {
                "hosts": [host], "gateways": ["kubeflow/kubeflow-gateway"],
                "http": [{
                    "match": [{"uri": {"prefix": "/a/"}}],
                    "route": [{"destination": {"host": "notebook.team.svc.cluster.local", "port": {"number": port}}}],
                }],
            },
        })
    };
    let input = format!("{}\n{}\nnonsense\n", virtual_service("*", 8888), virtual_service("a b", 0));
    let program = Command::new(Tools::istio_validate().unwrap());
    let answers = cluster::run(program, Some(&input)).unwrap().ok().unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0], json!({"name": "team/notebook", "errors": [], "warnings": []}));
    let errors =
        json!(["domain name \"a b\" invalid (label \"a b\" invalid)", "port number 0 must be in the range 1..65535"]);
    assert_eq!(answers[1]["errors"], errors);
    assert!(answers[2]["errors"][0].as_str().unwrap().starts_with("not an object"), "{}", answers[2]);
    assert_eq!(answers.len(), 3);
}

#[test]
fn a_product_that_ends_early_is_told_with_its_log() {
    // A shell does not accept the product's arguments.
    let options = ControllerOptions::new("/bin/sh");
    let error = ControllerProcess::start(Cluster::shared(), &options).unwrap_err().to_string();
    assert!(error.starts_with("controller-"), "{error}");
    assert!(error.contains("exited early (Code(2)); the end of its log:"), "{error}");
    assert!(error.contains("option"), "{error}");
}

#[test]
fn a_failed_command_says_everything() {
    let error = Cluster::shared().kubectl(&["get", "pod", "none"]).unwrap().ok().unwrap_err().to_string();
    assert!(error.contains("kubectl get pod none"), "{error}");
    assert!(error.contains("exit code 1"), "{error}");
    assert!(error.contains("pods \"none\" not found"), "{error}");
}

#[test]
fn an_unknown_user_is_an_error() {
    let error = Cluster::shared().kubeconfig("nobody").unwrap_err().to_string();
    assert_eq!(error, "no user \"nobody\": name it in ClusterOptions::users");
}

#[test]
fn a_restarted_api_server_has_kept_everything() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    let namespace = cluster.namespace("kept").unwrap();
    cluster.kill_server(Server::KubeApiserver);
    let path = format!("/api/v1/namespaces/{namespace}");
    assert!(matches!(cluster.api().get(&path).unwrap_err(), Error::Request { .. }));
    cluster.start_server(Server::KubeApiserver).unwrap();
    cluster.wait_for("the namespace", TIMEOUT, || cluster.api().get(&path).and_then(cluster::Reply::ok)).unwrap();
}

#[test]
fn a_dead_server_ends_a_wait_at_once() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    cluster.signal_server(Server::KubeScheduler, Signal::TERM).unwrap();
    let started = Instant::now();
    let error = cluster.wait_for("the moon", Duration::from_mins(10), || None::<()>).unwrap_err();
    assert!(error.to_string().starts_with("kube-scheduler exited early"), "{error}");
    assert!(started.elapsed() < TIMEOUT);
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    Tools::ensure().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_control-plane")).stdout(Stdio::piped()).spawn().unwrap();
    let kubeconfig = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(PathBuf::from(line.strip_prefix("export KUBECONFIG=")?)))
        .unwrap();
    let dir = kubeconfig.parent().unwrap();
    let servers: Vec<Pid> = std::fs::read_dir(dir.join("run"))
        .unwrap()
        .map(|entry| {
            let number = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            Pid::from_raw(number.trim().parse().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(servers.len(), 5);
    assert!(servers.iter().all(|&server| test_kill_process(server).is_ok()));

    kill_process(Pid::from_child(&owner), Signal::KILL).unwrap();
    owner.wait().unwrap();
    wait_for("every server to be gone", TIMEOUT, || {
        let left: Vec<_> = servers.iter().filter(|&&server| test_kill_process(server).is_ok()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .unwrap();
    wait_for("the data directory to be gone", TIMEOUT, || (!dir.exists()).then_some(())).unwrap();
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or_default()
}

fn stateful_set(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name, "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    })
}
