//! The Go controller's manifests with our image: its arguments and environment, its ClusterRole, CRDs as old as its own.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use cluster::{CONTROLLER_ACCOUNT, CONTROLLER_USER, Cluster, ClusterOptions, Reply, Requests};
use serde_json::{Value, json};

use workspaces_controller::render::names;

use crate::helm::{NAMESPACE, documents, text};
use crate::installed::{Site, serve_notebooks};
use crate::process::{Process, get};

const TIMEOUT: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/workspaces-manager-role";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// What its manifests set.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("USE_ISTIO", "true"),
    ("ISTIO_GATEWAY", "kubeflow/kubeflow-gateway"),
    ("ISTIO_HOST", "*"),
    ("CLUSTER_DOMAIN", "cluster.local"),
];

/// What the ClusterRole of the Go controller allows (kubeflow/notebooks, branch notebooks-v2).
pub fn role() -> Value {
    let all = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let (kubeflow, rbac) = ("kubeflow.org", "rbac.authorization.k8s.io");
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "workspaces-manager-role"},
        "rules": [
            rule("", &["configmaps", "events", "namespaces", "pods"], &["get", "list", "watch"]),
            rule("", &["pods/exec"], &["create"]),
            rule("", &["serviceaccounts", "services"], &all),
            rule("apps", &["statefulsets"], &all),
            rule(kubeflow, &["workspacekinds", "workspaces"], &all),
            rule(kubeflow, &["workspacekinds/finalizers", "workspaces/finalizers"], &["update"]),
            rule(kubeflow, &["workspacekinds/status", "workspaces/status"], &["get", "patch", "update"]),
            rule("networking.istio.io", &["virtualservices"], &all),
            rule(rbac, &["clusterroles"], &["bind"]),
            rule(rbac, &["rolebindings"], &all),
        ],
    })
}

fn bind_role(cluster: &Cluster, role: &Value) {
    let object = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "workspaces-manager-rolebinding"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "workspaces-manager-role"},
        "subjects": [{"kind": "ServiceAccount", "name": CONTROLLER_ACCOUNT, "namespace": NAMESPACE}],
    });
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let own = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}");
    let leases = json!([{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }]);
    let mut elects = binding.clone();
    elects["kind"] = json!("RoleBinding");
    elects["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "workspaces-leader-election-role"});
    for (path, object) in [
        ("/api/v1/namespaces", object("Namespace", NAMESPACE)),
        (&accounts, object("ServiceAccount", CONTROLLER_ACCOUNT)),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", role.clone()),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding),
        (&format!("{own}/roles"), json!({"metadata": {"name": "workspaces-leader-election-role"}, "rules": leases})),
        (&format!("{own}/rolebindings"), elects),
    ] {
        cluster.api().create(path, &object).and_then(Reply::ok).unwrap();
    }
}

/// The CRDs of this version: of Workspaces, of kinds.
fn crds() -> [Value; 2] {
    ["crds/kubeflow.org_workspaces.yaml", "crds/kubeflow.org_workspacekinds.yaml"]
        .map(|file| documents(&text(file)).pop().unwrap())
}

/// The same without what the Go controller's lack, and with what they require.
pub fn older_crds() -> [Value; 2] {
    let remove = |schema: &mut Value, fields: &[&str]| {
        let properties = schema["properties"].as_object_mut().unwrap();
        for field in fields {
            properties.remove(*field).unwrap();
        }
    };
    let mut crds = crds();
    for crd in &mut crds {
        let status = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        remove(status, &["conditions", "observedGeneration"]);
    }
    let version = crds[0]["spec"]["versions"][0].as_object_mut().unwrap();
    version.remove("selectableFields").unwrap();
    let properties = &mut version["schema"]["openAPIV3Schema"]["properties"];
    remove(&mut properties["spec"], &["deferUpdates"]);
    let status = &mut properties["status"];
    status["required"] = json!([
        "activity",
        "lastRunningTime",
        "pauseTime",
        "pendingRestart",
        "podTemplateOptions",
        "podTemplatePod",
        "state",
        "stateMessage",
    ]);
    // Nor does it help that there are defaults.
    for field in ["lastRunningTime", "pauseTime", "pendingRestart", "state", "stateMessage"] {
        status["properties"][field].as_object_mut().unwrap().remove("default");
    }
    let status = &mut status["properties"];
    status["activity"]["required"] = json!(["lastActivity", "lastUpdate"]);
    status["podTemplateOptions"]["required"] = json!(["imageConfig", "podConfig"]);
    status["podTemplatePod"]["required"] = json!(["name", "nodeName"]);
    let properties = &mut crds[1]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let template = &mut properties["spec"]["properties"]["podTemplate"];
    template["required"].as_array_mut().unwrap().push(json!("ports"));
    let port = &mut template["properties"]["ports"]["items"];
    remove(port, &["portId"]);
    port.as_object_mut().unwrap().remove("x-kubernetes-validations");
    port["required"] = json!(["defaultDisplayName", "id", "protocol"]);
    let port = port["properties"]["protocol"].as_object_mut().unwrap();
    port.remove("default");
    crds
}

