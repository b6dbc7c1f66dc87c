//! How many writes it takes until many new Workspaces run; zero writes at rest, and none after a restart.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Mark, Request, Requests, WRITE_VERBS, report};
use serde_json::{Value, json};

use crate::poison::{Poisoned, folded};
use crate::process::{Loop, USER};
use crate::world::{CHILDREN, World, control_plane};

/// How many create Workspaces at the same time.
const CREATORS: usize = 8;
/// After the creation of all; a control plane on two cores gives about thirty a second their pods.
const SETTLED_WITHIN: Duration = Duration::from_mins(10);
/// After a start, for each Workspace that has to be listed and reconciled: what an earlier version stored wrongly.
const HEALED_WITHIN: Duration = Duration::from_millis(10);

/// What the API server stores otherwise than it was written: quantities, empty values, defaults within defaults.
fn odd(template: &mut Value) {
    template["extraEnv"] = json!([
        {"name": "EMPTY", "value": ""},
        {"name": "NONE"},
        {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "RESOURCE", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0.001"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
    ]);
    template["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}, {"name": "system:Odd \u{85}role"}]});
    template["probes"] = json!({
        "readinessProbe": {"httpGet": {"path": "/", "port": "http-8888", "httpHeaders": [{"name": "X", "value": ""}]}},
        "startupProbe": {"tcpSocket": {"port": 8888}, "failureThreshold": 30},
        "livenessProbe": {"exec": {"command": ["true"]}},
    });
    template["securityContext"] =
        json!({"fsGroup": 100, "supplementalGroups": [], "sysctls": [], "seccompProfile": {"type": "RuntimeDefault"}});
    template["containerSecurityContext"] = json!({"capabilities": {"drop": ["ALL"], "add": []}, "runAsNonRoot": false});
    template["extraVolumes"] = json!([
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "0.5Gi"}},
        {"name": "plain", "emptyDir": {}},
        {"name": "all", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}}]}},
            {"configMap": {"name": "c", "optional": true, "items": [{"key": "a", "path": "b"}]}},
        ]}},
    ]);
    template["extraVolumeMounts"] = json!([
        {"name": "shm", "mountPath": "/dev/shm", "readOnly": false, "subPath": ""},
        {"name": "plain", "mountPath": "/plain"},
        {"name": "all", "mountPath": "/all", "readOnly": true},
    ]);
    let spec = json!({
        "resources": {"limits": {"cpu": "0.1", "memory": "1024Mi"}, "requests": {"cpu": "100m"}},
        "nodeSelector": {},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "", "effect": "NoExecute", "tolerationSeconds": 30}],
        "affinity": {
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}, "namespaces": []}},
            ]},
        },
    });
    template["options"]["podConfig"]["values"][0]["spec"] = spec;
    template["ports"][0]["httpProxy"] = json!({"removePathPrefix": true, "requestHeaders": {
        "set": {"X-Path": "{{ httpPathPrefix \"jupyterlab\" }}", "X-Empty": ""}, "add": {"X-More": "a"}, "remove": ["Cookie"],
    }});
}

/// Expects that no child was written or tried, and no status written, but for what `expected` accepts.
fn has_rested(
    world: &World,
    since: Mark,
    (running, reconciles): (&Loop, u64),
    rest: Duration,
    expected: impl Fn(&Request) -> bool,
) {
    world.wait("every Workspace to be reconciled", || {
        let seen = running.reconciles();
        if seen >= reconciles { Ok(()) } else { Err(format!("{seen} reconciles")) }
    });
    // Rest is a stretch of time in which nothing happens: there is nothing to wait for.
    thread::sleep(rest);
    // A dry run is no write, but where nothing differs there is nothing to try.
    let requests = world.cluster.audit().since(since).unwrap().by(USER);
    let changes = requests.filter(|request| WRITE_VERBS.contains(&request.verb.as_str()) && !expected(request));
    assert!(changes.is_empty(), "{changes:?}");
}

/// Whether a request is about the object of that name, or an Event about it.
fn is_about(request: &Request, name: &str) -> bool {
    let rest = request.name.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || (request.resource == "events" && rest.starts_with('.')))
}

/// Creates so many Workspaces at once, a third of them of the odd kind, a fifth of them paused.
fn create_at_once(plain: &World, odd: &World, workspaces: usize) {
    let create = |number: usize| {
        let world = if number.is_multiple_of(3) { odd } else { plain };
        world.create(&format!("lab-{number}"), |spec| {
            spec["paused"] = json!(number.is_multiple_of(5));
            let secrets = json!([{"secretName": "token", "mountPath": "/secrets/token"}]);
            spec["podTemplate"]["volumes"]["secrets"] = secrets;
        });
    };
    thread::scope(|scope| {
        for creator in 0..CREATORS {
            scope.spawn(move || (creator..workspaces).step_by(CREATORS).for_each(create));
        }
    });
}

