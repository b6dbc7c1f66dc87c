//! Kinds, Workspaces and children as the tests see them: through the API server, as an administrator.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{Cluster, ClusterOptions, MASTERS, Mark, Reply, Requests, User};
use crds::testing;
use serde_json::{Value, json};
use workspaces_controller::render::names::{self, ChildNames};

use crate::process::{Loop, USER};

pub const TIMEOUT: Duration = Duration::from_mins(1);
const GROUP: &str = "/apis/kubeflow.org/v1beta1";

thread_local! {
    /// The control planes of the test that this thread runs.
    static OWN: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

/// A control plane that ends with its test: dozens that go on running leave no machine to the tests that follow.
struct Own(&'static Cluster);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A control plane for the test that calls this.
pub fn own_control_plane(options: ClusterOptions) -> &'static Cluster {
    let cluster: &Cluster = Box::leak(Box::new(Cluster::start(options).unwrap()));
    OWN.with_borrow_mut(|own| own.push(Own(cluster)));
    cluster
}

/// One with a user for the loop.
pub fn control_plane(options: ClusterOptions) -> &'static Cluster {
    own_control_plane(with_user(options))
}

fn with_user(options: ClusterOptions) -> ClusterOptions {
    ClusterOptions { users: vec![User::new(USER, &[MASTERS])], ..options }
}

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

/// A control plane whose user for the loop has these rules, and no others.
pub fn control_plane_with_rules(rules: &[Value]) -> &'static Cluster {
    let options = ClusterOptions { users: vec![User::new(USER, &[])], ..ClusterOptions::default() };
    let cluster = own_control_plane(options);
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "older"}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "older"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "older"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    });
    cluster.api().create(ROLES, &role).and_then(Reply::ok).unwrap();
    cluster.api().create(&format!("/apis/{group}/v1/clusterrolebindings"), &binding).and_then(Reply::ok).unwrap();
    cluster
}

/// Gives the user for the loop these rules in place of those that it had.
pub fn replace_rules(cluster: &Cluster, rules: &[Value]) {
    let change = json!({"rules": rules});
    cluster.api().merge_patch(&format!("{ROLES}/older"), &change).and_then(Reply::ok).unwrap();
}

/// A rule that allows the verbs on the resources of a group.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The control plane and the loop that most tests share.
static SHARED: LazyLock<(Cluster, Loop)> = LazyLock::new(|| {
    let cluster = Cluster::start(with_user(ClusterOptions::default())).unwrap();
    let running = Loop::start(&cluster, &[]);
    (cluster, running)
});

/// A namespace and a kind of its own for one test.
pub struct World {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub kind: String,
}

impl World {
    /// A namespace on the shared control plane, and the name of a kind that does not exist yet.
    pub fn empty(name: &str) -> Self {
        Self::on(&SHARED.0, name)
    }

    pub fn on(cluster: &'static Cluster, name: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let kind = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { cluster, namespace: cluster.namespace(name).unwrap(), kind }
    }

    /// The same with the kind, changed by `change` within its podTemplate.
    pub fn new(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let world = Self::empty(name);
        world.create_kind(change);
        world
    }

    pub fn create_kind(&self, change: impl FnOnce(&mut Value)) {
        let mut kind = serde_json::to_value(testing::workspace_kind(&self.kind)).unwrap();
        change(&mut kind["spec"]["podTemplate"]);
        self.cluster.api().create(&format!("{GROUP}/workspacekinds"), &kind).and_then(Reply::ok).unwrap();
    }

    pub fn kind_path(&self) -> String {
        format!("{GROUP}/workspacekinds/{}", self.kind)
    }

    /// Replaces what `change` changes within the kind's podTemplate.
    pub fn update_kind(&self, change: impl FnOnce(&mut Value)) {
        let path = self.kind_path();
        let mut template = self.get(&path)["spec"]["podTemplate"].take();
        change(&mut template);
        // Its status and its finalizer may be written meanwhile.
        self.wait("the kind to be replaced", || {
            let mut kind = self.get(&path);
            kind["spec"]["podTemplate"] = template.clone();
            let reply = self.cluster.api().replace(&path, &kind).unwrap();
            if reply.status == 409 { Err(reply.body) } else { Ok(reply.ok().unwrap()) }
        });
    }

    /// Removes the kind although Workspaces use it.
    pub fn remove_kind(&self) {
        let (path, api) = (format!("{GROUP}/workspacekinds/{}", self.kind), self.cluster.api());
        api.delete(&path).and_then(Reply::ok).unwrap();
        // It is gone where the finalizer had not been added yet; afterwards none can be.
        api.merge_patch(&path, &json!({"metadata": {"finalizers": null}})).unwrap();
        self.wait("the kind to be gone", || self.find(&path).map_or(Ok(()), |kind| Err(kind.to_string())));
    }

