//! What the Go controller made is taken over as it is: no second child, no pod deleted, no template changed.

use cluster::{Cluster, ClusterOptions, Reply};
use serde_json::{Value, json};
use workspaces_controller::render::names;

use crate::events::{event, events, wait_events};
use crate::process::{Loop, USER};
use crate::world::{CHILDREN, Child, WorkspaceHandle, World, condition, control_plane, grant};

const LABEL: &str = "notebooks.kubeflow.org/workspace-name";
const HASH: &str = "notebooks.kubeflow.org/applied-hash";
/// The kinds of children with random names.
const NAMED_BY_CHANCE: [Child; 3] = [Child::StatefulSet, Child::Service, Child::VirtualService];

fn cluster() -> &'static Cluster {
    control_plane(ClusterOptions::default())
}

/// Creates an object as the Go controller does: by POST, with its field manager.
pub fn create(world: &World, child: Child, object: &Value) -> Value {
    let path = format!("{}?fieldManager=manager", child.collection(&world.namespace));
    world.cluster.api().create(&path, object).and_then(Reply::ok).unwrap()
}

pub fn metadata(lab: &WorkspaceHandle<'_>, name: &Value) -> Value {
    let mut metadata = name.clone();
    metadata["labels"] = json!({LABEL: lab.name});
    metadata["ownerReferences"] = json!([{
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": lab.name, "uid": lab.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    metadata
}

/// The container of the Workspace as the Go controller writes it for the kind of [`kind`].
fn container(lab: &WorkspaceHandle<'_>, env: &Value) -> Value {
    json!({
        "name": "main", "image": "registry.example.com/small:1", "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http-8888", "containerPort": 8888, "protocol": "TCP"}],
        "env": env,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": {"tcpSocket": {"port": 8888}},
        "securityContext": {"allowPrivilegeEscalation": false},
        "volumeMounts": [
            {"name": "secret-volume-0", "mountPath": format!("/secrets/{}", lab.name)},
            {"name": "scratch", "mountPath": "/scratch"},
        ],
    })
}

/// The same kind with these variables.
pub fn kind(template: &mut Value, env: &Value) {
    template["extraEnv"] = env.clone();
    template["podMetadata"] = json!({"labels": {"of": "kind"}, "annotations": {"of": "kind"}});
    template["probes"] = json!({"readinessProbe": {"tcpSocket": {"port": 8888}}});
    template["containerSecurityContext"] = json!({"allowPrivilegeEscalation": false});
    template["securityContext"] = json!({"fsGroup": 100});
    template["extraVolumes"] = json!([{"name": "scratch", "emptyDir": {"medium": "Memory"}}]);
    template["extraVolumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
}

/// A Workspace without a controller.
pub fn workspace<'a>(world: &'a World, name: &str, paused: bool) -> WorkspaceHandle<'a> {
    world.create(name, |spec| {
        spec["paused"] = json!(paused);
        spec["podTemplate"]["volumes"]["secrets"] =
            json!([{"secretName": "token", "mountPath": format!("/secrets/{name}"), "defaultMode": 0o420}]);
    })
}

/// A Workspace and its StatefulSet, Service and VirtualService as the Go controller makes them.
pub struct OfPeer<'a> {
    pub lab: WorkspaceHandle<'a>,
    set: Value,
    pub service: Value,
    pub route: Value,
}

