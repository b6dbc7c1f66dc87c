//! Beside the Go controller, with `--only-routes`: nothing but VirtualServices is written, to the Services that it makes; and those
//! that it made itself are taken over only on request, and left to it while it goes on writing them.

use cluster::{ClusterOptions, Mark, Reply};
use serde_json::{Value, json};

use crate::adoption::{OfPeer, create, kind, metadata, name, owned, path_variable, workspace};
use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, control_plane, control_plane_with_rules, rule};

const ONLY_ROUTES: &[&str] = &["--only-routes"];
const TAKE_OVER: &[&str] = &["--only-routes", "--take-over-routes"];

/// What the chart grants in this mode.
pub fn rules() -> Vec<Value> {
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    vec![
        rule("kubeflow.org", &["workspacekinds"], &["list", "watch"]),
        rule("kubeflow.org", &["workspaces"], &["get", "list", "watch"]),
        rule("kubeflow.org", &["workspaces/finalizers"], &["update"]),
        rule("", &["services"], &["list", "watch"]),
        rule("networking.istio.io", &["virtualservices"], &all),
    ]
}

/// Creates the Service of a Workspace as the Go controller does, and returns its name.
fn create_service(lab: &WorkspaceHandle<'_>) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(lab, &json!({"generateName": format!("ws-{}-", lab.name)})),
        "spec": {
            "ports": [{"name": "http-8888", "port": 8888, "protocol": "TCP", "targetPort": 8888}],
            "selector": {"notebooks.kubeflow.org/workspace-name": lab.name, "statefulset": lab.name}, "type": "ClusterIP",
        },
    });
    name(&create(lab.world, Child::Service, &service))
}

/// Creates a VirtualService as the Go controller does, and returns it.
fn create_route(lab: &WorkspaceHandle<'_>, service: &str) -> Value {
    let (namespace, lab_name) = (&lab.world.namespace, &lab.name);
    let http = json!([{
        "match": [{"uri": {"prefix": format!("/workspace/{namespace}/{lab_name}/jupyterlab/")}}],
        "route": [{"destination": {"host": format!("{service}.{namespace}.svc.cluster.local"), "port": {"number": 8888}}}],
    }]);
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": metadata(lab, &json!({"generateName": format!("ws-{lab_name}-")})),
        "spec": {"gateways": ["kubeflow/kubeflow-gateway"], "hosts": ["*"], "http": http},
    });
    create(lab.world, Child::VirtualService, &route)
}

/// The hosts that the VirtualService routes to.
fn hosts(route: &Value) -> Vec<&str> {
    let http = route["spec"]["http"].as_array().unwrap().iter();
    http.map(|http| http["route"][0]["destination"]["host"].as_str().unwrap()).collect()
}

fn wait_route(lab: &WorkspaceHandle<'_>, service: &str) -> Value {
    let host = format!("{service}.{}.svc.cluster.local", lab.world.namespace);
    lab.world.wait("the route to the Service", || {
        let route = lab.find_child(Child::VirtualService).ok_or("no VirtualService")?;
        if hosts(&route).iter().all(|found| *found == host) { Ok(route) } else { Err(route.to_string()) }
    })
}

fn wait_no_route(lab: &WorkspaceHandle<'_>) {
    lab.world.wait("the route to go", || lab.find_child(Child::VirtualService).map_or(Ok(()), |r| Err(r.to_string())));
}

fn wait_states(world: &World, running: &Loop, expected: &[(&str, u64)]) {
    world.wait("the routes to be counted", || {
        let mut states = running.samples("workspaces_routes");
        states.retain(|(_, count)| *count > 0);
        states.sort_unstable();
        let expected: Vec<_> = expected.iter().map(|(state, count)| (format!("state=\"{state}\""), *count)).collect();
        if states == expected { Ok(()) } else { Err(format!("{states:?}")) }
    });
}

fn unlabel(world: &World, path: &str) {
    let unlabelled = json!({"metadata": {"labels": {"notebooks.kubeflow.org/workspace-name": null}}});
    world.cluster.api().merge_patch(path, &unlabelled).and_then(Reply::ok).unwrap();
}