pub fn install_crds(cluster: &Cluster, crds: &[Value]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: Vec<String> = crds.iter().map(|crd| serde_saphyr::to_string(crd).unwrap()).collect();
    std::fs::write(file.path(), text.join("\n---\n")).unwrap();
    cluster.install_crds(file.path()).unwrap();
}

/// Registers the webhooks as the Go controller's manifests do: without conditions.
fn register(cluster: &Cluster, site: &Site) {
    let ca = std::fs::read(site.dir.path().join("ca.crt")).unwrap();
    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
    let webhook = |kind: &str, operations: &[&str]| {
        json!({
            "name": format!("v{kind}.kb.io"),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": format!("https://127.0.0.1:{}/validate-kubeflow-org-v1beta1-{kind}", site.ports[0]),
                "caBundle": ca,
            },
            "failurePolicy": "Fail",
            "rules": [{
                "apiGroups": ["kubeflow.org"], "apiVersions": ["v1beta1"], "operations": operations,
                "resources": [format!("{kind}s")],
            }],
            "sideEffects": "None",
        })
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "workspaces-validating-webhook-configuration"},
        "webhooks": [
            webhook("workspace", &["CREATE", "UPDATE"]),
            webhook("workspacekind", &["CREATE", "UPDATE", "DELETE"]),
        ],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    cluster.api().create(path, &configuration).and_then(Reply::ok).unwrap();
    let mut stranger = workspace("stranger");
    stranger["spec"]["kind"] = json!("no-such-kind");
    let asked = cluster.wait_for("the webhook to be asked", TIMEOUT, || {
        let reply = cluster.api().create(&format!("{WORKSPACES}?dryRun=All"), &stranger).unwrap();
        if reply.body.contains("denied the request") { Ok(()) } else { Err(reply.body) }
    });
    asked.unwrap();
}

