//! Beside the Go controller, with `--namespace-selector`: what it writes are the Workspaces of the selected namespaces and what
//! belongs to them, from the moment they are selected and as long as they are; no kinds.

use cluster::{ClusterOptions, Reply};
use serde_json::{Value, json};

use crate::adoption::{OfPeer, kind, owned, path_variable, workspace};
use crate::process::Loop;
use crate::world::{CHILDREN, Child, World, control_plane, control_plane_with_rules, rule};

const SELECTOR: &[&str] = &["--namespace-selector=notebooks.kubeflow.org/moving=done"];

/// What the chart grants in this mode.
fn rules() -> Vec<Value> {
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    let (kubeflow, rbac) = ("kubeflow.org", "rbac.authorization.k8s.io");
    vec![
        rule(kubeflow, &["workspacekinds"], &["list", "watch"]),
        rule(kubeflow, &["workspaces"], &["get", "list", "watch", "patch"]),
        rule(kubeflow, &["workspaces/status"], &["patch"]),
        rule(kubeflow, &["workspaces/finalizers"], &["update"]),
        rule("", &["serviceaccounts", "services"], &all),
        rule("apps", &["statefulsets"], &all),
        rule("apps", &["statefulsets/scale"], &["patch"]),
        rule("apps", &["controllerrevisions"], &["get"]),
        rule(rbac, &["rolebindings"], &all),
        rule(rbac, &["clusterroles"], &["bind"]),
        rule("", &["pods"], &["list", "watch", "delete"]),
        rule("", &["pods/exec"], &["get", "create"]),
        rule("", &["namespaces", "events"], &["list", "watch"]),
        rule("events.k8s.io", &["events"], &["create"]),
        rule("networking.istio.io", &["virtualservices"], &all),
    ]
}

fn label(world: &World, value: &Value) {
    let path = format!("/api/v1/namespaces/{}", world.namespace);
    let labels = json!({"metadata": {"labels": {"notebooks.kubeflow.org/moving": value}}});
    world.cluster.api().merge_patch(&path, &labels).and_then(Reply::ok).unwrap();
}

/// A namespace with a Workspace as the Go controller makes it.
fn of_peer(world: &World) -> OfPeer<'_> {
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        // Nobody answers there.
        let jupyter = json!({"lastActivity": true, "portId": "jupyterlab"});
        template["activityProbe"] =
            json!({"probeIntervalSeconds": 1, "minProbeIntervalSeconds": 1, "jupyter": jupyter});
    });
    let lab = workspace(world, "lab", false);
    OfPeer::create_account(&lab);
    let account = lab.names.service_account.clone();
    let peer = OfPeer::create(lab, &account, &json!([path_variable(world, "lab")]));
    peer.wait_settled();
    peer
}

/// Waits until an activity probe is reported that began after that one; returns it.
fn wait_probed(peer: &OfPeer<'_>, after: &Value) -> Value {
    let status = peer.lab.wait_status("probed", |status| {
        let probe = &status["activity"]["lastProbe"];
        probe.is_object() && probe["endTime"] != after["endTime"]
    });
    status["activity"]["lastProbe"].clone()
}

fn wait_reconciled(world: &World, running: &Loop, more_than: u64) {
    world.wait("the Workspaces to be looked at", || match running.reconciles() {
        now if now > more_than => Ok(()),
        now => Err(now.to_string()),
    });
}