/// Expects that every child was written once, and no status more than twice.
fn took_few_writes(world: &World, writes: &Requests, workspaces: usize) {
    let count = |resource: &str| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for request in writes.clone().resource(resource).0 {
            *counts.entry(request.name).or_default() += 1;
        }
        counts
    };
    let mut most_of_a_child = 0;
    for child in CHILDREN {
        let counts = count(child.resource());
        let there = world.get(&child.collection(&world.namespace));
        let of_workspaces = there["items"].as_array().unwrap().iter();
        let of_workspaces = of_workspaces.filter(|object| object["metadata"]["ownerReferences"].is_array()).count();
        assert_eq!(counts.len(), of_workspaces, "{child:?}");
        most_of_a_child = counts.into_values().chain([most_of_a_child]).max().unwrap();
    }
    let statuses = count("workspaces/status");
    assert_eq!(statuses.len(), workspaces, "{writes:?}");
    let most_of_a_status = statuses.values().copied().max().unwrap();
    let pass = most_of_a_child == 1 && most_of_a_status <= 2;
    let figure = format!("{most_of_a_child} of a child, {most_of_a_status} of a status");
    let limit = format!("1 of a child, 2 of a status: writes for {workspaces} Workspaces that are created at once");
    report("new-workspaces", pass, figure, limit);
    assert!(pass, "{writes:?}");
}

#[test]
fn five_hundred_workspaces_at_rest_cost_no_write_and_neither_does_a_restart() {
    cost_no_write_at_rest(500, [Duration::from_mins(1), Duration::from_secs(20)]);
}

#[test]
#[ignore = "long: make test-long"]
fn two_thousand_workspaces_at_rest_cost_no_write_and_neither_does_a_restart() {
    cost_no_write_at_rest(2_000, [Duration::from_mins(5), Duration::from_mins(1)]);
}

/// W11. They rest for so long before the restart, and after it.
fn cost_no_write_at_rest(workspaces: usize, rest: [Duration; 2]) {
    let cluster = control_plane(ClusterOptions { nodes: 2, ..ClusterOptions::default() });
    let plain = World::on(cluster, "plain");
    let odd = World { kind: "odd".to_owned(), cluster, namespace: plain.namespace.clone() };
    let folding = World { kind: "folding".to_owned(), cluster, namespace: plain.namespace.clone() };
    plain.create_kind(|_| {});
    odd.create_kind(self::odd);
    folding.create_kind(folded);
    let running = Loop::start(cluster, &[]);
    create_at_once(&plain, &odd, workspaces);
    let poisoned = Poisoned {
        folded: folding.create("folded", |_| {}),
        forged_set: folding.create("forged-set", |_| {}),
        forged_route: plain.create("forged-route", |_| {}),
    };
    let all = workspaces + 3;
    let settled = cluster.wait_for("every Workspace to run or to be paused", SETTLED_WITHIN, || {
        let states = running.samples("workspaces_workspaces");
        let is_settled = |state: &str| ["state=\"Running\"", "state=\"Paused\""].contains(&state);
        let count: u64 = states.iter().filter(|(state, _)| is_settled(state)).map(|(_, count)| count).sum();
        if count == all as u64 { Ok(()) } else { Err(format!("{states:?}")) }
    });
    settled.unwrap();
    plain.wait("all to be counted", || {
        let kinds =
            [&plain, &odd, &folding].map(|world| plain.get(&world.kind_path())["status"]["workspaces"].as_u64());
        let counted: u64 = kinds.into_iter().flatten().sum();
        if counted == all as u64 { Ok(()) } else { Err(counted.to_string()) }
    });
    took_few_writes(&plain, &cluster.audit().all().unwrap().by(USER).writes(), all);
    has_rested(&plain, plain.mark(), (&running, 0), rest[0], |_| false);
    running.stop();

    poisoned.poison();
    let mark = plain.mark();
    let started = Instant::now();
    let again = Loop::start(cluster, &[]);
    plain.wait("the poisoned ones to be healed", || poisoned.healed());
    let healed = started.elapsed();
    assert!(healed < HEALED_WITHIN * u32::try_from(all).unwrap(), "{healed:?}");
    let Poisoned { folded, forged_set, forged_route } = &poisoned;
    let names = [folded, forged_set, forged_route].map(|lab| [&lab.names.stateful_set, &lab.names.service, &lab.name]);
    // The kind was edited, too, and its status says which generation it is about.
    let is_healing = |request: &Request| {
        is_about(request, &folding.kind) || names.iter().flatten().any(|name| is_about(request, name))
    };
    has_rested(&plain, mark, (&again, all as u64), rest[1], is_healing);
    // What is stored has come with the lists.
    let requests = cluster.audit().since(mark).unwrap().by(USER).verb("get");
    let reads = requests
        .filter(|request| CHILDREN.iter().any(|child| child.resource() == request.resource) && !is_healing(request));
    assert!(reads.is_empty(), "{reads:?}");
    let healing = plain.writes(mark);
    // The Events say which route is refused from now on.
    let counts = [("statefulsets", 2), ("virtualservices", 2), ("serviceaccounts", 0), ("services", 0), ("events", 2)];
    for (resource, count) in counts {
        assert_eq!(healing.clone().resource(resource).count(), count, "{healing:?}");
    }
    assert_eq!(again.metric("workspaces_unsafe_virtual_services_stored_total"), "2");
    let figure = "0 writes";
    let limit = format!(
        "0 writes: {workspaces} Workspaces at rest for {} s, a restart, and {} s more",
        rest[0].as_secs(),
        rest[1].as_secs()
    );
    report("W11", true, figure, limit);
    again.stop();
}
