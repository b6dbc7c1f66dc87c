//! What the loop keeps of kinds: their finalizer, and counts, images and conditions in their status.

use std::thread;
use std::time::{Duration, Instant};

use cluster::{ADMIN, ClusterOptions, Mark, Reply, Requests, report};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::events::{kind_event, wait_kind_events};
use crate::process::{Loop, USER};
use crate::world::{Child, World, condition, control_plane};

/// Longer than any pause after which a status is written.
const REST: Duration = Duration::from_secs(5);

fn kind_path(world: &World) -> String {
    format!("/apis/kubeflow.org/v1beta1/workspacekinds/{}", world.kind)
}

/// Waits until the kind satisfies `wanted`, and returns it.
fn wait_kind(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    world.wait(&format!("{} to be {what}", world.kind), || {
        let kind = world.get(&kind_path(world));
        if wanted(&kind) { Ok(kind) } else { Err(kind.to_string()) }
    })
}

/// Waits until the kind has the counts `workspaces`, of the images, of the pod configs.
fn wait_counts(world: &World, workspaces: usize, images: [usize; 2], pods: [usize; 2]) {
    let counts = |ids: [&str; 2], counts: [usize; 2]| {
        json!([
            {"id": ids[0], "workspaces": counts[0]}, {"id": ids[1], "workspaces": counts[1]},
        ])
    };
    let options =
        json!({"imageConfig": counts(["small", "large"], images), "podConfig": counts(["tiny", "big"], pods)});
    wait_kind(world, "counted", |kind| {
        kind["status"]["workspaces"] == workspaces && kind["status"]["podTemplateOptions"] == options
    });
}

/// The writes of the loop to the kind since `mark`.
fn writes(world: &World, mark: Mark) -> Requests {
    world.cluster.audit().since(mark).unwrap().by(USER).writes().name(&world.kind)
}

#[test]
fn workspaces_are_counted_by_option_and_the_counts_follow_them() {
    let world = World::new("counts", |_| {});
    wait_counts(&world, 0, [0, 0], [0, 0]);
    let lab = world.create("lab", |spec| spec["paused"] = json!(true));
    let other = world.create("other", |spec| {
        spec["paused"] = json!(true);
        spec["podTemplate"]["options"]["imageConfig"] = json!("large");
    });
    wait_counts(&world, 2, [1, 1], [2, 0]);
    lab.patch(&json!({"podTemplate": {"options": {"imageConfig": "large", "podConfig": "big"}}}));
    wait_counts(&world, 2, [0, 2], [1, 1]);
    world.update_kind(|template| template["options"]["imageConfig"]["values"].as_array_mut().unwrap().reverse());
    wait_kind(&world, "in its new order", |kind| {
        kind["status"]["podTemplateOptions"]["imageConfig"][0] == json!({"id": "large", "workspaces": 2})
            && kind["status"]["observedGeneration"] == kind["metadata"]["generation"]
    });
    world.update_kind(|template| template["options"]["imageConfig"]["values"].as_array_mut().unwrap().reverse());
    other.delete();
    lab.delete();
    wait_counts(&world, 0, [0, 0], [0, 0]);
    let shown = world.cluster.kubectl(&["get", "workspacekind", &world.kind, "--no-headers"]).unwrap().ok().unwrap();
    let columns: Vec<&str> = shown.split_whitespace().take(4).collect();
    assert_eq!(columns, [world.kind.as_str(), "0", "false", "false"]);
}

/// What another client writes into the status is put back.
#[test]
fn the_status_of_a_kind_is_restored() {
    let world = World::new("status", |_| {});
    wait_counts(&world, 0, [0, 0], [0, 0]);
    let path = format!("{}/status", kind_path(&world));
    let change = json!({"status": {"workspaces": 7, "podTemplateOptions": {"imageConfig": [], "podConfig": []}}});
    world.cluster.api().merge_patch(&path, &change).and_then(Reply::ok).unwrap();
    wait_counts(&world, 0, [0, 0], [0, 0]);
}

/// Their pod config does not exist, so that nothing but the count is made of them.
fn create_many(world: &World, count: usize) {
    const CLIENTS: usize = 5;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for number in (client..count).step_by(CLIENTS) {
                    world.create(&format!("lab-{number}"), |spec| {
                        spec["podTemplate"]["options"]["podConfig"] = json!("missing");
                    });
                }
            });
        }
    });
}