/// Starts the process as the Deployment does, but for addresses and folders of this machine.
fn start(cluster: &Cluster, site: &Site, run: &str, metrics: bool) -> Process {
    let [webhook, health, metrics_port] = site.ports;
    let args = vec![
        "--leader-elect".to_owned(),
        format!("--health-probe-bind-address=:{health}"),
        format!("--metrics-bind-address={}", if metrics { format!(":{metrics_port}") } else { "0".to_owned() }),
        format!("--webhook-bind-address=:{webhook}"),
        // Its own network namespace has the default port free.
        "--status-bind-address=127.0.0.1:0".to_owned(),
        format!("--webhook-cert-dir={}", site.dir.path().display()),
    ];
    let mut env: Vec<(String, String)> = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let account = cluster.as_service_account(NAMESPACE, CONTROLLER_ACCOUNT).unwrap();
    env.push(("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned()));
    env.push(("KUBECONFIG".to_owned(), account.kubeconfig.display().to_string()));
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_workspaces-controller"));
    let mut process = Process::start(&binary, args, env, site.dir.path().join(run));
    process.wait_ready(health, TIMEOUT);
    process
}

/// The messages of these levels, in the order of the log.
pub fn logged(process: &Process, levels: &[&str]) -> Vec<String> {
    let lines = process.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| levels.iter().any(|level| line["level"] == *level));
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn wait_logged(cluster: &Cluster, process: &Process, message: &str) {
    let logged = cluster.wait_for(message, TIMEOUT, || {
        let all = logged(process, &["INFO", "WARN"]);
        if all.iter().any(|logged| logged == message) { Ok(()) } else { Err(all.join("\n")) }
    });
    logged.unwrap();
}

/// An object of the case files, in the dialect that the Go controller knows.
fn object(file: &str, name: &str) -> Value {
    let mut object = documents(&text(file)).pop().unwrap();
    object["metadata"] = json!({"name": name});
    object
}

fn kind(name: &str) -> Value {
    let mut kind = object("tests/cases/workspace_kind/base/dialect_id.yaml", name);
    let values = kind["spec"]["podTemplate"]["options"]["podConfig"]["values"].as_array_mut().unwrap();
    let mut unused = values[0].clone();
    unused["id"] = json!("unused");
    values.push(unused);
    kind
}

fn workspace(name: &str) -> Value {
    object("tests/cases/workspace/base/plain_id.yaml", name)
}

fn status(cluster: &Cluster, name: &str) -> Value {
    cluster.api().get(&format!("{WORKSPACES}/{name}")).unwrap().json()["status"].clone()
}

fn wait_status(cluster: &Cluster, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = cluster.wait_for(what, TIMEOUT, || {
        let status = status(cluster, name);
        if wanted(&status) { Ok(status) } else { Err(status.to_string()) }
    });
    found.unwrap()
}

/// The requests of the process that were refused, but for the lists that are asked for again and again.
fn refused(requests: &Requests) -> Requests {
    requests.clone().filter(|request| request.code == 403 && request.resource != "notebooks")
}

const NO_NOTEBOOKS: &str = "a right is missing: a Workspace may get the name of a Notebook; to change that, add to the \
    rules of the ClusterRole: ";
const NO_REVIEWS: &str = "a right is missing: WorkspaceKinds to which ClusterRoles are added are refused; to change that, \
    add to the rules of the ClusterRole: ";
const NO_SCALE: &str = "a right is missing: a Workspace whose changed StatefulSet is refused cannot be stopped; to change \
    that, add to the rules of the ClusterRole: ";
const NO_RESTARTS: &str = "a right is missing: the pod of a Workspace that its user edits is not restarted; to change that, \
    add to the rules of the ClusterRole: ";
const DELETE_PODS: &str = r#"{apiGroups: [""], resources: ["pods"], verbs: ["delete"]}"#;
const NO_REVISIONS: &str = "a right is missing: what a pending restart would change is not named; to change that, add to the \
    rules of the ClusterRole: ";
const REVISIONS: &str = r#"{apiGroups: ["apps"], resources: ["controllerrevisions"], verbs: ["get"]}"#;
/// The Go controller has `create` only.
const NO_EXEC: &str = "a right is missing: activity probes by podExec, and by culling with exec, fail; to change that, add to the rules \
    of the ClusterRole: ";
const EXEC: &str = r#"{apiGroups: [""], resources: ["pods/exec"], verbs: ["get", "create"]}"#;
const NO_EVENTS: &str = "a right is missing: no Events report restarts and what is wrong with Workspaces and their kinds; to change that, add \
    to the rules of the ClusterRole: ";
const EVENTS: &str = r#"{apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"]}"#;
const SCALE: &str = r#"{apiGroups: ["apps"], resources: ["statefulsets/scale"], verbs: ["patch"]}"#;
const NOTEBOOKS: &str = r#"{apiGroups: ["kubeflow.org"], resources: ["notebooks"], verbs: ["get", "list", "watch"]}"#;
const REVIEWS: &str =
    r#"{apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"]}"#;

const NO_BINDINGS: &str = "a right is missing: the ClusterRoles of WorkspaceKinds are not granted; to change that, add to \
    the rules of the ClusterRole: ";
const BINDINGS: &str = r#"{apiGroups: ["rbac.authorization.k8s.io"], resources: ["rolebindings"], verbs: ["get", "list", "watch", "create", "patch", "delete"]}"#;
const NO_BIND: &str = "a right is missing: of the ClusterRoles of WorkspaceKinds only those are granted whose permissions \
    the controller holds; to change that, add to the rules of the ClusterRole: ";
const BIND: &str = r#"{apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], verbs: ["bind"]}"#;

#[test]
fn the_manifests_of_the_go_controller_work_with_our_image() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    install_crds(&cluster, &older_crds());
    serve_notebooks(&cluster);
    bind_role(&cluster, &role());
    let site = Site::new();
    let mut process = start(&cluster, &site, "log", false);
    register(&cluster, &site);
    what_is_missing_is_one_line_each(&cluster, &process);
    workspaces_run(&cluster);
    options_and_kinds_in_use_are_guarded(&cluster);
    only_what_needs_the_right_is_refused(&cluster);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());

    let mark = cluster.audit().mark().unwrap();
    let mut process = start(&cluster, &site, "again", true);
    every_workspace_is_reconciled(&cluster, &site);
    let again = cluster.audit().since(mark).unwrap().by(CONTROLLER_USER).filter(|request| request.resource != "leases");
    assert!(again.clone().writes().is_empty(), "{:?}", again.writes());
    assert!(refused(&again).is_empty(), "{:?}", refused(&again));

    the_rules_and_the_crds_are_added(&cluster, &process);
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}

