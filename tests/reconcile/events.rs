//! Events: each transition is one, and nothing else is.

use cluster::{ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::process::{Loop, USER};
use crate::world::{Child, WorkspaceHandle, World, control_plane};

/// The Events about an object in the order of their times, without what differs in each: their names and times.
fn events_about(world: &World, namespace: &str, uid: &str) -> Vec<Value> {
    let all = world.get(&format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
    // Their names end with the time.
    let all = all["items"].as_array().unwrap().iter();
    let about = all.filter(|event| event["regarding"]["uid"] == uid);
    let parts = about.map(|event| {
        let mut event = event.clone();
        assert!(event["eventTime"].as_str().unwrap().contains('.'), "microseconds: {event}");
        let fields = event.as_object_mut().unwrap();
        for field in ["apiVersion", "kind", "metadata", "eventTime"] {
            fields.remove(field);
        }
        // Those of before that API group.
        fields.retain(|field, _| !field.starts_with("deprecated"));
        event
    });
    parts.collect()
}

pub fn events(lab: &WorkspaceHandle<'_>) -> Vec<Value> {
    events_about(lab.world, &lab.world.namespace, &lab.uid)
}

/// Those about the kind, which has no namespace.
pub fn kind_events(world: &World) -> Vec<Value> {
    events_about(world, "default", world.get(&world.kind_path())["metadata"]["uid"].as_str().unwrap())
}

pub fn wait_kind_events(world: &World, count: usize) -> Vec<Value> {
    world.wait(&format!("{count} Events about the kind"), || {
        let events = kind_events(world);
        if events.len() == count { Ok(events) } else { Err(format!("{events:?}")) }
    })
}

pub fn wait_events(lab: &WorkspaceHandle<'_>, count: usize) -> Vec<Value> {
    lab.world.wait(&format!("{count} Events about {}", lab.name), || {
        let events = events(lab);
        if events.len() == count { Ok(events) } else { Err(format!("{events:?}")) }
    })
}

pub fn event(lab: &WorkspaceHandle<'_>, type_: &str, reason: &str, action: &str, note: &str) -> Value {
    let regarding = json!({
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "namespace": lab.world.namespace, "name": lab.name,
        "uid": lab.uid,
    });
    event_about(&regarding, type_, reason, action, note)
}

pub fn kind_event(world: &World, type_: &str, reason: &str, note: &str) -> Value {
    let kind = world.get(&world.kind_path());
    let regarding = json!({
        "apiVersion": "kubeflow.org/v1beta1", "kind": "WorkspaceKind", "name": world.kind, "uid": kind["metadata"]["uid"],
    });
    event_about(&regarding, type_, reason, "Validate", note)
}

fn event_about(regarding: &Value, type_: &str, reason: &str, action: &str, note: &str) -> Value {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    json!({
        "regarding": regarding,
        "reportingController": "workspaces-controller",
        "reportingInstance": format!("workspaces-controller-{}", host.trim()),
        "type": type_, "reason": reason, "action": action, "note": note,
    })
}

/// The user changes something that no child depends on, so that it is reconciled once more.
fn edit(lab: &WorkspaceHandle<'_>) {
    lab.patch(&json!({"deferUpdates": true}));
    lab.wait_status("reconciled again", |_| true);
}

#[test]
fn a_restart_says_whose_doing_it_was() {
    let world = World::new("event-restart", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    assert_eq!(events(&lab), Vec::<Value>::new(), "a start that goes well");
    lab.patch(&json!({"podTemplate": {"podMetadata": {"labels": {"edited": "yes"}}}}));
    let seen = wait_events(&lab, 1);
    let note = format!(
        "Deleted Pod {}, for its StatefulSet to make a new one: its user changed the Workspace",
        lab.names.pod()
    );
    assert_eq!(seen, [event(&lab, "Normal", "Restarted", "Restart", &note)]);
    lab.wait_running();
    edit(&lab);
    assert_eq!(events(&lab), seen);
    let described = world.cluster.kubectl(&["describe", "workspace", "lab", "--namespace", &world.namespace]).unwrap();
    let line =
        described.stdout.lines().find(|line| line.contains("Restarted")).unwrap_or_else(|| panic!("{described:?}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[0], words[1], words[3]), ("Normal", "Restarted", "workspaces-controller"), "{line}");
    assert!(line.ends_with(&note), "{line}");
}

#[test]
fn what_stalls_a_workspace_is_reported_once() {
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "event-stalled");
    let stranded = world.create("stranded", |_| {});
    let missing = format!("Workspace references unknown WorkspaceKind: {}", world.kind);
    let missing = [event(&stranded, "Warning", "Stalled", "Reconcile", &missing)];
    assert_eq!(wait_events(&stranded, 1), missing);

    world.create_kind(|_| {});
    stranded.wait_running();
    let accounts = Child::ServiceAccount.collection(&world.namespace);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ws-lab"}});
    world.cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    let lab = world.create("lab", |_| {});
    let foreign = "Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace";
    let foreign = [event(&lab, "Warning", "Stalled", "Reconcile", foreign)];
    assert_eq!(wait_events(&lab, 1), foreign);

    edit(&stranded);
    edit(&lab);
    let mark = world.mark();
    running.stop();
    let running = Loop::start(world.cluster, &[]);
    world.wait("a reconcile of each", || {
        let count = running.reconciles();
        if count >= 2 { Ok(()) } else { Err(count.to_string()) }
    });
    lab.patch(&json!({"deferUpdates": false}));
    lab.wait_status("reconciled by the new process", |_| true);
    let written = world.cluster.audit().since(mark).unwrap().by(USER).resource("events").writes();
    assert!(written.is_empty(), "{written:?}");
    assert_eq!(events(&stranded), missing);
    assert_eq!(events(&lab), foreign);
    running.stop();
}

/// As that of the Go controller: no write of the status shows it.
#[test]
fn a_refused_child_is_reported_also_where_the_crd_keeps_no_conditions() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "unconditional");
    world.drop_conditions("Workspace");
    world.exhaust_quota(Child::Service);
    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    let service = &lab.names.service;
    let refused = format!(
        "Workspace Service {service} was refused: services \"{service}\" is forbidden: exceeded quota: none, requested: \
         count/services=1, used: count/services=0, limited: count/services=0"
    );
    let refused = [event(&lab, "Warning", "Stalled", "Reconcile", &refused)];
    assert_eq!(wait_events(&lab, 1), refused);
    // Tried once more.
    let before = running.reconciles();
    lab.patch(&json!({"deferUpdates": true}));
    world.wait("one more reconcile", || {
        let count = running.reconciles();
        if count > before { Ok(()) } else { Err(count.to_string()) }
    });
    assert_eq!(events(&lab), refused);
    running.stop();
}
