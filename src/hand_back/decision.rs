//! Whether a StatefulSet can be handed back without a restart, and whether a controller is at work. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

use crate::stores::pod::Pod;
use crate::stores::slim::Key;

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

/// What is known of who holds the Leases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Holding {
    /// Nobody: they are free, or have not been renewed for as long as they last.
    Nobody,
    /// A controller, which has just renewed or acquired one.
    Held {
        /// The Lease.
        lease: Key,
        /// Who holds it.
        holder: String,
    },
    /// It has to be seen, for this long, whether this one is renewed.
    Unknown {
        /// The Lease.
        lease: Key,
        /// Who holds it, or held it before it ended.
        holder: String,
        /// How long until it expires if it is not renewed.
        left: Duration,
    },
}

/// The Leases as they were read, and when each was first read so. The times in a Lease are by the clock of its holder, so only
/// this process's own says how long it has not been renewed.
#[derive(Debug, Default)]
pub(super) struct SeenLeases(BTreeMap<Key, (LeaseSpec, Instant)>);

impl SeenLeases {
    /// Takes the Leases as they are at `now`.
    pub fn observe(&mut self, leases: Vec<Lease>, now: Instant) -> Holding {
        let mut holding = Holding::Nobody;
        for Lease { metadata, spec } in leases {
            let lease = Key::new(&metadata.namespace.unwrap_or_default(), &metadata.name.unwrap_or_default());
            let spec = spec.unwrap_or_default();
            let since = match self.0.get(&lease) {
                Some((before, since)) if *before == spec => Some(*since),
                Some(_) => None,
                None => Some(now),
            };
            self.0.insert(lease.clone(), (spec.clone(), since.unwrap_or(now)));
            let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else { continue };
            let Some(since) = since else { return Holding::Held { lease, holder } };
            let lasts =
                Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default().try_into().unwrap_or_default());
            let left = (since + lasts).saturating_duration_since(now);
            let is_longer = match &holding {
                Holding::Unknown { left: other, .. } => left > *other,
                _ => !left.is_zero(),
            };
            if is_longer {
                holding = Holding::Unknown { lease, holder, left };
            }
        }
        holding
    }
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

    #[test]
    fn a_lease_is_held_that_changes_and_expires_that_does_not() {
        let lease = |namespace: &str, holder: Value, renewed: &str| -> Lease {
            let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed});
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": "l"}, "spec": spec})).unwrap()
        };
        let (start, holder) = (Instant::now(), || "a".to_owned());
        let after = |seconds| start + Duration::from_secs(seconds);
        let unknown = |namespace: &str, left| Holding::Unknown {
            lease: Key::new(namespace, "l"),
            holder: holder(),
            left: Duration::from_secs(left),
        };
        // Its holder's clock is far from ours, either way.
        for renewed in ["2006-01-01T00:00:00.000000Z", "2106-01-01T00:00:00.000000Z"] {
            let mut seen = SeenLeases::default();
            let held = || vec![lease("ns", json!("a"), renewed)];
            assert_eq!(seen.observe(held(), after(0)), unknown("ns", 15));
            assert_eq!(seen.observe(held(), after(14)), unknown("ns", 1));
            assert_eq!(seen.observe(held(), after(15)), Holding::Nobody);
            let renewed = vec![lease("ns", json!("a"), "2026-01-01T00:00:00.000000Z")];
            let held = Holding::Held { lease: Key::new("ns", "l"), holder: holder() };
            assert_eq!(seen.observe(renewed, after(15)), held);
        }
        let (first, second) = ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.000000Z");
        let mut seen = SeenLeases::default();
        assert_eq!(seen.observe(vec![lease("ns", json!(""), first)], after(0)), Holding::Nobody);
        // One of two that nobody has renewed for a while, and one that was acquired since.
        let both = |second_holder: Value| vec![lease("ns", json!(""), first), lease("other", second_holder, first)];
        assert_eq!(seen.observe(both(json!("a")), after(1)), unknown("other", 15));
        let acquired = vec![lease("ns", json!("b"), second), lease("other", json!("a"), first)];
        let held = Holding::Held { lease: Key::new("ns", "l"), holder: "b".to_owned() };
        assert_eq!(seen.observe(acquired, after(2)), held);
        assert_eq!(SeenLeases::default().observe(Vec::new(), start), Holding::Nobody);
    }
}
