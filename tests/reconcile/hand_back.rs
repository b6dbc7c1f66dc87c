//! The way back to the Go controller: the command `migrate --hand-back` on a real control plane.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{ADMIN, Cluster, ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, control_plane};

/// Exit code, standard output and standard error.
fn hand_back(cluster: &Cluster, flags: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .args(["migrate", "--hand-back", "--cluster", "--kubeconfig"])
        .arg(cluster.kubeconfig(ADMIN).unwrap())
        .args(flags)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn strategy(lab: &WorkspaceHandle<'_>) -> Value {
    lab.child(Child::StatefulSet)["spec"]["updateStrategy"].clone()
}

fn pod_uid(lab: &WorkspaceHandle<'_>) -> Value {
    lab.world.get(&lab.pod_path())["metadata"]["uid"].clone()
}

const LEASE: &str = "default/kubeflow-workspace-controller";
const LEASE_PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/kubeflow-workspace-controller";

/// By a controller whose clock is years ahead; what it leaves behind is the Lease.
fn is_refused_while_the_lease_is_renewed(cluster: &Cluster) {
    let renewed = |second: usize| format!("2100-01-01T00:00:{:02}.000000Z", second % 60);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kubeflow-workspace-controller"},
        "spec": {"holderIdentity": "pod-a", "leaseDurationSeconds": 3, "renewTime": renewed(0)},
    });
    let (collection, _) = LEASE_PATH.rsplit_once('/').unwrap();
    cluster.api().create(collection, &lease).and_then(Reply::ok).unwrap();
    let is_over = AtomicBool::new(false);
    let (code, stdout, stderr) = std::thread::scope(|scope| {
        scope.spawn(|| {
            for second in (1..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                let renewal = json!({"spec": {"renewTime": renewed(second)}});
                cluster.api().merge_patch(LEASE_PATH, &renewal).and_then(Reply::ok).unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let output = hand_back(cluster, &[]);
        is_over.store(true, Ordering::SeqCst);
        output
    });
    let refused = format!(
        "note: the Lease {LEASE} names pod-a: waiting 3 s to see whether it is renewed\nerror: the Lease {LEASE} is held by pod-a: \
         stop that controller first (scale its Deployment to 0)\n"
    );
    assert_eq!((code, stdout, stderr), (Some(3), String::new(), refused));
}

#[test]
fn stateful_sets_are_handed_back_without_a_restart_unless_it_is_asked_for() {
    let cluster: &'static Cluster = control_plane(ClusterOptions::default());
    let (world, edited) = (World::on(cluster, "back"), World::on(cluster, "edited"));
    for world in [&world, &edited] {
        world.create_kind(|_| {});
    }
    let running = Loop::start(cluster, &[]);
    let (lab, outdated) = (world.create("lab", |_| {}), edited.create("outdated", |_| {}));
    let paused = world.create("paused", |spec| spec["paused"] = json!(true));
    lab.wait_running();
    outdated.wait_running();
    paused.wait_state("Paused");
    edited.update_kind(|template| template["extraEnv"] = json!([{"name": "NEW", "value": "x"}]));
    outdated.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
    running.stop();
    let (pods, on_delete) = ([pod_uid(&lab), pod_uid(&outdated)], json!({"type": "OnDelete"}));

    is_refused_while_the_lease_is_renewed(cluster);

    let line = |lab: &WorkspaceHandle<'_>, what: &str| {
        format!("StatefulSet {}/{}: {what}\n", lab.world.namespace, lab.names.stateful_set)
    };
    let (stays, left) = (
        "RollingUpdate; its pod stays",
        "left: its pod runs an older template, and would be restarted (--restart-pending does so)",
    );
    let lines = format!("{}{}{}", line(&lab, stays), line(&paused, stays), line(&outdated, left));
    let dry = format!("{lines}2 would be handed back, 0 were already, 1 left (dry run: nothing was changed)\n");
    // To one namespace nobody writes, although controllers run.
    let one = format!("{}0 handed back, 0 were already, 1 left\n", line(&outdated, left));
    assert_eq!(hand_back(cluster, &["--namespace", &edited.namespace]), (Some(1), one, String::new()));
    let waited = format!("note: the Lease {LEASE} names pod-a: waiting 3 s to see whether it is renewed\n");
    assert_eq!(hand_back(cluster, &["--dry-run"]), (Some(1), dry, waited));
    cluster.api().delete(LEASE_PATH).and_then(Reply::ok).unwrap();
    assert_eq!([&lab, &paused, &outdated].map(strategy), [&on_delete, &on_delete, &on_delete].map(Clone::clone));

    let done = format!("{lines}2 handed back, 0 were already, 1 left\n");
    assert_eq!(hand_back(cluster, &[]), (Some(1), done, String::new()));
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}});
    assert_eq!([&lab, &paused].map(strategy), [&rolling, &rolling].map(Clone::clone));
    let again = format!("{}0 handed back, 2 were already, 1 left\n", line(&outdated, left));
    assert_eq!(hand_back(cluster, &[]), (Some(1), again, String::new()));
    assert_eq!([pod_uid(&lab), pod_uid(&outdated)], pods);

    let restarts = line(&outdated, "RollingUpdate; its pod is restarted on the current template");
    let all = format!("{restarts}1 handed back, 2 were already, 0 left\n");
    assert_eq!(hand_back(cluster, &["--restart-pending"]), (Some(0), all, String::new()));
    world.wait("another pod", || match world.find(&outdated.pod_path()) {
        Some(pod) if pod["metadata"]["uid"] != pods[1] => Ok(()),
        pod => Err(format!("{pod:?}")),
    });
    assert_eq!(pod_uid(&lab), pods[0]);

    // And here again.
    let running = Loop::start(cluster, &[]);
    for lab in [&lab, &paused, &outdated] {
        world.wait("the strategy to be ours", || {
            let strategy = strategy(lab);
            if strategy == on_delete { Ok(()) } else { Err(strategy.to_string()) }
        });
    }
    lab.wait_running();
    assert_eq!(pod_uid(&lab), pods[0]);
    running.stop();
}

/// For one namespace nothing says whether a controller still writes there, but that it does.
#[test]
fn what_a_controller_that_still_runs_changes_back_is_an_error() {
    let cluster: &'static Cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "held");
    world.create_kind(|_| {});
    let running = Loop::start(cluster, &[]);
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let pod = pod_uid(&lab);
    let error = format!(
        "error: StatefulSet {}/{} was handed back and is OnDelete again: a controller still writes it. Stop that one, or, where it \
         selects namespaces, wait until its log says that this one is not selected any longer; then run this again\n",
        world.namespace, lab.names.stateful_set
    );
    let none = "0 handed back, 0 were already, 0 left\n".to_owned();
    assert_eq!(hand_back(cluster, &["--namespace", &world.namespace]), (Some(3), none, error));
    assert_eq!((strategy(&lab), pod_uid(&lab)), (json!({"type": "OnDelete"}), pod));
    running.stop();

    let missing = "error: there is no namespace \"typo\"\n".to_owned();
    let both = ["--namespace", &world.namespace, "--namespace", "typo"];
    assert_eq!(hand_back(cluster, &both), (Some(3), String::new(), missing));
    assert_eq!(strategy(&lab), json!({"type": "OnDelete"}), "nothing has been changed");
}
