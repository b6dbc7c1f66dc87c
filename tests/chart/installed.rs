//! An installation as an administrator makes it: `helm install` on a fresh control plane, the binary run with exactly
//! the arguments, environment and permissions of the live Deployment and its account, then `helm uninstall`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use cluster::{CONTROLLER_ACCOUNT, CONTROLLER_USER, Cluster, ClusterOptions, Output, Requests, Tools, report, run};
use serde_json::{Value, json};
use workspaces_controller::render::names::ChildNames;
use workspaces_controller::render::{ChildKind, ChildRow};

use crate::check;
use crate::helm::{HelmOutput, NAMESPACE, documents, helm, text};
use crate::process::Process;
use crate::user_roles;

pub const TIMEOUT: Duration = Duration::from_mins(1);
const VALIDITY: Duration = Duration::from_hours(24);
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/workspaces-manager-role";
const OWN_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/kubeflow-workspaces/roles";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.kubeflow.org";
const WORKSPACE: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces/my-notebook";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const KIND: &str = "/apis/kubeflow.org/v1beta1/workspacekinds/jupyterlab";

/// A folder with the certificate, and the values that go with it.
pub struct Site {
    pub dir: tempfile::TempDir,
    /// Of the webhook, of health, of metrics.
    pub ports: [u16; 3],
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let ca = certs::Ca::issue("chart test", now, VALIDITY).unwrap();
        let leaf = ca.issue_leaf(&["127.0.0.1".into()], now, VALIDITY).unwrap();
        std::fs::write(dir.path().join("ca.crt"), ca.cert_pem()).unwrap();
        std::fs::write(dir.path().join("tls.crt"), leaf.chain_pem).unwrap();
        std::fs::write(dir.path().join("tls.key"), leaf.key_pem).unwrap();
        Self { dir, ports: free_ports() }
    }

    pub fn helm(&self, cluster: &Cluster, action: &str, more: &[&str]) -> HelmOutput {
        let [webhook, health, metrics] = self.ports;
        let ca = format!("webhook.caBundle={}", self.dir.path().join("ca.crt").display());
        let sets = [
            "certificate.mode=existingSecret".to_owned(),
            format!("certificate.mountPath={}", self.dir.path().display()),
            format!("webhook.url=https://127.0.0.1:{webhook}"),
            format!("ports.webhook={webhook}"),
            format!("ports.health={health}"),
            format!("ports.metrics={metrics}"),
            // Pods have a network namespace of their own, with this port free.
            "settings.statusBindAddress=127.0.0.1:0".to_owned(),
            "settings.enforceFilterRules=true".to_owned(),
            "settings.enforceCanMount=true".to_owned(),
        ];
        let mut args = vec![action, "workspaces-controller", "charts/workspaces-controller", "--namespace", NAMESPACE];
        args.extend(["--set-file", &ca]);
        args.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        args.extend(more);
        helm(&args, Some(&cluster.api().kubeconfig))
    }
}

/// Unused ports, outside the ephemeral range.
pub fn free_ports() -> [u16; 3] {
    // Another test of this process may be about to listen.
    static SITES: AtomicU16 = AtomicU16::new(0);
    let offset = 1_000 * SITES.fetch_add(1, Ordering::Relaxed);
    let start = 20_000 + offset + u16::try_from(std::process::id() % 10_000).unwrap();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let found: Vec<u16> = (start..start + 1_000).filter(free).take(3).collect();
    found.try_into().unwrap()
}

fn deployment(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
}

