//! Routes follow the Workspace, and unsafe ones never reach Istio.

use cluster::{ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, condition, control_plane};

fn prefixes(route: &Value) -> Vec<String> {
    let http = route["spec"]["http"].as_array().unwrap();
    http.iter().map(|route| route["match"][0]["uri"]["prefix"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn another_image_changes_the_routes_and_restarts_the_pod() {
    let world = World::new("image", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let pod = world.get(&lab.pod_path())["metadata"]["uid"].clone();
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "large"}}}));
    let start = format!("/workspace/{}/lab", world.namespace);
    world.wait("both routes", || {
        let prefixes = prefixes(&lab.child(Child::VirtualService));
        if prefixes == [format!("{start}/jupyterlab/"), format!("{start}/tensorboard/")] {
            Ok(())
        } else {
            Err(prefixes.join(" "))
        }
    });
    let service = lab.child(Child::Service);
    assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 2, "{service}");
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "small"}}}));
    world.wait("one route", || {
        let prefixes = prefixes(&lab.child(Child::VirtualService));
        if prefixes == [format!("{start}/jupyterlab/")] { Ok(()) } else { Err(prefixes.join(" ")) }
    });
    lab.wait_running();
    assert_ne!(world.get(&lab.pod_path())["metadata"]["uid"], pod, "its user wants the other image");
}

#[test]
fn an_unsafe_header_in_a_stored_kind_keeps_the_old_route_and_makes_no_new_one() {
    let world = World::new("unsafe", |_| {});
    let old = world.create("old", |_| {});
    old.wait_running();
    let route = old.child(Child::VirtualService);
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("s3cr3t %BAD%");
    });
    let new = world.create("new", |_| {});
    for lab in [&old, &new] {
        let status = lab.wait_status("without a route that is ready", |status| {
            status["state"] == "Running" && condition(status, "RouteReady")["reason"] == "UnsafeHeader"
        });
        let condition = condition(&status, "RouteReady");
        assert_eq!(condition["status"], "False");
        let message = condition["message"].as_str().unwrap();
        assert!(message.starts_with("spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Bad]: "), "{message}");
        assert!(!message.contains("s3cr3t"), "{message}");
    }
    assert_eq!(old.child(Child::VirtualService), route, "the old route is left unchanged");
    assert!(new.find_child(Child::VirtualService).is_none(), "no new route is made");
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("100%%");
    });
    for lab in [&old, &new] {
        lab.wait_running();
        let set = lab.child(Child::VirtualService)["spec"]["http"][0]["headers"]["request"]["set"].clone();
        assert_eq!(set["X-Bad"], "100%%");
    }
}

#[test]
fn a_route_whose_successor_is_refused_outlives_a_restart_and_edits_of_others() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "refused");
    world.create_kind(|_| {});
    let running = Loop::start(cluster, &[]);
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let route = lab.child(Child::VirtualService);
    running.stop();
    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["Content_Length"] = json!("3");
        template["extraEnv"] = json!([]);
    });
    let refused = || {
        lab.wait_status("without a route that is ready", |status| {
            condition(status, "RouteReady")["reason"] == "UnsafeHeader"
        })
    };
    let running = Loop::start(cluster, &[]);
    refused();
    assert_eq!(lab.child(Child::VirtualService), route);
    // Another field of the route, and the StatefulSet with ours: the loop reconciles both.
    let theirs = json!([{"op": "add", "path": "/spec/exportTo", "value": ["*"]}]);
    cluster.api().json_patch(&lab.child_path(Child::VirtualService), &theirs).and_then(Reply::ok).unwrap();
    lab.patch(&json!({"podTemplate": {"options": {"podConfig": "big"}}}));
    refused();
    assert_eq!(lab.child(Child::VirtualService)["metadata"]["uid"], route["metadata"]["uid"]);
    // A field of ours, of which the desired value is no longer known.
    let tampered = json!([{"op": "remove", "path": "/spec/http/0/headers"}]);
    cluster.api().json_patch(&lab.child_path(Child::VirtualService), &tampered).and_then(Reply::ok).unwrap();
    world.wait("the route to go", || {
        lab.find_child(Child::VirtualService).map_or(Ok(()), |route| Err(route.to_string()))
    });
    running.stop();
}

/// A server that was started below a path goes on being reached there; what it knows nothing of follows at once.
#[test]
fn the_paths_of_a_route_follow_the_running_pod_and_its_headers_the_kind() {
    let proxy = |template: &mut Value, removes: bool, version: &str| {
        template["extraEnv"] = json!([{"name": "VERSION", "value": version}]);
        template["ports"][0]["httpProxy"] =
            json!({"removePathPrefix": removes, "requestHeaders": {"set": {"X-Version": version}}});
    };
    let world = World::new("kept", |template| proxy(template, false, "1"));
    let (lab, paused) = (world.create("lab", |_| {}), world.create("paused", |spec| spec["paused"] = json!(true)));
    lab.wait_running();
    paused.wait_state("Paused");
    let wait_route = |lab: &WorkspaceHandle<'_>, rewrite: &Value, version: &str| {
        world.wait(&format!("the route of {}", lab.name), || {
            let route = lab.child(Child::VirtualService)["spec"]["http"][0].clone();
            let is_wanted = route["rewrite"] == *rewrite && route["headers"]["request"]["set"]["X-Version"] == version;
            if is_wanted { Ok(()) } else { Err(route.to_string()) }
        });
    };
    let (none, root) = (Value::Null, json!({"uri": "/"}));
    wait_route(&lab, &none, "1");

    world.update_kind(|template| proxy(template, true, "2"));
    wait_route(&paused, &root, "2");
    wait_route(&lab, &none, "2");
    lab.wait_status("about to be restarted", |status| status["pendingRestart"] == true);
    let mark = world.mark();
    // Restored as it was, not as the kind has it by now.
    lab.patch_child(Child::VirtualService, &json!({"spec": {"hosts": ["other.example.com"]}}));
    wait_route(&lab, &none, "2");
    world.wait("the hosts to be restored", || {
        let hosts = lab.child(Child::VirtualService)["spec"]["hosts"].clone();
        if hosts == json!(["*"]) { Ok(()) } else { Err(hosts.to_string()) }
    });
    wait_route(&lab, &none, "2");
    assert_eq!(world.writes(mark).resource("virtualservices").count(), 1);

    world.cluster.api().delete(&lab.pod_path()).and_then(Reply::ok).unwrap();
    wait_route(&lab, &root, "2");
    lab.wait_status("on the current template", |status| status["pendingRestart"] == false);
}
