//! Zero writes at rest, and none after a restart.

use std::time::{Duration, Instant};

use cluster::{ClusterOptions, Mark, Request, WRITE_VERBS};
use serde_json::{Value, json};

use crate::poison::{Poisoned, folded};
use crate::process::{Loop, USER};
use crate::world::{CHILDREN, World, control_plane};

const WORKSPACES: usize = 300;
/// After a start: what an earlier version stored wrongly.
const HEALED_WITHIN: Duration = Duration::from_secs(5);
/// Before the restart, and after it.
const REST: [Duration; 2] = [Duration::from_mins(1), Duration::from_secs(20)];

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
    std::thread::sleep(rest);
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

#[test]
fn three_hundred_workspaces_at_rest_cost_no_write_and_neither_does_a_restart() {
    let cluster = Box::leak(Box::new(control_plane(ClusterOptions { nodes: 2, ..ClusterOptions::default() })));
    let plain = World::on(cluster, "plain");
    let odd = World { kind: "odd".to_owned(), cluster, namespace: plain.namespace.clone() };
    let folding = World { kind: "folding".to_owned(), cluster, namespace: plain.namespace.clone() };
    plain.create_kind(|_| {});
    odd.create_kind(self::odd);
    folding.create_kind(folded);
    let running = Loop::start(cluster, &[]);
    let labs: Vec<_> = (0..WORKSPACES)
        .map(|number| {
            let world = if number % 3 == 0 { &odd } else { &plain };
            world.create(&format!("lab-{number}"), |spec| {
                spec["paused"] = json!(number % 5 == 0);
                let secrets = json!([{"secretName": "token", "mountPath": "/secrets/token"}]);
                spec["podTemplate"]["volumes"]["secrets"] = secrets;
            })
        })
        .collect();
    let poisoned = Poisoned {
        folded: folding.create("folded", |_| {}),
        forged_set: folding.create("forged-set", |_| {}),
        forged_route: plain.create("forged-route", |_| {}),
    };
    let Poisoned { folded, forged_set, forged_route } = &poisoned;
    for lab in labs.iter().chain([folded, forged_set, forged_route]) {
        lab.wait_status("settled", |status| matches!(status["state"].as_str(), Some("Running" | "Paused")));
    }
    plain.wait("all to be counted", || {
        let kinds =
            [&plain, &odd, &folding].map(|world| plain.get(&world.kind_path())["status"]["workspaces"].as_u64());
        let counted: u64 = kinds.into_iter().flatten().sum();
        if counted == WORKSPACES as u64 + 3 { Ok(()) } else { Err(counted.to_string()) }
    });
    let created = cluster.audit().all().unwrap().by(USER).writes();
    println!("{} writes for {WORKSPACES} new Workspaces\n{created:?}", created.count());
    has_rested(&plain, plain.mark(), (&running, 0), REST[0], |_| false);
    running.stop();

    poisoned.poison();
    let mark = plain.mark();
    let started = Instant::now();
    let again = Loop::start(cluster, &[]);
    plain.wait("the poisoned ones to be healed", || poisoned.healed());
    let healed = started.elapsed();
    println!("healed {healed:?} after the start");
    assert!(healed < HEALED_WITHIN, "{healed:?}");
    let names = [folded, forged_set, forged_route].map(|lab| [&lab.names.stateful_set, &lab.names.service, &lab.name]);
    // The kind was edited, too, and its status says which generation it is about.
    let is_healing =
        |request: &Request| request.name == folding.kind || names.iter().flatten().any(|name| is_about(request, name));
    has_rested(&plain, mark, (&again, WORKSPACES as u64 + 3), REST[1], is_healing);
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
    again.stop();
}