/// Starts the process of the live Deployment of that name, with its ServiceAccount, which has the same.
pub fn start(cluster: &Cluster, name: &str, dir: &Path) -> Process {
    let deployment = cluster.api().get(&deployment(name)).unwrap().ok().unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], name);
    let container = &pod["containers"][0];
    let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect();
    let mut env: Vec<(String, String)> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].as_str().unwrap().to_owned()))
        .collect();
    // In the cluster the token of the account is mounted as a file; here the kubeconfig has one of the same account.
    let account = cluster.as_service_account(NAMESPACE, name).unwrap();
    env.push(("KUBECONFIG".to_owned(), account.kubeconfig.display().to_string()));
    // So is its namespace.
    env.push(("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned()));
    Process::start(&PathBuf::from(env!("CARGO_BIN_EXE_workspaces-controller")), args, env, dir.join("log"))
}

#[test]
fn an_installation_runs_with_exactly_what_the_chart_gives_it() {
    // Some distributions enable this: to create a child that blocks its owner's deletion requires a permission on the
    // owner.
    let api_server_args = vec!["--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned()];
    let options = ClusterOptions { product_crds: false, api_server_args, exec: true, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).unwrap();
    serve_notebooks(&cluster);
    let site = Site::new();
    let installed = site.helm(&cluster, "install", &["--create-namespace", "--wait", "--timeout", "2m"]);
    assert!(installed.success, "{}", installed.stderr);

    let mut process = start(&cluster, CONTROLLER_ACCOUNT, site.dir.path());
    process.wait_ready(site.ports[1], TIMEOUT);
    notes_have_commands_that_work(&cluster, &installed.stdout);
    let profile = user_roles::make_kubeflow_users(&cluster);
    user_roles::kubeflow_users_have_rights(&cluster, &profile);
    check::passes_with_exactly_its_rights(&cluster);
    live_through_everything(&cluster, &mut process);
    let mut workspace = documents(&text("docs/examples/jupyterlab-workspace.yaml")).pop().unwrap();
    workspace["metadata"] = json!({"name": "mine"});
    workspace["spec"]["podTemplate"]["volumes"] = json!({});
    user_roles::contributors_start_workspaces(&cluster, &profile, &workspace.to_string());
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
    upgrading_and_rolling_back_change_what_runs(&cluster, &site, &profile);

    let requests = cluster.audit().all().unwrap().by(CONTROLLER_USER);
    let refused = requests.clone().filter(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    every_right_is_used(&cluster, &requests);
    uninstalling_keeps_workspaces_and_rights(&cluster, &site, &profile, &installed.stdout);
}

/// Without Istio the process deletes the routes that it created, and with the first release's values it makes them again.
fn upgrading_and_rolling_back_change_what_runs(cluster: &Cluster, site: &Site, profile: &str) {
    let run = |what: &str, is_there: bool| {
        let mut process = start(cluster, CONTROLLER_ACCOUNT, site.dir.path());
        process.wait_ready(site.ports[1], TIMEOUT);
        let routes = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
        let seen = cluster.wait_for(what, TIMEOUT, || match list(cluster, routes) {
            routes if routes.is_empty() != is_there => Ok(()),
            routes => Err(format!("{routes:?}")),
        });
        seen.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
        assert!(process.terminate(TIMEOUT).success(), "{}", process.log());
    };
    let changes = [
        "settings.useIstio=false",
        "userRoles.aggregateToKubernetes=true",
        "userRoles.kindViewers={system:authenticated}",
    ];
    let set: Vec<&str> = changes.iter().flat_map(|value| ["--set", value]).collect();
    let upgraded = site.helm(cluster, "upgrade", &set);
    assert!(upgraded.success, "{}", upgraded.stderr);
    run("the routes to go", false);
    user_roles::kubernetes_users_have_rights(cluster, profile);
    let rollback = ["rollback", "workspaces-controller", "1", "--namespace", NAMESPACE, "--wait"];
    let rolled_back = helm(&rollback, Some(&cluster.api().kubeconfig));
    assert!(rolled_back.success, "{}", rolled_back.stderr);
    run("the routes to be made again", true);
    user_roles::kubeflow_users_have_rights(cluster, profile);
}

pub fn list(cluster: &Cluster, path: &str) -> Vec<Value> {
    cluster.api().get(path).unwrap().ok().unwrap()["items"].as_array().cloned().unwrap_or_default()
}

/// The commands in the notes, as they are printed: the shell takes them with their indentation.
pub fn commands_of_notes(stdout: &str) -> Vec<&str> {
    let notes = stdout.split_once("\nNOTES:\n").unwrap().1;
    let indented = notes.lines().filter(|line| line.starts_with("     "));
    indented.filter(|line| ["kubectl ", "helm -n"].iter().any(|program| line.contains(program))).collect()
}

/// Runs a command of the notes in a shell that finds kubectl and helm.
pub fn shell(cluster: &Cluster, command: &str) -> Output {
    let folder = |program: &Path| program.parent().unwrap().display().to_string();
    let helm = Tools::helm().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", folder(&cluster.tools().kubectl), folder(&helm));
    let mut shell = Command::new("/bin/sh");
    let home = tempfile::tempdir().unwrap();
    shell.args(["-c", command]).env_clear().env("PATH", path).env("HOME", home.path());
    shell.env("KUBECONFIG", &cluster.api().kubeconfig);
    run(shell, None).unwrap()
}

/// Three commands, of which the second is refused by the webhook, as the notes say.
fn notes_have_commands_that_work(cluster: &Cluster, stdout: &str) {
    let commands = commands_of_notes(stdout);
    let [rollout, probe, get, ..] = commands[..] else { panic!("{stdout}") };
    shell(cluster, rollout).ok().unwrap();
    let refused = cluster.wait_for("the webhook to be asked", TIMEOUT, || {
        let output = shell(cluster, probe);
        let is_refused = !output.success && output.stderr.contains(r#"workspace kind "no-such-kind" not found"#);
        if is_refused { Ok(()) } else { Err(output.stderr) }
    });
    refused.unwrap();
    shell(cluster, get).ok().unwrap();
}

/// A volume for the claim of the example: there is no provisioner on this control plane.
fn offer_a_volume(cluster: &Cluster) {
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "home"},
        "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}},
    });
    cluster.api().create("/api/v1/persistentvolumes", &volume).unwrap().ok().unwrap();
}

/// The API of Kubeflow's first notebook controller.
pub fn serve_notebooks(cluster: &Cluster) {
    cluster.install_notebook_crd().unwrap();
    let notebook = json!({"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "metadata": {"name": "taken"}});
    cluster.api().create("/apis/kubeflow.org/v1/namespaces/default/notebooks", &notebook).unwrap().ok().unwrap();
}

/// Everything that admission looks up besides kinds and Workspaces.
fn admission_asks_the_api_server(cluster: &Cluster) {
    let object = |file: &str| documents(&text(file)).pop().unwrap();
    let create = |path: &str, object: &Value| cluster.api().create(&format!("{path}?dryRun=All"), object).unwrap();
    let mut kind = object("docs/examples/jupyterlab-kind.yaml");
    kind["metadata"]["name"] = json!("with-roles");
    kind["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    kind["spec"]["filterRules"] = json!([{
        "scope": "WORKSPACE_KIND",
        "effect": {"api": {"deny": true, "denyMessage": {"text": "not in this namespace"}}},
        "match": [{"matchNamespace": {"selector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}}],
    }]);
    let kinds = "/apis/kubeflow.org/v1beta1/workspacekinds";
    cluster.api().create(kinds, &kind).unwrap().ok().unwrap();
    let mut workspace = object("docs/examples/jupyterlab-workspace.yaml");
    workspace["metadata"] = json!({"name": "taken"});
    workspace["spec"]["kind"] = json!("with-roles");
    workspace["spec"]["podTemplate"]["volumes"]["secrets"] = json!([{"secretName": "nowhere", "mountPath": "/secret"}]);
    let reply = create("/apis/kubeflow.org/v1beta1/namespaces/default/workspaces", &workspace);
    let mut fields: Vec<String> = Vec::new();
    for cause in reply.json()["details"]["causes"].as_array().unwrap() {
        fields.push(format!("{}: {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()));
    }
    let assert_field =
        |start: &str| assert!(fields.iter().any(|field| field.starts_with(start)), "{start}: {fields:#?}");
    assert_field("spec.kind: Forbidden: workspace kind \"with-roles\" is not allowed here: not in this namespace");
    assert_field(
        "spec.podTemplate.volumes.secrets[0].secretName: Invalid value: \"nowhere\": Secret \"nowhere\" does not exist",
    );
    assert_field("metadata.name: Invalid value: \"taken\": there is a Notebook");
    cluster.api().delete(&format!("{kinds}/with-roles")).unwrap().ok().unwrap();
}

/// The whole life of a Workspace: created, running, paused, its kind in use, deleted.
fn live_through_everything(cluster: &Cluster, process: &mut Process) {
    let mut kind = documents(&text("docs/examples/jupyterlab-kind.yaml")).pop().unwrap();
    kind["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    allow_no_pods(cluster);
    for document in [kind.to_string(), text("docs/examples/jupyterlab-workspace.yaml")] {
        cluster.kubectl_stdin(&["apply", "-f", "-"], &document).unwrap().ok().unwrap();
    }
    events_are_read_while_there_is_no_pod(cluster);
    offer_a_volume(cluster);
    let mut state_is = |wanted: &str| {
        let seen = cluster.wait_for(&format!("the Workspace to be {wanted}"), TIMEOUT, || {
            process.must_run();
            let status = cluster.api().get(WORKSPACE).unwrap().json()["status"].clone();
            if status["state"] == wanted { Ok(()) } else { Err(status.to_string()) }
        });
        seen.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    };
    state_is("Running");
    admission_asks_the_api_server(cluster);
    let routes = list(cluster, "/apis/networking.istio.io/v1/namespaces/default/virtualservices");
    assert_eq!(
        routes[0]["spec"]["http"][0]["match"],
        json!([{"uri": {"prefix": "/workspace/default/my-notebook/jupyterlab/"}}])
    );
    restart_the_pod(cluster);
    state_is("Running");
    lose_the_labels_of_children(cluster);
    leave_a_route_behind(cluster);
    take_roles_and_accounts_away(cluster);
    make_some_twice(cluster);
    pause_what_is_idle(cluster);
    let refused = cluster.api().delete(KIND).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    refuse_changes_of_stateful_sets(cluster);
    cluster.api().merge_patch(WORKSPACE, &json!({"spec": {"paused": true}})).unwrap().ok().unwrap();
    state_is("Paused");
    writes_are_logged(process);
}

/// A restart is pending after a change of the kind, and happens when the user edits the Workspace.
fn restart_the_pod(cluster: &Cluster) {
    let labelled = |key: &str| json!({"spec": {"podTemplate": {"podMetadata": {"labels": {key: "yes"}}}}});
    let wait = |pending: bool, label: &str| {
        let what = format!("a pod with the label {label}, or a restart pending");
        let seen = cluster.wait_for(&what, TIMEOUT, || {
            let status = cluster.api().get(WORKSPACE).unwrap().json()["status"].clone();
            let pods = list(cluster, "/api/v1/namespaces/default/pods");
            let has_label = pods.iter().any(|pod| pod["metadata"]["labels"][label] == "yes");
            let is_pending = status["pendingRestart"] == json!(pending) && has_label != pending;
            if is_pending { Ok(()) } else { Err(status.to_string()) }
        });
        seen.unwrap();
    };
    cluster.api().merge_patch(KIND, &labelled("of-kind")).unwrap().ok().unwrap();
    wait(true, "of-kind");
    cluster.api().merge_patch(WORKSPACE, &labelled("of-user")).unwrap().ok().unwrap();
    wait(false, "of-user");
}

/// In force when this returns: no pod can be created.
fn allow_no_pods(cluster: &Cluster) {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
    });
    cluster.api().create(QUOTAS, &quota).unwrap().ok().unwrap();
    let in_force = cluster.wait_for("the quota to be in force", TIMEOUT, || {
        let quota = cluster.api().get(&format!("{QUOTAS}/none")).unwrap().json();
        if quota["status"]["hard"]["pods"] == "0" { Ok(()) } else { Err(quota.to_string()) }
    });
    in_force.unwrap();
}

/// A quota keeps the pod from being created, and then does not any longer.
fn events_are_read_while_there_is_no_pod(cluster: &Cluster) {
    let read = cluster.wait_for("Events to be read", TIMEOUT, || {
        let requests = cluster.audit().all().unwrap().by(CONTROLLER_USER);
        let read = requests.filter(|request| request.verb == "list" && request.resource == "events");
        if read.is_empty() { Err(cluster.api().get(WORKSPACE).unwrap().body) } else { Ok(()) }
    });
    read.unwrap();
    let quoted = cluster.wait_for("the quota to be quoted", TIMEOUT, || {
        let status = cluster.api().get(WORKSPACE).unwrap().json()["status"].clone();
        let is_quoted =
            status["state"] == "Error" && status["stateMessage"].to_string().contains("exceeded quota: none");
        if is_quoted { Ok(()) } else { Err(status.to_string()) }
    });
    quoted.unwrap();
    cluster.api().delete(&format!("{QUOTAS}/none")).unwrap().ok().unwrap();
}

/// A policy of an administrator, in force when this returns: the process can only scale.
fn refuse_changes_of_stateful_sets(cluster: &Cluster) {
    let group = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "frozen"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["statefulsets"], "operations": ["UPDATE"],
            }]},
            "validations": [{"expression": "false"}],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "frozen"},
        "spec": {"policyName": "frozen", "validationActions": ["Deny"]},
    });
    for (resource, object) in [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)]
    {
        cluster.api().create(&format!("/apis/{group}/{resource}"), &object).unwrap().ok().unwrap();
    }
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let name = list(cluster, sets)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let change = json!({"metadata": {"labels": {"asked": "yes"}}});
    let refused = cluster.wait_for("the policy to be in force", TIMEOUT, || {
        let reply = cluster.api().merge_patch(&format!("{sets}/{name}?dryRun=All"), &change).unwrap();
        if reply.status == 422 { Ok(()) } else { Err(reply.body) }
    });
    refused.unwrap();
}

