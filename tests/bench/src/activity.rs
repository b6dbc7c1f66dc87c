//! Activity probes: what they cost, whether they come in bursts, and whether those that hang delay new Workspaces.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{CONTROLLER_USER, Cluster, ControllerProcess, Reply};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use workspaces_controller::render::names::ChildNames;

use crate::jupyter::{Servers, listen_on, probe_every};
use crate::population::{KIND, KINDS, NAMESPACE, PATIENCE, at_once, per, start_settled, wait_state};
use crate::process::{cpu_seconds, mib, peak_memory, resident_memory};
use crate::{Result, at_most, figure, limited, ratio};

/// What each Workspace is probed every so often.
const INTERVAL: Duration = Duration::from_mins(5);
/// Rounds are in turns, so that both have the same neighbours.
const ROUNDS: usize = 3;
/// Workspaces created in a round, one after the other.
const CREATED: usize = 300;
/// Where the Workspaces are whose probes hang, and their kinds: of one at most half of the probes may run at a time.
const HANGING: [&str; 2] = ["bench-hangs", "bench-hangs-too"];
const HANGING_EACH: usize = 25;
/// Seconds: less than a probe hangs, so that one follows the other at once, evenly spaced.
const HANGING_EVERY: u32 = 9;

/// Measures Workspaces that are created while fifty probes hang, and some that are created while none does. The namespaces and the
/// kind of the measurements exist.
pub fn hanging(cluster: &Cluster, binary: &Path) -> Result<()> {
    let (controller, _) = start_settled(cluster, binary, 0)?;
    let port = free_port()?;
    let mut servers = Vec::new();
    for name in HANGING {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        cluster.api().create("/api/v1/namespaces", &namespace)?.ok()?;
        let mut kind = serde_json::to_value(crds::testing::workspace_kind(name))?;
        listen_on(&mut kind, port);
        cluster.api().create(KINDS, &kind)?.ok()?;
        let path = format!("/apis/kubeflow.org/v1beta1/namespaces/{name}/workspaces");
        at_once(0..HANGING_EACH, |number| {
            let workspace = crds::testing::workspace(name, &format!("ws-{number}"), name);
            cluster.api().create(&path, &serde_json::to_value(workspace)?)?.ok()?;
            Ok(())
        })?;
        controller.wait_for("pods with addresses", PATIENCE, || has_pods(cluster, name))?;
        servers.push(Servers::start(cluster, name, port, true)?);
    }
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        without.extend(created(cluster, &controller, &format!("without-{round}"))?);
        set_probes(cluster, true)?;
        controller.wait_for("all probes to hang", PATIENCE, || {
            let hanging: usize = servers.iter().map(Servers::hanging).sum();
            // One of them may just have been given up.
            if hanging >= 2 * HANGING_EACH - 3 { Ok(()) } else { Err(hanging.to_string()) }
        })?;
        with.extend(created(cluster, &controller, &format!("with-{round}"))?);
        set_probes(cluster, false)?;
        controller.wait_for("no probe to hang", PATIENCE, || {
            let hanging: usize = servers.iter().map(Servers::hanging).sum();
            if hanging == 0 { Ok(()) } else { Err(hanging.to_string()) }
        })?;
    }
    let [(half, most), (hanging_half, hanging_most)] = [&mut without, &mut with].map(|times| percentiles(times));
    figure("From a create to its VirtualService: half of them within", half, "ms", None);
    figure("  99 of 100 within", most, "ms", None);
    figure("  while fifty probes hang: half of them within", hanging_half, "ms", None);
    figure("  99 of 100 within", hanging_most, "ms", None);
    ratio("  99 of 100, against none that hangs", hanging_most / most, 1.2);
    Ok(())
}

fn has_pods(cluster: &Cluster, namespace: &str) -> std::result::Result<(), String> {
    let list = cluster.api().get(&format!("/api/v1/namespaces/{namespace}/pods")).and_then(Reply::ok);
    let list = list.map_err(|error| error.to_string())?;
    let pods = list["items"].as_array().into_iter().flatten();
    let running = pods.filter(|pod| pod["status"]["phase"] == "Running").count();
    if running == HANGING_EACH { Ok(()) } else { Err(running.to_string()) }
}

/// Lets the kinds probe, or not. Their pods do not change for it.
fn set_probes(cluster: &Cluster, probe: bool) -> Result<()> {
    for name in HANGING {
        let probe = if probe { probe_every(HANGING_EVERY) } else { Value::Null };
        let patch = json!({"spec": {"podTemplate": {"activityProbe": probe}}});
        cluster.api().merge_patch(&format!("{KINDS}/{name}"), &patch)?.ok()?;
    }
    Ok(())
}

