//! The command `rollout` on a real control plane: at the rate, each Workspace once, and none that it must leave.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterOptions, MASTERS, Mark, Reply, Requests, Server, Signal, User, report};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::process::{Loop, USER};
use crate::world::{TIMEOUT, WorkspaceHandle, World, own_control_plane};

/// Who runs the command, so that the audit log distinguishes it.
const ADMIN: &str = "platform-admin";
/// Somebody who may only read.
const READER: &str = "reader";
const RESTART_AT: &str = "notebooks.kubeflow.org/restart-at";

fn control_plane() -> &'static Cluster {
    let users = vec![User::new(USER, &[MASTERS]), User::new(ADMIN, &[MASTERS]), User::new(READER, &[])];
    own_control_plane(ClusterOptions { users, ..ClusterOptions::default() })
}

/// A roll-out that is going on. Killed when dropped.
struct Rolling {
    child: Child,
    printed: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Rolling {
    fn start(world: &World, user: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
            .args(["rollout", &world.kind, "--kubeconfig"])
            .arg(world.cluster.kubeconfig(user).unwrap())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed: Arc<Mutex<String>> = Arc::default();
        let read = |stream: Box<dyn std::io::Read + Send>| {
            let printed = Arc::clone(&printed);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    *printed.lock().unwrap() += &(line + "\n");
                }
            })
        };
        let readers = vec![read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap()))];
        Self { child, printed, readers }
    }

    fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    fn wait_printed(&self, text: &str) {
        cluster::wait_for(text, TIMEOUT, || {
            let printed = self.printed();
            if printed.contains(text) { Ok(()) } else { Err(printed) }
        })
        .unwrap();
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Exit code, and all that was printed.
    fn wait(mut self) -> (i32, String) {
        let code = cluster::wait_for("the end of the roll-out", Duration::from_mins(2), || {
            self.child.try_wait().unwrap().ok_or_else(|| self.printed())
        });
        let code = code.unwrap().code().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (code, self.printed())
    }
}

impl Drop for Rolling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rolled_out(world: &World, user: &str, arguments: &[&str]) -> (i32, String) {
    Rolling::start(world, user, arguments).wait()
}

fn writes_by(cluster: &Cluster, user: &str, mark: Mark) -> Requests {
    cluster.audit().since(mark).unwrap().by(user).writes()
}

/// The kind is changed, and the restart of these is pending.
fn make_pending(world: &World, value: &str, labs: &[&WorkspaceHandle<'_>]) {
    world.update_kind(|template| template["extraEnv"] = json!([{"name": "VERSION", "value": value}]));
    for lab in labs {
        lab.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
    }
}

/// The names, in the order of a dry run.
fn planned(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| line.split_once(". ")?.1.split([':', ' ']).next());
    lines.filter_map(|key| Some(key.split_once('/')?.1.to_owned())).collect()
}

fn uid(lab: &WorkspaceHandle<'_>) -> Value {
    lab.world.get(&lab.pod_path())["metadata"]["uid"].clone()
}

/// Lists all in their order and writes nothing; in another namespace there are none.
fn dry_run(world: &World) -> Vec<String> {
    let (cluster, namespace) = (world.cluster, &world.namespace);
    let mark = world.mark();
    let (code, printed) = rolled_out(world, ADMIN, &["--max", "30/min", "--dry-run"]);
    let header =
        format!("WorkspaceKind {}: 6 Workspaces would be restarted, one every 2s, so for at least 10s\n", world.kind);
    let left = format!("1 left: paused, the next start takes the current template ({namespace}/paused)\n");
    assert!(printed.starts_with(&header), "{printed}");
    assert!(printed.ends_with(&format!("{left}dry run: nothing was changed\n")), "{printed}");
    let order = planned(&printed);
    assert_eq!((code, order.len()), (0, 6), "{printed}");
    assert_eq!(writes_by(cluster, ADMIN, mark).count(), 0);
    let elsewhere = rolled_out(world, ADMIN, &["--max", "30/min", "--namespace", "default"]).1;
    let nothing =
        format!("WorkspaceKind {} in namespace default: 0 Workspaces to restart\n0 Workspaces restarted\n", world.kind);
    assert_eq!(elsewhere, nothing);
    order
}

