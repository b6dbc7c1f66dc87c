//! Istio comes after us, changes its API versions, and goes by our own setting.

use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterOptions, Reply, report};
use serde_json::{Value, json};

use crate::process::{Loop, USER};
use crate::world::{Child, TIMEOUT, WorkspaceHandle, World, condition, control_plane};

/// From the installation of Istio's CRD to a route.
const ROUTED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn routes_come_when_istio_is_installed_and_go_when_it_is_switched_off() {
    let cluster = control_plane(ClusterOptions { virtual_service_crd: false, ..ClusterOptions::default() });
    let world = World::on(cluster, "late");
    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    let status = lab.wait_running();
    let route_ready = condition(&status, "RouteReady");
    assert_eq!((&route_ready["status"], &route_ready["reason"]), (&json!("Unknown"), &json!("IstioNotInstalled")));

    let installed = Instant::now();
    cluster.install_virtual_service_crd().unwrap();
    world.wait("the route", || lab.find_child(Child::VirtualService).ok_or_else(|| lab.get().to_string()));
    lab.wait_status("routed", |status| condition(status, "RouteReady")["status"] == "True");
    let waited = installed.elapsed();
    running.stop();

    let routes = Child::VirtualService.collection(&world.namespace);
    let label = "notebooks.kubeflow.org/workspace-name";
    let theirs = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "theirs", "labels": {label: "lab"}},
        "spec": {"hosts": ["theirs.example.com"], "http": [{"route": [{"destination": {"host": "theirs"}}]}]},
    });
    cluster.api().create(&routes, &theirs).and_then(Reply::ok).unwrap();
    let running = Loop::start(cluster, &["--use-istio=false"]);
    world.wait("our route to go", || {
        lab.find_child(Child::VirtualService).map_or(Ok(()), |route| Err(route.to_string()))
    });
    let status =
        lab.wait_status("without Istio", |status| condition(status, "RouteReady")["reason"] == "IstioDisabled");
    assert_eq!(condition(&status, "Ready")["status"], "True");
    assert!(world.find(&format!("{routes}/theirs")).is_some(), "that of others stays");
    let written = running.samples("workspaces_writes_total");
    assert!(written.contains(&("resource=\"virtualservices\",cause=\"bulk\"".to_owned(), 1)), "{written:?}");
    running.stop();
    let figure = format!("{:.1} s", waited.as_secs_f64());
    report("W13", waited < ROUTED_WITHIN, figure, "30 s from the installation to a route");
    assert!(waited < ROUTED_WITHIN, "{waited:?}");
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualservices.networking.istio.io";

/// Istio's CRD with these versions alone, in this order, each with whether it is served. The first one is stored.
fn crd(cluster: &Cluster, versions: &[(&str, bool)]) -> Value {
    let text = std::fs::read_to_string(&cluster.tools().virtual_service_crd).unwrap();
    let mut crd: Value = serde_saphyr::from_str(&text).unwrap();
    let all = crd["spec"]["versions"].as_array().unwrap().clone();
    let version = |(name, served): &(&str, bool)| {
        let mut version = all.iter().find(|version| version["name"] == *name).unwrap().clone();
        version["served"] = json!(served);
        version["storage"] = json!(*name == versions[0].0);
        version
    };
    crd["spec"]["versions"] = versions.iter().map(version).collect();
    crd
}

/// Waits until the API server serves VirtualServices in this version, or no longer.
fn wait_served(cluster: &Cluster, version: &str, is_served: bool) {
    let path = format!("/apis/networking.istio.io/{version}/virtualservices");
    let wait = |what: &str, wanted: u16| {
        cluster.wait_for(&format!("{version} {what}"), TIMEOUT, || match cluster.api().get(&path).unwrap() {
            reply if reply.status == wanted => Ok(()),
            reply => Err(reply.body),
        })
    };
    if is_served { wait("to be served", 200).unwrap() } else { wait("to be gone", 404).unwrap() }
}

/// A control plane with Istio's CRD in that version alone.
fn cluster_that_serves(version: &str) -> &'static Cluster {
    let options = ClusterOptions { virtual_service_crd: false, ..ClusterOptions::default() };
    let cluster = control_plane(options);
    cluster.api().create(CRDS, &crd(cluster, &[(version, true)])).and_then(Reply::ok).unwrap();
    wait_served(cluster, version, true);
    cluster
}