/// How long it took from each create until its VirtualService was stored, in milliseconds by the API server's clock.
fn created(cluster: &Cluster, controller: &ControllerProcess<'_>, prefix: &str) -> Result<Vec<f64>> {
    let mark = cluster.audit().mark()?;
    let workspaces = format!("/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/workspaces");
    let mut routes = Vec::new();
    for number in 0..CREATED {
        let name = format!("{prefix}-{number}");
        let workspace = serde_json::to_value(crds::testing::workspace(NAMESPACE, &name, KIND))?;
        let created = cluster.api().create(&workspaces, &workspace)?.ok()?;
        let route = ChildNames::new(&name, created["metadata"]["uid"].as_str().unwrap_or_default()).virtual_service;
        let path = format!("/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/{route}");
        controller.wait_for("the VirtualService", PATIENCE, || cluster.api().get(&path).and_then(Reply::ok))?;
        routes.push((name, route));
    }
    let requests = cluster.audit().since(mark)?;
    let answered = |resource: &str, user: Option<&str>, name: &str| -> Result<&cluster::Request> {
        let is_it = |request: &&cluster::Request| {
            request.resource == resource
                && request.subresource.is_empty()
                && request.name == name
                && request.is_write()
                && user.is_none_or(|user| request.user == user)
        };
        Ok(requests.0.iter().find(is_it).ok_or_else(|| format!("no write of {resource} {name} in the audit log"))?)
    };
    let times = routes.iter().map(|(name, route)| {
        let received: Timestamp = answered("workspaces", None, name)?.received.parse()?;
        let stored: Timestamp = answered("virtualservices", Some(CONTROLLER_USER), route)?.answered.parse()?;
        Ok(stored.duration_since(received).as_secs_f64() * 1e3)
    });
    times.collect()
}

/// The time within which half of them are, and 99 of 100.
fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let within = |of_hundred: usize| times.get(times.len() * of_hundred / 100).copied().unwrap_or_default();
    (within(50), within(99))
}

/// Measures so many Workspaces, each of which is probed every five minutes.
pub fn regular(cluster: &Cluster, binary: &Path, workspaces: usize) -> Result<()> {
    let port = free_port()?;
    let seconds = u32::try_from(INTERVAL.as_secs())?;
    let mut kind = serde_json::to_value(crds::testing::workspace_kind(KIND))?;
    listen_on(&mut kind, port);
    kind["spec"]["podTemplate"]["activityProbe"] = probe_every(seconds);
    // None of them was active that long ago.
    kind["spec"]["activityRules"] =
        json!([{"config": {"secondsSinceActive": 86400}, "effect": {"pauseWorkspace": true}}]);
    cluster.api().merge_patch(&format!("{KINDS}/{KIND}"), &json!({"spec": kind["spec"]}))?.ok()?;
    let (controller, _) = start_settled(cluster, binary, 0)?;
    crate::population::create(cluster, 0..workspaces, false)?;
    wait_state(cluster, &controller, "Running", workspaces)?;
    let servers = Servers::start(cluster, NAMESPACE, port, false)?;
    // Until each has been probed once.
    std::thread::sleep(INTERVAL);
    let resident = resident_memory(controller.pid()?)?;
    let (cpu, probes) = interval(&controller, &servers)?;
    let what = format!("{workspaces} Workspaces, probed every five minutes");
    limited(&format!("{what}: CPU"), cpu / INTERVAL.as_secs_f64() * 100.0, "% of a core", 2.0);
    figure("  of it for each probe", cpu * 1e3 / per(probes.len()), "ms", None);
    let expected = INTERVAL.as_secs_f64() / 10.0;
    let limit = |probes: &[Instant]| 1.5 * per(probes.len()) / expected;
    at_most("  probes in any ten seconds", busiest(&probes), whole(limit(&probes)));
    figure("  probes in five minutes", per(probes.len()), "", None);
    drop(controller);
    // So that all are overdue when it is back.
    std::thread::sleep(INTERVAL);
    let (controller, _) = start_settled(cluster, binary, workspaces)?;
    let (_, probes) = interval(&controller, &servers)?;
    at_most("  in any ten seconds after a restart when all were due", busiest(&probes), whole(limit(&probes)));
    figure("  probes in these five minutes", per(probes.len()), "", None);
    limited("  resident memory", mib(resident), "MiB", 40.0);
    ratio("  its peak against that", per(peak_memory(controller.pid()?)?) / per(resident), 1.3);
    Ok(())
}

/// The CPU time in seconds and the probes of one interval from now on.
fn interval(controller: &ControllerProcess<'_>, servers: &Servers) -> Result<(f64, Vec<Instant>)> {
    servers.take_probes();
    let before = cpu_seconds(controller.pid()?)?;
    // What is measured is what happens in this time.
    std::thread::sleep(INTERVAL);
    Ok((cpu_seconds(controller.pid()?)? - before, servers.take_probes()))
}

/// The most of them in any ten seconds.
fn busiest(probes: &[Instant]) -> usize {
    let within = |first: &Instant| {
        probes
            .iter()
            .filter(|probe| {
                (**probe).checked_duration_since(*first).is_some_and(|after| after < Duration::from_secs(10))
            })
            .count()
    };
    probes.iter().map(within).max().unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(figure: f64) -> usize {
    figure.ceil() as usize
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
