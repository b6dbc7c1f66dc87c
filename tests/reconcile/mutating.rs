//! A mutating webhook, as policy engines register them, and what it changes about children.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certs::{Ca, SubjectAltName};
use cluster::{ClusterOptions, Reply};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use workspaces_controller::config::Listen;
use workspaces_controller::metrics::Metrics;
use workspaces_controller::serve::{Drain, Server, ServerLimits, bind};
use workspaces_controller::tls;

use crate::process::Loop;
use crate::world::{Child, WorkspaceHandle, World, condition, control_plane};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// The webhook; it ends with this value, and its registration stays behind.
struct Mutating {
    _runtime: Runtime,
    _certificates: tempfile::TempDir,
}

impl Mutating {
    /// Changes StatefulSets and VirtualServices of the namespace by the JSON patch that `patch` answers for each.
    fn start(world: &World, operations: &[&str], patch: fn(&Value) -> Value) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let certificates = tempfile::tempdir().unwrap();
        let ca = Ca::issue("mutating", SystemTime::now(), Duration::from_hours(1)).unwrap();
        let names = [SubjectAltName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        let leaf = ca.issue_leaf(&names, SystemTime::now(), Duration::from_hours(1)).unwrap();
        std::fs::write(certificates.path().join("tls.crt"), &leaf.chain_pem).unwrap();
        std::fs::write(certificates.path().join("tls.key"), &leaf.key_pem).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let metrics = Arc::new(Metrics::new());
        let mut certificate = tls::files::certificate(certificates.path(), Arc::clone(&metrics));
        certificate.poll();
        let (listener, address) = bind(Listen { host: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 0 }).unwrap();
        let answer = async move |body: Bytes| {
            let review: Value = serde_json::from_slice(&body).unwrap();
            ([(CONTENT_TYPE, "application/json")], answer(&review["request"], patch).to_string())
        };
        let server = Server {
            name: "mutating",
            listener,
            tls: Some(certificate.server_config().unwrap()),
            router: Router::new().fallback(post(answer)),
            limits: ServerLimits::default(),
            metrics,
            drain: Drain::default(),
        };
        runtime.spawn(server.run());
        register(world, operations, &format!("https://{address}/"), &ca.cert_pem());
        Self { _runtime: runtime, _certificates: certificates }
    }
}

fn answer(request: &Value, patch: fn(&Value) -> Value) -> Value {
    let patch = STANDARD.encode(patch(&request["object"]).to_string());
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch,
    }})
}

fn register(world: &World, operations: &[&str], url: &str, ca: &str) {
    let rule = |group: &str, version: &str, resource: &str| {
        json!({
            "apiGroups": [group], "apiVersions": [version], "resources": [resource],
            "operations": operations, "scope": "Namespaced",
        })
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": world.namespace},
        "webhooks": [{
            "name": "mutating.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url, "caBundle": STANDARD.encode(ca)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "rules": [
                rule("apps", "v1", "statefulsets"),
                rule("networking.istio.io", "v1", "virtualservices"),
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
        }],
    });
    world.cluster.api().create(CONFIGURATIONS, &configuration).and_then(Reply::ok).unwrap();
    // The API server learns of it a little later.
    let probe = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "is-it-asked"},
        "spec": {"hosts": ["probe.example.com"], "http": [{"headers": {"request": {"set": {}}}}]},
    });
    let path = format!("{}?dryRun=All", Child::VirtualService.collection(&world.namespace));
    world.wait("the webhook to be asked", || {
        let stored =
            world.cluster.api().create(&path, &probe).and_then(Reply::ok).map_err(|error| error.to_string())?;
        if stored["spec"] == probe["spec"] { Err(stored.to_string()) } else { Ok(()) }
    });
}

/// Takes images from a mirror and adds a sidecar; sends routes through a gateway of its own.
fn policy(object: &Value) -> Value {
    if object["kind"] == "VirtualService" {
        return json!([{"op": "add", "path": "/spec/gateways", "value": ["policy/gateway"]}]);
    }
    let containers = "/spec/template/spec/containers";
    let image = object.pointer(&format!("{containers}/0/image")).and_then(Value::as_str).unwrap_or_default();
    if image.starts_with("mirror.example.com/") {
        return json!([]);
    }
    json!([
        {"op": "add", "path": format!("{containers}/0/image"), "value": format!("mirror.example.com/{image}")},
        {"op": "add", "path": "/metadata/labels/policy", "value": "applied"},
    ])
}