/// Replaces the versions of the CRD, as an upgrade of Istio does, and waits until that is so.
fn serve(cluster: &Cluster, versions: &[(&str, bool)]) {
    let change = json!({"spec": {"versions": crd(cluster, versions)["spec"]["versions"]}});
    cluster.api().merge_patch(CRD, &change).and_then(Reply::ok).unwrap();
    for version in ["v1", "v1beta1"] {
        wait_served(cluster, version, versions.contains(&(version, true)));
    }
}

/// Changes the hosts of a route as another client, in that version, and waits until they are as they were.
fn drift(lab: &WorkspaceHandle<'_>, version: &str) {
    let world = lab.world;
    let path = lab.child_path(Child::VirtualService).replace("/v1/", &format!("/{version}/"));
    let change = json!({"spec": {"hosts": ["evil.example.com"]}});
    world.cluster.api().merge_patch(&path, &change).and_then(Reply::ok).unwrap();
    world.wait(&format!("the route to be restored in {version}"), || {
        let hosts = world.get(&path)["spec"]["hosts"].clone();
        if hosts == json!(["*"]) { Ok(()) } else { Err(hosts.to_string()) }
    });
}

/// Waits until the Workspace has been reconciled once more than `before`: the versions are known.
fn wait_reconciled(world: &World, running: &Loop, before: u64) {
    world.wait("another reconcile", || match running.reconciles() {
        seen if seen > before => Ok(()),
        seen => Err(format!("{seen} reconciles")),
    });
}

#[test]
fn routes_are_of_the_api_version_that_is_served_and_stay_as_they_are_when_it_changes() {
    let (v1, v1beta1) = (("v1", true), ("v1beta1", true));
    let cluster = cluster_that_serves(v1beta1.0);
    let world = World::on(cluster, "versions");
    let routes = format!("/apis/networking.istio.io/v1beta1/namespaces/{}/virtualservices", world.namespace);
    let begin = world.mark();
    let route_writes = || world.writes(begin).accepted().resource("virtualservices");

    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    let status = lab.wait_running();
    assert_eq!(condition(&status, "RouteReady")["status"], "True", "{status}");
    let route = format!("{routes}/{}", lab.names.virtual_service);
    let uid = world.get(&route)["metadata"]["uid"].clone();
    drift(&lab, "v1beta1");
    assert_eq!(route_writes().count(), 2, "{:?}", route_writes());

    // The upgrade of Istio: both are served, and the new one is stored.
    serve(cluster, &[v1, v1beta1]);
    // In time all objects are stored anew, and the old version goes.
    let path = lab.child_path(Child::VirtualService);
    cluster.api().replace(&path, &world.get(&path)).and_then(Reply::ok).unwrap();
    let stored = json!({"status": {"storedVersions": ["v1"]}});
    cluster.api().merge_patch(&format!("{CRD}/status"), &stored).and_then(Reply::ok).unwrap();
    serve(cluster, &[v1]);
    // With its version the API server forgets which fields were ours, if not at once, when anybody writes.
    lab.patch_child(Child::VirtualService, &json!({"metadata": {"labels": {"theirs": "label"}}}));
    world.wait("our fields to be ours", || {
        let route = lab.child(Child::VirtualService);
        let is_ours = |entry: &Value| entry["manager"] == "workspaces-controller" && entry["operation"] == "Apply";
        let mut managers = route["metadata"]["managedFields"].as_array().into_iter().flatten();
        if managers.any(is_ours) { Ok(()) } else { Err(route.to_string()) }
    });
    drift(&lab, "v1");
    let written = route_writes().count();
    assert!((3..=4).contains(&written), "{:?}", route_writes());

    // The upgrade is taken back.
    let (before, mark) = (running.reconciles(), world.mark());
    serve(cluster, &[("v1", false), v1beta1]);
    wait_reconciled(&world, &running, before);
    assert!(world.writes(mark).is_empty(), "{:?}", world.writes(mark));
    drift(&lab, "v1beta1");
    assert_eq!(route_writes().count(), written + 1, "{:?}", route_writes());

    // A start does not write it either, whichever version the last write was in.
    running.stop();
    serve(cluster, &[v1, v1beta1]);
    let mark = world.mark();
    let running = Loop::start(cluster, &[]);
    wait_reconciled(&world, &running, 0);
    drift(&lab, "v1");
    let writes = world.writes(mark).resource("virtualservices");
    assert!(writes.count() == 1 && writes.0[0].uri.starts_with("/apis/networking.istio.io/v1/"), "{:#?}", writes.0);
    assert_eq!(world.get(&route)["metadata"]["uid"], uid);
    running.stop();
}

