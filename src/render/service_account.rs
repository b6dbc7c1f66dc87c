//! The ServiceAccount of a Workspace.

use crds::workspace_kind::PodTemplate;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::context::{RenderContext, RenderInput};
use super::names::ChildNames;

/// One of its own per Workspace; none where the kind names an existing account.
pub(super) fn desired(context: &RenderContext<'_>) -> Option<ServiceAccount> {
    let existing = context.template.service_account.as_ref().and_then(|account| account.name.as_ref());
    existing.is_none().then(|| ServiceAccount {
        metadata: context.metadata(&context.fixed.names.service_account),
        ..ServiceAccount::default()
    })
}

/// The account that the pod of a Workspace runs as.
pub fn service_account_name(input: RenderInput<'_>, template: &PodTemplate) -> String {
    let existing = template.service_account.as_ref().and_then(|account| account.name.clone());
    existing.unwrap_or_else(|| ChildNames::new(input.name, input.uid).service_account)
}
