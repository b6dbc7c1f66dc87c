//! The RoleBindings of a Workspace: what its own ServiceAccount may do, within its namespace.

use crds::workspace_kind::PodTemplate;
use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding, RoleRef, Subject};

use super::context::RenderContext;
use super::names;

/// One for each ClusterRole of the kind; none where the kind names an existing account, which is not ours to give rights.
pub(super) fn desired(context: &RenderContext<'_>) -> Vec<RoleBinding> {
    let workspace = context.input.name;
    cluster_roles(context.template).map(|role| binding(context, role, &names::role_binding(workspace, role))).collect()
}

/// The names of those of the Workspace `workspace`.
pub fn names<'a>(workspace: &'a str, template: &'a PodTemplate) -> impl Iterator<Item = String> + 'a {
    cluster_roles(template).map(|role| names::role_binding(workspace, role))
}

fn cluster_roles(template: &PodTemplate) -> impl Iterator<Item = &str> {
    let account = template.service_account.iter().filter(|account| account.name.is_none());
    account.flat_map(|account| &account.cluster_roles).map(|role| role.name.as_str())
}

fn binding(context: &RenderContext<'_>, role: &str, name: &str) -> RoleBinding {
    RoleBinding {
        metadata: context.metadata(name),
        role_ref: RoleRef {
            api_group: ClusterRole::GROUP.to_owned(),
            kind: ClusterRole::KIND.to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: ServiceAccount::KIND.to_owned(),
            name: context.fixed.names.service_account.clone(),
            namespace: Some(context.input.namespace.to_owned()),
            api_group: None,
        }]),
    }
}
