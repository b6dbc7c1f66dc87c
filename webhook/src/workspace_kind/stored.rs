//! What matters of the stored spec of a kind: it decodes where the rest may not.

use std::collections::BTreeSet;

use crds::ports::Dialect;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lookup::OptionList;

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
    /// None where the ports are no JSON.
    fn dialect(&self) -> Option<Dialect> {
        let ports = self.ports.map_or("null", RawValue::get);
        Some(dialect(&serde_json::from_str(ports).ok()?))
    }
}

/// The stored `podTemplate`, whatever it looks like: each part is read by itself, so that none hides another.
#[derive(Debug)]
pub(super) struct StoredTemplate(Value);

/// One option, whatever its spec looks like.
#[derive(Debug)]
pub(super) struct StoredOption<'a> {
    pub id: &'a str,
    pub spec: &'a Value,
}

impl StoredTemplate {
    /// That of a stored spec; none where there is none.
    pub fn of(spec: Option<&RawValue>) -> Option<Self> {
        let mut spec: Value = serde_json::from_str(spec?.get()).ok()?;
        Some(Self(spec.get_mut("podTemplate")?.take()))
    }

    /// The dialect that its ports are written in.
    pub fn dialect(&self) -> Dialect {
        dialect(&self.0["ports"])
    }

    /// The names of the ClusterRoles that it lists.
    pub fn cluster_roles(&self) -> BTreeSet<&str> {
        list(&self.0["serviceAccount"]["clusterRoles"]).iter().filter_map(|role| role["name"].as_str()).collect()
    }

    /// The options of a list.
    pub fn options(&self, of: OptionList) -> Vec<StoredOption<'_>> {
        let values = list(&self.0["options"][of.as_str()]["values"]).iter();
        values.filter_map(|value| Some(StoredOption { id: value["id"].as_str()?, spec: &value["spec"] })).collect()
    }
}

/// B as soon as an entry has `id`, as [`Dialect::of`] has it.
fn dialect(ports: &Value) -> Dialect {
    let names_id = |entry: &Value| entry.get("id").is_some_and(Value::is_string);
    if list(ports).iter().any(names_id) { Dialect::B } else { Dialect::A }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