/// At least two seconds from the end of one to the next.
fn are_evenly_spaced(patches: &Requests) {
    const INTERVAL: SignedDuration = SignedDuration::from_secs(2);
    let received: Vec<Timestamp> = patches.0.iter().map(|patch| patch.received.parse().unwrap()).collect();
    let gaps: Vec<_> = received.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    let (shortest, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    let pass = *shortest >= INTERVAL && *longest < INTERVAL * 2;
    report("rollout", pass, format!("{shortest:#} to {longest:#}"), "2 s to 4 s: between two restarts at 30/min");
    assert!(pass, "{gaps:?}");
}

#[test]
fn pending_restarts_are_rolled_out_evenly_and_once_each() {
    let cluster = control_plane();
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "roll");
    world.create_kind(|_| {});
    let labs: Vec<_> = (0..6).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    let labs: Vec<_> = labs.iter().collect();
    world.create("paused", |spec| spec["paused"] = json!(true)).wait_state("Paused");
    for lab in &labs {
        lab.wait_running();
    }
    make_pending(&world, "1", &labs);
    let namespace = &world.namespace;
    let order = dry_run(&world);

    // The user of the last one stops it meanwhile, and that of the one before asks for a restart tonight.
    let named = |name: &String| *labs.iter().find(|lab| lab.name == *name).unwrap();
    let (stopped, tonight) = (named(&order[5]), named(&order[4]));
    let before: Vec<_> = order.iter().map(|name| uid(named(name))).collect();
    let mark = world.mark();
    let rolling = Rolling::start(&world, ADMIN, &["--max", "30/min"]);
    rolling.wait_printed(" is restarted (1 of 6)\n");
    stopped.patch(&json!({"paused": true}));
    let annotation = json!({"metadata": {"annotations": {RESTART_AT: "2100-01-01T00:00:00Z"}}});
    cluster.api().merge_patch(&tonight.path(), &annotation).and_then(Reply::ok).unwrap();
    let (code, printed) = rolling.wait();
    let line = |index: usize| format!("{namespace}/{} is restarted ({} of 6)\n", order[index], index + 1);
    let (tonights, stoppeds) = (&tonight.name, &stopped.name);
    let begin = format!("WorkspaceKind {}: 6 Workspaces to restart, one every 2s, so for at least 10s\n", world.kind);
    let restarted: String = (0..4).map(line).collect();
    let waited = printed.lines().find(|line| line.starts_with("waiting for "));
    let waited = waited.map(|line| format!("{line}\n")).unwrap_or_default();
    let expected = format!(
        "{begin}{restarted}{namespace}/{tonights} is left: the annotation restart-at already asks for a restart\n\
         {namespace}/{stoppeds} is left: paused, the next start takes the current template\n\
         {waited}4 Workspaces restarted\n\
         1 left: the annotation restart-at already asks for a restart ({namespace}/{tonights})\n\
         2 left: paused, the next start takes the current template ({namespace}/paused, {namespace}/{stoppeds})\n"
    );
    assert_eq!((code, printed), (0, expected));

    // One write each, by whoever rolls out; one pod deleted each, by the controller.
    let written = writes_by(cluster, ADMIN, mark);
    let patches = written.clone().resource("workspaces").verb("patch").accepted();
    assert_eq!((written.count(), patches.count()), (4, 4), "{written:?}");
    let deleted = world.writes(mark).resource("pods");
    for name in &order[..4] {
        assert_eq!(deleted.clone().name(&named(name).names.pod()).verb("delete").count(), 1, "{deleted:?}");
        named(name).wait_status("on the current template", |status| status["pendingRestart"] == false);
    }
    assert_eq!(deleted.verb("delete").count(), 4);
    assert_eq!(uid(tonight), before[4]);
    are_evenly_spaced(&patches);
    running.stop();
}

/// Each is named, and five in a row are enough.
fn a_missing_right_stops_it(world: &World, labs: &[&WorkspaceHandle<'_>]) {
    let cluster = world.cluster;
    let (roles, rbac) = (["workspaces", "workspacekinds"], "rbac.authorization.k8s.io");
    let role = json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": READER},
        "rules": [{"apiGroups": ["kubeflow.org"], "resources": roles, "verbs": ["get", "list"]}],
    });
    let binding = json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": READER},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": READER},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": READER}],
    });
    for (plural, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        cluster.api().create(&format!("/apis/{rbac}/v1/{plural}"), &object).and_then(Reply::ok).unwrap();
    }
    let (code, printed) = rolled_out(world, READER, &["--max", "1/h"]);
    let why = |name: &str| {
        format!(
            "workspaces.kubeflow.org \"{name}\" is forbidden: User \"{READER}\" cannot patch resource \"workspaces\" in API group \
             \"kubeflow.org\" in the namespace \"{}\"",
            world.namespace
        )
    };
    let summary = "0 Workspaces restarted, 5 not restarted because of an error\n";
    assert!(code == 3 && printed.contains(summary), "{code}: {printed}");
    for lab in labs {
        let named = format!("  not restarted: {}/{}: {}\n", world.namespace, lab.name, why(&lab.name));
        assert!(printed.contains(&named), "{printed}");
    }
    assert!(
        printed.contains("error: stopped, one restart after the other is refused: workspaces.kubeflow.org \""),
        "{printed}"
    );
}