#[test]
fn only_selected_namespaces_are_written_to() {
    let cluster = control_plane_with_rules(&rules());
    let worlds = ["moved", "stays", "later"].map(|name| World::on(cluster, name));
    let [moved, stays, later] = [of_peer(&worlds[0]), of_peer(&worlds[1]), of_peer(&worlds[2])];
    let pods = || [&moved, &stays, &later].map(OfPeer::pod_and_revision);
    let before = pods();
    label(&worlds[1], &json!("hold"));

    let start = worlds[0].mark();
    let running = Loop::start(cluster, SELECTOR);
    wait_reconciled(&worlds[0], &running, 2);
    assert!(worlds[0].all_writes(start).is_empty(), "{:?}", worlds[0].all_writes(start));

    // Taken over as soon as it is selected.
    label(&worlds[0], &json!("done"));
    moved.wait_taken_over();
    moved.lab.wait_running();
    wait_probed(&moved, &Value::Null);

    // Not selected any longer: nothing is put back, nothing is deleted. That it is seen shows the next one that is selected.
    label(&worlds[0], &Value::Null);
    label(&worlds[2], &json!("done"));
    later.wait_taken_over();
    later.lab.wait_running();
    let (mark, seen) = (worlds[0].mark(), running.reconciles());
    let edit = json!({"metadata": {"labels": {"notebooks.kubeflow.org/workspace-name": "other"}}});
    cluster.api().merge_patch(&moved.path(Child::Service), &edit).and_then(Reply::ok).unwrap();
    moved.lab.patch(&json!({"paused": true}));
    wait_reconciled(&worlds[0], &running, seen);
    // A deletion concerns the loop for routes.
    let finalizers = |finalizers: Value| {
        let change = json!({"metadata": {"finalizers": finalizers}});
        cluster.api().merge_patch(&moved.lab.path(), &change).and_then(Reply::ok).unwrap();
    };
    finalizers(json!(["example.com/held"]));
    moved.lab.delete();
    // Those of the other go on being probed, every second.
    let probed = wait_probed(&later, &Value::Null);
    let probed = wait_probed(&later, &probed);
    wait_probed(&later, &probed);
    let elsewhere = worlds[0].all_writes(mark).filter(|request| request.namespace != worlds[2].namespace);
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert_eq!(moved.get(Child::StatefulSet)["spec"]["replicas"], 1);
    assert_eq!(owned(&moved.lab, Child::VirtualService).len(), 1);

    // Selected again: the route of the deleted Workspace goes, while it is still held.
    label(&worlds[0], &json!("done"));
    worlds[0].wait("the route to go", || {
        worlds[0].find(&moved.path(Child::VirtualService)).map_or(Ok(()), |route| Err(route.to_string()))
    });
    assert!(moved.lab.get()["metadata"]["deletionTimestamp"].is_string());
    finalizers(Value::Null);

    let all = worlds[0].all_writes(start);
    assert!(all.clone().namespace(&worlds[1].namespace).is_empty(), "{all:?}");
    assert!(all.clone().filter(|request| request.namespace.is_empty()).is_empty(), "no kinds: {all:?}");
    for world in &worlds {
        let kind = world.get(&world.kind_path());
        assert!(kind["status"].is_null() && kind["metadata"]["finalizers"].is_null(), "{kind}");
    }
    assert_eq!(stays.pod_and_revision(), before[1]);
    assert_eq!(later.pod_and_revision().1, before[2].1, "no template was changed");
    running.stop();
}

/// Routes that must not be are not looked for once only.
#[test]
fn without_istio_the_routes_of_a_namespace_go_when_it_is_selected() {
    let cluster = control_plane_with_rules(&rules());
    let world = World::on(cluster, "off");
    let peer = of_peer(&world);
    let mark = world.mark();
    let running = Loop::start(cluster, &[SELECTOR[0], "--use-istio=false"]);
    wait_reconciled(&world, &running, 0);
    assert!(world.all_writes(mark).is_empty());
    assert_eq!(owned(&peer.lab, Child::VirtualService).len(), 1);
    label(&world, &json!("done"));
    world.wait("the route to go", || {
        world.find(&peer.path(Child::VirtualService)).map_or(Ok(()), |route| Err(route.to_string()))
    });
    peer.lab.wait_running();
    running.stop();
}

/// As long as the other installation owns some of them.
#[test]
fn routes_alone_can_be_those_of_selected_namespaces() {
    let mut rules = crate::only_routes::rules();
    rules.push(rule("", &["namespaces"], &["list", "watch"]));
    let cluster = control_plane_with_rules(&rules);
    let worlds = ["routed", "moved"].map(|name| World::on(cluster, name));
    let [routed, moved] = [of_peer(&worlds[0]), of_peer(&worlds[1])];
    label(&worlds[1], &json!("done"));
    let mark = worlds[0].mark();
    let running = Loop::start(
        cluster,
        &["--only-routes", "--take-over-routes", "--namespace-selector=!notebooks.kubeflow.org/moving"],
    );
    let wait_state = |expected: &[(&str, u64)]| {
        worlds[0].wait("the routes to be counted", || {
            let mut states = running.samples("workspaces_routes");
            states.retain(|(_, count)| *count > 0);
            let expected: Vec<_> =
                expected.iter().map(|(state, count)| (format!("state=\"{state}\""), *count)).collect();
            if states == expected { Ok(()) } else { Err(format!("{states:?}")) }
        });
    };
    let is_ours = |peer: &OfPeer<'_>| {
        peer.get(Child::VirtualService)["metadata"]["managedFields"].to_string().contains("workspaces-controller")
    };
    wait_state(&[("in_place", 1)]);
    assert!(is_ours(&routed) && !is_ours(&moved));

    // It goes to the other installation: nothing is put back, and nothing is deleted.
    label(&worlds[0], &json!("hold"));
    wait_state(&[]);
    let written = worlds[0].all_writes(mark);
    let edit = json!({"spec": {"hosts": ["elsewhere.example.com"]}});
    cluster.api().merge_patch(&routed.path(Child::VirtualService), &edit).and_then(Reply::ok).unwrap();
    label(&worlds[1], &Value::Null);
    wait_state(&[("in_place", 1)]);
    assert!(is_ours(&moved));
    let later = worlds[0].all_writes(mark).namespace(&worlds[0].namespace);
    assert_eq!(later.count(), written.namespace(&worlds[0].namespace).count(), "{later:?}");
    assert_eq!(routed.get(Child::VirtualService)["spec"]["hosts"], json!(["elsewhere.example.com"]));

    // And back.
    label(&worlds[0], &Value::Null);
    wait_state(&[("in_place", 2)]);
    assert_eq!(routed.get(Child::VirtualService)["spec"]["hosts"], json!(["*"]));
    running.stop();
}

