//! Activity: servers on the addresses of pods are probed, what they say is in the status, and only what is idle is paused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cluster::{ClusterOptions, Reply};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::process::Loop;
use crate::world::{WorkspaceHandle, World, control_plane};

/// What a Jupyter server answers to `api/kernels`: a status code and a body.
type Kernels = (u16, Value);

/// A Jupyter server on the address of a pod. Its own activity and that of its kernels is long ago.
struct FakeJupyter {
    kernels: Arc<Mutex<Kernels>>,
    requests: Arc<Mutex<Vec<String>>>,
}

const LONG_AGO: &str = "2026-01-01T00:00:00.000000Z";

impl FakeJupyter {
    /// Serves at the address of the pod of the Workspace.
    fn start(lab: &WorkspaceHandle<'_>, port: u16, kernels: Kernels) -> Self {
        let ip: IpAddr = lab.world.get(&lab.pod_path())["status"]["podIP"].as_str().unwrap().parse().unwrap();
        assert!(ip.is_loopback(), "{ip}");
        let listener = TcpListener::bind((ip, port)).unwrap();
        let server = Self { kernels: Arc::new(Mutex::new(kernels)), requests: Arc::default() };
        let (kernels, requests) = (server.kernels.clone(), server.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &kernels, &requests);
            }
        });
        server
    }

    fn set_kernels(&self, kernels: Kernels) {
        *self.kernels.lock().unwrap() = kernels;
    }
}

