//! What the API server refuses of each child, and who refused it, stands word for word in the status, as kubectl shows it; the
//! state of the pod is reported all the same.

use cluster::{ClusterOptions, Reply, Server, Signal};
use serde_json::{Value, json};
use workspaces_controller::render::names;

use crate::events::{event, wait_events};
use crate::process::{Loop, USER};
use crate::world::{
    CHILDREN, Child, WorkspaceHandle, World, condition, control_plane, control_plane_with_rules, grant, replace_rules,
    rule,
};

/// What a status says about a child that is refused: the state, and each condition with its reason.
struct Shown {
    state: &'static str,
    ready: &'static str,
    available: &'static str,
    route_ready: &'static str,
}

/// For a Workspace that is new, and has nothing of the child.
fn shown_without(child: Child) -> Shown {
    match child {
        Child::ServiceAccount | Child::StatefulSet => {
            Shown { state: "Error", ready: "False Refused", available: "False Refused", route_ready: "True Routed" }
        }
        Child::RoleBinding => {
            Shown { state: "Running", ready: "False Refused", available: "True Available", route_ready: "True Routed" }
        }
        // The route leads nowhere.
        Child::Service => Shown {
            state: "Running",
            ready: "False Refused",
            available: "False ServiceNotReady",
            route_ready: "True Routed",
        },
        Child::VirtualService => Shown {
            state: "Running",
            ready: "False RouteNotReady",
            available: "False RouteNotReady",
            route_ready: "False Refused",
        },
    }
}

/// Waits until the status is that of a Workspace whose child is refused with this message, and nothing more is expected of it.
fn wait_refused(lab: &WorkspaceHandle<'_>, child: Child, shown: &Shown, why: &str) {
    let message = format!("Workspace {child:?} {} was refused: {why}", lab.child_name(child));
    let holds = |status: &Value, type_: &str| {
        let condition = condition(status, type_);
        format!(
            "{} {}",
            condition["status"].as_str().unwrap_or_default(),
            condition["reason"].as_str().unwrap_or_default()
        )
    };
    let status = lab.wait_status(&message, |status| {
        status["state"] == shown.state && condition(status, "Stalled")["message"] == json!(message)
    });
    let found = ["Ready", "Available", "RouteReady", "Stalled"].map(|type_| holds(&status, type_));
    assert_eq!(found, [shown.ready, shown.available, shown.route_ready, "True Refused"], "{child:?} {status}");
    assert_eq!(condition(&status, "Ready")["message"], json!(message));
    let text = if shown.state == "Error" { message.as_str() } else { "Workspace is running" };
    assert_eq!(status["stateMessage"], text, "{child:?}");
    // The beginning of a line as kubectl prints it.
    let described =
        lab.world.cluster.kubectl(&["describe", "workspace", &lab.name, "-n", &lab.world.namespace]).unwrap();
    let printed = described.stdout.lines().filter(|line| line.contains(message.lines().next().unwrap()));
    let expected = if shown.state == "Error" { 4 } else { 2 };
    assert!(printed.count() >= expected, "{}", described.stdout);
}

/// A world for each child.
fn worlds(name: &str) -> [(Child, World); CHILDREN.len()] {
    CHILDREN.map(|child| {
        let name = format!("{name}-{}", child.resource());
        (child, World::new(&name, |template| grant(template, &["view"])))
    })
}

#[test]
fn a_quota_on_objects_is_quoted() {
    let worlds = worlds("quota");
    for (child, world) in &worlds {
        world.exhaust_quota(*child);
    }
    let labs = worlds.each_ref().map(|(child, world)| (*child, world.create("lab", |_| {})));
    for (child, lab) in &labs {
        let (resource, used) = (child.qualified(), i32::from(*child == Child::ServiceAccount));
        let why = format!(
            "{resource} \"{}\" is forbidden: exceeded quota: none, requested: count/{resource}=1, used: count/{resource}={used}, \
             limited: count/{resource}=0",
            lab.child_name(*child)
        );
        wait_refused(lab, *child, &shown_without(*child), &why);
    }
    for (_, lab) in &labs {
        let path = format!("/api/v1/namespaces/{}/resourcequotas/none", lab.world.namespace);
        lab.world.cluster.api().delete(&path).and_then(Reply::ok).unwrap();
        nudge(lab);
        lab.wait_running();
    }
}

