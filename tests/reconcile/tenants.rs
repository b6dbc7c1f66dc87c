//! Tenants: whatever the users of one namespace create, the Workspaces of another one stay as they are, and no route,
//! selector or RoleBinding of theirs leads there.

use std::collections::BTreeMap;

use cluster::{Reply, report};
use serde_json::{Value, json};

use crate::world::{CHILDREN, Child, WorkspaceHandle, World, condition, grant};

const WORKSPACE_LABEL: &str = "notebooks.kubeflow.org/workspace-name";
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// Theirs, which must stay as they are.
struct Theirs<'a> {
    lab: WorkspaceHandle<'a>,
    /// Of a kind of dialect `id`, whose paths start with `/workspace/connect/`.
    notebook: WorkspaceHandle<'a>,
}

fn items(world: &World, collection: &str) -> Vec<Value> {
    world.get(collection)["items"].as_array().unwrap().clone()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn pods(world: &World) -> String {
    format!("/api/v1/namespaces/{}/pods", world.namespace)
}

/// All that exists for the Workspaces of the namespace, and they themselves.
fn everything(world: &World) -> BTreeMap<String, Value> {
    let workspaces = format!("/apis/kubeflow.org/v1beta1/namespaces/{}/workspaces", world.namespace);
    let mut collections: Vec<String> = CHILDREN.iter().map(|child| child.collection(&world.namespace)).collect();
    collections.extend([pods(world), workspaces]);
    let objects = collections.iter().flat_map(|path| {
        items(world, path).into_iter().map(move |object| (format!("{path}/{}", name_of(&object)), object))
    });
    objects.collect()
}

fn dialect_id(template: &mut Value) {
    grant(template, &["view"]);
    template["ports"] = json!([{"id": "jupyterlab", "protocol": "HTTP", "defaultDisplayName": "JupyterLab"}]);
    let images = template["options"]["imageConfig"]["values"].as_array_mut().unwrap();
    images.truncate(1);
}

/// The paths of all routes of the namespace. Each leads to a Service of the namespace.
fn prefixes(world: &World) -> Vec<String> {
    let mut prefixes = Vec::new();
    for route in items(world, &Child::VirtualService.collection(&world.namespace)) {
        for http in route["spec"]["http"].as_array().unwrap() {
            let host = http["route"][0]["destination"]["host"].as_str().unwrap();
            assert!(host.ends_with(&format!(".{}.svc.cluster.local", world.namespace)), "{route}");
            prefixes.push(http["match"][0]["uri"]["prefix"].as_str().unwrap().to_owned());
        }
    }
    prefixes
}

/// The names of the pods of the namespace that a Service selects.
fn selected(world: &World, service: &Value) -> Vec<String> {
    let selector = service["spec"]["selector"].as_object().unwrap();
    let is_selected = |pod: &Value| selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value);
    items(world, &pods(world)).iter().filter(|pod| is_selected(pod)).map(|pod| name_of(pod).to_owned()).collect()
}

/// Expects that each Service selects the pod of its Workspace only, and that only accounts of the namespace are granted
/// anything.
fn assert_self_contained(world: &World, workspaces: &[&WorkspaceHandle<'_>]) {
    for lab in workspaces {
        assert_eq!(selected(world, &lab.child(Child::Service)), [lab.names.pod()], "{}", lab.name);
    }
    for binding in items(world, &Child::RoleBinding.collection(&world.namespace)) {
        for subject in binding["subjects"].as_array().unwrap() {
            assert_eq!(subject["namespace"], world.namespace, "{binding}");
        }
    }
}

/// Workspaces of the same names and kinds.
fn same_names<'a>(ours: &'a World, of_id: &'a World) -> [WorkspaceHandle<'a>; 2] {
    let same = [ours.create("lab", |_| {}), of_id.create("notebook", |_| {})];
    for lab in &same {
        lab.wait_running();
    }
    same
}

/// A pod with the labels of their pod, and its name.
fn pod_like(labels: &Value, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "image"}]},
    })
}

