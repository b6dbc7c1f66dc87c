//! Scripts and commands that really run, through the API server and the streaming server of kubelets.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterOptions, PLAIN_USER, Reply, User};
use kube::Client;
use serde_json::{Value, json};
use workspaces_controller::activity::exec::{PodName, probe_command, probe_script};
use workspaces_controller::activity::report::{Found, ProbeFailure, ProbeReport};
use workspaces_controller::client::Access;

/// The user of the probes, who may do nothing but that.
const USER: &str = "prober";
/// Longer than anything takes here.
const LONG: Duration = Duration::from_mins(1);

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    drop(rustls::crypto::ring::default_provider().install_default());
    let users = vec![User::new(USER, &[])];
    let options = ClusterOptions { users, exec: true, product_crds: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).unwrap();
    let (group, api) = ("rbac.authorization.k8s.io", cluster.api());
    let rules = json!([{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]}]);
    let role = json!({"metadata": {"name": USER}, "rules": rules});
    let binding = json!({
        "metadata": {"name": USER}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        api.create(&format!("/apis/{group}/v1/{resource}"), &object).and_then(Reply::ok).unwrap();
    }
    cluster
});

/// A running pod of its own for one test.
struct World {
    namespace: String,
    client: Client,
}

const POD: &str = "ws-lab-0";

impl World {
    async fn new(name: &str) -> Self {
        let namespace = CLUSTER.namespace(name).unwrap();
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let containers = json!([{"name": "sidecar", "image": "none"}, {"name": "main", "image": "none"}]);
        let pod = json!({"metadata": {"name": POD}, "spec": {"containers": containers}});
        CLUSTER.api().create(&pods, &pod).and_then(Reply::ok).unwrap();
        CLUSTER
            .wait_for("the pod to run", LONG, || {
                let pod = CLUSTER.api().get(&format!("{pods}/{POD}")).and_then(Reply::ok).unwrap();
                if pod["status"]["phase"] == "Running" { Ok(()) } else { Err(pod["status"].to_string()) }
            })
            .unwrap();
        Self { namespace, client: client(USER).await }
    }

    fn pod(&self) -> PodName<'_> {
        PodName { namespace: &self.namespace, name: POD }
    }

    fn dir(&self) -> PathBuf {
        CLUSTER.pod_dir(&self.namespace, POD)
    }

    /// What a script finds out that the shell runs.
    async fn found(&self, script: &str) -> Result<Found, ProbeFailure> {
        let report = self.report(script, LONG).await;
        assert!(report.started <= report.ended);
        report.result
    }

    async fn report(&self, script: &str, limit: Duration) -> ProbeReport {
        probe_script(&self.client, self.pod(), &format!("#!/bin/sh\n{script}"), limit).await
    }
}

async fn client(user: &str) -> Client {
    let kubeconfig = CLUSTER.kubeconfig(user).unwrap();
    Access::configure(Some(&kubeconfig)).await.unwrap().client().unwrap()
}

fn failed(message: &str) -> Result<Found, ProbeFailure> {
    Err(ProbeFailure::Failed(format!("PodExec probe failed: {message}")))
}

#[tokio::test]
async fn a_script_says_what_it_knows() {
    let world = World::new("exec-found").await;
    assert_eq!(world.found("").await, Ok(Found::ActiveNow));
    assert_eq!(world.found("echo '{}' >$OUTPUT_JSON_PATH").await, Ok(Found::ActiveNow));
    assert_eq!(world.found("echo '{\"has_activity\": true}' >\"$OUTPUT_JSON_PATH\"").await, Ok(Found::ActiveNow));
    assert_eq!(world.found("echo '{\"has_activity\": false}' >\"$OUTPUT_JSON_PATH\"").await, Ok(Found::Inactive));
    let time = "2026-01-02T03:04:05.5Z";
    let found = world.found(&format!("printf '{{\"last_activity\": \"{time}\"}}' >$OUTPUT_JSON_PATH")).await;
    assert_eq!(found, Ok(Found::LastActive(time.parse().unwrap())));
    let later = world.report("echo '{\"last_activity\": \"2999-01-01T00:00:00Z\"}' >$OUTPUT_JSON_PATH", LONG).await;
    assert_eq!(later.result, Ok(Found::LastActive(later.ended)));
    assert_eq!(world.found("echo secret >$OUTPUT_JSON_PATH").await, failed("the JSON is not as documented"));
}

#[tokio::test]
async fn a_script_runs_in_the_main_container_as_it_is_written() {
    let world = World::new("exec-script").await;
    // Each line ends it with a code of its own.
    let script = "set -eu\n[ \"$CONTAINER\" = main ] || exit 3\n[ \"é & %41 + ?\" = 'é & %41 + ?' ] || exit 4\n\
                  if read -r line; then exit 5; fi\n[ $# = 0 ] || exit 6\n[ -f \"$0\" ] || exit 7\n\
                  [ ! -e \"$OUTPUT_JSON_PATH\" ] || exit 8\necho '{\"has_activity\": false}' >$OUTPUT_JSON_PATH";
    assert_eq!(world.found(script).await, Ok(Found::Inactive));
    let probe = async |script: &str| probe_script(&world.client, world.pod(), script, LONG).await.result;
    let python = "#!/usr/bin/env -S sh -u\ncase $- in *u*) exit 21;; esac";
    assert_eq!(probe(python).await, failed("exit code 21"));
    assert_eq!(probe("#!/no/such/interpreter").await, failed("exit code 127"));
    assert_eq!(probe("exit 0").await, failed("the script does not begin with a shebang"));
}