/// As the webhooks of policy engines, and that of istiod.
#[test]
fn a_policy_of_somebody_else_is_quoted_and_named() {
    let worlds = worlds("policy");
    for (child, world) in &worlds {
        let validation = json!({"expression": "false", "message": format!("no {child:?} here, ask the platform team")});
        world.refuse(*child, &["CREATE"], &validation);
    }
    for (child, world) in &worlds {
        let probe = probe(*child);
        let path = format!("{}?dryRun=All", child.collection(&world.namespace));
        world.wait("the policy to be in force", || {
            let reply = world.cluster.api().create(&path, &probe).unwrap();
            if reply.status == 422 { Ok(()) } else { Err(reply.body) }
        });
    }
    let labs = worlds.each_ref().map(|(child, world)| (*child, world.create("lab", |_| {})));
    for (child, lab) in &labs {
        let why = format!(
            "{} \"{}\" is forbidden: ValidatingAdmissionPolicy '{2}' with binding '{2}' denied request: no {child:?} here, \
             ask the platform team",
            child.qualified(),
            lab.child_name(*child),
            lab.world.namespace
        );
        wait_refused(lab, *child, &shown_without(*child), &why);
        let note = format!("Workspace {child:?} {} was refused: {why}", lab.child_name(*child));
        assert_eq!(wait_events(lab, 1), [event(lab, "Warning", "Stalled", "Reconcile", &note)]);
    }
}

/// The pod runs on, on what is stored.
#[test]
fn a_pod_that_runs_is_reported_while_a_change_is_refused() {
    let worlds = [Child::StatefulSet, Child::Service, Child::VirtualService].map(|child| {
        let name = format!("change-{}", child.resource());
        (child, World::new(&name, |_| {}))
    });
    let labs = worlds.each_ref().map(|(child, world)| (*child, world.create("lab", |_| {})));
    for (child, lab) in &labs {
        lab.wait_running();
        let validation = json!({"expression": "false", "message": "no changes today"});
        lab.world.refuse(*child, &["UPDATE"], &validation);
        let path = format!("{}?dryRun=All", lab.child_path(*child));
        lab.world.wait("the policy to be in force", || {
            let change = json!({"metadata": {"labels": {"asked": "yes"}}});
            let reply = lab.world.cluster.api().merge_patch(&path, &change).unwrap();
            if reply.status == 422 { Ok(()) } else { Err(reply.body) }
        });
        lab.world.update_kind(|template| {
            template["extraEnv"] = json!([{"name": "NEW", "value": "x"}]);
            template["options"]["imageConfig"]["values"][0]["spec"]["ports"][0]["port"] = json!(9999);
        });
    }
    let (restart, running) = ("Workspace is running (a restart is pending)", "Workspace is running");
    for (child, lab) in &labs {
        let (message, ready, route_ready, available) = match child {
            Child::StatefulSet => (running, "Refused", "Routed", "Available"),
            Child::Service => (restart, "Refused", "Routed", "Available"),
            _ => (restart, "RouteNotReady", "Refused", "RouteNotReady"),
        };
        let name = lab.child_name(*child);
        let why = format!(
            "Workspace {child:?} {name} was refused: {} \"{name}\" is forbidden: ValidatingAdmissionPolicy '{1}' with binding \
             '{1}' denied request: no changes today",
            child.qualified(),
            lab.world.namespace
        );
        wait_refused_while(lab, "Running", &why);
        let status = lab.wait_status(message, |status| status["stateMessage"] == message);
        assert_eq!(condition(&status, "Ready")["reason"], ready, "{child:?}");
        assert_eq!(condition(&status, "RouteReady")["reason"], route_ready, "{child:?}");
        assert_eq!(condition(&status, "Available")["reason"], available, "{child:?}");
    }
}

