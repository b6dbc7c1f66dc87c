//! What other clients do to our children again and again: it is undone soon, in one write each, and never in more than two
//! writes a second.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use cluster::{ADMIN, ClusterOptions, Mark, Reply, Request, Requests, report};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::events::{event, wait_events};
use crate::process::{Loop, USER};
use crate::world::{CHILDREN, Child, WorkspaceHandle, World, control_plane, grant};

/// How soon what is ours is put back.
const RESTORED_WITHIN: SignedDuration = SignedDuration::from_secs(1);

/// Changes the hosts of a route as another client.
fn change_hosts(lab: &WorkspaceHandle<'_>, number: usize) {
    lab.patch_child(Child::VirtualService, &json!({"spec": {"hosts": [format!("{number}.example.com")]}}));
}

fn wait_our_hosts(lab: &WorkspaceHandle<'_>) {
    lab.world.wait("our hosts", || {
        let hosts = lab.child(Child::VirtualService)["spec"]["hosts"].clone();
        if hosts == json!(["*"]) { Ok(()) } else { Err(hosts.to_string()) }
    });
}

/// The writes of a kind of child in the namespace, of ours and of the other client.
fn writes_of_both(world: &World, mark: Mark, child: Child) -> Requests {
    let all = world.cluster.audit().since(mark).unwrap().namespace(&world.namespace);
    all.resource(child.resource()).writes().accepted().filter(|request| [ADMIN, USER].contains(&&*request.user))
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// How long after each write of the other client ours was answered. They take turns.
fn restores(writes: &[&Request]) -> Vec<SignedDuration> {
    let turns = writes.chunks(2).map(|turn| {
        let users: Vec<&str> = turn.iter().map(|request| &*request.user).collect();
        assert_eq!(users, [ADMIN, USER], "{writes:#?}");
        at(&turn[1].answered).duration_since(at(&turn[0].answered))
    });
    turns.collect()
}

/// W5. Ours goes out at most twice a second, which is why several routes are edited at the same time: two hundred times one
/// would take 100 s.
#[test]
fn what_another_client_does_to_a_child_is_undone_within_a_second_in_one_write() {
    const ROUTES: usize = 5;
    const EDITS: usize = 40;
    let world = World::new("edits", |template| grant(template, &["view"]));
    let labs: Vec<_> = (0..ROUTES).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    for lab in &labs {
        lab.wait_running();
    }
    let mark = world.mark();
    thread::scope(|scope| {
        for lab in &labs {
            // Each edit as soon as the one before is undone.
            scope.spawn(|| {
                for number in 0..EDITS {
                    change_hosts(lab, number);
                    wait_our_hosts(lab);
                }
            });
        }
    });
    let writes = writes_of_both(&world, mark, Child::VirtualService);
    let mut slowest = SignedDuration::ZERO;
    for lab in &labs {
        let of_route: Vec<&Request> = writes.0.iter().filter(|request| request.name == lab.names.service).collect();
        let restores = restores(&of_route);
        assert_eq!(restores.len(), EDITS, "{writes:?}");
        slowest = restores.into_iter().chain([slowest]).max().unwrap();
    }
    let ours = writes.by(USER).count();
    let figure = format!("{} ms, {ours} writes", slowest.as_millis());
    let pass = slowest < RESTORED_WITHIN && ours == ROUTES * EDITS;
    report("W5", pass, figure, format!("1000 ms, {} writes: edits of routes undone", ROUTES * EDITS));
    assert!(pass, "{slowest:?}, {ours} writes");
    deleted_children_come_back(&world, &labs[0]);
}

/// The pod of a deleted set goes with it, and that of the new one takes its place.
fn deleted_children_come_back(world: &World, lab: &WorkspaceHandle<'_>) {
    let mut slowest = SignedDuration::ZERO;
    for child in CHILDREN {
        let path = lab.child_path(child);
        let before = lab.child(child)["metadata"]["uid"].clone();
        let pod = world.get(&lab.pod_path())["metadata"]["uid"].clone();
        let mark = world.mark();
        world.cluster.api().delete(&path).and_then(Reply::ok).unwrap();
        world.wait(&format!("{child:?} to come back"), || match world.find(&path) {
            Some(object) if object["metadata"]["uid"] != before => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if child == Child::StatefulSet {
            world.wait("another pod", || match world.find(&lab.pod_path()) {
                Some(other) if other["metadata"]["uid"] != pod => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        lab.wait_running();
        let other_pod = world.get(&lab.pod_path())["metadata"]["uid"] != pod;
        assert_eq!(other_pod, child == Child::StatefulSet, "{child:?}");
        let writes = world.writes(mark).filter(|request| request.resource != "workspaces");
        assert_eq!(writes.count(), 1, "{child:?}\n{writes:?}");
        let both = writes_of_both(world, mark, child);
        slowest = slowest.max(restores(&both.0.iter().collect::<Vec<_>>())[0]);
    }
    let pass = slowest < RESTORED_WITHIN;
    report("W5", pass, format!("{} ms", slowest.as_millis()), "1000 ms: deleted children made anew under their names");
    assert!(pass, "{slowest:?}");
}

/// Labels, annotations and fields of another client on a child, and where they are found in it.
fn theirs(child: Child) -> (Value, Vec<(&'static str, Value)>) {
    let mut patch = json!({"metadata": {"labels": {"theirs": "label"}, "annotations": {"theirs": "annotation"}}});
    let mut found =
        vec![("/metadata/labels/theirs", json!("label")), ("/metadata/annotations/theirs", json!("annotation"))];
    match child {
        Child::ServiceAccount => {
            patch["imagePullSecrets"] = json!([{"name": "theirs"}]);
            found.push(("/imagePullSecrets/0/name", json!("theirs")));
        }
        // All of its fields are ours.
        Child::RoleBinding => {}
        Child::StatefulSet => {
            patch["spec"] = json!({"minReadySeconds": 1});
            found.push(("/spec/minReadySeconds", json!(1)));
        }
        Child::Service => {
            let port =
                |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "TCP", "targetPort": port});
            patch["spec"] =
                json!({"sessionAffinity": "ClientIP", "ports": [port("http-8888", 8888), port("theirs", 9999)]});
            found.push(("/spec/sessionAffinity", json!("ClientIP")));
        }
        Child::VirtualService => {
            patch["spec"] = json!({"exportTo": ["."]});
            found.push(("/spec/exportTo", json!(["."])));
        }
    }
    (patch, found)
}

fn assert_theirs_are_kept(lab: &WorkspaceHandle<'_>) {
    for child in CHILDREN {
        let object = lab.child(child);
        for (pointer, value) in theirs(child).1 {
            assert_eq!(object.pointer(pointer), Some(&value), "{child:?} {object}");
        }
    }
    let service = lab.child(Child::Service);
    let has_port = service["spec"]["ports"].as_array().unwrap().iter().any(|port| port["name"] == "theirs");
    assert!(has_port, "{service}");
}

/// W6.
#[test]
fn what_others_add_to_our_children_stays_and_costs_nothing() {
    const RECONCILES: u64 = 100;
    const LABEL: &str = "notebooks.kubeflow.org/workspace-name";
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "theirs");
    world.create_kind(|template| grant(template, &["view"]));
    let lab = world.create("lab", |_| {});
    lab.wait_running();

    let mark = world.mark();
    for child in CHILDREN {
        lab.patch_child(child, &theirs(child).0);
    }
    let before = running.reconciles();
    for number in 0..RECONCILES {
        // A restart that is over already: nothing is to be done for it. And one more change of theirs.
        let at = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
        let restart = json!({"metadata": {"annotations": {"notebooks.kubeflow.org/restart-at": at.to_string()}}});
        cluster.api().merge_patch(&lab.path(), &restart).and_then(Reply::ok).unwrap();
        let child = CHILDREN[usize::try_from(number).unwrap() % CHILDREN.len()];
        lab.patch_child(child, &json!({"metadata": {"annotations": {"their-count": number.to_string()}}}));
        world.wait("one more reconcile", || {
            let count = running.reconciles();
            if count > before + number { Ok(()) } else { Err(count.to_string()) }
        });
    }
    running.stop();
    // One that knows nothing compares every field.
    let running = Loop::start(cluster, &[]);
    world.wait("a reconcile after the start", || {
        let count = running.reconciles();
        if count > 0 { Ok(()) } else { Err(count.to_string()) }
    });
    let writes = world.writes(mark);
    let figure = format!("{} writes", writes.count());
    report("W6", writes.is_empty(), figure, format!("0 writes: {RECONCILES} reconciles beside fields of others"));
    assert!(writes.is_empty(), "{writes:?}");
    assert_theirs_are_kept(&lab);

    let mark = world.mark();
    for child in CHILDREN {
        lab.patch_child(child, &json!({"metadata": {"labels": {LABEL: null}}}));
        world.wait(&format!("our label of {child:?}"), || {
            let object = lab.child(child);
            if object["metadata"]["labels"][LABEL] == "lab" { Ok(()) } else { Err(object.to_string()) }
        });
    }
    // A field of ours in the midst of theirs.
    lab.patch_child(Child::Service, &json!({"spec": {"selector": {"statefulset": null}}}));
    world.wait("our selector", || {
        let service = lab.child(Child::Service);
        if service["spec"]["selector"]["statefulset"] == "lab" { Ok(()) } else { Err(service.to_string()) }
    });
    let writes = world.writes(mark);
    let expected = CHILDREN.len() + 1;
    let figure = format!("{} writes", writes.count());
    report("W6", writes.count() == expected, figure, format!("{expected} writes: removed fields of ours put back"));
    assert_eq!(writes.count(), expected, "{writes:?}");
    assert_theirs_are_kept(&lab);
    an_edit_keeps_theirs(&world, &lab);
    running.stop();
}

/// Its user selects another image, with one more port.
fn an_edit_keeps_theirs(world: &World, lab: &WorkspaceHandle<'_>) {
    let mark = world.mark();
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "large"}}}));
    world.wait("the new image", || {
        let set = lab.child(Child::StatefulSet);
        let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
        if image == "registry.example.com/large:1" { Ok(()) } else { Err(set.to_string()) }
    });
    lab.wait_running();
    lab.wait_restart_recorded();
    assert_theirs_are_kept(lab);
    let service = lab.child(Child::Service);
    let mut ports: Vec<_> = service["spec"]["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
    ports.sort_by_key(|port| port.as_u64());
    assert_eq!(ports, [6006, 8888, 9999], "{service}");
    let writes = world.writes(mark);
    let expected =
        [("serviceaccounts", 0), ("rolebindings", 0), ("statefulsets", 2), ("services", 1), ("virtualservices", 1)];
    for (resource, count) in expected {
        assert_eq!(writes.clone().resource(resource).count(), count, "{resource}\n{writes:?}");
    }
}

