//! The two installations beside the Go controller: in its namespace, next to its objects, each run with exactly the arguments,
//! environment and permissions that the chart gives it.

use std::time::Duration;

use cluster::{Cluster, ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::helm::{NAMESPACE, helm};
use crate::image_swapped::logged;
use crate::installed::{Site, start};
use crate::process::Process;

const TIMEOUT: Duration = Duration::from_mins(1);
const ROUTES: &str = "workspaces-route-controller";
const NAMESPACES: &str = "workspaces-namespace-controller";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
const VIRTUAL_SERVICES: &str = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";

/// What the Go controller's manifests have under the names of this one.
fn install_peer(cluster: &Cluster) {
    let object = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    let rbac = "rbac.authorization.k8s.io/v1";
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let mut role = object(rbac, "ClusterRole", "workspaces-manager-role");
    role["rules"] = json!([]);
    for (path, object) in [
        ("/api/v1/namespaces", object("v1", "Namespace", NAMESPACE)),
        (&accounts, object("v1", "ServiceAccount", "workspaces-controller")),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", role),
    ] {
        cluster.api().create(path, &object).and_then(Reply::ok).unwrap();
    }
}

fn install(cluster: &Cluster, site: &Site, action: &str, release: &str, set: &[&str]) {
    let [webhook, health, metrics] = site.ports;
    let ports = [("webhook", webhook), ("health", health), ("metrics", metrics)];
    let ports = ports.map(|(name, port)| format!("ports.{name}={port}"));
    let status = "settings.statusBindAddress=127.0.0.1:0";
    let mut args =
        vec![action, release, "charts/workspaces-controller", "--namespace", NAMESPACE, "--wait", "--set", status];
    args.extend(ports.iter().map(String::as_str).chain(set.iter().copied()).flat_map(|value| ["--set", value]));
    let installed = helm(&args, Some(&cluster.api().kubeconfig));
    assert!(installed.success, "{release}: {}", installed.stderr);
}

/// Creates an object as the Go controller does, owned by the Workspace.
fn create_as_peer(cluster: &Cluster, workspace: &Value, path: &str, mut object: Value) -> Value {
    object["metadata"] = json!({
        "generateName": "ws-lab-", "labels": {"notebooks.kubeflow.org/workspace-name": "lab"},
        "ownerReferences": [{
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": workspace["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }],
    });
    cluster.api().create(&format!("{path}?fieldManager=manager"), &object).and_then(Reply::ok).unwrap()
}

fn wait_for(cluster: &Cluster, process: &mut Process, what: &str, mut poll: impl FnMut() -> Result<(), String>) {
    let seen = cluster.wait_for(what, TIMEOUT, || {
        process.must_run();
        poll()
    });
    seen.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
}

/// Nothing was refused to it, and it asks for no right.
fn has_enough_rights(cluster: &Cluster, process: &Process, account: &str) {
    let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let refused = cluster.audit().all().unwrap().by(&user).filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    let reported = logged(process, &["WARN", "ERROR"]);
    assert!(reported.is_empty(), "{reported:?}");
}

#[test]
fn both_run_beside_the_go_controller_with_exactly_what_the_chart_gives_them() {
    // Without the permission that goes with it, no child could block the deletion of its Workspace.
    let api_server_args = vec!["--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned()];
    let cluster = &Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap();
    install_peer(cluster);
    let kind = serde_json::to_value(crds::testing::workspace_kind("lab")).unwrap();
    cluster.api().create("/apis/kubeflow.org/v1beta1/workspacekinds", &kind).and_then(Reply::ok).unwrap();
    let mut lab = serde_json::to_value(crds::testing::workspace("default", "lab", "lab")).unwrap();
    lab["metadata"] = json!({"name": "lab"});
    let lab = cluster.api().create(WORKSPACES, &lab).and_then(Reply::ok).unwrap();
    let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 8888}]}});
    create_as_peer(cluster, &lab, "/api/v1/namespaces/default/services", service);

    let site = Site::new();
    install(cluster, &site, "install", "routes", &["settings.onlyRoutes=true", "settings.namespaceSelector=!moving"]);
    let mut process = start(cluster, ROUTES, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    wait_for(cluster, &mut process, "the route", || {
        let routes = cluster.api().get(VIRTUAL_SERVICES).unwrap().body;
        if routes.contains("8888") { Ok(()) } else { Err(routes) }
    });
    has_enough_rights(cluster, &process, ROUTES);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());

    refuses_to_start(cluster, &site, &lab);

    // The whole of one namespace, under its own account.
    let site = Site::new();
    install(cluster, &site, "install", "moved", &["settings.namespaceSelector=moving=done"]);
    let labels = json!({"metadata": {"labels": {"moving": "done"}}});
    cluster.api().merge_patch("/api/v1/namespaces/default", &labels).and_then(Reply::ok).unwrap();
    let mut process = start(cluster, NAMESPACES, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    wait_for(cluster, &mut process, "the Workspace to run", || {
        let status = cluster.api().get(&format!("{WORKSPACES}/lab")).unwrap().json()["status"].clone();
        if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
    });
    has_enough_rights(cluster, &process, NAMESPACES);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}

/// Where the Go controller has made a route too; until that is taken over.
fn refuses_to_start(cluster: &Cluster, site: &Site, lab: &Value) {
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "spec": {"hosts": ["*"], "http": [{"route": [{"destination": {"host": "nowhere"}}]}]},
    });
    let route = create_as_peer(cluster, lab, VIRTUAL_SERVICES, route);
    let mut process = start(cluster, ROUTES, site.dir.path());
    assert_eq!(process.wait(TIMEOUT).code(), Some(1), "{}", process.log());
    let name = route["metadata"]["name"].as_str().unwrap();
    let refusal = format!(
        "refusing to start with --only-routes: the Go controller (field manager \"manager\") writes the VirtualServices of \
         Workspaces, or did until now: 1 of them, the first is default/{name}. Two controllers must not write the same routes. \
         Switch its own off: USE_ISTIO=false in its environment (its manifests take it from the ConfigMap \
         kubeflow-workspaces-istio-config), or its flag --use-istio=false. Those that it has made stay, and go on routing. Once \
         it has been restarted, start this one with --take-over-routes: they are kept as they are, and followed from then on; \
         exiting, so that the process is restarted"
    );
    assert_eq!(logged(&process, &["WARN", "ERROR"]), [refusal]);

    install(cluster, site, "upgrade", "routes", &["settings.onlyRoutes=true", "settings.takeOverRoutes=true"]);
    let mut process = start(cluster, ROUTES, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    // Of the two, the one that it made before.
    wait_for(cluster, &mut process, "the second route to go", || {
        let routes = cluster.api().get(VIRTUAL_SERVICES).unwrap().json();
        if routes["items"].as_array().unwrap().len() == 1 { Ok(()) } else { Err(routes.to_string()) }
    });
    has_enough_rights(cluster, &process, ROUTES);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}