#[test]
fn five_hundred_workspaces_at_once_cost_one_status_write_a_second() {
    const WORKSPACES: usize = 500;
    let world = World::new("many", |_| {});
    wait_counts(&world, 0, [0, 0], [0, 0]);
    let (mark, start) = (world.mark(), Instant::now());
    create_many(&world, WORKSPACES);
    wait_counts(&world, WORKSPACES, [WORKSPACES, 0], [0, 0]);
    is_one_write_a_second(&world, mark, start);

    let (mark, start) = (world.mark(), Instant::now());
    let all = format!("/apis/kubeflow.org/v1beta1/namespaces/{}/workspaces", world.namespace);
    world.cluster.api().delete(&all).and_then(Reply::ok).unwrap();
    wait_counts(&world, 0, [0, 0], [0, 0]);
    is_one_write_a_second(&world, mark, start);
}

/// Expects status writes, but no more than there have been seconds since `start`, and the first.
fn is_one_write_a_second(world: &World, mark: Mark, start: Instant) {
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    let written = writes(world, mark).resource("workspacekinds/status");
    println!("{} status writes in {seconds} s", written.count());
    assert!(!written.is_empty() && written.count() <= seconds + 1, "{seconds} s: {written:?}");
}

#[test]
fn a_kind_at_rest_costs_no_write_and_neither_does_a_restart() {
    let cluster = control_plane(ClusterOptions::default());
    let (used, unused) = (World::on(cluster, "used"), World::on(cluster, "unused"));
    used.create_kind(|_| {});
    unused.create_kind(|_| {});
    let running = Loop::start(cluster, &[]);
    let lab = used.create("lab", |_| {});
    lab.wait_running();
    wait_counts(&used, 1, [1, 0], [1, 0]);
    wait_counts(&unused, 0, [0, 0], [0, 0]);
    // Rest is a stretch of time in which nothing happens: there is nothing to wait for.
    thread::sleep(REST);
    let mark = used.mark();
    thread::sleep(REST);
    running.stop();
    let again = Loop::start(cluster, &[]);
    used.wait("both kinds to be reconciled", || {
        let seen = again.reconciles_by("workspacekind");
        if seen >= 2 { Ok(()) } else { Err(format!("{seen} reconciles")) }
    });
    thread::sleep(REST);
    for world in [&used, &unused] {
        assert!(writes(world, mark).is_empty(), "{:?}", writes(world, mark));
    }
    // Something to do is still done.
    lab.delete();
    wait_counts(&used, 0, [0, 0], [0, 0]);
    again.stop();
}

const FINALIZER: &str = "notebooks.kubeflow.org/workspacekind-protection";

fn wait_finalizers(world: &World, finalizers: &Value) {
    wait_kind(world, &format!("held by {finalizers}"), |kind| kind["metadata"]["finalizers"] == *finalizers);
}

fn set_finalizers(world: &World, finalizers: &Value) {
    let change = json!({"metadata": {"finalizers": finalizers}});
    world.cluster.api().merge_patch(&kind_path(world), &change).and_then(Reply::ok).unwrap();
}

fn delete_kind(world: &World) {
    world.cluster.api().delete(&kind_path(world)).and_then(Reply::ok).unwrap();
}

fn wait_kind_gone(world: &World) {
    world.wait("the kind to be gone", || world.find(&kind_path(world)).map_or(Ok(()), |kind| Err(kind.to_string())));
}