/// Each write has a line that says what was written, for which Workspace, and why.
fn writes_are_logged(process: &Process) {
    let log = process.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let written = |what: &str| lines.iter().filter(|line| line["message"] == what).collect::<Vec<_>>();
    let created = written("created");
    for kind in ChildKind::ALL {
        let line = created.iter().find(|line| line["kind"] == kind.row().kind);
        let line = line.unwrap_or_else(|| panic!("{kind:?} in {log}"));
        let found = ["controller", "namespace", "name", "generation", "cause"].map(|field| line[field].clone());
        assert_eq!(json!(found), json!(["workspace", "default", "my-notebook", 1, "changed"]), "{line}");
    }
    assert!(written("status written").iter().any(|line| line["state"] == "Running"), "{log}");
}

/// The children of the Workspace: their resource, as in the role, and the path of their collection.
fn children() -> Vec<(&'static str, String)> {
    let path = |row: &ChildRow| {
        let root = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
        format!("{root}/{}/namespaces/default/{}", row.version, row.plural)
    };
    ChildKind::ALL.map(|kind| (kind.row().plural, path(kind.row()))).into()
}

/// The label by which the process watches its children is removed: it has to read each one by name.
fn lose_the_labels_of_children(cluster: &Cluster) {
    let of_workspace = |path: &str| -> Vec<Value> {
        let owned = |object: &Value| object["metadata"]["ownerReferences"][0]["name"] == "my-notebook";
        list(cluster, path).into_iter().filter(owned).collect()
    };
    for (_, path) in children() {
        let found = of_workspace(&path);
        assert_eq!(found.len(), 1, "{path}");
        let path = format!("{path}/{}", found[0]["metadata"]["name"].as_str().unwrap());
        let without = json!({"metadata": {"labels": {"notebooks.kubeflow.org/workspace-name": null}}});
        cluster.api().merge_patch(&path, &without).unwrap().ok().unwrap();
        let back = cluster.wait_for("the label to be back", TIMEOUT, || {
            let object = cluster.api().get(&path).unwrap().json();
            let label = &object["metadata"]["labels"]["notebooks.kubeflow.org/workspace-name"];
            if label == "my-notebook" { Ok(()) } else { Err(object["metadata"].to_string()) }
        });
        back.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// A route whose Workspace is not in the cache: the process has to ask the API server for it.
fn leave_a_route_behind(cluster: &Cluster) {
    let uid = "5d6d2bf6-1c9c-4b7e-8f8c-6a5f4d1f0002";
    let name = ChildNames::new("nobody", uid).service;
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {
            "name": name,
            "labels": {"notebooks.kubeflow.org/workspace-name": "nobody"},
            "ownerReferences": [{
                "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "nobody", "uid": uid, "controller": true,
            }],
        },
        "spec": {"hosts": ["nobody.example.com"], "http": [{"route": [{"destination": {"host": "nobody"}}]}]},
    });
    let routes = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
    cluster.api().create(routes, &route).unwrap().ok().unwrap();
    let gone = cluster.wait_for("the route to go", TIMEOUT, || {
        let reply = cluster.api().get(&format!("{routes}/{name}")).unwrap();
        if reply.status == 404 { Ok(()) } else { Err(reply.body) }
    });
    gone.unwrap();
}

