#![allow(clippy::unwrap_used, clippy::panic)]

use kube::core::ObjectList;
use serde_json::{Value, json};

use super::*;
use crate::stores::applied_hash::AppliedHash;
use crate::stores::child::{Child, WatchedChild};
use crate::stores::collection::Collection;
use crate::stores::kind::StoredKind;
use crate::stores::pod::{ContainerPhase, Pod};
use crate::stores::workspace::StoredWorkspace;

fn child(version: &str, fields: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": "ws-lab-1", "namespace": "ns", "uid": "u-1", "resourceVersion": version, "generation": 1,
            "labels": {"notebooks.kubeflow.org/workspace-name": "lab", "other": "x"},
            "annotations": {"notebooks.kubeflow.org/applied-hash": "abc"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "o-1"},
                {"apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": "w-1", "controller": true},
            ],
            "managedFields": [
                {"manager": "workspaces-controller", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:no": {}}},
                {"manager": "kube-controller-manager", "operation": "Apply", "fieldsV1": {"f:no": {}}},
                {"manager": "workspaces-controller", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:no": {}}},
                {"manager": "workspaces-controller", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields},
            ],
        },
    })
}

fn decoded(value: &Value) -> Child {
    serde_json::from_str::<Incoming<Child>>(&value.to_string()).unwrap().object.unwrap()
}

#[test]
fn a_child_keeps_its_owner_our_fields_and_the_hash() {
    let set = decoded(&child("7", &json!({"f:spec": {"f:replicas": {}}})));
    assert_eq!(set.identity.key, Key::new("ns", "ws-lab-1"));
    assert_eq!((&*set.identity.uid, &*set.identity.version, set.identity.deleting), ("u-1", "7", false));
    assert!(set.is_owned_by("w-1") && !set.is_owned_by("o-1"));
    assert_eq!(set.workspaces().collect::<Vec<_>>(), ["lab"]);
    assert_eq!(set.applied_hash, Some(AppliedHash::of_text("abc")));
    let text = set.fields.unwrap().unsettled.unwrap().text;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn a_set_has_a_current_revision_once_its_controller_has_seen_it() {
    let set = |status: Value| {
        let mut set = child("7", &json!({}));
        set["metadata"]["annotations"]["notebooks.kubeflow.org/restart"] = json!("abc");
        set["status"] = status;
        Child::from(serde_json::from_str::<WatchedChild>(&set.to_string()).unwrap())
    };
    let seen = set(json!({"observedGeneration": 1, "updateRevision": "ws-lab-1-7f", "replicas": 1}));
    assert_eq!((seen.current_revision(), seen.restart()), (Some("ws-lab-1-7f"), Some("abc")));
    assert_eq!(set(json!({"observedGeneration": 0, "updateRevision": "ws-lab-1-7f"})).current_revision(), None);
    assert_eq!(set(json!({"replicas": 0})).current_revision(), None);
}

#[test]
fn a_pod_was_ready_if_its_condition_has_changed_since_it_started() {
    let pod = |conditions: Value| {
        let status = json!({"phase": "Running", "startTime": "2026-01-01T00:00:05Z", "conditions": conditions});
        let labels = json!({"controller-revision-hash": "ws-lab-1-7f"});
        serde_json::from_value::<Pod>(json!({"metadata": {"labels": labels}, "status": status})).unwrap()
    };
    let ready = |status: &str, since: &str| json!([{"type": "Ready", "status": status, "lastTransitionTime": since}]);
    assert_eq!(&*pod(json!([])).revision, "ws-lab-1-7f");
    let was_ready = |conditions| pod(conditions).was_ready;
    assert!(!was_ready(json!([])), "nothing is known of it, as of one that has not been scheduled");
    assert!(!was_ready(ready("False", "2026-01-01T00:00:05Z")) && !was_ready(ready("False", "2026-01-01T00:00:06Z")));
    assert!(was_ready(ready("False", "2026-01-01T00:00:07Z")) && was_ready(ready("True", "2026-01-01T00:00:05Z")));
    let without_time = json!([{"type": "Ready", "status": "False", "lastTransitionTime": null}]);
    assert!(was_ready(without_time), "as the API server stores a condition that was written without its time");
    assert!(was_ready(ready("False", "yesterday")), "what cannot be read must not cost a pod");
}

/// Go writes a time that was not set as null.
#[test]
fn times_of_a_pod_may_be_null() {
    let status = json!({
        "phase": "Running", "startTime": null, "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": null}],
        "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": null}}}],
    });
    let pod: Pod = serde_json::from_value(json!({"metadata": {"creationTimestamp": null}, "status": status})).unwrap();
    assert!(pod.ready && pod.main.now == ContainerPhase::Running { since: None });
}