impl<'a> OfPeer<'a> {
    pub fn create(lab: WorkspaceHandle<'a>, account: &str, env: &Value) -> Self {
        let world = lab.world;
        let selector = json!({LABEL: lab.name, "statefulset": lab.name});
        let mut labels = selector.clone();
        labels["of"] = json!("kind");
        let random = metadata(&lab, &json!({"generateName": format!("ws-{}-", lab.name)}));
        let volumes = json!([
            {"name": "secret-volume-0", "secret": {"secretName": "token", "defaultMode": 0o420}},
            {"name": "scratch", "emptyDir": {"medium": "Memory"}},
        ]);
        let template = json!({
            "metadata": {"labels": labels, "annotations": {"of": "kind"}},
            "spec": {
                "containers": [container(&lab, env)], "serviceAccountName": account,
                "securityContext": {"fsGroup": 100}, "volumes": volumes,
            },
        });
        let paused = lab.get()["spec"]["paused"] == true;
        let set = create(
            world,
            Child::StatefulSet,
            &json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": random,
                "spec": {
                    "replicas": i32::from(!paused), "selector": {"matchLabels": selector}, "serviceName": "", "template": template,
                },
            }),
        );
        let service = create(
            world,
            Child::Service,
            &json!({
                "apiVersion": "v1", "kind": "Service", "metadata": random,
                "spec": {
                    "ports": [{"name": "http-8888", "port": 8888, "protocol": "TCP", "targetPort": 8888}],
                    "selector": selector, "type": "ClusterIP",
                },
            }),
        );
        let host = format!("{}.{}.svc.cluster.local", name(&service), world.namespace);
        let path = format!("/workspace/{}/{}/jupyterlab/", world.namespace, lab.name);
        let route = create(
            world,
            Child::VirtualService,
            &json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": random,
                "spec": {
                    "gateways": ["kubeflow/kubeflow-gateway"], "hosts": ["*"],
                    "http": [{
                        "match": [{"uri": {"prefix": path}}],
                        "route": [{"destination": {"host": host, "port": {"number": 8888}}}],
                    }],
                },
            }),
        );
        Self { lab, set, service, route }
    }

    /// The account of its own and the RoleBinding of `view`.
    pub fn create_account(lab: &WorkspaceHandle<'_>) {
        let account = metadata(lab, &json!({"name": lab.names.service_account}));
        create(
            lab.world,
            Child::ServiceAccount,
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}),
        );
        let binding = metadata(lab, &json!({"name": names::role_binding(&lab.name, "view")}));
        create(
            lab.world,
            Child::RoleBinding,
            &json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": binding,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": lab.names.service_account, "namespace": lab.world.namespace}],
            }),
        );
    }

    fn created(&self, child: Child) -> &Value {
        match child {
            Child::StatefulSet => &self.set,
            Child::Service => &self.service,
            Child::VirtualService => &self.route,
            other => panic!("{other:?} has a fixed name"),
        }
    }

    pub fn path(&self, child: Child) -> String {
        format!("{}/{}", child.collection(&self.lab.world.namespace), name(self.created(child)))
    }

    pub fn get(&self, child: Child) -> Value {
        self.lab.world.get(&self.path(child))
    }

    pub fn pod_path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}-0", self.lab.world.namespace, name(&self.set))
    }

    /// The uid of the pod, and the revision that a new one would be made of.
    pub fn pod_and_revision(&self) -> (Value, Value) {
        let pod = self.lab.world.find(&self.pod_path()).unwrap_or_default();
        (pod["metadata"]["uid"].clone(), self.get(Child::StatefulSet)["status"]["updateRevision"].clone())
    }

    /// Waits until the StatefulSet controller has made what the set asks for.
    pub fn wait_settled(&self) {
        let running = self.set["spec"]["replicas"] == 1;
        self.lab.world.wait("the pod of the Go controller's set", || {
            let (uid, revision) = self.pod_and_revision();
            let pod = self.lab.world.find(&self.pod_path()).unwrap_or_default();
            let is_as_wanted = if running { pod["status"]["phase"] == "Running" } else { uid.is_null() };
            if is_as_wanted && revision.is_string() { Ok(()) } else { Err(format!("{pod} {revision}")) }
        });
    }

    /// Waits until all three were applied, and are the only ones of the Workspace.
    pub fn wait_taken_over(&self) {
        for child in NAMED_BY_CHANCE {
            self.lab.world.wait(&format!("{child:?} to be taken over"), || {
                let object = self.get(child);
                if object["metadata"]["annotations"][HASH].is_string() { Ok(()) } else { Err(object.to_string()) }
            });
            let of_workspace = owned(&self.lab, child);
            assert_eq!(of_workspace, [name(self.created(child))], "{child:?}");
        }
    }
}

pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// The names of the children of that kind that belong to the Workspace.
pub fn owned(lab: &WorkspaceHandle<'_>, child: Child) -> Vec<String> {
    let list = lab.world.get(&child.collection(&lab.world.namespace));
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|item| item["metadata"]["ownerReferences"][0]["uid"] == json!(lab.uid)).map(name).collect()
}

/// What the Go controller still has of an object, as the API server keeps it.
fn fields_of_peer(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    let mut theirs = entries.filter(|entry| {
        entry["manager"] == "manager" && entry["operation"] == "Update" && entry["subresource"].is_null()
    });
    theirs.next().map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
}

pub fn path_variable(world: &World, lab: &str) -> Value {
    json!({"name": "NB_PREFIX", "value": format!("/workspace/{}/{lab}/jupyterlab/", world.namespace)})
}

/// The short form of a take-over there and back.
#[test]
fn children_of_the_go_controller_are_taken_over_as_they_are() {
    let world = World::on(cluster(), "peer");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        grant(template, &["view"]);
    });
    let peers = [
        ("lab", false, json!([])),
        ("paused", true, json!([])),
        ("dropped", false, json!([{"name": "DROP", "value": "x"}])),
    ]
    .map(|(name, paused, more)| {
        let lab = workspace(&world, name, paused);
        OfPeer::create_account(&lab);
        let mut env = vec![path_variable(&world, name)];
        env.extend(more.as_array().unwrap().clone());
        let account = lab.names.service_account.clone();
        OfPeer::create(lab, &account, &env.into())
    });
    let [lab, paused, dropped] = &peers;
    peers.iter().for_each(OfPeer::wait_settled);
    // Another client adds fields of its own.
    let theirs = json!({"metadata": {"labels": {"theirs": "label"}, "annotations": {"theirs": "annotation"}}});
    for child in NAMED_BY_CHANCE {
        world.cluster.api().merge_patch(&lab.path(child), &theirs).and_then(Reply::ok).unwrap();
    }
    let affinity = json!({"spec": {"sessionAffinity": "ClientIP"}});
    world.cluster.api().merge_patch(&lab.path(Child::Service), &affinity).and_then(Reply::ok).unwrap();
    let before = peers.each_ref().map(OfPeer::pod_and_revision);

    let mark = world.mark();
    let running = Loop::start(world.cluster, &[]);
    peers.iter().for_each(OfPeer::wait_taken_over);
    lab.lab.wait_running();
    dropped.lab.wait_running();
    paused.lab.wait_state("Paused");
    // No template has changed but that with a variable that the kind does not have, and no pod.
    let after = peers.each_ref().map(OfPeer::pod_and_revision);
    assert_eq!(after[..2], before[..2]);
    assert_eq!(after[2].0, before[2].0);
    assert_ne!(after[2].1, before[2].1);
    let template = &dropped.get(Child::StatefulSet)["spec"]["template"]["spec"];
    assert_eq!(template["containers"][0]["env"], json!([path_variable(&world, "dropped")]));
    what_is_taken_over_is_ours(lab);
    for peer in &peers {
        assert_eq!(wait_events(&peer.lab, 1), [adopted_event(peer)]);
    }
    // For each of the three one patch and one apply, as for the account and the RoleBinding.
    let writes = world.writes(mark).filter(|request| !["workspaces", "events"].contains(&&*request.resource));
    for child in NAMED_BY_CHANCE.into_iter().chain([Child::ServiceAccount, Child::RoleBinding]) {
        assert_eq!(writes.clone().resource(child.resource()).count(), 6, "{child:?} {writes:?}");
    }
    assert_eq!(writes.count(), 30, "{writes:?}");
    let deleted = world.cluster.audit().since(mark).unwrap().namespace(&world.namespace).verb("delete");
    assert!(deleted.is_empty(), "{deleted:?}");

    a_lost_label_hides_nothing(lab, running);
}

