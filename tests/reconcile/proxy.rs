//! A proxy before the API server that answers for it, 404, as load balancers do whose routes are being changed: that does not
//! mean that something is not installed, or gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cluster::{Cluster, ClusterOptions};
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};

use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, condition, control_plane, grant};

/// How often each request is lost: more often than events of what was done meanwhile would have it tried again.
const TIMES: usize = 4;

/// Requests that are lost.
#[derive(Clone, Default)]
struct Lost {
    times: usize,
    /// How often each request came, by its method and path.
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Lost {
    fn new(times: usize) -> Self {
        Self { times, ..Self::default() }
    }

    /// Whether it is one of the first of its method and path.
    fn take(&self, request: &Request<Body>) -> bool {
        let mut seen = self.seen.lock().unwrap();
        let count = seen.entry(format!("{} {}", request.method(), request.uri().path())).or_default();
        *count += 1;
        *count <= self.times
    }

    /// How many requests of that method were about such a resource, each at least as often as it is lost.
    fn count(&self, method: &Method, resource: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let part = format!("/{resource}");
        let is_it = |request: &str| request.starts_with(method.as_str()) && request.contains(&part);
        seen.iter().filter(|(request, count)| is_it(request) && **count >= self.times).count()
    }
}

fn cluster() -> &'static Cluster {
    control_plane(ClusterOptions::default())
}

/// A Workspace that runs, made by a loop without a proxy that has stopped since.
fn created<'w>(cluster: &'static Cluster, world: &'w World) -> WorkspaceHandle<'w> {
    let running = Loop::start(cluster, &[]);
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    running.stop();
    lab
}

fn is_about(request: &Request<Body>, method: &Method, resource: &str) -> bool {
    request.method() == method && request.uri().path().contains(&format!("/{resource}"))
}

#[test]
fn a_write_that_a_proxy_does_not_know_is_tried_again() {
    let cluster = cluster();
    let world = World::on(cluster, "proxied");
    world.create_kind(|template| grant(template, &["view"]));
    let lab = created(cluster, &world);
    let lost = Lost::new(TIMES);
    let running = Loop::start_behind_proxy(cluster, &[], {
        let lost = lost.clone();
        move |request| {
            ["services", "virtualservices"].iter().any(|resource| is_about(request, &Method::PATCH, resource))
                && lost.take(request)
        }
    });
    let drifts = [
        (
            Child::Service,
            "/spec/selector/statefulset",
            json!("lab"),
            json!({"spec": {"selector": {"statefulset": null}}}),
        ),
        (Child::VirtualService, "/spec/hosts", json!(["*"]), json!({"spec": {"hosts": ["evil.example.com"]}})),
    ];
    for (child, pointer, value, drift) in drifts {
        lab.patch_child(child, &drift);
        world.wait(&format!("{child:?} to be restored"), || {
            let object = lab.child(child);
            if object.pointer(pointer) == Some(&value) { Ok(()) } else { Err(object.to_string()) }
        });
        assert_eq!(lost.count(&Method::PATCH, child.resource()), 1, "{child:?}");
    }
    let status = lab.wait_running();
    assert_eq!(condition(&status, "RouteReady")["status"], "True", "{status}");
    running.stop();
}

/// Where nothing can be rendered, it is read whether there is anything to scale.
#[test]
fn a_set_that_a_proxy_does_not_know_is_stopped_all_the_same() {
    let cluster = cluster();
    let world = World::on(cluster, "proxied-stop");
    world.create_kind(|_| {});
    let lab = created(cluster, &world);
    let lost = Lost::new(TIMES);
    let running = Loop::start_behind_proxy(cluster, &[], {
        let lost = lost.clone();
        move |request| is_about(request, &Method::GET, "statefulsets/") && lost.take(request)
    });
    lab.patch(&json!({"paused": true, "podTemplate": {"options": {"imageConfig": "missing"}}}));
    world.wait("the pod to go", || world.find(&lab.pod_path()).map_or(Ok(()), |pod| Err(pod.to_string())));
    assert_eq!(lost.count(&Method::GET, "statefulsets/"), 1);
    running.stop();
}

#[test]
fn routes_that_a_proxy_does_not_know_go_all_the_same_when_istio_is_switched_off() {
    let cluster = cluster();
    let world = World::on(cluster, "proxied-off");
    world.create_kind(|_| {});
    let lab = created(cluster, &world);
    let lost = Lost::new(1);
    let running = Loop::start_behind_proxy(cluster, &["--use-istio=false"], {
        let lost = lost.clone();
        move |request| is_about(request, &Method::GET, "virtualservices") && lost.take(request)
    });
    world.wait("the route to go", || {
        lab.find_child(Child::VirtualService).map_or(Ok(()), |route: Value| Err(route.to_string()))
    });
    assert_eq!(lost.count(&Method::GET, "virtualservices"), 2, "in each version");
    running.stop();
}
