//! Whether a StatefulSet can be handed back without a restart. Pure.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};

use crate::stores::pod::Pod;

/// What is to be done about a StatefulSet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    /// Its controller is no Workspace.
    NotOfAWorkspace,
    /// Its strategy is not `OnDelete`.
    HandedBack,
    /// Another strategy changes no pod.
    Ready,
    /// Another strategy restarts its pod.
    RestartPending,
    /// The StatefulSet controller has not seen its latest change.
    NotSeen,
}

/// What is to be done about a StatefulSet with that pod.
pub(super) fn decide(set: &StatefulSet, pod: Option<&Pod>) -> Decision {
    let mut owners = set.metadata.owner_references.iter().flatten();
    if !owners.any(|owner| owner.controller == Some(true) && owner.kind == "Workspace" && is_ours(&owner.api_version)) {
        return Decision::NotOfAWorkspace;
    }
    if !is_on_delete(set) {
        return Decision::HandedBack;
    }
    let Some(StatefulSetStatus { observed_generation, update_revision: Some(revision), .. }) = &set.status else {
        return Decision::NotSeen;
    };
    match pod {
        _ if *observed_generation != set.metadata.generation => Decision::NotSeen,
        Some(pod) if *pod.revision != **revision => Decision::RestartPending,
        Some(_) | None => Decision::Ready,
    }
}

/// Whether its strategy is the one that this project sets.
pub(super) fn is_on_delete(set: &StatefulSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
    strategy == Some("OnDelete")
}

fn is_ours(api_version: &str) -> bool {
    api_version.split_once('/').is_some_and(|(group, _)| group == crds::GROUP)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn set(change: impl FnOnce(&mut Value)) -> StatefulSet {
        let owner = json!({
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": "u", "controller": true,
        });
        let mut set = json!({
            "metadata": {"name": "ws-lab-1", "generation": 2, "ownerReferences": [owner]},
            "spec": {"updateStrategy": {"type": "OnDelete"}, "selector": {}, "template": {}, "serviceName": ""},
            "status": {"replicas": 1, "observedGeneration": 2, "updateRevision": "r2"},
        });
        change(&mut set);
        serde_json::from_value(set).unwrap()
    }

    fn pod(revision: &str) -> Pod {
        let labels = json!({"controller-revision-hash": revision});
        serde_json::from_value(json!({"metadata": {"name": "ws-lab-1-0", "labels": labels}})).unwrap()
    }

    #[test]
    fn what_would_restart_a_pod_is_left() {
        let as_is = |pod: Option<Pod>| decide(&set(|_| {}), pod.as_ref());
        assert_eq!(as_is(Some(pod("r2"))), Decision::Ready);
        assert_eq!(as_is(None), Decision::Ready);
        assert_eq!(as_is(Some(pod("r1"))), Decision::RestartPending);
        let with = |change: &dyn Fn(&mut Value)| decide(&set(change), Some(&pod("r2")));
        assert_eq!(with(&|set| set["metadata"]["generation"] = json!(3)), Decision::NotSeen);
        assert_eq!(with(&|set| set["status"] = json!({"replicas": 0})), Decision::NotSeen);
        assert_eq!(with(&|set| set["spec"]["updateStrategy"]["type"] = json!("RollingUpdate")), Decision::HandedBack);
        let owner = |field: &'static str, value: Value| {
            with(&move |set| set["metadata"]["ownerReferences"][0][field] = value.clone())
        };
        assert_eq!(owner("kind", json!("Notebook")), Decision::NotOfAWorkspace);
        assert_eq!(owner("apiVersion", json!("example.com/v1")), Decision::NotOfAWorkspace);
        assert_eq!(owner("controller", json!(false)), Decision::NotOfAWorkspace);
    }
}
