//! What users may do after an installation, as the API server answers it. It is part of the tests that install the chart.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Cluster, Reply};
use serde_json::{Value, json};

use crate::helm::objects;

const TIMEOUT: Duration = Duration::from_mins(1);
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const RESOURCES: [&str; 4] = ["workspaces", "workspaces/status", "workspacekinds", "workspacekinds/status"];

/// The verbs that a user of these groups has, by resource; in the namespace, and in the cluster.
fn rights(cluster: &Cluster, user: &str, groups: &[&str], namespace: &str) -> BTreeMap<&'static str, String> {
    let allowed = |verb: &str, resource: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let namespace = if resource == "workspaces" { namespace } else { "" };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": {
                "group": "kubeflow.org", "resource": resource, "subresource": subresource, "verb": verb, "namespace": namespace,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        cluster.api().create(path, &review).and_then(Reply::ok).unwrap()["status"]["allowed"] == true
    };
    let verbs = |resource: &str| -> Vec<&str> {
        READ.split(' ').chain(WRITE.split(' ')).filter(|verb| allowed(verb, resource)).collect()
    };
    let all = RESOURCES.map(|resource| (resource, verbs(resource).join(" ")));
    all.into_iter().filter(|(_, verbs)| !verbs.is_empty()).collect()
}

/// Waits: the controller manager fills aggregated roles, one after the other.
#[track_caller]
fn wait_for_rights(cluster: &Cluster, user: &str, groups: &[&str], namespace: &str, expected: &[(&'static str, &str)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(resource, verbs)| (*resource, (*verbs).to_owned())).collect();
    let right = cluster.wait_for(&format!("the rights of {user}"), TIMEOUT, || {
        let rights = rights(cluster, user, groups, namespace);
        if rights == expected { Ok(()) } else { Err(format!("{rights:?}, expected {expected:?}")) }
    });
    right.unwrap();
}

/// Binds a ClusterRole to a user of this name, in a namespace or, without one, in the cluster.
fn bind(cluster: &Cluster, user: &str, role: &str, namespace: Option<&str>) {
    let (kind, path) = match namespace {
        Some(namespace) => ("RoleBinding", format!("{RBAC}/namespaces/{namespace}/rolebindings")),
        None => ("ClusterRoleBinding", format!("{RBAC}/clusterrolebindings")),
    };
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    });
    cluster.api().create(&path, &binding).and_then(Reply::ok).unwrap();
}

/// Kubeflow's own roles, to which a Profile's RoleBindings refer, and users as a Profile has them.
pub fn make_kubeflow_users(cluster: &Cluster) -> String {
    for role in ["admin", "edit", "view"] {
        let label = format!("rbac.authorization.kubeflow.org/aggregate-to-kubeflow-{role}");
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": format!("kubeflow-{role}")},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}, "rules": [],
        });
        cluster.api().create(&format!("{RBAC}/clusterroles"), &role).and_then(Reply::ok).unwrap();
    }
    let namespace = cluster.namespace("profile").unwrap();
    for (user, role) in [("owner", "kubeflow-admin"), ("contributor", "kubeflow-edit"), ("viewer", "kubeflow-view")] {
        bind(cluster, user, role, Some(&namespace));
    }
    bind(cluster, "platform", "kubeflow-workspaces-admin", None);
    for (user, role) in [("k8s-owner", "admin"), ("k8s-editor", "edit"), ("k8s-viewer", "view")] {
        bind(cluster, user, role, Some(&namespace));
    }
    namespace
}

/// After an installation: those whom Kubeflow gave a role in the namespace, and nobody else.
pub fn kubeflow_users_have_rights(cluster: &Cluster, namespace: &str) {
    let read = [("workspaces", READ), ("workspaces/status", READ)];
    let all = format!("{READ} {WRITE}");
    let edit = [("workspaces", &*all), ("workspaces/status", READ)];
    let admin = [edit[0], edit[1], ("workspacekinds", &all), ("workspacekinds/status", READ)];
    wait_for_rights(cluster, "viewer", &[], namespace, &read);
    wait_for_rights(cluster, "contributor", &[], namespace, &edit);
    // Kinds are of the whole cluster: who owns a namespace has no right to them.
    wait_for_rights(cluster, "owner", &[], namespace, &edit);
    wait_for_rights(cluster, "platform", &[], namespace, &admin);
    for nobody in ["stranger", "k8s-owner", "k8s-editor", "k8s-viewer"] {
        wait_for_rights(cluster, nobody, &["system:authenticated"], namespace, &[]);
    }
    for user in ["contributor", "viewer"] {
        assert!(rights(cluster, user, &[], "default").is_empty(), "{user} in another namespace");
    }
}

/// Whoever gave them the right: the roles of the Go controller do too, and more.
pub fn wait_until_contributors_may_edit(cluster: &Cluster, namespace: &str) {
    let may = cluster.wait_for("contributors to have rights", TIMEOUT, || {
        let rights = rights(cluster, "contributor", &[], namespace);
        if rights.get("workspaces").is_some_and(|verbs| verbs.contains(WRITE)) {
            Ok(())
        } else {
            Err(format!("{rights:?}"))
        }
    });
    may.unwrap();
}