fn answer(mut stream: TcpStream, kernels: &Mutex<Kernels>, requests: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    // The head ends with an empty line, and there is no body.
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let (code, body) = if path.ends_with("/api/status") {
        (200, json!({"last_activity": LONG_AGO, "kernels": 1}))
    } else if path.ends_with("/api/kernels") {
        kernels.lock().unwrap().clone()
    } else {
        (404, json!({}))
    };
    requests.lock().unwrap().push(path);
    let body = body.to_string();
    let length = body.len();
    // A client that has gone is none of the test's business.
    drop(write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
}

fn kernel(state: &str) -> Kernels {
    (200, json!([{"execution_state": state, "last_activity": LONG_AGO}]))
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Creates a kind whose Jupyter server is probed every second, with these rules.
fn create_kind(world: &World, port: u16, rules: Value) {
    create_kind_with(world, rules, |template| {
        template["options"]["imageConfig"]["values"][0]["spec"]["ports"][0]["port"] = json!(port);
        template["activityProbe"] =
            probe_every_second("jupyter", &json!({"lastActivity": true, "portId": "jupyterlab"}));
    });
}

fn create_kind_with(world: &World, rules: Value, change: impl FnOnce(&mut Value)) {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind(&world.kind)).unwrap();
    kind["spec"]["activityRules"] = rules;
    change(&mut kind["spec"]["podTemplate"]);
    world.cluster.api().create("/apis/kubeflow.org/v1beta1/workspacekinds", &kind).and_then(Reply::ok).unwrap();
}

fn probe_every_second(kind: &str, probe: &Value) -> Value {
    json!({"probeIntervalSeconds": 1, "minProbeIntervalSeconds": 1, kind: probe})
}

fn pause_after_16s() -> Value {
    json!([{"config": {"secondsSinceActive": 16}, "effect": {"pauseWorkspace": true}}])
}

fn milliseconds(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Waits until the last probe has that result.
fn wait_probed(lab: &WorkspaceHandle<'_>, result: &str) -> Value {
    lab.wait_status(&format!("probed: {result}"), |status| status["activity"]["lastProbe"]["result"] == result)
}

/// Waits until a probe that starts from now on has ended.
fn wait_probed_again(lab: &WorkspaceHandle<'_>) -> Value {
    let now = Timestamp::now().as_millisecond();
    lab.wait_status("probed again", |status| milliseconds(&status["activity"]["lastProbe"]["startTime"]) > now)
}

/// The notes of the Events with that reason about the Workspace.
fn events(lab: &WorkspaceHandle<'_>, reason: &str) -> Vec<String> {
    let list = lab.world.get(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", lab.world.namespace));
    let events = list["items"].as_array().unwrap().iter();
    let events = events.filter(|event| event["reason"] == reason && event["regarding"]["uid"] == lab.uid.as_str());
    events.map(|event| event["note"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_computes_is_never_paused_and_what_is_idle_is() {
    let (world, port) = (World::empty("idle"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let jupyter = FakeJupyter::start(&lab, port, kernel("busy"));
    wait_probed(&lab, "Success");
    for _ in 0..3 {
        let before = Timestamp::now().as_millisecond();
        let activity = wait_probed_again(&lab)["activity"].clone();
        assert!(milliseconds(&activity["lastActivity"]) >= before, "{activity}");
        let eligible = milliseconds(&activity["rules"]["pauseWorkspace"]["eligibleAfter"]);
        assert_eq!(eligible, milliseconds(&activity["lastActivity"]) + 16_000);
    }
    let base = format!("/workspace/{}/lab/jupyterlab/api", world.namespace);
    let paths = jupyter.requests.lock().unwrap()[..3].to_vec();
    assert_eq!(paths, ["status", "kernels", "terminals"].map(|path| format!("{base}/{path}")));

    // From now on nothing computes, and 16 s later it is idle.
    jupyter.set_kernels(kernel("idle"));
    let last = milliseconds(&wait_probed_again(&lab)["activity"]["lastActivity"]);
    let mark = world.mark();
    lab.wait_state("Paused");
    assert!(Timestamp::now().as_millisecond() >= last + 16_000);
    assert_eq!(lab.get()["spec"]["paused"], true);
    assert_eq!(world.writes(mark).resource("workspaces").count(), 1, "one patch");
    let notes =
        world.wait("the Event", || Some(events(&lab, "Paused")).filter(|notes| !notes.is_empty()).ok_or(String::new()));
    let (words, rule) = notes[0].split_once(", by ").unwrap();
    let idle = words.strip_prefix("paused for being idle: no activity for ").unwrap();
    let idle: SignedDuration = idle.parse().unwrap();
    assert!(idle >= SignedDuration::from_secs(16), "{words}");
    assert_eq!(rule, format!("spec.activityRules[0] of WorkspaceKind {:?}", world.kind));

    // Its user starts it again. What was known of it does not count any longer.
    lab.patch(&json!({"paused": false}));
    let status = lab.wait_running();
    assert!(milliseconds(&status["lastRunningTime"]) > last);
}

#[test]
fn a_server_that_does_not_say_what_its_kernels_do_is_not_idle() {
    let (world, port) = (World::empty("refuses"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let status = wait_probed(&lab, "Failure");
    let refused = "Jupyter probe failed: api/status: connection refused";
    assert_eq!(status["activity"]["lastProbe"]["message"], refused);
    let jupyter = FakeJupyter::start(&lab, port, (403, json!({"message": "secret words"})));
    let forbidden =
        "Jupyter probe failed: api/kernels: 403 Forbidden (is a token or a password set? the probe has none)";
    lab.wait_status("refused", |status| status["activity"]["lastProbe"]["message"] == forbidden);
    // It would have been paused by now, had it been taken for idle: that is so with the first probe that succeeds.
    let since = milliseconds(&lab.get()["status"]["lastRunningTime"]);
    world.wait("16 s to pass", || {
        let left = since + 16_000 - Timestamp::now().as_millisecond();
        if left < 0 { Ok(()) } else { Err(format!("{left} ms left")) }
    });
    let status = wait_probed_again(&lab);
    assert_eq!((&status["state"], &status["activity"]["lastActivity"]), (&json!("Running"), &json!(0)));
    assert_eq!(status["activity"]["rules"]["pauseWorkspace"]["eligibleAfter"], since + 16_000);
    jupyter.set_kernels(kernel("idle"));
    lab.wait_state("Paused");
}

#[test]
fn the_first_rule_that_matches_decides_by_the_labels_of_the_namespace() {
    let (world, port) = (World::empty("exempt"), free_port());
    let selector = json!({"matchLabels": {"team": "on-call"}});
    let mut rules = vec![json!({
        "match": {"matchNamespace": {"selector": selector}},
        "config": {"secondsSinceActive": 16}, "effect": {"pauseWorkspace": false},
    })];
    rules.extend(pause_after_16s().as_array().unwrap().clone());
    create_kind(&world, port, json!(rules));
    let namespace = format!("/api/v1/namespaces/{}", world.namespace);
    let label = |value: Value| {
        let patch = json!({"metadata": {"labels": {"team": value}}});
        world.cluster.api().merge_patch(&namespace, &patch).and_then(Reply::ok).unwrap();
    };
    label(json!("on-call"));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let _jupyter = FakeJupyter::start(&lab, port, kernel("idle"));
    let status = wait_probed(&lab, "Success");
    assert_eq!(status["activity"]["rules"], Value::Null, "no rule pauses it");
    assert_eq!(
        milliseconds(&status["activity"]["lastActivity"]),
        LONG_AGO.parse::<Timestamp>().unwrap().as_millisecond()
    );
    wait_probed_again(&lab);
    assert_eq!(lab.get()["spec"]["paused"], Value::from(false));
    label(Value::Null);
    lab.wait_state("Paused");
    world.wait("the Event", || match &events(&lab, "Paused")[..] {
        [note] if note.contains("spec.activityRules[1]") => Ok(()),
        notes => Err(format!("{notes:?}")),
    });
}

#[test]
fn a_dry_run_reports_once_what_would_be_paused() {
    let cluster = Box::leak(Box::new(control_plane(ClusterOptions::default())));
    let running = Loop::start(cluster, &["--dry-run-pausing"]);
    let (world, port) = (World::on(cluster, "dry-run"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let _jupyter = FakeJupyter::start(&lab, port, kernel("idle"));
    let notes = world.wait("the Event", || {
        Some(events(&lab, "PauseWithheld")).filter(|notes| !notes.is_empty()).ok_or(String::new())
    });
    assert!(
        notes[0].starts_with("would be paused for being idle, but for --dry-run-pausing: no activity for "),
        "{notes:?}"
    );
    for _ in 0..3 {
        wait_probed_again(&lab);
    }
    assert_eq!(events(&lab, "PauseWithheld").len(), 1);
    assert_eq!(lab.get()["spec"]["paused"], Value::from(false));
    let labels = format!("kind={:?},rule=\"spec.activityRules[0]\",dry_run=\"true\"", world.kind);
    assert_eq!(running.samples("workspaces_idle_pauses_total"), [(labels, 1)]);
    world.wait("the gauge", || match &*running.metric("workspaces_idle_pauses_withheld") {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
}

/// The cache of pods may be behind, and an exec finds its container by the name of the pod: so the pod is read once more.
#[test]
fn a_run_that_began_just_before_the_pause_is_not_paused() {
    let cluster = Box::leak(Box::new(control_plane(ClusterOptions::default())));
    let replaced = Arc::new(AtomicBool::new(false));
    let _running = Loop::start_sending(cluster, &[], {
        let replaced = replaced.clone();
        move |client, request| {
            let query = request.uri().query().unwrap_or_default();
            let read_again = query.split_once("fieldSelector=metadata.name%3D").map(|(_, name)| name.to_owned());
            let read_again = read_again.filter(|_| !replaced.load(Ordering::SeqCst));
            let replaced = replaced.clone();
            async move {
                if let Some(name) = read_again {
                    let namespace = request.uri().path().split('/').nth(4).unwrap().to_owned();
                    replace_pod(&Api::namespaced(client.clone(), &namespace), &name).await;
                    replaced.store(true, Ordering::SeqCst);
                }
                client.send(request).await
            }
        }
    });
    let (world, port) = (World::on(cluster, "replaced"), free_port());
    let rule = json!({
        "config": {"secondsSinceActive": 16, "minRunningSeconds": 20}, "effect": {"pauseWorkspace": true},
    });
    create_kind(&world, port, json!([rule]));
    let lab = world.create("lab", |_| {});
    let first = milliseconds(&lab.wait_running()["lastRunningTime"]);
    let _jupyter = FakeJupyter::start(&lab, port, kernel("idle"));
    world.wait("the pause to be about to happen", || {
        if replaced.load(Ordering::SeqCst) { Ok(()) } else { Err(lab.get()["status"]["activity"].to_string()) }
    });
    let lab = world.wait("the next run", || {
        let lab = lab.get();
        if milliseconds(&lab["status"]["lastRunningTime"]) > first { Ok(lab) } else { Err(lab["status"].to_string()) }
    });
    assert_eq!((&lab["spec"]["paused"], &lab["metadata"]["generation"]), (&json!(false), &json!(1)));
}

/// Replaces a pod by the next one of its StatefulSet, which runs.
async fn replace_pod(pods: &Api<Pod>, name: &str) {
    let uid = pods.get(name).await.unwrap().metadata.uid;
    pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    let is_next = |pod: Option<Pod>| {
        pod.is_some_and(|pod| pod.metadata.uid != uid && pod.status.unwrap().phase.as_deref() == Some("Running"))
    };
    while !is_next(pods.get_opt(name).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// On a control plane with a kubelet that runs what is asked for.
#[test]
fn scripts_and_commands_of_culling_say_what_is_idle() {
    let cluster = Box::leak(Box::new(control_plane(ClusterOptions { exec: true, ..ClusterOptions::default() })));
    let _running = Loop::start(cluster, &[]);
    let script = "#!/bin/sh\necho '{\"has_activity\": false}' > \"$OUTPUT_JSON_PATH\"";
    let by_script = World::on(cluster, "script");
    create_kind_with(&by_script, pause_after_16s(), |template| {
        template["activityProbe"] = probe_every_second("podExec", &json!({"script": script}));
    });
    let by_command = World::on(cluster, "culling");
    create_kind_with(&by_command, json!([]), |template| {
        let command = json!(["/bin/sh", "-c", "exit 1"]);
        template["culling"] = json!({"maxInactiveSeconds": 60, "activityProbe": {"exec": {"command": command}}});
    });
    let labs = [by_script.create("lab", |_| {}), by_command.create("lab", |_| {})];
    let since = labs.each_ref().map(|lab| milliseconds(&lab.wait_running()["lastRunningTime"]));
    // A command runs once a minute.
    let wait = |lab: &WorkspaceHandle<'_>, what: &str, wanted: &dyn Fn(&Value) -> bool| {
        let status = cluster.wait_for(what, Duration::from_mins(4), || {
            let status = lab.get()["status"].clone();
            if wanted(&status) { Ok(status) } else { Err(status.to_string()) }
        });
        status.unwrap()
    };
    for (lab, (since, seconds)) in labs.iter().zip(since.into_iter().zip([16, 60])) {
        let status = wait(lab, "a probe", &|status| status["activity"]["lastProbe"]["result"] == "Success");
        assert_eq!(status["activity"]["lastActivity"], 0, "it was never seen active");
        assert_eq!(status["activity"]["rules"]["pauseWorkspace"]["eligibleAfter"], since + seconds * 1000);
        wait(lab, "the pause", &|status| status["state"] == "Paused");
        assert!(Timestamp::now().as_millisecond() >= since + seconds * 1000);
    }
    by_command.wait("the Event", || match &events(&labs[1], "Paused")[..] {
        [note] if note.contains("by spec.podTemplate.culling of WorkspaceKind") => Ok(()),
        notes => Err(format!("{notes:?}")),
    });
}