fn a_signal_stops_it(world: &World, labs: &[&WorkspaceHandle<'_>]) {
    for (signal, done) in [("INT", 1), ("TERM", 2)] {
        let mark = world.mark();
        let rolling = Rolling::start(world, ADMIN, &["--max", "1/min"]);
        rolling.wait_printed(" is restarted (1 of ");
        let sent = Instant::now();
        rolling.signal(signal);
        let (code, printed) = rolling.wait();
        let took = sent.elapsed();
        let summary = "still to be restarted (run this again)\n";
        assert!(printed.contains("\n1 Workspace restarted, ") && printed.contains(summary), "{printed}");
        assert!(printed.contains(&format!(", {} still to be restarted", 5 - done)), "{printed}");
        assert!(printed.ends_with("\nstopped by a signal\n"), "{printed}");
        assert_eq!((code, writes_by(world.cluster, ADMIN, mark).count()), (4, 1), "{printed}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        for lab in labs {
            lab.wait_status("on a template", |status| status["state"] == "Running");
        }
    }
}

/// The API server gives no answer for a while: it goes on, and restarts nobody twice.
fn an_outage_is_survived(world: &World) {
    let cluster = world.cluster;
    let mark = world.mark();
    let rolling = Rolling::start(world, ADMIN, &["--max", "20/min"]);
    rolling.wait_printed(" is restarted (1 of 3)\n");
    cluster.signal_server(Server::KubeApiserver, Signal::STOP).unwrap();
    rolling.wait_printed("\nno answer, trying again in ");
    cluster.signal_server(Server::KubeApiserver, Signal::CONT).unwrap();
    let (code, printed) = rolling.wait();
    assert!(code == 0 && printed.contains("\n3 Workspaces restarted\n"), "{code}: {printed}");
    let deleted = world.writes(mark).resource("pods").verb("delete").accepted();
    assert_eq!(deleted.count(), 3, "{deleted:?}");
}

#[test]
fn a_signal_an_outage_and_a_missing_right_stop_it_in_order() {
    let cluster = control_plane();
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "stopped");
    world.create_kind(|_| {});
    let labs: Vec<_> = (0..5).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    let labs: Vec<_> = labs.iter().collect();
    for lab in &labs {
        lab.wait_running();
    }
    make_pending(&world, "1", &labs);

    a_missing_right_stops_it(&world, &labs);
    a_signal_stops_it(&world, &labs);
    an_outage_is_survived(&world);
    running.stop();
}

#[test]
fn an_image_that_does_not_start_takes_down_no_more_than_may_be_unavailable() {
    let cluster = control_plane();
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "broken");
    world.create_kind(|_| {});
    let labs: Vec<_> = (0..5).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    for lab in &labs {
        lab.wait_running();
    }
    world.update_kind(|template| template["podMetadata"] = json!({"labels": {"cluster.test/pod": "image-pull-error"}}));
    for lab in &labs {
        lab.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
    }
    let mark = world.mark();
    let limits = ["--max", "10/s", "--max-unavailable", "2", "--progress-deadline", "6s"];
    let (code, printed) = rolled_out(&world, ADMIN, &limits);
    assert_eq!(code, 1, "{printed}");
    let summary = "waiting for 2 Workspaces to become available again (--max-unavailable)\n2 Workspaces restarted, 2 not available \
                   again, 3 still to be restarted (run this again)\n  not available: ";
    assert!(printed.contains(summary), "{printed}");
    let away = "Workspace Container is not running (ImagePullBackOff): ";
    assert_eq!(printed.matches(away).count(), 2, "{printed}");
    let stopped = "\nstopped: no restarted Workspace became available for 6s (--progress-deadline)\n";
    assert!(printed.ends_with(stopped), "{printed}");
    assert_eq!(writes_by(cluster, ADMIN, mark).count(), 2);
    let is_running = |lab: &&WorkspaceHandle<'_>| lab.get()["status"]["state"] == "Running";
    assert_eq!(labs.iter().filter(is_running).count(), 3);
    running.stop();
}

/// Writes what its last probe found, which ended so long ago: how long before it was last active.
fn probed(lab: &WorkspaceHandle<'_>, ago: SignedDuration, idle: SignedDuration, edit: impl FnOnce(&mut Value)) {
    let ended = Timestamp::now() - ago;
    let (active, ended) = ((ended - idle).as_millisecond(), ended.as_millisecond());
    let mut activity = json!({
        "lastActivity": active, "lastUpdate": ended,
        "lastProbe": {"startTime": ended, "endTime": ended, "result": "Success", "message": ""},
    });
    edit(&mut activity);
    let change = json!({"status": {"activity": activity}});
    lab.world.cluster.api().merge_patch(&format!("{}/status", lab.path()), &change).and_then(Reply::ok).unwrap();
}