/// With `userRoles.aggregateToKubernetes` and `userRoles.kindViewers`.
pub fn kubernetes_users_have_rights(cluster: &Cluster, namespace: &str) {
    let all = format!("{READ} {WRITE}");
    let edit = [("workspaces", &*all), ("workspaces/status", READ)];
    wait_for_rights(cluster, "k8s-viewer", &[], namespace, &[("workspaces", READ), ("workspaces/status", READ)]);
    wait_for_rights(cluster, "k8s-editor", &[], namespace, &edit);
    wait_for_rights(cluster, "k8s-owner", &[], namespace, &edit);
    wait_for_rights(cluster, "stranger", &["system:authenticated"], namespace, &[("workspacekinds", READ)]);
}

/// A contributor starts a Workspace with kubectl and deletes it; a viewer cannot.
pub fn contributors_start_workspaces(cluster: &Cluster, namespace: &str, workspace: &str) {
    let as_user = |user: &str, args: &[&str]| {
        let user = format!("--as={user}");
        let mut all = vec![user.as_str(), "--namespace", namespace];
        all.extend(args);
        cluster.kubectl_stdin(&all, workspace).unwrap()
    };
    let refused = as_user("viewer", &["create", "--filename=-"]);
    let expected = format!(
        "User \"viewer\" cannot create resource \"workspaces\" in API group \"kubeflow.org\" in the namespace \"{namespace}\""
    );
    assert!(!refused.success && refused.stderr.contains(&expected), "{}", refused.stderr);
    as_user("contributor", &["create", "--filename=-"]).ok().unwrap();
    as_user("viewer", &["get", "workspaces"]).ok().unwrap();
    as_user("contributor", &["delete", "--filename=-"]).ok().unwrap();
}

/// The Go controller's admin, edit and view contain each other by the same labels, so other charts that refer to them go on working.
#[test]
fn users_roles_have_the_names_and_labels_of_kubeflow() {
    let label = |role: &str| format!("rbac.authorization.kubeflow.org/aggregate-to-kubeflow-{role}");
    let labels_of = |objects: &[Value], name: &str| -> Vec<String> {
        let role = objects.iter().find(|object| object["metadata"]["name"] == name).unwrap();
        let labels = role["metadata"]["labels"].as_object().unwrap();
        labels.keys().filter(|key| key.contains("aggregate-to")).cloned().collect()
    };
    let by_default = objects(&[]);
    for (role, contained_in) in [("admin", None), ("edit", Some("admin")), ("view", Some("edit"))] {
        let name = format!("kubeflow-workspaces-{role}");
        let parents = contained_in.map(|parent| label(&format!("workspaces-{parent}")));
        let expected: Vec<String> = [label(role)].into_iter().chain(parents.clone()).collect();
        assert_eq!(labels_of(&by_default, &name), expected);
        let role_object = by_default.iter().find(|object| object["metadata"]["name"] == name).unwrap();
        // The controller manager writes them: a GitOps tool that finds some here would put them back for ever.
        assert!(role_object.get("rules").is_none());
        let selector = json!([{"matchLabels": {label(&format!("workspaces-{role}")): "true"}}]);
        assert_eq!(role_object["aggregationRule"]["clusterRoleSelectors"], selector);
        let alone = objects(&["userRoles.aggregateToKubeflow=false"]);
        assert_eq!(labels_of(&alone, &name), Vec::from_iter(parents));
    }
    let kubernetes = objects(&["userRoles.aggregateToKubernetes=true"]);
    for (role, expected) in [
        ("admin", vec![label("workspaces-admin")]),
        ("edit", vec!["rbac.authorization.k8s.io/aggregate-to-edit".to_owned(), label("workspaces-edit")]),
        ("view", vec!["rbac.authorization.k8s.io/aggregate-to-view".to_owned(), label("workspaces-view")]),
    ] {
        assert_eq!(labels_of(&kubernetes, &format!("aggregate-to-kubeflow-workspaces-{role}")), expected);
    }
    let none = objects(&["userRoles.enabled=false", "userRoles.kindViewers={a}"]);
    assert!(none.iter().all(|object| !object["metadata"]["name"].as_str().unwrap().contains("kubeflow-workspace")));
}

/// helm keeps the roles with the CRDs; who may read kinds by `kindViewers` may not for longer than the value says so.
#[test]
fn roles_stay_on_uninstall_but_no_binding_does() {
    let kept = |set: &[&str]| -> Vec<String> {
        let objects = objects(set);
        let kept =
            objects.iter().filter(|object| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep");
        let roles = kept.filter(|object| object["kind"] != "CustomResourceDefinition");
        roles.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut of_all = kept(&["userRoles.kindViewers={a}"]);
    of_all.sort_unstable();
    let each = ["aggregate-to-kubeflow-workspaces", "kubeflow-workspaces"];
    let expected = each.map(|name| ["admin", "edit", "view"].map(|role| format!("{name}-{role}"))).concat();
    assert_eq!(of_all, expected);
    assert!(kept(&["userRoles.keep=false"]).is_empty());
}