fn what_is_missing_is_one_line_each(cluster: &Cluster, process: &Process) {
    let apply = "install the CRDs, with `workspaces-controller crds | kubectl apply --server-side -f -`";
    let workspaces = format!(
        "the CRD workspaces.kubeflow.org is older than this version: the API server drops spec.deferUpdates, \
         status.conditions, status.observedGeneration; Workspaces cannot be selected by spec.kind, so all are listed to \
         find those that use a kind or an option; {apply}"
    );
    let kinds = format!(
        "the CRD workspacekinds.kubeflow.org is older than this version: the API server drops \
         spec.podTemplate.ports[].portId, status.conditions, status.observedGeneration; it requires \
         spec.podTemplate.ports, spec.podTemplate.ports[].defaultDisplayName, spec.podTemplate.ports[].id, \
         spec.podTemplate.ports[].protocol; {apply}"
    );
    let rules = [
        (NO_NOTEBOOKS, NOTEBOOKS),
        (NO_REVIEWS, REVIEWS),
        (NO_EVENTS, EVENTS),
        (NO_SCALE, SCALE),
        (NO_RESTARTS, DELETE_PODS),
        (NO_REVISIONS, REVISIONS),
        (NO_EXEC, EXEC),
    ];
    let mut expected = vec![workspaces, kinds];
    expected.extend(rules.map(|(without, rule)| format!("{without}{rule}")));
    for message in &expected {
        wait_logged(cluster, process, message);
    }
    wait_logged(cluster, process, "caches are synced, without notebooks");
    let mut warned = logged(process, &["WARN", "ERROR"]);
    warned.sort_unstable();
    expected.sort_unstable();
    assert_eq!(warned, expected);
}

/// Their status has every field that the CRD requires.
fn workspaces_run(cluster: &Cluster) {
    cluster.api().create(KINDS, &kind("rstudio")).and_then(Reply::ok).unwrap();
    // The name of a Notebook.
    for name in ["analysis", "taken"] {
        cluster.api().create(WORKSPACES, &workspace(name)).and_then(Reply::ok).unwrap();
        let status = wait_status(cluster, name, "it to run", |status| status["state"] == "Running");
        let expected = json!({
            "activity": {"lastActivity": 0, "lastUpdate": 0},
            "lastRunningTime": status["lastRunningTime"],
            "pauseTime": 0,
            "pendingRestart": false,
            "podTemplateOptions": {"imageConfig": {"desired": "tidyverse"}, "podConfig": {"desired": "small"}},
            "podTemplatePod": {
                "name": status["podTemplatePod"]["name"],
                "nodeName": "node-0",
                "serviceAccountName": format!("ws-{name}"),
                "containers": [{"name": "main"}],
            },
            "state": "Running",
            "stateMessage": "Workspace is running",
        });
        assert_eq!(status, expected);
        assert!(status["lastRunningTime"].as_i64().unwrap() > 1_700_000_000_000, "{status}");
    }
    kinds_are_counted(cluster);
}

/// Their status, too, has every field that the CRD requires.
fn kinds_are_counted(cluster: &Cluster) {
    let counts = |ids: &[&str]| -> Value {
        ids.iter().zip([2, 0]).map(|(id, count)| json!({"id": id, "workspaces": count})).collect()
    };
    let expected = json!({
        "workspaces": 2,
        "podTemplateOptions": {"imageConfig": counts(&["tidyverse"]), "podConfig": counts(&["small", "unused"])},
        "spawnerIcon": {},
        "spawnerLogo": {},
    });
    let counted = cluster.wait_for("the Workspaces of the kind to be counted", TIMEOUT, || {
        let kind = cluster.api().get(&format!("{KINDS}/rstudio")).unwrap().json();
        if kind["status"] == expected { Ok(()) } else { Err(kind["status"].to_string()) }
    });
    counted.unwrap();
}

