//! What the Go controller leaves on objects when it goes, and what goes with its manifests.
//!
//! The names are those of kubeflow/notebooks, branch `notebooks-v2`: the finalizer of
//! `workspaces/controller/internal/controller/workspacekind_controller.go`, the ClusterRoles of
//! `workspaces/controller/manifests/kustomize/base/manager/user_cluster_roles.yaml`.

use std::collections::BTreeSet;

use crds::labels::KIND_FINALIZER;
use webhook::ReviewedKind;
use webhook::rule::Rule;

use crate::offline::finding::{Finding, ObjectName, Severity};
use crate::offline::input::object::{InputObject, InputObjects, RelatedObject};
use crate::offline::input::position::{FieldPart, locate};
use crate::offline::input::source::InputFile;

/// The ClusterRoles from which users have their rights on Workspaces, those of earlier manifests among them.
pub const USERS_ROLES: [&str; 7] = [
    "aggregate-to-kubeflow-workspaces-admin",
    "aggregate-to-kubeflow-workspaces-edit",
    "aggregate-to-kubeflow-workspaces-view",
    "kubeflow-workspaces-admin",
    "kubeflow-workspaces-base-edit",
    "kubeflow-workspaces-edit",
    "kubeflow-workspaces-view",
];

/// Warnings about finalizers on kinds that nobody uses, and about roles that must not be removed.
pub(super) fn find(sources: &[InputFile], objects: &InputObjects) -> Vec<Finding> {
    let of = |subject| objects.ours.iter().filter(move |object| object.subject == subject);
    let used: BTreeSet<&str> =
        of(ReviewedKind::Workspace).filter_map(|workspace| workspace.value["spec"]["kind"].as_str()).collect();
    // While a kind is used, either controller puts it there.
    let is_unused =
        |kind: &&InputObject| !kind.value["metadata"]["name"].as_str().is_some_and(|name| used.contains(name));
    let kinds = of(ReviewedKind::WorkspaceKind).filter(is_unused);
    let finalizers = kinds.filter_map(|kind| finalizer(&sources[kind.source], kind));
    let roles = objects.related.iter().filter_map(|object| users_role(&sources[object.source], object));
    finalizers.chain(roles).collect()
}

fn finalizer(source: &InputFile, kind: &InputObject) -> Option<Finding> {
    let finalizers = kind.value["metadata"]["finalizers"].as_array()?;
    let index = finalizers.iter().position(|finalizer| finalizer == KIND_FINALIZER)?;
    let object = ObjectName::of(&kind.value);
    let (field, pointer) = (format!("metadata.finalizers[{index}]"), format!("/metadata/finalizers/{index}"));
    // The test keeps a finalizer of somebody else if the list has changed in between.
    let patch = format!(
        "[{{\"op\": \"test\", \"path\": \"{pointer}\", \"value\": \"{KIND_FINALIZER}\"}}, {{\"op\": \"remove\", \"path\": \
         \"{pointer}\"}}]"
    );
    let message = format!(
        "no Workspace uses the kind, and the Go controller left its finalizer: this controller takes it over and removes it. Where \
         neither of them runs, a deletion of the kind would never end: remove it then, with kubectl patch workspacekind {} --type=json --patch='{patch}'",
        object.name
    );
    let bytes = locate(source.text(), &kind.node, None, &field, FieldPart::Value);
    Some(Finding::at(kind.source, source, bytes, Rule::TakeOverFinalizer, Severity::Warning, &object, &field, message))
}

fn users_role(source: &InputFile, found: &RelatedObject) -> Option<Finding> {
    let object = ObjectName::of(&found.value);
    // The chart's own have the same names.
    let is_of_helm = found.value["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm";
    if object.kind != "ClusterRole" || !USERS_ROLES.contains(&&*object.name) || is_of_helm {
        return None;
    }
    let message = "users have their rights on Workspaces from this ClusterRole, which belongs to the Go controller's \
                   manifests: keep it when you remove those, and the chart takes it over with helm install --take-ownership"
        .to_owned();
    let bytes = found.start..found.start;
    let (rule, severity) = (Rule::TakeOverUsersRole, Severity::Warning);
    Some(Finding::at(found.source, source, bytes, rule, severity, &object, "metadata.name", message))
}
