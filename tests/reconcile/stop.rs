//! Stopping always works: a pod is stopped, and started again, while its template cannot be stored.

use cluster::{Mark, Reply, Request, Requests};
use serde_json::{Value, json};

use crate::process::{Loop, USER};
use crate::world::{Child, TIMEOUT, WorkspaceHandle, World, condition, control_plane_with_rules, replace_rules, rule};

const FIELD_MANAGER: &str = "workspaces-controller";

/// A probe that Kubernetes refuses in the template of a StatefulSet, and in a pod.
fn refused_probe(template: &mut Value) {
    let both = json!({"httpGet": {"port": 8888}, "tcpSocket": {"port": 8888}});
    template["probes"] = json!({"livenessProbe": both});
}

/// What the status says of the refusal.
fn refusal(lab: &WorkspaceHandle<'_>) -> String {
    let name = &lab.names.stateful_set;
    format!(
        "Workspace StatefulSet {name} was refused: StatefulSet.apps \"{name}\" is invalid: \
         spec.template.spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"
    )
}

fn is_refused(status: &Value, message: &str) -> bool {
    let ready = condition(status, "Ready");
    ready["reason"] == "Refused" && ready["message"] == message
}

/// Starts a reconcile of all children and waits for it: a field of another child is restored.
fn reconcile_all(lab: &WorkspaceHandle<'_>) {
    let selector = |value: &str| json!({"spec": {"selector": {"statefulset": value}}});
    lab.patch_child(Child::Service, &selector("other"));
    lab.world.wait("the Service to be restored", || {
        let service = lab.child(Child::Service);
        if service["spec"]["selector"]["statefulset"] == "lab" { Ok(()) } else { Err(service.to_string()) }
    });
}

/// The requests of the loop that were to change the scale of the StatefulSet.
fn scalings(world: &World, since: Mark) -> Requests {
    let is_scale = |request: &Request| request.resource == "statefulsets" && request.subresource == "scale";
    world.cluster.audit().since(since).unwrap().by(USER).namespace(&world.namespace).writes().filter(is_scale)
}

/// The accepted writes of the StatefulSet itself.
fn applies(world: &World, since: Mark) -> Requests {
    world.writes(since).accepted().resource("statefulsets")
}

/// Operation and subresource of the entries of ours in `managedFields` that hold the replicas.
fn owners_of_replicas(set: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = set["metadata"]["managedFields"].as_array().unwrap().iter();
    let holding = entries.filter(|entry| entry["fieldsV1"]["f:spec"].get("f:replicas").is_some());
    let ours = holding.inspect(|entry| assert_eq!(entry["manager"], FIELD_MANAGER, "{entry}"));
    ours.map(|entry| (text(&entry["operation"]), text(&entry["subresource"]))).collect()
}

fn uid_of_pod(lab: &WorkspaceHandle<'_>) -> Value {
    lab.world.get(&lab.pod_path())["metadata"]["uid"].clone()
}

