//! What matters of the stored spec of a kind: it decodes where the rest may not.

use std::collections::BTreeSet;

use crds::ports::Dialect;
use crds::workspace_kind::{ClusterRoleRef, ProxiedPort};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The blocks of a spec that an update is held against, as they are written: what is the same text is the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blocks<'a> {
    #[serde(borrow)]
    pod_template: TemplateBlocks<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TemplateBlocks<'a> {
    #[serde(borrow, default)]
    ports: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_account: Option<&'a RawValue>,
    #[serde(borrow)]
    options: &'a RawValue,
}

impl Blocks<'_> {
    /// Whether no rule about updates can have anything to say.
    pub fn same(&self, other: &Self) -> bool {
        let same =
            |one: Option<&RawValue>, other: Option<&RawValue>| one.map(RawValue::get) == other.map(RawValue::get);
        let (one, other) = (&self.pod_template, &other.pod_template);
        one.options.get() == other.options.get()
            && same(one.service_account, other.service_account)
            && (same(one.ports, other.ports) || one.dialect().is_some_and(|dialect| other.dialect() == Some(dialect)))
    }
}

impl TemplateBlocks<'_> {
    /// None where the ports do not decode.
    fn dialect(&self) -> Option<Dialect> {
        let Some(ports) = self.ports else { return Some(Dialect::of(&[])) };
        let ports: Option<Vec<ProxiedPort>> = serde_json::from_str(ports.get()).ok()?;
        Some(Dialect::of(&ports.unwrap_or_default()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredSpec {
    pub pod_template: StoredTemplate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredTemplate {
    #[serde(default)]
    ports: Option<Vec<ProxiedPort>>,
    #[serde(default)]
    service_account: Option<StoredServiceAccount>,
    pub options: StoredOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredServiceAccount {
    cluster_roles: Vec<ClusterRoleRef>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredOptions {
    pub image_config: StoredValues,
    pub pod_config: StoredValues,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredValues {
    pub values: Vec<StoredOption>,
}

/// One option, whatever its spec looks like.
#[derive(Debug, Deserialize)]
pub(super) struct StoredOption {
    pub id: String,
    pub spec: Value,
}

impl StoredTemplate {
    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.ports.as_deref().unwrap_or_default())
    }

    pub fn cluster_roles(&self) -> BTreeSet<&str> {
        let roles = self.service_account.iter().flat_map(|account| &account.cluster_roles);
        roles.map(|role| role.name.as_str()).collect()
    }
}