    /// Creates a policy with the name of the namespace, which refuses children of that kind there. It takes a while to be in
    /// force.
    pub fn refuse(&self, child: Child, operations: &[&str], validation: &Value) {
        let (api, namespace) = (self.cluster.api(), &self.namespace);
        let group = "admissionregistration.k8s.io/v1";
        let policy = json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [child.group()], "apiVersions": ["v1"], "resources": [child.resource()], "operations": operations,
                }]},
                "validations": [validation],
            },
        });
        let binding = json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace},
            "spec": {
                "policyName": namespace, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        });
        api.create(&format!("/apis/{group}/validatingadmissionpolicies"), &policy).and_then(Reply::ok).unwrap();
        api.create(&format!("/apis/{group}/validatingadmissionpolicybindings"), &binding).and_then(Reply::ok).unwrap();
    }

    /// Lets no child of that kind be created in the namespace.
    pub fn exhaust_quota(&self, child: Child) {
        let quotas = format!("/api/v1/namespaces/{}/resourcequotas", self.namespace);
        let counted = format!("count/{}", child.qualified());
        let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {counted.clone(): "0"}}});
        self.cluster.api().create(&quotas, &quota).and_then(Reply::ok).unwrap();
        // Of ServiceAccounts each namespace has one already.
        self.wait("the quota to be counted", || {
            let quota = self.get(&format!("{quotas}/none"));
            if quota["status"]["used"][&counted].is_string() { Ok(()) } else { Err(quota.to_string()) }
        });
    }

    /// Makes the CRD of Workspaces or kinds one that keeps no conditions, as that of the Go controller.
    pub fn drop_conditions(&self, kind: &str) {
        let name = format!("{}s.kubeflow.org", kind.to_lowercase());
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let mut crd = self.get(&path);
        let status = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
        for field in ["conditions", "observedGeneration"] {
            status.as_object_mut().unwrap().remove(field).unwrap();
        }
        self.cluster.api().replace(&path, &crd).and_then(Reply::ok).unwrap();
        self.wait("the schema without conditions", || {
            let published = self.get("/openapi/v3/apis/kubeflow.org/v1beta1");
            let schema = &published["components"]["schemas"][format!("org.kubeflow.v1beta1.{kind}")];
            let status = &schema["properties"]["status"]["properties"];
            if status.is_object() && status["conditions"].is_null() { Ok(()) } else { Err(schema.to_string()) }
        });
    }

    /// Creates a Workspace, changed by `change` within its spec.
    pub fn create(&self, name: &str, change: impl FnOnce(&mut Value)) -> WorkspaceHandle<'_> {
        let mut workspace = serde_json::to_value(testing::workspace(&self.namespace, name, &self.kind)).unwrap();
        workspace["metadata"] = json!({"namespace": self.namespace, "name": name});
        change(&mut workspace["spec"]);
        let path = format!("{GROUP}/namespaces/{}/workspaces", self.namespace);
        let created = self.cluster.api().create(&path, &workspace).and_then(Reply::ok).unwrap();
        let uid = created["metadata"]["uid"].as_str().unwrap().to_owned();
        WorkspaceHandle { world: self, name: name.to_owned(), names: ChildNames::new(name, &uid), uid }
    }

    pub fn get(&self, path: &str) -> Value {
        self.cluster.api().get(path).and_then(Reply::ok).unwrap()
    }

    pub fn find(&self, path: &str) -> Option<Value> {
        self.cluster.api().get(path).and_then(Reply::ok).ok()
    }

    pub fn mark(&self) -> Mark {
        self.cluster.audit().mark().unwrap()
    }

    /// What the loop wrote in this namespace since `mark`.
    pub fn writes(&self, mark: Mark) -> Requests {
        self.cluster.audit().since(mark).unwrap().by(USER).namespace(&self.namespace).writes()
    }

    /// What the loop wrote in the whole cluster since `mark`, to which its rights sufficed.
    pub fn all_writes(&self, mark: Mark) -> Requests {
        let all = self.cluster.audit().since(mark).unwrap().by(USER);
        let refused = all.clone().filter(|request| request.code == 403);
        assert!(refused.is_empty(), "its rights suffice: {refused:?}");
        all.writes()
    }

    pub fn wait<T>(&self, what: &str, poll: impl FnMut() -> Result<T, String>) -> T {
        self.cluster.wait_for(what, TIMEOUT, poll).unwrap()
    }
}