/// The Go controller is known by its field manager.
const BY_THE_GO_CONTROLLER: &str = "?fieldManager=manager";

/// A second StatefulSet and a second Service, as the Go controller may make them if it runs at the same time.
fn make_some_twice(cluster: &Cluster) {
    let owner = cluster.api().get(WORKSPACE).unwrap().ok().unwrap();
    let metadata = json!({
        "name": "ws-my-notebook-other",
        "labels": {"notebooks.kubeflow.org/workspace-name": "my-notebook"},
        "ownerReferences": [controller_reference(&owner)],
    });
    let labels = json!({"other": "set"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "i"}]}});
    let set = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    for (collection, api_version, kind, spec) in [
        ("/apis/apps/v1/namespaces/default/statefulsets", "apps/v1", "StatefulSet", set),
        ("/api/v1/namespaces/default/services", "v1", "Service", json!({"ports": [{"port": 80}]})),
    ] {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
        cluster.api().create(&format!("{collection}{BY_THE_GO_CONTROLLER}"), &object).unwrap().ok().unwrap();
        let gone = cluster.wait_for("the second one to go", TIMEOUT, || {
            let reply = cluster.api().get(&format!("{collection}/ws-my-notebook-other")).unwrap();
            if reply.status == 404 { Ok(()) } else { Err(reply.body) }
        });
        gone.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

/// A role that the kind no longer grants, and an account of the Workspace that its pod does not run as.
fn take_roles_and_accounts_away(cluster: &Cluster) {
    let owner = cluster.api().get(WORKSPACE).unwrap().ok().unwrap();
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "ws-my-notebook-older",
            "labels": {"notebooks.kubeflow.org/workspace-name": "my-notebook"},
            "ownerReferences": [controller_reference(&owner)],
        },
    });
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.api().create(&format!("{accounts}{BY_THE_GO_CONTROLLER}"), &account).unwrap().ok().unwrap();
    cluster.api().merge_patch(KIND, &json!({"spec": {"podTemplate": {"serviceAccount": null}}})).unwrap().ok().unwrap();
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let gone = cluster.wait_for("role and account to go", TIMEOUT, || {
        let (bindings, account) =
            (list(cluster, bindings), cluster.api().get(&format!("{accounts}/ws-my-notebook-older")).unwrap());
        if bindings.is_empty() && account.status == 404 { Ok(()) } else { Err(format!("{bindings:?} {account:?}")) }
    });
    gone.unwrap();
}