#[test]
fn the_spec_of_a_child_is_kept_until_its_fields_are_known() {
    let watched = |version: &str, fields: &Value| {
        let mut set = child(version, fields);
        set["spec"] = json!({"replicas": 1});
        Child::from(serde_json::from_str::<WatchedChild>(&set.to_string()).unwrap())
    };
    let spec = |child: &Child| Some(child.fields.as_ref()?.unsettled.as_ref()?.spec.as_ref()?.get().to_owned());
    let ours = json!({"f:spec": {"f:replicas": {}}});
    let set = watched("7", &ours);
    assert_eq!(spec(&set).as_deref(), Some(r#"{"replicas":1}"#));
    let collection = Collection::default();
    let mut known = set.clone();
    known.fields.as_mut().unwrap().unsettled = None;
    collection.put(known).unwrap();
    let kept = |set: Child| {
        collection.put(set);
        spec(&collection.get(&Key::new("ns", "ws-lab-1")).unwrap()).is_some()
    };
    assert!(!kept(watched("8", &ours)));
    assert!(kept(watched("9", &json!({"f:spec": {}}))));
    // Without fields of ours there is nothing to compare.
    let mut foreign = child("7", &ours);
    foreign["metadata"]["managedFields"] = json!([]);
    foreign["spec"] = json!({"replicas": 1});
    assert_eq!(Child::from(serde_json::from_str::<WatchedChild>(&foreign.to_string()).unwrap()).fields, None);
}

#[test]
fn a_child_concerns_the_workspaces_that_its_label_and_its_owner_name() {
    let mut moved = child("1", &json!({}));
    moved["metadata"]["labels"]["notebooks.kubeflow.org/workspace-name"] = json!("other");
    assert_eq!(decoded(&moved).workspaces().collect::<Vec<_>>(), ["other", "lab"]);
    moved["metadata"]["ownerReferences"][1]["kind"] = json!("Notebook");
    assert_eq!(decoded(&moved).workspaces().collect::<Vec<_>>(), ["other"]);
}

#[test]
fn only_another_set_of_our_fields_is_news() {
    let collection = Collection::default();
    let (ours, less) = (json!({"f:spec": {"f:replicas": {}}}), json!({"f:spec": {}}));
    collection.put(decoded(&child("1", &ours))).unwrap();
    let key = Key::new("ns", "ws-lab-1");
    let mut known = decoded(&child("1", &ours));
    known.fields.as_mut().unwrap().unsettled = None;
    collection.put_answer(known);
    assert!(collection.put(decoded(&child("2", &ours))).is_none());
    let is_kept = || collection.get(&key).unwrap().fields.as_ref().unwrap().unsettled.is_some();
    assert!(!is_kept(), "what is known is not kept twice");
    assert!(collection.put(decoded(&child("3", &less))).is_some());
    assert!(is_kept());
}

#[test]
fn an_object_that_does_not_decode_arrives_as_such_within_its_list() {
    let good = serde_json::to_value(crds::testing::workspace("ns", "good", "k")).unwrap();
    let bad = json!({"metadata": {"name": "bad", "namespace": "ns", "resourceVersion": "5"}, "spec": {"kind": 7}});
    let list = json!({"metadata": {"resourceVersion": "9"}, "items": [bad, good]});
    let list: ObjectList<Incoming<StoredWorkspace>> = serde_json::from_str(&list.to_string()).unwrap();
    let objects: Vec<_> = list.items.into_iter().map(|incoming| (incoming.metadata.name, incoming.object)).collect();
    assert_eq!(objects[0].0.as_deref(), Some("bad"));
    assert!(objects[0].1.is_err());
    assert_eq!(objects[1].1.as_ref().unwrap().identity.key.name(), "good");
}

#[test]
fn a_kind_is_news_when_what_is_reconciled_is() {
    let kind = |version: &str, change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(crds::testing::workspace_kind("k")).unwrap();
        value["metadata"]["resourceVersion"] = json!(version);
        change(&mut value);
        serde_json::from_value::<StoredKind>(value).unwrap()
    };
    let stored = kind("1", &|_| {});
    let counted = kind("2", &|kind| kind["status"] = json!({"workspaces": 3}));
    let labelled = kind("3", &|kind| kind["metadata"]["labels"] = json!({"a": "b"}));
    let hidden = kind("4", &|kind| kind["spec"]["spawner"]["hidden"] = json!(true));
    let protected = kind("5", &|kind| kind["metadata"]["finalizers"] = json!(["a/b"]));
    assert!(labelled.same_as(&stored));
    for (changed, is_same_template) in [(&counted, true), (&protected, true), (&hidden, false)] {
        assert!(!changed.same_as(&stored));
        assert_eq!(changed.is_same_template(&stored), is_same_template);
    }
}

#[test]
fn keys_are_ordered_by_namespace_and_printed_without_an_empty_one() {
    // As one text `a-b/x` would be before `a/y`, and a name may have the dots that a namespace may not.
    let mut keys = [Key::new("a-b", "x"), Key::new("a", "y"), Key::new("", "z.z"), Key::new("a", "b-c")];
    keys.sort();
    assert_eq!(keys.each_ref().map(Key::parts), [("", "z.z"), ("a", "b-c"), ("a", "y"), ("a-b", "x")]);
    assert_eq!(keys.each_ref().map(ToString::to_string), ["z.z", "a/b-c", "a/y", "a-b/x"]);
    assert_eq!(Key::default().parts(), ("", ""));
}
