//! The ServiceAccount of a Workspace.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::RenderContext;

/// One of its own per Workspace; none where the kind names an existing account.
pub(super) fn desired(context: &RenderContext<'_>) -> Option<ServiceAccount> {
    let existing = context.template.service_account.as_ref().and_then(|account| account.name.as_ref());
    existing.is_none().then(|| ServiceAccount {
        metadata: context.metadata(&context.names.service_account),
        ..ServiceAccount::default()
    })
}