/// Pods that claim to be theirs: one of our own with all of its labels and its name, one in their namespace with those that
/// anybody may set, and a Workspace whose user asks for them.
fn labels_on_foreign_pods<'a>(ours: &'a World, theirs: &Theirs<'_>) -> WorkspaceHandle<'a> {
    let api = ours.cluster.api();
    let labels = json!({WORKSPACE_LABEL: "lab", "statefulset": "lab", POD_NAME_LABEL: theirs.lab.names.pod()});
    api.create(&pods(ours), &pod_like(&labels, &theirs.lab.names.pod())).and_then(Reply::ok).unwrap();
    let claims = ours.create("claims", |spec| spec["podTemplate"]["podMetadata"] = json!({"labels": labels}));
    claims.wait_running();
    let pod = ours.get(&claims.pod_path());
    for (label, value) in
        [(WORKSPACE_LABEL, "claims"), ("statefulset", "claims"), (POD_NAME_LABEL, &*claims.names.pod())]
    {
        assert_eq!(pod["metadata"]["labels"][label], value, "{pod}");
    }
    let labels = json!({WORKSPACE_LABEL: "lab", "statefulset": "lab"});
    let path = pods(theirs.lab.world);
    api.create(&path, &pod_like(&labels, "foreign")).and_then(Reply::ok).unwrap();
    let service = theirs.lab.child(Child::Service);
    assert_eq!(selected(theirs.lab.world, &service), [theirs.lab.names.pod()]);
    api.delete(&format!("{path}/foreign")).and_then(Reply::ok).unwrap();
    ours.wait("the foreign pod to go", || {
        ours.find(&format!("{path}/foreign")).map_or(Ok(()), |pod| Err(pod.to_string()))
    });
    claims
}

/// What is granted to the account of a Workspace is not granted to whoever made an account of that name before.
fn account_made_beforehand(ours: &World) {
    let api = ours.cluster.api();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ws-early"}});
    api.create(&Child::ServiceAccount.collection(&ours.namespace), &account).and_then(Reply::ok).unwrap();
    let early = ours.create("early", |_| {});
    let status = early.wait_state("Error");
    let message = "Workspace ServiceAccount ws-early already exists and is not owned by the Workspace";
    assert_eq!(status["stateMessage"], message);
    assert_eq!(early.find_child(Child::RoleBinding), None);
    assert_eq!(early.find_child(Child::StatefulSet), None);
}

/// A Workspace in namespace `connect`, with the name of their namespace and a port with the name of their Workspace: its
/// path would be the beginning of theirs.
fn namespace_connect(theirs: &Theirs<'_>) {
    let victim = &theirs.notebook;
    let cluster = victim.world.cluster;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "connect"}});
    cluster.api().create("/api/v1/namespaces", &namespace).and_then(Reply::ok).unwrap();
    let connect =
        World { cluster, namespace: "connect".to_owned(), kind: format!("{}-connect", victim.world.namespace) };
    connect.create_kind(|template| {
        template["ports"] = json!([{"portId": victim.name}]);
        template["extraEnv"] = json!([]);
        for value in template["options"]["imageConfig"]["values"].as_array_mut().unwrap() {
            value["spec"]["ports"] = json!([{"id": victim.name, "port": 8888}]);
        }
    });
    let lab = connect.create(&victim.world.namespace, |_| {});
    let status = lab.wait_status("without a route", |status| {
        status["state"] == "Running" && condition(status, "RouteReady")["status"] == "False"
    });
    let message = "a Workspace in namespace \"connect\" could overlap paths of other namespaces: paths of its kind start \
        with /workspace/connect/, as those of kinds whose spec.podTemplate.ports[] have `id` do";
    assert_eq!(condition(&status, "RouteReady")["message"], message);
    assert_eq!(prefixes(&connect), Vec::<String>::new());
}

/// Children that say they belong to their Workspace, under the names of its children. The garbage collector deletes them,
/// for there is no such owner in the namespace.
fn children_of_their_workspace(ours: &World, theirs: &Theirs<'_>) {
    let copies = CHILDREN.map(|child| {
        let mut copy = theirs.lab.child(child);
        let metadata = copy["metadata"].take();
        copy["metadata"] = json!({
            "name": metadata["name"], "labels": metadata["labels"], "annotations": metadata["annotations"],
            "ownerReferences": metadata["ownerReferences"],
        });
        copy.as_object_mut().unwrap().remove("status");
        if child == Child::Service {
            let spec = copy["spec"].as_object_mut().unwrap();
            spec.retain(|field, _| ["ports", "selector"].contains(&&**field));
        }
        (child, copy)
    });
    for (child, copy) in copies {
        let collection = child.collection(&ours.namespace);
        let path = format!("{collection}/{}", name_of(&copy));
        let uid = if let Some(there) = ours.find(&path) {
            // Our Workspace of the same name has a child there: it gets their owner references.
            let owners = json!({"metadata": {"ownerReferences": copy["metadata"]["ownerReferences"]}});
            ours.cluster.api().merge_patch(&path, &owners).and_then(Reply::ok).unwrap();
            there["metadata"]["uid"].clone()
        } else {
            let made = ours.cluster.api().create(&collection, &copy).and_then(Reply::ok).unwrap();
            made["metadata"]["uid"].clone()
        };
        ours.wait(&format!("the copy of their {child:?} to go"), || match ours.find(&path) {
            Some(object) if object["metadata"]["uid"] == uid => Err(object.to_string()),
            _ => Ok(()),
        });
    }
}