#[test]
fn a_kind_has_the_finalizer_while_a_workspace_uses_it() {
    let world = World::new("finalizer", |_| {});
    wait_counts(&world, 0, [0, 0], [0, 0]);
    set_finalizers(&world, &json!(["example.com/first"]));
    let mark = world.mark();
    let (lab, other) = (world.create("lab", |_| {}), world.create("other", |_| {}));
    wait_finalizers(&world, &json!(["example.com/first", FINALIZER]));
    // It is put back.
    set_finalizers(&world, &json!(["example.com/first"]));
    wait_finalizers(&world, &json!(["example.com/first", FINALIZER]));
    set_finalizers(&world, &json!([FINALIZER, "example.com/last"]));
    lab.delete();
    wait_counts(&world, 1, [1, 0], [1, 0]);
    // One that is being deleted uses the kind until it is gone.
    let held = |finalizers: &Value| {
        let change = json!({"metadata": {"finalizers": finalizers}});
        world.cluster.api().merge_patch(&other.path(), &change).and_then(Reply::ok).unwrap();
    };
    held(&json!(["example.com/held"]));
    other.delete();
    wait_kind(&world, "reconciled", |kind| kind["status"]["workspaces"] == 1);
    assert_eq!(world.get(&kind_path(&world))["metadata"]["finalizers"], json!([FINALIZER, "example.com/last"]));
    held(&json!(null));
    wait_finalizers(&world, &json!(["example.com/last"]));
    let writes = writes(&world, mark).resource("workspacekinds").accepted();
    assert_eq!(writes.count(), 3, "added, put back, removed: {writes:?}");
    set_finalizers(&world, &json!(null));
    delete_kind(&world);
    wait_kind_gone(&world);
}

#[test]
fn a_deleted_kind_stays_until_its_last_workspace_is_gone() {
    let world = World::new("deleted-kind", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    wait_finalizers(&world, &json!([FINALIZER]));
    delete_kind(&world);
    // Its Workspace goes on, and follows it.
    world.update_kind(|template| template["podMetadata"] = json!({"labels": {"team": "a"}}));
    lab.wait_status("restarted", |status| status["state"] == "Running");
    let kind = world.get(&kind_path(&world));
    assert!(kind["metadata"]["deletionTimestamp"].is_string(), "{kind}");
    assert_eq!(kind["metadata"]["finalizers"], json!([FINALIZER]));
    // Without admission another Workspace can still be created: it uses the kind, too.
    let late = world.create("late", |_| {});
    late.wait_running();
    lab.delete();
    wait_counts(&world, 1, [1, 0], [1, 0]);
    late.delete();
    wait_kind_gone(&world);
}

/// The Go controller left its finalizer, and went.
#[test]
fn a_finalizer_that_was_left_behind_is_taken_over() {
    let cluster = control_plane(ClusterOptions::default());
    let (used, unused, deleted) = (World::on(cluster, "used"), World::on(cluster, "unused"), World::on(cluster, "del"));
    for world in [&used, &unused, &deleted] {
        world.create_kind(|_| {});
        set_finalizers(world, &json!([FINALIZER]));
    }
    let lab = used.create("lab", |spec| spec["paused"] = json!(true));
    delete_kind(&deleted);
    let running = Loop::start(cluster, &[]);
    wait_kind_gone(&deleted);
    wait_finalizers(&unused, &Value::Null);
    wait_counts(&used, 1, [1, 0], [1, 0]);
    assert_eq!(used.get(&kind_path(&used))["metadata"]["finalizers"], json!([FINALIZER]));
    lab.delete();
    wait_finalizers(&used, &Value::Null);
    running.stop();
}

/// How long after the Workspace was created and its kind deleted its status was written, by the audit log.
fn shown_after(world: &World, mark: Mark) -> SignedDuration {
    let requests = world.cluster.audit().since(mark).unwrap().writes().accepted();
    let answered = |requests: Requests| requests.0.iter().map(|request| request.answered.parse().unwrap()).max();
    let theirs: Option<Timestamp> = answered(
        requests.clone().by(ADMIN).filter(|request| request.namespace == world.namespace || request.name == world.kind),
    );
    let ours = answered(requests.by(USER).namespace(&world.namespace).resource("workspaces/status"));
    ours.unwrap().duration_since(theirs.unwrap())
}

/// A7, without admission: no Workspace is left without its kind and not shown as such.
#[test]
fn a_workspace_that_is_created_while_its_kind_is_deleted_has_its_kind_or_says_so() {
    const RACES: usize = 40;
    const LIMIT: SignedDuration = SignedDuration::from_secs(1);
    let (mut slowest, mut orphans) = (SignedDuration::ZERO, 0);
    for race in 0..RACES {
        let world = World::new("race", |_| {});
        wait_counts(&world, 0, [0, 0], [0, 0]);
        let mark = world.mark();
        let lab = thread::scope(|scope| {
            let deletion = scope.spawn(|| {
                thread::sleep(Duration::from_millis(race as u64 % 8 * 20));
                delete_kind(&world);
            });
            let lab = world.create("lab", |spec| spec["paused"] = json!(true));
            deletion.join().unwrap();
            lab
        });
        let message = format!("Workspace references unknown WorkspaceKind: {}", world.kind);
        let is_orphan = world.wait("the kind to stay, or the Workspace to say that it is gone", || {
            let Some(kind) = world.find(&kind_path(&world)) else {
                let ready = condition(&lab.get()["status"], "Ready");
                return if ready["message"] == message { Ok(true) } else { Err(lab.get().to_string()) };
            };
            if kind["metadata"]["finalizers"] == json!([FINALIZER]) { Ok(false) } else { Err(kind.to_string()) }
        });
        if is_orphan {
            orphans += 1;
            slowest = slowest.max(shown_after(&world, mark));
        }
        lab.delete();
        wait_kind_gone(&world);
    }
    let figure = format!("{} ms, {orphans} of {RACES} without their kind", slowest.as_millis());
    report("A7", slowest < LIMIT, figure, "1000 ms until that is shown");
    assert!(slowest < LIMIT, "{slowest:?}");
    assert!(0 < orphans && orphans < RACES, "the deletion was always the later one, or never: {orphans}");
}

/// A ConfigMap in the namespace, changed by `change`.
fn apply_config_map(world: &World, change: &Value) {
    let path = format!("/api/v1/namespaces/{}/configmaps/icons", world.namespace);
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "icons"}});
    for (field, value) in change.as_object().unwrap() {
        object[field] = value.clone();
    }
    object["metadata"]["name"] = json!("icons");
    world.cluster.api().apply(&path, "administrator", &object).and_then(Reply::ok).unwrap();
}