/// A Workspace that a script in its pod calls idle.
fn pause_what_is_idle(cluster: &Cluster) {
    let object = |file: &str, name: &str| {
        let mut object = documents(&text(file)).pop().unwrap();
        object["metadata"] = json!({"name": name});
        object
    };
    let mut kind = object("docs/examples/jupyterlab-kind.yaml", "probed");
    let script = "#!/bin/sh\necho '{\"has_activity\": false}' >\"$OUTPUT_JSON_PATH\"";
    kind["spec"]["podTemplate"]["activityProbe"] =
        json!({"probeIntervalSeconds": 1, "minProbeIntervalSeconds": 1, "podExec": {"script": script}});
    kind["spec"]["activityRules"] = json!([{"config": {"secondsSinceActive": 16}, "effect": {"pauseWorkspace": true}}]);
    let mut workspace = object("docs/examples/jupyterlab-workspace.yaml", "idle");
    workspace["spec"]["kind"] = json!("probed");
    workspace["spec"]["podTemplate"]["volumes"] = json!({});
    let workspaces = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
    for (path, object) in [("/apis/kubeflow.org/v1beta1/workspacekinds", &kind), (workspaces, &workspace)] {
        cluster.api().create(path, object).unwrap().ok().unwrap();
    }
    let path = format!("{workspaces}/idle");
    let paused = cluster.wait_for("the idle Workspace to be paused", TIMEOUT, || {
        let workspace = cluster.api().get(&path).unwrap().json();
        if workspace["status"]["state"] == "Paused" { Ok(()) } else { Err(workspace["status"].to_string()) }
    });
    paused.unwrap();
    cluster.api().delete(&path).unwrap().ok().unwrap();
}