/// Writes a status as the Go controller does.
fn write_status(lab: &WorkspaceHandle<'_>) -> Value {
    let activity = json!({"lastActivity": 0, "lastUpdate": 0});
    let status = json!({"state": "Paused", "stateMessage": "Workspace is paused", "activity": activity});
    let path = format!("{}/status", lab.path());
    let stored = lab.world.cluster.api().merge_patch(&path, &json!({"status": status})).and_then(Reply::ok).unwrap();
    stored["status"].clone()
}

fn route_path(lab: &WorkspaceHandle<'_>, route: &str) -> String {
    format!("{}/{route}", Child::VirtualService.collection(&lab.world.namespace))
}

/// Waits until it has written that often, and not more often: what can be seen may not have been answered.
fn wait_writes(world: &World, mark: Mark, expected: usize) {
    let written = world.wait("the writes to be logged", || {
        let written = world.all_writes(mark);
        if written.count() >= expected { Ok(written) } else { Err(format!("{written:?}")) }
    });
    assert_eq!(written.count(), expected, "{written:?}");
}

#[test]
fn only_virtual_services_are_written_and_lead_to_the_service_that_exists() {
    let cluster = control_plane_with_rules(&rules());
    let world = World::on(cluster, "routes");
    world.create_kind(|_| {});
    let mark = world.mark();
    let running = Loop::start(cluster, ONLY_ROUTES);
    let lab = world.create("lab", |_| {});
    wait_states(&world, &running, &[("waiting", 1)]);
    assert!(world.all_writes(mark).is_empty(), "there is no Service yet");
    let service = create_service(&lab);
    let route = wait_route(&lab, &service);
    let uid = route["metadata"]["uid"].clone();
    assert_eq!(route["metadata"]["ownerReferences"][0]["uid"], json!(lab.uid));
    assert_eq!(route["metadata"]["ownerReferences"][0]["controller"], true);
    wait_states(&world, &running, &[("in_place", 1)]);

    // Neither the pause nor the status that the Go controller writes concerns it.
    lab.patch(&json!({"paused": true}));
    let status = write_status(&lab);
    // An edit of the kind does.
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-New"] = json!("new");
    });
    let headers = || lab.child(Child::VirtualService)["spec"]["http"][0]["headers"]["request"]["set"].clone();
    world.wait("the new header", || if headers()["X-New"] == "new" { Ok(()) } else { Err(headers().to_string()) });
    lab.patch(&json!({"paused": false, "podTemplate": {"options": {"imageConfig": "large"}}}));
    world.wait("the route of the second port", || {
        let route = lab.child(Child::VirtualService);
        if hosts(&route).len() == 2 { Ok(()) } else { Err(route.to_string()) }
    });
    wait_writes(&world, mark, 3);

    // A Service that has only lost its label is found; one that is gone takes the route with it.
    let path = format!("{}/{service}", Child::Service.collection(&world.namespace));
    let before = running.reconciles_by("route");
    unlabel(&world, &path);
    world.wait("it to be noticed", || match running.reconciles_by("route") {
        now if now > before => Ok(()),
        now => Err(now.to_string()),
    });
    wait_states(&world, &running, &[("in_place", 1)]);
    assert_eq!(lab.child(Child::VirtualService)["metadata"]["uid"], uid);
    let labelled = json!({"metadata": {"labels": {"notebooks.kubeflow.org/workspace-name": "lab"}}});
    cluster.api().merge_patch(&path, &labelled).and_then(Reply::ok).unwrap();
    cluster.api().delete(&path).and_then(Reply::ok).unwrap();
    wait_no_route(&lab);
    wait_states(&world, &running, &[("waiting", 1)]);
    let service = create_service(&lab);
    wait_route(&lab, &service);

    let object = lab.get();
    assert_eq!(object["status"], status);
    assert!(
        object["metadata"]["finalizers"].is_null() && world.get(&world.kind_path())["metadata"]["finalizers"].is_null()
    );
    // Its route goes first, while it is still there.
    let finalizers = |finalizers: Value| {
        let change = json!({"metadata": {"finalizers": finalizers}});
        cluster.api().merge_patch(&lab.path(), &change).and_then(Reply::ok).unwrap();
    };
    finalizers(json!(["example.com/held"]));
    lab.delete();
    wait_no_route(&lab);
    assert!(lab.get()["metadata"]["deletionTimestamp"].is_string());
    wait_states(&world, &running, &[]);
    finalizers(Value::Null);
    // The first three, the one without a Service and the one with the next, the last.
    wait_writes(&world, mark, 6);
    let others = |request: &cluster::Request| request.resource != "virtualservices" || !request.subresource.is_empty();
    let written = world.all_writes(mark).filter(others);
    assert!(written.is_empty(), "{written:?}");
    running.stop();
}