/// What no policy engine should do: a line break gets into a header, beside ours and where the route is none of ours.
fn poison(object: &Value) -> Value {
    if object["kind"] == "VirtualService" {
        let theirs = json!({"match": [{"uri": {"regex": "/theirs/.*"}}], "route": [{
            "destination": {"host": "theirs"}, "headers": {"response": {"add": {"X-Theirs": "100%"}}},
        }]});
        return json!([
            {"op": "add", "path": "/spec/http/0/headers/request/set/X-Tenant", "value": "a\nb"},
            {"op": "add", "path": "/spec/http/1", "value": theirs},
        ]);
    }
    json!([])
}

fn ready_message(lab: &WorkspaceHandle<'_>) -> String {
    condition(&lab.get()["status"], "Ready")["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_a_mutating_webhook_changes_is_noted_and_never_fought_and_unsafe_headers_are_reported() {
    let cluster = control_plane(ClusterOptions::default());
    let [policed, poisoned, created] = ["policed", "poisoned", "created"].map(|name| World::on(cluster, name));
    let always = ["CREATE", "UPDATE"];
    let _policy = Mutating::start(&policed, &always, policy);
    let _poison = Mutating::start(&poisoned, &always, poison);
    let _policy_for_new_objects = Mutating::start(&created, &["CREATE"], policy);
    for world in [&policed, &poisoned, &created] {
        world.create_kind(|_| {});
    }
    let running = Loop::start(cluster, &[]);
    let (lab, bad, new) =
        (policed.create("lab", |_| {}), poisoned.create("lab", |_| {}), created.create("lab", |_| {}));
    lab.wait_running();
    new.wait_running();
    let (set, route) = (&lab.names.stateful_set, &lab.names.service);
    let noted = format!(
        "Workspace is running; a mutating webhook changed StatefulSet {set}: \
         spec.template.spec.containers[main].image; a mutating webhook changed VirtualService {route}: \
         spec.gateways[0]"
    );
    assert_eq!(ready_message(&lab), noted);
    let container = lab.child(Child::StatefulSet)["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["image"], "mirror.example.com/registry.example.com/small:1");

    let status = bad.wait_status("stored with an unsafe header", |status| {
        status["state"] == "Running" && condition(status, "RouteReady")["reason"] == "UnsafeHeader"
    });
    let route_ready = condition(&status, "RouteReady");
    assert_eq!(route_ready["status"], "False");
    let expected = format!(
        "VirtualService {} is stored otherwise than it was applied: spec.http[0].headers.request.set[X-Tenant]: \
         holds a value with a line break",
        bad.names.service
    );
    let message = route_ready["message"].as_str().unwrap();
    assert!(message.starts_with(&expected), "{route_ready}");
    assert!(message.contains("spec.http[1].route[0].headers.response.add[X-Theirs]: "), "{route_ready}");
    assert_eq!(running.metric("workspaces_unsafe_virtual_services_stored_total"), "1");

    // Something of the Workspace that needs no write of a child starts a reconcile of all children.
    let mark = policed.mark();
    policed.update_kind(|template| template["options"]["podConfig"]["values"][1]["spawner"]["hidden"] = json!(true));
    lab.patch(&json!({"displayName": "another name"}));
    lab.wait_running();
    let writes = policed.writes(mark).filter(|request| request.resource != "workspaces");
    assert!(writes.is_empty(), "{writes:?}");

    running.stop();
    let mark = policed.mark();
    let again = Loop::start(cluster, &[]);
    policed.wait("all to be reconciled", || {
        if again.reconciles() >= 3 { Ok(()) } else { Err(again.reconciles().to_string()) }
    });
    // A change afterwards shows that whatever the start had to write is written.
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "large"}}}));
    policed.wait("the new image", || {
        let image = lab.child(Child::StatefulSet)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        if image == "mirror.example.com/registry.example.com/large:1" { Ok(()) } else { Err(image.to_string()) }
    });
    lab.wait_running();
    lab.wait_restart_recorded();
    let writes = policed.writes(mark);
    for (child, count) in [(Child::StatefulSet, 2), (Child::Service, 1), (Child::VirtualService, 1)] {
        assert_eq!(writes.clone().resource(child.resource()).count(), count, "{child:?}\n{writes:?}");
    }
    assert_eq!(ready_message(&lab), noted);
    for world in [&poisoned, &created] {
        assert!(world.writes(mark).is_empty(), "{:?}", world.writes(mark));
    }
    again.stop();

    // A route that the webhook changed outlives a restart while its successor is refused.
    let route = lab.child(Child::VirtualService);
    policed.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["Content_Length"] = json!("3");
    });
    let running = Loop::start(cluster, &[]);
    lab.wait_status("without a route that is ready", |status| {
        condition(status, "RouteReady")["reason"] == "UnsafeHeader"
    });
    assert_eq!(lab.child(Child::VirtualService), route);
    running.stop();
}