fn page() -> String {
    std::fs::read_to_string("docs/moving.md").unwrap()
}

/// The arguments of the command of the documentation that begins so, about that namespace.
fn command(begin: &str, namespace: &str) -> Vec<String> {
    let page = page().replace("\\\n", " ");
    let line = page.lines().find(|line| line.trim().starts_with(begin)).unwrap();
    line.split_whitespace().skip(1).map(|word| word.replace("team-a", namespace)).collect()
}

/// The policy, as it is in the documentation.
fn policy() -> String {
    let page = page();
    let (_, rest) = page.split_once("   ```yaml\n").unwrap();
    let (policy, _) = rest.split_once("   ```").unwrap();
    let lines: Vec<&str> = policy.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    lines.join("\n")
}

#[test]
fn the_policy_keeps_the_go_controller_out_of_namespaces_with_the_label() {
    const GO: &str = "system:serviceaccount:kubeflow-workspaces:workspaces-controller";
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "policy");
    let peer = of_peer(&world);
    let account = format!("--serviceaccount={}", GO.strip_prefix("system:serviceaccount:").unwrap());
    let bind = ["create", "clusterrolebinding", "go", "--clusterrole=cluster-admin", &account];
    cluster.kubectl(&bind).unwrap().ok().unwrap();
    cluster.kubectl_stdin(&["apply", "--filename=-"], &policy()).unwrap().ok().unwrap();
    let children = CHILDREN.map(|child| {
        let name = if [Child::StatefulSet, Child::Service, Child::VirtualService].contains(&child) {
            peer.path(child).rsplit('/').next().unwrap().to_owned()
        } else {
            peer.lab.child_name(child)
        };
        format!("{}/{name}", child.qualified())
    });
    let status = [r#"--patch={"status":{"pauseTime":1}}"#, "--type=merge", "--subresource=status"];
    let spec = [r#"--patch={"metadata":{"labels":{"of":"go"}}}"#, "--type=merge"];
    let written = children.iter().map(|child| (child.as_str(), &spec[..]));
    let written: Vec<_> = written.chain([("workspace/lab", &spec[..]), ("workspace/lab", &status)]).collect();
    let patch = |user: Option<&str>, object: &str, more: &[&str]| {
        let user = user.map(|user| format!("--as={user}"));
        let mut args = vec!["patch", object, "--namespace", &world.namespace, "--dry-run=server"];
        args.extend(user.as_deref().into_iter().chain(more.iter().copied()));
        cluster.kubectl(&args).unwrap()
    };
    let run = |begin: &str| {
        let args = command(begin, &world.namespace);
        cluster.kubectl(&args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    };
    // What has to be denied before anything is written here.
    let probe = || run("kubectl create serviceaccount probe");
    for (object, more) in &written {
        patch(Some(GO), object, more).ok().unwrap();
    }
    assert_eq!(probe().ok().unwrap().trim(), "serviceaccount/probe created (server dry run)");
    label(&world, &json!("hold"));
    let denied = "ValidatingAdmissionPolicy 'workspaces-moved' with binding 'workspaces-moved' denied request: this namespace has been \
                  moved to another controller";
    let wait_in_force = || {
        let answer = world.wait("the policy to be in force", || {
            let answer = probe();
            if answer.success { Err(answer.stdout) } else { Ok(answer.stderr) }
        });
        assert!(answer.contains(denied), "{answer}");
    };
    wait_in_force();
    for (object, more) in &written {
        let answer = patch(Some(GO), object, more);
        assert!(!answer.success && answer.stderr.contains(denied), "{object}: {}{}", answer.stdout, answer.stderr);
        patch(None, object, more).ok().unwrap();
    }
    let (pod, user) = (peer.pod_path(), format!("--as={GO}"));
    let pod = pod.rsplit('/').next().unwrap();
    let exec = ["exec", pod, "--namespace", &world.namespace, &user, "--", "true"];
    let answer = cluster.kubectl(&exec).unwrap();
    assert!(answer.stderr.contains(denied), "{}", answer.stderr);
    label(&world, &Value::Null);
    let wait_let_in = || {
        world.wait("it to be let in again", || {
            let answer = patch(Some(GO), "workspace/lab", &spec);
            if answer.success { Ok(()) } else { Err(answer.stderr) }
        });
    };
    wait_let_in();

    // After the last team: the whole controller of this project has that account.
    label(&world, &json!("done"));
    wait_in_force();
    run("kubectl delete validatingadmissionpolicybinding").ok().unwrap();
    wait_let_in();
}