/// Although the CRD does not let Workspaces be selected by their kind.
fn options_and_kinds_in_use_are_guarded(cluster: &Cluster) {
    let api = cluster.api();
    let path = format!("{KINDS}/rstudio");
    let change = |number: usize| {
        let image = format!("/spec/podTemplate/options/podConfig/values/{number}/spec/resources/requests/cpu");
        api.json_patch(&path, &json!([{"op": "replace", "path": image, "value": "200m"}])).unwrap()
    };
    let reply = change(0);
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert_eq!(
        reply.json()["details"]["causes"][0]["message"],
        "Invalid value: \"small\": podConfig value \"small\" is in use and cannot be changed: used by 2 workspace(s): default/analysis, \
         default/taken",
    );
    change(1).ok().unwrap();
    let reply = api.delete(&path).unwrap();
    assert_eq!(reply.status, 409, "{}", reply.body);
    let used = "WorkspaceKind is used by 2 workspace(s): default/analysis, default/taken";
    assert_eq!(reply.json()["details"]["causes"], json!([{"message": used}]));
    api.create(KINDS, &kind("unused")).and_then(Reply::ok).unwrap();
    api.delete(&format!("{KINDS}/unused")).and_then(Reply::ok).unwrap();
}

fn kind_with_role(name: &str) -> Value {
    let mut kind = kind(name);
    kind["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    kind
}

fn only_what_needs_the_right_is_refused(cluster: &Cluster) {
    let reply = cluster.api().create(KINDS, &kind_with_role("granting")).unwrap();
    assert_eq!(reply.status, 500, "{}", reply.body);
    let expected = format!(
        "admission webhook \"vworkspacekind.kb.io\" denied the request: whether the caller may bind ClusterRole \"view\" \
         could not be determined: the API server rejected the request: subjectaccessreviews.authorization.k8s.io is \
         forbidden: User \"{CONTROLLER_USER}\" cannot create resource \"subjectaccessreviews\" in API group \
         \"authorization.k8s.io\" at the cluster scope; add to the rules of the ClusterRole of the controller: {REVIEWS}"
    );
    assert_eq!(reply.json()["message"], expected);
}

fn every_workspace_is_reconciled(cluster: &Cluster, site: &Site) {
    let reconciled = cluster.wait_for("two reconciles", TIMEOUT, || {
        let text = get(site.ports[2], "/metrics").map_err(|error| error.to_string())?;
        let start = "controller_runtime_reconcile_total{controller=\"workspace\",result=\"success\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(start)).and_then(|count| count.parse::<u32>().ok());
        if count.is_some_and(|count| count >= 2) { Ok(()) } else { Err(text) }
    });
    reconciled.unwrap();
}

/// What the log asks for takes effect without a restart.
fn the_rules_and_the_crds_are_added(cluster: &Cluster, process: &Process) {
    let api = cluster.api();
    let mut role = role();
    for rule in [NOTEBOOKS, REVIEWS, SCALE] {
        role["rules"].as_array_mut().unwrap().push(serde_saphyr::from_str(rule).unwrap());
    }
    api.replace(ROLE, &role).and_then(Reply::ok).unwrap();
    for crd in crds() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        api.apply(&format!("{CRDS}/{name}"), "administrator", &crd).and_then(Reply::ok).unwrap();
    }
    wait_logged(cluster, process, "the watch works again");
    wait_logged(cluster, process, "the CRDs are those of this version now");
    api.create(KINDS, &kind_with_role("granting")).and_then(Reply::ok).unwrap();
    api.delete(&format!("{WORKSPACES}/taken")).and_then(Reply::ok).unwrap();
    let reply = api.create(WORKSPACES, &workspace("taken")).unwrap();
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert_eq!(reply.json()["details"]["causes"][0]["field"], "metadata.name");
    wait_status(cluster, "analysis", "conditions", |status| {
        status["observedGeneration"] == 1 && status["conditions"].as_array().is_some_and(|all| all.len() == 3)
    });
}

