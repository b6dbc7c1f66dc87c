//! Istio comes after us, and goes by our own setting.

use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Reply, report};
use serde_json::json;

use crate::process::Loop;
use crate::world::{Child, World, condition, control_plane};

/// From the installation of Istio's CRD to a route.
const ROUTED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn routes_come_when_istio_is_installed_and_go_when_it_is_switched_off() {
    let cluster =
        Box::leak(Box::new(control_plane(ClusterOptions { virtual_service_crd: false, ..ClusterOptions::default() })));
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
