//! Activity: servers on the addresses of pods are probed, what they say is in the status, and only what is idle is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{ClusterOptions, Reply};
use http::Response;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::DeleteParams;
use kube::client::Body;
use serde_json::{Value, json};

use crate::jupyter::{
    Answer, FakeJupyter, LONG_AGO, create_kind, create_kind_with, free_port, kernel, milliseconds, pause_after_16s,
    pod_address, probe_every_second, wait_probed, wait_probed_again,
};
use crate::process::Loop;
use crate::world::{WorkspaceHandle, World, control_plane};

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
    let paths = jupyter.requests()[..3].to_vec();
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
    let jupyter = FakeJupyter::start(&lab, port, Answer::Json(403, json!({"message": "secret words"})));
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

/// A pod on an older template was started below the path that its route keeps.
#[test]
fn a_server_is_probed_where_it_was_started() {
    let (world, port) = (World::empty("older"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let (jupyter, address) = (FakeJupyter::start(&lab, port, kernel("busy")), pod_address(&lab));
    wait_probed(&lab, "Success");
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["removePathPrefix"] = json!(true);
        template["extraEnv"] = json!([{"name": "MORE", "value": "of it"}]);
    });
    lab.wait_status("outdated", |status| status["pendingRestart"] == true);
    let before = jupyter.requests().len();
    for _ in 0..2 {
        wait_probed_again(&lab);
    }
    let base = format!("/workspace/{}/lab/jupyterlab/api/", world.namespace);
    let requests = jupyter.requests().split_off(before);
    assert!(!requests.is_empty() && requests.iter().all(|path| path.starts_with(&base)), "{requests:?}");

    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    lab.patch(&json!({"paused": false}));
    lab.wait_running();
    // The next pod may have the same address.
    let jupyter = if pod_address(&lab) == address { jupyter } else { FakeJupyter::start(&lab, port, kernel("busy")) };
    wait_probed_again(&lab);
    assert!(jupyter.requests().contains(&"/api/terminals".to_owned()), "{:?}", jupyter.requests());
}

/// What it finds says nothing about what the kind asks for now.
#[test]
fn a_probe_that_is_edited_while_it_runs_is_not_recorded() {
    let (world, port) = (World::empty("edited"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let jupyter = FakeJupyter::start(&lab, port, Answer::Silence);
    world.wait("a probe that hangs", || match jupyter.requests() {
        requests if requests.iter().any(|path| path.ends_with("api/kernels")) => Ok(()),
        requests => Err(format!("{requests:?}")),
    });
    // Those before could not connect.
    let probed = lab.get()["status"]["activity"]["lastProbe"].clone();
    assert_ne!(probed["result"], "Timeout", "{probed}");
    world.update_kind(|template| {
        template["activityProbe"]["jupyter"] = Value::Null;
        template["activityProbe"]["podExec"] = json!({"script": "#!/bin/sh\n"});
    });
    let status = lab.wait_status("probed otherwise", |status| status["activity"]["lastProbe"] != probed);
    let message = status["activity"]["lastProbe"]["message"].as_str().unwrap();
    assert!(message.starts_with("PodExec probe failed: "), "{message}");
}

#[test]
fn a_dry_run_reports_once_what_would_be_paused() {
    let cluster = control_plane(ClusterOptions::default());
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

/// A proxy gives up just before the API server answers.
#[test]
fn a_pause_whose_answer_is_lost_is_reported() {
    let cluster = control_plane(ClusterOptions::default());
    let lost = Arc::new(AtomicBool::new(false));
    let _running = Loop::start_sending(cluster, &[], {
        let lost = lost.clone();
        move |client, request| {
            let is_pause = request.headers().get("content-type").is_some_and(|of| of == "application/json-patch+json");
            let lost = lost.clone();
            async move {
                let answer = client.send(request).await?;
                if !is_pause {
                    return Ok(answer);
                }
                lost.store(answer.status().is_success(), Ordering::SeqCst);
                Ok(Response::builder().status(504).body(Body::from(b"too late\n".to_vec())).unwrap())
            }
        }
    });
    let (world, port) = (World::on(cluster, "lost"), free_port());
    create_kind(&world, port, pause_after_16s());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let _jupyter = FakeJupyter::start(&lab, port, kernel("idle"));
    lab.wait_state("Paused");
    assert!(lost.load(Ordering::SeqCst));
    world.wait("the Event", || match events(&lab, "Paused").len() {
        1 => Ok(()),
        events => Err(format!("{events} Events")),
    });
}

/// The cache of pods may be behind, and an exec finds its container by the name of the pod: so the pod is read once more.
#[test]
fn a_run_that_began_just_before_the_pause_is_not_paused() {
    let cluster = control_plane(ClusterOptions::default());
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
    let cluster = control_plane(ClusterOptions { exec: true, ..ClusterOptions::default() });
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