#[test]
fn routes_of_the_go_controller_are_taken_over_on_request_and_never_fought_over() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "others");
    world.create_kind(|_| {});
    let labs = ["one", "two"].map(|name| world.create(name, |_| {}));
    let services = [create_service(&labs[0]), create_service(&labs[1])];
    let routes = [create_route(&labs[0], &services[0]), create_route(&labs[1], &services[1])];
    let path = |route: &Value| format!("{}/{}", Child::VirtualService.collection(&world.namespace), name(route));

    let mark = world.mark();
    let mut names = [name(&routes[0]), name(&routes[1])];
    names.sort_unstable();
    assert_eq!(
        Loop::start(cluster, ONLY_ROUTES).refusal().to_string(),
        format!(
            "refusing to start with --only-routes: the Go controller (field manager \"manager\") writes the VirtualServices of \
             Workspaces, or did until now: 2 of them, the first is {}/{}. Two controllers must not write the same routes. \
             Switch its own off: USE_ISTIO=false in its environment (its manifests take it from the ConfigMap \
             kubeflow-workspaces-istio-config), or its flag --use-istio=false. Those that it has made stay, and go on routing. \
             Once it has been restarted, start this one with --take-over-routes: they are kept as they are, and followed from \
             then on",
            world.namespace, names[0]
        )
    );
    assert!(world.all_writes(mark).is_empty());

    let running = Loop::start(cluster, TAKE_OVER);
    wait_states(&world, &running, &[("in_place", 2)]);
    for (lab, route) in labs.iter().zip(&routes) {
        assert_eq!(owned(lab, Child::VirtualService), [name(route)], "no second one");
        let taken = world.get(&path(route));
        assert_eq!(taken["metadata"]["uid"], route["metadata"]["uid"]);
        assert_eq!(hosts(&taken), hosts(route));
        assert_eq!(
            taken["spec"]["http"][0]["headers"]["request"]["set"]["X-Path"],
            taken["spec"]["http"][0]["match"][0]["uri"]["prefix"]
        );
    }

    // It was not switched off: what it writes from now on stays, whatever that is.
    let mut rewritten = world.get(&path(&routes[0]));
    rewritten["spec"]["hosts"] = json!(["labs.example.com"]);
    let put = format!("{}?fieldManager=manager", path(&routes[0]));
    let mark = world.mark();
    cluster.api().replace(&put, &rewritten).and_then(Reply::ok).unwrap();
    let three = world.create("three", |_| {});
    create_route(&three, &create_service(&three));
    wait_states(&world, &running, &[("in_place", 1), ("of_another", 2)]);
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-New"] = json!("new");
    });
    world.wait("the route that is left to follow", || {
        let route = world.get(&path(&routes[1]));
        if route["spec"]["http"][0]["headers"]["request"]["set"]["X-New"] == "new" {
            Ok(())
        } else {
            Err(route.to_string())
        }
    });
    wait_states(&world, &running, &[("in_place", 1), ("of_another", 2)]);
    let written = world.all_writes(mark);
    assert_eq!(written.clone().name(&name(&routes[1])).count(), written.count(), "{written:?}");
    assert_eq!(owned(&three, Child::VirtualService).len(), 1);
    running.stop();

    // What it took over once is its own: no flag is needed for the next start, but for those.
    let refusal = Loop::start(cluster, ONLY_ROUTES).refusal();
    assert_eq!(refusal.count, 2);
    for lab in [&labs[0], &three] {
        lab.delete();
    }
    world.wait("their routes to go", || {
        let left = [owned(&labs[0], Child::VirtualService), owned(&three, Child::VirtualService)].concat();
        if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
    });
    let mark = world.mark();
    let running = Loop::start(cluster, ONLY_ROUTES);
    wait_states(&world, &running, &[("in_place", 1)]);
    assert!(world.all_writes(mark).is_empty(), "a restart writes nothing");
    running.stop();
}