#[test]
fn routes_of_an_older_api_version_go_with_their_workspace_and_when_istio_is_switched_off() {
    let cluster = cluster_that_serves("v1beta1");
    let world = World::on(cluster, "older");
    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let (lab, gone) = (world.create("lab", |_| {}), world.create("gone", |_| {}));
    let route = |lab: &WorkspaceHandle<'_>| lab.child_path(Child::VirtualService).replace("/v1/", "/v1beta1/");
    for lab in [&lab, &gone] {
        lab.wait_running();
        assert!(world.find(&route(lab)).is_some());
    }
    let wait_gone = |lab: &WorkspaceHandle<'_>| {
        world.wait("the route to go", || world.find(&route(lab)).map_or(Ok(()), |route| Err(route.to_string())));
    };
    // Garbage collection does not come by: a finalizer holds the Workspace.
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    cluster.api().merge_patch(&gone.path(), &held).and_then(Reply::ok).unwrap();
    let mark = world.mark();
    gone.delete();
    wait_gone(&gone);
    assert_eq!(world.writes(mark).verb("delete").resource("virtualservices").count(), 1);
    cluster.api().merge_patch(&gone.path(), &json!({"metadata": {"finalizers": null}})).and_then(Reply::ok).unwrap();
    running.stop();

    let mark = world.mark();
    let running = Loop::start(cluster, &["--use-istio=false"]);
    wait_gone(&lab);
    let deleted = cluster.audit().since(mark).unwrap().by(USER).verb("delete").resource("virtualservices");
    assert_eq!(deleted.count(), 1, "{deleted:?}");
    running.stop();
}

/// While Istio's CRD serves nothing, as in the midst of an upgrade, a route can be neither read nor deleted.
#[test]
fn a_route_goes_that_could_not_be_deleted_while_its_resource_was_not_served() {
    let cluster = cluster_that_serves("v1");
    let world = World::on(cluster, "away");
    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let (lab, held) = (world.create("lab", |_| {}), world.create("held", |_| {}));
    lab.wait_running();
    held.wait_running();
    // Garbage collection does not come by: a finalizer holds the Workspace.
    let finalizer = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    cluster.api().merge_patch(&held.path(), &finalizer).and_then(Reply::ok).unwrap();
    serve(cluster, &[("v1", false)]);
    lab.wait_status("without Istio", |status| condition(status, "RouteReady")["reason"] == "IstioNotInstalled");
    let before = running.reconciles_by("routecleanup");
    held.delete();
    world.wait("its route to be looked at", || match running.reconciles_by("routecleanup") {
        seen if seen > before => Ok(()),
        seen => Err(format!("{seen} reconciles")),
    });

    serve(cluster, &[("v1", true)]);
    world.wait("the route to go", || {
        held.find_child(Child::VirtualService).map_or(Ok(()), |route| Err(route.to_string()))
    });
    lab.wait_running();
    assert!(lab.find_child(Child::VirtualService).is_some());
    cluster.api().merge_patch(&held.path(), &json!({"metadata": {"finalizers": null}})).and_then(Reply::ok).unwrap();

    // An older Istio is installed in place of this one: with the CRD its routes go, and are made anew.
    cluster.api().delete(CRD).and_then(Reply::ok).unwrap();
    world.wait("the CRD to go", || world.find(CRD).map_or(Ok(()), |crd| Err(crd.to_string())));
    cluster.api().create(CRDS, &crd(cluster, &[("v1beta1", true)])).and_then(Reply::ok).unwrap();
    let older = lab.child_path(Child::VirtualService).replace("/v1/", "/v1beta1/");
    world.wait("the route in v1beta1", || world.find(&older).map(drop).ok_or_else(|| lab.get().to_string()));
    lab.wait_running();
    running.stop();
}