/// All that was taken over, in one Event.
fn adopted_event(peer: &OfPeer<'_>) -> Value {
    let OfPeer { lab, set, service, route } = peer;
    let note = format!(
        "Took over from the Go controller: ServiceAccount {}, RoleBinding {}, StatefulSet {}, Service {}, VirtualService {}",
        lab.names.service_account,
        names::role_binding(&lab.name, "view"),
        name(set),
        name(service),
        name(route)
    );
    event(lab, "Normal", "Adopted", "Adopt", &note)
}

/// Ours are the fields that we render; the rest is as it was.
fn what_is_taken_over_is_ours(lab: &OfPeer<'_>) {
    let set = lab.get(Child::StatefulSet);
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(set["spec"]["podManagementPolicy"], "OrderedReady");
    assert_eq!(set["spec"]["selector"], lab.set["spec"]["selector"]);
    let theirs = fields_of_peer(&set);
    let main = &theirs["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"main\"}"];
    let mut left: Vec<&String> = main.as_object().unwrap().keys().collect();
    left.sort_unstable();
    assert_eq!(left, ["f:readinessProbe", "f:terminationMessagePath", "f:terminationMessagePolicy"], "{theirs}");
    let service = lab.get(Child::Service);
    let pod = format!("{}-0", name(&lab.set));
    assert_eq!(service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"], json!(pod));
    assert_eq!(service["spec"]["sessionAffinity"], "ClientIP");
    let host = format!("{}.{}.svc.cluster.local", name(&lab.service), lab.lab.world.namespace);
    let route = lab.get(Child::VirtualService);
    assert_eq!(route["spec"]["http"][0]["route"][0]["destination"]["host"], json!(host));
    assert!(route["spec"]["http"][0]["headers"]["request"]["set"]["X-Path"].is_string(), "{route}");
    assert_eq!(lab.lab.get()["status"]["podTemplatePod"]["name"], json!(pod));
    for child in NAMED_BY_CHANCE {
        let object = lab.get(child);
        assert_eq!(object["metadata"]["labels"]["theirs"], "label", "{child:?}");
        assert_eq!(object["metadata"]["annotations"]["theirs"], "annotation", "{child:?}");
    }
}

/// What has lost the label by which it is watched is looked for before another one is made; then it is used as any other.
fn a_lost_label_hides_nothing(lab: &OfPeer<'_>, running: Loop) {
    let world = lab.lab.world;
    let without = json!({"metadata": {"labels": {LABEL: null}}});
    let lose = |child| world.cluster.api().merge_patch(&lab.path(child), &without).and_then(Reply::ok).unwrap();
    let wait_label = |child| {
        world.wait("the label to be back", || {
            let labels = lab.get(child)["metadata"]["labels"].clone();
            if labels[LABEL] == "lab" { Ok(()) } else { Err(labels.to_string()) }
        });
        assert_eq!(owned(&lab.lab, child), [name(lab.created(child))]);
    };
    let (pod, _) = lab.pod_and_revision();
    for child in NAMED_BY_CHANCE {
        lose(child);
        wait_label(child);
    }
    running.stop();
    for child in NAMED_BY_CHANCE {
        lose(child);
    }
    let running = Loop::start(world.cluster, &[]);
    for child in NAMED_BY_CHANCE {
        wait_label(child);
    }
    assert_eq!(lab.pod_and_revision().0, pod);
    running.stop();

    let mark = world.mark();
    let running = Loop::start(world.cluster, &[]);
    world.wait("every Workspace to be reconciled", || {
        let seen = running.reconciles();
        if seen >= 3 { Ok(()) } else { Err(format!("{seen} reconciles")) }
    });
    lab.lab.patch(&json!({"paused": true}));
    lab.lab.wait_state("Paused");
    let writes = world.writes(mark).filter(|request| request.resource != "workspaces");
    assert_eq!(writes.count(), 1, "only the pause: {writes:?}");
    assert_eq!(wait_events(&lab.lab, 1), [adopted_event(lab)]);
    lab.lab.patch(&json!({"paused": false}));
    lab.lab.wait_running();

    // A deleted Workspace loses its route first, whatever it is called.
    let mark = world.mark();
    lab.lab.delete();
    world.wait("the children to go", || {
        let left = NAMED_BY_CHANCE.map(|child| world.find(&lab.path(child)));
        if left.iter().all(Option::is_none) { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let deleted = world.cluster.audit().since(mark).unwrap().by(USER).verb("delete").name(&name(&lab.route));
    assert_eq!(deleted.count(), 1, "{deleted:?}");
    running.stop();
}

/// Kinds of the time before there was an account for each Workspace.
#[test]
fn kinds_with_an_existing_account_and_culling_run_as_they_did_and_lose_their_route_without_istio() {
    let world = World::on(cluster(), "seed");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        template["serviceAccount"] = json!({"name": "default-editor"});
        template["culling"] =
            json!({"enabled": true, "maxInactiveSeconds": 3600, "activityProbe": {"jupyter": {"lastActivity": true}}});
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default-editor"}});
    create(&world, Child::ServiceAccount, &account);
    let lab = workspace(&world, "lab", false);
    let peer = OfPeer::create(lab, "default-editor", &json!([path_variable(&world, "lab")]));
    peer.wait_settled();
    let before = peer.pod_and_revision();
    let running = Loop::start(world.cluster, &[]);
    peer.wait_taken_over();
    peer.lab.wait_running();
    assert_eq!(peer.pod_and_revision(), before);
    assert!(peer.lab.find_child(Child::ServiceAccount).is_none());
    running.stop();

    let running = Loop::start(world.cluster, &["--use-istio=false"]);
    world.wait("the route to go", || {
        world.find(&peer.path(Child::VirtualService)).map_or(Ok(()), |route| Err(route.to_string()))
    });
    peer.lab.wait_running();
    assert_eq!(peer.pod_and_revision(), before);
    running.stop();
}

#[test]
fn of_two_sets_the_one_with_the_running_pod_is_kept() {
    let world = World::on(cluster(), "two");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        grant(template, &["view"]);
    });
    let running = Loop::start(world.cluster, &[]);
    let lab = workspace(&world, "lab", false);
    lab.wait_running();
    running.stop();
    let ours = NAMED_BY_CHANCE.map(|child| lab.child_path(child));
    lab.patch_child(Child::StatefulSet, &json!({"spec": {"replicas": 0}}));
    world.wait("our pod to go", || world.find(&lab.pod_path()).map_or(Ok(()), |pod| Err(pod.to_string())));
    let account = lab.names.service_account.clone();
    let peer = OfPeer::create(lab, &account, &json!([path_variable(&world, "lab")]));
    peer.wait_settled();
    let before = peer.pod_and_revision();

    let running = Loop::start(world.cluster, &[]);
    world.wait("our set to go", || world.find(&ours[0]).map_or(Ok(()), |set| Err(set.to_string())));
    for child in NAMED_BY_CHANCE {
        world.wait(&format!("one {child:?}"), || match owned(&peer.lab, child) {
            left if left.len() == 1 => Ok(()),
            left => Err(format!("{left:?}")),
        });
    }
    assert_eq!(owned(&peer.lab, Child::StatefulSet), [name(&peer.set)]);
    peer.lab.wait_running();
    assert_eq!(peer.pod_and_revision(), before);
    // Service and route are those that we made, and lead to the pod that is there.
    let service = world.get(&ours[1]);
    assert_eq!(
        service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"],
        json!(format!("{}-0", name(&peer.set)))
    );
    let host = format!("{}.{}.svc.cluster.local", name(&service), world.namespace);
    assert_eq!(world.get(&ours[2])["spec"]["http"][0]["route"][0]["destination"]["host"], json!(host));
    let deleted = ours[0].rsplit('/').next().unwrap();
    let note = format!("Deleted StatefulSet {deleted}: the Workspace has another one, StatefulSet {}", name(&peer.set));
    let deleted = event(&peer.lab, "Normal", "DuplicateDeleted", "Adopt", &note);
    let note = format!("Took over from the Go controller: StatefulSet {}", name(&peer.set));
    assert_eq!(wait_events(&peer.lab, 2), [event(&peer.lab, "Normal", "Adopted", "Adopt", &note), deleted]);
    running.stop();
}

/// Others may own objects by the Workspace, and copy our labels and annotations with the object that theirs is made of.
#[test]
fn what_others_own_by_a_workspace_is_neither_deleted_nor_kept_in_place_of_ours() {
    let world = World::on(cluster(), "others");
    world.create_kind(|template| grant(template, &["view"]));
    let running = Loop::start(world.cluster, &[]);
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    running.stop();
    // By its name it would be the first of two.
    let others = CHILDREN.into_iter().filter(|child| *child != Child::RoleBinding).map(|child| {
        let mut object = lab.child(child);
        let metadata = json!({"name": "a-copy", "labels": object["metadata"]["labels"],
            "annotations": object["metadata"]["annotations"], "ownerReferences": object["metadata"]["ownerReferences"]});
        object["metadata"] = metadata;
        match child {
            Child::Service => object["spec"] = json!({"ports": object["spec"]["ports"]}),
            // With a pod of its own, while ours has none.
            Child::StatefulSet => {
                let labels = json!({"a": "copy"});
                object["spec"]["selector"]["matchLabels"] = labels.clone();
                object["spec"]["template"]["metadata"]["labels"] = labels;
            }
            _ => {}
        }
        let path = child.collection(&world.namespace);
        (child, world.cluster.api().create(&path, &object).and_then(Reply::ok).unwrap())
    });
    let others: Vec<_> = others.collect();
    let path = |child: Child| format!("{}/a-copy", child.collection(&world.namespace));
    world.wait("the pod of the other set", || {
        let pod = world.find(&format!("/api/v1/namespaces/{}/pods/a-copy-0", world.namespace)).unwrap_or_default();
        if pod["status"]["phase"] == "Running" { Ok(()) } else { Err(pod.to_string()) }
    });
    lab.patch_child(Child::StatefulSet, &json!({"spec": {"replicas": 0}}));
    world.wait("our pod to go", || world.find(&lab.pod_path()).map_or(Ok(()), |pod| Err(pod.to_string())));

    let mark = world.mark();
    let running = Loop::start(world.cluster, &[]);
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    lab.patch(&json!({"paused": false}));
    lab.wait_running();
    for (child, before) in others {
        let after = world.get(&path(child));
        assert_eq!(
            (&after["metadata"]["uid"], &after["spec"]),
            (&before["metadata"]["uid"], &before["spec"]),
            "{child:?}"
        );
    }
    let writes = world.writes(mark);
    assert!(writes.clone().name("a-copy").is_empty() && writes.verb("delete").is_empty(), "{:?}", world.writes(mark));
    running.stop();

    // Without Istio ours go.
    let running = Loop::start(world.cluster, &["--use-istio=false"]);
    world.wait("our route to go", || {
        lab.find_child(Child::VirtualService).map_or(Ok(()), |route| Err(route.to_string()))
    });
    assert!(world.find(&path(Child::VirtualService)).is_some(), "that of others stays");
    running.stop();
}

/// As clients may that restore objects, or set `managedFields` to `[{}]`.
#[test]
fn children_whose_managed_fields_are_gone_are_still_ours() {
    let world = World::on(cluster(), "stripped");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        grant(template, &["view"]);
    });
    let running = Loop::start(world.cluster, &[]);
    let ours = workspace(&world, "ours", false);
    ours.wait_running();
    running.stop();
    let lab = workspace(&world, "lab", false);
    OfPeer::create_account(&lab);
    let account = lab.names.service_account.clone();
    let peer = OfPeer::create(lab, &account, &json!([path_variable(&world, "lab")]));
    peer.wait_settled();
    let running = Loop::start(world.cluster, &[]);
    peer.wait_taken_over();
    peer.lab.wait_running();
    let strip = || {
        for child in NAMED_BY_CHANCE {
            for path in [ours.child_path(child), peer.path(child)] {
                let without = json!({"metadata": {"managedFields": [{}]}});
                world.cluster.api().merge_patch(&path, &without).and_then(Reply::ok).unwrap();
            }
        }
    };
    let is_ours = |entry: &Value| entry["manager"] == "workspaces-controller" && entry["operation"] == "Apply";
    let wait_ours = || {
        for child in NAMED_BY_CHANCE {
            for path in [ours.child_path(child), peer.path(child)] {
                world.wait(&format!("{path} to be ours"), || {
                    let object = world.get(&path);
                    let mut managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
                    if managers.any(is_ours) { Ok(()) } else { Err(object.to_string()) }
                });
            }
            assert_eq!(owned(&ours, child), [ours.child_name(child)]);
            assert_eq!(owned(&peer.lab, child), [name(peer.created(child))]);
        }
    };
    let pods = || [world.get(&ours.pod_path()), world.get(&peer.pod_path())].map(|pod| pod["metadata"]["uid"].clone());
    let before = pods();
    strip();
    wait_ours();
    running.stop();
    strip();
    let running = Loop::start(world.cluster, &[]);
    wait_ours();
    assert_eq!(pods(), before);
    running.stop();
}