#[test]
fn a_pod_stops_and_starts_on_the_old_template_while_the_new_one_is_refused() {
    let world = World::new("stop", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let (old, pod) = (lab.child(Child::StatefulSet), uid_of_pod(&lab));
    let start = world.mark();
    world.update_kind(refused_probe);
    let refusal = refusal(&lab);
    let status = lab.wait_status("refused", |status| is_refused(status, &refusal));
    assert_eq!(status["state"], "Running", "the state of the pod is reported: {status}");
    assert_eq!(uid_of_pod(&lab), pod);
    assert!(scalings(&world, start).is_empty(), "{:?}", scalings(&world, start));

    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert!(is_refused(&status, &refusal), "{status}");
    assert_eq!(status["stateMessage"], "Workspace is paused");
    assert!(world.find(&lab.pod_path()).is_none());
    reconcile_all(&lab);
    assert_eq!(scalings(&world, start).count(), 1, "{:?}", scalings(&world, start));

    // Replicas are ours also now.
    lab.patch_child(Child::StatefulSet, &json!({"spec": {"replicas": 1}}));
    world.wait("the replicas to be restored", || {
        let set = lab.child(Child::StatefulSet);
        if set["spec"]["replicas"] == 0 { Ok(()) } else { Err(set.to_string()) }
    });
    lab.wait_state("Paused");
    assert_eq!(scalings(&world, start).count(), 2, "{:?}", scalings(&world, start));

    lab.patch(&json!({"paused": false}));
    let status = lab.wait_state("Running");
    assert!(is_refused(&status, &refusal), "{status}");
    let set = lab.child(Child::StatefulSet);
    assert_eq!(set["spec"], old["spec"]);
    assert_eq!(set["metadata"]["annotations"], old["metadata"]["annotations"]);
    reconcile_all(&lab);
    assert_eq!(scalings(&world, start).accepted().count(), 3, "{:?}", scalings(&world, start));
    assert!(applies(&world, start).is_empty(), "{:?}", applies(&world, start));

    // The template that was stored all the time, wanted again: it is applied, because the replicas were not ours alone.
    let repaired = world.mark();
    world.update_kind(|template| template["probes"] = json!({}));
    lab.wait_running();
    reconcile_all(&lab);
    assert_eq!(applies(&world, repaired).count(), 1, "{:?}", applies(&world, repaired));
    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert_eq!(condition(&status, "Ready")["status"], "True", "{status}");
    assert_eq!(applies(&world, repaired).count(), 2, "{:?}", applies(&world, repaired));
    assert!(scalings(&world, repaired).is_empty(), "{:?}", scalings(&world, repaired));
    let owners = owners_of_replicas(&lab.child(Child::StatefulSet));
    assert_eq!(owners, [("Apply".to_owned(), String::new())]);
}

#[test]
fn a_workspace_whose_stateful_set_never_existed_is_paused_and_nothing_is_scaled() {
    let world = World::new("never", refused_probe);
    let mark = world.mark();
    let lab = world.create("lab", |spec| spec["paused"] = json!(true));
    let refusal = refusal(&lab);
    let status = lab.wait_state("Paused");
    assert!(is_refused(&status, &refusal), "{status}");
    lab.patch(&json!({"paused": false}));
    let status = lab.wait_state("Error");
    assert_eq!(status["stateMessage"], json!(refusal));
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    assert!(scalings(&world, mark).is_empty(), "{:?}", scalings(&world, mark));
    assert!(lab.find_child(Child::StatefulSet).is_none());
}

#[test]
fn a_pod_stops_while_its_template_is_too_large() {
    let world = World::new("large", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let mark = world.mark();
    world.update_kind(|template| {
        let variable = |number| json!({"name": format!("V{number}"), "value": "{{ printf \"%60000d\" 1 }}"});
        template["extraEnv"] = (0..30).map(variable).collect();
    });
    lab.wait_status("too large", |status| condition(status, "Ready")["reason"] == "TooLarge");
    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert_eq!(condition(&status, "Ready")["reason"], "TooLarge");
    lab.patch(&json!({"paused": false}));
    lab.wait_state("Running");
    assert_eq!(scalings(&world, mark).accepted().count(), 2, "{:?}", scalings(&world, mark));
}

/// Nothing is rendered then, so there is nothing to start; stopping needs no template.
#[test]
fn a_pod_stops_while_nothing_can_be_rendered() {
    let world = World::new("unrendered", |_| {});
    let (lab, other) = (world.create("lab", |_| {}), world.create("other", |_| {}));
    lab.wait_running();
    other.wait_running();
    let mark = world.mark();
    world.update_kind(|template| {
        let options = &mut template["options"]["imageConfig"];
        options["values"].as_array_mut().unwrap().remove(0);
        options["spawner"]["default"] = json!("large");
    });
    let message = "Workspace has invalid imageConfig: imageConfig with id \"small\" not found";
    lab.wait_status("invalid", |status| status["stateMessage"] == message);
    lab.patch(&json!({"paused": true}));
    let status = lab.wait_state("Paused");
    assert_eq!(condition(&status, "Ready")["message"], message);
    world.remove_kind();
    let message = format!("Workspace references unknown WorkspaceKind: {}", world.kind);
    other.wait_status("without its kind", |status| status["stateMessage"] == json!(message));
    other.patch(&json!({"paused": true}));
    let status = other.wait_state("Paused");
    assert_eq!(condition(&status, "Ready")["message"], json!(message));
    assert!(world.find(&other.pod_path()).is_none());
    let scalings = scalings(&world, mark);
    assert_eq!(scalings.count(), 2, "{scalings:?}");
    assert!(applies(&world, mark).is_empty(), "{:?}", applies(&world, mark));
}

/// Refuses every change of a StatefulSet in the namespace, and waits until it does.
fn refuse_by_policy(lab: &WorkspaceHandle<'_>) {
    let api = lab.world.cluster.api();
    let validation = json!({"expression": "false", "message": "images come from the mirror"});
    lab.world.refuse(Child::StatefulSet, &["UPDATE"], &validation);
    let path = format!("{}?dryRun=All", lab.child_path(Child::StatefulSet));
    lab.world.wait("the policy to be in force", || {
        let reply = api.merge_patch(&path, &json!({"metadata": {"labels": {"asked": "yes"}}})).unwrap();
        if reply.status == 422 { Ok(()) } else { Err(reply.body) }
    });
}

/// A policy engine that is down refuses nothing and lets nothing pass.
#[test]
fn a_pod_stops_while_a_webhook_for_stateful_sets_cannot_be_reached() {
    let world = World::new("webhook-down", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let api = world.cluster.api();
    let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": world.namespace},
        "webhooks": [{
            "name": "down.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            // Nothing listens there.
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["statefulsets"], "operations": ["UPDATE"]}],
            "failurePolicy": "Fail",
        }],
    });
    api.create(configurations, &configuration).and_then(Reply::ok).unwrap();
    let path = format!("{}?dryRun=All", lab.child_path(Child::StatefulSet));
    world.wait("the webhook to be asked", || {
        let reply = api.merge_patch(&path, &json!({"metadata": {"labels": {"asked": "yes"}}})).unwrap();
        if reply.status == 500 { Ok(()) } else { Err(reply.body) }
    });
    let mark = world.mark();
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    let words = format!(
        "Workspace StatefulSet {} could not be written: Internal error occurred: failed calling webhook \"down.example.com\"",
        lab.names.stateful_set
    );
    lab.wait_status("unreachable", |status| {
        let ready = condition(status, "Ready");
        ready["reason"] == "Unreachable" && ready["message"].as_str().is_some_and(|text| text.starts_with(&words))
    });
    assert_eq!(scalings(&world, mark).count(), 1, "{:?}", scalings(&world, mark));
    assert!(applies(&world, mark).is_empty(), "{:?}", applies(&world, mark));
    api.delete(&format!("{configurations}/{}", world.namespace)).and_then(Reply::ok).unwrap();
    lab.wait_status("Ready", |status| condition(status, "Ready")["status"] == "True");
    assert_eq!(lab.get()["status"]["state"], "Paused");
}

