//! The parts of a stored kind that an update is compared with, also where the rest of its spec does not decode.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crds::options::OptionList;
use crds::ports::Dialect;
use crds::workspace_kind::{ImageConfigSpec, PodConfigSpec, PodTemplate};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The parts of a stored `podTemplate` that rules about updates need.
#[derive(Debug)]
pub(super) struct StoredTemplate<'a> {
    /// The dialect of its ports.
    pub dialect: Dialect,
    /// The names of the ClusterRoles that it lists.
    pub cluster_roles: BTreeSet<Cow<'a, str>>,
    /// The labels that it sets on pods.
    pub labels: Cow<'a, BTreeMap<String, String>>,
    /// The values of `imageConfig`.
    pub images: Vec<StoredOption<'a, ImageConfigSpec>>,
    /// The values of `podConfig`.
    pub pods: Vec<StoredOption<'a, PodConfigSpec>>,
}

/// One option.
#[derive(Debug)]
pub(super) struct StoredOption<'a, Spec: Clone> {
    pub id: Cow<'a, str>,
    /// `None` where it does not decode.
    pub spec: Option<Cow<'a, Spec>>,
}

impl<'a> From<&'a PodTemplate> for StoredTemplate<'a> {
    fn from(template: &'a PodTemplate) -> Self {
        fn option<'a, Spec: Clone>(id: &'a str, spec: &'a Spec) -> StoredOption<'a, Spec> {
            StoredOption { id: Cow::Borrowed(id), spec: Some(Cow::Borrowed(spec)) }
        }
        let (images, pods) = (&template.options.image_config.values, &template.options.pod_config.values);
        let roles = template.service_account.iter().flat_map(|account| &account.cluster_roles);
        Self {
            dialect: template.dialect(),
            cluster_roles: roles.map(|role| Cow::Borrowed(&*role.name)).collect(),
            labels: template.pod_metadata.as_ref().map(|metadata| Cow::Borrowed(&metadata.labels)).unwrap_or_default(),
            images: images.iter().map(|value| option(&value.id, &value.spec)).collect(),
            pods: pods.iter().map(|value| option(&value.id, &value.spec)).collect(),
        }
    }
}

impl StoredTemplate<'static> {
    /// Those of a spec that may not decode completely: each part is decoded separately, so that a broken one does not
    /// hide the others. `None` where there is no template at all.
    pub fn of_parts(spec: Option<&&RawValue>) -> Option<Self> {
        let spec: Value = serde_json::from_str(spec?.get()).ok()?;
        let template = spec.get("podTemplate")?;
        let roles = list(&template["serviceAccount"]["clusterRoles"]).iter();
        Some(Self {
            dialect: dialect(&template["ports"]),
            cluster_roles: roles.filter_map(|role| Some(role["name"].as_str()?.to_owned().into())).collect(),
            labels: BTreeMap::deserialize(&template["podMetadata"]["labels"]).map(Cow::Owned).unwrap_or_default(),
            images: options(template, OptionList::ImageConfig),
            pods: options(template, OptionList::PodConfig),
        })
    }
}

fn options<'de, Spec: Clone + Deserialize<'de>>(
    template: &'de Value,
    of: OptionList,
) -> Vec<StoredOption<'static, Spec>> {
    let option = |value: &'de Value| {
        let id = Cow::Owned(value["id"].as_str()?.to_owned());
        Some(StoredOption { id, spec: Spec::deserialize(&value["spec"]).ok().map(Cow::Owned) })
    };
    list(&template["options"][of.as_str()]["values"]).iter().filter_map(option).collect()
}

/// `Id` as soon as an entry has `id`, like [`Dialect::of`].
fn dialect(ports: &Value) -> Dialect {
    let names_id = |entry: &Value| entry.get("id").is_some_and(Value::is_string);
    if list(ports).iter().any(names_id) { Dialect::Id } else { Dialect::PortId }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