/// Where ours cannot be rendered, one that was changed would go.
#[test]
fn a_route_that_others_own_by_a_workspace_stays_where_there_is_none_of_ours() {
    let world = World::empty("other-route");
    world.create_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("%BAD%");
    });
    let lab = world.create("lab", |_| {});
    lab.wait_status("refused a route", |status| condition(status, "RouteReady")["reason"] == "UnsafeHeader");
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata(&lab, &json!({"name": "theirs"})),
        "spec": {"hosts": ["theirs.example.com"], "http": [{"route": [{"destination": {"host": "theirs"}}]}]},
    });
    let routes = Child::VirtualService.collection(&world.namespace);
    let theirs = world.cluster.api().create(&routes, &route).and_then(Reply::ok).unwrap();
    let mark = world.mark();
    lab.patch(&json!({"paused": true}));
    lab.wait_state("Paused");
    assert_eq!(world.get(&format!("{routes}/theirs"))["metadata"]["uid"], theirs["metadata"]["uid"]);
    let writes = world.writes(mark).resource("virtualservices");
    assert!(writes.is_empty(), "{writes:?}");
}

/// Its own header is refused, but not what the Go controller made of another one.
#[test]
fn a_safe_route_of_the_go_controller_stays_while_its_successor_is_refused() {
    let world = World::on(cluster(), "kept-route");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| {
        kind(template, &json!([prefix]));
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("%BAD%");
    });
    let peers = ["safe", "unsafe"].map(|name| {
        let lab = workspace(&world, name, true);
        OfPeer::create_account(&lab);
        let account = lab.names.service_account.clone();
        OfPeer::create(lab, &account, &json!([path_variable(&world, name)]))
    });
    let [safe, bad] = &peers;
    let mut unsafe_route = bad.route.clone();
    unsafe_route["spec"]["http"][0]["headers"] = json!({"request": {"set": {"X-Bad": "%BAD%"}}});
    let put = format!("{}?fieldManager=manager", bad.path(Child::VirtualService));
    world.cluster.api().replace(&put, &unsafe_route).and_then(Reply::ok).unwrap();

    let mark = world.mark();
    let running = Loop::start(world.cluster, &[]);
    for peer in &peers {
        let status = peer.lab.wait_status("paused, without a route that is ready", |status| {
            status["state"] == "Paused" && condition(status, "RouteReady")["reason"] == "UnsafeHeader"
        });
        assert_eq!(
            condition(&status, "RouteReady")["message"],
            "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Bad]: renders to a value with '%', which starts \
             an Envoy command operator: write '%%' for a percent sign (allowed commands: %PROTOCOL%, %START_TIME%, \
             %DOWNSTREAM_REMOTE_ADDRESS%, %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%)"
        );
    }
    assert_eq!(safe.get(Child::VirtualService), safe.route, "to the byte");
    assert_eq!(owned(&bad.lab, Child::VirtualService), [""; 0]);
    let written = world.writes(mark).resource("virtualservices");
    assert_eq!(written.count(), 1, "{written:?}");
    // Known from then on, without another look.
    safe.lab.patch(&json!({"paused": false}));
    safe.lab.wait_state("Running");
    let reads = world.cluster.audit().since(mark).unwrap().by(USER).verb("get").name(&name(&safe.route));
    assert_eq!(reads.count(), 1, "{reads:?}");

    world.update_kind(|template| {
        template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Bad"] = json!("good");
    });
    for peer in &peers {
        peer.lab.wait_status("a route that is ready", |status| condition(status, "RouteReady")["status"] == "True");
    }
    assert_eq!(safe.get(Child::VirtualService)["metadata"]["uid"], safe.route["metadata"]["uid"]);
    for peer in &peers {
        assert_eq!(owned(&peer.lab, Child::VirtualService).len(), 1);
    }
    running.stop();
}