/// What `kubectl delete --cascade=orphan` leaves does not become anybody else's, and its route goes.
fn orphaned_children<'a>(ours: &'a World, before: &WorkspaceHandle<'_>) -> WorkspaceHandle<'a> {
    let route = before.child_path(Child::VirtualService);
    let path = format!("{}?propagationPolicy=Orphan", before.path());
    ours.cluster.api().delete(&path).and_then(Reply::ok).unwrap();
    ours.wait("the route to go", || ours.find(&route).map_or(Ok(()), |route| Err(route.to_string())));
    ours.wait("it to go", || ours.find(&before.path()).map_or(Ok(()), |lab| Err(lab.to_string())));
    assert!(before.find_child(Child::StatefulSet).is_some(), "it is an orphan");
    // Its account is in the way of the next one of the name.
    let again = ours.create("lab", |_| {});
    let status = again.wait_state("Error");
    let message = "Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace";
    assert_eq!(status["stateMessage"], message);
    for child in CHILDREN {
        ours.cluster.api().delete(&before.child_path(child)).unwrap();
    }
    again.wait_running();
    again
}

/// W16.
#[test]
fn workspaces_of_one_namespace_do_not_touch_those_of_another() {
    let ours = World::new("tenant", |template| grant(template, &["view"]));
    // The name of one namespace is the beginning of the other's.
    let theirs = World {
        cluster: ours.cluster,
        namespace: ours.cluster.namespace(&format!("{}-b", ours.namespace)).unwrap(),
        kind: ours.kind.clone(),
    };
    let of_id = |world: &World| World {
        cluster: world.cluster,
        namespace: world.namespace.clone(),
        kind: format!("{}-id", world.kind),
    };
    let (our_id, their_id) = (of_id(&ours), of_id(&theirs));
    our_id.create_kind(dialect_id);
    let victims = Theirs { lab: theirs.create("lab", |_| {}), notebook: their_id.create("notebook", |_| {}) };
    victims.lab.wait_running();
    victims.notebook.wait_running();
    let (mark, before) = (theirs.mark(), everything(&theirs));
    let mut attempts = 0;
    let mut unharmed = |what: &str| {
        let now = everything(&theirs);
        assert_eq!(now, before, "{what}");
        let writes = theirs.writes(mark);
        assert!(writes.is_empty(), "{what}: {writes:?}");
        attempts += 1;
    };

    let [lab, notebook] = same_names(&ours, &our_id);
    unharmed("the same names");
    let claims = labels_on_foreign_pods(&ours, &victims);
    unharmed("labels on foreign pods");
    account_made_beforehand(&ours);
    unharmed("a ServiceAccount made beforehand");
    namespace_connect(&victims);
    unharmed("namespace connect");
    children_of_their_workspace(&ours, &victims);
    lab.wait_running();
    unharmed("children of their Workspace");
    let lab = orphaned_children(&ours, &lab);
    unharmed("orphaned children");

    assert_self_contained(&ours, &[&lab, &notebook, &claims]);
    assert_self_contained(&theirs, &[&victims.lab, &victims.notebook]);
    let (our_paths, their_paths) = (prefixes(&ours), prefixes(&theirs));
    assert_eq!((our_paths.len(), their_paths.len()), (4, 2), "{our_paths:?} {their_paths:?}");
    for (ours, theirs) in our_paths.iter().flat_map(|ours| their_paths.iter().map(move |theirs| (ours, theirs))) {
        assert!(!ours.starts_with(theirs) && !theirs.starts_with(ours), "{ours} {theirs}");
    }
    report("W16", true, "0 writes, 0 objects changed", format!("0: in another namespace, after {attempts} attempts"));
}