/// The most of these requests that came within a second.
fn most_in_a_second(requests: &Requests) -> usize {
    let times: Vec<Timestamp> = requests.0.iter().map(|request| at(&request.received)).collect();
    let within = |from: &Timestamp| {
        let second = SignedDuration::from_secs(1);
        times.iter().filter(|time| **time >= *from && time.duration_since(*from) < second).count()
    };
    times.iter().map(within).max().unwrap_or_default()
}

/// W7.
#[test]
fn a_field_that_another_controller_keeps_rewriting_costs_at_most_two_writes_a_second() {
    const EVERY: Duration = Duration::from_millis(100);
    const REWRITES: u32 = 300;
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "contested");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let mark = world.mark();
    let started = Instant::now();
    for number in 0..REWRITES {
        change_hosts(&lab, number as usize);
        thread::sleep((EVERY * (number + 1)).saturating_sub(started.elapsed()));
    }
    wait_our_hosts(&lab);
    let note = format!(
        "Another client keeps modifying fields of VirtualService {} that the controller owns: its managedFields name it",
        lab.names.service
    );
    assert_eq!(wait_events(&lab, 1), [event(&lab, "Warning", "Contested", "Apply", &note)]);
    let contested = running.samples("workspaces_contested_writes_total");
    let resources: BTreeSet<&str> = contested.iter().map(|(labels, _)| &**labels).collect();
    assert_eq!(resources, BTreeSet::from(["resource=\"virtualservices\""]));
    assert!(contested[0].1 > 0, "{contested:?}");

    let writes = world.writes(mark);
    let ours = writes.clone().resource("virtualservices");
    let most = most_in_a_second(&ours);
    // It is not given up either: every change is undone within a second.
    let figure = format!("{most} writes in a second, {} in all", ours.count());
    report("W7", (1..=2).contains(&most), figure, "2 in a second: of a field that is rewritten every 100 ms");
    assert!((1..=2).contains(&most), "{ours:?}");
    assert!(ours.count() >= 30, "{ours:?}");
    assert_eq!(writes.clone().resource("events").count(), 1, "{writes:?}");
    assert_eq!(writes.count(), ours.count() + 1, "the status does not follow every turn\n{writes:?}");
    running.stop();
}