#[tokio::test]
async fn an_exit_code_that_is_not_0_is_a_failure() {
    let world = World::new("exec-code").await;
    assert_eq!(world.found("echo '{}' >$OUTPUT_JSON_PATH; exit 3").await, failed("exit code 3"));
    assert_eq!(world.found("exit 1").await, failed("exit code 1"));
    assert_eq!(world.found("kill -s KILL $$").await, failed("exit code 137"));
}

#[tokio::test]
async fn a_script_that_hangs_is_ended_in_the_container() {
    let world = World::new("exec-hangs").await;
    let began = Instant::now();
    let script = "sleep 1000 & echo $! $$ >pids.new; mv pids.new pids; sleep 1000";
    let report = world.report(script, Duration::from_secs(2)).await;
    assert_eq!(report.result, Err(ProbeFailure::Timeout));
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let pids = std::fs::read_to_string(world.dir().join("pids")).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2, "{pids}");
    CLUSTER
        .wait_for("the script and its child to be gone", LONG, || {
            let states = pids.split_whitespace().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")));
            let left: Vec<String> = states.filter_map(Result::ok).filter(|state| !state.contains(") Z ")).collect();
            if left.is_empty() { Ok(()) } else { Err(left.join("")) }
        })
        .unwrap();
}

#[tokio::test]
async fn only_the_json_of_a_script_is_read() {
    let world = World::new("exec-output").await;
    let huge = "head -c 200000000 /dev/zero; head -c 200000000 /dev/zero >&2; echo '{\"has_activity\": false}'";
    assert_eq!(world.found(&format!("{huge} >$OUTPUT_JSON_PATH")).await, Ok(Found::Inactive));
    let long = "head -c 200000000 /dev/zero >$OUTPUT_JSON_PATH";
    assert_eq!(world.found(long).await, failed("the JSON has more than 65536 bytes"));
}

#[tokio::test]
async fn a_command_says_it_with_its_exit_code() {
    let world = World::new("exec-command").await;
    let probe = async |command: &[&str]| {
        let command: Vec<String> = command.iter().map(ToString::to_string).collect();
        probe_command(&world.client, world.pod(), &command, LONG).await.result
    };
    assert_eq!(probe(&["sh", "-c", "[ $CONTAINER = main ]"]).await, Ok(Found::ActiveNow));
    assert_eq!(probe(&["sh", "-c", "echo \"$1\"; exit 1", "sh", "a b"]).await, Ok(Found::Inactive));
    assert_eq!(probe(&["sh", "-c", "exit 2"]).await, failed("exit code 2"));
    assert_eq!(probe(&["no-such-program"]).await, failed("exit code 127"));
    // It would print for ever.
    let report = probe_command(&world.client, world.pod(), &["yes".to_owned()], Duration::from_secs(1)).await;
    assert_eq!(report.result, Err(ProbeFailure::Timeout));
}

#[tokio::test]
async fn a_directory_is_found_where_tmpdir_cannot_be_written() {
    let world = World::new("exec-tmpdir").await;
    std::fs::create_dir_all(world.dir()).unwrap();
    std::fs::write(world.dir().join("env"), "TMPDIR=/proc\n").unwrap();
    let script = "[ $TMPDIR = /proc ] || exit 3; case $OUTPUT_JSON_PATH in /tmp/.activity-probe-*/output.json) ;; *) exit 4;; esac
                  echo '{\"has_activity\": false}' >$OUTPUT_JSON_PATH; echo ${OUTPUT_JSON_PATH%/*} >~/used";
    assert_eq!(world.found(script).await, Ok(Found::Inactive));
    let used = std::fs::read_to_string(world.dir().join("used")).unwrap();
    assert!(!PathBuf::from(used.trim()).exists(), "{used} is left");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_named_by_its_code() {
    let world = World::new("exec-refused").await;
    let missing = PodName { name: "ws-other-0", ..world.pod() };
    let report = probe_script(&world.client, missing, "#!/bin/sh", LONG).await;
    assert_eq!(report.result, failed("the API server answered 404 Not Found"));
    let report = probe_script(&client(PLAIN_USER).await, world.pod(), "#!/bin/sh", LONG).await;
    let forbidden = "the API server answered 403 Forbidden (are pods/exec allowed, with the verbs create and get?)";
    assert_eq!(report.result, failed(forbidden));
}

#[tokio::test]
async fn a_container_without_a_shell_is_named() {
    let world = World::new("exec-no-shell").await;
    std::fs::create_dir_all(world.dir()).unwrap();
    std::fs::write(world.dir().join("missing"), "/bin/sh\n").unwrap();
    assert_eq!(world.found("").await, failed("the container has no /bin/sh"));
}

/// The rights are exactly those that an API server needs of any version.
#[tokio::test]
async fn a_probe_is_one_request() {
    let world = World::new("exec-request").await;
    let mark = CLUSTER.audit().mark().unwrap();
    assert_eq!(world.found("").await, Ok(Found::ActiveNow));
    CLUSTER
        .wait_for("the request in the audit log", LONG, || {
            let requests = CLUSTER.audit().since(mark).unwrap().by(USER).namespace(&world.namespace);
            let found: Vec<Value> = requests
                .0
                .iter()
                .map(|request| json!([request.verb, request.resource, request.subresource, request.code]))
                .collect();
            let expected = [json!(["get", "pods", "exec", 101])];
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .unwrap();
}