#[test]
fn of_two_sets_with_running_pods_none_is_deleted_until_the_workspace_is_paused() {
    let world = World::on(cluster(), "both-run");
    let prefix = json!({"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"});
    world.create_kind(|template| kind(template, &json!([prefix])));
    let running = Loop::start(world.cluster, &[]);
    let lab = workspace(&world, "lab", false);
    lab.wait_running();
    running.stop();
    let (ours, path) = (world.get(&lab.pod_path())["metadata"]["uid"].clone(), lab.pod_path());
    let account = lab.names.service_account.clone();
    let peer = OfPeer::create(lab, &account, &json!([path_variable(&world, "lab")]));
    peer.wait_settled();
    let theirs = world.get(&peer.pod_path())["metadata"]["uid"].clone();
    let running = Loop::start(world.cluster, &[]);
    let status = peer.lab.wait_status("reported", |status| condition(status, "Ready")["reason"] == "SecondStatefulSet");
    let message = condition(&status, "Ready")["message"].to_string();
    assert!(
        message.contains("is a second one of the Workspace and its pod runs: pause the Workspace to delete it"),
        "{message}"
    );
    let uid = |path: &str| world.get(path)["metadata"]["uid"].clone();
    assert_eq!((uid(&path), uid(&peer.pod_path())), (ours, theirs));
    peer.lab.patch(&json!({"paused": true}));
    peer.lab.wait_state("Paused");
    world.wait("one set", || {
        let sets = world.get(&Child::StatefulSet.collection(&world.namespace))["items"].as_array().map_or(0, Vec::len);
        if sets == 1 { Ok(()) } else { Err(sets.to_string()) }
    });
    running.stop();
}

/// It was not stopped, so what it writes is undone again and again.
#[test]
fn a_go_controller_that_still_runs_is_reported_once() {
    let world = World::new("both-write", |_| {});
    let lab = world.create("lab", |_| {});
    lab.wait_running();
    let path = lab.child_path(Child::VirtualService);
    for number in 0..4 {
        let theirs = json!({"spec": {"hosts": [format!("{number}.example.com")]}});
        world.cluster.api().merge_patch(&format!("{path}?fieldManager=manager"), &theirs).and_then(Reply::ok).unwrap();
        world.wait("the route to be ours", || {
            let route = world.get(&path);
            let is_ours = route["spec"]["hosts"] == json!(["*"]) && fields_of_peer(&route).is_null();
            if is_ours { Ok(()) } else { Err(route.to_string()) }
        });
    }
    lab.patch(&json!({"deferUpdates": true}));
    lab.wait_status("reconciled again", |_| true);
    let note = format!("Took over from the Go controller: VirtualService {}", lab.names.virtual_service);
    let adopted: Vec<Value> = events(&lab).into_iter().filter(|event| event["reason"] == "Adopted").collect();
    assert_eq!(adopted, [event(&lab, "Normal", "Adopted", "Adopt", &note)]);
}