fn wait_images(world: &World, icon: &Value, logo: &Value) {
    wait_kind(world, "shown with its images", |kind| {
        kind["status"]["spawnerIcon"] == *icon && kind["status"]["spawnerLogo"] == *logo
    });
}

#[test]
fn images_in_config_maps_are_digested_and_followed() {
    let world = World::empty("images");
    let source = |key: &str| {
        json!({"configMap": {
            "namespace": world.namespace, "name": "icons", "key": key, "mediaType": "image/svg+xml",
        }})
    };
    let mut kind = serde_json::to_value(crds::testing::workspace_kind(&world.kind)).unwrap();
    kind["spec"]["spawner"]["icon"] = source("icon.svg");
    world.cluster.api().create("/apis/kubeflow.org/v1beta1/workspacekinds", &kind).and_then(Reply::ok).unwrap();
    let error = |type_: &str, message: String| json!({"configMap": {"errorType": type_, "errorMessage": message}});
    let no_config_map = error(
        "NotFound",
        format!(
            "ConfigMap \"icons\" not found in namespace \"{}\" (if it exists, ensure it has the \
             \"notebooks.kubeflow.org/image-source\" label)",
            world.namespace
        ),
    );
    wait_images(&world, &no_config_map, &json!({}));
    // Without the label it is not read.
    apply_config_map(&world, &json!({"data": {"icon.svg": "abc"}}));
    let labels = json!({"labels": {"notebooks.kubeflow.org/image-source": "true"}});
    apply_config_map(&world, &json!({"metadata": labels, "data": {"icon.svg": "abc"}}));
    let of_abc = json!({"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"});
    wait_images(&world, &of_abc, &json!({}));
    let change = json!([{"op": "replace", "path": "/spec/spawner/logo", "value": source("logo.svg")}]);
    world.cluster.api().json_patch(&kind_path(&world), &change).and_then(Reply::ok).unwrap();
    let no_key = |key: &str| {
        let namespace = &world.namespace;
        error("KeyNotFound", format!("key {key:?} not found in ConfigMap \"icons\" in namespace \"{namespace}\""))
    };
    wait_images(&world, &of_abc, &no_key("logo.svg"));
    apply_config_map(&world, &json!({"metadata": labels, "binaryData": {"logo.svg": "YWJj"}}));
    wait_images(&world, &no_key("icon.svg"), &of_abc);
    let mark = world.mark();
    apply_config_map(&world, &json!({"metadata": labels, "binaryData": {"logo.svg": "YWJj", "other": "YWI="}}));
    apply_config_map(&world, &json!({"metadata": {"labels": {}}, "binaryData": {"logo.svg": "YWJj"}}));
    wait_images(&world, &no_config_map, &no_config_map);
    assert_eq!(writes(&world, mark).count(), 1, "another key is no news: {:?}", writes(&world, mark));
}

