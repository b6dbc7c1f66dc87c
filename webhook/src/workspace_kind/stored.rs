//! What matters of the stored spec of a kind: it decodes where the rest may not.

use std::collections::BTreeSet;

use crds::ports::Dialect;
use crds::workspace_kind::{ClusterRoleRef, ImageConfigSpec, PodConfigSpec, ProxiedPort};
use serde::Deserialize;
use serde_json::Value;

/// The stored spec, for a request that is plainly acceptable: in one pass with the new one.
pub(crate) type TypedSpec = StoredSpec<ImageConfigSpec, PodConfigSpec>;

/// The stored spec, whatever its options look like.
pub(crate) type LenientSpec = StoredSpec<Value, Value>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredSpec<Image, Pod> {
    pub pod_template: StoredTemplate<Image, Pod>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredTemplate<Image, Pod> {
    #[serde(default = "Option::default")]
    ports: Option<Vec<ProxiedPort>>,
    #[serde(default = "Option::default")]
    service_account: Option<StoredServiceAccount>,
    pub options: StoredOptions<Image, Pod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredServiceAccount {
    cluster_roles: Vec<ClusterRoleRef>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredOptions<Image, Pod> {
    pub image_config: StoredValues<Image>,
    pub pod_config: StoredValues<Pod>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StoredValues<Spec> {
    pub values: Vec<StoredOption<Spec>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StoredOption<Spec> {
    pub id: String,
    pub spec: Spec,
}

impl<Image, Pod> StoredTemplate<Image, Pod> {
    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.ports.as_deref().unwrap_or_default())
    }

    pub fn cluster_roles(&self) -> BTreeSet<&str> {
        let roles = self.service_account.iter().flat_map(|account| &account.cluster_roles);
        roles.map(|role| role.name.as_str()).collect()
    }
}