#[test]
fn the_whole_controller_goes_on_with_the_same_routes() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "whole");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| kind(template, &json!([prefix])));
    let lab = workspace(&world, "lab", false);
    OfPeer::create_account(&lab);
    let account = lab.names.service_account.clone();
    let peer = OfPeer::create(lab, &account, &json!([path_variable(&world, "lab")]));
    // It was never asked for routes.
    cluster.api().delete(&peer.path(Child::VirtualService)).and_then(Reply::ok).unwrap();
    peer.wait_settled();
    let pod = peer.pod_and_revision();
    let running = Loop::start(cluster, ONLY_ROUTES);
    let route = wait_route(&peer.lab, &name(&peer.service));
    running.stop();

    let mark = world.mark();
    let running = Loop::start(cluster, &[]);
    peer.lab.wait_running();
    running.stop();
    assert_eq!(peer.lab.child(Child::VirtualService), route, "to the byte");
    assert_eq!(peer.pod_and_revision(), pod);
    let written = world.writes(mark);
    assert!(!written.is_empty() && written.clone().resource("virtualservices").is_empty(), "{written:?}");
}

/// Where both render the same, all that the Go controller writes is that it removes the annotations that it does not know.
#[test]
fn a_route_that_another_client_undoes_again_and_again_is_left_to_it() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "undone");
    world.create_kind(|_| {});
    let lab = world.create("one", |_| {});
    let route = name(&create_route(&lab, &create_service(&lab)));
    let running = Loop::start(cluster, TAKE_OVER);
    wait_states(&world, &running, &[("in_place", 1)]);

    let (mark, path) = (world.mark(), route_path(&lab, &route));
    world.wait("the route to be left", || {
        let mut stored = world.get(&path);
        if let Some(metadata) = stored["metadata"].as_object_mut()
            && metadata.remove("annotations").is_some()
        {
            let put = cluster.api().replace(&format!("{path}?fieldManager=manager"), &stored).unwrap();
            assert!([200, 409].contains(&put.status), "{put:?}");
        }
        let states = running.samples("workspaces_routes");
        if states.contains(&("state=\"of_another\"".to_owned(), 1)) { Ok(()) } else { Err(format!("{states:?}")) }
    });
    wait_writes(&world, mark, 5);

    // Others go on, and it stays as it is.
    let two = world.create("two", |_| {});
    wait_route(&two, &create_service(&two));
    wait_states(&world, &running, &[("in_place", 1), ("of_another", 1)]);
    let mark = world.mark();
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-New"] = json!("new");
    });
    let header = |lab: &WorkspaceHandle<'_>| {
        let route = world.get(&route_path(lab, &owned(lab, Child::VirtualService)[0]));
        route["spec"]["http"][0]["headers"]["request"]["set"]["X-New"].clone()
    };
    world.wait("the new header", || if header(&two) == "new" { Ok(()) } else { Err(header(&two).to_string()) });
    wait_states(&world, &running, &[("in_place", 1), ("of_another", 1)]);
    running.stop();
    assert_eq!(header(&lab), Value::Null);
    wait_writes(&world, mark, 1);
}

