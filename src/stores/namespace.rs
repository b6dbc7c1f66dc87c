//! The slim form of namespaces: their labels, which activity rules select by. With `--namespace-selector` there are only those that
//! it selects.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::slim::{Identity, Slim};

/// A namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNamespace {
    identity: Identity,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for StoredNamespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: ObjectMeta,
        }
        let Wire { metadata } = Wire::deserialize(deserializer)?;
        Ok(Self { identity: Identity::from(&metadata), labels: metadata.labels.unwrap_or_default() })
    }
}

impl Slim for StoredNamespace {
    type Of = core::Namespace;
    const METADATA_ONLY: bool = true;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;
    use std::sync::Arc;

    use futures::FutureExt as _;
    use serde_json::json;

    use super::super::Stores;
    use super::super::captured_log::CapturedLog;
    use super::super::collection::Progress;
    use super::super::read_model::{ReadModel, Watched};
    use super::super::slim::Key;
    use super::super::triggers::Urgency;
    use super::super::watch::StoreEvent;
    use super::*;
    use crate::stores::workspace::StoredWorkspace;

    fn namespace(name: &str) -> StoredNamespace {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"team": "a"}}})).unwrap()
    }

    fn stores(selector: Option<&str>) -> Stores {
        let watched = Watched { children: true, selector: selector.map(str::to_owned), ..Watched::default() };
        Stores(Arc::new(ReadModel { watched, ..ReadModel::default() }))
    }

    /// Rules with NotIn or DoesNotExist match one without labels: it would be paused by them.
    #[test]
    fn the_labels_of_a_namespace_that_is_not_known_are_not_known() {
        let stores = stores(None);
        let namespaces = &stores.0.namespaces;
        drop(namespaces.put(namespace("known")));
        assert_eq!(stores.namespace_labels("known"), None, "not listed yet");
        namespaces.set_progress(Progress::Synced);
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert_eq!(stores.namespace_labels("known"), Some(labels));
        assert_eq!(stores.namespace_labels("new"), None);
    }

    #[test]
    fn it_is_said_how_many_are_selected_and_the_workspaces_of_those_that_come_later_are_reconciled() {
        let (stores, log) = (stores(Some("team=a")), CapturedLog::start());
        let model = &stores.0;
        for name in ["first", "later"] {
            let workspace = json!({"metadata": {"namespace": name, "name": "lab"}, "spec": crds::testing::workspace("", "", "k").spec});
            drop(model.workspaces.put(serde_json::from_value::<StoredWorkspace>(workspace).unwrap()));
        }
        let listed = model.namespaces.put(namespace("first")).unwrap();
        model.namespace_event(StoreEvent::Listed(&listed));
        model.namespaces.set_progress(Progress::Synced);
        model.namespace_event(StoreEvent::Installed);
        assert_eq!(stores.triggers().take().now_or_never(), None, "all are reconciled after that");
        let selected = model.namespaces.put(namespace("later")).unwrap();
        model.namespace_event(StoreEvent::Changed(&selected));
        let later = HashMap::from([(Key::new("later", "lab"), Urgency::Debounced)]);
        assert_eq!(stores.triggers().take().now_or_never(), Some(later));
        let expected = [
            r#"INFO the namespaces that are selected are known selector="team=a" namespaces=1"#,
            r#"INFO the namespace is selected: its Workspaces are reconciled from now on namespace="later""#,
        ];
        assert_eq!(log.lines(), expected);
    }
}