/// The right that an older ClusterRole does not have, and the policy of an administrator.
#[test]
fn a_policy_on_stateful_sets_does_not_keep_a_pod_running_but_a_missing_right_does_and_is_named() {
    let all_of = |group: &str, resources: &[&str]| rule(group, resources, &["*"]);
    let mut rules = vec![
        all_of("kubeflow.org", &["workspacekinds", "workspaces", "workspaces/status", "workspaces/finalizers"]),
        all_of("", &["serviceaccounts", "services", "pods"]),
        all_of("apps", &["statefulsets"]),
        all_of("networking.istio.io", &["virtualservices"]),
    ];
    let cluster = control_plane_with_rules(&rules);
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "policy");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    refuse_by_policy(&lab);
    let mark = world.mark();
    lab.patch(&json!({"paused": true}));
    let name = &lab.names.stateful_set;
    let by_policy = format!(
        "StatefulSet {name} was refused: statefulsets.apps \"{name}\" is forbidden: ValidatingAdmissionPolicy '{0}' with \
         binding '{0}' denied request: images come from the mirror",
        world.namespace
    );
    let by_role = format!(
        "StatefulSet/scale {name} was refused: statefulsets.apps \"{name}\" is forbidden: User \"{USER}\" cannot patch \
         resource \"statefulsets/scale\" in API group \"apps\" in the namespace \"{}\"",
        world.namespace
    );
    let status = lab.wait_status("refused", |status| condition(status, "Ready")["reason"] == "Refused");
    assert_eq!(condition(&status, "Ready")["message"], json!(format!("Workspace {by_role}; {by_policy}")));
    assert_eq!(status["state"], "Running");
    reconcile_all(&lab);

    rules.push(rule("apps", &["statefulsets/scale"], &["patch"]));
    replace_rules(cluster, &rules);
    let status = lab.wait_state("Paused");
    assert!(is_refused(&status, &format!("Workspace {by_policy}")), "{status}");
    assert!(world.find(&lab.pod_path()).is_none());
    assert_eq!(scalings(&world, mark).accepted().count(), 1, "{:?}", scalings(&world, mark));
    running.stop();
}

/// The path of the running pod has to stay, so the route is read before it is written: nothing but the route waits for that.
#[test]
fn a_pod_stops_while_its_route_cannot_be_read() {
    let rules = |verbs: &[&str]| {
        [
            rule("kubeflow.org", &["*"], &["*"]),
            rule("", &["serviceaccounts", "services", "pods", "events"], &["*"]),
            rule("apps", &["*"], &["*"]),
            rule("networking.istio.io", &["virtualservices"], verbs),
        ]
    };
    let proxy = |template: &mut Value, removes: bool, version: &str| {
        template["extraEnv"] = json!([{"name": "VERSION", "value": version}]);
        template["ports"][0]["httpProxy"] = json!({"removePathPrefix": removes});
    };
    let cluster = control_plane_with_rules(&rules(&["*"]));
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "unread");
    world.create_kind(|template| proxy(template, false, "1"));
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    replace_rules(cluster, &rules(&["list", "watch", "create", "patch", "delete"]));
    let refused = cluster.wait_for("the right to be gone", TIMEOUT, || {
        let reply = cluster.api_as(USER).unwrap().get(&lab.child_path(Child::VirtualService)).unwrap();
        if reply.status == 403 { Ok(()) } else { Err(reply.status) }
    });
    refused.unwrap();
    world.update_kind(|template| proxy(template, true, "2"));
    let status = lab.wait_status("refused", |status| condition(status, "RouteReady")["status"] == "False");
    let message = condition(&status, "RouteReady")["message"].to_string();
    assert!(message.contains("cannot get resource"), "{message}");
    world.wait("the template to follow all the same", || {
        let env = lab.child(Child::StatefulSet)["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        if env[0]["value"] == "2" { Ok(()) } else { Err(env.to_string()) }
    });
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    running.stop();
}