/// An object that the API server would take.
fn probe(child: Child) -> Value {
    let labels = json!({"app": "probe"});
    let mut probe = json!({"metadata": {"name": "probe"}});
    match child {
        Child::ServiceAccount => {}
        Child::RoleBinding => {
            probe["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        }
        Child::StatefulSet => {
            let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
            probe["spec"] = json!({"selector": {"matchLabels": labels}, "serviceName": "", "template": pod});
        }
        Child::Service => probe["spec"] = json!({"ports": [{"port": 80}]}),
        Child::VirtualService => {
            probe["apiVersion"] = json!("networking.istio.io/v1");
            probe["kind"] = json!("VirtualService");
            probe["spec"] =
                json!({"hosts": ["probe.example.com"], "http": [{"route": [{"destination": {"host": "probe"}}]}]});
        }
    }
    probe
}

/// The rights on children that the chart grants.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// The rules of the chart as far as a Workspace needs them, without the right to write these children.
fn rules_without(children: &[Child]) -> Vec<Value> {
    let mut rules = vec![
        rule("kubeflow.org", &["workspacekinds", "workspaces"], &["get", "list", "watch", "patch"]),
        rule("kubeflow.org", &["workspaces/status", "workspacekinds/status"], &["patch"]),
        rule("", &["pods", "events"], &["list", "watch", "delete"]),
        rule("events.k8s.io", &["events"], &["create"]),
    ];
    for child in CHILDREN {
        let verbs = if children.contains(&child) { &["get", "list", "watch"] } else { &VERBS[..] };
        rules.push(rule(child.group(), &[child.resource()], verbs));
    }
    rules
}

/// A ClusterRole that grants something which the controller may not do itself.
fn create_reader(world: &World) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"},
        "rules": [rule("example.com", &["things"], &["get"])],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    world.cluster.api().create(path, &role).and_then(Reply::ok).unwrap();
}

/// The rights of the controller come one by one: the status names the next that is missing.
#[test]
fn each_right_that_is_missing_is_named() {
    // In the order in which they are reported: what the pod needs, what neither needs, the route.
    let order = [Child::ServiceAccount, Child::StatefulSet, Child::Service, Child::RoleBinding, Child::VirtualService];
    let cluster = control_plane_with_rules(&rules_without(&order));
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "rights");
    create_reader(&world);
    world.create_kind(|template| grant(template, &["reader"]));
    let lab = world.create("lab", |_| {});
    let name_of = |child| match child {
        Child::RoleBinding => names::role_binding("lab", "reader"),
        child => lab.child_name(child),
    };
    let refused = |child: Child, why: &str| {
        let (name, resource) = (name_of(child), child.qualified());
        format!("Workspace {child:?} {name} was refused: {resource} \"{name}\" is forbidden: {why}")
    };
    let bind = rule("rbac.authorization.k8s.io", &["clusterroles"], &["bind"]);
    let mut rules = Vec::new();
    for (granted, child) in order.into_iter().enumerate() {
        rules = rules_without(&order[granted..]);
        if child == Child::VirtualService {
            replace_rules(cluster, &rules);
            nudge(&lab);
            let why = format!(
                "user \"{USER}\" (groups=[\"\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                 {{APIGroups:[\"example.com\"], Resources:[\"things\"], Verbs:[\"get\"]}}"
            );
            let message = refused(Child::RoleBinding, &why);
            wait_refused_while(&lab, "Running", &message);
            // The second line as it is.
            let described = cluster.kubectl(&["describe", "workspace", "lab", "-n", &world.namespace]).unwrap();
            assert!(described.stdout.contains(&format!("  {message}\n")), "{}", described.stdout);
            rules.push(bind.clone());
        }
        replace_rules(cluster, &rules);
        nudge(&lab);
        let why = format!(
            "User \"{USER}\" cannot patch resource \"{}\" in API group \"{}\" in the namespace \"{}\"",
            child.resource(),
            child.group(),
            world.namespace
        );
        let has_pod = !matches!(child, Child::ServiceAccount | Child::StatefulSet);
        wait_refused_while(&lab, if has_pod { "Running" } else { "Error" }, &refused(child, &why));
    }
    rules.push(rule(Child::VirtualService.group(), &["virtualservices"], &VERBS));
    replace_rules(cluster, &rules);
    nudge(&lab);
    lab.wait_running();
    running.stop();
}

/// Starts a reconcile at once: after refusals the pauses get longer.
fn nudge(lab: &WorkspaceHandle<'_>) {
    let generation = lab.get()["metadata"]["generation"].clone();
    lab.patch(&json!({"displayName": format!("after {generation}")}));
}

fn wait_refused_while(lab: &WorkspaceHandle<'_>, state: &str, message: &str) -> Value {
    lab.wait_status(message, |status| status["state"] == state && condition(status, "Ready")["message"] == message)
}

/// Nothing can be created in a namespace that is being deleted, which lasts as long as the namespace controller needs.
#[test]
fn a_namespace_that_is_being_deleted_is_named_and_goes() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "terminating");
    world.create_kind(|_| {});
    let running = Loop::start(cluster, &[]);
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    cluster.signal_server(Server::KubeControllerManager, Signal::STOP).unwrap();
    let namespace = format!("/api/v1/namespaces/{}", world.namespace);
    cluster.api().delete(&namespace).and_then(Reply::ok).unwrap();
    cluster.api().delete(&lab.child_path(Child::Service)).and_then(Reply::ok).unwrap();
    let name = lab.child_name(Child::Service);
    let message = format!(
        "Workspace Service {name} was refused: services \"{name}\" is forbidden: unable to create new content in namespace {} \
         because it is being terminated",
        world.namespace
    );
    let status = wait_refused_while(&lab, "Running", &message);
    let available = condition(&status, "Available");
    assert_eq!((&available["status"], &available["reason"]), (&json!("False"), &json!("ServiceNotReady")));
    cluster.signal_server(Server::KubeControllerManager, Signal::CONT).unwrap();
    world.wait("the namespace to go", || world.find(&namespace).map_or(Ok(()), |found| Err(found.to_string())));
    running.stop();
}