/// A child of a Workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Child {
    ServiceAccount,
    /// That of the ClusterRole `view`.
    RoleBinding,
    StatefulSet,
    Service,
    VirtualService,
}

/// The children of a Workspace whose kind grants `view`.
pub const CHILDREN: [Child; 5] =
    [Child::ServiceAccount, Child::RoleBinding, Child::StatefulSet, Child::Service, Child::VirtualService];

/// Lets the kind grant these ClusterRoles.
pub fn grant(template: &mut Value, roles: &[&str]) {
    let roles: Vec<Value> = roles.iter().map(|name| json!({"name": name})).collect();
    template["serviceAccount"] = json!({"clusterRoles": roles});
}

impl Child {
    /// The resource in the plural.
    pub fn resource(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccounts",
            Self::RoleBinding => "rolebindings",
            Self::StatefulSet => "statefulsets",
            Self::Service => "services",
            Self::VirtualService => "virtualservices",
        }
    }

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::Service => "",
            Self::RoleBinding => "rbac.authorization.k8s.io",
            Self::StatefulSet => "apps",
            Self::VirtualService => "networking.istio.io",
        }
    }

    /// The resource with its group, as the API server names it in messages.
    pub fn qualified(self) -> String {
        [self.resource(), self.group()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }

    pub fn collection(self, namespace: &str) -> String {
        let api = if self.group().is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group()) };
        format!("{api}/v1/namespaces/{namespace}/{}", self.resource())
    }
}

/// A Workspace that a test created.
pub struct WorkspaceHandle<'a> {
    pub world: &'a World,
    pub name: String,
    pub uid: String,
    pub names: ChildNames,
}

impl WorkspaceHandle<'_> {
    pub fn path(&self) -> String {
        format!("{GROUP}/namespaces/{}/workspaces/{}", self.world.namespace, self.name)
    }

    pub fn get(&self) -> Value {
        self.world.get(&self.path())
    }

    pub fn patch(&self, spec: &Value) {
        self.world.cluster.api().merge_patch(&self.path(), &json!({"spec": spec})).and_then(Reply::ok).unwrap();
    }

    pub fn child_name(&self, child: Child) -> String {
        match child {
            Child::ServiceAccount => self.names.service_account.clone(),
            Child::RoleBinding => names::role_binding(&self.name, "view"),
            Child::StatefulSet => self.names.stateful_set.clone(),
            Child::Service | Child::VirtualService => self.names.service.clone(),
        }
    }

    pub fn child_path(&self, child: Child) -> String {
        format!("{}/{}", child.collection(&self.world.namespace), self.child_name(child))
    }

    pub fn child(&self, child: Child) -> Value {
        self.world.get(&self.child_path(child))
    }

    /// Changes a child as another client.
    pub fn patch_child(&self, child: Child, patch: &Value) {
        self.world.cluster.api().merge_patch(&self.child_path(child), patch).and_then(Reply::ok).unwrap();
    }

    pub fn find_child(&self, child: Child) -> Option<Value> {
        self.world.find(&self.child_path(child))
    }

    pub fn pod_path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.world.namespace, self.names.pod())
    }

    /// Waits until the status satisfies `wanted`, and returns it.
    pub fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.world.wait(&format!("{} to be {what}", self.name), || {
            let workspace = self.get();
            let current = workspace["status"]["observedGeneration"] == workspace["metadata"]["generation"];
            let status = workspace["status"].clone();
            if current && wanted(&status) { Ok(status) } else { Err(workspace.to_string()) }
        })
    }

    pub fn wait_state(&self, state: &str) -> Value {
        self.wait_status(state, |status| status["state"] == state)
    }

    /// Waits until it runs, is routed and nothing more is about to be written.
    pub fn wait_running(&self) -> Value {
        self.wait_status("Running and Ready", |status| {
            status["state"] == "Running" && condition(status, "Ready")["status"] == "True"
        })
    }

    /// Waits until the restart for an edit has happened and is recorded: the second write of the StatefulSet that one costs.
    pub fn wait_restart_recorded(&self) {
        self.world.wait(&format!("the restart of {} to be recorded", self.name), || {
            let record =
                self.child(Child::StatefulSet)["metadata"]["annotations"]["notebooks.kubeflow.org/restart"].clone();
            if record.to_string().contains("replaces") { Err(record.to_string()) } else { Ok(()) }
        });
    }

    pub fn delete(&self) {
        self.world.cluster.api().delete(&self.path()).and_then(Reply::ok).unwrap();
    }
}

pub fn condition(status: &Value, type_: &str) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == type_).cloned().unwrap_or_default()
}