/// Status, reason and message of a condition, and whether it is about the kind as it is.
fn kind_condition(kind: &Value, type_: &str) -> [Value; 3] {
    let condition = condition(&kind["status"], type_);
    if condition["observedGeneration"] != kind["metadata"]["generation"] {
        return [Value::Null, Value::Null, Value::Null];
    }
    ["status", "reason", "message"].map(|field| condition[field].clone())
}

fn dry_runs(world: &World, mark: Mark) -> Requests {
    let requests = world.cluster.audit().since(mark).unwrap().by(USER).namespace(&world.namespace);
    requests.resource("statefulsets").filter(|request| request.uri.contains("dryRun=All"))
}

#[test]
fn what_the_api_server_says_to_a_pair_of_options_is_quoted() {
    let world = World::new("accepted", |_| {});
    let unused = "no Workspace uses the kind yet, so nothing has been tried";
    wait_kind(&world, "accepted", |kind| {
        kind_condition(kind, "Accepted") == ["True", "NotInUse", unused].map(Value::from)
    });
    let waited = world.cluster.kubectl(&[
        "wait",
        "--for=condition=Ready",
        &format!("workspacekind/{}", world.kind),
        "--timeout=10s",
    ]);
    waited.unwrap().ok().unwrap();
    let mark = world.mark();
    let labs = [world.create("a", |_| {}), world.create("b", |_| {})];
    for lab in &labs {
        lab.wait_running();
    }
    let accepted = "the API server accepts the StatefulSet of every pair of options in use";
    let is_accepted =
        |kind: &Value| kind_condition(kind, "Accepted") == ["True", "Accepted", accepted].map(Value::from);
    wait_kind(&world, "accepted", is_accepted);
    assert_eq!(dry_runs(&world, mark).count(), 1, "{:?}", dry_runs(&world, mark));

    refuse_sets_with(&world, "team");
    let mark = world.mark();
    world.update_kind(|template| template["podMetadata"] = json!({"labels": {"team": "a"}}));
    let name = &labs[0].names.stateful_set;
    let words = format!(
        "imageConfig \"small\" with podConfig \"tiny\", tried for {0}/a: statefulsets.apps \"{name}\" is forbidden: \
         ValidatingAdmissionPolicy '{0}' with binding '{0}' denied request: no teams here",
        world.namespace
    );
    let refused = |condition: &[Value; 3]| *condition == ["False", "Refused", words.as_str()].map(Value::from);
    let kind = wait_kind(&world, "refused", |kind| refused(&kind_condition(kind, "Accepted")));
    assert!(refused(&kind_condition(&kind, "Ready")), "{kind}");
    assert_eq!(kind_condition(&kind, "ResolvedRefs")[0], "True");
    // A Workspace more of the same pair is no reason to ask again.
    world.create("c", |spec| spec["paused"] = json!(true));
    wait_counts(&world, 3, [3, 0], [3, 0]);
    assert!(dry_runs(&world, mark).count() <= 2, "{:?}", dry_runs(&world, mark));
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    world.cluster.api().delete(&format!("{policies}/{}", world.namespace)).and_then(Reply::ok).unwrap();
    wait_kind(&world, "accepted again", is_accepted);
    let events =
        [kind_event(&world, "Warning", "NotAccepted", &words), kind_event(&world, "Normal", "Accepted", accepted)];
    assert_eq!(wait_kind_events(&world, 2), events);
}

/// Refuses StatefulSets whose pods have the label, and waits until it does.
fn refuse_sets_with(world: &World, label: &str) {
    let (api, namespace) = (world.cluster.api(), &world.namespace);
    let expression = format!("!('{label}' in object.spec.template.metadata.labels)");
    world.refuse(
        Child::StatefulSet,
        &["CREATE", "UPDATE"],
        &json!({"expression": expression, "message": "no teams here"}),
    );
    let labels = json!({"statefulset": "probe", label: "a"});
    let probe = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "probe"},
        "spec": {
            "serviceName": "", "selector": {"matchLabels": {"statefulset": "probe"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "a"}]}},
        },
    });
    let path = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets?dryRun=All");
    world.wait("the policy to be in force", || {
        let reply = api.create(&path, &probe).unwrap();
        if reply.status == 422 { Ok(()) } else { Err(reply.body) }
    });
}