/// A kind without a probe, and one that does not exist.
fn other_kinds_are_refused(world: &World) {
    let cluster = world.cluster;
    let unprobed = World::on(cluster, "unprobed");
    unprobed.create_kind(|_| {});
    let (code, printed) = rolled_out(&unprobed, ADMIN, &["--max", "1/s", "--only-idle"]);
    let expected = format!(
        "error: --only-idle: it is not known which Workspaces of WorkspaceKind {} are idle: neither spec.podTemplate.activityProbe \
         nor spec.podTemplate.culling is set\n",
        unprobed.kind
    );
    assert_eq!((code, printed), (2, expected));
    let missing = World { cluster, namespace: world.namespace.clone(), kind: "zeppelin".to_owned() };
    let expected =
        format!("error: KIND=\"zeppelin\": no such WorkspaceKind (there are: {}, {})\n", world.kind, unprobed.kind);
    assert_eq!(rolled_out(&missing, ADMIN, &["--max", "1/s"]), (2, expected));
}

#[test]
fn only_what_a_fresh_probe_has_found_idle_is_restarted_where_that_is_asked_for() {
    let cluster = control_plane();
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "idle");
    world.create_kind(|template| {
        template["activityProbe"] = json!({
            "jupyter": {"lastActivity": true, "portId": "jupyterlab"},
            "probeIntervalSeconds": 86_400, "minProbeIntervalSeconds": 86_400,
        });
    });
    let names = ["idle-2h", "idle-3h", "back", "active", "failed", "never", "outdated"];
    let labs: Vec<_> = names.iter().map(|name| world.create(name, |_| {})).collect();
    let [idle_2h, idle_3h, back, active, failed, never, outdated] = &labs[..] else { unreachable!() };
    for lab in &labs {
        lab.wait_running();
    }
    make_pending(&world, "1", &labs.iter().collect::<Vec<_>>());
    let (hours, now) = (SignedDuration::from_hours, SignedDuration::ZERO);
    probed(idle_2h, hours(1), hours(2), |_| {});
    probed(idle_3h, hours(1), hours(3), |_| {});
    probed(back, hours(1), hours(4), |_| {});
    probed(active, now, SignedDuration::from_mins(10), |_| {});
    probed(failed, now, hours(5), |activity| activity["lastProbe"]["result"] = json!("Failure"));
    probed(never, now, hours(5), |activity| (activity["lastUpdate"], activity["lastActivity"]) = (json!(0), json!(0)));
    // The loop does not probe it by itself: that it tried to is a moment ago.
    let long_ago = (Timestamp::now() - hours(49)).as_millisecond();
    probed(outdated, now, hours(60), |activity| activity["lastUpdate"] = json!(long_ago));
    let before: Vec<_> = labs.iter().map(uid).collect();

    let mark = world.mark();
    let rolling = Rolling::start(&world, ADMIN, &["--max", "15/min", "--only-idle"]);
    rolling.wait_printed("\nwaiting for the next probe of 3 Workspaces\n");
    // Of the longest idle it is not known what its user does now.
    probed(idle_2h, now, hours(2), |_| {});
    rolling.wait_printed(" is restarted (1 of 3)\n");
    probed(back, now, now, |_| {});
    probed(idle_3h, now, hours(3), |_| {});
    let (code, printed) = rolling.wait();
    let key = |lab: &WorkspaceHandle<'_>| format!("{}/{}", world.namespace, lab.name);
    let started = format!(
        "WorkspaceKind {}: 3 Workspaces to restart, one every 4s, each right after its next probe, so for about 24h or longer\n\
         waiting for the next probe of 3 Workspaces\n{} is restarted (1 of 3)\n{} is restarted (2 of 2)\n",
        world.kind,
        key(idle_2h),
        key(idle_3h),
    );
    assert!(printed.starts_with(&started), "{printed}");
    let summary = format!(
        "2 Workspaces restarted\n2 left: in use, or used less than 30m before the last probe ({}, {})\n1 left: not known to be \
         idle, not probed since the start ({})\n1 left: not known to be idle, the last probe failed ({})\n1 left: not known to be \
         idle, the last probe is older than two probe intervals ({})\n",
        key(active),
        key(back),
        key(never),
        key(failed),
        key(outdated)
    );
    assert!(printed.ends_with(&summary), "{printed}");
    assert_eq!((code, writes_by(cluster, ADMIN, mark).count()), (0, 2), "{printed}");
    assert_eq!(labs.iter().skip(2).map(uid).collect::<Vec<_>>(), before[2..]);

    other_kinds_are_refused(&world);
    running.stop();
}
