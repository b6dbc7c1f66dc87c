//! The ServiceAccount of a Workspace.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Scene;

/// One of its own per Workspace; none where the kind names an existing account.
pub(super) fn desired(scene: &Scene<'_>) -> Option<ServiceAccount> {
    let existing = scene.template.service_account.as_ref().and_then(|account| account.name.as_ref());
    existing
        .is_none()
        .then(|| ServiceAccount { metadata: scene.metadata(&scene.names.service_account), ..ServiceAccount::default() })
}