/// What is wrong with a kind that has [`unresolved_env`].
const UNRESOLVED: &str = "spec.podTemplate.extraEnv[PREFIX].value: Invalid value: \"{{ httpPathPrefix \\\"jupyterlabs\\\" }}\": failed to \
    execute template \"{{ httpPathPrefix \\\"jupyterlabs\\\" }}\": template: value:1:3: executing \"value\" at <httpPathPrefix \
    \"jupyterlabs\">: error calling httpPathPrefix: port id \"jupyterlabs\" does not exist, did you mean \"jupyterlab\"? (valid \
    ids: \"jupyterlab\", \"tensorboard\")";
const RESOLVED: &str = "the ports, options and redirects that the kind refers to exist";

/// A variable whose template names a port that no image has.
fn unresolved_env() -> Value {
    json!([{"name": "PREFIX", "value": "{{ httpPathPrefix \"jupyterlabs\" }}"}])
}

/// An older webhook let it through: it renders as Go would, and says what is wrong.
#[test]
fn a_stored_template_that_names_what_does_not_exist_is_reported_by_the_kind() {
    let world = World::new("unresolved", |template| template["extraEnv"] = unresolved_env());
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let unresolved = |condition: &[Value; 3]| *condition == ["False", "InvalidTemplate", UNRESOLVED].map(Value::from);
    let kind = wait_kind(&world, "unresolved", |kind| unresolved(&kind_condition(kind, "ResolvedRefs")));
    assert!(unresolved(&kind_condition(&kind, "Ready")), "{kind}");
    assert_eq!(kind_condition(&kind, "Accepted")[0], "True");
    let warning = kind_event(&world, "Warning", "RefsNotResolved", UNRESOLVED);
    assert_eq!(wait_kind_events(&world, 1), std::slice::from_ref(&warning));
    let described = world.cluster.kubectl(&["describe", "workspacekind", &world.kind]).unwrap();
    let mut lines = described.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words.get(1) == Some(&"RefsNotResolved")).unwrap_or_else(|| panic!("{described:?}"));
    assert_eq!((line[0], line[3]), ("Warning", "workspaces-controller"), "{line:?}");
    assert_eq!(line[4..].join(" "), UNRESOLVED);
    // An edit of something else is no news.
    world.update_kind(|template| template["options"]["podConfig"]["values"][1]["spawner"]["hidden"] = json!(true));
    wait_kind(&world, "unresolved still", |kind| {
        kind["status"]["observedGeneration"] == kind["metadata"]["generation"]
            && unresolved(&kind_condition(kind, "ResolvedRefs"))
    });
    world.update_kind(|template| template["extraEnv"][0]["value"] = json!("{{ httpPathPrefix \"jupyterlab\" }}"));
    wait_kind(&world, "resolved", |kind| kind_condition(kind, "Ready")[0] == "True");
    assert_eq!(wait_kind_events(&world, 2), [warning, kind_event(&world, "Normal", "RefsResolved", RESOLVED)]);
}

/// As that of the Go controller: no write of the status shows it.
#[test]
fn what_is_wrong_with_a_kind_is_reported_also_where_its_crd_keeps_no_conditions() {
    let cluster = control_plane(ClusterOptions::default());
    let world = World::on(cluster, "unconditional");
    world.drop_conditions("WorkspaceKind");
    let running = Loop::start(cluster, &[]);
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    wait_counts(&world, 1, [1, 0], [1, 0]);

    let mark = world.mark();
    world.update_kind(|template| template["extraEnv"] = unresolved_env());
    let warning = kind_event(&world, "Warning", "RefsNotResolved", UNRESOLVED);
    assert_eq!(wait_kind_events(&world, 1), std::slice::from_ref(&warning));
    // An edit of something else is no news.
    world.update_kind(|template| template["options"]["podConfig"]["values"][1]["spawner"]["hidden"] = json!(true));
    world.update_kind(|template| template["extraEnv"] = json!([]));
    let resolved = kind_event(&world, "Normal", "RefsResolved", RESOLVED);
    assert_eq!(wait_kind_events(&world, 2), [warning, resolved]);
    let written = writes(&world, mark).resource("workspacekinds/status");
    assert!(written.is_empty(), "{written:?}");
    running.stop();
}