#[test]
fn a_take_over_keeps_a_safe_route_while_its_successor_is_refused() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "kept");
    world.create_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("%BAD%");
    });
    let labs = ["safe", "unsafe"].map(|name| world.create(name, |_| {}));
    let routes = labs.each_ref().map(|lab| create_route(lab, &create_service(lab)));
    let path = route_path(&labs[1], &name(&routes[1]));
    let mut rewritten = routes[1].clone();
    rewritten["spec"]["http"][0]["headers"] = json!({"request": {"set": {"X-Bad": "%BAD%"}}});
    cluster.api().replace(&format!("{path}?fieldManager=manager"), &rewritten).and_then(Reply::ok).unwrap();

    let mark = world.mark();
    let running = Loop::start(cluster, TAKE_OVER);
    wait_states(&world, &running, &[("refused", 2)]);
    assert_eq!(owned(&labs[1], Child::VirtualService), [""; 0]);
    wait_writes(&world, mark, 1);
    let path = route_path(&labs[0], &name(&routes[0]));
    assert_eq!(world.get(&path), routes[0], "to the byte");

    // It is still one to take over.
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("good");
    });
    wait_states(&world, &running, &[("in_place", 2)]);
    let taken = world.get(&path);
    assert_eq!(taken["metadata"]["uid"], routes[0]["metadata"]["uid"]);
    assert_eq!(taken["spec"]["http"][0]["headers"]["request"]["set"]["X-Bad"], "good");
    for lab in &labs {
        assert_eq!(owned(lab, Child::VirtualService).len(), 1);
    }
    running.stop();
}

#[test]
fn a_route_that_has_lost_its_label_is_found() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "unlabelled");
    world.create_kind(|_| {});
    let labs = ["before", "after"].map(|name| world.create(name, |_| {}));
    let routes = labs.each_ref().map(|lab| {
        write_status(lab);
        create_route(lab, &create_service(lab))
    });
    let paths = [0, 1].map(|at| route_path(&labs[at], &name(&routes[at])));
    unlabel(&world, &paths[0]);
    let running = Loop::start(cluster, TAKE_OVER);
    wait_states(&world, &running, &[("in_place", 2)]);
    let wait_labelled = |at: usize| {
        world.wait("the label", || {
            let route = world.get(&paths[at]);
            let label = &route["metadata"]["labels"]["notebooks.kubeflow.org/workspace-name"];
            if *label == labs[at].name { Ok(()) } else { Err(route.to_string()) }
        });
        assert_eq!(owned(&labs[at], Child::VirtualService), [name(&routes[at])], "no second one");
    };
    wait_labelled(0);
    unlabel(&world, &paths[1]);
    wait_labelled(1);
    wait_states(&world, &running, &[("in_place", 2)]);
    running.stop();
}

#[test]
fn a_service_of_a_user_does_not_hide_that_of_the_go_controller() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "services");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    let service = create_service(&lab);
    let running = Loop::start(cluster, ONLY_ROUTES);
    let route = wait_route(&lab, &service);
    wait_states(&world, &running, &[("in_place", 1)]);

    let mark = world.mark();
    let services = Child::Service.collection(&world.namespace);
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(&lab, &json!({"name": "theirs"})),
        "spec": {"ports": [{"port": 6006}], "selector": {"notebooks.kubeflow.org/workspace-name": "lab"}},
    });
    let noticed = |change: &dyn Fn()| {
        let before = running.reconciles_by("route");
        change();
        world.wait("it to be noticed", || match running.reconciles_by("route") {
            now if now > before => Ok(()),
            now => Err(now.to_string()),
        });
    };
    noticed(&|| {
        cluster.api().create(&format!("{services}?fieldManager=kubectl"), &theirs).and_then(Reply::ok).unwrap();
    });
    noticed(&|| unlabel(&world, &format!("{services}/{service}")));
    wait_states(&world, &running, &[("in_place", 1)]);
    assert_eq!(lab.child(Child::VirtualService), route);
    assert!(world.all_writes(mark).is_empty());
    // Nor does a route lead to it.
    cluster.api().delete(&format!("{services}/{service}")).and_then(Reply::ok).unwrap();
    noticed(&|| unlabel(&world, &format!("{services}/theirs")));
    wait_no_route(&lab);
    wait_states(&world, &running, &[("waiting", 1)]);
    running.stop();
}

#[test]
fn without_a_service_no_route_stays() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "two-routes");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    create_route(&lab, "gone");
    create_route(&lab, "gone");
    let mark = world.mark();
    let running = Loop::start(cluster, TAKE_OVER);
    world.wait("both routes to go", || {
        let left = owned(&lab, Child::VirtualService);
        if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
    });
    wait_states(&world, &running, &[("waiting", 1)]);
    wait_writes(&world, mark, 2);
    running.stop();
}