/// The condition `Ready` of a Workspace that runs, with the refusal of its RoleBinding in it.
fn wait_not_granted(cluster: &Cluster, name: &str, refusal: &str) {
    let binding = names::role_binding(name, "view");
    let expected = json!({
        "status": "False", "reason": "Refused",
        "message": format!("Workspace RoleBinding {binding} was refused: {}", refusal.replace("{binding}", &binding)),
    });
    let of = |status: &Value, type_: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().find(|condition| condition["type"] == type_).cloned().unwrap_or_default()
    };
    let status = wait_status(cluster, name, "it to run without the role", |status| {
        let ready = of(status, "Ready");
        let ready = json!({"status": ready["status"], "reason": ready["reason"], "message": ready["message"]});
        status["state"] == "Running" && ready == expected
    });
    assert_eq!(status["stateMessage"], "Workspace is running");
    assert_eq!(of(&status, "RouteReady")["status"], "True");
}

/// ClusterRoles made for an earlier version lack the rights on RoleBindings: only what needs them is missing.
#[test]
fn workspaces_run_without_the_rights_on_role_bindings() {
    let cluster = Cluster::start(ClusterOptions { product_crds: false, ..ClusterOptions::default() }).unwrap();
    install_crds(&cluster, &crds());
    let mut older = role();
    let rbac = json!(["rbac.authorization.k8s.io"]);
    older["rules"].as_array_mut().unwrap().retain(|rule| rule["apiGroups"] != rbac);
    bind_role(&cluster, &older);
    let site = Site::new();
    let mut process = start(&cluster, &site, "log", true);
    wait_logged(&cluster, &process, &format!("{NO_BINDINGS}{BINDINGS}"));
    wait_logged(&cluster, &process, &format!("{NO_BIND}{BIND}"));
    let api = cluster.api();
    for object in [kind("plain"), kind_with_role("granting")] {
        api.create(KINDS, &object).and_then(Reply::ok).unwrap();
    }
    for name in ["plain", "granting"] {
        let mut workspace = workspace(name);
        workspace["spec"]["kind"] = json!(name);
        api.create(WORKSPACES, &workspace).and_then(Reply::ok).unwrap();
    }
    let conditions_are_true = |status: &Value| {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        !conditions.is_empty() && conditions.iter().all(|condition| condition["status"] == "True")
    };
    wait_status(&cluster, "plain", "it to be ready", conditions_are_true);
    wait_not_granted(
        &cluster,
        "granting",
        &format!(
            "rolebindings.rbac.authorization.k8s.io \"{{binding}}\" is forbidden: User \"{CONTROLLER_USER}\" cannot patch \
             resource \"rolebindings\" in API group \"rbac.authorization.k8s.io\" in the namespace \"default\""
        ),
    );

    let mut rules = older["rules"].as_array().unwrap().clone();
    rules.push(serde_saphyr::from_str(BINDINGS).unwrap());
    api.merge_patch(ROLE, &json!({"rules": rules})).and_then(Reply::ok).unwrap();
    wait_logged(&cluster, &process, "the watch works again");
    let binding = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/{}",
        names::role_binding("granting", "view")
    );
    // What the role grants is listed after this.
    let not_held = format!("user \"{CONTROLLER_USER}\"");
    let escalation = cluster.wait_for("the escalation to be refused", TIMEOUT, || {
        let status = status(&cluster, "granting");
        let text = status.to_string();
        if text.contains("is attempting to grant RBAC permissions not currently held") { Ok(status) } else { Err(text) }
    });
    let escalation = escalation.unwrap();
    assert_eq!(escalation["state"], "Running");
    let ready =
        escalation["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Ready").unwrap();
    let message = ready["message"].as_str().unwrap();
    let name = names::role_binding("granting", "view");
    let start = format!(
        "Workspace RoleBinding {name} was refused: rolebindings.rbac.authorization.k8s.io \"{name}\" is forbidden: {not_held}"
    );
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(api.get(&binding).unwrap().status, 404);

    rules.push(serde_saphyr::from_str(BIND).unwrap());
    api.merge_patch(ROLE, &json!({"rules": rules})).and_then(Reply::ok).unwrap();
    api.merge_patch(&format!("{WORKSPACES}/granting"), &json!({"spec": {"displayName": "Granting"}}))
        .unwrap()
        .ok()
        .unwrap();
    wait_status(&cluster, "granting", "it to be ready", conditions_are_true);
    assert_eq!(api.get(&binding).unwrap().json()["roleRef"]["name"], "view");
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
}