fn controller_reference(workspace: &Value) -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "my-notebook", "uid": workspace["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Least privilege: every permission of the role was used, or the API server refuses the work without it.
fn every_right_is_used(cluster: &Cluster, requests: &Requests) {
    let [role, own] = [ROLE.to_owned(), format!("{OWN_ROLES}/workspaces-leader-election-role")]
        .map(|path| cluster.api().get(&path).unwrap().ok().unwrap());
    let words = |rule: &Value, part: &str| -> Vec<String> {
        rule[part].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap().iter().chain(own["rules"].as_array().unwrap()) {
        for resource in words(rule, "resources") {
            granted.extend(words(rule, "verbs").iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    let used: BTreeSet<String> = requests
        .0
        .iter()
        .map(|request| match request.subresource.as_str() {
            "" => format!("{} {}", request.verb, request.resource),
            subresource => format!("{} {}/{subresource}", request.verb, request.resource),
        })
        .collect();
    let mut silent = BTreeSet::from(["update workspaces/finalizers".to_owned(), "bind clusterroles".to_owned()]);
    // Newer API servers ask for it, where this one asks for `get`.
    silent.insert("create pods/exec".to_owned());
    // This API server streams lists, to which `watch` is the right. Of what has to be there the process also asks, until it is
    // ready, whether it may be listed.
    silent.extend(["configmaps", "namespaces", "notebooks", "rolebindings"].map(|optional| format!("list {optional}")));
    silent.extend(children().into_iter().map(|(resource, _)| format!("create {resource}")));
    let unused: BTreeSet<String> = granted.difference(&used).cloned().collect();
    assert_eq!(unused, silent, "granted but not used; used were {used:?}");
    silent_rights_are_needed(cluster, &role);
    let (used, silent) = (granted.len() - silent.len(), silent.len());
    let figure = format!("{used} rights used, {silent} that leave no trace in the audit log here, no request refused");
    report("S1", true, figure, "no other right, none refused");
}

/// Permissions that the API server checks besides the request itself, and so are not in its audit log.
fn silent_rights_are_needed(cluster: &Cluster, role: &Value) {
    let account = cluster.as_service_account(NAMESPACE, CONTROLLER_ACCOUNT).unwrap();
    let owner = cluster.api().get(WORKSPACE).unwrap().ok().unwrap();
    let metadata = json!({"name": "probe", "ownerReferences": [controller_reference(&owner)]});
    let child = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "probe"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    });
    let child = ("/api/v1/namespaces/default/serviceaccounts/probe", child);
    let binding = ("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/probe", binding);
    let make = |(path, object): &(&str, Value)| {
        let reply = account.apply(path, "probe", object).unwrap();
        cluster.api().delete(path).unwrap();
        reply.status
    };
    for (resource, verb, needed_for) in [
        ("workspaces/finalizers", "update", &child),
        ("serviceaccounts", "create", &child),
        ("clusterroles", "bind", &binding),
    ] {
        assert_eq!(make(needed_for), 201, "{resource}");
        let mut less = role.clone();
        for rule in less["rules"].as_array_mut().unwrap() {
            if rule["resources"].as_array().unwrap().contains(&json!(resource)) {
                rule["verbs"].as_array_mut().unwrap().retain(|granted| granted != verb);
            }
        }
        // A rule has at least one verb.
        less["rules"].as_array_mut().unwrap().retain(|rule| rule["verbs"] != json!([]));
        cluster.api().merge_patch(ROLE, &json!({"rules": less["rules"]})).unwrap().ok().unwrap();
        let refused = cluster.wait_for("the right to be gone", TIMEOUT, || match make(needed_for) {
            403 => Ok(()),
            status => Err(format!("{verb} {resource} is not needed: {status}")),
        });
        refused.unwrap();
        cluster.api().merge_patch(ROLE, &json!({"rules": role["rules"]})).unwrap().ok().unwrap();
        let back = cluster
            .wait_for("the right to be back", TIMEOUT, || Some(make(needed_for)).filter(|status| *status == 201));
        back.unwrap();
    }
}

/// By the commands of the notes: the webhook configuration, then the release.
fn uninstalling_keeps_workspaces_and_rights(cluster: &Cluster, site: &Site, profile: &str, stdout: &str) {
    let commands = commands_of_notes(stdout);
    assert_eq!(commands.len(), 5, "{commands:#?}");
    for command in &commands[3..] {
        shell(cluster, command).ok().unwrap();
    }
    let deployment = deployment(CONTROLLER_ACCOUNT);
    let gone = cluster.wait_for("the Deployment to go", TIMEOUT, || match cluster.api().get(&deployment).unwrap() {
        reply if reply.status == 404 => Ok(()),
        reply => Err(reply.body),
    });
    gone.unwrap();
    for kept in [CRD, WORKSPACE, KIND] {
        assert_eq!(cluster.api().get(kept).unwrap().status, 200, "{kept}");
    }
    user_roles::kubeflow_users_have_rights(cluster, profile);
    let again = site.helm(cluster, "install", &[]);
    assert!(again.success, "{}", again.stderr);
}

/// helm refuses to install over the CRDs of another installation, and adopts them on request.
#[test]
fn crds_of_others_are_taken_over_only_on_request() {
    let cluster = Cluster::shared();
    let site = Site::new();
    let refused = site.helm(cluster, "install", &["--dry-run=server"]);
    assert!(
        !refused.success && refused.stderr.contains("cannot be imported into the current release"),
        "{}",
        refused.stderr
    );
    let taken = site.helm(cluster, "install", &["--dry-run=server", "--take-ownership"]);
    assert!(taken.success, "{}", taken.stderr);
    let without = site.helm(cluster, "install", &["--dry-run=server", "--set", "crds.enabled=false"]);
    assert!(without.success, "{}", without.stderr);
    assert!(documents_of(&without.stdout).iter().all(|object| object["kind"] != "CustomResourceDefinition"));
}

fn documents_of(install: &str) -> Vec<Value> {
    let manifest = install.split_once("MANIFEST:\n").unwrap().1.split_once("\nNOTES:").unwrap().0;
    documents(manifest)
}
